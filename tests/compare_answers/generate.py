"""Random requests of every API and version, from our schema (net/wire/schema): legal bytes, odd values.

A request is a tree of fields. What differs between two brokers that hold the same (ids of topics) stands there as a Symbol, and each
broker's world puts its own value in.
"""
import random
from messages import schema
from wire import batch, record, varint

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1
READ_TOPICS = ("r1", "r2", "empty", "compacted", "stable")  # never changed; of the last one the end is not stable
SCRATCH_TOPICS = tuple(f"m{i}" for i in range(4))      # made anew again and again
GROUPS = ("g1", "g2")                                  # with committed offsets, without members
MISSING_NAMES = ("no", "", ".", "a b", "x" * 250)
PRODUCERS = ("x1", "x2")                               # transactional ids with a producer
TRANSACTIONS = {"add_partitions_to_txn", "add_offsets_to_txn", "end_txn", "txn_offset_commit", "write_txn_markers"}
CHANGING = TRANSACTIONS | {"create_topics", "delete_topics", "create_partitions", "delete_records", "alter_configs", "incremental_alter_configs", "produce",
            "offset_commit", "offset_delete", "delete_groups", "init_producer_id", "join_group", "sync_group", "leave_group",
            "alter_client_quotas", "alter_user_scram_credentials", "update_features"}
CONFIGS = (("retention.ms", "1000"), ("retention.ms", "-1"), ("retention.ms", "soon"), ("cleanup.policy", "compact"), ("cleanup.policy", "delete,compact"),
           ("cleanup.policy", "burn"), ("segment.bytes", "2000000"), ("segment.bytes", "5"), ("no.such.key", "1"), ("", ""), ("max.message.bytes", "900000"),
           ("min.insync.replicas", "1"), ("compression.type", "lz4"), ("message.timestamp.type", "LogAppendTime"), ("retention.ms", ""), ("cleanup.policy", None),
           ("consumer.session.timeout.ms", "50000"), ("consumer.heartbeat.interval.ms", "1"), ("share.auto.offset.reset", "earliest"), ("share.isolation.level", "x"),
           ("interval.ms", "1000"), ("interval.ms", "5"), ("match", "client_id=a"), ("match", "b"), ("metrics", "org.a"), ("metrics", "a,a"), ("metrics", "a,,b"))
QUOTAS = (("user", "a"), ("user", "a"), ("user", None), ("user", ""), ("client-id", "c"), ("client-id", None), ("ip", "10.0.0.1"), ("ip", None), ("host", "x"), ("", "y"))
QUOTA_KEYS = ("producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate", "connection_creation_rate", "nonsense")
USERS = ("ann", "ann", "bob", "eve", "")
STRINGS = ("", "x", "range", "consumer")


class Symbol(str):
    """The id of the topic of this name."""


class Place(str):
    """The broker's data folder."""


class Producers:
    """What is made of the producer id and epoch that each broker gave to a transactional id."""

    def __init__(self, name, made):
        self.name, self.made = name, made

    def __repr__(self):
        return f"<{self.name}>"


def id_of(name):
    return Producers(name, lambda producer, epoch: producer)


def epoch_of(name, more=0):
    return Producers(name, lambda producer, epoch: epoch + more)


def batch_of(name, sequence, more=0, attributes=16):
    return Producers(name, lambda producer, epoch: batch([b"txn"], attributes=attributes, producer=(producer, epoch + more, sequence)))


def batches(r):
    values = [bytes([97 + i]) * r.choice((0, 1, 40)) for i in range(r.choice((1, 1, 3)))]
    made = r.choice((
        lambda: batch(values), lambda: batch(values), lambda: batch(values), lambda: batch(values, attributes=8),
        lambda: batch(values, attributes=5), lambda: batch(values, attributes=16), lambda: batch(values, attributes=32),
        lambda: batch(values, magic=1), lambda: batch(values, magic=3), lambda: batch(values, crc=5), lambda: batch(values, count=9),
        lambda: batch(values, last_delta=7), lambda: batch(values, base_offset=5), lambda: batch(values, length=3),
        lambda: batch(values, timestamp=-1), lambda: batch(values, timestamp=1 << 60), lambda: batch(values, producer=(5, 0, -1)),
        lambda: batch(values, producer=(7, 0, 0)), lambda: batch([]), lambda: batch(values) * 2, lambda: batch(values) + b"xy", lambda: b"", lambda: b"x" * 20,
        lambda: batch(values, records=b"".join(record(v, key=b"k", delta=i) for i, v in enumerate(values))),
        lambda: batch(values, records=varint(3) + b"abc", count=1), lambda: None))
    return made()


def once_each(values, key):
    """Without those whose key came before."""
    return list({key(v): v for v in reversed(values)}.values())[::-1]


