"""What administrators' requests do: configs, partitions, deleted records, log folders.

Cases that open_broker starts hold for Apache Kafka as well: BROKER=kafka tests/api/run <case>. What only one of the two does
is said where it is asked."""
import os
import random
import struct
import threading

from answers import *
from harness import Broker, open_broker, wait_until
from wire import *

DELETE_RECORDS, DESCRIBE_CONFIGS, ALTER_CONFIGS, DESCRIBE_LOG_DIRS, CREATE_PARTITIONS, INCREMENTAL = 21, 32, 33, 35, 37, 44
TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
BY_TOPIC, BY_BROKER, BY_CLUSTER, BY_FILE, BY_DEFAULT = 1, 2, 3, 4, 5  # sources
BOOLEAN, INT, LONG, LIST, PASSWORD = 1, 3, 5, 7, 9
OURS = os.environ.get("BROKER") != "kafka"


# --- the requests ---

def results_of(r):
    """[(error, message, kind, name)] of an answer to AlterConfigs or IncrementalAlterConfigs."""
    assert r.i32() == 0
    found = r.array(lambda: r.end((r.i16(), r.string(), r.i8(), r.string())))
    r.end(), r.done()
    return found


def alter(c, resources, validate=False, version=2):
    """AlterConfigs of [(kind, name, [(key, value)])]."""
    ask = Ask(c, ALTER_CONFIGS, version, flexible=2)
    one = lambda key, value: ask.text(key).text(value).end()
    ask.array(resources, lambda kind, name, configs: ask.i8(kind).text(name).array(configs, one).end())
    return results_of(ask.i8(validate).end().reply())


def change(c, resources, validate=False, version=1):
    """IncrementalAlterConfigs of [(kind, name, [(key, operation, value)])]."""
    ask = Ask(c, INCREMENTAL, version, flexible=1)
    one = lambda key, operation, value: ask.text(key).i8(operation).text(value).end()
    ask.array(resources, lambda kind, name, configs: ask.i8(kind).text(name).array(configs, one).end())
    return results_of(ask.i8(validate).end().reply())


def change_one(c, kind, name, *configs, **options):
    """(error, message) of one resource."""
    answer = change(c, [(kind, name, list(configs))], **options)
    assert [row[2:] for row in answer] == [(kind, name)], answer
    return answer[0][:2]


def describe(c, kind, name, keys=None, version=4, synonyms=True, documentation=True):
    """(error, message, {key: (value, read only, source, sensitive, synonyms, type, documentation)}) by DescribeConfigs.

    What a version lacks is None; of version 0 the source is whether it is the default."""
    ask = Ask(c, DESCRIBE_CONFIGS, version, flexible=4)
    ask.array([(kind, name)], lambda k, n: ask.i8(k).text(n).array(keys, ask.text).end())
    ask.raw(i8(synonyms) if version >= 1 else b"").raw(i8(documentation) if version >= 3 else b"")
    r = ask.end().reply()
    assert r.i32() == 0

    def entry():
        key, value, read_only, source, sensitive = r.string(), r.string(), r.i8(), r.i8(), r.i8()
        others = r.array(lambda: r.end((r.string(), r.string(), r.i8()))) if version >= 1 else None
        kind_of, text = (r.i8(), r.string()) if version >= 3 else (None, None)
        return r.end((key, (value, read_only, source, sensitive, others, kind_of, text)))

    def resource():
        error, message, got_kind, got_name, entries = r.i16(), r.string(), r.i8(), r.string(), r.array(entry)
        assert (got_kind, got_name) == (kind, name) and len(dict(entries)) == len(entries)
        return r.end((error, message, dict(entries)))

    answers = r.array(resource)
    r.end(), r.done()
    assert len(answers) == 1
    return answers[0]


def shown(c, kind, name, key):
    """(value, source, [(name, value, source)]) of one key."""
    error, _, found = describe(c, kind, name, [key])
    assert error == 0 and set(found) == {key}, (error, found)
    return found[key][0], found[key][2], found[key][4]


def values(c, name, *keys):
    """The values of keys of a topic."""
    found = describe(c, TOPIC, name, list(keys))[2]
    return [found[key][0] for key in keys]


def add_partitions(c, topics, validate=False, version=3):
    """{name: (error, message)} by CreatePartitions of [(name, count, [[broker]] or None)]."""
    ask = Ask(c, CREATE_PARTITIONS, version, flexible=2)
    brokers = lambda ids: ask.array(ids, ask.i32).end()
    ask.array(topics, lambda name, count, assigned: ask.text(name).i32(count).array(assigned, brokers).end())
    r = ask.i32(30000).i8(validate).end().reply()
    assert r.i32() == 0
    rows = r.array(lambda: r.end((r.string(), (r.i16(), r.string()))))
    r.end(), r.done()
    assert len(dict(rows)) == len(rows), rows
    return dict(rows)


