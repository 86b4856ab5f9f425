"""The way out: MirrorMaker 2 moves everything to a real Kafka, as README says."""
import json

from apache import ApacheKafka
from world import *

FILLER = os.path.join(HERE, "../adopt/client.py")
OLD_RECORDS = {"log.retention.ms": "-1"}  # the records of the tests are from 2023
KAFKA = {**OLD_RECORDS, "log.cleaner.backoff.ms": "200", "offsets.topic.num.partitions": "4"}

# What README tells to write, but for the addresses and intervals that suit a test.
PROPERTIES = """
clusters=odradek, kafka
odradek.bootstrap.servers={ours}
kafka.bootstrap.servers={theirs}
odradek->kafka.enabled=true
odradek->kafka.topics=.*
odradek->kafka.groups=.*
replication.policy.class=org.apache.kafka.connect.mirror.IdentityReplicationPolicy
replication.factor=1
offset-syncs.topic.location=target
offset-syncs.topic.replication.factor=1
checkpoints.topic.replication.factor=1
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
sync.group.offsets.enabled=true
emit.heartbeats.enabled=false
heartbeats.topic.replication.factor=1
sync.topic.acls.enabled=false
config.properties.exclude=follower\\.replication\\.throttled\\.replicas,leader\\.replication\\.throttled\\.replicas,message\\.timestamp\\.difference\\.max\\.ms,log\\.message\\.timestamp\\.before\\.max\\.ms,log\\.message\\.timestamp\\.after\\.max\\.ms,message\\.timestamp\\.before\\.max\\.ms,message\\.timestamp\\.after\\.max\\.ms,unclean\\.leader\\.election\\.enable,min\\.insync\\.replicas
sync.group.offsets.interval.seconds=1
emit.checkpoints.interval.seconds=1
refresh.topics.interval.seconds=2
refresh.groups.interval.seconds=2
sync.topic.configs.interval.seconds=2
offset.flush.interval.ms=1000
offset.lag.max=0
"""
AT_KAFKA = ("on cluster kafka", "Unable to sync offsets for consumer group")  # the other end is slow: tried again, and checked below
OWN = ('["mm2', '["kafka.', '["odradek.', '["__')


def fill(*words):
    run_ok([venv_python(), FILLER, *words], timeout=240)


def read_all(address, path):
    fill("read", address, path)
    with open(path, encoding="ascii") as file:
        return file.read().splitlines()


def records(lines):
    """Each partition's records without their offsets, which begin anew at the other end."""
    found = {}
    for row in map(json.loads, lines):
        if row[0] != "offset" and row[2] != "from" and not json.dumps(row).startswith(OWN):
            found.setdefault((row[0], row[1]), []).append(row[3:])
    for tp in [tp for tp in found if tp[0] == "compacted"]:  # either side may have compacted more
        found[tp] = sorted({row[2]: row for row in found[tp]}.values())
    return found


def group_offsets(lines):
    return {(row[1], row[2]): row[3] for row in map(json.loads, lines) if row[0] == "offset"}


def moved_all(kafka, there, path):
    here = read_all(kafka.address, path)
    return records(here) == records(there) and group_offsets(here).keys() >= group_offsets(there).keys()


def check_offsets(there, here):
    """Never beyond what was committed: MirrorMaker may translate to an earlier record, and no consumer misses one."""
    starts = {(r[0], r[1]): r[3] for r in map(json.loads, there) if r[2] == "from"}
    for tp, committed in group_offsets(there).items():
        translated = group_offsets(here)[tp]
        assert 0 < translated <= committed - starts[tp], f"{tp}: {committed} became {translated}"


def errors(path):
    with open(path, encoding="utf-8", errors="replace") as log:
        return [line for line in log if " ERROR " in line and not any(word in line for word in AT_KAFKA)]


def moves_to_kafka():
    broker, kafka = Broker(f"{WORK}/leaving", OLD_RECORDS), ApacheKafka(f"{WORK}/leaving-kafka", KAFKA)
    settings, said = f"{WORK}/mm2.properties", f"{WORK}/mm2.log"
    with broker, kafka:
        fill("fill", broker.address), fill("caching", broker.address)
        there = read_all(broker.address, f"{WORK}/leaving.records")
        assert records(there) and group_offsets(there), "nothing was read"
        read_all(kafka.address, f"{WORK}/left.records")  # asks for a group: its coordinator is there before MirrorMaker needs it
        with open(settings, "w", encoding="ascii") as file:
            file.write(PROPERTIES.format(ours=broker.address, theirs=kafka.address))
        with open(said, "wb") as log:
            mirror = spawn(program("org.apache.kafka.connect.mirror.MirrorMaker", settings), stdout=log, stderr=log)
        try:
            done = wait_until(lambda: moved_all(kafka, there, f"{WORK}/left.records"), 150, 2)
            wrong = errors(said)  # before the stop, which cuts what is under way
        finally:
            mirror.send_signal(signal.SIGTERM)
            mirror.wait(seconds(60))
        here = read_all(kafka.address, f"{WORK}/left.records")
        assert done, (len(there), len(here), {tp: len(r) for tp, r in records(here).items()}, wrong[:3])
        check_offsets(there, here)
        fill("configs", broker.address, f"{WORK}/ours.json"), fill("configs", kafka.address, f"{WORK}/theirs.json")
        check_configs(f"{WORK}/ours.json", f"{WORK}/theirs.json")
        assert not wrong, wrong[:3]
        broker.stop()


def check_configs(ours, theirs):
    def settings(path):
        with open(path, encoding="ascii") as file:
            return json.dumps(json.load(file), sort_keys=True)
    for wanted in ('"compact"', '"86400000"', '"2000000"', '"1048576"', '"315360000000"'):
        assert wanted in settings(ours) and wanted in settings(theirs), (wanted, settings(theirs)[:1500])


CASES = [("MirrorMaker 2 moves records, settings and committed offsets to a real Kafka, without an error in its log", moves_to_kafka, ())]
