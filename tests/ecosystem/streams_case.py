"""Kafka Streams: its state comes back from a changelog that was compacted, also after the broker was killed; exactly once, whoever is killed."""
import re
import time

from wire import EARLIEST, Connection, list_offset
from world import *

LINES, WORDS = 3000, 50


class Application(Running):
    def __init__(self, broker, classes, state, guarantee="at_least_once", main="WordCount", *more):
        super().__init__(program(main, broker.address, state, guarantee, *more, classes=classes), f"{state}.log")

    def stop(self):
        super().stop()
        assert "failed: " not in self.said(), self.said()[-800:]


def expected(lines):
    found = {"all": lines}
    for i in range(lines):
        found[f"w{i % WORDS}"] = found.get(f"w{i % WORDS}", 0) + 1
    return found


def told_counts(broker):
    return asked("counts", broker.address)


def counted(broker, lines):
    return {word: counts[-1] for word, counts in told_counts(broker).items()} == expected(lines)


def state_comes_back():
    classes, state = compiled("WordCount.java"), f"{WORK}/state"
    empty(state)
    broker = Broker(f"{WORK}/streams", SOON)
    broker.keep_port = True
    with broker:
        client("topic", broker.address, "words", 2), client("topic", broker.address, "counts", 2)
        app = Application(broker, classes, state)
        for round in range(3):
            client("words", broker.address, LINES // 3, round * LINES // 3)
            time.sleep(1.2)
        assert wait_until(lambda: counted(broker, LINES), 60, 1), f"the counts of {LINES} lines are not right"
        app.stop()
        changelog = "word-count-store-changelog"
        compacted(broker, changelog)
        broker.kill(), broker.start()
        empty(state)
        app = Application(broker, classes, state)
        client("words", broker.address, 1000, LINES)
        assert wait_until(lambda: counted(broker, LINES + 1000), 90, 1), "the counts after the restoration are not right"
        app.stop()
        restored = [int(n) for n in re.findall(rf"restored: {changelog}-\d+ (\d+)", app.said())]
        assert 0 < sum(restored) < 2 * LINES, f"the state was restored from {restored} records"
        broker.stop()


def earliest(broker, topic, partitions):
    with Connection(broker.port, broker.host) as connection:
        return sum(list_offset(connection, topic, p, EARLIEST)[1] for p in range(partitions))


def exactly_once():
    """Two instances; each is killed in turn, and the broker. Every count of every word is committed once, and none is left out."""
    classes, broker = compiled("WordCount.java"), open_broker(f"{WORK}/exactly", EXACTLY)
    states = [f"{WORK}/exactly-{name}" for name in "ab"]
    for state in states:
        empty(state)
    broker.keep_port = True
    end, lines = time.monotonic() + float(os.environ.get("STREAMS_SECONDS", "20")), 0
    with broker:
        client("topic", broker.address, "words", 4), client("topic", broker.address, "counts", 4)
        apps = [Application(broker, classes, state, "exactly_once_v2") for state in states]
        client("words", broker.address, 500, 0)
        assert wait_until(lambda: told_counts(broker), 60, 1), "nothing is counted"
        lines, turn = 500, 0
        while time.monotonic() < end or turn < 3:
            client("words", broker.address, 300, lines)
            lines += 300
            if turn % 3 == 2:
                broker.kill(), broker.start()
            else:
                apps[turn % 3].kill()
                if turn % 2:
                    empty(states[turn % 3])  # its state comes back from the changelog
                apps[turn % 3] = Application(broker, classes, states[turn % 3], "exactly_once_v2")
            turn += 1
            time.sleep(1)
        assert wait_until(lambda: counted(broker, lines), 120, 1), f"the counts of {lines} lines are not right"
        for word, counts in told_counts(broker).items():
            assert counts == list(range(1, len(counts) + 1)), f"the counts of {word} were committed as {counts[:20]}..."
        assert wait_until(lambda: earliest(broker, "word-count-store-repartition", 4) > 0, 20, 1), "the repartition topic is not purged"
        for app in apps:
            app.stop()
        broker.stop()


CASES = [("Kafka Streams restores its state from a compacted changelog, and every count is exact", state_comes_back, ())]
ON_DEMAND = [("Kafka Streams counts words exactly once: two instances killed in turn, the broker too", exactly_once, ())]
