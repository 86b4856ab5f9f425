"""A kafka-python chain: consumes as a member of a group, produces, and commits both in one transaction.

    kafka_python_chain.py fill BROKER IN OUT COUNT         makes the topics, and puts the numbers 0 .. COUNT-1 into IN
    kafka_python_chain.py chain BROKER IN OUT GROUP ID     moves them to OUT until it is ended; ID: of its transactions
    kafka_python_chain.py read BROKER OUT COUNT            prints what is committed in OUT, a number a line, COUNT of them or more

A chain that meets an error aborts, and goes on where the group has committed; one whose transactions cannot go on begins anew, as a new
process would.
"""
import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.structs import OffsetAndMetadata

PARTITIONS, BATCH, WAIT_S, ABORTS = 4, 8, 90, 7  # every seventh transaction is aborted on purpose


def fill(broker, source, target, count):
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(t, PARTITIONS, 1) for t in (source, target)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=broker, acks="all")
    for i in range(int(count)):
        producer.send(source, partition=i % PARTITIONS, value=b"%d" % i)
    producer.flush(WAIT_S)


def rewind(consumer):
    for p in consumer.assignment():
        committed = consumer.committed(p)
        if committed is None:
            consumer.seek_to_beginning(p)
        else:
            consumer.seek(p, committed)


def move(consumer, producer, target, records, aborts):
    offsets = {p: OffsetAndMetadata(batch[-1].offset + 1, "", -1) for p, batch in records.items()}
    producer.begin_transaction()
    for batch in records.values():
        for r in batch:
            producer.send(target, partition=r.partition, value=r.value)
    producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
    if aborts:
        producer.abort_transaction()
        rewind(consumer)
    else:
        producer.commit_transaction()


def run(broker, source, target, group, ident):
    consumer = KafkaConsumer(source, bootstrap_servers=broker, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
                             isolation_level="read_committed", session_timeout_ms=6000, heartbeat_interval_ms=500, max_poll_records=BATCH)
    producer = KafkaProducer(bootstrap_servers=broker, transactional_id=ident, transaction_timeout_ms=10000, acks="all")
    try:
        producer.init_transactions()
        moved = 0
        while True:
            records = consumer.poll(timeout_ms=300)
            if records:
                moved += 1
                move(consumer, producer, target, records, moved % ABORTS == 0)
                print(f"{ident}: moved {len(records)}", file=sys.stderr, flush=True)
    finally:
        producer.close(timeout=1)
        consumer.close(autocommit=False)


def chain(*arguments):
    while True:
        try:
            run(*arguments)
        except Exception as why:
            print(f"{arguments[-1]}: {type(why).__name__}: {why}", file=sys.stderr, flush=True)
            time.sleep(0.3)


def read(broker, target, count):
    consumer = KafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False, isolation_level="read_committed")
    parts = [TopicPartition(target, p) for p in range(PARTITIONS)]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    found, quiet = [], time.monotonic() + 5
    while time.monotonic() < quiet or (len(found) < int(count) and time.monotonic() < quiet + WAIT_S):
        for batch in consumer.poll(timeout_ms=300).values():
            found += [r.value for r in batch]
            quiet = time.monotonic() + 3  # what is there twice comes, too
    print("\n".join(v.decode() for v in found))


if __name__ == "__main__":
    {"fill": fill, "chain": chain, "read": read}[sys.argv[1]](*sys.argv[2:])
