"""Requests that are legal and odd, and what Apache Kafka 4.3.1 answers to them: each case also passes with BROKER=kafka."""
import contextlib
import time

from answers import WORK
from harness import open_broker
from messages import call
from process import wait_until
from wire import Connection, batch, fetched, i16, i32, produced, string, uvarint

NO_ID = bytes(16)
INVALID_REQUEST, UNKNOWN_TOPIC, UNKNOWN_ID, INCONSISTENT_ID = 42, 3, 100, 103
TOPIC_OPERATIONS, CLUSTER_OPERATIONS, NOT_ASKED = 3576, 8096, -(1 << 31)
READ_COMMITTED = 1


@contextlib.contextmanager
def served(name):
    """A connection to a broker with the topic `t` of three partitions."""
    with open_broker(f"{WORK}/{name}") as broker:
        with Connection(broker.port) as c:
            assert create(c, "t", 3).error_code == 0
            yield c


def create(c, name, partitions=1, configs=(), version=7, **options):
    topic = {"name": name, "num_partitions": partitions, "replication_factor": 1, "configs": [{"name": k, "value": v} for k, v in configs]}
    answer = call(c, "create_topics", version, topics=[topic], timeout_ms=10000, **options).topics[0]
    if not answer.error_code and not options:
        assert wait_until(lambda: [p.error_code for p in described(c, name).partitions] == [0] * partitions, 10)
    return answer


def described(c, name):
    return call(c, "metadata", 12, topics=[{"topic_id": NO_ID, "name": name}], allow_auto_topic_creation=False).topics[0]


def results(answer):
    """{(name, id): error} and the messages; order does not count."""
    got = {(r.name, r.topic_id): r.error_code for r in answer.responses}
    assert len(got) == len(answer.responses), f"something is answered twice: {got}"
    return got, [r.error_message for r in answer.responses]


# --- DeleteTopics ---

def a_topic_named_twice_is_answered_once_and_not_deleted():
    with served("deltwice") as c:
        for version in (1, 5):
            got, messages = results(call(c, "delete_topics", version, topic_names=["t", "t", "no", "gone", "gone"], timeout_ms=10000))
            assert got == {("t", NO_ID): INVALID_REQUEST, ("no", NO_ID): UNKNOWN_TOPIC, ("gone", NO_ID): INVALID_REQUEST}
            assert version < 5 or all(messages), "a refusal says why"
        topic_id = described(c, "t").topic_id
        twice = [{"name": "t", "topic_id": NO_ID}] * 2
        both = [{"name": "t", "topic_id": NO_ID}, {"name": None, "topic_id": topic_id}]
        by_id = [{"name": None, "topic_id": topic_id}] * 2
        for topics in (twice, both, by_id):
            answer = call(c, "delete_topics", 6, topics=topics, timeout_ms=10000)
            assert [r.error_code for r in answer.responses] == [INVALID_REQUEST], answer.responses
            assert all(r.error_message for r in answer.responses)
        assert described(c, "t").error_code == 0, "it was deleted"


def what_cannot_be_deleted_is_refused_with_a_message():
    with served("delodd") as c:
        asked = [{"name": None, "topic_id": b"\1" * 16}, {"name": None, "topic_id": NO_ID}, {"name": "t", "topic_id": b"\2" * 16},
                 {"name": "zz", "topic_id": NO_ID}, {"name": "", "topic_id": NO_ID}, {"name": "a b", "topic_id": NO_ID}]
        got, messages = results(call(c, "delete_topics", 6, topics=asked, timeout_ms=10000))
        wanted = (UNKNOWN_ID, INVALID_REQUEST, INVALID_REQUEST, UNKNOWN_TOPIC, UNKNOWN_TOPIC, UNKNOWN_TOPIC)
        assert got == {(a["name"], a["topic_id"]): error for a, error in zip(asked, wanted)}, got
        assert all(messages)


# --- DescribeTopicPartitions ---

