"""The way of a transaction's records: Produce, Fetch, ListOffsets, DeleteRecords, DescribeProducers and WriteTxnMarkers, byte by byte.
Each case also passes with BROKER=kafka (Apache Kafka 4.3.1), of which all cases share one."""
import atexit
import contextlib
import os
import struct
import threading
import time

from answers import WORK
from harness import open_broker
from messages import call, send, take
from odd import create
from process import wait_until
from wire import EARLIEST, LATEST, PRODUCE, Connection, batch, produce, produce_answer, request, split_batches
from wire_txn import COMMITTED, LATER, UNCOMMITTED, Transactional, aborted, listed, read, send_read, stable_up_to, take_read

OUT_OF_RANGE, UNKNOWN_TOPIC, INVALID_TOPIC, NOT_IN_ORDER, STALE_EPOCH, INVALID_STATE, WRONG_ID = 1, 3, 17, 45, 47, 48, 49
INVALID_RECORD = 87
FENCED_COORDINATOR, NO_TRANSACTIONAL_ID, FENCED, ABORTABLE = 52, 53, 90, 120
PARTITIONS = 6
T0 = 1700000000000


kafka = []


def on_kafka():
    return os.environ.get("BROKER") == "kafka"


def shared_kafka():
    """It takes long to start: the cases have it in turn, and the topic anew."""
    if not kafka:
        kafka.append(open_broker(f"{WORK}/txn-kafka", {}).start())
        atexit.register(kafka[0].kill)
    return kafka[0]


@contextlib.contextmanager
def world(name, cores=1):
    if on_kafka():
        broker = shared_kafka()
        with Connection(broker.port) as c:
            call(c, "delete_topics", 5, topic_names=["t"], timeout_ms=30000)
            assert wait_until(lambda: create(c, "t", PARTITIONS).error_code == 0, 30), "the topic could not be made anew"
            assert wait_until(lambda: all(listed(c, "t", p, LATEST, UNCOMMITTED)[0] == 0 for p in range(PARTITIONS)), 30), "it has no leaders"
            yield broker, c
        return
    with open_broker(f"{WORK}/{name}", {}, ["--cores", str(cores)]) as broker:
        with Connection(broker.port) as c:
            assert create(c, "t", PARTITIONS).error_code == 0
            yield broker, c


def on_one_and_many_cores(case):
    def both():
        for cores in (1, 4):
            with world(f"txn-{case.__name__[:20]}-{cores}", cores) as (broker, c):
                case(broker, c)
            if on_kafka():
                return
    both.__name__ = case.__name__
    return both


def read_on(c, topic, partition, offset=0, isolation=COMMITTED):
    """([base offset of each batch], [aborted transactions]) from there to the end of what may be read, in as many reads as it takes."""
    bases, named = [], set()
    while True:
        part = read(c, topic, partition, offset, isolation)
        assert part.error_code == 0, part
        brought = list(split_batches(part.records))
        if not brought:
            return bases, sorted(named, key=lambda a: a[1])
        bases += [base for base, _ in brought]
        named |= set(aborted(part) or [])
        offset = brought[-1][0] + struct.unpack_from(">i", brought[-1][1], 23)[0] + 1


def mark(c, producer, commit, parts, coordinator_epoch=0, epoch=None, version=1, generation=0):
    """The errors of a WriteTxnMarkers for [(topic, partition)]."""
    marker = {"producer_id": producer.id, "producer_epoch": producer.epoch if epoch is None else epoch, "transaction_result": commit,
              "coordinator_epoch": coordinator_epoch, "transaction_version": generation,
              "topics": [{"name": t, "partition_indexes": [p]} for t, p in parts]}
    r = call(c, "write_txn_markers", version, markers=[marker])
    return [p.error_code for m in r.markers for t in m.topics for p in t.partitions]


def producers(c, topic, *partitions):
    return call(c, "describe_producers", 0, topics=[{"name": topic, "partition_indexes": list(partitions)}]).topics[0].partitions


# --- Produce ---

