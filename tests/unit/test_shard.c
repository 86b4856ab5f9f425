/* Every case runs over each engine: io_uring with all features (wakes by MSG_RING), with none (wakes by eventfd), epoll, and io_uring that looks for
 * work before it sleeps. */
#include "core/clock.h"
#include "core/limits.h"
#include "core/shard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const struct io_options engines[] = {
    {.engine = IO_ENGINE_IO_URING, .features = IO_FEATURE_ALL, .recv_bytes = 4096, .recv_count = 4},
    {.engine = IO_ENGINE_IO_URING, .features = 0, .recv_bytes = 4096, .recv_count = 4},
    {.engine = IO_ENGINE_EPOLL, .recv_bytes = 4096, .recv_count = 4},
    {.engine = IO_ENGINE_IO_URING,
     .features = IO_FEATURE_ALL,
     .recv_bytes = 4096,
     .recv_count = 4,
     .spin = {.most_ns = 50000}},
};

/* What a group of shards does; `first` runs on shard 0 when it starts. */
struct play {
    void *stats; /* NULL: turns are not watched */
    void (*first)(struct shard *s, struct play *p);
    uint16_t fail_at; /* the shard whose start fails */
    _Atomic uint32_t started, stopped;
};

static enum err start(struct shard *s, void *arg)
{
    struct play *p = arg;
    if (p->fail_at && s->id == p->fail_at)
        return ERR_BUSY;
    atomic_fetch_add(&p->started, 1);
    if (s->id == 0 && p->first)
        p->first(s, p);
    return ERR_NONE;
}

static void stop(struct shard *s, void *arg)
{
    shard_check(s);
    struct play *p = arg;
    atomic_fetch_add(&p->stopped, 1);
}

/* False: not run. */
static bool perform(struct play *p, uint16_t count, const struct io_options *engine, enum err expected)
{
    struct shard_group *g;
    struct shard_options options = {.count = count,
                                    .io = *engine,
                                    .memory_bytes = 4 * SLAB_BYTES,
                                    .start = start,
                                    .stop = stop,
                                    .arg = p,
                                    .stats = p->stats,
                                    .watch = p->stats};
    assert_int_equal(shard_group_open(options, &g), ERR_NONE);
    enum err err = shard_group_run(g);
    bool ran = true;
    if (err == ERR_UNSUPPORTED) {
        printf("not run: test_shard over io_uring: %s\n", shard_group_why(g));
        ran = false;
    } else {
        assert_int_equal(err, expected);
        assert_int_equal(p->started, p->stopped);
    }
    shard_group_close(g);
    return ran;
}

static struct shard_msg stop_msg[SHARDS_MAX];

static void stop_here(struct shard *s, struct shard_msg *msg)
{
    (void)msg;
    s->stop = true;
}

static void stop_all(struct shard *s)
{
    for (uint16_t id = 0; id < s->count; id++) {
        shard_msg_init(&stop_msg[id], stop_here);
        shard_send(s, id, &stop_msg[id]);
    }
}

/* --- one message to and fro: both sides sleep each time --- */

struct ball {
    struct shard_msg msg;
    uint32_t left;
};
static struct ball balls[64];
static uint32_t balls_out;

static void bounce(struct shard *s, struct shard_msg *msg)
{
    struct ball *b = container_of(msg, struct ball, msg);
    if (s->id == 0 && b->left-- == 0) {
        if (--balls_out == 0)
            stop_all(s);
        return;
    }
    shard_send(s, s->id ^ 1, msg);
}

static void throw_balls(struct shard *s, uint32_t count, uint32_t rounds)
{
    balls_out = count;
    for (uint32_t i = 0; i < count; i++) {
        balls[i].left = rounds;
        shard_msg_init(&balls[i].msg, bounce);
        shard_send(s, 1, &balls[i].msg);
    }
}

static void throw_one(struct shard *s, struct play *p)
{
    (void)p;
    throw_balls(s, 1, 20000);
}

