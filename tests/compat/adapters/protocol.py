"""What the adapters in Python share: the lines of ../PROTOCOL.md, and the thread of a group member.

A client is an object with a method per word of PROTOCOL.md, which gets the request and answers the fields of the
answer, or raises. What it lacks, it raises Unsupported for; a missing method says so too.
"""
import base64
import json
import os
import queue
import sys
import threading
import traceback

OUT_LOCK = threading.Lock()


class Unsupported(Exception):
    """The client has no such thing; the message says why."""


def encode(raw):
    return None if raw is None else base64.b64encode(raw).decode()


def decode(text):
    return None if text is None else base64.b64decode(text)


def emit(line):
    with OUT_LOCK:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def headers_of(record):
    """A request's headers as a list of (text, bytes or None)."""
    return [(name, decode(content)) for name, content in record["headers"]]


def read_record(offset, key, value, headers, timestamp):
    """A record as `read` answers it."""
    return {"offset": offset, "key": encode(key), "value": encode(value), "timestamp": timestamp,
            "headers": [[name, encode(content)] for name, content in headers or []]}


def record_event(topic, partition, offset, value):
    emit({"event": "record", "topic": topic, "partition": partition, "offset": offset, "value": encode(value)})


def partitions_event(event, partitions, **more):
    """`assigned` or `revoked` with (topic, partition) pairs."""
    emit({"event": event, "partitions": sorted([list(one) for one in partitions]), **more})


def error_event(why):
    emit({"event": "error", "error": f"{type(why).__name__}: {why}" if isinstance(why, Exception) else str(why)})


class Delivered:
    """What a member was given of the partitions that it owns: (topic, partition) -> the offset to commit."""

    def __init__(self):
        self.ends = {}

    def record(self, topic, partition, offset, value):
        """Counts it before it is told, so that a `commit` of one who was told has it."""
        self.ends[topic, partition] = offset + 1
        record_event(topic, partition, offset, value)

    def keep(self, owned):
        """Forgets what is no longer owned."""
        self.ends = {one: end for one, end in self.ends.items() if one in owned}

    def to_commit(self, request):
        """The offsets of a `commit` request as (topic, partition, offset, metadata)."""
        if request["offsets"] is not None:
            return [tuple(one) for one in request["offsets"]]
        return [(topic, partition, end, "") for (topic, partition), end in self.ends.items()]


class Member(threading.Thread):
    """The one thread that touches a group consumer. Subclasses have open(), poll() and close()."""

    def __init__(self):
        super().__init__(daemon=True)
        self.todo = queue.Queue()
        self.over = False

    def do(self, function):
        """Runs function() on the member's thread between two polls; answers what it returns or raises what it raises."""
        box = queue.Queue()
        self.todo.put((function, box))
        result, why = box.get()
        if why is not None:
            raise why
        return result

    def serve_one(self):
        try:
            function, box = self.todo.get_nowait()
        except queue.Empty:
            return False
        try:
            box.put((function(), None))
        except Exception as why:
            box.put((None, why))
        return True

    def leave(self):
        self.do(self.end)
        self.join()

    def end(self):
        self.over = True
        self.close()

    def run(self):
        self.open()
        while not self.over:
            if not self.serve_one():
                try:
                    self.poll()
                except Exception as why:
                    error_event(why)


def transformed(value):
    """What a chain makes of a record."""
    return b"did " + value


class Chain(threading.Thread):
    """Reads as a member and writes in transactions with its offsets. Subclasses have open(), turn() and close(): a turn is at most one
    transaction, and answers how many records it had."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over = False

    def run(self):
        try:
            self.open()
            while not self.over:
                count = self.turn()
                if count:
                    emit({"event": "transformed", "count": count})
            self.close()
        except Exception as why:
            traceback.print_exc()
            error_event(why)

    def end(self):
        self.over = True
        self.join()


def answer_of(client, request):
    method = getattr(client, request["do"], None)
    try:
        if method is None:
            raise Unsupported(f"the client's API has no {request['do']}")
        return {"ok": True, **(method(request) or {})}
    except Unsupported as why:
        return {"unsupported": str(why)}
    except Exception as why:
        traceback.print_exc()
        return {"error": f"{type(why).__name__}: {why}"}


def serve(client):
    """Answers the requests on standard input until `quit`, or until it ends: then everything is dropped at once."""
    for line in sys.stdin:
        request = json.loads(line)
        emit({"id": request["id"], **answer_of(client, request)})
        if request["do"] == "quit":
            sys.stdout.flush()
            os._exit(0)
    os._exit(1)
