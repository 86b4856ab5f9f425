"""Apache Kafka as a stand-in for the broker, to prove tests against the real thing and to compare with.

`ApacheKafka` has Broker's methods. It runs one combined KRaft node from the jars of tests/clients/pom.xml. Its data
folder is formatted at the first start, and its port is chosen here, because Kafka must know it to advertise it.
Properties that only Odradek knows (`ODRADEK_ONLY`) are dropped.
"""
import os
import re

import broker
from broker import Broker
from process import run_ok
from tools import java, jars

ODRADEK_ONLY = ("crash.dir", "crash.route", "disk.io", "write.caching")
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"


def free_ports(count):
    """Ports that were free a moment ago, none of which the kernel gives to somebody's connection until it is used."""
    first = broker.free_ports(count)
    return list(range(first, first + count))


class ApacheKafka(Broker):
    start_line = r"Kafka Server started"
    start_timeout = 90

    def __init__(self, folder, properties=None, arguments=(), fresh=True, version=None):
        super().__init__(folder, properties, arguments, fresh)
        self.version = version  # None: the one of pom.xml
        self.config = os.path.join(self.folder, "server.properties")
        self.client_port = None

    def settings(self, client, controller):
        kept = {key: value for key, value in self.properties.items() if key not in ODRADEK_ONLY}
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@localhost:{controller}",
            "listeners": f"PLAINTEXT://localhost:{client},CONTROLLER://localhost:{controller}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.data,
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            **kept,
        }

    def launch(self):
        fresh, controller = free_ports(2)
        self.client_port = self.client_port if self.keep_port and self.client_port else fresh
        with open(self.config, "w", encoding="ascii") as file:
            file.writelines(f"{k}={v}\n" for k, v in self.settings(self.client_port, controller).items())
        if not os.path.exists(os.path.join(self.data, "meta.properties")):
            run_ok(java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", self.config, version=self.version),
                   timeout=60)
        super().launch()

    def command(self):
        return java("kafka.Kafka", self.config, heap="512m", logging="INFO", version=self.version)

    def environment(self):
        jars(self.version)
        return dict(os.environ)

    def find_address(self):
        assert re.search(self.start_line, self.log_since())
        return f"localhost:{self.client_port}"

    def stop_code(self):
        """A JVM ended by SIGTERM says 143."""
        return 143
