"""The group's records in __consumer_offsets: who was assigned what in which generation."""
import struct

from wire import Connection, fetched

TOPIC = "__consumer_offsets"
HEADER_BYTES, COUNT_AT, LENGTH_AT, CODEC_AT = 61, 57, 8, 22
GROUP_KEY = 2


class Cursor:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, form):
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values[0]

    def piece(self, size):
        self.at += max(size, 0)
        return None if size < 0 else self.raw[self.at - size:self.at]

    def text(self):
        raw = self.piece(self.take(">h"))
        return None if raw is None else raw.decode()

    def bytes(self):
        return self.piece(self.take(">i"))

    def varint(self):
        shift = value = 0
        while True:
            byte = self.take("B")
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value >> 1 ^ -(value & 1)
            shift += 7


def batches(raw):
    """(records, count) of each whole uncompressed batch."""
    at = 0
    while at + HEADER_BYTES <= len(raw):
        size = 12 + struct.unpack_from(">i", raw, at + LENGTH_AT)[0]
        if at + size > len(raw):
            return
        assert raw[at + CODEC_AT] & 7 == 0, "a batch of __consumer_offsets is compressed"
        yield Cursor(raw[at + HEADER_BYTES:at + size]), struct.unpack_from(">i", raw, at + COUNT_AT)[0]
        at += size


def keys_and_values(raw):
    for cursor, count in batches(raw):
        for _ in range(count):
            end = cursor.varint() + cursor.at
            cursor.take("b")
            cursor.varint()
            cursor.varint()
            key = cursor.piece(cursor.varint())
            value = cursor.piece(cursor.varint())
            cursor.at = end
            yield key, value


def partitions_of(assignment):
    """Of a ConsumerProtocolAssignment: {(topic, partition)}; an empty one assigns nothing."""
    if not assignment:
        return set()
    cursor, found = Cursor(assignment), set()
    cursor.take(">h")
    for _ in range(cursor.take(">i")):
        topic = cursor.text()
        found |= {(topic, cursor.take(">i")) for _ in range(cursor.take(">i"))}
    return found


def generation_of(value):
    """(generation, {member: assigned partitions}) of a GroupMetadataValue, versions 0 to 3."""
    cursor = Cursor(value)
    version = cursor.take(">h")
    assert version <= 3, f"a group's record has version {version}"
    cursor.text()
    generation = cursor.take(">i")
    cursor.text()
    cursor.text()
    if version >= 2:
        cursor.take(">q")
    members = {}
    for _ in range(cursor.take(">i")):
        name = cursor.text()
        if version >= 3:
            cursor.text()
        cursor.text()
        cursor.text()
        if version >= 1:
            cursor.take(">i")
        cursor.take(">i")
        cursor.bytes()
        members[name] = partitions_of(cursor.bytes())
    return generation, members


def generations(broker, group, log_partitions):
    """All that the log still tells of the group, oldest first."""
    found = []
    with Connection(broker.port, broker.host) as connection:
        for partition in range(log_partitions):
            offset = start_of(connection, partition)
            while True:
                error, end, raw = fetched(connection, TOPIC, partition, offset)
                assert error == 0, f"a raw fetch of {TOPIC}-{partition} at {offset} says error {error}"
                for key, value in keys_and_values(raw):
                    cursor = Cursor(key)
                    if cursor.take(">h") == GROUP_KEY and cursor.text() == group and value is not None:
                        found.append(generation_of(value))
                offset = next_offset(raw, offset)
                if offset >= end or not raw:
                    break
    return found


def start_of(connection, partition):
    from feed import LIST_OFFSETS
    from wire import i32, i64, i8, string
    answer = connection.call(LIST_OFFSETS, 2, i32(-1) + i8(0) + i32(1) + string(TOPIC) + i32(1) + i32(partition) + i64(-2))
    return struct.unpack(">q", answer[-8:])[0]


def next_offset(raw, offset):
    """Behind the last whole batch."""
    at = 0
    while at + HEADER_BYTES <= len(raw):
        base, size, last = struct.unpack_from(">qi", raw, at) + struct.unpack_from(">i", raw, at + 23)
        if at + 12 + size > len(raw):
            break
        offset = base + last + 1
        at += 12 + size
    return offset
