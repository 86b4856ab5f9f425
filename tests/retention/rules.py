"""By time, by size, an idle partition, files and their delay, policies, restarts, settings that contradict each other."""
from harness import Broker, wait_until
from wire import *
from world import *


def by_time():
    with Broker(f"{WORK}/time", settings()) as broker, Connection(broker.port) as c:
        assert create_topic(c, "t", configs=[("retention.ms", "-1")]) == 0
        fill(c, "t", 2 * A_SEGMENT, 8 * DAY_MS)
        fill(c, "t", A_SEGMENT, DAY_MS)
        fill(c, "t", A_SEGMENT, 9 * DAY_MS)
        end = fill(c, "t", 3, DAY_MS)
        stays_at(c, "t", 0)
        must_alter(c, "t", retention_ms=7 * DAY_MS)
        starts_at(c, "t", 2 * A_SEGMENT)
        assert fetched(c, "t", 0, 0)[0] == OUT_OF_RANGE, "what is gone is fetched"
        assert fetched(c, "t", 0, 2 * A_SEGMENT - 1)[0] == OUT_OF_RANGE
        stays_at(c, "t", 2 * A_SEGMENT)  # the old one behind a younger one
        assert read_from(c, "t", 2 * A_SEGMENT, end) == list(range(2 * A_SEGMENT, end))
        assert "segments dropped: partition=t-0 rule=time" in broker.log_since()
        broker.stop()
        broker.start()
        with Connection(broker.port) as again:
            await_recovered(again, "t", 1)
            assert (start_of(again, "t"), end_of(again, "t")) == (2 * A_SEGMENT, end)
            assert not files(broker, "t", ".deleted"), "files of the last run are still there"
        broker.stop()


def by_size():
    with Broker(f"{WORK}/size", settings()) as broker, Connection(broker.port) as c:
        assert create_topic(c, "t") == 0
        end = fill(c, "t", 4 * A_SEGMENT + 3, 0)
        must_alter(c, "t", retention_bytes=2 << 20)
        starts_at(c, "t", 2 * A_SEGMENT)
        stays_at(c, "t", 2 * A_SEGMENT)
        assert read_from(c, "t", 2 * A_SEGMENT, end) == list(range(2 * A_SEGMENT, end))
        must_alter(c, "t", retention_bytes=0)
        starts_at(c, "t", end)
        assert fill(c, "t", 1, 0) > end - 1
        broker.stop()


def idle():
    with Broker(f"{WORK}/idle", settings(**{"log.retention.minutes": 10, "log.retention.hours": 1000})) as broker:
        with Connection(broker.port) as c:
            assert create_topic(c, "old") == 0 and create_topic(c, "young") == 0
            end = fill(c, "old", 3, 11 * 60000)
            fill(c, "young", 3, 9 * 60000)
            starts_at(c, "old", end)
            stays_at(c, "young", 0)
            assert fetched(c, "old", 0, end)[0] == 0 and fetched(c, "old", 0, end - 1)[0] == OUT_OF_RANGE
            assert len(files(broker, "old", ".log")) == 1
            assert produced(c, "old", 0, aged(0)) == (0, end)
        broker.kill()
        broker.start()
        with Connection(broker.port) as c:
            await_recovered(c, "old", 1)
            assert (start_of(c, "old"), end_of(c, "old")) == (end, end + 1)
            assert read_from(c, "old", end, end + 1) == [end]
        broker.stop()


def delay():
    with Broker(f"{WORK}/delay", settings()) as broker, Connection(broker.port) as c:
        assert create_topic(c, "t", configs=[("retention.bytes", "1"), ("file.delete.delay.ms", "1500")]) == 0
        fill(c, "t", 2 * A_SEGMENT, 0)
        starts_at(c, "t", A_SEGMENT)
        assert wait_until(lambda: files(broker, "t", ".log.deleted") == ["00000000000000000000.log.deleted"], 1), \
            f"there are {files(broker, 't', '.deleted')}"
        assert not os.path.exists(os.path.join(broker.data, "t-0", "00000000000000000000.log"))
        assert wait_until(lambda: not files(broker, "t", ".deleted"), 10), f"{files(broker, 't', '.deleted')} are left"
        must_alter(c, "t", file_delete_delay_ms=0)
        fill(c, "t", A_SEGMENT, 0)
        starts_at(c, "t", 2 * A_SEGMENT)
        assert wait_until(lambda: len(files(broker, "t", ".log")) == 1, 10)
        assert not files(broker, "t", ".deleted")
        broker.stop()


def policies():
    with Broker(f"{WORK}/policies", settings()) as broker, Connection(broker.port) as c:
        assert create_topic(c, "t", configs=[("cleanup.policy", "")]) == 0
        end = fill(c, "t", 2 * A_SEGMENT, 30 * DAY_MS)
        stays_at(c, "t", 0)
        must_alter(c, "t", cleanup_policy="delete")
        starts_at(c, "t", end)
        error, why = alter(c, "t", disk_full_policy="delete-oldest", cleanup_policy="compact,delete")
        assert error == INVALID_CONFIG and "cleanup.policy must be exactly delete" in why, f"{error}: {why}"
        must_alter(c, "t", disk_full_policy="delete-oldest")
        error, why = alter(c, "t", cleanup_policy="compact")
        assert error == INVALID_CONFIG and "cleanup.policy must be exactly delete" in why, f"{error}: {why}"
        broker.stop()


CASES = [
    ("segments that are too old go, up to the first that is not, and a fetch there is out of range", by_time),
    ("segments that are too much go while the rest is enough", by_size),
    ("an idle partition's last segment expires too, and the log goes on behind it", idle),
    ("dropped files have another name until their delay is over", delay),
    ("cleanup.policy decides, and a ring has none but delete", policies),
]
