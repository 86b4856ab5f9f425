"""One import for test groups: everything of tests/lib.

    sys.path.insert(0, "tests/lib")
    from harness import *
"""
from broker import Broker, binary, fresh_dir, open_broker
from process import need, resident_mb, run, run_ok, seconds, spawn, tail, wait_until
from report import NotRun, Report, say

__all__ = ["Broker", "NotRun", "Report", "binary", "fresh_dir", "need", "open_broker", "resident_mb", "run", "run_ok",
           "say", "seconds", "spawn", "tail", "wait_until"]
