"""`odradek check` and `odradek repair` on folders that were damaged on purpose."""
import glob
import os
import shutil

from contents import UNKNOWN_TOPIC_ID, batch_of, call, look, producer_of
from damage import cut, turn_bit
from foreign import put, snapshot
from harness import Broker, binary, fresh_dir, run
from wire import *
from world import WORK, fixtures, settings, unpack_fixture


def ours(command, data):
    """(exit code, what it printed)"""
    code, out, err = run([binary(), command, "--data", data], timeout=60)
    return code, (out + err).decode(errors="replace")


def prepared(name):
    """A broker that is stopped, its folder with a bit of everything, and what is in it."""
    folder = f"{WORK}/{name}"
    was = unpack_fixture(fixtures()[0], folder)
    broker = Broker(folder, settings(), fresh=False)
    broker.start(), broker.stop()
    shutil.copytree(broker.data, f"{folder}/whole")
    return broker, was


def again(broker):
    shutil.rmtree(broker.data)
    shutil.copytree(f"{broker.folder}/whole", broker.data)


def segments(broker, partition):
    return sorted(glob.glob(f"{broker.data}/{partition}/*.log"))


def write_garbage(path):
    put(path, b"garbage")


# What is done to the folder, and the file that check must name.
def mutations(broker):
    data, rolled = broker.data, segments(broker, "rolled-0")
    name = lambda path: os.path.relpath(path, data)
    return [("a bit turned in a closed segment", lambda: turn_bit(rolled[1], 100), name(rolled[1])),
            ("a closed segment cut", lambda: cut(rolled[0], -7), name(rolled[0])),
            ("a segment gone from the middle", lambda: os.remove(rolled[1]), name(rolled[1])),
            ("the last segment emptied", lambda: cut(rolled[-1], 0), "rolled-0"),
            ("the last segment cut after a clean stop", lambda: cut(rolled[-1], -1), name(rolled[-1])),
            ("all segments gone", lambda: [os.remove(path) for path in rolled], "rolled-0"),
            ("a partition's folder gone", lambda: shutil.rmtree(f"{data}/plain-1"), "plain-1"),
            ("partition.metadata gone", lambda: os.remove(f"{data}/plain-0/partition.metadata"), "plain-0/partition.metadata"),
            ("partition.metadata of another", lambda: shutil.copy(f"{data}/packed-0/partition.metadata", f"{data}/plain-0/"), None),
            ("the log's start garbled", lambda: write_garbage(f"{data}/trimmed-0/log-start-offset-checkpoint"),
             "trimmed-0/log-start-offset-checkpoint"),
            ("one copy of the catalog cut", lambda: cut(f"{data}/catalog.copy", -3), "catalog.copy"),
            ("one copy of the catalog gone", lambda: os.remove(f"{data}/catalog"), "catalog"),
            ("both copies of the catalog garbled", lambda: [write_garbage(f"{data}/{f}") for f in ("catalog", "catalog.copy")], "catalog"),
            ("meta.properties gone", lambda: os.remove(f"{data}/meta.properties"), "meta.properties")]


def check_names_what_is_wrong():
    broker, _ = prepared("checked")
    code, said = ours("check", broker.data)
    assert code == 0 and " 0 faults, 0 notes" in said, f"a whole folder: {code}, {said}"
    for what, mutate, file in mutations(broker):
        again(broker)
        mutate()
        before = snapshot(broker.data)
        code, said = ours("check", broker.data)
        if file:
            assert code == 1 and f"fault: {file}: " in said, f"{what}: {code}, {said}"
        else:
            assert f"plain-0" in said, f"{what}: {code}, {said}"
        assert snapshot(broker.data) == before, f"{what}: check touched the folder"
    again(broker)
    write_garbage(glob.glob(f"{broker.data}/rolled-0/*.index")[0])
    code, said = ours("check", broker.data)
    assert code == 0 and "note: rolled-0/" in said and ".index: " in said, f"an index: {code}, {said}"
    again(broker)
    for file in ("adopting/t-0/partition.metadata", "catalog.copy.damaged", "repaired-1/plain-0/00000000000000000000.log"):
        put(f"{broker.data}/{file}", b"old")
    code, said = ours("check", broker.data)
    for words in ("adopting: of an adoption", "catalog.copy.damaged: a damaged copy", "repaired-1: what a repair took away"):
        assert code == 0 and f"note: {words}" in said, f"{words}: {code}, {said}"


