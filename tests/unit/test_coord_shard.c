/* A coordinator's logs on one shard: opened, answered for, and opened again after what passes. The logs themselves are made up. */
#include "net/coord/coord_shard.h"
#include "core/clock.h"
#include "core/log.h"
#include "net/limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { PARTS = 3, MINE = 1, THEIRS = 2 };
enum { NOW_MS = 77, EVERY_MS = 600000 };

static struct world {
    struct shard shard;
    struct topic topic;
    struct store store;
    bool there, offline, poor; /* poor: nothing can be opened */
    bool disbelieved;          /* the wall clock */
    uint32_t expiries[PARTS];  /* calls of `expire` */
    struct coord_shard coord;
    struct coord_log logs[8];
    uint32_t opened, closed, stopped;
} w;

/* --- what it calls --- */

const struct topic *coord_topic_find(const struct coord_topic *t, const struct store *st)
{
    (void)t, (void)st;
    return w.there ? &w.topic : NULL;
}

struct partition *store_partition(const struct store *st, const uint8_t topic_id[16], int32_t partition)
{
    (void)st, (void)topic_id;
    return partition == THEIRS ? NULL : (struct partition *)&w;
}

struct partition_facts partition_facts(const struct partition *p)
{
    (void)p;
    return (struct partition_facts){.offline = w.offline};
}

bool log_store_expiry_ms(struct log_store *ls, int64_t *out_ms)
{
    assert_ptr_equal(ls, &w.store.log);
    if (w.disbelieved)
        return false;
    *out_ms = NOW_MS;
    return true;
}

void coord_log_close(struct coord_log *l, void (*closed)(void *arg), void *arg)
{
    l->closing = true;
    l->closed = closed;
    l->closed_arg = arg;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    (void)level, (void)event, (void)fmt;
}

void pace_init(struct pace *p, struct shard *s)
{
    *p = (struct pace){.shard = s};
}

static const struct coord_topic topic = {"topic", NULL};

static struct coord_log *open_log(struct coord_shard *c, struct partition *p, int32_t index)
{
    assert_ptr_equal(c, &w.coord);
    assert_non_null(p);
    if (w.poor)
        return NULL;
    struct coord_log *l = &w.logs[w.opened++];
    *l = (struct coord_log){.index = index};
    return l;
}

/* --- what happens to a log --- */

static struct coord_log *log_of(int32_t index)
{
    return w.coord.parts[index].log;
}
static void become(int32_t index, enum coord_log_state state, bool starved)
{
    log_of(index)->state = state;
    log_of(index)->may_pass = starved;
    coord_shard_ready(&w.coord, log_of(index));
}
static void end_closing(struct coord_log *l)
{
    assert_true(l->closing);
    l->closing = false;
    w.closed++;
    l->closed(l->closed_arg);
}
static enum kerr ask(int32_t index)
{
    enum kerr error;
    struct coord_log *l = coord_shard_log(&w.coord, index, &error);
    assert_int_equal(l == NULL, error != KERR_NONE);
    return error;
}

static void begin(bool there)
{
    w = (struct world){.there = there, .topic = {.name = "topic", .partitions = PARTS}};
    w.shard.heap = heap_open();
    w.shard.now_ns = NS_PER_S;
    w.shard.store = &w.store;
    timers_init(&w.shard.timers);
    assert_int_equal(coord_shard_start(&w.coord, &w.shard, &topic, open_log), ERR_NONE);
}
static void end(void)
{
    coord_shard_close(&w.coord);
    heap_close(w.shard.heap);
}

/* --- the tests --- */

static void a_question_is_answered_when_its_log_is_loaded(void **state)
{
    (void)state;
    begin(true);
    assert_int_equal(w.opened, 2);
    assert_int_equal(ask(MINE), KERR_COORDINATOR_LOAD_IN_PROGRESS);
    assert_int_equal(ask(THEIRS), KERR_NOT_COORDINATOR);
    assert_int_equal(ask(-1), KERR_NOT_COORDINATOR);
    assert_int_equal(ask(PARTS), KERR_NOT_COORDINATOR);
    become(MINE, COORD_LOG_READY, false);
    assert_int_equal(ask(MINE), KERR_NONE);
    end();
}

static void a_topic_that_is_made_later_is_coordinated(void **state)
{
    (void)state;
    begin(false);
    assert_int_equal(ask(MINE), KERR_NOT_COORDINATOR);
    w.there = true;
    coord_shard_topic_made(&w.coord, &(struct topic){.name = "other", .partitions = 1});
    assert_null(w.coord.parts);
    coord_shard_topic_made(&w.coord, &w.topic);
    assert_int_equal(ask(MINE), KERR_COORDINATOR_LOAD_IN_PROGRESS);
    end();
}

static void a_log_that_could_not_be_opened_is_opened_by_a_question(void **state)
{
    (void)state;
    begin(false);
    w.poor = w.there = true;
    coord_shard_topic_made(&w.coord, &w.topic);
    assert_int_equal(ask(MINE), KERR_NOT_COORDINATOR);
    w.poor = false;
    assert_int_equal(ask(MINE), KERR_COORDINATOR_LOAD_IN_PROGRESS);
    end();
}

/* Once it was for ever: until a restart. */
static void a_load_that_found_no_memory_is_tried_again_after_a_while(void **state)
{
    (void)state;
    begin(true);
    become(MINE, COORD_LOG_FAILED, true);
    assert_int_equal(ask(MINE), KERR_NOT_COORDINATOR);
    assert_false(log_of(MINE)->closing);
    w.shard.now_ns += (COORD_REOPEN_MS - 1) * NS_PER_MS;
    assert_int_equal(ask(MINE), KERR_NOT_COORDINATOR);
    assert_false(log_of(MINE)->closing);
    w.shard.now_ns += NS_PER_MS;
    assert_int_equal(ask(MINE), KERR_NOT_COORDINATOR);
    end_closing(log_of(MINE));
    assert_int_equal(ask(MINE), KERR_COORDINATOR_LOAD_IN_PROGRESS);
    end();
}

