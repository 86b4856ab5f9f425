"""Kafka Connect, distributed: its three topics are compacted, and it goes on from them."""
import json
import signal
import time
import urllib.error
import urllib.request

from apache import free_ports
from world import *

LINES = 400
WORKER = """
bootstrap.servers={address}
group.id=connect
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
config.storage.topic=connect-configs
offset.storage.topic=connect-offsets
status.storage.topic=connect-status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=2
status.storage.partitions=2
offset.flush.interval.ms=100
listeners=http://127.0.0.1:{port}
plugin.discovery=service_load
plugin.path={plugins}
"""


class Worker:
    def __init__(self, broker):
        self.port = free_ports(1)[0]
        path = f"{WORK}/connect.properties"
        with open(path, "w", encoding="ascii") as file:
            folder = os.path.abspath(jars(pom=os.path.join(HERE, "pom.xml"), name="jars-ecosystem"))
            file.write(WORKER.format(address=broker.address, port=self.port, plugins=folder))
        self.log = open(f"{WORK}/connect.log", "ab")
        self.process = spawn(program("org.apache.kafka.connect.cli.ConnectDistributed", path), stdout=self.log, stderr=self.log)

    def ask(self, method, path, body=None):
        """(status, what it says); (0, None): nobody listens."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                raw = reply.read()
                return reply.status, json.loads(raw) if raw else None
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, None

    def put(self, name, **config):
        assert wait_until(lambda: self.ask("PUT", f"/connectors/{name}/config", config)[0] in (200, 201), 60, 0.5), \
            f"{name}: {self.ask('PUT', f'/connectors/{name}/config', config)}"

    def running(self, name):
        status, said = self.ask("GET", f"/connectors/{name}/status")
        return status == 200 and [task["state"] for task in said["tasks"]] == ["RUNNING"]

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(seconds(40))
        self.log.close()


def lines_of(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read().splitlines()
    except OSError:
        return []


def append(path, first, count):
    with open(path, "a", encoding="ascii") as file:
        file.writelines(f"line {i}\n" for i in range(first, first + count))


def goes_on():
    broker = Broker(f"{WORK}/connect", SOON)
    broker.keep_port = True
    source, sink = os.path.abspath(f"{WORK}/source.txt"), os.path.abspath(f"{WORK}/sink.txt")
    for path in (source, sink):
        open(path, "w", encoding="ascii").close()
    with broker:
        worker = Worker(broker)
        for round in range(12):  # each leaves records of the same keys in connect-configs
            worker.put("source", **{"connector.class": "FileStreamSource", "tasks.max": "1", "file": source, "topic": "lines",
                                    "batch.size": str(2000 + round)})  # a smaller one leaves lines in its buffer
            time.sleep(0.2)
        worker.put("sink", **{"connector.class": "FileStreamSink", "tasks.max": "1", "file": sink, "topics": "lines"})
        for round in range(4):
            append(source, round * LINES // 4, LINES // 4)
            time.sleep(1.1)
        assert wait_until(lambda: lines_of(sink) == [f"line {i}" for i in range(LINES)], 60, 0.2), len(lines_of(sink))
        for topic in ("connect-offsets", "connect-configs"):
            compacted(broker, topic)
        worker.end(signal.SIGKILL)
        broker.kill(), broker.start()
        append(source, LINES, 50)
        worker = Worker(broker)
        assert wait_until(lambda: worker.running("source") and worker.running("sink"), 90, 0.5), "no task runs again"
        status, config = worker.ask("GET", "/connectors/source/config")
        assert status == 200 and config["batch.size"] == "2011", (status, config)
        wanted = [f"line {i}" for i in range(LINES + 50)]
        assert wait_until(lambda: set(wanted) == set(lines_of(sink)), 60, 0.2), f"{len(lines_of(sink))} lines"
        again = len(lines_of(sink)) - len(wanted)
        assert again <= 120, f"{again} lines came again: the source did not go on from its offset"
        worker.end(signal.SIGTERM)
        broker.stop()


CASES = [("Kafka Connect goes on from its compacted topics, worker and broker killed", goes_on, ())]
