"""A partition's folder that Apache Kafka's own cleaner went over: every record, key and timestamp as Kafka tells them, wherever a reader
begins, after a start of any kind; and what a cleaning of Kafka's leaves when it is cut short."""
import base64
import glob
import os
import random
import shutil
import time

from codecs_of_kafka import SNAPPY, pack, unpack
from contents import T0, batches_of, producer_of, records_of
from harness import Broker, run
from apache import ApacheKafka
from messages import alter, call
from repair import ours
from segments import batches, batches_of_file, logs
from wire import *
from world import WORK, settings

TOPIC = "keyed"
KAFKA = {"log.cleaner.backoff.ms": "200", "offsets.topic.num.partitions": "1"}
SMALL = [("cleanup.policy", "compact"), ("internal.segment.bytes", "4000"), ("min.cleanable.dirty.ratio", "0.01"),
         ("index.interval.bytes", "200"), ("delete.retention.ms", "600000"), ("file.delete.delay.ms", "0")]
OURS = [("cleanup.policy", "delete"), ("index.interval.bytes", "200")]
BATCHES, KEYS = 240, 40
MAX_TIMESTAMP = -3


def body(delta, stamp, key, value):
    """A record with one header; a value of None is a tombstone."""
    text = lambda raw: varint(-1) if raw is None else varint(len(raw)) + raw
    record = i8(0) + varint(stamp) + varint(delta) + text(key) + text(value) + varint(1) + varint(1) + b"h" + varint(2) + b"hv"
    return varint(len(record)) + record


def keyed(rng, n, producer):
    rows = [(i, rng.randrange(100000), b"key-%d" % rng.randrange(KEYS), None if rng.randrange(9) == 0 else b"v%d-%d" % (n, i)) for i in
            range(rng.randrange(1, 6))]
    codec = rng.randrange(5)
    newest = T0 + max(stamp for _, stamp, _, _ in rows)
    raw = batch([b""] * len(rows), attributes=codec, records=pack(codec, b"".join(body(*row) for row in rows)), timestamp=T0, producer=producer)
    tail = raw[21:35] + i64(newest) + raw[43:]  # the largest timestamp, and the CRC again
    return raw[:17] + struct.pack(">I", crc32c(tail)) + tail, len(rows)


def patient_producer(c):
    """Kafka's coordinator takes a while at first."""
    until = time.monotonic() + 30
    while True:
        try:
            return producer_of(c)
        except AssertionError:
            assert time.monotonic() < until
            time.sleep(0.2)


def fill_keyed(c):
    rng, sequences = random.Random(7), {}
    producers = [patient_producer(c) for _ in range(2)]
    for n in range(BATCHES):
        producer = (-1, -1, -1)
        if n % 3 < 2 and n < BATCHES // 2:  # they fall silent: their last batches stay, empty if need be
            id_, epoch = producers[n % 3]
            producer = (id_, epoch, sequences.setdefault(id_, 0))
        raw, count = keyed(rng, n, producer)
        if producer[0] >= 0:
            sequences[producer[0]] += count
        error, _ = produced(c, TOPIC, 0, raw)
        assert error == 0, f"Produce answers {error}"


def unpacked(codec, raw):
    """Kafka itself packs snappy in pieces, with a head."""
    if codec != SNAPPY or not raw.startswith(b"\x82SNAPPY\0"):
        return unpack(codec, raw) if raw else b""
    out, at = b"", 16
    while at < len(raw):
        size = struct.unpack_from(">i", raw, at)[0]
        out, at = out + unpack(codec, raw[at + 4:at + 4 + size]), at + 4 + size
    return out


def read_from(c, offset, max_bytes=1 << 20):
    """All records from an offset on: (offset, timestamp, key, value, headers); and the offsets at which answers began."""
    end, found, steps = list_offset(c, TOPIC, 0, LATEST)[1], [], 0
    while offset < end:
        error, _, raw = fetched(c, TOPIC, 0, offset, max_bytes=max_bytes)
        assert error == 0 and raw, f"a Fetch at {offset} of {end} answers {error}, {len(raw)} bytes"
        at = offset
        for base, behind, _, attributes, first, packed in whole_batches(raw):
            found += [r for r in records_of(base, first, unpacked(attributes & 7, packed)) if r[0] >= offset]
            at = behind
        assert at > offset, f"a Fetch at {offset} brings nothing from there on"
        offset, steps = at, steps + 1
    return found, steps


