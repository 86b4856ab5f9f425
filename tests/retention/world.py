"""What this group's brokers are started with, and what they are asked."""
import glob
import os
import time

from harness import wait_until
from messages import alter
from wire import *

WORK = "build/tests/retention"
OUT_OF_RANGE, INVALID_CONFIG = 1, 40
DAY_MS = 24 * 3600 * 1000
VALUE = b"v" * 60000
A_SEGMENT = 17  # batches with one such record make a segment of 1 MiB


def settings(**more):
    return {"log.initial.task.delay.ms": 0, "log.retention.check.interval.ms": 50, "log.segment.bytes": 1 << 20,
            "auto.create.topics.enable": "false", **more}


def aged(age_ms, value=VALUE):
    """A batch with one record of that age."""
    return batch([value], timestamp=int(time.time() * 1000) - age_ms)


def fill(c, topic, batches, age_ms):
    """Produces so many batches; answers the end of the log."""
    one, end = aged(age_ms), 0
    for _ in range(batches):
        error, offset = produced(c, topic, 0, one)
        assert error == 0, f"produce got error {error}"
        end = offset + 1
    return end


def must_alter(c, topic, **values):
    assert alter(c, topic, **values) == (0, None), f"altering {values} got {alter(c, topic, **values)}"


def start_of(c, topic):
    error, offset = list_offset(c, topic, 0, EARLIEST)
    assert error == 0, f"ListOffsets got error {error}"
    return offset


def end_of(c, topic):
    error, offset = list_offset(c, topic, 0, LATEST)
    assert error == 0, f"ListOffsets got error {error}"
    return offset


def starts_at(c, topic, offset, timeout=20):
    wait_until(lambda: start_of(c, topic) == offset, timeout, step=0.05)
    assert start_of(c, topic) == offset, f"{topic} starts at {start_of(c, topic)} instead of {offset}"


def stays_at(c, topic, offset, seconds=0.5):
    time.sleep(seconds)
    assert start_of(c, topic) == offset, f"{topic} starts at {start_of(c, topic)} instead of {offset}"


def files(broker, topic, suffix):
    return sorted(os.path.basename(f) for f in glob.glob(os.path.join(broker.data, f"{topic}-0", "*" + suffix)))


def read_from(c, topic, offset, end):
    """Every record's offset from there to the end, batches of one record each."""
    return [base for base, _ in read_batches(c, topic, offset, end)]
