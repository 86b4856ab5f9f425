"""What each request of a transaction is answered, by hand, in both generations of the protocol on the same broker. The codes are those
of Apache Kafka 4.3.1 (`run --against-kafka`)."""
import threading
import time

from batches import batches_of
from messages import call, send, take
from wire import Connection, batch, create_topic, produced
from wire_txn import (ABORT, COMMIT, CONTROL, LATER, NEW_END, NEW_PRODUCE, OLD_END, Transactional, again,
                      committed, described, end_of, find_coordinator, group_offsets, read, settled)

OK, ABORTABLE = 0, 120
FENCED, OLD_EPOCH, BAD_STATE, BAD_MAPPING, BAD_TIMEOUT = 90, 47, 48, 49, 50
UNSTABLE, OUT_OF_ORDER = 88, 45


class World:
    def __init__(self, broker):
        self.broker, self.count = broker, 0
        self.connection = Connection(broker.port, broker.host)

    def topic(self, partitions=2):
        self.count += 1
        name = f"protocol-{self.count}"
        assert create_topic(self.connection, name, partitions) == 0, f"the topic {name} could not be created"
        for partition in range(partitions):
            end_of(self.connection, name, partition, False)  # Kafka tells of it a moment later
        return name

    def producer(self, topic, **settings):
        return Transactional(self.connection, topic, **settings)

    def kinds(self, topic, partition=0):
        """The markers of a partition."""
        settled(self.connection, topic, [partition])
        batches = batches_of(self.broker, topic, partition)
        return [one.records[0].key[3] for one in batches if one.attributes & CONTROL]

    def values(self, topic, partition=0):
        settled(self.connection, topic, [partition])
        return [value for _, value in committed(self.connection, topic, partition)]


def same(have, want):
    assert have == want, f"{have} instead of {want}"


def old_generation(w):
    """The epoch stays, sequences go on."""
    topic = w.topic()
    t = w.producer(topic)
    epoch = t.epoch
    for n, commit in enumerate((True, False, True)):
        same(t.transact(False, topic, {0: [b"a%d" % n], 1: [b"b%d" % n]}, commit), OK)
        settled(w.connection, topic, [0, 1])
    same((t.epoch, t.sequences[topic, 0]), (epoch, 3))
    same(w.kinds(topic), [COMMIT, ABORT, COMMIT])
    same([w.values(topic, p) for p in (0, 1)], [[b"a0", b"a2"], [b"b0", b"b2"]])


def new_generation(w):
    """Produce adds the partition, each end raises the epoch."""
    topic = w.topic()
    t = w.producer(topic)
    epoch = t.epoch
    for n, commit in enumerate((True, False, True)):
        same(t.transact(True, topic, {0: [b"a%d" % n], 1: [b"b%d" % n]}, commit), OK)
        same(t.epoch, epoch + 1 + n)
    same(w.kinds(topic), [COMMIT, ABORT, COMMIT])
    same([w.values(topic, p) for p in (0, 1)], [[b"a0", b"a2"], [b"b0", b"b2"]])


def both_at_once(w):
    """One id, first old and then new; another one meanwhile."""
    topic = w.topic()
    t, other = w.producer(topic), w.producer(topic + "-other")
    same(other.send(topic, 1, [b"other"], NEW_PRODUCE), (OK, 0))
    same(t.transact(False, topic, {0: [b"old"]}, True), OK)
    settled(w.connection, topic, [0])
    same(t.transact(True, topic, {0: [b"new"]}, True), OK)
    same(t.transact(False, topic, {0: [b"old again"]}, True), OK)
    same(end_of(w.connection, topic, 1, True), 0)
    same(other.end(False, NEW_END), OK)
    same(w.values(topic), [b"old", b"new", b"old again"])
    same(w.values(topic, 1), [])


