"""The row of kcat: what its command line can, stated under the names of the steps it belongs to.

kcat takes keys and values from lines of text, so records here hold every byte except those that separate them.
"""
import json
import re

import kcat_groups
import kcat_transactions
from batches import batches_of
from harness import need, run_ok
from wire import fetched

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
COUNT = 300
TIME = 1700000000000
HEADERS = ["-H", "one=1", "-H", "empty=", "-H", "null"]
HEADERS_READ = b"one=1,empty=,null=NULL"
HEADERS_STORED = [["one", b"1"], ["empty", b""], ["null", None]]
KEY_BYTES = bytes(byte for byte in range(256) if byte not in b"\t\n\0")


def command():
    return [need("kcat")]


class Kcat:
    def __init__(self, trial):
        self.trial = trial
        self.broker = ["-b", trial.broker.address]
        self.members = []

    def run(self, *words, stdin=b""):
        return run_ok(["kcat", *self.broker, *map(str, words)], stdin=stdin, timeout=60)

    def produce(self, topic, text, *words):
        self.run("-P", "-t", topic, "-p", 0, "-X", "linger.ms=5", *words, stdin=text)

    def consume(self, topic, *words):
        """Lists of offset, key size, key, value size, value, headers, timestamp, as kcat prints them."""
        out = self.run("-C", "-t", topic, "-p", 0, "-e", "-q", "-X", "check.crcs=true", "-f",
                       "%o\\t%K\\t%k\\t%S\\t%s\\t%h\\t%T\\n", *words)
        return [line.split(b"\t") for line in out.split(b"\n")[:-1]]

    def stored(self, topic):
        batches = batches_of(self.trial.broker, topic, 0)
        return batches, [record for batch in batches for record in batch.records]


def key_of(i):
    """None for null."""
    return None if i % 10 == 3 else b"%d-" % i + bytes([KEY_BYTES[i % len(KEY_BYTES)]])


def value_of(i):
    return None if i % 50 == 7 else b"%d \r\0\xff\x01 value " % i * (5 + i * 37 % 10)


def printed(record):
    """A stored record as kcat prints it."""
    sized = [[b"-1", b""] if field is None else [b"%d" % len(field), field] for field in (record.key, record.value)]
    return [b"%d" % record.offset, *sized[0], *sized[1], HEADERS_READ, b"%d" % record.timestamp]


def roundtrip(kcat, codec):
    topic = kcat.trial.topic(1)
    lines = b"".join((key_of(i) or b"") + b"\t" + (value_of(i) or b"") + b"\n" for i in range(COUNT))
    kcat.produce(topic, lines, "-z", codec, "-K", "\\t", "-Z", *HEADERS)
    batches, found = kcat.stored(topic)
    assert len(found) == COUNT, f"{len(found)} records are stored, not {COUNT}"
    for i, record in enumerate(found):
        have = record.offset, record.key, record.value, record.headers
        assert have == (i, key_of(i), value_of(i), HEADERS_STORED), f"record {i} is stored as {have!r:.200}"
    assert all(batch.codec == codec or batch.count == 1 for batch in batches), [batch[:2] for batch in batches]
    assert any(batch.codec == codec for batch in batches), f"no batch has codec {codec}"
    read = kcat.consume(topic, "-o", "beginning")
    assert len(read) == COUNT, f"{len(read)} records came back, not {COUNT}"
    for have, record in zip(read, found):
        assert have == printed(record), f"{have!r:.200} instead of {printed(record)!r:.200}"


def empty(kcat):
    topic = kcat.trial.topic(1)
    kcat.produce(topic, b"\tno key\nno value\t\n", "-K", "\\t")
    have = [fields[1:5] for fields in kcat.consume(topic, "-o", "beginning")]
    assert have == [[b"0", b"", b"6", b"no key"], [b"8", b"no value", b"0", b""]], have


def large(kcat):
    """A whole file as one record."""
    topic, value = kcat.trial.topic(1), bytes(range(256)) * 2000
    path = f"{kcat.trial.crew.folder}/large"
    with open(path, "wb") as file:
        file.write(value)
    kcat.run("-P", "-t", topic, "-p", 0, path)
    out = kcat.run("-C", "-t", topic, "-p", 0, "-o", "beginning", "-e", "-q", "-f", "%s")
    assert out == value, f"{len(out)} bytes came back, not {len(value)}"


def enveloped(kcat):
    topic = kcat.trial.topic(1)
    kcat.produce(topic, "kéy:välue".encode(), "-K", ":")
    [line] = kcat.run("-C", "-t", topic, "-p", 0, "-o", "beginning", "-e", "-q", "-J").splitlines()
    have = json.loads(line)
    assert (have["key"], have["payload"], have["tstype"]) == ("kéy", "välue", "create"), have


def run_records(trial, kcat):
    for codec in CODECS:
        trial.case(f"keys, values, nulls and headers with {codec}: written, stored and read back byte for byte", roundtrip,
                   kcat, codec)
    trial.case("empty keys and values are not null", empty, kcat)
    trial.case("a value of 500 KB", large, kcat)
    trial.case("records are printed as JSON", enveloped, kcat)
    trial.note("unsupported", "own timestamps", "kcat has no option for a record's timestamp")


