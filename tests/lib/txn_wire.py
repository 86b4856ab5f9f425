"""Transactions as their bytes: for tests that send what no client sends, on either broker.

    p = Producer(connection, "my-id")                          # InitProducerId, when the coordinator is there
    p.add("topic", 0)                                          # AddPartitionsToTxn v3: the first generation
    p.put("topic", 0, [b"x"], version=11)                      # the answer of Produce for that partition
    p.end(commit=True, version=4)
"""
import struct
import time

from messages import call, send, take
from process import wait_until
from wire import batch, split_batches

CONCURRENT, LOADING, NOT_AVAILABLE, NOT_COORDINATOR = 51, 14, 15, 16
TRANSACTIONAL, COMMITTED, UNCOMMITTED = 16, 1, 0


def patiently(ask, error_of, timeout=20):
    """Asks again while the coordinator is not there, or at the end of the transaction before."""
    end = time.monotonic() + timeout
    while True:
        answer = ask()
        if error_of(answer) not in (CONCURRENT, LOADING, NOT_AVAILABLE, NOT_COORDINATOR) or time.monotonic() > end:
            return answer
        time.sleep(0.01)


class Producer:
    def __init__(self, connection, name, timeout_ms=60000):
        self.c, self.name, self.timeout_ms = connection, name, timeout_ms
        self.init()

    def init(self):
        found = lambda: call(self.c, "find_coordinator", 4, key_type=1, coordinator_keys=[self.name]).coordinators[0].error_code == 0
        assert wait_until(found, 20), "no coordinator of transactions"
        ask = lambda: call(self.c, "init_producer_id", 4, transactional_id=self.name, transaction_timeout_ms=self.timeout_ms)
        r = patiently(ask, lambda r: r.error_code)
        assert r.error_code == 0, f"InitProducerId got error {r.error_code}"
        self.id, self.epoch, self.sequences = r.producer_id, r.producer_epoch, {}
        return self

    def add(self, topic, *partitions, version=3):
        """The error of each."""
        ask = lambda: call(self.c, "add_partitions_to_txn", version, v3_and_below_transactional_id=self.name, v3_and_below_producer_id=self.id,
                           v3_and_below_producer_epoch=self.epoch, v3_and_below_topics=[{"name": topic, "partitions": list(partitions)}])
        errors_of = lambda r: [p.partition_error_code for t in r.results_by_topic_v3_and_below for p in t.results_by_partition]
        return errors_of(patiently(ask, lambda r: errors_of(r)[0]))

    def batch(self, topic, partition, values, sequence=None, attributes=TRANSACTIONAL, **more):
        """The next one of that partition; with a sequence, that one."""
        at = self.sequences.get((topic, partition), 0) if sequence is None else sequence
        if sequence is None:
            self.sequences[topic, partition] = at + len(values)
        return batch(values, attributes=attributes, producer=(self.id, self.epoch, at), **more)

    def produce_request(self, parts, version, name=None, acks=-1):
        """Fields of a Produce of [(topic, partition, batch)], each topic in a row."""
        topics = []
        for topic, partition, raw in parts:
            if not topics or topics[-1]["name"] != topic:
                topics.append({"name": topic, "partition_data": []})
            topics[-1]["partition_data"].append({"index": partition, "records": raw})
        return {"transactional_id": name or self.name, "acks": acks, "timeout_ms": 30000, "topic_data": topics}

    def put(self, topic, partition, values, version=12, **more):
        raw = self.batch(topic, partition, values, **more)
        return self.put_raw([(topic, partition, raw)], version)[0]

    def put_raw(self, parts, version, name=None):
        """The answers, in the request's order of topics; a partition of a broker that is not ready yet is asked again."""
        request = self.produce_request(parts, version, name)
        ask = lambda: [p for t in call(self.c, "produce", version, **request).responses for p in t.partition_responses]
        return patiently(ask, lambda r: r[0].error_code if r[0].error_code == CONCURRENT else 0)

    def end(self, commit, version=4):
        """Its error; from version 5 on the producer has its new epoch then."""
        ask = lambda: call(self.c, "end_txn", version, transactional_id=self.name, producer_id=self.id, producer_epoch=self.epoch,
                           committed=commit)
        r = patiently(ask, lambda r: r.error_code)
        if not r.error_code and version >= 5:
            self.id, self.epoch, self.sequences = r.producer_id, r.producer_epoch, {}
        return r.error_code


def read(c, topic, partition, offset=0, isolation=COMMITTED, wait=0, min_bytes=1, max_bytes=1 << 20, version=11):
    """What a Fetch tells of one partition."""
    send_read(c, topic, partition, offset, isolation, wait, min_bytes, max_bytes, version)
    return take_read(c, version)


def send_read(c, topic, partition, offset, isolation, wait, min_bytes, max_bytes, version=11):
    asked = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": max_bytes}
    send(c, "fetch", version, max_wait_ms=wait, min_bytes=min_bytes, max_bytes=max_bytes, isolation_level=isolation,
         topics=[{"topic": topic, "partitions": [asked]}])


def take_read(c, version=11):
    return take(c, "fetch", version).responses[0].partitions[0]


def aborted(part):
    return None if part.aborted_transactions is None else [(a.producer_id, a.first_offset) for a in part.aborted_transactions]


def read_on(c, topic, partition, offset=0, isolation=COMMITTED):
    """([base offset of each batch], [aborted transactions]) from there to the end of what may be read, in as many reads as it takes."""
    bases, named = [], set()
    while True:
        part = read(c, topic, partition, offset, isolation)
        assert part.error_code == 0, part
        brought = list(split_batches(part.records))
        if not brought:
            return bases, sorted(named, key=lambda a: a[1])
        bases += [base for base, _ in brought]
        named |= set(aborted(part) or [])
        offset = brought[-1][0] + struct.unpack_from(">i", brought[-1][1], 23)[0] + 1


def listed(c, topic, partition, timestamp, isolation, version=7):
    """(error, timestamp, offset) of a ListOffsets."""
    p = call(c, "list_offsets", version, replica_id=-1, isolation_level=isolation,
             topics=[{"name": topic, "partitions": [{"partition_index": partition, "timestamp": timestamp}]}]).topics[0].partitions[0]
    return p.error_code, p.timestamp, p.offset


def settled(c, topic, partition, offset, timeout=20):
    """Waits until the stable end has reached `offset`: markers come behind the answer to EndTxn."""
    return wait_until(lambda: listed(c, topic, partition, -1, COMMITTED)[2] >= offset, timeout)


def mark(c, producer, commit, parts, coordinator_epoch=0, epoch=None, version=1, generation=0):
    """The errors of a WriteTxnMarkers for [(topic, partition)]."""
    marker = {"producer_id": producer.id, "producer_epoch": producer.epoch if epoch is None else epoch, "transaction_result": commit,
              "coordinator_epoch": coordinator_epoch, "transaction_version": generation,
              "topics": [{"name": t, "partition_indexes": [p]} for t, p in parts]}
    r = call(c, "write_txn_markers", version, markers=[marker])
    return [p.error_code for m in r.markers for t in m.topics for p in t.partitions]


def producers(c, topic, *partitions):
    return call(c, "describe_producers", 0, topics=[{"name": topic, "partition_indexes": list(partitions)}]).topics[0].partitions
