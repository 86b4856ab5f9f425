/* The log of one partition of __transaction_state on a real shard and real files: what was written stands after whatever, and ids that
 * nobody uses go. */
#include "net/coord/coord_log_inside.h"
#include "net/txn/txn_log.h"
#include "tests/unit/partition_world.h"

enum { IDS = 5, ROUNDS = 40 };

static struct txn_world {
    struct txn_log *log;
    struct pace pace;
    struct txn_log_hooks hooks;
    uint32_t made, gone, written, readies, closes;
    enum kerr error;
    struct txn_values stands[IDS], under_way[IDS];
    uint32_t parts[IDS]; /* how many */
    bool busy[IDS];
    int64_t now_ms;
} t;

static struct kview id_of(int i)
{
    static const char *const names[IDS] = {"a", "bb", "ccc", "dddd", "eeeee"};
    return (struct kview){(const uint8_t *)names[i], (int32_t)strlen(names[i])};
}

/* --- the coordinator's part --- */

static int16_t level(void *arg)
{
    (void)arg;
    return TXN_VERSION_2;
}
static void made(struct txn_entry *e)
{
    assert_false(timer_started(&e->timer));
    t.made++;
}
static void going(struct txn_entry *e)
{
    (void)e;
    t.gone++;
}
static void written(struct txn_entry *e, enum kerr error)
{
    assert_false(e->txn.pending);
    t.written++;
    t.error = error;
}
static void ready(struct txn_log *l)
{
    assert_ptr_equal(l, t.log);
    t.readies++;
}
static void closed(void *arg)
{
    (void)arg;
    t.closes++;
    t.log = NULL;
}

/* --- turning --- */

static void txn_turn(void)
{
    turn();
    if (t.log)
        coord_log_check(&t.log->coord);
}
#define UNTIL(condition) TURN_UNTIL(txn_turn, condition)

static void open_ready(void)
{
    pace_init(&t.pace, w.shard);
    t.hooks = (struct txn_log_hooks){
        .pace = &t.pace, .level = level, .made = made, .going = going, .written = written, .ready = ready};
    t.made = t.gone = t.written = t.readies = t.closes = 0;
    t.log = txn_log_open(w.shard, w.p, 0, &t.hooks);
    assert_non_null(t.log);
    UNTIL(t.readies > 0);
    assert_int_equal(t.log->coord.state, COORD_LOG_READY);
}
static void close_log(void)
{
    coord_log_close(&t.log->coord, closed, NULL);
    UNTIL(t.closes == 1);
    UNTIL(!list_linked(&t.pace.defer.link));
    assert_int_equal(t.made, t.gone);
}
static void restart(void)
{
    t.log = NULL;
    start();
    find_partition("t");
    open_ready();
}

/* --- what is to be there --- */

static struct txn_entry *find_or_make(int i)
{
    struct txn_entry *e = txn_log_find(t.log, id_of(i));
    return e ? e : txn_log_make(t.log, id_of(i), 1000 + i, 60000, t.now_ms);
}

/* The next thing in the life of an id. */
static struct txn_event next_event(const struct txn *x, const struct txn_partition *part)
{
    struct txn_event e = {.now_ms = ++t.now_ms,
                          .producer_id = x->now.producer_id,
                          .producer_epoch = x->now.producer_epoch,
                          .version = TXN_VERSION_2,
                          .timeout_ms = 60000,
                          .fresh_id = -1,
                          .added = part,
                          .added_count = 1};
    bool complete = x->now.state == TXN_COMPLETE_COMMIT || x->now.state == TXN_COMPLETE_ABORT;
    e.kind = x->now.producer_epoch < 0                                ? TXN_INIT
             : x->now.state == TXN_EMPTY || complete                  ? TXN_ADD
             : x->now.state == TXN_ONGOING && x->parts.partitions < 3 ? TXN_ADD
             : x->now.state == TXN_ONGOING                            ? TXN_END
                                                                      : TXN_MARKED;
    e.commit = t.now_ms % 2;
    if (e.kind == TXN_INIT)
        e.producer_id = e.producer_epoch = -1;
    return e;
}

static void begin_change(int i)
{
    struct txn_entry *e = find_or_make(i);
    struct txn_partition part = {{(const uint8_t *)"topic", 5}, (int32_t)(t.now_ms % 50)};
    assert_non_null(e);
    struct txn_event event = next_event(&e->txn, &part);
    assert_int_equal(txn_event(&e->txn, &event).action, TXN_WRITE);
    t.under_way[i] = e->txn.to;
    t.busy[i] = true;
    assert_int_equal(txn_log_write(e), ERR_NONE);
}
static void note_change(int i)
{
    const struct txn_entry *e = txn_log_find(t.log, id_of(i));
    assert_non_null(e);
    t.stands[i] = e->txn.now;
    t.parts[i] = e->txn.parts.partitions;
    t.busy[i] = false;
}
static void change(int i)
{
    uint32_t before = t.written;
    begin_change(i);
    assert_int_equal(t.written, before); /* never inside */
    UNTIL(t.written > before);
    assert_int_equal(t.error, KERR_NONE);
    note_change(i);
}

