"""Sanitizer builds: how they are built and started, and where their reports are found.

    s = Sanitizer("tsan", "build/tests/tsan/reports")   # an empty folder; every report becomes a file in it
    s.build("build/tsan/odradek")
    s.options                                           # the environment for the processes under test
    s.reports()                                         # [text, ...]
"""
import ctypes
import glob
import os
import re

from broker import fresh_dir
from process import run_ok

ADDR_NO_RANDOMIZE = 0x0040000
SEPARATOR = r"^=====+$"
CLOSING = r"ThreadSanitizer: reported \d+ warnings"


def fix_addresses():
    """gcc 12's sanitizers cannot live with the address randomisation of newer kernels. Children inherit this."""
    ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)  # where it is refused, the programs say so themselves


class Sanitizer:
    def __init__(self, mode, folder):
        fix_addresses()
        self.mode = mode
        self.folder = fresh_dir(folder)
        log = f"log_path={self.folder}/report"
        self.options = {"TSAN_OPTIONS": f"{log}:exitcode=0:history_size=6:second_deadlock_stack=1",
                        "ASAN_OPTIONS": f"{log}:detect_leaks=1:detect_stack_use_after_return=1:quarantine_size_mb=32",
                        "UBSAN_OPTIONS": f"{log}:print_stacktrace=1"}

    def build(self, *targets):
        run_ok(["make", "-s", f"-j{os.cpu_count()}", f"MODE={self.mode}", *targets], timeout=600)

    def reports(self, texts=()):
        """Every report since the start, whole; also the lines of UndefinedBehaviorSanitizer within other texts."""
        found = [line for text in texts for line in text.splitlines() if ": runtime error: " in line]
        for path in sorted(glob.glob(self.folder + "/report*")):
            with open(path, encoding="utf-8", errors="replace") as file:
                parts = [part.strip() for part in re.split(SEPARATOR, file.read(), flags=re.M)]
            found += [part for part in parts if part and not re.fullmatch(CLOSING, part)]
        return found

    def check_clean(self, texts=()):
        """AssertionError with the first report."""
        found = self.reports(texts)
        assert not found, f"{len(found)} reports in {self.folder}, the first: {summary(found[0])}"


def summary(text):
    """What a report says in a line: its kind, and the innermost functions of ours."""
    kind = re.search(r"(?:WARNING|ERROR): (\w+Sanitizer: .*)|(.*runtime error: .*)", text)
    places = re.findall(r"#\d+ (?:0x\w+ in )?(\w+) (?:\S*/)?((?:core|storage|net|tests)/\S+)", text)
    return " ".join([kind.group(0) if kind else text[:200], *(f"{name} {place}," for name, place in places[:6])])
