"""The eight checks of Jepsen's Kafka workload, over a history of what clients did and saw (history.py).

Each check is a function of an Index and answers a list of sentences, one for each thing that must not be. Offsets need not be
contiguous (markers of transactions and compaction leave gaps): a skip is a known record that was passed over.
"""
import bisect
import collections

MOST = 10  # sentences that one check says


class Index:
    """The history by partition, offset and value."""

    def __init__(self, operations):
        self.operations = sorted(operations, key=lambda o: o["begin"])
        self.sends = [o for o in self.operations if o["do"] == "send"]
        self.polls = [o for o in self.operations if o["do"] == "poll" and o["outcome"] == "ok"]
        self.sent = {}  # value -> its send
        self.at = collections.defaultdict(dict)  # partition -> offset -> values, in the order of being told
        self.places = collections.defaultdict(list)  # value -> [(partition, offset)], each once
        self.read = collections.defaultdict(set)  # partition -> offsets that somebody polled
        for o in self.operations:
            for partition, value, offset in o["records"]:
                if o["do"] == "send":
                    self.sent.setdefault(value, o)
                if offset is not None:
                    self.note(partition, value, offset)
        for o in self.polls:
            for partition, _, offset in o["records"]:
                self.read[partition].add(offset)
        self.offsets = {p: sorted(offsets) for p, offsets in self.at.items()}

    def note(self, partition, value, offset):
        values = self.at[partition].setdefault(offset, [])
        if value not in values:
            values.append(value)
        if (partition, offset) not in self.places[value]:
            self.places[value].append((partition, offset))

    def between(self, partition, low, high):
        """Known offsets strictly between two."""
        known = self.offsets.get(partition, [])
        return known[bisect.bisect_right(known, low):bisect.bisect_left(known, high)]


def aborted_reads(index):
    """A value that was refused for good, or that nobody sent, is never read."""
    for o in index.polls:
        for partition, value, offset in o["records"]:
            send = index.sent.get(value)
            if send is None:
                yield f"{o['process']} read {value!r} at {partition}:{offset}, which nobody sent"
            elif send["outcome"] == "fail":
                yield f"{o['process']} read {value!r} at {partition}:{offset}, which was refused"


def inconsistent_offsets(index):
    """Whoever was told a value of an offset, was told the same."""
    for partition, offsets in sorted(index.at.items()):
        for offset, values in sorted(offsets.items()):
            if len(values) > 1:
                yield f"{partition}:{offset} is " + " and ".join(repr(v) for v in values)


def lost_writes(index):
    """What was acknowledged is polled by somebody, if something behind it was."""
    highest = {partition: max(offsets) for partition, offsets in index.read.items() if offsets}
    for o in index.sends:
        if o["outcome"] != "ok":
            continue
        for partition, value, offset in o["records"]:
            if offset < highest.get(partition, -1) and offset not in index.read[partition]:
                yield f"{value!r} was acknowledged at {partition}:{offset} and never polled; {partition}:{highest[partition]} was"


def unseen_writes(index):
    """Part of lost_writes for the end of a history, whose last polls read everything: what was acknowledged was polled."""
    for o in index.sends:
        for partition, value, offset in o["records"] if o["outcome"] == "ok" else ():
            if offset not in index.read[partition]:
                yield f"{value!r} was acknowledged at {partition}:{offset} and never polled"


def torn_transactions(index):
    """For the end of a history, whose last polls read everything: of a transaction whose outcome nobody knows all was polled, or nothing."""
    for o in index.sends:
        if o.get("txn") and o["outcome"] == "info":
            there = [value for _, value, _ in o["records"] if value in index.places]
            if there and len(there) < len(o["records"]):
                missing = next(value for _, value, _ in o["records"] if value not in index.places)
                yield f"of a transaction of {o['process']} {there[0]!r} was polled and {missing!r} was not"


def edges_of(index):
    """operation -> operations that come after it: by the log (ww), by being read (wr), by one client's own order. A send of several
    records is not atomic without transactions, so each record is a node of its own; of an anti-dependency (rw) nothing follows,
    as a reader may be behind."""
    after = collections.defaultdict(set)
    for partition, offsets in index.offsets.items():
        line = [index.at[partition][offset][0] for offset in offsets]
        for one, other in zip(line, line[1:]):
            after["value", one].add(("value", other))
    last = {}
    for number, o in enumerate(index.operations):
        told = [value for _, value, offset in o["records"] if offset is not None]
        me = ("begin", number), ("end", number)
        after[me[0]].add(me[1])
        if o["process"] in last:
            after[last[o["process"]]].add(me[0])
        if o["outcome"] == "ok":
            last[o["process"]] = me[1]
        for value in told:
            if o["do"] == "send":
                after[me[0]].add(("value", value))
                after["value", value].add(me[1])
            else:
                after["value", value].add(me[1])
    return after


