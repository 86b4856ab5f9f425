"""One row under test: what its steps share, and what came out of them."""
import struct

from driver import Crew, Unsupported, eventually
from harness import NotRun, say
from report import one_line, where
from wire import Connection, batch, create_topic, fetched, i32, i64, produced, string

DELETE_RECORDS = 21


class Trial:
    """The steps call `case`; `outcomes` maps each step to its list of (outcome, statement, why)."""

    def __init__(self, report, row, broker, folder):
        self.report = report
        self.row = row
        self.broker = broker
        self.crew = Crew(row.command(), broker, folder)
        self.outcomes = {}
        self.step = None
        self.topics = 0
        self.client = None
        self.main_adapter = None

    @property
    def main(self):
        """The adapter for all that needs no process of its own."""
        if self.main_adapter is None or self.main_adapter.ended:
            self.main_adapter = self.crew.start("main")
        return self.main_adapter

    def case(self, statement, function, *args):
        """States that the function returns. Answers whether it did, or None where the client has no such thing."""
        outcome, why = "ok", ""
        try:
            function(*args)
        except Unsupported as no:
            outcome, why = "unsupported", one_line(no)
        except AssertionError as no:
            outcome, why = "failed", one_line(no if str(no) else where())
        except NotRun:
            raise
        except Exception as no:
            outcome, why = "failed", one_line(f"{type(no).__name__}: {no} ({where()})")
        self.note(outcome, statement, why)
        return {"ok": True, "failed": False, "unsupported": None}[outcome]

    def note(self, outcome, statement, why=""):
        self.outcomes.setdefault(self.step, []).append((outcome, statement, why))
        if outcome == "ok":
            self.report.ok(f"{self.row.name}: {statement}")
        elif outcome == "failed":
            self.report.not_ok(f"{self.row.name}: {statement}", why)
        else:
            say(f"# {self.row.name}: {statement}: unsupported: {why}")

    def topic(self, partitions, configs=()):
        """A new topic, made without the client."""
        self.topics += 1
        name = f"{self.row.name}-{self.step}-{self.topics}"
        with self.connection() as connection:
            error = create_topic(connection, name, partitions, configs)
            assert error == 0, f"the topic {name} could not be created: error {error}"
            for partition in range(partitions):
                eventually(self.readable, connection, name, partition)
        return name

    @staticmethod
    def readable(connection, topic, partition):
        error = fetched(connection, topic, partition, 0, wait=0)[0]
        assert error == 0, f"a raw fetch of the new topic {topic}/{partition} says error {error}"

    def group(self, name):
        return f"{self.row.name}-{self.step}-{name}"

    def connection(self):
        return Connection(self.broker.port, self.broker.host)

    def fill(self, topic, partition, values, first=0, timestamp=1700000000000):
        """Writes values without the client, each in a batch of its own and one second apart."""
        with self.connection() as connection:
            for n, value in enumerate(values):
                error, offset = produced(connection, topic, partition, batch([value], timestamp=timestamp + 1000 * n))
                assert (error, offset) == (0, first + n), f"a raw produce says error {error}, offset {offset}"

    def delete_records(self, topic, partition, before):
        """Without the client; answers the low watermark."""
        body = i32(1) + string(topic) + i32(1) + i32(partition) + i64(before) + i32(30000)
        with self.connection() as connection:
            answer = connection.call(DELETE_RECORDS, 0, body)
        low, error = struct.unpack(">qh", answer[-10:])
        assert error == 0, f"a raw DeleteRecords says error {error}"
        return low

    def hello(self):
        said = self.main.call("hello", timeout=90)
        self.client = f"{said['client']} {said['version']}"
