/* The buffer pool. The test is the engine: it counts which slabs are registered. */
#include "core/buf.h"
#include "core/clock.h"
#include "core/io.h"
#include "core/limits.h"
#include "core/poison.h"
#include "core/prefault.h"
#include "core/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { SLABS = 5 };
static int engine; /* its address stands for the engine */
static struct io *const io = (struct io *)&engine;
static bool registered[2 * SLABS];
static uint32_t registered_count;

void io_slab_register(struct io *at_io, uint32_t slab, void *at, size_t bytes)
{
    assert_ptr_equal(at_io, io);
    assert_true(slab < 2 * SLABS && !registered[slab]);
    assert_int_equal((uintptr_t)at % SLAB_BYTES, 0);
    assert_int_equal(bytes, SLAB_BYTES);
    registered[slab] = true;
    registered_count++;
}

void io_slab_unregister(struct io *at_io, uint32_t slab)
{
    assert_ptr_equal(at_io, io);
    assert_true(slab < 2 * SLABS && registered[slab]);
    registered[slab] = false;
    registered_count--;
}

/* The job that waits: it runs when a test says so. */
static struct io_op *job;
void io_job(struct io *at_io, struct io_op *op, enum io_class class, int32_t (*run)(void *arg), void *arg,
            io_done_fn *done)
{
    assert_ptr_equal(at_io, io);
    assert_int_equal(class, IO_URGENT);
    assert_null(job);
    op->job.run = run;
    op->job.arg = arg;
    op->done = done;
    job = op;
}

/* How many there were. */
static uint32_t run_jobs(void)
{
    uint32_t count = 0;
    for (; job; count++) {
        struct io_op *op = job;
        job = NULL;
        op->done(op, op->job.run(op->job.arg));
    }
    return count;
}

/* The thread that touches slabs ahead: it does so when a test says so. */
static struct thread_ahead {
    bool open, wanted;
    uint32_t count, done;
    uint8_t *at[PREFAULT_PIECES_MAX];
    bool revoked[PREFAULT_PIECES_MAX];
} thread_ahead;

struct prefault *prefault_open(void)
{
    thread_ahead.open = thread_ahead.wanted;
    return thread_ahead.wanted ? (struct prefault *)&thread_ahead : NULL;
}

void prefault_start(struct prefault *p, void *const *pieces, uint32_t count, size_t bytes)
{
    assert_ptr_equal(p, &thread_ahead);
    assert_int_equal(thread_ahead.count, 0);
    assert_int_equal(bytes, SLAB_BYTES);
    for (uint32_t i = 0; i < count; i++)
        thread_ahead.at[i] = pieces[i];
    thread_ahead.count = count;
}

bool prefault_ready(const struct prefault *p, uint32_t piece)
{
    assert_ptr_equal(p, &thread_ahead);
    assert_true(piece < thread_ahead.count && !thread_ahead.revoked[piece]);
    return piece < thread_ahead.done;
}

/* The piece behind those that are done is under way. */
bool prefault_revoke(struct prefault *p, uint32_t piece)
{
    assert_ptr_equal(p, &thread_ahead);
    assert_true(piece < thread_ahead.count && !thread_ahead.revoked[piece]);
    return thread_ahead.revoked[piece] = piece > thread_ahead.done;
}

void prefault_close(struct prefault *p)
{
    assert_ptr_equal(p, &thread_ahead);
    assert_true(thread_ahead.open);
    thread_ahead = (struct thread_ahead){0};
}

static struct heap *heap;
static struct bufpool *pool;

static int open_pool(void **state)
{
    (void)state;
    heap = heap_open();
    pool = bufpool_open(heap, io, SLABS * SLAB_BYTES);
    return pool ? 0 : -1;
}

static int close_pool(void **state)
{
    (void)state;
    bufpool_check(pool);
    bufpool_close(pool);
    heap_close(heap);
    job = NULL;
    memset(registered, 0, sizeof registered);
    registered_count = 0;
    return 0;
}

