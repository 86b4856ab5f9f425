"""Every operation on files fails in turn, once or from then on, in the release broker with its own engine (faults.c).

One course: a start in an empty folder, topics, records, groups, a transaction, administration, a clean stop, a start, kill -9, a recovery. Then
nothing fails any more, and a start must find everything that was acknowledged, and take more. The broker may refuse what it cannot do, and not
start or not stop well while it fails; it may never crash, hang, or lose what it answered for.
"""
import os
import shutil
import struct
import time
from concurrent.futures import ProcessPoolExecutor

import wire_txn
from batches import batches_in
from harness import Broker, run, run_ok, seconds, wait_until
from messages import alter, call, coordinated
from wire import *
from wire_txn import Transactional, committed

SHIM = "build/release/tests/eio/faults.so"
PLAN = struct.Struct("=qqqq")
FAILED_MAX, NAME_BYTES = 64, 32
ANSWER_S = seconds(60)  # a request that is not answered by then hangs
TRIES_S = 1.5  # so long what may be there a moment later is asked for again, while something fails
RECORDS = 6
LARGE = bytes(range(256)) * 80


class Faulty(Broker):
    def __init__(self, folder, engine):
        super().__init__(folder, SETTINGS, ["--cores", "2", f"--io-engine={engine}"])
        run_ok(["make", "-s", SHIM], timeout=120)
        self.plan_path = os.path.join(self.folder, "plan")
        self.plan(-1, False)
        self.faults = True

    def plan(self, at, for_good):
        with open(self.plan_path, "wb") as file:
            file.write(PLAN.pack(0, at, for_good, 0).ljust(PLAN.size + FAILED_MAX * NAME_BYTES + 4096, b"\0"))

    def outcome(self):
        """(operations so far, how many failed, the names of the first that did)"""
        with open(self.plan_path, "rb") as file:
            raw = file.read()
        count, _, _, failed = PLAN.unpack_from(raw)
        names = [raw[PLAN.size + i * NAME_BYTES:][:NAME_BYTES].split(b"\0")[0].decode() for i in range(min(failed, FAILED_MAX))]
        return count, failed, names

    def environment(self):
        if not self.faults:
            return super().environment()
        return {**os.environ, "LD_PRELOAD": os.path.abspath(SHIM), "FAULT_PLAN": self.plan_path, "FAULT_FOLDER": self.data,
                "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


SETTINGS = {"offsets.topic.num.partitions": 1, "transaction.state.log.num.partitions": 1, "group.initial.rebalance.delay.ms": 0,
            "log.segment.bytes": 1 << 20, "log.retention.check.interval.ms": 200, "log.initial.task.delay.ms": 0, "log.segment.delete.delay.ms": 0,
            "log.retention.ms": -1, "auto.create.topics.enable": "false"}


class Gone(Exception):
    """The broker is not there any more."""


class Course:
    """What was asked, and what was answered for. Of each thing a list: what may stand there."""

    def __init__(self, broker):
        self.b, self.c = broker, None
        self.acked = {}  # (topic, partition) -> {offset: value}
        self.trimmed = {}  # the same -> up to where records may be gone
        self.topics = {}  # name -> {True}: is there, {False}: is not, both: who knows
        self.parts, self.retention, self.offset = {1}, {None}, {-1}  # of the topic `a`; of the group's commit
        self.txn = set()  # values of a transaction whose end was answered for
        self.serial = 0

    # --- lives ---

    def start(self):
        """Does it run?"""
        b = self.b
        b.launch()
        assert wait_until(lambda: b.started() or not b.running(), 40), "a start neither ends nor comes up"
        if not b.running():
            code = b.process.returncode
            assert code == 1, f"a start ended with {code}: {b.log_since()[-800:]}"
            said = [line for line in b.log_since().splitlines() if line.strip()]
            assert said and b.faults, f"a start was refused without a word, or although nothing fails: {b.log_since()[-800:]}"
            return False
        b.address = b.find_address()
        self.connect()
        return True

    def connect(self):
        try:
            self.c = Connection(self.b.port, timeout=ANSWER_S)
        except OSError:
            raise Gone from None

    def stop(self):
        """Clean, or not clean while something fails; never by a signal."""
        b = self.b
        self.must_run()
        b.process.terminate()
        assert wait_until(lambda: not b.running(), 60), "the broker does not end"
        assert b.process.returncode in ((0, 1) if b.faults else (0,)), f"a stop ended with {b.process.returncode}: {b.log_since()[-800:]}"

    def must_run(self):
        """A broker that runs goes on, whatever fails."""
        assert self.b.running(), f"the broker ended with {self.b.process.returncode}: {self.b.log_since()[-1500:]}"

    # --- requests ---

    def ask(self, what, *rest, **more):
        """What it returns; None: the connection was closed, or what it asked for was refused in a way that its helper asserts against."""
        try:
            return what(self.c, *rest, **more)
        except TimeoutError:
            raise AssertionError(f"{getattr(what, '__name__', what)} is not answered") from None
        except (EOFError, ConnectionError):
            time.sleep(0.05)
            self.must_run()
            self.connect()
            return None

    def until(self, done):
        """Tries again for a while."""
        end = time.monotonic() + (TRIES_S if self.b.faults else 20)
        while True:
            if done():
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.03)

    def create(self, name, partitions=1, configs=()):
        error = self.ask(create_topic, name, partitions, configs)
        self.topics[name] = {True} if error in (0, 36) else {True, False}

    def send(self, topic, partition=0, count=RECORDS):
        for _ in range(count):
            self.serial += 1
            value = b"%d " % self.serial + LARGE[:self.serial * 997 % len(LARGE)]
            answer = self.ask(produced, topic, partition, batch([value]))
            if answer and answer[0] == 0:
                self.acked.setdefault((topic, partition), {})[answer[1]] = value

    def commit(self, offset):
        topics = [{"name": "a", "partitions": [{"partition_index": 0, "committed_offset": offset, "committed_metadata": ""}]}]
        self.until(lambda: self.ask(coordinated, ["g"]))
        answer = self.ask(call, "offset_commit", 7, group_id="g", topics=topics)
        done = answer and answer.topics and answer.topics[0].partitions[0].error_code == 0
        self.offset = {offset} if done else self.offset | {offset}

    def transact(self):
        wire_txn.PATIENCE_S = TRIES_S if self.b.faults else 20
        values = {b"txn %d" % (self.serial + i) for i in range(3)}
        self.serial += 3
        try:
            t = Transactional(self.c, "id")
            if all(t.send("txn", 0, [v], version=12)[0] == 0 for v in sorted(values)) and t.end(True, 5) == 0:
                self.txn |= values
        except (EOFError, ConnectionError):
            self.must_run()
            self.connect()
        except AssertionError as why:
            if "says error" not in str(why):
                raise

    def administer(self):
        answer = self.ask(alter, "a", retention_ms=123456789123456)
        self.retention = {"123456789123456"} if answer and answer[0] == 0 else {None, "123456789123456"}
        answer = self.ask(call, "create_partitions", 1, topics=[{"name": "a", "count": 3, "assignments": None}], timeout_ms=10000)
        self.parts = {3} if answer and answer.results[0].error_code == 0 else {1, 3}
        answer = self.ask(call, "delete_topics", 4, topic_names=["c"], timeout_ms=10000)
        error = answer.responses[0].error_code if answer else None
        assert error != 3 or False in self.topics["c"], "a topic that was created is not known"
        self.topics["c"] = {False} if error == 0 else {True, False}  # unknown, as its creation failed: of that the disk may have had enough for the next start
        self.trimmed["a", 0] = 2
        self.ask(call, "delete_records", 1, topics=[{"name": "a", "partitions": [{"partition_index": 0, "offset": 2}]}], timeout_ms=10000)
        self.ask(call, "describe_configs", 4, resources=[{"resource_type": 2, "resource_name": "a", "configuration_keys": None}])
        self.ask(call, "describe_log_dirs", 4, topics=None)
        self.ask(list_offset, "a", 0, 1600000000000)

    def read(self, topic, partition=0):
        self.ask(fetched, topic, partition, self.trimmed.get((topic, partition), 0))

    # --- the course ---

    def run(self):
        if self.start():
            for name, configs in (("a", ()), ("b", [("write.caching", "true")]), ("c", ()), ("keyed", [("cleanup.policy", "compact")]), ("txn", ())):
                self.create(name, 1, configs)
            for name in ("a", "b", "c"):
                self.send(name)
            self.commit(1)
            self.transact()
            self.administer()
            self.send("a", 2, 2)
            self.read("b")
            self.stop()
        if self.start():
            for name in ("a", "b"):
                self.read(name)
                self.send(name)
            self.commit(2)
            self.transact()
            self.must_run()
            self.b.kill()
        if self.start():
            for name in ("a", "b"):
                self.send(name, count=2)
            self.commit(3)
            self.read("a")
            self.stop()

    # --- what must be so behind it ---

    def judge(self):
        self.b.faults = False
        assert self.start()
        there = {t.name: len(t.partitions) for t in call(self.c, "metadata", 9, topics=None).topics}
        for name, may in self.topics.items():
            assert (name in there) in may, f"the topic {name} is {'there' if name in there else 'gone'}"
        assert "a" not in there or there["a"] in self.parts, f"{there['a']} partitions, not {self.parts}"
        for (topic, partition), acked in self.acked.items():
            if topic in there and False not in self.topics[topic]:
                self.judge_records(topic, partition, acked)
        if "a" in there and False not in self.topics["a"]:
            self.judge_settings()
        if self.txn:
            values = {v for _, v in committed(self.c, "txn", 0)}
            assert self.txn <= values, f"of a committed transaction {self.txn - values} are gone"
        self.stop()
        code, out, err = run([self.b.command()[0], "check", f"log.dirs={self.b.data}"])
        assert code == 0, f"odradek check finds: {(out + err).decode(errors='replace')[-600:]}"
        assert self.start()
        for name in ("a", "b"):
            self.create(name, 3)
            for partition in range(there.get(name, 3)):  # also where making its folder was cut short
                before = len(self.acked.get((name, partition), ()))
                self.until(lambda n=name, p=partition: list_offset(self.c, n, p, LATEST)[0] == 0)
                self.send(name, partition, 2)
                assert len(self.acked.get((name, partition), ())) == before + 2, f"{name}-{partition} takes nothing any more"
        self.commit(9)
        assert self.offset == {9}, "no commit is taken any more"
        before = len(self.txn)
        self.create("txn")
        self.transact()
        assert len(self.txn) == before + 3, "no transaction comes to its end any more"
        self.stop()

    def judge_records(self, topic, partition, acked):
        first, found = self.trimmed.get((topic, partition), 0), {}
        assert self.until(lambda: list_offset(self.c, topic, partition, LATEST)[0] == 0), f"{topic}-{partition} does not recover"
        at = max(first, list_offset(self.c, topic, partition, -2)[1])
        assert at <= first or (topic, partition) in self.trimmed, f"{topic}-{partition} starts at {at}"
        end = list_offset(self.c, topic, partition, LATEST)[1]
        while at < end:
            error, _, raw = fetched(self.c, topic, partition, at)
            assert error == 0 and raw, f"{topic}-{partition}: error {error} at {at} of {end}"
            for one in batches_in(raw):
                found.update((r.offset, r.value) for r in one.records)
                at = one.last_offset + 1
        for offset, value in acked.items():
            assert offset < first or found.get(offset) == value, f"{topic}-{partition}: what was acknowledged at {offset} is {'another' if offset in found else 'gone'}"

    def judge_settings(self):
        configs = call(self.c, "describe_configs", 4, resources=[{"resource_type": 2, "resource_name": "a", "configuration_keys": ["retention.ms"]}])
        found = configs.results[0].configs[0].value
        assert found in {v or "-1" for v in self.retention}, f"retention.ms is {found}, not {self.retention}"
        assert self.until(lambda: coordinated(self.c, ["g"])), "the coordinators do not come up"
        fetched_offset = call(self.c, "offset_fetch", 5, group_id="g", topics=[{"name": "a", "partition_indexes": [0]}])
        offset = fetched_offset.topics[0].partitions[0].committed_offset
        assert offset in self.offset, f"the group's offset is {offset}, not one of {self.offset}"


