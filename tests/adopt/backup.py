"""A backup by hard links (cp -al) of our own folder: nothing of ours writes into a file with two names."""
import os
import shutil

from world import *


def link_tree(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=os.link)
    return target


def hard_links(mode):
    broker = Broker(f"{WORK}/backup-{mode}", {"disk.io": mode, **OLD_RECORDS})
    with broker:
        client("fill", broker.address)
        then = read_all(broker.address, f"{WORK}/backup.records")
        broker.stop()
        copy = link_tree(broker.data, f"{WORK}/backup-{mode}-copy")
        before = digests(copy)
        for stop in (broker.kill, broker.stop):
            broker.start()
            client("append", broker.address)
            assert len(read_all(broker.address, f"{WORK}/backup.records")) > len(then)
            stop()
        assert digests(copy) == before, [n for n, d in digests(copy).items() if before.get(n) != d]
    restored = Broker(f"{WORK}/restored-{mode}", {"log.dirs": os.path.abspath(copy), **OLD_RECORDS})
    with restored:
        same(then, read_all(restored.address, f"{WORK}/backup.records"))
        restored.stop()


CASES = [(f"a backup by hard links keeps every byte, and opens ({mode})", hard_links, (mode,))
         for mode in ("direct", "buffered")]
