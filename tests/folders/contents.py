"""What a data folder holds, as clients see it: filled to make a fixture, and looked at to compare.

`fill` writes a bit of everything; `look` answers all of it as one dictionary that JSON can hold: topics with ids, settings and
every record of every partition, the broker's settings, what groups committed, and transactions (transacted.py) where there are some."""
import hashlib
import struct
import time

import transacted
from codecs_of_kafka import GZIP, LZ4, NONE, SNAPPY, ZSTD, pack, unpack
from messages import alter, call, coordinated
from transacted import SMALL_SEGMENTS
from wire import *

T0 = 1700000000000
TOPIC, BROKER = 2, 4
BY_TOPIC, BY_BROKER, BY_CLUSTER = 1, 2, 3
UNKNOWN_TOPIC_ID = 100
GROUPS = {"readers": [("plain", 0, 17, "by hand"), ("plain", 1, 5, ""), ("packed", 0, 40, "é")], "others": [("rolled", 0, 99, "")]}


# --- records ---

def body_of(delta, timestamp, key, value):
    record = i8(0) + varint(timestamp) + varint(delta)
    record += varint(-1) if key is None else varint(len(key)) + key
    record += varint(len(value)) + value + varint(1) + varint(1) + b"h" + varint(2) + b"hv"
    return varint(len(record)) + record


def batch_of(first, count, codec=NONE, producer=(-1, -1, -1), size=20):
    """`count` records, which say their own number."""
    rows = [(i, i * 10, None if i % 3 == 0 else b"key-%d" % (first + i), b"value-%d-" % (first + i) + b"x" * size) for i in range(count)]
    records = b"".join(body_of(*row) for row in rows)
    return batch([b""] * count, attributes=codec, records=pack(codec, records), timestamp=T0 + first * 1000, producer=producer)


def take_varint(raw, at):
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (value >> 1) ^ -(value & 1), at


def take_text(raw, at):
    n, at = take_varint(raw, at)
    return (None, at) if n < 0 else (raw[at:at + n].decode(), at + n)


def records_of(base, first, raw):
    """[offset, timestamp, key, value, headers] of each record of an unpacked batch."""
    found, at = [], 0
    while at < len(raw):
        _, at = take_varint(raw, at)
        at += 1
        stamp, at = take_varint(raw, at)
        delta, at = take_varint(raw, at)
        key, at = take_text(raw, at)
        value, at = take_text(raw, at)
        count, at = take_varint(raw, at)
        headers = []
        for _ in range(count):
            name, at = take_text(raw, at)
            content, at = take_text(raw, at)
            headers.append([name, content])
        found.append([base + delta, first + stamp, key, value, headers])
    return found


def batches_of(raw):
    """(base offset, the one behind it, leader epoch, attributes, first timestamp, packed records) of what a Fetch brought."""
    at = 0
    while at + 61 <= len(raw):
        base, length, epoch, magic, _, attributes, last, first = struct.unpack_from(">qiibIhiq", raw, at)
        assert magic == 2 and at + 12 + length <= len(raw), "a Fetch brought half a batch"
        yield base, base + last + 1, epoch, attributes, first, raw[at + 61:at + 12 + length]
        at += 12 + length


# --- looking ---

def look_at_log(c, topic, partition, internal):
    """Ends, epochs, every record; and a digest of the bytes themselves."""
    start, end = (list_offset(c, topic, partition, when) for when in (EARLIEST, LATEST))
    assert start[0] == end[0] == 0, f"{topic}-{partition}: ListOffsets answers {start[0]} and {end[0]}"
    at, digest, epochs, records = start[1], hashlib.sha256(), [], []
    while at < end[1]:
        error, high, raw = fetched(c, topic, partition, at)
        assert error == 0 and high == end[1] and raw, f"{topic}-{partition} at {at}: error {error}, {len(raw)} bytes"
        for base, behind, epoch, attributes, first, packed in batches_of(raw):
            if not internal:  # a group's record is not text
                records += records_of(base, first, unpack(attributes & 7, packed))
            if not epochs or epochs[-1][0] != epoch:
                epochs.append([epoch, base])
            at = behind
        digest.update(raw)
    kept = [r for r in records if r[0] >= start[1]]
    return {"start": start[1], "end": end[1], "epochs": epochs, "bytes": digest.hexdigest(), "records": kept,
            "by time": [list_offset(c, topic, partition, r[1]) for r in kept[::7]]}


def settings_of(c, kind, name, sources):
    r = call(c, "describe_configs", 4, resources=[{"resource_type": kind, "resource_name": name, "configuration_keys": None}]).results[0]
    assert r.error_code == 0, f"DescribeConfigs of {name} answers {r.error_code}"
    return {e.name: e.value for e in r.configs if e.config_source in sources}


def committed(c, group):
    g = call(c, "offset_fetch", 9, groups=[{"group_id": group, "topics": None}]).groups[0]
    assert g.error_code == 0, f"OffsetFetch of {group} answers {g.error_code}"
    rows = [[t.name, p.partition_index, p.committed_offset, p.metadata] for t in g.topics for p in t.partitions]
    return sorted(rows)


def loaded(c):
    until = time.monotonic() + 20
    while not coordinated(c, list(GROUPS)):
        assert time.monotonic() < until, "the groups are not loaded"
        time.sleep(0.02)


