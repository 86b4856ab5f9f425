"""Builds with a planted durability bug: the power cuts must find each of them, or they prove nothing about the good
build.

ack_before_flush answers when a write is done, not when it is durable; sync_wrong_file asks the disk to keep another
file. A mutant is caught when what it acked is not there after a cut; one that does not even start or answer is not
caught, but broken.
"""
import os
import shutil

import cuts
import load
from harness import NotRun, run_ok

MUTANTS = ("ack_before_flush", "sync_wrong_file")
ROUNDS_MAX = 16
WANTED = [cuts.Round("off", "fresh", ""), cuts.Round("off", "again", "")]


def one_round(setup, wanted, program):
    """None when nothing was found; otherwise what was."""
    series = cuts.Series(setup, program)
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


def check(name):
    run_ok(["make", "-s", f"PLANT={name}"], timeout=600)
    program = os.path.abspath(f"build/plant-{name}/odradek")
    setups = [setup for setup in cuts.SETUPS if can_run(setup)]
    for number in range(ROUNDS_MAX):
        setup = setups[number // len(WANTED) % len(setups)]
        found = one_round(setup, WANTED[number % len(WANTED)], program)
        if found:
            print(f"    {name}: caught in round {number + 1}: {found.splitlines()[0][:200]}", flush=True)
            return
    raise AssertionError(f"{ROUNDS_MAX} power cuts did not catch it")


def run_all(report):
    for name in MUTANTS:
        report.case(f"the mutant {name} is caught", check, name)
