/* What clients saw, one line per event, appended and never rewritten:
 *   W writer idempotent retries               a writer starts; its sequences begin at 0 in every partition
 *   A writer partition base sequence count    acked: these records lie at offsets base .. base+count-1
 *   R partition base count epoch crc          read back while the load ran
 * The file belongs to the harness, which is never killed; a line counts once write(2) has returned. */
#pragma once
#include "tests/load/batch.h"

struct history {
    int fd;
    struct wbuf pending;
    uint64_t acked, read; /* batches, since opening */
};

struct history_writer {
    uint32_t id;
    bool idempotent, retries;
};

struct history_ack {
    uint32_t writer, partition, count;
    int64_t base;
    uint64_t seq;
};

struct history_read {
    uint32_t partition, count, crc;
    int64_t base;
    int32_t epoch;
};

struct history_all {
    struct history_writer *writers;
    struct history_ack *acks;
    struct history_read *reads;
    size_t writer_count, ack_count, read_count;
};

bool history_open(struct history *h, const char *path);
void history_put_writer(struct history *h, const struct history_writer *w);
void history_put_ack(struct history *h, const struct history_ack *a);
void history_put_read(struct history *h, const struct batch_view *v, uint32_t partition);
void history_write(struct history *h); /* write(2)s what is pending; aborts when that fails */

bool history_load(const char *path, struct history_all *out); /* false: unreadable, or a line is not understood */
const struct history_writer *history_find(const struct history_all *all, uint32_t writer);
