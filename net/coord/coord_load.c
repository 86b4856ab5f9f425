/* Reading a coordinator's log from its start to the high watermark.
 *
 *   read --> slices --> batch (put together where it lies across slices, unpacked where it is compressed) --> records, replayed; or a marker
 *    ^                    '-- none whole is left                                                                    |
 *    '-----------------------------------------------------------------------------------------------------------'
 *   ... --> the end: each entry comes to life, those of which nothing is left go --> READY
 *
 * All of it at the pace. What cannot be understood is skipped and counted: a record, or the rest of a batch whose records have no
 * ends. The first of each kind is named in one line a load. */
#include "core/clock.h"
#include "core/log.h"
#include "net/coord/coord_log_inside.h"
#include "storage/log/codec.h"
#include "storage/recovery/recoverer.h"
#include <stdio.h>

struct skipped_records {
    uint64_t count;
    int64_t first_offset; /* -1: of an entry, not of a record */
    const char *why;      /* of the first */
};
struct coord_load {
    struct coord_log *log;
    struct recovery_wait wait; /* for its partition to be recovered, before anything is read */
    struct part_read read;
    bool reading;
    int64_t next_offset, until;
    uint32_t slice, slice_at; /* where the next batch begins */
    uint8_t *scratch;         /* batches that lie across slices */
    uint32_t scratch_bytes;
    struct batch batch; /* the current one ... */
    struct batch_cursor records;
    int32_t record;    /* ... and which of its records is next */
    uint8_t *unpacked; /* its records, if it was compressed */
    bool is_marker;    /* it is one, and not yet over */
    struct coord_end end;
    struct skipped_records skipped[COORD_NO_MEMORY]; /* by enum coord_replay */
    struct coord_cursor entries;                     /* those that come to life; its log is NULL: still reading */
    uint32_t tries;
    struct timer retry;
    uint64_t started_ns, bytes;
};

static void free_unpacked_records(struct coord_load *ld)
{
    heap_free(ld->log->heap, ld->unpacked);
    ld->unpacked = NULL;
}

static void free_coord_load(struct coord_log *l)
{
    struct coord_load *ld = l->load;
    assert(!ld->reading);
    recoverer_cancel(&ld->wait);
    coord_cursor_end(&ld->entries);
    timer_stop(&l->shard->timers, &ld->retry);
    slices_deinit(&ld->read.slices);
    free_unpacked_records(ld);
    heap_free(l->heap, ld->scratch);
    heap_free(l->heap, ld);
    l->load = NULL;
}

static void fail_coord_load(struct coord_log *l, int64_t offset, const char *why)
{
    char text[160];
    snprintf(text, sizeof text, "at offset %lld: %s", (long long)offset, why);
    free_coord_load(l);
    coord_log_fail(l, text);
}

static void starve_coord_load(struct coord_log *l)
{
    l->may_pass = true;
    fail_coord_load(l, l->load->next_offset, err_text(ERR_NO_MEMORY));
}

static void skip_record(struct coord_load *ld, enum coord_replay what, int64_t offset, const char *why)
{
    assert(what > COORD_REPLAYED && what < COORD_NO_MEMORY);
    struct skipped_records *s = &ld->skipped[what];
    if (s->count++ > 0)
        return;
    s->first_offset = offset;
    s->why = why;
}

/* --- reading --- */

static void continue_coord_load(struct coord_log *l)
{
    pace_add(l->pace, &l->job);
}

static void retry_coord_read(struct timer *t)
{
    continue_coord_load(container_of(t, struct coord_load, retry)->log);
}

static void retry_coord_read_later(struct coord_log *l)
{
    struct coord_load *ld = l->load;
    if (++ld->tries <= COORD_READ_TRIES && !partition_facts(l->partition).offline) {
        timer_start(&l->shard->timers, &ld->retry, l->shard->now_ns + COORD_READ_MS * NS_PER_MS);
        return;
    }
    l->may_pass = true; /* short of memory or descriptors: what is damaged takes the partition offline */
    fail_coord_load(l, ld->next_offset, kerr_name(ld->read.error));
}

