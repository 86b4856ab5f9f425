"""Cases: groups and administrators' requests of a size that nobody needs. Each is answered or closed, costs bounded memory that comes
back, and holds nobody else up."""
import collections
import os
import threading

from messages import call, coordinated, frame, take
from harness import resident_mb, wait_until
from wire import *
from wire_txn import Transactional

NONE, UNKNOWN_TOPIC, NOT_AVAILABLE, UNKNOWN_MEMBER, MEMBER_ID_REQUIRED = 0, 3, 15, 25, 79
PENDING_MAX = 10_000  # net/limits.h
SANITIZED = 4 if "ASAN_OPTIONS" in os.environ else 1  # shadows, red zones, and freed memory that is not used again at once
PEAK_MAX_MB = 700 * SANITIZED   # more than before, at the worst moment of a case
STAYS_MAX_MB = 160 * SANITIZED  # and at its end
LOOK_S = 0.02
SHORT = {"session_timeout_ms": 300, "rebalance_timeout_ms": 300, "protocol_type": "consumer"}
ONE = [{"name": "range", "metadata": b"m"}]


class Bounded:
    """Within: the witness works on, what is resident stays bounded, and at the end it is given back."""

    def __init__(self, world):
        self.world, self.over, self.trips, self.failure = world, threading.Event(), 0, None

    def look(self):
        try:
            while not self.over.wait(LOOK_S):  # the requests are made in this process
                self.world.undisturbed()
                self.trips += 1
        except Exception as why:
            self.failure = why

    def __enter__(self):
        with open(f"/proc/{self.world.broker.pid}/clear_refs", "w", encoding="ascii") as refs:
            refs.write("5")  # the peak begins here
        self.before = resident_mb(self.world.broker.pid)
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        back = kind or wait_until(lambda: resident_mb(self.world.broker.pid) - self.before < STAYS_MAX_MB, 30, 0.1)
        self.over.set()
        self.thread.join(60)
        if kind:
            return
        assert self.world.broker.running(), "the broker is gone"
        assert self.failure is None and not self.thread.is_alive(), f"the witness: {self.failure!r}"
        assert self.trips, "the witness was held up all the time"
        peak, stays = (int(resident_mb(self.world.broker.pid, word) - self.before) for word in ("VmHWM", "VmRSS"))
        print(f"    {peak} MB more at the peak, {stays} MB at the end, {self.trips} round trips of the witness", flush=True)
        assert peak < PEAK_MAX_MB, f"{peak} MB more were resident at one time"
        assert back, f"{stays} MB more stay resident"


def attempt(world, api, version, **values):
    """The answer, or None when the connection was closed instead."""
    with Connection(world.port, timeout=60) as c:
        try:
            c.send(frame(api, version, **values))
            return take(c, api, version)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            return None


def offsets_of(world, group):
    r = call(world.admin, "offset_fetch", 9, groups=[{"group_id": group, "topics": None}]).groups[0]
    assert r.error_code == NONE, f"OffsetFetch got {r.error_code}"
    return {(t.name, p.partition_index): p.committed_offset for t in r.topics for p in t.partitions}


def ready(world):
    """There is a coordinator for every group, and a topic of a thousand partitions."""
    if not hasattr(world, "admin"):
        world.admin = Connection(world.port, timeout=60)
        assert create_topic(world.admin, "wide", 1000) == 0
    assert wait_until(lambda: coordinated(world.admin), 20), "there is no coordinator"


def gone(world, *groups):
    """Nobody is left in them."""
    def dead():
        found = call(world.admin, "describe_groups", 5, groups=list(groups)).groups
        return not any(g.members for g in found)
    assert wait_until(dead, 30, 0.1), "members are left"


