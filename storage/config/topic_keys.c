/* Every topic key: Kafka's of 4.x, two that only its older releases know and that mean nothing any more, and ours. Sorted by
 * name. Names, types, defaults and bounds are Kafka's; the texts are ours and say what this broker does. */
#include "storage/limits.h"
#include "storage/config/topic_config.h"
#include <stdlib.h>
#include <string.h>

#define FOREVER "9223372036854775807"

static const char doc_remote[] = "Tiered storage, which this broker does not have; kept without effect.";
static const char doc_throttle[] = "Replicas whose copying is throttled; there is one node and nothing is copied.";

// clang-format off
static const struct topic_key keys[] = {
    {"batch.validation", NULL, "header",
     "header takes compressed batches by header and checksum; deep unpacks each and looks at every record, as Kafka does.",
     CONFIG_STRING, CONFIG_WORDS("header|deep"), false},
    {"cleanup.policy", "log.cleanup.policy", "delete",
     "What happens to old records: delete drops whole segments, compact keeps the newest record of each key, both do both.",
     CONFIG_LIST, CONFIG_WORDS("compact|delete"), false},
    {"compression.gzip.level", "compression.gzip.level", "-1",
     "How hard gzip tries where the broker itself compresses; -1 leaves it to the library.",
     CONFIG_INT, {1, 9, "-1"}, false},
    {"compression.lz4.level", "compression.lz4.level", "9",
     "How hard lz4 tries where the broker itself compresses.", CONFIG_INT, CONFIG_BETWEEN(1, 17), false},
    {"compression.type", "compression.type", "producer",
     "The codec that batches are stored with; producer stores them as they were sent.",
     CONFIG_STRING, CONFIG_WORDS("uncompressed|zstd|lz4|snappy|gzip|producer"), false},
    {"compression.zstd.level", "compression.zstd.level", "3",
     "How hard zstd tries where the broker itself compresses.", CONFIG_INT, CONFIG_BETWEEN(-131072, 22), false},
    {"delete.retention.ms", "log.cleaner.delete.retention.ms", "86400000",
     "How long a compacted topic still shows the marker of a deleted key.", CONFIG_LONG, CONFIG_AT_LEAST(0), false},
    {"disk.full.policy", "disk.full.policy", "refuse",
     "What happens when the disk is full: refuse produce, or delete-oldest: the oldest segments of such topics go, whatever their retention.",
     CONFIG_STRING, CONFIG_WORDS("refuse|delete-oldest"), false},
    {"errors.deadletterqueue.group.enable", NULL, "false",
     "Whether records that a share group gave up on may be copied into this topic.", CONFIG_BOOLEAN, CONFIG_ANY, false},
    {"file.delete.delay.ms", "log.segment.delete.delay.ms", "60000",
     "How long the file of a dropped segment stays on disk.", CONFIG_LONG, CONFIG_AT_LEAST(0), false},
    {"flush.messages", "log.flush.interval.messages", FOREVER,
     "With write.caching on, a flush starts after so many records; 1 makes every one durable before its ack.",
     CONFIG_LONG, CONFIG_AT_LEAST(1), false},
    {"flush.ms", "log.flush.interval.ms", FOREVER,
     "With write.caching on, how old a record gets at most before it is flushed; 100 there unless set.",
     CONFIG_LONG, CONFIG_AT_LEAST(0), false},
    {"follower.replication.throttled.replicas", NULL, "", doc_throttle, CONFIG_LIST, CONFIG_WORDS(CONFIG_REPLICAS), false},
    {"index.interval.bytes", "log.index.interval.bytes", "4096",
     "How many bytes of batches lie between two entries of the offset index.", CONFIG_INT, CONFIG_AT_LEAST(0), false},
    {"internal.segment.bytes", NULL, NULL,
     "Overrides segment.bytes without its lower bound, for tests that need many small segments.",
     CONFIG_INT, CONFIG_AT_LEAST(1), true},
    {"leader.replication.throttled.replicas", NULL, "", doc_throttle, CONFIG_LIST, CONFIG_WORDS(CONFIG_REPLICAS), false},
    {"local.retention.bytes", "log.local.retention.bytes", "-2", doc_remote, CONFIG_LONG, CONFIG_AT_LEAST(-2), false},
    {"local.retention.ms", "log.local.retention.ms", "-2", doc_remote, CONFIG_LONG, CONFIG_AT_LEAST(-2), false},
    {"max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", FOREVER,
     "The longest time that a record of a compacted topic may wait for its compaction.",
     CONFIG_LONG, CONFIG_AT_LEAST(1), false},
    {"max.decompressed.message.bytes", "max.decompressed.message.bytes", "2147483639",
     "The largest size that a batch may unpack to where the broker unpacks it.",
     CONFIG_INT, CONFIG_BETWEEN(1, 2147483639), false},
    {"max.message.bytes", "message.max.bytes", "1048588",
     "The largest batch that is taken, in bytes as sent and as stored.", CONFIG_INT, CONFIG_AT_LEAST(0), false},
    {"message.downconversion.enable", "log.message.downconversion.enable", "true",
     "Conversion for clients of before Kafka 0.11, which no broker serves any more; kept without effect.",
     CONFIG_BOOLEAN, CONFIG_ANY, false},
    {"message.format.version", "log.message.format.version", "3.0-IV1",
     "The format of batches before Kafka 3.0 could choose it; always version 2 now.", CONFIG_STRING, CONFIG_ANY, false},
    {"message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", "3600000",
     "How far in the future a record's CreateTime may lie.", CONFIG_LONG, CONFIG_AT_LEAST(0), false},
    {"message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", FOREVER,
     "How far in the past a record's CreateTime may lie.", CONFIG_LONG, CONFIG_AT_LEAST(0), false},
    {"message.timestamp.out.of.range", NULL, "reject",
     "What becomes of a batch with a record before or after the bounds: reject, or append-time, which gives it the broker's time.",
     CONFIG_STRING, CONFIG_WORDS("reject|append-time"), false},
    {"message.timestamp.type", "log.message.timestamp.type", "CreateTime",
     "Whose clock counts: CreateTime keeps the producer's timestamps, LogAppendTime puts the broker's in their place.",
     CONFIG_STRING, CONFIG_WORDS("CreateTime|LogAppendTime"), false},
    {"min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", "0.5",
     "How much of a compacted log must be uncompacted before it is worth compacting.",
     CONFIG_DOUBLE, CONFIG_BETWEEN(0, 1), false},
    {"min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", "0",
     "The shortest time that every record of a compacted topic stays as it was written.",
     CONFIG_LONG, CONFIG_AT_LEAST(0), false},
    {"min.insync.replicas", "min.insync.replicas", "1",
     "How many replicas an ack waits for; one node counts as enough, whatever is asked.",
     CONFIG_INT, CONFIG_AT_LEAST(1), false},
    {"preallocate", "log.preallocate", "false",
     "Whether segments get their space ahead; this broker always makes space ahead, in steps.",
     CONFIG_BOOLEAN, CONFIG_ANY, false},
    {"remote.copy.lag.bytes", "log.remote.copy.lag.bytes", "-1", doc_remote, CONFIG_LONG, CONFIG_AT_LEAST(-1), false},
    {"remote.copy.lag.ms", "log.remote.copy.lag.ms", "0", doc_remote, CONFIG_LONG, CONFIG_AT_LEAST(-1), false},
    {"remote.log.copy.disable", NULL, "false", doc_remote, CONFIG_BOOLEAN, CONFIG_ANY, false},
    {"remote.log.delete.on.disable", NULL, "false", doc_remote, CONFIG_BOOLEAN, CONFIG_ANY, false},
    {"remote.storage.enable", NULL, "false",
     "Tiered storage, which this broker does not have: true is refused.", CONFIG_BOOLEAN, CONFIG_ANY, false},
    {"retention.bytes", "log.retention.bytes", "-1",
     "The size beyond which a partition's oldest segments are dropped; -1 keeps all.", CONFIG_LONG, CONFIG_ANY, false},
    {"retention.ms", "log.retention.ms", "604800000",
     "The age beyond which a partition's segments are dropped; -1 keeps all.", CONFIG_LONG, CONFIG_AT_LEAST(-1), false},
    {"segment.bytes", "log.segment.bytes", "1073741824",
     "The size at which a segment is closed and the next one begins.", CONFIG_INT, CONFIG_AT_LEAST(SEGMENT_BYTES_MIN), false},
    {"segment.index.bytes", "log.index.size.max.bytes", "10485760",
     "The size to which a segment's index may grow before the segment is closed.", CONFIG_INT, CONFIG_AT_LEAST(4), false},
    {"segment.jitter.ms", "log.roll.jitter.ms", "0",
     "By how much, at random, a segment is closed before segment.ms is over.", CONFIG_LONG, CONFIG_AT_LEAST(0), false},
    {"segment.ms", "log.roll.ms", "604800000",
     "The age at which a segment is closed and the next one begins.", CONFIG_LONG, CONFIG_AT_LEAST(1), false},
    {"unclean.leader.election.enable", "unclean.leader.election.enable", "false",
     "Whether a replica that fell behind may lead; there are no replicas on one node.", CONFIG_BOOLEAN, CONFIG_ANY, false},
    {"write.caching", "write.caching", "false",
     "false: an ack means that the record is on stable media. true: that it survives kill -9, but perhaps not a power cut.",
     CONFIG_BOOLEAN, CONFIG_ANY, false},
};
// clang-format on

static const char foreign[] =
    "batch.validation,disk.full.policy,internal.segment.bytes,max.decompressed.message.bytes,message.format.version,"
    "message.timestamp.out.of.range,write.caching";

bool topic_key_foreign(const struct topic_key *k)
{
    assert(k >= keys && k < keys + COUNT_OF(keys));
    return config_list_has(foreign, k->name);
}

uint32_t topic_key_count(void)
{
    return COUNT_OF(keys);
}

const struct topic_key *topic_key_at(uint32_t i)
{
    assert(i < COUNT_OF(keys));
    return &keys[i];
}

static int compare_topic_key(const void *name, const void *key)
{
    return strcmp(name, ((const struct topic_key *)key)->name);
}

const struct topic_key *topic_key_find(const char *name)
{
    assert(name);
    return bsearch(name, keys, COUNT_OF(keys), sizeof keys[0], compare_topic_key);
}
