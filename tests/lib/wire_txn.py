"""Transactions spoken by hand: a producer whose every request a test chooses, in both generations of the protocol, and a reader.

    t = Transactional(connection, "id")                                     # FindCoordinator, InitProducerId
    t.add("topic", [0]), t.send("topic", 0, [b"v"]), t.end(True)            # the old generation: nothing is implicit
    t.send("topic", 0, [b"v"], version=12), t.end(True, version=5)          # KIP-890: Produce adds, EndTxn raises the epoch
    committed(connection, "topic", 0)                                       # [(offset, value)]

What asks answers Kafka's error codes; those that say "again, later" are asked again unless `patient` is false. `put` and what it is made
of have everything of a Produce for the test to choose, and answer what the broker says of each partition.
"""
import time

from batches import batches_in
from messages import call, send, take
from process import wait_until
from wire import LATEST, batch

CONCURRENT = 51
# COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR; of partitions: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER,
# KAFKA_STORAGE_ERROR (recovering)
LATER = {14, 15, 16, CONCURRENT}
LATER_PARTITION = LATER | {3, 6, 56}
TRANSACTIONAL, CONTROL = 16, 32
ABORT, COMMIT = 0, 1
UNCOMMITTED, COMMITTED = 0, 1
OLD_PRODUCE, NEW_PRODUCE, OLD_END, NEW_END = 11, 12, 4, 5
PATIENCE_S = 30


def again(ask, code, later, patient=True):
    """The answer of ask(), whose code(answer) is none that says "later"."""
    end = time.monotonic() + PATIENCE_S
    while True:
        answer = ask()
        if code(answer) not in later or not patient or time.monotonic() > end:
            return answer
        time.sleep(0.01)


def first_error(codes):
    return next((code for code in codes if code), 0)


def find_coordinator(connection, key, kind=1):
    """The error code of looking for the coordinator of an id (or a group: 0): the first one who does makes the topic of the states."""
    ask = lambda: call(connection, "find_coordinator", 4, key_type=kind, coordinator_keys=[key])
    code = lambda answer: answer.coordinators[0].error_code
    return code(again(ask, code, LATER))


