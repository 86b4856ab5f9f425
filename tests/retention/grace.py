"""A folder from before there was retention: an hour in which nothing goes, and the log names what will."""
import os
import re
import tarfile
import time

from harness import Broker, fresh_dir, wait_until
from wire import *
from world import *


def old_folder():
    fixture = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../folders/fixtures/a03ebc9-clean.tar.xz")
    folder = fresh_dir(f"{WORK}/grace")
    with tarfile.open(fixture) as tar:
        tar.extractall(folder)
    return folder


def grace():
    folder = old_folder()
    more = {"offsets.topic.num.partitions": "2", "offsets.retention.minutes": "2147483647"}
    broker = Broker(folder, settings(**more), fresh=False)
    with broker:
        told = r"retention will drop: topic=(\S+) partitions=\d+ segments=\d+ bytes=\d+"
        assert wait_until(lambda: re.search(told, broker.log_since()), 20), "the log does not say what will go"
        time.sleep(1)
        topics = set(re.findall(told, broker.log_since()))
        assert "__consumer_offsets" not in topics and topics, f"named are {topics}"
        assert "segments dropped" not in broker.log_since(), "something went within the hour"
        before = {}
        with Connection(broker.port) as c:
            for topic in topics:
                before[topic] = start_of(c, topic)
        broker.stop()
        broker.start()
        assert wait_until(lambda: re.search(told, broker.log_since()), 20), "another start does not wait again"
        broker.stop()
        with open(os.path.join(broker.data, "meta.properties"), "a", encoding="utf-8") as meta:
            meta.write("odradek.retention=1\n")  # as when the hour is over
        broker.start()
        assert wait_until(lambda: "segments dropped" in broker.log_since(), 20), "with the mark nothing goes"
        assert not re.search(told, broker.log_since())
        with Connection(broker.port) as c:
            for topic in topics:
                assert wait_until(lambda: start_of(c, topic) > before[topic] or end_of(c, topic) == before[topic], 20), \
                    f"{topic} still starts at {before[topic]}"
        broker.stop()


CASES = [("a folder from before keeps all for an hour, and the log names what will go", grace)]