static void coord_read_over(struct coord_log *l)
{
    struct coord_load *ld = l->load;
    ld->slice = ld->slice_at = 0;
    if (ld->read.error == KERR_OFFSET_OUT_OF_RANGE && ld->read.log_start_offset > ld->next_offset)
        ld->next_offset = ld->read.log_start_offset; /* somebody trims it: what is below counts no more */
    else if (ld->read.error)
        retry_coord_read_later(l);
    else if (ld->read.slices.bytes == 0)
        ld->until = ld->next_offset; /* cannot be: there is something below the high watermark */
    else
        ld->tries = 0;
}

static void coord_read_done(struct part_read *r)
{
    struct coord_load *ld = container_of(r, struct coord_load, read);
    struct coord_log *l = ld->log;
    ld->reading = false;
    if (l->closing) {
        coord_log_later(l);
        return;
    }
    coord_read_over(l);
    if (l->load && !timer_started(&l->load->retry))
        continue_coord_load(l);
}

static void read_coord_log(struct coord_log *l)
{
    struct coord_load *ld = l->load;
    slices_deinit(&ld->read.slices);
    ld->read = (struct part_read){
        .offset = ld->next_offset, .max_bytes = COORD_READ_BYTES, .first_whole = true, .done = coord_read_done};
    ld->reading = !partition_read(l->partition, &ld->read);
    if (!ld->reading)
        coord_read_over(l);
}

/* --- batches --- */

/* Copies what comes next; less than asked at the end of what was read. */
static uint32_t peek_slices(const struct coord_load *ld, uint8_t *out, uint32_t bytes)
{
    const struct slices *s = &ld->read.slices;
    uint32_t have = 0, from = ld->slice_at;
    for (uint32_t i = ld->slice; i < s->count && have < bytes; i++, from = 0) {
        uint32_t n = (uint32_t)u64_min(bytes - have, s->v[i].bytes - from);
        memcpy(out + have, s->v[i].at + from, n);
        have += n;
    }
    return have;
}

static void skip_slices(struct coord_load *ld, uint32_t bytes)
{
    const struct slices *s = &ld->read.slices;
    while (bytes > 0) {
        uint32_t n = (uint32_t)u64_min(bytes, s->v[ld->slice].bytes - ld->slice_at);
        bytes -= n;
        ld->slice_at += n;
        if (ld->slice_at == s->v[ld->slice].bytes) {
            ld->slice++;
            ld->slice_at = 0;
        }
    }
}

/* The next `bytes` in one piece; NULL: they are not all there, or no memory (*out_err). */
static const uint8_t *gather_slices(struct coord_load *ld, uint32_t bytes, enum err *out_err)
{
    const struct slices *s = &ld->read.slices;
    *out_err = ERR_NONE;
    if (ld->slice < s->count && s->v[ld->slice].bytes - ld->slice_at >= bytes)
        return s->v[ld->slice].at + ld->slice_at;
    if (s->bytes < bytes) /* more than all that was read */
        return NULL;
    if (ld->scratch_bytes < bytes) {
        heap_free(ld->log->heap, ld->scratch);
        ld->scratch = heap_alloc(ld->log->heap, bytes);
        ld->scratch_bytes = ld->scratch ? bytes : 0;
    }
    if (!ld->scratch)
        *out_err = ERR_NO_MEMORY;
    return ld->scratch && peek_slices(ld, ld->scratch, bytes) == bytes ? ld->scratch : NULL;
}

static enum err open_coord_batch(struct coord_load *ld, const uint8_t *at)
{
    struct batch *b = &ld->batch;
    struct batch_marker marker;
    ld->record = 0;
    if (batch_is_control(b)) {
        ld->is_marker =
            ld->log->kind->end_txn && b->base_offset >= ld->read.log_start_offset && batch_read_marker(b, at, &marker);
        if (ld->is_marker)
            ld->end = (struct coord_end){.producer_id = b->producer_id, .commit = marker.commit};
        b->count = 0;
        return ERR_NONE;
    }
    return codec_records(b, at, CODEC_OUTPUT_MAX, ld->log->heap, &ld->unpacked, &ld->records);
}