def group_ids_of_32_kib_are_ids(world):
    ready(world)
    longest, beyond = "g" * 32767, "g" * 40000
    topics = [{"name": "wide", "partitions": [{"partition_index": 0, "committed_offset": 5}]}]
    with Bounded(world):
        for version in (7, 9):
            r = attempt(world, "offset_commit", version, group_id=longest, topics=topics)
            assert r and r.topics[0].partitions[0].error_code == NONE, r
        assert offsets_of(world, longest) == {("wide", 0): 5}
        r = attempt(world, "join_group", 4, group_id=longest, protocols=ONE, **SHORT)
        assert r and r.error_code == MEMBER_ID_REQUIRED
        for api, version in (("offset_commit", 9), ("join_group", 9), ("heartbeat", 4), ("sync_group", 5), ("leave_group", 5)):
            attempt(world, api, version, group_id=beyond)
        attempt(world, "describe_groups", 5, groups=[beyond] * 100)
        attempt(world, "find_coordinator", 4, coordinator_keys=[beyond] * 100)
        r = attempt(world, "delete_groups", 2, groups_names=[longest] * 1000)
        assert r and all(g.error_code == NONE for g in r.results)
        assert offsets_of(world, longest) == {}


def ten_thousand_topics_are_committed_and_fetched(world):
    ready(world)
    parts = [{"partition_index": p, "committed_offset": 1} for p in range(3)]
    with Bounded(world):
        r = attempt(world, "offset_commit", 8, group_id="many", topics=[{"name": f"no-{i}", "partitions": parts} for i in range(10_000)])
        assert r and {p.error_code for t in r.topics for p in t.partitions} == {UNKNOWN_TOPIC} and len(r.topics) == 10_000
        r = attempt(world, "offset_fetch", 9, groups=[{"group_id": "many", "topics": [
            {"name": f"no-{i}", "partition_indexes": [0, 1, 2]} for i in range(10_000)]}])
        assert r and {p.committed_offset for t in r.groups[0].topics for p in t.partitions} == {-1}
        assert sum(len(t.partitions) for t in r.groups[0].topics) == 30_000
        again = [{"partition_index": i % 1000, "committed_offset": i} for i in range(100_000)]
        r = attempt(world, "offset_commit", 8, group_id="many", topics=[{"name": "wide", "partitions": again}])
        assert r is None or len(r.topics[0].partitions) == 100_000
        if r and {p.error_code for p in r.topics[0].partitions} == {NONE}:
            assert offsets_of(world, "many") == {("wide", p): 99_000 + p for p in range(1000)}, "the last of a request stands"


def a_transaction_commits_a_hundred_thousand_offsets(world):
    """All of them count, or the client is told; what names nobody's transaction is refused."""
    ready(world)
    who = Transactional(world.admin, "txn").who()
    parts = [{"partition_index": p, "committed_offset": 1} for p in range(3)]
    with Bounded(world):
        r = attempt(world, "txn_offset_commit", 5, group_id="txn-many", topics=[{"name": f"no-{i}", "partitions": parts} for i in range(10_000)], **who)
        assert r and {p.error_code for t in r.topics for p in t.partitions} == {UNKNOWN_TOPIC} and len(r.topics) == 10_000
        for wrong in ({"producer_id": -1}, {"producer_id": (1 << 63) - 1}, {"producer_id": -1 << 63}, {"producer_epoch": -1}, {"producer_epoch": -32768},
                      {"producer_epoch": 32767}, {"transactional_id": ""}, {"transactional_id": "x" * 32767}):
            for version in (0, 3, 5):
                r = attempt(world, "txn_offset_commit", version, group_id="txn-many", topics=[{"name": "wide", "partitions": parts}], **{**who, **wrong})
                assert r and NONE not in {p.error_code for p in r.topics[0].partitions}, f"version {version}: {wrong} is taken"
        again = [{"partition_index": i % 1000, "committed_offset": i} for i in range(100_000)]
        r = attempt(world, "txn_offset_commit", 5, group_id="txn-many", topics=[{"name": "wide", "partitions": again}], **who)
        assert r is None or len(r.topics[0].partitions) == 100_000
        assert offsets_of(world, "txn-many") == {}, "what is pending is shown"
        ended = call(world.admin, "end_txn", 3, committed=True, **who).error_code
        if r and {p.error_code for p in r.topics[0].partitions} == {NONE}:
            assert ended == NONE, f"EndTxn got {ended}"
            wanted = {("wide", p): 99_000 + p for p in range(1000)}
            assert wait_until(lambda: offsets_of(world, "txn-many") == wanted, 20), "the last of a request counts"


