"""Kafka Connect, distributed: its three topics are compacted, and it goes on from them; exactly once, with two workers."""
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


EXACTLY_ONCE = """
exactly.once.source.support=enabled
session.timeout.ms=6000
heartbeat.interval.ms=1000
scheduled.rebalance.max.delay.ms=1000
"""


class Worker(Running):
    def __init__(self, broker, name="connect", more=""):
        self.port = free_ports(1)[0]
        path = f"{WORK}/{name}.properties"
        with open(path, "w", encoding="ascii") as file:
            file.write(WORKER.format(address=broker.address, port=self.port, plugins=os.path.abspath(pom_jars())) + more)
        super().__init__(program("org.apache.kafka.connect.cli.ConnectDistributed", path), f"{WORK}/{name}.log")

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
        assert wait_until(lambda: self.ask("PUT", f"/connectors/{name}/config", config)[0] in (200, 201), 120, 0.5), \
            f"{name}: {self.ask('PUT', f'/connectors/{name}/config', config)}"

    def offsets(self, name):
        status, said = self.ask("GET", f"/connectors/{name}/offsets")
        return said["offsets"] if status == 200 else None

    def running(self, name):
        status, said = self.ask("GET", f"/connectors/{name}/status")
        return status == 200 and [task["state"] for task in said["tasks"]] == ["RUNNING"]


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
        for topic in ("connect-offsets", "connect-configs", "connect-status"):
            compacted(broker, topic)
        offsets = worker.offsets("source")
        worker.kill()
        broker.kill(), broker.start()
        worker = Worker(broker)
        assert wait_until(lambda: worker.running("source") and worker.running("sink"), 90, 0.5), "no task runs again"
        assert worker.offsets("source") == offsets, (worker.offsets("source"), offsets)
        append(source, LINES, 50)
        status, config = worker.ask("GET", "/connectors/source/config")
        assert status == 200 and config["batch.size"] == "2011", (status, config)
        wanted = [f"line {i}" for i in range(LINES + 50)]
        assert wait_until(lambda: set(wanted) == set(lines_of(sink)), 60, 0.2), f"{len(lines_of(sink))} lines"
        again = len(lines_of(sink)) - len(wanted)
        assert again <= 120, f"{again} lines came again: the source did not go on from its offset"
        worker.stop()
        broker.stop()


def told(broker):
    """What the source wrote, as a reader of committed records is given it."""
    return asked("values", broker.address, "once")


def come(broker, wanted):
    assert wait_until(lambda: len(told(broker)) >= len(wanted), 90, 0.5), f"{len(told(broker))} of {len(wanted)} lines come"
    have = told(broker)
    assert have == wanted, f"{len(have)} lines, {len(set(have))} different, the first at fault is {next((i for i, (a, b) in enumerate(zip(have, wanted)) if a != b), len(wanted))}"


def runner(workers):
    """The worker that runs the source's task."""
    for worker in workers:
        status, said = worker.ask("GET", "/connectors/once/status")
        if status == 200 and said["tasks"] and said["tasks"][0]["state"] == "RUNNING":
            return next((w for w in workers if said["tasks"][0]["worker_id"].endswith(f":{w.port}")), None)
    return None


def stopped(worker, name):
    status, said = worker.ask("GET", f"/connectors/{name}/status")
    return status == 200 and said["connector"]["state"] == "STOPPED" and not said["tasks"]


def change_offsets(worker, name, method, body=None):
    """Offsets may be changed while the connector is stopped."""
    assert worker.ask("PUT", f"/connectors/{name}/stop")[0] in (202, 204)
    assert wait_until(lambda: stopped(worker, name), 60, 0.5), f"{name} does not stop"
    changed = lambda: worker.ask(method, f"/connectors/{name}/offsets", body)[0] == 200
    assert wait_until(changed, 60, 1), f"{method} of the offsets: {worker.ask(method, f'/connectors/{name}/offsets', body)}"
    assert worker.ask("PUT", f"/connectors/{name}/resume")[0] == 202


def drained(path, wanted):
    """What a sink wrote; after a kill it may write lines again."""
    assert wait_until(lambda: lines_of(path)[-len(wanted):] == wanted, 60, 0.5), f"{len(lines_of(path))} lines, not {len(wanted)} in the end"


def exactly_once():
    broker = open_broker(f"{WORK}/connect-once", EXACTLY)
    broker.keep_port = True
    source, sink = os.path.abspath(f"{WORK}/once.txt"), os.path.abspath(f"{WORK}/drain.txt")
    for path in (source, sink):
        open(path, "w", encoding="ascii").close()
    lines = [f"line {i}" for i in range(LINES)]
    with broker:
        client("topic", broker.address, "once", 1)
        workers = [Worker(broker, f"once-{n}", EXACTLY_ONCE) for n in range(2)]
        workers[0].put("once", **{"connector.class": "FileStreamSource", "tasks.max": "1", "file": source, "topic": "once",
                                  "exactly.once.support": "required", "transaction.boundary": "poll"})
        workers[0].put("drain", **{"connector.class": "FileStreamSink", "tasks.max": "1", "file": sink, "topics": "once",
                                   "consumer.override.isolation.level": "read_committed"})
        append(source, 0, LINES // 4)
        come(broker, lines[:LINES // 4])
        append(source, LINES // 4, LINES // 4)
        one = runner(workers)
        assert one, "no task runs"
        one.kill()
        workers[workers.index(one)] = Worker(broker, "once-again", EXACTLY_ONCE)
        append(source, LINES // 2, LINES // 4)
        come(broker, lines[:LINES * 3 // 4])
        broker.kill(), broker.start()
        append(source, LINES * 3 // 4, LINES // 4)
        come(broker, lines)
        assert wait_until(lambda: runner(workers), 60, 0.5), "no task runs"
        worker = runner(workers)
        half = sum(len(line) + 1 for line in lines[:LINES // 2])
        change_offsets(worker, "once", "PATCH", {"offsets": [{"partition": {"filename": source}, "offset": {"position": half}}]})
        come(broker, lines + lines[LINES // 2:])
        change_offsets(worker, "once", "DELETE")
        everything = lines + lines[LINES // 2:] + lines
        come(broker, everything)
        assert wait_until(lambda: set(lines_of(sink)) == set(lines), 60, 0.5), f"the sink has {len(set(lines_of(sink)))} lines"
        second = {"partition": {"kafka_topic": "once", "kafka_partition": 0}, "offset": {"kafka_offset": 1}}  # the first record has offset 0
        change_offsets(worker, "drain", "PATCH", {"offsets": [second]})
        drained(sink, everything[1:])
        open(sink, "w", encoding="ascii").close()
        change_offsets(worker, "drain", "DELETE")
        drained(sink, everything)
        for worker in workers:
            worker.stop()
        broker.stop()


CASES = [("Kafka Connect writes a source exactly once: worker and broker killed, offsets altered and reset", exactly_once, ()),
         ("Kafka Connect goes on from its compacted topics, worker and broker killed", goes_on, ())]
