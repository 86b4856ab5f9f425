"""Records through Kafka's tools: console, perf tests, latency, verifiable; offsets by time, and deleting records."""
import json
import re
import time

from batches import batches_of
from cli_tools import CONSUMER, PACKAGE, Running, documents

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
LINES = 500
PERF = 20000
TIME = 1700000000000


def properties(which, *names):
    return [word for name in names for word in (f"--{which}-property", f"{name}=true")]


def line_of(i):
    """Headers, key and value as both console tools print them; some keys and values are null or empty."""
    key = "NIL" if i % 7 == 3 else f"key{i}" if i % 5 else ""
    value = "NIL" if i % 11 == 5 else f"value {i} " * (1 + i % 9) + "é€" if i % 13 else ""
    return f"one:{i},two:2\t{key}\t{value}"


def consume(tools, topic, count):
    """Partition 0 from its first record, a line each: CreateTime, Offset, headers, key, value."""
    return tools.run(CONSUMER, "--topic", topic, "--partition", 0, "--offset", "earliest", "--max-messages", count,
                     "--timeout-ms", 30000, "--formatter-property", "null.literal=NIL",
                     *properties("formatter", "print.timestamp", "print.offset", "print.headers", "print.key")).out


def console(tools, codec):
    topic, wanted, first = tools.trial.topic(1), [line_of(i) for i in range(LINES)], int(time.time() * 1000)
    tools.run(PACKAGE + "ConsoleProducer", "--topic", topic, "--compression-codec", codec, "--reader-property",
              "null.marker=NIL", *properties("reader", "parse.key", "parse.headers"), stdin="\n".join(wanted) + "\n")
    lines = consume(tools, topic, LINES).splitlines()
    assert len(lines) == LINES, f"{len(lines)} records came back, not {LINES}"
    for i, line in enumerate(lines):
        stamp, offset, rest = line.split("\t", 2)
        assert (offset, rest) == (f"Offset:{i}", wanted[i]), f"{line!r} instead of {wanted[i]!r}"
        assert first <= int(stamp.removeprefix("CreateTime:")) <= time.time() * 1000, line
    batches = batches_of(tools.trial.broker, topic, 0)
    assert {batch.codec for batch in batches} == {codec}, f"stored with {sorted(batch.codec for batch in batches)}"
    return batches


def sequences(tools):
    """The console producer is idempotent unless told otherwise."""
    following = 0
    for batch in console(tools, "none"):
        assert batch.producer_id >= 0 and batch.sequence == following, f"{batch.base_offset}: {batch[2:6]}"
        following += batch.count


def plain(tools):
    """kafka-console-producer --sync without idempotence."""
    topic = tools.trial.topic(1)
    tools.run(PACKAGE + "ConsoleProducer", "--topic", topic, "--sync", "--command-property", "enable.idempotence=false",
              stdin="one\ntwo\n")
    found = [(batch.producer_id, record.value) for batch in batches_of(tools.trial.broker, topic, 0)
             for record in batch.records]
    assert found == [(-1, b"one"), (-1, b"two")], found


def performance(tools):
    topic = tools.trial.topic(3)
    said = tools.run(PACKAGE + "ProducerPerformance", "--topic", topic, "--num-records", PERF, "--record-size", 100,
                     "--throughput", -1, "--command-property", "acks=all", "compression.type=lz4")
    assert re.search(rf"^{PERF} records sent, [1-9].* ms 99\.9th", said.out, re.M), f"{said}"
    ends = tools.offsets(topic, "latest")
    assert len(ends) == 3 and sum(ends.values()) == PERF, ends
    said = tools.run(PACKAGE + "ConsumerPerformance", "--topic", topic, "--num-records", PERF, "--group",
                     tools.trial.group("perf"))
    names, values = (line.split(", ") for line in said.out.strip().splitlines()[-2:])
    assert int(dict(zip(names, values))["data.consumed.in.nMsg"]) == PERF, f"{said}"


def latency(tools):
    topic = tools.trial.topic(1)
    said = tools.run(PACKAGE + "EndToEndLatency", "--bootstrap-server", tools.address, "--topic", topic,
                     "--num-records", 200, "--producer-acks", "all", "--record-size", 100)
    assert re.search(r"^Avg latency: \d+\.\d+ ms$", said.out, re.M), f"{said}"
    assert re.search(r"^Percentiles: 50th = \d+, 99th = \d+, 99.9th = \d+$", said.out, re.M), f"{said}"
    assert tools.offsets(topic, "latest") == {0: 200}


def named(text, name):
    """The events of a verifiable tool that have that name."""
    return [one for one in documents(text) if one["name"] == name]


def placed(events):
    return sorted((one["partition"], one["offset"], one["value"]) for one in events)