/* False: there is no whole batch left of what was read, or loading failed. */
static bool next_coord_batch(struct coord_log *l)
{
    struct coord_load *ld = l->load;
    uint8_t head[BATCH_HEADER_BYTES];
    enum err err;
    free_unpacked_records(ld);
    ld->batch.count = 0;
    if (peek_slices(ld, head, sizeof head) < sizeof head)
        return false;
    if (!batch_parse(head, sizeof head, &ld->batch)) {
        fail_coord_load(l, ld->next_offset, "no batch");
        return false;
    }
    const uint8_t *at = gather_slices(ld, ld->batch.bytes, &err);
    if (!err && !at) {
        ld->batch.count = 0;
        return false;
    }
    if (!err)
        err = open_coord_batch(ld, at);
    if (err == ERR_NO_MEMORY) {
        starve_coord_load(l);
        return false;
    }
    if (err) {
        skip_record(ld, COORD_MALFORMED, ld->batch.base_offset, "a batch that cannot be unpacked");
        ld->batch.count = 0;
    }
    ld->bytes += ld->batch.bytes;
    skip_slices(ld, ld->batch.bytes);
    ld->next_offset = batch_last_offset(&ld->batch) + 1;
    return true;
}

/* --- records --- */

static struct coord_record coord_record_of(const struct batch *b, const struct batch_record *raw)
{
    return (struct coord_record){.offset = b->base_offset + raw->offset_delta,
                                 .key = {raw->key, raw->key_bytes},
                                 .value = {raw->value, raw->value ? raw->value_bytes : -1},
                                 .producer_id = b->producer_id,
                                 .transactional = batch_is_transactional(b)};
}

/* Returns the units it took; 0: loading failed. */
static uint32_t replay_next_record(struct coord_log *l)
{
    struct coord_load *ld = l->load;
    struct batch_record raw;
    if (!batch_next(&ld->records, &raw)) {
        skip_record(ld, COORD_MALFORMED, ld->batch.base_offset, "a record that has no end");
        ld->record = ld->batch.count;
        return 1;
    }
    struct coord_record r = coord_record_of(&ld->batch, &raw);
    ld->record++;
    if (r.offset < ld->read.log_start_offset)
        return 1;
    enum coord_replay what = l->kind->replay(l, &r);
    if (what == COORD_NO_MEMORY) {
        starve_coord_load(l);
        return 0;
    }
    if (what != COORD_REPLAYED)
        skip_record(ld, what, r.offset, r.why);
    return PACE_RECORD + (uint32_t)(raw.value_bytes > 0 ? raw.value_bytes / PACE_BYTES : 0);
}

/* Likewise. */
static uint32_t replay_marker(struct coord_log *l, uint32_t units)
{
    struct coord_load *ld = l->load;
    uint32_t took = PACE_RECORD;
    enum coord_replay what = l->kind->end_txn(l, &ld->end, units, &took);
    if (what == COORD_NO_MEMORY) {
        starve_coord_load(l);
        return 0;
    }
    ld->is_marker = what == COORD_AGAIN;
    return took;
}

/* --- the end --- */

static uint32_t finish_loaded_entry(struct coord_log *l)
{
    struct coord_load *ld = l->load;
    struct coord_entry *e = coord_cursor_next(&ld->entries);
    const char *why = NULL;
    uint32_t units = PACE_RECORD;
    enum coord_replay what = l->kind->loaded(e, &units, &why);
    if (what == COORD_NO_MEMORY) {
        starve_coord_load(l);
        return 0;
    }
    if (what != COORD_REPLAYED)
        skip_record(ld, what, -1, why);
    coord_entry_drop_if_empty(e);
    return units;
}

