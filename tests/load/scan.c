/* Reads and checks one partition; see scan.h. */
#include "tests/load/scan.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FETCH_BYTES = 4 << 20, LATEST = -1, EARLIEST = -2 };

static bool fail(struct scan *s, int64_t at, const char *why)
{
    if (!s->fault[0])
        snprintf(s->fault, sizeof s->fault, "partition %" PRIu32 " offset %" PRId64 ": %s", s->partition, at, why);
    return false;
}

/* The sequence rules between two batches of one log that follow each other. */
static const char *compare_writers(const struct scan *s, const struct batch_view *before, const struct batch_view *v)
{
    const struct history_writer *w = history_find(s->history, v->writer);
    if (!w)
        return "a batch of an unknown writer";
    if (before && v->writer < before->writer)
        return "a batch of an earlier life lies behind a later one: a ghost";
    uint64_t next = before && before->writer == v->writer ? before->seq + before->count : 0;
    if (v->seq == next)
        return NULL;
    if (v->seq > next)
        return "a hole in a writer's sequences: an earlier batch is lost, or it is a ghost";
    return w->retries && !w->idempotent ? NULL : "a batch is stored twice";
}

static const char *take_batch(struct scan *s, const struct batch_view *v)
{
    const struct batch_view *before = s->count ? &s->batches[s->count - 1] : NULL;
    if (v->partition != s->partition)
        return "a batch of another partition";
    if (v->base != (before ? before->base + before->count : 0))
        return "offsets are not dense";
    if (before && v->epoch < before->epoch)
        return "the leader epoch goes back";
    return compare_writers(s, before, v);
}

static void keep(struct scan *s, const struct batch_view *v)
{
    if (!(s->count & (s->count - 1))) {
        s->batches = realloc(s->batches, (s->count ? 2 * s->count : 1) * sizeof *v);
        assert(s->batches);
    }
    s->batches[s->count++] = *v;
}

static int64_t next_offset(const struct scan *s)
{
    return s->count ? s->batches[s->count - 1].base + s->batches[s->count - 1].count : 0;
}

static bool take_records(struct scan *s, const struct proto_fetched *f)
{
    int64_t from = next_offset(s);
    uint32_t at = 0;
    if (f->error)
        return fail(s, from, f->error == 1 ? "fetch says out of range" : "fetch answers an error code");
    while (at < f->bytes) {
        struct batch_view v;
        const char *why = NULL;
        enum batch_state state = batch_read(f->records + at, f->bytes - at, &v, &why);
        if (state == BATCH_PARTIAL)
            break;
        if (state == BATCH_OK)
            why = take_batch(s, &v);
        if (why)
            return fail(s, next_offset(s), why);
        keep(s, &v);
        at += v.bytes;
    }
    return next_offset(s) > from || fail(s, from, "fetch gives nothing below the high watermark");
}

static bool fetch_once(struct scan *s, struct link *l, struct wbuf *ask)
{
    struct proto_fetch_part part = {s->partition, next_offset(s)};
    struct proto_fetched got[PROTO_PARTS_MAX];
    struct rcur reply;
    uint32_t count = 0;
    proto_put_fetch(ask, 0, s->topic, &part, 1, 5000, FETCH_BYTES);
    if (!link_call(l, ask, &reply))
        return fail(s, part.offset, "the connection was lost");
    rcur_skip(&reply, 4);
    if (!proto_take_fetch(&reply, got, &count) || count != 1 || got[0].partition != s->partition)
        return fail(s, part.offset, "a fetch reply is not understood");
    return take_records(s, got);
}

static bool call_list(struct scan *s, struct link *l, struct wbuf *ask, int64_t timestamp, int64_t *out)
{
    struct rcur reply;
    proto_put_list(ask, 0, s->topic, s->partition, timestamp);
    if (!link_call(l, ask, &reply))
        return fail(s, -1, "the connection was lost");
    rcur_skip(&reply, 4);
    int16_t error = proto_take_list(&reply, out);
    return error == 0 || fail(s, error, "(error code) ListOffsets was refused");
}

bool scan_run(struct scan *s, struct link *l)
{
    struct wbuf ask = {0};
    int64_t first = -1;
    bool good = call_list(s, l, &ask, EARLIEST, &first) && call_list(s, l, &ask, LATEST, &s->end);
    if (good && first != 0)
        good = fail(s, first, "the log does not begin at offset 0");
    while (good && next_offset(s) < s->end)
        good = fetch_once(s, l, &ask);
    wbuf_free(&ask);
    return good;
}

const struct batch_view *scan_find(const struct scan *s, int64_t base)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->batches[middle].base < base)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->count && s->batches[low].base == base ? &s->batches[low] : NULL;
}
