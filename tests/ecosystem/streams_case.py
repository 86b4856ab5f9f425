"""Kafka Streams: its state comes back from a changelog that was compacted, also after the broker was killed."""
import json
import re
import shutil
import signal
import time

from world import *

LINES, WORDS = 3000, 50

def compiled():
    classes = fresh_dir(f"{WORK}/classes")
    folder = jars(pom=os.path.join(HERE, "pom.xml"), name="jars-ecosystem")
    run_ok([need("javac"), "-d", classes, "-cp", f"{folder}/*", os.path.join(HERE, "WordCount.java")], timeout=120)
    return classes

class Application:
    def __init__(self, broker, classes, state):
        self.log_path = f"{WORK}/streams.log"
        self.log = open(self.log_path, "ab")
        self.from_byte = self.log.tell()
        self.process = spawn(program("WordCount", broker.address, state, "at_least_once", more_classes=classes),
                             stdout=self.log, stderr=self.log)

    def said(self):
        with open(self.log_path, "rb") as file:
            file.seek(self.from_byte)
            return file.read().decode(errors="replace")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds(40))
        self.log.close()
        assert "failed: " not in self.said(), self.said()[-800:]

def expected(lines):
    found = {"all": lines}
    for i in range(lines):
        found[f"w{i % WORDS}"] = found.get(f"w{i % WORDS}", 0) + 1
    return found

def counted(broker, lines):
    client("counts", broker.address, f"{WORK}/counts.json")
    with open(f"{WORK}/counts.json", encoding="ascii") as file:
        return json.load(file) == expected(lines)

def state_comes_back():
    classes, state = compiled(), f"{WORK}/state"
    shutil.rmtree(state, ignore_errors=True)
    broker = Broker(f"{WORK}/streams", SOON)
    broker.keep_port = True
    with broker:
        client("topic", broker.address, "words", 2), client("topic", broker.address, "counts", 2)
        app = Application(broker, classes, state)
        for round in range(3):
            client("words", broker.address, LINES // 3, round * LINES // 3)
            time.sleep(1.2)
        assert wait_until(lambda: counted(broker, LINES), 60, 1), f"the counts of {LINES} lines are not right"
        app.stop()
        changelog = "word-count-store-changelog"
        compacted(broker, changelog)
        broker.kill(), broker.start()
        shutil.rmtree(state)
        app = Application(broker, classes, state)
        client("words", broker.address, 1000, LINES)
        assert wait_until(lambda: counted(broker, LINES + 1000), 90, 1), "the counts after the restoration are not right"
        app.stop()
        restored = [int(n) for n in re.findall(rf"restored: {changelog}-\d+ (\d+)", app.said())]
        assert 0 < sum(restored) < 2 * LINES, f"the state was restored from {restored} records"
        broker.stop()

CASES = [("Kafka Streams restores its state from a compacted changelog, and every count is exact", state_comes_back, ())]
