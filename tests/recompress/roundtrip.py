"""Writes records with kafka-python to topics of every codec, in every codec, and reads them back.

    roundtrip.py BROKER COUNT TOPIC=CODEC=COMPRESSION_TYPE ...

Each topic gets COUNT records, the same ones, from an idempotent producer. Prints `compared N`, or why not, and 1.
"""
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

WAIT_S = 60
TIME = 1700000000000


def key_of(i):
    return None if i % 10 == 3 else b"" if i % 10 == 4 else b"key-%d" % i


def value_of(i):
    return None if i % 100 == 7 else (b"%d \xff\x01 record " % i) * (5 + i * 37 % 40)


def headers_of(i):
    return [(f"h{n}", b"" if n else b"value") for n in range(i % 3)]


def time_of(i):
    return TIME + i * 7919 % 1000


def write(broker, topic, codec, count):
    producer = KafkaProducer(bootstrap_servers=broker, compression_type=None if codec == "none" else codec, enable_idempotence=True,
                             acks="all", linger_ms=5, batch_size=16384)
    sent = [producer.send(topic, partition=0, key=key_of(i), value=value_of(i), headers=headers_of(i), timestamp_ms=time_of(i))
            for i in range(count)]
    producer.flush(WAIT_S)
    for i, future in enumerate(sent):
        if future.get(WAIT_S).offset != i:
            sys.exit(f"{topic}: record {i} was acked at {future.get(1).offset}")
    producer.close()


def compare(topic, i, r):
    have = (r.offset, r.key, r.value, list(r.headers), r.timestamp, r.timestamp_type)
    want = (i, key_of(i), value_of(i), headers_of(i), time_of(i), 0)
    if have != want:
        sys.exit(f"{topic}: record {i} is {have!r:.300} instead of {want!r:.300}")


def read(broker, topics, count):
    consumer = KafkaConsumer(bootstrap_servers=broker, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest",
                             check_crcs=True, consumer_timeout_ms=WAIT_S * 1000)
    partitions = [TopicPartition(topic, 0) for topic in topics]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    following, compared = dict.fromkeys(topics, 0), 0
    for record in consumer:
        compare(record.topic, following[record.topic], record)
        following[record.topic] += 1
        compared += 1
        if compared == count * len(topics):
            break
    consumer.close()
    return compared


def main():
    broker, count, asked = sys.argv[1], int(sys.argv[2]), [a.split("=") for a in sys.argv[3:]]
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"compression.type": kept}) for topic, _, kept in asked])
    admin.close()
    for topic, codec, _ in asked:
        write(broker, topic, codec, count)
    print(f"compared {read(broker, [topic for topic, _, _ in asked], count)}")


main()
