"""kill -9 at random moments under transactions of both generations: all of a transaction or nothing of it, whatever was answered holds, and
what was not answered is one of the two. One of the topics has write.caching."""
import random
import threading
import time

from harness import say, seconds
from wire import Connection, create_topic
from wire_txn import LATER, NEW_END, NEW_PRODUCE, OLD_END, OLD_PRODUCE, Transactional, committed, find_coordinator, group_offsets, settled

TOPICS = {"durable": (), "cached": (("write.caching", "true"),)}
PARTITIONS, WRITERS = 4, 5
GROUP = "crashes"
AWAY_S = 20
COMMITTED, ABORTED, UNKNOWN = "committed", "aborted", "unknown"


class Failed(Exception):
    """The broker answered an error that ends the attempt."""


class Writer(threading.Thread):
    """One transactional id, one transaction after the other. `told` has (outcome, values, offset) of each."""

    def __init__(self, broker, number, seed, over):
        super().__init__(daemon=True)
        self.broker, self.number, self.over = broker, number, over
        self.dice = random.Random(f"{seed} {number}")
        self.told, self.failure, self.count = [], None, 0

    def run(self):
        try:
            while not self.over.is_set():
                try:
                    with Connection(self.broker.port, self.broker.host, timeout=AWAY_S) as connection:
                        self.write_on(Transactional(connection, f"writer-{self.number}"))
                except (OSError, EOFError):
                    time.sleep(0.02)
        except Exception as why:
            self.failure = why

    def write_on(self, t):
        while not self.over.is_set():
            self.transaction(t, self.dice.random() < 0.5, self.dice.random() < 0.7)

    def transaction(self, t, new, commit):
        """What is not answered leaves its outcome open: unless its end was sent, it never commits."""
        self.count += 1
        if new and self.broker.start_line.startswith("Kafka"):  # there it may get into the one before (protocol.py)
            self.must(t.init())
        places = self.dice.sample([(topic, p) for topic in TOPICS for p in range(PARTITIONS)], self.dice.randint(1, 3))
        values = {place: [b"%d-%d-%s-%d-%d" % (self.number, self.count, place[0].encode(), place[1], n)
                          for n in range(self.dice.randint(1, 3))] for place in places}
        entry = [ABORTED, values, None]
        self.told.append(entry)
        for (topic, partition), records in values.items():
            if not new:
                self.must(t.add(topic, [partition]))
            self.must(t.send(topic, partition, records, NEW_PRODUCE if new else OLD_PRODUCE)[0])
        if self.dice.random() < 0.5:
            entry[2] = self.count
            if not new:
                self.must(t.add_offsets(GROUP))
            self.must(t.commit_offsets(GROUP, "durable", {self.number: self.count}, 5 if new else 4))
        entry[0] = UNKNOWN if commit else ABORTED
        error = t.end(commit, NEW_END if new else OLD_END)
        self.must(error)
        entry[0] = COMMITTED if commit else ABORTED

    def must(self, error):
        """After a kill the broker may not be the coordinator for a moment; everything else is a fault."""
        if error in LATER | {3, 6, 56}:
            raise OSError("the broker is not there yet")
        if error:
            raise Failed(f"writer {self.number}, transaction {self.count}: error {error}")


def whole(writers, connection):
    """Checks what a reader of committed records is given; answers how many transactions are there."""
    seen = {}
    for topic in TOPICS:
        settled(connection, topic, range(PARTITIONS))
        for partition in range(PARTITIONS):
            values = [value for _, value in committed(connection, topic, partition)]
            assert len(set(values)) == len(values), f"{topic}-{partition}: a record is there twice"
            for place, value in enumerate(values):
                seen[value] = (topic, partition, place)
    present, sent = 0, set()
    for writer in writers:
        for outcome, values, _ in writer.told:
            mine = [(place, value) for place, records in values.items() for value in records]
            sent |= {value for _, value in mine}
            there = [seen.get(value, (None, None, None))[:2] == place for place, value in mine]
            wanted = {COMMITTED: [True], ABORTED: [False], UNKNOWN: [True, False]}[outcome]
            assert len(set(there)) == 1 and there[0] in wanted, \
                f"of a transaction that was {outcome} {sum(there)} of {len(there)} records are there, first {mine[0][1]}"
            present += there[0]
    strange = set(seen) - sent
    assert not strange, f"nobody sent {sorted(strange)[:3]}"
    return present, seen


def offsets_hold(writers, connection, seen):
    """The committed offset of each writer is that of its last transaction with one that is there."""
    error, have = group_offsets(connection, GROUP, "durable", range(WRITERS))
    assert error == 0, f"OffsetFetch says error {error}"
    for writer, offset in zip(writers, have):
        there = [mine for _, values, mine in writer.told if mine is not None and next(iter(values.values()))[0] in seen]
        want = there[-1] if there else -1
        assert offset == want, f"writer {writer.number} has committed {offset}, its last transaction {want}"


def order_holds(writers, seen):
    """Each writer's records stand in each partition in the order of sending."""
    for writer in writers:
        last = {}
        for _, values, _ in writer.told:
            for records in values.values():
                for value in records:
                    if value in seen:
                        topic, partition, place = seen[value]
                        assert place > last.get((topic, partition), -1), f"{value} stands before one that was sent earlier"
                        last[topic, partition] = place


def enough(outcomes, kills):
    return outcomes.count(COMMITTED) >= kills and outcomes.count(ABORTED) > 0


def run(report, broker, kills, seed):
    dice = random.Random(seed)
    broker.keep_port = True
    with broker:
        with Connection(broker.port, broker.host) as connection:
            for topic, configs in TOPICS.items():
                named = [] if broker.start_line.startswith("Kafka") else configs
                assert create_topic(connection, topic, max(PARTITIONS, WRITERS), named) == 0
            assert find_coordinator(connection, GROUP, 0) == 0
        over = threading.Event()
        writers = [Writer(broker, n, seed, over) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        for _ in range(kills):
            time.sleep(dice.uniform(0.2, 1.2))
            broker.kill()
            broker.start()
        outcomes = lambda: [entry[0] for writer in writers for entry in writer.told]
        end = time.monotonic() + seconds(AWAY_S)
        time.sleep(0.5)
        while not enough(outcomes(), kills) and time.monotonic() < end:  # the machine may be a busy one
            time.sleep(0.1)
        over.set()
        for writer in writers:
            writer.join(seconds(AWAY_S + 40))
        failures = [str(writer.failure) for writer in writers if writer.failure or writer.is_alive()]
        report.check(f"no writer fails over {kills} kills", not failures, "; ".join(failures))

        def judge():
            with Connection(broker.port, broker.host) as connection:
                for writer in writers:  # ends what they left
                    Transactional(connection, f"writer-{writer.number}")
                present, seen = whole(writers, connection)
                offsets_hold(writers, connection, seen)
                order_holds(writers, seen)
                say(f"# {kills} kills, {present} of {len(outcomes())} transactions are there, "
                    f"{outcomes().count(UNKNOWN)} had no answer")
                assert enough(outcomes(), kills), f"too little was done: {len(outcomes())}"
        report.case("all of a transaction is there or nothing, whatever was answered holds, its offsets with it", judge)
        report.case("so it is after another kill", lambda: (broker.kill(), broker.start(), judge()))
        report.case("the broker stops cleanly", broker.stop)