def delete_records(c, topics, version=2):
    """{(name, partition): (low watermark, error)} by DeleteRecords of [(name, [(partition, offset)])]."""
    ask = Ask(c, DELETE_RECORDS, version, flexible=2)
    one = lambda partition, offset: ask.i32(partition).i64(offset).end()
    ask.array(topics, lambda name, partitions: ask.text(name).array(partitions, one).end())
    r = ask.i32(30000).end().reply()
    assert r.i32() == 0
    rows = r.array(lambda: r.end((r.string(), r.array(lambda: r.end((r.i32(), (r.i64(), r.i16())))))))
    r.end(), r.done()
    return {(name, partition): answer for name, partitions in rows for partition, answer in partitions}


def refused(answer, error, words):
    """Is it this error, with these words in its message?"""
    assert answer[0] == error and words in (answer[1] or ""), f"{answer} instead of {error} with {words!r}"


def comes(condition):
    """At once from us, some time later from Kafka."""
    return wait_until(condition, 0 if OURS else 10)


def again(broker, how="kill"):
    """A connection after kill -9 or a clean stop, and a start."""
    getattr(broker, how)()
    broker.start()
    return Connection(broker.port)


# --- configs of topics ---

def topic_configs_are_set_deleted_appended_and_subtracted():
    with open_broker(f"{WORK}/topicconfigs", arguments=["--cores", "2"]) as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t", 2, [("retention.ms", "1000"), ("segment.bytes", "1048576")]) == 0
        for version in (0, 1):
            assert change_one(c, TOPIC, "t", ("retention.ms", SET, f"1{version}234"), version=version) == (0, None)
            assert comes(lambda: shown(c, TOPIC, "t", "retention.ms")[:2] == (f"1{version}234", BY_TOPIC))
        assert change_one(c, TOPIC, "t", ("retention.ms", DELETE, None), ("segment.bytes", SET, "2097152")) == (0, None)
        assert comes(lambda: shown(c, TOPIC, "t", "retention.ms") == ("604800000", BY_DEFAULT, []))
        assert shown(c, TOPIC, "t", "segment.bytes") == (
            "2097152", BY_TOPIC, [("segment.bytes", "2097152", BY_TOPIC), ("log.segment.bytes", "1073741824", BY_DEFAULT)])
        for operation, value, outcome in (
                (APPEND, "compact", "delete,compact"), (APPEND, "compact", "delete,compact"), (SUBTRACT, "delete", "compact"),
                (SUBTRACT, "delete", "compact"), (APPEND, "delete,compact", "compact,delete")):
            assert change_one(c, TOPIC, "t", ("cleanup.policy", operation, value)) == (0, None)
            assert comes(lambda: values(c, "t", "cleanup.policy") == [outcome])
        assert change_one(c, TOPIC, "t", ("nope", DELETE, None)) == (0, None), "deleting what is not there"
        assert change_one(c, TOPIC, "t") == (0, None), "nothing at all"
        before = describe(c, TOPIC, "t")
        assert change_one(c, TOPIC, "t", ("retention.ms", SET, "77"), ("flush.ms", SET, "5"), validate=True) == (0, None)
        assert describe(c, TOPIC, "t") == before, "only validated"
        for how in ("kill", "stop"):
            c = again(broker, how)
            assert describe(c, TOPIC, "t") == before, f"after a {how}"


def bad_changes_of_topics_are_refused_whole():
    with open_broker(f"{WORK}/badconfigs") as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t") == 0 and create_topic(c, "u") == 0
        before = describe(c, TOPIC, "t")
        for configs, error, words in (
                ([("retention.ms", APPEND, "1")], 40, "retention.ms"), ([("nope", APPEND, "1")], 40, "nope"),
                ([("nope", SET, "1")], 40, "nope"), ([("retention.ms", SET, "x")], 40, "retention.ms"),
                ([("retention.ms", SET, "-5")], 40, "retention.ms"), ([("cleanup.policy", APPEND, "shrink")], 40, "cleanup.policy"),
                ([("retention.ms", SET, None)], 42, "retention.ms"), ([("cleanup.policy", APPEND, None)], 42, "cleanup.policy"),
                ([("retention.ms", SET, "1"), ("retention.ms", SET, "2")], 42, ""),
                ([("retention.ms", SET, "1"), ("retention.ms", DELETE, None)], 42, ""),
                ([("flush.ms", SET, "5"), ("retention.ms", SET, "x")], 40, "retention.ms"),
                ([("remote.storage.enable", SET, "true")], 40, "")):
            for validate in (True, False):
                refused(change_one(c, TOPIC, "t", *configs, validate=validate), error, words)
        if OURS:  # Kafka: UNKNOWN_SERVER_ERROR
            refused(change_one(c, TOPIC, "t", ("retention.ms", 9, "1")), 42, "9")
            refused(change_one(c, TOPIC, "t", ("retention.ms", -1, "1")), 42, "-1")
        refused(change_one(c, TOPIC, "none", ("retention.ms", SET, "1")), 3, "'none' does not exist")
        refused(change_one(c, TOPIC, "none"), 3, "")
        refused(change_one(c, TOPIC, "a b", ("retention.ms", SET, "1")), 17, "name")
        refused(change_one(c, TOPIC, "", ("retention.ms", SET, "1")), 42, "Default topic resources are not allowed")
        twice = change(c, [(TOPIC, "t", [("retention.ms", SET, "1")]), (TOPIC, "u", [("flush.ms", SET, "9")]),
                           (TOPIC, "t", [("flush.ms", SET, "1")])])
        assert [row[0] for row in twice] == [42, 0, 42] and "at most once" in twice[0][1], twice
        assert change(c, []) == []
        assert describe(c, TOPIC, "t") == before, "a refused change changed something"
        assert comes(lambda: values(c, "u", "flush.ms") == ["9"]), "the one beside them counts"


