"""Kafka's tools and clients where a broker of its own is needed: dumps, the state topic, hanging transactions, expired ids, and the feature
transaction.version taken back."""
import glob
import os
import re
import time

import step_transactions
from batches import batches_of
from cli_tools import CONSUMER, PACKAGE, Tools
from harness import run_ok, wait_until
from messages import call
from rows import ROWS
from tools import java
from trial import Trial
from wire import Connection, batch, create_topic
from wire_txn import ABORT, LATER, Transactional, again, committed, described, end_of, settled

SOON = {"log.retention.ms": "-1", "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200", "group.min.session.timeout.ms": "1000"}
FEATURES = PACKAGE + "FeatureCommand"
TRANSACTIONS = PACKAGE + "TransactionsCommand"
STATE = "__transaction_state"


def trial_of(report, name, broker, folder):
    trial = Trial(report, {row.name: row for row in ROWS}[name], broker, f"{folder}/{name}")
    trial.step = "tools"
    return trial


def dump(path, *words):
    return run_ok(java(PACKAGE + "DumpLogSegments", "--files", path, *words), timeout=60).decode()


def fill(connection, topic):
    """A committed transaction, an aborted one, an open one, whose producer it answers."""
    t = Transactional(connection, topic)
    assert t.transact(False, topic, {0: [b"kept", b"too"]}, True) == 0
    settled(connection, topic, [0])
    assert t.transact(False, topic, {0: [b"dropped"]}, False) == 0
    settled(connection, topic, [0])
    assert t.add(topic, [0]) == 0 and t.send(topic, 0, [b"open"])[0] == 0
    return t


def dumped(broker, tools):
    """What the broker wrote, as Kafka's dump tool reads it; and the state topic as the console consumer prints it."""
    topic = "dumped"
    with Connection(broker.port, broker.host) as connection:
        assert create_topic(connection, topic, 1) == 0
        end_of(connection, topic, 0, False)
        t = fill(connection, topic)
        printed = tools.any_end(CONSUMER, "--topic", STATE, "--from-beginning", "--timeout-ms", 20000, "--max-messages", 7,
                                "--formatter", PACKAGE + "consumer.TransactionLogMessageFormatter").out
    for wanted in ('"transactionalId":"dumped"', f'"producerId":{t.id}', '"transactionStatus":4', '"transactionStatus":5', '"topic":"dumped"'):
        assert wanted in printed, f"{wanted} is missing in what the formatter printed: {printed[-400:]}"
    broker.stop()
    folder = f"{broker.data}/{topic}-0"
    log = dump(sorted(glob.glob(f"{folder}/*.log"))[0], "--print-data-log")
    assert len(re.findall(r"isTransactional: true isControl: false", log)) == 3, log[-600:]
    assert re.findall(r"endTxnMarker: (\w+) coordinatorEpoch: (\d+)", log) == [("COMMIT", "0"), ("ABORT", "0")], log[-600:]
    index = dump(sorted(glob.glob(f"{folder}/*.txnindex"))[0])
    assert f"producerId: {t.id} firstOffset: 3 lastOffset: 4 lastStableOffset: 5" in index, index
    snapshot = dump(sorted(glob.glob(f"{folder}/*.snapshot"))[-1])
    assert re.search(rf"producerId: {t.id} .*currentTxnFirstOffset: (OptionalLong\[5\]|5)", snapshot), snapshot
    states = [dump(path, "--transaction-log-decoder") for path in glob.glob(f"{broker.data}/{STATE}-*/*.log") if os.path.getsize(path)]
    assert any('"dumped"' in text or "transactionalId=dumped" in text for text in states), "no dump of the state names the id"
    broker.start()
    with Connection(broker.port, broker.host) as connection:
        t.connection = connection
        assert t.end(True) == 0
        settled(connection, topic, [0])
        assert [value for _, value in committed(connection, topic, 0)] == [b"kept", b"too", b"open"]


def hangs(connection, topic):
    """A transaction that no coordinator knows; the broker takes it because it does not ask."""
    ask = lambda: call(connection, "init_producer_id", 4, transactional_id=None, transaction_timeout_ms=60000)
    pid = again(ask, lambda answer: answer.error_code, LATER).producer_id
    data = batch([b"hangs"], attributes=16, producer=(pid, 0, 0))
    asked = [{"name": topic, "partition_data": [{"index": 0, "records": data}]}]
    answer = call(connection, "produce", 9, transactional_id="nobody", acks=-1, timeout_ms=30000, topic_data=asked)
    error = answer.responses[0].partition_responses[0].error_code
    assert error == 0, f"a batch that is not verified gets error {error}"
    return pid


