"""How a test group speaks: one line per statement.

`ok - S`, `not ok - S: why` and `not run: S: why` are printed as they happen; a group's exit code is 1 as soon as
one statement is `not ok`, and also when nothing at all was stated, so that an empty run never passes.
"""
import sys
import time
import traceback

SLOW_S = 5  # a statement that took longer says so


class NotRun(Exception):
    """A statement cannot be tested here; the message says why."""


class Report:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def ok(self, statement):
        self.passed += 1
        say(f"ok - {statement}")

    def not_ok(self, statement, why):
        self.failed += 1
        say(f"not ok - {statement}: {one_line(why)}")

    def not_run(self, statement, why):
        self.skipped += 1
        say(f"not run: {statement}: {one_line(why)}")

    def check(self, statement, holds, why=""):
        """States `statement`, true or false; answers which."""
        if holds:
            self.ok(statement)
        else:
            self.not_ok(statement, why)
        return bool(holds)

    def case(self, statement, function, *args):
        """Runs one case: it returns when the statement holds, raises when not.

        AssertionError and every other exception mean `not ok`; NotRun means `not run`.
        """
        began = time.monotonic()
        try:
            function(*args)
        except NotRun as why:
            self.not_run(statement, why)
        except AssertionError as why:
            self.not_ok(statement, f"{str(why) or where()} {notes(why)}")
        except Exception as why:
            self.not_ok(statement, f"{type(why).__name__}: {why} ({where()}) {notes(why)}")
        else:
            self.ok(statement)
        took = time.monotonic() - began
        if took > SLOW_S:
            say(f"    {took:.0f} s")

    def finish(self):
        """Ends the group: call it last."""
        nothing = self.passed + self.failed + self.skipped == 0
        if nothing:
            say("not ok - this group states something: it stated nothing")
        sys.exit(1 if self.failed or nothing else 0)


def one_line(text):
    return " | ".join(str(text).strip().splitlines())[:1000]


def where():
    """The line that raised, and the case's line that led to it."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    named = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames[1:]]
    return f"{' > '.join(named)}: {frames[-1].line}"


def notes(why):
    """What others knew of it: a broker says how it ended."""
    return " ".join(getattr(why, "__notes__", ()))


def say(line):
    """In one write: lines of several threads stay whole."""
    print(f"{line}\n", end="", flush=True)