def pages(c, topics, limit, cursor=None):
    cursor = cursor and {"topic_name": cursor[0], "partition_index": cursor[1]}
    answer = call(c, "describe_topic_partitions", 0, topics=[{"name": t} for t in topics], response_partition_limit=limit, cursor=cursor)
    following = answer.next_cursor and (answer.next_cursor.topic_name, answer.next_cursor.partition_index)
    return sorted((t.name, t.error_code, len(t.partitions)) for t in answer.topics), following


def cursors_that_cannot_be_are_answered():
    with served("cursors") as c:
        for cursor in (("t", -1), ("zzz", 0), ("a", 0)):
            assert pages(c, ["t"], 3, cursor) == ([("t", INVALID_REQUEST, 0)], None), cursor
            some = pages(c, ["t", "zz", "a b"], 3, cursor)
            assert some == ([("a b", 42, 0), ("t", 42, 0), ("zz", 42, 0)], None), some
        assert pages(c, [], 3, ("t", -1)) == ([], None)
        assert pages(c, [], 3, ("zzz", 0)) == ([], None)
        assert pages(c, [], 3, ("a", 0)) == ([("t", 0, 3)], None)
        assert pages(c, ["t"], 3, ("t", 7)) == ([("t", 0, 0)], None)
        assert pages(c, ["t", "zz", "a b"], 3, ("t", 1)) == ([("t", 0, 2), ("zz", UNKNOWN_TOPIC, 0)], None)


def a_page_has_at_least_one_partition():
    with served("pagelimits") as c:
        for limit in (0, -1, 1, -(1 << 31)):
            assert pages(c, ["t", "t"], limit) == ([("t", 0, 1)], ("t", 1)), limit
        assert pages(c, ["t"], 2) == ([("t", 0, 2)], ("t", 2))
        assert pages(c, ["t"], (1 << 31) - 1) == ([("t", 0, 3)], None)


def names_come_in_order_each_once():
    names = [f"n{(i * 7919) % 5000:04}" for i in range(5000)] + ["t", "t"]
    with served("pagenames") as c:
        answer = call(c, "describe_topic_partitions", 0, topics=[{"name": n} for n in names], response_partition_limit=2)
        got = [t.name for t in answer.topics]
        assert got == sorted(set(names)), f"{len(got)} names: {got[:5]}"


# --- InitProducerId ---

def an_id_without_its_epoch_is_refused():
    with served("halfgiven") as c:
        for version in (3, 4, 5):
            for producer_id, epoch in ((5, -1), (-1, 3), (-2, -1)):
                r = call(c, "init_producer_id", version, transactional_id=None, transaction_timeout_ms=1000, producer_id=producer_id,
                         producer_epoch=epoch)
                assert (r.error_code, r.producer_id, r.producer_epoch) == (INVALID_REQUEST, -1, -1), (version, producer_id, epoch)


# --- Fetch ---

def fetch_t(c, limits, max_bytes, min_bytes, wait_ms=3000):
    """(seconds, [bytes of records by partition])"""
    began = time.monotonic()
    partitions = [{"partition": i, "fetch_offset": 0, "partition_max_bytes": limit} for i, limit in enumerate(limits)]
    r = call(c, "fetch", 11, max_wait_ms=wait_ms, min_bytes=min_bytes, max_bytes=max_bytes, topics=[{"topic": "t", "partitions": partitions}])
    assert not any(p.error_code for t in r.responses for p in t.partitions)
    return time.monotonic() - began, [len(p.records or b"") for t in r.responses for p in t.partitions]


