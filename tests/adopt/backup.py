"""A backup by hard links (cp -al) of our own folder: nothing of ours writes into a file with two names."""
import os
import shutil

from world import *


def link_tree(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=os.link)
    return target


def grows(lines):
    """How many of them no compaction takes away."""
    return sum('"compacted"' not in line for line in lines)


def hard_links(mode):
    uncleaned = {"log.cleaner.enable": "false", **OLD_RECORDS}
    broker = Broker(f"{WORK}/backup-{mode}", {"disk.io": mode, **uncleaned})
    with broker:
        client("fill", broker.address)
        then = read_all(broker.address, f"{WORK}/backup.records")
        broker.stop()
        copy = link_tree(broker.data, f"{WORK}/backup-{mode}-copy")
        before = digests(copy)
        broker.properties.update({"log.cleaner.enable": "true", "log.cleaner.backoff.ms": "200"})
        for stop in (broker.kill, broker.stop):
            broker.start()
            client("append", broker.address)
            assert grows(read_all(broker.address, f"{WORK}/backup.records")) > grows(then)
            assert wait_until(lambda: " cleaned: " in broker.log(), 30), "nothing was compacted beside the copy"
            stop()
        assert digests(copy) == before, [n for n, d in digests(copy).items() if before.get(n) != d]
    restored = Broker(f"{WORK}/restored-{mode}", {"log.dirs": os.path.abspath(copy), **uncleaned})
    with restored:
        same(then, read_all(restored.address, f"{WORK}/backup.records"))
        restored.stop()


CASES = [(f"a backup by hard links keeps every byte, and opens ({mode})", hard_links, (mode,))
         for mode in ("direct", "buffered")]
