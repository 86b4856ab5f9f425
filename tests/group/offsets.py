"""Cases: offsets are committed, fetched, deleted; they go with their topics."""
import struct
import time

from members import *
from messages import call, versions
from harness import wait_until

ZERO = bytes(16)


def every_version_commits_and_fetches(w):
    topic = w.topic()
    ident = w.topic_id(topic)
    for version in versions("offset_commit"):
        group = w.group()
        m = w.member(group).start()
        parts = [{"partition_index": 2, "committed_offset": 100 + version, "committed_leader_epoch": 3, "committed_metadata": "note"},
                 {"partition_index": 1, "committed_offset": version, "committed_metadata": None}]
        r = call(m.connection, "offset_commit", version, group_id=group, member_id=m.id, generation_id_or_member_epoch=1,
                 topics=[{"name": topic, "topic_id": ident, "partitions": parts}])
        assert [(t.name, t.topic_id) for t in r.topics] == [(topic, ZERO) if version < 10 else ("", ident)]
        assert [(p.partition_index, p.error_code) for p in r.topics[0].partitions] == [(2, NONE), (1, NONE)]
        epoch = 3 if version >= 6 else -1
        for asked in versions("offset_fetch"):
            check_fetch(w, asked, group, topic, ident, {2: (100 + version, epoch, "note"), 1: (version, -1, ""), 0: (-1, -1, "")})
        m.close()


def check_fetch(w, version, group, topic, ident, expected):
    """Each version shows these partitions when they are named, and those with an offset when all are asked for."""
    named = {"name": topic, "partition_indexes": list(expected), **({"topic_id": ident} if version >= 8 else {})}
    for topics in ([named], None) if version >= 2 else ([named],):
        asked = {"group_id": group, "topics": topics}
        r = call(w.admin, "offset_fetch", version, require_stable=version >= 7, **(asked if version < 8 else {"groups": [asked]}))
        answer = r if version < 8 else r.groups[0]
        assert answer.error_code == NONE
        assert [(t.name, t.get("topic_id", ZERO)) for t in answer.topics] == [(topic, ZERO) if version < 10 else ("", ident)]
        found = {p.partition_index: (p.committed_offset, p.committed_leader_epoch, p.metadata) for p in answer.topics[0].partitions}
        wanted = {i: (o, e if version >= 5 else -1, m) for i, (o, e, m) in expected.items() if topics or o >= 0}
        assert found == wanted, f"version {version}: {found}, not {wanted}"
        assert all(p.error_code == NONE for p in answer.topics[0].partitions)


def an_unknown_group_has_committed_nothing(w):
    topic = w.topic()
    r = call(w.admin, "offset_fetch", 9, groups=[{"group_id": "nobody", "topics": None},
                                                 {"group_id": "", "topics": [{"name": topic, "partition_indexes": [0]}]}])
    assert [g.group_id for g in r.groups] == ["nobody", ""] and [g.error_code for g in r.groups] == [NONE, NONE]
    assert r.groups[0].topics == [] and r.groups[1].topics[0].partitions[0].committed_offset == -1


def many_groups_are_fetched_in_one_request(w):
    topic, groups = w.topic(), [w.group() for _ in range(40)]
    for i, group in enumerate(groups):
        assert w.commit(group, topic, {0: i, 1: i + 1}) == [NONE, NONE]
    r = call(w.admin, "offset_fetch", 8, groups=[{"group_id": g, "topics": None} for g in groups])
    assert [g.group_id for g in r.groups] == groups
    assert [sorted(p.committed_offset for p in g.topics[0].partitions) for g in r.groups] == [[i, i + 1] for i in range(40)]


def who_has_no_generation_commits_only_to_a_group_without_members(w):
    topic, group = w.topic(), w.group()
    assert w.commit(group, topic, {0: 5}) == [NONE]
    assert w.describe(group).group_state == "Empty" and w.describe(group).protocol_type == ""
    assert w.commit("", topic, {0: 6}) == [NONE] and w.committed("") [(topic, 0)] == 6
    m = w.member(group).start()
    assert w.commit(group, topic, {0: 7}) == [UNKNOWN_MEMBER]
    assert m.commit(topic, {0: 8}) == [NONE] and w.committed(group) == {(topic, 0): 8}


def commits_are_checked_as_kafka_checks_them(w):
    topic, group = w.topic(), w.group()
    for version, error in ((8, ILLEGAL_GENERATION), (9, NOT_FOUND)):
        assert w.commit(group, topic, {0: 1}, version, generation_id_or_member_epoch=1, member_id="m") == [error]
    m = w.member(group).start()
    assert m.commit(topic, {0: 1}, generation_id_or_member_epoch=2) == [ILLEGAL_GENERATION]
    assert m.commit(topic, {0: 1}, member_id="nobody") == [UNKNOWN_MEMBER]
    other = w.member(group)
    other.join_later()
    assert m.called_back()
    assert m.commit(topic, {0: 1}) == [NONE], "while the group prepares a rebalance"
    m.join(), other.take_join()
    assert m.commit(topic, {0: 1}) == [REBALANCE], "while the leader assigns"


def a_partition_that_is_not_there_fails_alone(w):
    topic, group = w.topic(2), w.group()
    parts = [{"partition_index": p, "committed_offset": 1} for p in (0, 2, -1, 1)]
    topics = [{"name": "no topic", "partitions": parts[:1]}, {"name": topic, "partitions": parts}]
    assert commit(w.admin, 9, group, topics) == [UNKNOWN_TOPIC, NONE, UNKNOWN_TOPIC, UNKNOWN_TOPIC, NONE]
    assert w.committed(group) == {(topic, 0): 1, (topic, 1): 1}
    topics = [{"topic_id": b"x" * 16, "partitions": parts[:1]}, {"topic_id": w.topic_id(topic), "partitions": parts[:2]}]
    assert commit(w.admin, 10, group, topics) == [UNKNOWN_TOPIC_ID, NONE, UNKNOWN_TOPIC]
    r = call(w.admin, "offset_fetch", 10, groups=[{"group_id": group, "topics": [{"topic_id": b"x" * 16, "partition_indexes": [0]}]}])
    assert [(p.error_code, p.committed_offset) for p in r.groups[0].topics[0].partitions] == [(UNKNOWN_TOPIC_ID, -1)]


