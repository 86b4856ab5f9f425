"""The row of Kafka's command-line tools: statements of its own, under the names of the steps they belong to."""
import cli_admin
import cli_groups
import cli_records
import cli_transactions
from cli_tools import PACKAGE, Tools

STEPS = {
    "records": cli_records.run_records,
    "times": cli_records.run_times,
    "idempotence": cli_records.run_idempotence,
    "delete": cli_records.run_delete,
    "admin": cli_admin.run,
    "group": cli_groups.run_group,
    "commit": cli_groups.run_commit,
    "static": cli_groups.run_static,
    "cooperative": cli_groups.run_cooperative,
    "transactions": cli_transactions.run_transactions,
}


def run(trial, names):
    """What stops a step is said, and the next one starts all the same."""
    tools = Tools(trial)
    version = tools.any_end(PACKAGE + "TopicCommand", "--version").out.split()
    trial.client = f"Kafka's tools {version[0] if version else '?'}"
    for name, step in STEPS.items():
        if not names or name in names:
            trial.step = name
            try:
                step(trial, tools)
            except Exception as why:
                trial.note("failed", f"the step {name} comes to its end", f"{type(why).__name__}: {why}")
