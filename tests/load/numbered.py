"""Promises beside records: committed offsets, members, settings, partitions, log starts, topics that come and go.

Each thing is changed by one client, which numbers the changes and keeps several under way. After a crash the thing must look as it
did after the last acknowledged change, or after a later one that was sent.
"""
import glob
import threading

from harness import wait_until
from messages import call, coordinated, frame, take
from wire import *

PARTITIONS, RECORDS = 4, 30000
WINDOW = 8
TOPIC = 2  # a resource type
SEEN = "seen"  # the topic whose offsets are committed and whose settings change
OFFSETS_OF = 3  # partitions of __consumer_offsets
SETTINGS = {"offsets.topic.num.partitions": OFFSETS_OF, "offsets.topic.segment.bytes": 65536, "log.segment.bytes": 1 << 20,
            "log.cleaner.backoff.ms": 100, "log.cleaner.min.cleanable.ratio": 0.01}


class Numbered:
    """Number 0 is the beginning. `last` bounds the numbers."""
    last = 1 << 31

    def __init__(self, name):
        self.name, self.acked, self.sent = name, 0, 0

    def begin(self, connection):
        """Before the changes of a new connection."""

    def request(self, number):
        raise NotImplementedError

    def error(self, connection, number):
        """Takes the answer to a request; answers its error."""
        raise NotImplementedError

    def look(self, connection):
        """What is there, as shows() says it."""
        raise NotImplementedError

    def shows(self, number):
        """What is there after this change and before the next."""
        return number

    def take(self, connection, number):
        error = self.error(connection, number)
        assert error == 0, f"change {number} of {self.name} got error {error}"
        self.acked = number

    def compare(self, connection):
        """The number found is the one from which the next round goes on; answers it."""
        found = self.look(connection)
        good = [n for n in range(self.acked, self.sent + 1) if self.shows(n) == found]
        assert good, f"finding: {self.name} is {found}, but change {self.acked} was acknowledged and {self.sent} was sent last"
        self.acked = self.sent = good[-1]
        return self.acked


class Group(Numbered):
    """Commits the number to all partitions; now and then one without a member is deleted."""
    DELETE_EACH = 7

    def __init__(self, name, member):
        super().__init__(name)
        self.with_member, self.id, self.generation = member, "", -1

    def deletes(self, number):
        return not self.with_member and number % self.DELETE_EACH == 0

    def begin(self, connection):
        """Joins once; after a crash the group must still know its member."""
        if not self.with_member or self.id:
            return
        r = call(connection, "join_group", 3, group_id=self.name, session_timeout_ms=1800000, rebalance_timeout_ms=1000,
                 protocol_type="consumer", protocols=[{"name": "range", "metadata": b""}])
        assert r.error_code == 0, f"JoinGroup of {self.name} got {r.error_code}"
        synced = call(connection, "sync_group", 3, group_id=self.name, generation_id=r.generation_id, member_id=r.member_id,
                      assignments=[{"member_id": r.member_id, "assignment": b"all"}])
        assert synced.error_code == 0, f"SyncGroup of {self.name} got {synced.error_code}"
        self.id, self.generation = r.member_id, r.generation_id

    def request(self, number):
        if self.deletes(number):
            return frame("delete_groups", 1, groups_names=[self.name])
        parts = [{"partition_index": p, "committed_offset": number, "committed_metadata": "m"} for p in range(PARTITIONS)]
        return frame("offset_commit", 7, group_id=self.name, member_id=self.id, generation_id_or_member_epoch=self.generation,
                     topics=[{"name": SEEN, "partitions": parts}])

    def error(self, connection, number):
        if self.deletes(number):
            return take(connection, "delete_groups", 1).results[0].error_code
        errors = {p.error_code for t in take(connection, "offset_commit", 7).topics for p in t.partitions}
        return errors.pop() if len(errors) == 1 else sorted(errors)

    def look(self, connection):
        r = call(connection, "offset_fetch", 7, group_id=self.name, topics=None)
        assert r.error_code == 0, f"OffsetFetch of {self.name} got {r.error_code}"
        if self.id:
            beat = call(connection, "heartbeat", 3, group_id=self.name, generation_id=self.generation, member_id=self.id).error_code
            assert beat == 0, f"finding: {self.name} does not know its member: {beat}"
        return {p.partition_index: p.committed_offset for t in r.topics for p in t.partitions}

    def shows(self, number):
        return {} if number == 0 or self.deletes(number) else {p: number for p in range(PARTITIONS)}


class Setting(Numbered):
    """The number is a topic's retention.ms."""

    def request(self, number):
        change = {"name": "retention.ms", "config_operation": 0, "value": str(number)}
        return frame("incremental_alter_configs", 0, resources=[{"resource_type": TOPIC, "resource_name": SEEN, "configs": [change]}])

    def error(self, connection, number):
        return take(connection, "incremental_alter_configs", 0).responses[0].error_code

    def look(self, connection):
        r = call(connection, "describe_configs", 1, resources=[
            {"resource_type": TOPIC, "resource_name": SEEN, "configuration_keys": ["retention.ms"]}]).results[0]
        assert r.error_code == 0, f"DescribeConfigs of {SEEN} got {r.error_code}"
        value = r.configs[0].value
        return 0 if r.configs[0].config_source != 1 else int(value)


class Start(Numbered):
    """The number is the log start of a partition."""
    last = RECORDS

    def request(self, number):
        parts = [{"partition_index": 0, "offset": number}]
        return frame("delete_records", 1, timeout_ms=10000, topics=[{"name": self.name, "partitions": parts}])

    def error(self, connection, number):
        return take(connection, "delete_records", 1).topics[0].partitions[0].error_code

    def look(self, connection):
        return log_start(connection, self.name, 0)


