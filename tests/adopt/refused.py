"""What cannot be taken is named, and the rest is taken."""
import glob
import os

from wire import batch, i32, i64, i8
from world import *


def a_running_kafka():
    kafka = ApacheKafka(f"{WORK}/running", KAFKA)
    with kafka:
        said = adopt(kafka.data, f"{WORK}/running-ours", code=2)
        assert "in use by a Kafka that runs" in said, said
        kafka.stop(60)


def other_folders():
    os.makedirs(f"{WORK}/nothing", exist_ok=True)
    assert "no meta.properties" in adopt(f"{WORK}/nothing", f"{WORK}/nothing-ours", code=2)
    broker = Broker(f"{WORK}/own")
    with broker:
        broker.stop()
    assert "Odradek's own" in adopt(broker.data, f"{WORK}/nothing-ours", code=2)
    assert "adopt needs" in run([binary(), "adopt"])[2].decode()
    assert not os.path.exists(f"{WORK}/nothing-ours"), "a folder was made for nothing"


def hand_made(name, log):
    """A folder without a metadata log, as from a Kafka with ZooKeeper."""
    data = fresh_dir(f"{WORK}/{name}")
    with open(f"{data}/meta.properties", "w", encoding="ascii") as file:
        file.write(f"version=0\nbroker.id=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\n")
    open(f"{data}/.kafka_cleanshutdown", "w", encoding="ascii").close()
    for topic, raw in (("good", batch([b"x", b"y"])), ("bad", log)):
        os.makedirs(f"{data}/{topic}-0")
        with open(f"{data}/{topic}-0/{0:020}.log", "wb") as file:
            file.write(raw)
    return data


def old_formats():
    message = i32(0) + i8(1) + i8(0) + i64(1700000000000) + i32(-1) + i32(1) + b"x"
    source = hand_made("format-1", i64(0) + i32(len(message)) + message)
    said = adopt(source, f"{WORK}/format-1-ours", code=1)
    assert "refused: bad-0: has message format 0 or 1" in said and "taken: good" in said, said


def damage():
    good = batch([b"one", b"two"])
    source = hand_made("damaged", good[:-1] + bytes([good[-1] ^ 1]) + batch([b"three"], base_offset=2))
    said = adopt(source, f"{WORK}/damaged-ours", code=1)
    assert "refused: bad-0: is damaged" in said and "taken: good" in said, said
    os.remove(f"{source}/.kafka_cleanshutdown")
    with open(glob.glob(f"{source}/bad-0/*.log")[0], "wb") as file:
        file.write(good + good[:40])
    said = adopt(source, f"{WORK}/damaged-ours")
    assert "40 torn bytes behind offset 2 are left out" in said and "taken: bad" in said, said


def a_missing_partition():
    source, _ = filled("4.3.1")
    part = copy_of(source, "part")
    shutil.rmtree(f"{part}/codec-none-1")
    said = adopt(part, f"{WORK}/part-ours", code=1)
    assert "refused: codec-none: 1 of its 2 partitions are in the folders" in said and "taken: codec-gzip" in said, said
    swap = glob.glob(f"{part}/codec-gzip-0/*.log")[0]
    shutil.copy(swap, swap + ".swap")
    said = adopt(part, f"{WORK}/swap-ours", code=1)
    assert "refused: codec-gzip-0: has .swap files" in said, said


CASES = [
    ("a Kafka that runs is refused", a_running_kafka, ()),
    ("a folder of nobody, or of our own, is refused", other_folders, ()),
    ("message formats 0 and 1 are refused by name", old_formats, ()),
    ("a damaged log is refused by name, a torn one is cut", damage, ()),
    ("a topic with a partition missing, or half compacted, is refused by name", a_missing_partition, ()),
]
