"""Chains of kafka-python: two members of a group consume, produce and commit in transactions, while one of them and the broker are killed."""
import os
import time

from harness import run, tail
from process import spawn
from settings import COUNT
from tools import venv_python

SCRIPT = "tests/clients/kafka_python_chain.py"
RECORDS = min(COUNT // 8, 2400)
KILLS = 2


def script(*arguments):
    return [venv_python(), SCRIPT, *map(str, arguments)]


def must_run(*arguments):
    code, out, err = run(script(*arguments), timeout=200)
    assert code == 0, tail(err) or tail(out)
    return out.decode().split()


def every_number_arrives_once(broker):
    broker.start()
    must_run("fill", broker.address, "in", "out", RECORDS)
    log = open(os.path.join(broker.folder, "chains.log"), "ab")
    moves = lambda: open(log.name, "rb").read().count(b": moved ")
    start = lambda i: spawn(script("chain", broker.address, "in", "out", "chain", f"chain-{i}"), stderr=log)
    chains = [start(0), start(1)]
    try:
        for i in range(KILLS):
            time.sleep(2)
            chains[i % 2].kill()
            chains[i % 2].wait()
            broker.kill()
            broker.start()
            chains[i % 2] = start(i % 2)
            before = moves()
        found = must_run("read", broker.address, "out", RECORDS)
        assert moves() > before, "all was moved before the last kill"
    finally:
        for c in chains:
            c.kill()
            c.wait()
        log.close()
    numbers = sorted(map(int, found))
    missing = sorted(set(range(RECORDS)) - set(numbers))
    assert not missing, f"{len(missing)} of {RECORDS} are missing: {missing[:5]}"
    assert len(numbers) == RECORDS, f"{len(numbers) - RECORDS} arrived twice"


def run_all(report, broker):
    broker.keep_port = True
    broker.arguments += ["--cores", "2"]
    report.case(f"{RECORDS} records go through two kafka-python chains exactly once, over {KILLS} kills of one and of the broker",
                every_number_arrives_once, broker)
