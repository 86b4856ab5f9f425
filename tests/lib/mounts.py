"""A small file system of its own: `with Mount("ext4", folder, bytes) as path`. Needs root; gone afterwards. `fill_disk` leaves little room on it."""
import os
import subprocess

from broker import fresh_dir
from process import need, run_ok
from report import NotRun


class Mount:
    def __init__(self, kind, folder, size, options=""):
        if os.geteuid() != 0:
            raise NotRun("mounting needs root")
        self.folder = fresh_dir(folder)
        self.image = os.path.abspath(f"{folder}.img")
        if kind == "tmpfs":
            run_ok(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.folder])
            return
        make = {"ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"], "xfs": ["mkfs.xfs", "-q", "-f"]}[kind]
        need(make[0])
        with open(self.image, "wb") as image:
            image.truncate(size)
        run_ok([*make, self.image])
        if not os.path.exists("/dev/loop-control"):
            raise NotRun("no loop device")
        run_ok(["mount", "-o", "loop" + (f",{options}" if options else ""), self.image, self.folder])

    def __enter__(self):
        return self.folder

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.folder], check=False, stderr=subprocess.DEVNULL)
        if os.path.exists(self.image):
            os.unlink(self.image)


def fill_disk(folder, left):
    """A file named filler that takes all room but `left` bytes; it replaces the one before."""
    path = os.path.join(folder, "filler")
    open(path, "wb").close()
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with open(path, "wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, max(free - left, 1))
