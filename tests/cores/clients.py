"""Real clients in this mode: rows of the matrix (tests/compat) against a broker with a node for each of two cores. A consumer group, a restart
of the broker and transactions whose coordinators are on either node are among their steps."""
import os
import re
import sys

from harness import run as run_program
from harness import say

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = ("java-4", "librdkafka", "franz-go", "kafkajs")
SHORT, ALL_S, SHORT_S = ("--steps=transactions",), 1500, 300


def run(report, _, long):
    environment = dict(os.environ, ODRADEK_ARGS="--cores 2 listeners.per.core=true")
    command = [sys.executable, os.path.join(HERE, "../compat/run"), *(() if long else SHORT), *ROWS]
    code, out, said = run_program(command, timeout=ALL_S if long else SHORT_S, env=environment)
    for line in out.decode(errors="replace").splitlines():
        verdict = re.match(r"(ok - |not ok - |not run: )(.*)", line)
        if not verdict:
            say(line)
        elif verdict[1] == "ok - ":
            report.ok(f"cores: {verdict[2]}")
        elif verdict[1] == "not ok - ":
            report.not_ok("cores", verdict[2])
        else:
            report.not_run("cores", verdict[2])
    report.check("cores: the matrix ends well", code == 0, f"it ended with {code}: {said[-300:]!r}")