static void throw_many(struct shard *s, struct play *p)
{
    (void)p;
    throw_balls(s, 64, 2000);
}

static void two_shards_ping_pong(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct play p = {.first = throw_one};
        perform(&p, 2, &engines[i], ERR_NONE);
        struct play q = {.first = throw_many};
        perform(&q, 2, &engines[i], ERR_NONE);
    }
}

/* --- more messages in one turn than a ring holds --- */

enum { FLOOD = 5 * RING_SLOTS + 3 };
static struct ball flood[FLOOD];
static uint32_t flood_next;

static void receive_flood(struct shard *s, struct shard_msg *msg)
{
    struct ball *b = container_of(msg, struct ball, msg);
    assert_int_equal(b->left, flood_next);
    if (++flood_next == FLOOD)
        stop_all(s);
}

static void send_flood(struct shard *s, struct play *p)
{
    (void)p;
    flood_next = 0;
    for (uint32_t i = 0; i < FLOOD; i++) {
        flood[i].left = i;
        shard_msg_init(&flood[i].msg, receive_flood);
        shard_send(s, 1, &flood[i].msg);
    }
}

static void messages_beyond_a_full_ring_arrive_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct play p = {.first = send_flood};
        perform(&p, 2, &engines[i], ERR_NONE);
    }
}

/* --- timers, deferred calls, messages to oneself --- */

struct clockwork {
    struct shard *s;
    struct timer timer;
    struct shard_defer defer;
    struct shard_msg msg;
    uint64_t started_ns;
    uint32_t fired, deferred, told;
};
static struct clockwork work;

static void told_oneself(struct shard *s, struct shard_msg *msg)
{
    (void)msg;
    if (++work.told == 3)
        stop_all(s);
    else
        shard_send(s, s->id, &work.msg);
}

static void was_deferred(struct shard_defer *d)
{
    if (++work.deferred < 3) {
        shard_defer(work.s, d);
        shard_defer(work.s, d);
    } else {
        shard_send(work.s, work.s->id, &work.msg);
    }
}

static void timer_fired(struct timer *t)
{
    assert_true(work.s->now_ns - work.started_ns >= 5 * NS_PER_MS);
    if (++work.fired < 3) {
        work.started_ns = work.s->now_ns;
        timer_start(&work.s->timers, t, work.s->now_ns + 5 * NS_PER_MS);
    } else {
        shard_defer(work.s, &work.defer);
        shard_defer(work.s, &work.defer);
    }
}

static void wind_up(struct shard *s, struct play *p)
{
    (void)p;
    work = (struct clockwork){.s = s, .started_ns = s->now_ns};
    timer_init(&work.timer, timer_fired);
    shard_defer_init(&work.defer, was_deferred);
    shard_msg_init(&work.msg, told_oneself);
    timer_start(&s->timers, &work.timer, s->now_ns + 5 * NS_PER_MS);
}

static void timers_fire_deferred_calls_run_once_and_messages_to_oneself_arrive(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct play p = {.first = wind_up};
        if (!perform(&p, 1, &engines[i], ERR_NONE))
            continue;
        assert_int_equal(work.fired, 3);
        assert_int_equal(work.deferred, 3);
        assert_int_equal(work.told, 3);
    }
}

/* --- what a completion or a message allows leaves with the next io_run --- */

/* As a durable produce: the write is done -> storage's end of the turn -> who waits is told -> connections send. */
static struct {
    struct shard *s;
    struct io_op op;
    struct shard_msg over;
    struct shard_defer stored, told, sent;
    char ran[8];
    uint64_t turns[8];
    uint32_t count;
} chain;

static void note_link(char what)
{
    assert_true(chain.count < sizeof chain.ran - 1);
    chain.turns[chain.count] = chain.s->turn;
    chain.ran[chain.count++] = what;
}

static void chain_sent(struct shard_defer *d)
{
    (void)d;
    note_link('c');
}

static void chain_told(struct shard_defer *d)
{
    (void)d;
    note_link('t');
    shard_defer_last(chain.s, &chain.sent);
}

