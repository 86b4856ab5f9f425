"""The rows of --stat-file, a partition each, beside DescribeLogDirs, ListOffsets and what lies in the folder."""
import os
import subprocess

import segments
import stat_file
from harness import Broker, wait_until
from messages import call
from wire import *
from world import *

SHOWN_S = 20  # rows are written about once a second


def size_told(c, topic):
    told = call(c, "describe_log_dirs", 4, topics=[{"topic": topic, "partitions": [0]}])
    return told.results[0].topics[0].partitions[0].partition_size


def row_of(path, topic):
    """The one row of that partition 0, or None."""
    found = [r for r in stat_file.partitions(path)[0] if (r.topic, r.partition) == (topic, 0)]
    assert len(found) < 2, found
    return found[0] if found else None


def what_there_is(broker, c, topic):
    """(bytes, segments, log start, high watermark) as clients are told, which is what the folder has."""
    folder = os.path.join(broker.data, f"{topic}-0")
    told, held = 0, None

    def agree():
        nonlocal told, held
        told, held = size_told(c, topic), sum(b.size for b in segments.batches(folder))
        return told == held

    assert wait_until(agree, SHOWN_S), f"DescribeLogDirs says {told}, in the folder are {held} bytes"
    return told, len(segments.logs(folder)), start_of(c, topic), end_of(c, topic)


def shows_what_there_is(broker, c, path, topic):
    wanted, row = what_there_is(broker, c, topic), None

    def agrees():
        nonlocal row
        row = row_of(path, topic)
        return row and (row.bytes, row.segments, row.log_start, row.high_watermark) == wanted and row.end == wanted[3]

    assert wait_until(agrees, SHOWN_S), f"{row} instead of {wanted}"
    return row


def printed(path, *topics):
    return subprocess.run(["scripts/stats", path, *topics], check=True, capture_output=True, text=True).stdout


def grows_rolls_and_goes(broker, c, path):
    assert create_topic(c, "t") == 0
    fill(c, "t", 2 * A_SEGMENT + 3, 0)
    assert shows_what_there_is(broker, c, path, "t").segments == 3
    must_alter(c, "t", retention_bytes=1 << 20, file_delete_delay_ms=0)
    starts_at(c, "t", A_SEGMENT)
    assert wait_until(lambda: len(files(broker, "t", ".log")) == 2, SHOWN_S), files(broker, "t", "")
    row = shows_what_there_is(broker, c, path, "t")
    assert (row.log_start, row.segments, row.risk_bytes, row.flags) == (A_SEGMENT, 2, 0, 0), row
    assert f"{row.topic}-0" in printed(path, "t*") and "log_segments" in printed(path)


def is_at_risk(broker, c, path):
    assert create_topic(c, "cached", configs=[("write.caching", "true"), ("flush.ms", "100000000")]) == 0
    fill(c, "cached", 3, 0)
    row = shows_what_there_is(broker, c, path, "cached")
    assert row.risk_bytes == row.bytes, row
    assert wait_until(lambda: row_of(path, "cached").risk_ms > row.risk_ms, SHOWN_S), row_of(path, "cached")
    must_alter(c, "cached", write_caching="false")
    assert wait_until(lambda: row_of(path, "cached").risk_bytes == 0, SHOWN_S), row_of(path, "cached")


def is_dirty(broker, c, path):
    assert create_topic(c, "compacted", configs=[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "1")]) == 0
    for _ in range(A_SEGMENT + 2):
        assert produced(c, "compacted", 0, batch([VALUE], records=record(VALUE, key=b"k")))[0] == 0
    closed = sum(b.size for b in segments.batches_of_file(os.path.join(broker.data, "compacted-0", f"{0:020}.log")))
    row = shows_what_there_is(broker, c, path, "compacted")
    assert row.segments == 2 and row.flags == stat_file.COMPACTED
    assert wait_until(lambda: row_of(path, "compacted").dirty_bytes == closed, SHOWN_S), (row_of(path, "compacted"), closed)
    must_alter(c, "compacted", min_cleanable_dirty_ratio=0)
    assert wait_until(lambda: row_of(path, "compacted").cleaned_to == A_SEGMENT, SHOWN_S), row_of(path, "compacted")
    assert wait_until(lambda: row_of(path, "compacted").dirty_bytes == 0, SHOWN_S), row_of(path, "compacted")
    shows_what_there_is(broker, c, path, "compacted")


def goes_with_its_topic(broker, c, path):
    assert call(c, "delete_topics", 4, topic_names=["t"], timeout_ms=10000).responses[0].error_code == 0
    assert wait_until(lambda: row_of(path, "t") is None, SHOWN_S)
    assert create_topic(c, "t") == 0
    fill(c, "t", 2, 0)
    assert shows_what_there_is(broker, c, path, "t").bytes < 1 << 20


def rows():
    path = os.path.join(stat_file.FOLDER, f"odradek-rows-{os.getpid()}")
    quick = settings(**{"log.cleaner.backoff.ms": 50})
    try:
        with Broker(f"{WORK}/rows", quick, arguments=[f"--stat-file={path}", "--cores", "2"]) as broker:
            with Connection(broker.port) as c:
                for step in (grows_rolls_and_goes, is_at_risk, is_dirty, goes_with_its_topic):
                    step(broker, c, path)
                    assert stat_file.partitions(path)[1] == 0, "partitions without a row"
            broker.kill()
            broker.start()
            with Connection(broker.port) as c:
                for topic in ("t", "cached", "compacted"):
                    await_recovered(c, topic, 1)
                    shows_what_there_is(broker, c, path, topic)
            broker.stop()
    finally:
        os.unlink(path)


CASES = [
    ("the stat file has of each partition what clients are told and what lies in its folder", rows),
]
