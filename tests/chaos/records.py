"""The group's records in __consumer_offsets: who was assigned what in which generation."""
from batches import batches_of
from messages import Cursor, get_plain, get_struct
from wire import EARLIEST, Connection, list_offset

TOPIC = "__consumer_offsets"
GROUP_KEY = 2


def partitions_of(assignment):
    """Of a ConsumerProtocolAssignment: {(topic, partition)}; an empty one assigns nothing."""
    if not assignment:
        return set()
    cursor, found = Cursor(assignment), set()
    cursor.number("h")
    for _ in range(cursor.number("i")):
        topic = get_plain(cursor, "string", False)
        found |= {(topic, cursor.number("i")) for _ in range(cursor.number("i"))}
    return found


def group_of(key):
    """The group that a record is about as a whole; None: it is about something else."""
    cursor = Cursor(key)
    return get_plain(cursor, "string", False) if cursor.number("h") == GROUP_KEY else None


def generation_of(value):
    """(generation, {member: assigned partitions}) of a GroupMetadataValue, versions 0 to 3."""
    cursor = Cursor(value)
    version = cursor.number("h")
    assert version <= 3, f"a group's record has version {version}"
    group = get_struct(cursor, "group_metadata_value", version, False)
    return group.generation, {m.member_id: partitions_of(m.assignment) for m in group.members}


def generations(broker, group, log_partitions):
    """All that the log still tells of the group, oldest first."""
    found = []
    for partition in range(log_partitions):
        with Connection(broker.port, broker.host) as connection:
            error, start = list_offset(connection, TOPIC, partition, EARLIEST)
        assert error == 0, f"ListOffsets of {TOPIC}-{partition} says error {error}"
        records = [record for one in batches_of(broker, TOPIC, partition, start) for record in one.records]
        found += [generation_of(r.value) for r in records if r.value is not None and group_of(r.key) == group]
    return found
