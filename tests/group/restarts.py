"""Cases with a broker of their own: what is kept over restarts and kills, loading, expiry, stops."""
import glob
import os
import threading
import time

from members import *
from messages import call, send, take
from harness import open_broker, wait_until

MANY = 100 * 1000


class Open:
    """A world for one case."""

    def __init__(self, name, arguments, properties=None):
        self.world = World(name, properties, arguments)

    def __enter__(self):
        return self.world

    def __exit__(self, *_):
        self.world.broker.kill()


def again(w, member):
    """The same member, on a new connection."""
    m = w.member(member.group, version=member.version, instance=member.instance, session=member.session)
    m.id, m.generation = member.id, member.generation
    return m


def members_and_offsets_survive(arguments):
    with Open("survive", arguments) as w:
        topic, group, gone = w.topic(), w.group(), w.group()
        a, b, static = w.member(group), w.member(group), w.member(w.group(), instance="s").start(b"mine")
        a.start()
        together(a, b)
        w.commit(gone, topic, {0: 1})
        assert call(w.admin, "delete_groups", 2, groups_names=[gone]).results[0].error_code == NONE
        for round_, kill in enumerate((True, False, True)):
            assert a.commit(topic, {0: round_, 1: 7}) == [NONE, NONE] and b.commit(topic, {2: round_}) == [NONE]
            w.restart(kill)
            a, b, static = again(w, a), again(w, b), again(w, static)
            assert [m.heartbeat() for m in (a, b, static)] == [NONE] * 3, "somebody was put out"
            g = w.describe(group)
            assert (g.group_state, g.protocol_type, g.protocol_data) == ("Stable", "consumer", "range")
            assert {m.member_id: m.member_assignment for m in g.members} == {m.id: m.id.encode() for m in (a, b)}
            assert [(m.client_id, m.client_host, m.member_metadata) for m in g.members] == [("test", "/127.0.0.1", subscription("t"))] * 2
            assert w.committed(group) == {(topic, 0): round_, (topic, 1): 7, (topic, 2): round_}
            assert w.describe(gone).error_code == NOT_FOUND
            assert a.sync().assignment == a.id.encode()
        assert static.sync().assignment == b"mine"
        b.leave()
        assert a.called_back() and a.join().generation_id == 3


def every_acknowledged_commit_survives_kills(arguments, properties=None):
    with Open("kills", arguments, properties) as w:
        topic, group = w.topic(), w.group()
        last = 0
        for _ in range(4):
            stop = threading.Timer(0.3, w.broker.kill)
            stop.start()
            try:
                while True:
                    assert w.commit(group, topic, {0: last + 1}) == [NONE]
                    last += 1
            except (EOFError, OSError):
                pass
            stop.join()
            w.broker.start()
            w.connect()
            found = w.committed(group).get((topic, 0), 0)
            assert found in (last, last + 1), f"{found} is committed, {last} was acknowledged"
            last = found
        assert last > 40, f"only {last} commits"


def commits_are_kept_with_write_caching_too(arguments):
    every_acknowledged_commit_survives_kills(arguments, {"write.caching": "true"})


