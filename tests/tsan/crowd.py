"""Four loads side by side (tests/load), each with 16 producing connections and a reader over 50 partitions of its own topic.
The topics differ in what their appends do: wait for the disk or not, flush by time, roll all the time, carry large batches."""
import os

import load
from harness import wait_until

CONNS_EACH, PARTITIONS_EACH = 16, 50
TOPICS = {  # configs of the topic, settings of its load
    "durable": ({"write.caching": "false"}, {"bytes": 1024, "records": 2, "idempotent": 1}),
    "cached": ({"write.caching": "true", "flush.ms": 100}, {"bytes": 1024, "records": 1, "idempotent": 1}),
    "rolling": ({"write.caching": "true", "segment.ms": 300}, {"bytes": 4096, "records": 8, "idempotent": 1}),
    "large": ({"write.caching": "false"}, {"bytes": 65536, "records": 32, "idempotent": 1}),
}
CONNECTIONS, PARTITIONS = CONNS_EACH * len(TOPICS), PARTITIONS_EACH * len(TOPICS)
PACE = {"window": 4, "burst": 1 << 20, "rate": 2 << 20}  # bytes at once, and each second


class Crowd:
    def __init__(self, folder):
        self.folder = folder
        self.children = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self.children.values():
            child.kill()
            child.communicate()

    def history(self, topic):
        return os.path.join(self.folder, topic + ".history")

    def create(self, broker):
        for topic, (configs, _) in TOPICS.items():
            load.create(broker, topic, PARTITIONS_EACH, configs)

    def start(self, broker, **settings):
        self.sizes = {topic: self.size(topic) for topic in TOPICS}
        for topic, (_, own) in TOPICS.items():
            self.children[topic] = load.start(broker, topic, self.history(topic), conns=CONNS_EACH, **PACE, **own, **settings)

    def size(self, topic):
        return os.path.getsize(self.history(topic)) if os.path.exists(self.history(topic)) else 0

    def await_progress(self):
        """Every load has acks since start()."""
        came = wait_until(lambda: all(self.size(topic) > self.sizes[topic] + 2000 for topic in TOPICS), 60)
        assert came, f"histories grew from {self.sizes} to {[self.size(topic) for topic in TOPICS]}"

    def finish(self):
        """The sum of what the loads say at their end."""
        totals = {}
        for topic in TOPICS:
            ended = load.finish(self.children.pop(topic), timeout=120)
            assert ended["acked"] and ended["read"], f"{topic}: {ended}"
            for key, value in ended.items():
                totals[key] = totals.get(key, 0) + value
        return totals

    def verify(self, broker):
        for topic in TOPICS:
            found = load.verify(broker, topic, self.history(topic), reads=1)
            assert found["acked"], f"{topic}: nothing was compared"
