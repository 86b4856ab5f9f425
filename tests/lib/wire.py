"""A raw Kafka connection for tests that must send what no client sends. Old, non-flexible versions: plain structs.

    c = Connection(port)
    body = c.call(METADATA, 1, i32(1) + string("topic"))   # the response body behind the correlation id
    c.send(frame(...)); c.closed()
"""
import ctypes
import socket
import struct

from process import wait_until
from report import NotRun

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS = 0, 1, 2, 3, 18, 19, 20
LATEST, EARLIEST = -1, -2  # in place of a time in ListOffsets


def i8(v):
    return struct.pack(">b", v)


def i16(v):
    return struct.pack(">h", v)


def i32(v):
    return struct.pack(">i", v)


def i64(v):
    return struct.pack(">q", v)


def string(text):
    raw = text.encode() if isinstance(text, str) else text
    return i16(len(raw)) + raw


def blob(raw):
    return i32(-1) if raw is None else i32(len(raw)) + raw


def uvarint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def varint(n):
    return uvarint((n << 1) ^ (n >> 63))


def request(key, version, body, correlation=7, client="test"):
    """A frame with header v1."""
    raw = i16(key) + i16(version) + i32(correlation) + string(client) + body
    return i32(len(raw)) + raw


CRC_TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    CRC_TABLE.append(n)


SHORT = 4096  # of these the CRC is our own
try:
    QUICK = ctypes.CDLL("libisal.so.2").crc32_iscsi  # the broker's library; a megabyte takes 0.1 s otherwise
    QUICK.restype, QUICK.argtypes = ctypes.c_uint32, (ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32)
except OSError:
    QUICK = None


def crc32c(raw):
    if QUICK and len(raw) > SHORT:
        return QUICK(bytes(raw), len(raw), 0xFFFFFFFF) ^ 0xFFFFFFFF
    crc = 0xFFFFFFFF
    for byte in raw:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def record(value, key=None, delta=0):
    body = i8(0) + varint(0) + varint(delta)
    body += varint(-1) if key is None else varint(len(key)) + key
    body += varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(values, base_offset=0, magic=2, attributes=0, count=None, last_delta=None, crc=None, timestamp=1700000000000,
          producer=(-1, -1, -1), records=None, length=None):
    """A record batch v2; every field can be made wrong."""
    n = len(values)
    records = b"".join(record(v, delta=i) for i, v in enumerate(values)) if records is None else records
    tail = i16(attributes) + i32(n - 1 if last_delta is None else last_delta) + i64(timestamp) + i64(timestamp)
    tail += i64(producer[0]) + i16(producer[1]) + i32(producer[2]) + i32(n if count is None else count) + records
    crc = crc32c(tail) if crc is None else crc
    rest = i32(-1) + i8(magic) + struct.pack(">I", crc) + tail
    return i64(base_offset) + i32(len(rest) if length is None else length) + rest


def produce(topic, partition, records, acks=-1):
    """The body of Produce v3 to v8."""
    return i16(-1) + i16(acks) + i32(30000) + i32(1) + string(topic) + i32(1) + i32(partition) + blob(records)


def fetch(topic, partition, offset, max_bytes=1 << 20, wait=100, min_bytes=1):
    """The body of Fetch v4."""
    return (i32(-1) + i32(wait) + i32(min_bytes) + i32(max_bytes) + i8(0) + i32(1) + string(topic) + i32(1) + i32(partition)
            + i64(offset) + i32(max_bytes))


