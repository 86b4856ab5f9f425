"""Which processors take the interrupts of the disk under a folder. A broker that shares its processor with them pays for each write of the disk, and waits for
the kernel's workers there: so it is kept off (harness.processors)."""

import os
import re


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _folders(number):
    """sysfs's folder of each disk that a block device lies on: of a partition its disk; of a mapped, RAID or loop device what is below it."""
    at = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if os.path.exists(f"{at}/partition"):
        at = os.path.dirname(at)
    below = [os.makedev(*map(int, _read(f"{at}/slaves/{name}/dev").split(":"))) for name in os.listdir(f"{at}/slaves")] if os.path.isdir(f"{at}/slaves") else []
    file = _read(f"{at}/loop/backing_file").strip()
    if os.path.exists(file):
        below.append(os.stat(file).st_dev)
    return [folder for one in below for folder in _folders(one)] if below else [at] if os.path.isdir(at) else []


def _of_disk(folder):
    """(numbers, names) of a disk's interrupts: those of the first device above it that has any of its own; names where the kernel lists no numbers."""
    names, at = re.findall(r"^nvme\d+", os.path.basename(folder)), os.path.realpath(f"{folder}/device")
    while at.startswith("/sys/devices/") and not os.path.isdir(f"{at}/msi_irqs"):
        names.append(os.path.basename(at))
        at = os.path.dirname(at)
    return set(os.listdir(f"{at}/msi_irqs")) if os.path.isdir(f"{at}/msi_irqs") else set(), names


def counted(text, numbers, names, goes_to=None):
    """{processor: interrupts so far} of the lines of /proc/interrupts that have such a number, or no number is known and a driver gave such a name. goes_to is
    {number: processor}: what was moved since it was counted counts where it goes now."""
    lines = text.splitlines()
    heads = [int(word[3:]) for word in lines[0].split()] if lines else []
    taken = dict.fromkeys(heads, 0)
    found = False
    for line in lines[1:]:
        number, _, rest = line.strip().partition(":")
        words = rest.split()
        mine = number in numbers if numbers else any(re.match(rf"{re.escape(name)}(-|q\d|$)", word) for name in names for word in words[len(heads):])
        if not mine or not number.isdigit():
            continue
        found = True
        for head, count in zip(heads, map(int, words[:len(heads)])):
            at = (goes_to or {}).get(number, head)
            taken[at] = taken.get(at, 0) + count
    return taken if found else {}


def of_disk_under(folder):
    """(names of the disks, {processor: interrupts}); no processor where it is not known."""
    disks, numbers, names = _folders(os.stat(folder).st_dev), set(), []
    for disk in disks:
        some, called = _of_disk(disk)
        numbers |= some
        names += called
    text = _read("/proc/interrupts")
    now = {number: _read(f"/proc/irq/{number}/effective_affinity_list").strip() for number in re.findall(r"^ *(\d+):", text, re.M)}
    return [os.path.basename(disk) for disk in disks], counted(text, numbers, names, {n: int(c) for n, c in now.items() if c.isdigit()})


def keeps_off(usable, taken):
    """Of the usable processors the one that takes the fewest, the last of several. The last of all where nothing is known, or where each takes its share (a disk
    with a queue for each): which of those happens to have the fewest says nothing."""
    counts = [taken.get(cpu, 0) for cpu in usable]
    if 2 * min(counts) >= max(counts):
        return usable[-1]
    return max(cpu for cpu, count in zip(usable, counts) if count == min(counts))


def said(disks, taken):
    total = sum(taken.values())
    if not total:
        return "interrupts of the disk: not known who takes them"
    shares = [f"{cpu} ({count / total:.0%})" for cpu, count in taken.items() if count >= total / 100]
    return f"interrupts of the disk ({', '.join(disks)}): processor{'s' if len(shares) > 1 else ''} {', '.join(shares)}"
