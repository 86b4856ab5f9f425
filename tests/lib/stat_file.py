"""Reads what a broker's shards count, from the file that --stat-file names. Its layout: core/stat.h, and of a partition's row
storage/log/partition_rows.h. Reading stops nobody, and what is read of one row is of one moment."""

import collections
import contextlib
import mmap
import os
import struct
import tempfile
import time

STATS_BYTES, ENTRIES_AT, ENTRY_BYTES, BUCKETS = 64 * 1024, 24, 40, 8 + 61 * 8
MAGIC = b"odradek stats 1\n"
WORDS = {0: 1, 1: BUCKETS, 2: 5}  # of a counter, a histogram (and then their sum), a table
Table = collections.namedtuple("Table", "at row_bytes rows all moves")
ROW = struct.Struct("<Q16siIQQqqqQQQq24x256s")
Partition = collections.namedtuple("Partition", "shard topic_id partition flags bytes segments log_start high_watermark end "
                                                "risk_bytes risk_ms dirty_bytes cleaned_to topic")
RECOVERING, OFFLINE, COMPACTED, CLEANER_REFUSES = 1, 2, 4, 8  # flags
TRIES = 1000  # readings of what changes meanwhile
# On tmpfs where there is one: where its pages are written back, shards wait for that.
FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
PATH = os.path.join(FOLDER, f"odradek-{os.getpid()}.stats")


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


@contextlib.contextmanager
def mapped(path):
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as whole:
        if whole[:len(MAGIC)] != MAGIC:
            raise ValueError(f"{path} is not what core/stat.h draws")
        yield whole


def read_block(whole, at):
    """{name: value, or the counts of its buckets, or a Table}"""
    _, count = struct.unpack_from("<II", whole, at + len(MAGIC))
    found = {}
    for i in range(count):
        name, kind, where = struct.unpack_from("<32sII", whole, at + ENTRIES_AT + i * ENTRY_BYTES)
        words = struct.unpack_from(f"<{WORDS[kind]}Q", whole, at + where)
        found[name.rstrip(b"\0").decode()] = Table(*words) if kind == 2 else words if kind == 1 else words[0]
    return found


def read_blocks(whole):
    """One behind the other, a shard each."""
    found, at = [], 0
    while whole[at:at + len(MAGIC)] == MAGIC:
        found.append(read_block(whole, at))
        at += STATS_BYTES
    return found


def read(path=None):
    """What each shard has counted so far."""
    with mapped(path or PATH) as whole:
        return read_blocks(whole)


def read_nothing():
    """The same before anything was counted."""
    return [{name: (0,) * len(v) if isinstance(v, tuple) else 0 for name, v in shard.items()} for shard in read()]


def read_row(whole, at):
    """None: nobody wrote it yet, or whoever wrote it died."""
    for _ in range(TRIES):
        version = struct.unpack_from("<Q", whole, at)[0]
        row = whole[at:at + ROW.size]
        if version % 2 == 0 and struct.unpack_from("<Q", whole, at)[0] == version:
            return ROW.unpack(row)[1:] if any(row[8:24]) else None
    return None


def read_shard(whole, shard):
    """([Partition], how many partitions there are): a reading during which no row moved."""
    for _ in range(TRIES):
        table = read_block(whole, shard * STATS_BYTES)["partitions"]
        rows = [read_row(whole, table.at + i * table.row_bytes) for i in range(table.rows)]
        if table.moves % 2 == 0 and read_block(whole, shard * STATS_BYTES)["partitions"].moves == table.moves:
            return [Partition(shard, *row[:-1], row[-1].rstrip(b"\0").decode()) for row in rows if row], table.all
        time.sleep(0.001)
    raise ValueError("its rows do not stop moving")


def partitions(path=None):
    """([Partition] of all shards by topic and number, how many more there are without a row)."""
    with mapped(path or PATH) as whole:
        shards = [read_shard(whole, i) for i in range(len(read_blocks(whole)))]
    rows = [row for found, _ in shards for row in found]
    return sorted(rows, key=lambda r: (r.topic, r.partition)), sum(count for _, count in shards) - len(rows)


def counted(before, after, name):
    """How much a counter grew, over all shards."""
    return sum(a[name] - b[name] for b, a in zip(before, after))


def largest(before, after, name):
    """The end of the last bucket that grew in any shard; 0: none did."""
    grew = [i for b, a in zip(before, after) for i in range(BUCKETS) if a[name][i] > b[name][i]]
    return bucket_end(max(grew)) if grew else 0
