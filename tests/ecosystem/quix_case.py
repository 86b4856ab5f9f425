"""Quix Streams from PyPI with exactly-once: a stateful count, killed with kill -9 in the middle, the broker too."""
from counting import counts_words
from world import *


def exactly_once():
    state = empty(f"{WORK}/quix-state")
    command = [python_of("quix"), os.path.join(HERE, "quix_words.py")]
    counts_words("quix", lambda broker: Running([*command, broker.address, state], f"{WORK}/quix.log"))


ON_DEMAND = [("Quix Streams counts exactly once, killed in the middle, the broker too", exactly_once, ())]
