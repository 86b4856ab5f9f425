/* Redo: the young end of caching partitions in shared memory, which outlives the process (the `shm` route of write.caching).
 *
 * The broker's tails stay what they are. At the end of a turn the bytes that were appended to a caching partition, and that nothing
 * promises yet, are copied once more, as one record, into a ring of their shard; then they are crash-safe: acks go out, the high watermark
 * moves. A wave carries them to the segment file by and by (CARRY_MS, or as soon as somebody wants them there). What is large goes the
 * other way, the `written` route, for which nothing changes: its ack waits for its wave, which costs less than a second copy.
 *
 * A record is physical: these bytes at this position of this segment. So the next start after a kill does what the kernel would have done
 * with a write that was submitted: it writes them there (recovery/redo_replay.h), and everything else is recovery's as ever.
 *
 *   file:   page 0     struct redo_header: whose it is. Written last when the file is made: without it there is no file
 *           per shard  page: struct redo_ends       ring: REDO_RING_BYTES of records, wrapping
 *
 *   ring:   ... | needed: records that files may lack ... committed | free ...      positions only rise; the place is the rest by the size
 *
 * Rules, in the order of their importance:
 *   - `committed` is stored (release) when header and bytes of the record are there, patched as they are to be in the file. Nothing is
 *     promised before that.
 *   - Only what follows on what is promised is put, and it is promised in the same step: no record ever holds what a failed wave may
 *     roll back.
 *   - `needed` passes a record only when a completed write has its bytes; only then its place is used again.
 *   - A partition rolls when everything in its segment is durable. So a record of a segment is of no use once there is a later one
 *     that begins behind the record.
 *   - The ring is fully allocated before its first use: no SIGBUS. Where that is refused, or the ring is full, acks wait for their writes.
 *   - All is lost when the power goes, which loses no more than what was written and not yet flushed.
 *   - Where the file was deleted or replaced under the running broker, no start finds the rings: the checkpointer's job sees that within a
 *     second of an append (root_redo_check), and acks wait for their writes until a restart.
 *   - A wave that fails leaves its records where they are: the next start has them. (The ring's end stands still then, and once it is full
 *     the shard goes the other way until then.)
 *
 * Of a file is taken what was left by the last life of this folder, and nothing else: format, boot, folder (device and inode) and leader
 * epoch must be those that the start finds. (Each start after anything but a clean stop raises the epoch, behind the replay.) A record is
 * taken if its header's CRC is good, it stands where it says, it is of a topic that lives, of the last segment, within its file, and if
 * each batch in it is whole by its own CRC and has the offset and epoch that it must have. */
#pragma once
#include "core/list.h"
#include "storage/limits.h"
#include <stdatomic.h>

struct tail;

#define REDO_MAGIC "odradek redo 1\n" /* 16 bytes with its zero: format and byte order of the machine it never leaves */
#define REDO_NOWHERE UINT64_MAX
enum { REDO_PATH_BYTES = 1024 };

struct redo_identity {
    uint8_t boot_id[16];
    uint64_t device, inode; /* of the data folder */
    int32_t leader_epoch;
};
struct redo_header {
    char magic[16];
    struct redo_identity of;
    uint32_t rings;
    char path[REDO_PATH_BYTES]; /* of the data folder, from the root on */
    uint32_t crc;               /* of all before */
};
struct redo_ends {
    _Atomic uint64_t committed, needed;
};
static_assert(sizeof(struct redo_header) <= PAGE_BYTES, "the header is one page");

struct redo_record {
    uint32_t crc; /* of the rest of this header */
    uint32_t bytes;
    uint64_t place; /* in the ring: of this lap */
    uint8_t topic_id[16];
    int32_t partition, leader_epoch;
    int64_t segment, base_offset, end_offset; /* base offset of the segment's file; of the batches */
    uint64_t position;
};
static_assert(sizeof(struct redo_record) == 72, "no holes: its CRC covers all of it");

static inline uint64_t redo_ring_at(uint32_t ring)
{
    return PAGE_BYTES + ring * (uint64_t)(PAGE_BYTES + REDO_RING_BYTES);
}
uint32_t redo_header_crc(const struct redo_header *h);
uint32_t redo_record_crc(const struct redo_record *r);
/* Bytes of a ring that begin at a place, which may wrap. */
void redo_ring_read(const uint8_t *ring, uint64_t place, void *to, uint32_t bytes);

/* --- the writer's side: one per shard --- */

/* In a partition: where its oldest record lies that its file may lack. */
struct redo_place {
    uint64_t from;      /* REDO_NOWHERE: none */
    uint64_t wave_from; /* what is put from there on came after the wave in flight began */
    uint64_t end;       /* position in the segment behind its last record */
    struct list link;   /* by `from` */
};
struct redo_ring {
    struct redo_ends *ends; /* NULL: there is no ring */
    bool left;              /* nothing more is put: nobody would find it */
    uint8_t *at;
    uint64_t committed, needed;
    struct list places;
};
void redo_place_init(struct redo_place *p);
/* `at`: of redo_ring_at, zeros; NULL: none. */
void redo_ring_init(struct redo_ring *r, uint8_t *at);
void redo_ring_check(const struct redo_ring *r);
/* Is there room for a record of so many bytes? */
static inline bool redo_ring_fits(const struct redo_ring *r, uint64_t bytes)
{
    return r->ends && !r->left && bytes <= REDO_BYTES_MAX &&
           r->committed - r->needed + sizeof(struct redo_record) + bytes <= REDO_RING_BYTES;
}
static inline bool redo_ring_is_half_full(const struct redo_ring *r)
{
    return r->committed - r->needed > REDO_RING_BYTES / 2;
}
/* The record's `bytes` from its position on, out of the tail; crc and place are set here. It fits. From now on it is crash-safe. */
void redo_ring_put(struct redo_ring *r, struct redo_place *p, struct redo_record *record, const struct tail *t,
                   uint64_t segment_number);
/* A wave of the partition begins, from everything that was put so far. */
void redo_wave_begins(const struct redo_ring *r, struct redo_place *p);
/* It has ended: up to `position` the file has all. */
void redo_written(struct redo_ring *r, struct redo_place *p, uint64_t position);
/* The partition is gone. `needless`: nobody needs its records. */
void redo_place_forget(struct redo_ring *r, struct redo_place *p, bool needless);