def a_folder_that_was_being_made_is_no_fault():
    """The broker was killed, or the disk failed, between the folder and its partition.metadata."""
    with Broker(f"{WORK}/being-made", settings()) as broker:
        assert create_topic(Connection(broker.port), "new", 2) == 0
        broker.stop()
        os.mkdir(f"{broker.data}/new-1")
        code, said = ours("check", broker.data)
        assert code == 0 and "note: new-1/partition.metadata: " in said, f"{code}, {said}"
        broker.start()
        c = Connection(broker.port)
        assert produced(c, "new", 1, batch([b"x"])) == (0, 0)
        broker.stop()
        code, said = ours("check", broker.data)
        assert code == 0 and " 0 faults, 0 notes" in said, f"{code}, {said}"


def check_leaves_others_alone():
    folder = fresh_dir(f"{WORK}/checked-foreign")
    put(f"{folder}/thesis.tex", b"years of work")
    for command in ("check", "repair"):
        before = snapshot(folder)
        code, said = ours(command, folder)
        assert code == 2 and "is not Odradek's" in said, f"{command} of somebody's folder: {code}, {said}"
        assert snapshot(folder) == before
    with Broker(f"{WORK}/checked-running", settings()) as broker:
        for command in ("check", "repair"):
            code, said = ours(command, broker.data)
            assert code == 2 and "A broker runs on" in said, f"{command} under a running broker: {code}, {said}"


def starts(broker):
    """What is in it after a start; the folder is in order then."""
    broker.start()
    try:
        return look(broker.port)
    finally:
        if broker.running():
            broker.stop()


def repaired(broker, what):
    code, said = ours("repair", broker.data)
    assert code == 0, f"{what}: repair ends with {code}: {said}"
    return said


def same_log(was, now, what):
    for key in ("start", "end", "records", "bytes"):
        assert was[key] == now[key], f"{what}: {key} is {str(now[key])[:60]}, was {str(was[key])[:60]}"


def the_catalog_is_put_together():
    """From nothing but the folders: topics with data have their ids and records; no producer id comes again."""
    broker, was = prepared("rebuilt")
    for f in ("catalog", "catalog.copy", "catalog.end"):
        os.remove(f"{broker.data}/{f}")
    said = repaired(broker, "a lost catalog")
    assert "settings" in said and "deletions" in said, f"repair does not say what cannot be known: {said}"
    now = starts(broker)
    for name, topic in was["topics"].items():
        parts = [p for p in topic["partitions"] if p["end"] > 0]
        if not parts:
            assert name not in now["topics"], f"{name} has no folder, and is there"
            continue
        assert now["topics"][name]["id"] == topic["id"], f"{name} has another id"
        for i, log in enumerate(topic["partitions"]):
            if log["end"] > 0:
                same_log(log, now["topics"][name]["partitions"][i], f"{name}-{i}")
    assert now["groups"] == was["groups"], "committed offsets are gone"
    broker.start()
    with Connection(broker.port) as c:
        epochs = [e for t in was["topics"].values() for p in t["partitions"] for e, _ in p["epochs"]]
        leader = call(c, "metadata", 12, topics=[{"name": "plain"}]).topics[0].partitions[0].leader_epoch
        assert leader > max(epochs), f"leader epoch {leader} after {max(epochs)}"
        assert producer_of(c)[0] > was["producer"][0], "a producer id was given twice"
    broker.stop()
    code, said = ours("check", broker.data)
    assert code == 0, f"after the repair check says {said}"


def numbers_at_their_end_are_no_reason():
    """A client may send any producer id; one that no broker gave says nothing of those that were given."""
    broker, was = prepared("largest")
    broker.start()
    with Connection(broker.port) as c:
        assert produced(c, "plain", 0, batch_of(0, 2, producer=((1 << 63) - 1, 0, 0)))[0] == 0
    broker.stop()
    for f in ("catalog", "catalog.copy", "catalog.end"):
        os.remove(f"{broker.data}/{f}")
    repaired(broker, "a log with the largest producer id")
    broker.start()
    with Connection(broker.port) as c:
        given = producer_of(c)[0]
        assert was["producer"][0] < given < 1 << 40, f"producer ids go on from {given}"
    broker.stop()


