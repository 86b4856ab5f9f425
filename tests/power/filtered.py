"""Disks behind one of nbdkit's filters: they fail, or are slow."""
import os

import disk
from harness import NotRun, run


def needs(kind):
    disk.needs()
    if run(["nbdkit", f"--filter={kind.filter}", "--dump-plugin", "null"])[0] != 0:
        raise NotRun(f"nbdkit has no {kind.filter} filter")


class Failing:
    """Writes, or reads, fail with EIO while the file `fail.pwrite`, or `fail.pread`, is there."""
    filter = "error"

    def settings(self):
        return [f"error-{kind}{end}" for kind in ("pwrite", "pread")
                for end in ("=EIO", "-rate=100%", f"-file={self.trigger(kind)}")]

    def trigger(self, kind):
        return os.path.join(self.folder, f"fail.{kind}")

    def fail(self, kind):
        with open(self.trigger(kind), "wb"):
            pass

    def heal(self, kind):
        os.unlink(self.trigger(kind))


class FileDisk(disk.Disk):
    """It never forgets."""

    def plugin(self, seed, keep):
        return ["file", self.image]


class FailingDisk(Failing, FileDisk):
    pass


class ForgetfulFailingDisk(Failing, disk.Disk):
    pass


class SlowDisk(FileDisk):
    """Each write takes 30 ms."""
    filter = "delay"

    def settings(self):
        return ["wdelay=30ms"]
