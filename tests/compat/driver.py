"""Adapter processes: one client each, spoken to in the lines of PROTOCOL.md.

All adapters of a row share one condition, so that `Crew.wait` can wait for anything that any of them may say.
Every event carries `at`, the monotonic time at which it was read.
"""
import base64
import json
import os
import subprocess
import threading
import time

from harness import seconds, spawn


class Unsupported(Exception):
    """The client's API has no such thing; the message says why."""


class Refused(AssertionError):
    """The client reported an error."""


def encoded(raw):
    return None if raw is None else base64.b64encode(raw).decode()


def decoded(text):
    return None if text is None else base64.b64decode(text)


def eventually(function, *args, timeout=10):
    """Kafka tells its metadata a moment after it acknowledged a change: until function(*args) raises nothing."""
    end = time.monotonic() + seconds(timeout)
    while True:
        try:
            return function(*args)
        except AssertionError:
            if time.monotonic() > end:
                raise
        time.sleep(0.1)


class Adapter:
    """One process. Requests come from one thread at a time; events are collected as they come."""

    def __init__(self, command, address, log_path, changed):
        self.name = os.path.basename(log_path).removesuffix(".log")
        self.changed = changed
        self.events = []
        self.ownership = []  # those of the events that are assigned or revoked
        self.ends = {}  # partition -> the offset behind the newest record that the member was given
        self.answers = {}
        self.last_id = 0
        self.ended = False
        self.log_path = log_path
        with open(log_path, "wb") as log:
            self.process = spawn([*command, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                said = {"event": "error", "error": f"not a line of the protocol: {line[:200]!r}"}
            with self.changed:
                if "id" in said:
                    self.answers[said["id"]] = said
                else:
                    self.take({**said, "at": time.monotonic()})
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def take(self, event):
        self.events.append(event)
        if event.get("event") in ("assigned", "revoked"):
            self.ownership.append(event)
        elif event.get("event") == "record":
            self.ends[event["partition"]] = event["offset"] + 1

    def ask(self, do, **fields):
        """Sends a request without waiting; answers its id."""
        self.last_id += 1
        line = json.dumps({"id": self.last_id, "do": do, **fields}) + "\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except OSError:
            raise AssertionError(f"the adapter is gone: {self.last_words()}") from None
        return self.last_id

    def answer(self, request, timeout=60):
        """The answer to a request; Unsupported or Refused where the client says so."""
        with self.changed:
            self.changed.wait_for(lambda: request in self.answers or self.ended, seconds(timeout))
            said = self.answers.pop(request, None)
        if said is None:
            raise AssertionError(f"no answer in {seconds(timeout):.0f} s: {self.last_words()}" if not self.ended
                                 else f"the adapter ended: {self.last_words()}")
        if "unsupported" in said:
            raise Unsupported(said["unsupported"])
        if not said.get("ok"):
            raise Refused(f"{said.get('error')}")
        return said

    def call(self, do, timeout=60, **fields):
        return self.answer(self.ask(do, **fields), timeout)

    def last_words(self):
        with open(self.log_path, "rb") as log:
            return log.read()[-600:].decode(errors="replace").strip() or "it said nothing"

    def kill(self):
        """kill -9, as a crash."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(seconds(30))

    def quit(self):
        """The clean end; an adapter that does not end with 0 raises AssertionError."""
        self.call("quit", timeout=30)
        code = self.process.wait(seconds(30))
        assert code == 0, f"the adapter ended with {code}: {self.last_words()}"


class Crew:
    """The adapters of one row, and what they share."""

    def __init__(self, command, broker, folder):
        self.command = command
        self.broker = broker
        self.folder = folder
        self.changed = threading.Condition()
        self.adapters = []
        os.makedirs(folder, exist_ok=True)

    def start(self, name):
        """A new process, logged to `name`.log."""
        path = os.path.join(self.folder, f"{len(self.adapters):02}-{name}.log")
        adapter = Adapter(self.command, self.broker.address, path, self.changed)
        self.adapters.append(adapter)
        return adapter

    def wait(self, condition, timeout, what):
        """Until condition() holds, which is asked after each line of any adapter; AssertionError(what()) if it never does."""
        end = time.monotonic() + seconds(timeout)
        with self.changed:
            while not self.changed.wait_for(condition, 1):
                assert self.broker.running(), "the broker is gone"
                assert time.monotonic() < end, f"not within {seconds(timeout):.0f} s: {what()}"

    def close(self):
        for adapter in self.adapters:
            adapter.kill()