static void chain_stored(struct shard_defer *d)
{
    note_link('s');
    if (chain.count > 2) {
        stop_all(chain.s);
        return;
    }
    shard_defer(chain.s, d); /* has run in this turn */
    shard_defer(chain.s, &chain.told);
}

static void begin_chain(void)
{
    note_link('w');
    shard_defer_last(chain.s, &chain.sent); /* deferred first, and runs last all the same */
    shard_defer(chain.s, &chain.stored);
}

static void chain_written(struct io_op *op, int32_t res)
{
    (void)op, (void)res;
    begin_chain();
}

static void chain_came(struct shard *s, struct shard_msg *msg)
{
    if (s->id == 0)
        begin_chain();
    else
        shard_send(s, 0, msg);
}

static int32_t do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void start_chain(struct shard *s, struct play *p)
{
    (void)p;
    memset(&chain, 0, sizeof chain);
    chain.s = s;
    shard_defer_init(&chain.stored, chain_stored);
    shard_defer_init(&chain.told, chain_told);
    shard_defer_init(&chain.sent, chain_sent);
    shard_msg_init(&chain.over, chain_came);
    if (s->count == 1)
        io_job(s->io, &chain.op, IO_URGENT, do_nothing, NULL, chain_written);
    else
        shard_send(s, 1, &chain.over);
}

static void what_a_completion_or_a_message_allows_is_sent_in_its_turn(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * COUNT_OF(engines); i++) {
        struct play p = {.first = start_chain};
        if (!perform(&p, 1 + i % 2, &engines[i / 2], ERR_NONE))
            continue;
        assert_string_equal(chain.ran, "wstcs");
        for (int k = 1; k < 5; k++)
            assert_int_equal(chain.turns[k], chain.turns[0] + (k == 4));
    }
}

/* --- many deferred calls --- */

enum { MANY_DEFERRED = 1000, DEFERRED_MOST = 128 };
static struct {
    struct shard *s;
    struct shard_defer v[MANY_DEFERRED], last;
    struct timer timer;
    uint32_t ran, turn_from, most;
} many;

static void note_end_of_turn(struct timer *t)
{
    uint32_t ran = many.ran - many.turn_from;
    many.most = ran > many.most ? ran : many.most;
    many.turn_from = many.ran;
    timer_start(&many.s->timers, t, many.s->now_ns); /* timers come before what is deferred, once a turn */
}

static void one_of_many_deferred(struct shard_defer *d)
{
    assert_ptr_equal(d, &many.v[many.ran]); /* in order */
    if (many.ran++ == 0)
        shard_defer(many.s, &many.last);
}

static void behind_many_deferred(struct shard_defer *d)
{
    (void)d;
    assert_int_equal(many.ran, MANY_DEFERRED);
    stop_all(many.s);
}

static void defer_many(struct shard *s, struct play *p)
{
    (void)p;
    memset(&many, 0, sizeof many);
    many.s = s;
    for (uint32_t i = 0; i < MANY_DEFERRED; i++) {
        shard_defer_init(&many.v[i], one_of_many_deferred);
        shard_defer(s, &many.v[i]);
    }
    shard_defer_init(&many.last, behind_many_deferred);
    timer_init(&many.timer, note_end_of_turn);
    timer_start(&s->timers, &many.timer, s->now_ns);
}

static void of_many_deferred_calls_a_turn_runs_a_few_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct play p = {.first = defer_many};
        if (!perform(&p, 1, &engines[i], ERR_NONE))
            continue;
        assert_int_equal(many.ran, MANY_DEFERRED);
        assert_in_range(many.most, 1, DEFERRED_MOST);
    }
}

/* --- time as the done callbacks see it --- */

static struct io_op job_op;
static struct shard *job_shard;
static uint64_t job_started_ns;

static int32_t sleep_a_little(void *arg)
{
    (void)arg;
    usleep(30000);
    return 0;
}

