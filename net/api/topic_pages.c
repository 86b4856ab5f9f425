/* DescribeTopicPartitions (KIP-966): in the order of names, page by page.
 *
 * The names that a request asks for become a heap, of which only as many are taken as the page has room for, in steps: sorting all of
 * them would keep the shard busy for seconds where a request names millions. */
#include "net/api/api.h"
#include "net/api/reply.h"

enum {
    PAGE_PARTITIONS_MAX = 2000, /* Kafka's max.request.partition.size.limit */
    SIFTS_PER_UNIT = 8,
};

struct page_run {
    struct request *req;
    struct describe_topic_partitions_request *ask;
    struct steps steps;
    struct describe_topic_partitions_response r;
    struct describe_topic_partitions_cursor next;
    int32_t left;           /* partitions that still fit */
    int32_t heap_from;      /* names from here on are in the heap's order; above 0: it is being built */
    int32_t heap_count;     /* names not yet taken; those behind were, in descending order */
    struct kview last_name; /* taken before; null: none */
    bool full, failed;
};

/* --- the page --- */

static void fill_page_partition(const struct page_run *run, const uint8_t id[16], int32_t index,
                                struct describe_topic_partitions_response_partition *p)
{
    struct topology_leader l = topology_leader_of(run->req->server, id, index);
    describe_topic_partitions_response_partition_init(p);
    p->partition_index = index;
    p->leader_id = l.node_id;
    p->leader_epoch = l.epoch;
    p->replica_nodes.v = p->isr_nodes.v = l.replicas;
    p->replica_nodes.n = p->isr_nodes.n = l.replica_count;
    p->eligible_leader_replicas.n = p->last_known_elr.n = 0;
}

static void end_page(struct page_run *run, struct kview name, int32_t partition)
{
    describe_topic_partitions_cursor_init(&run->next);
    run->next.topic_name = name;
    run->next.partition_index = partition;
    run->r.next_cursor = &run->next;
    run->full = true;
}

static struct describe_topic_partitions_response_topic *add_page_topic(struct page_run *run, struct kview name)
{
    struct describe_topic_partitions_response_topic *out = &run->r.topics.v[run->r.topics.n++];
    describe_topic_partitions_response_topic_init(out);
    out->name = name;
    out->topic_authorized_operations = TOPIC_OPERATIONS;
    return out;
}

static void page_topic(struct page_run *run, const struct topic *t, int32_t from)
{
    struct kview name = request_copy(run->req, view_of(t->name)); /* the topic may go before the last step */
    run->failed = run->failed || name.n < 0;
    if (run->left == 0) {
        end_page(run, name, from);
        return;
    }
    struct describe_topic_partitions_response_topic *out = add_page_topic(run, name);
    out->topic_id = uuid_of(t->id);
    out->is_internal = t->internal;
    int32_t n = from < t->partitions ? t->partitions - from : 0;
    n = n < run->left ? n : run->left;
    out->partitions.v = request_alloc(run->req, (size_t)n * sizeof *out->partitions.v + 1);
    out->partitions.n = n;
    if (!out->partitions.v) {
        run->failed = true;
        return;
    }
    for (int32_t i = 0; i < n; i++)
        fill_page_partition(run, t->id, from + i, &out->partitions.v[i]);
    run->left -= n;
    if (from < t->partitions && from + n < t->partitions)
        end_page(run, name, from + n);
}

static void page_missing_topic(struct page_run *run, struct kview name)
{
    bool legal = topic_name_legal(name.at, (size_t)name.n);
    add_page_topic(run, name)->error_code = legal ? KERR_UNKNOWN_TOPIC_OR_PARTITION : KERR_INVALID_TOPIC_EXCEPTION;
}

static void reply_page(struct page_run *run)
{
    if (run->failed)
        request_fail(run->req, "too many topics for one reply");
    else
        REQUEST_REPLY_LARGE(run->req, describe_topic_partitions_response, &run->r);
}

/* --- the names that were asked for, as a heap with the first one on top --- */

static void swap_names(struct describe_topic_partitions_topic *v, int32_t a, int32_t b)
{
    struct describe_topic_partitions_topic t = v[a];
    v[a] = v[b];
    v[b] = t;
}

static void sift_name_down(struct describe_topic_partitions_topic *v, int32_t count, int32_t at)
{
    for (int32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && kview_compare(v[child + 1].name, v[child].name) < 0)
            child++;
        if (kview_compare(v[at].name, v[child].name) <= 0)
            return;
        swap_names(v, at, child);
    }
}