@on_one_and_many_cores
def a_batch_of_an_older_client_needs_its_partition_in_the_transaction(broker, c):
    p = Transactional(c, "old")
    for version, error in ((7, INVALID_STATE), (9, INVALID_STATE), (10, INVALID_STATE), (11, ABORTABLE)):
        for partition in range(PARTITIONS):
            assert p.put("t", partition, [b"x"], version, sequence=0).error_code == error, (version, partition)
    assert p.add("t", [0, 1], later=LATER) == 0
    r = p.put("t", 0, [b"a", b"b"], 11)
    assert (r.error_code, r.base_offset) == (0, 0), r
    assert p.put("t", 2, [b"x"], 11, sequence=0).error_code == ABORTABLE
    assert [p.put("t", n, [b"c"], v).error_code for n, v in ((0, 7), (1, 9), (1, 11), (0, 10))] == [0] * 4
    assert p.end(True) == 0
    assert stable_up_to(c, "t", 0, 5) and stable_up_to(c, "t", 1, 3)
    refused = lambda: p.put("t", 0, [b"x"], 11, sequence=9).error_code in (INVALID_STATE, ABORTABLE)
    assert wait_until(refused, 10), "the transaction is over"  # a broker that is still about it says NOT_ENOUGH_REPLICAS
    assert p.epoch == 0, "an end of the first generation raises no epoch"


@on_one_and_many_cores
def a_batch_of_a_newer_client_adds_its_partition(broker, c):
    p = Transactional(c, "new")
    for n in range(5):
        raws = [("t", partition, p.batch("t", partition, [b"%d" % n])) for partition in range(PARTITIONS)]
        answers = p.put_raw(raws, 12)
        assert [r.error_code for r in answers] == [0] * PARTITIONS, answers
        assert sorted(r.index for r in answers) == list(range(PARTITIONS))
        epoch = p.epoch
        assert p.end(n % 2 == 0, 5) == 0 and p.epoch == epoch + 1
    for partition in range(PARTITIONS):
        assert stable_up_to(c, "t", partition, 10)
        assert read_on(c, "t", partition) == (list(range(10)), [(p.id, 2), (p.id, 6)])


@on_one_and_many_cores
def a_newer_client_that_is_nobody_is_told_so(broker, c):
    p, other = Transactional(c, "one"), Transactional(c, "two")
    old = Transactional(c, "one")  # fences the first
    for version in (9, 11, 12):
        assert p.put("t", 0, [b"x"], version, sequence=0).error_code == STALE_EPOCH, version
        wrong = [("t", 0, other.batch("t", 0, [b"x"], sequence=0))]
        assert other.put_raw(wrong, version, name="one")[0].error_code == WRONG_ID, version
        assert other.put_raw(wrong, version, name="nobody")[0].error_code == WRONG_ID, version
    assert p.id == old.id and p.epoch < old.epoch


@on_one_and_many_cores
def a_request_has_one_producer_and_a_name(broker, c):
    p, q = Transactional(c, "one"), Transactional(c, "two")
    both = [("t", 0, p.batch("t", 0, [b"x"], sequence=0)), ("t", 1, q.batch("t", 1, [b"x"], sequence=0))]
    for version in (7, 11, 12):
        assert [r.error_code for r in p.put_raw(both, version)] == [WRONG_ID] * 2, version
        nameless = {**p.produce_request(both[:1] + [("t", 3, batch([b"plain"]))]), "transactional_id": None}
        answers = call(c, "produce", version, **nameless).responses[0].partition_responses
        assert [r.error_code for r in answers] == [NO_TRANSACTIONAL_ID] * 2, version
    for partition in range(PARTITIONS):
        assert listed(c, "t", partition, LATEST, UNCOMMITTED)[2] == 0, "something was appended"
    # what cannot be appended has no say in it
    nowhere = [("none", 0, q.batch("none", 0, [b"x"], sequence=0)), ("t", 99, q.batch("t", 99, [b"x"], sequence=0)), ("t", 2, q.batch("t", 2, [b"x"], sequence=0) * 2)]
    for version in (11, 12):
        answers = p.put_raw(nowhere[:1] + [("t", 0, p.batch("t", 0, [b"y"], sequence=0))] + nowhere[1:], version, later=frozenset())
        want = [INVALID_RECORD, ABORTABLE if version < 12 else 0, UNKNOWN_TOPIC, UNKNOWN_TOPIC]
        assert sorted(r.error_code for r in answers) == sorted(want), (version, answers)  # Kafka has an order of its own


@on_one_and_many_cores
def plain_batches_beside_those_of_a_transaction_are_taken(broker, c):
    p = Transactional(c, "mixed")
    raws = [("t", 0, p.batch("t", 0, [b"x"])), ("t", 1, batch([b"plain"]))]
    assert [r.error_code for r in p.put_raw(raws, 12)] == [0, 0]
    plain = p.batch("t", 0, [b"y"], sequence=1, attributes=0)
    assert p.put_raw([("t", 0, plain)], 12)[0].error_code == INVALID_STATE, "its producer has a transaction open there"
    assert p.end(True, 5) == 0


