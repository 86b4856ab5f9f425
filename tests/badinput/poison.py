"""Requests of every API in every version, valid and then spoilt: cut short, with lengths that lie, with random changes.

    valid(seeded, "join_group", 9)      values for messages.frame, drawn where it makes a difference
    spoilt_lengths(api, version, values)   each length in the request in turn, with each lie
    mutated(seeded, frame)              the same frame with a few bytes changed, cut, doubled or taken out of its body
"""
import math
import struct

import messages
from messages import schema
from wire import *

MANY = 1 << 31
TEXTS = ("", "v", "victim", "victim-2", "victim-group", "consumer", "range", "1", "retention.ms", "ungr\u00fcn", "x" * 300)
NUMBERS = {"bool": (0, 1), "int8": (-128, -1, 0, 1, 2, 4, 127), "int16": (-32768, -1, 0, 1, 3, 32767),
           "int32": (-MANY, -1, 0, 1, 2, 3, 10, 1000, MANY - 1), "int64": (-(1 << 63), -2, -1, 0, 1, 100, (1 << 63) - 1),
           "uint16": (0, 1, 9092, 65535), "float64": (0.0, 1.0, -1.0, 1e300, math.inf, math.nan)}
# What must not be drawn: it would cost the machine its disk, or hide an answer.
FIXED = {"create_topics": {"validate_only": 1}, "create_partitions": {"validate_only": 1}, "alter_configs": {"validate_only": 1},
         "incremental_alter_configs": {"validate_only": 1}, "produce": {"acks": -1}, "fetch": {"max_wait_ms": 0},
         "join_group": {"session_timeout_ms": 300, "rebalance_timeout_ms": 300}}
SILENT = ("sync_group", "join_group", "fetch", "produce")  # may wait for others or for data, or are asked for no answer
IDS = [bytes(16)]  # of topics that are there; the user's
MEMBERS = []  # ids that the broker gave out last
MEMBERS_MAX = 6


def seen(member_id):
    MEMBERS.append(member_id)
    del MEMBERS[:-MEMBERS_MAX]


def text_of(seeded, type_):
    if type_.startswith("string"):
        return seeded.choice((*TEXTS, *MEMBERS))
    if type_ == "records":
        return batch([b"value"])
    return seeded.randbytes(seeded.choice((0, 1, 20, 300)))


def plain(seeded, type_):
    if type_ == "uuid":
        return seeded.choice((*IDS, seeded.randbytes(16)))
    if type_ in NUMBERS:
        return seeded.choice(NUMBERS[type_])
    return text_of(seeded, type_)


def drawn(seeded, f, version):
    """A value of a field. Where null is allowed it is one of the values."""
    if f.kind == "FIELD":
        return plain(seeded, f.type)
    if f.kind == "NEST":
        return struct_of(seeded, f.type, version)
    if f.null_since <= version and seeded.random() < 0.2:
        return None
    if f.kind == "TEXT":
        return text_of(seeded, f.type)
    if f.kind == "NULLABLE":
        return struct_of(seeded, f.type, version)
    one = plain if f.kind == "LIST" else lambda s, t: struct_of(s, t, version)
    return [one(seeded, f.type) for _ in range(seeded.choice((1, 1, 2, 5)))]


def struct_of(seeded, name, version):
    return {f.name: drawn(seeded, f, version) for f in schema()[1][name] if f.since <= version <= f.until}


def valid(seeded, api, version):
    values = struct_of(seeded, api + "_request", version)
    return {**values, **{k: v for k, v in FIXED.get(api, {}).items() if k in values}}


class Lie:
    """Takes the place of messages.put_length while a frame is made: the nth length says something else. The first is the client id's."""

    def __init__(self, nth, lie, version):
        self.nth, self.lie, self.version = nth, lie, version
        self.seen, self.told, self.null_is_allowed = 0, False, False
        self.field = None
        self.honest_length, self.honest_put = messages.put_length, messages.put

    def put(self, f, value, version, flexible):
        self.field = f
        return self.honest_put(f, value, version, flexible)

    def length(self, n, wide, flexible):
        f, self.field = self.field, None  # what follows a list's own length belongs to its elements
        self.seen += 1
        if self.seen - 1 != self.nth:
            return self.honest_length(n, wide, flexible)
        self.told = True
        self.null_is_allowed = f is not None and "null_since" in f and f.null_since <= self.version
        return LIES[self.lie](n, wide, flexible)

    def __enter__(self):
        messages.put_length, messages.put = self.length, self.put
        return self

    def __exit__(self, *_):
        messages.put_length, messages.put = self.honest_length, self.honest_put


def fixed(value):
    return lambda n, wide, flexible: uvarint(value + 1) if flexible else struct.pack(">i" if wide else ">H", value if wide else value & 0x7FFF)


LIES = {
    "null": lambda n, wide, flexible: b"\0" if flexible else struct.pack(">i" if wide else ">h", -1),
    "below null": lambda n, wide, flexible: b"\xff\xff\xff\xff\x0f" if flexible else struct.pack(">i" if wide else ">h", -2),
    "the lowest": lambda n, wide, flexible: b"\xff" * 9 + b"\x01" if flexible else struct.pack(">i" if wide else ">h", -MANY if wide else -32768),
    "the highest": fixed(MANY - 1),
    "ten million": fixed(10_000_000),
    "one more": lambda n, wide, flexible: fixed((n or 0) + 1)(n, wide, flexible),
    "no end": lambda n, wide, flexible: b"\xff" * 30 if flexible else struct.pack(">i" if wide else ">h", -1) * 8,
}


def spoilt_lengths(api, version, values):
    """(lie, whether null is allowed there, frame) of each length in the body."""
    nth = 1
    while True:
        for lie in LIES:
            with Lie(nth, lie, version) as liar:
                raw = messages.frame(api, version, **values)
            if not liar.told:
                return
            yield lie, liar.null_is_allowed, raw
        nth += 1


def mutated(seeded, raw):
    """Key, version and client id stay: what is spoilt is what the handler of this API reads."""
    start = 4 + 8 + 2 + struct.unpack(">h", raw[12:14])[0]
    head, body = raw[4:start], bytearray(raw[start:])
    for _ in range(seeded.randint(1, 4)):
        at = seeded.randrange(len(body)) if body else 0
        kind = seeded.randrange(7)
        if kind == 0:
            del body[at:]
        elif kind == 1:
            del body[at:at + seeded.randint(1, 8)]
        elif kind == 2:
            body[at:at] = body[at:at + seeded.randint(1, 64)]
        elif kind == 3:
            body[at:at + 4] = seeded.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\0\0\x10\0"))
        elif kind == 4:
            body[at:at] = seeded.randbytes(seeded.randint(1, 16))
        elif body:
            body[at] = seeded.randrange(256)
    return i32(len(head) + len(body)) + head + bytes(body)
