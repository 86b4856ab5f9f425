"""A telemetry ring on a small disk: produce is never refused, the oldest goes, groups go on committing."""
import json
import os
import re
import statistics
import time

from harness import Broker, Report, run, wait_until
from messages import call, coordinated
from process import run_ok, spawn
from mounts import Mount
from wire import *
from world import *

SECONDS = 15
FULL_SPEED_S = int(os.environ.get("RETENTION_RING_S", 60))
DISK_BYTES, RESERVE = 64 << 20, 8 << 20
LARGE_DISK_BYTES, LARGE_RESERVE = (2 << 30, 128 << 20) if FULL_SPEED_S >= 60 else (512 << 20, 64 << 20)
LOAD = "build/odradek-bench"


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


# --- at full speed ---

def load(broker, topic, seconds, **more):
    """odradek-bench on a new ring: four connections, each with eight batches of 64 KiB on their way. It fails if one is refused."""
    options = {"to": broker.address, "topic": topic, "partitions": 4, "connections": 4, "in-flight": 8, "record": 1024, "batch": 65536, "rate": 0,
               "readers": 0, "warmup": 0, "duration": seconds, "config": "disk.full.policy=delete-oldest", **more}
    return [LOAD] + [word for name, value in options.items() for word in (f"--{name}", str(value))]


def stopped_reader(port):
    """Asks from the start and never takes the answers."""
    c = Connection(port)
    assert wait_until(lambda: list_offset(c, "ring", 0, LATEST)[1] > 0, 20), "nothing is written"
    for _ in range(8):
        c.send(request(FETCH, 4, fetch("ring", 0, 0, wait=0)))
    return c


def commits_until(process, c):
    """A group commits once a second while the load runs; answers how often."""
    commits = 0
    while process.poll() is None:
        commits += 1
        error = commit(c, commits)
        assert error == 0, f"commit {commits} got error {error}"
        time.sleep(1)
    return commits


def minute_p99_ms(series, minute):
    """The median of the p99s of that minute's seconds."""
    return statistics.median(second[4] for second in series[60 * minute:60 * (minute + 1)]) / 1000


def is_bounded(broker, folder):
    disk = os.statvfs(folder)
    assert disk.f_bfree * disk.f_frsize > LARGE_RESERVE // 4, f"{disk.f_bfree * disk.f_frsize} bytes are free, {LARGE_RESERVE} are to be"
    assert broker.logged("rule=disk"), "the log does not name what went"


def must_load(broker, topic):
    code, _, err = run(load(broker, topic, 3), timeout=60)
    said = [line for line in broker.log_since().splitlines() if "segments dropped" not in line]
    assert code == 0, f"the load ended with {code}: {err.decode()[-200:]} The broker {'runs' if broker.running() else 'is gone'}: {' | '.join(said[-4:])}"


def full_at_once(kind):
    """The disk is full a fraction of a second after the start: what makes room has its blocks by then. The load fails if it is refused,
    or waits for half a minute."""
    run_ok(["make", "-s", LOAD], timeout=600)
    with Mount(kind, f"{WORK}/at-once-{kind}", DISK_BYTES) as folder:
        data = os.path.join(folder, "data")
        properties = settings(**{"log.dirs": data, "disk.reserve.bytes": RESERVE, "log.segment.bytes": 1 << 30, "offsets.topic.num.partitions": 1})
        with Broker(f"{WORK}/ring", properties, ["--cores", "2"]) as broker:
            must_load(broker, "ring")
            broker.kill()
            broker.start()
            must_load(broker, "again")
            assert broker.logged("rule=disk"), "the log does not name what went"
            broker.stop()


def full_speed(cores):
    run_ok(["make", "-s", LOAD], timeout=600)
    with Mount("ext4", f"{WORK}/ring-large", LARGE_DISK_BYTES) as folder:
        data, result = os.path.join(folder, "data"), os.path.abspath(f"{WORK}/ring.json")
        properties = settings(**{"log.dirs": data, "disk.reserve.bytes": LARGE_RESERVE, "log.segment.bytes": 1 << 30, "offsets.topic.num.partitions": 1})
        with Broker(f"{WORK}/ring", properties, ["--cores", str(cores)]) as broker:
            c = Connection(broker.port)
            await_coordinator(c)
            with spawn(load(broker, "ring", FULL_SPEED_S, json=result), stdout=-3) as process:
                reader = stopped_reader(broker.port)
                commits = commits_until(process, c)
            assert process.returncode == 0, f"the load ended with {process.returncode}: {broker.log_since()[-600:]}"
            with open(result, encoding="ascii") as file:
                told = json.load(file)
            is_bounded(broker, folder)
            with spawn(load(broker, "again", 60), stdout=-3, stderr=-3):  # dies with its broker
                time.sleep(2)
                ends = [list_offset(c, "again", p, LATEST)[1] for p in range(4)]
                broker.kill()
            broker.start()
            c = Connection(broker.port)
            await_recovered(c, "again", 4)
            assert min(ends) > 0 and all(list_offset(c, "again", p, LATEST)[1] >= ends[p] for p in range(4)), "what was acknowledged is gone"
            await_coordinator(c)
            r = call(c, "offset_fetch", 7, group_id="g", topics=None)
            assert r.topics[0].partitions[0].committed_offset == commits, "the last commit is lost"
            run_ok(load(broker, "third", 5), timeout=120)
            is_bounded(broker, folder)
            reader.close()
            broker.stop()
        minutes = max(1, round(len(told["series"]) / 60))
        first, last = minute_p99_ms(told["series"], 0), minute_p99_ms(told["series"], minutes - 1)
        print(f"    {FULL_SPEED_S} s: {told['acked_bytes'] / 1e9:.1f} GB at {told['acked_bytes'] / 1e6 / told['seconds']:.0f} MB/s through {LARGE_DISK_BYTES >> 20} MB, none refused, "
              f"{commits} commits; p99 of minute 1 {first:.1f} ms, of minute {minutes} {last:.1f} ms (x{last / first:.2f}, wanted at most 1.5)")


CASES = [*((f"a ring on a small disk refuses nothing, drops the oldest and lets groups commit ({kind}, {engine}, {cores} cores)", ring, kind, engine, cores)
         for kind, engine, cores in (("ext4", "io_uring", 2), ("tmpfs", "epoll", 1))),
         *((f"a ring that is full within its first half second refuses nothing ({kind})", full_at_once, kind) for kind in ("ext4", "tmpfs")),
         (f"at full speed beside a reader that stopped it goes on for {FULL_SPEED_S} s, and after kill -9 on the full disk", full_speed, 2)]
