"""Builds with a planted durability bug: the power cuts must find each of them, or they prove nothing about the good
build.

ack_before_flush answers when a write is done, not when it is durable; sync_wrong_file asks the disk to keep another
file; share_unsettled flushes once for waves into blocks that are new to their files, settled_before_flush takes zeroed ones for durable before they are. A mutant is caught when what it
acked is not there after a cut; one that does not even start or answer is not caught, but broken.
"""
import os
import shutil

import cleanings
import cuts
import load
import promises
from harness import NotRun, run_ok

DATA = (cuts.Series, [cuts.Round("off", "fresh", ""), cuts.Round("off", "again", "")])
PROMISES = (promises.Series, ["load"])
CLEANINGS = (cleanings.Series, ["load"])
MUTANTS = [("ack_before_flush", *DATA), ("ack_before_flush", *PROMISES), ("ack_before_flush", *CLEANINGS), ("sync_wrong_file", *DATA)]
MANY = (cuts.Series, [cuts.Round("off", "many", "")])
RARE = [("share_unsettled", *MANY), ("settled_before_flush", *MANY)]  # POWER_MUTANTS=all: two builds more, which take CI a minute each
ROUNDS_MAX = 16


def one_round(kind, setup, wanted, program):
    """None when nothing was found; otherwise what was."""
    series = kind(setup, program)
    try:
        series.begin()
        series.round(wanted)
        return None
    except AssertionError as why:
        if "finding: " not in str(why):
            raise
        return str(why)
    finally:
        series.close()
        shutil.rmtree(os.path.dirname(series.disk.folder))


def can_run(setup):
    try:
        load.need_engine(setup.engine)
        return True
    except NotRun:
        return False


def check(name, kind, rounds):
    run_ok(["make", "-s", f"PLANT={name}"], timeout=600)
    program = os.path.abspath(f"build/plant-{name}/odradek")
    setups = [setup for setup in cuts.SETUPS if can_run(setup)]
    for number in range(ROUNDS_MAX):
        setup = setups[number // len(rounds) % len(setups)]
        found = one_round(kind, setup, rounds[number % len(rounds)], program)
        if found:
            print(f"    {name}: caught in round {number + 1}: {found.splitlines()[0][:200]}", flush=True)
            return
    raise AssertionError(f"{ROUNDS_MAX} power cuts did not catch it")


def run_all(report):
    for name, kind, rounds in RARE + MUTANTS if os.environ.get("POWER_MUTANTS") == "all" else MUTANTS:
        report.case(f"the mutant {name} is caught by {kind.__module__}", check, name, kind, rounds)
