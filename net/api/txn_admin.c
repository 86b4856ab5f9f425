/* DescribeTransactions, ListTransactions: what coordinators tell of transactional ids. The answers are copied on the owners and stay theirs
 * until the reply was sent (net/coord/coord_call.h). */
#include "net/regex.h"
#include "net/api/asking.h"
#include "net/api/reply.h"
#include "net/countdown.h"
#include "net/txn/txn_ask.h"

enum { TOLD_OUT_MAX = 16, TOLD_UNITS = 1 /* besides asking.c's */ };

struct told {
    struct txn_question question;
    struct told_run *run;
};
struct told_run {
    struct asking asking;
    void (*reply)(struct told_run *run);
    struct told *told;
    int32_t count, at; /* asked up to there; then given back */
    bool by_shard;
    uint16_t first_shard; /* by_shard: the question of each from there on */
    size_t bytes;         /* that the answers hold */
    struct countdown back;
    struct steps steps;
};

/* --- the owners' memory --- */

static void all_told_back(struct countdown *c)
{
    request_free(container_of(c, struct told_run, back)->asking.req);
}

static void told_memory_back(struct coord_call *c)
{
    struct txn_question *q = container_of(c, struct txn_question, call);
    countdown_done(&container_of(q, struct told, question)->run->back);
}

static bool give_told_back_step(struct steps *s)
{
    struct told_run *run = container_of(s, struct told_run, steps);
    for (; run->at < run->count; run->at++) {
        struct coord_call *c = &run->told[run->at].question.call;
        if (!steps_go_on(s))
            return true;
        steps_spend(s, 1);
        if (!coord_call_holds(c))
            continue;
        countdown_add(&run->back);
        coord_call_give_back(c, told_memory_back);
    }
    countdown_done(&run->back);
    return false;
}

static void give_told_back(struct request *req)
{
    struct told_run *run = req->context;
    countdown_begin(&run->back, all_told_back);
    run->at = 0;
    steps_start(&req->server->steps, &run->steps, give_told_back_step);
}

/* --- asking --- */

static void end_telling(struct asking *asking)
{
    struct told_run *run = container_of(asking, struct told_run, asking);
    asking->req->context = run;
    asking->req->sent = give_told_back;
    run->reply(run);
}

static void told_answered(struct txn_question *q)
{
    struct told_run *run = container_of(q, struct told, question)->run;
    run->bytes += coord_call_bytes(&q->call);
    asking_answered(&run->asking);
}

static bool ask_next_told(struct asking *asking)
{
    struct told_run *run = container_of(asking, struct told_run, asking);
    struct shard *home = asking->req->server->shard;
    if (run->at == run->count)
        return false;
    int32_t i = run->at++;
    struct txn_question *q = &run->told[i].question;
    q->call.spent_bytes = run->bytes;
    steps_spend(&asking->steps, TOLD_UNITS);
    asking_add(asking);
    if (run->by_shard)
        txn_ask_shard(home, (uint16_t)(run->first_shard + i), q);
    else
        txn_ask(home, q);
    return true;
}

/* False: no memory. Each question is then to be filled in. */
static bool open_telling(struct told_run *run, struct request *req, int32_t count, void (*reply)(struct told_run *run))
{
    run->asking.req = req;
    run->reply = reply;
    run->count = count;
    run->told = request_zalloc(req, (size_t)count * sizeof *run->told + 1);
    for (int32_t i = 0; run->told && i < count; i++)
        run->told[i] = (struct told){.run = run, .question.answered = told_answered};
    return run->told;
}

static void start_telling(struct told_run *run)
{
    asking_begin(&run->asking, run->asking.req, TOLD_OUT_MAX, ask_next_told, end_telling);
}

/* --- DescribeTransactions --- */

struct describe_txns_run {
    struct told_run told;
    struct describe_transactions_response r;
};

static void reply_describe_txns(struct told_run *told)
{
    struct describe_txns_run *run = container_of(told, struct describe_txns_run, told);
    REQUEST_REPLY_LARGE(told->asking.req, describe_transactions_response, &run->r);
}

static void fill_describe_txns(struct describe_txns_run *run, const struct describe_transactions_request *m)
{
    run->r.transaction_states.n = m->transactional_ids.n;
    for (int32_t i = 0; i < m->transactional_ids.n; i++) {
        struct txn_question *q = &run->told.told[i].question;
        q->kind = TXN_ASK_DESCRIBE;
        q->call.key = m->transactional_ids.v[i];
        q->described = &run->r.transaction_states.v[i];
    }
}

void describe_transactions_run(struct request *req)
{
    const struct describe_transactions_request *m = REQUEST_DECODE(req, describe_transactions_request);
    if (!m)
        return;
    struct describe_txns_run *run = request_zalloc(req, sizeof *run);
    int32_t count = m->transactional_ids.n;
    if (run) {
        describe_transactions_response_init(&run->r);
        run->r.transaction_states.v = request_alloc(req, (size_t)count * sizeof *run->r.transaction_states.v + 1);
    }
    if (!run || !run->r.transaction_states.v || !open_telling(&run->told, req, count, reply_describe_txns)) {
        request_fail(req, no_memory);
        return;
    }
    fill_describe_txns(run, m);
    start_telling(&run->told);
}

/* --- ListTransactions --- */

struct list_txns_run {
    struct told_run told;
    struct txn_filter filter;
    struct regex *pattern; /* on the shard's heap; NULL: any id */
    struct list_transactions_response r;
    const struct txn_list_chunk *chunk; /* that is being copied */
    int32_t copied;                     /* of these shards */
    struct steps steps;
};

