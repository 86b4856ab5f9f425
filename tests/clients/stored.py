"""What a topic's partitions hold on disk, as far as the batch headers tell."""
import glob
import os

from segments import batches


def partition_dirs(broker, topic):
    """The partition folders of a topic, by partition number."""
    found = glob.glob(os.path.join(broker.data, glob.escape(topic) + "-*"))
    numbered = [(path.rsplit("-", 1), path) for path in found]
    mine = [(int(parts[1]), path) for parts, path in numbered
            if parts[1].isdigit() and os.path.basename(parts[0]) == topic]
    return [path for _, path in sorted(mine)]


def check_order(found):
    """Offsets in a partition follow each other without hole or overlap, and each batch counts its own."""
    following = 0
    for batch in found:
        assert batch.base_offset == following, f"{batch.file}@{batch.position}: {batch.base_offset}, not {following}"
        assert batch.last_offset - batch.base_offset + 1 == batch.count, f"{batch.file}@{batch.position}: {batch}"
        following = batch.last_offset + 1


def check_stored(broker, topic, codec, count, idempotent=None):
    """The topic's segment files hold `count` records in batches of `codec`.

    Clients leave a batch uncompressed where compressing would not shrink it, which the records sent here allow only
    for a batch of one record.
    """
    dirs = partition_dirs(broker, topic)
    assert dirs, f"{broker.data} has no folder for {topic}"
    records = compressed = 0
    for path in dirs:
        found = batches(path)
        check_order(found)
        for batch in found:
            records += batch.count
            compressed += batch.count if batch.codec == codec else 0
            assert batch.codec == codec or (batch.codec == "none" and batch.count == 1), \
                f"{path}: a batch of {batch.count} records has codec {batch.codec}"
            assert idempotent is None or (batch.producer_id >= 0) == idempotent, f"{path}: {batch}"
    assert records == count > 0, f"{records} records are stored, not {count}"
    assert compressed > 0.99 * count, f"only {compressed} of {records} stored records have codec {codec}"
