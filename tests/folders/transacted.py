"""Transactions in a data folder: committed, aborted and open ones, of both generations, with offsets of a group in them.

`fill` and `fill_more` write them, `look` answers what both isolation levels, the coordinator and the group say, `go_on` ends what is open."""
from process import wait_until
from wire import create_topic
from wire_txn import NEW_END, NEW_PRODUCE, OLD_END, OLD_PRODUCE, Transactional, committed, described, end_of, group_offsets, settled

TOPIC, PARTITIONS, GROUP = "transacted", 2, "chain"
SMALL_SEGMENTS = [("internal.segment.bytes", "2000"), ("index.interval.bytes", "200")]
OLD_WAY, NEW_WAY, OPEN = "old-way", "new-way", "left-open"
OPEN_PARTITION = 1  # the stable end of the other one moves on
LONGEST_MS = 900_000
FENCED, UNSTABLE = 47, 88


def ok(error, what):
    assert error == 0, f"{what} says error {error}"


def write(t, partition, what):
    old = t.txn == OLD_WAY
    if old:
        ok(t.add(TOPIC, [partition]), f"AddPartitionsToTxn of {t.txn}")
    values = [f"{t.txn} {what} {i} ".encode() + b"x" * 60 for i in range(5)]
    ok(t.send(TOPIC, partition, values, OLD_PRODUCE if old else NEW_PRODUCE)[0], f"Produce of {t.txn}")


def end(t, commit):
    ok(t.end(commit, OLD_END if t.txn == OLD_WAY else NEW_END), f"EndTxn of {t.txn}")


def write_interleaved(c, rounds, offset):
    """In each round one commits while the other aborts, and each is in the middle of the other's."""
    both = [Transactional(c, name) for name in (OLD_WAY, NEW_WAY)]
    for n in range(rounds):
        for partition in range(PARTITIONS):
            for t in both:
                write(t, partition, f"round {n}")
        ok(both[n % 2].add_offsets(GROUP) or both[n % 2].commit_offsets(GROUP, TOPIC, {0: offset + n}), "TxnOffsetCommit")
        for which, t in enumerate(both):
            end(t, n % 2 == which)


def fill(c):
    """Answers what a look cannot see: who has a transaction open."""
    ok(create_topic(c, TOPIC, PARTITIONS, SMALL_SEGMENTS), "CreateTopics")
    write_interleaved(c, 4, 10)
    t = Transactional(c, OPEN, timeout_ms=LONGEST_MS)
    write(t, OPEN_PARTITION, "begun")
    ok(t.add_offsets(GROUP) or t.commit_offsets(GROUP, TOPIC, {OPEN_PARTITION: 77}), "TxnOffsetCommit")
    await_ends(c)
    return {"open": [t.id, t.epoch, t.sequences[TOPIC, OPEN_PARTITION]]}


def fill_more(c):
    write_interleaved(c, 2, 20)
    await_ends(c)


def state_of(c, name):
    found = described(c, name)
    ok(found.error_code, f"DescribeTransactions of {name}")
    return found


def await_ends(c):
    """The markers, and the coordinator's note that they are written, come a moment after an end was answered."""
    for name in (OLD_WAY, NEW_WAY):
        assert wait_until(lambda: state_of(c, name).transaction_state.startswith("Complete"), 20), f"{name} is not complete"


def look(c):
    for name in (OLD_WAY, NEW_WAY, OPEN):
        assert wait_until(lambda: described(c, name).error_code == 0, 20), f"{name} is not loaded"
    states = {name: state_of(c, name) for name in (OLD_WAY, NEW_WAY, OPEN)}
    return {"committed": {str(p): [[offset, value.decode()] for offset, value in committed(c, TOPIC, p)] for p in range(PARTITIONS)},
            "ends": {str(p): [end_of(c, TOPIC, p, stable) for stable in (True, False)] for p in range(PARTITIONS)},
            "states": {name: [s.transaction_state, s.producer_id, s.producer_epoch, [[t.topic, list(t.partitions)] for t in s.topics]]
                       for name, s in states.items()},
            "offsets": {str(p): list(group_offsets(c, GROUP, TOPIC, [p])) for p in range(PARTITIONS)}}


def go_on(c, was, commit):
    """What was open goes on and is ended; ids go on with their next epoch, and who had the one before is fenced."""
    producer, epoch, sequence = was["open"]
    assert was["transactions"]["offsets"][str(OPEN_PARTITION)][0] == UNSTABLE, "no offset is pending"
    t = Transactional(c, OPEN, identity=(producer, epoch))
    t.sequences[TOPIC, OPEN_PARTITION] = sequence
    write(t, OPEN_PARTITION, "went on")
    end(t, commit)
    for name in (OLD_WAY, NEW_WAY):
        _, producer, epoch, _ = was["transactions"]["states"][name]
        fresh = Transactional(c, name)
        assert (fresh.id, fresh.epoch) == (producer, epoch + 1), f"{name} goes on as {fresh.id}, {fresh.epoch} after {producer}, {epoch}"
        late = Transactional(c, name, identity=(producer, epoch)).send(TOPIC, 0, [b"late"], NEW_PRODUCE)[0]
        assert late == FENCED, f"who had {name} before is answered {late}"
        write(fresh, 0, "later")
        end(fresh, True)
    settled(c, TOPIC, range(PARTITIONS))
    await_ends(c)
    texts = [value.decode() for _, value in committed(c, TOPIC, OPEN_PARTITION)]
    found = [text for text in texts if text.startswith(OPEN)]
    assert len(found) == (10 if commit else 0), f"{len(found)} records of what was open, commit={commit}"
    wanted = (0, [77 if commit else -1])
    assert wait_until(lambda: group_offsets(c, GROUP, TOPIC, [OPEN_PARTITION]) == wanted, 20), f"the group's offset is not {wanted}"
