"""Topics, configurations and groups as a client's admin sees and changes them."""
import re

from driver import eventually
from member import Member, stable


RETENTION = {"retention.ms": "123456789"}


def create(trial, topic, configs):
    trial.main.call("create_topic", topic=topic, partitions=3, configs=configs)


def describe(trial, topic, want):
    have = trial.main.call("describe_topic", topic=topic)["partitions"]
    assert have == want, f"{have} partitions instead of {want}"


def listed(trial, topic):
    assert topic in trial.main.call("list_topics")["topics"], f"{topic} is not among the topics"


def grow(trial, topic):
    trial.main.call("create_partitions", topic=topic, total=5)
    eventually(describe, trial, topic, 5)


def config_is(trial, topic, want):
    have = trial.main.call("describe_config", topic=topic)["configs"]
    for name, value in want.items():
        assert have.get(name) == value, f"{name} is {have.get(name)} instead of {value}"


def alter(trial, topic):
    """An incremental change leaves what it does not name; the old kind may take it back."""
    answer = trial.main.call("alter_config", topic=topic, set={"max.message.bytes": "654321"})
    eventually(config_is, trial, topic, {"max.message.bytes": "654321"})
    if answer["incremental"]:
        config_is(trial, topic, RETENTION)


def broker_config(trial):
    configs = trial.main.call("describe_config", broker="1")["configs"]
    assert re.fullmatch(r"\d+", configs.get("log.segment.bytes") or ""), \
        f"log.segment.bytes is {configs.get('log.segment.bytes')} among {len(configs)}"


def delete(trial, topic):
    trial.main.call("delete_topic", topic=topic)
    eventually(not_listed, trial, topic)


def not_listed(trial, topic):
    assert topic not in trial.main.call("list_topics")["topics"], f"{topic} is still among the topics"


def run_topics(trial):
    topic = f"{trial.row.name}-made"
    created = trial.case("a topic is created with a configuration", create, trial, topic, RETENTION)
    if created is None:
        created = trial.case("a topic is created without a configuration", create, trial, topic, {})
    if not created:
        topic = trial.topic(3, RETENTION.items())
    trial.case("it is described with its partitions", eventually, describe, trial, topic, 3)
    trial.case("it is listed", eventually, listed, trial, topic)
    trial.case("its configuration is described", eventually, config_is, trial, topic, RETENTION)
    trial.case("it gets more partitions", grow, trial, topic)
    trial.case("its configuration is altered, and described so", alter, trial, topic)
    trial.case("the broker's configuration is described", broker_config, trial)
    trial.case("it is deleted", delete, trial, topic)


def group_listed(trial, group, want=True):
    assert (group in trial.main.call("list_groups")["groups"]) == want, \
        f"{group} is {'not' if want else 'still'} among the groups"


def group_is(trial, group, state, members):
    answer = trial.main.call("describe_group", group=group)
    assert (answer["state"].lower(), answer["members"]) == (state, members), \
        f"{answer['state']} with {answer['members']} members instead of {state} with {members}"
    assert answer["protocol_type"] in ("consumer", "", None), f"the protocol type is {answer['protocol_type']}"


def offsets_deleted(trial, group, topic):
    trial.main.call("delete_group_offsets", group=group, topic=topic, partition=0)
    answer = trial.main.call("committed", group=group, partitions=[[topic, 0], [topic, 1]])
    assert answer["offsets"] == [-1, 1], f"the committed offsets are {answer['offsets']} instead of [-1, 1]"


def group_deleted(trial, group):
    trial.main.call("delete_group", group=group)
    group_listed(trial, group, want=False)


def begin(trial, group, topic, members):
    members.append(Member(trial, "member", group, topic))
    stable(trial, members, 2)
    members[0].adapter.call("commit", offsets=[[topic, 0, 1, ""], [topic, 1, 1, ""]])


def run_groups(trial):
    topic, group, members = trial.topic(2), trial.group("g"), []
    if not trial.case("a group has a member, which commits", begin, trial, group, topic, members):
        return
    trial.case("a group is listed", group_listed, trial, group)
    trial.case("a group is described as stable, with its member", group_is, trial, group, "stable", 1)
    members[0].leave()
    trial.case("a group that its member left is described as empty", group_is, trial, group, "empty", 0)
    trial.case("one of its offsets is deleted, the other stays", offsets_deleted, trial, group, topic)
    trial.case("the group is deleted", group_deleted, trial, group)


def run_admin(trial):
    run_topics(trial)
    run_groups(trial)
