"""Produce, read, offsets by time, delete records, idempotence: what needs no group."""
from batches import batches_of
from driver import Refused, decoded, encoded
from wire import fetched

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PARTITIONS = 2
TIME = 1700000000000
LARGE = bytes(range(256)) * 2000


def sent(n, value=b"a value", key=b"key", headers=(), timestamp=None):
    return {"partition": n % PARTITIONS, "key": encoded(key), "value": encoded(value), "timestamp": timestamp,
            "headers": [[name, encoded(content)] for name, content in headers]}


# Each is tried alone, uncompressed; those that the client can send are then sent together with every codec.
FEATURES = {
    "keys and values": [sent(n, b"value %d " % n * 9, b"key %d" % n) for n in range(40)],
    "a null key": [sent(n, b"keyless %d " % n * 9, None) for n in range(4)],
    "an empty key": [sent(0, key=b"")],
    "a null value (tombstone)": [sent(n, None, b"gone %d" % n) for n in range(3)],
    "an empty value": [sent(1, b"")],
    "bytes that are no UTF-8": [sent(n, b"\xff\xfe\0\x80\r\n\t" * 20 + b"%d" % n, b"\xc3\x28\0") for n in range(4)],
    "headers, one name twice": [sent(n, headers=[("a", b"1"), ("b", b"two"), ("a", b"\xff\0 2")]) for n in range(4)],
    "an empty header": [sent(0, headers=[("empty", b"")])],
    "a header without value": [sent(0, headers=[("nothing", None)])],
    "own timestamps, out of order": [sent(n, timestamp=TIME + n * 7919 % 10007) for n in range(10)],
    "a value of 500 KB": [sent(1, LARGE)],
}


def as_read(record):
    """A record of the adapter's as (key, value, headers, timestamp)."""
    headers = [[name, decoded(content)] for name, content in record["headers"] or []]
    return decoded(record["key"]), decoded(record["value"]), headers, record["timestamp"]


def as_stored(record):
    return record.key, record.value, record.headers, record.timestamp


def difference(have, want):
    """What differs, in a few words."""
    for name, one, other in zip(("key", "value", "headers", "timestamp"), have, want):
        if one != other:
            return f"{name} {one!r:.120} instead of {other!r:.120}"
    return None


def check_stored(found, wanted, offsets):
    """The stored records are those that were sent, at the offsets that the client was told."""
    assert len(found) == len(wanted), f"{len(found)} records are stored instead of {len(wanted)}"
    for record, want, offset in zip(found, wanted, offsets):
        key, value, headers, timestamp = as_read(want)
        differs = difference(as_stored(record), (key, value, headers, record.timestamp if timestamp is None else timestamp))
        assert not differs, f"stored at {record.offset}: {differs}"
        assert offset in (None, record.offset), f"the client was told offset {offset} for the record at {record.offset}"


def check_read(trial, topic, partition, stored, committed=False):
    answer = trial.main.call("read", topic=topic, partition=partition, offset=0, count=len(stored), timeout_ms=20000,
                             committed=committed)
    assert len(answer["records"]) == len(stored), f"{len(answer['records'])} records were read instead of {len(stored)}"
    for have, want in zip(answer["records"], stored):
        assert have["offset"] == want.offset, f"read offset {have['offset']} instead of {want.offset}"
        differs = difference(as_read(have), as_stored(want))
        assert not differs, f"read at {want.offset}: {differs}"


def check_codec(batches, codec):
    """Clients may leave a batch of one record uncompressed where compressing would not shrink it."""
    for batch in batches:
        assert batch.codec == codec or (batch.codec == "none" and batch.count == 1), \
            f"the batch of {batch.count} records at {batch.base_offset} has codec {batch.codec}"
    assert any(batch.codec == codec for batch in batches), f"no batch has codec {codec}"


def roundtrip(trial, records, codec):
    topic = trial.topic(PARTITIONS)
    offsets = trial.main.call("produce", topic=topic, codec=codec, idempotent=False, records=records)["offsets"]
    assert len(offsets) == len(records) > 0, f"{len(offsets)} offsets for {len(records)} records"
    for partition in sorted({record["partition"] for record in records}):
        mine = [(want, offset) for want, offset in zip(records, offsets) if want["partition"] == partition]
        batches = batches_of(trial.broker, topic, partition)
        found = [record for batch in batches for record in batch.records]
        check_stored(found, [want for want, _ in mine], [offset for _, offset in mine])
        check_codec(batches, codec)
        check_read(trial, topic, partition, found)


