"""Power cuts while segments are cleaned, dropped and deleted.

One writer each, with one batch under way: keys of a compacted topic that are overwritten and deleted, and a topic that retention keeps
small. After a cut every key is as after its last acknowledged batch, or after the one that was under way; the log start has not
gone back, and nothing acknowledged above it is missing. Kinds of cuts: promises.py.
"""
import random
import threading

import cuts
import promises
from harness import wait_until
from wire import *
from wire_records import make, take

CUTS = ("load", "back", "load", "early")
LEAST = 40  # acknowledged batches of each writer before a cut
KEYS, DEAD, RECORDS = 300, 0.25, 12
CODECS = ("none", "lz4", "zstd", "gzip", "snappy")
STAMP = 1700000000000
SETTINGS = {"log.initial.task.delay.ms": 0, "log.retention.check.interval.ms": 50, "log.retention.ms": -1, "log.cleaner.backoff.ms": 20,
            "log.cleaner.min.cleanable.ratio": 0.01, "log.segment.delete.delay.ms": 200, "auto.create.topics.enable": "false"}


class Writer(threading.Thread):
    """Produces one batch after the other until the broker is gone or refuses."""

    def __init__(self, port, told):
        super().__init__(daemon=True)
        self.port, self.told, self.count, self.failure = port, told, 0, None

    def run(self):
        try:
            with Connection(self.port) as c:
                while True:
                    error, offset = produced(c, self.told.topic, 0, self.told.next_batch())
                    if error != 0:  # its disk is gone
                        return
                    self.told.acknowledged(offset)
                    self.count += 1
        except (OSError, EOFError):
            pass
        except AssertionError as why:
            self.failure = why


class Told:
    """What one writer was told: `end` is behind the last acknowledged batch, `under_way` is the records of the next."""
    topic = configs = None

    def __init__(self):
        self.end, self.under_way = 0, []

    def acknowledged(self, offset):
        assert offset == self.end, f"{self.topic}: a batch got offset {offset}, the log ended at {self.end}"
        self.arrived()

    def arrived(self):
        self.end += len(self.under_way)

    def find_end(self, c):
        """Takes the batch under way as it is found: there, or not."""
        error, end = list_offset(c, self.topic, 0, LATEST)
        assert error == 0, f"{self.topic}: ListOffsets got error {error}"
        assert end in (self.end, self.end + len(self.under_way)), \
            f"finding: {self.topic} ends at {end}, {self.end} were acknowledged and {len(self.under_way)} under way"
        if end > self.end:
            self.arrived()
        self.under_way = []


class Keys(Told):
    topic = "keys"
    configs = {"cleanup.policy": "compact", "internal.segment.bytes": 8192, "delete.retention.ms": 100}

    def __init__(self):
        super().__init__()
        self.sent, self.state = [], {}  # sent[offset] is (key, value)

    def next_batch(self):
        draw = lambda n: (b"k%d" % random.randrange(KEYS), None if random.random() < DEAD else b"%d" % n * 5)
        self.under_way = [draw(self.end + i) for i in range(RECORDS)]
        return make([(key, value, STAMP, ()) for key, value in self.under_way], random.choice(CODECS))

    def arrived(self):
        super().arrived()
        self.sent += self.under_way
        self.state.update(self.under_way)

    def compare(self, c):
        self.find_end(c)
        found, state = -1, {}
        for _, raw in read_batches(c, self.topic, 0, self.end):
            for r in take(raw)[0]:
                assert found < r.offset, f"finding: {self.topic}: offset {r.offset} stands behind {found}"
                assert self.sent[r.offset] == (r.key, r.value), f"finding: {self.topic}: {r} is not what was sent, {self.sent[r.offset]}"
                found, state[r.key] = r.offset, r.value
        for key, value in self.state.items():
            assert state.get(key) == value, f"finding: {self.topic}: {key} is {state.get(key)}, and {value} was sent last"
        return len(self.state)


class Kept(Told):
    topic = "kept"
    configs = {"cleanup.policy": "delete", "retention.bytes": 1 << 20, "segment.bytes": 1 << 20, "internal.segment.bytes": 1 << 18}

    def __init__(self):
        super().__init__()
        self.start = 0

    def next_batch(self):
        self.under_way = [(None, random.randbytes(30000))]
        return make([(None, self.under_way[0][1], STAMP, ())], "none")

    def look(self, c):
        """The log start that a client saw never goes back."""
        error, start = list_offset(c, self.topic, 0, EARLIEST)
        assert error == 0, f"{self.topic}: ListOffsets got error {error}"
        assert start >= self.start, f"finding: {self.topic} starts at {start}, and did at {self.start}"
        self.start = start

    def read(self, c):
        """The offsets from the log start on, which may move meanwhile: then from where it is."""
        for _ in range(20):
            self.look(c)
            try:
                return [base for base, _ in read_batches(c, self.topic, self.start, self.end)]
            except AssertionError as why:
                if "got error 1" not in str(why):
                    raise
        raise AssertionError(f"{self.topic} cannot be read: its start moves all the time")

    def compare(self, c):
        self.find_end(c)
        found = self.read(c)
        assert found == list(range(self.end - len(found), self.end)) and found, f"finding: {self.topic}: offsets are missing: {found}"
        return len(found)


class Crowd:
    def __init__(self):
        self.told = [Keys(), Kept()]
        self.writers = []

    def set_up(self, broker):
        with Connection(broker.port) as c:
            for t in self.told:
                error = create_topic(c, t.topic, 1, [(k, str(v)) for k, v in t.configs.items()])
                assert error == 0, f"CreateTopics of {t.topic} got error {error}"

    def start(self, broker, least):
        """Returns when each writer has had so many answers in this round."""
        self.writers = [Writer(broker.port, t) for t in self.told]
        for w in self.writers:
            w.start()
        came = wait_until(lambda: all(w.count >= least for w in self.writers) or any(not w.is_alive() for w in self.writers), 60, 0.002)
        assert came, f"not enough was acknowledged: {[(w.told.topic, w.count) for w in self.writers]}"

    def crash(self, kill):
        """Calls kill() and waits for the writers; answers how many batches were acknowledged."""
        kill()
        for w in self.writers:
            w.join(30)
            assert not w.is_alive(), f"the writer of {w.told.topic} hangs"
            assert w.failure is None, w.failure
        return sum(w.count for w in self.writers)

    def compare(self, broker):
        """Answers how many keys and records were compared."""
        with Connection(broker.port) as c:
            for t in self.told:
                known = lambda topic=t.topic: list_offset(c, topic, 0, LATEST)[0] == 0
                assert wait_until(known, 20), f"finding: {t.topic} is not recovered"
            return sum(t.compare(c) for t in self.told)

    def cleaned(self, broker):
        """Both have been at work: segments were cleaned, and dropped."""
        return broker.log().count(" cleaned: partition=keys-0") if self.told[1].start > 0 else 0


class Series(promises.Series):
    settings, crowd_of, first_round, again = SETTINGS, Crowd, LEAST, LEAST


def run_all(report):
    cuts.run_setups(report, Series, CUTS, "no key lost or back from the dead, no log start gone back, nothing above it lost")
