"""A file system that shuts itself down under load, as XFS and ext4 do when its journal cannot be written, on a disk that goes on: whatever was flushed
must be there when it is mounted again. Its flushes that succeed meanwhile are what must not be believed: fs_is_up (core/fs.h) says why."""
import os
import random
import re

import cuts
from disk import Disk
from harness import run, run_ok

PROGRAM = "build/release/tests/power/flushes"
PLANT = "flush_unconfirmed"
PLANTED = f"build/plant-{PLANT}/tests/power/flushes"
KINDS = ("xfs", "ext4")
ROUNDS, DOWN_MS = 30, (10, 120)
CATCH_ROUNDS_MAX = 150  # a round loses some in 12 (XFS) and 27 (ext4) of 100


class PlainDisk(Disk):
    """A loop device alone. It forgets nothing, so only what was never written can be missing."""

    def attach(self, seed=0, keep=None):
        self.round += 1
        self.loop = run_ok(["losetup", "--show", "-f", self.image]).decode().strip()
        run_ok(["mount", "-t", self.kind, self.loop, self.mount])
        self.mounted = True


def one_round(disk, acks, program):
    disk.attach()
    folder = os.path.join(disk.mount, f"round{disk.round}")
    os.mkdir(folder)
    run_ok(["sync", "-f", folder])
    run_ok([program, "write", folder, str(random.randint(*DOWN_MS)), acks], timeout=120)
    disk.detach()
    disk.attach()
    code, out, err = run([program, "check", folder, acks])
    run_ok(["rm", "-r", folder])
    disk.detach()
    assert code == 0, f"what was flushed is lost: {out.decode()} {err.decode()}"
    return int(re.search(r"acks=(\d+)", out.decode()).group(1))


def shut_down(kind, program, rounds):
    """How many flushes of all rounds were there afterwards."""
    disk = PlainDisk(os.path.join(cuts.WORK, f"shutdowns-{kind}"), kind)
    try:
        disk.make()
        return sum(one_round(disk, os.path.join(disk.folder, "acks"), program) for _ in range(rounds))
    finally:
        disk.close()


def check(kind):
    acks = shut_down(kind, PROGRAM, ROUNDS)
    assert acks > ROUNDS, f"hardly anything was flushed: {acks}"
    print(f"    {acks} flushes", flush=True)


def catch(kind):
    """Without the question some are lost, or the rounds prove nothing."""
    run_ok(["make", "-s", f"PLANT={PLANT}", PLANTED], timeout=300)
    try:
        acks = shut_down(kind, PLANTED, CATCH_ROUNDS_MAX)
    except AssertionError as why:
        assert re.search(r"lost=[1-9]", str(why)), why
        print(f"    {why}", flush=True)
        return
    raise AssertionError(f"the planted bug {PLANT} lost none of {acks} flushes")


def run_all(report):
    for kind in KINDS:
        report.case(f"{ROUNDS} shutdowns of {kind} under load: nothing flushed is lost", check, kind)
        report.case(f"the planted bug {PLANT} is found on {kind}", catch, kind)