@on_one_and_many_cores
def a_producer_that_pipelines_keeps_its_order(broker, c):
    """Five requests on their way at a time, the first of which begin the transaction in their partitions."""
    p = Transactional(c, "pipe")
    for version in (12, 11):
        for round_number in range(6):
            if version == 11:
                assert p.add("t", range(PARTITIONS), later=LATER) == 0
            sent = []
            for n in range(5):
                raws = [("t", partition, p.batch("t", partition, [b"%d" % n] * 3)) for partition in range(round_number % 2, PARTITIONS, 2)]
                sent.append(p.produce_request(raws))
            for request in sent:
                send(c, "produce", version, **request)
            for n in range(5):
                answers = [r for t in take(c, "produce", version).responses for r in t.partition_responses]
                assert [r.error_code for r in answers] == [0] * 3, (version, round_number, n, answers)
            if version == 12:
                epoch = p.epoch
                assert p.end(True, 5) == 0 and p.epoch == epoch + 1
            else:
                assert p.end(True, 4) == 0


def acks_of_nothing_and_of_one_work_too():
    with world("txn-acks", 2) as (broker, c):
        p = Transactional(c, "acks")
        for partition in range(PARTITIONS):
            send(c, "produce", 12, **p.produce_request([("t", partition, p.batch("t", partition, [b"x"]))], acks=0))
            send(c, "produce", 12, **p.produce_request([("t", partition, p.batch("t", partition, [b"y"]))], acks=1))
            assert take(c, "produce", 12).responses[0].partition_responses[0].error_code == 0
        assert p.end(True, 5) == 0
        for partition in range(PARTITIONS):
            assert stable_up_to(c, "t", partition, 3)


def the_ids_of_topics_are_as_good_as_their_names():
    with world("txn-ids", 2) as (broker, c):
        topic_id = call(c, "metadata", 12, topics=[{"topic_id": bytes(16), "name": "t"}]).topics[0].topic_id
        p = Transactional(c, "ids")
        for partition in range(PARTITIONS):
            request = p.produce_request([("t", partition, p.batch("t", partition, [b"x"]))])
            request["topic_data"][0].update(topic_id=topic_id, name="")
            assert call(c, "produce", 13, **request).responses[0].partition_responses[0].error_code == 0
        assert p.end(True, 5) == 0
        for partition in range(PARTITIONS):
            assert stable_up_to(c, "t", partition, 2)


# --- Fetch ---

@on_one_and_many_cores
def nothing_past_the_stable_end_is_read_committed(broker, c):
    p = Transactional(c, "w")
    for partition in range(PARTITIONS):
        assert call(c, "produce", 9, acks=-1, timeout_ms=9000,
                    topic_data=[{"name": "t", "partition_data": [{"index": partition, "records": batch([b"first"])}]}]).responses[0].partition_responses[0].error_code == 0
        assert p.put("t", partition, [b"open"]).error_code == 0
        all_of_it, stable = read(c, "t", partition, isolation=UNCOMMITTED), read(c, "t", partition)
        assert (all_of_it.high_watermark, all_of_it.last_stable_offset, aborted(all_of_it)) == (2, 1, None), all_of_it
        assert (stable.high_watermark, stable.last_stable_offset, aborted(stable)) == (2, 1, []), stable
        assert read_on(c, "t", partition, isolation=UNCOMMITTED) == ([0, 1], [])
        assert read_on(c, "t", partition) == ([0], [])
        for offset in (1, 2):
            behind = read(c, "t", partition, offset)
            assert (behind.error_code, behind.records, aborted(behind)) == (0, b"", [])
        assert read(c, "t", partition, 3).error_code == OUT_OF_RANGE
    assert p.end(True, 5) == 0
    for partition in range(PARTITIONS):
        assert stable_up_to(c, "t", partition, 3)
        assert read(c, "t", partition).last_stable_offset == 3
        assert read_on(c, "t", partition) == ([0, 1, 2], [])


