"""A kafka-python client that writes records, reads them back and compares them byte for byte.

    kafka_python_roundtrip.py BROKER TOPIC CODEC COUNT IDEMPOTENT

It creates TOPIC with PARTITIONS partitions, produces COUNT records, record i to partition i % PARTITIONS, checks the
offset of each delivery (i / PARTITIONS), then assigns itself all partitions (no group) and reads to their ends. Key,
value, headers and timestamp of record i are a function of i, with nulls, empties and zero bytes among them.

Prints `compared N` and exits 0 when all was as it should be; else the reason and 1.
"""
import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

PARTITIONS = 2
WAIT_S = 120
FIRST_TIMESTAMP = int(time.time() * 1000) - 3600000


def key_of(i):
    return None if i % 10 == 3 else b"" if i % 10 == 4 else b"key-%d\0" % i


def value_of(i):
    if i % 1000 == 7:
        return None
    return b"" if i % 1000 == 8 else (b"%d \r\n\xff\x01 record\0" % i) * (5 + i * 37 % 10)


def headers_of(i):
    return [(f"h{n}-{i % 7}", b"" if n else b"header\0value") for n in range(i % 3)]


def timestamp_of(i):
    return FIRST_TIMESTAMP + i * 7919 % 100000


def create_topic(broker, topic):
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    admin.close()


def produce(broker, topic, codec, count, idempotent):
    producer = KafkaProducer(bootstrap_servers=broker, compression_type=codec, enable_idempotence=idempotent,
                             acks="all", linger_ms=5, batch_size=65536, retries=5)
    futures = [producer.send(topic, partition=i % PARTITIONS, key=key_of(i), value=value_of(i),
                             headers=headers_of(i), timestamp_ms=timestamp_of(i)) for i in range(count)]
    producer.flush(WAIT_S)
    for i, future in enumerate(futures):
        acked = future.get(WAIT_S)
        if (acked.partition, acked.offset) != (i % PARTITIONS, i // PARTITIONS):
            sys.exit(f"record {i} was acked at {acked.partition}/{acked.offset}")
    producer.close()


def compare(i, record):
    have = (record.key, record.value, list(record.headers), record.timestamp, record.timestamp_type)
    want = (key_of(i), value_of(i), headers_of(i), timestamp_of(i), 0)
    for name, one, other in zip(("key", "value", "headers", "timestamp", "timestamp type"), have, want):
        if one != other:
            sys.exit(f"record {i}: {name} is {one!r:.100} instead of {other!r:.100}")


def consume(broker, topic, count):
    consumer = KafkaConsumer(bootstrap_servers=broker, group_id=None, enable_auto_commit=False,
                             auto_offset_reset="earliest", check_crcs=True, consumer_timeout_ms=WAIT_S * 1000)
    partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    if sum(ends.values()) != count:
        sys.exit(f"the ends are {ends}, not {count} in all")
    following = dict.fromkeys(range(PARTITIONS), 0)
    compared = 0
    for record in consumer:
        if record.offset != following[record.partition]:
            sys.exit(f"read {record.partition}/{record.offset} instead of {following[record.partition]}")
        following[record.partition] += 1
        compare(record.offset * PARTITIONS + record.partition, record)
        compared += 1
        if compared == count:
            break
    consumer.close()
    return compared


def main():
    broker, topic, codec, count, idempotent = sys.argv[1:]
    create_topic(broker, topic)
    produce(broker, topic, None if codec == "none" else codec, int(count), idempotent == "true")
    print(f"compared {consume(broker, topic, int(count))}")


main()
