"""The writer: a record to each partition, again and again, over every end of the broker.

A record's value names its partition and offset. Nobody else writes, so after a lost connection the end of each partition tells
whether the last record was stored.
"""
import threading

from wire import LATEST, Connection, batch, list_offset, produced

PAUSE_S = 0.1


def end_of(connection, topic, partition):
    """The high watermark."""
    error, offset = list_offset(connection, topic, partition, LATEST)
    if error != 0:
        raise OSError(f"ListOffsets says error {error}")
    return offset


class Feed(threading.Thread):
    def __init__(self, broker, topic, partitions):
        super().__init__(daemon=True)
        self.broker, self.topic = broker, topic
        self.ends = dict.fromkeys(range(partitions), 0)
        self.failure = None
        self.enough = threading.Event()
        self.start()

    def run(self):
        while not self.enough.is_set():
            try:
                with Connection(self.broker.port, self.broker.host, timeout=10) as connection:
                    self.write_on(connection)
            except (OSError, EOFError):
                self.enough.wait(PAUSE_S)  # the broker is away
            except Exception as why:
                self.failure = why
                return

    def write_on(self, connection):
        for partition, acked in self.ends.items():
            end = end_of(connection, self.topic, partition)
            assert end in (acked, acked + 1), f"partition {partition} ends at {end}, acknowledged was {acked}"
            self.ends[partition] = end
        while not self.enough.wait(PAUSE_S):
            for partition in self.ends:
                self.write(connection, partition)

    def write(self, connection, partition):
        end = self.ends[partition]
        error, offset = produced(connection, self.topic, partition, batch([b"%d-%d" % (partition, end)]))
        if error != 0:
            raise OSError(f"Produce says error {error}")
        assert offset == end, f"a record of partition {partition} got offset {offset} instead of {end}"
        self.ends[partition] = end + 1

    def stop(self):
        self.enough.set()
        self.join()
        assert self.failure is None, f"the records could not be written: {self.failure}"
        return self.ends
