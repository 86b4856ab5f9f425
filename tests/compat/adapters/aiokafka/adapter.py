"""The adapter of aiokafka. The client lives in an event loop on a thread of its own."""
import asyncio
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from protocol import (Delivered, Unsupported, decode, emit, error_event, headers_of, partitions_event, read_record, serve,
                      transformed)


def must(code, message=None):
    if code:
        raise for_code(code)(message)


class GroupMember(ConsumerRebalanceListener):
    """A task polls until `leave`; every method runs in the event loop."""

    def __init__(self, settings, topics):
        self.consumer = AIOKafkaConsumer(**settings)
        self.consumer.subscribe(topics, listener=self)
        self.delivered, self.owned = Delivered(), set()
        self.task = None

    async def on_partitions_revoked(self, revoked):
        if revoked:
            self.owned -= set(revoked)
            self.delivered.keep(self.owned)
            partitions_event("revoked", revoked)

    async def on_partitions_assigned(self, assigned):
        self.owned |= set(assigned)
        partitions_event("assigned", self.owned, generation=None)

    async def poll(self):
        await self.consumer.start()
        while True:
            try:
                for records in (await self.consumer.getmany(timeout_ms=1000)).values():
                    for record in records:
                        self.delivered.record(record.topic, record.partition, record.offset, record.value)
            except Exception as why:
                error_event(why)

    async def commit(self, request):
        await self.consumer.commit({TopicPartition(topic, partition): OffsetAndMetadata(offset, metadata)
                                    for topic, partition, offset, metadata in self.delivered.to_commit(request)})

    async def leave(self):
        self.task.cancel()
        await self.consumer.stop()


class Transactions:
    """A chain: reads as a member and writes in transactions with its offsets, which the client commits without naming the member."""

    def __init__(self, settings, producer, source, target):
        self.consumer = AIOKafkaConsumer(source, **settings)
        self.producer, self.target, self.group = producer, target, settings["group_id"]
        self.over = False
        self.task = None

    async def run(self):
        try:
            await self.consumer.start()
            while not self.over:
                polled = await self.consumer.getmany(timeout_ms=50)
                if polled:
                    await self.turn(polled)
                    emit({"event": "transformed", "count": sum(map(len, polled.values()))})
            await self.consumer.stop()
        except Exception as why:
            error_event(why)

    async def turn(self, polled):
        async with self.producer.transaction():
            for partition, records in polled.items():
                for record in records:
                    await self.producer.send(self.target, transformed(record.value), partition=partition.partition)
            ends = {partition: records[-1].offset + 1 for partition, records in polled.items()}
            await self.producer.send_offsets_to_transaction(ends, self.group)


