"""Apache Kafka's tools for administrators: what each says of one node, and that what they set is there after a kill -9."""
import json
import os

from harness import run, tail
from tools import jars, java
from tools_case import create, TOPIC

TOOLS = "org.apache.kafka.tools."
SECRET = "hunter2-secret"


def said(broker, name, *arguments, code=0):
    """Runs a tool; answers all that it said."""
    assert broker.running(), "the broker is gone"
    got, out, err = run(java(name if "." in name else TOOLS + name, "--bootstrap-server", broker.address, *arguments), timeout=60)
    assert got == code, f"{name} ended with {got}: {tail(out)} {tail(err)}"
    return (out + err).decode()


def has(text, *wanted):
    for words in wanted:
        assert words in text, f"{words!r} is not in {text[-1500:]}"


def configs(broker, *arguments, code=0):
    return said(broker, "kafka.admin.ConfigCommand", *arguments, code=code)


def acls(broker):
    has(said(broker, "AclCommand", "--list", code=1), "SecurityDisabledException", "No Authorizer is configured on the broker")
    has(said(broker, "AclCommand", "--add", "--allow-principal", "User:a", "--operation", "Read", "--topic", "t", code=1), "SecurityDisabledException: No Authorizer is configured")


def elections(broker):
    has(said(broker, "LeaderElectionCommand", "--election-type", "preferred", "--topic", TOPIC, "--partition", "0"), "Valid replica already elected for partitions " + TOPIC)
    said(broker, "LeaderElectionCommand", "--election-type", "preferred", "--all-topic-partitions")


def reassignments(broker):
    path = os.path.join(broker.folder, "reassign.json")
    for replicas, code in (([1], 0), ([7], 1)):
        with open(path, "w", encoding="ascii") as file:
            json.dump({"version": 1, "partitions": [{"topic": TOPIC, "partition": 0, "replicas": replicas}]}, file)
        text = said(broker, TOOLS + "reassign.ReassignPartitionsCommand", "--reassignment-json-file", path, "--execute", code=code)
        has(text, f"Successfully started partition reassignment for {TOPIC}-0" if not code else "Unknown broker id 7")
        if not code:
            has(said(broker, TOOLS + "reassign.ReassignPartitionsCommand", "--reassignment-json-file", path, "--verify"), f"Reassignment of partition {TOPIC}-0 is completed.")
    has(said(broker, TOOLS + "reassign.ReassignPartitionsCommand", "--list"), "No partition reassignments found.")


def quorum(broker):
    has(said(broker, "MetadataQuorumCommand", "describe", "--status"), "LeaderId:               1", "MaxFollowerLag:         0", '"id": 1')
    has(said(broker, "MetadataQuorumCommand", "describe", "--replication"), "Leader")
    code, out, err = run(java(TOOLS + "ClusterTool", "unregister", "--bootstrap-server", broker.address, "--id", "7"), timeout=60)
    assert code == 1, f"kafka-cluster unregister ended with {code}"
    has((out + err).decode(), "BrokerIdNotRegisteredException")


def features(broker):
    has(said(broker, "FeatureCommand", "describe"), "Feature: metadata.version", "FinalizedVersionLevel: 4.3-IV0")
    has(said(broker, "FeatureCommand", "downgrade", "--metadata", "4.2-IV1", code=1), "Could not downgrade metadata.version to 29. The update failed for all features")
    has(said(broker, "FeatureCommand", "upgrade", "--metadata", "4.3-IV0"), "metadata.version was upgraded to 30.")


def tokens(broker):
    path = os.path.join(broker.folder, "empty.properties")
    open(path, "w", encoding="ascii").close()
    has(said(broker, "DelegationTokenCommand", "--describe", "--command-config", path, code=1), "UnsupportedByAuthenticationException: Delegation Token requests are not allowed")


def set_entities(broker):
    set_all = ("--alter", "--add-config")
    configs(broker, *set_all, "producer_byte_rate=1024,request_percentage=12.5", "--entity-type", "users", "--entity-name", "al ice", "--entity-type", "clients", "--entity-default")
    configs(broker, *set_all, "connection_creation_rate=5", "--entity-type", "ips", "--entity-name", "127.0.0.1")
    configs(broker, *set_all, f"SCRAM-SHA-512=[iterations=8192,password={SECRET}]", "--entity-type", "users", "--entity-name", "bob")
    configs(broker, *set_all, "consumer.session.timeout.ms=50000", "--entity-type", "groups", "--entity-name", "g")
    configs(broker, *set_all, "interval.ms=1000,metrics=[org.apache.a,org.apache.b]", "--entity-type", "client-metrics", "--entity-name", "m")
    assert SECRET not in broker.log(), "the password is in the log"


def describe_entities(broker):
    has(configs(broker, "--describe", "--entity-type", "users", "--entity-type", "clients"), "'al ice'", "producer_byte_rate=1024.0", "request_percentage=12.5")
    has(configs(broker, "--describe", "--entity-type", "users", "--entity-name", "bob"), "SCRAM-SHA-512=iterations=8192")
    has(configs(broker, "--describe", "--entity-type", "ips"), "127.0.0.1", "connection_creation_rate=5.0")
    has(configs(broker, "--describe", "--entity-type", "groups"), "Dynamic configs for group g", "consumer.session.timeout.ms=50000")
    has(configs(broker, "--describe", "--entity-type", "client-metrics", "--entity-name", "m"), "interval.ms=1000", "metrics=org.apache.a,org.apache.b")
    assert "m" in said(broker, "ClientMetricsCommand", "--list").split()


def survive(broker):
    broker.kill()
    broker.start()
    describe_entities(broker)


def delete_entities(broker):
    configs(broker, "--alter", "--delete-config", "SCRAM-SHA-512", "--entity-type", "users", "--entity-name", "bob")
    configs(broker, "--alter", "--delete-config", "consumer.session.timeout.ms", "--entity-type", "groups", "--entity-name", "g")
    assert "SCRAM" not in configs(broker, "--describe", "--entity-type", "users", "--entity-name", "bob")


def own_settings_are_shown(broker):
    configs(broker, "--alter", "--add-config", "write.caching=true", "--entity-type", "topics", "--entity-name", TOPIC)
    has(configs(broker, "--describe", "--entity-type", "topics", "--entity-name", TOPIC), "write.caching=true")
    has(said(broker, "TopicCommand", "--describe", "--topic", TOPIC), "write.caching=true")


CASES = (
    ("kafka-topics creates a topic", create),
    ("kafka-acls is told that there is no authorizer", acls),
    ("kafka-leader-election finds nothing to elect", elections),
    ("kafka-reassign-partitions stays on the node", reassignments),
    ("kafka-metadata-quorum and kafka-cluster see one node", quorum),
    ("kafka-features shows what was agreed on", features),
    ("kafka-delegation-tokens is refused", tokens),
    ("kafka-configs sets quotas, passwords, groups and client metrics", set_entities),
    ("they are described back", describe_entities),
    ("they are there after kill -9", survive),
    ("kafka-configs deletes them", delete_entities),
)
OURS = (("settings of ours are shown to who asks", own_settings_are_shown),)


def run_all(report, broker):
    jars()
    broker.start()
    for name, step in CASES + (() if broker.start_line.startswith("Kafka") else OURS):
        report.case(f"admin tools: {name}", step, broker)
