"""The adapter of kafka-python 3.x."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import NoError

from client import Client, Transactions
from protocol import serve


def must(result):
    """Of an answer whose fields are told per name."""
    if result != "OK":
        raise RuntimeError(result)


class Newest(Client):
    def __init__(self, address):
        super().__init__(address)
        self.admin_client = None
        self.transactional = {}
        self.chain = None

    @property
    def admin(self):
        if self.admin_client is None:
            self.admin_client = KafkaAdminClient(bootstrap_servers=self.address)
        return self.admin_client

    def producer_settings(self, request):
        return {**super().producer_settings(request), "enable_idempotence": request["idempotent"]}

    def txn_open(self, request):
        producer = KafkaProducer(bootstrap_servers=self.address, linger_ms=5, transactional_id=request["txn"],
                                 transaction_timeout_ms=request["timeout_ms"])
        producer.init_transactions()
        self.transactional[request["as"]] = producer

    def txn_begin(self, request):
        self.transactional[request["as"]].begin_transaction()

    def txn_send(self, request):
        return self.send(self.transactional[request["as"]], request)

    def txn_end(self, request):
        producer = self.transactional[request["as"]]
        if request["commit"]:
            producer.commit_transaction()
        else:
            producer.abort_transaction()

    def transform(self, request):
        self.txn_open({**request, "as": "chain"})
        settings = {**self.member_settings(request), "isolation_level": "read_committed"}
        self.chain = Transactions(settings, self.transactional["chain"], request["topic"], request["to"], self.make_offset)
        self.chain.start()

    def member_settings(self, request):
        more = {"partition_assignment_strategy": [CooperativeStickyAssignor]} if request["strategy"] == "cooperative" else {}
        return {**super().member_settings(request), "group_instance_id": request["instance"], **more}

    def make_offset(self, offset, metadata):
        return OffsetAndMetadata(offset, metadata, -1)

    def committed(self, request):
        wanted = [TopicPartition(*one) for one in request["partitions"]]
        found = self.admin.list_group_offsets({request["group"]: wanted})[request["group"]]
        return {"offsets": [found[one].offset for one in wanted], "metadata": [found[one].metadata for one in wanted]}

    def create_topic(self, request):
        self.admin.create_topics({request["topic"]: {"num_partitions": request["partitions"], "replication_factor": 1,
                                                     "configs": request["configs"]}})

    def describe_topic(self, request):
        topic = self.admin.describe_topics([request["topic"]])[0]
        if topic["error_code"]:
            raise RuntimeError(f"error {topic['error_code']}")
        return {"partitions": len(topic["partitions"])}

    def list_topics(self, _):
        return {"topics": self.admin.list_topics()}

    def create_partitions(self, request):
        self.admin.create_partitions({request["topic"]: request["total"]})

    def alter_config(self, request):
        resource = ConfigResource(ConfigResourceType.TOPIC, request["topic"], request["set"])
        must(self.admin.alter_configs([resource], incremental=True)["topic"][request["topic"]])
        return {"incremental": True}

    def describe_config(self, request):
        kind = "broker" if "broker" in request else "topic"
        name = request[kind]
        found = self.admin.describe_configs([ConfigResource(kind, name)], config_filter="all")[kind]
        (configs,) = found.values()
        return {"configs": {key: one["value"] for key, one in configs.items()}}

    def delete_records(self, request):
        partition = TopicPartition(request["topic"], request["partition"])
        return {"low_watermark": self.admin.delete_records({partition: request["before"]})[partition]["low_watermark"]}

    def delete_topic(self, request):
        self.admin.delete_topics([request["topic"]])

    def list_groups(self, _):
        return {"groups": [group["group_id"] for group in self.admin.list_groups()]}

    def describe_group(self, request):
        found = self.admin.describe_groups([request["group"]])[request["group"]]
        if found["error"]:
            raise RuntimeError(found["error"])
        return {"state": found["group_state"], "members": len(found["members"]), "protocol_type": found["protocol_type"]}

    def delete_group(self, request):
        must(self.admin.delete_groups([request["group"]])[request["group"]])

    def delete_group_offsets(self, request):
        partition = TopicPartition(request["topic"], request["partition"])
        error = self.admin.delete_group_offsets(request["group"], [partition])[partition]
        if error is not NoError:
            raise RuntimeError(error.__name__)

    def close_all(self):
        super().close_all()
        if self.chain:
            self.chain.end()
        if self.admin_client:
            self.admin_client.close()


serve(Newest(sys.argv[1]))
