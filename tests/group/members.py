"""Members of groups as raw connections, one each, and the world they live in."""
from harness import open_broker, wait_until
from messages import call, coordinated, frame, send, take
from wire import *

NONE, OUT_OF_RANGE, UNKNOWN_TOPIC, METADATA_TOO_LARGE, LOADING, NOT_COORDINATOR, INVALID_TOPIC = 0, 1, 3, 12, 14, 16, 17
ILLEGAL_GENERATION, INCONSISTENT_PROTOCOL, INVALID_GROUP, UNKNOWN_MEMBER, BAD_SESSION, REBALANCE = 22, 23, 24, 25, 26, 27
NON_EMPTY, NOT_FOUND, ID_REQUIRED, FENCED, SUBSCRIBED, UNKNOWN_TOPIC_ID = 68, 69, 79, 82, 86, 100
OFFSETS = "__consumer_offsets"


def subscription(*topics):
    return i16(0) + i32(len(topics)) + b"".join(string(t) for t in topics) + blob(None)


class World:
    """A broker; every case takes groups and topics of its own."""

    def __init__(self, name, properties=None, arguments=()):
        settings = {"group.min.session.timeout.ms": "100", "offsets.topic.num.partitions": "8", **(properties or {})}
        self.broker = open_broker(f"build/tests/group/{name}", settings, arguments)
        self.broker.start()
        self.count = 0
        self.connect()

    def connect(self):
        self.admin = Connection(self.broker.port)
        self.find()

    def find(self):
        """Kafka says so some time after the first question, and coordinates some time after that."""
        assert wait_until(lambda: coordinated(self.admin), 20), "there is no coordinator"

    def restart(self, kill):
        if kill:
            self.broker.kill()
        else:
            self.broker.stop()
        self.broker.start()
        self.connect()

    def group(self):
        self.count += 1
        return f"group-{self.count}"

    def topic(self, partitions=4):
        self.count += 1
        name = f"topic-{self.count}"
        assert create_topic(self.admin, name, partitions) == NONE
        return name

    def topic_id(self, name):
        return call(self.admin, "metadata", 12, topics=[{"name": name}]).topics[0].topic_id

    def member(self, group, **more):
        return Member(self.broker.port, group, **more)

    def describe(self, group, version=6):
        return call(self.admin, "describe_groups", version, groups=[group]).groups[0]

    def commit(self, group, topic, offsets, version=9, **more):
        """The error of each partition; `offsets` by partition."""
        parts = [{"partition_index": p, "committed_offset": o, "committed_metadata": "m%d" % p} for p, o in offsets.items()]
        return commit(self.admin, version, group, [{"name": topic, "partitions": parts}], **more)

    def committed(self, group, version=9):
        """{(topic, partition): offset} of everything that the group committed."""
        g = call(self.admin, "offset_fetch", version, groups=[{"group_id": group, "topics": None}]).groups[0]
        assert g.error_code == NONE, f"OffsetFetch got error {g.error_code}"
        return {(t.name, p.partition_index): p.committed_offset for t in g.topics for p in t.partitions}


def commit(connection, version, group, topics, **more):
    r = call(connection, "offset_commit", version, group_id=group, topics=topics, **more)
    return [p.error_code for t in r.topics for p in t.partitions]


class Member:
    """A client of a group: `version` is JoinGroup's, the others follow."""

    def __init__(self, port, group, version=9, instance=None, session=10000, rebalance=20000, kind="consumer",
                 protocols=(("range", subscription("t")),), client="test"):
        self.connection = Connection(port)
        self.group, self.version, self.instance, self.kind, self.client = group, version, instance, kind, client
        self.session, self.rebalance, self.protocols = session, rebalance, protocols
        self.id, self.generation = "", -1

    def send_join(self):
        wanted = [{"name": n, "metadata": m} for n, m in self.protocols]
        self.connection.send(frame("join_group", self.version, client=self.client, group_id=self.group, member_id=self.id,
                                     session_timeout_ms=self.session, rebalance_timeout_ms=self.rebalance,
                                     group_instance_id=self.instance, protocol_type=self.kind, protocols=wanted))

    def take_join(self):
        r = take(self.connection, "join_group", self.version)
        if r.error_code in (NONE, ID_REQUIRED):
            self.id = r.member_id
        if r.error_code == NONE:
            self.generation = r.generation_id
        return r

    def get_id(self):
        """KIP-394's first step, where it is taken."""
        if self.version >= 4 and not self.id and self.instance is None:
            self.send_join()
            r = self.take_join()
            assert r.error_code == ID_REQUIRED, f"JoinGroup without an id got {r.error_code}"

    def join_later(self):
        self.get_id()
        self.send_join()

    def join(self):
        self.join_later()
        return self.take_join()

    def send_sync(self, assignments=None):
        wanted = [{"member_id": i, "assignment": a} for i, a in (assignments or {}).items()]
        send(self.connection, "sync_group", min(self.version, 5), group_id=self.group, generation_id=self.generation,
             member_id=self.id, group_instance_id=self.instance, protocol_type=self.kind, protocol_name=self.protocols[0][0],
             assignments=wanted)

    def take_sync(self):
        return take(self.connection, "sync_group", min(self.version, 5))

    def sync(self, assignments=None):
        self.send_sync(assignments)
        return self.take_sync()

    def start(self, assignment=b"all"):
        """Joins as the only member and gets everything."""
        r = self.join()
        assert (r.error_code, r.leader) == (NONE, self.id), f"JoinGroup got {r.error_code}, leader {r.leader}"
        s = self.sync({self.id: assignment})
        assert (s.error_code, s.assignment) == (NONE, assignment), f"SyncGroup got {s.error_code}"
        return self

    def heartbeat(self, **more):
        asked = {"group_id": self.group, "generation_id": self.generation, "member_id": self.id,
                 "group_instance_id": self.instance, **more}
        return call(self.connection, "heartbeat", min(self.version, 4), **asked).error_code

    def called_back(self):
        """Another connection started a rebalance: it has reached the group when the heartbeat says so."""
        return wait_until(lambda: self.heartbeat() == REBALANCE, 20)

    def leave(self):
        r = call(self.connection, "leave_group", min(self.version, 5), group_id=self.group, member_id=self.id,
                 members=[{"member_id": self.id, "group_instance_id": self.instance}])
        return r.error_code or next((m.error_code for m in r.members), NONE)

    def commit(self, topic, offsets, version=9, **more):
        parts = [{"partition_index": p, "committed_offset": o} for p, o in offsets.items()]
        who = {"member_id": self.id, "generation_id_or_member_epoch": self.generation, "group_instance_id": self.instance}
        return commit(self.connection, version, self.group, [{"name": topic, "partitions": parts}], **{**who, **more})

    def close(self):
        self.connection.close()


def together(*members):
    """All join, who is new first, so that the others are waited for; the leader gives each its own id as assignment."""
    old = [m for m in members if m.generation >= 0]
    for m in members:
        if m not in old:
            m.join_later()
            assert all(o.called_back() for o in old)
    for m in old:
        m.join_later()
    answers = [m.take_join() for m in members]
    assert [a.error_code for a in answers] == [NONE] * len(members), [a.error_code for a in answers]
    for m in members:
        m.send_sync({n.id: n.id.encode() for n in members} if m.id == answers[0].leader else None)
    syncs = [m.take_sync() for m in members]
    assert [s.error_code for s in syncs] == [NONE] * len(members), [s.error_code for s in syncs]
    assert [s.assignment for s in syncs] == [m.id.encode() for m in members]
    return answers
