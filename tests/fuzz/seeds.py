"""First inputs, made from what our own tests send and write: for a corpus that begins anew (tests/fuzz/run --seeds, then a long run,
then --merge)."""
import gzip
import os
import random
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../lib", "../compare_answers"):
    sys.path.insert(0, os.path.join(HERE, folder))

from generate import Maker, Symbol, batches
from messages import frame, schema, versions
from wire import batch, record

TXN_VALUES = (  # of tests/unit/test_txn_records.c: as Kafka writes them
    "000100000000000003e800010000ea600102076f72646572730200000003000000018bcfe568020000018bcfe568010200080000000000000"
    "3e802020002",
    "000100000000000003e87fff0000ea600202076f72646572730200000003000000018bcfe568030000018bcfe568010300080000000000000"
    "3e8010800000000000007d002020002",
    "000100000000000007d000000000ea6004010000018bcfe568040000018bcfe5680102000800000000000003e802020002",
)
REQUEST = 255  # behind the last message of wire.c
FILES = ("# a comment\nlisteners=PLAINTEXT://localhost:9092,INSIDE://:0\nlog.dirs=/d\nnode.id=1\n"
         "advertised.listeners=PLAINTEXT://h:1\nlistener.security.protocol.map=INSIDE:PLAINTEXT,PLAINTEXT:PLAINTEXT\n",
         "num.partitions : 3\nlog.retention.hours 1\nwrite.caching=tr\\\n  ue\ndisk.io=direct\n\\u0061=1\n",
         "broker.id=7\nlog.segment.bytes=1048576\nmax.connections=5\nlog.cleanup.policy=compact, delete\n")
ARGUMENTS = ("serve\0--cores=2\0--memory\x0064M\0log.dirs=x", "--cpu-list=0,2-3\0--io-engine=epoll\0--log-level=debug\0--log-json",
             "check\0--data\0d", "--help", "--cores=auto\0listeners=PLAINTEXT://:9092\0num.partitions=2", "-h\0--version")


def plain(value):
    """Ids of topics are some bytes."""
    if isinstance(value, Symbol):
        return b"\1" * 16
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def wire_inputs():
    for api in schema()[0]:
        for version in versions(api):
            made = plain(Maker(f"{api} {version}").request(api, version))
            yield bytes([REQUEST, 0]) + frame(api, version, **made)[4:]


def batch_inputs():
    r = random.Random(1)
    for _ in range(60):
        made = batches(r)
        if made is not None:
            yield bytes([11, r.choice((0, 0, 16, 8, 2))]) + made
    for value in (b"", b"a" * 300, bytes(r.randrange(256) for _ in range(200))):
        records = record(value, key=b"k")
        yield bytes([0]) + gzip.compress(records)
        yield bytes([11, 0]) + batch([value], attributes=1, records=gzip.compress(records), count=1)
        for codec in range(4, 8):
            yield bytes([codec, 0, 9]) + value
        yield bytes([9]) + records
    yield bytes([8, 14]) + b"\0\1\0\1g\0\1t\0\0\0\1" + b"\0" + b"\0\3" + bytes(12) + b"\0\1m" + bytes(8)
    yield bytes([8, 6]) + b"\0\2\0\1g" + b"\0" + b"\0\3\0\10consumer" + bytes(4) + b"\0\1r\0\1m" + bytes(8) + bytes(4)


    for value in TXN_VALUES:
        yield bytes([240, 0, 3]) + b"txn" + bytes.fromhex(value)
        yield bytes([240, 8, 3]) + b"txn" + bytes.fromhex(value)
    yield bytes([240, 4, 3]) + b"txn"


def state_inputs():
    yield bytes([2]) + b"0\n2\n0 0\n3 40\n"
    yield bytes([0]) + bytes(4)
    yield bytes([1]) + b"\0\2" + bytes(8)
    yield bytes([3]) + (200).to_bytes(4, "big") + bytes(196)
    yield bytes([3]) + (76).to_bytes(4, "big") + bytes(72)
    yield bytes([4, 16, 1, 0, 0]) + b"\0\0\0\5\0\0\0\x10\0\0\0\x09\0\0\0\x40" + bytes(7) + b"\1\0\0\0\5"
    yield bytes([5, 0, 0, 0]) + b"odradek catalog 2\n" * 2
    yield bytes([6]) + b"00000000000000000042.log"
    aborted = [struct.pack(">hqqqq", 0, 7, first, first + 3, first + 4) for first in (0, 10, 30)]
    for count in range(4):
        yield bytes([240]) + struct.pack(">HHH", 5, 30, 20) + b"".join(aborted[:count])


def config_inputs():
    for text in FILES:
        yield bytes([0]) + text.encode()
    for text in ARGUMENTS:
        yield bytes([1]) + text.encode()
    for key in range(60):
        yield bytes([2, 0, key, 1]) + b"1"
        yield bytes([4, 1, 0, key * 4]) + b"1000"
    for text in ("PLAINTEXT://localhost:9092", "A://[::1]:0,B://:1", "INSIDE:PLAINTEXT"):
        yield bytes([3]) + text.encode()


def folder_inputs():
    r = random.Random(2)
    for i in range(200):
        yield bytes([i % 8]) + bytes(r.randrange(256) for _ in range(r.choice((5, 8, 20))))
    yield bytes([240]) + b"0\n1\ntopic 3 42\n"
    for start in (0, 1):
        for later in (0, 1):
            yield bytes([241, later, start]) + struct.pack(">BBHB", 0, 3, 100, 20) + struct.pack(">BBHB", 0, 4, 200, 50)
    yield bytes([241, 0, 0]) + struct.pack(">BBHB", 8, 3, 100, 20) + bytes(4) + b"\0\4\0"
    yield bytes([241, 0, 0]) + struct.pack(">BBHB", 1, 3, 100, 20) + bytes(20)


def sequence_inputs():
    r = random.Random(3)
    for i in range(100):
        yield bytes(r.randrange(256) for _ in range(r.choice((30, 100, 400))))


INPUTS = {"wire": wire_inputs, "batches": batch_inputs, "state": state_inputs, "config": config_inputs, "folder": folder_inputs,
          "sequence": sequence_inputs}