static void log_skipped(const struct coord_log *l, enum coord_replay what, const char *name, const char *effect)
{
    const struct skipped_records *s = &l->load->skipped[what];
    if (s->count > 0)
        log_warn("coordinator's records skipped",
                 "partition=%s-%d kind=%s count=%llu first_offset=%lld first=\"%s\" effect=\"%s\"", l->kind->topic,
                 l->index, name, (unsigned long long)s->count, (long long)s->first_offset, s->why ? s->why : "",
                 effect);
}

static void coord_load_over(struct coord_log *l)
{
    log_skipped(l, COORD_UNKNOWN, "unknown", "newer kinds of records are not supported");
    log_skipped(l, COORD_TRANSACTIONAL, "transactional", "what transactions wrote is not supported");
    log_skipped(l, COORD_MALFORMED, "malformed", "what they said is lost; everything else is there");
    log_debug("coordinator's log loaded", "partition=%s-%d entries=%u bytes=%llu ms=%llu", l->kind->topic, l->index,
              l->by_id.count, (unsigned long long)l->load->bytes,
              (unsigned long long)((l->shard->now_ns - l->load->started_ns) / NS_PER_MS));
    free_coord_load(l);
    l->state = COORD_LOG_READY;
    l->ready_due = true;
    coord_log_later(l);
    coord_sweep_want(l);
}

/* --- all together --- */

/* One thing that takes no time of its own: a batch, a read, the end. False: it waits, or it is over. */
static bool advance_coord_load(struct coord_log *l)
{
    struct coord_load *ld = l->load;
    if (next_coord_batch(l))
        return true;
    if (!l->load)
        return false;
    if (ld->next_offset >= ld->until) {
        slices_deinit(&ld->read.slices);
        coord_cursor_begin(&ld->entries, l);
        return true;
    }
    read_coord_log(l);
    return l->load && !ld->reading && !timer_started(&ld->retry);
}

void coord_load_step(struct coord_log *l)
{
    uint32_t units = PACE_UNITS;
    bool more = !l->closing && !l->load->reading;
    while (more && units > 0) {
        struct coord_load *ld = l->load;
        uint32_t took = 1;
        if (ld->entries.log && coord_cursor_over(&ld->entries)) {
            coord_load_over(l);
            return;
        }
        if (ld->entries.log)
            more = (took = finish_loaded_entry(l)) > 0;
        else if (ld->is_marker)
            more = (took = replay_marker(l, units)) > 0;
        else if (ld->record < ld->batch.count)
            more = (took = replay_next_record(l)) > 0;
        else
            more = advance_coord_load(l);
        units -= took < units ? took : units;
    }
    if (more)
        continue_coord_load(l);
}

static void begin_coord_read(struct coord_log *l)
{
    struct partition_facts facts = partition_facts(l->partition);
    l->load->next_offset = facts.log_start_offset;
    l->load->until = facts.high_watermark;
    if (facts.offline) /* what it says of its ends is not what the disk holds */
        fail_coord_load(l, 0, "the partition is offline");
    else if (facts.recovering)
        fail_coord_load(l, 0, "the partition is not recovered");
    else
        continue_coord_load(l);
}

static void coord_partition_recovered(struct recovery_wait *w)
{
    struct coord_log *l = container_of(w, struct coord_load, wait)->log;
    if (l->closing)
        coord_log_later(l);
    else
        begin_coord_read(l);
}

enum err coord_load_begin(struct coord_log *l)
{
    struct coord_load *ld = heap_zalloc(l->heap, sizeof *ld);
    if (!ld)
        return ERR_NO_MEMORY;
    ld->log = l;
    ld->started_ns = l->shard->now_ns;
    ld->wait.over = coord_partition_recovered;
    slices_init(&ld->read.slices, l->heap);
    timer_init(&ld->retry, retry_coord_read);
    l->load = ld;
    if (!recoverer_wait(l->partition, &ld->wait, RECOVERY_REQUEST, RECOVERY_NO_DEADLINE))
        begin_coord_read(l);
    return ERR_NONE;
}

bool coord_load_close(struct coord_log *l)
{
    if (!l->load)
        return true;
    if (l->load->reading)
        return false;
    free_coord_load(l);
    return true;
}
