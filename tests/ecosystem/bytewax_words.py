"""Counts the keys of the topic "bytewax-words" into "bytewax-counts". Run by bytewax.run, which takes `flow`; ADDRESS is in the environment."""
import os

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from confluent_kafka import OFFSET_BEGINNING

brokers = [os.environ["ADDRESS"]]
flow = Dataflow("count")
words = op.input("words", flow, KafkaSource(brokers, ["bytewax-words"], starting_offset=OFFSET_BEGINNING))
keyed = op.map("keyed", words, lambda message: (message.key.decode(), 1))
counted = op.stateful_map("counted", keyed, lambda seen, _: ((seen or 0) + 1, (seen or 0) + 1))
messages = op.map("messages", counted, lambda count: KafkaSinkMessage(key=count[0].encode(), value=str(count[1]).encode()))
op.output("counts", messages, KafkaSink(brokers, "bytewax-counts"))
