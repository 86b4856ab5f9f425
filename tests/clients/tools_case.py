"""Apache Kafka's own command-line tools (the jars of pom.xml): topics, console, performance, offsets."""
import re
import time

from harness import run, run_ok, tail
from settings import CODECS, COUNT
from stored import check_stored
from tools import jars, java

PACKAGE = "org.apache.kafka.tools."
LINES = 20000
TOPIC = "tools-topic"
PARTITIONS = 3


def tool(broker, name, *arguments):
    return java(PACKAGE + name, "--bootstrap-server", broker.address, *arguments)


def topics(broker, *arguments):
    """Runs kafka-topics; answers its output as text."""
    assert broker.running(), "the broker is gone"
    return run_ok(tool(broker, "TopicCommand", *arguments), timeout=60).decode()


def create(broker):
    out = topics(broker, "--create", "--topic", TOPIC, "--partitions", str(PARTITIONS), "--replication-factor", "1",
                 "--config", "segment.bytes=1048576", "--config", "max.message.bytes=2000000")
    assert out.strip() == f"Created topic {TOPIC}.", out


def create_twice(broker):
    code, out, err = run(tool(broker, "TopicCommand", "--create", "--topic", TOPIC), timeout=60)
    said = (out + err).decode()
    assert code == 1 and "TopicExistsException" in said, f"{code}: {tail(out)} {tail(err)}"


def describe(broker):
    out = topics(broker, "--describe", "--topic", TOPIC)
    first, *rest = out.strip().splitlines()
    want = rf"Topic: {TOPIC}\tTopicId: [\w-]{{22}}\tPartitionCount: {PARTITIONS}\tReplicationFactor: 1\tConfigs: (\S+)"
    found = re.match(want, first)
    assert found, first
    assert {"segment.bytes=1048576", "max.message.bytes=2000000"} <= set(found.group(1).split(",")), first
    leaders = [re.match(rf"\tTopic: {TOPIC}\tPartition: (\d)\tLeader: (\d+)\tReplicas: \2\tIsr: \2\b", line)
               for line in rest]
    assert all(leaders) and [m.group(1) for m in leaders] == ["0", "1", "2"], out


def describe_missing(broker):
    code, out, err = run(tool(broker, "TopicCommand", "--describe", "--topic", "no-such-topic"), timeout=60)
    assert code == 1 and b"does not exist" in out + err, f"{code}: {tail(out)} {tail(err)}"


def list_topics(broker):
    listed = topics(broker, "--list", "--exclude-internal").split()
    assert TOPIC in listed and "no-such-topic" not in listed, listed


def performance(broker):
    out = run_ok(tool(broker, "ProducerPerformance", "--topic", TOPIC, "--num-records", str(COUNT), "--record-size",
                      "100", "--throughput", "-1", "--command-property", "acks=all"), timeout=120).decode()
    assert re.search(rf"^{COUNT} records sent, [1-9].* ms 99\.9th", out, re.M), out


def offsets(broker, topic, moment):
    """kafka-get-offsets at `moment`, by partition."""
    out = run_ok(tool(broker, "GetOffsetShell", "--topic", topic, "--time", moment), timeout=60).decode()
    lines = [line.split(":") for line in out.split()]
    assert all(len(line) == 3 and line[0] == topic for line in lines), out
    return {int(line[1]): int(line[2] or "-1") for line in lines}


def offsets_after_performance(broker):
    ends = offsets(broker, TOPIC, "latest")
    assert len(ends) == PARTITIONS and sum(ends.values()) == COUNT, ends
    assert offsets(broker, TOPIC, "earliest") == dict.fromkeys(range(PARTITIONS), 0)
    newest = offsets(broker, TOPIC, "max-timestamp")
    assert all(0 <= newest[p] < ends[p] for p in ends if ends[p]), f"{newest} with ends {ends}"
    assert offsets(broker, TOPIC, "0") == {p: 0 for p in ends if ends[p]} | {p: -1 for p in ends if not ends[p]}


def line_of(i):
    """Headers, key and value as both console tools print them; every seventh key and eleventh value is null."""
    key = "NIL" if i % 7 == 3 else f"key{i}"
    value = "NIL" if i % 11 == 5 else f"value {i} " * (1 + i % 9) + "é€"
    return f"one:{i},two:2\t{key}\t{value}"


def console_produce(broker, topic, codec, text):
    assert broker.running(), "the broker is gone"
    run_ok(tool(broker, "ConsoleProducer", "--topic", topic, "--compression-codec", codec,
                *properties("reader", "parse.key", "parse.headers"), "--reader-property", "null.marker=NIL"),
           stdin=text, timeout=120)


def properties(which, *names):
    return [word for name in names for word in (f"--{which}-property", f"{name}=true")]


def console_consume(broker, topic):
    """Partition 0 from its first record, one line each: CreateTime, Offset, headers, key, value."""
    return run_ok(tool(broker, "consumer.ConsoleConsumer", "--topic", topic, "--partition", "0", "--offset", "earliest",
                       "--max-messages", str(LINES), "--timeout-ms", "30000",
                       *properties("formatter", "print.timestamp", "print.offset", "print.headers", "print.key"),
                       "--formatter-property", "null.literal=NIL"), timeout=120)


def console(broker, topic, codec):
    wanted = [line_of(i) for i in range(LINES)]
    first = int(time.time() * 1000)
    console_produce(broker, topic, codec, "".join(line + "\n" for line in wanted).encode())
    lines = console_consume(broker, topic).decode().splitlines()
    assert len(lines) == LINES, f"{len(lines)} records came back, not {LINES}"
    for i, line in enumerate(lines):
        stamp, offset, rest = line.split("\t", 2)
        assert (offset, rest) == (f"Offset:{i}", wanted[i]), f"{line!r} instead of {wanted[i]!r}"
        assert first <= int(stamp.removeprefix("CreateTime:")) <= time.time() * 1000, line


def delete(broker):
    out = topics(broker, "--delete", "--topic", TOPIC)
    assert out.strip() in ("", f"Deleted topic {TOPIC}."), out
    assert TOPIC not in topics(broker, "--list").split()


def run_all(report, broker):
    jars()
    broker.start()
    report.case("kafka-topics creates a topic with configs", create, broker)
    report.case("kafka-topics is told that a topic exists", create_twice, broker)
    report.case("kafka-topics describes what it created", describe, broker)
    report.case("kafka-topics is told that a topic does not exist", describe_missing, broker)
    report.case("kafka-topics lists the topic", list_topics, broker)
    report.case(f"kafka-producer-perf-test sends {COUNT} records", performance, broker)
    report.case("kafka-get-offsets finds first, last and newest offsets", offsets_after_performance, broker)
    names = {codec: f"console-{codec}" for codec in CODECS}
    for codec, topic in names.items():
        report.case(f"kafka-console-consumer prints the {LINES} records of kafka-console-producer with codec {codec}",
                    console, broker, topic, codec)
    report.case("kafka-topics deletes the topic", delete, broker)
    report.case("the broker stops cleanly after the tools", broker.stop)
    for codec, topic in names.items():
        report.case(f"the console producer's {codec} batches are stored with codec {codec}",
                    check_stored, broker, topic, codec, LINES, True)
