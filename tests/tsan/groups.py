"""Consumer groups and administrators beside each other: members that join, lead, commit, leave and vanish while they wait, questions over
all shards, and configs, partitions and log starts that change under producers."""
import random
import threading
import time
import uuid

from messages import call, coordinated, frame, send, take
from harness import seconds, wait_until
from wire import *

GROUPS, MEMBERS_EACH, ASKERS, PRODUCERS = 8, 4, 3, 4
TOPIC, PARTITIONS = "grouped", 8
SETTINGS = {"group.min.session.timeout.ms": "100", "offsets.topic.num.partitions": "12", "offsets.topic.segment.bytes": "65536"}
REBALANCE, ILLEGAL_GENERATION, UNKNOWN_MEMBER = 27, 22, 25
EXPECTED = {0, REBALANCE, ILLEGAL_GENERATION, UNKNOWN_MEMBER}  # of a member among others that come and go


class Worker(threading.Thread):
    """Does step() again and again until the end; `count` says how often it did something."""

    def __init__(self, port, seed):
        super().__init__(daemon=True)
        self.port, self.dice = port, random.Random(seed)
        self.over = threading.Event()
        self.count, self.failure, self.stopping = 0, None, False

    def run(self):
        while not self.over.is_set():
            try:
                self.live()
            except Exception as why:
                self.failure = None if self.stopping else why  # a broker that stops closes, and coordinates nobody any more
                return


class Member(Worker):
    """A life: join, share with the others, commit; then leave, vanish while it waits, or fall silent."""

    def __init__(self, port, seed, group):
        super().__init__(port, seed)
        self.group = group

    def live(self):
        with Connection(self.port) as self.c:
            self.id, self.generation = "", -1
            for _ in range(self.dice.randint(2, 6)):
                if self.over.is_set() or not self.rebalance():
                    return
                self.steady()
            if self.dice.random() < 0.5:
                call(self.c, "leave_group", 2, group_id=self.group, member_id=self.id)

    def send_join(self):
        send(self.c, "join_group", 3, group_id=self.group, member_id=self.id, session_timeout_ms=3000, rebalance_timeout_ms=1500,
             protocol_type="consumer", protocols=[{"name": "range", "metadata": b"x" * 100}])

    def rebalance(self):
        """False: it vanished."""
        self.send_join()
        if self.dice.random() < 0.15:
            time.sleep(self.dice.random() * 0.02)
            return False
        r = take(self.c, "join_group", 3)
        assert r.error_code in EXPECTED, f"JoinGroup got {r.error_code}"
        if r.error_code:
            return False
        self.id, self.generation = r.member_id, r.generation_id
        share = [{"member_id": m.member_id, "assignment": b"a" * 200} for m in r.members]
        send(self.c, "sync_group", 3, group_id=self.group, generation_id=self.generation, member_id=self.id, assignments=share)
        if self.dice.random() < 0.15:
            return False
        error = take(self.c, "sync_group", 3).error_code
        assert error in EXPECTED, f"SyncGroup got {error}"
        self.count += error == 0
        return error != UNKNOWN_MEMBER

    def steady(self):
        for _ in range(self.dice.randint(1, 30)):
            parts = [{"partition_index": p, "committed_offset": self.count} for p in range(4)]
            r = call(self.c, "offset_commit", 7, group_id=self.group, member_id=self.id, generation_id_or_member_epoch=self.generation,
                     topics=[{"name": TOPIC, "partitions": parts}])
            errors = {p.error_code for p in r.topics[0].partitions}
            assert errors <= EXPECTED, f"OffsetCommit got {errors}"
            beat = call(self.c, "heartbeat", 3, group_id=self.group, generation_id=self.generation, member_id=self.id).error_code
            assert beat in EXPECTED, f"Heartbeat got {beat}"
            if beat:
                return


class Asker(Worker):
    """Questions and changes that go over all shards."""

    def live(self):
        with Connection(self.port) as c:
            names = [group_name(g) for g in range(GROUPS)]
            while not self.over.is_set():
                self.ask(c, names)
                self.change(c)
                self.count += 1

    def ask(self, c, names):
        n = len(call(c, "describe_groups", 5, groups=names * 3).groups)
        assert n == 3 * GROUPS, f"DescribeGroups answers for {n} groups"
        r = call(c, "list_groups", 5, states_filter=self.dice.choice(([], ["Stable"])))
        assert r.error_code == 0, f"ListGroups got {r.error_code}"
        r = call(c, "offset_fetch", 9, groups=[{"group_id": g, "topics": None} for g in names])
        errors = {g.error_code for g in r.groups}
        assert errors == {0}, f"OffsetFetch got {errors}"
        simple = f"simple-{self.dice.randrange(20)}"
        call(c, "offset_commit", 7, group_id=simple,
             topics=[{"name": TOPIC, "partitions": [{"partition_index": p, "committed_offset": 1} for p in range(PARTITIONS)]}])
        call(c, "offset_delete", 0, group_id=simple, topics=[{"name": TOPIC, "partitions": [{"partition_index": 0}]}])
        call(c, "delete_groups", 2, groups_names=[simple, f"simple-{self.dice.randrange(20)}"])

    def change(self, c):
        topic = {"resource_type": 2, "resource_name": TOPIC}
        broker = {"resource_type": 4, "resource_name": "1"}
        pick = self.dice.choice
        call(c, "incremental_alter_configs", 1, resources=[
            {**topic, "configs": [{"name": "write.caching", "config_operation": 0, "value": pick(("true", "false"))}]},
            {**broker, "configs": [{"name": "log.retention.ms", "config_operation": pick((0, 1)), "value": "600000"}]}])
        call(c, "alter_configs", 2, resources=[{**topic, "configs": [{"name": "segment.bytes", "value": pick(("65536", "1048576"))}]}])
        for value in ("65536", "none"):  # checked and refused: what is asked comes back at once
            call(c, "alter_configs", 2, validate_only=True, resources=[{**topic, "configs": [{"name": "segment.bytes", "value": value}]}])
        call(c, "describe_configs", 4, resources=[{**topic, "configuration_keys": None}, {**broker, "configuration_keys": None}])
        call(c, "delete_records", 2, timeout_ms=10000, topics=[
            {"name": TOPIC, "partitions": [{"partition_index": p, "offset": -1} for p in range(PARTITIONS)]}])
        call(c, "describe_log_dirs", 4, topics=None)
        if self.count % 8 == 0:
            name = f"grown-{uuid.uuid4()}"  # a stop may leave the one before undeleted
            error = create_topic(c, name, 1)
            assert error == 0, f"CreateTopics got {error}"
            r = call(c, "create_partitions", 3, timeout_ms=10000, topics=[{"name": name, "count": 7, "assignments": None}])
            assert r.results[0].error_code == 0, f"CreatePartitions got {r.results[0].error_code}"
            call(c, "offset_commit", 7, group_id=f"simple-{self.dice.randrange(20)}",
                 topics=[{"name": name, "partitions": [{"partition_index": 6, "committed_offset": 1}]}])
            call(c, "delete_topics", 5, topic_names=[name], timeout_ms=10000)


