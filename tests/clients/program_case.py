"""Clients that are programs of their own: librdkafka in C, and kafka-python.

Both take BROKER TOPIC CODEC COUNT IDEMPOTENT, compare every record themselves and print `compared N`.
"""
from harness import run, tail
from settings import CODECS, COUNT, WORK
from stored import check_stored
from tools import compiled, venv_python

SOURCE = "tests/clients/rdkafka_roundtrip.c"
SCRIPT = "tests/clients/kafka_python_roundtrip.py"
BOTH = [(codec, idempotent) for codec in CODECS for idempotent in ("false", "true")]


def roundtrip(broker, command, topic, codec, idempotent):
    assert broker.running(), "the broker is gone"
    code, out, err = run([*command, broker.address, topic, codec, str(COUNT), idempotent], timeout=240)
    assert code == 0, tail(err) or tail(out)
    assert out.decode().strip() == f"compared {COUNT}" and COUNT > 0, tail(out)


def kind(idempotent):
    return "idempotent" if idempotent == "true" else "plain"


def run_program(report, broker, name, command, cases):
    topics = {(codec, idem): f"{name}-{codec}-{kind(idem)}" for codec, idem in cases}
    broker.start()
    for (codec, idem), topic in topics.items():
        report.case(f"{name} reads back {COUNT} records of codec {codec} as its {kind(idem)} producer wrote them",
                    roundtrip, broker, command, topic, codec, idem)
    report.case(f"the broker stops cleanly after {name}", broker.stop)
    for (codec, idem), topic in topics.items():
        report.case(f"{name}'s {codec} batches of the {kind(idem)} producer are stored with codec {codec}",
                    check_stored, broker, topic, codec, COUNT, idem == "true")


def run_rdkafka(report, broker):
    run_program(report, broker, "librdkafka", [compiled(SOURCE, "librdkafka/rdkafka.h", "rdkafka", WORK)], BOTH)


def run_kafka_python(report, broker):
    cases = [(codec, "true") for codec in CODECS] + [("gzip", "false")]
    run_program(report, broker, "kafka-python", [venv_python(), SCRIPT], cases)
