"""Counts the keys of the topic "spark-words" into "spark-counts": spark_words.py ADDRESS CHECKPOINTS JARS. Runs in a Python with pyspark.

A query that fails, because the broker is away, begins again at its checkpoint.
"""
import sys

from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession

address, checkpoints, jars = sys.argv[1:]
spark = (SparkSession.builder.master("local[2]").config("spark.driver.extraClassPath", f"{jars}/*").config("spark.driver.memory", "512m")
         .config("spark.sql.shuffle.partitions", "2").config("spark.ui.enabled", "false").getOrCreate())
while True:
    words = (spark.readStream.format("kafka").option("kafka.bootstrap.servers", address).option("subscribe", "spark-words")
             .option("startingOffsets", "earliest").load())
    counts = words.selectExpr("CAST(key AS STRING) AS key").groupBy("key").count().selectExpr("key", "CAST(count AS STRING) AS value")
    query = (counts.writeStream.format("kafka").option("kafka.bootstrap.servers", address).option("topic", "spark-counts")
             .option("checkpointLocation", checkpoints).outputMode("update").trigger(processingTime="500 milliseconds").start())
    try:
        query.awaitTermination()
    except StreamingQueryException as error:
        print("begins again:", error, flush=True)
