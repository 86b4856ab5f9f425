"""The rest of the administration: what has one plain answer on one node, and what is kept and described back.

Each case also passes with BROKER=kafka, but for what is said where it is asked."""
import math
import os

from answers import WORK
from harness import open_broker
from messages import call, versions
from odd import create, described
from process import wait_until
from wire import Connection

OURS = os.environ.get("BROKER") != "kafka"
INVALID_REQUEST, INVALID_CONFIG, INVALID_TOPIC, UNKNOWN_TOPIC, UNSUPPORTED_VERSION = 42, 40, 17, 3, 35
INVALID_ASSIGNMENT, SECURITY_DISABLED, NO_LOG_DIR, NOT_ALLOWED, NOT_NEEDED, NOT_MOVING = 39, 54, 57, 64, 84, 85
NOT_FOUND, DUPLICATE, UNACCEPTABLE, UPDATE_VERSION, NOT_REGISTERED, NO_MECHANISM = 91, 92, 93, 95, 102, 33
TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
BY_FILE, BY_DEFAULT, BY_METRICS, BY_GROUP = 4, 5, 7, 8
SHA_256, SHA_512 = 1, 2


def served(name, properties=None):
    return open_broker(f"{WORK}/{name}", properties, *((["--cores", "2"],) if OURS else ()))


def connected(broker):
    return Connection(broker.port)


def restarted(broker, kill=OURS):
    broker.kill() if kill else broker.stop()
    broker.start()
    return connected(broker)


def comes(check):
    """Kafka's answers are a moment late: its broker learns from its controller."""
    assert wait_until(check, 1 if OURS else 20), "it does not come"


# --- one plain answer ---

def acls_need_an_authorizer():
    with served("acls") as broker, connected(broker) as c:
        acl = {"resource_type": 2, "resource_name": "t", "principal": "User:a", "host": "*", "operation": 3, "permission_type": 3}
        wanted = {"resource_type_filter": 1, "operation": 1, "permission_type": 1}
        for version in versions("describe_acls") if OURS else range(1, 4):
            r = call(c, "describe_acls", version, **wanted, pattern_type_filter=3 if version == 0 else 1)
            assert (r.error_code, r.error_message, r.resources) == (SECURITY_DISABLED, "No Authorizer is configured on the broker", []), r
            r = call(c, "create_acls", version, creations=[acl, acl])
            assert [(x.error_code, x.error_message) for x in r.results] == [(SECURITY_DISABLED, "No Authorizer is configured.")] * 2, r
            r = call(c, "delete_acls", version, filters=[wanted])
            assert [(x.error_code, x.error_message, x.matching_acls) for x in r.filter_results] == [(SECURITY_DISABLED, "No Authorizer is configured.", [])]
        assert call(c, "create_acls", 3).results == [] and call(c, "delete_acls", 3).filter_results == []
        for api, ask in (("describe_acls", {**wanted, "operation": 0}), ("create_acls", {"creations": [{**acl, "permission_type": 0}]}),
                         ("delete_acls", {"filters": [{**wanted, "resource_type_filter": 0}]})):
            try:
                call(connected(broker), api, 3, **ask)
                raise AssertionError(f"{api} of unknown kinds was answered")
            except (EOFError, ConnectionError):
                pass


def delegation_tokens_are_not_allowed_without_logins():
    with served("tokens") as broker, connected(broker) as c:
        for version in (1, 2, 3):
            owner = {"owner_principal_type": "User", "owner_principal_name": "bob"} if version == 3 else {}
            r = call(c, "create_delegation_token", version, max_lifetime_ms=-1, renewers=[{"principal_type": "User", "principal_name": "x"}], **owner)
            assert (r.error_code, r.principal_type, r.principal_name) == (NOT_ALLOWED, "User", "bob" if owner else "ANONYMOUS"), r
            assert (r.issue_timestamp_ms, r.expiry_timestamp_ms, r.max_timestamp_ms, r.token_id, r.hmac) == (-1, -1, -1, "", b""), r
            assert version < 3 or (r.token_requester_principal_type, r.token_requester_principal_name) == ("User", "ANONYMOUS")
            for owners in (None, [], [{"principal_type": "User", "principal_name": "x"}]):
                r = call(c, "describe_delegation_token", version, owners=owners)
                assert (r.error_code, r.tokens) == (NOT_ALLOWED, []), r
        for version in (1, 2):
            r = call(c, "renew_delegation_token", version, hmac=b"abc", renew_period_ms=5)
            assert (r.error_code, r.expiry_timestamp_ms) == (NOT_ALLOWED, -1), r
            r = call(c, "expire_delegation_token", version, hmac=b"abc", expiry_time_period_ms=5)
            assert (r.error_code, r.expiry_timestamp_ms) == (NOT_ALLOWED, -1), r


