/* One transactional id: what each event does in each state. */
#include "net/txn/txn.h"

enum {
    NO_ID = -1,
    NO_EPOCH = -1,
    LOOKED_FOR_MAX =
        16, /* partitions that are added: as many are looked for one by one, as clients often add what is there */
    ADDED_AT_ONCE_MAX = 1000 /* partitions, with those that are there: some 20 us */
};

const char *txn_state_name(enum txn_state s)
{
    switch (s) {
    case TXN_EMPTY: return "Empty";
    case TXN_ONGOING: return "Ongoing";
    case TXN_PREPARE_COMMIT: return "PrepareCommit";
    case TXN_PREPARE_ABORT: return "PrepareAbort";
    case TXN_COMPLETE_COMMIT: return "CompleteCommit";
    case TXN_COMPLETE_ABORT: return "CompleteAbort";
    case TXN_DEAD: return "Dead";
    case TXN_PREPARE_EPOCH_FENCE: return "PrepareEpochFence";
    }
    assert(!"a state");
    return "";
}

void txn_init(struct txn *t, struct heap *heap, int64_t producer_id, int32_t timeout_ms, int64_t now_ms)
{
    *t = (struct txn){.now = {.state = TXN_EMPTY,
                              .producer_id = producer_id,
                              .previous_id = NO_ID,
                              .next_id = NO_ID,
                              .producer_epoch = NO_EPOCH,
                              .last_epoch = NO_EPOCH,
                              .timeout_ms = timeout_ms,
                              .start_ms = -1,
                              .update_ms = now_ms}};
    txn_parts_init(&t->parts, heap);
    txn_parts_init(&t->to_parts, heap);
}

void txn_deinit(struct txn *t)
{
    if (t->pending)
        txn_drop(t);
    txn_parts_deinit(&t->parts);
}

/* --- outcomes --- */

static struct txn_outcome refuse_txn(enum kerr error)
{
    return (struct txn_outcome){.action = TXN_ANSWER, .error = error, .producer_id = NO_ID, .producer_epoch = NO_EPOCH};
}

static struct txn_outcome answer_txn_as_it_is(const struct txn *t)
{
    return (struct txn_outcome){
        .action = TXN_ANSWER, .producer_id = t->now.producer_id, .producer_epoch = t->now.producer_epoch};
}

static struct txn_outcome want_txn_id(void)
{
    return (struct txn_outcome){.action = TXN_WANT_ID, .producer_id = NO_ID, .producer_epoch = NO_EPOCH};
}

/* Another record is on its way, or markers are: in Kafka's words, a transition is pending. */
static bool is_txn_busy(const struct txn *t)
{
    return t->pending || txn_state_prepared(t->now.state);
}

/* `to` becomes what stands, but for what the caller changes. */
static struct txn_values *begin_txn_step(struct txn *t, enum txn_state state, int64_t now_ms)
{
    assert(!t->pending);
    t->pending = true;
    t->to = t->now;
    t->to.state = state;
    t->to.previous_id = t->now.producer_id;
    t->to.update_ms = now_ms;
    t->to_same_parts = true;
    return &t->to;
}

static void leave_txn_parts(struct txn *t)
{
    assert(t->pending);
    assert(t->to_parts.count == 0);
    t->to_same_parts = false;
}

static struct txn_outcome write_txn(const struct txn *t, enum kerr error)
{
    bool good = error == KERR_NONE;
    return (struct txn_outcome){.action = TXN_WRITE,
                                .error = error,
                                .producer_id = good ? t->to.producer_id : NO_ID,
                                .producer_epoch = good ? t->to.producer_epoch : NO_EPOCH};
}

static bool is_epoch_used_up(int16_t epoch)
{
    return epoch >= TXN_EPOCH_MAX;
}

/* --- the end --- */

/* In the second generation the end raises the epoch, and takes the next producer id when there is none left. `fenced`: who ends it is the
 * broker, in the producer's place, whose epoch is raised in any generation. */
