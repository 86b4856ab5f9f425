"""Writes the story of streams_story.py, from START on (ms). Runs in the tests' own Python (kafka-python).

    streams_events.py tables ADDRESS START VERSION       who is in which team, what teams are called, a note for some
    streams_events.py events ADDRESS START FIRST COUNT   views and clicks
    streams_events.py end ADDRESS START                  what closes every window
"""
import sys

from kafka import KafkaProducer

from streams_story import *


def producer_to(address):
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=5)
    return producer, lambda topic, key, value, at: producer.send(topic, str(value).encode(), key.encode(), timestamp_ms=at)


def tables(address, start, version):
    producer, send = producer_to(address)
    at, version = int(start) + int(version), int(version)
    for n in range(USERS):
        if version == 0:
            send("users", user(n), f"user{n}", at)
        send("members", user(n), team_of(n, version), at)
        if n % 2:
            send("notes", user(n), f"note{version}", at)
    for k in range(TEAMS):
        send("teams", f"t{k}", team_name(k, version), at)
    producer.flush()


def events(address, start, first, count):
    producer, send = producer_to(address)
    for i in range(int(first), int(first) + int(count)):
        for topic, at in (("views", view_at(i)), ("clicks", click_at(i))):
            if at is not None:
                send(topic, user(i), i, int(start) + at)
    producer.flush()


def end(address, start):
    producer, send = producer_to(address)
    for n in range(USERS):
        for topic in ("views", "clicks"):
            send(topic, user(n), "end", int(start) + HOURS_AGO * 3600_000)
    producer.flush()


if __name__ == "__main__":
    {"tables": tables, "events": events, "end": end}[sys.argv[1]](*sys.argv[2:])
