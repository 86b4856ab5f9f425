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
static void fill_fetched_topics(struct fetch *all, struct fetch_response *r, struct fetch_partition_data *data)
{
    const struct fetch_part *last = NULL;
    for (uint32_t i = 0; i < all->part_count; i++) {
        struct fetch_part *p = &all->parts[i];
        if (!is_fetch_news(all, p))
            continue;
        fill_fetched_partition(all, p, &data[i]);
        if (!last || !is_same_fetch_topic(all, last, p))
            add_fetched_topic(all, r, p);
        struct fetchable_topic_response *t = &r->responses.v[r->responses.n - 1];
        if (!t->partitions.v || t->partitions.n == 0)
            t->partitions.v = &data[i];
        else if (&t->partitions.v[t->partitions.n] != &data[i])
            t->partitions.v[t->partitions.n] = data[i]; /* those between were no news */
        t->partitions.n++;
        last = p;
    }
}

/* Returns how many partitions have records. */
static uint32_t set_fetch_records(struct fetch *all)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < all->part_count; i++) {
        struct fetch_part *p = &all->parts[i];
        bool some = !p->error && p->read.slices.count > 0;
        p->records = (struct krecords){.at = (const uint8_t *)""};
        if (!some)
            continue;
        assert(p->read.slices.bytes <= INT32_MAX);
        p->records = (struct krecords){.from = &p->read.slices, .n = (int32_t)p->read.slices.bytes};
        all->req->server->counters.fetched_bytes += p->read.slices.bytes;
        count++;
    }
    return count;
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

void fetch_reply(struct fetch *all)
{
    struct request *req = all->req;
    struct fetch_response r;
    fetch_response_init(&r);
    all->state = FETCH_REPLIED;
    req->sent = fetch_sent;
    uint32_t with_records = set_fetch_records(all);
    r.session_id = all->session_id;
    r.responses.v = request_alloc(req, all->part_count * sizeof *r.responses.v);
    struct fetch_partition_data *data = request_alloc(req, all->part_count * sizeof *data);
    req->splice_max = with_records;
    req->splices = with_records ? request_alloc(req, with_records * sizeof *req->splices) : NULL;
    if (!r.responses.v || !data || (with_records && !req->splices)) {
        req->splices = NULL;
        request_fail(req, "there is no memory for its reply");
        return;
    }
    fill_fetched_topics(all, &r, data);
    REQUEST_REPLY(req, fetch_response, &r);
}
