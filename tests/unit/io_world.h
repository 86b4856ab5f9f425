/* What the tests of the engines share: the variants, an engine to run cases on, and ops that say what became of them. */
#pragma once
#include "core/clock.h"
#include "core/io.h"
#include "core/limits.h"
#include "core/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { RECV_BYTES = 4096, RECV_COUNT = 16, PATIENCE_S = 20 };

struct variant {
    const char *name;
    enum io_engine engine;
    uint32_t features;
};
static const struct variant variants[] = {
    {"io_uring", IO_ENGINE_IO_URING, IO_FEATURE_ALL},
    {"io_uring without features", IO_ENGINE_IO_URING, 0},
    {"epoll", IO_ENGINE_EPOLL, 0},
};

struct world {
    struct heap *heap;
    struct io *io;
};

/* An op with what the last done said. */
struct call {
    struct io_op op;
    int32_t res;
    uint32_t count;
};

static inline void called(struct io_op *op, int32_t res)
{
    struct call *c = container_of(op, struct call, op);
    c->res = res;
    c->count++;
}

static inline void until(struct io *io, const struct call *c, uint32_t count)
{
    uint64_t end = clock_now_ns() + PATIENCE_S * NS_PER_S;
    while (c->count < count) {
        io_run(io, 100 * NS_PER_MS);
        assert_true(clock_now_ns() < end);
    }
}

static inline void run_for(struct io *io, uint64_t ns)
{
    uint64_t end = clock_now_ns() + ns;
    do
        io_run(io, u64_min(ns, 5 * NS_PER_MS));
    while (clock_now_ns() < end);
}

static inline int32_t finish(struct io *io, struct call *c)
{
    until(io, c, 1);
    assert_int_equal(c->count, 1);
    c->count = 0;
    return c->res;
}

static inline bool world_open(struct world *w, const struct variant *v)
{
    struct io_options options = {
        .engine = v->engine, .features = v->features, .recv_bytes = RECV_BYTES, .recv_count = RECV_COUNT};
    char why[256];
    w->heap = heap_open();
    enum err err = io_open(options, w->heap, &w->io, why);
    if (!err)
        return true;
    heap_close(w->heap);
    printf("not run: test_io over %s: %s\n", v->name, why);
    return false;
}

static inline void world_close(struct world *w)
{
    io_close_engine(w->io);
    heap_close(w->heap);
}

static const struct variant *current; /* the one that the cases run on */

struct io_case {
    const char *name;
    void (*run)(struct world *w);
};
#define CASE(f) \
    {           \
#f, f   \
    }

static inline void run_cases(const struct variant *v, const struct io_case *cases, size_t count)
{
    struct world w;
    if (!world_open(&w, v))
        return;
    current = v;
    for (size_t i = 0; i < count; i++) {
        if (getenv("TEST_IO_SAY"))
            fprintf(stderr, "%s: %s\n", v->name, cases[i].name);
        cases[i].run(&w);
    }
    world_close(&w);
}

/* The three tests that run `cases` over every variant. */
#define ON_EVERY_VARIANT(cases)                                             \
    static void every_case_holds_on_io_uring(void **state)                  \
    {                                                                       \
        (void)state;                                                        \
        run_cases(&variants[0], cases, COUNT_OF(cases));                    \
    }                                                                       \
    static void every_case_holds_on_io_uring_without_features(void **state) \
    {                                                                       \
        (void)state;                                                        \
        run_cases(&variants[1], cases, COUNT_OF(cases));                    \
    }                                                                       \
    static void every_case_holds_on_epoll(void **state)                     \
    {                                                                       \
        (void)state;                                                        \
        run_cases(&variants[2], cases, COUNT_OF(cases));                    \
    }
