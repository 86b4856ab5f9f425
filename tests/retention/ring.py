"""A telemetry ring on a small disk: produce is never refused, the oldest goes, groups go on committing."""
import os
import re
import time

from harness import Broker, Report, wait_until
from messages import call, coordinated
from mounts import Mount
from wire import *
from world import *

SECONDS = float(os.environ.get("RETENTION_RING_S", 15))
DISK_BYTES = 64 << 20
RESERVE = 8 << 20


def commit(c, offset):
    parts = [{"partition_index": 0, "committed_offset": offset, "committed_metadata": ""}]
    r = call(c, "offset_commit", 7, group_id="g", topics=[{"name": "ring", "partitions": parts}])
    return r.topics[0].partitions[0].error_code


def await_coordinator(c):
    assert wait_until(lambda: coordinated(c, ["g"]), 20), "there is no coordinator"


def ring(kind, engine, cores):
    with Mount(kind, f"{WORK}/ring-{kind}", DISK_BYTES) as folder:
        properties = settings(**{"log.dirs": os.path.join(folder, "data"), "disk.reserve.bytes": RESERVE, "log.segment.bytes": 1 << 30,
                                 "offsets.topic.num.partitions": 1, "offsets.topic.segment.bytes": 1 << 20})
        with Broker(f"{WORK}/ring", properties, [f"--io-engine={engine}", "--cores", str(cores)]) as broker:
            broker.data = os.path.join(folder, "data")
            c = Connection(broker.port)
            await_coordinator(c)
            assert create_topic(c, "ring", 4, [("disk.full.policy", "delete-oldest"), ("segment.bytes", str(1 << 30))]) == 0
            assert create_topic(c, "kept", configs=[("retention.ms", "-1")]) == 0
            kept = fill(c, "kept", 20, 30 * DAY_MS)
            records = batch([VALUE] * 4, timestamp=int(time.time() * 1000) + 30 * 60000)  # the device's clock is wrong
            ends, slowest, until, commits = [0] * 4, 0, time.monotonic() + SECONDS, 0
            while time.monotonic() < until:
                for p in range(4):
                    began = time.monotonic()
                    error, offset = produced(c, "ring", p, records)
                    slowest = max(slowest, time.monotonic() - began)
                    assert error == 0, f"produce was refused with {error} at offset {ends[p]} of partition {p}: {broker.log_since()[-800:]}"
                    assert offset == ends[p], f"partition {p} goes on at {offset} instead of {ends[p]}"
                    ends[p] = offset + 4
                error = commit(c, sum(ends))
                assert error == 0, f"commit {commits} got error {error}"
                commits += 1
            written = sum(ends) * len(VALUE)
            assert written > 1.5 * DISK_BYTES, f"only {written} bytes were written: the disk was never full"
            starts = [list_offset(c, "ring", p, EARLIEST)[1] for p in range(4)]
            assert all(s > 0 for s in starts), f"the partitions start at {starts}"
            spread = max(starts) - min(starts)
            assert spread < max(ends) / 4, f"the partitions start at {starts}: one pays for the others"
            assert start_of(c, "kept") == 0 and read_from(c, "kept", 0, kept) == list(range(kept)), "what was to stay went"
            left = sum(e - s for e, s in zip(ends, starts)) * len(VALUE)
            assert left > DISK_BYTES / 4, f"only {left} bytes are left of a disk of {DISK_BYTES}"
            assert re.search(r"segments dropped: partition=ring-\d rule=disk", broker.log_since()), "the log does not name what went"
            broker.kill()
            broker.start()
            c = Connection(broker.port)
            await_recovered(c, "ring", 4)
            for p in range(4):
                assert list_offset(c, "ring", p, LATEST)[1] >= ends[p]
                assert list_offset(c, "ring", p, EARLIEST)[1] >= starts[p]
            await_coordinator(c)
            r = call(c, "offset_fetch", 7, group_id="g", topics=None)
            assert r.topics[0].partitions[0].committed_offset == sum(ends), "the last commit is lost"
            broker.stop()
            print(f"    {kind}, {engine}, {cores} cores: {written >> 20} MB through {DISK_BYTES >> 20} MB, {commits} commits, "
                  f"slowest answer {slowest * 1000:.0f} ms")


CASES = [(f"a ring on a small disk refuses nothing, drops the oldest and lets groups commit ({kind}, {engine}, {cores} cores)", ring, kind, engine, cores)
         for kind, engine, cores in (("ext4", "io_uring", 2), ("tmpfs", "epoll", 1))]