static void the_smallest_class_that_holds_the_bytes(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        uint32_t size;
    } cases[] = {
        {0, 4096},      {1, 4096},       {4096, 4096},      {4097, 16384},      {16384, 16384},
        {16385, 65536}, {65537, 262144}, {262145, 2097152}, {2097152, 2097152}, {2097153, 2097152 + 4096},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf *b = bufpool_get(pool, BUF_TAILS, cases[i].bytes);
        assert_non_null(b);
        assert_int_equal(b->size, cases[i].size);
        assert_int_equal((uintptr_t)b->at % PAGE_BYTES, 0);
        assert_int_equal(bufpool_used_bytes(pool, BUF_TAILS), b->size);
        memset(b->at, 1, b->size);
        buf_put(b);
        assert_int_equal(bufpool_used_bytes(pool, BUF_TAILS), 0);
    }
}

static void tails_alone_have_bufs_of_a_page(void **state)
{
    (void)state;
    for (int purpose = 0; purpose < BUF_RESERVE; purpose++) {
        struct buf *b = bufpool_get(pool, (enum buf_purpose)purpose, 1);
        assert_non_null(b);
        assert_int_equal(b->size, purpose == BUF_TAILS ? 4096 : 16384);
        buf_put(b);
    }
}

static void where_no_slab_of_pages_can_be_had_larger_bufs_stand_in(void **state)
{
    (void)state;
    enum { MINE = SLABS - 2 };
    struct buf *larger = bufpool_get(pool, BUF_TAILS, 16384), *rest[MINE - 1];
    for (int i = 0; i < MINE - 1; i++)
        rest[i] = bufpool_get(pool, BUF_TAILS, SLAB_BYTES);
    struct buf *b = bufpool_get(pool, BUF_TAILS, 1);
    assert_non_null(b);
    assert_int_equal(b->size, 16384);
    buf_put(b);
    buf_put(larger);
    for (int i = 0; i < MINE - 1; i++)
        buf_put(rest[i]);
}

static void references_keep_a_buf_out(void **state)
{
    (void)state;
    struct buf *b = bufpool_get(pool, BUF_TAILS, 1);
    assert_ptr_equal(buf_ref(b), b);
    buf_put(b);
    assert_int_equal(bufpool_used_bytes(pool, BUF_TAILS), b->size);
    assert_int_equal(b->refs, 1);
    buf_put(b);
    assert_ptr_equal(bufpool_get(pool, BUF_TAILS, 1), b); /* the last put is the next got: it is still in the cache */
    buf_put(b);
}

static void nothing_is_registered_before_its_first_use(void **state)
{
    (void)state;
    assert_int_equal(registered_count, 0);
    struct buf *b = bufpool_get(pool, BUF_TAILS, 1);
    assert_int_equal(registered_count, 1);
    buf_put(b);
    assert_int_equal(registered_count, 1);
}

static void the_budget_is_kept_and_room_comes_back(void **state)
{
    (void)state;
    enum { MINE = SLABS - 2, SMALL = MINE * 512 }; /* receiving and cold reads have a slab each */
    static struct buf *small[SMALL + 1];
    for (int i = 0; i < SMALL; i++) {
        small[i] = bufpool_get(pool, BUF_TAILS, 100);
        assert_non_null(small[i]);
        small[i]->at[0] = (uint8_t)i;
    }
    assert_int_equal(bufpool_used_bytes(pool, BUF_TAILS), MINE * SLAB_BYTES);
    assert_null(bufpool_get(pool, BUF_TAILS, 100));
    assert_null(bufpool_get(pool, BUF_TAILS, SLAB_BYTES));
    assert_null(bufpool_get(pool, BUF_TAILS, SLAB_BYTES + 1));
    buf_put(small[0]);
    assert_null(bufpool_get(pool, BUF_TAILS, 65536));
    small[0] = bufpool_get(pool, BUF_TAILS, 100);
    assert_non_null(small[0]);
    for (int i = 0; i < SMALL; i++)
        buf_put(small[i]);
    /* Idle slabs of one class make room for another, and for a large one. */
    struct buf *big = bufpool_get(pool, BUF_TAILS, SLAB_BYTES);
    assert_non_null(big);
    struct buf *large = bufpool_get(pool, BUF_TAILS, (MINE - 1) * SLAB_BYTES);
    assert_non_null(large);
    assert_null(bufpool_get(pool, BUF_TAILS, 1));
    assert_int_equal(registered_count, 1);
    buf_put(large);
    buf_put(big);
    assert_null(bufpool_get(pool, BUF_TAILS, SLABS * SLAB_BYTES + 1));
}

