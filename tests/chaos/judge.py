"""What the group may have committed at a moment, from what its members asked and were told.

A commit may take effect from when it was sent until it was answered, or, when its answer is lost, until a moment after its
client gave up. One that was acknowledged replaces all that were over before it was sent.
"""
import math

LATE_S = 2  # a request in a socket's buffer may still be read so long after its client is gone


class Attempt:
    """A commit of one partition; `over` and `acked` are set when it ended."""

    def __init__(self, partition, offset, sent):
        self.partition, self.offset, self.sent = partition, offset, sent
        self.over, self.acked = math.inf, None

    def end(self, at, acked):
        self.over = at if acked else at + LATE_S
        self.acked = at if acked else None


class Judge:
    def __init__(self):
        self.attempts = []

    def attempt(self, partition, offset, sent):
        self.attempts.append(Attempt(partition, offset, sent))
        return self.attempts[-1]

    def standing(self, partition, at):
        """The offsets that may be committed at that moment or later; 0 stands for none."""
        mine = [one for one in self.attempts if one.partition == partition]
        newest = max((one.sent for one in mine if one.acked is not None and one.acked < at), default=-math.inf)
        first = {0} if newest == -math.inf else set()
        return first | {one.offset for one in mine if one.over >= newest}

    def acknowledged(self):
        return sum(one.acked is not None for one in self.attempts)
