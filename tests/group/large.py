"""Cases: requests that take the broker many turns are answered whole, and others are served meanwhile."""
import time

from members import *
from messages import call, frame, take

PARTITIONS, GROUPS, LEAVERS, JOINERS = 2500, 1200, 5000, 1500


def many_offsets_are_committed_fetched_and_deleted_at_once(w):
    topic, group = w.topic(PARTITIONS), w.group()
    every = range(PARTITIONS)
    parts = [{"partition_index": p, "committed_offset": 7 * p, "committed_metadata": f"note {p}"} for p in every]
    unknown = [{"partition_index": p, "committed_offset": 1} for p in (PARTITIONS, -1)]
    errors = commit(w.admin, 9, group, [{"name": topic, "partitions": parts + unknown}, {"name": "nowhere", "partitions": parts}])
    assert errors == [NONE] * PARTITIONS + [UNKNOWN_TOPIC] * (2 + PARTITIONS)
    assert w.committed(group) == {(topic, p): 7 * p for p in every}
    for version in (1, 7, 9):
        asked = {"group_id": group, "topics": [{"name": topic, "partition_indexes": list(every)}]}
        r = call(w.admin, "offset_fetch", version, **(asked if version < 8 else {"groups": [asked]}))
        found = (r if version < 8 else r.groups[0]).topics[0].partitions
        assert [(p.partition_index, p.committed_offset, p.metadata) for p in found] == [(p, 7 * p, f"note {p}") for p in every]
    kept = PARTITIONS - 3
    r = call(w.admin, "offset_delete", 0, group_id=group,
             topics=[{"name": topic, "partitions": [{"partition_index": p} for p in range(kept)]}, {"name": "nowhere", "partitions": []}])
    assert r.error_code == NONE and {p.error_code for p in r.topics[0].partitions} == {NONE} and len(r.topics[0].partitions) == kept
    assert w.committed(group) == {(topic, p): 7 * p for p in range(kept, PARTITIONS)}


def many_groups_are_listed_described_and_deleted_at_once(w):
    topic, groups = w.topic(), [w.group() for _ in range(GROUPS)]
    member = w.member(groups[0]).start()
    for group in groups[1:]:
        w.admin.send(frame("offset_commit", 9, group_id=group, generation_id_or_member_epoch=-1, member_id="",
                           topics=[{"name": topic, "partitions": [{"partition_index": 0, "committed_offset": 5}]}]))
    for _ in groups[1:]:
        assert take(w.admin, "offset_commit", 9).topics[0].partitions[0].error_code == NONE
    listed = {g.group_id: g.group_state for g in call(w.admin, "list_groups", 5).groups}
    assert {g: listed.get(g) for g in groups} == {g: "Stable" if g == groups[0] else "Empty" for g in groups}
    only = [g.group_id for g in call(w.admin, "list_groups", 5, states_filter=[" stable "] * 1000, types_filter=["CLASSIC"]).groups]
    assert groups[0] in only and not set(groups[1:]) & set(only)
    described = call(w.admin, "describe_groups", 6, groups=groups + ["nobody"]).groups
    assert [(g.group_id, g.group_state, len(g.members)) for g in described] == \
        [(g, "Empty" if g != groups[0] else "Stable", int(g == groups[0])) for g in groups] + [("nobody", "Dead", 0)]
    fetched = call(w.admin, "offset_fetch", 9, groups=[{"group_id": g, "topics": None} for g in groups]).groups
    assert [(g.group_id, [p.committed_offset for t in g.topics for p in t.partitions]) for g in fetched] == \
        [(g, [5] if g != groups[0] else []) for g in groups]
    deleted = call(w.admin, "delete_groups", 2, groups_names=groups + [groups[1], "nobody"]).results
    assert [(r.group_id, r.error_code) for r in deleted] == \
        [(groups[0], NON_EMPTY)] + [(g, NONE) for g in groups[1:]] + [("nobody", NOT_FOUND)]
    assert not set(groups[1:]) & {g.group_id for g in call(w.admin, "list_groups", 5).groups}
    member.close()


def thousands_leave_at_once(w):
    group = w.group()
    members = [w.member(group, rebalance=2000) for _ in range(3)]
    members[0].start()
    together(*members[:2])
    together(*members)
    ids = [members[0].id, *(f"nobody {i}" for i in range(LEAVERS)), members[1].id, members[0].id]
    r = call(w.admin, "leave_group", 5, group_id=group, members=[{"member_id": i} for i in ids])
    assert r.error_code == NONE and [m.member_id for m in r.members] == ids
    assert [m.error_code for m in r.members] == [NONE] + [UNKNOWN_MEMBER] * LEAVERS + [NONE, UNKNOWN_MEMBER]
    assert [m.member_id for m in w.describe(group).members] == [members[2].id]
    for m in members:
        m.close()


def a_leader_is_told_of_thousands(w):
    """In steps. The others are static members whose connections are gone: they stay."""
    group, said = w.group(), bytes(range(256)) * 4
    leader = w.member(group, instance="leader", rebalance=3000, protocols=(("range", said),))
    leader.start()
    for i in range(JOINERS):
        other = w.member(group, instance=f"i{i}", rebalance=3000, protocols=(("range", said + str(i).encode()),))
        other.send_join()
        if i % 50 == 49:
            time.sleep(0.02)  # let them be read
        other.connection.close()
    r = leader.join()
    told = {m.group_instance_id: m.metadata for m in r.members}
    assert r.error_code == NONE and r.leader == leader.id and len(r.members) == len(told)
    assert len(told) > JOINERS // 2, f"{len(told)} are told of"
    assert told.pop("leader") == said and all(m == said + n[1:].encode() for n, m in told.items())
    leader.close()


CASES = (many_offsets_are_committed_fetched_and_deleted_at_once, many_groups_are_listed_described_and_deleted_at_once,
         thousands_leave_at_once, a_leader_is_told_of_thousands)
