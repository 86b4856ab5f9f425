"""Topics, configurations, folders and the cluster, as Kafka's tools show and change them."""
import re

from cli_tools import PACKAGE, documents, places, table
from driver import eventually

CONFIGS = {"segment.bytes": "1048576", "max.message.bytes": "654321"}


def create(tools, topic):
    words = [word for name, value in CONFIGS.items() for word in ("--config", f"{name}={value}")]
    out = tools.topics("--create", "--topic", topic, "--partitions", 3, "--replication-factor", 1, *words).out
    assert f"Created topic {topic}." in out, out


def create_again(tools, topic):
    said = tools.any_end(PACKAGE + "TopicCommand", "--create", "--topic", topic)
    assert said.code == 1, f"{said}"
    said.refused("TopicExistsException")


def described(tools, topic, partitions):
    first, *rest = tools.topics("--describe", "--topic", topic).out.strip().splitlines()
    want = rf"Topic: {topic}\tTopicId: [\w-]{{22}}\tPartitionCount: {partitions}\tReplicationFactor: 1\tConfigs: (\S+)"
    found = re.match(want, first)
    assert found, first
    assert set(found[1].split(",")) >= {f"{name}={value}" for name, value in CONFIGS.items()}, first
    leaders = [re.match(rf"\tTopic: {topic}\tPartition: (\d+)\tLeader: 1\tReplicas: 1\tIsr: 1\b", line) for line in rest]
    assert all(leaders) and [int(one[1]) for one in leaders] == list(range(partitions)), rest


def described_missing(tools):
    said = tools.any_end(PACKAGE + "TopicCommand", "--describe", "--topic", "no-such-topic")
    assert said.code == 1, f"{said}"
    said.refused("does not exist")


def listed(tools, topic, want=True):
    names = tools.topics("--list").out.split()
    assert (topic in names) == want, names


def grow(tools, topic):
    tools.topics("--alter", "--topic", topic, "--partitions", 5)
    eventually(described, tools, topic, 5)


def shrink(tools, topic):
    said = tools.any_end(PACKAGE + "TopicCommand", "--alter", "--topic", topic, "--partitions", 4)
    assert said.code == 1, f"{said}"
    said.refused("InvalidPartitionsException")


def shown(out):
    """kafka-configs --describe: {name: (value, {source: value of the synonym})}."""
    found = re.findall(r"^  (\S+?)=(.*?) sensitive=(?:false|true) synonyms=\{(.*)\}$", out, re.M)
    return {name: (value, dict(re.findall(r"([A-Z_]+):[^=,]*=([^,}]*)", text))) for name, value, text in found}


def topic_configs(tools, topic, *more):
    return shown(tools.configs("--describe", "--entity-type", "topics", "--entity-name", topic, *more).out)


def own_configs(tools, topic, want):
    have = topic_configs(tools, topic)
    assert {name: value for name, (value, _) in have.items()} == want, f"{have} instead of {want}"
    for name, (value, synonyms) in have.items():
        assert synonyms.get("DYNAMIC_TOPIC_CONFIG") == value, f"{name}: {synonyms}"
        assert "DEFAULT_CONFIG" in synonyms or name not in CONFIGS, f"{name}: {synonyms}"


def all_configs(tools, topic):
    have = topic_configs(tools, topic, "--all")
    for name, value in {**CONFIGS, "cleanup.policy": "delete", "compression.type": "producer"}.items():
        assert have.get(name, ("nothing",))[0] == value, f"{name} is {have.get(name)} among {len(have)}"


def alter_configs(tools, topic):
    out = tools.configs("--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config",
                        "retention.ms=123456789,max.message.bytes=700000").out
    assert f"Completed updating config for topic {topic}." in out, out
    eventually(own_configs, tools, topic, {**CONFIGS, "retention.ms": "123456789", "max.message.bytes": "700000"})


def drop_config(tools, topic):
    tools.configs("--alter", "--entity-type", "topics", "--entity-name", topic, "--delete-config",
                  "retention.ms,max.message.bytes")
    eventually(own_configs, tools, topic, {"segment.bytes": CONFIGS["segment.bytes"]})


def wrong_config(tools, topic):
    said = tools.any_end("kafka.admin.ConfigCommand", "--alter", "--entity-type", "topics", "--entity-name", topic,
                         "--add-config", "retention.ms=soon")
    assert said.code == 1, f"{said}"
    said.refused("InvalidConfigurationException")


def broker_configs(tools, *more):
    return shown(tools.configs("--describe", "--entity-type", "brokers", "--entity-name", "1", *more).out)


def all_broker_configs(tools):
    have = broker_configs(tools, "--all")
    for name in ("log.segment.bytes", "num.partitions", "message.max.bytes"):
        assert re.fullmatch(r"\d+", have.get(name, ("",))[0]), f"{name} is {have.get(name)} among {len(have)}"


def broker_config_is(tools, name, want, *more):
    have = broker_configs(tools, *more)
    assert have.get(name, (None, {}))[0] == want, f"{name} is {have.get(name)} instead of {want}"