static struct txn_outcome prepare_txn_end(struct txn *t, const struct txn_event *e, enum txn_state state, bool fenced)
{
    bool raises = e->version >= TXN_VERSION_2;
    bool rotates = raises && is_epoch_used_up(t->now.producer_epoch);
    if (rotates && e->fresh_id < 0)
        return want_txn_id();
    bool without_parts = t->now.state != TXN_ONGOING;
    struct txn_values *to = begin_txn_step(t, state, e->now_ms);
    to->next_id = rotates ? e->fresh_id : NO_ID;
    if ((raises || fenced) && to->producer_epoch < INT16_MAX)
        to->producer_epoch++;
    if (raises || fenced)
        to->last_epoch = raises ? t->now.producer_epoch : NO_EPOCH;
    to->client_version = raises ? e->version : TXN_VERSION_0;
    if (without_parts)
        to->start_ms = e->now_ms;
    struct txn_outcome out = write_txn(t, KERR_NONE);
    if (rotates) {
        out.producer_id = to->next_id;
        out.producer_epoch = 0;
    }
    out.flush = state == TXN_PREPARE_COMMIT;
    return out;
}

static struct txn_outcome end_ongoing_txn(struct txn *t, const struct txn_event *e)
{
    return prepare_txn_end(t, e, e->commit ? TXN_PREPARE_COMMIT : TXN_PREPARE_ABORT, false);
}

/* Before KIP-890: a producer that says again what was done hears that it was done. */
static struct txn_outcome end_txn_old(struct txn *t, const struct txn_event *e)
{
    if (e->producer_id != t->now.producer_id)
        return refuse_txn(KERR_INVALID_PRODUCER_ID_MAPPING);
    if (e->producer_epoch != t->now.producer_epoch)
        return refuse_txn(KERR_PRODUCER_FENCED);
    if (is_txn_busy(t))
        return refuse_txn(KERR_CONCURRENT_TRANSACTIONS);
    if (t->now.state == TXN_ONGOING)
        return end_ongoing_txn(t, e);
    bool done = t->now.state == (e->commit ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT);
    return refuse_txn(done ? KERR_NONE : KERR_INVALID_TXN_STATE);
}

/* The same end again is told by the epoch before it, or by the producer id before it. An end with the present epoch is another one: an abort of
 * nothing is one that a client sends which does not know how its transaction stands. */
static struct txn_outcome end_txn_new(struct txn *t, const struct txn_event *e)
{
    const struct txn_values *now = &t->now;
    bool complete = now->state == TXN_COMPLETE_COMMIT || now->state == TXN_COMPLETE_ABORT;
    bool rotated = now->previous_id == e->producer_id && e->producer_epoch == TXN_EPOCH_MAX && now->producer_epoch == 0;
    bool again = complete && (rotated || now->producer_epoch == e->producer_epoch + 1);
    if (is_txn_busy(t))
        return refuse_txn(KERR_CONCURRENT_TRANSACTIONS);
    if (now->producer_id != e->producer_id && !rotated)
        return refuse_txn(KERR_INVALID_PRODUCER_ID_MAPPING);
    if (now->producer_epoch != e->producer_epoch && !again)
        return refuse_txn(KERR_PRODUCER_FENCED);
    if (now->state == TXN_ONGOING)
        return end_ongoing_txn(t, e);
    if (again && now->state == (e->commit ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT))
        return answer_txn_as_it_is(t);
    if (again || e->commit)
        return refuse_txn(KERR_INVALID_TXN_STATE);
    return prepare_txn_end(t, e, TXN_PREPARE_ABORT, false);
}

/* --- a new producer, or one that goes on --- */

/* One that names the producer id before the last may have missed the answer that gave it the new one. */
static bool is_init_expected(const struct txn *t, const struct txn_event *e)
{
    return e->producer_id == NO_ID || t->now.producer_epoch == NO_EPOCH || e->producer_id == t->now.producer_id ||
           (e->producer_id == t->now.previous_id && is_epoch_used_up(e->producer_epoch));
}

static struct txn_values *begin_txn_init(struct txn *t, const struct txn_event *e)
{
    struct txn_values *to = begin_txn_step(t, TXN_EMPTY, e->now_ms);
    leave_txn_parts(t);
    to->timeout_ms = e->timeout_ms;
    to->start_ms = -1;
    return to;
}

static struct txn_outcome rotate_txn_producer(struct txn *t, const struct txn_event *e)
{
    if (e->fresh_id < 0)
        return want_txn_id();
    struct txn_values *to = begin_txn_init(t, e);
    to->producer_id = e->fresh_id;
    to->producer_epoch = 0;
    to->last_epoch = e->producer_id != NO_ID ? t->now.producer_epoch : NO_EPOCH;
    return write_txn(t, KERR_NONE);
}