def whole_batches(raw):
    """Of what a Fetch brought the last batch may be cut off."""
    return batches_of(b"".join(whole for _, whole in split_batches(raw)))


def must_find_times(c, records, when):
    """Exactly. (Kafka looks into one segment only, and finds nothing where the largest timestamp of that was of a record that went.)"""
    for stamp in sorted({r[1] + d for r in records[::5] for d in (-1, 0, 1)}):
        want = next((r[0] for r in records if r[1] >= stamp), -1)
        got = list_offset(c, TOPIC, 0, stamp)
        assert got == (0, want), f"{when}: the first record of {stamp} is {want}, not {got}"


def largest_of(c):
    r = call(c, "list_offsets", 7, replica_id=-1, isolation_level=0, topics=[{"name": TOPIC, "partitions": [
        {"partition_index": 0, "current_leader_epoch": -1, "timestamp": MAX_TIMESTAMP}]}]).topics[0].partitions[0]
    assert r.error_code == 0, f"ListOffsets answers {r.error_code}"
    return r.offset, r.timestamp


def is_cleaned(folder, dirty):
    found = batches(folder)
    return len(found) < dirty * 2 // 3 and any(b.count == 0 for b in found) and not glob.glob(f"{folder}/*.cleaned") + glob.glob(f"{folder}/*.swap")


def kafkas(folder):
    """The folder of the partition before and after the cleaning, and what Kafka tells of it."""
    kafka = ApacheKafka(folder, KAFKA)
    with kafka:
        with Connection(kafka.port) as c:
            assert create_topic(c, TOPIC, 1, [*SMALL[:2], ("min.compaction.lag.ms", str((1 << 63) - 1)), *SMALL[2:]]) == 0
            fill_keyed(c)
            at = f"{kafka.data}/{TOPIC}-0"
            shutil.copytree(at, f"{folder}/before")
            dirty = len(batches(at))
            assert alter(c, TOPIC, min_compaction_lag_ms=0) == (0, None)
            until = time.monotonic() + 60
            while not is_cleaned(at, dirty):
                assert time.monotonic() < until, f"Kafka does not clean: {len(batches(at))} of {dirty} batches"
                time.sleep(0.2)
            time.sleep(1)
            records, _ = read_from(c, 0)
            told = {"records": records, "end": list_offset(c, TOPIC, 0, LATEST)[1]}
        kafka.stop()
        shutil.copytree(at, f"{folder}/after")
    return told


def in_our_folder(name, make):
    """A broker of ours, not running, whose topic has the files that `make` puts into its partition's folder."""
    broker = Broker(f"{WORK}/{name}", settings())
    with broker:
        with Connection(broker.port) as c:
            assert create_topic(c, TOPIC, 1, OURS) == 0
            topic_id = topic_id_of(c)
        broker.kill()
    at = f"{broker.data}/{TOPIC}-0"
    os.makedirs(at)
    make(at)
    with open(f"{at}/partition.metadata", "w", encoding="ascii") as file:
        file.write(f"version: 0\ntopic_id: {topic_id}\n")
    return broker, at


def topic_id_of(c):
    raw = call(c, "metadata", 12, topics=[{"name": TOPIC}]).topics[0].topic_id
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def copy_log(source, to):
    for path in glob.glob(f"{source}/*"):
        if os.path.basename(path) != "partition.metadata":
            shutil.copy(path, to)