def leaders_need_no_election():
    with served("elections") as broker, connected(broker) as c:
        assert create(c, "t", 2).error_code == 0
        for version in versions("elect_leaders"):
            for kind in (0, 1) if version else (0,):
                kinds = {"election_type": kind} if version else {}
                r = call(c, "elect_leaders", version, topic_partitions=[{"topic": "t", "partitions": [1, 0, 2]}, {"topic": "no", "partitions": [0]}], **kinds)
                found = {(t.topic, p.partition_id): p.error_code for t in r.replica_election_results for p in t.partition_result}
                assert r.error_code == 0 and found == {("t", 0): NOT_NEEDED, ("t", 1): NOT_NEEDED, ("t", 2): UNKNOWN_TOPIC, ("no", 0): UNKNOWN_TOPIC}, r
                r = call(c, "elect_leaders", version, topic_partitions=None, **kinds)
                assert r.error_code == 0 and all(t.partition_result == [] for t in r.replica_election_results), r
        assert call(c, "elect_leaders", 2, election_type=2, topic_partitions=[]).error_code == 0
        r = call(c, "elect_leaders", 2, election_type=2, topic_partitions=[{"topic": "t", "partitions": [1]}])
        assert (r.error_code, r.replica_election_results[0].partition_result[0].error_code) == (INVALID_REQUEST, INVALID_REQUEST), r


def reassignments_stay_on_the_only_node():
    with served("reassign") as broker, connected(broker) as c:
        assert create(c, "t", 3).error_code == 0
        for version in versions("alter_partition_reassignments"):
            cases = ((0, [1], 0), (1, [2], INVALID_ASSIGNMENT), (2, [1, 2], INVALID_ASSIGNMENT), (0, [], INVALID_ASSIGNMENT), (1, [1, 1], INVALID_ASSIGNMENT),
                     (2, None, NOT_MOVING), (3, [1], UNKNOWN_TOPIC), (-1, [1], UNKNOWN_TOPIC))
            for partition, replicas, error in cases:
                topics = [{"name": name, "partitions": [{"partition_index": partition, "replicas": replicas}]} for name in ("t", "no")]
                r = call(c, "alter_partition_reassignments", version, topics=topics)
                assert r.error_code == 0 and r.error_message is None and [t.name for t in r.responses] == ["t", "no"], r
                found = [t.partitions[0] for t in r.responses]
                assert [p.error_code for p in found] == [error, UNKNOWN_TOPIC] and (found[0].error_message is None) == (error in (0, NOT_MOVING)), r
                assert [p.partition_index for p in found] == [partition] * 2
        for topics in (None, [], [{"name": "t", "partition_indexes": [0, 1, 9]}, {"name": "no", "partition_indexes": [0]}]):
            r = call(c, "list_partition_reassignments", 0, topics=topics)
            assert (r.error_code, r.error_message, r.topics) == (0, None, []), r


def replicas_stay_in_the_only_folder():
    with served("replicadirs") as broker, connected(broker) as c:
        assert create(c, "t", 2).error_code == 0
        own = call(c, "describe_log_dirs", 4, topics=[]).results[0].log_dir
        for version in versions("alter_replica_log_dirs"):
            long = "x" * 249
            dirs = [{"path": own, "topics": [{"name": "t", "partitions": [0, 5]}, {"name": "no", "partitions": [0]}, {"name": long, "partitions": [0]}]},
                    {"path": "/nowhere", "topics": [{"name": "t", "partitions": [1]}]}, {"path": "/empty", "topics": []}]
            r = call(c, "alter_replica_log_dirs", version, dirs=dirs)
            found = {(t.topic_name, p.partition_index): p.error_code for t in r.results for p in t.partitions}
            assert found == {("t", 0): 0, ("t", 5): UNKNOWN_TOPIC, ("no", 0): UNKNOWN_TOPIC, (long, 0): INVALID_TOPIC, ("t", 1): NO_LOG_DIR}, r
        assert call(c, "alter_replica_log_dirs", 2).results == []


