"""Spark structured streaming through PySpark: a stateful count whose sink gives at least once; the last count of each word is right."""
from counting import counts_words
from world import *


def counts_on():
    command, checkpoints = [python_of("spark"), os.path.join(HERE, "spark_words.py")], empty(f"{WORK}/spark-checkpoints")
    counts_words("spark", lambda broker: Running([*command, broker.address, checkpoints, os.path.abspath(pom_jars("spark"))], f"{WORK}/spark.log"),
                 exactly=False)


ON_DEMAND = [("Spark structured streaming counts on, killed in the middle, the broker too", counts_on, ())]