def one_course(folder, engine, at, for_good):
    """(operations, failed, names)"""
    b = Faulty(folder, engine)
    b.plan(at, for_good)
    course = Course(b)
    try:
        course.run()
        outcome = b.outcome()
        course.judge()
    except AssertionError as why:
        kept = f"{folder}-failed"
        shutil.rmtree(kept, ignore_errors=True)
        b.kill()
        shutil.copytree(folder, kept, symlinks=True)
        raise AssertionError(f"operation {at}{' and all behind it' if for_good else ''} ({', '.join(sorted(set(b.outcome()[2])))}): {why}; the folder is {kept}") from None
    finally:
        b.kill()
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def tried(folder, engine, at, for_good):
    """(what went wrong, how many operations failed, the first of them)"""
    try:
        _, failed, names = one_course(f"{folder}-{at}{'-on' if for_good else ''}", engine, at, for_good)
        return None, failed, names[:1]
    except AssertionError as why:
        return str(why), 0, []


def in_turn(folder, engine, share, at_a_time, say):
    """Each `share`-th operation, once and for good in turn, or each in both ways (1). A course without faults says how many there are."""
    count = one_course(folder, engine, -1, False)[0]
    assert count > 200, f"only {count} operations on files were seen"
    wanted = [(at, for_good) for i, at in enumerate(range(share // 2, count, share)) for for_good in ((False, True) if share == 1 else (i % 2 == 0,))]
    kinds, done, hit, wrong = {}, 0, 0, []
    with ProcessPoolExecutor(at_a_time) as pool:
        for why, failed, names in pool.map(tried, *zip(*((folder, engine, *one) for one in wanted))):
            done, hit = done + 1, hit + (failed > 0)
            if why:
                wrong.append(why)
                say(f"    {why}")
            for name in names:
                kinds[name] = kinds.get(name, 0) + 1
            if done % 100 == 0:
                say(f"    {engine}: {done} of {len(wanted)} courses")
    say(f"    {engine}: {count} operations in a course, {done} courses, a fault met in {hit}: " + ", ".join(f"{k} {n}" for k, n in sorted(kinds.items())))
    assert not wrong, f"{len(wrong)} courses: {wrong[0]}"
    assert hit > done * 3 // 4, f"of {done} courses only {hit} met their fault"