@on_one_and_many_cores
def aborted_transactions_are_named_where_their_records_are(broker, c):
    one, two = Transactional(c, "one"), Transactional(c, "two")
    for topic_offset, (p, commit) in enumerate(((one, False), (two, True), (one, False), (two, False))):
        assert p.put("t", 0, [b"%d" % topic_offset] * 2).error_code == 0
        assert p.end(commit, 5) == 0
        assert stable_up_to(c, "t", 0, 3 * (topic_offset + 1))
    assert read_on(c, "t", 0)[1] == [(one.id, 0), (one.id, 6), (two.id, 9)]
    named = aborted(read(c, "t", 0, 3, max_bytes=10))
    assert named == ([(one.id, 6), (two.id, 9)] if on_kafka() else []), "what lies behind is not told; Kafka tells of the whole segment"
    assert read_on(c, "t", 0, 7)[1] == [(one.id, 6), (two.id, 9)], "from within a transaction"
    assert read_on(c, "t", 0, 8)[1] == [(one.id, 6), (two.id, 9)], "from its marker"
    assert aborted(read(c, "t", 0, isolation=UNCOMMITTED)) is None
    assert aborted(read(c, "t", 0, 12)) == []
    assert read(c, "t", 0, version=4).aborted_transactions == read(c, "t", 0, version=12).aborted_transactions


@on_one_and_many_cores
def transactions_that_overlap_are_named_by_their_first_offset(broker, c):
    one, two = Transactional(c, "one"), Transactional(c, "two")
    assert [p.put("t", 0, [b"x"]).error_code for p in (one, two, one, two)] == [0] * 4
    assert listed(c, "t", 0, LATEST, COMMITTED)[2] == 0
    assert two.end(False, 5) == 0
    assert wait_until(lambda: listed(c, "t", 0, LATEST, UNCOMMITTED)[2] == 5, 10)
    assert listed(c, "t", 0, LATEST, COMMITTED)[2] == 0, "the older one is open"
    assert one.end(False, 5) == 0
    assert stable_up_to(c, "t", 0, 6)
    assert read_on(c, "t", 0)[1] == [(one.id, 0), (two.id, 1)]


@on_one_and_many_cores
def a_waiting_fetch_is_answered_by_the_marker(broker, c):
    p = Transactional(c, "w")
    for partition in (0, 1, 2):
        with Connection(broker.port) as reader:
            assert p.put("t", partition, [b"x" * 1000]).error_code == 0
            send_read(reader, "t", partition, 0, COMMITTED, 20000, 1, 1 << 20)
            time.sleep(0.3)
            reader.socket.setblocking(False)
            try:
                assert not reader.socket.recv(1), "it was answered before the transaction's end"
            except BlockingIOError:
                pass
            reader.socket.setblocking(True)
            reader.socket.settimeout(20)
            began = time.monotonic()
            assert p.end(True, 5) == 0
            part = take_read(reader)
            assert [b for b, _ in split_batches(part.records)][:1] == [0] and time.monotonic() - began < 10
            assert part.last_stable_offset == 2


@on_one_and_many_cores
def bytes_that_are_not_stable_do_not_count(broker, c):
    p = Transactional(c, "w")
    assert p.put("t", 0, [b"x" * 5000]).error_code == 0
    began = time.monotonic()
    assert read(c, "t", 0, wait=500, min_bytes=100).records == b""
    assert time.monotonic() - began > 0.4, "min_bytes was reached by what may not be read"
    assert read(c, "t", 0, isolation=UNCOMMITTED, wait=5000, min_bytes=100).records
    assert time.monotonic() - began < 4
    assert p.end(True, 5) == 0


def a_session_tells_what_became_stable():
    with world("txn-session", 2) as (broker, c):
        p = Transactional(c, "w")
        for partition in range(PARTITIONS):
            assert p.put("t", partition, [b"x"]).error_code == 0
        asked = [{"partition": n, "fetch_offset": 0, "partition_max_bytes": 1 << 20} for n in range(PARTITIONS)]
        fetch = lambda **more: call(c, "fetch", 11, min_bytes=1, max_bytes=1 << 20, isolation_level=COMMITTED, **more)
        first = fetch(max_wait_ms=0, session_id=0, session_epoch=0, topics=[{"topic": "t", "partitions": asked}])
        assert len(first.responses[0].partitions) == PARTITIONS and first.session_id
        nothing = fetch(max_wait_ms=0, session_id=first.session_id, session_epoch=1, topics=[])
        assert nothing.responses == [], "nothing changed"
        assert p.end(False, 5) == 0
        seen, epoch = {}, 2
        while len(seen) < PARTITIONS and epoch < 50:
            r = fetch(max_wait_ms=2000, session_id=first.session_id, session_epoch=epoch, topics=[])
            assert r.error_code == 0
            for part in [x for t in r.responses for x in t.partitions]:
                if part.records:
                    seen[part.partition_index] = aborted(part)
            epoch += 1
        assert seen == {n: [(p.id, 0)] for n in range(PARTITIONS)}, seen


