/* What must be true of logs that lose records by rule: compacted ones, and those whose old segments are dropped. Every record has a
 * number (its header says it), is sent once, and says which key it is for; so each one that is read is known.
 *
 *   - An offset never changes, and no two records have the same. Offsets are dense where nothing is compacted.
 *   - A record that was acknowledged or read, at or above the log start, is there; of a compacted log it may be missing only when a later
 *     record of its key is known, or when it is a tombstone older than delete.retention.ms.
 *   - What was missing once is never there again, and where a tombstone is missing no older record of its key is there.
 *   - The log start never falls. What lies below it was as old as retention.ms, or there was more than retention.bytes. */
#pragma once
#include "tests/sim/make_batch.h"
#include "tests/sim/world.h"

enum { KEYED_NAME = 32, KEYED_KEYS = 12 };

struct keyed_record {
    int64_t offset, timestamp; /* offset: -1 until it was acknowledged or read */
    uint64_t sent_ns, known_ns;
    int64_t sent_wall_ms;
    uint32_t key, bytes,
        seen_in; /* bytes: of its batch, with the first record of that; seen_in: the last reading that saw it */
    int32_t value_bytes;
    bool gone;
};
struct keyed_log {
    char topic[KEYED_NAME];
    int32_t index;
    bool compacts, drops;
    int64_t retention_ms, retention_bytes, delete_retention_ms; /* -1: none */
    struct keyed_record *v;                                     /* by number */
    uint32_t count, cap;
    uint32_t *at_offset; /* number of the record there and 1 more, 0: not known */
    uint32_t offsets_cap;
    int64_t start;
    /* the present reading */
    uint32_t reading;
    uint64_t reading_since_ns;
    int64_t next, from;
};

/* A record is about to be sent: number l->count. */
void keyed_sends(struct keyed_log *l, const struct keyed_value *v, uint32_t bytes);
void keyed_acked(struct keyed_log *l, uint32_t number, int64_t offset);
/* Somebody was told where the log starts, who asked when it was `at_least`. */
void keyed_start_seen(struct keyed_log *l, int64_t at_least, int64_t start);
/* A reading of all of it: begin, each batch in order, end at a watermark. */
void keyed_reading_begins(struct keyed_log *l, int64_t from);
/* The batches of one fetch; returns the next offset. */
int64_t keyed_read(struct keyed_log *l, int64_t offset, const uint8_t *at, uint32_t bytes);
void keyed_reading_ends(struct keyed_log *l, int64_t watermark);