def only_the_node_itself_is_registered():
    with served("unregister") as broker, connected(broker) as c:
        for node in (2, 0, -1):
            r = call(c, "unregister_broker", 0, broker_id=node)
            assert r.error_code == NOT_REGISTERED and r.error_message, r
        if OURS:  # Kafka removes it, and has no leader of anything any more
            r = call(c, "unregister_broker", 0, broker_id=1)
            assert r.error_code == INVALID_REQUEST and "stop it instead" in r.error_message, r
            assert create(c, "t").error_code == 0


def the_node_is_leader_and_voter_of_the_metadata():
    with served("quorum") as broker, connected(broker) as c:
        ask = lambda version: call(c, "describe_quorum", version, topics=[{"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}])
        for version in versions("describe_quorum"):
            r = ask(version)
            assert (r.error_code, [t.topic_name for t in r.topics]) == (0, ["__cluster_metadata"]), r
            p = r.topics[0].partitions[0]
            assert (p.partition_index, p.error_code, p.leader_id, p.observers) == (0, 0, 1, []) and p.leader_epoch >= 0, r
            voter, = p.current_voters
            assert voter.replica_id == 1 and voter.log_end_offset >= p.high_watermark >= 0, r
            assert version < 1 or min(voter.last_fetch_timestamp, voter.last_caught_up_timestamp) > 1700000000000, r
            if version == 2:
                node, = r.nodes
                assert node.node_id == 1 and [n.host for n in node.listeners] == ["localhost"] and 0 < node.listeners[0].port < 65536, r
        before = ask(2).topics[0].partitions[0].high_watermark
        assert create(c, "t").error_code == 0
        comes(lambda: ask(2).topics[0].partitions[0].high_watermark > before)
        for topics in ([], [("no", [0])], [("__cluster_metadata", [1])], [("__cluster_metadata", [0, 1])], [("__cluster_metadata", [0]), ("no", [])]):
            r = call(c, "describe_quorum", 2, topics=[{"topic_name": t, "partitions": [{"partition_index": p} for p in parts]} for t, parts in topics])
            assert r.error_code == 0 and [(t.topic_name, [(p.partition_index, p.error_code) for p in t.partitions]) for t in r.topics] == \
                [(t, [(p, UNKNOWN_TOPIC) for p in parts]) for t, parts in topics], r


# --- quotas ---

def alter_quotas(c, *entries, version=1, **options):
    """[(error, message)] of [({type: name}, {key: value or None})]."""
    ask = [{"entity": [{"entity_type": t, "entity_name": n} for t, n in who.items()],
            "ops": [{"key": k, "value": v or 0.0, "remove": v is None} for k, v in what.items()]} for who, what in entries]
    r = call(c, "alter_client_quotas", version, entries=ask, **options)
    found = {tuple(sorted((e.entity_type, e.entity_name or "") for e in x.entity)): (x.error_code, x.error_message) for x in r.entries}
    return [found[tuple(sorted((t, n or "") for t, n in who.items()))] for who, _ in entries]


def quotas(c, *components, strict=False, version=1):
    """{((type, name), ...): {key: value}}, or the error."""
    r = call(c, "describe_client_quotas", version, components=[{"entity_type": t, "match_type": m, "match": n} for t, m, n in components], strict=strict)
    if r.error_code:
        assert r.error_message and r.entries is None, r
        return r.error_code
    assert not r.error_message
    return {tuple(sorted((e.entity_type, e.entity_name) for e in x.entity)): {v.key: v.value for v in x["values"]} for x in r.entries}


EXACT, IS_DEFAULT, ANY = 0, 1, 2


def quotas_are_kept_and_described():
    with served("quotas") as broker:
        c = connected(broker)
        alice, both = {"user": "alice, =%\u00e4"}, {"user": "alice, =%\u00e4", "client-id": None}
        address = {"ip": "127.0.0.1"}
        changed = alter_quotas(c, (alice, {"producer_byte_rate": 1000.0, "request_percentage": 12.5}), (both, {"consumer_byte_rate": 9e18}),
                               (address, {"connection_creation_rate": 10.0}), ({"client-id": "x"}, {"controller_mutation_rate": 1 / 3}))
        assert changed == [(0, None)] * 4, changed
        a, b, ip, x = ((("user", alice["user"]),), (("client-id", None), ("user", alice["user"])), (("ip", "127.0.0.1"),), (("client-id", "x"),))
        everything = {a: {"producer_byte_rate": 1000.0, "request_percentage": 12.5}, b: {"consumer_byte_rate": 9e18}, ip: {"connection_creation_rate": 10.0},
                      x: {"controller_mutation_rate": 1 / 3}}
        for turn in range(2):
            for version in (0, 1):
                comes(lambda v=version: quotas(c, version=v) == everything)
            some = lambda *keys: {k: everything[k] for k in keys}
            for filters, strict, wanted in (
                    ([("user", EXACT, alice["user"])], False, some(a, b)), ([("user", EXACT, alice["user"])], True, some(a)), ([("user", EXACT, "bob")], False, {}),
                    ([("client-id", IS_DEFAULT, None)], False, some(b)), ([("client-id", ANY, None)], False, some(b, x)), ([("client-id", ANY, None)], True, some(x)),
                    ([("user", ANY, None), ("client-id", ANY, None)], True, some(b)), ([("ip", ANY, None)], False, some(ip)), ([], True, {})):
                assert quotas(c, *filters, strict=strict) == wanted, (filters, strict, quotas(c, *filters, strict=strict))
            if not turn:
                c = restarted(broker)
        assert alter_quotas(c, (alice, {"producer_byte_rate": None}), (both, {"consumer_byte_rate": None, "producer_byte_rate": None}),
                            ({"user": "nobody"}, {"producer_byte_rate": None, "no_such_key": None})) == [(0, None)] * 3
        everything[a].pop("producer_byte_rate"), everything.pop(b)
        comes(lambda: quotas(c) == everything)
        assert alter_quotas(c, (alice, {"request_percentage": 99.0}), validate_only=True) == [(0, None)] and quotas(c) == everything
        assert call(c, "alter_client_quotas", 0).entries == []
        c = restarted(broker)
        comes(lambda: quotas(c) == everything)
        if OURS:
            assert broker.log().count("settings kept, not obeyed") <= 2 * 3, "once on a shard and start"
            assert 'what="quotas"' in broker.log()


def impossible_quotas_are_refused():
    with served("badquotas") as broker, connected(broker) as c:
        for who, what in (({}, {"producer_byte_rate": 1.0}), ({"nobody": "x"}, {"producer_byte_rate": 1.0}), ({"user": ""}, {"producer_byte_rate": 1.0}),
                          ({"user": "a", "ip": "1.2.3.4"}, {"producer_byte_rate": 1.0}), ({"user": "a"}, {"nonsense": 1.0}), ({"user": "a"}, {"connection_creation_rate": 1.0}),
                          ({"ip": "1.2.3.4"}, {"producer_byte_rate": 1.0}), ({"ip": "300.2.3.4.5.6"}, {"connection_creation_rate": 1.0}),
                          ({"user": "a"}, {"producer_byte_rate": -1.0}), ({"user": "a"}, {"producer_byte_rate": 1.5}), ({"user": "a"}, {"producer_byte_rate": 1e19}),
                          ({"ip": "1.2.3.4"}, {"connection_creation_rate": 3e9}), ({"user": "a"}, {"producer_byte_rate": 5.0, "nonsense": 1.0})):
            (error, message), = alter_quotas(c, (who, what))
            assert error == INVALID_REQUEST and message, (who, what, error)
        same = [{"entity": [{"entity_type": "user", "entity_name": "a"}], "ops": [{"key": "producer_byte_rate", "value": v} for v in (1.0, 2.0)]}]
        assert call(c, "alter_client_quotas", 1, entries=same).entries[0].error_code == INVALID_REQUEST
        assert quotas(c) == {}
        for component, error in ((("", ANY, None), INVALID_REQUEST), (("group", ANY, None), UNSUPPORTED_VERSION), (("user", EXACT, None), INVALID_REQUEST),
                                 (("user", IS_DEFAULT, "x"), INVALID_REQUEST), (("user", ANY, "x"), INVALID_REQUEST), (("user", 3, None), INVALID_REQUEST)):
            assert quotas(c, component) == error, component
        assert quotas(c, ("user", ANY, None), ("user", ANY, None)) == INVALID_REQUEST
        assert quotas(c, ("user", ANY, None), ("ip", ANY, None)) == INVALID_REQUEST
        assert alter_quotas(c, ({"user": "n"}, {"request_percentage": math.inf})) == [(0, None)]
        comes(lambda: quotas(c) == {(("user", "n"),): {"request_percentage": math.inf}})


# --- SCRAM ---

SECRET = b"\x01salted\xffpassword\x00"


def credential(user, mechanism=SHA_256, iterations=4096, salt=b"\0salt", password=SECRET):
    return {"name": user, "mechanism": mechanism, "iterations": iterations, "salt": salt, "salted_password": password}


def alter_scram(c, deletions=(), upsertions=()):
    """{user: error}"""
    r = call(c, "alter_user_scram_credentials", 0, deletions=[{"name": u, "mechanism": m} for u, m in deletions], upsertions=list(upsertions))
    assert len({x.user for x in r.results}) == len(r.results), r
    assert all((x.error_message is None) == (x.error_code == 0) for x in r.results), r
    return {x.user: x.error_code for x in r.results}


def scram(c, users=None):
    """{user: {mechanism: iterations}, or the error}"""
    r = call(c, "describe_user_scram_credentials", 0, users=users and [{"name": u} for u in users])
    assert (r.error_code, r.error_message) == (0, "") and len({x.user for x in r.results}) == len(r.results), r
    return {x.user: x.error_code or {i.mechanism: i.iterations for i in x.credential_infos} for x in r.results}


def scram_credentials_are_kept_and_described():
    with served("scram") as broker:
        c = connected(broker)
        assert scram(c) == {} and alter_scram(c) == {}
        assert alter_scram(c, upsertions=[credential("alice"), credential("b\u00f6b", SHA_512, 8192)]) == {"alice": 0, "b\u00f6b": 0}
        comes(lambda: scram(c) == {"alice": {SHA_256: 4096}, "b\u00f6b": {SHA_512: 8192}})
        assert alter_scram(c, upsertions=[credential("alice", SHA_512, 5000)]) == {"alice": 0}
        wanted = {"alice": {SHA_256: 4096, SHA_512: 5000}, "b\u00f6b": {SHA_512: 8192}}
        comes(lambda: scram(c) == wanted)
        c = restarted(broker)
        comes(lambda: scram(c) == wanted)
        assert scram(c, ["alice"]) == {"alice": wanted["alice"]} and scram(c, ["alice", "eve", "alice"]) == {"alice": DUPLICATE, "eve": NOT_FOUND}
        assert alter_scram(c, [("alice", SHA_256)], [credential("b\u00f6b", SHA_512, 4096)]) == {"alice": 0, "b\u00f6b": 0}
        comes(lambda: scram(c) == {"alice": {SHA_512: 5000}, "b\u00f6b": {SHA_512: 4096}})
        assert alter_scram(c, [("alice", SHA_512)]) == {"alice": 0}
        c = restarted(broker)
        comes(lambda: scram(c) == {"b\u00f6b": {SHA_512: 4096}})
        if OURS:
            assert 'what="SCRAM credentials"' in broker.log()
            for name in ("catalog", "catalog.copy"):  # where they are kept
                assert os.stat(f"{broker.data}/{name}").st_mode & 0o077 == 0, f"others may read {name}"
            assert SECRET.hex() not in broker.log() and SECRET not in broker.log().encode("utf-8", "surrogateescape")


def impossible_credentials_are_refused():
    with served("badscram") as broker, connected(broker) as c:
        for user, given, error in (("", {}, UNACCEPTABLE), ("a", {"mechanism": 0}, NO_MECHANISM), ("a", {"mechanism": 3}, NO_MECHANISM),
                                   ("a", {"iterations": 4095}, UNACCEPTABLE), ("a", {"iterations": 16385}, UNACCEPTABLE)):
            assert alter_scram(c, upsertions=[credential(user, **given)]) == {user: error}, (user, given)
        assert alter_scram(c, [("a", SHA_256)]) == {"a": NOT_FOUND} and alter_scram(c, [("", SHA_256), ("b", 9)]) == {"": UNACCEPTABLE, "b": NO_MECHANISM}
        assert alter_scram(c, upsertions=[credential("a"), credential("a", SHA_512), credential("b")]) == {"a": DUPLICATE, "b": 0}
        comes(lambda: scram(c) == {"b": {SHA_256: 4096}})
        assert alter_scram(c, [("b", SHA_256)], [credential("b")]) == {"b": DUPLICATE} and scram(c) == {"b": {SHA_256: 4096}}
        if OURS:  # Kafka says UNKNOWN_SERVER_ERROR
            assert alter_scram(c, upsertions=[credential("c", password=b"")]) == {"c": UNACCEPTABLE}
            assert alter_scram(c, upsertions=[credential("c", salt=b"x" * 20000)]) == {"c": UNACCEPTABLE}


# --- settings of groups and client metrics ---

def change(c, kind, name, *configs, validate=False):
    """(error, message) of (key, value or None)."""
    configs = [{"name": k, "config_operation": 1 if v is None else 0, "value": v} for k, v in configs]
    r = call(c, "incremental_alter_configs", 1, resources=[{"resource_type": kind, "resource_name": name, "configs": configs}], validate_only=validate)
    return r.responses[0].error_code, r.responses[0].error_message


def settings(c, kind, name, keys=None):
    """{key: (value, source, [(synonym's name, value, source)])}"""
    r = call(c, "describe_configs", 4, resources=[{"resource_type": kind, "resource_name": name, "configuration_keys": keys}], include_synonyms=True).results[0]
    assert (r.error_code, r.resource_type, r.resource_name) == (0, kind, name), r
    assert all(not e.read_only and not e.is_sensitive for e in r.configs)
    return {e.name: (e.value, e.config_source, [(s.name, s.value, s.source) for s in e.synonyms]) for e in r.configs}


def groups_have_settings():
    with served("groupconfigs", {"group.consumer.session.timeout.ms": "50000"}) as broker:
        c = connected(broker)
        found = settings(c, GROUP, "g")
        broker_key = "group.consumer.session.timeout.ms"
        inherited = [(broker_key, "50000", BY_FILE), (broker_key, "45000", BY_DEFAULT)]
        assert found["consumer.session.timeout.ms"] == ("50000", BY_FILE, inherited), found
        assert found["share.isolation.level"] == ("read_uncommitted", BY_DEFAULT, [("share.isolation.level", "read_uncommitted", BY_DEFAULT)]), found
        assert len(found) >= 17, sorted(found)
        assert change(c, GROUP, "g", ("consumer.session.timeout.ms", "55000"), ("share.auto.offset.reset", "earliest")) == (0, None)
        for turn in range(2):
            comes(lambda: settings(c, GROUP, "g")["consumer.session.timeout.ms"] ==
                  ("55000", BY_GROUP, [("consumer.session.timeout.ms", "55000", BY_GROUP)] + inherited))
            assert settings(c, GROUP, "g")["share.auto.offset.reset"][:2] == ("earliest", BY_GROUP)
            assert settings(c, GROUP, "other") == settings(c, GROUP, "g\0") == found
            c = restarted(broker) if not turn else c
        for key, value in (("no.such.key", "1"), ("consumer.session.timeout.ms", "1"), ("consumer.session.timeout.ms", "soon"), ("consumer.heartbeat.interval.ms", "70000"),
                           ("share.isolation.level", "x"), ("streams.num.standby.replicas", "3"), ("share.delivery.count.limit", "1"), ("share.auto.offset.reset", "never")):
            error, message = change(c, GROUP, "g", (key, value))
            assert error == INVALID_CONFIG and message, (key, value, error)
        assert change(c, GROUP, "", ("consumer.session.timeout.ms", "55000"))[0] == INVALID_REQUEST
        assert change(c, GROUP, "g", ("consumer.session.timeout.ms", "47000"), validate=True) == (0, None)
        assert settings(c, GROUP, "g", ["consumer.session.timeout.ms"])["consumer.session.timeout.ms"][0] == "55000"
        r = call(c, "alter_configs", 2, resources=[{"resource_type": GROUP, "resource_name": "g", "configs": [{"name": "share.auto.offset.reset", "value": "latest"}]}])
        assert r.responses[0].error_code == 0
        comes(lambda: [settings(c, GROUP, "g")[k][1] for k in ("consumer.session.timeout.ms", "share.auto.offset.reset")] == [BY_FILE, BY_GROUP])
        assert change(c, GROUP, "g", ("share.auto.offset.reset", None), ("no.such.key", None)) == (0, None)
        comes(lambda: settings(c, GROUP, "g") == found)


def client_metrics_have_settings():
    with served("metricsconfigs") as broker:
        c = connected(broker)
        nothing = {"interval.ms": ("300000", BY_DEFAULT, []), "match": ("", BY_DEFAULT, []), "metrics": ("", BY_DEFAULT, [])}
        assert settings(c, METRICS, "m") == nothing
        assert change(c, METRICS, "m", ("interval.ms", "1000"), ("match", "client_id=.*,client_software_name=a.b"), ("metrics", "org.a.,org.b.")) == (0, None)
        own = {"interval.ms": "1000", "match": "client_id=.*,client_software_name=a.b", "metrics": "org.a.,org.b."}
        wanted = {k: (v, BY_METRICS, [(k, v, BY_METRICS)]) for k, v in own.items()}
        for turn in range(2):
            comes(lambda: settings(c, METRICS, "m") == wanted)
            c = restarted(broker) if not turn else c
        for key, value, error in (("nonsense", "1", INVALID_REQUEST), ("interval.ms", "99", INVALID_REQUEST), ("interval.ms", "3600001", INVALID_REQUEST),
                                  ("interval.ms", "x", INVALID_CONFIG), ("match", "nobody=x", INVALID_CONFIG), ("match", "client_id", INVALID_CONFIG),
                                  ("match", "client_id=a=b", INVALID_CONFIG)):
            assert change(c, METRICS, "m", (key, value))[0] == error, (key, value, change(c, METRICS, "m", (key, value)))
        assert change(c, METRICS, "", ("interval.ms", "1000"))[0] == INVALID_REQUEST
        lists = [{"name": "metrics", "config_operation": op, "value": v} for op, v in ((2, "org.c."),)]
        r = call(c, "incremental_alter_configs", 1, resources=[{"resource_type": METRICS, "resource_name": "m", "configs": lists}])
        assert r.responses[0].error_code == 0, r
        comes(lambda: settings(c, METRICS, "m")["metrics"][0] == "org.a.,org.b.,org.c.")
        assert change(c, METRICS, "m", *((k, None) for k in own)) == (0, None)
        comes(lambda: settings(c, METRICS, "m") == nothing)


def what_has_settings_is_listed():
    with served("resources") as broker:
        c = connected(broker)
        assert create(c, "t").error_code == 0
        assert change(c, GROUP, "g\u00f6", ("share.auto.offset.reset", "earliest")) == (0, None) and change(c, METRICS, "m", ("interval.ms", "1000")) == (0, None)
        listed = lambda version, *types: sorted((r.resource_type, r.resource_name) for r in
                                                call(c, "list_config_resources", version, **({"resource_types": list(types)} if version else {})).config_resources
                                                if not r.resource_name.startswith("__"))
        everything = [(TOPIC, "t"), (BROKER, "1"), (LOGGER, "1"), (METRICS, "m"), (GROUP, "g\u00f6")]
        for turn in range(2):
            comes(lambda: listed(1) == everything)
            assert listed(0) == [(METRICS, "m")] and listed(1, GROUP, TOPIC) == [everything[0], everything[4]] and listed(1, LOGGER, BROKER, BROKER) == everything[1:3]
            c = restarted(broker) if not turn else c
        for types in ([0], [TOPIC, 1], [64], [-1]):
            r = call(c, "list_config_resources", 1, resource_types=types)
            assert (r.error_code, r.config_resources) == (UNSUPPORTED_VERSION, []), r
        assert change(c, GROUP, "g\u00f6", ("share.auto.offset.reset", None)) == (0, None) and change(c, METRICS, "m", ("interval.ms", None)) == (0, None)
        comes(lambda: listed(1) == everything[:3])


def more_settings_than_may_be_kept_are_refused():
    if not OURS:
        return
    with served("manykept") as broker:
        c = connected(broker)
        value, errors = "org." + "x" * 30000, []
        for n in range(400):
            errors.append(change(c, METRICS, f"m{n}", ("metrics", value))[0])
        kept = errors.count(0)
        assert set(errors) == {0, 44} and 250 < kept < 290, (kept, set(errors))
        c = restarted(broker)
        assert len(call(c, "list_config_resources", 0).config_resources) == kept
        assert change(c, METRICS, "m0", ("metrics", None)) == (0, None) and change(c, METRICS, "n", ("metrics", value)) == (0, None)


# --- features ---

def features(c, version=4):
    """({name: (least, most)}, {name: level}, epoch)"""
    r = call(c, "api_versions", version, client_software_name="tests", client_software_version="1")
    assert all(f.min_version_level == f.max_version_level for f in r.finalized_features)
    return ({f.name: (f.min_version, f.max_version) for f in r.supported_features}, {f.name: f.max_version_level for f in r.finalized_features},
            r.finalized_features_epoch)


def update(c, *updates, version=2, **options):
    """(error, message, {feature: error}) of (name, level, type)."""
    kind = "upgrade_type" if version else "allow_downgrade"
    r = call(c, "update_features", version, feature_updates=[{"feature": f, "max_version_level": level, kind: type_} for f, level, type_ in updates], **options)
    return r.error_code, r.error_message, {x.feature: x.error_code for x in r.results}


UPGRADE, SAFE, UNSAFE = 1, 2, 3


def features_are_shown_and_kept():
    with served("features") as broker:
        c = connected(broker)
        supported, agreed, epoch = features(c)
        assert supported["metadata.version"] == (7, 30) and agreed["metadata.version"] == 30 and epoch >= 0, (supported, agreed, epoch)
        assert all(least <= agreed.get(f, 0) <= most for f, (least, most) in supported.items()) and set(agreed) <= set(supported)
        assert set(features(c, 3)[0]) == {f for f, (least, _) in supported.items() if least > 0} and features(c, 3)[1:] == (agreed, epoch)
        assert features(c, 0) == ({}, {}, -1)
        for name, level, type_ in (("metadata.version", 29, UPGRADE), ("metadata.version", 29, SAFE), ("metadata.version", 29, UNSAFE), ("metadata.version", 31, UPGRADE),
                                   ("metadata.version", 6, SAFE), ("metadata.version", -1, SAFE), ("metadata.version", 30, 0), ("metadata.version", 30, 4), ("nonsense", 1, UPGRADE)):
            for version in (1, 2):
                error, message, results = update(c, (name, level, type_), version=version)
                assert error == UPDATE_VERSION and message.startswith("The update failed for all features since the following feature had an error: ") and results == {}, (name, level, type_, error)
        assert update(c, ("metadata.version", 30, UPGRADE), version=0)[::2] == (0, {"metadata.version": 0})
        assert update(c, ("metadata.version", 30, UPGRADE), version=1)[::2] == (0, {"metadata.version": 0})
        assert update(c, ("metadata.version", 30, UPGRADE))[::2] == (0, {}) and update(c)[::2] == (0, {})
        assert features(c)[:2] == (supported, agreed)
        c = restarted(broker)
        assert features(c)[:2] == (supported, agreed) and features(c)[2] >= epoch


def transaction_version_is_lowered_and_raised():
    with served("transactionversion") as broker:
        c = connected(broker)
        supported, agreed, _ = features(c)
        assert supported["transaction.version"] == (0, 2) and agreed["transaction.version"] == 2
        assert "transaction.version" not in features(c, 3)[0] and features(c, 3)[1] == agreed
        for level, type_, wanted in ((1, UPGRADE, 2), (3, UPGRADE, 2), (-1, SAFE, 2), (0, SAFE, 0), (2, SAFE, 0), (1, UPGRADE, 1), (0, UNSAFE, 0), (2, UPGRADE, 2)):
            before = features(c)
            assert update(c, ("transaction.version", level, type_), validate_only=True)[0] == (0 if level == wanted else UPDATE_VERSION)
            assert features(c)[:2] == before[:2], "only validated"
            assert update(c, ("transaction.version", level, type_))[0] == (0 if level == wanted else UPDATE_VERSION), (level, type_)
            comes(lambda w=wanted: features(c)[1].get("transaction.version", 0) == w)
            assert features(c)[2] > before[2] or level != wanted, "the epoch rises"
            if level == 0:
                epoch, c = features(c)[2], restarted(broker)
                assert features(c)[1].get("transaction.version", 0) == 0 and features(c)[2] >= epoch
        assert update(c, ("transaction.version", 1, SAFE), ("nonsense", 1, UPGRADE))[0] == UPDATE_VERSION and features(c)[1]["transaction.version"] == 2


CASES = (
    acls_need_an_authorizer, delegation_tokens_are_not_allowed_without_logins, leaders_need_no_election, reassignments_stay_on_the_only_node,
    replicas_stay_in_the_only_folder, only_the_node_itself_is_registered, the_node_is_leader_and_voter_of_the_metadata,
    quotas_are_kept_and_described, impossible_quotas_are_refused, scram_credentials_are_kept_and_described, impossible_credentials_are_refused,
    groups_have_settings, client_metrics_have_settings, what_has_settings_is_listed, more_settings_than_may_be_kept_are_refused,
    features_are_shown_and_kept, transaction_version_is_lowered_and_raised,
)
