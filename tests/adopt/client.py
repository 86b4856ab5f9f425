"""What an adoption has to carry over, written to a broker, and all of it read back. Runs in the tests' own Python (kafka-python).

    client.py fill ADDRESS          topics with every codec, headers, keys, a compacted one, a moved log start, committed offsets
    client.py transactions ADDRESS  topics with transactions that were aborted, committed, several at once, and one that stays open
    client.py end ADDRESS           who had the open one begins anew, which aborts it, and commits another
    client.py read ADDRESS FILE [LEVEL]  every record of every topic, a line each, and the committed offsets
    client.py append ADDRESS        a few more records to each topic of `fill`
    client.py shrink ADDRESS        retention and compaction have something to take
    client.py caching ADDRESS       a topic with a setting that only Odradek knows
    client.py configs ADDRESS FILE  the settings that topics have of their own
"""
import hashlib
import json
import os
import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import RetriableError
from kafka.structs import OffsetAndMetadata

CODECS = (None, "gzip", "snappy", "lz4", "zstd")
PARTITIONS = 2
GROUP = "readers"
BIG = {"segment.bytes": "1048576"}  # Kafka 4 takes no smaller ones


def value_of(topic, i, size=9000):
    seed = hashlib.sha256(f"{topic}/{i}".encode()).digest()
    return (seed * (size // 64) + seed.hex().encode() * (size // 128))[:size]


def create(address, topics):
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(name, n, 1, topic_configs=configs) for name, n, configs in topics])
    return admin


def send(address, topic, count, first=0, codec=None, partitions=PARTITIONS, key=lambda i: f"k{i}".encode(), **options):
    producer = KafkaProducer(bootstrap_servers=address, compression_type=codec, linger_ms=20, batch_size=60000, **options)
    for i in range(first, first + count):
        headers = [("n", str(i).encode()), ("empty", b"")] if i % 3 == 0 else []
        producer.send(topic, value_of(topic, i), key(i), headers=headers, partition=i % partitions,
                      timestamp_ms=1_700_000_000_000 + 1000 * i)
    producer.flush()
    producer.close()


def fill(address):
    topics = [(f"codec-{codec or 'none'}", PARTITIONS, BIG) for codec in CODECS]
    topics += [("moved", 1, BIG), ("empty", 3, {"retention.ms": "86400000", "max.message.bytes": "2000000"}),
               ("compacted", 1, {**BIG, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01",
                                 "segment.ms": "1000"})]
    admin = create(address, topics)
    for codec in CODECS:
        send(address, f"codec-{codec or 'none'}", 500, codec=codec, enable_idempotence=codec != "gzip")
    send(address, "moved", 300, partitions=1)
    admin.delete_records({TopicPartition("moved", 0): 170})
    for round in range(3):
        send(address, "compacted", 200, first=200 * round, partitions=1, key=lambda i: f"k{i % 30}".encode(),
             codec=CODECS[round])
        time.sleep(1.2)  # segment.ms
    send(address, "compacted", 2, first=600, partitions=1)
    consumer = KafkaConsumer(bootstrap_servers=address, group_id=GROUP)
    consumer.commit({TopicPartition("codec-none", 0): OffsetAndMetadata(17, "a note", -1),
                     TopicPartition("moved", 0): OffsetAndMetadata(200, "", -1)})
    consumer.close()


def begun(address, name, timeout_ms=600000):
    producer = KafkaProducer(bootstrap_servers=address, transactional_id=f"id-{name}", transaction_timeout_ms=timeout_ms)
    producer.init_transactions()
    producer.begin_transaction()
    return producer


def put(producer, topic, first, count):
    for i in range(first, first + count):
        producer.send(topic, value_of(topic, i, 9000), partition=0)
    producer.flush()


