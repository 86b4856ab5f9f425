"""What kafka-python's consumer and producer have been alike in since 2.0; its admin client is in the adapters."""
import time

import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from protocol import (Chain, Delivered, Member, Unsupported, decode, headers_of, partitions_event, read_record, transformed)

WAIT_S, POLL_MS = 50, 1000


class GroupMember(Member, ConsumerRebalanceListener):
    """`make_offset` builds the client's own pair of offset and metadata."""

    def __init__(self, settings, topics, make_offset):
        super().__init__()
        self.settings, self.topics, self.make_offset = settings, topics, make_offset
        self.delivered, self.owned = Delivered(), set()

    def open(self):
        self.consumer = KafkaConsumer(**self.settings)
        self.consumer.subscribe(self.topics, listener=self)

    def generation(self):
        return None

    def on_partitions_revoked(self, revoked):
        if revoked:
            self.owned -= set(revoked)
            self.delivered.keep(self.owned)
            partitions_event("revoked", revoked)

    def on_partitions_assigned(self, assigned):
        self.owned |= set(assigned)
        partitions_event("assigned", self.owned, generation=self.generation())

    def poll(self):
        """Version 3.0.12 forgets an assignment if its poll ends while it joins again because it learned of partitions."""
        for records in self.consumer.poll(timeout_ms=POLL_MS).values():
            for record in records:
                self.delivered.record(record.topic, record.partition, record.offset, record.value)

    def commit(self, request):
        offsets = {TopicPartition(topic, partition): self.make_offset(offset, metadata)
                   for topic, partition, offset, metadata in self.delivered.to_commit(request)}
        self.do(lambda: self.consumer.commit(offsets))

    def close(self):
        self.consumer.close(autocommit=False)


class Transactions(Chain):
    def __init__(self, settings, producer, source, target, make_offset):
        super().__init__()
        self.settings, self.producer, self.source, self.target = settings, producer, source, target
        self.make_offset = make_offset

    def open(self):
        self.consumer = KafkaConsumer(**self.settings)
        self.consumer.subscribe([self.source])

    def turn(self):
        polled = self.consumer.poll(timeout_ms=POLL_MS)
        records = [record for found in polled.values() for record in found]
        if records:
            self.producer.begin_transaction()
            for record in records:
                self.producer.send(self.target, partition=record.partition, value=transformed(record.value))
            offsets = {partition: self.make_offset(found[-1].offset + 1, "") for partition, found in polled.items()}
            self.producer.send_offsets_to_transaction(offsets, self.consumer.group_metadata())
            self.producer.commit_transaction()
        return len(records)

    def close(self):
        self.consumer.close(autocommit=False)


class Client:
    def __init__(self, address):
        self.address = address
        self.producers = {}
        self.member = None

    def hello(self, _):
        return {"client": "kafka-python", "version": kafka.__version__}

    def producer_settings(self, request):
        codec = request["codec"]
        return {"bootstrap_servers": self.address, "acks": "all", "linger_ms": 5,
                "compression_type": None if codec == "none" else codec}

    def producer(self, request):
        which = request["codec"], request["idempotent"]
        if which not in self.producers:
            self.producers[which] = KafkaProducer(**self.producer_settings(request))
        return self.producers[which]

    def produce(self, request):
        if any(content is None for record in request["records"] for _, content in record["headers"]):
            raise Unsupported("KafkaProducer.send() takes header values of bytes only")
        return self.send(self.producer(request), request)

    @staticmethod
    def send(producer, request):
        futures = [producer.send(request["topic"], partition=record["partition"], key=decode(record["key"]),
                                 value=decode(record["value"]), headers=headers_of(record),
                                 timestamp_ms=record["timestamp"]) for record in request["records"]]
        producer.flush(WAIT_S)
        return {"offsets": [future.get(WAIT_S).offset for future in futures]}

    def assigned_consumer(self, **more):
        return KafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False, auto_offset_reset="earliest",
                             **{"group_id": None, **more})

    def read(self, request):
        consumer = self.assigned_consumer(**({"isolation_level": "read_committed"} if request.get("committed") else {}))
        try:
            partition = TopicPartition(request["topic"], request["partition"])
            consumer.assign([partition])
            consumer.seek(partition, request["offset"])
            end, found = time.monotonic() + request["timeout_ms"] / 1000, []
            while len(found) < request["count"] and time.monotonic() < end:
                found += consumer.poll(timeout_ms=100).get(partition, [])
            return {"records": [read_record(one.offset, one.key, one.value, one.headers, one.timestamp)
                                for one in found[:request["count"]]]}
        finally:
            consumer.close()

    def offset(self, request):
        consumer = self.assigned_consumer()
        try:
            partition, at = TopicPartition(request["topic"], request["partition"]), request["at"]
            if at == -2:
                return {"offset": consumer.beginning_offsets([partition])[partition]}
            if at == -1:
                return {"offset": consumer.end_offsets([partition])[partition]}
            found = consumer.offsets_for_times({partition: at})[partition]
            return {"offset": found.offset if found else -1}
        finally:
            consumer.close()

    def member_settings(self, request):
        return {"bootstrap_servers": self.address, "group_id": request["group"], "enable_auto_commit": False,
                "auto_offset_reset": "earliest", "session_timeout_ms": request["session_ms"],
                "heartbeat_interval_ms": request["heartbeat_ms"], "max_poll_interval_ms": request["rebalance_ms"]}

    def make_offset(self, offset, metadata):
        raise NotImplementedError

    def join(self, request):
        self.member = GroupMember(self.member_settings(request), request["topics"], self.make_offset)
        self.member.start()

    def commit(self, request):
        self.member.commit(request)

    def leave(self, _):
        self.member.leave()
        self.member = None

    def close_all(self):
        if self.member:
            self.member.leave()
        for producer in self.producers.values():
            producer.close()

    def quit(self, _):
        self.close_all()
