"""Folders that are none of ours, and partitions' folders that the catalog does not know."""
import hashlib
import os

from contents import batch_of, call
from harness import Broker, binary, run, wait_until
from wire import *
from world import WORK, settings

UNKNOWN_TOPIC = 3
KAFKAS = "#\n#Sun Nov 29 11:52:33 UTC 2026\ncluster.id=4L6g3nShT-eMCtK--X86sw\ndirectory.id=Kq3GQ-nxRhq1LjSO6l9ZZQ\nnode.id=1\nversion=1\n"


def put(path, raw):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(raw)


def snapshot(folder):
    """{path: (time of change, digest)} of all that is below."""
    found = {}
    for at, names, files in os.walk(folder):
        for name in names + files + ["."]:
            path = os.path.join(at, name)
            raw = open(path, "rb").read() if os.path.isfile(path) else b""
            found[path] = (os.stat(path).st_mtime_ns, hashlib.sha256(raw).hexdigest())
    return found


def must_refuse(broker, *words):
    """It ends with a sentence that has these words, and nothing in the folder is touched."""
    before = snapshot(broker.data)
    broker.launch()
    try:
        assert wait_until(lambda: not broker.running(), 20), "the broker runs on somebody else's folder"
        assert broker.process.returncode == 1, f"it ended with {broker.process.returncode}"
    finally:
        broker.kill()
    for word in words:
        assert word in broker.log_since(), f"\"{word}\" is not in: {broker.log_since()[-500:]}"
    after = snapshot(broker.data)
    changed = sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))
    assert not changed, f"touched: {changed[:5]}"


def kafkas_folder():
    broker = Broker(f"{WORK}/kafkas", settings())
    put(f"{broker.data}/meta.properties", KAFKAS.encode())
    put(f"{broker.data}/bootstrap.checkpoint", b"kafka's")
    put(f"{broker.data}/__cluster_metadata-0/00000000000000000000.log", batch_of(0, 3))
    put(f"{broker.data}/orders-0/00000000000000000000.log", batch_of(0, 5))
    put(f"{broker.data}/orders-0/partition.metadata", b"version: 0\ntopic_id: Kq3GQ-nxRhq1LjSO6l9ZZQ")
    must_refuse(broker, "formatted by Apache Kafka", "set log.dirs to")


def somebodys_folder():
    broker = Broker(f"{WORK}/somebodys", settings())
    put(f"{broker.data}/thesis.tex", b"years of work")
    must_refuse(broker, "is not Odradek's: it holds thesis.tex", "set log.dirs to")


def without_its_mark():
    broker = Broker(f"{WORK}/unmarked", settings())
    with broker:
        with Connection(broker.port) as c:
            assert create_topic(c, "t") == 0
        broker.stop()
        os.remove(f"{broker.data}/meta.properties")
        must_refuse(broker, "meta.properties is missing", "odradek repair")


def wanted(c, topic):
    """What Metadata answers for a topic that is made by being asked for."""
    return call(c, "metadata", 12, topics=[{"name": topic}], allow_auto_topic_creation=True).topics[0].error_code


def unknown_folders():
    broker = Broker(f"{WORK}/unknown", settings(**{"auto.create.topics.enable": "true"}))
    with broker:
        with Connection(broker.port) as c:
            assert create_topic(c, "ours") == 0 and produced(c, "ours", 0, batch_of(0, 5))[0] == 0
        broker.stop()
        lost = batch_of(0, 9)
        for partition in (0, 3):
            put(f"{broker.data}/lost-{partition}/00000000000000000000.log", lost)
            put(f"{broker.data}/lost-{partition}/partition.metadata", b"version: 0\ntopic_id: Kq3GQ-nxRhq1LjSO6l9ZZQ")
        put(f"{broker.data}/bare-0/00000000000000000000.log", lost)
        before = {p: d for p, d in snapshot(broker.data).items() if "/lost-" in p or "/bare-" in p}
        broker.start()
        with Connection(broker.port) as c:
            for topic in ("lost", "bare", "lost"):
                assert wanted(c, topic) == UNKNOWN_TOPIC, f"{topic} was made by being asked for: {wanted(c, topic)}"
            assert wanted(c, "other") in (0, 5), "others are made as ever"
            told = broker.log_since().count("topic not created: topic=")
            assert told == 1, f"the log says {told} times within a minute that it was not"
            after = {p: d for p, d in snapshot(broker.data).items() if "/lost-" in p or "/bare-" in p}
            assert after == before, "an unknown folder was touched"
            assert create_topic(c, "lost", 2) == 0, "CreateTopics does not make it"
            assert produced(c, "lost", 0, batch_of(50, 4)) == (0, 0) and produced(c, "lost", 1, batch_of(0, 1)) == (0, 0)
        moved = [f"{broker.data}/set-aside/lost-{p}.0" for p in (0, 3)]
        for path in moved:
            with open(f"{path}/00000000000000000000.log", "rb") as file:
                assert file.read() == lost, f"{path} is not what lay there"
        for _ in range(2):
            broker.stop(), broker.start()
            assert all(os.path.exists(f"{path}/partition.metadata") for path in moved), "a start touched what was set aside"
            with Connection(broker.port) as c:
                assert list_offset(c, "lost", 0, LATEST) == (0, 4) and wanted(c, "bare") == UNKNOWN_TOPIC
        broker.stop()
        _, out, err = run([binary(), "check", "--data", broker.data], timeout=60)
        told = [line for line in (out + err).decode().splitlines() if "set-aside" in line]
        bytes_aside = sum(os.path.getsize(os.path.join(at, name)) for path in moved for at, _, names in os.walk(path) for name in names)
        assert len(told) == 1 and f": {bytes_aside} bytes" in told[0], f"check says {told} of {bytes_aside} bytes that were set aside"


CASES = [("a folder that Apache Kafka formatted is refused and untouched", kafkas_folder),
         ("a folder with somebody's files is refused and untouched", somebodys_folder),
         ("a folder that lost its meta.properties is refused and untouched", without_its_mark),
         ("folders that the catalog does not know are neither adopted nor deleted; CreateTopics sets them aside", unknown_folders)]