/* How many of a size a purpose gets, at most `max`, when it takes all that it can. */
static uint32_t take_all(struct bufpool *of, enum buf_purpose purpose, size_t bytes, struct buf **out, uint32_t max)
{
    uint32_t count = 0;
    while (count < max && (out[count] = bufpool_get(of, purpose, bytes)))
        count++;
    bufpool_check(of);
    return count;
}

static void put_all(struct buf **bufs, uint32_t count)
{
    while (count > 0)
        buf_put(bufs[--count]);
}

static void no_purpose_starves_another(void **state)
{
    (void)state;
    enum { MANY = 16, MAX = MANY * 128 };
    static struct buf *all[MAX], *other[MAX];
    static const size_t sizes[] = {16384, 65536, 262144, SLAB_BYTES};
    static const uint32_t share_slabs[] = {[BUF_RECEIVE] = MANY / 4, [BUF_TAILS] = MANY / 4, [BUF_COLD] = MANY / 8};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (int greedy = 0; greedy < BUF_RESERVE; greedy++) {
            struct bufpool *p = bufpool_open(heap, NULL, MANY * (size_t)SLAB_BYTES);
            uint32_t count = take_all(p, (enum buf_purpose)greedy, sizes[i], all, MAX);
            for (int o = 0; o < BUF_RESERVE; o++) {
                if (o == greedy)
                    continue;
                uint32_t got = take_all(p, (enum buf_purpose)o, SLAB_BYTES, other, MAX);
                assert_int_equal(got, share_slabs[o]);
                put_all(other, got);
            }
            put_all(all, count);
            bufpool_close(p);
        }
    }
}

/* Tails of three classes once held three of four slabs with a buf each, and no cold read found memory until a restart (the simulator's
 * seed 1887). */
static void in_the_smallest_pool_each_purpose_has_a_slab(void **state)
{
    (void)state;
    static const size_t sizes[] = {262144, 65536, 16384,
                                   4096}; /* for the last two a larger one stands in (seed 3795) */
    for (int greedy = 0; greedy < BUF_RESERVE; greedy++) {
        struct bufpool *p = bufpool_open(heap, NULL, 4 * (size_t)SLAB_BYTES);
        struct buf *held[COUNT_OF(sizes)];
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            assert_non_null(held[i] = bufpool_get(p, (enum buf_purpose)greedy, sizes[i]));
        for (int o = 0; o < BUF_RESERVE; o++) {
            struct buf *b = o == greedy ? NULL : bufpool_get(p, (enum buf_purpose)o, 262144);
            assert_true(o == greedy || b);
            if (b)
                buf_put(b);
        }
        put_all(held, COUNT_OF(sizes));
        bufpool_close(p);
    }
}

static void small_requests_have_a_reserve(void **state)
{
    (void)state;
    enum { MANY = 8, MAX = MANY * 128 };
    static struct buf *all[MAX], *reserve[MAX];
    struct bufpool *p = bufpool_open(heap, NULL, MANY * (size_t)SLAB_BYTES);
    uint32_t count = take_all(p, BUF_RECEIVE, 1, all, MAX);
    assert_null(bufpool_get(p, BUF_RECEIVE, 1));
    assert_null(bufpool_get(p, BUF_RESERVE, 16385));
    uint32_t got = take_all(p, BUF_RESERVE, 16384, reserve, MAX);
    assert_int_equal(got, 128);
    put_all(reserve, got);
    put_all(all, count);
    bufpool_close(p);
}