static void build_name_heap(struct page_run *run)
{
    for (int32_t i = 0; i < SIFTS_PER_UNIT && run->heap_from > 0; i++)
        sift_name_down(run->ask->topics.v, run->heap_count, --run->heap_from);
}

static struct kview take_first_name(struct page_run *run)
{
    struct describe_topic_partitions_topic *v = run->ask->topics.v;
    swap_names(v, 0, --run->heap_count);
    sift_name_down(v, run->heap_count, 0);
    return v[run->heap_count].name;
}

static void page_next_name(struct page_run *run)
{
    const struct describe_topic_partitions_cursor *cursor = run->ask->cursor;
    struct kview name = take_first_name(run);
    int order = cursor ? kview_compare(name, cursor->topic_name) : 1;
    bool again = run->last_name.n >= 0 && kview_compare(name, run->last_name) == 0;
    run->last_name = name;
    if (order < 0 || again)
        return;
    const struct topic *t = topic_named(run->req, name);
    if (t)
        page_topic(run, t, order == 0 ? cursor->partition_index : 0);
    else
        page_missing_topic(run, name);
}

static bool page_step(struct steps *s)
{
    struct page_run *run = container_of(s, struct page_run, steps);
    while (steps_go_on(s)) {
        int32_t before = run->left;
        if (run->heap_from > 0) {
            build_name_heap(run);
        } else if (run->heap_count == 0 || run->full || run->failed) {
            reply_page(run);
            return false;
        } else {
            page_next_name(run);
        }
        steps_spend(s, 2 + (uint32_t)(before - run->left) / 32);
    }
    return true;
}

/* --- all topics --- */

/* At most PAGE_PARTITIONS_MAX topics, as each has a partition. */
static void page_all_topics(struct page_run *run)
{
    const struct describe_topic_partitions_cursor *cursor = run->ask->cursor;
    const struct catalog *c = server_catalog(run->req->server);
    uint32_t at = cursor ? catalog_lower_bound(c, cursor->topic_name.at, (size_t)cursor->topic_name.n) : 0;
    for (; at < c->count && !run->full && !run->failed; at++) {
        bool here = cursor && view_is(cursor->topic_name, c->sorted[at]->name);
        page_topic(run, c->sorted[at], here ? cursor->partition_index : 0);
    }
    reply_page(run);
}

/* --- the beginning --- */

/* It must be of one of the topics, where some are named. */
static bool is_cursor_possible(const struct describe_topic_partitions_request *m)
{
    if (m->cursor->partition_index < 0)
        return false;
    for (int32_t i = 0; i < m->topics.n; i++)
        if (kview_compare(m->topics.v[i].name, m->cursor->topic_name) == 0)
            return true;
    return m->topics.n == 0;
}

static void refuse_page(struct page_run *run)
{
    for (int32_t i = 0; i < run->ask->topics.n; i++) {
        struct describe_topic_partitions_response_topic *out = &run->r.topics.v[run->r.topics.n++];
        describe_topic_partitions_response_topic_init(out);
        out->name = run->ask->topics.v[i].name;
        out->error_code = KERR_INVALID_REQUEST;
    }
    reply_page(run);
}

/* Kafka's: what is no positive number is 1. */
static int32_t page_limit(int32_t asked)
{
    if (asked < 1)
        return 1;
    return asked < PAGE_PARTITIONS_MAX ? asked : PAGE_PARTITIONS_MAX;
}

void describe_topic_partitions_run(struct request *req)
{
    struct describe_topic_partitions_request *m = REQUEST_DECODE(req, describe_topic_partitions_request);
    if (!m)
        return;
    struct page_run *run = request_zalloc(req, sizeof *run);
    uint32_t all = (uint32_t)u64_min(server_catalog(req->server)->count, PAGE_PARTITIONS_MAX);
    size_t most = m->topics.n > 0 ? (size_t)m->topics.n : all;
    struct describe_topic_partitions_response_topic *topics = request_alloc(req, most * sizeof *topics + 1);
    if (!run || !topics) {
        request_fail(req, no_memory);
        return;
    }
    *run = (struct page_run){
        .req = req, .ask = m, .left = page_limit(m->response_partition_limit), .last_name = {.n = -1}};
    describe_topic_partitions_response_init(&run->r);
    run->r.topics.v = topics;
    run->heap_count = m->topics.n;
    run->heap_from = m->topics.n / 2;
    if (m->cursor && !is_cursor_possible(m))
        refuse_page(run);
    else if (m->topics.n > 0)
        steps_start(&req->server->steps, &run->steps, page_step);
    else
        page_all_topics(run);
}
