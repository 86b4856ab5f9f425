"""Reads what a broker's shards count, from the file that --stat-file names (its layout: core/stat.h)."""

import mmap
import os
import struct
import tempfile

import harness as h

STATS_BYTES, ENTRIES_AT, ENTRY_BYTES, BUCKETS = 64 * 1024, 24, 40, 8 + 61 * 8
MAGIC, COUNTER, HISTOGRAM = b"odradek stats 1\n", 0, 1
# On tmpfs where there is one: where its pages are written back, shards wait for that.
FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
PATH = os.path.join(FOLDER, f"odradek-bench-{os.getpid()}.stats")


def arguments():
    """What makes a broker write the file."""
    return ["--stat-file", PATH]


def remove():
    if os.path.exists(PATH):
        os.unlink(PATH)


def bucket_end(bucket):
    """No value in it is as large as this."""
    bucket += 1
    return bucket if bucket < 8 else (8 + bucket % 8) << (bucket // 8 - 1)


def read_block(block):
    """{name: value, or the counts of its buckets}"""
    if block[:16] != MAGIC:
        raise h.Wrong("the file of --stat-file is not what core/stat.h draws")
    _, count = struct.unpack_from("<II", block, 16)
    found = {}
    for i in range(count):
        name, kind, at = struct.unpack_from("<32sII", block, ENTRIES_AT + i * ENTRY_BYTES)
        words = struct.unpack_from("<Q" if kind == COUNTER else f"<{BUCKETS}Q", block, at)
        found[name.rstrip(b"\0").decode()] = words[0] if kind == COUNTER else words
    return found


def read():
    """What each shard has counted so far."""
    with open(PATH, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as whole:
        return [read_block(whole[at:at + STATS_BYTES]) for at in range(0, len(whole), STATS_BYTES)]


def read_nothing():
    """The same before anything was counted."""
    return [{name: (0,) * len(v) if isinstance(v, tuple) else 0 for name, v in shard.items()} for shard in read()]


def counted(before, after, name):
    """How much a counter grew, over all shards."""
    return sum(a[name] - b[name] for b, a in zip(before, after))


def largest(before, after, name):
    """The end of the last bucket that grew in any shard; 0: none did."""
    grew = [i for b, a in zip(before, after) for i in range(BUCKETS) if a[name][i] > b[name][i]]
    return bucket_end(max(grew)) if grew else 0
