"""Seeded operations to Apache Kafka and to us, then retention and compaction on both, then what survives is compared (README.md)."""
import argparse
import glob
import os
import random
import re
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../lib"), os.path.join(HERE, "../dump")]

from apache import ApacheKafka
from broker import Broker
from dump import dump
from messages import alter, call
from process import wait_until
from report import Report
from wire import PRODUCE, Connection, fetched, produce, produce_answer, request
from wire_records import CODECS, make, take

WORK = "build/tests/judge"
HOUR = 3600 * 1000
NOW = int(time.time() * 1000)
KEPT_MS, AGE_MS = 24 * HOUR, 120 * HOUR  # retention.ms; how old the first record is
WINDOW = 16
SETTINGS = {"log.retention.check.interval.ms": "500", "log.cleaner.backoff.ms": "200", "log.initial.task.delay.ms": "500",
            "auto.create.topics.enable": "false", "log.cleaner.threads": "1"}
# Segments end where a record's time says so, at the same record in both: their sizes depend on who packed them.
COMMON = {"segment.ms": str(6 * HOUR), "min.cleanable.dirty.ratio": "0.0", "delete.retention.ms": str(1000 * HOUR), "file.delete.delay.ms": "100"}
HELD = {"retention.ms": "-1", "min.compaction.lag.ms": str(1000 * HOUR)}  # until everything is written
TOPICS = {
    "by-time": {"retention.ms": str(KEPT_MS)},
    "by-time-zstd": {"retention.ms": str(KEPT_MS), "compression.type": "zstd"},
    "by-size": {"retention.ms": "-1"},
    "compacted": {"cleanup.policy": "compact"},
    "compacted-gzip": {"cleanup.policy": "compact", "compression.type": "gzip"},
    "compacted-lz4": {"cleanup.policy": "compact", "compression.type": "lz4"},
    "tombstones-go": {"cleanup.policy": "compact", "delete.retention.ms": "0"},
    "both": {"cleanup.policy": "compact,delete", "retention.ms": str(KEPT_MS)},
}
MAY_CHANGE_CODEC = [name for name in TOPICS if name != "by-size"]


def compacts(topic):
    return "compact" in TOPICS[topic].get("cleanup.policy", "")


class Draw:
    """The operations, one after the other: ("produce", topic, batch) or ("alter", topic, key, value)."""

    def __init__(self, seed, count):
        self.rng, self.count, self.number = random.Random(seed), count, 0

    def value(self):
        rng = self.rng
        self.number += 1
        return b"%d " % self.number + bytes(rng.choices(b"abcdefgh", k=rng.choice((5, 40, 40, 300))))

    def record(self, topic, now):
        rng = self.rng
        key = b"key-%d" % min(int(rng.expovariate(1 / 60)), 500) if compacts(topic) or rng.random() < 0.7 else None
        value = None if rng.random() < 0.15 else self.value()
        headers = [("n", b"%d" % self.number)] + [("empty", b""), ("null", None)][:rng.randrange(3)]
        return key, value, now - rng.randrange(HOUR // 4), headers

    def operation(self, i):
        rng, now = self.rng, NOW - AGE_MS + AGE_MS * i // self.count
        topic = rng.choice(list(TOPICS))
        if rng.random() < 0.01 and topic in MAY_CHANGE_CODEC:
            return "alter", topic, "compression.type", rng.choice(("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"))
        records = [self.record(topic, now) for _ in range(rng.choice((1, 2, 5, 20)))]
        return "produce", topic, make(records, rng.choice(CODECS))

    def all(self):
        for i in range(self.count):
            yield self.operation(i)
        for topic in TOPICS:  # the last segment of each is young, and alone in not being cleaned
            yield "produce", topic, make([(b"last", b"last", NOW, [])], "none")


class World:
    def __init__(self, broker):
        self.broker = broker.start()
        self.connection = Connection(broker.port, timeout=60)
        self.flying = []
        topics = [{"name": name, "num_partitions": 1, "replication_factor": 1,
                   "configs": [{"name": k, "value": v} for k, v in {**COMMON, "retention.ms": "-1", **configs, **HELD}.items()]}
                  for name, configs in TOPICS.items()]
        made = call(self.connection, "create_topics", 5, topics=topics, timeout_ms=20000)
        assert not any(t.error_code for t in made.topics), made
        for name in TOPICS:
            assert wait_until(lambda n=name: fetched(self.connection, n, 0, 0, wait=0)[0] == 0, 20), name

    def settle(self, leave=0):
        while len(self.flying) > leave:
            topic = self.flying.pop(0)
            _, answer = self.connection.reply()
            error, _ = produce_answer(answer, topic)
            assert error == 0, f"{topic}: error {error}"

    def alter(self, topic, key, value):
        self.settle()
        error, why = alter(self.connection, topic, **{key: value})
        assert error == 0, f"{topic}: {key}={value}: {why}"
        time.sleep(0.02)  # Kafka answers before its log knows it

    def run(self, operation):
        if operation[0] == "alter":
            self.alter(*operation[1:])
            return
        _, topic, raw = operation
        self.connection.send(request(PRODUCE, 7, produce(topic, 0, raw)))
        self.flying.append(topic)
        self.settle(WINDOW)

    def start_of(self, topic):
        asked = [{"name": topic, "partitions": [{"partition_index": 0, "timestamp": -2}]}]
        return call(self.connection, "list_offsets", 5, topics=asked).topics[0].partitions[0].offset

    def read(self, topic):
        start = at = self.start_of(topic)
        found = []
        while True:
            error, end, raw = fetched(self.connection, topic, 0, at, wait=0, max_bytes=4 << 20)
            if error == 1:  # the log start moved on
                return self.read(topic)
            assert error == 0, f"{topic}: error {error}"
            records, following = take(raw)
            found += [r for r in records if r.offset >= max(at, start)]
            if following is None or following >= end:
                return found
            at = following


def survivors(worlds, quiet=5, limit=120):
    """Of both, by topic, once nothing has gone for a while."""
    seen, since, deadline = None, time.monotonic(), time.monotonic() + limit
    while time.monotonic() < deadline and time.monotonic() - since < quiet:
        now = [{topic: world.read(topic) for topic in TOPICS} for world in worlds]
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.3)
    return seen


