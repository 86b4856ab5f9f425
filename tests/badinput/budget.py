"""Cases: what peers can make grow beside buffers (fetch sessions, groups, connections) counts in `--memory`, and is refused there.

Each case has a broker of its own with 64 MiB: sessions may have an eighth of it, groups a quarter, connections an eighth (net/limits.h).
"""
import collections
import resource

from crowds import Broker, FOLDER
from floods import SANITIZED
from harness import resident_mb, wait_until
from messages import call, coordinated, frame, take
from wire import *
from wire_txn import Transactional

MEMORY_MB = 64
NONE, NOT_AVAILABLE = 0, 15


def small_broker(**settings):
    return Broker(FOLDER, {"offsets.topic.num.partitions": 4, **settings}, ["--cores", "1", "--memory", f"{MEMORY_MB}M"])


def session_request(first, count):
    """A new session of partitions that are not there: they are remembered all the same."""
    topics = [{"topic": f"no-{first + i}-{'x' * 200}", "partitions": [{"partition": p, "partition_max_bytes": 1 << 20} for p in range(50)]} for i in range(count // 50)]
    return frame("fetch", 12, replica_id=-1, max_wait_ms=0, min_bytes=0, max_bytes=1 << 20, session_id=0, session_epoch=0, topics=topics)


def fetch_sessions_take_no_more_than_their_share(_):
    with small_broker() as broker:
        with Connection(broker.port, timeout=60) as c:
            assert create_topic(c, "t") == 0
            c.send(session_request(0, 5000))
            take(c, "fetch", 12)
            before, given, refused = resident_mb(broker.pid), 0, 0
            for n in range(1, 40):
                c.send(session_request(n * 1000, 5000))
                answer = take(c, "fetch", 12)
                given, refused = given + (answer.session_id != 0), refused + (answer.session_id == 0)
                assert answer.error_code == NONE and len(answer.responses) == 100, "served without a session"
            grown = resident_mb(broker.pid) - before
            assert given > 0 and refused > 20, f"{given} sessions of 5,000 partitions were given, {refused} were not"
            assert grown < SANITIZED * MEMORY_MB / 4, f"{given} sessions take {grown:.0f} MB"
            assert produced(c, "t", 0, batch([b"v"]))[0] == NONE


def groups_take_no_more_than_their_share(_):
    """Members of 900 kB each, in as many groups; somebody who was there before goes on committing, and joins again."""
    with small_broker() as broker:
        with Connection(broker.port, timeout=60) as c:
            assert create_topic(c, "t", 4) == 0
            assert wait_until(lambda: coordinated(c), 20), "there is no coordinator"
            asked = {"session_timeout_ms": 60000, "rebalance_timeout_ms": 60000, "protocol_type": "consumer"}
            commit = lambda group: call(c, "offset_commit", 8, group_id=group, topics=[
                {"name": "t", "partitions": [{"partition_index": 0, "committed_offset": 1}]}]).topics[0].partitions[0].error_code
            assert commit("earlier") == NONE
            codes = {}
            for n in range(150):
                r = call(c, "join_group", 3, group_id=f"fat-{n}", protocols=[{"name": "range", "metadata": b"m" * 900_000}], **asked)
                codes.setdefault(r.error_code, []).append(f"fat-{n}")
            grown = resident_mb(broker.pid)
            assert len(codes.get(NOT_AVAILABLE, [])) > 100 and len(codes.get(NONE, [])) > 3, {k: len(v) for k, v in codes.items()}
            assert grown < SANITIZED * MEMORY_MB * 1.75, f"{grown:.0f} MB are resident"
            assert commit("earlier") == NONE, "a group that was there cannot commit any more"
            assert produced(c, "t", 0, batch([b"v"]))[0] == NONE
            found = call(c, "describe_groups", 5, groups=codes[NONE]).groups
            for g in found:
                r = call(c, "leave_group", 2, group_id=g.group_id, member_id=g.members[0].member_id)
                assert r.error_code == NONE, r
            again = lambda: call(c, "join_group", 3, group_id="later", protocols=[{"name": "range", "metadata": b"m"}], **asked).error_code == NONE
            assert wait_until(again, 10), "no new member after the others have gone"


def pending_offsets_take_no_more_than_their_share(_):
    """A transaction that goes on for ever commits offsets of ever more groups; others commit, and when it is aborted there is room again."""
    with small_broker() as broker:
        with Connection(broker.port, timeout=60) as c:
            assert create_topic(c, "t", 4) == 0
            assert wait_until(lambda: coordinated(c), 20), "there is no coordinator"
            t = Transactional(c, "x")

            def pend(group, size=4000):
                parts = [{"partition_index": p, "committed_offset": 1, "committed_metadata": "m" * size} for p in range(4)]
                return call(c, "txn_offset_commit", 5, group_id=group, topics=[{"name": "t", "partitions": parts}], **t.who()).topics[0].partitions[0].error_code

            commit = lambda group: call(c, "offset_commit", 8, group_id=group, topics=[
                {"name": "t", "partitions": [{"partition_index": 0, "committed_offset": 1}]}]).topics[0].partitions[0].error_code
            assert commit("earlier") == NONE
            codes = collections.Counter(pend(f"pending-{n}") for n in range(1500))
            grown = resident_mb(broker.pid)
            assert set(codes) == {NONE, NOT_AVAILABLE} and codes[NONE] > 100 and codes[NOT_AVAILABLE] > 100, codes
            assert grown < SANITIZED * MEMORY_MB * 1.75, f"{grown:.0f} MB are resident"
            assert commit("earlier") == NONE, "a group that was there cannot commit any more"
            assert wait_until(lambda: t.init() == NONE, 20), "it cannot be aborted"
            assert wait_until(lambda: pend("later") == NONE, 20), "nothing has room after the abort"


def connections_take_no_more_than_their_share(_):
    """As many as the descriptors allow: those beyond the share are closed, those before and after are served."""
    most = 15_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with small_broker() as broker:
        with Connection(broker.port) as first:
            crowd = []
            for _ in range(most):
                try:
                    crowd.append(socket.create_connection(("127.0.0.1", broker.port), 5))
                except OSError:
                    break
            grown = resident_mb(broker.pid)
            assert len(first.call(API_VERSIONS, 0, b"")) > 100, "who was there is not served"
            for s in crowd:
                s.close()
            assert grown < SANITIZED * MEMORY_MB, f"beside {len(crowd)} connections {grown:.0f} MB are resident"
        assert wait_until(lambda: len(Connection(broker.port).call(API_VERSIONS, 0, b"")) > 100, 10), "nobody is served afterwards"


CASES = (fetch_sessions_take_no_more_than_their_share, groups_take_no_more_than_their_share, pending_offsets_take_no_more_than_their_share,
         connections_take_no_more_than_their_share)
