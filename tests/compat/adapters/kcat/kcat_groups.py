"""kcat -G as a group member: it says on standard error what it gets and loses, and commits by itself, also when it is stopped."""
import re
import signal
import struct

from harness import seconds, spawn, tail, wait_until

PARTITIONS = 4
EAGER = re.compile(r"^% Group \S+ rebalanced \(memberid [^)]*\): (assigned|revoked): (.*)$", re.M)
COOPERATIVE = re.compile(r"^% Group \S+ rebalanced: incremental (assignment|revoke) of .*rebalance protocol\): (.*)$", re.M)
OFFSET_FETCH = 9


class Member:
    def __init__(self, kcat, name, group, topic, *more, session_ms=6000):
        self.name = name
        path = f"{kcat.trial.crew.folder}/{kcat.trial.step}-{name}"
        self.out_path, self.err_path = path + ".out", path + ".log"
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = spawn(["kcat", *kcat.broker, "-u", "-G", group, "-X", "auto.offset.reset=earliest", "-X",
                                  f"session.timeout.ms={session_ms}", "-X", "heartbeat.interval.ms=500", *more,
                                  "-f", "%p/%o/%s\\n", topic], stdin=-3, stdout=out, stderr=err)
        kcat.members.append(self)

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def records(self):
        """What it printed: partition/offset/value."""
        return self.read(self.out_path).split("\n")[:-1]

    def changes(self):
        """[(whether they came, the partitions)] in order, as it told them."""
        said = self.read(self.err_path)
        found = sorted((one for pattern in (EAGER, COOPERATIVE) for one in pattern.finditer(said)), key=lambda one: one.start())
        return [(one[1].startswith("assign"), set(map(int, re.findall(r"\[(\d+)\]", one[2])))) for one in found]

    @property
    def owned(self):
        mine = set()
        for came, partitions in self.changes():
            mine = mine | partitions if came else mine - partitions
        return mine

    def end(self, how=signal.SIGTERM):
        """Its exit code."""
        self.process.send_signal(how)
        return self.process.wait(seconds(30))

    def finish(self):
        """It ends by itself, with 0."""
        code = self.process.wait(seconds(60))
        assert code == 0, f"{self.name} ended with {code}: {tail(self.read(self.err_path).encode())}"
        return self.records()