class Transactional:
    def __init__(self, connection, txn, timeout_ms=60000, version=4, identity=None):
        """`identity`: (producer id, epoch) that it goes on with, instead of an InitProducerId."""
        self.connection, self.txn, self.timeout_ms = connection, txn, timeout_ms
        self.id, self.epoch = identity or (-1, -1)
        self.sequences = {}
        error = find_coordinator(connection, txn) or (0 if identity else self.init(version))
        assert error == 0, f"InitProducerId of {txn} says error {error}"

    def take(self, answer):
        if answer.producer_id >= 0 and (answer.producer_id, answer.producer_epoch) != (self.id, self.epoch):
            self.id, self.epoch, self.sequences = answer.producer_id, answer.producer_epoch, {}

    def init(self, version=4, **identity):
        ask = lambda: call(self.connection, "init_producer_id", version, transactional_id=self.txn,
                           transaction_timeout_ms=self.timeout_ms, **identity)
        answer = again(ask, lambda a: a.error_code, LATER)
        if answer.error_code == 0:
            self.take(answer)
        return answer.error_code

    def who(self):
        return {"transactional_id": self.txn, "producer_id": self.id, "producer_epoch": self.epoch}

    def add(self, topic, partitions, version=3, later=LATER_PARTITION):
        topics = [{"name": topic, "partitions": list(partitions)}]
        values = {"v3_and_below_" + name: value for name, value in {**self.who(), "topics": topics}.items()} if version < 4 \
            else {"transactions": [{**self.who(), "topics": topics}]}

        def code(answer):
            if version >= 4 and answer.error_code:
                return answer.error_code
            found = answer.results_by_topic_v3_and_below if version < 4 else answer.results_by_transaction[0].topic_results
            codes = [p.partition_error_code for t in found for p in t.results_by_partition]
            assert len(codes) == len(topics[0]["partitions"]), f"{len(codes)} answers for {topics}"
            return first_error(codes)
        return code(again(lambda: call(self.connection, "add_partitions_to_txn", version, **values), code, later))

    def verify(self, topic, partition, version=5):
        """What a broker asks before it appends."""
        topics = [{"name": topic, "partitions": [partition]}]
        answer = call(self.connection, "add_partitions_to_txn", version, transactions=[{**self.who(), "verify_only": True, "topics": topics}])
        if answer.error_code:
            return answer.error_code
        return answer.results_by_transaction[0].topic_results[0].results_by_partition[0].partition_error_code

    def batch(self, topic, partition, values, sequence=None, attributes=TRANSACTIONAL, **more):
        """The next one of that partition; with a sequence, that one."""
        at = self.sequences.get((topic, partition), 0) if sequence is None else sequence
        if sequence is None:
            self.sequences[topic, partition] = at + len(values)
        return batch(values, attributes=attributes, producer=(self.id, self.epoch, at), **more)

    def produce_request(self, parts, name=None, acks=-1):
        """Fields of a Produce of [(topic, partition, batch)], each topic in a row."""
        topics = []
        for topic, partition, raw in parts:
            if not topics or topics[-1]["name"] != topic:
                topics.append({"name": topic, "partition_data": []})
            topics[-1]["partition_data"].append({"index": partition, "records": raw})
        return {"transactional_id": name or self.txn, "acks": acks, "timeout_ms": 30000, "topic_data": topics}

    def put_raw(self, parts, version, name=None, later=frozenset([CONCURRENT]), patient=True):
        """The answer for each of [(topic, partition, batch)], in the request's order of topics; `later` goes by the first."""
        request = self.produce_request(parts, name)
        ask = lambda: [p for t in call(self.connection, "produce", version, **request).responses for p in t.partition_responses]
        return again(ask, lambda answers: answers[0].error_code, later, patient)

    def put(self, topic, partition, values, version=NEW_PRODUCE, **more):
        """The answer for that partition."""
        return self.put_raw([(topic, partition, self.batch(topic, partition, values, **more))], version)[0]

    def send(self, topic, partition, values, version=OLD_PRODUCE, patient=True):
        """(error code, base offset) of records of now; only what is taken counts in the sequences."""
        first = self.sequences.get((topic, partition), 0)
        data = self.batch(topic, partition, values, sequence=first, timestamp=int(time.time() * 1000))
        (answer,) = self.put_raw([(topic, partition, data)], version, later=LATER_PARTITION, patient=patient)
        if answer.error_code == 0:
            self.sequences[topic, partition] = first + len(values)
        return answer.error_code, answer.base_offset

    def add_offsets(self, group, version=3):
        ask = lambda: call(self.connection, "add_offsets_to_txn", version, **self.who(), group_id=group)
        return again(ask, lambda a: a.error_code, LATER).error_code

    def commit_offsets(self, group, topic, offsets, version=4, **member):
        """`offsets`: partition -> offset."""
        partitions = [{"partition_index": p, "committed_offset": at, "committed_metadata": ""} for p, at in offsets.items()]
        ask = lambda: call(self.connection, "txn_offset_commit", version, **self.who(), group_id=group, **member,
                           topics=[{"name": topic, "partitions": partitions}])
        code = lambda answer: first_error(p.error_code for p in answer.topics[0].partitions)
        return code(again(ask, code, LATER))

    def end(self, commit, version=OLD_END, **other):
        """`other`: of an identity that is not its own any more."""
        ask = lambda: call(self.connection, "end_txn", version, **{**self.who(), **other}, committed=commit)
        answer = again(ask, lambda a: a.error_code, LATER)
        if answer.error_code == 0 and version >= NEW_END and not other:
            self.take(answer)
        return answer.error_code

    def transact(self, new, topic, records, commit):
        """A whole transaction; `records`: partition -> values. Answers the error code of its end, or of what failed before."""
        if not new:
            error = self.add(topic, list(records))
            if error:
                return error
        for partition, values in records.items():
            error, _ = self.send(topic, partition, values, NEW_PRODUCE if new else OLD_PRODUCE)
            if error:
                return error
        return self.end(commit, NEW_END if new else OLD_END)


def described(connection, txn):
    (found,) = call(connection, "describe_transactions", 0, transactional_ids=[txn]).transaction_states
    return found