def new_behind_old(w):
    """The old generation keeps its epoch, many markers take their time, and the new one asks nobody before it writes."""
    many, last = range(100), 99
    topic = w.topic(len(many))
    t = w.producer(topic)
    for n in range(5):
        same(t.add(topic, many), OK)
        same(t.send(topic, last, [b"aborted"])[0], OK)
        value = b"%d" % n
        data = t.batch(topic, last, [value], sequence=t.sequences[topic, last])
        send(w.connection, "end_txn", OLD_END, **t.who(), committed=False)
        send(w.connection, "produce", NEW_PRODUCE, **t.produce_request([(topic, last, data)]))
        same(take(w.connection, "end_txn", OLD_END).error_code, OK)
        error = take(w.connection, "produce", NEW_PRODUCE).responses[0].partition_responses[0].error_code
        same(error if error not in LATER else t.send(topic, last, [value], NEW_PRODUCE)[0], OK)
        same(t.end(True, NEW_END), OK)
    same(w.values(topic, last), [b"%d" % n for n in range(5)])


def not_added(w):
    """A partition that is not in the transaction."""
    topic = w.topic()
    t = w.producer(topic)
    same([t.send(topic, 0, [b"x"], version, patient=False)[0] for version in (10, 11)], [BAD_STATE, ABORTABLE])
    same(t.add(topic, [1]), OK)
    same([t.send(topic, 0, [b"x"], version, patient=False)[0] for version in (10, 11)], [BAD_STATE, ABORTABLE])
    same([t.verify(topic, p) for p in (0, 1)], [ABORTABLE, OK])
    same(t.send(topic, 0, [b"implicit"], NEW_PRODUCE), (OK, 0))
    same(t.end(True), OK)
    same(w.values(topic), [b"implicit"])


def after_the_end(w):
    """An end that is repeated, and one that comes late."""
    topic = w.topic()
    t = w.producer(topic)
    same([t.end(True), t.end(False)], [BAD_STATE, BAD_STATE])
    same(t.transact(False, topic, {0: [b"one"]}, True), OK)
    settled(w.connection, topic, [0])
    same([t.end(True), t.end(False)], [OK, BAD_STATE])
    old = {"producer_id": t.id, "producer_epoch": t.epoch}
    same(t.transact(True, topic, {0: [b"two"]}, True), OK)
    settled(w.connection, topic, [0])
    same(t.end(True, NEW_END, **old), OK)
    same(t.send(topic, 0, [b"three"], NEW_PRODUCE)[0], OK)
    same([t.end(True, version, **old) for version in (NEW_END, OLD_END)], [FENCED, FENCED])
    same(end_of(w.connection, topic, 0, True), 4)
    same(t.end(False, NEW_END), OK)
    same(w.values(topic), [b"one", b"two"])


def fenced(w):
    topic = w.topic()
    older = w.producer(topic)
    same(older.add(topic, [0]), OK)
    same(older.send(topic, 0, [b"older"])[0], OK)
    newer = w.producer(topic)
    settled(w.connection, topic, [0])
    same(newer.id, older.id)
    assert newer.epoch > older.epoch, f"the epoch {newer.epoch} is not above {older.epoch}"
    same(older.send(topic, 0, [b"x"], patient=False)[0], OLD_EPOCH)
    same(older.send(topic, 0, [b"x"], NEW_PRODUCE, patient=False)[0], OLD_EPOCH)
    same([older.add(topic, [0]), older.add(topic, [0], version=1)], [FENCED, OLD_EPOCH])
    same([older.end(True, version) for version in (5, 4, 1)], [FENCED, FENCED, OLD_EPOCH])
    same([older.init(4, producer_id=older.id, producer_epoch=older.epoch)], [FENCED])
    same([older.add_offsets("g"), older.add_offsets("g", version=1)], [FENCED, OLD_EPOCH])
    same(newer.transact(False, topic, {0: [b"newer"]}, True), OK)
    same(w.kinds(topic), [ABORT, COMMIT])
    same(w.values(topic), [b"newer"])


def late_batch(w):
    """Whoever is fenced tries again in the middle of its successor's transaction."""
    topic = w.topic()
    for produce in (11, NEW_PRODUCE):
        older = w.producer(topic)
        newer = w.producer(topic)
        for value in (b"one", b"two", b"three"):
            same(newer.send(topic, 0, [value], NEW_PRODUCE)[0], OK)
            same(older.send(topic, 0, [b"late"], produce, patient=False)[0], OLD_EPOCH)
        same(newer.end(True, NEW_END), OK)
    same(w.values(topic), [b"one", b"two", b"three"] * 2)