class Producer(Worker):
    def live(self):
        records = batch([b"v" * 2000])
        with Connection(self.port) as c:
            while not self.over.is_set():
                error, _ = produced(c, TOPIC, self.dice.randrange(PARTITIONS), records)
                assert error == 0, f"Produce got {error}"
                self.count += 1


def group_name(number):
    return f"group-{number}"


class Groups:
    def __init__(self, broker, seed):
        self.broker = broker
        self.workers = [Member(broker.port, f"{seed} {g} {m}", group_name(g)) for g in range(GROUPS) for m in range(MEMBERS_EACH)]
        self.workers += [Asker(broker.port, f"{seed} a{i}") for i in range(ASKERS)]
        self.workers += [Producer(broker.port, f"{seed} p{i}") for i in range(PRODUCERS)]

    def start(self):
        for worker in self.workers:
            worker.start()

    def await_progress(self):
        """Everybody did something since the start."""
        came = wait_until(lambda: all(w.count for w in self.workers) or self.failures(), 60)
        assert not self.failures(), self.failures()[0]
        assert came, f"counts: {[(type(w).__name__, w.count) for w in self.workers]}"

    def failures(self):
        return [f"{type(w).__name__}: {type(w.failure).__name__}: {w.failure}" for w in self.workers if w.failure]

    def end(self):
        """What was done, by kind of worker."""
        for worker in self.workers:
            worker.over.set()
        for worker in self.workers:
            worker.join(seconds(30))
        assert not self.failures(), f"{len(self.failures())} failures: {self.failures()[0]}"
        assert not any(w.is_alive() for w in self.workers), "a worker hangs"
        kinds = [type(w).__name__ for w in self.workers]
        return {k: sum(w.count for w in self.workers if type(w).__name__ == k) for k in dict.fromkeys(kinds)}


def ready(broker):
    with Connection(broker.port) as c:
        assert wait_until(lambda: coordinated(c), 30), "there is no coordinator"
        create_topic(c, TOPIC, PARTITIONS)


def groups_live(broker, seconds_long):
    ready(broker)
    groups = Groups(broker, "first")
    groups.start()
    time.sleep(seconds_long)
    groups.await_progress()
    print(f"    {groups.end()}", flush=True)


def waiting_ones(broker):
    """Connections whose JoinGroup or SyncGroup waits: two groups each, over all shards."""
    waiting = []
    for i in range(20):
        first, second = Connection(broker.port), Connection(broker.port)
        asked = {"group_id": f"waiting-{i}", "session_timeout_ms": 60000, "rebalance_timeout_ms": 60000, "protocol_type": "consumer",
                 "protocols": [{"name": "range", "metadata": b""}]}
        r = call(first, "join_group", 3, **asked)
        assert r.error_code == 0, f"JoinGroup got {r.error_code}"
        beat = {"group_id": asked["group_id"], "generation_id": r.generation_id, "member_id": r.member_id}
        second.send(frame("join_group", 3, **asked))
        called = wait_until(lambda: call(first, "heartbeat", 3, **beat).error_code == REBALANCE, 20)
        assert called, "nobody calls for a rebalance"
        if i % 2:  # now the second one waits for its assignment
            first.send(frame("join_group", 3, **{**asked, "member_id": r.member_id}))
            joined = take(second, "join_group", 3)
            take(first, "join_group", 3)
            send(second, "sync_group", 3, group_id=asked["group_id"], generation_id=joined.generation_id, member_id=joined.member_id)
        waiting += [first, second]
    return waiting


def stopped_while_members_wait(broker):
    groups = Groups(broker, "second")
    waiting = waiting_ones(broker)
    groups.start()
    groups.await_progress()
    for worker in groups.workers:
        worker.stopping = True
    broker.stop(timeout=60)
    for c in waiting:
        c.close()
    groups.end()
    broker.start()
    ready(broker)
    groups = Groups(broker, "third")
    groups.start()
    groups.await_progress()
    groups.end()
    broker.stop(timeout=60)