def altering_replaces_all_configs_of_a_topic():
    with open_broker(f"{WORK}/altered") as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t", 1, [("flush.ms", "7")]) == 0 and create_topic(c, "u") == 0
        for version in range(3):
            wanted = [(TOPIC, "t", [("retention.ms", f"9{version}9"), ("cleanup.policy", "compact")])]
            assert alter(c, wanted, version=version) == [(0, None, TOPIC, "t")]
            assert comes(lambda: values(c, "t", "retention.ms", "cleanup.policy") == [f"9{version}9", "compact"])
            assert shown(c, TOPIC, "t", "flush.ms")[1] == BY_DEFAULT, "what is not named goes"
        assert alter(c, [(TOPIC, "t", [("flush.ms", "3")])], validate=True) == [(0, None, TOPIC, "t")]
        assert shown(c, TOPIC, "t", "flush.ms")[1] == BY_DEFAULT, "only validated"
        c = again(broker)
        assert values(c, "t", "retention.ms", "cleanup.policy") == ["929", "compact"]
        assert alter(c, [(TOPIC, "t", [])]) == [(0, None, TOPIC, "t")]
        assert comes(lambda: shown(c, TOPIC, "t", "retention.ms")[1] == BY_DEFAULT)
        mixed = alter(c, [(TOPIC, "t", [("retention.ms", "x")]), (TOPIC, "u", [("retention.ms", "50")]), (TOPIC, "none", [])])
        assert [row[0] for row in mixed] == [40, 0, 3] and comes(lambda: values(c, "u", "retention.ms") == ["50"]), mixed
        refused(alter(c, [(TOPIC, "t", [("retention.ms", None)])])[0], 42, "retention.ms")
        refused(alter(c, [(TOPIC, "t", [("retention.ms", "1"), ("retention.ms", "2")])])[0], 42, "")
        refused(alter(c, [(BROKER_LOGGER, "1", [("root", "DEBUG")])])[0], 42, "8")
        if OURS:  # Kafka answers nothing
            twice = alter(c, [(TOPIC, "t", [("flush.ms", "1")]), (TOPIC, "t", [("flush.ms", "2")])])
            assert [row[0] for row in twice] == [42, 42], twice


def clients_that_change_different_keys_at_once_keep_all_of_them():
    keys = ("retention.ms", "segment.ms", "flush.ms", "file.delete.delay.ms", "delete.retention.ms", "max.compaction.lag.ms")
    with Broker(f"{WORK}/atonce", arguments=["--cores", "2"]) as broker:
        assert create_topic(Connection(broker.port), "t") == 0
        wrong = []

        def many(key):
            c = Connection(broker.port)
            for n in range(1, 41):
                answer = change_one(c, TOPIC, "t", (key, SET, str(n * 1000000)))
                seen = values(c, "t", key)
                if answer != (0, None) or seen != [str(n * 1000000)]:
                    wrong.append((key, n, answer, seen))

        threads = [threading.Thread(target=many, args=(key,)) for key in keys]
        [t.start() for t in threads], [t.join() for t in threads]
        assert not wrong, wrong[:3]
        assert values(again(broker), "t", *keys) == ["40000000"] * len(keys)


def altered_configs_count_at_once():
    with open_broker(f"{WORK}/obeyed", arguments=["--cores", "2"]) as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t", 4) == 0
        small, large = batch([b"s" * 1000]), batch([b"l" * 5000])
        all_of = lambda records: [produced(c, "t", p, records)[0] for p in range(4)]
        assert comes(lambda: all_of(large) == [0] * 4)
        assert change_one(c, TOPIC, "t", ("max.message.bytes", SET, "2000")) == (0, None)
        assert comes(lambda: all_of(large) == [10] * 4)
        assert all_of(small) == [0] * 4
        assert change_one(c, TOPIC, "t", ("max.message.bytes", DELETE, None), ("cleanup.policy", SET, "compact")) == (0, None)
        assert comes(lambda: all_of(small) == [87] * 4), "a record without a key in a compacted topic"
        assert change_one(c, TOPIC, "t", ("cleanup.policy", DELETE, None)) == (0, None)
        assert comes(lambda: all_of(large) == [0] * 4)
        assert change_one(c, BROKER, "", ("message.max.bytes", SET, "2000")) == (0, None)
        assert comes(lambda: all_of(large) == [10] * 4), "the broker's key behind the topic's"
        c = again(broker)
        assert all_of(large) == [10] * 4 and all_of(small) == [0] * 4
        assert change_one(c, BROKER, "1", ("message.max.bytes", SET, "100000")) == (0, None)
        assert comes(lambda: all_of(large) == [0] * 4), "of this broker wins over of all brokers"


