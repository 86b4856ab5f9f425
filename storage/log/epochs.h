/* Where each leader epoch of a partition starts: Kafka's LeaderEpochFileCache and its file leader-epoch-checkpoint
 * (text: version 0, count, then "epoch start_offset" lines). */
#pragma once
#include "core/err.h"
#include "core/mem.h"

struct epochs {
    struct epoch_start {
        int32_t epoch;
        int64_t start_offset;
    } * v;
    uint32_t count, cap;
    struct heap *heap;
};
void epochs_init(struct epochs *es, struct heap *heap);
void epochs_deinit(struct epochs *es);
/* Notes that `epoch` starts at `offset` unless it is known already. Epochs and offsets only rise. */
enum err epochs_add(struct epochs *es, int32_t epoch, int64_t offset) must_use;
enum err epochs_reserve(struct epochs *es) must_use; /* the next epochs_add does not fail then */
int32_t epochs_latest(const struct epochs *es);      /* -1: none */
/* OffsetForLeaderEpoch: the end of the largest known epoch <= `epoch`; (-1,-1) when unknown. Kafka: endOffsetFor. */
void epochs_end_of(const struct epochs *es, int32_t epoch, int32_t current_epoch, int64_t log_end_offset,
                   int32_t *out_epoch, int64_t *out_end_offset);
int32_t epochs_of_offset(const struct epochs *es, int64_t offset); /* -1: unknown */
/* Forgets entries that start at or beyond `end_offset` (a cut log). */
void epochs_truncate(struct epochs *es, int64_t end_offset);
/* Forgets what ended before `start_offset` (a log whose start moved); the epoch that holds it begins there. Kafka: truncateFromStart. */
void epochs_truncate_start(struct epochs *es, int64_t start_offset);
/* The file's text; returns its length, writes at most `cap` bytes. */
size_t epochs_text(const struct epochs *es, char *out, size_t cap);
enum err epochs_parse(struct epochs *es, const char *text, size_t bytes) must_use;
