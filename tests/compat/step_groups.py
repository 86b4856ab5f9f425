"""Consumer groups: members join, leave and crash, commit and resume, come back, and keep what they have."""
import threading

from driver import eventually
from member import Member, check_delivery, check_generations, commit, partitions_of, stable
from wire import batch, produced

PARTITIONS = 6
LONG_SESSION_MS = 30000
METADATA = "where I was: \u00e4"


class Feed(threading.Thread):
    """Writes one record to each partition, again and again, until it is stopped."""

    def __init__(self, trial, topic):
        super().__init__(daemon=True)
        self.trial, self.topic = trial, topic
        self.ends = dict.fromkeys(range(PARTITIONS), 0)
        self.failure = None
        self.enough = threading.Event()
        self.start()

    def run(self):
        try:
            with self.trial.connection() as connection:
                while not self.enough.wait(0.05):
                    for partition in self.ends:
                        self.write(connection, partition)
        except Exception as why:
            self.failure = why

    def write(self, connection, partition):
        end = self.ends[partition]
        answer = produced(connection, self.topic, partition, batch([b"%d-%d" % (partition, end)]))
        assert answer == (0, end), f"a raw produce at {partition}/{end} says (error, offset) {answer}"
        self.ends[partition] = end + 1

    def stop(self):
        self.enough.set()
        self.join()
        assert self.failure is None, f"the records could not be written: {self.failure}"
        return self.ends


class Turnover:
    """Three members that join while records are written; one leaves, one is killed."""

    def __init__(self, trial):
        self.trial = trial
        self.topic = trial.topic(PARTITIONS)
        self.members, self.commits = [], []

    def living(self):
        return [member for member in self.members if not member.gone]

    def settle(self):
        """A stable point: evenly shared, every member was given something of all it owns, and has committed it."""
        living = self.living()
        stable(self.trial, living, PARTITIONS)
        marks = {member: len(member.adapter.events) for member in living}
        self.trial.crew.wait(lambda: all(heard(member, marks[member]) for member in living), 30,
                             lambda: "records of each partition: " + "; ".join(m.said() for m in living))
        commit(living, self.commits)
        check_generations(self.members)

    def join(self):
        name = f"member-{len(self.members) + 1}"
        self.members.append(Member(self.trial, name, self.trial.group("g"), self.topic))
        self.settle()

    def leave(self):
        self.members[1].leave()
        self.settle()

    def crash(self):
        self.members[2].crash()
        self.settle()

    def finish(self, feed):
        ends = feed.stop()
        last = self.members[0]
        self.trial.crew.wait(lambda: last.ends() == ends, 30, lambda: f"read to the ends: {last.ends()} of {ends}")
        check_delivery(self.members, ends, self.commits)


def heard(member, since):
    return {event["partition"] for event in member.events("record", since)} >= member.owned


def run_turnover(trial):
    turnover = Turnover(trial)
    feed = Feed(trial, turnover.topic)
    stages = ((turnover.join, "one member gets all partitions"),
              (turnover.join, "a second member joins: each partition has one owner"),
              (turnover.join, "a third member joins: each partition has one owner"),
              (turnover.leave, "a member leaves: the others have all partitions"),
              (turnover.crash, "a member is killed: the last one has all partitions"))
    try:
        if all(trial.case(statement, stage) for stage, statement in stages):
            trial.case("every record was delivered, in order per partition, none skipped", turnover.finish, feed)
    finally:
        feed.enough.set()


def committed_is(trial, group, topic, offsets, metadata=None):
    """Some clients commit with metadata of their own: None leaves it open."""
    answer = trial.main.call("committed", group=group, partitions=[[topic, n] for n in range(len(offsets))])
    have = answer["offsets"], [text or "" for text in answer["metadata"]]
    assert have == (offsets, metadata or have[1]), f"committed are {have} instead of {(offsets, metadata)}"


def starts_of(member):
    """Partition -> the first offset that the member was given."""
    return {event["partition"]: event["offset"] for event in reversed(member.events("record"))}


def read_to(trial, member, ends):
    trial.crew.wait(lambda: member.ends() == ends, 30, lambda: f"read to {ends}: {member.ends()}, {member.said()}")


