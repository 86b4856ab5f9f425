"""Cases: what went wrong in other brokers, one for each class that can concern this one. tests/README.md has the table."""
import time
import zlib

from messages import frame, take
from wire import *

SASL_HANDSHAKE, SASL_AUTHENTICATE, GET_TELEMETRY, PUSH_TELEMETRY = 17, 36, 71, 72
GROWTH_MAX_MB = 160

GZIP, ZSTD = 1, 4


def bounded(world, before, most=GROWTH_MAX_MB):
    world.undisturbed()
    grown = world.resident_mb() - before
    assert grown < most, f"{grown:.0f} MB more are resident"


def closed_after(world, raw):
    with Connection(world.port) as c:
        name = c.name()
        try:
            c.send(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert c.closed(), "the connection was not closed"
        return name


def a_frame_of_no_bytes_is_refused(world):
    """Sizes that no request has: 0, less than a header, below zero, more than socket.request.max.bytes."""
    for size in (0, 1, 7, -1, -2147483648, 0x7FFFFFFF):
        name = closed_after(world, i32(size) + b"\0" * max(0, min(size, 64)))
        world.logged(name)
    world.undisturbed()


def two_gigabytes_announced_before_anything_else_take_no_memory(world):
    """CVE-2022-34917: a size prefix that is believed before anybody is known. On 200 connections at once."""
    before = world.resident_mb()
    for _ in range(200):
        closed_after(world, i32(0x7FFFFFFF) + b"x" * 1000)
    bounded(world, before, 40)


def telemetry_and_sasl_are_not_served(world):
    """CVE-2026-111073 is in PushTelemetry, CVE-2022-34917 in SASL: a request of an API that is not advertised ends the connection unread."""
    before = world.resident_mb()
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    for key, version in ((GET_TELEMETRY, 0), (PUSH_TELEMETRY, 0), (SASL_HANDSHAKE, 1), (SASL_AUTHENTICATE, 2)):
        world.logged(closed_after(world, request(key, version, b"\0" * 20 + bomb)), str(key))
    bounded(world, before, 40)


def a_client_that_says_it_is_a_replica_sees_and_moves_nothing(world):
    """CVE-2018-1288: a replica id in Fetch and ListOffsets. Neither the watermark nor what is visible may follow it."""
    with Connection(world.port) as c:
        error, offset = produced(c, "good", 1, batch([b"replica"]))
        assert error == 0
        end = list_offset(c, "good", 1, LATEST)[1]
        assert end == offset + 1
        for version in (4, 11, 12):
            for replica in (0, 1, 7, 0x7FFFFFFF, -2):
                fields = {"replica_id": replica, "max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 20, "session_epoch": -1, "topics": [
                    {"topic": "good", "partitions": [{"partition": 1, "fetch_offset": end + 1000, "partition_max_bytes": 1 << 20, "log_start_offset": end}]}]}
                c.send(frame("fetch", version, **fields))
                p = take(c, "fetch", version).responses[0].partitions[0]
                assert p.error_code != 0 or not p.records, f"version {version} as replica {replica}: records beyond the end"
                assert p.high_watermark <= end, f"version {version} as replica {replica}: a watermark of {p.high_watermark}"
                assert list_offset(c, "good", 1, LATEST)[1] == end, "the watermark moved"
                assert list_offset(c, "good", 1, EARLIEST)[1] == 0, "the log start moved"


def zstd_frame(zeros):
    """Blocks that each say "128 KiB of zeros" in four bytes."""
    blocks = zeros // 131072
    block = lambda last: struct.pack("<I", 131072 << 3 | 1 << 1 | last)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd" + b"\0" + b"\x58" + block(0) * (blocks - 1) + block(1)


def bombs_cost_bounded_memory(world):
    """Batches of less than a megabyte that unpack to gigabytes: taken or refused, then looked up by time, which unpacks them."""
    before = world.resident_mb()
    gzip = zlib.compressobj(9, wbits=31)
    packed = gzip.compress(b"\0" * (600 << 20)) + gzip.flush()
    for codec, bytes_ in ((GZIP, packed), (ZSTD, zstd_frame(8 << 30))):
        for count in (1, 5, 100_000, 0x7FFFFFFF):
            with Connection(world.port, timeout=60) as c:
                error, _ = produced(c, "good", 2, batch([b"x"], attributes=codec, count=count, last_delta=count - 1, records=bytes_))
                error, _ = list_offset(c, "good", 2, 1700000000000)
    bounded(world, before)
    with Connection(world.port) as c:
        error, offset = produced(c, "good", 3, batch([b"after the bombs"]))
        assert error == 0
        assert list_offset(c, "good", 3, LATEST) == (0, offset + 1)


