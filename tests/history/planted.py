"""Histories that are right, and for each check some that it must not let pass; each must be found, and by that check."""
import checker

TIME = [0.0]


def send(process, *records, outcome="ok"):
    return operation(process, "send", outcome, records)


def transaction(process, *records, outcome="ok"):
    return {**send(process, *records, outcome=outcome), "txn": True}


def poll(process, *records):
    return operation(process, "poll", "ok", records)


def seek(process):
    return operation(process, "seek", "ok", ())


def operation(process, do, outcome, records):
    TIME[0] += 1
    return {"process": process, "do": do, "begin": TIME[0], "end": TIME[0] + 0.5, "outcome": outcome,
            "records": [list(r) for r in records]}


def good():
    """Everything that may be: an unknown outcome that happened, one that did not, a gap, a seek back, polls that wait, empty ones."""
    return [send("p", (0, "a", 0), (1, "b", 0)), send("q", (0, "c", 1)), poll("r", (0, "a", 0), (0, "c", 1), (1, "b", 0)),
            send("p", (0, "d", None), outcome="info"), send("q", (0, "e", None), outcome="info"),
            send("q", (0, "big", None), outcome="fail"), send("p", (0, "f", 5)),
            poll("r", (0, "e", 2), (0, "f", 5)), poll("r"), seek("r"), poll("r", (0, "a", 0), (0, "c", 1), (0, "e", 2), (0, "f", 5)),
            poll("s", (0, "c", 1)), transaction("t", (0, "g", 7), (1, "h", 2)), transaction("t", (0, "i", None), outcome="fail"),
            transaction("t", (0, "j", None), (1, "k", None), outcome="info"), transaction("u", (0, "l", None), outcome="info"),
            poll("s", (0, "e", 2), (0, "f", 5), (0, "g", 7), (0, "j", 11)), poll("s", (1, "b", 0), (1, "h", 2), (1, "k", 4))]


def from_the_future():
    late, early = send("p", (0, "a", 0)), poll("r", (0, "a", 0))
    early["begin"], early["end"] = late["begin"] - 0.4, late["begin"] - 0.2
    return [early, late]


# what, the check that finds it, the history
BAD = [
    ("a refused value is read", checker.aborted_reads,
     lambda: [send("p", (0, "a", None), outcome="fail"), poll("r", (0, "a", 0))]),
    ("a value is read that nobody sent", checker.aborted_reads, lambda: [poll("r", (0, "?", 0))]),
    ("two readers see two values at one offset", checker.inconsistent_offsets,
     lambda: [send("p", (0, "a", None), outcome="info"), send("q", (0, "b", None), outcome="info"), poll("r", (0, "a", 0)),
              poll("s", (0, "b", 0))]),
    ("two sends are acknowledged at one offset", checker.inconsistent_offsets,
     lambda: [send("p", (0, "a", 3)), send("q", (0, "b", 3))]),
    ("a reader sees another value than was acknowledged there", checker.inconsistent_offsets,
     lambda: [send("p", (0, "a", 0)), send("q", (0, "b", None), outcome="info"), poll("r", (0, "b", 0))]),
    ("an acknowledged record is gone", checker.lost_writes,
     lambda: [send("p", (0, "a", 0)), send("p", (0, "b", 1)), send("p", (0, "c", 2)), poll("r", (0, "a", 0)), seek("r"),
              poll("r", (0, "c", 2))]),
    ("the last acknowledged record is gone", checker.unseen_writes,
     lambda: [send("p", (0, "a", 0)), send("p", (0, "b", 1)), poll("r", (0, "a", 0))]),
    ("a record stands before one that its sender had read", checker.cycles,
     lambda: [send("q", (0, "a", 7)), poll("p", (0, "a", 7)), send("p", (0, "b", 3))]),
    ("two clients read each other's future", checker.cycles,
     lambda: [poll("p", (0, "b", 0)), send("p", (1, "a", 0)), poll("q", (1, "a", 0)), send("q", (0, "b", 0))]),
    ("a poll goes back inside", checker.poll_order,
     lambda: [send("p", (0, "a", 0), (0, "b", 1)), poll("r", (0, "b", 1), (0, "a", 0))]),
    ("a poll gives a record twice", checker.poll_order,
     lambda: [send("p", (0, "a", 0)), poll("r", (0, "a", 0), (0, "a", 0))]),
    ("a poll passes over a record", checker.poll_order,
     lambda: [send("p", (0, "a", 0), (0, "b", 1), (0, "c", 2)), poll("r", (0, "a", 0), (0, "c", 2)), poll("s", (0, "b", 1))]),
    ("the next poll goes back", checker.poll_order,
     lambda: [send("p", (0, "a", 0), (0, "b", 1)), poll("r", (0, "a", 0), (0, "b", 1)), poll("r", (0, "b", 1))]),
    ("the next poll passes over a record", checker.poll_order,
     lambda: [send("p", (0, "a", 0), (0, "b", 1), (0, "c", 2)), poll("r", (0, "a", 0)), poll("r", (0, "c", 2))]),
    ("a send is turned round inside", checker.send_order, lambda: [send("p", (0, "a", 1), (0, "b", 0))]),
    ("the next send stands before", checker.send_order, lambda: [send("p", (0, "a", 5)), send("p", (0, "b", 4))]),
    ("a record is there twice", checker.duplicates,
     lambda: [send("p", (0, "a", 0)), poll("r", (0, "a", 0), (0, "a", 1))]),
    ("a record is in two partitions", checker.duplicates, lambda: [send("p", (0, "a", 0)), poll("r", (1, "a", 0))]),
    ("a record of an aborted transaction is read", checker.aborted_reads,
     lambda: [transaction("p", (0, "a", None), (1, "b", None), outcome="fail"), poll("r", (1, "b", 0))]),
    ("half of a transaction is there", checker.torn_transactions,
     lambda: [transaction("p", (0, "a", None), (1, "b", None), outcome="info"), poll("r", (0, "a", 0))]),
    ("half of a committed transaction is gone", checker.unseen_writes,
     lambda: [transaction("p", (0, "a", 0), (1, "b", 0)), poll("r", (0, "a", 0))]),
    ("a record is read before it is sent", checker.precommitted_reads, from_the_future),
]


def state(report):
    """Every check is proven to see something before it is believed."""
    for name, check in checker.CHECKS.items():
        said = checker.wrong(check, good())
        report.check(f"a right history passes: {name}", not said, "; ".join(said))
    for what, check, make in BAD:
        report.check(f"found: {what}", checker.wrong(check, make()), f"{check.__name__} lets it pass")
    said = checker.wrong(checker.torn_transactions, good())
    report.check("a right history passes: all of a transaction or nothing", not said, "; ".join(said))
    unproven = {*checker.CHECKS.values(), checker.torn_transactions, checker.unseen_writes} - {check for _, check, _ in BAD}
    report.check("each check has a planted history", not unproven, f"{[c.__name__ for c in unproven]} have none")