def transactions(address):
    create(address, [("aborted", 1, {}), ("committed", 1, {}), ("mixed", 1, BIG), ("beside", 1, {}), ("open", 1, {})])
    for topic, end in (("aborted", "abort_transaction"), ("committed", "commit_transaction")):
        producer = begun(address, topic)
        put(producer, topic, 0, 5)
        getattr(producer, end)()
        producer.close()
    many = [begun(address, f"mixed-{i}") for i in range(3)]
    for i in range(100):  # several segments; each begins anew while the others go on
        put(many[i % 3], "mixed", 5 * i, 5)
        if i % 4 == 3:
            (many[i % 3].abort_transaction if i % 8 == 3 else many[i % 3].commit_transaction)()
            many[i % 3].begin_transaction()
    for i, producer in enumerate(many):
        producer.commit_transaction() if i else producer.abort_transaction()
        producer.close()
    send(address, "beside", 10, partitions=1)
    producer = begun(address, "open")
    put(producer, "open", 0, 5)
    producer.commit_transaction()
    producer.begin_transaction()
    put(producer, "open", 5, 5)
    send(address, "open", 5, first=10, partitions=1)
    os._exit(0)  # without ending it


def end(address):
    producer = begun(address, "open")
    put(producer, "open", 20, 5)
    producer.commit_transaction()
    producer.close()


def append(address):
    for codec in CODECS:
        send(address, f"codec-{codec or 'none'}", 20, first=10000, codec=codec)
    send(address, "moved", 20, first=10000, partitions=1)
    send(address, "compacted", 20, first=10000, partitions=1)


def shrink(address):
    """Retention takes what is closed of one topic; another gets a segment more to compact."""
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "codec-gzip", configs={"retention.ms": "1000"})])
    time.sleep(1.2)  # segment.ms of the compacted one
    send(address, "compacted", 1, first=20000, partitions=1)
    consumer = KafkaConsumer(bootstrap_servers=address)
    parts = [TopicPartition("codec-gzip", partition) for partition in range(PARTITIONS)]
    until = time.monotonic() + 30
    while min(consumer.beginning_offsets(parts).values()) == 0:
        assert time.monotonic() < until, "retention drops nothing"
        time.sleep(0.2)


def read_partition(consumer, tp, out):
    consumer.assign([tp])
    consumer.seek_to_beginning(tp)
    begin, end, until = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp], time.monotonic() + 60
    out.append(json.dumps([tp.topic, tp.partition, "from", begin, "to", end]))
    while consumer.position(tp) < end:
        assert time.monotonic() < until, f"{tp} stays at {consumer.position(tp)} of {end}"
        for r in consumer.poll(timeout_ms=500, max_records=5000).get(tp, []):
            value = r.value if r.value is None else hashlib.sha256(r.value).hexdigest()
            headers = [(k, v if v is None else v.hex()) for k, v in r.headers]
            out.append(json.dumps([r.topic, r.partition, r.offset, r.timestamp, r.timestamp_type,
                                   r.key if r.key is None else r.key.hex(), value, headers]))


def committed(address):
    """{partition: offset and metadata} of the group; a coordinator may still have to be made."""
    for _ in range(20):
        try:
            offsets = KafkaAdminClient(bootstrap_servers=address).list_group_offsets(GROUP)
        except RetriableError:
            time.sleep(0.5)
            continue
        while isinstance(offsets, dict) and GROUP in offsets:
            offsets = offsets[GROUP]
        return offsets
    raise AssertionError("no coordinator")


def read(address, path, level="read_uncommitted"):
    consumer = KafkaConsumer(bootstrap_servers=address, fetch_max_bytes=8 << 20, enable_auto_commit=False, isolation_level=level)
    out = []
    for topic in sorted(consumer.topics()):
        for partition in sorted(consumer.partitions_for_topic(topic)):
            read_partition(consumer, TopicPartition(topic, partition), out)
    offsets = committed(address)
    out += sorted(json.dumps(["offset", tp.topic, tp.partition, o.offset, o.metadata]) for tp, o in offsets.items())
    with open(path, "w", encoding="ascii") as file:
        file.writelines(line + "\n" for line in out)


def configs(address, path):
    """The settings of each topic that are its own."""
    admin = KafkaAdminClient(bootstrap_servers=address)
    names = sorted(t for t in admin.list_topics() if not t.startswith("__") and "mm2" not in t)
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names], config_filter="modified")
    with open(path, "w", encoding="ascii") as file:
        json.dump(found, file, default=str, sort_keys=True)


def caching(address):
    create(address, [("cached", 1, {"write.caching": "true", "retention.ms": "315360000000"})])
    send(address, "cached", 50, partitions=1)


if __name__ == "__main__":
    {"fill": fill, "transactions": transactions, "end": end, "read": read, "append": append, "shrink": shrink, "configs": configs, "caching": caching}[sys.argv[1]](*sys.argv[2:])
