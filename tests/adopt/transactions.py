"""Transactions of Kafka's: what is read here is what is read there, with both isolation levels; what is open is ended here."""
from world import *

LEVELS = ("read_uncommitted", "read_committed")


def of_transactions(lines):
    return [line for line in lines if line.split('"')[1] in ("aborted", "committed", "mixed", "beside", "open")]


def read_both(address, name):
    return {level: of_transactions(read_all(address, f"{WORK}/{name}-{level}.records", level=level)) for level in LEVELS}


def offsets(lines, topic):
    return [line for line in lines if line.startswith(f'["{topic}", 0, ') and '"from"' not in line]


def transactions(version):
    """Kafka is killed: one transaction is open."""
    name = f"transactions-{version}"
    kafka = ApacheKafka(f"{WORK}/{name}", KAFKA, version=None if version == POM_VERSION else version)
    with kafka:
        client("transactions", kafka.address)
        there = read_both(kafka.address, f"{name}-there")
        kafka.kill()
    committed, everything = there["read_committed"], there["read_uncommitted"]
    assert len(offsets(everything, "aborted")) == 5 and not offsets(committed, "aborted"), "the aborted ones"
    assert len(offsets(committed, "open")) == 5 and len(offsets(everything, "open")) == 15, "the open one"
    assert 0 < len(offsets(committed, "mixed")) < len(offsets(everything, "mixed")) == 500, "the mixed ones"
    said = adopt(kafka.data, f"{WORK}/{name}-ours")
    assert "taken: aborted" in said and "taken: open" in said and "taken: __transaction_state" in said, said
    broker = Broker(f"{WORK}/{name}-broker", {"log.dirs": os.path.abspath(f"{WORK}/{name}-ours"), **OLD_RECORDS})
    with broker:
        for how in ("first", "killed", "stopped"):
            here = read_both(broker.address, f"{name}-{how}")
            for level in LEVELS:
                same(there[level], here[level])
            broker.kill() if how == "first" else broker.stop()
            broker.start()
        client("end", broker.address)
        here = offsets(read_all(broker.address, f"{WORK}/{name}-ended.records", level="read_committed"), "open")
        assert len(here) == 15, f"{len(here)} records where 5, 5 and 5 were committed"
        broker.stop()


CASES = [
    ("transactions of Kafka 4.3.1 are read alike with both isolation levels; what is open is ended here", transactions, (POM_VERSION,)),
]
