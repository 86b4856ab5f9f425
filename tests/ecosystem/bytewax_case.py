"""Bytewax: a stateful count at least once; the last count of each word is right. It ends when the broker is away, and is started again."""
from counting import counts_words
from world import *


def counts_on():
    python, recovery = python_of("bytewax"), fresh_dir(f"{WORK}/bytewax-recovery")
    run_ok([python, "-m", "bytewax.recovery", recovery, "1"])
    command = [python, "-m", "bytewax.run", f"{os.path.join(HERE, 'bytewax_words.py')}:flow", "-r", recovery, "-s", "1", "-b", "0"]
    counts_words("bytewax", lambda broker: Running(command, f"{WORK}/bytewax.log", env={**os.environ, "ADDRESS": broker.address}),
                 exactly=False, supervised=True)


ON_DEMAND = [("Bytewax counts on, killed in the middle, the broker too", counts_on, ())]