# --- configs of the broker ---

def broker_configs_are_altered_in_two_layers():
    with open_broker(f"{WORK}/brokerconfigs", {"log.segment.bytes": 33554432}, ["--cores", "2"]) as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t") == 0
        file = [("message.max.bytes", "1048588", BY_DEFAULT)]
        assert shown(c, BROKER, "1", "message.max.bytes") == ("1048588", BY_DEFAULT, file)
        assert change_one(c, BROKER, "1", ("message.max.bytes", SET, "2000000")) == (0, None)
        assert change_one(c, BROKER, "", ("message.max.bytes", SET, "3000000"), ("log.retention.ms", SET, "5000000"),
                          ("log.segment.bytes", SET, "2097152")) == (0, None)
        layers = [("message.max.bytes", "2000000", BY_BROKER), ("message.max.bytes", "3000000", BY_CLUSTER)] + file
        segments = [("log.segment.bytes", "2097152", BY_CLUSTER), ("log.segment.bytes", "33554432", BY_FILE),
                    ("log.segment.bytes", "1073741824", BY_DEFAULT)]
        retention = [("log.retention.ms", "5000000", BY_CLUSTER), ("log.retention.hours", "168", BY_DEFAULT)]
        for how in (None, "kill", "stop"):
            c = again(broker, how) if how else c
            settled = lambda: shown(c, BROKER, "1", "log.segment.bytes") == ("2097152", BY_CLUSTER, segments)
            assert comes(settled), shown(c, BROKER, "1", "log.segment.bytes")
            assert shown(c, BROKER, "1", "message.max.bytes") == ("2000000", BY_BROKER, layers)
            assert shown(c, TOPIC, "t", "max.message.bytes") == ("2000000", BY_BROKER, layers)
            assert shown(c, TOPIC, "t", "segment.bytes") == ("2097152", BY_CLUSTER, segments)
            assert shown(c, TOPIC, "t", "retention.ms") == ("5000000", BY_CLUSTER, retention)
            found = describe(c, BROKER, "")[2]
            assert found["log.retention.ms"][:5] == ("5000000", 0, BY_CLUSTER, 0, [("log.retention.ms", "5000000", BY_CLUSTER)])
            assert set(found) - {"min.insync.replicas"} == {"message.max.bytes", "log.retention.ms", "log.segment.bytes"}
        assert change_one(c, BROKER, "1", ("message.max.bytes", DELETE, None)) == (0, None)
        assert comes(lambda: shown(c, TOPIC, "t", "max.message.bytes") == ("3000000", BY_CLUSTER, layers[1:]))
        assert change_one(c, BROKER, "1", ("log.cleanup.policy", APPEND, "compact")) == (0, None)
        assert comes(lambda: values(c, "t", "cleanup.policy") == ["delete,compact"])
        assert alter(c, [(BROKER, "1", [("log.flush.interval.messages", "77")])]) == [(0, None, BROKER, "1")]
        assert comes(lambda: values(c, "t", "cleanup.policy", "flush.messages") == ["delete", "77"])
        before = describe(c, BROKER, "1")
        assert change_one(c, BROKER, "1", ("message.max.bytes", SET, "9"), validate=True) == (0, None)
        assert describe(c, BROKER, "1") == before, "only validated"


def bad_changes_of_brokers_are_refused():
    with open_broker(f"{WORK}/badbroker") as broker:
        c = Connection(broker.port)
        before = describe(c, BROKER, "1")
        for name, configs, error, words in (
                ("1", [("node.id", SET, "3")], 42, "node.id"),
                ("", [("num.partitions", SET, "3")], 42, "num.partitions"),
                ("1", [("auto.create.topics.enable", SET, "false")], 42, "auto.create.topics.enable"),
                ("1", [("message.max.bytes", SET, "x")], 42, "message.max.bytes"),
                ("1", [("message.max.bytes", SET, "-1")], 42, "message.max.bytes"),
                ("1", [("message.max.bytes", APPEND, "1")], 40, "message.max.bytes"),
                ("1", [("what.ever", APPEND, "1")], 40, "what.ever"),
                ("1", [("message.max.bytes", SET, None)], 42, "message.max.bytes"),
                ("1", [("message.max.bytes", 9, "1")], 42, "9"),
                ("2", [("message.max.bytes", SET, "1")], 42, "expected 1, but received 2"),
                ("x", [("message.max.bytes", SET, "1")], 42, "must be an integer, but it is: x")):
            for validate in (True, False):
                refused(change_one(c, BROKER, name, *configs, validate=validate), error, words)
        refused(alter(c, [(BROKER, "1", [("num.partitions", "77")])])[0], 42, "num.partitions")
        assert change_one(c, BROKER, "1", ("node.id", DELETE, None)) == (0, None), "deleting what is not there"
        assert describe(c, BROKER, "1") == before


