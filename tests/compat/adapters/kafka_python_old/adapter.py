"""The adapter of kafka-python 2.0.2, which for years was the newest and still is installed most."""
import os
import sys

import six

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../kafka_python"), os.path.dirname(HERE)]
# Its own copy of six does not work from Python 3.12 on.
sys.modules["kafka.vendor.six.moves"] = six.moves

from kafka import OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
from kafka.errors import for_code

from client import Client
from protocol import Unsupported, serve


def must(code, message=None):
    if code:
        raise for_code(code)(message)


class Old(Client):
    def __init__(self, address):
        super().__init__(address)
        self.admin_client = None

    @property
    def admin(self):
        if self.admin_client is None:
            self.admin_client = KafkaAdminClient(bootstrap_servers=self.address)
        return self.admin_client

    def produce(self, request):
        if request["idempotent"]:
            raise Unsupported("the producer has no idempotence before 2.1")
        return super().produce(request)

    def txn_open(self, _):
        raise Unsupported("the producer has no transactions before 2.1")

    def transform(self, _):
        raise Unsupported("the producer has no transactions before 2.1")

    def join(self, request):
        if request["strategy"] == "cooperative":
            raise Unsupported("there is no cooperative assignor before 3.0")
        if request["instance"]:
            raise Unsupported("there is no static membership before 2.3")
        super().join(request)

    def make_offset(self, offset, metadata):
        return OffsetAndMetadata(offset, metadata)

    def committed(self, request):
        wanted = [TopicPartition(*one) for one in request["partitions"]]
        found = self.admin.list_consumer_group_offsets(request["group"], partitions=wanted)
        return {"offsets": [found[one].offset for one in wanted], "metadata": [found[one].metadata for one in wanted]}

    def create_topic(self, request):
        self.admin.create_topics([NewTopic(request["topic"], request["partitions"], 1, topic_configs=request["configs"])])

    def describe_topic(self, request):
        topic = self.admin.describe_topics([request["topic"]])[0]
        must(topic["error_code"])
        return {"partitions": len(topic["partitions"])}

    def list_topics(self, _):
        return {"topics": self.admin.list_topics()}

    def create_partitions(self, request):
        self.admin.create_partitions({request["topic"]: NewPartitions(request["total"])})

    def alter_config(self, request):
        resource = ConfigResource(ConfigResourceType.TOPIC, request["topic"], configs=request["set"])
        for code, message, *_ in self.admin.alter_configs([resource]).resources:
            must(code, message)
        return {"incremental": False}

    def describe_config(self, request):
        kind = ConfigResourceType.BROKER if "broker" in request else ConfigResourceType.TOPIC
        (answer,) = self.admin.describe_configs([ConfigResource(kind, request.get("broker") or request["topic"])])
        ((code, message, _, _, configs),) = answer.resources
        must(code, message)
        return {"configs": {one[0]: one[1] for one in configs}}

    def delete_topic(self, request):
        self.admin.delete_topics([request["topic"]])

    def list_groups(self, _):
        return {"groups": [group for group, _ in self.admin.list_consumer_groups()]}

    def describe_group(self, request):
        (found,) = self.admin.describe_consumer_groups([request["group"]])
        must(found.error_code)
        return {"state": found.state, "members": len(found.members), "protocol_type": found.protocol_type}

    def delete_group(self, request):
        ((_, error),) = self.admin.delete_consumer_groups([request["group"]])
        must(error.errno)

    def close_all(self):
        super().close_all()
        if self.admin_client:
            self.admin_client.close()


serve(Old(sys.argv[1]))
