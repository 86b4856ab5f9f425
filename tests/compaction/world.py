"""A compacted topic, what was produced to it, and what must be left of it.

One idempotent producer (kcat) writes line after line, so the record of line n has offset n, whatever is killed meanwhile. What may be
missing is what Kafka's cleaner drops: below the offset to which was cleaned, all but the latest record of each key.
"""
import os
import re

from harness import need, run, run_ok, spawn, wait_until
from wire import Connection, create_topic

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
CLEANED = re.compile(r" cleaned: partition=(\S+) dirty_from=(\d+) clean_to=(\d+) .*records_read=(\d+) records_kept=(\d+)")


def topic(broker, name, **configs):
    settings = {"cleanup.policy": "compact", "internal.segment.bytes": 65536, "min.cleanable.dirty.ratio": 0.01}
    settings.update({k.replace("__", "."): v for k, v in configs.items()})
    with Connection(broker.port) as connection:
        error = create_topic(connection, name, 1, [(k, str(v)) for k, v in settings.items()])
    assert error == 0, f"CreateTopics answered {error}"


class Log:
    """`lines[offset]` is (key, value); the value None is a tombstone."""

    def __init__(self, broker, name, codec="none"):
        self.broker, self.name, self.codec = broker, name, codec
        self.lines = []

    def command(self, path):
        return [need("kcat"), "-P", "-E", "-q", "-b", self.broker.address, "-t", self.name, "-p", "0", "-K", "\t", "-Z", "-z", self.codec,
                "-X", "enable.idempotence=true", "-X", "message.timeout.ms=120000", "-X", "linger.ms=2", "-X", "batch.num.messages=37",
                "-X", "reconnect.backoff.ms=20", "-X", "reconnect.backoff.max.ms=100", "-X", "topic.metadata.refresh.interval.ms=500",
                "-l", path]

    def begin(self, lines):
        """Starts to produce them."""
        path = os.path.join(self.broker.folder, f"{self.name}-{len(self.lines)}.lines")
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{key}\t{'' if value is None else value}\n" for key, value in lines)
        self.lines += lines
        with open(path + ".said", "wb") as said:
            return spawn(self.command(path), stdout=said, stderr=said)

    def produce(self, lines):
        process = self.begin(lines)
        code = process.wait(timeout=180)
        assert code == 0, f"kcat ended with {code}"

    def read(self):
        """[(offset, key, value)] of everything a consumer sees."""
        out = run_ok([need("kcat"), "-C", "-b", self.broker.address, "-t", self.name, "-p", "0", "-o", "beginning", "-e", "-q",
                      "-X", "check.crcs=true", "-X", "fetch.wait.max.ms=50", "-f", "%o\t%k\t%S\t%s\n"], timeout=120)
        found = []
        for line in out.decode().splitlines():
            offset, key, size, value = line.split("\t")
            found.append((int(offset), key, None if size == "-1" else value))
        return found

    def clean_to(self):
        """Up to where the log says that it was cleaned."""
        ends = [int(m.group(3)) for m in CLEANED.finditer(self.broker.log()) if m.group(1) == f"{self.name}-0"]
        return max(ends, default=0)

    def await_clean(self, offset, timeout=60):
        assert wait_until(lambda: self.clean_to() >= offset, timeout), \
            f"{self.name} is clean to {self.clean_to()} after {timeout} s, wanted {offset}: {self.broker.log()[-600:]}"

    def latest(self, end):
        """{key: offset} below `end`."""
        return {key: offset for offset, (key, _) in enumerate(self.lines[:end])}

    def true_to_what_was_written(self, found):
        """Offsets rise, and each record is the one that was produced there."""
        offsets = [offset for offset, _, _ in found]
        assert offsets == sorted(set(offsets)), "offsets do not rise"
        wrong = [f for f in found if f[0] >= len(self.lines) or self.lines[f[0]] != f[1:]]
        assert not wrong, f"{len(wrong)} records are not what was produced there: {wrong[:3]}"

    def same_state(self, found):
        """Who reads it all ends with each key's last value: no live key lost, none back from the dead."""
        state, wanted = {}, {}
        for _, key, value in found:
            state[key] = value
        for key, value in self.lines:
            wanted[key] = value
        lost = [k for k, v in wanted.items() if v is not None and state.get(k) != v]
        risen = [k for k, v in wanted.items() if v is None and state.get(k) is not None]
        assert not lost, f"{len(lost)} live keys lost or old, of {len(wanted)}: {lost[:3]}"
        assert not risen, f"{len(risen)} deleted keys are back: {risen[:3]}"

    def survivors(self, end, tombstones=True):
        """What must be there, exactly, when everything below `end` was cleaned."""
        latest = self.latest(end)
        kept = [(o, *self.lines[o]) for o in sorted(latest.values()) if tombstones or self.lines[o][1] is not None]
        return kept + [(o, *self.lines[o]) for o in range(end, len(self.lines))]

    def exactly(self, found, end, tombstones=True):
        wanted = self.survivors(end, tombstones)
        missing, more = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
        assert found == wanted, f"{len(missing)} missing {missing[:3]}, {len(more)} too many {more[:3]}, clean to {end}"


def lines(random, count, keys, dead=0.1, size=(20, 200)):
    """Updates of `keys` keys; some are deletions."""
    made = []
    for _ in range(count):
        value = None if random.random() < dead else f"{random.getrandbits(64):x}" * random.randint(size[0] // 16 + 1, size[1] // 16)
        made.append((f"key-{random.randrange(keys)}", value))
    return made