def other_resources_are_refused_as_far_as_they_are_none():
    with open_broker(f"{WORK}/others") as broker:
        c = Connection(broker.port)
        for kind in (0, 1, 3, 5, 99, -3):
            refused(change_one(c, kind, "x", ("a", SET, "1")), 42, f"Unknown resource type {kind}")
            assert describe(c, kind, "x")[0] == 42
        refused(change_one(c, BROKER_LOGGER, "1", ("kafka.nope", SET, "DEBUG")), 40, "Logger kafka.nope does not exist!")
        refused(change_one(c, BROKER_LOGGER, "1", ("kafka.nope", APPEND, "DEBUG")), 42, "")
        refused(change_one(c, BROKER_LOGGER, "2", ("kafka.nope", SET, "DEBUG")), 42, "xpected")
        refused(change_one(c, BROKER_LOGGER, "", ("kafka.nope", SET, "DEBUG")), 42, "must be an integer")
        assert describe(c, BROKER_LOGGER, "1")[0] == 0 and "kafka.nope" not in describe(c, BROKER_LOGGER, "1")[2]
        refused(describe(c, BROKER_LOGGER, ""), 42, "must not be empty")
        refused(describe(c, BROKER_LOGGER, "2"), 42, "Unexpected broker id")
        refused(describe(c, BROKER, "2"), 42, "Unexpected broker id")
        refused(describe(c, BROKER, "x"), 42, "must be an integer, but it is: x")
        for kind in (CLIENT_METRICS, GROUP):
            assert change_one(c, kind, "x", ("nope", SET, "1"))[0] in (40, 42)
            assert describe(c, kind, "")[0] == 42
        assert describe(c, TOPIC, "")[0] == 17 and describe(c, TOPIC, "a b")[0] == 17 and describe(c, TOPIC, "none")[0] == 3


# --- describing them ---

def configs_are_described_with_their_sources():
    with Broker(f"{WORK}/configs", {"log.segment.bytes": 33554432, "write.caching": "true"}) as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t", configs=[("retention.ms", "1234"), ("cleanup.policy", "compact")]) == 0
        for c in (c, None):
            c = c or again(broker)
            segments = [("log.segment.bytes", "33554432", BY_FILE), ("log.segment.bytes", "1073741824", BY_DEFAULT)]
            assert shown(c, TOPIC, "t", "retention.ms") == ("1234", BY_TOPIC, [("retention.ms", "1234", BY_TOPIC)])
            assert shown(c, TOPIC, "t", "segment.bytes") == ("33554432", BY_FILE, segments)
            assert shown(c, TOPIC, "t", "max.message.bytes")[:2] == ("1048588", BY_DEFAULT)
            assert shown(c, TOPIC, "t", "write.caching")[:2] == ("true", BY_FILE)
            assert shown(c, BROKER, "1", "log.segment.bytes") == ("33554432", BY_FILE, segments)
            assert shown(c, BROKER, "1", "num.partitions")[1] == BY_DEFAULT
            assert describe(c, BROKER, "") == (0, "", {}), "nothing was altered"


def every_config_is_described():
    with open_broker(f"{WORK}/described", {"ssl.keystore.password": "secret"} if OURS else {}) as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t", 1, [("flush.ms", "5")]) == 0
        for kind, name, least in ((TOPIC, "t", 33), (BROKER, "1", 300)):
            newest = describe(c, kind, name)
            assert newest[0] == 0 and len(newest[2]) >= least
            for key, (value, _, source, sensitive, synonyms, of_type, text) in newest[2].items():
                assert of_type in range(1, 10) and text and source in (BY_TOPIC, BY_BROKER, BY_CLUSTER, BY_FILE, BY_DEFAULT), key
                assert sensitive == (of_type == PASSWORD) and (value is None or not sensitive), key
                order = [level for _, _, level in synonyms]
                assert order == sorted(order) and source == (order[0] if order else BY_DEFAULT), (key, source, synonyms)
            for version in range(0 if OURS else 1, 5):
                older = describe(c, kind, name, version=version)[2]
                assert set(older) == set(newest[2])
                for key, row in older.items():
                    full = newest[2][key]
                    least = (full[0], full[1], full[2] if version else int(full[2] == BY_DEFAULT), full[3])
                    rest = (full[4] if version else None,) + (full[5:] if version >= 3 else (None, None))
                    assert row == least + rest, (version, key, row, full)
            plain = describe(c, kind, name, synonyms=False, documentation=False)[2]
            assert all(row[4] == [] and row[6] is None for row in plain.values())
        assert set(describe(c, TOPIC, "t", ["flush.ms", "nope", "retention.ms"])[2]) == {"flush.ms", "retention.ms"}
        assert describe(c, TOPIC, "t", [])[2].keys() == describe(c, TOPIC, "t")[2].keys(), "no names are all names"
        found = describe(c, BROKER, "1")[2]
        for key, read_only, of_type in (("message.max.bytes", 0, INT), ("num.partitions", 1, INT), ("log.retention.ms", 0, LONG),
                                        ("log.cleanup.policy", 0, LIST), ("delete.topic.enable", 1, BOOLEAN)):
            assert (found[key][1], found[key][5]) == (read_only, of_type), (key, found[key])
        if OURS:
            assert found["ssl.keystore.password"][:5] == (None, 1, BY_FILE, 1, [("ssl.keystore.password", None, BY_FILE)])