def query(kcat, topic, at, want):
    out = kcat.run("-Q", "-t", f"{topic}:0:{at}").decode()
    assert out.split() == [topic, "[0]", "offset", str(want)], f"{out} instead of {want}"


def from_time(kcat, topic):
    """Reading between two times, and the last three."""
    between = kcat.consume(topic, "-o", f"s@{TIME + 3000}", "-o", f"e@{TIME + 7000}")
    assert [fields[0] for fields in between] == [b"3", b"4", b"5", b"6"], between
    last = kcat.consume(topic, "-o", -3)
    assert [fields[0] for fields in last] == [b"7", b"8", b"9"], last


def run_times(trial, kcat):
    topic = trial.topic(1)
    trial.fill(topic, 0, [b"%d" % n for n in range(10)], timestamp=TIME)
    for statement, at, want in (
            ("the earliest offset", -2, 0), ("the latest offset", -1, 10),
            ("the offset at a record's own timestamp", TIME + 4000, 4),
            ("the offset at a time between two records is the later one's", TIME + 4001, 5),
            ("a time behind all has no offset", TIME + 9001, -1)):
        trial.case(statement, query, kcat, topic, at, want)
    trial.case("reading from one time to another, and the last three", from_time, kcat, topic)


def idempotent(kcat):
    topic, following = kcat.trial.topic(1), 0
    kcat.produce(topic, b"".join(b"once %d\n" % n for n in range(COUNT)), "-X", "enable.idempotence=true", "-X",
                 "batch.num.messages=50")
    batches, found = kcat.stored(topic)
    for batch in batches:
        assert batch.producer_id >= 0 and batch.sequence == following, f"{batch.base_offset}: {batch[2:6]}"
        following += batch.count
    assert [record.value for record in found] == [b"once %d" % n for n in range(COUNT)], f"{len(found)} records"


def below(kcat):
    """After records were deleted, the beginning is what is left, and an offset below it starts there by the reset policy."""
    topic = kcat.trial.topic(1)
    kcat.trial.fill(topic, 0, [b"%d" % n for n in range(10)])
    assert kcat.trial.delete_records(topic, 0, 6) == 6
    with kcat.trial.connection() as connection:
        assert fetched(connection, topic, 0, 5)[0] == 1, "a raw fetch below the low watermark is not out of range"
    query(kcat, topic, -2, 6)
    for words in (("-o", "beginning"), ("-o", 2, "-X", "topic.auto.offset.reset=earliest")):
        offsets = [fields[0] for fields in kcat.consume(topic, *words)]
        assert offsets == [b"6", b"7", b"8", b"9"], f"{words} reads {offsets}"


def metadata(kcat):
    topic = kcat.trial.topic(3)
    have = json.loads(kcat.run("-L", "-J", "-t", topic))
    [broker] = have["brokers"]
    assert broker["id"] == 1 and broker["name"] in (kcat.trial.broker.address, f"127.0.0.1:{kcat.trial.broker.port}"), broker
    [found] = have["topics"]
    assert found["topic"] == topic and [one["leader"] for one in found["partitions"]] == [1, 1, 1], found
    text = kcat.run("-L").decode()
    assert f'topic "{topic}" with 3 partitions:' in text and "broker 1 at" in text, text[-300:]


def made(kcat):
    topic = f"{kcat.trial.row.name}-by-record"
    kcat.produce(topic, b"the first\n")
    assert [fields[4] for fields in kcat.consume(topic, "-o", "beginning")] == [b"the first"]


def run_admin(trial, kcat):
    trial.case("the broker and the topics are listed", metadata, kcat)
    trial.case("a topic is made by its first record", made, kcat)
    trial.note("unsupported", "topics, configurations and groups are changed", "kcat has no admin options")


def run_delete(trial, kcat):
    trial.case("after records were deleted, the beginning is what is left", below, kcat)
    trial.note("unsupported", "records before an offset are deleted", "kcat has no admin options")


STEPS = {
    "records": run_records,
    "times": run_times,
    "idempotence": lambda trial, kcat: trial.case(
        "an idempotent producer's batches carry its id and ascending sequences, each record once", idempotent, kcat),
    "delete": run_delete,
    "admin": run_admin,
    "group": kcat_groups.run_group,
    "commit": kcat_groups.run_commit,
    "static": kcat_groups.run_static,
    "cooperative": kcat_groups.run_cooperative,
    "transactions": kcat_transactions.run_transactions,
}


def run(trial, names):
    said = re.search(r"Version (\S+) .*librdkafka (\S+)", run_ok(["kcat", "-V"]).decode())
    assert said, "kcat tells no version"
    trial.client = f"kcat {said[1]} with librdkafka {said[2]}"
    kcat = Kcat(trial)
    try:
        run_steps(trial, kcat, names)
    finally:
        for member in kcat.members:
            member.process.kill()


def run_steps(trial, kcat, names):
    """What stops a step is said, and the next one starts all the same."""
    for name, step in STEPS.items():
        if not names or name in names:
            trial.step = name
            try:
                step(trial, kcat)
            except Exception as why:
                trial.note("failed", f"the step {name} comes to its end", f"{type(why).__name__}: {why}")
