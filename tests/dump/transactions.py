"""Transactions: what .txnindex and .snapshot files say is what the log says."""
import glob
import os
import re

from dump import TOOL
from harness import binary, run, run_ok
from segments import batches_of_file, logs
from tools import java, venv_python

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../adopt/client.py")
TOPICS = ("aborted", "committed", "mixed", "beside", "open")
TRANSACTIONAL, CONTROL = 1 << 4, 1 << 5
ABORTED = re.compile(r"version: 0 producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)")
OPEN = re.compile(r"producerId: (\d+) producerEpoch: \d+ coordinatorEpoch: -?\d+ currentTxnFirstOffset: (?:OptionalLong\[|Some\()(\d+)")


def write(broker):
    run_ok([venv_python(), CLIENT, "transactions", broker.address], timeout=240)


def start_and_stop(broker):
    """Every log is recovered, and saved whole: a partition that nobody asks for is recovered by and by."""
    broker.start()
    run_ok([venv_python(), CLIENT, "read", broker.address, f"{broker.data}/../read.records", "read_committed"], timeout=240)
    broker.stop()


def told(files):
    """{file: its lines}, by the tool."""
    code, out, err = run(java(TOOL, "--files", ",".join(files)), timeout=240)
    assert code == 0 and not err.strip(), f"exit code {code}: {err[-900:]}"
    lines, at = {}, None
    for line in out.decode().splitlines():
        if line.startswith("Dumping "):
            at = lines.setdefault(line.removeprefix("Dumping "), [])
        else:
            at.append(line)
    return lines


def is_abort(log, b):
    """A control batch's only record: length, attributes, two deltas, key length, key: version 2, type 2."""
    with open(log, "rb") as file:
        file.seek(b.position + 61 + 7)
        return file.read(2) == b"\0\0"


def of_log(folder):
    """Walks the log: ({path of a .txnindex: aborted transactions}, {base of a segment, or the end: {producer: first offset of what is open there}})."""
    began, aborted, opened, end = {}, {}, {}, 0
    for log in logs(folder):
        opened[int(os.path.basename(log).removesuffix(".log"))] = dict(began)
        for b in batches_of_file(log):
            end = b.last_offset + 1
            if not b.attributes & TRANSACTIONAL:
                continue
            if not b.attributes & CONTROL:
                began.setdefault(b.producer_id, b.base_offset)
                continue
            first = began.pop(b.producer_id, None)
            if is_abort(log, b) and first is not None:
                stable = min(began.values(), default=b.base_offset + 1)
                aborted.setdefault(log.removesuffix(".log") + ".txnindex", []).append((b.producer_id, first, b.base_offset, stable))
    opened[end] = began
    return aborted, opened


def same_as_log(broker):
    folders = [os.path.join(broker.data, f"{topic}-0") for topic in TOPICS]
    files = sorted(path for folder in folders for path in glob.glob(folder + "/*") if path.endswith((".txnindex", ".snapshot")))
    lines = told(files)
    found = segments = snapshots = 0
    for folder in folders:
        aborted, opened = of_log(folder)
        there = {path: [tuple(map(int, m.groups())) for m in map(ABORTED.search, lines[path]) if m]
                 for path in files if path.startswith(folder + "/") and path.endswith(".txnindex")}
        there = {path: v for path, v in there.items() if v}
        assert there == aborted, f"{folder}: {there} where the log says {aborted}"
        found += sum(map(len, aborted.values()))
        segments += len(aborted)
        for path in files:
            if not path.startswith(folder + "/") or not path.endswith(".snapshot"):
                continue
            base = int(os.path.basename(path).removesuffix(".snapshot"))
            says = {int(m.group(1)): int(m.group(2)) for m in map(OPEN.search, lines[path]) if m}
            if base in opened:  # one of an earlier stop may lie between
                assert says == opened[base], f"{path}: open are {says}, the log says {opened[base]}"
                snapshots += 1
    assert found > 10 and segments > 2 and snapshots > 5, f"{found} aborted transactions in {segments} segments, {snapshots} snapshots"


def made_again(broker):
    """What is damaged or lost of these files is found in the log, at the next start after a kill."""
    files = sorted(glob.glob(f"{broker.data}/mixed-0/*.txnindex"))
    with open(files[0], "r+b") as file:
        file.write(b"\xff" * 20)
    code, out, err = run([binary(), "check", "--data", broker.data])
    assert code == 0 and b"damaged or not this log's" in out + err, f"check ended with {code}: {out[-300:]} {err[-300:]}"
    start_and_stop(broker)
    same_as_log(broker)
    code, out, err = run([binary(), "check", "--data", broker.data])
    assert code == 0 and b" 0 notes" in out + err, f"check ended with {code}: {out[-300:]} {err[-300:]}"