/* A buf of 100 MB that goes leaves no call that gives it back all at once, and is there again for the next one. */
static void large_memory_is_given_back_in_steps(void **state)
{
    (void)state;
    enum { MANY = 64, RUN = 32 };
    struct bufpool *p = bufpool_open(heap, NULL, MANY * (size_t)SLAB_BYTES);
    struct buf *large = bufpool_get(p, BUF_RECEIVE, RUN * (size_t)SLAB_BYTES - 5000);
    assert_non_null(large);
    assert_int_equal(large->size, align_up(RUN * (size_t)SLAB_BYTES - 5000, PAGE_BYTES));
    memset(large->at, 7, large->size);
    uint8_t *at = large->at;
    buf_put(large);
    large = bufpool_get(p, BUF_RECEIVE, RUN * (size_t)SLAB_BYTES);
    assert_ptr_equal(large->at, at);
    buf_put(large);
    uint64_t now = NS_PER_S, steps = 0;
    assert_false(bufpool_trim(p, now));
    assert_false(bufpool_trim(p, now + 59 * NS_PER_S));
    for (now += 60 * NS_PER_S; bufpool_trim(p, now); steps++)
        bufpool_check(p);
    assert_int_equal(steps, RUN);
    bufpool_close(p);
}

static void slabs_go_after_a_minute_of_idleness_only(void **state)
{
    (void)state;
    uint64_t now = 1000 * NS_PER_S;
    struct buf *a = bufpool_get(pool, BUF_TAILS, 1), *b = bufpool_get(pool, BUF_TAILS, 100000);
    a->at[0] = 7;
    buf_put(b);
    (void)bufpool_trim(pool, now);
    assert_int_equal(registered_count, 2);
    (void)bufpool_trim(pool, now + 59 * NS_PER_S);
    assert_int_equal(registered_count, 2);
    b = bufpool_get(pool, BUF_TAILS, 100000); /* used in between */
    buf_put(b);
    (void)bufpool_trim(pool, now + 61 * NS_PER_S);
    assert_int_equal(registered_count, 2);
    (void)bufpool_trim(pool, now + 121 * NS_PER_S);
    assert_int_equal(registered_count, 1);
    assert_int_equal(a->at[0], 7);
    buf_put(a);
    (void)bufpool_trim(pool, now + 200 * NS_PER_S);
    (void)bufpool_trim(pool, now + 300 * NS_PER_S);
    assert_int_equal(registered_count, 0);
    a = bufpool_get(pool, BUF_TAILS, 1);
    assert_non_null(a);
    buf_put(a);
}

static void bufs_never_overlap(void **state)
{
    (void)state;
    enum { OUT = 64 };
    struct buf *out[OUT] = {0};
    uint32_t mark[OUT] = {0};
    struct rng rng = {.state = 11};
    for (uint32_t round = 1; round < 20000; round++) {
        size_t i = rng_below(&rng, OUT);
        if (out[i]) {
            uint32_t first, last;
            memcpy(&first, out[i]->at, 4);
            memcpy(&last, out[i]->at + out[i]->size - 4, 4);
            assert_int_equal(first, mark[i]);
            assert_int_equal(last, mark[i]);
            buf_put(out[i]);
            out[i] = NULL;
        } else {
            static const size_t sizes[] = {1, 60000, 200000, SLAB_BYTES, SLAB_BYTES + 5};
            enum buf_purpose purpose = (enum buf_purpose)rng_below(&rng, BUF_PURPOSES);
            out[i] = bufpool_get(pool, purpose, sizes[rng_below(&rng, COUNT_OF(sizes))]);
            if (!out[i])
                continue;
            mark[i] = round;
            memcpy(out[i]->at, &round, 4);
            memcpy(out[i]->at + out[i]->size - 4, &round, 4);
        }
        bufpool_check(pool);
        if (round % 100 == 0)
            (void)bufpool_trim(pool, (uint64_t)round * NS_PER_S);
    }
}

/* A pool of its own, large enough that something is everybody's: of 32 slabs 8 are receiving's, 8 the tails', 4 the cold reads', one
 * the reserve, and the size of two is kept on the heap. */
