"""A broker whose clocks the test moves, and clients that go on meanwhile."""
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../lib"), os.path.join(HERE, "../group")]

from harness import Broker, run_ok, spawn, wait_until
from tools import venv_python

SHIM = "build/release/tests/clocks/shift.so"
MINUTE_NS = 60 * 10**9


class Shifted(Broker):
    """Wall, monotonic and boot clock of the process, ahead by what `shift` has added."""

    def __init__(self, folder, properties=None, arguments=()):
        super().__init__(folder, properties, arguments)
        run_ok(["make", "-s", SHIM], timeout=120)
        self.shift_path = os.path.join(self.folder, "shift")
        self.ahead = [0, 0, 0]
        with open(self.shift_path, "wb") as file:
            file.write(bytes(4096))

    def environment(self):
        return {**os.environ, "LD_PRELOAD": os.path.abspath(SHIM), "CLOCK_SHIFT": self.shift_path,
                "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def shift(self, wall=0, monotonic=0, boot=0):
        """In minutes."""
        for i, minutes in enumerate((wall, monotonic, boot)):
            self.ahead[i] += minutes * MINUTE_NS
        with open(self.shift_path, "r+b") as file:
            file.write(struct.pack("=3q", *self.ahead))

    def pause(self, during, seconds=0.5):
        """Stops the process; `during` is called while it stands still, with clients that go on asking."""
        os.kill(self.pid, signal.SIGSTOP)
        time.sleep(seconds / 2)
        during()
        time.sleep(seconds / 2)
        os.kill(self.pid, signal.SIGCONT)


class Beating(threading.Thread):
    """A member of a group by hand, which beats and does nothing else; `said` has what it was answered, in turns."""

    def __init__(self, member):
        super().__init__(daemon=True)
        self.member, self.said, self.stopped = member, [], threading.Event()
        self.start()

    def run(self):
        while not self.stopped.wait(0.2):
            try:
                error = self.member.heartbeat()
            except OSError as why:
                error = str(why)
            except EOFError:
                error = "closed"
            if self.said[-1:] != [error]:
                self.said.append(error)


class Crowd:
    """Three consumers of kafka-python in one group, and a producer whose records they read (crowd.py)."""

    def __init__(self, address, topic, group):
        self.child = spawn([venv_python(), os.path.join(HERE, "crowd.py"), address, topic, group], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self):
        """What they saw so far."""
        print("tell", file=self.child.stdin, flush=True)
        return json.loads(self.child.stdout.readline())

    def read_all(self, more):
        """What was sent was read, at least so many records since the last time."""
        want = self.ask()["sent"] + more
        return wait_until(lambda: self.ask()["read"] >= want, 20, step=0.1)

    def end(self):
        self.child.stdin.close()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
