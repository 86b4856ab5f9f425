"""Apache Flink: KafkaSource, keyed state and KafkaSink exactly once on a mini cluster, which is killed with kill -9 and goes on from its last checkpoint."""
import glob

from counting import counts_words
from world import *


def last_checkpoint(folder):
    """Flink writes `_metadata` when a checkpoint is complete."""
    complete = glob.glob(f"{folder}/*/chk-*/_metadata")
    return [os.path.dirname(max(complete, key=os.path.getmtime))] if complete else []


def exactly_once(naming):
    classes, name = compiled("FlinkCount.java", pom="flink"), f"flink-{naming.lower()}"
    folder = os.path.abspath(fresh_dir(f"{WORK}/{name}-checkpoints"))
    # Flink looks into fields of Java's own classes.
    opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.util", "java.lang", "java.time")]

    def start(broker):
        return Running(program("FlinkCount", broker.address, name, folder, naming, *last_checkpoint(folder), classes=classes, pom="flink",
                               options=opens), f"{WORK}/{name}.log")
    counts_words(name, start)


ON_DEMAND = [("Flink counts exactly once, killed in the middle, the broker too", exactly_once, ("INCREMENTING",)),
             ("Flink counts exactly once with a pool of transactional ids, killed in the middle, the broker too", exactly_once, ("POOLING",))]