# --- CreatePartitions ---

def partitions_of(c, name):
    r = Reader(c.call(METADATA, 1, i32(1) + string(name)))
    for _ in range(r.i32()):
        r.i32(), r.text(), r.i32(), r.text()
    r.i32()
    assert r.i32() == 1 and r.i16() == 0 and r.text() == name
    r.i8()
    return r.i32()


def partitions_are_added_and_used_at_once():
    with open_broker(f"{WORK}/more", arguments=["--cores", "2"]) as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t", 2) == 0 and create_topic(c, "u") == 0
        assert [produced(c, "t", p, batch([b"x"])) for p in range(3)] == [(0, 0), (0, 0), (3, -1)]
        for version in range(4):
            count = 4 + version
            assert add_partitions(c, [("t", count, None)], validate=True, version=version) == {"t": (0, None)}
            assert partitions_of(c, "t") == count - (1 if version else 2), "only validated"
            assert add_partitions(c, [("t", count, None)], version=version) == {"t": (0, None)}
            assert comes(lambda: partitions_of(c, "t") == count)
        assert [produced(c, "t", p, batch([b"y"])) for p in range(7)] == [(0, 1)] * 2 + [(0, 0)] * 5
        assert add_partitions(c, [("t", 9, [[1], [1]]), ("u", 3, None), ("none", 2, None)]) == {
            "t": (0, None), "u": (0, None), "none": (3, None)}
        c = again(broker)
        assert (partitions_of(c, "t"), partitions_of(c, "u")) == (9, 3)
        assert [produced(c, "t", p, batch([b"z"])) for p in range(9)] == [(0, 2)] * 2 + [(0, 1)] * 5 + [(0, 0)] * 2


def bad_numbers_of_partitions_are_refused():
    with open_broker(f"{WORK}/badmore") as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t", 4) == 0 and create_topic(c, "u", 1) == 0
        for topic, error, words in (
                (("t", 4, None), 37, "already has 4 partition(s)"), (("t", 3, None), 37, "would not be an increase"),
                (("t", 0, None), 37, "increase"), (("t", -1, None), 37, "increase"), (("none", 4, None), 3, ""),
                (("a b", 4, None), 3, ""), (("t", 6, [[1]]), 39, "add 2 additional partition(s), but only 1 assignment(s)"),
                (("t", 6, []), 39, "but only 0"), (("t", 6, [[1], []]), 39, "empty replica list"),
                (("t", 6, [[1], [2]]), 39, "includes broker 2, but no such broker is registered"),
                (("t", 6, [[1], [1, 1]]), 39, "the broker 1 more than once")):
            for validate in (True, False):
                refused(add_partitions(c, [topic], validate)[topic[0]], error, words)
        if OURS:
            refused(add_partitions(c, [("t", 2000000000, None)])["t"], 37, "100000")
        twice = add_partitions(c, [("t", 5, None), ("t", 6, None), ("u", 2, None)])
        assert twice == {"t": (42, "Duplicate topic name."), "u": (0, None)}, twice
        assert add_partitions(c, []) == {} and partitions_of(c, "t") == 4


# --- DeleteRecords ---

