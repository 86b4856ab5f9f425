"""Which address replies name, and who is named in the log for never coming there.

    python3 tests/api/addresses.py HOST PORT     prints what a client that connects there is told
"""
import contextlib
import os
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../lib"), HERE]

from answers import *
from apache import free_ports
from harness import Broker, NotRun, need, run, run_ok, seconds, spawn, wait_until
from wire import *

FIND_COORDINATOR, INIT_PRODUCER_ID, DESCRIBE_CLUSTER = 10, 22, 60
GROUP, TRANSACTION = 0, 1
MISSING = "client does not come back"


class From(Connection):
    """A connection from an address of our choice, for which Linux takes all of 127.0.0.0/8."""

    def __init__(self, port, source, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), seconds(20), (source, 0))


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
    for listener in ("PLAINTEXT://:0", "PLAINTEXT://0.0.0.0:0", "PLAINTEXT://localhost:0"):
        with Broker(f"{WORK}/reached", {"listeners": listener}, ["--cores", "2"]) as broker:
            for host in ["127.0.0.1"] if "localhost" in listener else ["127.0.0.1", "127.0.0.2", "127.1.2.3"]:
                answer = told(Connection(broker.port, host))
                assert answer == (host, broker.port), f"{listener}: reached {host}, told {answer}"


def a_client_is_told_the_ipv6_address_that_it_reached():
    need_ipv6()
    for listener in ("PLAINTEXT://:0", "PLAINTEXT://localhost:0"):
        with Broker(f"{WORK}/reached", {"listeners": listener}, ["--cores", "2"]) as broker:
            answer = told(Connection(broker.port, "::1"))
            assert answer == ("::1", broker.port), f"{listener}: reached ::1, told {answer}"


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


# --- who does not come ---

def missing(broker):
    """The peers' addresses in the lines that name a missing client."""
    return [line.split("peer=")[1].split()[0] for line in broker.log().splitlines() if MISSING in line]


def says_who_it_is(c, software):
    """ApiVersions v3."""
    body = compact(software) + compact("1.2") + b"\0"
    raw = i16(API_VERSIONS) + i16(3) + i32(7) + string("test") + b"\0" + body
    c.send(i32(len(raw)) + raw)
    c.reply()


def asks_for_an_id(c):
    assert Reader(c.call(INIT_PRODUCER_ID, 1, i16(-1) + i32(60000))).raw[4:6] == i16(0)


def only_clients_that_do_not_come_are_named():
    with Broker(f"{WORK}/missing", {"advertised.listeners": "PLAINTEXT://127.0.0.1:9"}, ["--cores", "2"]) as broker:
        assert create_topic(Connection(broker.port), "t") == 0
        connect = lambda source: From(broker.port, source)
        kept = []
        for n in range(6):  # on either core: one that lists, one that leaves, one that works
            lists, leaves, works, works_anew, works_later = (connect(f"127.0.{k}.{10 + n}") for k in range(1, 6))
            by_metadata(lists), by_cluster(lists)
            by_metadata(leaves, ["t"]), leaves.close()
            by_metadata(works, ["t"])
            assert produced(works, "t", 0, batch([b"x"]))[0] == 0
            by_metadata(works_anew, ["t"])
            again = connect(f"127.0.4.{10 + n}")
            assert produced(again, "t", 0, batch([b"x"]))[0] == 0
            by_metadata(works_later, ["t"])
            kept += [lists, works, works_anew, again, works_later]
        admin, second, java = connect("127.0.6.1"), connect("127.0.6.1"), connect("127.0.6.2")
        for one in (admin, second, java):
            says_who_it_is(one, "apache-kafka-java")
        by_metadata(admin, []), by_metadata(second), by_metadata(java, [])
        id_first, id_last, sends = (connect(f"127.0.6.{k}") for k in (3, 4, 5))
        for one in (id_first, id_last, sends):
            says_who_it_is(one, "apache-kafka-java")
        asks_for_an_id(id_first), by_metadata(id_first, []), by_metadata(id_last, []), asks_for_an_id(id_last)  # no records yet
        asks_for_an_id(sends), by_metadata(sends, ["t"])
        transactions = connect("127.0.6.6")  # told nothing, as there is no coordinator of transactions
        for _ in range(2):
            assert Reader(transactions.call(FIND_COORDINATOR, 1, string("id") + i8(TRANSACTION))).raw[4:6] == i16(15)
        groups = connect("127.0.7.3")
        for source, returns in (("127.0.6.7", False), ("127.0.6.8", True)):
            with connect(source) as first:
                says_who_it_is(first, "kafka-python")
                by_metadata(first, [])
            if returns:
                second = connect(source)
                says_who_it_is(second, "kafka-python")
                by_metadata(second)
        idle, insists = connect("127.0.7.4"), connect("127.0.7.1")
        says_who_it_is(insists, "librdkafka")
        by_metadata(idle, ["t"])  # a producer without records
        for _ in range(4):  # at the pace of retries
            by_metadata(insists, ["t"]), by_coordinator(groups)
            time.sleep(0.6)
        for _ in range(3):
            with connect("127.0.7.2") as one:
                by_metadata(one, ["t"])
            time.sleep(0.3)  # that it is gone is known before it is there again
        for n in range(6):
            assert fetched(connect(f"127.0.5.{10 + n}"), "t", 0, 0)[0] == 0
        named = {"127.0.6.2", "127.0.6.5", "127.0.7.3", "127.0.6.7", "127.0.7.1", "127.0.7.2"}
        assert wait_until(lambda: set(missing(broker)) >= named, 40), broker.log()
        late = connect("127.0.8.1")  # whoever was to be named before is named when this one is
        says_who_it_is(late, "apache-kafka-java")
        by_metadata(late, ["t"])
        assert wait_until(lambda: "127.0.8.1" in missing(broker), 40), broker.log()
        assert sorted(missing(broker)) == sorted(named | {"127.0.8.1"}), missing(broker)
        line = next(l for l in broker.log().splitlines() if MISSING in l and "peer=127.0.7.1" in l)
        for part in (" WARN ", 'software="librdkafka 1.2"', 'client="test"', "told=127.0.0.1:9 ", "advertised.listeners"):
            assert part in line, line


