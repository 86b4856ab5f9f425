"""kill -9 under load, restart at once, verify everything since the folder began.

A group is one broker set-up (engine, disk mode, shards) and one data folder; its eight rounds are every combination of
`write.caching`, batch size and idempotence. The load itself kills the broker, some time after its first ack, and then
waits for the next one, which is started the moment the process is gone; it sends again what was in flight, and goes on a little.
"""
import os
import random
import shutil

import load
from harness import Broker, fresh_dir

WORK = "build/tests/crash"
PARTITIONS = 6
SIZES = {"1 KiB": {"bytes": 1024, "records": 1}, "64 KiB": {"bytes": 65536, "records": 32}}
ROUNDS = [(caching, size, idempotent) for idempotent in (1, 0) for size in SIZES for caching in ("false", "true")]
KILL_US = (20_000, 350_000)  # after the first ack


def open_broker(name, engine, disk, cores):
    """A broker that keeps its port over restarts. Each engine, way to the disk and number of shards meets both routes."""
    load.need_engine(engine)
    route = ("shm", "written")[((engine == "epoll") + (disk == "buffered") + cores) % 2]
    properties = {"listeners": f"PLAINTEXT://localhost:{load.free_port()}", "disk.io": disk, "crash.route": route}
    return Broker(os.path.join(WORK, name), properties, [f"--io-engine={engine}", "--cores", str(cores)])


class Group:
    def __init__(self, name, engine, disk, cores):
        self.broker = open_broker(name, engine, disk, cores)
        self.writer = 0
        self.topics = {"c" + caching: {"write.caching": caching, "segment.bytes": 2 << 20} for caching in ("false", "true")}
        self.totals = {"rounds": 0, "acked": 0, "read": 0, "losses": 0}

    def history(self, topic):
        return os.path.join(self.broker.folder, topic + ".history")

    def begin(self):
        self.broker.start()
        for topic, configs in self.topics.items():
            load.create(self.broker, topic, PARTITIONS, configs)

    def round(self, caching, size, idempotent):
        """One kill; returns when all that was ever acked in this folder has been compared."""
        self.writer += 1
        topic = "c" + caching
        child = load.start(self.broker, topic, self.history(topic), writer=self.writer, idempotent=idempotent, retry=1,
                           seed=random.getrandbits(32), kill=self.broker.pid, at_us=random.randint(*KILL_US), **SIZES[size])
        try:
            load.await_trigger(child, self.broker.process)
            self.broker.start()
            self.count(load.finish(child))
        finally:
            child.kill()
            child.wait()
        self.verify()

    def count(self, produced):
        assert produced["losses"], "the load lost no connection: nothing was killed under it"
        assert produced["read"], "nothing was read while the load ran"
        self.totals["rounds"] += 1
        for key in ("acked", "read", "losses"):
            self.totals[key] += produced[key]

    def verify(self):
        for topic in self.topics:
            if os.path.exists(self.history(topic)):
                load.verify(self.broker, topic, self.history(topic), reads=1)

    def end(self):
        """A clean stop must keep it all too, and so must another number of shards."""
        self.broker.stop()
        self.broker.arguments[-1] = "1" if self.broker.arguments[-1] == "2" else "2"
        self.broker.start()
        self.verify()
        self.broker.stop()


def run_group(totals, name, engine, disk, cores):
    group = Group(name, engine, disk, cores)
    try:
        group.begin()
        for number, settings in enumerate(ROUNDS, 1):
            try:
                group.round(*settings)
            except AssertionError as why:
                caching, size, idempotent = settings
                raise AssertionError(f"round {number} (write.caching={caching}, {size}, idempotent={idempotent}, "
                                     f"folder {group.broker.folder}): {why}") from None
        group.end()
    finally:
        group.broker.kill()
        for key in group.totals:
            totals[key] = totals.get(key, 0) + group.totals[key]
    shutil.rmtree(group.broker.folder)


def run_all(report):
    totals = {}
    for engine in ("io_uring", "epoll"):
        for disk in ("direct", "buffered"):
            for cores in (1, 2):
                name = f"{engine}-{disk}-{cores}"
                report.case(f"{len(ROUNDS)} kills of {engine}, disk.io={disk}, {cores} shard(s): every acked record is "
                            "there, in order, once, and nothing once read vanishes",
                            run_group, totals, name, engine, disk, cores)
    print(f"    rounds={totals.get('rounds', 0)} acked={totals.get('acked', 0)} read={totals.get('read', 0)} batches",
          flush=True)


def forge(lines, kind, change):
    """The history with one line of a kind changed."""
    at = max(i for i, line in enumerate(lines) if line.startswith(kind))
    return lines[:at] + [change(lines[at].split())] + lines[at + 1:]


def check_verifier():
    """A verifier that finds nothing proves nothing: each of these lies must be found."""
    broker = open_broker("forged", "epoll", "buffered", 1)
    fresh_dir(broker.folder)
    history = os.path.join(broker.folder, "history")
    with broker:
        load.create(broker, "t", 3)
        load.produce(broker, "t", history, writer=1, ms=50)
        load.verify(broker, "t", history, reads=1)
        with open(history, encoding="ascii") as file:
            lines = file.read().splitlines()
        lies = {
            "an ack beyond the end": forge(lines, "A", lambda w: " ".join([*w[:3], str(int(w[3]) + 10**6), *w[4:]])),
            "an ack of another sequence": forge(lines, "A", lambda w: " ".join([*w[:4], str(int(w[4]) + 1), *w[5:]])),
            "a read beyond the end": forge(lines, "R", lambda w: " ".join([*w[:2], str(int(w[2]) + 10**6), *w[3:]])),
            "a read of other bytes": forge(lines, "R", lambda w: " ".join([*w[:5], str(int(w[5]) ^ 1)])),
            "an unknown writer": forge(lines, "W", lambda w: " ".join(["W", "9", *w[2:]])),
            "no ack at all": [line for line in lines if line[0] != "A"],
        }
        for lie, forged in lies.items():
            with open(history + ".forged", "w", encoding="ascii") as file:
                file.write("\n".join(forged) + "\n")
            code = load.run([load.PROGRAM, "verify", broker.address, "t", history + ".forged", "reads=1"])[0]
            assert code == 1, f"{lie} was not found"
    shutil.rmtree(broker.folder)
