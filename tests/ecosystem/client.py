"""What the cases say to the broker. Runs in the tests' own Python (kafka-python).

    client.py words ADDRESS COUNT FIRST     lines to count: line i holds the words w(i % 50) and "all"
    client.py counts ADDRESS FILE           the counts of each word in their order, as a reader of committed records is given them
    client.py values ADDRESS TOPIC FILE     what a reader of committed records is given of a topic of one partition
    client.py keyed ADDRESS TOPIC COUNT KEYS records whose keys are w0, w1, ...
    client.py texts ADDRESS TOPIC FILE      the values of each key in their order, as a reader of committed records is given them
    client.py gaps ADDRESS TOPIC            records and offsets of a topic, over its partitions: compacted ones have fewer records
    client.py repeat ADDRESS TOPIC COUNT    the first record of a topic's first partition, again and again
    client.py topic ADDRESS NAME PARTITIONS
"""
import json
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

WORDS = 50


def topic(address, name, partitions):
    KafkaAdminClient(bootstrap_servers=address).create_topics([NewTopic(name, int(partitions), 1)])


def words(address, count, first):
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=5)
    for i in range(int(first), int(first) + int(count)):
        producer.send("words", f"w{i % WORDS} all".encode(), key=str(i).encode())
    producer.flush()


def each_record(address, name, isolation="read_uncommitted"):
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, isolation_level=isolation)
    for partition in sorted(consumer.partitions_for_topic(name) or ()):
        tp = TopicPartition(name, partition)
        consumer.assign([tp])
        consumer.seek_to_beginning(tp)
        end = consumer.end_offsets([tp])[tp]
        while consumer.position(tp) < end:
            for record in consumer.poll(timeout_ms=500, max_records=5000).get(tp, []):
                yield record, end


def counts(address, path):
    found = {}
    for record, _ in each_record(address, "counts", "read_committed"):
        found.setdefault(record.key.decode(), []).append(int.from_bytes(record.value, "big"))
    with open(path, "w", encoding="ascii") as file:
        json.dump(found, file)


def values(address, name, path):
    with open(path, "w", encoding="ascii") as file:
        json.dump([record.value.decode() for record, _ in each_record(address, name, "read_committed")], file)


def keyed(address, name, count, keys):
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=5)
    for i in range(int(count)):
        producer.send(name, b"x", key=f"w{i % int(keys)}".encode())
    producer.flush()


def repeat(address, name, count):
    first, _ = next(each_record(address, name))
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=5)
    for _ in range(int(count)):
        producer.send(name, first.value, first.key, first.headers, partition=0)
    producer.flush()


def texts(address, name, path):
    found = {}
    for record, _ in each_record(address, name, "read_committed"):
        found.setdefault(record.key.decode(), []).append(record.value.decode())
    with open(path, "w", encoding="ascii") as file:
        json.dump(found, file)


def gaps(address, name):
    ends, records = {}, 0
    for record, end in each_record(address, name):
        records += 1
        ends[record.partition] = end
    print(records, sum(ends.values()))


if __name__ == "__main__":
    {"words": words, "counts": counts, "values": values, "keyed": keyed, "texts": texts, "gaps": gaps, "repeat": repeat, "topic": topic}[sys.argv[1]](*sys.argv[2:])
