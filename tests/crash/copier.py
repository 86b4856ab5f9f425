#!/usr/bin/env python3
"""A backup program that stays: `copier.py blocks|mmap SOURCE TARGET`. For each line that it is sent it goes once over the .log files below
SOURCE, as they are through the page cache, and answers with a line.

    blocks   rsync's way: reads both sides block by block, and writes those that differ
    mmap     maps each file, and keeps the mapping from pass to pass while the file's size stays
"""
import glob
import mmap
import os
import sys

BLOCK = 64 * 1024


def logs(source):
    return sorted(glob.glob(os.path.join(glob.escape(source), "*", "*.log")))


def copy_blocks(source, target, _kept):
    with open(source, "rb", buffering=0) as old, open(os.open(target, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as new:
        at = 0
        while block := old.read(BLOCK):
            if os.pread(new.fileno(), BLOCK, at) != block:
                os.pwrite(new.fileno(), block, at)
            at += len(block)
        new.truncate(at)


def mapped(path, kept):
    size = os.stat(path).st_size
    if path not in kept or len(kept[path]) != size:
        with open(path, "rb") as file:
            kept[path] = mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) if size else b""
    return kept[path]


def copy_mapped(source, target, kept):
    """write(2) reads the mapping, so that a file that was trimmed meanwhile ends the copy, with EFAULT, and not the program."""
    with memoryview(mapped(source, kept)) as all_of_it, open(target, "wb", buffering=0) as new:
        at = 0
        try:
            while at < len(all_of_it):
                at += os.write(new.fileno(), all_of_it[at:at + BLOCK])
        except OSError:
            pass


def main():
    way, source, target = sys.argv[1:]
    copy, kept = {"blocks": copy_blocks, "mmap": copy_mapped}[way], {}
    for _ in sys.stdin:
        for path in logs(source):
            folder = os.path.join(target, os.path.basename(os.path.dirname(path)))
            os.makedirs(folder, exist_ok=True)
            try:
                copy(path, os.path.join(folder, os.path.basename(path)), kept)
            except FileNotFoundError:
                pass
        print("done", flush=True)


main()