static bool txn_id_passes(const void *arg, struct kview id, struct steps *s)
{
    steps_spend(s, regex_units(arg, (size_t)id.n));
    return regex_matches(arg, id.at, (size_t)id.n);
}

static void end_list_txns(struct list_txns_run *run)
{
    if (run->pattern)
        regex_close(run->pattern);
    REQUEST_REPLY_LARGE(run->told.asking.req, list_transactions_response, &run->r);
}

static bool copy_listed_txns_step(struct steps *s)
{
    struct list_txns_run *run = container_of(s, struct list_txns_run, steps);
    struct list_transactions_response *r = &run->r;
    while (run->chunk || run->copied < run->told.count) {
        if (!steps_go_on(s))
            return true;
        if (!run->chunk) {
            run->chunk = run->told.told[run->copied++].question.listed;
            steps_spend(s, 1);
            continue;
        }
        memcpy(r->transaction_states.v + r->transaction_states.n, run->chunk->v,
               (size_t)run->chunk->count * sizeof *r->transaction_states.v);
        r->transaction_states.n += run->chunk->count;
        run->chunk = run->chunk->next;
        steps_spend(s, TXN_LIST_CHUNK / 4);
    }
    end_list_txns(run);
    return false;
}

static void reply_list_txns(struct told_run *told)
{
    struct list_txns_run *run = container_of(told, struct list_txns_run, told);
    struct request *req = told->asking.req;
    size_t total = 0;
    for (int32_t i = 0; i < told->count; i++) {
        const struct txn_question *q = &told->told[i].question;
        total += q->listed_count;
        run->r.error_code = run->r.error_code ? run->r.error_code : (int16_t)q->error;
    }
    run->r.transaction_states.v = request_alloc(req, total * sizeof *run->r.transaction_states.v + 1);
    if (!run->r.transaction_states.v) {
        if (run->pattern)
            regex_close(run->pattern);
        request_fail(req, no_memory);
        return;
    }
    if (run->r.error_code) { /* Kafka names neither transactions nor unknown states then */
        run->copied = told->count;
        run->r.unknown_state_filters.n = 0;
    }
    steps_start(&req->server->steps, &run->steps, copy_listed_txns_step);
}

/* A bit for each state that is asked for, and the names of none into the reply. False: no memory. What is being removed is never shown. */
static bool read_state_filters(struct list_txns_run *run, const struct list_transactions_request *m)
{
    int32_t n = m->state_filters.n > 0 ? m->state_filters.n : 0;
    struct kview *unknown = request_alloc(run->told.asking.req, (size_t)n * sizeof *unknown + 1);
    run->r.unknown_state_filters.v = unknown;
    run->r.unknown_state_filters.n = 0;
    for (int32_t i = 0; unknown && i < n; i++) {
        int32_t s = 0;
        while (s < TXN_STATES && !view_is(m->state_filters.v[i], txn_state_name((enum txn_state)s)))
            s++;
        if (s < TXN_STATES)
            run->filter.states |= 1u << s;
        else
            unknown[run->r.unknown_state_filters.n++] = m->state_filters.v[i];
    }
    if (n == 0)
        run->filter.states = ~0u;
    run->filter.states &= ~(1u << TXN_DEAD);
    return unknown;
}

static enum kerr read_id_pattern(struct list_txns_run *run, struct kview pattern)
{
    const char *why;
    if (pattern.n <= 0)
        return KERR_NONE;
    switch (regex_open(run->told.asking.req->server->shard->heap, pattern.at, (size_t)pattern.n, &run->pattern, &why)) {
    case ERR_NONE: break;
    case ERR_NO_MEMORY: return KERR_COORDINATOR_NOT_AVAILABLE;
    default: return KERR_INVALID_REGULAR_EXPRESSION;
    }
    run->filter.passes = txn_id_passes;
    run->filter.passes_arg = run->pattern;
    return KERR_NONE;
}

static void refuse_list_txns(struct request *req, enum kerr error)
{
    struct list_transactions_response r;
    list_transactions_response_init(&r);
    r.error_code = (int16_t)error;
    REQUEST_REPLY(req, list_transactions_response, &r);
}

void list_transactions_run(struct request *req)
{
    const struct list_transactions_request *m = REQUEST_DECODE(req, list_transactions_request);
    if (!m)
        return;
    struct list_txns_run *run = request_zalloc(req, sizeof *run);
    struct topology_shards shards = topology_told(req->server);
    if (!run || !open_telling(&run->told, req, shards.count, reply_list_txns)) {
        request_fail(req, no_memory);
        return;
    }
    list_transactions_response_init(&run->r);
    run->told.by_shard = true;
    run->told.first_shard = shards.first;
    run->filter.producer_ids = m->producer_id_filters.v;
    run->filter.producer_id_count = m->producer_id_filters.n > 0 ? m->producer_id_filters.n : 0;
    run->filter.open_ms_min = m->duration_filter;
    if (!read_state_filters(run, m)) {
        request_fail(req, no_memory);
        return;
    }
    enum kerr error = read_id_pattern(run, m->transactional_id_pattern);
    if (error) {
        refuse_list_txns(req, error);
        return;
    }
    for (int32_t i = 0; i < run->told.count; i++) {
        run->told.told[i].question.kind = TXN_ASK_LIST;
        run->told.told[i].question.filter = run->filter;
    }
    start_telling(&run->told);
}