def must_read(c, told, when):
    await_recovered(c, TOPIC, 1)
    records, _ = read_from(c, 0)
    wrong = [(a, b) for a, b in zip(told["records"], records) if a != b][:3]
    assert records == told["records"], f"{when}: {len(records)} records, Kafka has {len(told['records'])}; {wrong}"
    assert list_offset(c, TOPIC, 0, LATEST)[1] == told["end"], when
    small, steps = read_from(c, 0, 1)
    assert small == records and steps > 40, f"{when}: by single batches"
    for offset in range(0, told["end"], 13):
        assert read_from(c, offset)[0] == [r for r in records if r[0] >= offset], f"{when}: from {offset} on"
    must_find_times(c, records, when)
    newest = max(records, key=lambda r: (r[1], -r[0]))
    assert largest_of(c) == (newest[0], newest[1]), f"{when}: the largest timestamp is {largest_of(c)}, not {newest[:2]}"


def a_log_cleaned_by_kafka_reads_the_same():
    told = kafkas(f"{WORK}/cleaned-kafka")
    broker, at = in_our_folder("cleaned", lambda to: copy_log(f"{WORK}/cleaned-kafka/after", to))
    code, said = ours("check", broker.data)
    assert code == 0, f"check: {said}"
    with broker:
        broker.start()
        with Connection(broker.port) as c:
            must_read(c, told, "first start")
            error, base = produced(c, TOPIC, 0, batch([b"more"]))
            assert (error, base) == (0, told["end"]), f"it goes on at {base}"
        for end in (broker.stop, broker.kill):
            end()
            broker.start()
            with Connection(broker.port) as c:
                await_recovered(c, TOPIC, 1)
                assert read_from(c, 0)[0][:-1] == told["records"], f"after {end.__name__}"
    for path in glob.glob(f"{at}/*.index") + glob.glob(f"{at}/*.timeindex") + glob.glob(f"{broker.data}/recovery-point-*"):
        os.remove(path)
    with broker:
        broker.start()
        with Connection(broker.port) as c:
            await_recovered(c, TOPIC, 1)
            assert read_from(c, 0)[0][:-1] == told["records"], "without indexes and checkpoints"
    cut_short(told)


def cut_short(told):
    """Kafka's names: its cleaner ended in the midst of replacing segments."""
    source = f"{WORK}/cleaned-kafka"
    originals = [os.path.basename(p)[:-4] for p in logs(f"{source}/before")]
    group = originals[:len(originals) // 2]
    first, joined = group[0], b"".join(open(f"{source}/after/{name}.log", "rb").read() for name in group)
    end = max(b.last_offset for name in group for b in batches_of_file(f"{source}/after/{name}.log")) + 1
    replaced = [name for name in group if int(name) < end]
    behind = int(originals[len(replaced)])  # the first that stays: cleaning took what lies between
    assert len(replaced) > 2 and joined, "too little was left to join"

    def cleaned_beside(to, suffix):
        copy_log(f"{source}/before", to)
        with open(f"{to}/{first}.log.{suffix}", "wb") as file:
            file.write(joined)

    def half_deleted(to):
        cleaned_beside(to, "swap")
        for name in replaced[len(replaced) // 2:]:
            for kind in ("log", "index", "timeindex"):
                os.rename(f"{to}/{name}.{kind}", f"{to}/{name}.{kind}.deleted")

    def first_of(cleaned):
        """The first segment's records as they are after the cleaning, or before."""
        broker, at = in_our_folder("before", lambda to: copy_log(f"{source}/before", to))
        with broker:
            broker.start()
            with Connection(broker.port) as c:
                await_recovered(c, TOPIC, 1)
                all_, _ = read_from(c, 0)
        return [r for r in told["records"] if r[0] < end] + [r for r in all_ if r[0] >= behind] if cleaned else all_

    for what, make, cleaned in (("cleaned files", lambda to: cleaned_beside(to, "cleaned"), False),
                                ("a swap", lambda to: cleaned_beside(to, "swap"), True), ("a swap, half done", half_deleted, True)):
        broker, at = in_our_folder("cut-short", make)
        with broker:
            broker.start()
            with Connection(broker.port) as c:
                await_recovered(c, TOPIC, 1)
                assert read_from(c, 0)[0] == first_of(cleaned), what
                left = [p for p in os.listdir(at) if p.endswith((".swap", ".cleaned"))]
                assert not left, f"{what}: {left}"


CASES = [("a log that Apache Kafka has cleaned reads the same", a_log_cleaned_by_kafka_reads_the_same)]