def hanging(broker, tools):
    topic = "hanging"
    with Connection(broker.port, broker.host) as connection:
        assert create_topic(connection, topic, 1) == 0
        end_of(connection, topic, 0, False)
        pid = hangs(connection, topic)
        assert end_of(connection, topic, 0, True) == 0
        found = tools.run(TRANSACTIONS, "find-hanging", "--broker-id", 1, "--max-transaction-timeout", 0).out
        assert re.search(rf"{topic}\s+0\s+{pid}\s", found), found
        tools.run(TRANSACTIONS, "abort", "--topic", topic, "--partition", 0, "--start-offset", 0)
        settled(connection, topic, [0])
        assert committed(connection, topic, 0) == []
        assert step_transactions.markers(batches_of(broker, topic, 0)) == [(ABORT, pid)]


def expired(broker, tools):
    """An id that nobody used for so long is forgotten, and comes back with another producer id."""
    with Connection(broker.port, broker.host) as connection:
        assert create_topic(connection, "expires", 1) == 0
        end_of(connection, "expires", 0, False)
        first = Transactional(connection, "expires")
        assert first.transact(False, "expires", {0: [b"x"]}, False) == 0
        assert described(connection, "expires").error_code == 0
        gone = lambda: described(connection, "expires").error_code == 105
        assert wait_until(gone, 20, 0.2), "the id is there after its time"
        assert first.end(False) == 49
        again = Transactional(connection, "expires")
        assert again.id != first.id, "the id came back with its old producer id"


def generation(report, broker, tools, folder):
    """Java's newest client goes by the finalized transaction.version."""
    trial = trial_of(report, "java-4", broker, folder)

    def epochs(name):
        sender = step_transactions.Sender(trial, name, name, adapter=trial.crew.start(name))
        found = []
        for _ in range(2):
            sender.begin("generations", [step_transactions.sent(0, b"x")])
            sender.end(True)
            with Connection(broker.port, broker.host) as connection:
                settled(connection, "generations", [0])
                found.append(described(connection, name).producer_epoch)
        return found[1] - found[0]

    def taken_back():
        with Connection(broker.port, broker.host) as connection:
            assert create_topic(connection, "generations", 2) == 0
        assert epochs("new") == 1, "the new generation does not raise the epoch"
        tools.run(FEATURES, "downgrade", "--feature", "transaction.version=1")
        said = tools.run(FEATURES, "describe").out
        assert re.search(r"transaction\.version.*FinalizedVersionLevel: 1\b", said), said
        assert epochs("old") == 0, "the old generation raises the epoch"
    try:
        report.case("transaction.version can be taken back, and Java clients go by it", taken_back)
        broker.keep_port = True
        report.case("so it is after a kill", lambda: (broker.kill(), broker.start(), expect_level(broker, tools, 1)))
        step_transactions.run_transactions(trial)
    finally:
        trial.crew.close()


def expect_level(broker, tools, level):
    said = tools.run(FEATURES, "describe").out
    assert re.search(rf"transaction\.version.*FinalizedVersionLevel: {level}\b", said), said


def run(report, make, folder):
    """`make(name, properties)` makes a broker."""
    soon_gone = {**SOON, "transactional.id.expiration.ms": "2000", "transaction.remove.expired.transaction.cleanup.interval.ms": "300"}
    for name, properties, statement, case in (
            ("dumped", SOON, "Kafka's dump tool and formatter read what transactions left", dumped),
            ("hanging", {**SOON, "transaction.partition.verification.enable": "false"}, "a hanging transaction is found and ended", hanging),
            ("expired", soon_gone, "ids that are not used expire", expired)):
        with make(name, properties) as broker:
            trial = trial_of(report, "cli-tools", broker, f"{folder}/{name}")
            try:
                tools = Tools(trial)
                report.case(statement, case, broker, tools)
            finally:
                trial.crew.close()
    with make("generation", SOON) as broker:
        trial = trial_of(report, "cli-tools", broker, f"{folder}/generation")
        try:
            generation(report, broker, Tools(trial), folder)
        finally:
            trial.crew.close()
