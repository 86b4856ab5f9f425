"""What the cases say to the broker. Runs in the tests' own Python (kafka-python).

    client.py words ADDRESS COUNT FIRST     lines to count: line i holds the words w(i % 50) and "all"
    client.py counts ADDRESS FILE           the last count of each word
    client.py gaps ADDRESS TOPIC            records and offsets of a topic, over its partitions: compacted ones have fewer records
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


def each_record(address, name):
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    for partition in sorted(consumer.partitions_for_topic(name) or ()):
        tp = TopicPartition(name, partition)
        consumer.assign([tp])
        consumer.seek_to_beginning(tp)
        end = consumer.end_offsets([tp])[tp]
        while consumer.position(tp) < end:
            for record in consumer.poll(timeout_ms=500, max_records=5000).get(tp, []):
                yield record, end


def counts(address, path):
    found = {record.key.decode(): int.from_bytes(record.value, "big") for record, _ in each_record(address, "counts")}
    with open(path, "w", encoding="ascii") as file:
        json.dump(found, file)


def gaps(address, name):
    ends, records = {}, 0
    for record, end in each_record(address, name):
        records += 1
        ends[record.partition] = end
    print(records, sum(ends.values()))


if __name__ == "__main__":
    {"words": words, "counts": counts, "gaps": gaps, "topic": topic}[sys.argv[1]](*sys.argv[2:])
