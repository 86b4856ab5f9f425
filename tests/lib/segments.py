"""Reads the record batches in Kafka's segment files, headers only.

A batch (magic 2): base offset 8, length 4, leader epoch 4, magic 1, CRC-32C 4, attributes 2, last offset delta 4,
base timestamp 8, max timestamp 8, producer id 8, producer epoch 2, base sequence 4, record count 4; then records.
`length` counts what follows it, so a batch takes 12 + length bytes. Attribute bits 0-2 are the codec, bit 3 the
timestamp type. A base offset of 0 with length 0 is space made ahead: the log ends there.
"""
import collections
import glob
import os
import struct

HEADER = struct.Struct(">qiibIhiqqqhii")
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

Batch = collections.namedtuple("Batch", "file position size base_offset last_offset epoch magic crc attributes codec "
                                        "base_timestamp max_timestamp producer_id producer_epoch sequence count")


def logs(partition_dir):
    """The .log files of a partition folder, oldest first."""
    return sorted(glob.glob(os.path.join(glob.escape(partition_dir), "*.log")))


def parse(path, position, header):
    offset, length, epoch, magic, crc, attributes, delta, first, last, pid, pepoch, sequence, count = header
    codec = attributes & 7
    assert magic == 2, f"{path}@{position}: magic {magic}"
    assert codec < len(CODECS), f"{path}@{position}: codec {codec}"
    return Batch(path, position, length + 12, offset, offset + delta, epoch, magic, crc, attributes, CODECS[codec],
                 first, last, pid, pepoch, sequence, count)


def batches_of_file(path):
    """Every batch of one .log file; raises AssertionError at what is not a batch."""
    found = []
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        position = 0
        while position + HEADER.size <= size:
            file.seek(position)
            raw = file.read(HEADER.size)
            if len(raw) < HEADER.size:  # it was trimmed meanwhile, to its end
                break
            header = HEADER.unpack(raw)
            if header[1] == 0:
                break
            assert HEADER.size - 12 <= header[1] <= size - position - 12, f"{path}@{position}: length {header[1]}"
            found.append(parse(path, position, header))
            position += header[1] + 12
    return found


def batches(partition_dir):
    """Every batch of a partition folder, in order."""
    return [batch for path in logs(partition_dir) for batch in batches_of_file(path)]