def unknown(w):
    topic = w.topic()
    t = w.producer(topic)
    for known, code in ((t.id, BAD_MAPPING), (t.id + 10**9, BAD_MAPPING)):
        stranger = Transactional.__new__(Transactional)
        stranger.__dict__.update(connection=w.connection, txn=topic + "-unknown", id=known, epoch=0, sequences={})
        same([stranger.add(topic, [0]), stranger.end(True), stranger.end(True, NEW_END), stranger.add_offsets("g")], [code] * 4)
        same(stranger.send(topic, 0, [b"x"], NEW_PRODUCE, patient=False)[0], BAD_MAPPING)
    same(described(w.connection, topic + "-unknown").error_code, 105)
    asked = call(w.connection, "init_producer_id", 4, transactional_id="", transaction_timeout_ms=1000)
    same(asked.error_code, 42)
    for timeout_ms in (0, -1, 900001):
        asked = call(w.connection, "init_producer_id", 4, transactional_id=topic, transaction_timeout_ms=timeout_ms)
        same(asked.error_code, BAD_TIMEOUT)


def mixed_producer(w):
    """Batches without a transaction beside the producer's own."""
    topic = w.topic()
    t = w.producer(topic)
    same(t.transact(False, topic, {0: [b"one"]}, True), OK)
    settled(w.connection, topic, [0])
    plain = batch([b"plain"], producer=(t.id, t.epoch, 1))
    same(produced(w.connection, topic, 0, plain)[0], OK)
    same(produced(w.connection, topic, 0, plain), (OK, 2))  # a duplicate
    t.sequences[topic, 0] = 2
    same(t.add(topic, [0]), OK)
    same(t.send(topic, 0, [b"two"])[0], OK)
    same(produced(w.connection, topic, 0, batch([b"in between"], producer=(t.id, t.epoch, 3)))[0], BAD_STATE)
    t.sequences[topic, 0] = 7
    same(t.send(topic, 0, [b"hole"], patient=False)[0], OUT_OF_ORDER)
    same(t.end(True), OK)
    same(w.values(topic), [b"one", b"plain", b"two"])


def offsets(w):
    """Offsets are pending until the marker."""
    topic, group = w.topic(), "protocol-offsets"
    same(find_coordinator(w.connection, group, 0), OK)
    for new, commit in ((False, True), (False, False), (True, True), (True, False)):
        t = w.producer(f"{topic}-{new}-{commit}")
        before = group_offsets(w.connection, group, topic, [0, 1])
        if not new:
            same(t.add_offsets(group), OK)
        same(t.commit_offsets(group, topic, {0: 10 + t.id % 1000, 1: 20 + t.id % 1000}, 5 if new else 4), OK)
        same(group_offsets(w.connection, group, topic, [0, 1])[0], UNSTABLE)
        same(group_offsets(w.connection, group, topic, [0, 1], stable=False), before)
        same(t.end(commit, NEW_END if new else OLD_END), OK)
        code = lambda answer: answer[0]
        after = again(lambda: group_offsets(w.connection, group, topic, [0, 1]), code, {UNSTABLE})
        same(after, (OK, [10 + t.id % 1000, 20 + t.id % 1000]) if commit else before)


def offsets_refused(w):
    topic, group = w.topic(), "protocol-refused"
    same(find_coordinator(w.connection, group, 0), OK)
    t = w.producer(topic)
    same(t.commit_offsets(group, topic, {0: 1}, 4), ABORTABLE)
    same(t.commit_offsets(group, topic, {0: 1}, 3), BAD_STATE)
    same(t.add_offsets(group), OK)
    same(t.commit_offsets(group, topic, {0: 1}, 4, generation_id_or_member_epoch=3, member_id="nobody"), 22)
    same(t.commit_offsets(group, topic, {0: 1}, 4, generation_id_or_member_epoch=3), 22)
    same(t.end(False), OK)


def timed_out(w):
    topic = w.topic()
    t = w.producer(topic, timeout_ms=300)
    same(t.add(topic, [0]), OK)
    same(t.send(topic, 0, [b"late"])[0], OK)
    settled(w.connection, topic, [0])
    same(w.kinds(topic), [ABORT])
    same(t.end(True), FENCED)
    same(t.send(topic, 0, [b"later"], patient=False)[0], OLD_EPOCH)
    same(t.init(4, producer_id=t.id, producer_epoch=t.epoch), OK)
    same(t.transact(False, topic, {0: [b"in time"]}, True), OK)
    same(w.values(topic), [b"in time"])