static void a_log_that_loses_its_memory_is_read_anew(void **state)
{
    (void)state;
    begin(true);
    become(MINE, COORD_LOG_READY, false);
    become(MINE, COORD_LOG_FAILED, true);
    end_closing(log_of(MINE));
    assert_int_equal(ask(MINE), KERR_COORDINATOR_LOAD_IN_PROGRESS);
    end();
}

static void a_partition_that_comes_back_is_loaded_a_damaged_one_is_not(void **state)
{
    (void)state;
    begin(true);
    become(0, COORD_LOG_FAILED, false); /* damaged */
    w.offline = true;
    become(MINE, COORD_LOG_FAILED, false);
    assert_int_equal(ask(MINE), KERR_NOT_COORDINATOR);
    assert_false(log_of(MINE)->closing);
    w.offline = false;
    assert_int_equal(ask(MINE), KERR_NOT_COORDINATOR);
    end_closing(log_of(MINE));
    assert_int_equal(ask(MINE), KERR_COORDINATOR_LOAD_IN_PROGRESS);
    w.shard.now_ns += 3600 * NS_PER_S;
    assert_int_equal(ask(0), KERR_NOT_COORDINATOR);
    assert_false(log_of(0)->closing);
    end();
}

static void all_logs_are_gone_through_unless_one_is_loading(void **state)
{
    (void)state;
    enum kerr error;
    int32_t at = 0;
    begin(true);
    become(0, COORD_LOG_READY, false);
    assert_ptr_equal(coord_shard_next_log(&w.coord, &at, &error), log_of(0));
    assert_null(coord_shard_next_log(&w.coord, &at, &error));
    assert_int_equal(error, KERR_COORDINATOR_LOAD_IN_PROGRESS);
    become(MINE, COORD_LOG_FAILED, false); /* left out, as in Kafka */
    at = 0;
    assert_ptr_equal(coord_shard_next_log(&w.coord, &at, &error), log_of(0));
    assert_null(coord_shard_next_log(&w.coord, &at, &error));
    assert_int_equal(error, KERR_NONE);
    end();
}

static void note_expiry(struct coord_log *l, int64_t now_ms)
{
    assert_int_equal(now_ms, NOW_MS);
    w.expiries[l->index]++;
}
static void pass(int64_t ms)
{
    w.shard.now_ns += (uint64_t)ms * NS_PER_MS;
    timers_fire(&w.shard.timers, w.shard.now_ns, 1);
}
static void what_is_old_goes_when_a_log_is_loaded_and_every_so_often(void **state)
{
    (void)state;
    begin(true);
    coord_shard_expire(&w.coord, EVERY_MS, note_expiry);
    assert_int_equal(w.expiries[MINE], 0);
    become(MINE, COORD_LOG_READY, false);
    assert_int_equal(w.expiries[MINE], 1);
    assert_int_equal(w.expiries[0], 0);
    pass(EVERY_MS - 1);
    assert_int_equal(w.expiries[MINE], 1);
    for (uint32_t i = 2; i < 5; i++, pass(EVERY_MS - 1)) {
        pass(1);
        assert_int_equal(w.expiries[MINE], i);
    }
    assert_int_equal(w.expiries[THEIRS], 0);
    end();
}

/* Committed offsets and transactional ids: both hang here. */
static void while_the_clock_is_not_believed_nothing_goes(void **state)
{
    (void)state;
    begin(true);
    coord_shard_expire(&w.coord, EVERY_MS, note_expiry);
    w.disbelieved = true;
    become(MINE, COORD_LOG_READY, false);
    for (int i = 0; i < 3; i++)
        pass(EVERY_MS);
    assert_int_equal(w.expiries[MINE], 0);
    w.disbelieved = false;
    pass(EVERY_MS);
    assert_int_equal(w.expiries[MINE], 1);
    end();
}

static void note_stopped(struct coord_shard *c)
{
    assert_ptr_equal(c, &w.coord);
    w.stopped++;
}
static void a_stop_waits_for_every_log(void **state)
{
    (void)state;
    begin(true);
    become(0, COORD_LOG_READY, false);
    coord_shard_stop(&w.coord, note_stopped);
    assert_int_equal(ask(0), KERR_NOT_COORDINATOR);
    end_closing(&w.logs[0]);
    assert_int_equal(w.stopped, 0);
    end_closing(&w.logs[1]);
    assert_int_equal(w.stopped, 1);
    assert_int_equal(ask(MINE), KERR_NOT_COORDINATOR);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_answered_when_its_log_is_loaded),
        cmocka_unit_test(a_topic_that_is_made_later_is_coordinated),
        cmocka_unit_test(a_log_that_could_not_be_opened_is_opened_by_a_question),
        cmocka_unit_test(a_load_that_found_no_memory_is_tried_again_after_a_while),
        cmocka_unit_test(a_log_that_loses_its_memory_is_read_anew),
        cmocka_unit_test(a_partition_that_comes_back_is_loaded_a_damaged_one_is_not),
        cmocka_unit_test(all_logs_are_gone_through_unless_one_is_loading),
        cmocka_unit_test(what_is_old_goes_when_a_log_is_loaded_and_every_so_often),
        cmocka_unit_test(while_the_clock_is_not_believed_nothing_goes),
        cmocka_unit_test(a_stop_waits_for_every_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