def records_before_an_offset_are_deleted():
    with open_broker(f"{WORK}/records", arguments=["--cores", "2"]) as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t", 3) == 0
        assert comes(lambda: all(list_offset(c, "t", p, LATEST) == (0, 0) for p in range(3)))
        for partition in range(3):
            for n in range(3):
                assert produced(c, "t", partition, batch([b"a", b"b", b"c"])) == (0, 3 * n)
        earliest = lambda partition: list_offset(c, "t", partition, EARLIEST)
        for version, offset in ((0, 2), (1, 4), (2, 5)):
            assert delete_records(c, [("t", [(0, offset)])], version) == {("t", 0): (offset, 0)}
            assert earliest(0) == (0, offset)
        assert delete_records(c, [("t", [(0, 1)])]) == {("t", 0): (5, 0)}, "it never goes back"
        assert delete_records(c, [("t", [(0, 10)])]) == {("t", 0): (-1, 1)}, "beyond the high watermark"
        assert delete_records(c, [("t", [(0, -2)])]) == {("t", 0): (-1, 1)}
        assert fetched(c, "t", 0, 4)[0] == 1, "a fetch below the start"
        error, _, records = fetched(c, "t", 0, 5)
        assert error == 0 and struct.unpack(">q", records[:8])[0] == 3, "the batch that holds offset 5"
        assert delete_records(c, [("t", [(1, -1), (2, 9), (77, 1), (-1, 0)]), ("none", [(0, 1)])]) == {
            ("t", 1): (9, 0), ("t", 2): (9, 0), ("t", 77): (-1, 3), ("t", -1): (-1, 3), ("none", 0): (-1, 3)}
        assert fetched(c, "t", 1, 9)[::2] == (0, b"") and fetched(c, "t", 1, 8)[0] == 1
        c = again(broker, "kill" if OURS else "stop")  # Kafka writes the start each minute, and when it stops
        assert [earliest(p) for p in range(3)] == [(0, 5), (0, 9), (0, 9)]
        assert [produced(c, "t", p, batch([b"n"])) for p in range(3)] == [(0, 9)] * 3
        assert fetched(c, "t", 0, 4)[0] == 1 and b"n" in fetched(c, "t", 2, 9)[2]
        assert delete_records(c, [("t", [(p, -1) for p in range(3)])]) == {("t", p): (10, 0) for p in range(3)}


def records_that_may_not_be_deleted_stay():
    with open_broker(f"{WORK}/norecords") as broker:
        c = Connection(broker.port)
        assert create_topic(c, "compacted", 1, [("cleanup.policy", "compact")]) == 0
        assert create_topic(c, "both", 1, [("cleanup.policy", "compact,delete")]) == 0
        keyed = batch([b"a"] * 3, records=b"".join(record(b"v", b"k", n) for n in range(3)))
        for topic in ("compacted", "both"):
            assert comes(lambda: list_offset(c, topic, 0, LATEST) == (0, 0)) and produced(c, topic, 0, keyed) == (0, 0)
        assert delete_records(c, [("compacted", [(0, 1), (5, 1)])]) == {("compacted", 0): (-1, 44), ("compacted", 5): (-1, 3)}
        assert delete_records(c, [("both", [(0, 1)])]) == {("both", 0): (1, 0)}
        assert change_one(c, TOPIC, "both", ("cleanup.policy", SUBTRACT, "delete")) == (0, None)
        assert comes(lambda: delete_records(c, [("both", [(0, 2)])]) == {("both", 0): (-1, 44)})
        starts = [list_offset(c, topic, 0, EARLIEST) for topic in ("compacted", "both")]
        assert starts == [(0, 0), (0, 1)], starts
        internal = "__consumer_offsets"
        assert wait_until(lambda: Reader(c.call(10, 1, string("group") + i8(0))).raw[4:6] == i16(0), 20), "no coordinator"
        assert comes(lambda: delete_records(c, [(internal, [(0, 0)])]) == {(internal, 0): (-1, 17)})
        if OURS:  # Kafka allows it, and loses sight of committed offsets
            refused(add_partitions(c, [(internal, 99, None)])[internal], 17, "internal")


# --- DescribeLogDirs ---

def log_dirs(c, topics=None, version=5):
    """(folder, {topic: {partition: (size, lag, future)}}, total, usable)."""
    ask = Ask(c, DESCRIBE_LOG_DIRS, version, flexible=2)
    ask.array(topics, lambda name, parts: ask.text(name).array(parts, ask.i32).end())
    r = ask.end().reply()

    def topic():
        name = r.string()
        return r.end((name, dict(r.array(lambda: r.end((r.i32(), (r.i64(), r.i64(), r.i8())))))))

    def folder():
        error, path, found = r.i16(), r.string(), r.array(topic)
        assert error == 0 and len(dict(found)) == len(found), (error, found)
        total, usable = (r.i64(), r.i64()) if version >= 4 else (-1, -1)
        assert version < 5 or r.i8() == 0, "cordoned"
        return r.end((path, dict(found), total, usable))

    assert r.i32() == 0 and (version < 3 or r.i16() == 0)
    folders = r.array(folder)
    r.end(), r.done()
    assert len(folders) == 1, folders
    return folders[0]