class Connection:
    def __init__(self, port, host="127.0.0.1", timeout=20):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, raw):
        self.socket.sendall(raw)

    def read(self, n):
        out = bytearray()
        while len(out) < n:
            piece = self.socket.recv(n - len(out))
            if not piece:
                raise EOFError(f"closed after {len(out)} of {n} bytes")
            out += piece
        return bytes(out)

    def reply(self):
        """(correlation id, what follows it)."""
        raw = self.read(struct.unpack(">i", self.read(4))[0])
        return struct.unpack(">i", raw[:4])[0], raw[4:]

    def call(self, key, version, body):
        self.send(request(key, version, body))
        correlation, answer = self.reply()
        assert correlation == 7, f"correlation id {correlation} instead of 7"
        return answer

    def closed(self, timeout=20):
        """Waits for the other side to close without a byte; answers whether it did."""
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            return True

    def name(self):
        host, port = self.socket.getsockname()[:2]
        return f"{host}:{port}"

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def need_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError as why:
        raise NotRun(f"there is no IPv6: {why}") from None


def create_topic(connection, name, partitions=1, configs=()):
    """CreateTopics v2; answers the error code."""
    body = i32(1) + string(name) + i32(partitions) + i16(1) + i32(0) + i32(len(configs))
    for key, value in configs:
        body += string(key) + string(value)
    answer = connection.call(CREATE_TOPICS, 2, body + i32(30000) + i8(0))
    at = 8 + 2 + len(name.encode())
    return struct.unpack(">h", answer[at:at + 2])[0]


def produce_answer(answer, topic):
    """(error code, base offset) of the one partition in it."""
    return struct.unpack_from(">hq", answer, 4 + 2 + len(topic.encode()) + 4 + 4)


def produced(connection, topic, partition, records, version=7, acks=-1):
    """(error code, base offset) of a Produce."""
    return produce_answer(connection.call(PRODUCE, version, produce(topic, partition, records, acks)), topic)


def fetched(connection, topic, partition, offset, **options):
    """(error code, high watermark, records) of a Fetch v4."""
    answer = connection.call(FETCH, 4, fetch(topic, partition, offset, **options))
    at = 4 + 4 + 2 + len(topic.encode()) + 4 + 4
    error, high_watermark, _, aborted = struct.unpack(">hqqi", answer[at:at + 22])
    assert aborted <= 0, f"{aborted} aborted transactions"
    size = struct.unpack(">i", answer[at + 22:at + 26])[0]
    return error, high_watermark, answer[at + 26:at + 26 + max(size, 0)]


def split_batches(records):
    """(base offset, bytes) of each whole batch; of what a Fetch brought the last may be cut off."""
    at = 0
    while at + 61 <= len(records):
        base, length = struct.unpack_from(">qi", records, at)
        if at + 12 + length > len(records):
            return
        yield base, records[at:at + 12 + length]
        at += 12 + length


def read_batches(connection, topic, offset, end):
    """The batches of partition 0 from `offset` to `end`, as split_batches gives them."""
    while offset < end:
        error, _, records = fetched(connection, topic, 0, offset)
        assert error == 0, f"{topic}: fetch at {offset} got error {error}"
        brought = list(split_batches(records))
        assert brought, f"{topic}: nothing came at offset {offset}"
        for base, raw in brought:
            if offset >= end:
                return
            yield base, raw
            offset = base + struct.unpack_from(">i", raw, 23)[0] + 1


def list_offset(connection, topic, partition, timestamp):
    """(error code, offset) of a ListOffsets v1."""
    asked = i32(1) + string(topic) + i32(1) + i32(partition)
    answer = connection.call(LIST_OFFSETS, 1, i32(-1) + asked + i64(timestamp))
    assert answer.startswith(asked), f"ListOffsets of {topic}-{partition} is answered for something else"
    error, _, offset = struct.unpack_from(">hqq", answer, len(asked))
    return error, offset


def await_recovered(connection, topic, partitions, timeout=20):
    """A partition is recovered when it is first used: from here on what it shows is durable, and its disk is not read for that any more."""
    for partition in range(partitions):
        known = lambda: list_offset(connection, topic, partition, LATEST)[0] == 0
        assert wait_until(known, timeout), f"{topic}-{partition} is not recovered after {timeout} s"
