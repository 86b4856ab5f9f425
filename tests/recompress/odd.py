"""Batches that no client makes, to Apache Kafka and to us: answers and what is stored of them are compared.

Only gzip is packed here (Python's own library has it); what comes out of the other codecs is in `pairs`. Ours unpacks every batch, as
Kafka does: batch.validation=deep. `DIFFERENT` names every difference that is meant; any other is a failure, and so is one of these
that has gone.
"""
import gzip
import os
import time

from apache import ApacheKafka
from broker import Broker
from harness import wait_until
from messages import call
from segments import batches
from wire import Connection, batch, i8, varint

GZIP, SNAPPY, LZ4, ZSTD, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 1, 2, 3, 4, 8, 16, 32
NOW = int(time.time() * 1000)
UNKNOWN_SERVER_ERROR, INVALID_RECORD = -1, 87

TOPICS = {
    "plain": {},
    "gzip": {"compression.type": "gzip"},
    "uncompressed": {"compression.type": "uncompressed"},
    "snappy": {"compression.type": "snappy"},
    "lz4": {"compression.type": "lz4", "compression.lz4.level": "12"},
    "zstd": {"compression.type": "zstd", "compression.zstd.level": "1"},
    "compacted": {"cleanup.policy": "compact"},
    "compacted-lz4": {"cleanup.policy": "compact", "compression.type": "lz4"},
    "append-time": {"message.timestamp.type": "LogAppendTime"},
    "append-time-zstd": {"message.timestamp.type": "LogAppendTime", "compression.type": "zstd"},
    "bounds": {"message.timestamp.before.max.ms": "3600000", "message.timestamp.after.max.ms": "3600000"},
    "bounds-gzip": {"message.timestamp.before.max.ms": "3600000", "compression.type": "gzip"},
    "small": {"max.message.bytes": "5000", "compression.type": "uncompressed"},
}


def record(i, key=b"k", value=b"value " * 20, delta=0, offset=None, attributes=0):
    body = i8(attributes) + varint(delta) + varint(i if offset is None else offset)
    body += varint(-1) if key is None else varint(len(key)) + key
    body += varint(-1) if value is None else varint(len(value)) + value
    body += varint(1) + varint(1) + b"h" + varint(-1)
    return varint(len(body)) + body


def raw(count=5, **fields):
    """Fields that are functions are asked for each record."""
    return b"".join(record(i, **{k: v(i) if callable(v) else v for k, v in fields.items()}) for i in range(count))


def sealed(records, count=5, codec=0, **fields):
    fields = {"timestamp": NOW, "attributes": codec, **fields}
    return batch([b""] * count, records=records, **fields)


def packed(records, count=5, **fields):
    return sealed(gzip.compress(records, 6, mtime=0), count, **{"codec": GZIP, **fields})


def both(name, records, count=5, **fields):
    return [(name, sealed(records, count, **fields)), (f"{name}, gzip", packed(records, count, **fields))]


