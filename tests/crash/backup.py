"""Backup programs read the segments of a broker under load, again and again, while it is killed and started again.

They read through the page cache, or map the files, where the broker writes around it (disk.io=direct): what they leave there must be in nobody's way.
cp, tar and two programs of ours (copier.py) each go over the whole folder from one pass to the next, beside two topics, one with write.caching
and one without; the former is turned off and on before each pass, so that writes of each route meet cached pages in the same file. (And what was
acknowledged before it was off is durable then: that is where the pass must come to.)

What holds: producers and consumers lose nothing (tests/load). Up to what was durable when a pass began, its copy has the same bytes, in the same
files, as the log in the end. And in the end no cached page differs from the disk.
"""
import bisect
import glob
import hashlib
import mmap
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time

import load
import segments
from harness import fresh_dir, need, run, seconds, spawn, wait_until
from messages import alter
from rounds import open_broker
from wire import LATEST, Connection, list_offset

WORK = "build/tests/crash"
KILLS = 2
PARTITIONS = 4
PASSES = 2                    # of each program in each life, at least, before its end
TOPICS = {"cfalse": {"bytes": 1024, "records": 1}, "ctrue": {"bytes": 8192, "records": 4}}
LIMITS = {"burst": 4 << 20, "rate": 12 << 20, "conns": 2}
KILL_S = (0.0, 0.2)           # after the last of these passes ended
COPIER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "copier.py")


class Log:
    """A partition's folder, or what a backup has of it: where each batch ends, up to the first that is none."""

    def __init__(self, folder):
        self.raws, self.ends, self.places, self.digests = {}, [], [], {}
        offset = 0
        for path in segments.logs(folder):
            name = os.path.basename(path)
            with open(path, "rb") as file:
                raw = self.raws[name] = file.read()
            at = 0
            while at + segments.HEADER.size <= len(raw):
                base, length = struct.unpack_from(">qi", raw, at)
                if base != offset or length < segments.HEADER.size - 12 or at + 12 + length > len(raw):
                    break
                offset = base + struct.unpack_from(">i", raw, at + 23)[0] + 1
                at += 12 + length
                self.ends.append(offset)
                self.places.append((name, at))

    def digest(self, name, size):
        if (name, size) not in self.digests:
            self.digests[name, size] = hashlib.blake2b(memoryview(self.raws[name])[:size]).hexdigest()
        return self.digests[name, size]

    def up_to(self, end):
        """[(file, bytes of it, their digest)] of all batches below the offset `end`."""
        last = bisect.bisect_left(self.ends, end)
        assert end == 0 or last < len(self.ends), f"it ends at offset {self.ends[-1] if self.ends else 0}, and {end} was durable"
        sizes = dict(self.places[:last + 1] if end else ())  # of each file the last place
        return [(name, size, self.digest(name, size)) for name, size in sizes.items()]


