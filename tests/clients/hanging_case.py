"""Transactions that hang, found and ended with Kafka's own tool: kafka-transactions find-hanging, describe-producers, abort."""
from harness import run_ok
from tools import java
from wire import LATEST, Connection, create_topic
from wire_txn import COMMITTED, LATER, Transactional, aborted, listed, read, stable_up_to

PARTITIONS = 3
HUNG = 1


def transactions(broker, *arguments):
    out = run_ok(java("org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", broker.address, *arguments), timeout=60).decode()
    head, *rows = [line.split() for line in out.strip().splitlines() if line.strip()]
    return [dict(zip(head, row)) for row in rows]


class Hanging:
    def __init__(self, broker):
        self.broker, self.c = broker, Connection(broker.port)
        assert create_topic(self.c, "hang", PARTITIONS) == 0
        self.lost = Transactional(self.c, "lost")
        self.known = Transactional(self.c, "known")

    def one_hangs_and_one_is_only_open(self):
        """Without verification an old client's batch begins a transaction that its coordinator knows nothing of."""
        assert self.lost.put("hang", HUNG, [b"x"], 11).error_code == 0
        assert self.known.add("hang", [2], later=LATER) == 0 and self.known.put("hang", 2, [b"y"], 11).error_code == 0
        assert listed(self.c, "hang", HUNG, LATEST, COMMITTED)[2] == 0

    def is_found(self):
        for where in (("--topic", "hang"), ("--broker-id", "1")):
            found = transactions(self.broker, "find-hanging", *where, "--max-transaction-timeout", "0")
            assert [(f["Topic"], f["Partition"], f["ProducerId"]) for f in found] == [("hang", str(HUNG), str(self.lost.id))], found

    def producers_are_described(self):
        (found,) = transactions(self.broker, "describe-producers", "--topic", "hang", "--partition", str(HUNG))
        assert (found["ProducerId"], found["CurrentTransactionStartOffset"]) == (str(self.lost.id), "0"), found

    def is_ended(self):
        transactions_out = java("org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", self.broker.address, "abort", "--topic", "hang",
                                "--partition", str(HUNG), "--start-offset", "0")
        run_ok(transactions_out, timeout=60)
        assert stable_up_to(self.c, "hang", HUNG, 2)
        assert aborted(read(self.c, "hang", HUNG)) == [(self.lost.id, 0)]
        assert transactions(self.broker, "find-hanging", "--topic", "hang", "--max-transaction-timeout", "0") == []

    def and_the_other_goes_on(self):
        assert self.known.end(True) == 0 and stable_up_to(self.c, "hang", 2, 2)


def run_all(report, broker):
    broker.properties["transaction.partition.verification.enable"] = "false"
    broker.start()
    h = Hanging(broker)
    report.case("an older client's transaction hangs where verification is off", h.one_hangs_and_one_is_only_open)
    report.case("kafka-transactions find-hanging finds it, and no other", h.is_found)
    report.case("kafka-transactions describe-producers shows it", h.producers_are_described)
    report.case("kafka-transactions abort ends it", h.is_ended)
    report.case("a transaction that is only open goes on", h.and_the_other_goes_on)
    report.case("the broker stops cleanly after kafka-transactions", broker.stop)
