"""kill -9 while many groups commit: what was acknowledged is there, and nothing that was never sent.

Each committer owns some groups and numbers what it does with each: a commit of that number to all partitions, and now and then, where
the group has no members, a deletion. It keeps several requests under way. After each kill OffsetFetch must show a state between the last
acknowledged number and the last one sent, the same in all partitions. The segments of __consumer_offsets are small, so that it is
rewritten all the time.
"""
import random
import shutil
import threading
import time

from messages import call, frame, take
from harness import wait_until
from rounds import open_broker
from wire import *

OFFSETS, PARTITIONS = "__consumer_offsets", 4
COMMITTERS, GROUPS_EACH, WINDOW = 6, 4, 8
FIRST_ROUND = 150  # numbers of each committer: more than the logs may hold
DELETE_EACH = 7  # every so many numbers of a group without members
KILLS = 3
KILL_S = (0.05, 0.5)
SETTINGS = {"offsets.topic.num.partitions": "3", "offsets.topic.segment.bytes": "65536"}


class Group:
    """Number 0 is the beginning: nothing is committed."""

    def __init__(self, name, member):
        self.name, self.acked, self.sent = name, 0, 0
        self.with_member, self.id, self.generation = member, "", -1

    def deletes(self, number):
        return not self.with_member and number % DELETE_EACH == 0

    def join(self, connection):
        """Once; after a kill the group must still know its member."""
        if not self.with_member or self.id:
            return
        r = call(connection, "join_group", 3, group_id=self.name, session_timeout_ms=1800000, rebalance_timeout_ms=1000,
                 protocol_type="consumer", protocols=[{"name": "range", "metadata": b""}])
        assert r.error_code == 0, f"JoinGroup of {self.name} got {r.error_code}"
        self.id, self.generation = r.member_id, r.generation_id
        r = call(connection, "sync_group", 3, group_id=self.name, generation_id=self.generation, member_id=self.id,
                 assignments=[{"member_id": self.id, "assignment": b"all"}])
        assert r.error_code == 0, f"SyncGroup of {self.name} got {r.error_code}"

    def request(self, number):
        if self.deletes(number):
            return frame("delete_groups", 1, groups_names=[self.name])
        parts = [{"partition_index": p, "committed_offset": number, "committed_metadata": "m"} for p in range(PARTITIONS)]
        return frame("offset_commit", 7, group_id=self.name, member_id=self.id, generation_id_or_member_epoch=self.generation,
                     topics=[{"name": "t", "partitions": parts}])

    def take(self, connection, number):
        if self.deletes(number):
            error = take(connection, "delete_groups", 1).results[0].error_code
        else:
            errors = {p.error_code for t in take(connection, "offset_commit", 7).topics for p in t.partitions}
            error = errors.pop() if len(errors) == 1 else sorted(errors)
        assert error == 0, f"number {number} of {self.name} got error {error}"
        self.acked = number

    def compare(self, connection):
        """The state found becomes the number that the next round goes on from; answers it."""
        r = call(connection, "offset_fetch", 7, group_id=self.name, topics=None)
        assert r.error_code == 0, f"OffsetFetch of {self.name} got {r.error_code}"
        found = {p.partition_index: p.committed_offset for t in r.topics for p in t.partitions}
        between = f"{self.acked} was acknowledged, {self.sent} was sent"
        if not found:
            states = [n for n in range(self.acked, self.sent + 1) if n == 0 or self.deletes(n)]
            assert states, f"{self.name} has lost its offsets; {between}"
            number = states[-1]
        else:
            number = found[0]
            assert found == {p: number for p in range(PARTITIONS)}, f"{self.name} has {found}; {between}"
            assert self.acked <= number <= self.sent and not self.deletes(number), f"{self.name} has {number}; {between}"
        if self.id:
            beat = call(connection, "heartbeat", 3, group_id=self.name, generation_id=self.generation, member_id=self.id).error_code
            assert beat == 0, f"{self.name} does not know its member: {beat}"
        self.acked = number
        self.sent = max(self.sent, number)
        return number


class Committer(threading.Thread):
    def __init__(self, port, groups):
        super().__init__(daemon=True)
        self.port, self.groups = port, groups
        self.failure, self.count = None, 0

    def run(self):
        try:
            with Connection(self.port) as c:
                self.commit(c)
        except (EOFError, OSError):
            pass  # the kill
        except Exception as why:
            self.failure = why

    def commit(self, c):
        for group in self.groups:
            group.join(c)
        under_way = []
        while True:
            for group in self.groups:
                group.sent += 1
                under_way.append((group, group.sent))
                c.send(group.request(group.sent))
                if len(under_way) == WINDOW:
                    first, number = under_way.pop(0)
                    first.take(c, number)
                    self.count += 1