def every_offset_of_a_large_group_is_fetched_whole(world):
    """Ten times in a request: 100,000 offsets. Ten thousand times: more than anybody could send."""
    ready(world)
    names = ["wide"] + [f"wide-{i}" for i in range(9)]
    for name in names[1:]:
        assert create_topic(world.admin, name, 1000) == 0
    text = "m" * 20
    parts = [{"partition_index": p, "committed_offset": p, "committed_metadata": text} for p in range(1000)]
    for name in names:
        r = call(world.admin, "offset_commit", 8, group_id="large", topics=[{"name": name, "partitions": parts}])
        assert {p.error_code for p in r.topics[0].partitions} == {NONE}
    large = {"group_id": "large", "topics": None}
    with Bounded(world):
        for version in (2, 7):
            r = attempt(world, "offset_fetch", version, **large)
            assert sum(len(t.partitions) for t in r.topics) == 10_000, "not all of it"
        r = attempt(world, "offset_fetch", 9, groups=[large] * 10)
        assert [sum(len(t.partitions) for t in g.topics) for g in r.groups] == [10_000] * 10
        r = attempt(world, "offset_fetch", 9, groups=[large] * 10_000)
        assert r is None or all(g.error_code or len(g.topics) == 10 for g in r.groups), "a part of it"
        lazy = [Connection(world.port) for _ in range(20)]  # who asks and does not read
        for c in lazy:
            for _ in range(5):
                c.send(frame("offset_fetch", 9, groups=[large] * 10))
        assert len(offsets_of(world, "large")) == 10_000
        for c in lazy:
            c.close()
    r = call(world.admin, "delete_groups", 2, groups_names=["large"])
    assert r.results[0].error_code == NONE


def a_hundred_thousand_protocols_are_no_member(world):
    ready(world)
    with Bounded(world):
        for count, size in ((100_000, 1), (65, 1), (10_000, 1000), (1, 50 << 20)):
            wanted = [{"name": f"p{i}", "metadata": b"x" * size} for i in range(count)]
            for version in (3, 4, 9):
                r = attempt(world, "join_group", version, group_id="protocols", protocols=wanted, **SHORT)
                assert r is None or r.error_code != NONE, f"{count} protocols of {size} bytes make a member"
        gone(world, "protocols")


def a_hundred_thousand_ids_for_one_group_are_bounded(world):
    ready(world)
    long_lived = {**SHORT, "session_timeout_ms": 1_800_000}  # none of these ids expires meanwhile
    answers = collections.Counter()
    with Bounded(world):
        for group, asked in (("pending", SHORT), ("crowded", long_lived)):
            raw = frame("join_group", 4, group_id=group, protocols=ONE, **asked)
            with Connection(world.port, timeout=60) as c:
                for _ in range(1000):
                    c.send(raw * 100)
                    answers.update((group, take(c, "join_group", 4).error_code) for _ in range(100))
    assert answers["crowded", MEMBER_ID_REQUIRED] == PENDING_MAX, answers
    assert answers["crowded", NOT_AVAILABLE] == 100_000 - PENDING_MAX, answers
    r = attempt(world, "join_group", 3, group_id="crowded", protocols=ONE, **SHORT)
    assert r.error_code == NONE, f"a member that needs no id is refused with {r.error_code}"
    assert wait_until(lambda: "pending" not in [g.group_id for g in call(world.admin, "list_groups", 4).groups], 30, 0.1), "ids are left"


