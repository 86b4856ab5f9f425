"""Cases: members join, sync, beat, leave, fall silent, come back."""
import random
import time

from members import *
from messages import call, versions
from harness import wait_until


def every_version_joins_syncs_beats_and_leaves(w):
    for version in versions("join_group"):
        m = w.member(w.group(), version=version).start(b"assigned %d" % version)
        assert m.id.startswith("test-") and len(m.id) == len("test-") + 36, m.id
        assert m.generation == 1 and m.heartbeat() == NONE
        assert m.leave() == NONE and m.heartbeat() == UNKNOWN_MEMBER
        m.close()


def a_second_member_starts_a_rebalance_that_both_finish(w):
    group = w.group()
    a, b = w.member(group).start(), w.member(group)
    b.join_later()
    assert a.called_back()
    a.send_join()
    first, second = a.take_join(), b.take_join()
    assert (first.generation_id, second.generation_id) == (2, 2)
    assert first.leader == second.leader == a.id and first.protocol_name == "range" and first.protocol_type == "consumer"
    assert [m.member_id for m in first.members] == [a.id, b.id] and second.members == []
    assert first.members[1].metadata == subscription("t")
    b.send_sync()
    assert a.sync({a.id: b"one", b.id: b"two"}).assignment == b"one"
    answer = b.take_sync()
    assert (answer.error_code, answer.assignment) == (NONE, b"two")
    assert a.heartbeat() == b.heartbeat() == NONE


def a_member_that_leaves_starts_a_rebalance(w):
    group = w.group()
    a, b = w.member(group), w.member(group)
    a.start()
    together(a, b)
    assert b.leave() == NONE
    assert a.called_back()
    a.join()
    assert a.sync({a.id: b"back"}).assignment == b"back" and a.generation == 3


def a_protocol_that_all_know_is_chosen(w):
    group, one, two = w.group(), ("one", b"1"), ("two", b"2")
    a = w.member(group, protocols=(one, two), kind="any type").start()
    b = w.member(group, protocols=(two,), kind="any type")
    b.join_later()
    assert a.called_back()
    answer = a.join()
    assert answer.protocol_name == "two" and [m.metadata for m in answer.members] == [b"2", b"2"]
    other = w.member(group, protocols=(("three", b""),), kind="any type")
    other.version = 3
    assert other.join().error_code == INCONSISTENT_PROTOCOL
    other = w.member(group, protocols=(one, two), kind="another type")
    other.version = 3
    assert other.join().error_code == INCONSISTENT_PROTOCOL


def wrong_ids_and_times_are_refused(w):
    m = w.member(w.group()).start()
    assert m.heartbeat(generation_id=7) == ILLEGAL_GENERATION
    assert m.heartbeat(member_id="nobody") == UNKNOWN_MEMBER
    assert m.heartbeat(group_id="no group") == UNKNOWN_MEMBER
    assert m.heartbeat(group_id="") == INVALID_GROUP
    for session in (99, 1800001):
        for version in (3, 6, 7):
            r = w.member(m.group, session=session, version=version, instance="i" if version > 4 else None).join()
            assert (r.error_code, r.protocol_name, r.protocol_type) == (BAD_SESSION, None if version >= 7 else "", None)
    for group, error in ((m.group, UNKNOWN_MEMBER), ("no group", UNKNOWN_MEMBER), ("", INVALID_GROUP)):
        bad = w.member(group, version=3)
        bad.id = "stranger"
        bad.send_join()
        assert bad.take_join().error_code == error
        bad.generation = 1
        assert bad.sync().error_code == error
        assert bad.leave() == error
        assert call(bad.connection, "leave_group", 0, group_id=group, member_id="stranger").error_code == error
    m.generation = 9
    assert m.sync().error_code == ILLEGAL_GENERATION
    r = call(m.connection, "sync_group", 5, group_id=m.group, generation_id=1, member_id=m.id)
    assert r.error_code == INCONSISTENT_PROTOCOL, "SyncGroup v5 without the protocol"


def several_members_leave_at_once_with_an_answer_each(w):
    group = w.group()
    a, b = w.member(group, instance="i1"), w.member(group, instance="i2")
    a.start()
    together(a, b)
    who = [{"member_id": "", "group_instance_id": "i2"}, {"member_id": a.id, "group_instance_id": "i1"},
           {"member_id": "nobody"}, {"member_id": "", "group_instance_id": "nobody"}]
    r = call(w.admin, "leave_group", 5, group_id=group, members=who)
    assert r.error_code == NONE
    assert [m.error_code for m in r.members] == [NONE, NONE, UNKNOWN_MEMBER, UNKNOWN_MEMBER]
    assert [m.group_instance_id for m in r.members] == ["i2", "i1", None, "nobody"]
    assert w.describe(group).group_state == "Empty"


def a_dynamic_member_without_an_id_is_given_one_first(w):
    m = w.member(w.group(), version=4, client="client")
    m.send_join()
    r = m.take_join()
    assert r.error_code == ID_REQUIRED and r.member_id.startswith("client-") and r.generation_id == -1
    m.send_join()
    assert m.take_join().error_code == NONE


