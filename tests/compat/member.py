"""Members of a consumer group, and what their events prove.

A *run* is what a member reads of one partition from one assignment on. Every run must start where the group last
committed and go on without a gap; together the runs must have read everything.
"""
import functools
import time

from driver import decoded

SESSION_MS = 3000
HEARTBEAT_MS = 500
REBALANCE_MS = 15000
STABLE_S = 60


class Member:
    def __init__(self, trial, name, group, topic, strategy="eager", instance=None, session_ms=SESSION_MS):
        self.name = name
        self.topic = topic
        self.gone = False
        self.adapter = trial.crew.start(name)
        self.adapter.call("join", group=group, topics=[topic], instance=instance, strategy=strategy,
                          session_ms=session_ms, heartbeat_ms=HEARTBEAT_MS, rebalance_ms=REBALANCE_MS)

    def events(self, kind, since=0):
        return [event for event in self.adapter.events[since:] if event.get("event") == kind]

    @property
    def owned(self):
        """The partitions that it owns now, a set of numbers; None before its first assignment."""
        if self.gone:
            return set()
        owned = None
        for event in list(self.adapter.ownership):
            if event["event"] == "assigned":
                owned = partitions_of(event)
            elif owned:
                owned = owned - partitions_of(event)
        return owned

    def ends(self):
        """Partition -> the offset behind the newest record that it was given of it."""
        return dict(self.adapter.ends)

    def leave(self):
        self.adapter.call("leave")
        self.gone = True

    def crash(self):
        self.adapter.kill()
        self.gone = True

    def said(self):
        errors = [event["error"] for event in self.events("error")]
        return f"{self.name} owns {sorted(self.owned or [])}" + (f" and says {errors[-1]:.200}" if errors else "")


def partitions_of(event):
    return {partition for _, partition in event["partitions"]}


def shared_evenly(members, count):
    """All `count` partitions are owned, none twice, and no member has two more than another."""
    owned = [member.owned for member in members]
    if any(mine is None for mine in owned):
        return False
    sizes = [len(mine) for mine in owned]
    return sum(sizes) == count == len(set().union(*owned)) and max(sizes) - min(sizes) <= 1


def stable(trial, members, count):
    """Waits until the members share the partitions evenly."""
    trial.crew.wait(lambda: shared_evenly(members, count), STABLE_S,
                    lambda: f"{count} partitions shared evenly: " + "; ".join(member.said() for member in members))


def check_generations(members):
    """In no generation is a partition owned twice, as far as the clients tell generations."""
    owners = {}
    for member in members:
        newest = {}
        for event in member.events("assigned"):
            newest[event.get("generation")] = partitions_of(event)
        newest.pop(None, None)
        for generation, owned in newest.items():
            for partition in owned:
                other = owners.setdefault((generation, partition), member.name)
                assert other == member.name, f"{other} and {member.name} own {partition} in generation {generation}"


def check_runs(member, starts):
    """Checks the runs of one member; answers what it read as {partition: set of offsets}.

    `starts(partition, told, given)` has the offsets at which a run may start whose assignment and first record the member told
    of at these times.
    """
    read, following, told = {}, {}, {}
    for event in member.adapter.events:
        if event.get("event") in ("assigned", "revoked"):
            told.update((partition, event["at"]) for partition in partitions_of(event))
        elif event.get("event") == "record":
            partition, offset = event["partition"], event["offset"]
            if offset != following.get(partition):
                assert partition in told, f"{member.name} was given {partition}/{offset} without owning it, " \
                    f"or not {following.get(partition)} before it"
                may = starts(partition, told[partition], event["at"])
                assert offset in may, f"{member.name} starts at {partition}/{offset} instead of {sorted(may)}"
            told.pop(partition, None)
            assert decoded(event["value"]) == b"%d-%d" % (partition, offset), \
                f"{member.name} was given {event['value']} at {partition}/{offset}"
            following[partition] = offset + 1
            read.setdefault(partition, set()).add(offset)
    return read


def allowed_starts(commits, partition, told, given):
    """The newest commit that was acknowledged before the assignment was told, and those that came after and were asked for
    before the first record. `commits` has (asked, acknowledged, partition, offset) of each."""
    asked = [(acknowledged, offset) for asked, acknowledged, of, offset in commits if of == partition and asked < given]
    before = [offset for acknowledged, offset in asked if acknowledged < told]
    return {before[-1] if before else 0} | {offset for acknowledged, offset in asked if acknowledged >= told}


def check_delivery(members, ends, commits):
    """Every record up to `ends` (partition -> offset) was read, in order per run, none skipped."""
    read = {}
    for member in members:
        for partition, offsets in check_runs(member, functools.partial(allowed_starts, commits)).items():
            read.setdefault(partition, set()).update(offsets)
    assert sum(ends.values()) > 0, "no record was written"
    for partition, end in ends.items():
        missing = set(range(end)) - read.get(partition, set())
        assert not missing, f"{len(missing)} of {end} records of partition {partition} were not read, first {min(missing)}"


def commit(members, commits):
    """Each member commits behind what it was given of what it owns; `commits` gets what was acknowledged."""
    for member in members:
        offsets = {number: end for number, end in member.ends().items() if number in member.owned}
        asked = time.monotonic()
        member.adapter.call("commit", offsets=[[member.topic, number, end, ""] for number, end in offsets.items()])
        commits += [(asked, time.monotonic(), number, end) for number, end in offsets.items()]
