"""Power cuts under load on the disk that forgets, and what must be there afterwards.

A series is one disk (file system, disk.io, engine) and one data folder on it. Each of its rounds produces, cuts the
disk in the middle, kills the broker, mounts what is left, starts again and compares everything since the folder began.
A round is
    caching    off: every ack and every read is durable. each: caching on with flush.messages=1, acks are durable.
               aged: caching on, nothing asked for half a second before the cut, far more than flush.ms: acks are durable.
               on: caching on, cut under load: the newest may be gone, but what is there is a prefix of what was sent.
               kept: caching on, never flushed; killed, and cut once the broker has recovered it: what recovery found and
               showed is durable from then on.
               turned: caching on, never flushed, and turned off under the load: from that answer on every ack is durable, those before it too.
    extents    fresh: a new topic, so space that was never written. again: space behind the log's end that holds written
               zeros, so that an append overwrites (the broker is killed for a moment, and the test writes them). many: a small
               batch to half of many partitions, again and again: their waves share flushes where the file system allows it.
    kill       back: the broker is killed first, restarted, and the power goes when the clients have just come back.
               early: the same, but the power goes while the new broker recovers, or even before it looks at the disk.
"""
import collections
import glob
import os
import random
import shutil
import time

import load
import segments
from disk import Disk
from harness import Broker
from messages import alter
from wire import Connection, await_recovered

WORK = "build/tests/power"
PARTITIONS, MANY = 4, 64
CONFIGS = {
    "off": {"write.caching": "false"},
    "each": {"write.caching": "true", "flush.messages": 1},
    "aged": {"write.caching": "true"},
    "on": {"write.caching": "true"},
    "kept": {"write.caching": "true", "flush.ms": 3_600_000},
    "turned": {"write.caching": "true", "flush.ms": 3_600_000},
}
SIZES = {"fresh": {"bytes": 65536, "records": 32}, "again": {"bytes": 1024, "records": 1},
         "many": {"bytes": 200, "records": 1, "conns": 1, "window": 1}}
SEGMENT = {"fresh": 1 << 20, "again": 4 << 20, "many": 1 << 20}  # fresh ones roll under the load
LIMITS = {"burst": 6 << 20, "rate": 24 << 20, "conns": 2}  # in flight at all times, and it all fits the disk
CUT_US = (5_000, 250_000)     # after the first ack
BACK_US = (0, 40_000)         # after the restarted broker's first ack
EARLY_S = (0.0, 0.02)         # after the restart
KEPT_S = (0.0, 0.05)          # after the broker is there again
ZEROS_AHEAD, BLOCK = 2 << 20, 4096
AGED_S = 0.5                  # flush.ms is 100 ms where caching is on
DEAD_S = (0.0, 0.03)          # how long the broker lives on with a dead disk
TURN_S = (0.0, 0.12)          # caching is turned off so long after the load began

Round = collections.namedtuple("Round", "caching extents kill")
Setup = collections.namedtuple("Setup", "kind disk_io engine cores")

ROUNDS = [Round(caching, extents, kill) for kill in ("", "back") for extents in ("fresh", "again")
          for caching in ("off", "each")] + [Round("aged", "fresh", ""), Round("on", "again", ""),
                                          Round("kept", "fresh", "back"), Round("kept", "again", "back"),
                                          Round("off", "fresh", "early"), Round("off", "again", "early"),
                                          Round("each", "again", "early"), Round("off", "many", ""), Round("turned", "fresh", "")]
SETUPS = [Setup("ext4", "direct", "io_uring", "1"), Setup("ext4", "buffered", "epoll", "2"),
          Setup("xfs", "direct", "epoll", "1"), Setup("xfs", "buffered", "io_uring", "2")]


