/* The reply to a Fetch: in a following request of a session only what is new, records as slices of the partitions' own
 * memory. Records are never null: where there are none they have zero bytes (librdkafka). */
#include "net/api/fetch.h"

enum { ABORTED_UNIT = 100 }; /* so many aborted transactions are a unit of a step (steps.h) */

/* Remembers what the client is told; false: it knows that already. */
static bool is_fetch_news(const struct fetch *all, const struct fetch_part *p, int32_t record_bytes)
{
    static const uint8_t no_id[16];
    struct session *s = all->session_id ? sessions_find(&all->req->server->sessions, all->session_id) : NULL;
    if (!s || s->epoch != all->session_epoch)
        return true; /* another request of this session was faster, or it was evicted */
    struct session_part *sp = session_find(s, p->partition, all->by_id ? p->topic_id : no_id, p->name);
    if (!sp)
        return true;
    bool news =
        session_part_answer(s, sp, p->error, p->diverging, p->high_watermark, p->log_start_offset, record_bytes);
    return news || all->kind != SESSION_NEXT;
}

/* With read_committed: those with something in these records, by their first offset. Without memory for them there is no reply: a client
 * that does not know of them takes their records for committed. */
static void list_aborted_transactions(struct fetch *all, const struct fetch_part *p, struct fetch_partition_data *out)
{
    const struct slices *from = &p->read.slices;
    if (p->error || from->aborted_count == 0)
        return;
    assert(all->committed);
    struct fetch_aborted_transaction *v = request_alloc(all->req, from->aborted_count * sizeof *v);
    all->starved |= !v;
    if (!v)
        return;
    for (uint32_t i = 0; i < from->aborted_count; i++) {
        fetch_aborted_transaction_init(&v[i]);
        v[i].producer_id = from->aborted[i].producer_id;
        v[i].first_offset = from->aborted[i].first_offset;
    }
    out->aborted_transactions.v = v;
    out->aborted_transactions.n = (int32_t)from->aborted_count;
    steps_spend(&all->steps, from->aborted_count / ABORTED_UNIT);
}

static void fill_fetched_partition(struct fetch *all, struct fetch_part *p, struct krecords records,
                                   struct fetch_partition_data *out)
{
    fetch_partition_data_init(out);
    out->partition_index = p->partition;
    out->error_code = (int16_t)p->error;
    bool known = !p->error;
    out->high_watermark = known ? p->high_watermark : -1;
    out->last_stable_offset = known ? p->last_stable_offset : -1;
    out->log_start_offset = known ? p->log_start_offset : -1;
    bool missing = p->error && !p->group;
    if (!missing && (p->error || !all->committed || p->diverging))
        out->aborted_transactions.n = -1; /* null */
    else
        list_aborted_transactions(all, p, out);
    if (p->diverging) {
        out->diverging_epoch.epoch = p->diverging_epoch;
        out->diverging_epoch.end_offset = p->diverging_end;
    }
    out->records = records;
}

static void add_fetched_topic(const struct fetch *all, struct fetch_response *r, const struct fetch_part *p)
{
    struct fetchable_topic_response *t = &r->responses.v[r->responses.n++];
    fetchable_topic_response_init(t);
    t->topic = p->name;
    if (all->by_id)
        memcpy(t->topic_id.b, p->topic_id, sizeof t->topic_id.b);
}

static struct krecords take_part_records(struct fetch *all, struct fetch_part *p)
{
    if (p->error || p->read.slices.count == 0)
        return (struct krecords){.at = (const uint8_t *)""};
    assert(p->read.slices.bytes <= INT32_MAX);
    all->req->server->counters.fetched_bytes += p->read.slices.bytes;
    all->with_records++;
    return (struct krecords){.from = &p->read.slices, .n = (int32_t)p->read.slices.bytes};
}

/* One topic per run of partitions of the same one, as they were asked for. `data` has room for all parts. */
static void fill_next_part(struct fetch *all, struct fetch_part *p)
{
    struct krecords records = take_part_records(all, p);
    struct fetch_response *r = &all->reply;
    struct fetch_partition_data *data = &all->data[p->place];
    if (!is_fetch_news(all, p, records.n))
        return;
    fill_fetched_partition(all, p, records, data);
    if (!all->filled || !fetch_same_topic(all, all->filled, p))
        add_fetched_topic(all, r, p);
    struct fetchable_topic_response *t = &r->responses.v[r->responses.n - 1];
    if (!t->partitions.v || t->partitions.n == 0)
        t->partitions.v = data;
    else if (&t->partitions.v[t->partitions.n] != data)
        t->partitions.v[t->partitions.n] = *data; /* those between were no news */
    t->partitions.n++;
    all->filled = p;
}

/* --- giving back --- */

static void all_shards_released(struct countdown *c)
{
    request_free(container_of(c, struct fetch, out)->req);
}

void fetch_released(struct fetch_shard *g)
{
    countdown_done(&g->all->out);
}

static void fetch_sent(struct request *req)
{
    struct fetch *all = req->context;
    countdown_begin(&all->out, all_shards_released);
    for (uint16_t i = 0; i < all->group_count; i++) {
        if (!all->groups[i]->holds_bufs)
            continue;
        countdown_add(&all->out);
        fetch_shard_release(all->groups[i]);
    }
    countdown_done(&all->out);
}

static const char no_reply_memory[] = "there is no memory for its reply";

static void send_fetch_reply(struct fetch *all)
{
    struct request *req = all->req;
    req->splice_max = all->with_records;
    req->splices = all->with_records ? request_alloc(req, all->with_records * sizeof *req->splices) : NULL;
    if (all->starved || (all->with_records && !req->splices))
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
        fill_next_part(all, &all->parts[all->fill_at++]);
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
    all->reply.responses.v = request_alloc(req, all->topic_runs * sizeof *all->reply.responses.v);
    all->data = request_alloc(req, all->part_count * sizeof *all->data);
    if (!all->reply.responses.v || !all->data)
        request_fail(req, no_reply_memory);
    else
        steps_start(&req->server->steps, &all->steps, fill_step);
}
