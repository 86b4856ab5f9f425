"""Cases: offsets that transactions commit. A transaction is a raw connection; what reads and writes records is not looked at here."""
import threading

from members import *
from messages import call, versions
from wire_txn import LATER, again, find_coordinator

INVALID_EPOCH, INVALID_TXN_STATE, INVALID_MAPPING, UNSTABLE, ABORTABLE = 47, 48, 49, 88, 120


class Transactions:
    """A transactional producer; `version` is TxnOffsetCommit's, the other requests follow."""

    def __init__(self, w, version=5):
        w.count += 1
        self.port, self.id, self.version = w.broker.port, f"txn-{w.count}", version
        self.begin()

    def call(self, api, version, **fields):
        """Asked again while somebody is loading, or the transaction before is completing."""
        answer = again(lambda: call(self.connection, api, version, **fields), self.error_of, LATER)
        assert self.error_of(answer) not in LATER, f"{api}: error {self.error_of(answer)}"
        return answer

    @staticmethod
    def error_of(r):
        return r["error_code"] if "error_code" in r else next((p.error_code for t in r.topics for p in t.partitions), NONE)

    def begin(self):
        self.connection = Connection(self.port)
        r = self.call("init_producer_id", 4, transactional_id=self.id, transaction_timeout_ms=60000)
        assert r.error_code == NONE, r
        self.producer, self.epoch = r.producer_id, r.producer_epoch

    def names(self):
        return {"transactional_id": self.id, "producer_id": self.producer, "producer_epoch": self.epoch}

    def add(self, group):
        r = self.call("add_offsets_to_txn", 3 if self.version >= 3 else 1, group_id=group, **self.names())
        assert r.error_code == NONE, r

    def send(self, group, topic, offsets, ident=bytes(16), **more):
        """The error of each partition."""
        parts = [{"partition_index": p, "committed_offset": o, "committed_metadata": f"m{p}"} for p, o in offsets.items()]
        who = {"generation_id_or_member_epoch": -1, **more} if self.version >= 3 else {}
        named = {"name": topic} if self.version < 6 else {"topic_id": ident}
        r = self.call("txn_offset_commit", self.version, group_id=group, topics=[{**named, "partitions": parts}], **{**self.names(), **who})
        return [p.error_code for t in r.topics for p in t.partitions]

    def commit(self, group, topic, offsets, ident=bytes(16), **more):
        if self.version < 5:
            self.add(group)
        codes = []
        wait_until(lambda: codes.append(self.send(group, topic, offsets, ident, **more)) or UNKNOWN_TOPIC not in codes[-1], 5)  # Kafka's metadata
        assert set(codes[-1]) == {NONE}, f"version {self.version}: {codes[-1]}"

    def end(self, committed):
        r = self.call("end_txn", 5 if self.version >= 5 else 3, committed=committed, **self.names())
        assert r.error_code == NONE, r
        if self.version >= 5:
            self.producer, self.epoch = r.producer_id, r.producer_epoch


def fetched(w, group, topic, partition=0, stable=True):
    """(error, offset)"""
    asked = {"group_id": group, "topics": [{"name": topic, "partition_indexes": [partition]}]}
    p = call(w.admin, "offset_fetch", 9, groups=[asked], require_stable=stable).groups[0].topics[0].partitions[0]
    return p.error_code, p.committed_offset


def settled(w, group, topic, partition=0):
    """What is committed when no transaction is open any more: EndTxn is answered before its markers are written."""
    assert wait_until(lambda: fetched(w, group, topic, partition)[0] != UNSTABLE, 20, 0.01), "it stays unstable"
    return fetched(w, group, topic, partition)


def find_coordinators(w):
    assert find_coordinator(w.admin, "txn") == NONE


def offsets_of_a_transaction_count_when_it_is_committed(w):
    find_coordinators(w)
    topic = w.topic()
    ident = w.topic_id(topic)
    served = {k.api_key: k.max_version for k in call(w.admin, "api_versions", 3, client_software_name="t", client_software_version="1").api_keys}
    for version in versions("txn_offset_commit"):
        if version > served[28]:
            continue  # Kafka 4.3 does not have 6
        group, t = w.group(), Transactions(w, version)
        w.commit(group, topic, {0: 1})
        for round_, committed in enumerate((True, False, True)):
            before = fetched(w, group, topic)
            t.commit(group, topic, {0: 10 + round_, 1: 20 + round_}, ident)
            assert fetched(w, group, topic) == (UNSTABLE, -1), f"version {version}: what is pending is not unstable"
            assert fetched(w, group, topic, 1) == (UNSTABLE, -1)
            assert fetched(w, group, topic, 2) == (NONE, -1)
            assert fetched(w, group, topic, stable=False) == before, "it counts before it is committed"
            t.end(committed)
            assert settled(w, group, topic) == ((NONE, 10 + round_) if committed else before)
        assert w.committed(group) == {(topic, 0): 12, (topic, 1): 22}


