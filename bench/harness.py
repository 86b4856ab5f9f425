"""What the bench scripts share: where things are, starting and stopping servers, pinning, the near/far label, medians."""

import importlib.machinery
import importlib.util
import json
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time

import interrupts

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.join(ROOT, "build/release/bench")
WORK = os.environ.get("BENCH_DIR", os.path.join(ROOT, "build/bench"))
ODRADEK = os.path.abspath(os.path.join(ROOT, os.environ.get("ODRADEK", "build/odradek")))
ODRADEK_ARGS = os.environ.get("ODRADEK_ARGS", "").split()
ODRADEK_PREFIX = []  # a command that becomes the broker

# A cache line goes there and back in about 100 ns between neighbouring processors, in about 500 ns between distant ones.
FAR_FROM_NS = 250
CERTAINTY = 0.95  # of the intervals


class NotRun(Exception):
    """The machine lacks something; says what."""


class Wrong(Exception):
    """A bench found a wrong result: its figures are worth nothing."""


def disk_interrupts():
    """(the disks under BENCH_DIR, {processor: interrupts of theirs}); no processor where it is not known."""
    os.makedirs(WORK, exist_ok=True)
    return interrupts.of_disk_under(WORK)


def processors(tiny=False):
    """(broker's, load's). Figures need one each; a tiny run has none, so it may share the only one. The broker's is kept off the disk's interrupts."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2 and not tiny:
        raise NotRun("needs two processors, one for the broker and one for the load")
    broker_cpu = int(os.environ.get("BENCH_BROKER_CPU", interrupts.keeps_off(usable, disk_interrupts()[1])))
    others = [cpu for cpu in usable if cpu != broker_cpu] or usable
    return broker_cpu, int(os.environ.get("BENCH_LOAD_CPU", others[0]))


def program(name):
    path = os.path.join(BIN, name)
    if not os.path.exists(path):
        raise NotRun(f"{os.path.relpath(path, ROOT)} is not built: make bench-bin")
    return path


def broker():
    if not os.path.exists(ODRADEK):
        raise NotRun(f"no broker at {os.path.relpath(ODRADEK, ROOT)}: make")
    return ODRADEK


def run_json(command, timeout=600):
    """Runs a program of ours that prints one JSON object; its `ok` must be true."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    lines = done.stdout.strip().splitlines()
    result = json.loads(lines[-1]) if lines else {}
    if done.returncode != 0 or not result.get("ok"):
        why = result.get("wrong", f"exit code {done.returncode}")
        raise Wrong(f"{os.path.basename(command[0])} {' '.join(command[1:4])}: {why} {done.stderr.strip()[-300:]}")
    return result


def load_gen(*args, cpu=None, timeout=600):
    pinned = [] if cpu is None else ["--cpu", str(cpu)]
    return run_json([program("load_gen"), *map(str, args), *pinned], timeout)


