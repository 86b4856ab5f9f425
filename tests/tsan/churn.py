"""Topics that come and go beside the load, with fetches that wait for them and appends under way when they are deleted."""
import threading

from wire import *

PARTITIONS = 3
UNKNOWN_TOPIC, LONG_MS = 3, 30000


def delete_topic(connection, name):
    """DeleteTopics v1; answers the error code."""
    answer = connection.call(DELETE_TOPICS, 1, i32(1) + string(name) + i32(30000))
    return struct.unpack(">h", answer[-2:])[0]


class Churn(threading.Thread):
    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.over = threading.Event()
        self.count, self.failure = 0, None

    def run(self):
        try:
            while not self.over.is_set():
                self.one(f"churn-{self.count}")
                self.count += 1
        except Exception as why:
            self.failure = why

    def one(self, name):
        """A topic's life. The witness waits for more data when the topic goes, the straggler still produces to it."""
        with Connection(self.port) as c, Connection(self.port) as witness, Connection(self.port) as straggler:
            assert create_topic(c, name, PARTITIONS) == 0
            for p in range(PARTITIONS):
                assert produced(c, name, p, batch([b"first"])) == (0, 0)
                assert list_offset(c, name, p, LATEST) == (0, 1)
                error, _, records = fetched(c, name, p, 0)
                assert error == 0 and b"first" in records
            witness.send(request(FETCH, 4, fetch(name, self.count % PARTITIONS, 1, wait=LONG_MS)))
            for p in range(PARTITIONS):
                straggler.send(request(PRODUCE, 7, produce(name, p, batch([b"late"]))))
            assert delete_topic(c, name) == 0
            assert list_offset(c, name, 0, LATEST)[0] == UNKNOWN_TOPIC
            c.call(METADATA, 4, i32(-1) + i8(0))
            if self.count % 2:
                witness.reply()
                straggler.reply()

    def end(self):
        """Answers how many topics came and went; AssertionError when something went wrong."""
        self.over.set()
        self.join(60)
        assert not self.is_alive(), f"topic churn-{self.count} hangs"
        assert self.failure is None, f"churn-{self.count}: {type(self.failure).__name__}: {self.failure}"
        assert self.count, "no topic came and went"
        return self.count
