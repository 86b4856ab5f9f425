"""An id whose epochs are used up gets the next producer id, in both generations, and whatever comes late of the one before is refused. The codes
are Apache Kafka 4.3.1's. Nobody waits for 32,764 restarts of a client: while the broker is away, the epoch in the record of the id is changed."""
import glob
import os
import struct

from batches import batches_of
from messages import call
from protocol import BAD_MAPPING, OK, OLD_EPOCH, same
from wire import Connection, crc32c, create_topic
from wire_txn import (ABORT, COMMIT, CONTROL, NEW_END, NEW_PRODUCE, Transactional, again, committed, described, end_of, find_coordinator,
                      group_offsets, settled)

LAST = 32766  # the epoch behind it fences, and is nobody's
LENGTH_AT, CRC_AT, CRC_FROM = 8, 17, 21  # of a batch
TOPIC, GROUP = "epochs", "epochs"
NEW, OLD, TIMED = 0, 1, 2  # partitions
TIMEOUT_MS = 60000


def set_epoch(path, producer_id, epoch):
    """In each record of the producer in a log of `__transaction_state`: how many there are. Its value begins: version 2, producer id 8, epoch 2."""
    with open(path, "rb") as file:
        log = bytearray(file.read())
    at = changed = 0
    while at + CRC_FROM < len(log) and (length := struct.unpack_from(">i", log, at + LENGTH_AT)[0]) > 0:
        end = at + LENGTH_AT + 4 + length
        value = log.find(struct.pack(">q", producer_id), at + CRC_FROM + 40, end)
        if value >= 0:
            struct.pack_into(">h", log, value + 8, epoch)
            struct.pack_into(">I", log, at + CRC_AT, crc32c(bytes(log[at + CRC_FROM:end])))
            changed += 1
        at = end
    if changed:
        with open(path, "r+b") as file:
            file.write(log)
    return changed


class World:
    def __init__(self, broker):
        self.broker = broker
        self.connections = [Connection(broker.port, broker.host) for _ in range(3)]
        assert create_topic(self.connections[0], TOPIC, 3) == 0, "the topic could not be created"
        for partition in range(3):
            end_of(self.connections[0], TOPIC, partition, False)
        self.ids = [Transactional(c, name, TIMEOUT_MS) for c, name in zip(self.connections, ("new", "old", "timed"))]

    def come_back(self):
        self.broker.start()
        self.connections = [Connection(self.broker.port, self.broker.host) for _ in range(3)]
        for t, connection in zip(self.ids, self.connections):
            t.connection = connection
            find_coordinator(connection, t.txn)

    def near_the_end(self):
        same(find_coordinator(self.connections[0], GROUP, 0), OK)
        self.broker.stop(90)
        for t, epoch in zip(self.ids, (LAST - 2, LAST, LAST - 1)):
            logs = glob.glob(os.path.join(self.broker.data, "__transaction_state-*", "*.log"))
            same(sum(set_epoch(path, t.id, epoch) for path in logs), 1)
            t.epoch = epoch
        self.come_back()
        for t in self.ids:
            found = again(lambda: described(t.connection, t.txn), lambda a: a.error_code, {14, 15, 16})  # noqa: B023
            same((found.error_code, found.producer_id, found.producer_epoch), (OK, t.id, t.epoch))

    def kinds(self, partition):
        settled(self.connections[0], TOPIC, [partition])
        return [(one.records[0].key[3], one.producer_epoch) for one in batches_of(self.broker, TOPIC, partition) if one.attributes & CONTROL]

    def values(self, partition):
        settled(self.connections[0], TOPIC, [partition])
        return [value for _, value in committed(self.connections[0], TOPIC, partition)]


def ghost_of(t):
    """The producer as it was: what comes late of it."""
    ghost = Transactional.__new__(Transactional)
    ghost.__dict__.update(t.__dict__, sequences=dict(t.sequences))
    return ghost