def fresh(name):
    path = os.path.join(WORK, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


class Server:
    """A broker or the bare loop, from its start line to its end. `with` ends it with SIGTERM and wants exit code 0."""

    def __init__(self, command, folder):
        self.log = os.path.join(folder, "server.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.line = self._start_line(time.monotonic() + 60)
        self.address = next(w[8:] for w in self.line.split() if w.startswith("address="))

    def _text(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def _start_line(self, deadline):
        while time.monotonic() < deadline:
            for line in self._text().splitlines(True):
                if " started: " in line and line.endswith("\n"):
                    return line.strip()
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        self.kill()
        raise Wrong(f"the server did not start: {self._text().strip()[-500:]}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.kill()
        else:
            self.stop()

    def stop(self, expected=0):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Wrong("the server did not end within 60 s of SIGTERM")
        if code != expected:
            raise Wrong(f"the server ended with {code}: {self._text().strip()[-300:]}")


def start_broker(folder, *settings, cpu=None):
    """On one processor, or a shard on each of several."""
    cpus = [] if cpu is None else [str(c) for c in (cpu if isinstance(cpu, list) else [cpu])]
    command = [*ODRADEK_PREFIX, broker(), "serve", f"log.dirs={folder}/data", "listeners=PLAINTEXT://localhost:0", *settings, *ODRADEK_ARGS]
    return Server(command + (["--cores", str(len(cpus)), "--cpu-list", ",".join(cpus)] if cpus else []), folder)


def start_echo(folder, cpu):
    return Server([program("echo"), str(cpu)], folder)


def start_bare(folder, ack, cpu, file_mb):
    command = [program("bare_loop"), "--ack", ack, "--cpu", str(cpu), "--dir", folder, "--file-mb", str(file_mb)]
    return Server(command, folder)


def cpu_seconds(pid):
    """Of the whole process, all threads, so far: its clock (man 2 clock_getres)."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def near_far():
    """The label of this moment: ("near" or "far", nanoseconds)."""
    if len(set(processors(True))) < 2:
        return "one processor", 0
    ns = int(subprocess.run([program("near_far"), *map(str, processors(True))], capture_output=True, text=True, timeout=60).stdout)
    return ("far" if ns >= FAR_FROM_NS else "near"), ns


def _busy():
    with open("/proc/stat", encoding="ascii") as stat:
        fields = [int(f) for f in stat.readline().split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def busy_share(seconds=0.5):
    busy, total = _busy()
    time.sleep(seconds)
    busy2, total2 = _busy()
    return (busy2 - busy) / max(1, total2 - total)


def wait_quiet(limit_s):
    """Waits until the machine is 95 % idle; returns what share was busy when it stopped waiting."""
    deadline = time.monotonic() + limit_s
    share = busy_share()
    while share > 0.05 and time.monotonic() < deadline:
        share = busy_share()
    return share


def median(values):
    return statistics.median(values)


def interval(values):
    """(low, high) of the median, or None where there are too few values for such certainty."""
    values, n = sorted(values), len(values)
    rank = 0  # of the low end, counted from 1
    below = 0.0  # the chance that fewer than `rank` + 1 values lie below the median
    while rank < n // 2:
        below += math.comb(n, rank) / 2 ** n
        if 1 - 2 * below < CERTAINTY:
            break
        rank += 1
    return (values[rank - 1], values[n - rank]) if rank else None


def spread(values):
    return f"{min(values):.4g}..{max(values):.4g}"


def _first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def _read(path):
    try:
        with open(path, encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return "unknown"


def commit():
    return _first_line("git", "-C", ROOT, "rev-parse", "--short", "HEAD")


def script(name):
    """bench/<name> as a module."""
    loader = importlib.machinery.SourceFileLoader(f"bench_{name}", os.path.join(ROOT, "bench", name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def machine_lines():
    """What the figures depend on, for the head of every table."""
    os.makedirs(WORK, exist_ok=True)
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo", encoding="utf-8") if l.startswith("model name")), "unknown")
    return [
        f"machine: {model}, {os.cpu_count()} processors, kernel {platform.release()}, commit {commit()}",
        f"compiler: {_first_line('cc', '--version')}; file system: {_first_line('stat', '-f', '-c', '%T', WORK)} "
        f"({_first_line('findmnt', '-no', 'SOURCE', '-T', WORK)}); TCP: {_read('/proc/sys/net/ipv4/tcp_congestion_control')}; {interrupts.said(*disk_interrupts())}",
    ]


def drop_caches():
    if os.geteuid() != 0:
        raise NotRun("dropping the page cache needs root")
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3")


def table(head, rows):
    widths = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  " + "  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))))


def verdict(met, text):
    print(f"{'goal met' if met else 'GOAL NOT MET'}: {text}")
    return met


def main(work):
    """Runs a bench: exit code 0 right and goals met, 1 a goal missed, 2 something was wrong."""
    name = os.path.basename(sys.argv[0])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is mounted or running is taken down first
    try:
        sys.exit(0 if work() else 1)
    except NotRun as why:
        print(f"not run: bench/{name}: {why}")
        sys.exit(0)
    except (Wrong, subprocess.TimeoutExpired) as why:
        print(f"not ok - bench/{name}: {why}")
        sys.exit(2)