def cases():
    found = []
    found += both("usual", raw())
    found += both("one record", raw(1), 1)
    found += both("of a producer", raw(), producer=(4000, 0, 0))
    found += both("of that producer again", raw(), producer=(4000, 0, 0))
    found += both("of that producer, behind a gap", raw(), producer=(4000, 0, 50))
    found += both("no key in two records", raw(key=lambda i: None if i in (1, 3) else b"k"))
    found += both("no key in any record", raw(key=None))
    found += both("no value", raw(value=None))
    found += both("an old record", raw(delta=lambda i: -7200000 if i == 2 else 0))
    found += both("old records", raw(delta=-7200000))
    found += both("a record of the future", raw(delta=lambda i: 7200000 if i == 4 else 0))
    found += both("an old record and one without a key", raw(delta=lambda i: -7200000 if i == 2 else 0, key=lambda i: None if i == 0 else b"k"))
    found += both("no timestamp", raw(), timestamp=-1)
    found += both("a first record that is not the base", raw(delta=lambda i: 1000 + i))
    found += both("times that fall", raw(delta=lambda i: -i))
    found += both("one record less than announced", raw(4))
    found += both("one record more than announced", raw(6))
    found += both("no records at all", b"", 0)
    found += both("bytes behind the records", raw() + b"\0\0")
    found += both("a record that ends early", raw()[:-3])
    found += both("a count that is not the last delta's", raw(), last_delta=7)
    found += both("a wrong CRC", raw(), crc=1234)
    found += both("the bit of LogAppendTime", raw(), attributes=LOG_APPEND_TIME)
    found[-1] = (found[-1][0], packed(raw(), attributes=GZIP | LOG_APPEND_TIME))
    found += both("the bit of control", raw(), attributes=CONTROL)
    found[-1] = (found[-1][0], packed(raw(), attributes=GZIP | CONTROL))
    found += both("offset deltas that jump", raw(offset=lambda i: 2 * i))
    found += both("attributes of records", raw(attributes=5))
    found.append(("no gzip stream", sealed(raw(), codec=GZIP)))
    found.append(("a cut gzip stream", sealed(gzip.compress(raw(), 6)[:-12], codec=GZIP)))
    found.append(("two gzip members", sealed(gzip.compress(raw()[:100], 6) + gzip.compress(raw()[100:], 6), codec=GZIP)))
    found.append(("garbage behind a gzip stream", sealed(gzip.compress(raw(), 6) + b"garbage", codec=GZIP)))
    found += [(f"no stream of codec {codec}", sealed(raw(), codec=codec)) for codec in (SNAPPY, LZ4, ZSTD)]
    found += both("large, of zeros", raw(value=bytes(20000)))
    return found


# What is meant: does it explain these two answers?
DIFFERENT = {
    "a duplicate's log_append_time_ms: Kafka names its largest timestamp also where the topic has CreateTime":
        lambda name, kafka, ours: kafka == {**ours, "append time": True} and ours["offset"] == "old",
    "what cannot be unpacked, or read: Kafka blames itself":
        lambda name, kafka, ours: kafka == {**ours, "error": UNKNOWN_SERVER_ERROR} and ours["error"] == INVALID_RECORD,
    "offset deltas that do not count from 0: Kafka stores them so, or counts anew where it packs anew":
        lambda name, kafka, ours: name.startswith("offset deltas that jump") and kafka["error"] == 0 and ours["error"] == INVALID_RECORD,
}


def asked(world, topic, records):
    answer = call(world, "produce", 9, transactional_id=None, acks=-1, timeout_ms=10000,
                  topic_data=[{"name": topic, "partition_data": [{"index": 0, "records": records}]}])
    r = answer.responses[0].partition_responses[0]
    return {"error": r.error_code, "offset": r.base_offset, "append time": r.log_append_time_ms >= 0,
            "faults": [e.batch_index for e in r.record_errors]}


def make_topics(world, ours):
    topics = [{"name": name, "num_partitions": 1, "replication_factor": 1,
               "configs": [{"name": k, "value": v} for k, v in {**configs, **({"batch.validation": "deep"} if ours else {})}.items()]}
              for name, configs in TOPICS.items()]
    made = call(world, "create_topics", 5, topics=topics, timeout_ms=10000)
    assert not any(t.error_code for t in made.topics), made
    for name in TOPICS:
        ready = lambda: asked(world, name, sealed(raw()))["error"] == 0
        assert wait_until(ready, 20), f"{name} takes no records"


def stored(broker, topic):
    """By base offset: what the log has of each batch, but for what depends on the packer and the clock."""
    found = {}
    for b in batches(os.path.join(broker.data, f"{topic}-0")):
        of_broker = b.attributes & LOG_APPEND_TIME
        found[b.base_offset] = (b.attributes, b.count, b.last_offset - b.base_offset, b.base_timestamp, None if of_broker else b.max_timestamp,
                                b.producer_id, b.producer_epoch, b.sequence, b.size if not b.attributes & 7 else None)
    return found