def determined(topic, records):
    """Not: when a merged segment of `both` expires (it depends on when it was merged), and which cleaning drops a tombstone that may go."""
    if topic == "both":
        return [r for r in records if r.timestamp > NOW - KEPT_MS + 2 * HOUR]
    return [r for r in records if r.value is not None] if topic == "tombstones-go" else records


def unlike(topic, kafka, ours):
    kafka, ours = determined(topic, kafka), determined(topic, ours)
    if kafka == ours:
        return None
    theirs, mine = {r.offset: r for r in kafka}, {r.offset: r for r in ours}
    only = sorted(set(theirs) ^ set(mine)) or [o for o in theirs if theirs[o] != mine[o]]
    first = only[0]
    return f"{topic}: {len(kafka)} and {len(ours)} survive; the first difference of {len(only)}: Kafka {theirs.get(first)}, ours {mine.get(first)}"


def force(worlds):
    """What was held back, on both: retention by time, by half of the size, and compaction."""
    kept = sum(os.path.getsize(f) for f in glob.glob(os.path.join(worlds[0].broker.data, "by-size-0/*.log"))) // 2
    for topic, configs in TOPICS.items():
        for world in worlds:
            world.alter(topic, "min.compaction.lag.ms", "0")
            world.alter(topic, "retention.ms", configs.get("retention.ms", "-1"))
            if topic == "by-size":
                world.alter(topic, "retention.bytes", str(kept))


def compare(report, opts):
    worlds = []
    brokers = [ApacheKafka(os.path.join(WORK, "kafka"), SETTINGS), Broker(os.path.join(WORK, "ours"), {**SETTINGS, "write.caching": "true"})]
    try:
        worlds = [World(b) for b in brokers]
        sent = dict.fromkeys(TOPICS, 0)
        for operation in Draw(opts.seed, opts.operations).all():
            if operation[0] == "produce":
                sent[operation[1]] += struct.unpack_from(">i", operation[2], 57)[0]
            for world in worlds:
                world.run(operation)
        for world in worlds:
            world.settle()
        force(worlds)
        all_of_kafka, all_of_ours = survivors(worlds)
        told = " ".join(brokers[1].logged("settings without effect", 1))
        for topic in TOPICS:
            kafka, ours = all_of_kafka[topic], all_of_ours[topic]
            if topic.startswith("by-") and "log.retention.check.interval.ms" in told:
                report.not_run(f"{topic}: the same records survive", "this broker drops nothing by time or size")
                continue
            report.check(f"{topic}: Kafka keeps some of the {opts.operations} operations' records and drops others", 0 < len(kafka) < sent[topic],
                         f"{len(kafka)} of {sent[topic]}")
            why = unlike(topic, kafka, ours)
            report.check(f"{topic}: the same records survive, with key, value, timestamp and headers", not why, why)
        worlds[1].connection.close()
        brokers[1].stop(60)
        report.case("DumpLogSegments reads every file", dumped, brokers[1])
    finally:
        for broker in brokers:
            broker.kill()


def files(broker):
    return sorted(f for topic in TOPICS for f in glob.glob(os.path.join(broker.data, f"{topic}-0", "*.log")))


def dumped(broker):
    """The tool tells of each gap, in Kafka's own compacted files too: what it says besides is a complaint."""
    seen = dump(files(broker), "--deep-iteration")
    seen.complaints = [line for line in seen.complaints if not re.fullmatch(r"\s*(\d+) is followed by \d+\s*", line)]
    seen.clean()
    assert len(seen.offsets) == len(TOPICS), f"{len(seen.offsets)} folders"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    opts = parser.parse_args()
    report = Report()
    report.case("the operations run on both", compare, report, opts)
    report.finish()


main()