def broker_config(tools):
    words = ("--alter", "--entity-type", "brokers", "--entity-name", "1")
    out = tools.configs(*words, "--add-config", "log.retention.ms=987654321").out
    assert "Completed updating config for broker 1." in out, out
    eventually(broker_config_is, tools, "log.retention.ms", "987654321")
    tools.configs(*words, "--delete-config", "log.retention.ms")
    eventually(broker_config_is, tools, "log.retention.ms", None)


def shared_config(tools):
    """A setting of all brokers lies under each broker's own."""
    words = ("--alter", "--entity-type", "brokers")
    out = tools.configs(*words, "--entity-default", "--add-config", "log.retention.ms=11111111").out
    assert "Completed updating default config for brokers in the cluster." in out, out
    eventually(broker_config_is, tools, "log.retention.ms", "11111111", "--all")
    tools.configs(*words, "--entity-name", 1, "--add-config", "log.retention.ms=22222222")
    eventually(broker_config_is, tools, "log.retention.ms", "22222222")
    synonyms = broker_configs(tools)["log.retention.ms"][1]
    assert (synonyms["DYNAMIC_BROKER_CONFIG"], synonyms["DYNAMIC_DEFAULT_BROKER_CONFIG"]) == ("22222222", "11111111"), synonyms
    shared = shown(tools.configs("--describe", "--entity-type", "brokers", "--entity-default").out)
    assert shared.get("log.retention.ms", (None,))[0] == "11111111", shared
    for who in (("--entity-name", 1), ("--entity-default",)):
        tools.configs(*words, *who, "--delete-config", "log.retention.ms")
    eventually(broker_config_is, tools, "log.retention.ms", None)


def log_dirs(tools):
    topic = tools.trial.topic(2)
    tools.trial.fill(topic, 0, [b"x" * 1000] * 3)
    said = tools.run(PACKAGE + "LogDirsCommand", "--describe", "--topic-list", topic)
    [broker] = documents(said.out)[0]["brokers"]
    [folder] = broker["logDirs"]
    assert broker["broker"] == 1 and folder["error"] is None and folder["logDir"].startswith("/"), f"{said}"
    sizes = {one["partition"]: (one["size"], one["offsetLag"], one["isFuture"]) for one in folder["partitions"]}
    assert sizes.keys() == {f"{topic}-0", f"{topic}-1"}, sizes
    assert 3000 < sizes[f"{topic}-0"][0] < 4000 and sizes[f"{topic}-1"] == (0, 0, False), sizes


def cluster(tools):
    found = re.search(r"Cluster ID: (\S{22})$", tools.run(PACKAGE + "ClusterTool", "cluster-id", "--bootstrap-server",
                                                          tools.address).out, re.M)
    assert found, "no cluster id"
    out = tools.run(PACKAGE + "ClusterTool", "list-endpoints", "--bootstrap-server", tools.address).out
    [row] = table(out, "ID")
    assert f"{row['HOST']}:{row['PORT']}" in places(tools.trial) and row["ID"] == "1", out


def versions(tools):
    out = tools.run(PACKAGE + "BrokerApiVersionsCommand").out
    assert any(out.startswith(f"{place} (id: 1 ") for place in places(tools.trial)), out[:200]
    for api in ("Produce", "Fetch", "Metadata", "JoinGroup", "OffsetCommit", "DeleteRecords"):
        assert re.search(rf"^\t{api}\(\d+\): .*\[usable: \d+\]", out, re.M), f"{api} is not usable: {out}"


def delete(tools, topic):
    tools.topics("--delete", "--topic", topic)
    eventually(listed, tools, topic, False)


def run(trial, tools):
    topic = f"{trial.row.name}-made"
    trial.case("kafka-topics creates a topic with configurations", create, tools, topic)
    trial.case("kafka-topics is told that a topic exists", create_again, tools, topic)
    trial.case("kafka-topics describes what it created", eventually, described, tools, topic, 3)
    trial.case("kafka-topics is told that a topic does not exist", described_missing, tools)
    trial.case("kafka-topics lists the topic", listed, tools, topic)
    trial.case("kafka-configs describes the topic's own configurations with synonyms", own_configs, tools, topic, CONFIGS)
    trial.case("kafka-configs describes all configurations of the topic", all_configs, tools, topic)
    trial.case("kafka-topics adds partitions", grow, tools, topic)
    trial.case("kafka-topics is told that partitions cannot go", shrink, tools, topic)
    trial.case("kafka-configs adds and changes configurations, the others stay", alter_configs, tools, topic)
    trial.case("kafka-configs deletes configurations, the others stay", drop_config, tools, topic)
    trial.case("kafka-configs is told that a value is wrong", wrong_config, tools, topic)
    trial.case("kafka-configs describes the broker's configurations", all_broker_configs, tools)
    trial.case("kafka-configs sets a configuration of the broker and deletes it", broker_config, tools)
    trial.case("kafka-configs sets a configuration of all brokers, under the broker's own", shared_config, tools)
    trial.case("kafka-log-dirs shows the bytes of a topic's partitions", log_dirs, tools)
    trial.case("kafka-cluster shows the cluster id and the broker's address", cluster, tools)
    trial.case("kafka-broker-api-versions finds what the tools need", versions, tools)
    trial.case("kafka-topics deletes the topic", delete, tools, topic)
