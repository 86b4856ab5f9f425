"""What stream processors have in common: each counts the words of a topic, and is killed with kill -9 in between, the broker too."""
from wire import Connection, create_topic
from world import *

WORDS, ROUND = 20, 400


def told(broker, name):
    """The counts of each word in their order, as a reader of committed records is given them."""
    return {word: [int(count) for count in counts] for word, counts in asked("texts", broker.address, f"{name}-counts").items()}


def fault(broker, name, lines, exactly):
    """None, or a word whose counts are wrong: exactly once each of them comes once, else the last one is right."""
    found, total = told(broker, name), lines // WORDS
    for n in range(WORDS):
        counts = found.get(f"w{n}", [])
        if counts != list(range(1, total + 1)) if exactly else counts[-1:] != [total]:
            return f"of w{n} {total} should be counted, and {len(counts)} counts end with {counts[-5:]}"
    return None


def counts_words(name, start, exactly=True, supervised=False):
    """`start(broker)` answers the Running program, which counts the keys of the topic NAME-words into NAME-counts. `supervised`: it may end by itself."""
    broker = open_broker(f"{WORK}/{name}", EXACTLY)
    broker.keep_port = True
    with broker:
        with Connection(broker.port, broker.host) as connection:
            for topic in ("words", "counts"):
                assert create_topic(connection, f"{name}-{topic}", 2) == 0
        app, lines = start(broker), 0
        for turn in range(3):
            client("keyed", broker.address, f"{name}-words", ROUND, WORDS)
            lines += ROUND
            assert wait_until(lambda: told(broker, name), 120, 1), f"nothing is counted: {app.said()[-800:]}"
            if turn == 1:
                broker.kill(), broker.start()
            else:
                app.kill()
                app = start(broker)

        def wrong():
            nonlocal app
            if app.ended():
                assert supervised, f"it ended by itself: {app.said()[-800:]}"
                app = start(broker)
            return fault(broker, name, lines, exactly)
        comes(wrong, 180)
        app.stop()
        broker.stop()
