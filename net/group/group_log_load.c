/* Reading a group log from its start to the high watermark.
 *
 *   read --> slices --> batch (put together where it lies across slices, unpacked where it is compressed) --> records, applied
 *    ^                    '-- none whole is left                                                                    |
 *    '-----------------------------------------------------------------------------------------------------------'
 *   ... --> the end: each group is made from its last record, those of which nothing is left go --> READY
 *
 * All of it at the pace. Records that no version of ours knows, and those of transactions (which count only behind a marker that
 * commits them), are skipped and counted: only a folder that Kafka wrote has them. */
#include "core/clock.h"
#include "core/log.h"
#include "net/group/group_log_inside.h"
#include "storage/log/codec.h"
#include <stdio.h>

static void free_unpacked_records(struct group_log *l)
{
    heap_free(heap_of(l), l->load->unpacked);
    l->load->unpacked = NULL;
}

static void free_group_load(struct group_log *l)
{
    struct group_load *ld = l->load;
    assert(!ld->reading);
    timer_stop(&l->shard->timers, &ld->retry);
    slices_deinit(&ld->read.slices);
    free_unpacked_records(l);
    heap_free(heap_of(l), ld->scratch);
    heap_free(heap_of(l), ld);
    l->load = NULL;
}

static void fail_group_load(struct group_log *l, int64_t offset, const char *why)
{
    char text[160];
    snprintf(text, sizeof text, "at offset %lld: %s", (long long)offset, why);
    free_group_load(l);
    log_fail(l, text);
}

/* --- reading --- */

static void continue_group_load(struct group_log *l)
{
    pace_add(l->hooks->pace, &l->job);
}

static void retry_group_read(struct timer *t)
{
    continue_group_load(container_of(t, struct group_load, retry)->read_log);
}

static void retry_group_read_later(struct group_log *l)
{
    struct group_load *ld = l->load;
    if (++ld->tries > GROUP_LOG_READ_TRIES || partition_facts(l->partition).offline)
        fail_group_load(l, ld->next_offset, kerr_name(ld->read.error));
    else
        timer_start(&l->shard->timers, &ld->retry, l->shard->now_ns + GROUP_LOG_READ_MS * NS_PER_MS);
}

static void group_read_over(struct group_log *l)
{
    struct group_load *ld = l->load;
    ld->slice = ld->slice_at = 0;
    if (ld->read.error == KERR_OFFSET_OUT_OF_RANGE && ld->read.log_start_offset > ld->next_offset)
        ld->next_offset = ld->read.log_start_offset; /* somebody trims it: what is below counts no more */
    else if (ld->read.error)
        retry_group_read_later(l);
    else if (ld->read.slices.bytes == 0)
        ld->until = ld->next_offset; /* cannot be: there is something below the high watermark */
    else
        ld->tries = 0;
}

static void group_read_done(struct part_read *r)
{
    struct group_load *ld = container_of(r, struct group_load, read);
    struct group_log *l = ld->read_log;
    ld->reading = false;
    if (l->closing) {
        log_later(l);
        return;
    }
    group_read_over(l);
    if (l->load && !timer_started(&l->load->retry))
        continue_group_load(l);
}

static void read_group_log(struct group_log *l)
{
    struct group_load *ld = l->load;
    slices_deinit(&ld->read.slices);
    ld->read = (struct part_read){
        .offset = ld->next_offset, .max_bytes = GROUP_LOG_READ_BYTES, .first_whole = true, .done = group_read_done};
    ld->reading = !partition_read(l->partition, &ld->read);
    if (!ld->reading)
        group_read_over(l);
}

/* --- batches --- */

/* Copies what comes next; less than asked at the end of what was read. */
static uint32_t peek_slices(const struct group_load *ld, uint8_t *out, uint32_t bytes)
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

static void skip_slices(struct group_load *ld, uint32_t bytes)
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
static const uint8_t *gather_batch(struct group_log *l, uint32_t bytes, enum err *out_err)
{
    struct group_load *ld = l->load;
    const struct slices *s = &ld->read.slices;
    *out_err = ERR_NONE;
    if (ld->slice < s->count && s->v[ld->slice].bytes - ld->slice_at >= bytes)
        return s->v[ld->slice].at + ld->slice_at;
    if (s->bytes < bytes) /* more than all that was read */
        return NULL;
    if (ld->scratch_bytes < bytes) {
        heap_free(heap_of(l), ld->scratch);
        ld->scratch = heap_alloc(heap_of(l), bytes);
        ld->scratch_bytes = ld->scratch ? bytes : 0;
    }
    if (!ld->scratch)
        *out_err = ERR_NO_MEMORY;
    return ld->scratch && peek_slices(ld, ld->scratch, bytes) == bytes ? ld->scratch : NULL;
}

