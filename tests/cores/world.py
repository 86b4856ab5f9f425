"""A broker with a node for each core, and what is in it: topics, groups that committed, transactions in every state."""
from harness import Broker, wait_until
from messages import call, coordinated
from wire import Connection, batch, create_topic, produced
from wire_txn import Transactional

TOPICS = {"many": 7, "few": 2, "one": 1}
GROUPS = [f"group-{i}" for i in range(14)]
IDS = [f"id-{i}" for i in range(14)]
SETTINGS = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "200", "offsets.topic.num.partitions": "20",
            "transaction.state.log.num.partitions": "20"}
PER_CORE = {"listeners.per.core": "true"}


def make(folder, cores, per_core=True, fresh=True, **settings):
    return Broker(folder, {**SETTINGS, **(PER_CORE if per_core else {}), **settings}, ["--cores", str(cores)], fresh=fresh)


def restart(broker, cores, per_core):
    """The same folder with so many cores in that mode."""
    return make(broker.folder, cores, per_core, fresh=False).start()


def nodes(connection):
    """{id: (host, port)} as this connection is told."""
    return {b.node_id: (b.host, b.port) for b in call(connection, "metadata", 12, topics=[]).brokers}


def leaders(connection, names=None):
    """{(topic, partition): id}"""
    topics = call(connection, "metadata", 12, topics=None if names is None else [{"name": n} for n in names]).topics
    return {(t.name, p.partition_index): p.leader_id for t in topics for p in t.partitions}


class Nodes:
    """A connection to each node."""

    def __init__(self, broker):
        with Connection(broker.port) as first:
            self.ids = sorted(nodes(first))
            self.at = {id_: Connection(port) for id_, (_, port) in nodes(first).items()}

    def __getitem__(self, id_):
        return self.at[id_]

    def __iter__(self):
        return iter(self.at.items())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.at.values():
            connection.close()


def commit(connection, group, topic, partition, offset):
    parts = [{"partition_index": partition, "committed_offset": offset}]
    r = call(connection, "offset_commit", 7, group_id=group, generation_id_or_member_epoch=-1, member_id="",
             topics=[{"name": topic, "partitions": parts}])
    return r.topics[0].partitions[0].error_code


def fill(connection):
    """Everything through one connection, whoever leads it."""
    for name, partitions in TOPICS.items():
        assert create_topic(connection, name, partitions) == 0
        for partition in range(partitions):
            values = [b"%s-%d-%d" % (name.encode(), partition, i) for i in range(partition + 2)]
            error, offset = produced(connection, name, partition, batch(values))
            assert (error, offset) == (0, 0), (name, partition, error, offset)
    producers = [Transactional(connection, name, timeout_ms=600000) for name in IDS]
    for i, p in enumerate(producers):
        if i % 3 == 0:
            continue  # it never began
        first = i % TOPICS["many"]
        assert p.add("many", [first, (i + 1) % TOPICS["many"]]) == 0
        assert p.put("many", first, [b"in a transaction"], 11).error_code == 0
        if i % 3 == 1:
            assert p.end(commit=True) == 0
    assert wait_until(lambda: coordinated(connection, GROUPS), 20), "the coordinators do not answer"
    for i, group in enumerate(GROUPS):
        for partition in range(1 + i % TOPICS["many"]):
            assert commit(connection, group, "many", partition, 1 + i % 2) == 0