def verifiable(tools):
    topic, count = tools.trial.topic(2), 300
    producer = Running(tools, "verifiable-producer", PACKAGE + "VerifiableProducer", "--topic", topic, "--max-messages",
                       count, "--acks", -1)
    producer.wait(lambda out: len(named(out, "producer_send_success")) == count, f"{count} acknowledgements")
    producer.end()
    acked, [said] = placed(named(producer.out(), "producer_send_success")), named(producer.out(), "tool_data")
    assert len(acked) == count == said["sent"] == said["acked"], f"{len(acked)} acknowledged: {said}"
    consumer = Running(tools, "verifiable-consumer", PACKAGE + "VerifiableConsumer", "--topic", topic, "--group-id",
                       tools.trial.group("verify"), "--verbose")
    consumer.wait(lambda out: committed(out) == count, f"{count} records to be committed")
    consumer.end()
    read = placed(named(consumer.out(), "record_data"))
    assert read == acked, f"{len(read)} records were read, {len(acked)} acknowledged"
    assert named(consumer.out(), "shutdown_complete"), consumer.out()[-300:]


def committed(text):
    """The sum of the newest offsets that a verifiable consumer committed."""
    newest = {}
    for event in named(text, "offsets_committed"):
        assert event["success"], event
        newest.update({one["partition"]: one["offset"] for one in event["offsets"]})
    return sum(newest.values())


def times(tools):
    trial, topic = tools.trial, tools.trial.topic(2)
    trial.fill(topic, 0, [b"%d" % n for n in range(10)], timestamp=TIME)
    trial.fill(topic, 0, [b"the newest"], first=10, timestamp=TIME + 60000)
    trial.fill(topic, 0, [b"late"], first=11, timestamp=TIME + 5000)
    for at, want in ((-1, {0: 12, 1: 0}), (-2, {0: 0, 1: 0}), (-3, {0: 10, 1: -1}), ("latest", {0: 12, 1: 0}),
                     ("earliest", {0: 0, 1: 0}), ("max-timestamp", {0: 10, 1: -1}), (TIME, {0: 0, 1: -1}),
                     (TIME + 4000, {0: 4, 1: -1}), (TIME + 4001, {0: 5, 1: -1}), (TIME + 60000, {0: 10, 1: -1}),
                     (TIME + 60001, {0: -1, 1: -1})):
        have = {0: -1, 1: -1, **tools.offsets(topic, at)}
        assert have == want, f"--time {at} gives {have} instead of {want}"
    assert tools.offsets(topic, -1, "--partitions", 0) == {0: 12}


def delete_records(tools):
    trial, topic = tools.trial, tools.trial.topic(2)
    for partition in range(2):
        trial.fill(topic, partition, [b"%d" % n for n in range(10)])
    wanted = {"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 6},
                                           {"topic": topic, "partition": 1, "offset": -1}]}
    path = tools.file("delete.json", json.dumps(wanted))
    said = tools.run(PACKAGE + "DeleteRecordsCommand", "--offset-json-file", path)
    said.has(f"partition: {topic}-0\tlow_watermark: 6", f"partition: {topic}-1\tlow_watermark: 10")
    assert tools.offsets(topic, -2) == {0: 6, 1: 10} and tools.offsets(topic, -1) == {0: 10, 1: 10}
    lines = consume(tools, topic, 4).splitlines()
    assert [line.split("\t")[1] for line in lines] == [f"Offset:{n}" for n in range(6, 10)], lines


def delete_too_much(tools):
    topic = tools.trial.topic(1)
    tools.trial.fill(topic, 0, [b"one"])
    wanted = {"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 2}]}
    said = tools.any_end(PACKAGE + "DeleteRecordsCommand", "--offset-json-file", tools.file("more.json", json.dumps(wanted)))
    said.refused("OffsetOutOfRangeException")
    assert tools.offsets(topic, -2) == {0: 0}


def run_records(trial, tools):
    for codec in CODECS:
        trial.case(f"kafka-console-consumer prints what kafka-console-producer wrote with codec {codec}", console, tools,
                   codec)
    trial.case("kafka-producer-perf-test sends records, kafka-consumer-perf-test reads them", performance, tools)
    trial.case("kafka-e2e-latency measures", latency, tools)
    trial.case("kafka-verifiable-consumer reads and commits what kafka-verifiable-producer had acknowledged", verifiable,
               tools)


def run_times(trial, tools):
    trial.case("kafka-get-offsets finds first, last, newest, and offsets by time", times, tools)


def run_idempotence(trial, tools):
    trial.case("the console producer's batches carry its id and ascending sequences", sequences, tools)
    trial.case("without idempotence they carry none", plain, tools)


def run_delete(trial, tools):
    trial.case("kafka-delete-records deletes before an offset and before the end", delete_records, tools)
    trial.case("kafka-delete-records is told that an offset is beyond the end", delete_too_much, tools)
