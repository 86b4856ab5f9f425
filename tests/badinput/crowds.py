"""Many connections that want memory or descriptors: the others are served, and what the broker holds stays bounded.

Each case has a broker of its own, as small as the case needs.
"""
import os
import random
import socket
import time

from broker import Broker
from harness import resident_mb, wait_until
from messages import call
from wire import *

MEMORY_MB, OVERHEAD_MB = 256, 96  # of a broker with --memory 256M: the rest is the process, heaps and threads
SOON_S = 5
FOLDER = "build/tests/badinput/crowd"


def small_broker(*arguments):
    return Broker(FOLDER, {}, ["--cores", "1", "--memory", f"{MEMORY_MB}M", *arguments])


def stall(broker, count, announced, sent):
    """Connections that each announce a Produce of so many bytes, send so many of them, and no more."""
    crowd = []
    head = i32(announced) + i16(PRODUCE) + i16(7) + i32(1) + string("test")
    for _ in range(count):
        c = Connection(broker.port)
        c.socket.setblocking(False)
        crowd.append(c)
    for c in crowd:
        try:
            c.socket.send(head + b"x" * (sent - len(head)))
        except OSError:
            pass  # not all of it fits, or the broker has closed it
    return crowd


def served(broker, value):
    """How long another client waits for ApiVersions, a Produce of 500 kB and the Fetch of it."""
    begun = time.monotonic()
    with Connection(broker.port) as c:
        assert len(c.call(API_VERSIONS, 0, b"")) > 100
        asked = time.monotonic() - begun
        error, offset = produced(c, "t", 0, batch([value * (500_000 // len(value))]))
        assert error == 0, f"produce got error {error}"
        error, _, records = fetched(c, "t", 0, offset)
        assert error == 0 and value in records
    return asked, time.monotonic() - begun


def stalled_frames_starve_nobody(_):
    """Announced and stalled, of the sizes that take much: in receive buffers, in small bufs, in large ones."""
    for count, announced, sent in ((80, 1 << 20, 70_000), (200, 1 << 20, 300), (200, 66_000, 40_000), (60, 50 << 20, 2 << 20),
                                   (400, 90 << 20, 70_000)):
        with small_broker() as broker:
            with Connection(broker.port) as c:
                assert create_topic(c, "t") == 0
            crowd = stall(broker, count, announced, sent)
            time.sleep(0.5)
            what = f"beside {count} frames of {announced} of which {sent} bytes came"
            for n in range(3):
                asked, all_of_it = served(broker, b"value-%d-" % n)
                assert asked < SOON_S, f"{what} ApiVersions takes {asked:.1f} s"
                assert all_of_it < 3 * SOON_S, f"{what} all of it takes {all_of_it:.1f} s"
            grown = resident_mb(broker.pid, "VmHWM")
            assert grown < MEMORY_MB + OVERHEAD_MB, f"{what} {grown:.0f} MB are resident"
            for c in crowd:
                c.close()
            served(broker, b"afterwards")


def a_slow_device_lives_beside_stalled_frames(_):
    """It sends 20 kB a second, while others take all the memory that they get and do nothing with it."""
    with small_broker() as broker:
        with Connection(broker.port) as c:
            assert create_topic(c, "t") == 0
        raw = request(PRODUCE, 7, produce("t", 0, batch([b"slowly" * 30_000])))
        crowd = []
        with Connection(broker.port, timeout=60) as device:
            for n, at in enumerate(range(0, len(raw), 4000)):
                device.send(raw[at:at + 4000])
                if n % 8 == 0:
                    crowd += stall(broker, 100, 1 << 20, 70_000)
                time.sleep(0.2)
            correlation, answer = device.reply()
        assert correlation == 7 and struct.unpack(">h", answer[4 + 2 + 1 + 4 + 4:][:2])[0] == 0, answer
        assert broker.logged("memory is short"), "the crowd was not enough to make memory short"
        for c in crowd:
            c.close()


def large_frames_take_their_turns(_):
    """More large requests at once than there is memory for: each is served in the end, or closed, and small ones in between."""
    with small_broker() as broker:
        with Connection(broker.port) as c:
            assert create_topic(c, "t", configs=[("max.message.bytes", str(32 << 20))]) == 0
        raw = request(PRODUCE, 7, produce("t", 0, batch([b"z" * (20 << 20)])))
        crowd = [Connection(broker.port, timeout=60) for _ in range(12)]
        at = [0] * len(crowd)
        for c in crowd:
            c.socket.setblocking(False)
        begun = time.monotonic()
        while any(n < len(raw) for n in at) and time.monotonic() - begun < 60:
            for i, c in enumerate(crowd):
                try:
                    at[i] += c.socket.send(raw[at[i]:at[i] + 262144]) if at[i] < len(raw) else 0
                except BlockingIOError:
                    pass
                except OSError:
                    at[i] = len(raw)
        asked, _ = served(broker, b"between")
        assert asked < SOON_S, f"ApiVersions takes {asked:.1f} s"
        answered = 0
        for c in crowd:
            c.socket.settimeout(60)
            try:
                answered += c.reply()[0] == 7
            except (EOFError, OSError):
                pass
            c.close()
        assert answered >= 3, f"{answered} of {len(crowd)} large requests were answered"
        grown = resident_mb(broker.pid, "VmHWM")
        assert grown < MEMORY_MB + OVERHEAD_MB, f"{grown:.0f} MB are resident"


class FewDescriptors(Broker):
    def command(self):
        return ["sh", "-c", 'ulimit -n 96; exec "$@"', "sh", *super().command()]


def a_lack_of_descriptors_is_told_once_a_minute(_):
    with FewDescriptors(FOLDER, {}, ["--cores", "1"]) as broker:
        crowd = []
        for _ in range(200):
            try:
                crowd.append(socket.create_connection(("127.0.0.1", broker.port), 5))
            except OSError:
                break
        time.sleep(4)
        lines = broker.log().count("cannot accept")
        for c in crowd:
            c.close()
        assert lines == 1, f"{lines} lines in 4 s"
        assert wait_until(lambda: can_connect(broker), 10), "no connection after the crowd has gone"


def can_connect(broker):
    try:
        with Connection(broker.port, timeout=2) as c:
            return len(c.call(API_VERSIONS, 0, b"")) > 100
    except OSError:
        return False


def refused_connections_do_not_fill_the_log(_):
    with Broker(FOLDER, {"max.connections.per.ip": 2}, ["--cores", "1"]) as broker:
        kept = [Connection(broker.port) for _ in range(2)]
        for _ in range(1500):
            with socket.create_connection(("127.0.0.1", broker.port), 5):
                pass
        time.sleep(0.5)
        lines = broker.log().count("max.connections.per.ip")
        assert 1 <= lines <= 300, f"{lines} lines for 1,500 refused connections"
        for c in kept:
            c.close()


def processor_s(broker):
    with open(f"/proc/{broker.pid}/stat", encoding="ascii") as file:
        used = file.read().rsplit(")", 1)[1].split()[11:13]
    return sum(int(n) for n in used) / os.sysconf("SC_CLK_TCK")


def keys_that_collide_where_hashes_have_no_seed_cost_no_more(_):
    """Of core/map.c's keys of 16 bytes all have one hash whose second half is what an unseeded process has for a secret, but for its last
    bit: the product of its two factors is then the first. DeleteTopics looks for ids that stand there twice."""
    half = (0x8ebc6af09c88c6e3 ^ 1).to_bytes(8, "little")
    dice = random.Random(1)
    with small_broker() as broker, Connection(broker.port) as c:
        def ask(second):
            topics = [{"name": None, "topic_id": dice.randbytes(8) + second()} for _ in range(40000)]
            before = processor_s(broker)
            told = call(c, "delete_topics", 6, topics=topics).responses
            assert {t.error_code for t in told} == {100} and len(told) == len(topics)
            return processor_s(broker) - before
        usual, colliding = ask(lambda: dice.randbytes(8)), ask(lambda: half)
        assert colliding < 4 * usual + 0.2, f"{colliding:.2f} s of the processor for keys that collide, {usual:.2f} s for others"


CASES = (
    stalled_frames_starve_nobody, a_slow_device_lives_beside_stalled_frames, large_frames_take_their_turns,
    a_lack_of_descriptors_is_told_once_a_minute, refused_connections_do_not_fill_the_log,
    keys_that_collide_where_hashes_have_no_seed_cost_no_more,
)