def a_consumer_and_a_producer_that_cannot_come_are_named_and_working_ones_are_not():
    kcat = need("kcat")
    nowhere = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{free_ports(1)[0]}"}
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        good = enter(Broker(f"{WORK}/good"))
        reader, writer, lister = (enter(Broker(f"{WORK}/{name}", nowhere)) for name in ("reader", "writer", "lister"))
        for broker in (good, reader, writer, lister):
            assert create_topic(Connection(broker.port), "t") == 0
        run_ok([kcat, "-P", "-b", good.address, "-t", "t"], stdin=b"one\n")
        assert run_ok([kcat, "-C", "-b", good.address, "-t", "t", "-e", "-q"]) == b"one\n"
        follower = spawn([kcat, "-C", "-b", good.address, "-t", "t", "-q"], stdout=-3, stderr=-3)
        member = spawn([kcat, "-G", "group", "-b", good.address, "t"], stdout=-3, stderr=-3)
        idle = spawn([kcat, "-P", "-b", lister.address, "-t", "t"], stdin=-1, stdout=-3, stderr=-3)
        for _ in range(3):
            for broker in (good, lister):
                run_ok([kcat, "-L", "-b", broker.address])
        consumer = spawn([kcat, "-C", "-b", reader.address, "-t", "t", "-q", "-X", "client.id=shop"], stdout=-3, stderr=-3)
        producer = spawn([kcat, "-P", "-b", writer.address, "-t", "t"], stdin=-1, stdout=-3, stderr=-3)
        producer.stdin.write(b"lost\n")
        producer.stdin.close()
        try:
            assert wait_until(lambda: missing(reader) and missing(writer), 60), reader.log() + writer.log()
            assert 'client="shop"' in reader.log() and "librdkafka" in reader.log(), reader.log()
            assert (len(missing(reader)), len(missing(writer))) == (1, 1)
            assert not missing(good) and not missing(lister), good.log() + lister.log()
        finally:
            for child in (follower, member, idle, consumer, producer):
                child.kill(), child.wait()


CASES = (
    a_client_is_told_the_address_that_it_reached, a_client_is_told_the_ipv6_address_that_it_reached,
    a_listener_for_ipv6_shows_ipv4_clients_an_ipv4_address, each_listener_has_its_own_advertised_address, a_client_on_another_network_is_told_the_address_there,
    only_clients_that_do_not_come_are_named, a_consumer_and_a_producer_that_cannot_come_are_named_and_working_ones_are_not,
)

if __name__ == "__main__":
    print(*told(Connection(int(sys.argv[2]), sys.argv[1])))