# --- ListOffsets, DeleteRecords ---

@on_one_and_many_cores
def offsets_are_listed_by_isolation(broker, c):
    p = Transactional(c, "w")
    plain = lambda at: call(c, "produce", 9, acks=-1, timeout_ms=9000, topic_data=[
        {"name": "t", "partition_data": [{"index": 0, "records": batch([b"p"], timestamp=at)}]}]).responses[0].partition_responses[0].error_code
    assert plain(T0) == 0
    assert p.put("t", 0, [b"x"], timestamp=T0 + 10).error_code == 0
    assert plain(T0 + 20) == 0
    for version in (2, 5, 7, 11):
        assert listed(c, "t", 0, LATEST, UNCOMMITTED, version) == (0, -1, 3)
        assert listed(c, "t", 0, LATEST, COMMITTED, version) == (0, -1, 1)
        assert listed(c, "t", 0, EARLIEST, COMMITTED, version) == (0, -1, 0)
        assert listed(c, "t", 0, T0, COMMITTED, version) == (0, T0, 0)
        for at in (T0 + 1, T0 + 15):
            assert listed(c, "t", 0, at, COMMITTED, version) == (0, -1, -1)
        assert listed(c, "t", 0, T0 + 1, UNCOMMITTED, version) == (0, T0 + 10, 1)
    assert p.end(False, 5) == 0 and stable_up_to(c, "t", 0, 4)
    assert listed(c, "t", 0, LATEST, COMMITTED) == (0, -1, 4)
    assert listed(c, "t", 0, T0 + 15, COMMITTED) == (0, T0 + 20, 2)


@on_one_and_many_cores
def records_are_deleted_up_to_the_high_watermark(broker, c):
    def delete(offset):
        r = call(c, "delete_records", 2, timeout_ms=10000, topics=[{"name": "t", "partitions": [{"partition_index": 0, "offset": offset}]}])
        return r.topics[0].partitions[0].error_code, r.topics[0].partitions[0].low_watermark
    p = Transactional(c, "w")
    for n in range(3):
        assert p.put("t", 0, [b"x"]).error_code == 0
    assert delete(4) == (OUT_OF_RANGE, -1) and delete(-2)[0] == OUT_OF_RANGE
    assert delete(2) == (0, 2), "past the beginning of an open transaction"
    assert delete(-1) == (0, 3)
    assert read(c, "t", 0).error_code == OUT_OF_RANGE
    assert p.put("t", 0, [b"y"]).error_code == 0
    assert p.end(False, 5) == 0 and stable_up_to(c, "t", 0, 5)
    assert listed(c, "t", 0, LATEST, COMMITTED)[2] == 5
    assert read(c, "t", 0, 3).error_code == 0


# --- what hangs ---

@on_one_and_many_cores
def producers_are_described(broker, c):
    p = Transactional(c, "w")
    assert producers(c, "t", 0)[0].active_producers == []
    assert p.put("t", 0, [b"x", b"y"], timestamp=T0).error_code == 0
    found = producers(c, "t", *range(PARTITIONS))
    assert sorted(f.partition_index for f in found) == list(range(PARTITIONS)) and not any(f.error_code for f in found)
    (state,) = next(f for f in found if f.partition_index == 0).active_producers
    assert (state.producer_id, state.producer_epoch, state.last_sequence, state.last_timestamp, state.current_txn_start_offset) == (p.id, p.epoch, 1, T0, 0), state
    assert state.coordinator_epoch == -1
    assert p.end(True, 5) == 0 and stable_up_to(c, "t", 0, 3)
    (state,) = producers(c, "t", 0)[0].active_producers
    assert (state.producer_epoch, state.last_sequence, state.current_txn_start_offset) == (p.epoch, -1, -1), state
    assert state.coordinator_epoch >= 0
    assert [f.error_code for f in producers(c, "t", PARTITIONS, -1)] == [UNKNOWN_TOPIC] * 2
    assert [(f.error_code, bool(f.error_message)) for f in producers(c, "nobody's", 0)] == [(INVALID_TOPIC, True)]
    assert [(f.error_code, bool(f.error_message)) for f in producers(c, "none", 0)] == [(UNKNOWN_TOPIC, True)]


