"""What the cases share: a filled Kafka (made once, then copied by hard links or byte for byte), and `odradek adopt`."""
import functools
import hashlib
import os
import shutil
import subprocess

from apache import ApacheKafka
from harness import *
from tools import venv_python

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = "build/tests/adopt"
CLIENT_SECONDS = 240
POM_VERSION = "4.3.1"  # of tests/clients/pom.xml


def client(*words):
    run_ok([venv_python(), os.path.join(HERE, "client.py"), *words], timeout=CLIENT_SECONDS)


def read_all(address, path, may_be_empty=False, level="read_uncommitted"):
    client("read", address, path, level)
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    assert lines or may_be_empty, "nothing was read"
    return lines


def digests(folder):
    """Path below the folder: digest of the bytes."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = hashlib.file_digest(file, "sha256").hexdigest()
    assert found, f"{folder} is empty"
    return found


OLD_RECORDS = {"log.retention.ms": "-1"}  # the records of the tests are from 2023
KAFKA = {**OLD_RECORDS, "log.cleaner.backoff.ms": "200", "offsets.topic.num.partitions": "4",
         "transaction.state.log.num.partitions": "2"}


def holes(lines):
    """Did compaction take something?"""
    offsets = [line for line in lines if line.startswith('["compacted", 0, ') and '"from"' not in line]
    return len(offsets) < 590


@functools.cache
def filled(version):
    """A stopped Kafka's data folder with everything in it, and what was read from it."""
    kafka = ApacheKafka(f"{WORK}/kafka-{version}", KAFKA, version=None if version == POM_VERSION else version)
    with kafka:
        client("fill", kafka.address)
        lines = []
        assert wait_until(lambda: holes(lines := read_all(kafka.address, f"{WORK}/kafka-{version}.records")), 60, 1), \
            "Kafka compacted nothing"
        lines = read_all(kafka.address, f"{WORK}/kafka-{version}.records")
        kafka.stop(60)
    return kafka.data, lines


def copy_of(data, name):
    target = f"{WORK}/{name}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(data, target)
    return target


def adopt(source, data, *more, code=0):
    """What it says."""
    done = subprocess.run([binary(), "adopt", "--from", source, "--data", data, *more], capture_output=True, text=True,
                          timeout=seconds(300), check=False)
    assert done.returncode == code, f"adopt ended with {done.returncode}: {done.stdout[-600:]} {done.stderr[-600:]}"
    return done.stdout + done.stderr


def same(there, here):
    """Raises unless both readings are the same; `here` may say nothing about Kafka's own topics."""
    assert there, "nothing was read there"
    missing, more = sorted(set(there) - set(here))[:3], sorted(set(here) - set(there))[:3]
    assert there == here, f"{len(there)} lines there, {len(here)} here; only there {missing}, only here {more}"