def run_records(trial):
    able = []
    for feature, records in FEATURES.items():
        if trial.case(f"{feature}: written, stored and read back byte for byte", roundtrip, trial, records, "none"):
            able += records
    for codec in CODECS[1:]:
        trial.case(f"all of these with {codec}: written, stored compressed and read back byte for byte",
                   roundtrip, trial, able, codec)


def offset_is(trial, topic, at, want):
    have = trial.main.call("offset", topic=topic, partition=0, at=at)["offset"]
    assert have == want, f"the offset at {at} is {have} instead of {want}"


def run_times(trial):
    topic = trial.topic(1)
    trial.fill(topic, 0, [b"%d" % n for n in range(10)], timestamp=TIME)
    for statement, at, want in (
            ("the earliest offset", -2, 0), ("the latest offset", -1, 10),
            ("the offset at a record's own timestamp", TIME + 4000, 4),
            ("the offset at a time between two records is the later one's", TIME + 4001, 5),
            ("the offset at a time before all is the first", TIME - 5000, 0),
            ("a time behind all has no offset", TIME + 9001, -1)):
        trial.case(statement, offset_is, trial, topic, at, want)


def low_watermark_moves(trial, topic):
    answer = trial.main.call("delete_records", topic=topic, partition=0, before=6)
    assert answer["low_watermark"] in (None, 6), f"the low watermark is {answer['low_watermark']} instead of 6"
    with trial.connection() as connection:
        assert fetched(connection, topic, 0, 5)[0] == 1, "a raw fetch below the low watermark is not out of range"
        assert fetched(connection, topic, 0, 6)[0] == 0, "a raw fetch at the low watermark fails"


def reading_below(trial, topic):
    """Either the client says that the offset is out of range, or its reset policy takes it to what is left."""
    try:
        answer = trial.main.call("read", topic=topic, partition=0, offset=0, count=4, timeout_ms=20000)
    except Refused as why:
        assert "range" in str(why).lower(), f"reading below the low watermark says: {why}"
        return
    offsets = [record["offset"] for record in answer["records"]]
    assert offsets == [6, 7, 8, 9], f"reading below the low watermark gives the offsets {offsets}"


def run_delete(trial):
    topic = trial.topic(1)
    trial.fill(topic, 0, [b"%d" % n for n in range(10)])
    if not trial.case("records before an offset are deleted", low_watermark_moves, trial, topic):
        trial.delete_records(topic, 0, 6)
    trial.case("the earliest offset follows", offset_is, trial, topic, -2, 6)
    trial.case("reading below it is out of range, or starts with what is left", reading_below, trial, topic)


def idempotent(trial):
    topic = trial.topic(PARTITIONS)
    records = [sent(n, b"once %d" % n) for n in range(60)]
    for start in range(0, 60, 20):
        trial.main.call("produce", topic=topic, codec="none", idempotent=True, records=records[start:start + 20])
    for partition in range(PARTITIONS):
        batches = batches_of(trial.broker, topic, partition)
        have = [record.value for batch in batches for record in batch.records]
        want = [decoded(record["value"]) for record in records if record["partition"] == partition]
        assert have == want, f"partition {partition} has {len(have)} records that are not the {len(want)} sent"
        check_sequences(batches)


def check_sequences(batches):
    following, producer = 0, None
    for batch in batches:
        assert batch.producer_id >= 0, f"the batch at {batch.base_offset} has no producer id"
        if (batch.producer_id, batch.producer_epoch) != producer:
            producer, following = (batch.producer_id, batch.producer_epoch), 0
        assert batch.sequence == following, f"the sequence at {batch.base_offset} is {batch.sequence}, not {following}"
        following += batch.count


def run_idempotence(trial):
    trial.case("an idempotent producer's batches carry its id and ascending sequences, each record once",
               idempotent, trial)
