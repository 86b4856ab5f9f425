"""The rows of the matrix. A row is one client library with its adapter.

`command` builds what the row needs and answers the adapter's command line, without the address, or raises NotRun.
`quick` rows run in CI: they take under a minute, the one-off build not counted.

A row with a `script` has no adapter of PROTOCOL.md: its script(trial, steps) states cases of its own under the steps' names.
"""
import collections
import glob
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, "adapters", folder) for folder in ("cli", "kcat")]

import cli_row
import cli_tools
import kcat_row
from toolchains import ADAPTERS, built, c_program, cargo, go, java, maven, node, npm, venv
from tools import must

NODE_FOR_JS = (24, 6)  # @platformatic/kafka

Row = collections.namedtuple("Row", "name quick command script", defaults=(None,))


def python_row(name, folder, quick=True):
    """An adapter in Python: adapters/<folder>/adapter.py with the packages of requirements.txt beside it."""
    at = f"{ADAPTERS}/{folder}"
    return Row(name, quick, lambda: [*venv(f"{at}/requirements.txt"), f"{at}/adapter.py"])


def librdkafka():
    return c_program("librdkafka", f"{ADAPTERS}/librdkafka", ("librdkafka/rdkafka.h", "jansson.h"), ("rdkafka", "jansson"))


def java_build(folder, version):
    """kafka-clients of that version with what it needs, and the adapter compiled against it."""
    at = f"{ADAPTERS}/java"
    must([*maven(), "-f", f"{at}/pom.xml", f"-Dclients.version={version}", "dependency:copy-dependencies",
          f"-DoutputDirectory={folder}/jars"], 600)
    must(["javac", "-Werror", "-Xlint:all,-deprecation,-removal", "-cp", f"{folder}/jars/*", "-d", f"{folder}/classes",
          *sorted(glob.glob(f"{at}/*.java"))], 120)


def java_row(name, version):
    """The flags make a JVM start fast and stay small: a row runs up to four at once."""
    def command():
        folder = built(name, [f"{ADAPTERS}/java"], lambda into: java_build(into, version), version)
        return [*java(), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{folder}/classes:{folder}/jars/*", "Adapter"]
    return Row(name, True, command)


def go_build(folder):
    """The three programs of adapters/go, with no other version of Go than ours."""
    must(["env", "GOTOOLCHAIN=local", *go((1, 26)), "build", "-C", f"{ADAPTERS}/go", "-buildvcs=false",
          "-ldflags=-s -w", "-o", folder + "/", "./..."], 900)


def go_row(name, program):
    at = f"{ADAPTERS}/go"
    return Row(name, True, lambda: [os.path.join(built("go-clients", [at], go_build), program)])


def js_build(folder):
    """A copy of adapters/js, because Node.js looks for packages beside the program. No package may run scripts."""
    shutil.copytree(f"{ADAPTERS}/js", folder, dirs_exist_ok=True)
    must([*npm(NODE_FOR_JS), "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"], 300)


def js_row(name):
    """An adapter in JavaScript: adapters/js/<name>/main.js."""
    at = f"{ADAPTERS}/js"
    return Row(name, True, lambda: [*node(NODE_FOR_JS), f"{built('js-clients', [at], js_build)}/{name}/main.js"])


def rskafka_build(folder):
    must([*cargo((1, 85)), "build", "--locked", "--quiet", "--manifest-path", f"{ADAPTERS}/rskafka/Cargo.toml",
          "--target-dir", folder], 900)


def rskafka():
    return [os.path.join(built("rskafka", [f"{ADAPTERS}/rskafka"], rskafka_build), "debug/rskafka-adapter")]


ROWS = [
    java_row("java-4", "4.4.0"),
    java_row("java-3.9", "3.9.2"),
    Row("cli-tools", True, cli_tools.command, cli_row.run),
    Row("kcat", True, kcat_row.command, kcat_row.run),
    python_row("confluent-kafka", "confluent"),
    Row("librdkafka", True, librdkafka),
    python_row("kafka-python", "kafka_python"),
    python_row("kafka-python-2.0.2", "kafka_python_old"),
    python_row("aiokafka", "aiokafka"),
    go_row("franz-go", "franz_go"),
    go_row("sarama", "sarama"),
    go_row("kafka-go", "kafka_go"),
    js_row("kafkajs"),
    js_row("platformatic"),
    Row("rskafka", True, rskafka),
]
