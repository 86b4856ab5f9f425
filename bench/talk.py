"""What the bench scripts say to a broker in Python, where the load generator would be too much: whole topics in one request, the
same record to each partition. The messages are tests/lib/messages.py."""

import os
import sys
import time

import harness as h

sys.path.insert(0, os.path.join(h.ROOT, "tests/lib"))

from messages import call, frame, send, take  # noqa: E402
from wire import PRODUCE, Connection, batch, produce, produce_answer, request  # noqa: E402

# Answers for a partition that is being opened, recovered or has no room just now: ask again.
RETRIABLE = {3, 5, 6, 7, 13, 14, 15, 16, 56, 78, 80}
PER_REQUEST = 1000
__all__ = ["Connection", "batch", "call", "connect", "create", "delete", "ends", "fetch_one", "fetch_slice", "frame", "kafka", "produce_each", "produce_many", "produce_slice",
           "produce_to", "request", "send", "take"]


def connect(server, timeout=120):
    host, port = server.address.rsplit(":", 1)
    return Connection(int(port), host, timeout)


def create(connection, topics, configs=()):
    """Topics are (name, partitions)."""
    asked = [{"name": n, "num_partitions": p, "replication_factor": 1, "configs": [{"name": k, "value": v} for k, v in configs]}
             for n, p in topics]
    wrong = {t.error_code for t in call(connection, "create_topics", 5, topics=asked, timeout_ms=120000).topics} - {0}
    if wrong:
        raise h.Wrong(f"CreateTopics answers {wrong}")


def kafka(folder, properties=None, fresh=True):
    """Apache Kafka from the tests' jars, to be compared with. Where it cannot be had it raises tests/lib's NotRun."""
    from apache import ApacheKafka
    os.chdir(h.ROOT)  # tests/lib's paths begin there
    return ApacheKafka(folder, properties, fresh=fresh)


def produce_many(connection, topic, batches, count, window):
    """Produces `count` batches, these ones again and again, `window` requests in flight. Each must be acked."""
    asked = [request(PRODUCE, 7, produce(topic, 0, b)) for b in batches]
    for i in range(count + window):
        if i < count:
            connection.send(asked[i % len(asked)])
        if i >= window:
            error, _ = produce_answer(connection.reply()[1], topic)
            if error:
                raise h.Wrong(f"Produce to {topic} answers {error}")


def produce_each(connection, topic, batches, window):
    """Produces each of these batches once."""
    out = 0

    def answer():
        error, _ = produce_answer(connection.reply()[1], topic)
        if error:
            raise h.Wrong(f"Produce to {topic} answers {error}")
    for b in batches:
        connection.send(request(PRODUCE, 7, produce(topic, 0, b)))
        out += 1
        if out > window:
            answer()
            out -= 1
    for _ in range(out):
        answer()


def delete(connection, names):
    answer = call(connection, "delete_topics", 5, topic_names=list(names), timeout_ms=120000)
    wrong = {r.error_code for r in answer.responses} - {0}
    if wrong:
        raise h.Wrong(f"DeleteTopics answers {wrong}")


def until_all(what, pending, ask, seconds=120):
    """Asks for the pending partitions in slices until each has its answer; {partition: answer}. `ask` gives {partition: (error, answer)}."""
    done, deadline = {}, time.monotonic() + seconds
    while pending:
        again = []
        for at in range(0, len(pending), PER_REQUEST):
            part = pending[at:at + PER_REQUEST]
            got = ask(part)
            if set(got) != set(part):
                raise h.Wrong(f"{what} answers for {len(got)} of {len(part)} partitions")
            wrong = {e for e, _ in got.values()} - {0} - RETRIABLE
            if wrong:
                raise h.Wrong(f"{what} answers {wrong}")
            done.update({p: value for p, (e, value) in got.items() if e == 0})
            again += [p for p in part if got[p][0]]
        pending = again
        if pending and time.monotonic() > deadline:
            raise h.Wrong(f"{what}: {len(pending)} partitions have no answer after {seconds} s")
        if pending:
            time.sleep(0.02)
    return done


def produce_slice(connection, topic, partitions, records):
    data = [{"index": p, "records": records} for p in partitions]
    answer = call(connection, "produce", 8, acks=-1, timeout_ms=60000, topic_data=[{"name": topic, "partition_data": data}])
    return {r.index: (r.error_code, r.base_offset) for r in answer.responses[0].partition_responses}


def produce_to(connection, topic, partitions, records):
    """The batch to each of them; {partition: base offset}."""
    return until_all("Produce", list(partitions), lambda part: produce_slice(connection, topic, part, records))


def fetch_slice(connection, topic, offsets, wait_ms=0):
    """{partition: (error, records)} from these offsets, a batch each or more."""
    asked = [{"partition": p, "fetch_offset": o, "partition_max_bytes": 4096} for p, o in offsets.items()]
    answer = call(connection, "fetch", 11, max_wait_ms=wait_ms, min_bytes=1, max_bytes=64 << 20, topics=[{"topic": topic, "partitions": asked}])
    return {p.partition_index: (p.error_code, p.records or b"") for p in answer.responses[0].partitions}


def fetch_one(connection, topic, partition, offset, seconds=60):
    """The records there, whatever it takes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        error, records = fetch_slice(connection, topic, {partition: offset}, 500)[partition]
        if records:
            return records
        if error and error not in RETRIABLE:
            raise h.Wrong(f"Fetch answers {error}")
    raise h.Wrong(f"no record of {topic}-{partition} came within {seconds} s")


def ends(connection, topic, partitions):
    """{partition: end offset}, once each knows it."""
    def ask(part):
        asked = [{"name": topic, "partitions": [{"partition_index": p, "timestamp": -1} for p in part]}]
        answer = call(connection, "list_offsets", 5, replica_id=-1, topics=asked)
        return {p.partition_index: (p.error_code, p.offset) for p in answer.topics[0].partitions}
    return until_all("ListOffsets", list(partitions), ask)
