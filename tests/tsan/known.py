"""The race that is meant: an append behind a wave's end, in the block that the wave is just writing.

A wave writes whole blocks of 4096 bytes. While it does, appends go on behind its end, in the last of these blocks. What the
disk gets of them is in no promise; the next wave writes the block again (storage/writer.c, which asserts that no
append touches what a wave promises). io_uring lets the kernel read the block, which no sanitizer sees; with epoll the helper
thread's pwritev does. Exactly this pair is known; either side with any other partner is a failure.
"""
import re


def accesses(report):
    """The paragraphs of the two accesses: (their first line, their frames)."""
    paragraphs = [p.strip("\n") for p in report.split("\n\n")]
    found = []
    for paragraph in paragraphs:
        lines = [line for line in paragraph.splitlines() if line.strip() and "WARNING: ThreadSanitizer" not in line]
        if lines and re.match(r"\s*(Previous )?(atomic )?(read|write) of size", lines[0], re.I):
            found.append((lines[0], lines[1:]))
    return found


def is_wave_write(access):
    head, frames = access
    return "read of size" in head.lower() and " pwritev " in frames[0] and " write_pieces core/io_epoll_disk.c" in frames[1]


def is_append(access):
    head, frames = access
    called = [frame.split()[1] for frame in frames if frame.strip().startswith("#")]
    return "write of size" in head.lower() and "tail_copy_in" in called[:4] and "append_batch" in called[:6]


def known_race(report):
    both = accesses(report)
    return "data race" in report and len(both) == 2 and any(map(is_wave_write, both)) and any(map(is_append, both))