def log_folders_are_described_with_every_partition():
    with Broker(f"{WORK}/logdirs", arguments=["--cores", "2"]) as broker:
        c = Connection(broker.port)
        assert log_dirs(c)[:2] == (broker.data, {})
        assert create_topic(c, "a", 3) == 0 and create_topic(c, "b", 5) == 0
        sizes = {}
        for partition in range(5):
            records = batch([b"x" * 1000 * (partition + 1)])
            sizes[partition] = 2 * len(records)
            assert produced(c, "b", partition, records)[0] == 0 and produced(c, "b", partition, records)[0] == 0
        written = {p: (size, 0, 0) for p, size in sizes.items()}
        nothing = {p: (0, 0, 0) for p in range(3)}
        for again in range(2):
            for version in range(1, 6):
                path, found, total, usable = log_dirs(c, version=version)
                assert path == broker.data and found == {"a": nothing, "b": written}, (version, path, found)
                assert version < 4 or 0 < usable <= total, (version, total, usable)
                some = [("b", [4, 1, 1, 5, -1]), ("nope", [0]), ("a", []), ("b", [1, 0])]
                found = log_dirs(c, some, version)[1]
                assert found == {"b": {p: written[p] for p in (0, 1, 4)}}, (version, found)
                assert log_dirs(c, [], version)[1] == {}
            if not again:
                broker.kill()
                broker.start()
                c = Connection(broker.port)


def ten_thousand_partitions_are_described_at_once():
    with Broker(f"{WORK}/manydirs", arguments=["--cores", "2"]) as broker:
        c = Connection(broker.port)
        assert create_topic(c, "t", 9000) == 0 and create_topic(c, "u", 1000) == 0
        found = log_dirs(c)[1]
        assert (len(found["t"]), len(found["u"])) == (9000, 1000) and set(found["t"].values()) == {(0, 0, 0)}


def log_folders_are_named_from_the_root_on():
    folder = f"{WORK}/relative"
    with Broker(folder, {"log.dirs": f"{folder}/data"}) as broker:
        assert log_dirs(Connection(broker.port))[0] == os.path.abspath(f"{folder}/data")


# --- nonsense ---

class Tape:
    """Takes down a request instead of sending it."""

    def call(self, key, version, body):
        self.taken = request(key, version, body)[4:]
        raise EOFError

    def send(self, raw):
        self.taken = raw[4:]
        raise EOFError


def taken(ask, *args, **options):
    tape = Tape()
    try:
        ask(tape, *args, **options)
    except EOFError:
        return tape.taken
    raise AssertionError("nothing was asked")


def survives(broker, raw):
    """The broker answers or closes; either is fine, and it goes on."""
    with Connection(broker.port) as c:
        c.send(i32(len(raw)) + raw)
        try:
            c.reply()
        except (EOFError, ConnectionError):
            pass


def nonsense_in_these_requests_is_survived():
    configs = [(TOPIC, "t", [("flush.ms", SET, "5"), ("cleanup.policy", APPEND, "compact")]), (BROKER, "", [])]
    whole = [(TOPIC, "t", [("flush.ms", "5")]), (BROKER, "1", [("log.flush.interval.ms", None)])]
    requests = [taken(change, configs, version=v) for v in range(2)] + [taken(alter, whole, version=v) for v in range(3)]
    requests += [taken(add_partitions, [("t", 5, [[1], [1]]), ("u", 2, None)], version=v) for v in range(4)]
    requests += [taken(delete_records, [("t", [(0, 1), (1, -1)]), ("none", [(0, 0)])], version=v) for v in range(3)]
    requests += [taken(log_dirs, topics, version=v) for v in range(1, 6) for topics in (None, [("t", [0, 1]), ("u", [])])]
    requests += [taken(describe, kind, "t", ["flush.ms"], version=v) for v in range(5) for kind in (TOPIC, BROKER)]
    rng = random.Random(4)
    with Broker(f"{WORK}/nonsense", arguments=["--cores", "2"]) as broker:
        assert create_topic(Connection(broker.port), "t", 3) == 0
        for raw in requests:
            survives(broker, raw)
            for at in range(10, len(raw), 3):
                survives(broker, raw[:at])
            for _ in range(25):
                changed = bytearray(raw)
                for _ in range(rng.randint(1, 3)):
                    changed[rng.randrange(8, len(raw))] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
                survives(broker, bytes(changed))
        assert broker.running(), broker.log()[-2000:]
        assert again(broker) and create_topic(Connection(broker.port), "u") == 0


CASES = (
    nonsense_in_these_requests_is_survived,
    topic_configs_are_set_deleted_appended_and_subtracted, bad_changes_of_topics_are_refused_whole,
    altering_replaces_all_configs_of_a_topic, clients_that_change_different_keys_at_once_keep_all_of_them,
    altered_configs_count_at_once, broker_configs_are_altered_in_two_layers, bad_changes_of_brokers_are_refused,
    other_resources_are_refused_as_far_as_they_are_none, configs_are_described_with_their_sources,
    every_config_is_described,
    partitions_are_added_and_used_at_once, bad_numbers_of_partitions_are_refused,
    records_before_an_offset_are_deleted, records_that_may_not_be_deleted_stay,
    log_folders_are_described_with_every_partition, ten_thousand_partitions_are_described_at_once,
    log_folders_are_named_from_the_root_on,
)