def every_version_of_offset_fetch_knows_what_is_stable(w):
    find_coordinators(w)
    topic, group, t = w.topic(), w.group(), Transactions(w)
    ident = w.topic_id(topic)
    w.commit(group, topic, {0: 1, 1: 2})
    t.commit(group, topic, {0: 5, 3: 5})
    for version in versions("offset_fetch"):
        for stable in (False, True) if version >= 7 else (None,):
            asked = {} if stable is None else {"require_stable": stable}
            named = {"name": topic, "partition_indexes": [0, 1, 3], **({"topic_id": ident} if version >= 8 else {})}
            for topics in ([named], None) if version >= 2 else ([named],):
                one = {"group_id": group, "topics": topics}
                r = call(w.admin, "offset_fetch", version, **asked, **(one if version < 8 else {"groups": [one]}))
                r = r if version < 8 else r.groups[0]
                assert r.error_code == NONE
                found = {p.partition_index: (p.error_code, p.committed_offset, p.metadata) for p in r.topics[0].partitions}
                wanted = {0: (UNSTABLE, -1, "") if stable else (NONE, 1, "m0"), 1: (NONE, 2, "m1")}
                if topics:  # what nothing was committed of is no offset of the group
                    wanted[3] = (UNSTABLE, -1, "") if stable else (NONE, -1, "")
                assert found == wanted, f"version {version}, stable {stable}: {found}, not {wanted}"
    t.end(False)


def the_group_fences_members(w):
    find_coordinators(w)
    topic, group = w.topic(), w.group()
    m = w.member(group).start()
    static = w.member(w.group(), instance="s").start()
    for version in (3, 4, 5):
        for asked, code in (({}, NONE),
                            ({"member_id": m.id, "generation_id_or_member_epoch": m.generation}, NONE),
                            ({"member_id": m.id, "generation_id_or_member_epoch": m.generation + 1}, ILLEGAL_GENERATION),
                            ({"member_id": m.id, "generation_id_or_member_epoch": -1}, ILLEGAL_GENERATION),
                            ({"member_id": "other", "generation_id_or_member_epoch": m.generation}, UNKNOWN_MEMBER),
                            ({"member_id": "", "generation_id_or_member_epoch": m.generation}, UNKNOWN_MEMBER)):
            t = Transactions(w, version)
            if version < 5:
                t.add(group)
            assert t.send(group, topic, {0: 1, 1: 1}, **asked) == [code, code], f"version {version}: {asked}"
            t.end(False)
        t = Transactions(w, version)
        if version < 5:
            t.add(static.group)
        who = {"member_id": static.id, "group_instance_id": "s", "generation_id_or_member_epoch": static.generation}
        assert t.send(static.group, topic, {0: 1}, **{**who, "member_id": "old"}) == [FENCED]
        assert t.send(static.group, topic, {0: 1}, **{**who, "group_instance_id": "nobody"}) == [UNKNOWN_MEMBER]
        assert t.send(static.group, topic, {0: 1}, **who) == [NONE]
        t.end(False)
        t = Transactions(w, version)
        missing = w.group()
        if version < 5:
            t.add(missing)
        assert t.send(missing, topic, {0: 1}, generation_id_or_member_epoch=0, member_id="x") == [ILLEGAL_GENERATION]
        t.end(False)


