/* The reply to a Fetch: in a following request of a session only what is new, records as slices of the partitions' own
 * memory. Records are never null: where there are none they have zero bytes (librdkafka). */
#include "net/api/fetch.h"

/* Remembers what the client is told; false: it knows that already. */
static bool is_fetch_news(const struct fetch *all, const struct fetch_part *p)
{
    static const uint8_t no_id[16];
    struct session *s = all->session_id ? sessions_find(&all->req->server->sessions, all->session_id) : NULL;
    if (!s || s->epoch != all->session_epoch)
        return true; /* another request of this session was faster, or it was evicted */
    struct session_part *sp = session_find(s, p->partition, all->by_id ? p->topic_id : no_id, p->name);
    if (!sp)
        return true;
    bool news =
        session_part_answer(s, sp, p->error, p->diverging, p->high_watermark, p->log_start_offset, p->records.n);
    return news || all->kind != SESSION_NEXT;
}

static void fill_fetched_partition(const struct fetch *all, struct fetch_part *p, struct fetch_partition_data *out)
{
    fetch_partition_data_init(out);
    out->partition_index = p->partition;
    out->error_code = (int16_t)p->error;
    bool known = !p->error;
    out->high_watermark = known ? p->high_watermark : -1;
    out->last_stable_offset = known ? p->last_stable_offset : -1;
    out->log_start_offset = known ? p->log_start_offset : -1;
    bool missing = p->error && !p->group;
    if (!missing && (p->error || !all->committed))
        out->aborted_transactions.n = -1; /* null; for read_committed empty: no transaction has ever been aborted */
    if (p->diverging) {
        out->diverging_epoch.epoch = p->diverging_epoch;
        out->diverging_epoch.end_offset = p->diverging_end;
    }
    out->records = p->records;
}

static bool is_same_fetch_topic(const struct fetch *all, const struct fetch_part *a, const struct fetch_part *b)
{
    if (all->by_id)
        return memcmp(a->topic_id, b->topic_id, sizeof a->topic_id) == 0;
    return kview_same(a->name, b->name);
}

static void add_fetched_topic(const struct fetch *all, struct fetch_response *r, const struct fetch_part *p)
{
    struct fetchable_topic_response *t = &r->responses.v[r->responses.n++];
    fetchable_topic_response_init(t);
    t->topic = p->name;
    if (all->by_id)
        memcpy(t->topic_id.b, p->topic_id, sizeof t->topic_id.b);
}

/* One topic per run of partitions of the same one, as they were asked for. `data` has room for all parts. */
static void fill_next_part(struct fetch *all, struct fetch_part *p)
{
    struct fetch_response *r = &all->reply;
    struct fetch_partition_data *data = &all->data[p->place];
    if (!is_fetch_news(all, p))
        return;
    fill_fetched_partition(all, p, data);
    if (!all->filled || !is_same_fetch_topic(all, all->filled, p))
        add_fetched_topic(all, r, p);
    struct fetchable_topic_response *t = &r->responses.v[r->responses.n - 1];
    if (!t->partitions.v || t->partitions.n == 0)
        t->partitions.v = data;
    else if (&t->partitions.v[t->partitions.n] != data)
        t->partitions.v[t->partitions.n] = *data; /* those between were no news */
    t->partitions.n++;
    all->filled = p;
}

static void set_part_records(struct fetch *all, struct fetch_part *p)
{
    bool some = !p->error && p->read.slices.count > 0;
    p->records = (struct krecords){.at = (const uint8_t *)""};
    if (!some)
        return;
    assert(p->read.slices.bytes <= INT32_MAX);
    p->records = (struct krecords){.from = &p->read.slices, .n = (int32_t)p->read.slices.bytes};
    all->req->server->counters.fetched_bytes += p->read.slices.bytes;
    all->with_records++;
}

/* --- giving back --- */

static void fetch_shard_released(struct fetch *all)
{
    assert(all->waiting > 0);
    if (--all->waiting == 0)
        request_free(all->req);
}

void fetch_released(struct fetch_shard *g)
{
    fetch_shard_released(g->all);
}

static bool holds_fetch_bufs(const struct fetch_shard *g)
{
    for (const struct fetch_part *p = g->first; p; p = p->next)
        if (p->read.slices.count > 0)
            return true;
    return false;
}

static void fetch_sent(struct request *req)
{
    struct fetch *all = req->context;
    all->waiting = 1;
    for (uint16_t i = 0; i < all->group_count; i++) {
        if (!holds_fetch_bufs(all->groups[i]))
            continue;
        all->waiting++;
        fetch_shard_release(all->groups[i]);
    }
    fetch_shard_released(all);
}

static const char no_reply_memory[] = "there is no memory for its reply";

static void send_fetch_reply(struct fetch *all)
{
    struct request *req = all->req;
    req->splice_max = all->with_records;
    req->splices = all->with_records ? request_alloc(req, all->with_records * sizeof *req->splices) : NULL;
    if (all->with_records && !req->splices)
        request_fail(req, no_reply_memory);
    else
        REQUEST_REPLY_LARGE(req, fetch_response, &all->reply);
}

static bool fill_step(struct steps *s)
{
    struct fetch *all = container_of(s, struct fetch, steps);
    for (; steps_go_on(s); steps_spend(s, 1)) {
        if (all->fill_at == all->part_count) {
            send_fetch_reply(all);
            return false;
        }
        struct fetch_part *p = &all->parts[all->fill_at++];
        set_part_records(all, p);
        fill_next_part(all, p);
    }
    return true;
}

void fetch_reply(struct fetch *all)
{
    struct request *req = all->req;
    fetch_response_init(&all->reply);
    all->state = FETCH_REPLIED;
    req->sent = fetch_sent;
    all->reply.session_id = all->session_id;
    all->reply.responses.v = request_alloc(req, all->part_count * sizeof *all->reply.responses.v);
    all->data = request_alloc(req, all->part_count * sizeof *all->data);
    if (!all->reply.responses.v || !all->data)
        request_fail(req, no_reply_memory);
    else
        steps_start(&req->server->steps, &all->steps, fill_step);
}
