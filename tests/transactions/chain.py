"""Chains of several clients in one group: each record is copied exactly once, whoever is killed and however often the broker is."""
import random
import threading
import time

from driver import Crew
from harness import say, seconds, wait_until
from rows import ROWS
from wire import Connection, batch, create_topic, produced
from wire_txn import committed, end_of, group_offsets, settled

SOURCE, TARGET, GROUP, PARTITIONS = "chain-in", "chain-out", "chain", 4
SESSION_MS, HEARTBEAT_MS, REBALANCE_MS = 3000, 500, 10000
TIMEOUT_MS = 10000
CLIENTS = ("java-4", "franz-go", "confluent-kafka", "kafka-python")


class Link:
    """One transactional id, run by a process of one client; a new process where the old one ended."""

    def __init__(self, number, name, crew):
        self.number, self.name, self.crew = number, name, crew
        self.adapter = None
        self.lives = 0

    def start(self):
        self.lives += 1
        self.adapter = self.crew.start(f"{self.name}-{self.number}-{self.lives}")
        self.adapter.ask("transform", group=GROUP, topic=SOURCE, to=TARGET, txn=f"link-{self.number}", timeout_ms=TIMEOUT_MS,
                         session_ms=SESSION_MS, heartbeat_ms=HEARTBEAT_MS, rebalance_ms=REBALANCE_MS, instance=None, strategy="eager")

    def tend(self):
        """As a supervisor does: a chain that has failed is ended and started again."""
        with self.adapter.changed:
            refused = any(not answer.get("ok") for answer in self.adapter.answers.values())
        failed = refused or self.adapter.ended or any(event.get("event") == "error" for event in self.adapter.events)
        if failed:
            self.adapter.kill()
            self.start()
        return failed

    def done(self):
        return sum(event.get("count", 0) for event in self.adapter.events if event.get("event") == "transformed")


class Source(threading.Thread):
    """Writes numbered records to each partition, over every end of the broker."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.broker, self.over, self.failure = broker, threading.Event(), None
        self.ends = [0] * PARTITIONS
        self.start()

    def run(self):
        while not self.over.is_set():
            try:
                with Connection(self.broker.port, self.broker.host, timeout=10) as connection:
                    self.ends = [end_of(connection, SOURCE, p, False) for p in range(PARTITIONS)]
                    while not self.over.wait(0.02):
                        self.write(connection)
            except (OSError, EOFError, AssertionError) as why:
                self.failure = why
                time.sleep(0.05)

    def write(self, connection):
        for partition, end in enumerate(self.ends):
            values = [b"%d-%d" % (partition, end + n) for n in range(3)]
            error, offset = produced(connection, SOURCE, partition, batch(values, timestamp=int(time.time() * 1000)))
            if error:
                raise OSError(f"Produce says error {error}")
            assert offset == end, f"partition {partition}: offset {offset} instead of {end}"
            self.ends[partition] = end + 3


def play(broker, links, span, dice):
    end, kills, deaths = time.monotonic() + span, 0, 0
    next_kill = time.monotonic() + dice.uniform(3, 6)
    while time.monotonic() < end:
        time.sleep(dice.uniform(0.5, 1.5))
        for link in links:
            deaths += link.tend()
        if dice.random() < 0.3:
            dice.choice(links).adapter.kill()
        if time.monotonic() > next_kill:
            kills += 1
            broker.kill()
            broker.start()
            next_kill = time.monotonic() + dice.uniform(4, 9)
    return kills, deaths


def finish(broker, links, source):
    source.over.set()
    source.join(seconds(30))

    def at_end():
        for link in links:
            link.tend()
        with Connection(broker.port, broker.host) as connection:
            ends = [end_of(connection, SOURCE, p, False) for p in range(PARTITIONS)]
            return group_offsets(connection, GROUP, SOURCE, range(PARTITIONS)) == (0, ends)
    assert wait_until(at_end, 90, 0.5), "the group does not come to the end of its source"
    with Connection(broker.port, broker.host) as connection:
        settled(connection, TARGET, range(PARTITIONS))
        copied = 0
        for partition in range(PARTITIONS):
            end = end_of(connection, SOURCE, partition, False)
            have = [value for _, value in committed(connection, TARGET, partition)]
            want = [b"did %d-%d" % (partition, n) for n in range(end)]
            assert have == want, f"partition {partition}: {len(want)} records, {len(set(want) - set(have))} are missing, " \
                f"{len(have) - len(set(have))} twice, sorted: {sorted(have) == sorted(want)}"
            copied += end
    return copied


def run(report, broker, folder, span, seed, names):
    dice = random.Random(seed)
    rows = {row.name: row for row in ROWS}
    broker.keep_port = True
    with broker:
        with Connection(broker.port, broker.host) as connection:
            for topic in (SOURCE, TARGET):
                assert create_topic(connection, topic, PARTITIONS) == 0
        links = [Link(n, name, Crew(rows[name].command(), broker, f"{folder}/{name}")) for n, name in enumerate(names)]
        source = Source(broker)
        try:
            for link in links:
                link.start()
            kills, deaths = play(broker, links, span, dice)
            found = []
            report.case(f"chains of {len(names)} clients copy each record exactly once",
                        lambda: found.append(finish(broker, links, source)))
            lives = sum(link.lives for link in links)
            say(f"# {sum(found)} records, {kills} kills of the broker, {lives} lives of {len(links)} chains, {deaths} ends")
            report.check("there was trouble", kills > 0 and lives > len(links), f"{kills} kills, {lives} lives")
        finally:
            source.over.set()
            for link in links:
                link.crew.close()
        report.case("the broker stops cleanly", broker.stop)
