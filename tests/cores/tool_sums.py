"""Kafka's own tools, which ask every broker and add up, say the same of a folder on one port and with a node for each core, however many
those are: nothing is missing, and nothing is there twice."""
import collections
import json
import re

from cli_tools import CONFIGS, CONSUMER_GROUPS, PACKAGE, command
from harness import spawn, wait_until
from messages import call, coordinated
from wire import Connection
from world import GROUPS, IDS, TOPICS, Nodes, fill, make, restart

KEY = "log.cleaner.backoff.ms"


class Toolbox:
    """Tools.java (tests/compat): one JVM in which the tools run one after the other."""

    def __init__(self, folder):
        self.log = open(f"{folder}/tools.log", "ab")
        self.process = spawn(command(), stdin=-1, stdout=-1, stderr=self.log)
        self.count = 0

    def run(self, address, name, *arguments):
        """What it prints; it must end with 0."""
        self.count += 1
        ask = {"id": self.count, "do": "tool", "main": name, "args": ["--bootstrap-server", address, *arguments]}
        self.process.stdin.write(json.dumps(ask).encode() + b"\n")
        self.process.stdin.flush()
        while True:
            answer = json.loads(self.process.stdout.readline())
            if answer.get("id") == self.count:
                assert answer["ok"] and answer["code"] == 0, f"{name} {arguments}: {answer}"
                return answer["out"]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def rows(out):
    """[{column: word}] of a table, or of several with the same head."""
    head, found = None, []
    for line in out.splitlines():
        words = line.split()
        if words and words[0] in ("GROUP", "TransactionalId"):
            head = words
        elif words and head:
            found.append(dict(zip(head, words)))
    return found


class Said:
    """What all tools say of a broker: `sums` without who said it, `nodes`: who leads or coordinates what, by each tool."""

    def __init__(self, tools, address):
        self.tools, self.address = tools, address
        self.sums, self.nodes = {}, collections.defaultdict(dict)
        self.groups()
        self.transactions()
        self.folders()
        self.topics()
        self.configs()
        self.sums["offsets"] = sorted(self.ask(PACKAGE + "GetOffsetShell").split())

    def ask(self, *words):
        return self.tools.run(self.address, *words)

    def groups(self):
        self.sums["groups"] = sorted(self.ask(CONSUMER_GROUPS, "--list").split())
        described = rows(self.ask(CONSUMER_GROUPS, "--describe", "--all-groups"))
        self.sums["offsets of groups"] = sorted(tuple(sorted(row.items())) for row in described)
        for line in self.ask(CONSUMER_GROUPS, "--describe", "--all-groups", "--state").splitlines():
            found = re.match(r"(\S+)\s+\S+:\d+\s+\((\d+)\)", line)
            if found:
                self.nodes["state of groups"][found[1]] = int(found[2])

    def transactions(self):
        listed = rows(self.ask(PACKAGE + "TransactionsCommand", "list"))
        self.sums["transactions"] = sorted((t["TransactionalId"], t["ProducerId"], t["TransactionState"]) for t in listed)
        self.nodes["transactions"] = {t["TransactionalId"]: int(t["Coordinator"]) for t in listed}

    def folders(self):
        out = self.ask(PACKAGE + "LogDirsCommand", "--describe")
        told = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
        found = [(p["partition"], p["size"], b["broker"]) for b in told["brokers"] for d in b["logDirs"] for p in d["partitions"]]
        self.sums["folders"] = sorted((name, size) for name, size, _ in found)
        self.nodes["folders"] = {name: broker for name, _, broker in found}

    def topics(self):
        out = self.ask(PACKAGE + "TopicCommand", "--describe")
        found = re.findall(r"Topic: (\S+)\s+Partition: (\d+)\s+Leader: (\d+)\s+Replicas: (\S+)\s+Isr: (\S+)", out)
        assert all(leader == replicas == isr for _, _, leader, replicas, isr in found), out
        self.sums["topics"] = sorted((topic, int(partition)) for topic, partition, *_ in found)
        self.nodes["topics"] = {f"{topic}-{partition}": int(leader) for topic, partition, leader, *_ in found}

    def configs(self):
        out = self.ask(CONFIGS, "--describe", "--entity-type", "brokers")
        head, found = None, {}
        for line in out.splitlines():
            named = re.match(r"Dynamic configs for broker (\d+)|(Default) configs", line)
            head = (named[1] or named[2]) if named else head
            if line.startswith("  "):
                found.setdefault(head, []).append(line.split()[0])
        self.nodes["configs"] = found
        self.sums["configs"] = sorted({tuple(sorted(settings)) for settings in found.values()})


