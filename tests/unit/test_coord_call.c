/* coord_call: every order in which the question, its answer, the cancel and their ways home can meet. */
#include "net/coord/coord_call.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { HOME, OWNER, SHARDS, RING = 8, STEPS = 16 };
enum asked { WAITS_LONG, WAITS_FOR_DISK, ANSWERS_AT_ONCE, KINDS };

struct shard_group {
    struct shard shards[SHARDS];
};
struct sent {
    struct shard_msg *v[RING];
    uint16_t target[RING];
    int from, to;
};
static struct world {
    struct shard_group group;
    struct sent rings[SHARDS]; /* by sender */
    struct coord_call call;
    struct coord_shard coordinator;
    enum asked kind;
    bool cancelled, on_disk, waits;
    int asked, forgotten, answered, back, jobs;
} w;

/* --- what the call calls --- */

struct shard *shard_at(struct shard_group *g, uint16_t id)
{
    return &g->shards[id];
}

void shard_send(struct shard *from, uint16_t to, struct shard_msg *msg)
{
    struct sent *r = &w.rings[from->id];
    assert_true(r->to < RING);
    r->target[r->to] = to;
    r->v[r->to++] = msg;
}

struct coord_log *coord_shard_log(struct coord_shard *c, int32_t partition, enum kerr *out_error)
{
    assert_ptr_equal(c, &w.coordinator);
    assert_int_equal(partition, 5);
    *out_error = KERR_NOT_COORDINATOR;
    return NULL;
}

void io_job(struct io *io, struct io_op *op, enum io_class class, int32_t (*run)(void *arg), void *arg,
            io_done_fn *done)
{
    (void)io;
    assert_int_equal(class, IO_URGENT);
    w.jobs++;
    done(op, run(arg));
}

static struct coord_shard *on(const struct shard *s)
{
    w.coordinator.shard = (struct shard *)s;
    return &w.coordinator;
}
static const struct coord_topic topic = {"topic", on};

const struct topic *coord_topic_find(const struct coord_topic *t, const struct store *st)
{
    static const struct topic there = {.partitions = 9};
    assert_ptr_equal(t, &topic);
    (void)st;
    return &there;
}

int32_t coord_partition(struct kview key, int32_t partitions)
{
    (void)key;
    assert_int_equal(partitions, 9);
    return 5;
}

static uint16_t owner;
uint16_t topic_shard(const uint8_t id[16], int32_t partition, uint16_t shard_count)
{
    (void)id;
    (void)partition;
    assert_int_equal(shard_count, SHARDS);
    return owner;
}

static void tell(void)
{
    w.waits = false;
    assert_non_null(coord_call_alloc(&w.call, 100));
    coord_call_done(&w.call);
}

/* --- the handler --- */

static void forget(struct coord_call *c)
{
    assert_ptr_equal(c, &w.call);
    w.forgotten++;
    tell();
}

static void ask(struct coord_call *c)
{
    w.asked++;
    w.waits = w.kind == WAITS_LONG;
    c->forget = w.waits ? forget : NULL;
    w.on_disk = w.kind == WAITS_FOR_DISK;
    if (w.kind == ANSWERS_AT_ONCE)
        tell();
}

static void answered(struct coord_call *c)
{
    assert_ptr_equal(c, &w.call);
    assert_int_equal(c->away, 0);
    w.answered++;
}

static void back(struct coord_call *c)
{
    assert_false(coord_call_holds(c));
    w.back++;
}

/* --- one thing at a time --- */

enum event { DELIVER_THERE, DELIVER_HOME, CANCEL, TELL, EVENTS };

static bool possible(enum event e)
{
    switch (e) {
    case DELIVER_THERE: return w.rings[HOME].from < w.rings[HOME].to;
    case DELIVER_HOME: return w.rings[OWNER].from < w.rings[OWNER].to;
    case CANCEL: return !w.cancelled && w.answered == 0;
    case TELL: return w.waits || w.on_disk;
    case EVENTS: break;
    }
    return false;
}

static void deliver(int from)
{
    struct sent *r = &w.rings[from];
    int i = r->from++;
    r->v[i]->run(&w.group.shards[r->target[i]], r->v[i]);
}

static void happen(enum event e)
{
    switch (e) {
    case DELIVER_THERE: deliver(HOME); return;
    case DELIVER_HOME: deliver(OWNER); return;
    case CANCEL:
        w.cancelled = true;
        coord_call_cancel(&w.call);
        return;
    case TELL:
        w.on_disk = false;
        tell();
        return;
    case EVENTS: break;
    }
    fail();
}

