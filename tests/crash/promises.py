"""kill -9 while groups commit and topics, settings, partitions and log starts change (tests/load/numbered.py)."""
import random
import shutil
import time

import numbered
from harness import wait_until
from rounds import open_broker

KILLS = 3
FIRST_ROUND = 150  # changes by each client: more commits than the logs of groups may hold
KILL_S = (0.05, 0.5)


def one_round(broker, crowd, least):
    """Changes until the kill; answers how many were acknowledged and how many things compared."""
    crowd.start(broker, least)
    time.sleep(random.uniform(*KILL_S))
    acked = crowd.crash(broker.kill)
    broker.start()
    return acked, crowd.compare(broker)


def run_group(totals, name, engine, disk, cores, caching):
    broker = open_broker(name, engine, disk, cores)
    broker.properties.update(numbered.SETTINGS, **{"write.caching": caching})
    crowd = numbered.Crowd()
    with broker:
        crowd.set_up(broker)
        for number in range(1, KILLS + 1):
            try:
                acked, compared = one_round(broker, crowd, FIRST_ROUND if number == 1 else 1)
            except AssertionError as why:
                raise AssertionError(f"kill {number}, folder {broker.folder}: {why}") from None
            for key, count in (("kills", 1), ("acked", acked), ("compared", compared)):
                totals[key] = totals.get(key, 0) + count
        assert wait_until(lambda: crowd.cleaned(broker) > 0, 10, 0.1), "no log of groups was compacted"
        totals["cleaned"] = totals.get("cleaned", 0) + crowd.cleaned(broker)
        broker.stop()
        broker.arguments[-1] = "1" if broker.arguments[-1] == "2" else "2"
        broker.start()
        crowd.compare(broker)
        broker.stop()
    shutil.rmtree(broker.folder)


def check_lies():
    """A comparison that finds nothing proves nothing: each thing is taken for further, and for less far, than it is."""
    broker = open_broker("promises-forged", "epoll", "buffered", 1)
    broker.properties.update(numbered.SETTINGS)
    crowd = numbered.Crowd()
    with broker:
        crowd.set_up(broker)
        crowd.start(broker, 20)
        crowd.crash(broker.kill)
        broker.start()
        crowd.compare(broker)
        with crowd.connect(broker) as c:
            for thing in crowd.things:
                number = thing.compare(c)
                assert number > 0, f"nothing was ever changed in {thing.name}"
                for lie in (number + 1, number - 1):
                    thing.acked = thing.sent = lie
                    assert caught(thing, c), f"{thing.name} is at {number}, and was taken for {lie}"
                    thing.acked = thing.sent = number
    shutil.rmtree(broker.folder)


def caught(thing, connection):
    try:
        thing.compare(connection)
    except AssertionError as why:
        return "finding: " in str(why)
    return False


def run_all(report):
    totals = {}
    report.case("changes that are lost or were never sent are found", check_lies)
    for engine in ("io_uring", "epoll"):
        for disk in ("direct", "buffered"):
            for cores in (1, 2):
                for caching in ("false", "true"):
                    name = f"promises-{engine}-{disk}-{cores}-{caching}"
                    report.case(f"{KILLS} kills of {engine}, disk.io={disk}, {cores} shard(s), write.caching={caching}: commits, members, "
                                "settings, partitions, log starts and topics are as last acknowledged, or later",
                                run_group, totals, name, engine, disk, cores, caching)
    print("    " + " ".join(f"{key.replace(' ', '_')}={value}" for key, value in totals.items()), flush=True)
