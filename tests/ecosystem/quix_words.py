"""Counts words of the topic "quix-words" into "quix-counts" exactly once: quix_words.py ADDRESS STATE-FOLDER. Runs in a Python with quixstreams."""
import sys

from quixstreams import Application

app = Application(broker_address=sys.argv[1], consumer_group="quix", processing_guarantee="exactly-once", auto_offset_reset="earliest",
                  state_dir=sys.argv[2], commit_interval=0.2, consumer_extra_config={"session.timeout.ms": 6000},
                  topic_create_timeout=30, loglevel="WARNING")
words = app.topic("quix-words", value_deserializer="str", key_deserializer="str")
counts = app.topic("quix-counts", value_serializer="str", key_serializer="str")


def count(_, state):
    seen = state.get("seen", 0) + 1
    state.set("seen", seen)
    return str(seen)


app.dataframe(words).apply(count, stateful=True).to_topic(counts)
app.run()
