/* When a shard looks for work before it sleeps, with times made up (core/spin.h). */
#include "core/spin.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define US 1000ull
#define MS (1000 * US)
#define S (1000 * MS)

enum { MOST_US = 50, MOST_LONG_US = 250, BYTES = 2000 };

/* A client, and what waking costs. One that is `closed` sends when it was answered, the other every `every_ns`. */
struct shape {
    const char *name;
    uint64_t every_ns; /* 0: closed */
    uint64_t thinks_ns, works_ns, wakes_ns;
    uint64_t preempted_ns; /* how often another thread takes the processor */
};
struct play {
    struct spin spin;
    const struct shape *shape;
    uint64_t most_ns, now_ns, due_ns, bytes;
    uint64_t looked_ns, vain_ns;
    uint32_t requests;
};

static void begin_long(struct play *p, const struct shape *shape, uint64_t most_ns)
{
    *p = (struct play){.shape = shape, .most_ns = most_ns, .now_ns = 1, .due_ns = shape->every_ns};
    spin_init(&p->spin, most_ns);
}

static void begin(struct play *p, const struct shape *shape)
{
    begin_long(p, shape, MOST_US * US);
}

static void serve_one(struct play *p)
{
    const struct shape *c = p->shape;
    uint64_t began = p->now_ns, due = c->every_ns ? p->due_ns : began + c->thinks_ns;
    p->due_ns = due + c->every_ns;
    if (spin_wants(&p->spin) && spin_asks(&p->spin, began))
        spin_told(&p->spin, c->preempted_ns ? began / c->preempted_ns : 0, began);
    bool looks = due > began && spin_wants(&p->spin), found = looks && due - began < p->most_ns;
    if (due > began) {
        p->now_ns = found ? due : due + c->wakes_ns;
        p->looked_ns += looks ? found ? due - began : p->most_ns : 0;
        p->vain_ns += looks && !found ? p->most_ns : 0;
        spin_waited(&p->spin, began, p->now_ns, p->bytes, found);
    }
    spin_check(&p->spin);
    p->now_ns += c->works_ns;
    p->bytes += BYTES;
    p->requests++;
}

static void serve(struct play *p, uint64_t ns)
{
    uint64_t until = p->now_ns + ns;
    p->looked_ns = p->vain_ns = p->requests = 0;
    while (p->now_ns < until)
        serve_one(p);
}