static bool same_values(const struct txn_values *a, const struct txn_values *b)
{
    return a->state == b->state && a->producer_id == b->producer_id && a->previous_id == b->previous_id &&
           a->next_id == b->next_id && a->producer_epoch == b->producer_epoch && a->timeout_ms == b->timeout_ms &&
           a->start_ms == b->start_ms && a->update_ms == b->update_ms && a->client_version == b->client_version;
}
static void all_stands(void)
{
    for (int i = 0; i < IDS; i++) {
        const struct txn_entry *e = txn_log_find(t.log, id_of(i));
        if (!e) {
            assert_true(t.stands[i].producer_id == 0);
            continue;
        }
        bool old = same_values(&e->txn.now, &t.stands[i]);
        assert_true(old || (t.busy[i] && same_values(&e->txn.now, &t.under_way[i])));
        if (old)
            assert_int_equal(e->txn.parts.partitions, t.parts[i]);
    }
}

static const struct topic_override txn_topic_like[] = {
    {"cleanup.policy", "compact"}, {"internal.segment.bytes", "4096"}, {"min.cleanable.dirty.ratio", "0.1"}};
static int txn_setup(void **state)
{
    int result = setup(state);
    memset(&t, 0, sizeof t);
    t.now_ms = 1000;
    if (result == 0)
        make_topic(txn_topic_like, COUNT_OF(txn_topic_like));
    return result;
}
static int txn_teardown(void **state)
{
    if (t.log)
        close_log();
    return teardown(state);
}

/* --- tests --- */

static void what_was_written_stands_after_a_stop(void **state)
{
    (void)state;
    open_ready();
    for (int n = 0; n < ROUNDS; n++)
        change(n % IDS);
    close_log();
    stop();
    restart();
    assert_int_equal(t.made, IDS);
    all_stands();
}

static void after_a_kill_it_is_the_old_or_the_new(void **state)
{
    (void)state;
    open_ready();
    begin_cleaning();
    for (int n = 0; n < ROUNDS; n++) {
        change(n % IDS);
        if (n % 8 != 7)
            continue;
        begin_change((n + 1) % IDS);
        for (int turns = n % 3; turns > 0; turns--)
            txn_turn();
        kill_broker();
        restart();
        begin_cleaning();
        all_stands();
        for (int i = 0; i < IDS; i++)
            if (txn_log_find(t.log, id_of(i)))
                note_change(i);
    }
}

static void ids_that_nobody_uses_go(void **state)
{
    (void)state;
    open_ready();
    for (int n = 0; n < 4 * IDS; n++) /* three partitions each: ONGOING */
        change(n % IDS);
    for (int n = 0; n < 2; n++) { /* these two are at their end */
        change(0);
        change(1);
    }
    uint32_t gone = t.gone;
    txn_log_expire(t.log, t.now_ms + 100, 200); /* nothing is as old */
    UNTIL(!t.log->expiry.asked);
    assert_int_equal(t.gone, gone);
    txn_log_expire(t.log, t.now_ms + 1000, 200);
    UNTIL(!t.log->expiry.asked);
    assert_int_equal(t.gone, gone + 2);
    for (int i = 0; i < IDS; i++)
        assert_int_equal(txn_log_find(t.log, id_of(i)) != NULL, i > 1);
    kill_broker();
    t.stands[0].producer_id = t.stands[1].producer_id = 0;
    restart();
    all_stands();
    assert_null(txn_log_find(t.log, id_of(0)));
    change(0); /* and come again, from the beginning */
    assert_int_equal(t.stands[0].producer_epoch, 0);
}

/* Who waited while it was on its way must hear that the id stays. */
static void a_tombstone_that_is_not_written_is_told(void **state)
{
    (void)state;
    open_ready();
    change(0);
    const struct txn_entry *e = txn_log_find(t.log, id_of(0));
    uint32_t written = t.written;
    txn_log_expire(t.log, t.now_ms + 1000000, 1);
    UNTIL(e->txn.pending);
    partition_offline(w.p, "a test");
    UNTIL(!e->txn.pending);
    assert_int_equal(t.written, written + 1);
    assert_int_equal(t.gone, 0);
    UNTIL(!t.log->expiry.asked);
}

static void what_is_under_way_is_not_taken_by_expiry(void **state)
{
    (void)state;
    open_ready();
    change(0);
    begin_change(0);
    txn_log_expire(t.log, t.now_ms + 1000000, 1);
    UNTIL(!t.log->expiry.asked && t.written == 2);
    note_change(0);
    assert_int_equal(t.stands[0].state, TXN_ONGOING);
    all_stands();
}

static void closing_answers_what_is_under_way(void **state)
{
    (void)state;
    open_ready();
    change(0);
    begin_change(0);
    begin_change(1);
    close_log();
    assert_int_equal(t.written, 3);
    open_ready();
    all_stands();
}

#define CASE(f)                                                                            \
    {                                                                                      \
        .name = #f, .test_func = f, .setup_func = txn_setup, .teardown_func = txn_teardown \
    }
int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(what_was_written_stands_after_a_stop),
        CASE(after_a_kill_it_is_the_old_or_the_new),
        CASE(ids_that_nobody_uses_go),
        CASE(a_tombstone_that_is_not_written_is_told),
        CASE(what_is_under_way_is_not_taken_by_expiry),
        CASE(closing_answers_what_is_under_way),
    };
    return run_in_modes(tests, COUNT_OF(tests), COUNT_OF(modes));
}
