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

from protocol import Delivered, Unsupported, decode, error_event, headers_of, partitions_event, read_record, serve


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


class Client:
    """The methods of the protocol are coroutines; `Outside` calls them from the thread that reads requests."""

    def __init__(self, address):
        self.address = address
        self.producers = {}
        self.member = None
        self.admin_client = None

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
        producer = await self.producer(request)
        futures = [await producer.send(request["topic"], partition=record["partition"], key=decode(record["key"]),
                                       value=decode(record["value"]), headers=headers_of(record),
                                       timestamp_ms=record["timestamp"]) for record in request["records"]]
        return {"offsets": [(await future).offset for future in futures]}

    async def assigned_consumer(self, **more):
        consumer = AIOKafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False,
                                    auto_offset_reset="earliest", **more)
        await consumer.start()
        return consumer

    async def read(self, request):
        consumer = await self.assigned_consumer()
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

    async def join(self, request):
        if request["strategy"] == "cooperative":
            raise Unsupported("there is no cooperative assignor")
        self.member = GroupMember({
            "bootstrap_servers": self.address, "group_id": request["group"], "enable_auto_commit": False,
            "auto_offset_reset": "earliest", "session_timeout_ms": request["session_ms"],
            "heartbeat_interval_ms": request["heartbeat_ms"], "rebalance_timeout_ms": request["rebalance_ms"],
            "group_instance_id": request["instance"]}, request["topics"])
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
