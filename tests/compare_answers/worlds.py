"""A broker with the topics and groups that the requests name."""
import contextlib
import os
import time

from apache import ApacheKafka
from broker import Broker
from generate import GROUPS, PRODUCERS, READ_TOPICS, SCRATCH_TOPICS, Place, Producers, Symbol
from messages import call, coordinated, schema, send, take
from process import wait_until
from wire import Connection, batch, produced
from wire_txn import CONCURRENT, Transactional, stable_up_to

SETTINGS = {"auto.create.topics.enable": "false", "group.initial.rebalance.delay.ms": "0", "num.partitions": "1", "offsets.topic.num.partitions": "1",
            "connections.max.idle.ms": "86400000", "broker.session.timeout.ms": "3600000"}
PARTITIONS = {"r1": 3, "r2": 1, "empty": 2, "compacted": 1, "stable": 1}
NO_ID = bytes(16)
TIMEOUT, PATIENCE = float(os.environ.get("ANSWER_S", "2")), 60  # for what is compared, and for what makes the worlds alike
SLICE = 0.1


class SlicedConnection(Connection):
    """Its time-out counts looks, each of a tenth of a second, in which the broker was not stopped: on a machine that is kept for others
    for a while nothing is late."""

    def __init__(self, broker):
        super().__init__(broker.port, timeout=PATIENCE)
        self.patience, self.stat = PATIENCE, f"/proc/{broker.process.pid}/stat"

    def broker_stopped(self):
        with open(self.stat, encoding="utf-8", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "T"

    def read(self, n):
        self.socket.settimeout(SLICE)
        out, looks = bytearray(), 0
        while len(out) < n:
            try:
                piece = self.socket.recv(n - len(out))
            except TimeoutError:
                looks += not self.broker_stopped()
                if looks * SLICE >= self.patience:
                    raise
                continue
            if not piece:
                raise EOFError(f"closed after {len(out)} of {n} bytes")
            out += piece
        return bytes(out)

    def send(self, raw):
        self.socket.settimeout(self.patience)
        super().send(raw)


class World:
    def __init__(self, name, broker):
        self.name, self.broker, self.connection, self.ids = name, broker, None, {}
        self.fresh, self.producers = {}, {}

    def start(self):
        self.broker.start()
        self.connect()
        for name in READ_TOPICS:
            self.create(name, PARTITIONS[name], {"cleanup.policy": "compact"} if name == "compacted" else {"retention.ms": "-1"})
        for name, partition, values in (("r1", 0, (b"a", b"bb", b"ccc")), ("r1", 0, (b"d",)), ("r1", 1, (b"e", b"f")), ("r2", 0, (b"g",) * 5)):
            assert wait_until(lambda: produced(self.connection, name, partition, batch(values))[0] == 0, 10)
        assert wait_until(lambda: coordinated(self.connection, GROUPS), 30), f"{self.name}: no coordinator"
        assert wait_until(lambda: self.call("init_producer_id", 1, transactional_id=None, transaction_timeout_ms=1000).error_code == 0, 30)
        self.write_transactions()
        self.remember_ids()
        self.folder = self.call("describe_log_dirs", 4, topics=[]).results[0].log_dir
        return self

    def write_transactions(self):
        """In `stable`: one that was aborted, one that was committed, and one that is open."""
        for end, commit in ((3, False), (6, True), (None, None)):
            p = Transactional(self.connection, f"stable{end}", 900000)
            assert p.put("stable", 0, [b"t", b"u"]).error_code == 0
            assert end is None or (p.end(commit, 5) == 0 and stable_up_to(self.connection, "stable", 0, end))
        for name in PRODUCERS:
            self.begin(name)

    def begin(self, name):
        p = Transactional(self.connection, name, 900000)
        self.producers[name] = (p.id, p.epoch)

    def connect(self):
        if self.connection:
            self.connection.close()
        self.connection = SlicedConnection(self.broker)

    def call(self, api, version, **fields):
        return call(self.connection, api, version, **fields)

    def create(self, name, partitions, configs):
        configs = [{"name": k, "value": v} for k, v in configs.items()]
        topic = {"name": name, "num_partitions": partitions, "replication_factor": 1, "configs": configs}
        made = self.call("create_topics", 5, topics=[topic], timeout_ms=10000).topics[0]
        assert made.error_code == 0, (self.name, name, made)

    def described(self, topics):
        return self.call("metadata", 12, topics=topics, allow_auto_topic_creation=False).topics

    def remember_ids(self):
        """Of topics that are there, and of those that were: an answer may name one that it has just deleted."""
        there = {t.topic_id: t.name for t in self.described(None)}
        self.ids = {**self.ids, **there}
        self.by_name = {name: topic_id for topic_id, name in there.items()}

    def reset(self):
        """The scratch topics anew, with a record each, and the groups' offsets."""
        old = [t.name for t in self.described(None) if t.name not in READ_TOPICS and not t.name.startswith("__")]
        if old:
            self.call("delete_topics", 4, topic_names=old, timeout_ms=10000)
            assert wait_until(lambda: not any(t.name in old for t in self.described(None)), 20)
        for name in SCRATCH_TOPICS[:3]:
            self.create(name, 2, {"retention.ms": "-1"})
            assert wait_until(lambda n=name: produced(self.connection, n, 0, batch([b"x", b"y"]))[0] == 0, 20)
        self.forget_entities()
        for group in GROUPS:
            partitions = [{"partition_index": 0, "committed_offset": 1, "committed_metadata": "m"}]
            topics = [{"name": "r1", "partitions": partitions}]
            committed = lambda g=group, t=topics: self.call("offset_commit", 6, group_id=g, topics=t).topics[0].partitions[0].error_code == 0
            assert wait_until(committed, 20)
        for name in PRODUCERS:
            self.begin(name)
        self.remember_ids()

    def forget_entities(self):
        """What is kept of users, clients, addresses, groups and client metrics."""
        for e in self.call("describe_client_quotas", 1, components=[], strict=False).entries:
            ops = [{"key": v.key, "value": 0.0, "remove": True} for v in e["values"]]
            self.call("alter_client_quotas", 1, entries=[{"entity": e.entity, "ops": ops}])
        for u in self.call("describe_user_scram_credentials", 0, users=None).results:
            for info in u.credential_infos:
                self.call("alter_user_scram_credentials", 0, deletions=[{"name": u.user, "mechanism": info.mechanism}])
        kept = [(r.resource_type, r.resource_name) for r in self.call("list_config_resources", 1, resource_types=[16, 32]).config_resources]
        if kept:
            self.call("alter_configs", 2, resources=[{"resource_type": t, "resource_name": n} for t, n in kept])

    def own(self, value):
        """The request's tree with this broker's ids."""
        if isinstance(value, Symbol):
            return self.by_name.get(str(value), (b"\x77" * 16 + value.encode())[-16:])
        if isinstance(value, Producers):
            return value.made(*self.producers[value.name])
        if isinstance(value, Place):
            return self.folder
        if isinstance(value, dict):
            return {k: self.own(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.own(v) for v in value]
        return value

    def ask(self, api, version, fields):
        """("answer", fields) or ("closed", None) or ("nothing", None)."""
        self.connection.patience = TIMEOUT
        try:
            return "answer", self.asked(api, version, fields)
        except TimeoutError:
            self.connect()
            return "nothing", None
        except (EOFError, ConnectionError):
            self.connect()
            return "closed", None
        finally:
            self.connection.patience = PATIENCE

    def asked(self, api, version, fields):
        """Again while a transaction is at its end: how long that takes is each broker's own."""
        for _ in range(200):
            send(self.connection, api, version, **self.own(fields))
            answer = take(self.connection, api, version)
            if not says(answer, CONCURRENT):
                break
            time.sleep(0.02)
        if api in ("init_producer_id", "end_txn") and not answer.error_code and fields["transactional_id"] in PRODUCERS:
            if answer.producer_id >= 0:
                self.producers[fields["transactional_id"]] = answer.producer_id, answer.producer_epoch
            assert wait_until(lambda: not self.state(fields["transactional_id"]).startswith("Prepare"), 20)
        return answer

    def state(self, name):
        return self.call("describe_transactions", 0, transactional_ids=[name]).transaction_states[0].transaction_state

    def versions(self):
        return {k.api_key: range(k.min_version, k.max_version + 1) for k in self.call("api_versions", 3, client_software_name="t", client_software_version="1").api_keys}


def says(answer, error):
    """Is it one of the answer's errors?"""
    if isinstance(answer, dict):
        return any(v == error if k.endswith("error_code") else says(v, error) for k, v in answer.items())
    return isinstance(answer, list) and any(says(v, error) for v in answer)


@contextlib.contextmanager
def both(folder):
    """Apache Kafka's world and ours."""
    worlds = [World("Kafka", ApacheKafka(os.path.join(folder, "kafka"), SETTINGS)), World("Odradek", Broker(os.path.join(folder, "odradek"), SETTINGS))]
    try:
        yield [w.start() for w in worlds]
    finally:
        for w in worlds:
            if w.broker.process is not None:
                w.broker.kill()


def common_versions(worlds):
    """[(api, version)] that both serve."""
    theirs, ours = (w.versions() for w in worlds)
    apis = schema()[0]
    return [(api, v) for api, (key, *_) in sorted(apis.items()) if key in theirs and key in ours for v in range(apis[api][2], apis[api][3] + 1)
            if v in theirs[key] and v in ours[key]]
