"""Records as the broker stores them, read with a raw Fetch and taken apart here: the second opinion to what a client reads.

Compressed batches are opened with the C libraries that the broker links too, through ctypes; gzip is Python's own.
"""
import collections
import ctypes
import gzip
import struct

from segments import CODECS, HEADER
from wire import Connection, fetched

OPENED_BYTES = 4 << 20
XERIAL = b"\x82SNAPPY\0"

Record = collections.namedtuple("Record", "offset key value headers timestamp")
Batch = collections.namedtuple("Batch", "base_offset last_offset codec producer_id producer_epoch sequence count records "
                                        "attributes")


def open_zstd(raw):
    lib = ctypes.CDLL("libzstd.so.1")
    lib.ZSTD_decompress.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(OPENED_BYTES)
    size = lib.ZSTD_decompress(out, ctypes.c_size_t(OPENED_BYTES), raw, ctypes.c_size_t(len(raw)))
    assert size <= OPENED_BYTES, "a zstd batch does not open"
    return out.raw[:size]


def open_lz4(raw):
    lib = ctypes.CDLL("liblz4.so.1")
    lib.LZ4F_decompress.restype = ctypes.c_size_t
    context = ctypes.c_void_p()
    lib.LZ4F_createDecompressionContext(ctypes.byref(context), ctypes.c_uint(100))
    out, at, taken = ctypes.create_string_buffer(OPENED_BYTES), 0, 0
    while taken < len(raw):
        produced, used = ctypes.c_size_t(OPENED_BYTES - at), ctypes.c_size_t(len(raw) - taken)
        hint = lib.LZ4F_decompress(context, ctypes.byref(out, at), ctypes.byref(produced), raw[taken:],
                                   ctypes.byref(used), None)
        assert hint < 1 << 40 and used.value + produced.value > 0, "an lz4 batch does not open"
        at, taken = at + produced.value, taken + used.value
    lib.LZ4F_freeDecompressionContext(context)
    return out.raw[:at]


def open_snappy_block(raw):
    lib = ctypes.CDLL("libsnappy.so.1")
    out, size = ctypes.create_string_buffer(OPENED_BYTES), ctypes.c_size_t(OPENED_BYTES)
    assert lib.snappy_uncompress(raw, ctypes.c_size_t(len(raw)), out, ctypes.byref(size)) == 0, \
        "a snappy batch does not open"
    return out.raw[:size.value]


def open_snappy(raw):
    """Either one bare block, or xerial's stream: a header of 16 bytes, then blocks with their lengths."""
    if not raw.startswith(XERIAL):
        return open_snappy_block(raw)
    out, at = b"", 16
    while at < len(raw):
        size = struct.unpack_from(">i", raw, at)[0]
        out += open_snappy_block(raw[at + 4:at + 4 + size])
        at += 4 + size
    return out


OPEN = {"none": bytes, "gzip": gzip.decompress, "snappy": open_snappy, "lz4": open_lz4, "zstd": open_zstd}


class Cursor:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def varint(self):
        shift = n = 0
        while True:
            byte = self.raw[self.at]
            self.at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n >> 1 ^ -(n & 1)

    def blob(self):
        size = self.varint()
        if size < 0:
            return None
        self.at += size
        return self.raw[self.at - size:self.at]


def record_at(cursor, base_offset, base_timestamp):
    size = cursor.varint()
    end = cursor.at + size
    cursor.at += 1
    timestamp, offset = base_timestamp + cursor.varint(), base_offset + cursor.varint()
    key, value = cursor.blob(), cursor.blob()
    headers = [[cursor.blob().decode(), cursor.blob()] for _ in range(cursor.varint())]
    assert cursor.at == end, f"the record at {offset} ends elsewhere than it says"
    return Record(offset, key, value, headers, timestamp)


def batch_at(raw, at):
    """(the batch that starts at `at`, where the next one does)."""
    base, length, _, magic, _, attributes, delta, first, _, pid, epoch, sequence, count = HEADER.unpack_from(raw, at)
    assert magic == 2, f"a batch of magic {magic}"
    codec = CODECS[attributes & 7]
    cursor = Cursor(OPEN[codec](raw[at + HEADER.size:at + 12 + length]))
    records = [record_at(cursor, base, first) for _ in range(count)]
    return Batch(base, base + delta, codec, pid, epoch, sequence, count, records, attributes), at + 12 + length


def batches_in(raw):
    """Every whole batch of a fetched record set."""
    found, at = [], 0
    while at + 12 <= len(raw):
        length = struct.unpack_from(">i", raw, at + 8)[0]
        if at + 12 + length > len(raw):
            break
        batch, at = batch_at(raw, at)
        found.append(batch)
    return found


def batches_of(broker, topic, partition, offset=0):
    """All batches of a partition from `offset` to its end."""
    found = []
    with Connection(broker.port, broker.host) as connection:
        while True:
            error, end, raw = fetched(connection, topic, partition, offset, max_bytes=4 << 20)
            assert error == 0, f"a raw fetch of {topic}/{partition} at {offset} says error {error}"
            if offset >= end:
                return found
            more = batches_in(raw)
            assert more, f"a raw fetch of {topic}/{partition} at {offset} gives nothing, the end is {end}"
            found += more
            offset = more[-1].last_offset + 1
