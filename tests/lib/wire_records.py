"""Record batches in every codec, made and taken apart by Python libraries: only in the Python of tools.venv_python()."""
import collections
import gzip
import struct

import crc32c
import lz4.frame
import snappy
import zstandard

from batches import Cursor
from segments import CODECS, HEADER
from wire import varint

XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
CONTROL, LOG_APPEND_TIME = 32, 8

Record = collections.namedtuple("Record", "offset key value timestamp headers")


def sized(raw):
    return varint(-1) if raw is None else varint(len(raw)) + raw


def pack(codec, raw):
    if codec == "gzip":
        return gzip.compress(raw, 6, mtime=0)
    if codec == "snappy":
        chunks = [bytes(snappy.compress(raw[at:at + 32768])) for at in range(0, len(raw), 32768)]
        return XERIAL + b"".join(struct.pack(">i", len(c)) + c for c in chunks)
    if codec == "lz4":
        return lz4.frame.compress(raw, block_size=lz4.frame.BLOCKSIZE_MAX64KB, block_linked=False)
    return zstandard.ZstdCompressor(3).compress(raw) if codec == "zstd" else raw


def unpack(codec, raw):
    if codec == "gzip":
        return gzip.decompress(raw)
    if codec == "snappy":
        out, at = [], len(XERIAL)
        while at < len(raw):
            size = struct.unpack_from(">i", raw, at)[0]
            out.append(bytes(snappy.decompress(raw[at + 4:at + 4 + size])))
            at += 4 + size
        return b"".join(out)
    if codec == "lz4":
        return lz4.frame.decompress(raw)
    return zstandard.ZstdDecompressor().decompressobj().decompress(raw) if codec == "zstd" else raw


def make(records, codec):
    """A batch of (key, value, timestamp, headers)."""
    base = records[0][2]
    bodies = []
    for i, (key, value, timestamp, headers) in enumerate(records):
        body = b"\0" + varint(timestamp - base) + varint(i) + sized(key) + sized(value) + varint(len(headers))
        body += b"".join(sized(k.encode()) + sized(v) for k, v in headers)
        bodies.append(varint(len(body)) + body)
    packed = pack(codec, b"".join(bodies))
    tail = struct.pack(">hiqqqhii", CODECS.index(codec), len(records) - 1, base, max(r[2] for r in records), -1, -1, -1, len(records)) + packed
    rest = struct.pack(">ibI", -1, 2, crc32c.crc32c(tail)) + tail
    return struct.pack(">qi", 0, len(rest)) + rest


def records_of(raw, batch):
    offset, _, _, _, _, attributes, _, base, largest, _, _, _, count = batch
    c = Cursor(unpack(CODECS[attributes & 7], raw))
    for _ in range(count):
        c.varint()
        c.at += 1
        timestamp, delta = c.varint(), c.varint()
        key, value = c.blob(), c.blob()
        headers = tuple((c.blob().decode(), c.blob()) for _ in range(c.varint()))
        yield Record(offset + delta, key, value, largest if attributes & LOG_APPEND_TIME else base + timestamp, headers)


def take(raw):
    """(records, the offset behind the last whole batch or None)."""
    at, found, following = 0, [], None
    while at + HEADER.size <= len(raw):
        batch = HEADER.unpack_from(raw, at)
        end = at + 12 + batch[1]
        if end > len(raw):
            break
        assert crc32c.crc32c(raw[at + 21:end]) == batch[4], f"the batch at {batch[0]} has a bad CRC"
        if not batch[5] & CONTROL:
            found.extend(records_of(raw[at + HEADER.size:end], batch))
        following, at = batch[0] + batch[6] + 1, end
    return found, following