static void job_done(struct io_op *op, int32_t res)
{
    (void)op;
    assert_int_equal(res, 0);
    assert_true(job_shard->now_ns - job_started_ns >= 25 * NS_PER_MS);
    stop_all(job_shard);
}

static void start_job(struct shard *s, struct play *p)
{
    (void)p;
    job_shard = s;
    job_started_ns = clock_now_ns();
    io_job(s->io, &job_op, IO_URGENT, sleep_a_little, NULL, job_done);
}

static void a_done_callback_sees_the_time_after_the_sleep(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct play p = {.first = start_job};
        perform(&p, 1, &engines[i], ERR_NONE);
    }
}

/* --- what is counted of turns --- */

static _Alignas(8) uint8_t stats_block[STATS_BYTES];
static struct timer slow_timer;
static struct shard *slow_shard;
static int slow_step;

static void burn_cpu_ns(uint64_t ns)
{
    uint64_t began = clock_thread_cpu_ns();
    while (clock_thread_cpu_ns() - began < ns)
        ;
}

/* One turn that computes, one that waits where it must not, and one that does neither, each after a wait in io_run. */
static void be_slow(struct timer *t)
{
    switch (slow_step++) {
    case 0: burn_cpu_ns(20 * NS_PER_MS); break;
    case 1: usleep(1000); break;
    case 2: break;
    default: stop_all(slow_shard); return;
    }
    timer_start(&slow_shard->timers, t, slow_shard->now_ns + 5 * NS_PER_MS);
}

static void start_slow(struct shard *s, struct play *p)
{
    (void)p;
    slow_shard = s;
    slow_step = 0;
    timer_init(&slow_timer, be_slow);
    timer_start(&s->timers, &slow_timer, s->now_ns + 5 * NS_PER_MS);
}

static void long_turns_and_foreign_waits_are_counted(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        memset(stats_block, 0, sizeof stats_block);
        struct play p = {.first = start_slow, .stats = stats_block};
        if (!perform(&p, 1, &engines[i], ERR_NONE))
            continue;
        /* The order in which core/shard_group.c registers them; test_stat has the drawing. */
        uint32_t at[3];
        for (size_t k = 0; k < 3; k++)
            memcpy(&at[k], stats_block + 24 + 40 * k + 36, sizeof at[k]);
        assert_string_equal((char *)stats_block + 24, "waits_outside");
        assert_string_equal((char *)stats_block + 64, "turns");
        assert_string_equal((char *)stats_block + 104, "turn_cpu_ns");
        const struct stat_counter *waits = (void *)(stats_block + at[0]), *turns = (void *)(stats_block + at[1]);
        const struct stat_histogram *cpu = (void *)(stats_block + at[2]);
        assert_true(stat_value(waits) >= 1);
        assert_true(stat_value(turns) >= 4);
        assert_true(stat_quantile(cpu, 1000) >= 17 * NS_PER_MS);
    }
}

/* --- wakes that meet a shard at any moment of falling asleep --- */

static struct timer pause_timer;
static struct shard *pacer;
static uint32_t pace_left;

static void pace(struct timer *t);

static void pace_back(struct shard *s, struct shard_msg *msg)
{
    (void)msg;
    if (s->id == 1) {
        shard_send(s, 0, msg);
    } else if (--pace_left == 0) {
        stop_all(s);
    } else {
        timer_start(&s->timers, &pause_timer, s->now_ns + rng_below(&s->rng, 40000));
    }
}

static void pace(struct timer *t)
{
    (void)t;
    shard_send(pacer, 1, &balls[0].msg);
}

static void start_pacing(struct shard *s, struct play *p)
{
    (void)p;
    pacer = s;
    pace_left = 5000;
    shard_msg_init(&balls[0].msg, pace_back);
    timer_init(&pause_timer, pace);
    timer_start(&s->timers, &pause_timer, s->now_ns);
}

static void no_wake_is_lost_whatever_the_pause(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct play p = {.first = start_pacing};
        perform(&p, 2, &engines[i], ERR_NONE);
    }
}

