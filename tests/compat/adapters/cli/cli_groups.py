"""Consumer groups through Kafka's tools: console and verifiable consumers as members, kafka-consumer-groups beside them."""
import csv
import datetime

from cli_tools import CONSUMER, CONSUMER_GROUPS, PACKAGE, Running, documents, group_offsets, places, table
from driver import eventually

PARTITIONS = 4
TIME = 1700000000000
PACE = ("--command-property", "session.timeout.ms=6000", "--command-property", "heartbeat.interval.ms=500")
GROUP_WAIT_S = 40
FORMATTER = "org.apache.kafka.tools.consumer."


def members(tools, group):
    """consumer-groups --describe --members: its rows."""
    said = tools.any_end(CONSUMER_GROUPS, "--describe", "--group", group, "--members")
    return table(said.out, "GROUP")


def members_have(tools, group, *counts):
    have = sorted(int(row["#PARTITIONS"]) for row in members(tools, group))
    assert have == sorted(counts), f"the members have {have} partitions instead of {sorted(counts)}"


def state_is(tools, group, state, count, strategy):
    [row] = table(tools.groups("--describe", "--group", group, "--state").out, "GROUP")
    assert (row["STATE"], row["#MEMBERS"], row["ASSIGNMENT-STRATEGY"]) == (state, str(count), strategy), row
    assert row["COORDINATOR"] in places(tools.trial) and row["ID"] == "(1)", row


class Turnover:
    """Two console consumers; one is killed, the other closes."""

    def __init__(self, tools):
        self.tools, self.trial = tools, tools.trial
        self.topic, self.group = self.trial.topic(PARTITIONS), self.trial.group("g")
        self.consumers = []
        self.written = 0

    def start(self, label):
        self.consumers.append(Running(self.tools, label, CONSUMER, "--topic", self.topic, "--group", self.group,
                                      "--from-beginning", *PACE, "--formatter-property", "print.partition=true",
                                      "--formatter-property", "print.offset=true"))

    def write(self):
        """One record to each partition, which the living must print."""
        for partition in range(PARTITIONS):
            self.trial.fill(self.topic, partition, [b"%d-%d" % (partition, self.written)], first=self.written)
        self.written += 1
        wanted = {f"Partition:{p}\tOffset:{n}\t{p}-{n}" for p in range(PARTITIONS) for n in range(self.written)}
        self.trial.crew.wait(lambda: self.printed() == wanted, 30, lambda: f"{wanted - self.printed()} to be printed")

    def printed(self):
        return {line for consumer in self.consumers for line in consumer.lines()}

    def join(self):
        self.start("console-1")
        eventually(members_have, self.tools, self.group, PARTITIONS, timeout=GROUP_WAIT_S)
        self.write()
        self.start("console-2")
        eventually(members_have, self.tools, self.group, 2, 2, timeout=GROUP_WAIT_S)
        self.write()
        both = [set(line.split("\t")[0] for line in one.lines()[-2:]) for one in self.consumers]
        assert len(both[0] | both[1]) == PARTITIONS, f"the last records were printed by {both}"

    def describe(self):
        state_is(self.tools, self.group, "Stable", 2, "range")
        out = self.tools.groups("--describe", "--group", self.group, "--members", "--verbose").out
        assigned = [row for row in table(out, "GROUP")]
        text = " ".join(str(row) for row in assigned)
        assert len(assigned) == 2 and self.topic in text, out
        assert {row["CLIENT-ID"] for row in assigned} == {"console-consumer"}, out
        rows = table(self.tools.groups("--describe", "--group", self.group).out, "GROUP")
        assert {int(row["PARTITION"]) for row in rows} == set(range(PARTITIONS)), rows
        assert len({row["CONSUMER-ID"] for row in rows}) == 2 and {row["HOST"] for row in rows} <= {
            "/127.0.0.1", "/0:0:0:0:0:0:0:1"}, rows

    def listed(self):
        assert self.group in self.tools.groups("--list").out.split()
        for more in ((), ("stable",)):
            rows = table(self.tools.groups("--list", "--state", *more).out, "GROUP")
            assert {"GROUP": self.group, "STATE": "Stable"} in rows, rows
        assert not table(self.tools.groups("--list", "--state", "dead").out, "GROUP")
        rows = table(self.tools.groups("--list", "--type", "classic").out, "GROUP")
        assert {"GROUP": self.group, "TYPE": "Classic"} in rows, rows
        rows = table(self.tools.run(PACKAGE + "GroupsCommand", "--list").out, "GROUP")
        assert {"GROUP": self.group, "TYPE": "Classic", "PROTOCOL": "consumer"} in rows, rows

    def refused(self):
        """What only an empty group allows."""
        said = self.tools.any_end(CONSUMER_GROUPS, "--delete", "--group", self.group)
        said.refused("GroupNotEmptyException")
        said = self.tools.any_end(CONSUMER_GROUPS, "--reset-offsets", "--group", self.group, "--topic", self.topic,
                                  "--to-earliest", "--execute")
        said.refused("is inactive, but the current state is Stable")
        said = self.tools.any_end(CONSUMER_GROUPS, "--delete-offsets", "--group", self.group, "--topic", self.topic)
        said.refused("subscribed")

    def crash(self):
        self.consumers[1].kill()
        eventually(members_have, self.tools, self.group, PARTITIONS, timeout=GROUP_WAIT_S)
        self.write()

    def close(self):
        self.consumers[0].stop()
        state_is(self.tools, self.group, "Empty", 0, "-")
        want = {(self.topic, n): (str(self.written), str(self.written), "0") for n in range(PARTITIONS)}
        have = group_offsets(self.tools, self.group)
        assert have == want, f"{have} instead of {want}"