@on_one_and_many_cores
def each_of_very_many_producers_is_described_once(broker, c):
    """More than a step of the answer has (net/api/describe_producers.c), and of two partitions."""
    count, window = 5000, 64
    place = lambda i: 1 if i % 8 else 4
    facts = lambda i: (1000000 + i, i % 100, i * 7, T0 + i)
    for i in range(count + window):
        if i < count:
            producer, epoch, sequence, time_ms = facts(i)
            c.send(request(PRODUCE, 7, produce("t", place(i), batch([b"x"], timestamp=time_ms, producer=(producer, epoch, sequence)))))
        if i >= window:
            assert produce_answer(c.reply()[1], "t")[0] == 0, i - window
    found = producers(c, "t", 1, 4)
    assert [f.error_code for f in found] == [0, 0]
    for f in found:
        told = [(p.producer_id, p.producer_epoch, p.last_sequence, p.last_timestamp) for p in f.active_producers]
        assert sorted(told) == [facts(i) for i in range(count) if place(i) == f.partition_index], f"{len(told)} are told"


@on_one_and_many_cores
def markers_of_an_administrator_end_what_hangs(broker, c):
    p = Transactional(c, "w")
    assert p.init() == 0  # its epoch is 1: there is one below it
    for partition in range(PARTITIONS):
        assert p.put("t", partition, [b"x"]).error_code == 0
    everywhere = [("t", n) for n in range(PARTITIONS)]
    nowhere = [] if on_kafka() else [("t", 99), ("none", 0)]  # Kafka never answers those beside others
    assert mark(c, p, False, everywhere[:2] + nowhere, coordinator_epoch=5) == [0, 0] + [UNKNOWN_TOPIC] * len(nowhere)
    for partition in (0, 1):
        assert listed(c, "t", partition, LATEST, COMMITTED)[2] == 2, "answered when it is there"
        assert read_on(c, "t", partition)[1] == [(p.id, 0)]
        assert producers(c, "t", partition)[0].active_producers[0].current_txn_start_offset == -1
    assert listed(c, "t", 2, LATEST, COMMITTED)[2] == 0
    assert mark(c, p, True, everywhere[:1], coordinator_epoch=4) == [FENCED_COORDINATOR]
    assert mark(c, p, True, everywhere[2:3], epoch=p.epoch - 1) == [STALE_EPOCH]
    assert mark(c, p, True, everywhere[2:3], version=2, generation=2) == [STALE_EPOCH], "not above the epoch of the transaction"
    assert mark(c, p, True, everywhere[2:3], epoch=p.epoch + 1, version=2, generation=2) == [0]
    assert listed(c, "t", 2, LATEST, COMMITTED)[2] == 2 and read_on(c, "t", 2) == ([0, 1], [])
    assert mark(c, p, True, everywhere[2:3], epoch=p.epoch + 1, version=2, generation=2) == [0], "the same again"
    assert call(c, "write_txn_markers", 1, markers=[]).markers == []
    p.id = -1  # nobody: in Kafka an exception, and so for every marker of the request
    for version in (1, 2):
        assert mark(c, p, False, everywhere[:2], version=version) == [-1, -1]
    assert listed(c, "t", 3, LATEST, COMMITTED)[2] == 0, "something was put"


CASES = (
    a_batch_of_an_older_client_needs_its_partition_in_the_transaction, a_batch_of_a_newer_client_adds_its_partition,
    a_newer_client_that_is_nobody_is_told_so, a_request_has_one_producer_and_a_name,
    plain_batches_beside_those_of_a_transaction_are_taken, a_producer_that_pipelines_keeps_its_order, acks_of_nothing_and_of_one_work_too,
    the_ids_of_topics_are_as_good_as_their_names, nothing_past_the_stable_end_is_read_committed,
    aborted_transactions_are_named_where_their_records_are, transactions_that_overlap_are_named_by_their_first_offset,
    a_waiting_fetch_is_answered_by_the_marker, bytes_that_are_not_stable_do_not_count, a_session_tells_what_became_stable,
    offsets_are_listed_by_isolation, records_are_deleted_up_to_the_high_watermark, producers_are_described,
    each_of_very_many_producers_is_described_once,
    markers_of_an_administrator_end_what_hangs,
)