def plain(value):
    """As JSON gives it back."""
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def look(port):
    with Connection(port) as c:
        loaded(c)
        answer = call(c, "metadata", 12, topics=None)
        topics = {}
        for t in sorted(answer.topics, key=lambda t: t.name):
            assert t.error_code == 0, f"Metadata answers {t.error_code} for {t.name}"
            logs = [look_at_log(c, t.name, p, t.is_internal) for p in range(len(t.partitions))]
            topics[t.name] = {"id": t.topic_id.hex(), "internal": bool(t.is_internal), "settings": settings_of(c, TOPIC, t.name, [BY_TOPIC]),
                              "partitions": [{k: plain(v) for k, v in log.items()} for log in logs]}
        brokers = {"own": settings_of(c, BROKER, "1", [BY_BROKER]), "all": settings_of(c, BROKER, "", [BY_CLUSTER])}
        found = {"cluster": answer.cluster_id, "topics": topics, "settings": brokers, "groups": {g: plain(committed(c, g)) for g in GROUPS}}
        return {**found, "transactions": transacted.look(c)} if transacted.TOPIC in topics else found


# --- filling ---

def ok(error, what):
    assert error == 0, f"{what} answers {error}"


def must_alter(c, kind, name, **values):
    error, why = alter(c, name, kind, **values)
    ok(error, f"altering {name} ({why})")


def write(c, topic, partition, first, count, times, **more):
    for i in range(times):
        ok(produced(c, topic, partition, batch_of(first + i * count, count, **more))[0], f"Produce to {topic}")


def producer_of(c):
    r = call(c, "init_producer_id", 4, transactional_id=None, transaction_timeout_ms=60000, producer_id=-1, producer_epoch=-1)
    ok(r.error_code, "InitProducerId")
    return r.producer_id, r.producer_epoch


def commit_all(c):
    loaded(c)
    for group, rows in GROUPS.items():
        topics = [{"name": t, "partitions": [{"partition_index": p, "committed_offset": o, "committed_metadata": m}]} for t, p, o, m in rows]
        r = call(c, "offset_commit", 9, group_id=group, topics=topics)
        for t in r.topics:
            ok(t.partitions[0].error_code, f"OffsetCommit of {group}")


def fill(port):
    """Everything but `fill_more`; answers what a look cannot see: {"deleted": ids, "producer" and "open": (id, epoch, next sequence)}."""
    with Connection(port) as c:
        for name, partitions, configs in (("plain", 3, []), ("packed", 1, []), ("rolled", 2, SMALL_SEGMENTS), ("trimmed", 1, SMALL_SEGMENTS),
                                          ("cached.with.dots", 1, [("write.caching", "true")]), ("empty", 2, [("retention.ms", "12345")]),
                                          ("stamped", 1, [("message.timestamp.type", "LogAppendTime")]), ("gone", 2, [])):
            ok(create_topic(c, name, partitions, configs), f"CreateTopics of {name}")
        for partition in range(2):
            write(c, "plain", partition, 0, 5, 4 + partition)
        for codec in range(5):
            write(c, "packed", 0, codec * 100, 10, 2, codec=codec)
        write(c, "rolled", 0, 0, 8, 20, codec=ZSTD)
        write(c, "rolled", 0, 500, 8, 20)
        write(c, "trimmed", 0, 0, 5, 30)
        write(c, "cached.with.dots", 0, 0, 3, 3, codec=LZ4)
        write(c, "stamped", 0, 0, 4, 2, codec=SNAPPY)
        write(c, "gone", 0, 0, 5, 2, codec=GZIP)
        r = call(c, "delete_records", 2, topics=[{"name": "trimmed", "partitions": [{"partition_index": 0, "offset": 77}]}], timeout_ms=9000)
        ok(r.topics[0].partitions[0].error_code, "DeleteRecords")
        gone = call(c, "metadata", 12, topics=[{"name": "gone"}]).topics[0].topic_id
        ok(call(c, "delete_topics", 6, topics=[{"name": "gone"}], timeout_ms=9000).responses[0].error_code, "DeleteTopics")
        r = call(c, "create_partitions", 3, topics=[{"name": "empty", "count": 5, "assignments": None}], timeout_ms=9000, validate_only=False)
        ok(r.results[0].error_code, "CreatePartitions")
        must_alter(c, TOPIC, "plain", max_message_bytes="654321", segment_bytes="2000000")
        must_alter(c, BROKER, "", message_max_bytes="987654")
        must_alter(c, BROKER, "1", log_segment_bytes="3000000")
        commit_all(c)
        producer, epoch = producer_of(c)
        for i in range(3):
            ok(produced(c, "plain", 2, batch_of(i * 4, 4, producer=(producer, epoch, i * 4)))[0], "Produce with a sequence")
        return {"deleted": [gone.hex()], "producer": [producer, epoch, 12], **transacted.fill(c)}


def fill_more(port):
    """After another start: another leader epoch where the stop was none."""
    with Connection(port) as c:
        write(c, "plain", 0, 900, 5, 2)
        write(c, "rolled", 0, 900, 8, 4, codec=GZIP)
        write(c, "cached.with.dots", 0, 900, 3, 2)
        commit_all(c)
        transacted.fill_more(c)