def run_group(trial, tools):
    turnover = Turnover(tools)
    if trial.case("two kafka-console-consumers share a topic, each record is printed by its owner", turnover.join):
        trial.case("kafka-consumer-groups describes the group, its members and its offsets", turnover.describe)
        trial.case("kafka-consumer-groups and kafka-groups list it with state and type", turnover.listed)
        trial.case("kafka-consumer-groups is told that the group is in use", turnover.refused)
        trial.case("one consumer is killed, the other gets all partitions", turnover.crash)
        trial.case("the last one closes, its offsets are committed, the group is empty", turnover.close)
    trial.case("a kafka-console-consumer follows a pattern of topics, also one that is made later", by_pattern, tools)
    trial.case("the broker is killed and comes back: members commit again, nothing was revoked", Restart(tools).run)


class Offsets:
    """A group with one partition of 25 records, one second apart, and its committed offset."""

    def __init__(self, tools):
        self.tools, self.trial = tools, tools.trial
        self.topic, self.group = self.trial.topic(1), self.trial.group("g")
        self.trial.fill(self.topic, 0, [b"%d" % n for n in range(25)], timestamp=TIME)

    def offset_is(self, offset):
        have, want = group_offsets(self.tools, self.group), {(self.topic, 0): (str(offset), "25", str(25 - offset))}
        assert have == want, f"{have} instead of {want}"

    def read(self, first, count):
        """A console consumer of the group prints `count` records from `first` on, and commits behind them."""
        out = self.tools.run(CONSUMER, "--topic", self.topic, "--group", self.group, "--from-beginning",
                             "--max-messages", count, "--timeout-ms", 30000, *PACE).out
        want = [str(n) for n in range(first, first + count)]
        assert out.split() == want, f"{out.split()} instead of {want}"
        self.offset_is(first + count)

    def resume(self):
        self.read(0, 10)
        self.read(10, 15)

    def reset(self, offset, *how, execute="--execute"):
        out = self.tools.groups("--reset-offsets", "--group", self.group, "--topic", self.topic, *how, execute).out
        rows = [(row["TOPIC"], row["PARTITION"], row["NEW-OFFSET"]) for row in table(out, "GROUP")]
        assert rows == [(self.topic, "0", str(offset))], out
        if execute == "--execute":
            self.offset_is(offset)

    def to_earliest(self):
        self.reset(0, "--to-earliest", execute="--dry-run")
        self.offset_is(25)
        self.reset(0, "--to-earliest")
        self.reset(25, "--to-latest")

    def to_datetime(self):
        at = datetime.datetime.fromtimestamp(TIME // 1000 + 7, datetime.timezone.utc)
        self.reset(7, "--to-datetime", at.strftime("%Y-%m-%dT%H:%M:%S.000"))
        self.reset(25, "--by-duration", "PT1H")

    def shift(self):
        self.reset(7, "--to-offset", 7)
        self.reset(12, "--shift-by", 5)
        self.reset(10, "--shift-by", -2)
        self.reset(0, "--shift-by", -100)
        self.reset(10, "--to-offset", 10)
        self.reset(10, "--to-current")
        self.read(10, 5)

    def from_file(self):
        out = self.tools.groups("--reset-offsets", "--group", self.group, "--topic", self.topic, "--to-offset", 3,
                                "--export", "--dry-run").out
        assert list(csv.reader(out.split())) == [[self.topic, "0", "3"]], out
        path = self.tools.file("offsets.csv", out)
        self.tools.groups("--reset-offsets", "--group", self.group, "--from-file", path, "--execute")
        self.offset_is(3)

    def delete_offsets(self):
        other = self.trial.topic(1)
        self.tools.groups("--reset-offsets", "--group", self.group, "--topic", other, "--to-latest", "--execute")
        assert set(group_offsets(self.tools, self.group)) == {(self.topic, 0), (other, 0)}
        out = self.tools.groups("--delete-offsets", "--group", self.group, "--topic", other).out
        assert "Request succeeded for deleting offsets" in out and "Successful" in out, out
        self.offset_is(3)

    def delete(self):
        out = self.tools.groups("--delete", "--group", self.group).out
        assert f"Deletion of requested consumer groups ('{self.group}') was successful." in out, out
        assert self.group not in self.tools.groups("--list").out.split()
        said = self.tools.any_end(CONSUMER_GROUPS, "--describe", "--group", self.group)
        said.refused(f"{self.group} not found")


def made_by_reset(tools):
    """A commit of no member to a group that nobody knows makes it; it has no members and no protocol."""
    topic, group = tools.trial.topic(2), tools.trial.group("made")
    tools.trial.fill(topic, 1, [b"one", b"two"])
    tools.groups("--reset-offsets", "--group", group, "--topic", topic, "--to-latest", "--execute")
    have = group_offsets(tools, group)
    assert have == {(topic, 0): ("0", "0", "0"), (topic, 1): ("2", "2", "0")}, have
    state_is(tools, group, "Empty", 0, "-")
    assert group in tools.groups("--list", "--state", "empty").out.split()


def by_pattern(tools):
    """A consumer of all topics with a name like this; the last one is made while it runs."""
    trial, group = tools.trial, tools.trial.group("pattern")
    first, second = trial.topic(1), trial.topic(1)
    consumer = Running(tools, "pattern", CONSUMER, "--include", f"({first}|{second}|{group}-later)", "--group", group,
                       "--from-beginning", *PACE, "--command-property", "metadata.max.age.ms=500")
    for topic in first, second:
        trial.fill(topic, 0, [topic.encode()])
    consumer.wait(lambda out: sorted(out.split()) == sorted((first, second)), "the records of two topics")
    tools.topics("--create", "--topic", f"{group}-later", "--partitions", 1)
    eventually(members_have, tools, group, 3, timeout=GROUP_WAIT_S)
    trial.fill(f"{group}-later", 0, [b"later"])
    consumer.wait(lambda out: sorted(out.split()) == sorted((first, second, "later")), "the record of the topic made later")
    consumer.stop()


def partition_of(group, count):
    """Where Kafka keeps a group: the absolute value of the hash of a Java string."""
    code = 0
    for letter in group:
        code = (31 * code + ord(letter)) & 0xFFFFFFFF
    return min(code, 2 ** 32 - code) % 2 ** 31 % count


class Log:
    """What __consumer_offsets says of a group, through the console consumer's formatters."""

    def __init__(self, tools, group):
        self.tools, self.group = tools, group

    def read(self, formatter, condition):
        """The formatter's lines about the group, read until condition(them) holds."""
        count = len(self.tools.offsets("__consumer_offsets", -1))
        reader = Running(self.tools, formatter, CONSUMER, "--topic", "__consumer_offsets", "--formatter",
                         FORMATTER + formatter, "--partition", partition_of(self.group, count), "--offset", "earliest")
        reader.wait(lambda out: condition(self.mine(out)), f"{self.group} in the log")
        reader.stop()
        return self.mine(reader.out())

    def mine(self, out):
        return [one for one in documents(out) if one["key"]["data"]["group"] == self.group]

    def offsets(self, topic, wanted):
        """Every commit in its order; a deletion is null."""
        def values(lines):
            return [one["value"] and one["value"]["data"]["offset"] for one in lines if one["key"]["data"]["topic"] == topic]
        lines = self.read("OffsetsMessageFormatter", lambda lines: values(lines)[-len(wanted):] == wanted)
        assert {one["key"]["data"]["partition"] for one in lines} == {0}, lines

    def metadata(self):
        lines = self.read("GroupMetadataMessageFormatter", lambda lines: lines and lines[-1]["value"] is None)
        living = [one["value"]["data"] for one in lines if one["value"] and one["value"]["data"]["members"]]
        empty = [one["value"]["data"] for one in lines if one["value"] and not one["value"]["data"]["members"]]
        assert living and empty, lines
        assert {one["protocolType"] for one in living} == {"consumer"}, living
        assert {one["protocol"] for one in living} == {"range"} and {one["protocol"] for one in empty} == {None}, lines
        assert {member["clientId"] for one in living for member in one["members"]} == {"console-consumer"}, living
        generations = [one["generation"] for one in living]
        assert generations == sorted(generations) and generations[0] == 1, generations


def run_commit(trial, tools):
    offsets = Offsets(tools)
    log = Log(tools, offsets.group)
    trial.case("a kafka-console-consumer resumes where the one before it stopped", offsets.resume)
    trial.case("kafka-consumer-groups resets offsets to the earliest and the latest, a dry run does not", offsets.to_earliest)
    trial.case("kafka-consumer-groups resets offsets to a time", offsets.to_datetime)
    trial.case("kafka-consumer-groups shifts offsets, and a consumer begins there", offsets.shift)
    trial.case("kafka-consumer-groups exports offsets and resets them from the file", offsets.from_file)
    trial.case("kafka-consumer-groups deletes the offsets of one topic, the others stay", offsets.delete_offsets)
    trial.case("kafka-console-consumer's formatter shows the commits in __consumer_offsets", log.offsets, offsets.topic,
               [0, 10, 10, 15, 3])
    trial.case("kafka-consumer-groups deletes the group", offsets.delete)
    trial.case("kafka-consumer-groups makes a group by resetting offsets", made_by_reset, tools)
    trial.case("the formatter shows the deletion of its offsets", log.offsets, offsets.topic, [3, None])
    trial.case("the formatter shows the group's generations, emptiness and deletion", log.metadata)


class Verifiable:
    """kafka-verifiable-consumers, which say what is assigned and revoked."""

    def __init__(self, tools, *more):
        self.tools, self.trial, self.more = tools, tools.trial, more
        self.topic, self.group = self.trial.topic(PARTITIONS), self.trial.group("g")
        self.config = tools.file("verifiable.properties", "heartbeat.interval.ms=500\nmetadata.recovery.strategy=none\n")

    def start(self, label, *more):
        return Running(self.tools, label, PACKAGE + "VerifiableConsumer", "--topic", self.topic, "--group-id", self.group,
                       "--session-timeout", 30000, "--command-config", self.config, *self.more, *more)

    def owned(self, consumer):
        """What it has after all that it was given and lost."""
        mine = set()
        for one in documents(consumer.out()):
            if one["name"] == "partitions_assigned":
                mine |= partitions_of(one)
            if one["name"] == "partitions_revoked":
                mine -= partitions_of(one)
        return mine

    def shared(self, *consumers):
        def even():
            owned = [self.owned(one) for one in consumers]
            return sum(map(len, owned)) == PARTITIONS == len(set().union(*owned)) and \
                all(len(mine) == PARTITIONS // len(consumers) for mine in owned)
        self.trial.crew.wait(even, GROUP_WAIT_S, lambda: f"even shares: {[self.owned(one) for one in consumers]}")


def partitions_of(event):
    return {one["partition"] for one in event["partitions"]}


def revoked(consumer, since=0):
    """All that was taken from it, as far as it told after its first `since` events."""
    events = documents(consumer.out())[since:]
    return set().union(*(partitions_of(one) for one in events if one["name"] == "partitions_revoked"))


def static(tools):
    case = Verifiable(tools)
    instance = "--group-instance-id"
    first, other = case.start("static-1", instance, "one"), case.start("static-2", instance, "two")
    case.shared(first, other)
    rows = members(tools, case.group)
    assert {row["GROUP-INSTANCE-ID"] for row in rows} == {"one", "two"}, rows
    had, mark = case.owned(first), len(documents(other.out()))
    first.kill()
    again = case.start("static-1-again", instance, "one")
    case.shared(again, other)
    assert case.owned(again) == had, f"it got {case.owned(again)} instead of {had} back"
    assert not revoked(other, mark), "the other member's partitions were revoked"
    again.end()
    members_have(tools, case.group, 2, 2)
    other.end()


def cooperative(tools):
    case = Verifiable(tools, "--assignment-strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor")
    first = case.start("cooperative-1")
    case.shared(first)
    second = case.start("cooperative-2")
    case.shared(first, second)
    taken = revoked(first)
    assert taken == case.owned(second), f"{taken} were revoked, the new member got {case.owned(second)}"
    state_is(tools, case.group, "Stable", 2, "cooperative-sticky")
    first.end()
    case.shared(second)
    second.end()


class Restart:
    """Members live on while the broker is killed and comes back, without a rebalance.

    A client of 4.x that is left without any broker forgets its metadata, and the leader then asks for a rebalance itself:
    that is switched off.
    """

    def __init__(self, tools):
        self.trial = tools.trial
        self.case = Verifiable(tools)
        self.members = []
        self.written = 0

    def write(self):
        """One record to each partition, which must be committed."""
        for partition in range(PARTITIONS):
            self.trial.fill(self.case.topic, partition, [b"x"], first=self.written)
        self.written += 1
        self.trial.crew.wait(lambda: self.committed() == dict.fromkeys(range(PARTITIONS), self.written), GROUP_WAIT_S,
                             lambda: f"commits of {self.written}: {self.committed()}")

    def committed(self):
        newest = {}
        for member in self.members:
            for event in documents(member.out()):
                if event["name"] == "offsets_committed" and event["success"]:
                    for one in event["offsets"]:
                        newest[one["partition"]] = max(one["offset"], newest.get(one["partition"], 0))
        return newest

    def run(self):
        self.members = [self.case.start(f"living-{n}") for n in range(2)]
        self.case.shared(*self.members)
        self.write()
        marks = [len(documents(member.out())) for member in self.members]
        broker = self.trial.broker
        broker.keep_port = True
        broker.kill()
        broker.start()
        with self.trial.connection() as connection:
            for partition in range(PARTITIONS):
                eventually(self.trial.readable, connection, self.case.topic, partition, timeout=30)
        self.write()
        for member, mark in zip(self.members, marks):
            assert not revoked(member, mark), f"{revoked(member, mark)} were revoked of {member.label}"
        for member in self.members:
            member.end()


def run_static(trial, tools):
    trial.case("a static kafka-verifiable-consumer that is killed comes back to its partitions, the other notices nothing",
               static, tools)


def run_cooperative(trial, tools):
    trial.case("kafka-verifiable-consumers rebalance cooperatively: only what moves is revoked", cooperative, tools)
