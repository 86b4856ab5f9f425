"""Transactions: what both isolation levels read of committed, aborted and open ones; a fenced producer; one that takes too long; a chain
that reads as a member, writes with its offsets, and is killed."""
import struct

from batches import batches_of
from driver import Refused, encoded
from step_records import check_read, check_stored, sent
from wire import batch, produced
from wire_txn import ABORT, COMMIT, CONTROL, TRANSACTIONAL, end_of, group_offsets, settled

PARTITIONS = 2
LONG_MS, SHORT_MS = 60000, 3000  # librdkafka gives a record no longer than that, on a busy machine too
CHAIN_MS = 5000  # a chain that does not ask for its id before its first record waits so long for what a killed one left
SESSION_MS, HEARTBEAT_MS, REBALANCE_MS = 3000, 500, 15000


def settle(trial, topic, partitions=PARTITIONS):
    with trial.connection() as connection:
        settled(connection, topic, range(partitions))


def end_at(trial, topic, partition, stable):
    with trial.connection() as connection:
        return end_of(connection, topic, partition, stable)


def records_of(name):
    return [sent(n, b"%s %d \xff\0" % (name, n), b"key %d" % n) for n in range(6)] + [sent(0, None, b"gone"), sent(1, b"", None)]


def in_partition(records, partition):
    return [record for record in records if record["partition"] == partition]


class Sender:
    """A transactional producer of the row's client, and what it sent."""

    def __init__(self, trial, name, txn, timeout_ms=LONG_MS, adapter=None):
        self.adapter, self.name = adapter or trial.main, name
        self.ask("txn_open", txn=txn, timeout_ms=timeout_ms)

    def ask(self, do, **fields):
        return self.adapter.call(do, **{"as": self.name}, **fields)

    def begin(self, topic, records):
        """Answers the offsets that the client was told."""
        self.ask("txn_begin")
        return self.ask("txn_send", topic=topic, codec="none", records=records)["offsets"]

    def end(self, commit):
        self.ask("txn_end", commit=commit)

    def refused(self, what, commit=True):
        try:
            self.end(commit)
        except Refused:
            return
        raise AssertionError(f"{what} could end its transaction")


def markers(batches):
    """(type, producer id) of each control batch."""
    found = []
    for one in batches:
        if one.attributes & CONTROL:
            assert one.count == 1 and one.attributes & TRANSACTIONAL and one.sequence == -1, f"the marker is {one}"
            version, kind = struct.unpack(">hh", one.records[0].key)
            assert version == 0 and len(one.records[0].value) >= 6, f"the marker is {one}"
            found.append((kind, one.producer_id))
    return found


def check_log(batches, wanted, offsets, kinds):
    """Data of one producer in transactions, and markers of these kinds behind them."""
    data = [one for one in batches if not one.attributes & CONTROL]
    check_stored([record for one in data for record in one.records], wanted, offsets)
    assert all(one.attributes & TRANSACTIONAL and one.producer_id >= 0 for one in data), "a batch is not transactional"
    assert len({one.producer_id for one in batches}) == 1, f"producers {sorted({one.producer_id for one in batches})}"
    have = [kind for kind, _ in markers(batches)]
    assert have == kinds, f"the markers are {have} instead of {kinds}"


class Levels:
    """A committed transaction, an aborted one, another one that is looked at while it is open."""

    def __init__(self, trial):
        self.trial, self.topic = trial, trial.topic(PARTITIONS)
        self.sent, self.offsets, self.kept = [], [], []
        self.sender = None

    def add(self, name, keep):
        records = records_of(name)
        self.offsets += self.sender.begin(self.topic, records)
        self.sent += records
        self.kept += [keep] * len(records)

    def look_while_open(self):
        self.sender = Sender(self.trial, "levels", f"{self.trial.row.name}-levels")
        for name, keep in ((b"first", True), (b"dropped", False)):
            self.add(name, keep)
            self.sender.end(keep)
        settle(self.trial, self.topic)
        ends = [end_at(self.trial, self.topic, partition, False) for partition in range(PARTITIONS)]
        self.add(b"last", True)
        for partition, end in enumerate(ends):
            stable = end_at(self.trial, self.topic, partition, True)
            assert stable == end, f"partition {partition} is stable up to {stable} instead of {end}"
        check_read(self.trial, self.topic, 0, self.found(0, True, ends[0]), True)
        given = self.trial.main.call("read", topic=self.topic, partition=0, offset=ends[0], count=1, timeout_ms=300,
                                     committed=True)["records"]
        assert not given, f"a record of the open transaction is given: {given[0]}"
        self.sender.end(True)
        settle(self.trial, self.topic)

    def found(self, partition, committed, end=None):
        """The stored records that a reader is to be given."""
        stored = [record for one in batches_of(self.trial.broker, self.topic, partition) if not one.attributes & CONTROL
                  for record in one.records]
        kept = [keep for record, keep in zip(self.sent, self.kept) if record["partition"] == partition]
        return [record for record, keep in zip(stored, kept)
                if (keep or not committed) and (end is None or record.offset < end)]

    def look_afterwards(self):
        for partition in range(PARTITIONS):
            mine = [offset for record, offset in zip(self.sent, self.offsets) if record["partition"] == partition]
            check_log(batches_of(self.trial.broker, self.topic, partition), in_partition(self.sent, partition), mine,
                      [COMMIT, ABORT, COMMIT])
            for committed in (True, False):
                check_read(self.trial, self.topic, partition, self.found(partition, committed), committed)


