"""Child processes of the tests: always with a time-out, never left behind.

A child gets SIGKILL when its parent dies (PR_SET_PDEATHSIG), so an interrupted test leaves nothing running.
TEST_TIME_SCALE multiplies every time-out, for sanitizer builds and slow machines.
"""
import ctypes
import os
import re
import shutil
import signal
import subprocess
import time

from report import NotRun

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
STEP_MAX_S = 20  # a condition that is looked at for longer: we were stopped, and the broker with us


def seconds(value):
    """A time-out, stretched by TEST_TIME_SCALE."""
    return value * float(os.environ.get("TEST_TIME_SCALE", "1"))


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(command, **options):
    """Popen of a child that dies with this process."""
    return subprocess.Popen(command, preexec_fn=die_with_parent, **options)


def need(tool):
    """The path of a tool, or NotRun."""
    path = shutil.which(tool)
    if path is None:
        raise NotRun(f"{tool} is not installed")
    return path


def run(command, stdin=b"", timeout=60, env=None):
    """Runs a command to its end; answers (exit code, stdout, stderr) as bytes.

    A command that does not end in time is killed and raises AssertionError with what it said.
    """
    child = spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                  env=None if env is None else {**os.environ, **env})
    try:
        out, err = child.communicate(stdin, timeout=seconds(timeout))
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        raise AssertionError(f"{name_of(command)} did not end in {seconds(timeout):.0f} s; it said: "
                             f"{tail(out)} {tail(err)}") from None
    return child.returncode, out, err


def run_ok(command, stdin=b"", timeout=60, env=None):
    """As run(), but a non-zero exit code raises AssertionError; answers stdout."""
    code, out, err = run(command, stdin, timeout, env)
    assert code == 0, f"{name_of(command)} ended with {code}: {tail(err)} {tail(out)}"
    return out


def name_of(command):
    return os.path.basename(command[0])


def tail(output, size=600):
    return output.decode(errors="replace").strip()[-size:]


def resident_mb(pid, field="VmRSS"):
    """What of a process is in memory; VmHWM: at most so far."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(field + r":\s+(\d+)", status.read()).group(1)) / 1024


def wait_until(condition, timeout, step=0.01):
    """Polls until condition() is true; answers whether it became so in time. Time in which this process stood still does not count."""
    left, last = seconds(timeout), time.monotonic()
    while not condition():
        if left < 0:
            return False
        time.sleep(step)
        now = time.monotonic()
        left -= min(now - last, STEP_MAX_S + step)
        last = now
    return True
