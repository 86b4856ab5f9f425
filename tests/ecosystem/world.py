"""What the cases share: a broker that compacts soon, and the programs that stand on it.

A tool brings a list of what it needs from the registries: NAME.pom.xml (Maven), NAME_requirements.txt (PyPI). They are fetched once, into
build/tests/jars-NAME and build/tests/python-NAME; `pom.xml` is Kafka's own Connect, Streams and MirrorMaker 2.
"""
import json
import os
import shutil
import signal
import sys

from harness import *
from tools import installed, jars, java, must, venv_python

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = "build/tests/ecosystem"
# Segments of a second and of a megabyte, cleaned as soon as they are closed: what takes days otherwise.
SOON = {"log.cleaner.backoff.ms": "300", "log.cleaner.min.cleanable.ratio": "0.01", "log.roll.ms": "1000",
        "log.segment.bytes": "1048576", "offsets.topic.num.partitions": "4"}


# Transactions of those that were killed are aborted soon.
EXACTLY = {**SOON, "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500", "group.min.session.timeout.ms": "1000"}


def client(*words):
    return run_ok([venv_python(), os.path.join(HERE, "client.py"), *map(str, words)], timeout=120)


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def asked(*words):
    """What client.py writes to a file: the words, with the file's path as the last."""
    path = f"{WORK}/{words[0]}-{words[2]}.json" if len(words) > 2 else f"{WORK}/{words[0]}.json"
    client(*words, path)
    return read_json(path)


def pom_jars(name="ecosystem"):
    """The folder with the jars of a pom of this folder."""
    return jars(pom=os.path.join(HERE, "pom.xml" if name == "ecosystem" else f"{name}.pom.xml"), name=f"jars-{name}")


def program(main, *arguments, classes=None, pom="ecosystem", heap="512m", options=()):
    """The command line of a Java program on the jars of a pom; `classes`: a folder of our own in front of them."""
    command = java(main, *map(str, arguments), heap=heap, folder=pom_jars(pom))
    at = command.index("-cp")
    if classes:
        command[at + 1] = f"{classes}:{command[at + 1]}"
    return [*command[:at], *options, *command[at:]]


def compiled(source, pom="ecosystem"):
    """The folder with the classes of a Java program of this folder."""
    classes = fresh_dir(f"{WORK}/classes-{source.removesuffix('.java')}")
    run_ok([need("javac"), "-d", classes, "-cp", f"{pom_jars(pom)}/*", "-sourcepath", HERE, os.path.join(HERE, source)], timeout=120)
    return classes


def python_of(name):
    """The interpreter of an environment with the packages of NAME_requirements.txt."""
    requirements = os.path.join(HERE, f"{name}_requirements.txt")

    def make(folder):
        must([sys.executable, "-m", "venv", folder], 120)
        must([os.path.join(folder, "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements], 900)
    return os.path.join(installed(f"python-{name}", requirements, make), "bin/python")


class Running:
    """A program that was started, with what it starts itself; what it says goes to a file, over several starts."""

    def __init__(self, command, log_path, **options):
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.from_byte = log.tell()
            self.process = spawn(command, stdin=-3, stdout=log, stderr=log, start_new_session=True, **options)

    def said(self):
        """What it said since this start."""
        with open(self.log_path, "rb") as file:
            file.seek(self.from_byte)
            return file.read().decode(errors="replace")

    def ended(self):
        return self.process.poll() is not None

    def kill(self):
        self.end(signal.SIGKILL)

    def stop(self):
        self.end(signal.SIGTERM)

    def end(self, how):
        if not self.ended():
            os.killpg(self.process.pid, how)
        self.process.wait(seconds(60))


def empty(path):
    """No folder there; one that a program makes for itself."""
    shutil.rmtree(path, ignore_errors=True)
    return os.path.abspath(path)


def comes(fault, timeout):
    """Waits until there is no fault; the last one is why there still is."""
    last = []

    def gone():
        last[:] = [fault()]
        return not last[0]
    assert wait_until(gone, timeout, 1), last[0]


def compacted(broker, topic, most=0.9):
    """Waits until a compaction took records of the topic."""
    said = []

    def fewer():
        said.append(client("gaps", broker.address, topic).decode().split())
        records, offsets = map(int, said[-1])
        return 0 < records < most * offsets

    assert wait_until(fewer, 60, 1), f"{topic} has {said[-1][0]} records of {said[-1][1]} offsets: it was not compacted"