class Maker:
    """Requests of one seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.api = self.version = None

    def request(self, api, version):
        self.api, self.version = api, version
        return self.struct(api + "_request")

    def chance(self, share):
        return self.random.random() < share

    def pick(self, *values):
        return self.random.choice(values)

    def struct(self, name):
        fields = {}
        for f in schema()[1][name]:
            if f.since <= self.version <= f.until and (f.tag is None or self.chance(0.3)):
                fields[f.name] = self.field(name, f)
        return self.mend(name, fields)

    def field(self, struct, f):
        may_be_null = f.kind in ("TEXT", "LIST", "ARRAY", "NULLABLE") and self.version >= f.null_since
        if may_be_null and self.chance(0.3):
            return None
        if f.kind == "NEST" or f.kind == "NULLABLE":
            return self.struct(f.type)
        if f.kind in ("LIST", "ARRAY"):
            n = self.pick(0, 1, 1, 1, 2, 2, 3)
            return [self.struct(f.type) if f.kind == "ARRAY" else self.value(f.name, f.type) for _ in range(n)]
        return self.value(f.name, f.type)

    # --- values by name ---

    def topic(self):
        mine = SCRATCH_TOPICS if self.api in CHANGING else READ_TOPICS
        return self.random.choice(mine) if self.chance(0.8) else self.pick(*MISSING_NAMES)

    def topic_id(self):
        mine = SCRATCH_TOPICS if self.api in CHANGING else READ_TOPICS
        return Symbol(self.random.choice(mine)) if self.chance(0.8) else self.pick(bytes(16), b"\7" * 16, bytes(15) + b"\1")

    def group(self):
        return self.pick(*GROUPS, *GROUPS, "nobody", "")

    def value(self, name, type_):
        special = getattr(self, "of_" + name, None)
        if special:
            return special()
        if type_ == "bool":
            return self.chance(0.5)
        if type_ == "uuid":
            return self.topic_id()
        if type_ in ("records", "bytes"):
            return batches(self.random) if type_ == "records" else self.pick(b"", b"abc")
        if type_.startswith("string"):
            return self.pick(*STRINGS)
        if type_ == "int8":
            return self.pick(0, 1, 2, -1, 7)
        if type_ == "int16":
            return self.pick(0, 1, -1, 3)
        wide = (1 << 63) - 1 if type_ == "int64" else INT_MAX
        return self.pick(0, 0, 1, 2, -1, -2, 5, wide, -wide - 1)

    def of_topic(self):
        return self.topic() if self.api != "describe_quorum" else self.pick("__cluster_metadata", "__cluster_metadata", "no")

    of_topic_name = of_topic_names = of_topic

    def of_name(self):
        if self.api in ("alter_configs", "incremental_alter_configs", "describe_configs"):
            return self.random.choice(CONFIGS)[0]
        if self.api.endswith("user_scram_credentials"):
            return self.pick(*USERS)
        if self.api == "join_group":
            return self.pick("range", "roundrobin", "")
        return self.topic()

    def of_topic_id(self):
        return self.topic_id()

    def of_partition(self):
        return self.pick(0, 0, 0, 1, 2, 3, -1, INT_MAX, INT_MIN)

    def of_partition_index(self):
        return self.of_partition() if self.api != "describe_topic_partitions" else self.pick(0, 1, 2, 3, 100, -1)

    of_partition_indexes = of_index = of_partitions = of_partition

    def of_group_id(self):
        return self.group()

    of_groups = of_groups_names = of_group_id

    def of_key(self):
        return self.random.choice(QUOTA_KEYS) if self.api == "alter_client_quotas" else self.pick("g1", "k", "")

    of_coordinator_keys = of_key

    def of_key_type(self):
        return self.pick(0, 0, 0, 1, 3, -1)

    def of_member_id(self):
        return self.pick("", "", "member", "other")

    def of_group_instance_id(self):
        return self.pick("instance", "")

    def of_generation_id(self):
        return self.pick(-1, 0, 1, 5)

    of_generation_id_or_member_epoch = of_member_epoch = of_generation_id

    def of_session_timeout_ms(self):
        return self.pick(10000, 10000, 10000, 0, -1, 5, INT_MAX)

    def of_rebalance_timeout_ms(self):
        return self.pick(1000, 2000)

    def of_protocol_type(self):
        return self.pick("consumer", "connect", "")

    def of_max_wait_ms(self):
        return self.pick(0, 1, 30, -1, INT_MIN)

    def of_timeout_ms(self):
        return self.pick(3000, 3000, 10000)

    of_transaction_timeout_ms = of_timeout_ms

    def of_replica_id(self):
        return self.pick(-1, -1, -1, -2)

    def of_fetch_offset(self):
        return self.pick(0, 0, 1, 2, 3, 4, 5, 8, -1, (1 << 63) - 1)

    of_offset = of_committed_offset = of_fetch_offset

    def of_partition_max_bytes(self):
        return self.pick(1 << 20, 1 << 20, 100, 0, 1, INT_MAX)

    of_max_bytes = of_partition_max_bytes

    def of_min_bytes(self):
        return self.pick(0, 1, 1, 50, INT_MAX, -1)

    def of_session_id(self):
        return self.pick(0, 0, 0, 77)

    def of_session_epoch(self):
        return self.pick(-1, -1, 0, 0, 1, INT_MAX)

    def of_current_leader_epoch(self):
        return self.pick(-1, -1, -1, 0, 5, INT_MAX)

    of_leader_epoch = of_committed_leader_epoch = of_current_leader_epoch

    def of_last_fetched_epoch(self):
        return self.pick(-1, -1, -1, 0)

    def of_timestamp(self):
        return self.pick(-1, -2, -3, -4, -5, -6, -7, 0, 1700000000000, 1700000000001, (1 << 63) - 1, -(1 << 63))

    def of_isolation_level(self):
        return self.pick(0, 0, 1)

    def of_acks(self):
        return self.pick(*[-1, 1] * 8, 2, -2)

    def of_transactional_id(self):
        if self.api == "produce":
            return self.pick(*[None] * 3, *PRODUCERS)
        return self.pick(*PRODUCERS * 4, "nobody", "")

    of_v3_and_below_transactional_id = of_transactional_ids = of_transactional_id

    def of_state_filters(self):
        return self.pick("Empty", "Ongoing", "CompleteCommit", "CompleteAbort", "ongoing", "nonsense")

    def of_producer_id_filters(self):
        return self.pick(id_of("x1"), id_of("x2"), 5)

    def of_duration_filter(self):
        return self.pick(-1, -1, 1 << 50)

    def of_transactional_id_pattern(self):
        return self.pick("x.*", "x1", ".*2", "", "(")

    def of_coordinator_epoch(self):
        return self.pick(0, 0, -1)

    def of_transaction_version(self):
        return self.pick(0, 1, 2)

    def of_num_partitions(self):
        return self.pick(1, 2, 2, -1, 0, -2)

    def of_replication_factor(self):
        return self.pick(1, 1, -1, 0, -2)

    def of_count(self):
        return self.pick(1, 2, 3, 4, 0, -1)

    def of_broker_ids(self):
        return self.pick(1, 1, 1, 2, -1)

    def of_value(self):
        return self.random.choice(CONFIGS)[1]

    def of_configuration_keys(self):
        return self.random.choice(CONFIGS)[0]

    def of_resource_type(self):
        return self.pick(2, 2, 2, 4, 8, 0, 1, 16, 16, 32, 32)

    of_resource_types = of_resource_type

    def of_resource_name(self):
        return self.topic() if self.chance(0.6) else self.pick("1", "2", "", "x")

    def of_config_operation(self):
        return self.pick(0, 0, 1, 2, 3, 4, -1)

    def of_response_partition_limit(self):
        return self.pick(1, 2, 3, 100, 0, -1, INT_MAX)

    def of_endpoint_type(self):
        return self.pick(1, 1, 2, 0, 3)

    def of_states_filter(self):
        return self.pick("Empty", "Stable", "stable", "nonsense")

    def of_types_filter(self):
        return self.pick("classic", "Consumer", "nonsense")

    def of_entity_type(self):
        return self.random.choice(QUOTAS)[0]

    def of_match(self):
        return self.pick(None, None, "a", "c", "10.0.0.1")

    def of_match_type(self):
        return self.pick(0, 0, 1, 2, 2, 3)

    def of_mechanism(self):
        return self.pick(1, 1, 2, 2, 0, 3)

    def of_iterations(self):
        return self.pick(4096, 8192, 16384, 4095, 16385)

    def of_salted_password(self):
        return b"secret"

    def of_election_type(self):
        return self.pick(0, 0, 1, 1, 2)

    def of_replicas(self):
        return self.pick(1, 1, 1, 2, 0)

    def of_path(self):
        return self.pick(Place("own"), Place("own"), "/nowhere", "")

    def of_broker_id(self):
        return self.pick(2, 0, -1)  # Kafka would remove its own

    def of_feature(self):
        return self.pick("metadata.version", "metadata.version", "nonsense")

    def of_max_version_level(self):
        return self.pick(30, 30, 30, 29, 31, 7, 6, 0, -1)

    def of_upgrade_type(self):
        return self.pick(1, 1, 2, 3, 0, 4)

    def of_pattern_type_filter(self):
        return self.pick(*[3, 3, 1, 4] * 5, 0)

    def of_operation(self):
        return self.pick(*[1, 2, 3] * 6, 0)

    of_resource_type_filter = of_permission_type = of_resource_pattern_type = of_operation

    def of_producer_id(self):
        return self.pick(-1, -1, 5, -2)

    def of_producer_epoch(self):
        return self.pick(-1, -1, 0, 3)

    def of_node_id(self):
        return self.pick(-1, 1, 2)

    def of_client_software_name(self):
        return self.pick("tests", "a-b.c", "-x", "a b", "")

    of_client_software_version = of_client_software_name

    def of_cluster_id(self):
        return self.pick("nonsense")

    def of_allow_auto_topic_creation(self):
        return False

    # --- what would only show that one fault hides another ---

    def mend(self, name, fields):
        if name in ("alterable_config", "creatable_topic_config", "alter_configs_resource_config") or name.endswith("alterable_config"):
            fields["name"], fields["value"] = self.random.choice(CONFIGS)
        if name == "creatable_topic" and fields.get("assignments") and self.chance(0.7):
            fields["num_partitions"] = fields["replication_factor"] = -1
        if name == "describe_topic_partitions_request" and not fields["topics"]:  # small pages begin elsewhere where one topic more is
            fields["response_partition_limit"], fields["cursor"] = self.pick(2000, INT_MAX), None
        if name == "describe_topic_partitions_request" and any(t["name"] == "" for t in fields["topics"]):  # in Kafka it spoils all of them
            fields["topics"], fields["cursor"] = [{"name": ""}], None
        if name in ("quota_alteration_entity", "quota_component"):
            kind = self.random.choice(QUOTAS)
            fields["entity_type"] = kind[0]
            if name == "quota_alteration_entity":
                fields["entity_name"] = kind[1]
        if name == "quota_op":
            fields["value"] = self.pick(1.0, 1000.0, 12.5, 0.0, -1.0, 1e19, 3e9)
        if name == "alter_client_quotas_request":  # of what is named twice Kafka alters the first, and answers that the second is refused
            fields["entries"] = once_each(fields["entries"], lambda e: str(sorted((p["entity_type"], str(p["entity_name"])) for p in e["entity"])))
        if name == "quota_alteration":
            fields["entity"] = once_each(fields["entity"], lambda p: p["entity_type"])
            fields["ops"] = once_each(fields["ops"], lambda o: o["key"])
        if name == "update_features_request":
            fields["feature_updates"] = once_each(fields["feature_updates"], lambda u: u["feature"])
        if name == "alter_replica_log_dirs_request":
            pairs = once_each([(d["path"], t) for d in fields["dirs"] for t in d["topics"]], lambda pair: pair[1]["name"])
            fields["dirs"] = [{"path": path, "topics": [t]} for path, t in pairs]
        if name == "produce_request":
            self.name_once(fields)
            if fields.get("transactional_id") is not None:
                self.write_in_transaction(fields)
        if self.api in TRANSACTIONS | {"init_producer_id"}:
            self.own_producer(name, fields)
        if name == "fetch_request" and self.version >= 12:
            fields["cluster_id"] = None
        if name == "fetch_request" and self.version >= 15:
            fields.pop("replica_state", None)
        if self.api == "fetch" and name == "fetch_partition":
            fields.pop("replica_directory_id", None)
            fields.pop("high_watermark", None)
        if name == "join_group_request":
            fields["group_id"] = self.pick("", *(f"join{self.random.randrange(1 << 30)}" for _ in range(3)))
        return fields

    def own_producer(self, struct, fields):
        """Nearly always the producer is who it says."""
        old = "v3_and_below_" if "v3_and_below_producer_id" in fields else ""
        if old + "producer_id" not in fields or (struct == "init_producer_id_request" and self.chance(0.5)):
            return
        mine = fields.get(old + "transactional_id")
        mine = mine if mine in PRODUCERS else self.pick(*PRODUCERS)
        fields[old + "producer_id"] = id_of(mine) if self.chance(0.9) else self.pick(5, -1)
        fields[old + "producer_epoch"] = epoch_of(mine, self.pick(*[0] * 8, 1, -1))

    def write_in_transaction(self, fields):
        mine = fields["transactional_id"]
        for topic in fields["topic_data"]:
            for part in topic["partition_data"]:
                if self.chance(0.7):
                    part["records"] = batch_of(mine, self.pick(0, 0, 0, 1), self.pick(*[0] * 8, 1, -1), self.pick(*[16] * 8, 0))

    @staticmethod
    def name_once(fields):
        """What Kafka appends of a partition that is named twice is the last of it, and all behind it would differ: net/README.md has that."""
        seen = set()
        for topic in fields["topic_data"]:
            parts = topic["partition_data"]
            topic["partition_data"] = [p for p in parts if (key := (topic.get("name"), topic.get("topic_id"), p["index"])) not in seen and not seen.add(key)]