def texts_of_two_gigabytes_are_not_believed(world):
    """Lengths of 2^31 - 1 in each encoding: a text, a compact text, bytes, a compact array, a record's header count."""
    before = world.resident_mb()
    most = 0x7FFFFFFF
    header_2 = lambda key, version, body: i32(len(raw := i16(key) + i16(version) + i32(7) + string("t") + b"\0" + body)) + raw
    for raw in (request(METADATA, 1, i32(1) + i16(0x7FFF) + b"x"), header_2(METADATA, 12, uvarint(most) + b"\0" * 100),
                header_2(METADATA, 12, uvarint(2) + b"\0" * 16 + uvarint(most) + b"\0" * 100), header_2(METADATA, 12, uvarint(0xFFFFFFFF) + b"\0" * 100),
                header_2(PRODUCE, 9, uvarint(0) + i16(1) + i32(1000) + uvarint(2) + uvarint(5) + b"good" + uvarint(2) + i32(0) + uvarint(most)),
                header_2(CREATE_TOPICS, 5, uvarint(0xFFFFFFF) + b"\1" * 1000)):
        closed_after(world, raw)
    with Connection(world.port) as c:
        huge = i8(0) + varint(0) + varint(0) + varint(-1) + varint(1) + b"v"
        for tail in (varint(most), varint(-5), varint(1) + varint(most), varint(1) + varint(1) + b"k" + varint(most)):
            body = huge + tail
            error, _ = produced(c, "good", 1, batch([b""], records=varint(len(body)) + body))
            assert error, "a record whose header lies is taken"
    bounded(world, before, 40)


def floods_of_fetches_and_look_ups_are_bounded(world):
    """Hundreds of connections that send as fast as they can, and never read."""
    before = world.resident_mb()
    fetches = request(FETCH, 4, fetch("good", 0, 0, wait=0)) * 200
    look_ups = request(LIST_OFFSETS, 1, i32(-1) + i32(1) + string("good") + i32(4) + b"".join(i32(p) + i64(1) for p in range(4))) * 200
    crowd = [Connection(world.port) for _ in range(300)]
    for n, c in enumerate(crowd):
        c.socket.setblocking(False)
        try:
            c.socket.send(fetches if n % 2 else look_ups)
        except OSError:
            pass
    begun = time.monotonic()
    for _ in range(5):
        world.undisturbed()
    took = time.monotonic() - begun
    for c in crowd:
        c.close()
    assert took < 25, f"five round trips of the witness took {took:.1f} s"
    bounded(world, before)


def drained(c):
    """Whatever came is read, and then the other side closed."""
    c.socket.settimeout(10)
    try:
        while c.socket.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def who_closes_one_half_gets_the_answer_and_is_closed(world):
    """A client that sends no more reads what it asked for; then the broker closes too, also where the answer would be long in coming."""
    with Connection(world.port) as c:
        c.send(request(METADATA, 1, i32(0)))
        c.socket.shutdown(socket.SHUT_WR)
        try:
            assert len(c.reply()[1]) > 10
        except (EOFError, ConnectionResetError):
            pass  # closed at once, as Kafka does when it sees the end first
        assert c.closed(), "the connection stays open"
    crowd = []
    for n in range(200):
        c = Connection(world.port)
        c.send(request(FETCH, 4, fetch("good", 0, 1 << 20 if n % 2 else list_offset(world.witness, "good", 0, LATEST)[1], wait=60000)))
        c.socket.shutdown(socket.SHUT_WR)
        crowd.append(c)
    for c in crowd:
        assert drained(c), "a connection that is half closed stays open"
        c.close()
    for n in range(200):  # the other half: it reads no more
        c = Connection(world.port)
        c.socket.shutdown(socket.SHUT_RD)
        c.send(request(FETCH, 4, fetch("good", 0, 0, wait=0)))
        c.close()
    world.undisturbed()


FIRST = (a_frame_of_no_bytes_is_refused, telemetry_and_sasl_are_not_served)  # while peers may still provoke log lines
CASES = (a_client_that_says_it_is_a_replica_sees_and_moves_nothing, bombs_cost_bounded_memory, texts_of_two_gigabytes_are_not_believed,
         floods_of_fetches_and_look_ups_are_bounded, who_closes_one_half_gets_the_answer_and_is_closed,
         two_gigabytes_announced_before_anything_else_take_no_memory)
