"""The catalog's files lost and damaged, after a clean stop and after kill -9: one file is survived, more are a sentence."""
import os
import shutil

from contents import batch_of
from foreign import snapshot
from harness import Broker, wait_until
from wire import *
from world import WORK, settings

FILES = ("catalog", "catalog.copy", "catalog.end", ".clean")
TOPICS = ("first", "second", "third")


def cut(path, keep):
    with open(path, "r+b") as file:
        file.truncate(keep if keep >= 0 else os.path.getsize(path) + keep)


def turn_bit(path, at):
    with open(path, "r+b") as file:
        raw = bytearray(file.read())
        raw[at] ^= 4
        file.seek(0)
        file.write(raw)


DAMAGE = {"missing": os.remove, "empty": lambda path: cut(path, 0), "cut in its header": lambda path: cut(path, 7),
          "cut by a byte": lambda path: cut(path, -1), "cut in half": lambda path: cut(path, os.path.getsize(path) // 2),
          "with a bit of its last record turned": lambda path: turn_bit(path, -9),
          "with a bit of its first record turned": lambda path: turn_bit(path, 30)}


def made(how):
    """A broker that was stopped or killed, with three topics; its folder is copied for each damage."""
    broker = Broker(f"{WORK}/damage-{how}", settings(**{"auto.create.topics.enable": "true"}))
    broker.start()
    with Connection(broker.port) as c:
        for topic in TOPICS:
            assert create_topic(c, topic) == 0 and produced(c, topic, 0, batch_of(0, 5))[0] == 0
    broker.stop() if how == "clean" else broker.kill()
    return broker, shutil.copytree(broker.data, broker.folder + "/whole")


def again(broker, whole):
    shutil.rmtree(broker.data)
    shutil.copytree(whole, broker.data)


def opens(broker):
    try:
        broker.start()
        with Connection(broker.port) as c:
            for topic in TOPICS:
                assert list_offset(c, topic, 0, LATEST) == (0, 5), f"{topic}: {list_offset(c, topic, 0, LATEST)}"
    finally:
        broker.kill()


def refuses(broker):
    """No topic is made new, and no byte is lost."""
    before = {p: v for p, v in snapshot(broker.data).items() if os.path.isfile(p) and not p.endswith(".lock")}
    broker.launch()
    try:
        assert wait_until(lambda: not broker.running(), 20), "the broker started with a catalog that it lost"
    finally:
        broker.kill()
    log = broker.log_since()
    assert "The catalog in" in log and "odradek repair" in log, log[-500:]
    after = {p: v for p, v in snapshot(broker.data).items() if os.path.isfile(p) and not p.endswith(".lock")}
    assert before == after, "a file was touched"


def one_file(how):
    broker, whole = made(how)
    for file in FILES if how == "clean" else FILES[:2]:
        for what, damage in DAMAGE.items():
            again(broker, whole)
            path = os.path.join(broker.data, file)
            if what.endswith("turned") and os.path.getsize(path) <= 40:
                damage = lambda p: turn_bit(p, 5)
            damage(path)
            try:
                opens(broker)
                if file.startswith("catalog") and not file.endswith("end"):
                    os.remove(os.path.join(broker.data, FILES[1 - FILES.index(file)]))
                    opens(broker)  # the copy that was damaged is whole again, and enough
            except AssertionError as why:
                raise AssertionError(f"{file} {what}: {why}") from None


def both_files(how):
    broker, whole = made(how)
    for first, damage in DAMAGE.items():
        for second, damage_too in DAMAGE.items():
            again(broker, whole)
            damage(os.path.join(broker.data, FILES[0]))
            damage_too(os.path.join(broker.data, FILES[1]))
            try:
                refuses(broker)
            except AssertionError as why:
                raise AssertionError(f"catalog {first}, catalog.copy {second}: {why}") from None


CASES = [(f"one file of the catalog is lost or damaged {when}: everything is there", one_file, how)
         for how, when in (("clean", "after a clean stop"), ("killed", "after kill -9"))]
CASES += [(f"both copies of the catalog are damaged {when}: a sentence, and nothing is touched", both_files, how)
          for how, when in (("clean", "after a clean stop"), ("killed", "after kill -9"))]