def the_transaction_must_be_that_producers(w):
    find_coordinators(w)
    topic, group = w.topic(), w.group()
    for version in versions("txn_offset_commit"):
        if version > 5:
            continue  # topic ids: nothing else is different
        t = Transactions(w, version)
        if version < 5:
            assert t.send(group, topic, {0: 1}) == [ABORTABLE if version == 4 else INVALID_TXN_STATE], f"version {version}"
        real = t.producer, t.epoch
        for (t.producer, t.epoch), code in (((real[0] + 1, 0), INVALID_MAPPING), ((real[0], real[1] + 1), INVALID_EPOCH), ((-1, -1), INVALID_MAPPING)):
            assert t.send(group, topic, {0: 1}) == [code], f"version {version}: {t.producer} {t.epoch}"
        t.producer, t.epoch = real
        t.commit(group, topic, {0: 1})
        late = Transactions.__new__(Transactions)
        late.__dict__.update(t.__dict__)
        t.begin()  # aborts, and fences who goes on
        assert settled(w, group, topic) == (NONE, -1)
        assert late.send(group, topic, {0: 1}) == [INVALID_EPOCH], f"version {version}"
        assert fetched(w, group, topic) == (NONE, -1)
        t.commit(group, topic, {0: 1})
        t.end(False)
        assert settled(w, group, topic) == (NONE, -1)
    t = Transactions(w)
    assert t.send("", topic, {0: 1}) == [INVALID_GROUP]
    assert t.send(group, "nowhere", {0: 1}) == [UNKNOWN_TOPIC]
    assert sorted(t.send(group, topic, {0: 1, 99: 1})) == [NONE, UNKNOWN_TOPIC]
    t.end(False)


def deletions_take_what_is_pending(w):
    find_coordinators(w)
    topic, deleted, kept, gone = w.topic(), w.group(), w.group(), w.topic()
    t = Transactions(w)
    t.commit(deleted, topic, {0: 1})
    t.commit(kept, topic, {0: 1, 1: 2})
    t.commit(kept, gone, {0: 1})
    assert call(w.admin, "delete_groups", 2, groups_names=[deleted]).results[0].error_code == NONE
    parts = [{"partition_index": 0}]
    r = call(w.admin, "offset_delete", 0, group_id=kept, topics=[{"name": topic, "partitions": parts}])
    assert (r.error_code, r.topics[0].partitions[0].error_code) == (NONE, NONE)
    assert call(w.admin, "delete_topics", 4, topic_names=[gone], timeout_ms=10000).responses[0].error_code == NONE
    assert wait_until(lambda: fetched(w, kept, gone) == (NONE, -1), 20), "of a topic that is gone something is pending"
    t.end(True)
    assert settled(w, kept, topic, 1) == (NONE, 2)
    assert w.committed(kept) == {(topic, 1): 2} and w.committed(deleted) == {}
    assert w.describe(deleted).error_code == NOT_FOUND


def what_is_pending_survives_restarts(w):
    find_coordinators(w)
    topic, group = w.topic(), w.group()
    for kill in (True, False):
        ends = {Transactions(w): committed for committed in (True, False)}
        for i, t in enumerate(ends):
            t.commit(group, topic, {i: 7 + kill})
        before = w.committed(group)
        w.restart(kill)
        assert [fetched(w, group, topic, i) for i in (0, 1)] == [(UNSTABLE, -1)] * 2 and w.committed(group) == before
        for t, committed in ends.items():
            t.connection = Connection(w.broker.port)
            t.end(committed)
        assert settled(w, group, topic) == (NONE, 7 + kill)
        assert settled(w, group, topic, 1)[0] == NONE and (topic, 1) not in w.committed(group)
        w.restart(kill)
        assert w.committed(group) == {(topic, 0): 7 + kill}


def every_answered_end_survives_kills(w):
    """Two groups in each transaction: both or none, and what was answered stands."""
    find_coordinators(w)
    topic, groups = w.topic(), [w.group() for _ in range(4)]
    t = Transactions(w)
    answered = asked = total = rounds = 0
    while rounds < 4 or total <= 20:  # on a busy machine a life has few
        rounds += 1
        assert rounds <= 40, f"only {total} transactions"
        stop = threading.Timer(0.4, w.broker.kill)
        stop.start()
        try:
            while True:
                asked = answered + 1
                for group in groups:
                    t.commit(group, topic, {0: asked})
                t.end(True)
                answered, total = asked, total + 1
        except (EOFError, OSError):
            pass
        stop.join()
        w.broker.start()
        w.connect()
        find_coordinators(w)
        t.port = w.broker.port
        t.begin()  # completes or aborts what was under way
        found = {settled(w, group, topic) for group in groups}
        assert len(found) == 1, f"a transaction in part: {found}, {answered} was answered"
        assert found <= {(NONE, answered), (NONE, asked)}, f"{found}, {answered} was answered"
        answered = max(answered, found.pop()[1])


CASES = (
    offsets_of_a_transaction_count_when_it_is_committed, every_version_of_offset_fetch_knows_what_is_stable, the_group_fences_members,
    the_transaction_must_be_that_producers, deletions_take_what_is_pending, what_is_pending_survives_restarts,
    every_answered_end_survives_kills,
)