/* Its records, unless they do not count. */
static enum err open_loaded_batch(struct group_log *l, const uint8_t *at)
{
    struct group_load *ld = l->load;
    struct batch *b = &ld->batch;
    const uint8_t *records = at + BATCH_HEADER_BYTES;
    size_t bytes = b->bytes - BATCH_HEADER_BYTES;
    enum batch_codec codec = b->attributes & BATCH_CODEC_MASK;
    ld->record = 0;
    if (b->attributes & (BATCH_CONTROL | BATCH_TRANSACTIONAL)) {
        if (!(b->attributes & BATCH_CONTROL) && b->count > 0)
            ld->transactional += (uint32_t)b->count;
        b->count = 0;
        return ERR_NONE;
    }
    if (codec != CODEC_NONE) {
        enum err err = codec_decompress(codec, records, bytes, heap_of(l), &ld->unpacked, &bytes);
        if (err)
            return err;
        records = ld->unpacked;
    }
    ld->records = (struct batch_cursor){records, records + bytes};
    return ERR_NONE;
}

/* False: there is no whole batch left of what was read, or loading failed. */
static bool next_loaded_batch(struct group_log *l)
{
    struct group_load *ld = l->load;
    uint8_t head[BATCH_HEADER_BYTES];
    enum err err;
    free_unpacked_records(l);
    ld->batch.count = 0;
    if (peek_slices(ld, head, sizeof head) < sizeof head)
        return false;
    if (!batch_parse(head, sizeof head, &ld->batch)) {
        fail_group_load(l, ld->next_offset, "no batch");
        return false;
    }
    const uint8_t *at = gather_batch(l, ld->batch.bytes, &err);
    if (!err && !at) {
        ld->batch.count = 0;
        return false;
    }
    if (!err)
        err = open_loaded_batch(l, at);
    if (err) {
        fail_group_load(l, ld->next_offset, err_text(err));
        return false;
    }
    l->log_bytes += ld->batch.bytes;
    skip_slices(ld, ld->batch.bytes);
    ld->next_offset = batch_last_offset(&ld->batch) + 1;
    return true;
}

/* --- records --- */

static enum err apply_loaded_offset(struct group_log *l, const struct record *r)
{
    struct group_entry *e = map_get(&l->by_id, r->group.at, (size_t)r->group.n);
    if (r->tombstone) {
        if (e)
            entry_remove(e, r->committed.topic, r->committed.partition);
        return ERR_NONE;
    }
    if (!e)
        e = entry_make(l, r->group);
    return e ? entry_put(e, &r->committed) : ERR_NO_MEMORY;
}

static enum err apply_loaded_group(struct group_log *l, const struct record *r)
{
    struct group_entry *e = map_get(&l->by_id, r->group.at, (size_t)r->group.n);
    struct group_text record = {NULL, -1};
    assert(r->tombstone || r->value.n >= 0);
    if (!e && r->tombstone)
        return ERR_NONE;
    if (!e)
        e = entry_make(l, r->group);
    if (!e || (!r->tombstone && !group_copy(heap_of(l), r->value, &record)))
        return ERR_NO_MEMORY;
    entry_set_record(e, record);
    return ERR_NONE;
}

static enum err apply_group_log_record(struct group_log *l, const struct record *r)
{
    switch (r->kind) {
    case RECORD_UNKNOWN: l->load->unknown++; return ERR_NONE;
    case RECORD_OFFSET: return apply_loaded_offset(l, r);
    case RECORD_GROUP: return apply_loaded_group(l, r);
    }
    return ERR_NONE;
}

/* Returns the units it took; 0: loading failed. */
static uint32_t next_loaded_record(struct group_log *l)
{
    struct group_load *ld = l->load;
    struct batch_record raw;
    struct record r;
    if (!batch_next(&ld->records, &raw)) {
        fail_group_load(l, ld->batch.base_offset, "a record that is none");
        return 0;
    }
    int64_t offset = ld->batch.base_offset + raw.offset_delta;
    ld->record++;
    if (offset < ld->read.log_start_offset)
        return 1;
    const char *why = record_read(&raw, &r);
    r.committed.position = offset;
    if (!why && apply_group_log_record(l, &r))
        why = err_text(ERR_NO_MEMORY);
    if (why)
        fail_group_load(l, offset, why);
    if (why)
        return 0;
    return PACE_RECORD + (uint32_t)(raw.value_bytes > 0 ? raw.value_bytes / PACE_BYTES : 0);
}

