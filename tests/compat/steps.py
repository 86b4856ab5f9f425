"""The steps of the matrix, in their order. Each is a function that gets a Trial and states cases.

`heading` is its column in the result table.
"""
import collections

import step_admin
import step_groups
import step_records
import step_transactions

Step = collections.namedtuple("Step", "name heading run")

STEPS = [
    Step("records", "records", step_records.run_records),
    Step("times", "offsets by time", step_records.run_times),
    Step("idempotence", "idempotence", step_records.run_idempotence),
    Step("delete", "delete records", step_records.run_delete),
    Step("admin", "admin", step_admin.run_admin),
    Step("group", "group", step_groups.run_turnover),
    Step("commit", "commit", step_groups.run_commit),
    Step("static", "static", step_groups.run_static),
    Step("cooperative", "cooperative", step_groups.run_cooperative),
    Step("transactions", "transactions", step_transactions.run_transactions),
]


def run_steps(trial, names):
    """Runs the steps `names`, or all; what stops a step is said, and the next one starts all the same."""
    for step in STEPS:
        if not names or step.name in names:
            trial.step = step.name
            try:
                assert trial.broker.running(), f"the broker is gone: {trial.broker.log()[-300:]}"
                step.run(trial)
            except Exception as why:
                trial.note("failed", f"the step {step.name} comes to its end", f"{type(why).__name__}: {why}")