/* --- failing --- */

static void a_start_that_fails_stops_all_and_closes_those_that_were_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        for (uint16_t at = 1; at < 4; at++) {
            struct play p = {.fail_at = at};
            if (perform(&p, 4, &engines[i], ERR_BUSY))
                assert_int_equal(p.started, 3);
        }
    }
}

static void pieces_run_by_turns_in_one_thread(void **state)
{
    (void)state;
    struct play p = {.first = throw_one};
    struct shard_group *g;
    struct shard_options options = {
        .count = 2, .io = engines[2], .memory_bytes = SLAB_BYTES, .start = start, .stop = stop, .arg = &p};
    assert_int_equal(shard_group_open(options, &g), ERR_NONE);
    assert_int_equal(shard_open(g, 0), ERR_NONE);
    assert_int_equal(shard_open(g, 1), ERR_NONE);
    balls[0].left = 100;
    bool more[2] = {true, true};
    while (more[0] || more[1]) {
        for (uint16_t id = 0; id < 2; id++) {
            if (more[id])
                more[id] = shard_turn(shard_at(g, id), 0);
        }
    }
    shard_close(shard_at(g, 1));
    shard_close(shard_at(g, 0));
    shard_group_close(g);
    assert_int_equal(balls[0].left, UINT32_MAX);
}

/* As many as come from another shard, in their order; those that are sent meanwhile are the last. */
static void a_turn_takes_so_many_messages_to_oneself(void **state)
{
    (void)state;
    enum { SENT = 1000, TURN_MAX = 128 };
    struct play p = {0};
    struct shard_group *g;
    struct shard_options options = {
        .count = 2, .io = engines[2], .memory_bytes = SLAB_BYTES, .start = start, .stop = stop, .arg = &p};
    assert_int_equal(shard_group_open(options, &g), ERR_NONE);
    assert_int_equal(shard_open(g, 0), ERR_NONE);
    assert_int_equal(shard_open(g, 1), ERR_NONE);
    struct shard *s = shard_at(g, 0);
    flood_next = 0;
    for (uint32_t i = 0; i < SENT; i++) {
        flood[i].left = i;
        shard_msg_init(&flood[i].msg, receive_flood);
        shard_send(s, 0, &flood[i].msg);
    }
    uint32_t turns = 0, before = 0;
    for (; flood_next < SENT; turns++, before = flood_next) {
        (void)shard_turn(s, 1000 * NS_PER_S); /* it does not sleep meanwhile */
        assert_true(flood_next > before && flood_next - before <= TURN_MAX);
    }
    assert_true(turns >= SENT / TURN_MAX);
    shard_close(shard_at(g, 1));
    shard_close(s);
    shard_group_close(g);
}

enum { CROWD = 6, OF_EACH = 200 };
static struct from_crowd {
    struct shard_msg msg;
    uint16_t from;
    uint32_t order;
} crowd[CROWD][OF_EACH];
static uint32_t heard[CROWD];

static void hear_one(struct shard *s, struct shard_msg *msg)
{
    struct from_crowd *m = container_of(msg, struct from_crowd, msg);
    assert_int_equal(s->id, 0);
    assert_int_equal(heard[m->from]++, m->order);
}

