"""Folders that older releases wrote: opened by today's broker with everything in them, before and after."""
import os

import transacted
from contents import UNKNOWN_TOPIC_ID, batch_of, call, look, producer_of
from harness import Broker
from wire import *
from world import WORK, fixtures, settings, unpack_fixture


def differences(was, now, path=""):
    """The first few places in which two dictionaries differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        found = [f"{path}: {sorted(set(was) ^ set(now))} on one side"] if set(was) != set(now) else []
        for key in sorted(set(was) & set(now)):
            found += differences(was[key], now[key], f"{path}/{key}")
        return found
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        return [d for i, (a, b) in enumerate(zip(was, now)) for d in differences(a, b, f"{path}/{i}")]
    return [] if was == now else [f"{path}: was {str(was)[:80]}, is {str(now)[:80]}"]


def same(was, now, when):
    found = differences({k: was[k] for k in now}, now)
    assert not found, f"{when}: {len(found)} differences: {'; '.join(found[:4])}"


def last_producer(was):
    """The highest producer id that is known to be given."""
    return max([was["producer"][0], *(producer for _, producer, _, _ in was.get("transactions", {}).get("states", {}).values())])


def what_is_only_asked(c, was):
    """Ids of deleted topics stay unknown; a batch sent again is a duplicate; no producer id is given twice."""
    for topic in was["deleted"]:
        answer = call(c, "metadata", 12, topics=[{"topic_id": bytes.fromhex(topic), "name": None}]).topics[0]
        assert answer.error_code == UNKNOWN_TOPIC_ID, f"a deleted topic's id answers {answer.error_code}"
    producer, epoch, _ = was["producer"]
    again = produced(c, "plain", 2, batch_of(8, 4, producer=(producer, epoch, 8)))
    assert again == (0, 8), f"a duplicate answers {again}"
    fresh = producer_of(c)[0]
    assert fresh > last_producer(was), f"producer id {fresh} after {last_producer(was)}"


def add_more(c, port, was, commit):
    """Writes to what is there, and ends what is open."""
    producer, epoch, sequence = was["producer"]
    log = was["topics"]["plain"]["partitions"][2]
    answer = produced(c, "plain", 2, batch_of(5000, 4, producer=(producer, epoch, sequence)))
    assert answer == (0, log["end"]), f"the next batch of a producer answers {answer}"
    for topic, partition in (("rolled", 0), ("trimmed", 0), ("empty", 4), ("packed", 0)):
        end = was["topics"][topic]["partitions"][partition]["end"]
        answer = produced(c, topic, partition, batch_of(6000, 5))
        assert answer == (0, end), f"{topic} goes on at {answer}, not at {end}"
    if "transactions" in was:
        transacted.go_on(c, was, commit)
    else:
        transacted.fill(c)
    return look(port)


def open_everywhere(name, cores):
    folder = f"{WORK}/{name}-{cores}"
    was = unpack_fixture(name, folder)
    broker = Broker(folder, settings(), ["--cores", str(cores)], fresh=False)
    try:
        broker.start()
        same(was, look(broker.port), "first start")
        with Connection(broker.port) as c:
            what_is_only_asked(c, was)
            now = add_more(c, broker.port, was, cores == 1)
            was["producer"][2] += 4
        broker.stop(), broker.start()
        same(now, look(broker.port), "after a clean stop")
        broker.kill(), broker.start()
        same(now, look(broker.port), "after kill -9")
        with Connection(broker.port) as c:
            fresh = producer_of(c)[0]
            assert fresh > last_producer(was), "a producer id was given twice"
        broker.stop()
    finally:
        broker.kill()


def cases():
    for name in fixtures():
        for cores in map(int, os.environ.get("FOLDERS_CORES", "1,2").split(",")):
            shards = "one shard" if cores == 1 else f"{cores} shards"
            yield f"the folder {name} opens with everything on {shards}, and again after a stop and a kill", open_everywhere, (name, cores)


def format_of(data):
    with open(os.path.join(data, "meta.properties"), encoding="utf-8") as file:
        return next(int(line.split("=")[1]) for line in file if line.startswith("odradek.format="))


def a_newer_folder_is_refused():
    """What an older release does with a folder of the next one."""
    folder = f"{WORK}/newer"
    unpack_fixture(fixtures()[0], folder)
    path = os.path.join(folder, "data", "meta.properties")
    broker = Broker(folder, settings(), fresh=False)
    broker.start(), broker.stop()  # today's format from now on
    number = format_of(broker.data)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    newer = text.replace(f"odradek.format={number}", f"odradek.format={number + 1}")
    assert newer != text
    with open(path, "w", encoding="utf-8") as file:
        file.write(newer)
    try:
        broker.start()
        raise RuntimeError("a folder of a newer release was opened")
    except AssertionError as why:
        assert "newer release" in str(why), why
    finally:
        broker.kill()