class Resume:
    def __init__(self, trial):
        self.trial = trial
        self.topic, self.group = trial.topic(2), trial.group("g")
        for partition in range(2):
            trial.fill(self.topic, partition, [b"%d" % n for n in range(100)])

    def commit(self, metadata):
        member = Member(self.trial, "first", self.group, self.topic)
        try:
            read_to(self.trial, member, {0: 100, 1: 100})
            member.adapter.call("commit", offsets=[[self.topic, 0, 30, metadata], [self.topic, 1, 50, metadata]])
            committed_is(self.trial, self.group, self.topic, [30, 50], [metadata] * 2)
        finally:
            member.leave()

    def restart(self):
        broker = self.trial.broker
        broker.keep_port = True
        broker.stop()
        broker.start()
        eventually(committed_is, self.trial, self.group, self.topic, [30, 50], self.metadata)

    def resume(self):
        member = Member(self.trial, "second", self.group, self.topic)
        read_to(self.trial, member, {0: 100, 1: 100})
        assert starts_of(member) == {0: 30, 1: 50}, f"it starts at {starts_of(member)} instead of 30 and 50"
        member.adapter.call("commit", offsets=None)
        committed_is(self.trial, self.group, self.topic, [100, 100])
        member.crash()

    def resume_at_end(self):
        member = Member(self.trial, "third", self.group, self.topic)
        stable(self.trial, [member], 2)
        for partition in range(2):
            self.trial.fill(self.topic, partition, [b"one more"], first=100)
        read_to(self.trial, member, {0: 101, 1: 101})
        assert starts_of(member) == {0: 100, 1: 100}, f"it starts at {starts_of(member)} instead of 100"


def run_commit(trial):
    resume = Resume(trial)
    resume.metadata = [METADATA] * 2
    done = trial.case("offsets are committed with metadata, and fetched by another client", resume.commit, METADATA)
    if done is None:
        resume.metadata = ["", ""]
        done = trial.case("offsets are committed, and fetched by another client", resume.commit, "")
    if not done:
        return
    trial.case("the committed offsets are there after a clean restart of the broker", resume.restart)
    if trial.case("a new member resumes exactly there, and commits behind all it was given", resume.resume):
        trial.case("after that one crashed, the next resumes behind what it committed", resume.resume_at_end)


class Static:
    """Two members with instance ids; the first goes and comes back."""

    def __init__(self, trial):
        self.trial = trial
        self.topic, self.group = trial.topic(PARTITIONS), trial.group("g")
        self.first = self.other = None

    def member(self, name, instance):
        return Member(self.trial, name, self.group, self.topic, instance=instance, session_ms=LONG_SESSION_MS)

    def begin(self):
        self.first = self.member("one", "instance-1")
        stable(self.trial, [self.first], PARTITIONS)
        self.other = self.member("two", "instance-2")
        stable(self.trial, [self.first, self.other], PARTITIONS)

    def come_back(self, go):
        had = self.first.owned
        mark = len(self.other.adapter.events)
        go()
        self.first = self.member("one-again", "instance-1")
        stable(self.trial, [self.first, self.other], PARTITIONS)
        assert self.first.owned == had, f"it got {sorted(self.first.owned)} instead of {sorted(had)} back"
        assert not self.other.events("revoked", mark), "the other member's partitions were revoked"


def run_static(trial):
    static = Static(trial)
    if trial.case("two static members share the partitions", static.begin):
        trial.case("a static member that is killed comes back to its partitions, the other notices nothing",
                   lambda: static.come_back(static.first.crash))
        trial.case("a static member that closes comes back to its partitions, the other notices nothing",
                   lambda: static.come_back(static.first.leave))


def cooperative(trial):
    topic, group = trial.topic(PARTITIONS), trial.group("g")
    for partition in range(PARTITIONS):
        trial.fill(topic, partition, [b"%d-%d" % (partition, n) for n in range(3)])
    first = Member(trial, "one", group, topic, strategy="cooperative")
    read_to(trial, first, dict.fromkeys(range(PARTITIONS), 3))
    mark = len(first.adapter.events)
    second = Member(trial, "two", group, topic, strategy="cooperative")
    stable(trial, [first, second], PARTITIONS)
    taken = set().union(*(partitions_of(event) for event in first.events("revoked", mark)))
    assert taken == second.owned, f"{sorted(taken)} were revoked, the new member got {sorted(second.owned)}"
    read_to(trial, second, dict.fromkeys(second.owned, 3))
    again = first.events("record", mark)
    assert not again, f"what it kept was read again: {len(again)} records"
    check_generations([first, second])
    check_delivery([first], dict.fromkeys(range(PARTITIONS), 3), [])


def run_cooperative(trial):
    trial.case("a joining member takes from the other only what it gets, what is kept is not revoked", cooperative, trial)
