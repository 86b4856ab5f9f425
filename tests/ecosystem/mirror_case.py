"""MirrorMaker 2: the way out, to a real Kafka, as README says, and the way in from one."""
import json
import re

from apache import ApacheKafka
from world import *

FILLER = os.path.join(HERE, "../adopt/client.py")
OLD_RECORDS = {"log.retention.ms": "-1"}  # the records of the tests are from 2023
KAFKA = {**OLD_RECORDS, "log.cleaner.backoff.ms": "200", "offsets.topic.num.partitions": "4"}

README = os.path.join(HERE, "../../README.md")
PAGE = "## Moving on to a cluster of Kafka"
# A test does not wait for minutes.
SOONER = """
sync.group.offsets.interval.seconds=1
emit.checkpoints.interval.seconds=1
refresh.topics.interval.seconds=2
refresh.groups.interval.seconds=2
sync.topic.configs.interval.seconds=2
offset.flush.interval.ms=1000
offset.lag.max=0
"""
# MirrorMaker restarts its task of the committed offsets whenever it has found another group or topic, and closes the connection that the old
# one may be using in its own thread. Whatever else is an error is one.
RESTARTED = "java.lang.IllegalStateException: Cannot accept new calls when AdminClient is closing."
SETTINGS = ('"compact"', '"86400000"', '"2000000"', '"1048576"')
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


def errors(log):
    """Its entries of that level, each with the exception below it."""
    entries = re.split(r"^(?=\[\d{4}-\d\d-\d\d )", log, flags=re.MULTILINE)
    return [entry[:600] for entry in entries if " ERROR " in entry.partition("\n")[0] and RESTARTED not in entry]


def mirrored(there, here, settings):
    """Moves everything of one broker to the other, with no error in the log."""
    lines = read_all(there.address, f"{WORK}/there.records")
    assert records(lines) and group_offsets(lines), "nothing was read"
    read_all(here.address, f"{WORK}/here.records")  # asks for a group: its coordinator is there before MirrorMaker needs it
    with open(f"{WORK}/mm2.properties", "w", encoding="ascii") as file:
        file.write(settings)
    mirror = Running(program("org.apache.kafka.connect.mirror.MirrorMaker", f"{WORK}/mm2.properties"), f"{WORK}/mm2.log")
    try:
        done = wait_until(lambda: moved_all(here, lines, f"{WORK}/here.records"), 150, 2)
        wrong = errors(mirror.said())
    finally:
        mirror.stop()  # cuts what is under way: what it says then is no error
    moved = read_all(here.address, f"{WORK}/here.records")
    assert done, (len(lines), len(moved), {tp: len(r) for tp, r in records(moved).items()}, wrong[:3])
    check_offsets(lines, moved)
    assert not wrong, wrong[:3]


def check_configs(there, here, wanted):
    for broker, name in ((there, "there"), (here, "here")):
        fill("configs", broker.address, f"{WORK}/{name}.json")
    settings = [json.dumps(read_json(f"{WORK}/{name}.json"), sort_keys=True) for name in ("there", "here")]
    for value in wanted:
        assert all(value in one for one in settings), (value, settings[1][:1500])


def properties(ours, theirs, way):
    """The file that README tells to write for a Kafka of one broker."""
    with open(README, encoding="utf-8") as file:
        page = file.read().partition(PAGE)[2].partition("\n## ")[0]
    lines = "\n".join(line.strip() for line in page.splitlines() if line.startswith("    "))
    for word, value in (("=HERE:9092", f"={ours.address}"), ("=THERE:9092", f"={theirs.address}"), ("odradek->kafka", way)):
        assert word in lines, f"README has no {word}"
        lines = lines.replace(word, value)
    return lines + SOONER


def moves_to_kafka():
    broker, kafka = Broker(f"{WORK}/leaving", OLD_RECORDS), ApacheKafka(f"{WORK}/leaving-kafka", KAFKA)
    with broker, kafka:
        fill("fill", broker.address), fill("caching", broker.address)
        mirrored(broker, kafka, properties(broker, kafka, "odradek->kafka"))
        check_configs(broker, kafka, (*SETTINGS, '"315360000000"'))
        broker.stop()


def moves_here():
    broker, kafka = Broker(f"{WORK}/coming", OLD_RECORDS), ApacheKafka(f"{WORK}/coming-kafka", KAFKA)
    with broker, kafka:
        fill("fill", kafka.address)
        mirrored(kafka, broker, properties(broker, kafka, "kafka->odradek"))
        check_configs(kafka, broker, SETTINGS)
        broker.stop()


CASES = [("MirrorMaker 2 moves records, settings and committed offsets to a real Kafka, without an error in its log", moves_to_kafka, ())]
ON_DEMAND = [("MirrorMaker 2 moves records, settings and committed offsets here from a real Kafka, without an error in its log", moves_here, ())]