/* --- the end --- */

static const char *make_loaded_group(struct group_log *l, struct group_entry *e)
{
    struct group_metadata_value v;
    struct group_now now = group_log_now();
    size_t bytes = record_group_room(group_view(e->record));
    uint8_t *arrays = heap_alloc(heap_of(l), bytes);
    struct karena arena = {arrays, arrays + bytes, false};
    const char *why = NULL;
    if (!arrays)
        return err_text(ERR_NO_MEMORY);
    enum err err = ERR_NONE;
    if (!record_group_value(group_view(e->record), &arena, &v))
        why = "a group that cannot be decoded";
    else if ((err = group_from_value(e->group, &v, now)))
        why = err_text(err);
    heap_free(heap_of(l), arrays);
    return why;
}

static uint32_t finish_loaded_entry(struct group_log *l)
{
    struct group_load *ld = l->load;
    struct group_entry *e = container_of(ld->entry, struct group_entry, link);
    uint32_t units = PACE_RECORD + (e->record.n > 0 ? (uint32_t)e->record.n / 16 : 0);
    ld->entry = e->link.next;
    const char *why = e->record.n >= 0 ? make_loaded_group(l, e) : NULL;
    if (why) {
        fail_group_load(l, ld->next_offset, why);
        return 0;
    }
    if (entry_empty(e)) {
        entry_free(e);
        return units;
    }
    e->made = true;
    l->hooks->made(e);
    return units;
}

static void log_group_load(const struct group_log *l)
{
    const struct group_load *ld = l->load;
    if (ld->unknown > 0 || ld->transactional > 0)
        log_warn(
            "group log: records skipped",
            "partition=__consumer_offsets-%d unknown=%llu transactional=%llu hint=\"newer kinds of groups, and offsets "
            "committed by transactions, are not supported\"",
            l->index, (unsigned long long)ld->unknown, (unsigned long long)ld->transactional);
    log_debug("group log loaded", "partition=__consumer_offsets-%d groups=%u bytes=%llu ms=%llu", l->index,
              l->by_id.count, (unsigned long long)l->log_bytes,
              (unsigned long long)((l->shard->now_ns - ld->started_ns) / NS_PER_MS));
}

static void group_log_loaded(struct group_log *l)
{
    log_group_load(l);
    free_group_load(l);
    l->state = GROUP_LOG_READY;
    l->told = true;
    log_later(l);
    sweep_want(l);
}

/* --- all together --- */

/* One thing that takes no time of its own: a batch, a read, the end. False: it waits, or it is over. */
static bool advance_group_load(struct group_log *l)
{
    struct group_load *ld = l->load;
    if (next_loaded_batch(l))
        return true;
    if (!l->load)
        return false;
    if (ld->next_offset >= ld->until) {
        slices_deinit(&ld->read.slices);
        ld->entry = l->entries.next;
        return true;
    }
    read_group_log(l);
    return l->load && !ld->reading && !timer_started(&ld->retry);
}

void load_step(struct group_log *l)
{
    uint32_t units = PACE_UNITS;
    bool more = !l->closing && !l->load->reading;
    while (more && units > 0) {
        struct group_load *ld = l->load;
        uint32_t took = 1;
        if (ld->entry == &l->entries) {
            group_log_loaded(l);
            return;
        }
        if (ld->entry)
            more = (took = finish_loaded_entry(l)) > 0;
        else if (ld->record < ld->batch.count)
            more = (took = next_loaded_record(l)) > 0;
        else
            more = advance_group_load(l);
        units -= took < units ? took : units;
    }
    if (more)
        continue_group_load(l);
}

enum err load_begin(struct group_log *l)
{
    struct group_load *ld = heap_zalloc(heap_of(l), sizeof *ld);
    if (!ld)
        return ERR_NO_MEMORY;
    struct partition_facts facts = partition_facts(l->partition);
    ld->read_log = l;
    ld->next_offset = facts.log_start_offset;
    ld->until = facts.high_watermark;
    ld->started_ns = l->shard->now_ns;
    slices_init(&ld->read.slices, heap_of(l));
    timer_init(&ld->retry, retry_group_read);
    l->load = ld;
    if (facts.offline) /* what it says of its ends is not what the disk holds */
        fail_group_load(l, 0, "the partition is offline");
    else
        continue_group_load(l);
    return ERR_NONE;
}

bool load_close(struct group_log *l)
{
    if (!l->load)
        return true;
    if (l->load->reading)
        return false;
    free_group_load(l);
    return true;
}
