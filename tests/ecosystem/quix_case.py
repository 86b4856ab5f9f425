"""Quix Streams from PyPI with exactly-once: a stateful count, killed with kill -9 in the middle, the broker too."""
import json
import shutil
import sys

from tools import installed, must
from wire import Connection, create_topic
from world import *

REQUIREMENTS = os.path.join(HERE, "quix_requirements.txt")
WORDS = 20


def python():
    def make(folder):
        must([sys.executable, "-m", "venv", folder], 120)
        must([os.path.join(folder, "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--requirement", REQUIREMENTS], 600)
    return os.path.join(installed("python-quix", REQUIREMENTS, make), "bin/python")


def start(broker, state):
    with open(f"{WORK}/quix.log", "ab") as log:
        return spawn([python(), os.path.join(HERE, "quix_words.py"), broker.address, state], stdout=log, stderr=log)


def told(broker):
    """The counts of each word in their order, as a reader of committed records is given them."""
    client("texts", broker.address, "quix-counts", f"{WORK}/quix.json")
    with open(f"{WORK}/quix.json", encoding="ascii") as file:
        return json.load(file)


def counted(broker, lines):
    return {word: [int(count) for count in counts] for word, counts in told(broker).items()} == \
        {f"w{n}": list(range(1, lines // WORDS + 1)) for n in range(WORDS)}


def exactly_once():
    python()
    state, broker = f"{WORK}/quix-state", open_broker(f"{WORK}/quix", EXACTLY)
    shutil.rmtree(state, ignore_errors=True)
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
                app.kill(), app.wait()
                app = start(broker, state)
        assert wait_until(lambda: counted(broker, lines), 90, 1), f"the counts of {lines} words are not right: {told(broker)}"
        app.terminate()
        app.wait(seconds(40))
        broker.stop()


CASES = [("Quix Streams counts exactly once, killed in the middle, the broker too", exactly_once, ())]