def a_static_member_comes_back_without_a_rebalance(w):
    group = w.group()
    a, b = w.member(group, instance="a"), w.member(group, instance="b")
    a.start()
    together(a, b)
    generation, old = b.generation, b.id
    again = w.member(group, instance="b")
    r = again.join()
    assert r.error_code == NONE and again.id != old and again.id.startswith("b-") and again.generation == generation
    assert again.sync().assignment == old.encode()
    assert a.heartbeat() == NONE, "the others noticed"
    assert b.heartbeat() == FENCED and b.sync().error_code == FENCED and b.leave() == FENCED
    b.send_join()
    assert b.take_join().error_code == FENCED
    assert b.commit(w.topic(), {0: 1}) == [FENCED]
    leader = w.member(group, instance="a")
    r = leader.join()
    assert r.skip_assignment and r.leader == leader.id and len(r.members) == 2, "KIP-814"


def a_silent_member_is_put_out_after_its_session(w):
    group = w.group()
    a, b = w.member(group), w.member(group, session=400)
    a.start()
    together(a, b)
    assert a.called_back(), "nobody was put out"
    r = a.join()
    assert [m.member_id for m in r.members] == [a.id]
    assert b.heartbeat() == UNKNOWN_MEMBER


def a_member_that_does_not_join_again_is_put_out_after_the_rebalance_time(w):
    group = w.group()
    a, b = w.member(group, rebalance=500), w.member(group, rebalance=500)
    a.start()
    b.join_later()
    r = b.take_join()
    assert [m.member_id for m in r.members] == [b.id] and b.generation == 2
    assert a.heartbeat() == UNKNOWN_MEMBER


def a_member_that_does_not_sync_is_put_out(w):
    group = w.group()
    a, b = w.member(group, rebalance=500), w.member(group, rebalance=500)
    a.start()
    b.join_later()
    assert a.called_back()
    a.send_join()
    a.take_join(), b.take_join()
    b.send_sync()
    assert wait_until(lambda: a.heartbeat() != NONE, 10)
    assert b.take_sync().error_code in (REBALANCE, UNKNOWN_MEMBER)


def a_waiting_member_whose_connection_closes_does_not_hold_the_others_up_for_ever(w):
    group = w.group()
    a, b = w.member(group).start(), w.member(group, session=500)
    b.join_later()
    assert a.called_back()
    b.close()
    r = a.join()
    assert r.error_code == NONE
    a.sync({a.id: b""})

    def alone():
        if a.heartbeat() == REBALANCE:
            a.join(), a.sync({a.id: b""})
        return [m.member_id for m in w.describe(group).members] == [a.id]
    assert wait_until(alone, 10), "it is still a member"


def a_hundred_waiting_members_that_vanish_leave_nothing(w):
    group = w.group()
    a = w.member(group, rebalance=60000).start()
    guests = [w.member(group, session=300) for _ in range(100)]
    for g in guests:
        g.join_later()
    assert a.called_back()
    for g in guests:
        g.close()

    def alone():
        if a.heartbeat() == REBALANCE:
            a.join(), a.sync({a.id: b""})
        return len(w.describe(group).members) == 1
    assert wait_until(alone, 20), f"{len(w.describe(group).members)} members are left"


def connections_may_close_at_any_moment(w):
    """An answer and the news that nobody waits for it cross on their ways between shards."""
    chance = random.Random(7)
    groups = [w.group() for _ in range(4)]
    topic = w.topic()
    for i in range(600):
        m = w.member(groups[i % 4], version=3, session=200, rebalance=300, instance=None)
        m.send_join()
        if chance.random() < 0.5:
            time.sleep(chance.random() * 0.003)
        if chance.random() < 0.3:
            m.generation = i % 5
            m.send_sync({"": b"x" * 2000})
        m.close()
    m = w.member(groups[0])
    assert m.join().error_code == NONE and m.commit(topic, {0: 1}) == [REBALANCE]
    assert wait_until(lambda: len(w.describe(groups[1]).members) == 0, 20), "members without connections are left"


def what_stands_behind_a_waiting_join_is_answered_after_it(w):
    group = w.group()
    a, b = w.member(group).start(), w.member(group)
    b.join_later()
    send(b.connection, "heartbeat", 4, group_id=group, generation_id=2, member_id=b.id)
    assert a.called_back()
    a.send_join()
    assert b.take_join().error_code == NONE
    assert take(b.connection, "heartbeat", 4).error_code == NONE


CASES = (
    every_version_joins_syncs_beats_and_leaves, a_second_member_starts_a_rebalance_that_both_finish,
    a_member_that_leaves_starts_a_rebalance, a_protocol_that_all_know_is_chosen, wrong_ids_and_times_are_refused,
    several_members_leave_at_once_with_an_answer_each, a_dynamic_member_without_an_id_is_given_one_first,
    a_static_member_comes_back_without_a_rebalance, a_silent_member_is_put_out_after_its_session,
    a_member_that_does_not_join_again_is_put_out_after_the_rebalance_time, a_member_that_does_not_sync_is_put_out,
    a_waiting_member_whose_connection_closes_does_not_hold_the_others_up_for_ever,
    a_hundred_waiting_members_that_vanish_leave_nothing, connections_may_close_at_any_moment, what_stands_behind_a_waiting_join_is_answered_after_it,
)