def twenty_thousand_groups_of_members_that_never_come_back_are_forgotten(world):
    ready(world)
    with Bounded(world):
        with Connection(world.port, timeout=60) as c:
            for n in range(200):
                c.send(b"".join(frame("join_group", 4, group_id=f"fleeting-{n}-{i}", protocols=ONE, **SHORT) for i in range(100)))
                codes = {take(c, "join_group", 4).error_code for _ in range(100)}
                assert codes == {MEMBER_ID_REQUIRED}, codes
        assert wait_until(lambda: not [g for g in call(world.admin, "list_groups", 4).groups if g.group_id.startswith("fleeting")], 30, 0.1)


def members_that_join_and_never_sync_go_again(world):
    ready(world)
    raw = frame("join_group", 3, group_id="loop", protocols=[{"name": "range", "metadata": b"x" * 10_000}], **SHORT)
    with Bounded(world):
        for _ in range(2000):
            with Connection(world.port) as c:
                c.send(raw)
        gone(world, "loop")
        crowd = [Connection(world.port, timeout=60) for _ in range(500)]
        for c in crowd:
            c.send(raw)
        joined = {take(c, "join_group", 3).error_code for c in crowd}  # it is somebody's turn: all were members at one time
        assert NONE in joined, joined
        gone(world, "loop")
        for c in crowd:
            c.close()


def assignments_of_megabytes_are_kept_or_refused(world):
    ready(world)
    with Bounded(world):
        for size in (900_000, 5 << 20, 60 << 20):
            with Connection(world.port, timeout=60) as c:
                r = call(c, "join_group", 3, group_id="heavy", session_timeout_ms=60000, rebalance_timeout_ms=300, protocol_type="consumer",
                         protocols=[{"name": "range", "metadata": b"s" * 500_000}])
                assert r.error_code == NONE, f"JoinGroup got {r.error_code}"
                asked = {"group_id": "heavy", "generation_id": r.generation_id, "member_id": r.member_id}
                share = [{"member_id": r.member_id, "assignment": b"a" * size}]
                share += [{"member_id": f"nobody-{i}", "assignment": b"b" * 100} for i in range(100_000)]
                s = attempt(world, "sync_group", 4, assignments=share, **asked)
                assert s is None or s.error_code or len(s.assignment) == size, "a part of the assignment"
                d = attempt(world, "describe_groups", 5, groups=["heavy"] * 10_000)
                assert d is None or len(d.groups) == 10_000
                r = call(c, "leave_group", 2, group_id="heavy", member_id=r.member_id)
                assert r.error_code in (NONE, UNKNOWN_MEMBER), r.error_code
            gone(world, "heavy")


def administration_that_names_everything_ten_thousand_times_is_bounded(world):
    ready(world)
    times = 10_000
    acl = {"resource_type": 2, "resource_name": "t", "principal": "User:a", "host": "*", "operation": 3, "permission_type": 3}
    user = {"entity": [{"entity_type": "user", "entity_name": "nobody"}], "ops": [{"key": "no_such_key", "value": 1.0, "remove": True}] * 10}
    credential = {"mechanism": 1, "iterations": 4096, "salt": b"s", "salted_password": b"p"}
    many = list(range(1000)) * 100
    with Bounded(world):
        for api, version, values in (
                ("create_acls", 3, {"creations": [acl] * times}),
                ("delete_acls", 3, {"filters": [{"resource_type_filter": 2, "operation": 3, "permission_type": 3}] * times}),
                ("elect_leaders", 2, {"topic_partitions": [{"topic": "wide", "partitions": many}]}),
                ("elect_leaders", 2, {"topic_partitions": None}),
                ("alter_partition_reassignments", 1, {"topics": [{"name": "wide", "partitions": [{"partition_index": p, "replicas": [1, 2]} for p in many]}]}),
                ("alter_replica_log_dirs", 2, {"dirs": [{"path": "/nowhere", "topics": [{"name": "wide", "partitions": many}]}]}),
                ("describe_quorum", 2, {"topics": [{"topic_name": "none", "partitions": [{"partition_index": p} for p in many]}]}),
                ("alter_client_quotas", 1, {"entries": [user] * times}),
                ("describe_client_quotas", 1, {"components": [{"entity_type": "user", "match_type": 2, "match": None}] * times}),
                ("alter_user_scram_credentials", 0, {"deletions": [{"name": f"u{i}", "mechanism": 1} for i in range(times)],
                                                     "upsertions": [{"name": "twice", **credential}] * times}),
                ("describe_user_scram_credentials", 0, {"users": [{"name": f"u{i}"} for i in range(times)]}),
                ("update_features", 2, {"feature_updates": [{"feature": "metadata.version", "max_version_level": 30}] * times}),
                ("list_config_resources", 1, {"resource_types": [2, 4, 8, 16, 32] * times}),
                ("describe_configs", 4, {"resources": [{"resource_type": 32, "resource_name": "g"}] * times, "include_synonyms": 1})):
            attempt(world, api, version, **values)
            assert world.broker.running(), f"the broker is gone after {api}"


