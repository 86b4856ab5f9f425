/* Records of __consumer_offsets: from a record of the log to what it says, and back into batches. Pure.
 *
 *   key  | version 2 | ...   0 and 1: group, topic, partition; 2: group; 3 and more: newer kinds of groups, unknown here
 *   value| version 2 | ...   null: a tombstone
 *
 * Any version that Kafka wrote is read. Written are those that Kafka writes, and its older tools read: an offset's value in
 * version 3 (1 when it has a time to expire at, which 3 has no field for), a group's in version 3. */
#pragma once
#include "net/coord/coord_batch.h"
#include "net/group/offsets.h"

enum record_kind { RECORD_UNKNOWN, RECORD_OFFSET, RECORD_GROUP };
struct record {
    enum record_kind kind;
    bool tombstone;
    struct kview group;
    struct committed committed; /* RECORD_OFFSET: views into the record */
    struct kview value;         /* RECORD_GROUP: as it stands, with its version */
};
/* NULL, or what is wrong with it. A key that is not there or of a version unknown here is RECORD_UNKNOWN. */
const char *record_read(struct kview key, struct kview value, struct record *out);
/* A group's value, both ways. False: damaged, or no room in the arena. */
bool record_group_value(struct kview value, struct arena *arena, struct group_metadata_value *out) must_use;
/* Bytes for the arena above, enough for any value of this size. */
size_t record_group_arena_bytes(struct kview value);
uint32_t record_group_bytes(const struct group_metadata_value *v);
void record_group_encode(const struct group_metadata_value *v, uint8_t *out, uint32_t bytes);

/* Not less than the record takes in a batch. */
uint32_t record_offset_bytes(struct kview group, const struct committed *c);
uint32_t record_group_record_bytes(struct kview group, struct kview value);
/* Puts it whole; false: there is no room, and the batch is as it was. */
bool record_put_offset(struct record_batch *b, struct kview group, const struct committed *c) must_use;
bool record_put_offset_gone(struct record_batch *b, struct kview group, const struct committed *c) must_use;
/* `value` as record_group_encode made it; null (n == -1): a tombstone. */
bool record_put_group(struct record_batch *b, struct kview group, struct kview value) must_use;
