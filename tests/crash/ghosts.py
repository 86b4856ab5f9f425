"""Ghosts: whole batches that an earlier life left beyond a torn one. Their CRCs are good and, where all batches are
equally long, their offsets are exactly the next ones once a later life has filled the gap. None may ever come back.

The first check makes the ghosts by hand, so that they always line up: after kill -9 it tears the third batch from the
end in the file, as a crash inside a write wave would. The second one crashes twice in a row under equal-sized load.
"""
import glob
import os
import random
import shutil

import load
import segments
from rounds import open_broker

ATTEMPTS = 5
TORN_FROM_END = 3
BATCH = 1024


def tear(partition_dir):
    """Zeroes the second half of the third batch from the end; answers its base offset."""
    found = segments.batches(partition_dir)
    assert len(found) > TORN_FROM_END, f"only {len(found)} batches are in {partition_dir}"
    torn, ghosts = found[-TORN_FROM_END], found[-TORN_FROM_END + 1:]
    assert all(b.size == BATCH for b in [torn, *ghosts]), "the batches are not equally long"
    assert ghosts[0].position == torn.position + BATCH and ghosts[0].base_offset == torn.base_offset + 1
    with open(torn.file, "r+b") as file:
        file.seek(torn.position + BATCH // 2)
        file.write(bytes(BATCH // 2))
        file.flush()
        os.fsync(file.fileno())
    return torn.base_offset


def forget_from(history, offset):
    """What was acked or read from `offset` on is lost by our own hand."""
    at = {"A": 3, "R": 2}
    with open(history, encoding="ascii") as file:
        lines = file.readlines()
    with open(history, "w", encoding="ascii") as file:
        file.writelines(line for line in lines if line[0] == "W" or int(line.split()[at[line[0]]]) < offset)


def one_batch(broker, topic, history, writer):
    load.produce(broker, topic, history, writer=writer, conns=1, window=1, burst=1, rate=0, ms=1, bytes=BATCH)


def attempt(broker, topic, caching):
    """True: the ghosts stayed away. False: the torn batch lay below the durable end, so that the broker refuses to cut."""
    history = os.path.join(broker.folder, topic + ".history")
    load.create(broker, topic, 1, {"write.caching": caching})
    load.produce(broker, topic, history, writer=1, conns=1, window=4, burst=64 * BATCH, rate=0, ms=30, bytes=BATCH)
    broker.kill()
    offset = tear(glob.glob(os.path.join(broker.data, topic + "-0"))[0])
    forget_from(history, offset)
    broker.start()
    if load.run([load.PROGRAM, "verify", broker.address, topic, history])[0] != 0:
        load.create(broker, topic + "-other", 1)  # this one partition only: the broker itself works
        return False
    for writer in (2, 3):  # one batch fills the gap; the ghost behind it has the next offset and the next position
        one_batch(broker, topic, history, writer)
        broker.kill()
        broker.start()
        end = load.verify(broker, topic, history)["batches"]
        assert end == offset + writer - 1, f"{end} batches after the crash of writer {writer}, not {offset + writer - 1}"
    return True


def check_torn(engine, disk, caching):
    broker = open_broker(f"torn-{engine}-{disk}", engine, disk, 1)
    broker.properties["crash.route"] = "written"  # or shared memory would have what is torn
    with broker:
        done = any(attempt(broker, f"torn{number}", caching) for number in range(ATTEMPTS))
    assert done, f"the torn batch was never cut in {ATTEMPTS} attempts: {broker.log()[-600:]}"
    shutil.rmtree(broker.folder)


def check_twice(engine, disk):
    """Two crashes in a row, the second soon after the first, without retries: each life is a prefix of what it sent."""
    broker = open_broker(f"twice-{engine}-{disk}", engine, disk, 1)
    history = os.path.join(broker.folder, "history")
    with broker:
        load.create(broker, "t", 2, {"write.caching": "true"})
        for writer in range(1, 7):
            at_us = random.randint(20_000, 80_000) if writer % 2 else random.randint(0, 5_000)
            child = load.start(broker, "t", history, writer=writer, conns=2, window=8, bytes=BATCH, kill=broker.pid,
                               at_us=at_us)
            load.await_trigger(child, broker.process)
            load.finish(child)
            broker.start()
            if writer % 2 == 0:
                load.verify(broker, "t", history, reads=1)
    shutil.rmtree(broker.folder)


def run_all(report):
    for engine, disk, caching in (("io_uring", "direct", "false"), ("epoll", "buffered", "true")):
        report.case(f"batches beyond a torn one never return ({engine}, disk.io={disk}, write.caching={caching})",
                    check_torn, engine, disk, caching)
    for engine, disk in (("io_uring", "direct"), ("io_uring", "buffered"), ("epoll", "direct")):
        report.case(f"crashed twice with equal-sized batches, no ghost returns ({engine}, disk.io={disk})",
                    check_twice, engine, disk)