def write_zeros_ahead(log):
    """What reads as zeros behind the log's end anyway is written as such, some space more too, and all of it synced."""
    last = segments.batches_of_file(log)[-1:]
    end = last[0].position + last[0].size if last else 0
    with open(log, "r+b") as file:
        size = max(os.fstat(file.fileno()).st_size, (end + ZEROS_AHEAD) // BLOCK * BLOCK)
        file.seek(end)
        file.write(bytes(size - end))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Series:
    def __init__(self, setup, program=None):
        load.need_engine(setup.engine)
        name = "-".join([*setup, "plant" if program else "good"])
        self.disk = Disk(os.path.join(WORK, name, "disk"), setup.kind)
        properties = {"log.dirs": os.path.join(self.disk.mount, "data"), "disk.io": setup.disk_io, "crash.dir": self.disk.memory,
                      "listeners": f"PLAINTEXT://localhost:{load.free_port()}"}
        self.broker = Broker(os.path.join(WORK, name, "broker"), properties,
                             [f"--io-engine={setup.engine}", "--cores", setup.cores])
        if program:
            self.broker.command = lambda: [program, *Broker.command(self.broker)[1:]]
        self.loses_little = setup.disk_io == "buffered"
        self.writer = 0
        self.topics = {}
        self.totals = collections.Counter()

    def begin(self):
        self.disk.make()
        self.disk.attach(random.getrandbits(32))
        self.broker.start()

    def history(self, topic):
        return os.path.join(self.broker.folder, topic + ".history")

    def settings(self, wanted):
        self.writer += 1
        return {"writer": self.writer, "seed": random.getrandbits(32), **LIMITS, **SIZES[wanted.extents]}

    def prepare(self, wanted):
        """The topic of a round, with the space that it asks for."""
        topic = f"again-{wanted.caching}" if wanted.extents == "again" else f"{wanted.extents}{self.writer}"
        if topic not in self.topics:
            configs = {**CONFIGS[wanted.caching], "segment.bytes": SEGMENT[wanted.extents]}
            load.create(self.broker, topic, MANY if wanted.extents == "many" else PARTITIONS, configs)
            self.topics[topic] = wanted.caching
        if wanted.extents == "again":
            load.produce(self.broker, topic, self.history(topic), ms=30, **self.settings(wanted))
            self.broker.kill()
            for folder in glob.glob(os.path.join(self.disk.mount, "data", topic + "-[0-9]")):
                for log in segments.logs(folder)[-1:]:
                    write_zeros_ahead(log)
            self.broker.start()
        return topic

    def round(self, wanted):
        topic = self.prepare(wanted)
        if wanted.caching == "aged":
            load.produce(self.broker, topic, self.history(topic), ms=200, **self.settings(wanted))
            time.sleep(AGED_S)
            self.die()
        elif wanted.caching == "kept" or wanted.kill == "early":
            self.kill_and_cut(topic, wanted)
        else:
            self.cut_under_load(topic, wanted)
        self.come_back()
        self.totals["rounds"] += 1

    def cut_under_load(self, topic, wanted):
        triggers = {"cut": self.disk.fifo, "at_us": random.randint(*CUT_US), "ms": 400}
        if wanted.kill:
            triggers.update(kill=self.broker.pid, retry=1, cut_us=random.randint(*BACK_US))
        child = load.start(self.broker, topic, self.history(topic), idempotent=random.randint(0, 1), **triggers,
                           **self.settings(wanted))
        try:
            if wanted.kill:
                load.await_trigger(child, self.broker.process)
                self.broker.start()
            if wanted.caching == "turned":
                self.turn_caching_off(topic)
            load.await_trigger(child, self.disk.nbdkit)
            time.sleep(random.uniform(*DEAD_S))
            self.die()
            produced = load.finish(child)
        finally:
            child.kill()
            child.wait()
        self.count(produced)

    def turn_caching_off(self, topic):
        """An answer comes from a disk that was alive; without one nothing was promised."""
        time.sleep(random.uniform(*TURN_S))
        try:
            with Connection(self.broker.port) as c:
                refused, _ = alter(c, topic, write_caching="false")
        except (OSError, EOFError):
            refused = True
        if refused:
            self.topics[topic] = "on"
        else:
            self.totals["turned"] += 1

    def kill_and_cut(self, topic, wanted):
        child = load.start(self.broker, topic, self.history(topic), kill=self.broker.pid, at_us=random.randint(*CUT_US),
                           **self.settings(wanted))
        load.await_trigger(child, self.broker.process)
        if wanted.kill == "early":
            self.broker.launch()
            time.sleep(random.uniform(*EARLY_S))
        else:
            self.broker.start()
            with Connection(self.broker.port) as c:
                await_recovered(c, topic, PARTITIONS)
            time.sleep(random.uniform(*KEPT_S))
        self.die()
        self.count(load.finish(child))

    def count(self, produced):
        assert produced["read"], "nothing was read before the cut"
        self.totals["acked"] += produced["acked"]
        self.totals["read"] += produced["read"]

    def die(self):
        self.disk.cut()
        self.broker.kill()
        self.totals["sectors lost"] += self.disk.forgot()["lost"]

    def come_back(self):
        self.disk.detach()
        self.disk.attach(random.getrandbits(32))
        self.broker.start()
        for topic, caching in self.topics.items():
            load.verify(self.broker, topic, self.history(topic), lost="ok" if caching == "on" else None)

    def at_stake(self):
        return self.totals["sectors lost"] or self.loses_little  # with a page cache, that is what is lost

    def end(self):
        """A clean stop and a clean unmount keep everything; nothing is cut here."""
        assert self.at_stake(), "the disk forgot nothing: nothing was at stake"
        self.broker.stop()
        self.disk.detach()
        self.disk.attach(random.getrandbits(32))
        self.broker.start()
        for topic, caching in self.topics.items():
            load.verify(self.broker, topic, self.history(topic), lost="ok" if caching == "on" else None)
        self.broker.stop()

    def close(self):
        self.broker.kill()
        self.disk.detach()


def run_rounds(series, rounds):
    for number, wanted in enumerate(rounds, 1):
        try:
            series.round(wanted)
        except AssertionError as why:
            raise AssertionError(f"round {number} {wanted}, log {series.broker.log_path}, "
                                 f"image {series.disk.image}: {why}") from None


def run_series(totals, kind, rounds, setup):
    """Once more, and once again, if nothing was at stake."""
    series = kind(setup)
    try:
        series.begin()
        run_rounds(series, rounds)
        for _ in range(2):
            if not series.at_stake():
                print("    the disk forgot nothing: once more", flush=True)
                run_rounds(series, rounds)
        series.end()
    finally:
        series.close()
        totals.update(series.totals)
    shutil.rmtree(os.path.dirname(series.disk.folder))


def run_setups(report, kind, rounds, promise):
    totals = collections.Counter()
    for setup in SETUPS:
        words = f"{setup.kind}, disk.io={setup.disk_io}, {setup.engine}, {setup.cores} shard(s)"
        report.case(f"{len(rounds)} power cuts on {words}: {promise}", run_series, totals, kind, rounds, setup)
    print("    " + " ".join(f"{key.replace(' ', '_')}={value}" for key, value in sorted(totals.items())), flush=True)


def run_all(report):
    run_setups(report, Series, ROUNDS, "nothing acked durable is lost, and with caching off nothing once read vanishes")
