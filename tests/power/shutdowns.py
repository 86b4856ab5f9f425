"""A file system that shuts itself down under load, as XFS does when its journal cannot be written, on a disk that goes on: whatever was flushed
must be there when it is mounted again. Its flushes that succeed meanwhile are what must not be believed: fs_is_up (core/fs.h) says why."""
import os
import random
import re

import cuts
from disk import Disk
from harness import run, run_ok

PROGRAM = "build/release/tests/power/flushes"
ROUNDS, DOWN_MS = 40, (10, 120)


class PlainDisk(Disk):
    """A loop device alone. It forgets nothing, so only what was never written can be missing."""

    def attach(self, seed=0, keep=None):
        self.round += 1
        self.loop = run_ok(["losetup", "--show", "-f", self.image]).decode().strip()
        run_ok(["mount", "-t", self.kind, self.loop, self.mount])
        self.mounted = True


def one_round(disk, acks):
    disk.attach()
    folder = os.path.join(disk.mount, f"round{disk.round}")
    os.mkdir(folder)
    run_ok(["sync", "-f", folder])
    run_ok([PROGRAM, "write", folder, str(random.randint(*DOWN_MS)), acks], timeout=120)
    disk.detach()
    disk.attach()
    code, out, err = run([PROGRAM, "check", folder, acks])
    run_ok(["rm", "-r", folder])
    disk.detach()
    assert code == 0, f"what was flushed is lost: {out.decode()} {err.decode()}"
    return int(re.search(r"acks=(\d+)", out.decode()).group(1))


def check(kind):
    disk = PlainDisk(os.path.join(cuts.WORK, f"shutdowns-{kind}"), kind)
    try:
        disk.make()
        acks = sum(one_round(disk, os.path.join(disk.folder, "acks")) for _ in range(ROUNDS))
        assert acks > ROUNDS, f"hardly anything was flushed: {acks}"
        print(f"    {acks} flushes", flush=True)
    finally:
        disk.close()


def run_all(report):
    report.case(f"{ROUNDS} shutdowns of XFS under load: nothing flushed is lost", check, "xfs")