def strongly_connected(after):
    """Tarjan's components of more than one node, without recursion."""
    number, low, stack, on_stack = {}, {}, [], set()
    for root in list(after):
        if root in number:
            continue
        work = [(root, iter(after[root]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, rest = work[-1]
            for follower in rest:
                if follower not in number:
                    number[follower] = low[follower] = len(number)
                    stack.append(follower)
                    on_stack.add(follower)
                    work.append((follower, iter(after.get(follower, ()))))
                    break
                if follower in on_stack:
                    low[node] = min(low[node], number[follower])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    component = stack[stack.index(node):] if stack[-1] != node else [node]
                    del stack[len(stack) - len(component):]
                    on_stack.difference_update(component)
                    if len(component) > 1:
                        yield component


def cycles(index):
    """Nothing comes before itself: what a client saw or did before it sent something stands before that in the log."""
    def name(node):
        if node[0] == "value":
            return repr(node[1])
        o = index.operations[node[1]]
        return f"{node[0]} of a {o['do']} by {o['process']} at {o['begin']:.3f}"
    for component in strongly_connected(edges_of(index)):
        yield "each comes before the next, and the last before the first: " + ", ".join(name(n) for n in component[:8])


def runs_of_polls(index):
    """What each reader was given of each partition between two seeks: [(operation, value, offset)]."""
    places = collections.defaultdict(list)
    for o in index.operations:
        if o["do"] == "seek":
            for key in [key for key in places if key[0] == o["process"]]:
                yield key, places.pop(key)
        elif o["do"] == "poll" and o["outcome"] == "ok":
            for partition, value, offset in o["records"]:
                places[o["process"], partition].append((value, offset))
    yield from places.items()


def poll_order(index):
    """Within a poll, and from one poll of a reader to its next, offsets go up and pass over nothing that is known to be there."""
    for (process, partition), given in runs_of_polls(index):
        for (_, before), (value, offset) in zip(given, given[1:]):
            if offset <= before:
                yield f"{process} was given {partition}:{offset} ({value!r}) behind {partition}:{before}"
            skipped = index.between(partition, before, offset)
            if skipped:
                yield f"{process} was given {partition}:{offset} behind {partition}:{before}, and not {partition}:{skipped[0]}" \
                      f" ({index.at[partition][skipped[0]][0]!r})"


def send_order(index):
    """Within a send, and from one send of a producer to its next, offsets of a partition go up."""
    last = {}
    for o in index.sends:
        for partition, value, offset in o["records"] if o["outcome"] == "ok" else ():
            before = last.get((o["process"], partition), -1)
            if offset <= before:
                yield f"{o['process']} sent {value!r} behind what is at {partition}:{before}, and it is at {partition}:{offset}"
            last[o["process"], partition] = max(offset, before)


def duplicates(index):
    """A value is in the log once: producers are idempotent."""
    for value, places in index.places.items():
        if len(places) > 1:
            yield f"{value!r} is at " + " and ".join(f"{p}:{o}" for p, o in sorted(places))


def precommitted_reads(index):
    """Nothing is read before it was decided: here, before its send began."""
    for o in index.polls:
        for partition, value, offset in o["records"]:
            send = index.sent.get(value)
            if send and o["end"] is not None and o["end"] < send["begin"]:
                yield f"{o['process']} read {value!r} at {partition}:{offset}, {send['begin'] - o['end']:.3f} s before it was sent"


CHECKS = {
    "nothing that was refused is read": aborted_reads,
    "an offset has one value": inconsistent_offsets,
    "nothing acknowledged is lost": lost_writes,
    "nothing comes before itself": cycles,
    "readers go up and pass over nothing": poll_order,
    "producers' records stand in the order of sending": send_order,
    "nothing is there twice": duplicates,
    "nothing is read before it was sent": precommitted_reads,
}


def wrong(check, operations):
    """The first few of what a check says; empty: all is well."""
    found = []
    for sentence in check(Index(operations)):
        found.append(sentence)
        if len(found) == MOST:
            break
    return found
