"""Two answers field by field. What must differ between two brokers (ids, addresses, times) is made alike before."""
import re
import struct

IDENTITY = ("name", "topic", "topic_name", "user", "entity_type", "entity_name", "feature", "topic_id", "group_id", "resource_type", "resource_name", "key", "partition_index", "partition", "index", "broker_id", "node_id",
            "api_key", "member_id", "batch_index", "log_dir", "error_code")
DROPPED = {"log_end_offset", "last_caught_up_timestamp", "replica_directory_id", "throttle_time_ms", "cluster_id", "host", "port", "documentation", "log_dir", "total_bytes", "usable_bytes", "client_host"}
PRESENT = {"error_message", "batch_index_error_message"}     # a text or none
NOW_FROM_MS = 1_750_000_000_000  # records have times of 2023, markers of transactions that of the broker
CONTROL = 0x20  # in the lower byte of a batch's attributes
SIGN = {"last_fetch_timestamp", "session_id", "transaction_start_time_ms", "last_timestamp", "log_append_time_ms", "partition_size", "leader_epoch", "committed_leader_epoch", "epoch", "finalized_features_epoch"}
PARTS = ("partitions", "partition_responses", "results_by_partition")
MADE_UP = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[A-Za-z0-9_-]{22}$")  # in member ids
OWN_KINDS = {4: "brokers", 8: "loggers", 16: "client metrics", 32: "groups"}  # of resources that are no topics


def alike(name, value, ids):
    """The value without what is this broker's own."""
    if name in DROPPED:
        return None
    if name in PRESENT:
        return "none" if value is None else "text"
    if name in SIGN and isinstance(value, int):
        return value if value <= 0 else "positive"
    if name == "timestamp" and value >= NOW_FROM_MS:
        return "now"
    if name == "coordinator_epoch":
        return value if value < 0 else "some"
    if name == "producer_id":
        return value if value < 0 else "an id"
    if name in ("member_id", "leader") and isinstance(value, str):
        return MADE_UP.sub("*", value)
    if isinstance(value, bytes):
        if len(value) == 16 and name.endswith("topic_id"):
            return ids.get(value, value.hex())
        return plain_batches(value) if name == "records" else value.hex()
    if isinstance(value, dict):
        return {k: alike(k, v, ids) for k, v in value.items()}
    if isinstance(value, list):
        return once(merged([alike(name, v, ids) for v in value]))
    return value


def merged(values):
    """A topic that stands there twice once, with all its partitions; one without partitions not at all, where an answer is about partitions."""
    topics = {}
    for v in values:
        parts = next((p for p in PARTS if isinstance(v, dict) and p in v), None)
        if not parts or "error_code" in v:
            return values
        topic = topics.setdefault((v.get("name"), v.get("topic"), v.get("topic_name"), v.get("topic_id")), {**v, parts: []})
        topic[parts] = once(topic[parts] + v[parts])
    return [t for t in topics.values() if any(t[p] for p in PARTS if p in t)]


def once(values):
    """In order; what is the same in every field once."""
    return [v for _, v in sorted({repr(v): (identity(v), v) for v in values}.values(), key=lambda pair: (pair[0], repr(pair[1])))]


def identity(value):
    if not isinstance(value, dict):
        return repr(value)
    return repr([str(value.get(k)) for k in IDENTITY if k in value])


def plain_batches(raw):
    """[(base offset, bytes from the magic on)]: the leader's epoch, in between, is the broker's own. What is cut off at the end, as Kafka does where a
    limit falls into a batch, tells nothing."""
    found, at = [], 0
    while at + 17 <= len(raw):
        base, size = struct.unpack_from(">qi", raw, at)
        if at + 12 + size > len(raw):
            break
        found.append((base, plain_marker(raw[at + 16:at + 12 + size]).hex()))
        at += 12 + size
    return found


def plain_marker(batch):
    """From the magic on: its CRC and times are of the moment, if it is a marker of a transaction; all else stays as it is."""
    if len(batch) < 27 or not batch[6] & CONTROL:
        return batch
    return batch[:1] + bytes(4) + batch[5:11] + bytes(16) + batch[27:]


def kind(value):
    if isinstance(value, list):
        names = [str(v.get("name") or v.get("group_id")) for v in value if isinstance(v, dict) and ("name" in v or "group_id" in v)]
        return f"{len(value)} elements" + (f": {' '.join(sorted(names)[:12])}" if names else "")
    if isinstance(value, str):
        return value[:40]
    return str(value)


def differences(theirs, ours, path=""):
    """[(path, theirs, ours)]"""
    if theirs == ours:
        return []
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if theirs.get("resource_type") in OWN_KINDS:
            path += f"({OWN_KINDS[theirs['resource_type']]})"
        return [d for k in theirs for d in differences(theirs[k], ours.get(k), f"{path}.{k}" if path else k)]
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [d for a, b in zip(theirs, ours) for d in differences(a, b, path)]
    return [(path, *(kind(v) for v in only(theirs, ours)))]


def only(theirs, ours):
    """Of two lists of different length what only one has, by name where there are names."""
    if not (isinstance(theirs, list) and isinstance(ours, list)) or not all(isinstance(v, dict) for v in theirs + ours):
        return theirs, ours
    return tuple([v for v in mine if identity(v) not in {identity(o) for o in other}] or mine for mine, other in ((theirs, ours), (ours, theirs)))
