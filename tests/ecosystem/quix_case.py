"""Quix Streams from PyPI with exactly-once: a stateful count, killed with kill -9 in the middle, the broker too."""
from wire import Connection, create_topic
from world import *

WORDS = 20


def start(broker, state):
    return Running([python_of("quix"), os.path.join(HERE, "quix_words.py"), broker.address, state], f"{WORK}/quix.log")


def told(broker):
    """The counts of each word in their order, as a reader of committed records is given them."""
    return asked("texts", broker.address, "quix-counts")


def counted(broker, lines):
    return {word: [int(count) for count in counts] for word, counts in told(broker).items()} == \
        {f"w{n}": list(range(1, lines // WORDS + 1)) for n in range(WORDS)}


def exactly_once():
    python_of("quix")
    state, broker = empty(f"{WORK}/quix-state"), open_broker(f"{WORK}/quix", EXACTLY)
    broker.keep_port = True
    with broker:
        with Connection(broker.port, broker.host) as connection:
            for topic in ("quix-words", "quix-counts"):
                assert create_topic(connection, topic, 2) == 0
        app, lines = start(broker, state), 0
        for turn in range(3):
            client("keyed", broker.address, "quix-words", 400, WORDS)
            lines += 400
            assert wait_until(lambda: told(broker), 60, 1), "nothing is counted"
            if turn == 1:
                broker.kill(), broker.start()
            else:
                app.kill()
                app = start(broker, state)
        assert wait_until(lambda: counted(broker, lines), 90, 1), f"the counts of {lines} words are not right: {told(broker)}"
        app.stop()
        broker.stop()


ON_DEMAND = [("Quix Streams counts exactly once, killed in the middle, the broker too", exactly_once, ())]