class Growth(Numbered):
    """A topic with one partition more than the number says."""
    last = 500

    def request(self, number):
        return frame("create_partitions", 1, timeout_ms=10000, topics=[{"name": self.name, "count": number + 1, "assignments": None}])

    def error(self, connection, number):
        return take(connection, "create_partitions", 1).results[0].error_code

    def look(self, connection):
        return partitions_of(connection, self.name)

    def shows(self, number):
        return number + 1


class Coming(Numbered):
    """An odd number makes a topic, an even one deletes it."""

    def request(self, number):
        if number % 2 == 0:
            return frame("delete_topics", 3, topic_names=[self.name], timeout_ms=10000)
        topic = {"name": self.name, "num_partitions": PARTITIONS, "replication_factor": 1, "assignments": [], "configs": []}
        return frame("create_topics", 2, topics=[topic], timeout_ms=10000)

    def error(self, connection, number):
        if number % 2 == 0:
            return take(connection, "delete_topics", 3).responses[0].error_code
        return take(connection, "create_topics", 2).topics[0].error_code

    def look(self, connection):
        return partitions_of(connection, self.name)

    def shows(self, number):
        return PARTITIONS if number % 2 else 0


def log_start(connection, topic, partition):
    error, offset = list_offset(connection, topic, partition, EARLIEST)
    assert error == 0, f"ListOffsets of {topic}-{partition} got {error}"
    return offset


def partitions_of(connection, topic):
    """0: there is no such topic."""
    r = call(connection, "metadata", 4, topics=[{"name": topic}], allow_auto_topic_creation=False).topics[0]
    assert r.error_code in (0, 3), f"Metadata of {topic} got {r.error_code}"
    return len(r.partitions)


class Client(threading.Thread):
    """Changes its things in turn until the crash, or to their last number; an end before Crowd.crash() is a failure."""

    def __init__(self, port, things):
        super().__init__(daemon=True)
        self.port, self.things, self.under_way = port, things, []
        self.crash, self.failure, self.count = threading.Event(), None, 0

    def run(self):
        try:
            with Connection(self.port) as c:
                for thing in self.things:
                    thing.begin(c)
                self.change(c)
        except Exception as why:
            self.failure = None if self.crash.is_set() else why

    def change(self, c):
        while not self.crash.is_set():
            for thing in self.things:
                if thing.sent < thing.last:
                    self.send(c, thing)
            while len(self.under_way) >= WINDOW or self.under_way and self.all_sent():
                self.take(c)
            if self.all_sent():
                self.crash.wait()

    def send(self, c, thing):
        thing.sent += 1
        self.under_way.append((thing, thing.sent))
        c.send(thing.request(thing.sent))

    def take(self, c):
        thing, number = self.under_way.pop(0)
        thing.take(c, number)
        self.count += 1

    def all_sent(self):
        return all(thing.sent == thing.last for thing in self.things)

    def did(self, least):
        return self.count >= least or self.all_sent() and not self.under_way


class Crowd:
    """All things, and a client for each four groups and for each other thing."""
    CLIENTS, GROUPS_EACH = 6, 4

    def __init__(self):
        n = self.CLIENTS
        self.groups = [Group(f"group-{i}", member=i // n % 2 == 0) for i in range(n * self.GROUPS_EACH)]
        self.others = [Setting(SEEN), Start("trimmed"), Growth("grown"), Coming("coming"), Coming("going")]
        self.shares = [self.groups[i::n] for i in range(n)] + [[one] for one in self.others]
        self.things = self.groups + self.others
        self.clients = []

    def set_up(self, broker):
        with self.connect(broker) as c:
            for topic, partitions in ((SEEN, PARTITIONS), ("trimmed", 1), ("grown", 1)):
                assert create_topic(c, topic, partitions) == 0, f"{topic} could not be created"
            for _ in range(3):
                error, _ = produced(c, "trimmed", 0, batch([b"v"] * (RECORDS // 3)))
                assert error == 0, f"Produce got {error}"

    def connect(self, broker, fault=""):
        """A connection, once all groups can be asked."""
        c = Connection(broker.port)
        names = [group.name for group in self.groups]
        assert wait_until(lambda: coordinated(c, names), 20), f"{fault}a group has no coordinator"
        return c

    def start(self, broker, least):
        """Returns when each client has had so many answers in this round."""
        self.clients = [Client(broker.port, share) for share in self.shares]
        for one in self.clients:
            one.start()
        came = wait_until(lambda: all(o.did(least) for o in self.clients) or any(o.failure for o in self.clients), 60, 0.002)
        assert came, f"not enough was acknowledged: {[(o.things[0].name, o.count) for o in self.clients]}"

    def crash(self, kill):
        """Calls kill() and waits for the clients; answers how many changes were acknowledged."""
        self.check()
        for one in self.clients:
            one.crash.set()
        kill()
        for one in self.clients:
            one.join(30)
            assert not one.is_alive(), f"the client of {one.things[0].name} hangs"
        self.check()
        return sum(one.count for one in self.clients)

    def check(self):
        for one in self.clients:
            assert one.failure is None, f"{one.things[0].name}: {type(one.failure).__name__}: {one.failure}"

    def compare(self, broker):
        """Answers how many things were compared."""
        with self.connect(broker, "finding: ") as c:
            numbers = [thing.compare(c) for thing in self.things]
        assert any(numbers), "nothing was ever changed"
        return len(numbers)

    def cleaned(self, broker):
        """How many partitions of __consumer_offsets the cleaner went over."""
        return len(glob.glob(f"{broker.properties.get('log.dirs', broker.data)}/__consumer_offsets-*/cleaner-offset-checkpoint"))