static struct txn_outcome raise_txn_epoch(struct txn *t, const struct txn_event *e)
{
    int16_t epoch = t->now.producer_epoch;
    bool named = e->producer_id != NO_ID;
    bool goes_on = named && (epoch == NO_EPOCH || e->producer_epoch == epoch);
    bool again = named && !goes_on && e->producer_epoch == t->now.last_epoch;
    if (named && !goes_on && !again)
        return refuse_txn(KERR_PRODUCER_FENCED);
    struct txn_values *to = begin_txn_init(t, e);
    if (!again) {
        to->producer_epoch = (int16_t)(epoch + !(PLANTED(epoch_not_raised) && epoch >= 0));
        to->last_epoch = goes_on ? epoch : NO_EPOCH;
    }
    return write_txn(t, KERR_NONE);
}

static struct txn_outcome fence_txn_producer(struct txn *t, const struct txn_event *e, enum kerr then)
{
    struct txn_outcome out = prepare_txn_end(t, e, TXN_PREPARE_ABORT, true);
    return out.action == TXN_WRITE ? write_txn(t, then) : out;
}

/* An epoch that is used up, but not the one that is named, was raised by somebody else. */
static struct txn_outcome init_txn_producer(struct txn *t, const struct txn_event *e)
{
    if (is_txn_busy(t))
        return refuse_txn(KERR_CONCURRENT_TRANSACTIONS);
    if (!is_init_expected(t, e))
        return refuse_txn(KERR_PRODUCER_FENCED);
    if (t->now.state == TXN_ONGOING)
        return fence_txn_producer(t, e, KERR_CONCURRENT_TRANSACTIONS);
    if (!is_epoch_used_up(t->now.producer_epoch))
        return raise_txn_epoch(t, e);
    if (e->producer_id != NO_ID && e->producer_epoch != t->now.producer_epoch)
        return refuse_txn(KERR_PRODUCER_FENCED);
    return rotate_txn_producer(t, e);
}

/* --- partitions --- */

static bool has_all_added(const struct txn *t, const struct txn_event *e)
{
    if (t->now.state != TXN_ONGOING || e->added_count > LOOKED_FOR_MAX)
        return false;
    for (uint32_t i = 0; i < e->added_count; i++)
        if (!txn_parts_has(&t->parts, e->added[i].topic, e->added[i].partition))
            return false;
    return true;
}

static struct txn_outcome end_txn_merge(struct txn *t, enum txn_work done)
{
    bool nothing_new = t->now.state == TXN_ONGOING && t->to_parts.partitions == t->parts.partitions;
    txn_merge_end(&t->merge);
    t->merging = false;
    if (done == TXN_WORK_DONE && !nothing_new)
        return write_txn(t, KERR_NONE);
    txn_drop(t);
    return refuse_txn(done == TXN_WORK_DONE ? KERR_NONE : KERR_COORDINATOR_NOT_AVAILABLE);
}

struct txn_outcome txn_add_more(struct txn *t, uint32_t items)
{
    assert(t->pending);
    assert(t->merging);
    enum txn_work done = txn_merge_some(&t->merge, &items);
    return done == TXN_WORK_MORE ? (struct txn_outcome){.action = TXN_MERGE} : end_txn_merge(t, done);
}

static struct txn_outcome add_txn_parts(struct txn *t, const struct txn_event *e)
{
    if (is_txn_busy(t))
        return refuse_txn(KERR_CONCURRENT_TRANSACTIONS);
    if (e->producer_id != t->now.producer_id)
        return refuse_txn(KERR_INVALID_PRODUCER_ID_MAPPING);
    if (e->producer_epoch != t->now.producer_epoch)
        return refuse_txn(KERR_PRODUCER_FENCED);
    if (has_all_added(t, e))
        return refuse_txn(KERR_NONE);
    struct txn_values *to = begin_txn_step(t, TXN_ONGOING, e->now_ms);
    leave_txn_parts(t);
    if (t->now.state != TXN_ONGOING)
        to->start_ms = e->now_ms;
    to->client_version = e->version;
    t->merging = true;
    txn_merge_begin(&t->merge, &t->parts, e->added, e->added_count, &t->to_parts);
    return txn_add_more(t, ADDED_AT_ONCE_MAX);
}

static struct txn_outcome verify_txn_producer(const struct txn *t, const struct txn_event *e)
{
    if (e->producer_id != t->now.producer_id)
        return refuse_txn(KERR_INVALID_PRODUCER_ID_MAPPING);
    if (e->producer_epoch != t->now.producer_epoch)
        return refuse_txn(KERR_PRODUCER_FENCED);
    return refuse_txn(txn_state_prepared(t->now.state) ? KERR_CONCURRENT_TRANSACTIONS : KERR_NONE);
}

