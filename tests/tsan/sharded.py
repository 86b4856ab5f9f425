"""The broker under test: several shards, one engine, ThreadSanitizer's environment, always the same port."""
import os

import load
from harness import Broker

SHARDS = 2  # unless told otherwise
# A small memory: tails are evicted and fetches go to the disk.
MEMORY = "128M"
TICKS_MIN = 10  # of the processor's clock, 100 a second


class ShardedBroker(Broker):
    start_timeout = 60

    def __init__(self, folder, program, way, options, shards=SHARDS, properties=None):
        engine, disk, features = way
        listener = f"PLAINTEXT://localhost:{load.free_port()}"
        super().__init__(folder, {"listeners": listener, "disk.io": disk, **(properties or {})},
                         ["--cores", str(shards), f"--io-engine={engine}", f"--io-features={features}", "--memory", MEMORY])
        self.program, self.options, self.shards = program, options, shards

    def command(self):
        return [self.program, *super().command()[1:]]

    def environment(self):
        return {**os.environ, **self.options}


def cpu_ticks(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def name_of(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as file:
        return file.read().strip()


def all_worked(broker):
    """AssertionError unless every shard has used the processor: the first is the main thread, others have names."""
    threads = os.listdir(f"/proc/{broker.pid}/task")
    shards = [t for t in threads if t == str(broker.pid) or name_of(broker.pid, t).startswith("shard-")]
    worked = {t: cpu_ticks(broker.pid, t) for t in shards}
    assert len(worked) == broker.shards, f"{len(worked)} threads are shards"
    assert min(worked.values()) >= TICKS_MIN, f"ticks by thread: {worked}"
