"""kcat: topics made by the first record, keys, values, nulls and headers, and offsets by timestamp.

kcat takes keys and values from lines of text, so records here hold every byte except line feed and, in keys, tab.
"""
import time

from harness import need, run_ok
from settings import CODECS, COUNT
from stored import check_stored

HEADERS = ["-H", "one=1", "-H", "empty=", "-H", "null"]
HEADERS_READ = b"one=1,empty=,null=NULL"
KEY_BYTES = bytes(byte for byte in range(256) if byte not in b"\t\n\0")


def key_of(i):
    """None for null."""
    return None if i % 10 == 3 else b"%d-" % i + bytes([KEY_BYTES[i % len(KEY_BYTES)]])


def value_of(i):
    if i % 1000 == 7:
        return None
    return b"%d \r\xff\x01 value " % i * (5 + i * 37 % 10)


def lines():
    return b"".join((key_of(i) or b"") + b"\t" + (value_of(i) or b"") + b"\n" for i in range(COUNT))


def produce(broker, topic, codec, data):
    run_ok(["kcat", "-P", "-b", broker.address, "-t", topic, "-p", "0", "-z", codec, "-K", "\\t", "-Z", *HEADERS,
            "-X", "message.timeout.ms=30000", "-X", "linger.ms=5"], stdin=data, timeout=60)


def consume(broker, topic):
    """Lists of key size, key, value size, value, headers, timestamp, as kcat prints them."""
    out = run_ok(["kcat", "-C", "-b", broker.address, "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q",
                  "-X", "check.crcs=true", "-f", "%o\\t%K\\t%k\\t%S\\t%s\\t%h\\t%T\\n"], timeout=60)
    return [line.split(b"\t") for line in out.split(b"\n")[:-1]]


def sized(field):
    """A nullable field as kcat's size and bytes."""
    return [b"-1", b""] if field is None else [b"%d" % len(field), field]


def compare(records, first_ms, last_ms):
    assert len(records) == COUNT > 0, f"{len(records)} records came back, not {COUNT}"
    before = first_ms
    for i, fields in enumerate(records):
        want = [b"%d" % i, *sized(key_of(i)), *sized(value_of(i)), HEADERS_READ]
        assert fields[:-1] == want, f"record {i} is {fields[:-1]!r:.200} instead of {want!r:.200}"
        stamp = int(fields[-1])
        assert before <= stamp <= last_ms, f"record {i} has timestamp {stamp}, not {before} to {last_ms}"
        before = stamp


def now_ms():
    return int(time.time() * 1000)


def roundtrip(broker, topic, codec, data, kept):
    assert broker.running(), "the broker is gone"
    first = now_ms()
    produce(broker, topic, codec, data)
    last = now_ms()
    kept[topic] = records = consume(broker, topic)
    compare(records, first, last)


def query(broker, topic, kept):
    """-Q answers the first, the end, and the first offset at or past a timestamp."""
    stamps = [int(fields[-1]) for fields in kept[topic]]
    middle = stamps[COUNT // 2]
    wants = {"-2": 0, "-1": COUNT, str(middle): stamps.index(middle)}
    for moment, want in wants.items():
        out = run_ok(["kcat", "-Q", "-b", broker.address, "-t", f"{topic}:0:{moment}"], timeout=30)
        assert out.split() == f"{topic} [0] offset {want}".encode().split(), f"{moment}: {out!r}, not {want}"


def listed(broker, topics):
    out = run_ok(["kcat", "-L", "-b", broker.address], timeout=30).decode()
    for topic in topics:
        assert f'topic "{topic}" with 1 partitions' in out, out


def again(broker, topic, kept):
    assert kept.get(topic), "the first reading failed"
    assert consume(broker, topic) == kept[topic], "the records differ from the first reading"


def run_all(report, broker):
    need("kcat")
    data = lines()
    kept = {}
    topics = {f"kcat-{codec}": codec for codec in CODECS}
    broker.start()
    for topic, codec in topics.items():
        report.case(f"kcat reads back {COUNT} records of codec {codec} as it wrote them",
                    roundtrip, broker, topic, codec, data, kept)
    report.case("kcat finds offsets by timestamp", query, broker, "kcat-none", kept)
    report.case("kcat lists the topics its records made", listed, broker, topics)
    report.case("the broker stops cleanly after kcat", broker.stop)
    for topic, codec in topics.items():
        report.case(f"kcat's {codec} batches are stored with codec {codec}", check_stored, broker, topic, codec, COUNT)
    broker.start()
    for topic in topics:
        report.case(f"kcat reads the same from {topic} after a restart", again, broker, topic, kept)
