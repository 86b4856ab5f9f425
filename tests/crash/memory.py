"""What is acknowledged when shared memory has it (crash.route=shm), and no file yet: the broker is killed the moment the ack is read.

An ack that came before its bytes were committed there would be lost nearly each time. A clean stop leaves nothing in crash.dir, and neither
does a start behind a kill; one whose folder is gone is forgotten by the next broker that starts there.
"""
import os
import shutil
import struct

import load
import wire
from harness import Broker, fresh_dir

WORK = "build/tests/crash"
KILLS = 12


def open_broker(name, engine, disk, route):
    load.need_engine(engine)
    shared = fresh_dir(os.path.join(WORK, name, "shared"))
    return Broker(os.path.join(WORK, name, "broker"),
                  {"listeners": f"PLAINTEXT://localhost:{load.free_port()}", "disk.io": disk, "write.caching": "true", "crash.route": route,
                   "crash.dir": shared},
                  [f"--io-engine={engine}"]), shared


def values_of(connection, topic):
    """Everything that is in its partition 0."""
    wire.await_recovered(connection, topic, 1)
    _, end = wire.list_offset(connection, topic, 0, wire.LATEST)
    return b"".join(raw for _, raw in wire.read_batches(connection, topic, 0, end)), end


def check_kills(engine, disk, route):
    broker, shared = open_broker(f"memory-{engine}-{disk}-{route}", engine, disk, route)
    replayed = 0
    with broker:
        with wire.Connection(broker.port) as c:
            assert wire.create_topic(c, "t") == 0
        for number in range(KILLS):
            with wire.Connection(broker.port) as c:
                wire.await_recovered(c, "t", 1)
                for part in range(3):
                    error, offset = wire.produced(c, "t", 0, wire.batch([b"value %d of kill %d." % (part, number)]))
                    assert error == 0 and offset == 3 * number + part, f"kill {number}: error {error}, offset {offset}"
                broker.kill()
            broker.start()
            replayed += " from shared memory: " in broker.log_since()
            with wire.Connection(broker.port) as c:
                there, end = values_of(c, "t")
            assert end == 3 * number + 3, f"kill {number}: the log ends at {end}, {3 * number + 3} records were acknowledged"
            for k in range(number + 1):
                for part in range(3):
                    assert b"value %d of kill %d." % (part, k) in there, f"record {part} of kill {k} is lost"
        assert "doubtful in" not in broker.log(), broker.log()[-600:]
        assert replayed >= KILLS // 2 if route == "shm" else replayed == 0, f"{replayed} of {KILLS} starts found something in shared memory"
        broker.stop()
        assert os.listdir(shared) == [], f"a clean stop left {os.listdir(shared)}"
    shutil.rmtree(os.path.dirname(shared))


def check_changed_route():
    """A life with the other route: what the killed one left counts, and is never taken twice."""
    broker, shared = open_broker("memory-changed", "io_uring", "direct", "shm")
    with broker:
        with wire.Connection(broker.port) as c:
            assert wire.create_topic(c, "t") == 0
        for number, route in enumerate(("written", "shm") * 3, 1):
            with wire.Connection(broker.port) as c:
                wire.await_recovered(c, "t", 1)
                assert wire.produced(c, "t", 0, wire.batch([b"number %d" % number])) == (0, number - 1)
                broker.kill()
            broker.properties["crash.route"] = route
            broker.start()
            with wire.Connection(broker.port) as c:
                _, end = values_of(c, "t")
            assert end == number, f"kill {number}: the log ends at {end}"
        broker.stop()
    assert os.listdir(shared) == []
    shutil.rmtree(os.path.dirname(shared))


def check_left():
    """Brokers that were killed and whose folders are gone."""
    gone, shared = open_broker("memory-gone", "epoll", "buffered", "shm")
    with gone:
        with wire.Connection(gone.port) as c:
            assert wire.create_topic(c, "t") == 0
            assert wire.produced(c, "t", 0, wire.batch([b"x"]))[0] == 0
        living = Broker(os.path.join(WORK, "memory-gone", "living"), gone.properties, gone.arguments)
        living.properties["listeners"] = f"PLAINTEXT://localhost:{load.free_port()}"
        with living:
            assert len(os.listdir(shared)) == 2
            gone.kill()
            shutil.rmtree(gone.folder)
            next_one = Broker(os.path.join(WORK, "memory-gone", "next"), gone.properties, gone.arguments)
            next_one.properties["listeners"] = f"PLAINTEXT://localhost:{load.free_port()}"
            with next_one:
                assert len(os.listdir(shared)) == 2, f"{os.listdir(shared)}: of the living one and of the next one"
                next_one.stop()
            living.stop()
    assert os.listdir(shared) == [], f"left: {os.listdir(shared)}"
    shutil.rmtree(os.path.dirname(shared))


def run_all(report):
    for engine, disk, route in (("io_uring", "direct", "shm"), ("epoll", "buffered", "shm"), ("io_uring", "direct", "written")):
        report.case(f"{KILLS} kills at once behind an ack ({engine}, disk.io={disk}, crash.route={route}): all that was acknowledged is there",
                    check_kills, engine, disk, route)
    report.case("a life with the other route between kills loses nothing, and nothing comes twice", check_changed_route)
    report.case("what a broker left in shared memory goes with a clean stop, or with the next start when its folder is gone", check_left)
