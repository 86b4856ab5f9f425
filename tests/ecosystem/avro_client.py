"""Readings in Avro through the registry's Confluent-compatible side. Runs in a Python with confluent-kafka.

    avro_client.py evolve REGISTRY FILE           registers, alters and deletes subjects, and writes what they are afterwards
    avro_client.py state REGISTRY FILE            what they are
    avro_client.py refused REGISTRY               a schema that breaks the subject's compatibility is refused; the same one again gets its old id
    avro_client.py write ADDRESS REGISTRY TOPIC COUNT
    avro_client.py read ADDRESS REGISTRY TOPIC COUNT
"""
import json
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

SUBJECTS, VERSIONS = 20, 3


def schema(fields, name="Evolving"):
    """A record of so many fields, all but the first with a default."""
    rows = [{"name": "n", "type": "int"}, *({"name": f"more{i}", "type": "string", "default": ""} for i in range(1, fields))]
    return Schema(json.dumps({"type": "record", "name": name, "fields": rows}), "AVRO")


def reading():
    fields = [{"name": "n", "type": "int"}, {"name": "place", "type": "string"}]
    return json.dumps({"type": "record", "name": "Reading", "fields": fields})


def registry(url):
    return SchemaRegistryClient({"url": f"{url}/apis/ccompat/v7"})


def evolve(url, path):
    client = registry(url)
    for n in range(SUBJECTS):
        name = f"evolving-{n}-value"
        for version in range(VERSIONS):
            client.register_schema(name, schema(version + 1, f"Evolving{n}"))
        for level in ("NONE", "FULL", "BACKWARD"):
            client.set_compatibility(name, level)
    for n in range(0, SUBJECTS, 5):
        client.delete_subject(f"evolving-{n}-value")
    state(url, path)


def state(url, path):
    client = registry(url)
    found = {}
    for name in sorted(client.get_subjects()):
        versions = [client.get_version(name, version) for version in client.get_versions(name)]
        found[name] = [[v.version, v.schema_id, v.schema.schema_str] for v in versions]
        if name.startswith("evolving"):
            found[name].append(client.get_compatibility(name))
    with open(path, "w", encoding="ascii") as file:
        json.dump(found, file)


def refused(url):
    client, name = registry(url), "evolving-1-value"
    old = client.get_version(name, 2).schema_id
    assert client.register_schema(name, schema(2, "Evolving1")) == old, "the same schema has another id"
    broken = json.dumps({"type": "record", "name": "Evolving1", "fields": [{"name": "n", "type": {"type": "array", "items": "int"}}]})
    try:
        client.register_schema(name, Schema(broken, "AVRO"))
    except SchemaRegistryError as error:
        assert error.http_status_code == 409, error
    else:
        raise AssertionError("a schema that breaks BACKWARD was taken")


def write(address, url, topic, count):
    serialize = AvroSerializer(registry(url), reading())
    producer = Producer({"bootstrap.servers": address})
    for i in range(int(count)):
        value = serialize({"n": i, "place": f"place {i}"}, SerializationContext(topic, MessageField.VALUE))
        producer.produce(topic, value, str(i))
    assert producer.flush(30) == 0


def read(address, url, topic, count):
    deserialize = AvroDeserializer(registry(url))
    consumer = Consumer({"bootstrap.servers": address, "group.id": "avro", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    for i in range(int(count)):
        record = consumer.poll(30)
        assert record and not record.error(), record and record.error()
        value = deserialize(record.value(), SerializationContext(topic, MessageField.VALUE))
        assert value == {"n": i, "place": f"place {i}"}, f"reading {i} is {value}"
    consumer.close()


if __name__ == "__main__":
    {"evolve": evolve, "state": state, "refused": refused, "write": write, "read": read}[sys.argv[1]](*sys.argv[2:])