static void what_is_kept_on_the_heap_counts_in_the_budget(void **state)
{
    (void)state;
    static struct buf *tails[64];
    struct bufpool *large = bufpool_open(heap, NULL, 32 * (size_t)SLAB_BYTES);
    int count = 0;
    while ((tails[count] = bufpool_get(large, BUF_TAILS, SLAB_BYTES)))
        count++;
    assert_int_equal(count, 32 - 8 - 4 - 1 - 2);
    struct heap_meter *meter, *stubborn_meter;
    struct heap *part = bufpool_part(large, SIZE_MAX, true, &meter);
    struct heap *stubborn = bufpool_part(large, 64 << 20, false, &stubborn_meter);
    void *first = heap_alloc(part, 3 << 20);
    assert_non_null(first);
    assert_null(heap_alloc(part, 2 << 20)); /* its share is used up, and tails have the rest */
    void *anyway = heap_alloc(stubborn, 2 << 20);
    assert_non_null(anyway);
    assert_true(bufpool_kept_bytes(large) >= 5 << 20);
    bufpool_check(large);
    buf_put(tails[--count]);
    buf_put(tails[--count]);
    assert_null(bufpool_get(large, BUF_TAILS, SLAB_BYTES + 1)); /* one of the two slabs is for what was taken anyway */
    struct buf *received[9];
    for (int i = 0; i < 8; i++)
        assert_non_null((received[i] = bufpool_get(large, BUF_RECEIVE, SLAB_BYTES))); /* shares stay */
    bufpool_keep(large, 60 << 20);
    for (int i = 0; i < 4; i++)
        assert_non_null((received[8] = bufpool_get(large, BUF_COLD, SLAB_BYTES)));
    bufpool_unkeep(large, 60 << 20);
    heap_free(part, first);
    heap_free(stubborn, anyway);
    assert_null(heap_alloc(stubborn, 65 << 20)); /* beyond its own bound */
    bufpool_part_close(large, part, meter);
    bufpool_part_close(large, stubborn, stubborn_meter);
    assert_int_equal(bufpool_kept_bytes(large), 0);
    bufpool_check(large);
    bufpool_close(large);
}

#ifdef __SANITIZE_ADDRESS__
static void a_free_buf_is_poisoned(void **state)
{
    (void)state;
    struct buf *b = bufpool_get(pool, BUF_TAILS, 1);
    uint8_t *first = b->at, *last = b->at + b->size - 1;
    assert_false(__asan_address_is_poisoned(first));
    assert_false(__asan_address_is_poisoned(last));
    buf_put(b);
    assert_true(__asan_address_is_poisoned(first));
    assert_true(__asan_address_is_poisoned(last));
}
#endif

static void slabs_are_made_ready_while_load_grows(void **state)
{
    (void)state;
    struct buf *b[SLABS];
    b[0] = bufpool_get(pool, BUF_RECEIVE, SLAB_BYTES);
    assert_true(bufpool_busy(pool));
    bufpool_check(pool);
    assert_int_equal(run_jobs(), 1); /* one ahead */
    assert_false(bufpool_busy(pool));
    b[1] = bufpool_get(pool, BUF_RECEIVE, SLAB_BYTES); /* that one; the next is begun */
    assert_true(bufpool_busy(pool));
    b[2] = bufpool_get(pool, BUF_RECEIVE,
                       SLAB_BYTES); /* none was ready: two are wanted from now on, and there is room for one */
    bufpool_check(pool);
    (void)run_jobs();
    bufpool_check(pool);
    for (int i = 0; i < 3; i++) {
        assert_non_null(b[i]);
        memset(b[i]->at, 7, SLAB_BYTES);
        buf_put(b[i]);
    }
    uint64_t now = 1;
    for (int i = 0; i < 100; i++, now += 61 * NS_PER_S) {
        (void)bufpool_trim(pool, now);
        bufpool_check(pool);
    }
    assert_false(bufpool_busy(pool)); /* nothing is made ready for nobody */
}

/* With a thread, and a budget of 32 slabs. */
static struct bufpool *open_pool_with_thread(void)
{
    enum { MANY = 32 };
    thread_ahead.wanted = true;
    struct bufpool *p = bufpool_open(heap, NULL, MANY * (size_t)SLAB_BYTES);
    assert_non_null(p);
    return p;
}