def what_is_good_of_the_catalog_is_kept():
    """A record in the midst is bad in both copies: the others count, settings and deletions too."""
    broker, was = prepared("salvaged")
    with open(f"{broker.data}/catalog", "rb") as file:
        at = file.read().index(b"stamped")
    for f in ("catalog", "catalog.copy"):
        turn_bit(f"{broker.data}/{f}", at)
    repaired(broker, "a damaged catalog")
    now = starts(broker)
    assert set(now["topics"]) == set(was["topics"]), f"topics: {sorted(now['topics'])}"
    for name in was["topics"]:
        if name != "stamped":  # its settings stood in the record
            assert now["topics"][name]["settings"] == was["topics"][name]["settings"], f"settings of {name}"
    assert now["settings"] == was["settings"], "the broker's settings"
    broker.start()
    with Connection(broker.port) as c:
        gone = call(c, "metadata", 12, topics=[{"topic_id": bytes.fromhex(was["deleted"][0]), "name": None}]).topics[0]
        assert gone.error_code == UNKNOWN_TOPIC_ID
    broker.stop()


def a_damaged_log_is_cut_and_kept():
    broker, was = prepared("cut")
    rolled = segments(broker, "rolled-0")
    with open(rolled[1], "rb") as file:
        whole = file.read()
    turn_bit(rolled[1], 100)
    said = repaired(broker, "a damaged log")
    assert "repaired: rolled-0: " in said, said
    kept = glob.glob(f"{broker.data}/repaired-0/rolled-0/*.log")
    assert len(kept) == len(rolled) - 2, f"later segments are not kept: {kept}"
    rest = glob.glob(f"{broker.data}/repaired-0/rolled-0/*.log.from-*")
    assert len(rest) == 1 and os.path.getsize(rest[0]) == len(whole), f"what was cut is not kept: {rest}"
    now = starts(broker)
    log, old = now["topics"]["rolled"]["partitions"][0], was["topics"]["rolled"]["partitions"][0]
    end = int(os.path.basename(rolled[1]).split(".")[0])
    assert log["end"] == end and log["records"] == [r for r in old["records"] if r[0] < end], f"the log ends at {log['end']}, not {end}"
    for name, topic in was["topics"].items():
        for i, part in enumerate(topic["partitions"]):
            if (name, i) != ("rolled", 0):
                same_log(part, now["topics"][name]["partitions"][i], f"{name}-{i}")
    broker.start()
    with Connection(broker.port) as c:
        assert produced(c, "rolled", 0, batch_of(0, 2)) == (0, end)
    broker.stop()
    code, said = ours("check", broker.data)
    assert code == 0, f"after the repair check says {said}"


def every_mutation_is_mended():
    """After a repair check finds nothing, and the broker starts with every log that was not the damaged one."""
    broker, was = prepared("mended")
    for what, mutate, file in mutations(broker):
        if file in ("plain-1", None, "trimmed-0/log-start-offset-checkpoint"):  # nothing is left to mend it with
            continue
        again(broker)
        mutate()
        repaired(broker, what)
        now = starts(broker)
        same_log(was["topics"]["packed"]["partitions"][0], now["topics"]["packed"]["partitions"][0], what)
        code, said = ours("check", broker.data)
        assert code == 0, f"{what}: after the repair check says {said}"


CASES = [("check names each thing that is wrong in a folder, and touches nothing", check_names_what_is_wrong),
         ("check takes the folder of a partition that was being made for no fault, and a record goes on with it", a_folder_that_was_being_made_is_no_fault),
         ("check and repair leave other people's and running brokers' folders alone", check_leaves_others_alone),
         ("repair is not led astray by the largest producer id", numbers_at_their_end_are_no_reason),
         ("repair puts a lost catalog together from the folders", the_catalog_is_put_together),
         ("repair keeps what is good of a damaged catalog", what_is_good_of_the_catalog_is_kept),
         ("repair cuts a damaged log and keeps what it cuts", a_damaged_log_is_cut_and_kept),
         ("repair mends every mutation of a folder that can be", every_mutation_is_mended)]