def long_metadata_is_refused(w):
    topic, group = w.topic(), w.group()
    texts = {0: "x" * 4096, 1: "x" * 4097, 2: "\u00e4" * 4096, 3: "\U0001f600" * 2049}
    parts = [{"partition_index": i, "committed_offset": 1, "committed_metadata": t} for i, t in texts.items()]
    assert commit(w.admin, 9, group, [{"name": topic, "partitions": parts}]) == [NONE, METADATA_TOO_LARGE, NONE, METADATA_TOO_LARGE]


def offsets_are_deleted_unless_a_member_reads_the_topic(w):
    topic, group = w.topic(), w.group()
    m = w.member(group, protocols=(("range", subscription(topic)),)).start()
    assert m.commit(topic, {0: 1, 1: 2}) == [NONE, NONE]

    def delete(name, partitions, asked=group):
        parts = [{"partition_index": p} for p in partitions]
        r = call(w.admin, "offset_delete", 0, group_id=asked, topics=[{"name": name, "partitions": parts}])
        return r.error_code, [p.error_code for t in r.topics for p in t.partitions]
    assert delete(topic, [0]) == (NONE, [SUBSCRIBED])
    assert delete("no topic", [0]) == (NONE, [UNKNOWN_TOPIC])
    assert delete(topic, [0], "nobody") == (NOT_FOUND, []) and delete(topic, [0], "") == (INVALID_GROUP, [])
    assert m.leave() == NONE
    assert delete(topic, [0, 9, 3]) == (NONE, [NONE, UNKNOWN_TOPIC, NONE])
    assert w.committed(group) == {(topic, 1): 2}
    other = w.group()
    m = w.member(other, kind="connect").start()
    assert m.commit(topic, {0: 1}) == [NONE] and delete(topic, [0], other) == (NON_EMPTY, [])


def offsets_go_with_their_topic(w):
    topic, other, groups = w.topic(), w.topic(), [w.group() for _ in range(20)]
    for group in groups:
        assert w.commit(group, topic, {0: 3, 1: 4}) == w.commit(group, other, {0: 3, 1: 4}) == [NONE, NONE]
    r = call(w.admin, "delete_topics", 5, topic_names=[topic], timeout_ms=10000)
    assert r.responses[0].error_code == NONE
    assert create_topic(w.admin, topic, 4) == NONE

    def gone():
        return all(w.committed(g) == {(other, 0): 3, (other, 1): 4} for g in groups)
    assert wait_until(gone, 10), "offsets of the deleted topic are left"
    assert w.commit(groups[0], topic, {0: 1}) == [NONE]
    assert w.committed(groups[0])[(topic, 0)] == 1


def a_commit_is_a_sign_of_life(w):
    topic = w.topic()
    m = w.member(w.group(), session=600).start()
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert m.commit(topic, {0: 1}) == [NONE]
        time.sleep(0.05)


def java_hash(text):
    h = 0
    raw = text.encode("utf-16-be")
    for unit in struct.unpack(f">{len(raw) // 2}H", raw):
        h = h * 31 + unit & 0xFFFFFFFF
    h = abs(h - (1 << 32) if h >> 31 else h)
    return 0 if h >> 31 else h


def a_group_is_kept_in_the_partition_that_kafka_would_choose(w):
    topic = w.topic()
    for group in ("a", "plain-group", "gr\u00fcn", "\U0001f600 face", "polygenelubricants", "Ey7M", "x" * 300):
        assert w.commit(group, topic, {3: 77}) == [NONE]
        partition = java_hash(group) % 8
        _, _, records = fetched(w.admin, OFFSETS, partition, 0)
        assert string(group) + string(topic) in records, f"{group} is not in partition {partition}"


def the_offsets_topic_is_as_kafka_makes_it(w):
    t = call(w.admin, "metadata", 12, topics=[{"name": OFFSETS}]).topics[0]
    assert t.is_internal and len(t.partitions) == 8
    r = call(w.admin, "describe_configs", 4, resources=[{"resource_type": 2, "resource_name": OFFSETS, "configuration_keys": None}])
    found = {c.name: c.value for c in r.results[0].configs}
    assert (found["cleanup.policy"], found["compression.type"], found["segment.bytes"]) == ("compact", "producer", "104857600")


def the_offsets_topic_cannot_be_deleted(w):
    """Kafka would delete it, and every group with it."""
    r = call(w.admin, "delete_topics", 5, topic_names=[OFFSETS], timeout_ms=10000)
    assert r.responses[0].error_code == INVALID_TOPIC


CASES = (
    every_version_commits_and_fetches, an_unknown_group_has_committed_nothing, many_groups_are_fetched_in_one_request,
    who_has_no_generation_commits_only_to_a_group_without_members, commits_are_checked_as_kafka_checks_them,
    a_partition_that_is_not_there_fails_alone, long_metadata_is_refused, offsets_are_deleted_unless_a_member_reads_the_topic,
    offsets_go_with_their_topic, a_commit_is_a_sign_of_life, a_group_is_kept_in_the_partition_that_kafka_would_choose,
    the_offsets_topic_is_as_kafka_makes_it, the_offsets_topic_cannot_be_deleted,
)