/* --- what nobody asked for --- */

static struct txn_outcome complete_txn(struct txn *t, const struct txn_event *e)
{
    if (t->pending || !txn_state_prepared(t->now.state))
        return refuse_txn(KERR_INVALID_TXN_STATE);
    bool commit = t->now.state == TXN_PREPARE_COMMIT;
    struct txn_values *to = begin_txn_step(t, commit ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT, e->now_ms);
    leave_txn_parts(t);
    if (to->next_id >= 0 && to->client_version >= TXN_VERSION_2) {
        to->producer_id = to->next_id;
        to->producer_epoch = 0;
    }
    to->next_id = NO_ID;
    return write_txn(t, KERR_NONE);
}

static struct txn_outcome expire_txn(struct txn *t, const struct txn_event *e)
{
    if (t->pending || !txn_may_expire(t))
        return refuse_txn(KERR_CONCURRENT_TRANSACTIONS);
    (void)begin_txn_step(t, TXN_DEAD, e->now_ms);
    leave_txn_parts(t);
    return write_txn(t, KERR_NONE);
}

static struct txn_outcome time_txn_out(struct txn *t, const struct txn_event *e)
{
    if (t->pending || t->now.state != TXN_ONGOING)
        return refuse_txn(KERR_CONCURRENT_TRANSACTIONS);
    return fence_txn_producer(t, e, KERR_NONE);
}

/* --- events --- */

struct txn_outcome txn_event(struct txn *t, const struct txn_event *e)
{
    assert(t->now.state != TXN_DEAD);
    assert(t->now.state != TXN_PREPARE_EPOCH_FENCE);
    switch (e->kind) {
    case TXN_INIT: return init_txn_producer(t, e);
    case TXN_ADD: return add_txn_parts(t, e);
    case TXN_VERIFY: return verify_txn_producer(t, e);
    case TXN_END: return e->version >= TXN_VERSION_2 ? end_txn_new(t, e) : end_txn_old(t, e);
    case TXN_TIMEOUT: return time_txn_out(t, e);
    case TXN_MARKED: return complete_txn(t, e);
    case TXN_EXPIRE: return expire_txn(t, e);
    }
    assert(!"an event");
    return refuse_txn(KERR_UNKNOWN_SERVER_ERROR);
}

void txn_apply(struct txn *t)
{
    assert(t->pending);
    assert(!t->merging);
    t->pending = false;
    t->now = t->to;
    if (t->to_same_parts)
        return;
    struct txn_parts old = t->parts;
    t->parts = t->to_parts;
    txn_parts_deinit(&old);
    txn_parts_init(&t->to_parts, t->parts.heap);
}

void txn_drop(struct txn *t)
{
    assert(t->pending);
    if (t->merging)
        txn_merge_end(&t->merge);
    t->pending = t->merging = false;
    txn_parts_deinit(&t->to_parts);
}

const struct txn_parts *txn_to_parts(const struct txn *t)
{
    assert(t->pending);
    assert(!t->merging);
    return t->to_same_parts ? &t->parts : &t->to_parts;
}

bool txn_may_expire(const struct txn *t)
{
    switch (t->now.state) {
    case TXN_EMPTY:
    case TXN_COMPLETE_COMMIT:
    case TXN_COMPLETE_ABORT: return true;
    case TXN_ONGOING:
    case TXN_PREPARE_COMMIT:
    case TXN_PREPARE_ABORT:
    case TXN_DEAD:
    case TXN_PREPARE_EPOCH_FENCE: return false;
    }
    assert(!"a state");
    return false;
}

static void check_txn_values(const struct txn_values *v, const struct txn_parts *parts)
{
    bool has_parts = v->state == TXN_ONGOING || txn_state_prepared(v->state);
    assert(v->producer_id >= 0);
    assert(v->producer_epoch >= 0 || v->state == TXN_EMPTY || v->state == TXN_DEAD);
    assert(has_parts || parts->count == 0);
    assert(v->next_id < 0 || txn_state_prepared(v->state));
    txn_parts_check(parts);
}

void txn_check(const struct txn *t)
{
    check_txn_values(&t->now, &t->parts);
    assert(t->pending || !t->merging);
    if (t->pending && !t->merging)
        check_txn_values(&t->to, txn_to_parts(t));
    if (!t->pending)
        assert(t->to_parts.count == 0);
}
