"""kcat's transactional producer: all that it is given is one transaction."""
import subprocess

from batches import batches_of
from harness import spawn, wait_until
from step_transactions import markers
from wire_txn import ABORT, COMMIT, end_of, settled


def kinds(kcat, topic):
    with kcat.trial.connection() as connection:
        settled(connection, topic, [0])
    return [kind for kind, _ in markers(batches_of(kcat.trial.broker, topic, 0))]


def values(kcat, topic, isolation):
    return [fields[4] for fields in kcat.consume(topic, "-o", "beginning", "-X", f"isolation.level={isolation}")]


def transacted(kcat):
    topic = kcat.trial.topic(1)
    kcat.produce(topic, b"one\ntwo\n", "-X", f"transactional.id={topic}")
    assert kinds(kcat, topic) == [COMMIT]
    assert values(kcat, topic, "read_committed") == values(kcat, topic, "read_uncommitted") == [b"one", b"two"]


def killed(kcat):
    """The next one with its id ends what it left."""
    topic = kcat.trial.topic(1)
    first = spawn(["kcat", *kcat.broker, "-P", "-t", topic, "-p", "0", "-X", f"transactional.id={topic}", "-X", "linger.ms=5"],
                  stdin=subprocess.PIPE)
    try:
        first.stdin.write(b"lost\n" + bytes(100000))  # it reads blocks, and this line does not end
        first.stdin.flush()
        with kcat.trial.connection() as connection:
            assert wait_until(lambda: end_of(connection, topic, 0, False) == 1, 20), "nothing was written"
            assert end_of(connection, topic, 0, True) == 0, "an open transaction is stable"
    finally:
        first.kill()
        first.wait()
    kcat.produce(topic, b"kept\n", "-X", f"transactional.id={topic}")
    assert kinds(kcat, topic) == [ABORT, COMMIT]
    assert values(kcat, topic, "read_committed") == [b"kept"]
    assert values(kcat, topic, "read_uncommitted") == [b"lost", b"kept"]


def run_transactions(trial, kcat):
    trial.case("what it is given is one transaction, which both isolation levels read", transacted, kcat)
    trial.case("what one that was killed left is aborted by the next, and read by uncommitted readers only", killed, kcat)