def a_limit_of_zero_gives_the_first_batch_at_once():
    with served("zerolimit") as c:
        records = batch([b"x" * 1000])
        for partition in range(2):
            for _ in range(2):
                assert wait_until(lambda p=partition: produced(c, "t", p, records)[0] == 0, 10)
        one = len(records)
        for limit, max_bytes, min_bytes in ((0, 1 << 20, 1), (0, 1, 1), (0, 1, 5000), (1, 1 << 20, 1), (0, 0, 1)):
            took, got = fetch_t(c, [limit], max_bytes, min_bytes)
            assert took < 2 and got == [one], f"limit {limit}, max {max_bytes}, min {min_bytes}: {got} after {took:.1f} s"
        assert fetch_t(c, [0, 0], 1 << 20, 1)[1] == [one, 0]
        assert fetch_t(c, [0, 1 << 20], 1 << 20, 1)[1] == [one, 2 * one]
        assert fetch_t(c, [1 << 20, 0], 1 << 20, 1)[1] == [2 * one, 0]
        assert fetch_t(c, [(1 << 31) - 1], (1 << 31) - 1, (1 << 31) - 1, wait_ms=100)[1] == [2 * one]


def a_session_knows_topics_that_were_deleted_and_made_anew():
    with served("sessiongone") as c:
        for version in (12, 13, 16):
            name = f"s{version}"
            assert create(c, name).error_code == 0
            topic_id = described(c, name).topic_id
            key = {"topic_id": topic_id} if version >= 13 else {"topic": name}
            asked = [{**key, "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1000}]}]
            with Connection(c.socket.getpeername()[1]) as own:
                assert wait_until(lambda: not call(own, "fetch", version, topics=asked, session_epoch=-1).responses[0].partitions[0].error_code, 10)
                first = call(own, "fetch", version, max_wait_ms=10, min_bytes=1, max_bytes=1000, session_epoch=0, topics=asked)
                assert first.session_id and first.responses[0].partitions[0].error_code == 0

                def following(epoch):
                    r = call(own, "fetch", version, max_wait_ms=10, min_bytes=1, max_bytes=1000, session_id=first.session_id, session_epoch=epoch)
                    return [p.error_code for t in r.responses for p in t.partitions]
                assert following(1) == []
                call(c, "delete_topics", 5, topic_names=[name], timeout_ms=10000)
                assert wait_until(lambda: described(c, name).error_code == UNKNOWN_TOPIC, 10)
                time.sleep(0.2)
                assert following(2) == [UNKNOWN_TOPIC] and following(3) == [UNKNOWN_TOPIC], version
                assert create(c, name).error_code == 0
                time.sleep(0.2)
                again = following(4)
                assert again == ([INCONSISTENT_ID] if version >= 13 else [0]), (version, again)


def a_partition_named_a_hundred_thousand_times_is_one():
    with served("manynames") as c:
        assert wait_until(lambda: produced(c, "t", 0, batch([b"x"]))[0] == 0, 10)
        for version in (4, 11):
            partitions = [{"partition": 0, "fetch_offset": 5, "partition_max_bytes": 1}] * 99999 + [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1}]
            r = call(c, "fetch", version, max_wait_ms=0, min_bytes=1, max_bytes=1 << 20, topics=[{"topic": "t", "partitions": partitions}])
            got = [(p.partition_index, p.error_code, len(p.records or b"") > 0) for t in r.responses for p in t.partitions]
            assert got == [(0, 0, True)], f"{len(got)} partitions, {got[:3]}"


def large_fetches_are_answered_whole_with_and_without_a_session():
    known, asked = 3, 60000
    with served("largefetch") as c:
        partitions = [{"partition": i, "fetch_offset": 0, "partition_max_bytes": 1000} for i in range(asked)]
        for epoch in (-1, 0):
            r = call(c, "fetch", 11, max_wait_ms=1, min_bytes=1, max_bytes=1000, session_epoch=epoch, topics=[{"topic": "t", "partitions": partitions}])
            got = {p.partition_index: p.error_code for t in r.responses for p in t.partitions}
            assert len(got) == asked and all(error == (0 if i < known else UNKNOWN_TOPIC) for i, error in got.items())
        k = call(c, "fetch", 11, max_wait_ms=1, min_bytes=1, max_bytes=1000, session_id=r.session_id, session_epoch=1,
                 forgotten_topics_data=[{"topic": "t", "partitions": list(range(10, asked))}])
        assert r.session_id and sorted(p.partition_index for t in k.responses for p in t.partitions) == list(range(3, 10)), k.error_code


# --- what may be done ---

def operations_are_told_where_they_are_asked_for():
    with served("operations") as c:
        for asked in (True, False):
            options = {"include_cluster_authorized_operations": asked, "include_topic_authorized_operations": asked}
            cluster, topic = (CLUSTER_OPERATIONS, TOPIC_OPERATIONS) if asked else (NOT_ASKED, NOT_ASKED)
            for version in (8, 9, 10):
                r = call(c, "metadata", version, topics=[{"name": "t"}, {"name": "no"}], allow_auto_topic_creation=False, **options)
                assert r.cluster_authorized_operations == cluster
                assert [t.topic_authorized_operations for t in r.topics] == [topic, topic], version
            for version in (0, 1, 2):
                r = call(c, "describe_cluster", version, include_cluster_authorized_operations=asked)
                assert r.cluster_authorized_operations == cluster
        r = call(c, "describe_topic_partitions", 0, topics=[{"name": "t"}, {"name": "no"}])
        assert [t.topic_authorized_operations for t in r.topics] == [TOPIC_OPERATIONS] * 2


# --- CreateTopics, names ---

def of_a_setting_named_twice_the_last_one_counts():
    with served("settingtwice") as c:
        made = create(c, "twice", configs=[("retention.ms", "1000"), ("segment.bytes", "2000000"), ("retention.ms", "2000")])
        assert made.error_code == 0
        values = {x.name: x.value for x in made.configs}
        assert values["retention.ms"] == "2000" and values["segment.bytes"] == "2000000", values
        assert create(c, "bad", configs=[("retention.ms", "no number"), ("retention.ms", "5")]).error_code == 0
        assert create(c, "worse", configs=[("retention.ms", "5"), ("retention.ms", "no number")]).error_code == 40


def the_name_of_the_clusters_metadata_is_no_topic():
    name = "__cluster_metadata"
    with served("metadataname") as c:
        for options in ({}, {"validate_only": True}):
            refused = create(c, name, **options)
            assert refused.error_code == INVALID_REQUEST and refused.error_message, refused
        for version in (1, 4, 9, 12):
            r = call(c, "metadata", version, topics=[{"name": name}], allow_auto_topic_creation=True)
            assert [(t.name, t.error_code) for t in r.topics] == [(name, UNKNOWN_TOPIC)], r.topics
        assert produced(c, name, 0, batch([b"x"]))[0] == UNKNOWN_TOPIC


def a_topic_that_is_only_validated_is_told_an_id_that_none_has():
    with served("validated") as c:
        told = [create(c, "other", validate_only=True).topic_id for _ in range(2)]
        made = create(c, "other").topic_id
        assert NO_ID not in told and len({*told, made}) == 3, (told, made)


# --- bytes ---

def unknown_tags_are_passed_over():
    with served("tags") as c:
        for count in (1, 64, 65, 1000):
            tags = uvarint(count) + b"".join(uvarint(1000 + i) + uvarint(1) + b"x" for i in range(count))
            raw = i16(3) + i16(12) + i32(7) + string("test") + b"\0" + uvarint(0) + b"\0\0" + tags
            c.send(i32(len(raw)) + raw)
            assert c.reply()[0] == 7, count


CASES = (
    a_topic_named_twice_is_answered_once_and_not_deleted, what_cannot_be_deleted_is_refused_with_a_message,
    cursors_that_cannot_be_are_answered, a_page_has_at_least_one_partition, names_come_in_order_each_once,
    an_id_without_its_epoch_is_refused, a_limit_of_zero_gives_the_first_batch_at_once,
    a_partition_named_a_hundred_thousand_times_is_one, large_fetches_are_answered_whole_with_and_without_a_session,
    a_session_knows_topics_that_were_deleted_and_made_anew, operations_are_told_where_they_are_asked_for,
    of_a_setting_named_twice_the_last_one_counts, the_name_of_the_clusters_metadata_is_no_topic,
    a_topic_that_is_only_validated_is_told_an_id_that_none_has, unknown_tags_are_passed_over,
)
