"""kill -9 with many partitions: each is recovered when it is first used, so after every start partitions are asked for at random
before the background has come to them. Some rounds kill again before it has, one stops cleanly and one changes the number of
shards in between. Whatever was acknowledged is there, once, in order; nothing else is answered than that or a retriable error."""
import random
import shutil
import time

from harness import run  # noqa: F401  (the path to tests/lib)
from rounds import open_broker
from wire import Connection, batch, create_topic, fetched, list_offset, produced

PARTITIONS, ROUNDS, APPENDS = 400, 5, 250
RETRIABLE = {6, 56, 78}  # NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR, OFFSET_NOT_AVAILABLE
ANSWER_WITHIN_S = 1.5    # a second, and what the machine is late
LATEST = -1


def patient(what, ask, seconds=60):
    """The answer of `ask` when its error code is 0; a retriable one is asked again, and none comes late."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        error, *answer = ask()
        took = time.monotonic() - began
        assert took < ANSWER_WITHIN_S, f"{what} was answered after {took:.1f} s"
        if error == 0:
            return answer
        assert error in RETRIABLE, f"{what} got error {error}"
        assert time.monotonic() < deadline, f"{what} got error {error} for {seconds} s"
        time.sleep(0.02)


def check_one(connection, partition, acked):
    """All of its acknowledged records, and at most the one that was under way at a kill behind each of them."""
    (end,) = patient(f"ListOffsets of {partition}", lambda: list_offset(connection, "t", partition, LATEST))
    assert end >= len(acked), f"partition {partition} ends at {end}, {len(acked)} records were acknowledged"
    records = b""
    if end:
        high, records = patient(f"Fetch of {partition}", lambda: fetched(connection, "t", partition, 0))
        assert high == end, f"partition {partition}: watermark {high}, ListOffsets said {end}"
    at = -1
    for value in acked:
        at = records.find(value, at + 1)
        assert at >= 0, f"partition {partition}: the acknowledged {value!r} is gone, or out of order"
        assert records.count(value) == 1, f"partition {partition}: {value!r} is there twice"


def append_some(connection, draw, acked, name):
    for i in range(APPENDS):
        partition = draw.randrange(PARTITIONS)
        value = f"<{name}.{i}>".encode()
        patient(f"Produce to {partition}", lambda: produced(connection, "t", partition, batch([value])))
        acked[partition].append(value)


def check_many(engine, disk, cores, caching):
    draw = random.Random(random.getrandbits(32))
    broker = open_broker(f"many-{engine}-{disk}-{cores}-{caching}", engine, disk, cores)
    acked = [[] for _ in range(PARTITIONS)]
    broker.start()
    with Connection(broker.port) as connection:
        assert create_topic(connection, "t", PARTITIONS, [("write.caching", caching)]) == 0
        append_some(connection, draw, acked, "first")
    for n in range(ROUNDS):
        broker.kill()
        broker.start()
        if n == 1:  # a second crash at once, when hardly anything was recovered
            broker.kill()
            broker.start()
        if n == 2:  # a clean stop at once
            broker.stop()
            broker.start()
        if n == 3:  # another number of shards
            broker.kill()
            broker.arguments[broker.arguments.index("--cores") + 1] = str(3 - cores)
            broker.start()
        with Connection(broker.port) as connection:
            for partition in draw.sample(range(PARTITIONS), 60):
                check_one(connection, partition, acked[partition])
            append_some(connection, draw, acked, f"round{n}")
    broker.kill()
    broker.start()
    with Connection(broker.port) as connection:
        for partition in range(PARTITIONS):
            check_one(connection, partition, acked[partition])
    broker.stop()
    shutil.rmtree(broker.folder)


def run_all(report):
    for engine, disk, cores, caching in (("io_uring", "direct", 1, "false"), ("epoll", "buffered", 2, "true")):
        report.case(
            f"{ROUNDS + 4} ends of {engine}, disk.io={disk}, write.caching={caching}: {PARTITIONS} partitions, recovered when first used, "
            "have what was acknowledged", lambda e=engine, d=disk, c=cores, w=caching: check_many(e, d, c, w))
