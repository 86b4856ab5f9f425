/* The consumer beside the producers; see reader.h. */
#include "tests/load/reader.h"
#include <inttypes.h>
#include <stdio.h>

enum { FETCH_WAIT_MS = 20, FETCH_BYTES = 1 << 20, OFFSET_OUT_OF_RANGE = 1, LATEST = -1 };

static void fail(struct reader *r, uint32_t partition, const char *why)
{
    if (!r->fault[0])
        snprintf(r->fault, sizeof r->fault, "reader: partition %" PRIu32 " offset %" PRId64 ": %s", partition,
                 r->next[partition].offset, why);
}

bool reader_open(struct reader *r, uint32_t partitions)
{
    struct wbuf ask = {0};
    struct rcur reply;
    bool good = link_open(&r->link, r->address);
    r->partitions = partitions;
    for (uint32_t p = 0; p < partitions && good; p++) {
        r->next[p].partition = p;
        r->epoch[p] = -1;
        proto_put_list(&ask, 0, r->topic, p, LATEST);
        good = link_call(&r->link, &ask, &reply);
        rcur_skip(&reply, 4);
        good = good && proto_take_list(&reply, &r->next[p].offset) == 0;
    }
    wbuf_free(&ask);
    return good;
}

void reader_ask(struct reader *r)
{
    struct wbuf ask = {0};
    if (r->busy || r->link.fd < 0)
        return;
    proto_put_fetch(&ask, 0, r->topic, r->next, r->partitions, FETCH_WAIT_MS, FETCH_BYTES);
    link_queue(&r->link, &ask);
    wbuf_free(&ask);
    r->busy = true;
}

static const char *take_batch(struct reader *r, uint32_t p, const struct batch_view *v)
{
    int64_t end = v->base + v->count;
    if (end <= r->next[p].offset)
        return NULL; /* a fetch may begin in the middle of what was read before */
    if (v->base != r->next[p].offset)
        return "the next batch does not begin at the next offset";
    if (v->epoch < r->epoch[p])
        return "the leader epoch goes back";
    history_put_read(r->history, v, p);
    r->epoch[p] = v->epoch;
    r->next[p].offset = end;
    return NULL;
}

static void take_part(struct reader *r, const struct proto_fetched *f)
{
    struct batch_view v;
    const char *why = NULL;
    uint32_t at = 0;
    if (f->partition >= r->partitions)
        return fail(r, 0, "an unknown partition was served");
    if (f->error == OFFSET_OUT_OF_RANGE)
        return fail(r, f->partition, "out of range: what was read has vanished");
    for (; at < f->bytes && !why && batch_read(f->records + at, f->bytes - at, &v, &why) == BATCH_OK; at += v.bytes)
        why = take_batch(r, f->partition, &v);
    if (why)
        fail(r, f->partition, why);
}

void reader_take(struct reader *r)
{
    struct proto_fetched parts[PROTO_PARTS_MAX];
    struct rcur c;
    uint32_t count = 0;
    while (link_frame(&r->link, &c)) {
        rcur_skip(&c, 4);
        if (!proto_take_fetch(&c, parts, &count))
            fail(r, 0, "a fetch reply is not understood");
        for (uint32_t i = 0; i < count; i++)
            take_part(r, &parts[i]);
        r->busy = false;
        count = 0;
    }
}
