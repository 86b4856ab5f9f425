"""Cases: FindCoordinator, DescribeGroups, ListGroups, DeleteGroups."""
from members import *
from messages import call, versions

OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
INVALID_REQUEST = 42


def every_version_finds_this_broker(w):
    for version in versions("find_coordinator"):
        r = call(w.admin, "find_coordinator", version, key="g", coordinator_keys=["g", ""])
        found = [r] if version < 4 else r.coordinators
        assert [(c.error_code, c.node_id, c.host, c.port) for c in found] == [(NONE, 1, "localhost", w.broker.port)] * len(found)
        assert version < 4 or [c.key for c in found] == ["g", ""]
        if version >= 1:
            there, none = ("localhost", w.broker.port), ("", -1)
            for kind, error, node, address in ((1, NONE, 1, there), (2, INVALID_REQUEST, -1, none), (9, INVALID_REQUEST, -1, none)):
                r = call(w.admin, "find_coordinator", version, key="g", key_type=kind, coordinator_keys=["g"])
                c = r if version < 4 else r.coordinators[0]
                assert (c.error_code, c.node_id, (c.host, c.port)) == (error, node, address)


def every_version_describes_groups(w):
    group = w.group()
    m = w.member(group, instance="inst", client="cli").start(b"share")
    for version in versions("describe_groups"):
        r = call(w.admin, "describe_groups", version, groups=[group, "nobody"], include_authorized_operations=True)
        g, none = r.groups
        assert (g.error_code, g.group_id, g.group_state, g.protocol_type, g.protocol_data) == (NONE, group, "Stable", "consumer", "range")
        assert len(g.members) == 1
        d = g.members[0]
        assert (d.member_id, d.client_id, d.client_host) == (m.id, "cli", "/127.0.0.1")
        assert d.group_instance_id == ("inst" if version >= 4 else None)
        assert (d.member_metadata, d.member_assignment) == (subscription("t"), b"share")
        assert g.authorized_operations == (OPERATIONS if version >= 3 else -(1 << 31))
        assert (none.group_state, none.members) == ("Dead", [])
        assert (none.error_code, none.error_message) == ((NOT_FOUND, "Group nobody not found.") if version >= 6 else (NONE, None))
    assert w.describe(group).authorized_operations == -(1 << 31), "nobody asked"


def host_shown(w, host):
    group = w.group()
    with Connection(w.broker.port, host) as c:
        r = call(c, "join_group", 3, group_id=group, session_timeout_ms=30000, rebalance_timeout_ms=1000, protocol_type="consumer",
                 protocols=[{"name": "range", "metadata": b""}])
        assert r.error_code == NONE
        return w.describe(group).members[0].client_host


def hosts_are_printed_as_java_does(w):
    assert host_shown(w, "127.0.0.1") == "/127.0.0.1"


def hosts_of_ipv6_are_printed_with_all_their_zeros(w):
    need_ipv6()
    assert host_shown(w, "::1") == "/0:0:0:0:0:0:0:1"


def a_group_is_described_in_each_state(w):
    group = w.group()
    m = w.member(group)
    m.get_id()
    assert w.describe(group).group_state == "Empty"
    m.join()
    assert w.describe(group).group_state == "CompletingRebalance"
    m.sync({m.id: b""})
    assert w.describe(group).group_state == "Stable"
    other = w.member(group)
    other.join_later()
    assert m.called_back()
    g = w.describe(group)
    assert g.group_state == "PreparingRebalance" and g.protocol_data == "" and [d.member_metadata for d in g.members] == [b"", b""]
    other.close()
    m.leave()


def every_version_lists_groups_and_filters_them(w):
    stable, empty, simple = w.group(), w.group(), w.group()
    w.member(stable, kind="some").start()
    w.member(empty).start().leave()
    w.commit(simple, w.topic(), {0: 1})
    for version in versions("list_groups"):
        found = {g.group_id: g for g in call(w.admin, "list_groups", version).groups}
        assert {stable, empty, simple} <= set(found)
        assert [found[g].protocol_type for g in (stable, empty, simple)] == ["some", "consumer", ""]
        assert [found[g].group_state for g in (stable, empty)] == (["Stable", "Empty"] if version >= 4 else ["", ""])
        assert found[stable].group_type == ("classic" if version >= 5 else "")

    def listed(states=(), types=()):
        r = call(w.admin, "list_groups", 5, states_filter=list(states), types_filter=list(types))
        return {g.group_id for g in r.groups} & {stable, empty, simple}
    assert listed(["Stable"]) == listed([" sTABLE "]) == {stable} and listed(["Empty"]) == {empty, simple}
    assert listed(["Stable", "Empty"], ["Classic"]) == {stable, empty, simple}
    assert listed(["No state"]) == listed([], ["consumer"]) == listed([], ["no type"]) == set()


def groups_without_members_are_deleted_with_their_offsets(w):
    topic = w.topic()
    for version in versions("delete_groups"):
        full, left, simple = w.group(), w.group(), w.group()
        m = w.member(full).start()
        w.member(left).start().leave()
        for group in (full, left, simple):
            assert (m.commit(topic, {0: 1}) if group == full else w.commit(group, topic, {0: 1, 1: 2}))[0] == NONE
        assert call(w.admin, "delete_groups", version, groups_names=[]).results == []
        r = call(w.admin, "delete_groups", version, groups_names=[full, left, simple, left, "nobody"])
        assert [(g.group_id, g.error_code) for g in r.results] == [(full, NON_EMPTY), (left, NONE), (simple, NONE), ("nobody", NOT_FOUND)]
        assert (r.results[3].error_message is not None) == (version >= 3)
        assert [w.describe(g).error_code for g in (full, left, simple)] == [NONE, NOT_FOUND, NOT_FOUND]
        assert w.committed(full) == {(topic, 0): 1} and w.committed(left) == w.committed(simple) == {}
        m.close()


def a_deleted_group_may_be_had_again(w):
    group, topic = w.group(), w.topic()
    for _ in range(3):
        m = w.member(group).start()
        assert m.generation == 1 and m.commit(topic, {0: 1}) == [NONE] and m.leave() == NONE
        assert call(w.admin, "delete_groups", 2, groups_names=[group]).results[0].error_code == NONE


CASES = (
    every_version_finds_this_broker, every_version_describes_groups, hosts_are_printed_as_java_does,
    hosts_of_ipv6_are_printed_with_all_their_zeros, a_group_is_described_in_each_state,
    every_version_lists_groups_and_filters_them, groups_without_members_are_deleted_with_their_offsets,
    a_deleted_group_may_be_had_again,
)
