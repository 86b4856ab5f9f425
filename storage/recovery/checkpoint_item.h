/* One partition in a checkpointer's job: what goes to its index files and to the checkpoint file. It is built on the shard, in which nothing of
 * it is larger than a copy of some index entries, and encoded by the job. For checkpointer.c alone. */
#pragma once
#include "storage/log/partition_state.h"
#include "storage/recovery/checkpoint_file.h"

enum {
    CHECKPOINT_LARGE_BYTES = 1 << 16, /* of an entry: some 400 producers */
    /* Of index entries that are copied in one turn. Usually there are as many since the last checkpoint, 64 MiB of log at most; all of a segment's
     * (5 MiB of 1 GiB, or of more where index.interval.bytes is small) behind the first one after a start. */
    CHECKPOINT_DELTA_BYTES = 1 << 18,
};

/* New index entries of one partition. */
struct checkpoint_delta {
    char *dir;
    int64_t segment;
    uint64_t offsets_at, times_at;
    uint64_t aborted_at;
    uint32_t offsets_bytes, times_bytes, aborted_bytes;
    uint8_t *bytes; /* offsets, then times, then aborted transactions */
};
struct checkpoint_item {
    struct partition *partition; /* NULL: it was closed meanwhile */
    bool
        part; /* index entries alone, as many as fit: the others come with the next items, and the entry with the last */
    struct checkpoint_delta delta;
    struct producers *producers; /* held; what the job writes behind `known` */
    struct checkpoint_entry known;
    uint8_t *entry; /* room for it; the job encodes it; NULL: a part has none */
    uint32_t entry_bytes;
    uint8_t *segments; /* encoded: closed ones, from number segments_from on */
    uint32_t segments_bytes;
    struct mark mark;
    int64_t segment;
    uint32_t offsets, times, aborted, offsets_crc, times_crc, aborted_crc; /* saved when the job succeeds */
};

/* Of a partition whose held mark is durable; takes what it holds of producers, unless it is a part: then its mark stays held. A clean one is whole. False: no memory, and nothing was taken. `serial` rises. */
bool checkpoint_item_build(struct checkpoint_item *it, struct partition *p, bool clean, uint64_t *serial) must_use;
/* Of index entries: what it cost to build. */
static inline size_t checkpoint_item_delta_bytes(const struct checkpoint_item *it)
{
    return (size_t)it->delta.offsets_bytes + it->delta.times_bytes + it->delta.aborted_bytes;
}
void checkpoint_item_free(struct checkpoint_item *it, struct heap *heap); /* its memory, not itself */
/* In the job. */
void checkpoint_item_encode(struct checkpoint_item *it);
enum err checkpoint_item_put_indexes(const struct checkpoint_item *it) must_use;
/* A closed segment whose times are known. */
void checkpoint_item_segment(const struct partition *p, const struct segment *s, uint64_t *serial, uint8_t *out);