def a_large_log_is_loaded_while_the_broker_serves(arguments):
    with Open("loading", arguments, {"offsets.topic.num.partitions": "1"}) as w:
        topic = w.topic(1000)
        m = w.member("member", session=600000).start()
        for i in range(MANY // 1000):
            assert set(w.commit(f"group-{i}", topic, {p: i for p in range(1000)})) == {NONE}
        w.broker.kill()
        w.broker.start()
        w.admin = Connection(w.broker.port)
        m = again(w, m)
        fetched = call(w.admin, "offset_fetch", 9, groups=[{"group_id": "group-1", "topics": None}]).groups[0].error_code
        beat, listed, sync = m.heartbeat(), call(w.admin, "list_groups", 5).error_code, m.sync().error_code
        joined = w.member("other", version=3).join().error_code
        stored = commit(w.admin, 9, "other", [{"name": topic, "partitions": [{"partition_index": 0, "committed_offset": 1}]}])
        first = (fetched, beat, listed, sync, joined, stored)
        assert first == (LOADING, NONE, LOADING, REBALANCE, LOADING, [LOADING]), f"while loading: {first}"
        w.find()
        assert m.heartbeat() == NONE
        for i in (0, MANY // 2000, MANY // 1000 - 1):
            assert w.committed(f"group-{i}") == {(topic, p): i for p in range(1000)}


def offsets_expire(arguments):
    settings = {"offsets.retention.minutes": "1", "offsets.retention.check.interval.ms": "200"}
    with Open("expiry", arguments, settings) as w:
        topic, short, plain, active = w.topic(), w.group(), w.group(), w.group()
        m = w.member(active, protocols=(("range", subscription(topic)),)).start()
        assert m.commit(topic, {0: 1}, 4, retention_time_ms=1, group_instance_id=None) == [NONE]
        w.commit(plain, topic, {0: 1})
        w.commit(short, topic, {0: 1, 1: 1}, 2, retention_time_ms=500)
        assert wait_until(lambda: w.committed(short) == {}, 10), "retention_time_ms is over"
        assert wait_until(lambda: w.describe(short).error_code == NOT_FOUND, 10), "a simple group without offsets"
        assert m.heartbeat() == NONE
        assert w.committed(plain) == {(topic, 0): 1} and w.committed(active) == {(topic, 0): 1}, "read, or young"


def a_group_may_be_full(arguments):
    with Open("full", arguments, {"group.max.size": "2"}) as w:
        group = w.group()
        a, b, c = (w.member(group) for _ in range(3))
        a.start()
        together(a, b)
        c.version = 3
        assert c.join().error_code == 81


def a_stop_does_not_wait_for_members(arguments):
    with Open("stop", arguments) as w:
        waiting = []
        for _ in range(20):
            a = w.member(w.group()).start()
            b = w.member(a.group)
            b.join_later()
            c = w.member(w.group())
            c.join()
            d = w.member(c.group)
            waiting += [a, b, c, d]
            assert a.called_back()
        began = time.monotonic()
        w.broker.stop()
        assert time.monotonic() - began < 4, "the stop waited"
        w.broker.start()
        w.connect()
        assert w.describe(waiting[0].group).group_state in ("Stable", "Empty")


def the_first_questions_of_many_clients_make_one_offsets_topic(arguments):
    w = World.__new__(World)
    w.broker, w.count = open_broker("build/tests/group/first", {}, arguments), 0
    with w.broker:
        clients = [Connection(w.broker.port) for _ in range(20)]
        for c in clients:
            send(c, "find_coordinator", 1, key="g")
        assert [take(c, "find_coordinator", 1).error_code for c in clients] == [NONE] * 20
        w.admin = clients[0]
        assert len(call(w.admin, "metadata", 12, topics=[{"name": OFFSETS}]).topics[0].partitions) == 50
        w.member("g").start()


def without_an_offsets_topic_nobody_coordinates(arguments):
    with open_broker("build/tests/group/none", {}, arguments) as broker:
        c = Connection(broker.port)
        assert call(c, "list_groups", 5).groups == []
        assert call(c, "describe_groups", 6, groups=["g"]).groups[0].error_code == NOT_COORDINATOR
        assert call(c, "heartbeat", 4, group_id="g", member_id="m").error_code == NOT_COORDINATOR
        assert call(c, "metadata", 12, topics=[{"name": OFFSETS}]).topics[0].error_code == NONE
        r = call(c, "describe_configs", 4, resources=[{"resource_type": 2, "resource_name": OFFSETS, "configuration_keys": ["cleanup.policy"]}])
        assert r.results[0].configs[0].value == "compact", "made by Metadata"
        assert call(c, "heartbeat", 4, group_id="g", member_id="m").error_code in (UNKNOWN_MEMBER, NONE)


def the_log_of_a_busy_group_stays_short(arguments):
    settings = {"offsets.topic.num.partitions": "1", "offsets.topic.segment.bytes": "1048576", "log.cleaner.backoff.ms": "200"}
    with Open("busy", arguments, settings) as w:
        topic, group = w.topic(100), w.group()
        for i in range(1200):
            assert set(w.commit(group, topic, {p: i for p in range(100)})) == {NONE}
        size = lambda: sum(os.path.getsize(path) for path in glob.glob(f"{w.broker.data}/{OFFSETS}-0/*.log"))
        assert list_offset(w.admin, OFFSETS, 0, LATEST)[1] >= 1200 * 100
        assert wait_until(lambda: size() < 3 << 20, 30, 0.1), f"{size()} bytes are there: it was not compacted"
        w.restart(True)
        assert w.committed(group) == {(topic, p): 1199 for p in range(100)}


CASES = (
    members_and_offsets_survive, every_acknowledged_commit_survives_kills, commits_are_kept_with_write_caching_too,
    a_large_log_is_loaded_while_the_broker_serves, offsets_expire, a_group_may_be_full, a_stop_does_not_wait_for_members,
    the_first_questions_of_many_clients_make_one_offsets_topic, without_an_offsets_topic_nobody_coordinates,
    the_log_of_a_busy_group_stays_short,
)
