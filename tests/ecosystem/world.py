"""What the cases share: a broker that compacts soon, and the programs that stand on it."""
import os

from harness import *
from tools import jars, java, venv_python

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = "build/tests/ecosystem"
# Segments of a second and of a megabyte, cleaned as soon as they are closed: what takes days otherwise.
SOON = {"log.cleaner.backoff.ms": "300", "log.cleaner.min.cleanable.ratio": "0.01", "log.roll.ms": "1000",
        "log.segment.bytes": "1048576", "offsets.topic.num.partitions": "4"}


# Transactions of those that were killed are aborted soon.
EXACTLY = {**SOON, "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500", "group.min.session.timeout.ms": "1000"}


def client(*words):
    return run_ok([venv_python(), os.path.join(HERE, "client.py"), *map(str, words)], timeout=120)


def program(main, *arguments, more_classes=None):
    """The command line of a Java program on the ecosystem's jars."""
    folder = jars(pom=os.path.join(HERE, "pom.xml"), name="jars-ecosystem")
    command = java(main, *arguments, heap="512m", folder=folder)
    if more_classes:
        at = command.index("-cp") + 1
        command[at] = f"{more_classes}:{command[at]}"
    return command


def compacted(broker, topic, most=0.9):
    """Waits until a compaction took records of the topic."""
    said = []

    def fewer():
        said.append(client("gaps", broker.address, topic).decode().split())
        records, offsets = map(int, said[-1])
        return 0 < records < most * offsets

    assert wait_until(fewer, 60, 1), f"{topic} has {said[-1][0]} records of {said[-1][1]} offsets: it was not compacted"
