"""Runs Apache Kafka's DumpLogSegments over many files in one JVM and reads what it prints.

The tool exits with 1 at what it cannot read, and prints its other complaints to stderr while exiting with 0. One of
them is no complaint: it calls the first offset of every segment but the first "non-consecutive" (-1 before it).
"""
import os
import re

from harness import run, tail
from tools import java

TOOL = "org.apache.kafka.tools.DumpLogSegments"
FIRST_OF_SEGMENT = re.compile(r"\s*(Non-consecutive offsets in \S+|-1 is followed by \d+)\s*")
RECORD = re.compile(r"\| offset: (\d+) (?:isValid: (\w+) )?CreateTime: (\d+) ")


class Dump:
    """What the tool said: `offsets` is {folder: [(offset, timestamp), ...]} in file order."""

    def __init__(self, code, out, err):
        self.code = code
        self.complaints = [line for line in err.splitlines() if line and not FIRST_OF_SEGMENT.fullmatch(line)]
        self.valid = self.invalid = self.sane = 0
        self.codecs = {}
        self.offsets = {}
        self.folder = None
        for line in out.splitlines():
            self.read(line)

    def read(self, line):
        if line.startswith("Dumping "):
            self.folder = os.path.dirname(line.removeprefix("Dumping "))
        elif line.startswith("| "):
            found = RECORD.match(line)
            assert found, f"DumpLogSegments printed {line!r}"
            self.offsets.setdefault(self.folder, []).append((int(found.group(1)), int(found.group(3))))
        elif line.startswith("baseOffset: "):
            self.read_batch(line)
        elif line.endswith(" passed sanity check."):
            self.sane += 1

    def read_batch(self, line):
        self.valid += "isvalid: true" in line
        self.invalid += "isvalid: true" not in line
        codec = re.search(r"compresscodec: (\w+)", line).group(1)
        self.codecs.setdefault(self.folder, set()).add(codec)

    def clean(self):
        """Raises AssertionError unless the tool was content with everything."""
        assert self.code == 0 and not self.complaints, f"exit code {self.code}: {' | '.join(self.complaints)[:900]}"
        assert self.invalid == 0, f"{self.invalid} batches are not valid"


def dump(files, *options):
    """Dumps `files` with `options`."""
    assert files, "there are no files to dump"
    code, out, err = run(java(TOOL, *options, "--files", ",".join(files)), timeout=240)
    return Dump(code, out.decode(errors="replace"), err.decode(errors="replace"))


def refused(files, *options):
    """Does the tool find fault with `files`? Answers what it said, or None."""
    seen = dump(files, *options)
    if seen.code == 0 and not seen.complaints and seen.invalid == 0:
        return None
    return tail(" ".join(seen.complaints).encode()) or f"{seen.invalid} invalid batches"