static void the_first_slabs_are_touched_by_a_thread(void **state)
{
    (void)state;
    struct bufpool *p = open_pool_with_thread();
    bufpool_expect(p);
    bufpool_expect(p); /* the second client */
    assert_int_equal(thread_ahead.count, PREFAULT_PIECES_MAX);
    assert_false(bufpool_busy(p)); /* nobody waits for it */
    bufpool_check(p);
    struct buf *early = bufpool_get(p, BUF_TAILS, SLAB_BYTES); /* none is ready: another one is */
    for (int i = 0; i < PREFAULT_PIECES_MAX; i++)
        assert_ptr_not_equal(early->at, thread_ahead.at[i]);
    thread_ahead.done = 2;
    struct buf *b[2];
    for (int i = 0; i < 2; i++) {
        b[i] = bufpool_get(p, BUF_TAILS, SLAB_BYTES);
        assert_true(b[i]->at == thread_ahead.at[0] || b[i]->at == thread_ahead.at[1]);
        bufpool_check(p);
    }
    put_all(b, 2);
    buf_put(early);
    bufpool_close(p);
}

/* What it has not begun is taken from it, what it has done is given back; the one that is under way is its own. */
static void what_a_thread_touches_stays_within_the_budget(void **state)
{
    (void)state;
    struct bufpool *p = open_pool_with_thread();
    bufpool_expect(p);
    thread_ahead.done = 3;
    bufpool_keep(p, 26 * (size_t)SLAB_BYTES);
    uint32_t revoked = 0;
    for (int i = 0; i < PREFAULT_PIECES_MAX; i++)
        revoked += thread_ahead.revoked[i];
    assert_int_equal(revoked, 2); /* six are within it */
    assert_true(thread_ahead.revoked[6] && thread_ahead.revoked[7]);
    bufpool_check(p);
    bufpool_keep(p, 6 * (size_t)SLAB_BYTES);
    for (uint32_t i = thread_ahead.done + 1; i < PREFAULT_PIECES_MAX; i++)
        assert_true(thread_ahead.revoked[i]);
    thread_ahead.done = PREFAULT_PIECES_MAX;
    (void)bufpool_trim(p, NS_PER_S);
    bufpool_check(p);
    bufpool_unkeep(p, 32 * (size_t)SLAB_BYTES);
    bufpool_close(p);
}

static void what_a_thread_touched_for_nobody_goes_after_a_minute(void **state)
{
    (void)state;
    struct bufpool *p = open_pool_with_thread();
    bufpool_expect(p);
    thread_ahead.done = PREFAULT_PIECES_MAX;
    uint32_t steps = 0;
    assert_false(bufpool_trim(p, NS_PER_S));
    while (bufpool_trim(p, 62 * NS_PER_S)) {
        bufpool_check(p);
        steps++;
    }
    assert_int_equal(steps, PREFAULT_PIECES_MAX);
    bufpool_expect(p); /* once in a life */
    assert_int_equal(thread_ahead.count, PREFAULT_PIECES_MAX);
    bufpool_check(p);
    bufpool_close(p);
}

static void of_a_small_budget_a_quarter_is_touched(void **state)
{
    (void)state;
    static const uint32_t cases[][2] = {{1, 0}, {3, 0}, {4, 1}, {8, 2}, {31, 7}, {32, 8}, {100, 8}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        thread_ahead.wanted = true;
        struct bufpool *p = bufpool_open(heap, NULL, cases[i][0] * (size_t)SLAB_BYTES);
        bufpool_expect(p);
        assert_int_equal(thread_ahead.count, cases[i][1]);
        bufpool_check(p);
        bufpool_close(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_smallest_class_that_holds_the_bytes, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(tails_alone_have_bufs_of_a_page, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(where_no_slab_of_pages_can_be_had_larger_bufs_stand_in, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(references_keep_a_buf_out, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(nothing_is_registered_before_its_first_use, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(the_budget_is_kept_and_room_comes_back, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(no_purpose_starves_another, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(in_the_smallest_pool_each_purpose_has_a_slab, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(small_requests_have_a_reserve, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(large_memory_is_given_back_in_steps, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(slabs_go_after_a_minute_of_idleness_only, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(slabs_are_made_ready_while_load_grows, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(the_first_slabs_are_touched_by_a_thread, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(what_a_thread_touches_stays_within_the_budget, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(what_a_thread_touched_for_nobody_goes_after_a_minute, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(of_a_small_budget_a_quarter_is_touched, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(bufs_never_overlap, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(what_is_kept_on_the_heap_counts_in_the_budget, open_pool, close_pool),
#ifdef __SANITIZE_ADDRESS__
        cmocka_unit_test_setup_teardown(a_free_buf_is_poisoned, open_pool, close_pool),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