def partitions_gone(w):
    """A topic that is deleted in the middle ends the transaction all the same."""
    topic, gone = w.topic(), w.topic()
    t = w.producer(topic)
    same(t.add(topic, [0]), OK)
    same(t.add(gone, [0]), OK)
    same(t.send(topic, 0, [b"stays"])[0], OK)
    same(t.send(gone, 0, [b"goes"])[0], OK)
    same(call(w.connection, "delete_topics", 5, topic_names=[gone], timeout_ms=10000).responses[0].error_code, OK)
    same(t.end(True), OK)
    same(w.values(topic), [b"stays"])
    same(t.transact(False, topic, {0: [b"more"]}, True), OK)
    same(w.values(topic), [b"stays", b"more"])


def deleted_records(w):
    """Records of an open transaction may be deleted; the stable end follows the log's start."""
    topic = w.topic(1)
    t = w.producer(topic)
    same(t.transact(False, topic, {0: [b"one", b"two"]}, True), OK)
    settled(w.connection, topic, [0])
    same(t.add(topic, [0]), OK)
    same(t.send(topic, 0, [b"three", b"four"])[0], OK)
    asked = [{"name": topic, "partitions": [{"partition_index": 0, "offset": 4}]}]
    answer = call(w.connection, "delete_records", 2, topics=asked, timeout_ms=10000)
    same(answer.topics[0].partitions[0].error_code, OK)
    same(answer.topics[0].partitions[0].low_watermark, 4)
    same(t.end(True), OK)
    settled(w.connection, topic, [0])
    same([value for _, value in committed(w.connection, topic, 0, 4)], [b"four"])


def long_poll(w):
    """A reader of committed records waits until the marker comes."""
    topic = w.topic(1)
    t = w.producer(topic)
    same(t.add(topic, [0]), OK)
    same(t.send(topic, 0, [b"waits"])[0], OK)
    seen = []

    def wait_for_it():
        with Connection(w.broker.port, w.broker.host) as mine:
            records = read(mine, topic, 0, wait=15000).records
            seen.append((time.monotonic(), records))
    reader = threading.Thread(target=wait_for_it)
    reader.start()
    time.sleep(0.3)
    same(seen, [])
    begun = time.monotonic()
    same(t.end(True), OK)
    reader.join(20)
    assert seen and seen[0][1], "the reader was given nothing"
    assert seen[0][0] - begun < 5, f"the reader was given it {seen[0][0] - begun:.1f} s after the end"


CASES = [
    ("the old generation keeps its epoch", old_generation),
    ("the new generation raises it with each end", new_generation),
    ("both generations work at the same time", both_at_once),
    ("a partition that was not added is refused, by version", not_added),
    ("an end may be repeated, and a late one ends no later transaction", after_the_end),
    ("a fenced producer is refused everything", fenced),
    ("a fenced producer's late batch stops no transaction of its successor", late_batch),
    ("unknown ids, and times that are none, are refused", unknown),
    ("batches outside a transaction are refused within one", mixed_producer),
    ("offsets are pending until the marker, and dropped by an abort", offsets),
    ("offsets are refused without the transaction, and by generation and member", offsets_refused),
    ("a transaction that takes too long is aborted and its producer fenced", timed_out),
    ("a topic that is deleted in the middle holds nothing up", partitions_gone),
    ("records of an open transaction can be deleted", deleted_records),
    ("a waiting reader of committed records is woken by the marker", long_poll),
]
# In Apache Kafka the second transaction gets into the first; its Java client takes a new epoch between the two.
OURS = [
    ("a transaction of the new generation does not get into one of the old that is at its end", new_behind_old),
]


def run(report, broker):
    with broker:
        world = World(broker)
        for statement, case in CASES + ([] if broker.start_line.startswith("Kafka") else OURS):
            try:
                report.case(statement, case, world)
            finally:
                world.connection.close()
                world.connection = Connection(broker.port, broker.host)
        world.connection.close()
        report.case("the broker stops cleanly after odd transactions", broker.stop)
