"""The result table in README.md, between its two markers."""
import os
import re

from steps import STEPS

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "README.md")
BEGIN, END = "<!-- results: written by tests/compat/run --table -->\n", "<!-- end of results -->\n"

LEGEND = "What is not `ok` the client does not have:"


def cell(outcomes, notes):
    """A step's field: why something is unsupported goes to the notes below the table, each reason once."""
    kinds = [kind for kind, _, _ in outcomes]
    if not kinds:
        return "not run"
    if "failed" in kinds:
        return f"{kinds.count('failed')} of {len(kinds)} failed"
    reasons = dict.fromkeys(why for kind, _, why in outcomes if kind == "unsupported")
    marks = " ".join(f"[{notes.setdefault(why, len(notes) + 1)}]" for why in reasons)
    if not marks:
        return "ok"
    return f"in part {marks}" if "ok" in kinds else f"no {marks}"


def result(trial):
    """(the cells of a row, its notes)"""
    notes = {}
    cells = [cell(trial.outcomes.get(step.name, []), notes) for step in STEPS]
    return cells, "; ".join(f"[{number}] {why}" for why, number in notes.items())


def told(cells, notes, steps):
    """{step: its field, with reasons instead of their numbers}, of these steps: the numbers go by all that were run."""
    why = dict(re.findall(r"\[(\d+)\] (.*?)(?=; \[\d+\] |$)", notes))
    fields = [re.sub(r"\[(\d+)\]", lambda mark: f"({why.get(mark[1], 'nothing')})", cell) for cell in cells or []]
    return {step.name: field for step, field in zip(STEPS, fields) if step.name in steps}


def stated(name):
    """The result of that row in README.md."""
    with open(README, encoding="utf-8") as file:
        lines = file.read().split(BEGIN)[1].split(END)[0].splitlines()
    cells = [line.strip("| ").split(" | ")[2:] for line in lines if line.startswith(f"| {name} |")]
    notes = [line.removeprefix(f"- {name}: ") for line in lines if line.startswith(f"- {name}: ")]
    return cells[0] if cells else None, notes[0] if notes else ""


def table(trials):
    lines = ["| row | client | " + " | ".join(step.heading for step in STEPS) + " |", "|---" * (len(STEPS) + 2) + "|"]
    below = []
    for trial in trials:
        cells, notes = result(trial)
        lines.append(f"| {trial.row.name} | {trial.client} | " + " | ".join(cells) + " |")
        below += [f"{trial.row.name}: {notes}"] if notes else []
    return "\n".join(lines) + "\n" + ("\n" + LEGEND + "\n\n- " + "\n- ".join(below) + "\n" if below else "")


def write_table(trials, broker):
    with open(README, encoding="utf-8") as file:
        before, rest = file.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(README, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}Against {broker}.\n\n{table(trials)}{END}{after}")