def new_generation(w):
    """An end gives the next producer id, once, however often it is asked for."""
    t = w.ids[NEW]
    first = t.id
    for value in (b"a", b"b"):
        same(t.transact(True, TOPIC, {NEW: [value]}, True), OK)
    same((t.id, t.epoch), (first, LAST))
    same(t.send(TOPIC, NEW, [b"c"], NEW_PRODUCE)[0], OK)
    same(t.commit_offsets(GROUP, TOPIC, {NEW: 3}, 5), OK)
    late = ghost_of(t)
    same(t.end(True, NEW_END), OK)
    assert t.id != first, f"the end of epoch {LAST} left producer {t.id}"
    same(t.epoch, 0)
    settled(w.connections[0], TOPIC, [NEW])
    repeated = call(w.connections[0], "end_txn", NEW_END, **late.who(), committed=True)
    same((repeated.error_code, repeated.producer_id, repeated.producer_epoch), (OK, t.id, 0))
    same(late.send(TOPIC, NEW, [b"late"], NEW_PRODUCE, patient=False)[0], OLD_EPOCH)
    same(late.send(TOPIC, NEW, [b"late"], patient=False)[0], OLD_EPOCH)
    same(late.send(TOPIC, OLD, [b"late"], NEW_PRODUCE, patient=False)[0], BAD_MAPPING)
    same([late.add(TOPIC, [NEW]), late.add_offsets(GROUP), late.commit_offsets(GROUP, TOPIC, {NEW: 1}, 5)], [BAD_MAPPING, BAD_MAPPING, OLD_EPOCH])
    same(t.transact(True, TOPIC, {NEW: [b"d"]}, True), OK)
    same(t.epoch, 1)
    same([late.end(True, NEW_END), late.end(False, NEW_END)], [BAD_MAPPING] * 2)
    same(w.values(NEW), [b"a", b"b", b"c", b"d"])
    same(w.kinds(NEW), [(COMMIT, LAST - 1), (COMMIT, LAST), (COMMIT, LAST + 1), (COMMIT, 1)])
    same(again(lambda: group_offsets(w.connections[0], GROUP, TOPIC, [NEW]), lambda a: a[0], {88}), (OK, [3]))


def old_generation(w):
    """The last epoch serves as many transactions as are wanted; the next InitProducerId ends what is open and gives the next id."""
    t = w.ids[OLD]
    first = t.id
    for n, commit in enumerate((True, False, True)):
        same(t.transact(False, TOPIC, {OLD: [b"%d" % n]}, commit), OK)
        settled(w.connections[0], TOPIC, [OLD])
    same((t.id, t.epoch), (first, LAST))
    same(t.add(TOPIC, [OLD]), OK)
    same(t.send(TOPIC, OLD, [b"open"])[0], OK)
    late = ghost_of(t)
    same(t.init(), OK)
    assert t.id != first, f"InitProducerId behind epoch {LAST} left producer {t.id}"
    same(t.epoch, 1)  # 0 came with the end of what was open
    same(late.send(TOPIC, OLD, [b"late"], patient=False)[0], OLD_EPOCH)
    same([late.add(TOPIC, [OLD]), late.add_offsets(GROUP), late.end(True), late.end(False)], [BAD_MAPPING] * 4)
    same(t.transact(False, TOPIC, {OLD: [b"next"]}, True), OK)
    same(w.values(OLD), [b"0", b"2", b"next"])
    same(w.kinds(OLD), [(COMMIT, LAST), (ABORT, LAST), (COMMIT, LAST), (ABORT, LAST + 1), (COMMIT, 1)])


def timed_out(w):
    """A time-out ends the last epoch: nothing of that producer is known any more."""
    t = w.ids[TIMED]
    first = t.id
    t.timeout_ms = 300
    same(t.init(), OK)
    same((t.id, t.epoch), (first, LAST))
    same(t.add(TOPIC, [TIMED]), OK)
    same(t.send(TOPIC, TIMED, [b"late"])[0], OK)
    settled(w.connections[0], TOPIC, [TIMED])
    late = ghost_of(t)
    same(late.end(True), BAD_MAPPING)
    t.timeout_ms = TIMEOUT_MS
    same(t.init(), OK)
    assert t.id != first, f"InitProducerId behind epoch {LAST + 1} left producer {t.id}"
    same(t.epoch, 1)  # 0 came with the end of what was open
    same([late.end(True), late.add(TOPIC, [TIMED])], [BAD_MAPPING] * 2)
    same(late.send(TOPIC, TIMED, [b"late"], patient=False)[0], OLD_EPOCH)
    same(t.transact(True, TOPIC, {TIMED: [b"in time"]}, True), OK)
    same(w.values(TIMED), [b"in time"])
    same(w.kinds(TIMED), [(ABORT, LAST + 1), (COMMIT, 2)])


def after_a_kill(w):
    """What was given stays given."""
    w.broker.kill()
    w.come_back()
    for t, partition in zip(w.ids, (NEW, OLD, TIMED)):
        found = again(lambda: described(t.connection, t.txn), lambda a: a.error_code, {14, 15, 16})  # noqa: B023
        same((found.producer_id, found.producer_epoch), (t.id, t.epoch))
        same(t.transact(True, TOPIC, {partition: [b"after"]}, True), OK)
        same(w.values(partition)[-1], b"after")


CASES = [
    ("an id is brought to its last epochs", World.near_the_end),
    ("in the new generation an end gives the next producer id, and what is late of the old one is refused", new_generation),
    ("in the old generation InitProducerId does", old_generation),
    ("a time-out at the last epoch does so too", timed_out),
    ("the ids that were given are there after kill -9", after_a_kill),
]


def run(report, broker):
    with broker:
        world = World(broker)
        for statement, case in CASES:
            report.case(statement, case, world)
        report.case("the broker stops cleanly", broker.stop)
