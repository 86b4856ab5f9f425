"""Where this group works, and how its brokers are started."""
import glob
import json
import os
import tarfile

from harness import fresh_dir

WORK = "build/tests/folders"
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")


def settings(**more):
    """Committed offsets must not expire, nor must what is open be aborted: a fixture is older than they live."""
    return {"offsets.topic.num.partitions": "2", "offsets.retention.minutes": "2147483647", "auto.create.topics.enable": "false",
            "transaction.state.log.num.partitions": "2", "transaction.abort.timed.out.transaction.cleanup.interval.ms": "2147483647", **more}


def fixtures():
    return sorted(os.path.basename(p).removesuffix(".tar.xz") for p in glob.glob(os.path.join(FIXTURES, "*.tar.xz")))


def unpack_fixture(name, folder):
    """A fresh folder with data/ in it; answers what it holds."""
    fresh_dir(folder)
    with tarfile.open(os.path.join(FIXTURES, name + ".tar.xz")) as tar:
        tar.extractall(folder)
    with open(os.path.join(FIXTURES, name + ".json"), encoding="utf-8") as file:
        return json.load(file)