def ready(broker):
    """Coordinators load in the background."""
    with Nodes(broker) as nodes:
        listed = lambda c: call(c, "list_transactions", 0).error_code == 0
        assert wait_until(lambda: all(coordinated(c, GROUPS) and listed(c) for _, c in nodes), 20), "not loaded"


def differences(first, other):
    return {what: (first.sums[what], other.sums[what]) for what in first.sums if first.sums[what] != other.sums[what]}


def complete(said):
    """What the world has is there."""
    assert said.sums["groups"] == sorted(GROUPS), said.sums["groups"]
    assert [name for name, _, _ in said.sums["transactions"]] == sorted(IDS), said.sums["transactions"]
    assert set(said.nodes["folders"]) == set(said.nodes["topics"]), "a partition has no folder, or more than one"
    assert len(said.sums["folders"]) == len(said.nodes["folders"]), "a partition is there twice"
    assert len([1 for t, _ in said.sums["topics"] if t in TOPICS]) == sum(TOPICS.values()), said.sums["topics"]
    assert said.sums["configs"] == [(f"{KEY}=4711",)], said.nodes["configs"]


def led_where_told(said, count):
    assert said.nodes["folders"] == said.nodes["topics"], "folders are not at the leaders"
    ids = set(range(1, count + 1))
    assert set(said.nodes["topics"].values()) == ids, said.nodes["topics"]
    assert set(said.nodes["configs"]) == {str(id_) for id_ in ids}, said.nodes["configs"]
    for what, topic in (("state of groups", "__consumer_offsets"), ("transactions", "__transaction_state")):
        led = {node for name, node in said.nodes["topics"].items() if name.startswith(topic)}
        assert set(said.nodes[what].values()) <= led, (what, said.nodes[what])
        assert count == 1 or len(set(said.nodes[what].values())) > 1, f"one node coordinates all: {said.nodes[what]}"


def run(report, work, _):
    broker = make(f"{work}/tools", 2, per_core=False).start()
    tools = Toolbox(broker.folder)
    try:
        with Connection(broker.port) as c:
            fill(c)
        ready(broker)
        tools.run(broker.address, CONFIGS, "--alter", "--entity-type", "brokers", "--entity-name", "1", "--add-config", f"{KEY}=4711")
        first = Said(tools, broker.address)
        report.case("tools: on one port they say all there is", complete, first)
        for cores, per_core, end in ((2, True, broker.stop), (3, True, None), (1, True, None), (3, False, None)):
            (end or broker.kill)()
            broker = restart(broker, cores, per_core)
            ready(broker)
            said = Said(tools, broker.address)
            name = f"{cores} {'nodes' if per_core else 'cores on one port'}"
            report.case(f"tools: of {name} they say the same", lambda s=said: expect_same(first, s))
            report.case(f"tools: {name} have each thing once", complete, said)
            report.case(f"tools: {name} lead what they say", led_where_told, said, cores if per_core else 1)
            if per_core and cores > 1:
                report.case(f"tools: a node of {name} is altered by its own id", altered, tools, broker.address, cores)
        report.case("tools: the broker stops cleanly", broker.stop)
    finally:
        tools.close()
        broker.kill()


def expect_same(first, said):
    found = differences(first, said)
    assert not found, found


def altered(tools, address, node):
    brokers = ("--alter", "--entity-type", "brokers", "--entity-name", str(node))
    tools.run(address, CONFIGS, *brokers, "--add-config", f"{KEY}=12")
    out = tools.run(address, CONFIGS, "--describe", "--entity-type", "brokers")
    assert out.count(f"{KEY}=12 ") == node, out
    tools.run(address, CONFIGS, *brokers, "--add-config", f"{KEY}=4711")