def ready(broker, groups):
    """A connection, once all groups can be asked."""
    c = Connection(broker.port)

    def coordinates():
        found = call(c, "find_coordinator", 4, coordinator_keys=["any"]).coordinators[0].error_code
        return found == 0 and not any(g.error_code for g in call(c, "describe_groups", 5, groups=[g.name for g in groups]).groups)
    assert wait_until(coordinates, 20), "there is no coordinator"
    return c


def one_round(broker, groups, least):
    """Commits until the kill, at least so many by each; answers how many were acknowledged and how many groups compared."""
    crowd = [Committer(broker.port, groups[i::COMMITTERS]) for i in range(COMMITTERS)]
    for one in crowd:
        one.start()
    assert wait_until(lambda: all(o.count >= least for o in crowd) or any(o.failure for o in crowd), 30), "not enough was acknowledged"
    time.sleep(random.uniform(*KILL_S))
    broker.kill()
    for one in crowd:
        one.join(30)
        assert one.failure is None, str(one.failure)
    broker.start()
    with ready(broker, groups) as c:
        numbers = [group.compare(c) for group in groups]
    assert any(numbers), "nothing was ever committed"
    return sum(o.count for o in crowd), len(numbers)


def log_start(connection):
    """Of all partitions together: above 0 when logs were rewritten."""
    parts = [{"partition_index": p, "timestamp": -2} for p in range(int(SETTINGS["offsets.topic.num.partitions"]))]
    r = call(connection, "list_offsets", 5, topics=[{"name": OFFSETS, "partitions": parts}])
    return sum(p.offset for p in r.topics[0].partitions)


def run_group(totals, name, engine, disk, cores, caching):
    broker = open_broker(name, engine, disk, cores)
    broker.properties.update(SETTINGS, **{"write.caching": caching})
    groups = [Group(f"group-{i}", member=i // COMMITTERS % 2 == 0) for i in range(COMMITTERS * GROUPS_EACH)]
    with broker:
        with ready(broker, groups) as c:
            assert create_topic(c, "t", PARTITIONS) == 0
        for number in range(1, KILLS + 1):
            try:
                acked, compared = one_round(broker, groups, FIRST_ROUND if number == 1 else 1)
            except AssertionError as why:
                raise AssertionError(f"kill {number}, folder {broker.folder}: {why}") from None
            totals["kills"] = totals.get("kills", 0) + 1
            totals["acked"] = totals.get("acked", 0) + acked
            totals["compared"] = totals.get("compared", 0) + compared
        with ready(broker, groups) as c:
            start = log_start(c)
            assert start > 0, "no log was rewritten"
            totals["given back"] = totals.get("given back", 0) + start
        broker.stop()
        broker.arguments[-1] = "1" if broker.arguments[-1] == "2" else "2"
        broker.start()
        with ready(broker, groups) as c:
            for group in groups:
                group.compare(c)
        broker.stop()
    shutil.rmtree(broker.folder)


def check_lies():
    """A comparison that finds nothing proves nothing."""
    broker = open_broker("commits-forged", "epoll", "buffered", 1)
    with broker:
        group = Group("g", member=False)
        with ready(broker, [group]) as c:
            assert create_topic(c, "t", PARTITIONS) == 0
            group.sent = 5
            c.send(group.request(5))
            group.take(c, 5)
            assert group.compare(c) == 5
            for acked, sent in ((6, 9), (1, 4)):
                forged = Group("g", member=False)
                forged.acked, forged.sent = acked, sent
                assert caught(forged, c), f"5 is committed, and {acked} to {sent} is taken for it"
            lost = Group("never", member=False)
            lost.acked = lost.sent = 3
            assert caught(lost, c), "lost offsets are not missed"
    shutil.rmtree(broker.folder)


def caught(group, connection):
    try:
        group.compare(connection)
    except AssertionError:
        return True
    return False


def run_all(report):
    totals = {}
    report.case("commits that are lost or were never sent are found", check_lies)
    for engine in ("io_uring", "epoll"):
        for disk in ("direct", "buffered"):
            for cores in (1, 2):
                for caching in ("false", "true"):
                    name = f"commits-{engine}-{disk}-{cores}-{caching}"
                    report.case(f"{KILLS} kills of {engine}, disk.io={disk}, {cores} shard(s), write.caching={caching}: every group has "
                                "the last acknowledged commit or a later one, and its member",
                                run_group, totals, name, engine, disk, cores, caching)
    print("    " + " ".join(f"{key}={value}" for key, value in totals.items()), flush=True)
