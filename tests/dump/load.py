"""The load of the dump tests: one idempotent producer per codec (acked_load.c), and what it says was acked."""
import os
import time

from harness import seconds, spawn

SOURCE = "tests/dump/acked_load.c"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PARTITIONS = 2
COUNT = int(os.environ.get("TEST_RECORDS", "40000"))


class Load:
    """Producers running beside each other, `rate` records a second each."""

    def __init__(self, program, broker, rate):
        self.first = int(time.time() * 1000) - 3600000
        self.folder = broker.folder
        self.topics = {f"dump-{codec}": codec for codec in CODECS}
        self.processes = {topic: self.start(program, broker, topic, rate) for topic in self.topics}

    def start(self, program, broker, topic, rate):
        with open(os.path.join(self.folder, topic + ".err"), "wb") as err:
            return spawn([program, broker.address, topic, self.topics[topic], str(COUNT), str(rate), str(self.first),
                          self.acks_path(topic)], stderr=err)

    def acks_path(self, topic):
        return os.path.join(self.folder, topic + ".acks")

    def acked(self, topic):
        """{partition: {offset: timestamp}} of every acked record; a half-written last line does not count."""
        found = {partition: {} for partition in range(PARTITIONS)}
        if os.path.exists(self.acks_path(topic)):
            with open(self.acks_path(topic), encoding="ascii") as file:
                for line in file:
                    self.take(line, found)
        return found

    def take(self, line, found):
        if line.endswith("\n"):
            partition, offset, i = map(int, line.split())
            assert offset not in found[partition], f"two records were acked at {partition}/{offset}"
            found[partition][offset] = self.first + i

    def acked_count(self):
        return sum(len(offsets) for topic in self.topics for offsets in self.acked(topic).values())

    def total(self):
        return COUNT * len(self.topics)

    def wait(self):
        """Waits for every producer to have everything acked; raises AssertionError with what one said instead."""
        end = time.monotonic() + seconds(180)
        for topic, process in self.processes.items():
            code = process.wait(max(1, end - time.monotonic()))
            assert code == 0, f"the producer of {topic} ended with {code}: {self.said(topic)}"

    def said(self, topic):
        with open(os.path.join(self.folder, topic + ".err"), encoding="utf-8", errors="replace") as file:
            return file.read()[-500:]

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