def listed(connection, topic, partition, timestamp, isolation, version=7):
    """(error code, timestamp, offset) of a ListOffsets."""
    asked = [{"name": topic, "partitions": [{"partition_index": partition, "timestamp": timestamp}]}]
    found = call(connection, "list_offsets", version, replica_id=-1, isolation_level=isolation, topics=asked).topics[0].partitions[0]
    return found.error_code, found.timestamp, found.offset


def end_of(connection, topic, partition, stable):
    """The last stable offset, or the high watermark."""
    ask = lambda: listed(connection, topic, partition, LATEST, COMMITTED if stable else UNCOMMITTED, 5)
    error, _, offset = again(ask, lambda answer: answer[0], LATER_PARTITION)
    assert error == 0, f"ListOffsets of {topic}-{partition} says error {error}"
    return offset


def settled(connection, topic, partitions, within_s=20):
    """Waits until no transaction is open: the markers come a moment after an end was answered."""
    end = time.monotonic() + within_s
    for partition in partitions:
        while True:
            stable, high = (end_of(connection, topic, partition, level) for level in (True, False))
            if stable == high:
                break
            assert time.monotonic() < end, f"{topic}-{partition} is stable up to {stable} of {high} after {within_s} s"
            time.sleep(0.02)


def stable_up_to(connection, topic, partition, offset):
    """Waits until the stable end is there or beyond, whatever is open behind it; answers whether it is."""
    return wait_until(lambda: listed(connection, topic, partition, LATEST, COMMITTED)[2] >= offset, 20)


def send_read(connection, topic, partition, offset, isolation, wait, min_bytes, max_bytes, version=11):
    asked = [{"topic": topic, "partitions": [{"partition": partition, "fetch_offset": offset, "partition_max_bytes": max_bytes}]}]
    send(connection, "fetch", version, max_wait_ms=wait, min_bytes=min_bytes, max_bytes=max_bytes, isolation_level=isolation, topics=asked)


def take_read(connection, version=11):
    return take(connection, "fetch", version).responses[0].partitions[0]


def read(connection, topic, partition, offset=0, isolation=COMMITTED, wait=0, min_bytes=1, max_bytes=1 << 20, version=11):
    """What a Fetch tells of one partition."""
    send_read(connection, topic, partition, offset, isolation, wait, min_bytes, max_bytes, version)
    return take_read(connection, version)


def aborted(part):
    """[(producer id, first offset)] that a Fetch names, or None."""
    return None if part.aborted_transactions is None else [(a.producer_id, a.first_offset) for a in part.aborted_transactions]


def committed(connection, topic, partition, offset=0):
    """[(offset, value)] of what a reader of committed records is given up to the last stable offset, taken apart as clients do."""
    found, open_ids = [], set()
    while True:
        part = again(lambda at=offset: read(connection, topic, partition, at), lambda a: a.error_code, LATER_PARTITION)
        assert part.error_code == 0, f"Fetch of {topic}-{partition} at {offset} says error {part.error_code}"
        batches, stable = batches_in(part.records or b""), part.last_stable_offset
        assert all(one.last_offset < stable for one in batches), f"{topic}-{partition}: a batch beyond the stable offset {stable}"
        named = sorted(aborted(part) or [], key=lambda one: one[1])
        for one in batches:
            while named and named[0][1] <= one.last_offset:
                open_ids.add(named.pop(0)[0])
            if one.attributes & CONTROL:
                if one.records[0].key[3] == ABORT:
                    open_ids.discard(one.producer_id)
            elif not one.attributes & TRANSACTIONAL or one.producer_id not in open_ids:
                found += [(record.offset, record.value) for record in one.records if record.offset >= offset]
        if not batches:
            assert offset >= stable, f"{topic}-{partition}: nothing comes at {offset}, it is stable up to {stable}"
            return found
        offset = batches[-1].last_offset + 1


def group_offsets(connection, group, topic, partitions, stable=True):
    """(error code, [offsets])"""
    asked = [{"group_id": group, "topics": [{"name": topic, "partition_indexes": list(partitions)}]}]
    (found,) = again(lambda: call(connection, "offset_fetch", 8, groups=asked, require_stable=stable),
                     lambda a: a.groups[0].error_code, LATER).groups
    parts = [p for t in found.topics for p in t.partitions]
    return first_error([found.error_code, *(p.error_code for p in parts)]), [p.committed_offset for p in parts]