/* However many shards send: the bound of a turn is one for all, and they take turns at being the first. */
static void a_turn_takes_so_many_messages_of_all_others_together(void **state)
{
    (void)state;
    enum { TURN_MAX = 128 };
    struct play p = {0};
    struct shard_group *g;
    struct shard_options options = {
        .count = CROWD, .io = engines[2], .memory_bytes = SLAB_BYTES, .start = start, .stop = stop, .arg = &p};
    assert_int_equal(shard_group_open(options, &g), ERR_NONE);
    for (uint16_t id = 0; id < CROWD; id++)
        assert_int_equal(shard_open(g, id), ERR_NONE);
    for (uint16_t from = 1; from < CROWD; from++)
        for (uint32_t i = 0; i < OF_EACH; i++) {
            crowd[from][i] = (struct from_crowd){.from = from, .order = i};
            shard_msg_init(&crowd[from][i].msg, hear_one);
            shard_send(shard_at(g, from), 0, &crowd[from][i].msg);
        }
    uint32_t all = 0;
    for (int turn = 0; all < (CROWD - 1) * OF_EACH; turn++) {
        uint32_t before = all, quiet = 0;
        (void)shard_turn(shard_at(g, 0), 0);
        all = 0;
        for (uint16_t from = 1; from < CROWD; from++) {
            all += heard[from];
            quiet += heard[from] == 0;
        }
        assert_true(all > before && all - before <= TURN_MAX);
        assert_true(turn < CROWD || quiet == 0);
    }
    for (uint16_t id = CROWD; id-- > 0;)
        shard_close(shard_at(g, id));
    shard_group_close(g);
}

static void never_fires(struct timer *t)
{
    (void)t;
    fail();
}

static void time_in_which_a_shard_stood_still_is_not_lived(void **state)
{
    (void)state;
    static const struct stand {
        const char *what;
        uint64_t overdue_ns; /* of the next timer; 0: none is due */
        bool stood;
    } stands[] = {{"idle: nothing was due", 0, false},
                  {"a timer that is a little late", SHARD_STOOD_NS / 4, false},
                  {"a timer that is much too late", 2 * SHARD_STOOD_NS, true}};
    const uint64_t away_ns = 1200 * NS_PER_S;
    for (size_t i = 0; i < COUNT_OF(stands); i++) {
        struct play p = {0};
        struct shard_group *g;
        struct shard_options options = {
            .count = 1, .io = engines[2], .memory_bytes = SLAB_BYTES, .start = start, .stop = stop, .arg = &p};
        assert_int_equal(shard_group_open(options, &g), ERR_NONE);
        assert_int_equal(shard_open(g, 0), ERR_NONE);
        struct shard *s = shard_at(g, 0);
        struct timer due;
        timer_init(&due, never_fires);
        if (stands[i].overdue_ns)
            timer_start(&s->timers, &due, clock_now_ns() - stands[i].overdue_ns);
        s->turned_ns -= u64_min(away_ns, s->turned_ns); /* so long ago was the last turn */
        uint64_t now_ns = clock_now_ns(), lived_ns = shard_lived_ns(s);
        if (stands[i].stood != (s->stood_ns > 0))
            fail_msg("%s", stands[i].what);
        assert_true(lived_ns + s->stood_ns >= now_ns && lived_ns + s->stood_ns < now_ns + 100 * NS_PER_S);
        assert_int_equal(shard_due_ns(s, lived_ns + 5), lived_ns + 5 + s->stood_ns);
        assert_int_equal(shard_due_ns(s, UINT64_MAX), UINT64_MAX);
        timer_stop(&s->timers, &due);
        shard_close(s);
        shard_group_close(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_shards_ping_pong),
        cmocka_unit_test(messages_beyond_a_full_ring_arrive_in_order),
        cmocka_unit_test(timers_fire_deferred_calls_run_once_and_messages_to_oneself_arrive),
        cmocka_unit_test(what_a_completion_or_a_message_allows_is_sent_in_its_turn),
        cmocka_unit_test(of_many_deferred_calls_a_turn_runs_a_few_in_order),
        cmocka_unit_test(a_done_callback_sees_the_time_after_the_sleep),
        cmocka_unit_test(long_turns_and_foreign_waits_are_counted),
        cmocka_unit_test(no_wake_is_lost_whatever_the_pause),
        cmocka_unit_test(a_start_that_fails_stops_all_and_closes_those_that_were_open),
        cmocka_unit_test(pieces_run_by_turns_in_one_thread),
        cmocka_unit_test(a_turn_takes_so_many_messages_to_oneself),
        cmocka_unit_test(a_turn_takes_so_many_messages_of_all_others_together),
        cmocka_unit_test(time_in_which_a_shard_stood_still_is_not_lived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