static int choose(int pick)
{
    int count = 0;
    for (enum event e = 0; e < EVENTS; e++)
        if (possible(e) && count++ == pick) {
            happen(e);
            return -1;
        }
    return count;
}

static void begin(struct heap *heap, enum asked kind)
{
    memset(&w, 0, sizeof w);
    for (uint16_t i = 0; i < SHARDS; i++)
        w.group.shards[i] = (struct shard){.id = i, .count = SHARDS, .group = &w.group, .heap = heap};
    w.kind = kind;
    w.call.topic = &topic;
    w.call.ask = ask;
    w.call.answered = answered;
    coord_call_start(&w.group.shards[HOME], &w.call);
}

static void deliver_all(void)
{
    while (possible(DELIVER_THERE) || possible(DELIVER_HOME))
        deliver(possible(DELIVER_THERE) ? HOME : OWNER);
}

static void end(void)
{
    assert_int_equal(w.asked, 1);
    assert_int_equal(w.answered, 1);
    assert_true(w.call.done && !w.call.starved);
    assert_int_equal(w.call.error, KERR_NOT_COORDINATOR);
    assert_true(coord_call_holds(&w.call));
    coord_call_give_back(&w.call, back);
    deliver_all();
    assert_int_equal(w.back, 1);
    assert_int_equal(w.answered, 1);
}

/* Plays all sequences: picks[] counts like an odometer whose digits have as many values as there were possibilities. */
static int play_all(struct heap *heap, enum asked kind, int *out_forgotten)
{
    int picks[STEPS] = {0}, played = 0;
    for (int steps = 0; steps >= 0; played++) {
        int counts[STEPS];
        begin(heap, kind);
        for (steps = 0;; steps++) {
            assert_true(steps < STEPS);
            counts[steps] = 0;
            for (enum event e = 0; e < EVENTS; e++)
                counts[steps] += possible(e);
            if (counts[steps] == 0)
                break;
            assert_int_equal(choose(picks[steps]), -1);
        }
        end();
        *out_forgotten += w.forgotten;
        while (--steps >= 0 && ++picks[steps] == counts[steps])
            picks[steps] = 0;
    }
    return played;
}

static void every_order_answers_once_and_gives_back(void **state)
{
    struct heap *heap = heap_open();
    (void)state;
    for (owner = HOME; owner < SHARDS; owner++)
        for (enum asked kind = 0; kind < KINDS; kind++) {
            int forgotten = 0, played = play_all(heap, kind, &forgotten);
            assert_true(played >= (kind == ANSWERS_AT_ONCE && owner == HOME ? 1 : 2));
            assert_true((forgotten > 0) == (kind == WAITS_LONG));
        }
    heap_close(heap);
}

static void what_does_not_fit_is_said(void **state)
{
    struct heap *heap = heap_open();
    static const uint8_t bytes[100];
    (void)state;
    owner = OWNER;
    begin(heap, WAITS_FOR_DISK);
    deliver(HOME);
    assert_int_equal(coord_call_text(&w.call, (struct kview){bytes, 100}).n, 100);
    assert_int_equal(coord_call_text(&w.call, (struct kview){NULL, -1}).n, -1);
    assert_false(w.call.starved);
    w.call.memory.max_bytes = w.call.memory.used_bytes;
    assert_int_equal(coord_call_text(&w.call, (struct kview){bytes, 100}).n, 0);
    assert_true(w.call.starved);
    heap_close(heap);
}

/* What the allocator would keep goes back to the kernel, by a job: its pages take longer than a turn may. */
static void a_large_answer_is_emptied_before_it_is_freed(void **state)
{
    struct heap *heap = heap_open();
    (void)state;
    for (owner = HOME; owner < SHARDS; owner++) {
        begin(heap, WAITS_FOR_DISK);
        deliver_all();
        assert_non_null(coord_call_alloc(&w.call, ARENA_LARGE_BYTES));
        happen(TELL);
        deliver_all();
        end();
        assert_int_equal(w.jobs, 1);
    }
    heap_close(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_order_answers_once_and_gives_back),
        cmocka_unit_test(what_does_not_fit_is_said),
        cmocka_unit_test(a_large_answer_is_emptied_before_it_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