static void it_looks_where_that_makes_answers_quicker_and_else_hardly_at_all(void **state)
{
    (void)state;
    static const struct {
        struct shape shape;
        bool looks;
    } cases[] = {
        {{"one in flight, virtual machine", 0, 10 * US, 10 * US, 40 * US, 0}, true},
        {{"one in flight, bare metal", 0, 3 * US, 4 * US, 6 * US, 0}, true},
        {{"somebody else is on the processor", 0, 10 * US, 10 * US, 40 * US, 6 * MS}, false},
        {{"one in flight, the client is slow", 0, 40 * US, 10 * US, 5 * US, 0}, false},
        {{"a slow disk in between", 0, 300 * US, 10 * US, 40 * US, 0}, false},
        {{"20,000 requests/s whatever happens", 50 * US, 0, 5 * US, 10 * US, 0}, false},
        {{"50,000 requests/s whatever happens", 20 * US, 0, 5 * US, 10 * US, 0}, false},
        {{"10,000 requests/s", 100 * US, 0, 5 * US, 40 * US, 0}, false},
        {{"1,000 requests/s", 1 * MS, 0, 5 * US, 40 * US, 0}, false},
        {{"idle: a timer a second", 1 * S, 0, 5 * US, 40 * US, 0}, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct play p;
        begin(&p, &cases[i].shape);
        serve(&p, 20 * S);
        double share = (double)p.looked_ns / (20.0 * (double)S);
        if (cases[i].looks ? share < 0.2 : share > 0.03)
            fail_msg("%s: looks %.4f of the time", cases[i].shape.name, share);
    }
}

static void an_idle_shard_does_not_look_however_busy_it_was(void **state)
{
    (void)state;
    static const struct shape busy = {"busy", 0, 10 * US, 10 * US, 40 * US, 0},
                              idle = {"idle", 100 * MS, 0, 5 * US, 40 * US, 0};
    struct play p;
    begin(&p, &busy);
    serve(&p, 1 * S);
    assert_true(p.looked_ns > 100 * MS);
    p.shape = &idle;
    p.due_ns = p.now_ns;
    serve(&p, 10 * S);
    assert_true(p.looked_ns <= 2 * SPIN_JUDGED * MOST_US * US);
    serve(&p, 100 * S);
    assert_int_equal(p.looked_ns, 0);
}

static void what_is_looked_for_in_vain_is_bounded(void **state)
{
    (void)state;
    static const struct shape quick = {"quick", 0, 10 * US, 10 * US, 40 * US, 0},
                              slow = {"slow", 0, 80 * US, 10 * US, 5 * US, 0};
    struct play p;
    begin(&p, &quick);
    serve(&p, 1 * S);
    for (int i = 0; i < 200; i++) { /* as soon as it looks, requests come too late for it */
        p.shape = spin_wants(&p.spin) ? &slow : &quick;
        uint64_t vain = p.vain_ns;
        serve(&p, 10 * MS);
        vain += p.vain_ns;
        assert_true(p.vain_ns <= 3 * MS);
    }
}

static void who_waits_is_served_quicker_nearly_always(void **state)
{
    (void)state;
    static const struct shape shape = {"one in flight", 0, 10 * US, 10 * US, 40 * US, 0};
    struct play p;
    begin(&p, &shape);
    serve(&p, 1 * S);
    uint32_t slept = 0, all = 20000;
    for (uint32_t i = 0; i < all; i++) {
        uint64_t began = p.now_ns;
        serve_one(&p);
        slept += p.now_ns - began > 30 * US;
    }
    assert_true(slept <= all / 100);
}

/* Answers are a seventh quicker, which is not worth it: in two seconds that is tried five times. */
static void a_trial_that_gains_little_is_short(void **state)
{
    (void)state;
    static const struct shape shape = {"much work each", 0, 40 * US, 100 * US, 20 * US, 0};
    struct play p;
    begin(&p, &shape);
    serve(&p, 2 * S);
    assert_true(p.looked_ns > 0);
    assert_true(p.looked_ns <= (uint64_t)6 * SPIN_DOUBTS * MOST_US * US);
}

/* A disk in between: it is looked through where that makes the next request come sooner, and a trial that does not is shorter. */
static void a_trial_of_long_looks_has_fewer(void **state)
{
    (void)state;
    static const struct shape gains = {"sleep is expensive", 0, 180 * US, 20 * US, 150 * US, 0},
                              little = {"sleep is cheap", 0, 180 * US, 80 * US, 30 * US, 0};
    struct play p;
    begin_long(&p, &gains, MOST_LONG_US * US);
    serve(&p, 10 * S);
    assert_true(p.looked_ns > 5 * S);
    begin_long(&p, &little, MOST_LONG_US * US);
    serve(&p, 2 * S);
    assert_true(p.looked_ns > 0);
    assert_true(p.looked_ns <= (uint64_t)6 * SPIN_DOUBTS_LONG * MOST_LONG_US * US);
}

static void it_never_looks_where_it_may_not(void **state)
{
    (void)state;
    struct spin s;
    spin_init(&s, 0);
    assert_false(spin_wants(&s));
    spin_check(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_looks_where_that_makes_answers_quicker_and_else_hardly_at_all),
        cmocka_unit_test(an_idle_shard_does_not_look_however_busy_it_was),
        cmocka_unit_test(what_is_looked_for_in_vain_is_bounded),
        cmocka_unit_test(who_waits_is_served_quicker_nearly_always),
        cmocka_unit_test(a_trial_that_gains_little_is_short),
        cmocka_unit_test(a_trial_of_long_looks_has_fewer),
        cmocka_unit_test(it_never_looks_where_it_may_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
