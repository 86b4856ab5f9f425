"""Starting: ports and ids that do not fit are refused with a sentence, those that fit are listened on, and what the sockets are."""
import ctypes
import os
import socket
import subprocess

from broker import free_ports
from harness import Broker, NotRun, binary, fresh_dir, seconds
from wire import Connection, batch, create_topic, list_offset, produced
from world import leaders, make, nodes

LISTENERS = "listeners=PLAINTEXT://localhost:"
TWO = ["listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT"]
PIDFD_GETFD = 438


def refused(work, *pairs):
    """What a start of three cores that must fail says."""
    folder = fresh_dir(f"{work}/refused")
    command = [binary(), "serve", "--cores", "3", f"log.dirs={folder}/data", "listeners.per.core=true", *pairs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds(20), check=False)
    assert done.returncode == 1, f"ended with {done.returncode}: {done.stderr}"
    return done.stderr


def expect(work, pairs, *texts):
    said = refused(work, *pairs)
    for text in texts:
        assert text in said, f"{text!r} is missing: {said}"


def taken_ports(work, first):
    """Of the first core, and of the last."""
    for taken in (first, first + 2):
        with socket.socket() as s:
            s.bind(("127.0.0.1", taken))
            s.listen()
            expect(work, [f"{LISTENERS}{first}"], f"cannot listen on 127.0.0.1 port {taken} ", "another program listens there",
                   "each core takes one more")


def names_of_one_address(work, first):
    """localhost and 127.0.0.1 are known to be one address when they are opened."""
    expect(work, [*TWO, f"listeners=A://localhost:{first},B://127.0.0.1:{first + 2}"], f"port {first + 2} ", "A has that port already")


REFUSALS = (
    ("ports beyond the last", [f"{LISTENERS}65534"], ("listeners: PLAINTEXT begins at port 65534", "at most 65533")),
    ("listeners that meet", [*TWO, "listeners=A://localhost:9092,B://localhost:9094"],
     ("A takes the ports 9092 to 9094 and B takes 9094 to 9096", "leave 3 between the two")),
    ("advertised listeners that meet", [*TWO, "listeners=A://localhost:9092,B://localhost:9192",
                                        "advertised.listeners=A://box:9092,B://box:9093"], ("advertised.listeners: A takes",)),
    ("advertised ports beyond the last", [f"{LISTENERS}9092", "advertised.listeners=PLAINTEXT://box:65535"],
     ("advertised.listeners: PLAINTEXT begins at port 65535",)),
    ("ids beyond the last", [f"{LISTENERS}9092", "node.id=2147483646"], ("node.id=2147483646", "at most 2147483645")),
)


class Fixed:
    """On ports of its own choice, so that clients find it again."""

    def __init__(self, work):
        self.first = free_ports(3)
        self.broker = make(f"{work}/fixed", 3, listeners=f"PLAINTEXT://localhost:{self.first}")

    def ports_are_in_a_row(self):
        self.broker.start()
        assert " nodes=1-3 " in self.broker.log_since()
        with Connection(self.first + 1) as c:
            assert nodes(c) == {1 + i: ("localhost", self.first + i) for i in range(3)}, nodes(c)
            assert create_topic(c, "t", 6) == 0

    def comes_back(self, end):
        with Connection(self.first + 2) as c:
            before = leaders(c, ["t"])
            for partition in range(6):
                assert produced(c, "t", partition, batch([b"x"]))[0] == 0
        end()
        self.broker.start()
        with Connection(self.first + 2) as c:
            assert leaders(c, ["t"]) == before, "partitions moved although the cores are as many"
            assert [list_offset(c, "t", p, -1)[1] for p in range(6)], "records are missing"

    def fewer_cores_leave_ports(self):
        self.broker.stop()
        self.broker.arguments = ["--cores", "2"]
        self.broker.start()
        with Connection(self.first) as c:
            assert set(leaders(c, ["t"]).values()) == {1, 2}
            assert [produced(c, "t", p, batch([b"x"]))[0] for p in range(6)] == [0] * 6
        try:
            Connection(self.first + 2).close()
        except ConnectionRefusedError:
            return
        raise AssertionError("somebody listens at the port of a core that is gone")


# --- TCP_CONGESTION

def sockets_of(pid):
    """A copy of each of its sockets."""
    libc, pidfd = ctypes.CDLL(None, use_errno=True), os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                continue
            fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0:
                raise NotRun(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
            with socket.socket(fileno=fd) as s:
                yield s
    finally:
        os.close(pidfd)


def options_of(broker):
    """{(TCP_CONGESTION, TCP_NODELAY)} of what is connected to it, and of what listens."""
    found = set()
    for s in sockets_of(broker.pid):
        if s.family in (socket.AF_INET, socket.AF_INET6):
            name = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
            found.add((name, s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
    return found


def congestion_is_as_set(work):
    """Without a setting there is no pacing on loopback, and elsewhere the kernel's default."""
    with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as file:
        default = file.read().strip()
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as file:
        other = [name for name in file.read().split() if name != "reno"][:1] or ["reno"]
    everywhere = {"listeners": "PLAINTEXT://0.0.0.0:0"}
    for settings, expected in (({"socket.congestion.control": other[0]}, other[0]), ({"socket.congestion.control": ""}, "reno"), ({}, "reno"), (everywhere, default)):
        broker = Broker(f"{work}/congestion", settings).start()
        try:
            with Connection(broker.port) as c:
                assert create_topic(c, "t") == 0
                found = options_of(broker)
                assert found == {(expected, 1)}, (settings, found)
        finally:
            broker.kill()


def unknown_congestion_is_refused(work):
    expect(work, [f"{LISTENERS}0", "socket.congestion.control=none-such"], "socket.congestion.control=none-such: this kernel has no", " reno")


def run(report, work, _):
    first = free_ports(5)
    report.case("cores: a port that is taken is named", taken_ports, work, first)
    report.case("cores: two listeners that turn out to be at one address are named", names_of_one_address, work, first)
    for what, pairs, texts in REFUSALS:
        report.case(f"cores: {what} are refused with a sentence", expect, work, pairs, *texts)
    fixed = Fixed(work)
    report.case("cores: the ports are in a row", fixed.ports_are_in_a_row)
    report.case("cores: after kill -9 all is where it was", fixed.comes_back, fixed.broker.kill)
    report.case("cores: after a clean stop all is where it was", fixed.comes_back, fixed.broker.stop)
    report.case("cores: with fewer cores the others lead everything", fixed.fewer_cores_leave_ports)
    report.case("cores: it stops cleanly then", fixed.broker.stop)
    report.case("sockets have the congestion control that is set, and no delay", congestion_is_as_set, work)
    report.case("a congestion control that the kernel lacks is refused, and those it has are named", unknown_congestion_is_refused, work)