class World:
    def __init__(self, broker, ours):
        self.broker = broker.start()
        self.connection = Connection(broker.port, timeout=30)
        make_topics(self.connection, ours)
        self.ends = {name: 1 for name in TOPICS}

    def ask(self, topic, records):
        """The offset that an answer names is told from where the log ended: one refusal less shifts all that follow."""
        before = len(stored(self.broker, topic))
        answer = asked(self.connection, topic, records)
        log = stored(self.broker, topic)
        answer["stored"] = log[max(log)] if len(log) > before else None
        answer["offset"] = -1 if answer["offset"] < 0 else "new" if len(log) > before else "old"
        return answer


def compare_all(kafka, ours, show):
    unlike, met = [], set()
    for topic in TOPICS:
        for name, records in cases():
            one, other = kafka.ask(topic, records), ours.ask(topic, records)
            if show:
                print(f"{topic}: {name}\n    Kafka {one}\n    ours  {other}")
            if one == other:
                continue
            reasons = {reason for reason, explains in DIFFERENT.items() if explains(name, one, other)}
            met |= reasons
            if not reasons:
                unlike.append(f"{topic}: {name}: Kafka {one}, ours {other}")
    return unlike, [reason for reason in DIFFERENT if reason not in met]


def policy(ours):
    """What Kafka does not have: a batch with a time out of bounds gets the broker's, and says so, also when it comes twice."""
    c = ours.connection
    configs = {"message.timestamp.out.of.range": "append-time", "message.timestamp.before.max.ms": "3600000"}
    topic = {"name": "policy", "num_partitions": 1, "replication_factor": 1, "configs": [{"name": k, "value": v} for k, v in configs.items()]}
    assert not call(c, "create_topics", 5, topics=[topic], timeout_ms=10000).topics[0].error_code
    sequence = 0
    for name, delta, late in (("fresh", 0, False), ("old", -7200000, True), ("one old", lambda i: -7200000 if i == 2 else 0, True)):
        for records in (sealed(raw(delta=delta), producer=(77, 0, sequence)), packed(raw(delta=delta), producer=(77, 0, sequence + 5))):
            for again in (False, True):
                got = ours.ask("policy", records)
                assert (got["error"], got["append time"]) == (0, late), f"{name}: {got}"
                assert got["offset"] == ("old" if again else "new"), f"{name}: {got}"
                assert again or bool(got["stored"][0] & LOG_APPEND_TIME) == late, f"{name}: {got}"
        sequence += 10


def unrecovered(ours):
    """The first that is asked of a partition after kill -9 waits for its recovery, as a copy: what is at fault in it is named all the same."""
    for topic in ("compacted", "compacted-lz4"):
        ours.broker.kill()
        ours.broker.start()
        with Connection(ours.broker.port, timeout=30) as c:
            for name, records in both("no key in two records", raw(key=lambda i: None if i in (1, 3) else b"k")):
                got = asked(c, topic, records)
                assert (got["error"], got["faults"]) == (INVALID_RECORD, [1, 3]), f"{topic}: {name}: {got}"


def compare(report, work, show=False):
    brokers = ApacheKafka(os.path.join(work, "kafka")), Broker(os.path.join(work, "ours"))
    try:
        kafka, ours = World(brokers[0], False), World(brokers[1], True)
        report.case("a batch with a time out of bounds gets the broker's where that is asked for", policy, ours)
        unlike, gone = compare_all(kafka, ours, show)
        report.check(f"{len(cases())} odd batches in {len(TOPICS)} topics are answered and stored as Kafka does", not unlike, " | ".join(unlike[:8]))
        report.check("every difference that is meant is one", not gone, ", ".join(gone))
        report.case("records at fault are named also where the batch waited for a recovery", unrecovered, ours)
    finally:
        for broker in brokers:
            broker.kill()