def committed_values(trial, topic, partition, count):
    """What a reader of committed records is given; `count` of them are waited for."""
    answer = trial.main.call("read", topic=topic, partition=partition, offset=0, count=count, timeout_ms=20000, committed=True)
    return [record["value"] for record in answer["records"]]


def fenced(trial):
    topic, txn = trial.topic(PARTITIONS), f"{trial.row.name}-fenced"
    older = Sender(trial, "older", txn)
    older.begin(topic, records_of(b"older"))
    newer = Sender(trial, "newer", txn)
    settle(trial, topic)
    newer.begin(topic, records_of(b"newer"))
    older.refused("a fenced producer")
    newer.end(True)
    settle(trial, topic)
    for partition in range(PARTITIONS):
        wanted = [record["value"] for record in in_partition(records_of(b"newer"), partition)]
        have = committed_values(trial, topic, partition, len(wanted))
        assert have == wanted, f"read committed gives {have} instead of {wanted}"
        kinds = markers(batches_of(trial.broker, topic, partition))
        assert [kind for kind, _ in kinds] == [ABORT, COMMIT], f"the markers are {kinds}"


class Slow:
    """A transaction that takes longer than it may; begun ahead, so that nobody waits for it."""

    def __init__(self, trial):
        self.trial, self.topic = trial, trial.topic(1)
        self.sender = Sender(trial, "slow", f"{trial.row.name}-slow", SHORT_MS)
        self.sender.begin(self.topic, [sent(0, b"late")])

    def look(self):
        settle(self.trial, self.topic, 1)
        kinds = markers(batches_of(self.trial.broker, self.topic, 0))
        assert [kind for kind, _ in kinds] == [ABORT], f"the markers are {kinds}"
        self.sender.refused("a producer that took too long")


class Chain:
    """Copies from one topic to another; a process of it is killed while it does."""

    def __init__(self, trial):
        self.trial = trial
        self.source, self.target, self.group = trial.topic(PARTITIONS), trial.topic(PARTITIONS), trial.group("chain")
        self.written = 0

    def start(self, name):
        adapter = self.trial.crew.start(name)
        adapter.call("transform", group=self.group, topic=self.source, to=self.target, txn=self.group, timeout_ms=CHAIN_MS,
                     session_ms=SESSION_MS, heartbeat_ms=HEARTBEAT_MS, rebalance_ms=REBALANCE_MS, instance=None,
                     strategy="eager")
        return adapter

    def write(self, batches, each):
        with self.trial.connection() as connection:
            for _ in range(batches):
                for partition in range(PARTITIONS):
                    values = [b"%d-%d" % (partition, self.written + n) for n in range(each)]
                    error, offset = produced(connection, self.source, partition, batch(values))
                    assert (error, offset) == (0, self.written), f"a raw produce says error {error}, offset {offset}"
                self.written += each

    def committed(self):
        """What the group has committed, and is stable."""
        with self.trial.connection() as connection:
            return group_offsets(connection, self.group, self.source, range(PARTITIONS))[1]

    def wait_for_end(self, adapter):
        ends = [self.written] * PARTITIONS
        self.trial.crew.wait(lambda: said_error(adapter) or self.committed() == ends, 60,
                             lambda: f"the group to commit {ends}: {self.committed()}")
        assert not said_error(adapter), f"the chain ended: {said_error(adapter)}"

    def run(self):
        first = self.start("chain")
        self.write(2, 10)
        self.wait_for_end(first)
        self.write(10, 20)
        first.kill()
        second = self.start("chain-again")
        self.wait_for_end(second)
        settle(self.trial, self.target)
        for partition in range(PARTITIONS):
            wanted = [encoded(b"did %d-%d" % (partition, n)) for n in range(self.written)]
            have = committed_values(self.trial, self.target, partition, len(wanted))
            assert have == wanted, f"{len(have)} records of partition {partition}, " \
                f"{len(set(wanted) - set(have))} are missing, {len(have) - len(set(have))} twice"
            more = end_at(self.trial, self.target, partition, True)
            assert more > self.written, f"partition {partition} ends at {more}: there is no marker"


def said_error(adapter):
    errors = [event["error"] for event in adapter.events if event.get("event") == "error"]
    return errors[0] if errors else ""


def run_transactions(trial):
    slow = []
    if trial.case("a transactional producer begins and sends", lambda: slow.append(Slow(trial))) is None:
        return
    levels = Levels(trial)
    if trial.case("what is not ended is not read committed", levels.look_while_open):
        trial.case("committed transactions are read by both isolation levels byte for byte, aborted ones only uncommitted",
                   levels.look_afterwards)
    trial.case("a fenced producer cannot commit, and nothing of it is read committed", fenced, trial)
    if slow:
        trial.case("a transaction that takes too long is aborted, and its producer cannot commit", slow[0].look)
    trial.case("a chain that is killed in the middle goes on by another: each record exactly once", Chain(trial).run)
