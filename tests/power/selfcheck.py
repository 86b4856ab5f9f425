"""The disk itself is checked before the broker is: a disk that forgets nothing, or forgets what was flushed, proves
nothing."""
import os
import random
import re

import cuts
from disk import Disk
from harness import run, run_ok

PROBE = "build/release/tests/power/probe"
SECTORS = 512  # in the synced blocks, and in the others: see probe.c


def probe(kind, keep):
    """Writes on a disk that keeps so many percent, cuts it, and answers what the probe found."""
    disk = Disk(os.path.join(cuts.WORK, f"probe-{kind}"), kind)
    try:
        disk.make()
        disk.attach(random.getrandbits(32), keep)
        file = os.path.join(disk.mount, "probe")
        run_ok([PROBE, "prepare", file])
        run_ok([PROBE, "write", file, disk.fifo])
        disk.cut()
        disk.detach()
        disk.attach(0)
        code, out, err = run([PROBE, "check", file])
        assert code == 0, f"a synced sector was lost: {out.decode()} {err.decode()}"
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", out.decode())}
    finally:
        disk.close()


def check(kind):
    half, none = probe(kind, 50), probe(kind, 0)
    assert half["synced"] == none["synced"] == SECTORS, f"{half} {none}"
    assert half["plain"] > 0 and half["gone"] > SECTORS // 8, f"the disk does not keep a part of the sectors: {half}"
    assert none["gone"] > SECTORS // 3 and none["plain"] < SECTORS, f"the disk does not forget: {none}"


def run_all(report):
    for kind in ("ext4", "xfs"):
        report.case(f"the disk that forgets keeps what was synced and loses a part of the rest ({kind})", check, kind)
