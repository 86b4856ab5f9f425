"""One data folder, one broker: a second one is refused with a sentence, and one that follows a kill -9 waits for the
lock."""
import fcntl
import os
import shutil
import time

import load
from harness import Broker, run, wait_until
from rounds import open_broker

HOLD_S = 1.0
REFUSED_WITHIN_S = 25


def check_second(engine):
    """The first broker works on, and its data are as they were."""
    broker = open_broker(f"second-{engine}", engine, "buffered", 1)
    history = os.path.join(broker.folder, "history")
    with broker:
        load.create(broker, "t", 3)
        load.produce(broker, "t", history, writer=1, ms=50)
        second = Broker(os.path.join(broker.folder, "second"), {"log.dirs": broker.data}, broker.arguments)
        code, out, err = run(second.command(), timeout=REFUSED_WITHIN_S)
        said = (out + err).decode(errors="replace")
        assert code > 0, f"the second broker ended with {code}: {said[-300:]}"
        assert broker.data in said, f"its words do not name the folder: {said[-300:]}"
        assert " started: " not in said, "the second broker started"
        load.produce(broker, "t", history, writer=2, ms=50)
        load.verify(broker, "t", history)
    shutil.rmtree(broker.folder)


def lock_file(broker):
    """The file in the data folder on which the broker holds a flock."""
    inodes = {entry.inode(): entry.path for entry in os.scandir(broker.data) if entry.is_file()}
    with open("/proc/locks", encoding="ascii") as file:
        held = [line.split() for line in file]
    for words in held:
        if words[1] != "FLOCK":  # another kind, or "->": somebody waits for one
            continue
        inode = int(words[5].rsplit(":", 1)[1])
        if inode in inodes:
            return inodes[inode]
    raise AssertionError("the broker holds no flock on a file in its data folder")


def snapshot(folder):
    return {path: (os.stat(path).st_size, os.stat(path).st_mtime_ns)
            for base, _, names in os.walk(folder) for path in (os.path.join(base, name) for name in names)}


def check_waits(engine):
    """The lock is held by another hand for a second after kill -9: until then nothing is started and nothing touched."""
    broker = open_broker(f"waits-{engine}", engine, "buffered", 1)
    history = os.path.join(broker.folder, "history")
    with broker:
        load.create(broker, "t", 3)
        load.produce(broker, "t", history, writer=1, ms=50)
        with open(lock_file(broker), "rb") as lock:
            broker.kill()
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = snapshot(broker.data)
            broker.launch()
            time.sleep(HOLD_S)
            assert broker.running(), f"it did not wait: {broker.log_since()[-300:]}"
            assert not broker.started(), "it started although the folder was locked"
            assert snapshot(broker.data) == before, "it touched the folder before it had the lock"
            assert "wait" in broker.log_since().lower(), f"it does not say that it waits: {broker.log_since()[-300:]}"
        assert wait_until(broker.started, 5), f"it did not start once the lock was free: {broker.log_since()[-300:]}"
        load.verify(broker, "t", history)
    shutil.rmtree(broker.folder)


def run_all(report):
    for engine in ("io_uring", "epoll"):
        report.case(f"a broker that follows a kill -9 waits for the lock and touches nothing before ({engine})",
                    check_waits, engine)
    report.case("a second broker on the same folder is refused with a sentence", check_second, "io_uring")
