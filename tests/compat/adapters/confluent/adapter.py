"""The adapter of confluent-kafka, which brings the newest librdkafka with it."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   ResourceType)

from protocol import (Chain, Delivered, Member, decode, error_event, headers_of, partitions_event, read_record, serve, transformed)

WAIT_S = 50
STRATEGIES = {"eager": "range,roundrobin", "cooperative": "cooperative-sticky"}


def pairs(partitions):
    return [(one.topic, one.partition) for one in partitions]


class GroupMember(Member):
    def __init__(self, settings, topics):
        super().__init__()
        self.settings, self.topics = settings, topics
        self.delivered, self.owned = Delivered(), set()

    def open(self):
        self.consumer = Consumer({**self.settings, "error_cb": error_event})
        self.consumer.subscribe(self.topics, on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.revoked)

    def assigned(self, _, partitions):
        self.owned |= set(pairs(partitions))
        partitions_event("assigned", self.owned, generation=None)

    def revoked(self, _, partitions):
        if partitions:
            self.owned -= set(pairs(partitions))
            self.delivered.keep(self.owned)
            partitions_event("revoked", pairs(partitions))

    def poll(self):
        message = self.consumer.poll(0.05)
        if message is None:
            return
        if message.error():
            error_event(message.error())
        else:
            self.delivered.record(message.topic(), message.partition(), message.offset(), message.value())

    def commit(self, request):
        offsets = [TopicPartition(topic, partition, offset, metadata)
                   for topic, partition, offset, metadata in self.delivered.to_commit(request)]
        for one in self.do(lambda: self.consumer.commit(offsets=offsets, asynchronous=False)):
            if one.error:
                raise KafkaException(one.error)

    def close(self):
        self.consumer.close()


class Transactions(Chain):
    def __init__(self, settings, producer, source, target):
        super().__init__()
        self.settings, self.producer, self.source, self.target = settings, producer, source, target

    def open(self):
        self.consumer = Consumer({**self.settings, "error_cb": error_event})
        self.consumer.subscribe([self.source])

    def turn(self):
        messages = self.consumer.consume(100, 0.05)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        if messages:
            self.producer.begin_transaction()
            for message in messages:
                self.producer.produce(self.target, partition=message.partition(), value=transformed(message.value()))
            self.producer.send_offsets_to_transaction(self.consumer.position(self.consumer.assignment()),
                                                      self.consumer.consumer_group_metadata(), WAIT_S)
            self.producer.commit_transaction(WAIT_S)
        return len(messages)

    def close(self):
        self.consumer.close()


class Client:
    def __init__(self, address):
        self.address = address
        self.producers = {}
        self.transactional = {}
        self.chain = None
        self.member = None
        self.admin_client = None

    @property
    def admin(self):
        if self.admin_client is None:
            self.admin_client = AdminClient({"bootstrap.servers": self.address})
        return self.admin_client

    def hello(self, _):
        return {"client": f"confluent-kafka {confluent_kafka.version()}, librdkafka",
                "version": confluent_kafka.libversion()[0]}

    def producer(self, request):
        which = request["codec"], request["idempotent"]
        if which not in self.producers:
            self.producers[which] = Producer({"bootstrap.servers": self.address, "acks": "all", "linger.ms": 5,
                                              "compression.type": which[0], "enable.idempotence": which[1]})
        return self.producers[which]

    def produce(self, request):
        return self.send(self.producer(request), request)

    @staticmethod
    def send(producer, request):
        offsets = {}
        for n, record in enumerate(request["records"]):
            def delivered(error, message, n=n):
                offsets[n] = error or message.offset()
            producer.produce(request["topic"], partition=record["partition"], key=decode(record["key"]),
                             value=decode(record["value"]), headers=headers_of(record), on_delivery=delivered,
                             timestamp=record["timestamp"] or 0)
        producer.flush(WAIT_S)
        for answer in offsets.values():
            if not isinstance(answer, int):
                raise KafkaException(answer)
        return {"offsets": [offsets[n] for n in range(len(request["records"]))]}

    def txn_open(self, request):
        producer = Producer({"bootstrap.servers": self.address, "transactional.id": request["txn"], "linger.ms": 5,
                             "transaction.timeout.ms": request["timeout_ms"]})
        producer.init_transactions(WAIT_S)
        self.transactional[request["as"]] = producer

    def txn_begin(self, request):
        self.transactional[request["as"]].begin_transaction()

    def txn_send(self, request):
        return self.send(self.transactional[request["as"]], request)

    def txn_end(self, request):
        producer = self.transactional[request["as"]]
        if request["commit"]:
            producer.commit_transaction(WAIT_S)
        else:
            producer.abort_transaction(WAIT_S)

    def transform(self, request):
        self.txn_open({**request, "as": "chain"})
        settings = {**self.member_settings(request), "isolation.level": "read_committed"}
        self.chain = Transactions(settings, self.transactional["chain"], request["topic"], request["to"])
        self.chain.start()

    def assigned_consumer(self, committed=False):
        return Consumer({"bootstrap.servers": self.address, "group.id": "assigned", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "check.crcs": True,
                         "isolation.level": "read_committed" if committed else "read_uncommitted"})

    def read(self, request):
        consumer = self.assigned_consumer(request.get("committed", False))
        try:
            consumer.assign([TopicPartition(request["topic"], request["partition"], request["offset"])])
            end, found = time.monotonic() + request["timeout_ms"] / 1000, []
            while len(found) < request["count"] and time.monotonic() < end:
                message = consumer.poll(0.1)
                if message is not None and message.error():
                    raise KafkaException(message.error())
                if message is not None:
                    found.append(read_record(message.offset(), message.key(), message.value(), message.headers(),
                                             message.timestamp()[1]))
            return {"records": found}
        finally:
            consumer.close()

    def offset(self, request):
        consumer = self.assigned_consumer()
        try:
            at = TopicPartition(request["topic"], request["partition"], request["at"])
            if request["at"] < 0:
                low, high = consumer.get_watermark_offsets(at, timeout=WAIT_S)
                return {"offset": low if request["at"] == -2 else high}
            (found,) = consumer.offsets_for_times([at], timeout=WAIT_S)
            if found.error:
                raise KafkaException(found.error)
            return {"offset": found.offset}
        finally:
            consumer.close()

    def member_settings(self, request):
        settings = {"bootstrap.servers": self.address, "group.id": request["group"], "enable.auto.commit": False,
                    "auto.offset.reset": "earliest", "session.timeout.ms": request["session_ms"],
                    "heartbeat.interval.ms": request["heartbeat_ms"], "group.protocol": "classic",
                    "max.poll.interval.ms": max(request["rebalance_ms"], request["session_ms"]),
                    "partition.assignment.strategy": STRATEGIES[request["strategy"]]}
        if request["instance"]:
            settings["group.instance.id"] = request["instance"]
        return settings

    def join(self, request):
        self.member = GroupMember(self.member_settings(request), request["topics"])
        self.member.start()

    def commit(self, request):
        self.member.commit(request)

    def leave(self, _):
        self.member.leave()
        self.member = None

    def committed(self, request):
        asked = ConsumerGroupTopicPartitions(request["group"], [TopicPartition(*one) for one in request["partitions"]])
        (future,) = self.admin.list_consumer_group_offsets([asked]).values()
        found = {(one.topic, one.partition): one for one in future.result(WAIT_S).topic_partitions}
        mine = [found[tuple(one)] for one in request["partitions"]]
        return {"offsets": [max(one.offset, -1) for one in mine], "metadata": [one.metadata for one in mine]}

    def create_topic(self, request):
        topic = NewTopic(request["topic"], request["partitions"], 1, config=request["configs"])
        self.admin.create_topics([topic])[request["topic"]].result(WAIT_S)

    def describe_topic(self, request):
        topic = self.admin.list_topics(request["topic"], timeout=WAIT_S).topics[request["topic"]]
        if topic.error:
            raise KafkaException(topic.error)
        return {"partitions": len(topic.partitions)}

    def list_topics(self, _):
        return {"topics": list(self.admin.list_topics(timeout=WAIT_S).topics)}

    def create_partitions(self, request):
        self.admin.create_partitions([NewPartitions(request["topic"], request["total"])])[request["topic"]].result(WAIT_S)

    def alter_config(self, request):
        entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                   for name, value in request["set"].items()]
        resource = ConfigResource(ResourceType.TOPIC, request["topic"], incremental_configs=entries)
        (future,) = self.admin.incremental_alter_configs([resource]).values()
        future.result(WAIT_S)
        return {"incremental": True}

    def describe_config(self, request):
        kind, name = (ResourceType.BROKER, request["broker"]) if "broker" in request else (ResourceType.TOPIC, request["topic"])
        (future,) = self.admin.describe_configs([ConfigResource(kind, name)]).values()
        return {"configs": {key: one.value for key, one in future.result(WAIT_S).items()}}

    def delete_records(self, request):
        (future,) = self.admin.delete_records([TopicPartition(request["topic"], request["partition"], request["before"])]).values()
        return {"low_watermark": future.result(WAIT_S).low_watermark}

    def delete_topic(self, request):
        self.admin.delete_topics([request["topic"]])[request["topic"]].result(WAIT_S)

    def list_groups(self, _):
        found = self.admin.list_consumer_groups().result(WAIT_S)
        if found.errors:
            raise found.errors[0]
        return {"groups": [group.group_id for group in found.valid]}

    def describe_group(self, request):
        found = self.admin.describe_consumer_groups([request["group"]])[request["group"]].result(WAIT_S)
        return {"state": found.state.name, "members": len(found.members), "protocol_type": None}

    def delete_group(self, request):
        self.admin.delete_consumer_groups([request["group"]])[request["group"]].result(WAIT_S)

    def quit(self, _):
        if self.member:
            self.member.leave()
        if self.chain:
            self.chain.end()
        for producer in self.producers.values():
            producer.flush(WAIT_S)


serve(Client(sys.argv[1]))
