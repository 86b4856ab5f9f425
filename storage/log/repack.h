/* A batch whose records must be seen: unpacked, judged as those of an uncompressed one, and packed again where the topic wants another
 * codec. A computation of one batch, for a job: it knows no partition.
 *
 *   CRC --> unpack --> judge the records (batch_check.c) --> [pack: compression.type] --> size
 *              |              |                                   |                        |
 *       INVALID_RECORD   the first at fault, and all listed   MESSAGE_TOO_LARGE     RECORD_LIST_TOO_LARGE
 *
 * As Kafka's LogValidator: what is packed again has the base timestamp of its first record, the largest timestamp of its records, and of
 * the attributes only the codec and the transactional bit; max.message.bytes counts for what came and for what is made of it. Ours on
 * purpose: offset deltas count 0, 1, 2 ... or the batch is refused (Kafka gives such records new ones), and what cannot be unpacked
 * is INVALID_RECORD (Kafka: UNKNOWN_SERVER_ERROR). */
#pragma once
#include "core/mem.h"
#include "storage/log/batch.h"

struct repack {
    const uint8_t *at;          /* the batch as sent, whole; its header was judged */
    struct batch batch;         /* of its header; afterwards of what goes into the log */
    struct batch_limits limits; /* that it was judged by */
    int8_t codec;               /* enum batch_codec to pack with; -1: none */
    int32_t level;
    size_t unpacked_max; /* bytes of records: beyond, it is refused */
    size_t
        unpacked_room; /* so many may be had now, twice where it packs: if that is too few, it ends with wants_more, to be run again */
    uint8_t *room; /* repack_room_bytes of it, 8-aligned: for the new batch, or the list of faults */
    size_t room_bytes;
    /* out */
    enum kerr error; /* KAFKA_STORAGE_ERROR: no memory */
    struct batch_fault fault;
    bool wants_more; /* nothing else is said then */
    bool packed;     /* what goes into the log is in `room`; otherwise it is at `at`, its max_timestamp to be mended */
    size_t unpacked_bytes;
};
/* Does it change the codec? */
static inline bool repack_packs(const struct repack *r)
{
    return r->codec >= 0 && r->codec != (r->batch.attributes & BATCH_CODEC_MASK);
}
/* May it take seconds? (zstd packs a MB/s at its highest levels.) Nothing that is quick should stand behind it. */
bool repack_is_slow(const struct repack *r);
size_t repack_room_bytes(const struct repack *r);
/* `heap`: for what it needs meanwhile, of the thread that calls. */
void repack_run(struct repack *r, struct heap *heap);
