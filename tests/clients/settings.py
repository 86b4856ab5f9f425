"""What all client tests agree on. TEST_RECORDS changes how many records each round trip takes."""
import os

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
COUNT = int(os.environ.get("TEST_RECORDS", "20000"))
WORK = "build/tests/clients"
