"""Kafka Streams: every kind of join and window (Topologies.java), two instances killed in turn, the broker too; exact, and asked over HTTP."""
import re
import time
import urllib.request

import streams_story as story
from apache import free_ports
from streams_case import Application, earliest
from world import *

PARTITIONS = 2
IN = ("users", "members", "notes", "teams", "views", "clicks")
OUT = ("joined", "left-joined", "enriched", "who", "noted", "totals", "tumbling", "sessions", "sliding")
WINDOWS = {"tumbling": story.tumbling, "sessions": story.sessions, "sliding": story.sliding}


class Instance(Application):
    def __init__(self, broker, classes, state, guarantee):
        self.port = free_ports(1)[0]
        super().__init__(broker, classes, state, guarantee, "Topologies", self.port)

    def ask(self, path):
        """What it answers, or None: it is not there, or its state is not."""
        try:
            with urllib.request.urlopen(f"http://localhost:{self.port}{path}", timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            return None


class Story:
    """Events that are written bit by bit, and what was made of them."""

    def __init__(self, broker, exactly):
        self.broker, self.exactly = broker, exactly
        self.start, self.count, self.version = int(time.time() * 1000) - story.HOURS_AGO * 3600_000, 0, -1

    def write(self, verb, *words):
        run_ok([venv_python(), os.path.join(HERE, "streams_events.py"), verb, self.broker.address, str(self.start), *map(str, words)], timeout=120)

    def tables(self):
        self.version += 1
        self.write("tables", self.version)

    def events(self, count):
        self.write("events", self.count, count)
        self.count += count

    def told(self, topic):
        return asked("texts", self.broker.address, topic)

    def done(self):
        """How many views were counted, and committed."""
        return sum(len(counts) for counts in self.told("totals").values())

    def fault(self, topic, wanted):
        """None, or how what was told differs: the values of each key, in any order; with at least once some may come again."""
        found = {key: [value for value in values if "end" not in value] for key, values in self.told(topic).items()}
        found = {key: sorted(values if self.exactly else set(values)) for key, values in found.items() if values}
        wanted = {key: sorted(values) for key, values in wanted.items()}
        wrong = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
        return wrong and f"{topic}: {len(wrong)} keys, such as {wrong[0]}: {found.get(wrong[0])} instead of {wanted.get(wrong[0])}"

    def joined_fault(self, topic, unmet):
        wanted = {}
        for key, pair in story.joined(self.count):
            if unmet or not pair.endswith("null"):
                wanted.setdefault(key, []).append(pair)
        return self.fault(topic, wanted)

    def enriched_fault(self):
        wanted = {}
        for i in range(self.count):
            if story.view_at(i) is not None:
                wanted.setdefault(story.user(i), []).append(f"{i}@user{i % story.USERS}")
        return self.fault("enriched", wanted)

    def counted_fault(self):
        """Each count of each user once, in order. At least once: none left out, and the state may have counted some twice."""
        for key, total in story.totals(self.count).items():
            found, wanted = self.told_totals.get(key, []), [str(n) for n in range(1, total + 1)]
            if found != wanted if self.exactly else not set(wanted) <= set(found):
                return f"totals: {key} is {found[-3:]} after {len(found)}, not {total}"
        return None

    def tables_fault(self):
        who, noted = self.told("who"), self.told("noted")
        for n in range(story.USERS):
            key, team = story.user(n), story.team_of(n, self.version)
            name, note = story.team_name(int(team[1:]), self.version), f"note{self.version}" if n % 2 else "null"
            if who.get(key, [""])[-1] != f"{team}={name}" or noted.get(key, [""])[-1] != f"{team}+{note}":
                return f"{key}: {who.get(key)} and {noted.get(key)}, not {team}={name} and {team}+{note}"
        return None

    def open_fault(self):
        """Of what needs no window to close."""
        self.told_totals = self.told("totals")
        return self.counted_fault() or self.joined_fault("joined", False) or self.enriched_fault() or self.tables_fault()

    def closed_fault(self):
        """Of what comes when windows close; with at least once a window may have counted a view twice."""
        wrong = self.joined_fault("left-joined", True)
        for topic, kind in WINDOWS.items():
            wanted = story.windows(kind, self.start, self.count)
            if self.exactly:
                wrong = wrong or self.fault(topic, wanted)
            else:
                lacks = wanted.keys() - self.told(topic).keys()
                wrong = wrong or (lacks and f"{topic}: {len(lacks)} windows are not told, such as {min(lacks)}")
        return wrong

    def comes_true(self):
        comes(self.open_fault, 120 + self.count / 100)

        def ended():
            self.write("end")
            return self.closed_fault()
        comes(ended, 90)


def answer_fault(instances, count, exactly):
    """None if all of the totals are in the instances' states, each in one of them, and each instance knows who has it."""
    lines = [line.split() for instance in instances for line in (instance.ask("/totals") or "").splitlines()]
    wanted, found = story.totals(count), {key: int(total) for key, total in lines}
    if len(lines) != len(wanted) or (found != wanted if exactly else any(found.get(key, 0) < n for key, n in wanted.items())):
        return f"the states have {lines[:5]}... of {len(lines)} users, not {list(wanted.items())[:5]}... of {len(wanted)}"
    owners = {f"localhost:{instance.port}": instance for instance in instances}
    for key in list(wanted)[:10]:
        named = {instance.ask(f"/owner/{key}") for instance in instances}
        if len(named) != 1 or not named <= owners.keys():
            return f"who has {key}: {named} of {owners.keys()}"
        told = owners[named.pop()].ask(f"/total/{key}")
        if told != str(found[key]):
            return f"{key} is {told} where it is, and {found[key]} among all"
    return None


def answers(told, instances):
    comes(lambda: answer_fault(instances, told.count, told.exactly), 90)


def disturb(told, instances, start_instance, end):
    """One instance is killed, then the other, which loses its state too, then the broker, and so on; every other time in the middle of a start."""
    turn = 0
    while time.monotonic() < end or turn < 3:
        told.events(300)
        if turn % 3 == 2:
            told.tables()
            told.broker.kill(), told.broker.start()
        else:
            instances[turn % 3].kill()
            instances[turn % 3] = start_instance(turn % 3, turn % 2 == 1)
        time.sleep(1)
        done = told.done()
        if turn % 2:
            wait_until(lambda: told.done() > done, 30, 1)
        turn += 1


def come_back(told, states, start_instance):
    """What is left when all the state is gone is the changelog, compacted."""
    changelog = "topologies-totals-changelog"
    compacted(told.broker, changelog)
    told.broker.kill(), told.broker.start()
    alone = start_instance(0, True)
    answers(told, [alone])
    restored = sum(int(n) for n in re.findall(rf"restored: {changelog}-\d+ (\d+)", alone.said()))
    assert 0 < restored < sum(story.totals(told.count).values()), f"the totals were restored from {restored} records"
    alone.stop()


def joins_and_windows(guarantee):
    classes, exactly = compiled("Topologies.java"), guarantee == "exactly_once_v2"
    broker, states = open_broker(f"{WORK}/{guarantee}", EXACTLY), [empty(f"{WORK}/{guarantee}-{name}") for name in "ab"]
    broker.keep_port = True

    def start_instance(which, without_state=False):
        if without_state:
            empty(states[which])
        return Instance(broker, classes, states[which], guarantee)

    with broker:
        for topic in (*IN, *OUT):
            client("topic", broker.address, topic, PARTITIONS)
        told = Story(broker, exactly)
        told.tables()
        instances = [start_instance(which) for which in range(2)]
        comes(told.tables_fault, 90)  # before the first view looks for its user
        told.events(300)
        disturb(told, instances, start_instance, time.monotonic() + float(os.environ.get("STREAMS_SECONDS", "75")))
        told.comes_true()
        answers(told, instances)
        assert wait_until(lambda: earliest(broker, "topologies-groups-repartition", PARTITIONS) > 0, 20, 1), "the repartition topic is not purged"
        for instance in instances:
            instance.stop()
        come_back(told, states, start_instance)
        broker.stop()


CASES = [("Kafka Streams joins, windows, suppresses and answers exactly once: two instances killed in turn, the broker too", joins_and_windows,
          ("exactly_once_v2",))]
ON_DEMAND = [("Kafka Streams joins, windows, suppresses and answers at least once: nothing is lost", joins_and_windows,
              ("at_least_once",))]