class Copier:
    """copier.py, which stays from pass to pass."""

    def __init__(self, way, source, target):
        self.child = spawn([sys.executable, COPIER, way, source, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self):
        self.child.stdin.write(b"again\n")
        self.child.stdin.flush()
        assert self.child.stdout.readline() == b"done\n", "copier.py is gone"

    def close(self):
        self.child.stdin.close()
        self.child.wait(seconds(30))


def copy_anew(command, target):
    """A program that makes its copy from nothing. What it says of files that went meanwhile is not asked: the copy is looked at."""
    fresh_dir(target)
    run(command, timeout=120)


class Backup:
    """All of them at work over the data folder of a broker, each in a thread of its own, until they are stopped."""

    def __init__(self, broker):
        self.broker, self.folder = broker, os.path.join(broker.folder, "copies")
        self.over, self.lock, self.durable = threading.Event(), threading.Lock(), {}
        self.passes, self.failed, self.copiers = [], [], []
        self.threads = [threading.Thread(target=self.go_on, args=(name, copy)) for name, copy in self.programs().items()]

    def programs(self):
        source, target = self.broker.data, lambda name: os.path.join(self.folder, name)
        for name in ("blocks", "mmap"):
            self.copiers.append(Copier(name, source, target(name)))
        tar = "tar -cf - -C \"$0\" . | tar -xf - -C \"$1\""
        return {"cp": lambda: copy_anew([need("cp"), "-r", source + "/.", target("cp")], target("cp")),
                "tar": lambda: copy_anew(["sh", "-c", tar, source, target("tar")], target("tar")),
                "blocks": self.copiers[0], "mmap": self.copiers[1]}

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        for copier in self.copiers:
            copier.close()

    def go_on(self, name, copy):
        try:
            while not self.over.is_set():
                durable = self.ask_durable()
                copy()
                found = {folder: Log(os.path.join(self.folder, name, folder)).up_to(end) for folder, end in durable.items()}
                self.passes.append((name, durable, found))
        except Exception as why:  # said by the main thread
            self.failed.append(f"{name}: {type(why).__name__}: {why}")

    def ask_durable(self):
        """{folder: end}: so far each log is durable, at the least. Of a broker that was killed: what it said last."""
        with self.lock:
            try:
                with Connection(self.broker.port) as c:
                    ends = {f"{topic}-{i}": list_offset(c, topic, i, LATEST) for topic in TOPICS for i in range(PARTITIONS)}
                    said = [alter(c, "ctrue", write_caching=value) for value in ("false", "true")]
                    assert said == [(0, None)] * 2, said
                self.durable.update({folder: max(end, self.durable.get(folder, 0)) for folder, (error, end) in ends.items() if not error})
            except (OSError, EOFError):
                pass
            return dict(self.durable)

    def counts(self):
        return {name: sum(done == name for done, _, _ in list(self.passes)) for name in ("cp", "tar", "blocks", "mmap")}

    def await_passes(self):
        """Each program has begun and ended a pass, and one more, since now."""
        before = self.counts()
        enough = lambda: self.failed or all(n >= before[name] + 1 + PASSES for name, n in self.counts().items())
        assert wait_until(enough, 60), f"passes: {before}, a minute later {self.counts()}"
        self.raise_failed()

    def raise_failed(self):
        assert not self.failed, "; ".join(self.failed)


def compare_passes(passes, data):
    """Answers how many bytes were compared."""
    logs = {os.path.basename(path): Log(path) for path in glob.glob(os.path.join(glob.escape(data), "c*-*"))}
    total = 0
    for number, (name, durable, found) in enumerate(passes, 1):
        for folder, end in durable.items():
            for there, copied in zip(logs[folder].up_to(end), found[folder], strict=True):
                assert there == copied, f"pass {number}, by {name}: of {folder} up to {end} the log has {there}, the copy {copied}"
                total += there[1]
    return total


def read_direct(path):
    with mmap.mmap(-1, os.stat(path).st_size + mmap.PAGESIZE) as room:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        try:
            return room[:os.preadv(fd, [room], 0)]
        finally:
            os.close(fd)


def compare_cache(data):
    """What the page cache has of each segment is what lies on the disk."""
    for path in glob.glob(os.path.join(glob.escape(data), "*", "*.log")):
        with open(path, "rb") as file:
            cached = file.read()
        on_disk = read_direct(path)
        assert len(cached) == len(on_disk), f"{path}: {len(cached)} bytes are cached, {len(on_disk)} there"
        stale = [at for at in range(0, len(cached), 4096) if cached[at:at + 4096] != on_disk[at:at + 4096]]
        assert not stale, f"{path}: stale pages at {stale[:9]}, {len(stale)} of them"


class Group:
    def __init__(self, engine, disk, route):
        self.broker = open_broker(f"backup-{engine}-{disk}-{route}", engine, disk, 1)
        self.broker.properties["crash.route"] = route
        self.writer = 0

    def history(self, topic):
        return os.path.join(self.broker.folder, topic + ".history")

    def start_load(self):
        self.writer += 1
        settings = {"writer": self.writer, "idempotent": self.writer % 2, "retry": 1, "ms": 600_000, "after_ms": 200, **LIMITS}
        return [load.start(self.broker, topic, self.history(topic), seed=random.getrandbits(32), **settings, **size)
                for topic, size in TOPICS.items()]

    def verify(self):
        for topic in TOPICS:
            load.verify(self.broker, topic, self.history(topic), reads=1)

    def live(self, backup):
        """A life under load, its end by kill -9 in the middle of all that, and what the next one finds."""
        children = self.start_load()
        try:
            backup.await_passes()
            time.sleep(random.uniform(*KILL_S))
            self.broker.kill()
            self.broker.start()
            for child in children:
                assert load.finish(child)["losses"], "the load lost no connection: nothing was killed under it"
        finally:
            for child in children:
                child.kill()
                child.wait()
        self.verify()

    def run(self, totals):
        with self.broker:
            for topic in TOPICS:
                load.create(self.broker, topic, PARTITIONS, {"write.caching": topic[1:], "segment.bytes": 2 << 20})
            with Backup(self.broker) as backup:
                for number in range(1, KILLS + 1):
                    try:
                        self.live(backup)
                    except AssertionError as why:
                        raise AssertionError(f"kill {number}, folder {self.broker.folder}: {why} {backup.failed}") from None
                self.broker.stop()
            backup.raise_failed()
            if self.broker.properties["disk.io"] == "direct":
                compare_cache(self.broker.data)
            totals["bytes"] = totals.get("bytes", 0) + compare_passes(backup.passes, self.broker.data)
            for name, count in backup.counts().items():
                totals[name] = totals.get(name, 0) + count
        shutil.rmtree(self.broker.folder)


def forge(path, at, raw):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(raw)


FORGERIES = {
    "another byte": lambda log: forge(log, 5000, bytes([open(log, "rb").read()[5000] ^ 1])),
    "a stale page": lambda log: forge(log, 4096, bytes(4096)),
    "a log that is cut": lambda log: os.truncate(log, 4096),
    "no log": os.unlink,
}


def check_forgeries():
    """A comparison that finds nothing proves nothing: each of these copies must be found."""
    broker = open_broker("backup-forged", "epoll", "buffered", 1)
    with broker:
        load.create(broker, "cfalse", 1)
        load.produce(broker, "cfalse", os.path.join(broker.folder, "history"), conns=1, ms=100)
        with Connection(broker.port) as c:
            _, end = list_offset(c, "cfalse", 0, LATEST)
        broker.stop()
        copy = os.path.join(broker.folder, "copy", "cfalse-0")
        for forgery in (None, *FORGERIES):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(os.path.join(broker.data, "cfalse-0"), copy)
            if forgery:
                FORGERIES[forgery](segments.logs(copy)[0])
            try:
                compared = compare_passes([("a forger", {"cfalse-0": end}, {"cfalse-0": Log(copy).up_to(end)})], broker.data)
                assert forgery is None, f"{forgery} was not found"
                assert compared > 8192
            except (AssertionError, ValueError) as why:
                assert forgery and "not found" not in str(why), why
    shutil.rmtree(broker.folder)


def run_all(report):
    totals = {}
    report.case("a copy with other bytes, a stale page or less than was durable is found", check_forgeries)
    for setup in (("io_uring", "direct", "shm"), ("epoll", "direct", "written"), ("io_uring", "buffered", "shm")):
        report.case(f"{KILLS} kills while cp, tar, rsync's way and mmap read all segments ({setup[0]}, disk.io={setup[1]}, crash.route={setup[2]}, write.caching "
                    "on and off): nothing is lost, and each copy has what was durable", lambda s=setup: Group(*s).run(totals))
    print("    " + " ".join(f"{key}={value}" for key, value in totals.items()), flush=True)
