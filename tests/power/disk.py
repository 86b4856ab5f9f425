"""A file system on the disk that forgets: nbdkit (forget.so) > nbdfuse > loop device > ext4 or XFS.

    disk = Disk("build/tests/power/one", "ext4")
    disk.make()             # an empty image, a file system on it
    disk.attach(seed=7)     # mounted at disk.mount; the seed decides what the next cut keeps
    disk.cut()              # the disk dies at once; disk.forgot() says what became of the volatile sectors
    disk.detach()           # whoever used it must be dead
    disk.attach(seed=8)     # checks the file system and mounts it again
    disk.close()            # a clean end

Each attachment has names of its own, so that a stuck one disturbs nothing.
"""
import os
import re
import shutil
import subprocess
import time

from harness import NotRun, fresh_dir, need, run, run_ok, spawn, wait_until

SIZE_MIB = 512
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
FSCK = {"ext4": ["fsck.ext4", "-p"], "xfs": ["xfs_repair", "-n"]}
PLUGIN = "build/release/tests/power/forget.so"


def needs():
    """Raises NotRun where such a disk cannot be had."""
    if os.geteuid() != 0:
        raise NotRun("only root can mount")
    if not os.path.exists("/dev/fuse"):
        raise NotRun("no /dev/fuse")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for tool in ("nbdkit", "nbdfuse", "fusermount3", "losetup", "mkfs.ext4", "mkfs.xfs"):
        need(tool)
    if run(["losetup", "--find"])[0] != 0:
        raise NotRun("no loop device")


class Disk:
    filter = None  # of nbdkit; see filtered.py

    def __init__(self, folder, kind, flush_us=0):
        self.folder = fresh_dir(folder)
        self.kind = kind
        self.flush_us = flush_us  # what a flush takes
        self.image = os.path.join(self.folder, "image")
        self.mount = os.path.join(self.folder, "mount")
        self.memory = os.path.join(self.folder, "memory")  # for crash.dir: of the machine, empty when its power comes back
        self.round = 0
        self.nbdkit = self.nbdfuse = self.loop = None
        self.mounted = False

    def path(self, name):
        return os.path.join(self.folder, f"{name}.{self.round}")

    @property
    def fifo(self):
        return self.path("cut")

    def make(self):
        """Formats in place, without the disk that forgets in between."""
        with open(self.image, "wb") as file:
            file.truncate(SIZE_MIB << 20)
        run_ok([*MKFS[self.kind], self.image])
        os.mkdir(self.mount)
        os.mkdir(self.memory)

    def attach(self, seed, keep=None):
        self.round += 1
        self.start_nbdkit(seed, keep)
        self.start_nbdfuse()
        self.loop = run_ok(["losetup", "--direct-io=on", "--show", "-f", self.path("disk")]).decode().strip()
        if self.round > 1:
            self.check()
        run_ok(["mount", "-t", self.kind, self.loop, self.mount])
        self.mounted = True

    def plugin(self, seed, keep):
        """The disk itself: nbdkit's plugin and what it is told."""
        os.mkfifo(self.fifo)
        return [os.path.abspath(PLUGIN), f"file={self.image}", f"size={SIZE_MIB}M", f"cut={self.fifo}", f"report={self.path('report')}",
                f"seed={seed}", f"flush_us={self.flush_us}", *([] if keep is None else [f"keep={keep}"])]

    def settings(self):
        """What the filter is told."""
        return []

    def start_nbdkit(self, seed, keep):
        filters = [f"--filter={self.filter}"] if self.filter else []
        command = ["nbdkit", "-f", "-U", self.path("socket"), *filters, *self.plugin(seed, keep), *self.settings()]
        with open(self.path("nbdkit.log"), "wb") as log:
            self.nbdkit = spawn(command, stdout=log, stderr=log)
        came = wait_until(lambda: os.path.exists(self.path("socket")), 10, 0.005)
        assert came, f"nbdkit did not start: {self.read('nbdkit.log')}"

    def start_nbdfuse(self):
        file = self.path("disk")
        with open(file, "wb"):
            pass

        def came():
            if self.nbdfuse is None or self.nbdfuse.poll() is not None:  # nbdkit's socket is there before it listens
                with open(self.path("nbdfuse.log"), "wb") as log:
                    self.nbdfuse = spawn(["nbdfuse", file, "--unix", self.path("socket")], stdout=log, stderr=log)
            return os.stat(file).st_size > 0
        came = wait_until(came, 10, 0.02)
        assert came, f"nbdfuse did not start: {self.read('nbdfuse.log')}"

    def check(self):
        """A journal is replayed first: by fsck on ext4, by mounting once on XFS, whose checker does not do it."""
        if self.kind == "xfs":
            run_ok(["mount", "-t", "xfs", self.loop, self.mount])
            run_ok(["umount", self.mount])
        code, out, err = run([*FSCK[self.kind], self.loop])
        assert code in (0, 1), f"{FSCK[self.kind][0]} ended with {code}: {out.decode()[-300:]} {err.decode()[-300:]}"

    def cut(self):
        """The power goes, unless somebody has written to the FIFO already; returns when the disk is dead."""
        try:
            fifo = os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK)
            os.write(fifo, b"x")
            os.close(fifo)
        except OSError:
            pass  # it died a moment ago
        self.nbdkit.wait(10)

    def forgot(self):
        """The numbers of the last cut: open, newest, older and lost sectors."""
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", self.read("report"))}

    def read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def detach(self):
        """Takes everything apart, dead or alive; a live disk is left as unmounting leaves it."""
        if self.mounted:
            end = time.monotonic() + 5
            while run(["umount", self.mount])[0] != 0 and time.monotonic() < end:
                time.sleep(0.02)
            if os.path.ismount(self.mount):
                run(["umount", "-l", self.mount])
        if self.loop:
            run(["losetup", "-d", self.loop])
        if self.nbdfuse:
            run(["fusermount3", "-u", "-z", self.path("disk")])
            end_child(self.nbdfuse)
        if self.nbdkit:
            end_child(self.nbdkit)
        self.mounted, self.loop, self.nbdfuse, self.nbdkit = False, None, None, None
        for name in os.listdir(self.memory) if os.path.isdir(self.memory) else ():
            os.unlink(os.path.join(self.memory, name))

    def close(self):
        self.detach()
        shutil.rmtree(self.folder, ignore_errors=True)


def end_child(child):
    """A child that has been told to end, or whose purpose is gone."""
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(5)
