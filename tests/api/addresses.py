"""Which address replies name.

    python3 tests/api/addresses.py HOST PORT     prints what a client that connects there is told
"""
import contextlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../lib"), HERE]

from answers import *
from apache import free_ports
from harness import Broker, NotRun, need, run, run_ok
from wire import *

FIND_COORDINATOR, DESCRIBE_CLUSTER = 10, 60
GROUP = 0


# --- what is told ---

def by_metadata(c, topics=None):
    """(host, port) by Metadata v1."""
    body = i32(-1) if topics is None else i32(len(topics)) + b"".join(string(t) for t in topics)
    r = Reader(c.call(METADATA, 1, body))
    assert r.i32() == 1 and r.i32() == 1, "one broker, whose id is 1"
    return r.text(), r.i32()


def by_cluster(c):
    r = call_flexible(c, DESCRIBE_CLUSTER, 1, i8(0) + i8(1) + b"\0")
    r.i32(), r.i16(), r.compact(), r.i8(), r.compact()
    assert r.i32() == 1 and r.count() == 1 and r.i32() == 1
    return r.compact(), r.i32()


def by_coordinator(c):
    """By FindCoordinator v1, and by the lists of v4, which must say the same."""
    r = Reader(c.call(FIND_COORDINATOR, 1, string("group") + i8(GROUP)))
    r.i32()
    error, _, node, host, port = r.i16(), r.text(), r.i32(), r.text(), r.i32()
    assert (error, node) == (0, 1), (error, node)
    r = call_flexible(c, FIND_COORDINATOR, 4, i8(GROUP) + uvarint(3) + compact("group") + compact("other") + b"\0")
    r.i32()
    assert r.count() == 2
    for key in ("group", "other"):
        assert (r.compact(), r.i32(), r.compact(), r.i32(), r.i16()) == (key, 1, host, port, 0)
        r.compact(), r.tags()
    return host, port


def told(c):
    """What every reply that names a broker says, which must be the same."""
    answers = {by_metadata(c), by_cluster(c), by_coordinator(c)}
    assert len(answers) == 1, f"replies name different addresses: {answers}"
    return answers.pop()


def a_client_is_told_the_address_that_it_reached():
    for listener in ("PLAINTEXT://:0", "PLAINTEXT://0.0.0.0:0", "PLAINTEXT://127.0.0.1:0"):
        with Broker(f"{WORK}/reached", {"listeners": listener}, ["--cores", "2"]) as broker:
            for host in ["127.0.0.1"] if "127.0.0.1" in listener else ["127.0.0.1", "127.0.0.2", "127.1.2.3"]:
                answer = told(Connection(broker.port, host))
                assert answer == (host, broker.port), f"{listener}: reached {host}, told {answer}"


def a_client_is_told_the_ipv6_address_that_it_reached():
    need_ipv6()
    for listener in ("PLAINTEXT://:0", "PLAINTEXT://[::1]:0"):
        with Broker(f"{WORK}/reached", {"listeners": listener}, ["--cores", "2"]) as broker:
            answer = told(Connection(broker.port, "::1"))
            assert answer == ("::1", broker.port), f"{listener}: reached ::1, told {answer}"


def a_client_is_told_the_name_of_its_listener():
    with Broker(f"{WORK}/named", {"listeners": "PLAINTEXT://localhost:0"}, ["--cores", "2"]) as broker:
        for host in ["127.0.0.1"] + (["::1"] if has_ipv6() else []):
            answer = told(Connection(broker.port, host))
            assert answer == ("localhost", broker.port), f"reached {host}, told {answer}"


def has_ipv6():
    try:
        need_ipv6()
        return True
    except NotRun:
        return False


def a_listener_for_ipv6_shows_ipv4_clients_an_ipv4_address():
    need_ipv6()
    with Broker(f"{WORK}/dual", {"listeners": "PLAINTEXT://[::]:0"}) as broker:
        for host in ("127.0.0.1", "127.0.0.9", "::1"):
            assert told(Connection(broker.port, host)) == (host, broker.port)
        assert told(Connection(broker.port, "::ffff:127.0.0.1")) == ("127.0.0.1", broker.port)


def each_listener_has_its_own_advertised_address():
    inside, outside, plain = free_ports(3)
    settings = {
        "listeners": f"INSIDE://127.0.0.1:{inside},OUTSIDE://127.0.0.1:{outside},PLAINTEXT://127.0.0.1:{plain}",
        "advertised.listeners": "OUTSIDE://kafka.example:9093,INSIDE://inner.example:19092",
        "listener.security.protocol.map": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
    }
    with Broker(f"{WORK}/listeners", settings):
        assert told(Connection(inside)) == ("inner.example", 19092)
        assert told(Connection(outside)) == ("kafka.example", 9093)
        assert told(Connection(plain)) == ("127.0.0.1", plain), "a listener without an advertised address"


@contextlib.contextmanager
def another_machine():
    """A network namespace with a cable to this one: (its name, our address there)."""
    ip, name = need("ip"), f"odradek{os.getpid()}"
    near, far, ours, theirs = f"a{os.getpid()}", f"b{os.getpid()}", "10.213.47.1", "10.213.47.2"
    if run([ip, "netns", "add", name])[0] != 0:
        raise NotRun("no right to make a network namespace")
    try:
        for line in (f"link add {near} type veth peer name {far} netns {name}", f"addr add {ours}/24 dev {near}",
                     f"link set {near} up", f"-n {name} addr add {theirs}/24 dev {far}", f"-n {name} link set {far} up"):
            if run([ip, *line.split()])[0] != 0:
                raise NotRun(f"ip {line} fails here")
        yield name, ours
    finally:
        run([ip, "netns", "del", name])


def a_client_on_another_network_is_told_the_address_there():
    with another_machine() as (name, ours), Broker(f"{WORK}/network", {"listeners": "PLAINTEXT://:0"}) as broker:
        out = run_ok(["ip", "netns", "exec", name, sys.executable, os.path.join(HERE, "addresses.py"), ours, str(broker.port)])
        assert out.decode().split() == [ours, str(broker.port)], out
        assert told(Connection(broker.port)) == ("127.0.0.1", broker.port), "and one on this machine its own"


CASES = (
    a_client_is_told_the_address_that_it_reached, a_client_is_told_the_name_of_its_listener, a_client_is_told_the_ipv6_address_that_it_reached,
    a_listener_for_ipv6_shows_ipv4_clients_an_ipv4_address, each_listener_has_its_own_advertised_address, a_client_on_another_network_is_told_the_address_there,
)

if __name__ == "__main__":
    print(*told(Connection(int(sys.argv[2]), sys.argv[1])))