class Client:
    """The methods of the protocol are coroutines; `Outside` calls them from the thread that reads requests."""

    def __init__(self, address):
        self.address = address
        self.producers = {}
        self.member = None
        self.admin_client = None
        self.transactional = {}
        self.chain = None

    async def admin(self):
        if self.admin_client is None:
            self.admin_client = AIOKafkaAdminClient(bootstrap_servers=self.address)
            await self.admin_client.start()
        return self.admin_client

    async def hello(self, _):
        return {"client": "aiokafka", "version": aiokafka.__version__}

    async def producer(self, request):
        which = codec, idempotent = request["codec"], request["idempotent"]
        if which not in self.producers:
            self.producers[which] = AIOKafkaProducer(
                bootstrap_servers=self.address, acks="all", linger_ms=5, enable_idempotence=idempotent,
                compression_type=None if codec == "none" else codec)
            await self.producers[which].start()
        return self.producers[which]

    async def produce(self, request):
        return await self.send(await self.producer(request), request)

    @staticmethod
    async def send(producer, request):
        futures = [await producer.send(request["topic"], partition=record["partition"], key=decode(record["key"]),
                                       value=decode(record["value"]), headers=headers_of(record),
                                       timestamp_ms=record["timestamp"]) for record in request["records"]]
        return {"offsets": [(await future).offset for future in futures]}

    async def txn_open(self, request):
        producer = AIOKafkaProducer(bootstrap_servers=self.address, linger_ms=5, transactional_id=request["txn"],
                                    transaction_timeout_ms=request["timeout_ms"])
        await producer.start()
        self.transactional[request["as"]] = producer

    async def txn_begin(self, request):
        await self.transactional[request["as"]].begin_transaction()

    async def txn_send(self, request):
        return await self.send(self.transactional[request["as"]], request)

    async def txn_end(self, request):
        producer = self.transactional[request["as"]]
        await (producer.commit_transaction() if request["commit"] else producer.abort_transaction())

    async def transform(self, request):
        await self.txn_open({**request, "as": "chain"})
        settings = {**self.member_settings(request), "isolation_level": "read_committed"}
        self.chain = Transactions(settings, self.transactional["chain"], request["topic"], request["to"])
        self.chain.task = asyncio.create_task(self.chain.run())

    async def assigned_consumer(self, **more):
        consumer = AIOKafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False,
                                    auto_offset_reset="earliest", **more)
        await consumer.start()
        return consumer

    async def read(self, request):
        consumer = await self.assigned_consumer(
            isolation_level="read_committed" if request.get("committed") else "read_uncommitted")
        try:
            partition = TopicPartition(request["topic"], request["partition"])
            consumer.assign([partition])
            consumer.seek(partition, request["offset"])
            end, found = time.monotonic() + request["timeout_ms"] / 1000, []
            while len(found) < request["count"] and time.monotonic() < end:
                found += (await consumer.getmany(timeout_ms=100)).get(partition, [])
            return {"records": [read_record(one.offset, one.key, one.value, one.headers, one.timestamp)
                                for one in found[:request["count"]]]}
        finally:
            await consumer.stop()

    async def offset(self, request):
        consumer = await self.assigned_consumer()
        try:
            partition, at = TopicPartition(request["topic"], request["partition"]), request["at"]
            if at == -2:
                return {"offset": (await consumer.beginning_offsets([partition]))[partition]}
            if at == -1:
                return {"offset": (await consumer.end_offsets([partition]))[partition]}
            found = (await consumer.offsets_for_times({partition: at}))[partition]
            return {"offset": found.offset if found else -1}
        finally:
            await consumer.stop()

    def member_settings(self, request):
        return {"bootstrap_servers": self.address, "group_id": request["group"], "enable_auto_commit": False,
                "auto_offset_reset": "earliest", "session_timeout_ms": request["session_ms"],
                "heartbeat_interval_ms": request["heartbeat_ms"], "rebalance_timeout_ms": request["rebalance_ms"],
                "group_instance_id": request["instance"]}

    async def join(self, request):
        if request["strategy"] == "cooperative":
            raise Unsupported("there is no cooperative assignor")
        self.member = GroupMember(self.member_settings(request), request["topics"])
        self.member.task = asyncio.create_task(self.member.poll())

    async def commit(self, request):
        await self.member.commit(request)

    async def leave(self, _):
        await self.member.leave()
        self.member = None

    async def committed(self, request):
        wanted = [TopicPartition(*one) for one in request["partitions"]]
        found = await (await self.admin()).list_consumer_group_offsets(request["group"], partitions=wanted)
        return {"offsets": [found[one].offset for one in wanted], "metadata": [found[one].metadata for one in wanted]}

    async def create_topic(self, request):
        topic = NewTopic(request["topic"], request["partitions"], 1, topic_configs=request["configs"])
        for _, code, message in (await (await self.admin()).create_topics([topic])).topic_errors:
            must(code, message)

    async def describe_topic(self, request):
        (topic,) = await (await self.admin()).describe_topics([request["topic"]])
        must(topic["error_code"])
        return {"partitions": len(topic["partitions"])}

    async def list_topics(self, _):
        return {"topics": await (await self.admin()).list_topics()}

    async def create_partitions(self, request):
        answer = await (await self.admin()).create_partitions({request["topic"]: NewPartitions(request["total"])})
        for _, code, message in answer.topic_errors:
            must(code, message)

    async def alter_config(self, request):
        resource = ConfigResource(ConfigResourceType.TOPIC, request["topic"], request["set"])
        for answer in await (await self.admin()).alter_configs([resource]):
            for code, message, *_ in answer.resources:
                must(code, message)
        return {"incremental": False}

    async def describe_config(self, request):
        kind = ConfigResourceType.BROKER if "broker" in request else ConfigResourceType.TOPIC
        resource = ConfigResource(kind, request.get("broker") or request["topic"])
        (answer,) = await (await self.admin()).describe_configs([resource])
        ((code, message, _, _, configs),) = answer.resources
        must(code, message)
        return {"configs": {one[0]: one[1] for one in configs}}

    async def delete_records(self, request):
        partition = TopicPartition(request["topic"], request["partition"])
        found = await (await self.admin()).delete_records({partition: RecordsToDelete(request["before"])})
        return {"low_watermark": found[partition]}

    async def delete_topic(self, request):
        for _, code in (await (await self.admin()).delete_topics([request["topic"]])).topic_error_codes:
            must(code)

    async def list_groups(self, _):
        return {"groups": [one[0] for one in await (await self.admin()).list_consumer_groups()]}

    async def describe_group(self, request):
        (answer,) = await (await self.admin()).describe_consumer_groups([request["group"]])
        ((code, _, state, protocol_type, _, members, *_),) = answer.groups
        must(code)
        return {"state": state, "members": len(members), "protocol_type": protocol_type}

    async def quit(self, _):
        if self.member:
            await self.member.leave()
        if self.chain:
            self.chain.over = True
            await self.chain.task
        for producer in self.producers.values():
            await producer.stop()
        if self.admin_client:
            await self.admin_client.close()


class Outside:
    """Looks like a client whose methods block."""

    def __init__(self, client):
        self.client = client
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def __getattr__(self, name):
        method = getattr(self.client, name)
        return lambda request: asyncio.run_coroutine_threadsafe(method(request), self.loop).result()


serve(Outside(Client(sys.argv[1])))