def requests_that_name_everything_ten_thousand_times_are_bounded(world):
    ready(world)
    broker = {"resource_type": 4, "resource_name": "1"}
    wide = {"resource_type": 2, "resource_name": "wide"}
    times = 10_000
    with Bounded(world):
        for api, version, values in (
                ("describe_configs", 4, {"resources": [broker] * times, "include_synonyms": 1, "include_documentation": 1}),
                ("describe_configs", 1, {"resources": [wide] * times}),
                ("incremental_alter_configs", 1, {"resources": [{**wide, "configs": [{"name": "retention.ms", "config_operation": 0, "value": "1"}]}] * times}),
                ("alter_configs", 2, {"resources": [{**wide, "configs": [{"name": "no.such", "value": "1"}] * 10}] * times}),
                ("create_partitions", 3, {"topics": [{"name": "wide", "count": 1, "assignments": None}] * times, "timeout_ms": 1000}),
                ("create_partitions", 3, {"topics": [{"name": "wide", "count": 1001, "assignments": [{"broker_ids": [1] * times}] * 100}], "timeout_ms": 1000}),
                ("create_partitions", 3, {"topics": [{"name": "wide", "count": (1 << 31) - 1, "assignments": None}], "timeout_ms": 1000}),
                ("delete_records", 2, {"topics": [{"name": "wide", "partitions": [{"partition_index": p % 2000, "offset": -1} for p in range(times * 10)]}], "timeout_ms": 1000}),
                ("describe_log_dirs", 4, {"topics": [{"topic": "wide", "partitions": list(range(1000))}] * 100}),
                ("list_groups", 5, {"states_filter": ["Stable"] * times, "types_filter": ["x"] * times}),
                ("describe_groups", 6, {"groups": [f"none-{i}" for i in range(times * 10)]}),
                ("delete_groups", 2, {"groups_names": [f"none-{i}" for i in range(times * 10)]}),
                ("find_coordinator", 6, {"coordinator_keys": [f"none-{i}" for i in range(times * 10)]}),
                ("offset_delete", 0, {"group_id": "none", "topics": [{"name": "wide", "partitions": [{"partition_index": i} for i in range(times)]}] * 10}),
                ("leave_group", 5, {"group_id": "none", "members": [{"member_id": f"m{i}"} for i in range(times * 10)]})):
            attempt(world, api, version, **values)
            assert world.broker.running(), f"the broker is gone after {api}"


CASES = (
    group_ids_of_32_kib_are_ids, ten_thousand_topics_are_committed_and_fetched,
    a_transaction_commits_a_hundred_thousand_offsets, every_offset_of_a_large_group_is_fetched_whole,
    a_hundred_thousand_protocols_are_no_member, a_hundred_thousand_ids_for_one_group_are_bounded,
    twenty_thousand_groups_of_members_that_never_come_back_are_forgotten, members_that_join_and_never_sync_go_again,
    assignments_of_megabytes_are_kept_or_refused, administration_that_names_everything_ten_thousand_times_is_bounded,
    requests_that_name_everything_ten_thousand_times_are_bounded,
)
