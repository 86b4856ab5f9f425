"""Everything that Kafka has is here afterwards, and its own folder is untouched, whatever happens here."""
import glob
import os
import random
import subprocess
import time

from mounts import Mount, fill_disk
from world import *


DISK_BYTES = 64 << 20
ROOM = (16 << 10, 256 << 10, 3 << 20)  # for 7 MB
AT_WORK = {"log.initial.task.delay.ms": "0", "log.retention.check.interval.ms": "200", "log.cleaner.backoff.ms": "200"}


def linked_files(data):
    return [path for path in glob.glob(f"{data}/*/*.log") if os.stat(path).st_nlink > 1]


def everything(version):
    source, there = filled(version)
    before = digests(source)
    broker = Broker(f"{WORK}/taken-{version}", {**OLD_RECORDS, **AT_WORK})
    said = adopt(source, broker.data)
    assert "taken: compacted" in said and "refused" not in said.replace("; 0 refused", ""), said
    assert linked_files(broker.data), "no closed segment was linked"
    with broker:
        same(there, read_all(broker.address, f"{WORK}/here-{version}.records"))
        client("append", broker.address)
        broker.kill(), broker.start()
        here = read_all(broker.address, f"{WORK}/here-{version}.records")
        assert set(there) < set(here) | {line for line in there if '"from"' in line}, "a record was lost by kill -9"
        client("shrink", broker.address)
        assert broker.logged("cleaned: partition=compacted-0", 30), "nothing was compacted"
        broker.kill(), broker.start()
        assert len(read_all(broker.address, f"{WORK}/here-{version}.records")) < len(here)
        broker.stop()
    assert digests(source) == before, "Kafka's folder has changed"
    assert "was adopted before" in adopt(source, broker.data)
    assert digests(source) == before, "Kafka's folder has changed"


def killed_in_between(version, rounds=6):
    """Run again, it goes on."""
    source, there = filled(version)
    broker = Broker(f"{WORK}/killed-{version}", OLD_RECORDS)
    rng = random.Random(1)
    for _ in range(rounds):
        process = subprocess.Popen([binary(), "adopt", "--from", source, "--data", broker.data],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.005, 0.15))
        process.kill()
        process.wait()
    adopt(source, broker.data)
    with broker:
        same(there, read_all(broker.address, f"{WORK}/killed-{version}.records"))
        broker.stop()


def topics(said, kind):
    return [line.split(": ")[1] for line in said.splitlines() if line.startswith(kind + ": ")]


def full_in_between(version):
    """The disk of ours fills up three times, at other places; with room again, the rest is taken."""
    source, there = filled(version)
    before, taken = digests(source), []
    with Mount("ext4", f"{WORK}/full", DISK_BYTES) as disk:
        data = os.path.join(disk, "data")
        for left in ROOM:
            fill_disk(disk, left)
            said = adopt(source, data, code=2)
            assert "cannot be taken: no space left on the disk" in said and "run it again when that is mended" in said, said
            taken += topics(said, "taken")
            assert digests(source) == before, "Kafka's folder has changed"
        os.unlink(os.path.join(disk, "filler"))
        said = adopt(source, data)
        assert topics(said, "taken"), "nothing was left to take"
        taken += topics(said, "taken")
        assert len(taken) == len(set(taken)) == 9, f"taken: {taken}"
        assert digests(source) == before, "Kafka's folder has changed"
        broker = Broker(f"{WORK}/full-{version}", {**OLD_RECORDS, "log.dirs": data})
        with broker:
            same(there, read_all(broker.address, f"{WORK}/full-{version}.records"))
            broker.stop()


CASES = [
    *((f"a folder of Kafka {version} is taken over: every record, setting and committed offset, and its files are untouched",
       everything, (version,)) for version in os.environ.get("ADOPT_VERSIONS", "4.3.1,3.9.1").split(",")),
    ("an adoption that is killed goes on when it is run again", killed_in_between, ("4.3.1",)),
    ("an adoption whose disk fills up says so, and takes the rest once there is room", full_in_between, ("4.3.1",)),
]
