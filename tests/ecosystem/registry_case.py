"""A schema registry that keeps its schemas in a topic (Apicurio Registry, "kafkasql"): it comes back from the compacted topic, and so do its Avro clients."""
import urllib.request

from apache import free_ports
from wire import Connection, create_topic
from world import *

JOURNAL, READINGS = "kafkasql-journal", 200


def application():
    """The folder with the registry's application, unpacked."""
    pom = os.path.join(HERE, "registry.pom.xml")
    return installed("registry", pom, lambda folder: must(
        [need("mvn"), "-q", "-B", "-f", pom, "dependency:unpack", f"-DoutputDirectory={os.path.abspath(folder)}"], 600))


class Registry(Running):
    """Its state is in memory and in the topic; there is nothing else of it on disk."""

    def __init__(self, broker):
        port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}"
        settings = {"quarkus.http.port": port, "quarkus.http.host": "127.0.0.1", "apicurio.storage.kind": "kafkasql",
                    "apicurio.kafkasql.bootstrap.servers": broker.address, "apicurio.storage.snapshot.location": os.path.abspath(WORK)}
        runner = next(name for name in os.listdir(application()) if name.endswith("-runner.jar"))
        super().__init__([need("java"), "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *(f"-D{k}={v}" for k, v in settings.items()),
                          "-jar", os.path.join(application(), runner)], f"{WORK}/registry.log")
        assert wait_until(lambda: self.ended() or self.serves(), 120, 0.5) and not self.ended(), self.said()[-800:]

    def serves(self):
        try:
            with urllib.request.urlopen(f"{self.url}/apis/ccompat/v7/subjects", timeout=10) as answer:
                return answer.status == 200
        except OSError:
            return False


def python_client(*words):
    return run_ok([python_of("avro"), os.path.join(HERE, "avro_client.py"), *map(str, words)], timeout=120)


def state_of(registry, verb="state"):
    python_client(verb, registry.url, f"{WORK}/registry.json")
    return read_json(f"{WORK}/registry.json")


def java_client(classes, verb, broker, registry, topic):
    run_ok(program("AvroReadings", verb, broker.address, f"{registry.url}/apis/registry/v3", topic, READINGS, classes=classes, pom="avro",
                   heap="256m"), timeout=120)


def all_read(classes, broker, registry):
    """Each client reads what either has written."""
    for topic in ("from-java", "from-python"):
        java_client(classes, "read", broker, registry, topic)
        python_client("read", broker.address, registry.url, topic, READINGS)


def comes_back():
    classes, broker = compiled("AvroReadings.java", pom="avro"), open_broker(f"{WORK}/registry", SOON)
    application(), python_of("avro")
    broker.keep_port = True
    with broker:
        with Connection(broker.port, broker.host) as connection:
            assert create_topic(connection, JOURNAL, 1, [("cleanup.policy", "compact")]) == 0
        registry = Registry(broker)
        java_client(classes, "write", broker, registry, "from-java")
        python_client("write", broker.address, registry.url, "from-python", READINGS)
        before = state_of(registry, "evolve")
        all_read(classes, broker, registry)
        # Each operation has a key of its own: what a compaction takes are repetitions of the first, which says that a registry came.
        client("repeat", broker.address, JOURNAL, 100)
        compacted(broker, JOURNAL)
        registry.kill()
        broker.kill(), broker.start()
        registry = Registry(broker)
        after = state_of(registry)
        assert after == before, f"the schemas are not what they were: {[name for name in before if after.get(name) != before[name]]}"
        python_client("refused", registry.url)
        all_read(classes, broker, registry)
        registry.stop()
        broker.stop()


ON_DEMAND = [("Apicurio Registry has its schemas again from a compacted topic, and Avro clients read with them", comes_back, ())]
