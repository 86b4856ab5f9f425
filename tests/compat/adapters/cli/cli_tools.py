"""Kafka's command-line tools, run in one JVM by Tools.java, and what they print taken apart.

A tool that runs until it is told to stop (a console consumer) has a process of its own: `Running`.
"""
import json
import os

from harness import need
from toolchains import ADAPTERS, built, java
from tools import LOGGING, jars, must

PACKAGE = "org.apache.kafka.tools."
CONSUMER_GROUPS = PACKAGE + "consumer.group.ConsumerGroupCommand"
CONSUMER = PACKAGE + "consumer.ConsoleConsumer"
CONFIGS = "kafka.admin.ConfigCommand"
RUN_S = 60


def command():
    """The command line of Tools.java with Kafka's jars, or NotRun."""
    source = f"{ADAPTERS}/cli"
    folder = built("cli-tools", [f"{source}/Tools.java", "tests/clients/pom.xml"], lambda into: must(
        [need("javac"), "-Werror", "-Xlint:all", "-cp", f"{jars()}/*", "-d", into, f"{source}/Tools.java"], 120))
    return [*java(), "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
            f"-Dlog4j2.configurationFile={LOGGING}", "-Dtests.log=WARN", "-cp", f"{folder}:{jars()}/*", "Tools"]


class Said:
    """What a tool ended with."""

    def __init__(self, answer):
        self.code, self.out, self.err = answer["code"], answer["out"], answer["err"]

    def __str__(self):
        return f"code {self.code}, {self.out[-500:]!r} {self.err[-300:]!r}"

    def has(self, *texts):
        for text in texts:
            assert text in self.out, f"{text!r} is missing: {self}"
        return self

    def refused(self, text):
        """The tool ended with an error that names `text`; some print it, some log it."""
        assert text in self.out + self.err, f"{text!r} is missing: {self}"


class Tools:
    """Runs tools to their end, one at a time. A process for the next `Running` starts ahead of time."""

    def __init__(self, trial):
        self.trial = trial
        self.address = trial.broker.address
        self.spare = trial.crew.start("tool")

    def take(self):
        taken, self.spare = self.spare, self.trial.crew.start("tool")
        return taken

    def ask(self, adapter, name, arguments, stdin=""):
        words = [str(word) for word in arguments]
        if name.rsplit(".", 1)[-1] not in ("ClusterTool", "EndToEndLatency", "TransactionalMessageCopier"):
            words = ["--bootstrap-server", self.address, *words]
        return adapter.ask("tool", main=name, args=words, stdin=stdin)

    def any_end(self, name, *arguments, stdin=""):
        adapter = self.trial.main
        return Said(adapter.answer(self.ask(adapter, name, arguments, stdin), RUN_S))

    def run(self, name, *arguments, stdin=""):
        """The tool must end with 0."""
        said = self.any_end(name, *arguments, stdin=stdin)
        assert said.code == 0, f"{name.rsplit('.', 1)[-1]} ended with {said}"
        return said

    def topics(self, *arguments):
        return self.run(PACKAGE + "TopicCommand", *arguments)

    def configs(self, *arguments):
        return self.run(CONFIGS, *arguments)

    def groups(self, *arguments):
        return self.run(CONSUMER_GROUPS, *arguments)

    def offsets(self, topic, time, *arguments):
        """kafka-get-offsets: {partition: offset}."""
        out = self.run(PACKAGE + "GetOffsetShell", "--topic", topic, "--time", time, *arguments).out
        lines = [line.split(":") for line in out.split()]
        assert all(len(line) == 3 and line[0] == topic for line in lines), out
        return {int(line[1]): int(line[2] or "-1") for line in lines}

    def file(self, name, text):
        """The path of a file with that text, for tools that want one."""
        path = os.path.join(self.trial.crew.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


class Running:
    """A tool in a process of its own, which is looked at while it runs."""

    def __init__(self, tools, label, name, *arguments):
        self.crew = tools.trial.crew
        self.label = label
        self.adapter = tools.take()
        self.request = tools.ask(self.adapter, name, arguments)

    def out(self):
        return "".join(event["text"] for event in self.adapter.events if event.get("event") == "text")

    def lines(self):
        """The whole lines that it printed so far."""
        return self.out().split("\n")[:-1]

    def wait(self, condition, what, timeout=30):
        """Until condition(what it printed) holds."""
        self.crew.wait(lambda: condition(self.out()) or self.adapter.ended, timeout,
                       lambda: f"{self.label}: {what}; it printed {self.out()[-300:]!r}")
        assert condition(self.out()), f"{self.label} ended: {self.adapter.last_words()}"

    def stop(self):
        """As SIGTERM: what the tool does to close cleanly."""
        self.adapter.ask("stop")
        said = Said(self.adapter.answer(self.request, RUN_S))
        assert said.code == 0, f"{self.label} ended with {said}"

    def end(self):
        """The same for the verifiable tools, whose last words come when their JVM ends."""
        self.adapter.ask("stop")
        self.crew.wait(lambda: self.adapter.ended, RUN_S, lambda: f"{self.label} to end")

    def kill(self):
        self.adapter.kill()


def places(trial):
    """What the broker may call itself: the name it was given, or the address that the connection came in on."""
    return {trial.broker.address, f"127.0.0.1:{trial.broker.port}"}


def table(out, first):
    """The lines of a table that begins with the column `first`, as dictionaries. Several tables may follow each other."""
    rows, names = [], []
    for line in out.replace("COORDINATOR (ID)", "COORDINATOR ID").splitlines():
        words = line.split()
        if words[:1] == [first]:
            names = words
        elif names and words:
            rows.append(dict(zip(names, words)))
    return rows


def documents(text):
    """The JSON objects in a tool's output, behind each other with or without lines between; other lines are left out."""
    found, at, decoder = [], text.find("{"), json.JSONDecoder()
    while at >= 0:
        try:
            one, at = decoder.raw_decode(text, at)
        except ValueError:
            return found
        found.append(one)
        at = text.find("{", at)
    return found


def group_offsets(tools, group):
    """consumer-groups --describe: {(topic, partition): (current offset, log end, lag)}."""
    rows = table(tools.groups("--describe", "--group", group).out, "GROUP")
    return {(row["TOPIC"], int(row["PARTITION"])): (row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"])
            for row in rows}
