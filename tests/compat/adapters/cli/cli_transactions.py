"""Transactions through Kafka's tools: the perf test, the copier of Kafka's system tests, kafka-transactions, isolation levels of the
console consumer."""
import re

from batches import batches_of
from cli_tools import CONSUMER, PACKAGE, documents, table
from step_transactions import markers
from wire_txn import ABORT, COMMIT, Transactional, end_of, settled

TRANSACTIONS = PACKAGE + "TransactionsCommand"
PERF, COPIED, SIZE = 3000, 200, 40


def kinds(trial, topic, partition=0):
    with trial.connection() as connection:
        settled(connection, topic, [partition])
    return [kind for kind, _ in markers(batches_of(trial.broker, topic, partition))]


def console(tools, topic, isolation, count):
    out = tools.run(CONSUMER, "--topic", topic, "--from-beginning", "--isolation-level", isolation, "--max-messages", count,
                    "--timeout-ms", 20000).out
    return out.splitlines()


def performance(tools):
    trial, topic = tools.trial, tools.trial.topic(1)
    said = tools.run(PACKAGE + "ProducerPerformance", "--topic", topic, "--num-records", PERF, "--record-size", 100, "--throughput",
                     PERF * 2, "--transactional-id", topic, "--transaction-duration-ms", 100, "--command-property", "acks=all")
    assert re.search(rf"^{PERF} records sent, [1-9].* ms 99\.9th", said.out, re.M), f"{said}"
    found = kinds(trial, topic)
    assert len(found) >= 2 and set(found) == {COMMIT}, f"the markers are {found}"
    stored = sum(len(one.records) for one in batches_of(trial.broker, topic, 0))
    assert stored == PERF + len(found), f"{stored} records and {len(found)} markers"


def copied(tools):
    """Copies a partition in transactions, some of which it aborts and does again."""
    trial, source, target = tools.trial, tools.trial.topic(1), tools.trial.topic(1)
    trial.fill(source, 0, [b"%d" % n for n in range(COPIED)])
    said = tools.run(PACKAGE + "TransactionalMessageCopier", "--broker-list", tools.address, "--transactional-id", target,
                     "--consumer-group", trial.group("copier"), "--input-topic", source, "--input-partition", 0, "--output-topic", target,
                     "--max-messages", COPIED, "--transaction-size", SIZE, "--enable-random-aborts", "--use-group-metadata")
    last = documents(said.out)[-1]
    assert last.get("remaining", 0) == 0, f"{said}"
    found = kinds(trial, target)
    assert found.count(COMMIT) >= COPIED // SIZE and set(found) <= {ABORT, COMMIT}, f"the markers are {found}"
    lines = console(tools, target, "read_committed", COPIED)
    assert lines == [str(n) for n in range(COPIED)], f"{len(lines)} lines, {len(set(lines))} of them different"
    rows = table(tools.groups("--describe", "--group", trial.group("copier")).out, "GROUP")
    assert [row["CURRENT-OFFSET"] for row in rows] == [str(COPIED)], rows


def rows_of(tools, *words, first="TransactionalId"):
    """The tool's tables have columns that are apart by tabs."""
    lines = [line.split("\t") for line in tools.run(TRANSACTIONS, *words).out.splitlines()]
    lines = [[word.strip() for word in line if word.strip()] for line in lines]
    head = next(i for i, line in enumerate(lines) if line[:1] == [first])
    return [dict(zip(lines[head], line)) for line in lines[head + 1:] if line]


def described(tools):
    trial, topic = tools.trial, tools.trial.topic(1)
    with trial.connection() as connection:
        mine = Transactional(connection, topic)
        assert mine.add(topic, [0]) == 0
        assert mine.send(topic, 0, [b"one", b"two"]) == (0, 0)
        [row] = [row for row in rows_of(tools, "list") if row["TransactionalId"] == topic]
        assert (row["ProducerId"], row["TransactionState"]) == (str(mine.id), "Ongoing"), row
        [row] = rows_of(tools, "describe", "--transactional-id", topic, first="CoordinatorId")
        assert (row["ProducerId"], row["ProducerEpoch"], row["TransactionState"], row["TopicPartitions"]) == \
            (str(mine.id), str(mine.epoch), "Ongoing", f"{topic}-0"), row
        [row] = rows_of(tools, "describe-producers", "--topic", topic, "--partition", 0, first="ProducerId")
        assert (row["ProducerId"], row["LastSequence"], row["CurrentTransactionStartOffset"]) == (str(mine.id), "1", "0"), row
        assert end_of(connection, topic, 0, True) == 0
        assert mine.end(False) == 0
    assert kinds(trial, topic) == [ABORT]
    [row] = [row for row in rows_of(tools, "list") if row["TransactionalId"] == topic]
    assert row["TransactionState"] == "CompleteAbort", row


def terminated(tools):
    """What a crashed producer left is ended by force."""
    trial, topic = tools.trial, tools.trial.topic(1)
    with trial.connection() as connection:
        mine = Transactional(connection, topic)
        assert mine.add(topic, [0]) == 0
        assert mine.send(topic, 0, [b"left"]) == (0, 0)
        tools.run(TRANSACTIONS, "forceTerminateTransaction", "--transactionalId", topic)
        assert kinds(trial, topic) == [ABORT]
        assert mine.end(True) in (47, 90), "its producer could commit"
    trial.fill(topic, 0, [b"plain"], first=2)
    assert console(tools, topic, "read_committed", 1) == ["plain"]
    assert console(tools, topic, "read_uncommitted", 2) == ["left", "plain"]


def run_transactions(trial, tools):
    trial.case("kafka-producer-perf-test sends in transactions", performance, tools)
    trial.case("the transactional copier copies each record exactly once, with aborts in between", copied, tools)
    trial.case("kafka-transactions lists and describes transactions and producers", described, tools)
    trial.case("kafka-transactions ends a transaction by force", terminated, tools)
