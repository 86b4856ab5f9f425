"""What clients did and saw, as a list of operations in the order of their beginning.

    {"process": "producer-1", "do": "send", "begin": 1.5, "end": 1.7, "outcome": "ok", "records": [[partition, value, offset], ...]}
    {"process": "reader-2", "do": "poll", "begin": 2.0, "end": 2.1, "outcome": "ok", "records": [[partition, value, offset], ...]}
    {"process": "reader-2", "do": "seek", "begin": 2.1, "end": 2.1, "outcome": "ok", "records": []}

A send that is a transaction has "txn": true; it begins when its end is asked for. A value is written at most once. `outcome` of a send: ok (acknowledged: offsets are known), fail (refused for good: it never happens), info
(nobody knows; offsets are null). A seek, also an assignment, forgets where a reader was. `end` is null for what never ended.
"""
import json
import threading
import time


class History:
    """Written to by the threads of all clients, and kept in a file line by line: what a failed run leaves to look at."""

    def __init__(self, path=None):
        self.operations = []
        self.lock = threading.Lock()
        self.file = open(path, "w", encoding="ascii") if path else None

    def add(self, process, do, begin, outcome, records, **more):
        operation = {"process": process, "do": do, "begin": begin, "end": time.monotonic(), "outcome": outcome, "records": records, **more}
        with self.lock:
            self.operations.append(operation)
            if self.file:
                self.file.write(json.dumps(operation) + "\n")

    def close(self):
        if self.file:
            self.file.close()


def load(path):
    with open(path, encoding="ascii") as file:
        return [json.loads(line) for line in file]
