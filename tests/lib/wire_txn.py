"""Transactions spoken by hand: a producer whose every request a test chooses, in both generations of the protocol, and a reader.

    t = Transactional(connection, "id")                                     # FindCoordinator, InitProducerId
    t.add("topic", [0]), t.send("topic", 0, [b"v"]), t.end(True)            # the old generation: nothing is implicit
    t.send("topic", 0, [b"v"], version=12), t.end(True, version=5)          # KIP-890: Produce adds, EndTxn raises the epoch
    committed(connection, "topic", 0)                                       # [(offset, value)]

What asks answers Kafka's error codes; those that say "again, later" are asked again unless `patient` is false.
"""
import time

from messages import call
from stored import batches_in
from wire import LATEST, batch

# COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS; of partitions: UNKNOWN_TOPIC_OR_PARTITION,
# NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR (recovering)
LATER = {14, 15, 16, 51}
LATER_PARTITION = LATER | {3, 6, 56}
TRANSACTIONAL, CONTROL = 16, 32
ABORT, COMMIT = 0, 1
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


def find_coordinator(connection, key, kind=1):
    """The error code of looking for the coordinator of an id (or a group: 0): the first one who does makes the topic of the states."""
    ask = lambda: call(connection, "find_coordinator", 4, key_type=kind, coordinator_keys=[key])
    code = lambda answer: answer.coordinators[0].error_code
    return code(again(ask, code, LATER))


class Transactional:
    def __init__(self, connection, txn, timeout_ms=60000, version=4):
        self.connection, self.txn, self.timeout_ms = connection, txn, timeout_ms
        self.id = self.epoch = -1
        self.sequences = {}
        error = find_coordinator(connection, txn) or self.init(version)
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

    def add(self, topic, partitions, version=3):
        topics = [{"name": topic, "partitions": list(partitions)}]
        values = {"v3_and_below_" + name: value for name, value in {**self.who(), "topics": topics}.items()} if version < 4 \
            else {"transactions": [{**self.who(), "topics": topics}]}

        def code(answer):
            if version >= 4 and answer.error_code:
                return answer.error_code
            found = answer.results_by_topic_v3_and_below if version < 4 else answer.results_by_transaction[0].topic_results
            return max(p.partition_error_code for t in found for p in t.results_by_partition)
        return code(again(lambda: call(self.connection, "add_partitions_to_txn", version, **values), code, LATER_PARTITION))

    def verify(self, topic, partition, version=5):
        """What a broker asks before it appends."""
        topics = [{"name": topic, "partitions": [partition]}]
        answer = call(self.connection, "add_partitions_to_txn", version, transactions=[{**self.who(), "verify_only": True, "topics": topics}])
        if answer.error_code:
            return answer.error_code
        return answer.results_by_transaction[0].topic_results[0].results_by_partition[0].partition_error_code

    def send(self, topic, partition, values, version=OLD_PRODUCE, patient=True):
        """(error code, base offset)"""
        first = self.sequences.get((topic, partition), 0)
        data = batch(values, attributes=TRANSACTIONAL, timestamp=int(time.time() * 1000), producer=(self.id, self.epoch, first))
        ask = lambda: call(self.connection, "produce", version, transactional_id=self.txn, acks=-1, timeout_ms=30000,
                           topic_data=[{"name": topic, "partition_data": [{"index": partition, "records": data}]}])
        found = lambda answer: answer.responses[0].partition_responses[0]
        answer = found(again(ask, lambda a: found(a).error_code, LATER_PARTITION, patient))
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
        code = lambda answer: max(p.error_code for p in answer.topics[0].partitions)
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


def end_of(connection, topic, partition, stable):
    """The last stable offset, or the high watermark."""
    asked = [{"name": topic, "partitions": [{"partition_index": partition, "timestamp": LATEST}]}]
    ask = lambda: call(connection, "list_offsets", 5, replica_id=-1, isolation_level=int(stable), topics=asked)
    code = lambda answer: answer.topics[0].partitions[0].error_code
    answer = again(ask, code, LATER_PARTITION)
    assert code(answer) == 0, f"ListOffsets of {topic}-{partition} says error {code(answer)}"
    return answer.topics[0].partitions[0].offset


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


def fetched_committed(connection, topic, partition, offset, version=11):
    """(batches, aborted transactions as (producer id, first offset), last stable offset) of one Fetch that reads committed."""
    asked = [{"topic": topic, "partitions": [{"partition": partition, "fetch_offset": offset, "partition_max_bytes": 1 << 20}]}]
    ask = lambda: call(connection, "fetch", version, replica_id=-1, max_wait_ms=0, min_bytes=0, max_bytes=1 << 22, isolation_level=1,
                       topics=asked)
    found = lambda answer: answer.responses[0].partitions[0]
    answer = found(again(ask, lambda a: found(a).error_code, LATER_PARTITION))
    assert answer.error_code == 0, f"Fetch of {topic}-{partition} at {offset} says error {answer.error_code}"
    aborted = [(one.producer_id, one.first_offset) for one in answer.aborted_transactions or []]
    return batches_in(answer.records or b""), aborted, answer.last_stable_offset


def committed(connection, topic, partition, offset=0):
    """[(offset, value)] of what a reader of committed records is given up to the last stable offset, taken apart as clients do."""
    found, open_ids = [], set()
    while True:
        batches, aborted, stable = fetched_committed(connection, topic, partition, offset)
        assert all(one.last_offset < stable for one in batches), f"{topic}-{partition}: a batch beyond the stable offset {stable}"
        aborted.sort(key=lambda one: one[1])
        for one in batches:
            while aborted and aborted[0][1] <= one.last_offset:
                open_ids.add(aborted.pop(0)[0])
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
    return max([found.error_code, *(p.error_code for p in parts)]), [p.committed_offset for p in parts]