def evenly(*members):
    """Waits until they share all partitions."""
    def shared():
        owned = [member.owned for member in members]
        return all(len(mine) == PARTITIONS // len(members) for mine in owned) and len(set().union(*owned)) == PARTITIONS
    assert wait_until(shared, 40), "; ".join(f"{m.name} owns {sorted(m.owned)}" for m in members)


def committed(trial, group, topic, partition):
    """The committed offset, asked for without kcat."""
    body = struct.pack(">h", len(group)) + group.encode() + struct.pack(">ih", 1, len(topic)) + topic.encode() + \
        struct.pack(">ii", 1, partition)
    with trial.connection() as connection:
        answer = connection.call(OFFSET_FETCH, 1, body)
    return struct.unpack_from(">q", answer, 4 + 2 + len(topic) + 4 + 4)[0]


class Turnover:
    def __init__(self, kcat):
        self.kcat, self.trial = kcat, kcat.trial
        self.topic, self.group = self.trial.topic(PARTITIONS), self.trial.group("g")
        self.members = []
        self.written = 0

    def start(self):
        self.members.append(Member(self.kcat, f"member-{len(self.members) + 1}", self.group, self.topic))

    def write(self):
        """One record to each partition, which the living print; nothing is printed that was not written."""
        for partition in range(PARTITIONS):
            self.trial.fill(self.topic, partition, [b"%d" % self.written], first=self.written)
        self.written += 1
        wanted = {f"{p}/{n}/{n}" for p in range(PARTITIONS) for n in range(self.written)}
        came = wait_until(lambda: self.printed() >= wanted, 30)
        assert came and self.printed() == wanted, f"{self.printed() ^ wanted} differ"

    def printed(self):
        return {line for member in self.members for line in member.records()}

    def join(self):
        self.start()
        evenly(*self.members)
        self.write()
        self.start()
        evenly(*self.members)
        self.write()

    def crash(self):
        self.members[1].end(signal.SIGKILL)
        evenly(self.members[0])
        self.write()

    def leave(self):
        self.start()
        first, _, last = self.members
        evenly(first, last)
        assert first.end() == 0, "a member that is stopped does not end with 0"
        evenly(last)
        self.write()
        assert last.end() == 0, "a member that is stopped does not end with 0"
        have = [committed(self.trial, self.group, self.topic, partition) for partition in range(PARTITIONS)]
        assert have == [self.written] * PARTITIONS, f"the committed offsets are {have} instead of {self.written}"


def run_group(trial, kcat):
    turnover = Turnover(kcat)
    if trial.case("two members share a topic, each record is printed", turnover.join):
        if trial.case("a member is killed: the other has all partitions", turnover.crash):
            trial.case("one joins, the other leaves; what was printed is committed at the end", turnover.leave)


def resume(kcat):
    trial, topic, group = kcat.trial, kcat.trial.topic(1), kcat.trial.group("g")
    trial.fill(topic, 0, [b"%d" % n for n in range(25)])
    for name, first, count in (("first", 0, 10), ("second", 10, 15)):
        have = Member(kcat, name, group, topic, "-c", str(count)).finish()
        want = [f"0/{n}/{n}" for n in range(first, first + count)]
        assert have == want, f"the {name} prints {have} instead of {want}"
        offset = committed(trial, group, topic, 0)
        assert offset == first + count, f"committed is {offset} instead of {first + count}"


def by_itself(kcat):
    """What the interval commits is there although the member is killed."""
    trial, topic, group = kcat.trial, kcat.trial.topic(1), kcat.trial.group("interval")
    trial.fill(topic, 0, [b"%d" % n for n in range(7)])
    member = Member(kcat, "interval", group, topic, "-X", "auto.commit.interval.ms=200")
    came = wait_until(lambda: committed(trial, group, topic, 0) == 7, 30)
    assert came, f"committed is {committed(trial, group, topic, 0)} instead of 7"
    member.end(signal.SIGKILL)
    trial.fill(topic, 0, [b"7"], first=7)
    have = Member(kcat, "after", group, topic, "-c", "1").finish()
    assert have == ["0/7/7"], f"the next member prints {have}"


def stored(kcat):
    """An assigned consumer that starts at the group's offset."""
    trial, topic, group = kcat.trial, kcat.trial.topic(1), kcat.trial.group("stored")
    trial.fill(topic, 0, [b"%d" % n for n in range(9)])
    Member(kcat, "stored", group, topic, "-c", "4").finish()
    out = kcat.run("-C", "-t", topic, "-p", 0, "-X", f"group.id={group}", "-o", "stored", "-c", 2, "-q", "-f", "%o\\n")
    assert out.split() == [b"4", b"5"], out


def run_commit(trial, kcat):
    trial.case("a member commits what it printed, and the next one resumes there", resume, kcat)
    trial.case("commits at an interval outlive a member that is killed", by_itself, kcat)
    trial.case("an assigned consumer starts at the stored offset", stored, kcat)


def static(kcat):
    topic, group = kcat.trial.topic(PARTITIONS), kcat.trial.group("g")

    def start(name, instance):
        return Member(kcat, name, group, topic, "-X", f"group.instance.id={instance}", session_ms=30000)
    first, other = start("one", "instance-1"), start("two", "instance-2")
    evenly(first, other)
    had, before = first.owned, other.changes()
    for how in (signal.SIGKILL, signal.SIGTERM):
        first.end(how)
        first = start(f"one-after-{how.name}", "instance-1")
        evenly(first, other)
        assert first.owned == had, f"it got {sorted(first.owned)} instead of {sorted(had)} back"
        assert other.changes() == before, f"the other was told {other.changes()[len(before):]}"
    assert (first.end(), other.end()) == (0, 0), "a member that is stopped does not end with 0"


def cooperative(kcat):
    topic, group = kcat.trial.topic(PARTITIONS), kcat.trial.group("g")
    words = ("-X", "partition.assignment.strategy=cooperative-sticky")
    first = Member(kcat, "one", group, topic, *words)
    evenly(first)
    second = Member(kcat, "two", group, topic, *words)
    evenly(first, second)
    taken = set().union(*(partitions for came, partitions in first.changes() if not came))
    assert taken == second.owned, f"{sorted(taken)} were revoked, the new member got {sorted(second.owned)}"
    assert first.end() == 0, "a member that is stopped does not end with 0"
    evenly(second)
    assert second.end() == 0, "a member that is stopped does not end with 0"


def run_static(trial, kcat):
    trial.case("a static member that is killed or stopped comes back to its partitions, the other notices nothing", static,
               kcat)


def run_cooperative(trial, kcat):
    trial.case("a joining member takes from the other only what it gets", cooperative, kcat)
