"""kill -9 while segments are dropped: the log start never goes back, and nothing acknowledged above it is lost."""
import os
import random
import threading
import time

from harness import Broker
from wire import *
from world import *

ROUNDS = int(os.environ.get("RETENTION_KILLS", 8))


class Feed(threading.Thread):
    """Produces until the broker is gone; knows up to where it was acknowledged."""

    def __init__(self, port, acked):
        super().__init__()
        self.port, self.acked = port, acked

    def run(self):
        one = aged(0)
        try:
            with Connection(self.port) as c:
                while True:
                    error, offset = produced(c, "t", 0, one)
                    if error == 0:
                        self.acked = offset + 1
        except (OSError, EOFError):
            pass


def kills():
    dice, acked, start = random.Random(10), 0, 0
    broker = Broker(f"{WORK}/kills", settings(**{"log.retention.bytes": 3 << 20, "log.segment.delete.delay.ms": 200}))
    with broker:
        with Connection(broker.port) as c:
            assert create_topic(c, "t") == 0
        for n in range(ROUNDS):
            feed = Feed(broker.port, acked)
            feed.start()
            time.sleep(dice.uniform(0.5, 2))
            with Connection(broker.port) as c:
                start = max(start, start_of(c, "t"))
            broker.kill()
            feed.join()
            acked = feed.acked
            broker.start()
            with Connection(broker.port) as c:
                await_recovered(c, "t", 1)
                now, end = start_of(c, "t"), end_of(c, "t")
                assert now >= start, f"round {n}: the log starts at {now}, and did at {start}"
                assert end >= acked, f"round {n}: the log ends at {end}, and {acked} were acknowledged"
                time.sleep(0.1)
                now = start_of(c, "t")
                found = read_from(c, "t", now, end)
                assert found == list(range(now, end)), f"round {n}: offsets are missing"
        assert start > 0, "nothing was dropped"
        broker.stop()


CASES = [(f"the log start never goes back, nothing above it is lost: {ROUNDS} kills while segments go", kills)]
