"""Three consumers of one group and a producer, until its input ends; each line of input is answered with what was seen so far.

    crowd.py BROKER TOPIC GROUP

The topic has three partitions. Answers are JSON: assignments (how often anybody got partitions), failed (what sends came to), sent, read,
twice (records that were read more than once).
"""
import json
import logging
import sys
import threading
import time

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer

logging.disable(logging.CRITICAL)
BROKER, TOPIC, GROUP = sys.argv[1:]
MEMBERS, EVERY_S = 3, 0.05
lock, ended = threading.Lock(), threading.Event()
seen = {"assignments": 0, "failed": [], "sent": 0, "twice": 0}
values = set()


class Listener(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        with lock:
            seen["assignments"] += bool(assigned)


def consume():
    consumer = KafkaConsumer(bootstrap_servers=BROKER, group_id=GROUP, session_timeout_ms=6000, heartbeat_interval_ms=500, auto_commit_interval_ms=200,
                             auto_offset_reset="earliest", request_timeout_ms=15000)
    consumer.subscribe([TOPIC], listener=Listener())
    while not ended.is_set():
        for records in consumer.poll(timeout_ms=100).values():
            with lock:
                for r in records:
                    seen["twice"] += r.value in values
                    values.add(r.value)
    consumer.close()


def produce():
    producer = KafkaProducer(bootstrap_servers=BROKER, acks="all", retries=20)
    at = 0
    while not ended.wait(EVERY_S):
        try:
            producer.send(TOPIC, b"%d" % at, partition=at % 3).get(30)
            with lock:
                seen["sent"] += 1
        except Exception as why:
            with lock:
                seen["failed"].append(type(why).__name__)
        at += 1
    producer.close()


def main():
    threads = [threading.Thread(target=consume, daemon=True) for _ in range(MEMBERS)]
    threads.append(threading.Thread(target=produce, daemon=True))
    for t in threads:
        t.start()
    for _ in sys.stdin:
        with lock:
            print(json.dumps({**seen, "failed": sorted(set(seen["failed"])), "read": len(values)}), flush=True)
    ended.set()
    for t in threads:
        t.join(10)


main()
