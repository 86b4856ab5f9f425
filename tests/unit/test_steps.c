/* Long work in steps: how much of it runs in one turn. The shard is a list of what it was asked to defer. */
#include "net/countdown.h"
#include "net/steps.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct list deferred;
static uint64_t now_ns;

uint64_t clock_now_ns(void)
{
    return now_ns;
}

void shard_defer(struct shard *s, struct shard_defer *d)
{
    (void)s;
    if (!list_linked(&d->link))
        list_push(&deferred, &d->link);
}

void shard_defer_init(struct shard_defer *d, void (*run)(struct shard_defer *))
{
    d->run = run;
    list_init(&d->link);
}

static bool run_turn(void)
{
    struct list now, *node;
    list_init(&now);
    list_splice(&now, &deferred);
    bool any = !list_empty(&now);
    while ((node = list_pop(&now)))
        container_of(node, struct shard_defer, link)->run(container_of(node, struct shard_defer, link));
    return any;
}

/* `left` items of `cost` units each. */
struct long_work {
    struct steps steps;
    uint32_t left, cost, in_step, most_in_step, steps_run;
    uint64_t item_ns;
    bool waits, over;
};
static uint32_t items_in_turn;

static bool work_step(struct steps *s)
{
    struct long_work *w = container_of(s, struct long_work, steps);
    assert_false(w->over);
    w->steps_run++;
    w->in_step = 0;
    while (steps_go_on(s)) {
        if (w->left == 0) {
            w->over = true;
            return false;
        }
        w->left--;
        items_in_turn++;
        now_ns += w->item_ns;
        if (++w->in_step > w->most_in_step)
            w->most_in_step = w->in_step;
        steps_spend(s, w->cost);
    }
    return !w->waits;
}

static struct shard shard;
static struct steps_line line;

static int set_up(void **state)
{
    (void)state;
    list_init(&deferred);
    steps_line_init(&line, &shard);
    items_in_turn = 0;
    return 0;
}

static void small_work_is_over_at_once(void **state)
{
    (void)state;
    struct long_work w = {.left = STEP_UNITS - 1, .cost = 1};
    steps_start(&line, &w.steps, work_step);
    assert_true(w.over);
    assert_false(run_turn());
}

static void a_step_does_what_its_units_allow(void **state)
{
    (void)state;
    struct long_work w = {.left = 10 * STEP_UNITS, .cost = 4};
    steps_start(&line, &w.steps, work_step);
    while (run_turn())
        ;
    assert_true(w.over);
    assert_int_equal(w.most_in_step, STEP_UNITS / 4);
    assert_int_equal(w.steps_run, 10 * 4 + 1);
}

static void an_item_that_costs_more_than_a_step_is_done_alone(void **state)
{
    (void)state;
    struct long_work w = {.left = 5, .cost = 3 * STEP_UNITS};
    steps_start(&line, &w.steps, work_step);
    while (run_turn())
        ;
    assert_int_equal(w.most_in_step, 1);
}

/* As where each item touches memory that the kernel has to find first. */
static void a_step_whose_units_take_long_is_over_by_its_time(void **state)
{
    (void)state;
    struct long_work w = {.left = 1000, .cost = 1, .item_ns = STEP_NS_MAX / STEP_LOOK_UNITS};
    steps_start(&line, &w.steps, work_step);
    while (run_turn())
        ;
    assert_true(w.over);
    assert_int_equal(w.most_in_step, STEP_LOOK_UNITS);
    struct long_work slower = {.left = 1000, .cost = 1, .item_ns = STEP_NS_MAX / 3};
    steps_start(&line, &slower.steps, work_step);
    assert_int_equal(steps_spent(&slower.steps), STEP_LOOK_UNITS);
    while (run_turn())
        ;
    assert_int_equal(slower.most_in_step, STEP_LOOK_UNITS);
}

static void many_long_requests_share_one_step_a_turn(void **state)
{
    (void)state;
    struct long_work w[20] = {0};
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        w[i].left = 3 * STEP_UNITS;
        w[i].cost = 1;
        steps_start(&line, &w[i].steps, work_step);
    }
    assert_int_equal(items_in_turn, STEP_UNITS + (COUNT_OF(w) - 1) * STEP_UNITS_SMALL);
    uint32_t turns = 0;
    for (items_in_turn = 0; run_turn(); items_in_turn = 0, turns++)
        assert_in_range(items_in_turn, 0, STEP_UNITS);
    assert_int_equal(turns, 1 + 3 * COUNT_OF(w)); /* the turn in which they began had its step */
    for (size_t i = 0; i < COUNT_OF(w); i++)
        assert_true(w[i].over);
}

static void what_waits_costs_no_turns_until_it_is_resumed(void **state)
{
    (void)state;
    struct long_work w = {.left = 2 * STEP_UNITS, .cost = 1, .waits = true};
    steps_start(&line, &w.steps, work_step);
    assert_false(run_turn());
    assert_int_equal(w.left, STEP_UNITS);
    steps_resume(&line, &w.steps);
    steps_resume(&line, &w.steps);
    assert_true(run_turn());
    assert_int_equal(w.left, 0);
    assert_false(run_turn());
}

static uint32_t ends;

static void count_end(struct countdown *c)
{
    (void)c;
    ends++;
}

static void a_countdown_ends_once_with_the_last_that_comes_back(void **state)
{
    (void)state;
    struct countdown c;
    ends = 0;
    countdown_begin(&c, count_end);
    for (int i = 0; i < 3; i++)
        countdown_add(&c);
    countdown_done(&c); /* one that comes back while others start */
    countdown_done(&c);
    countdown_done(&c);
    assert_int_equal(ends, 0);
    countdown_done(&c);
    assert_int_equal(ends, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(small_work_is_over_at_once, set_up),
        cmocka_unit_test_setup(a_step_does_what_its_units_allow, set_up),
        cmocka_unit_test_setup(an_item_that_costs_more_than_a_step_is_done_alone, set_up),
        cmocka_unit_test_setup(a_step_whose_units_take_long_is_over_by_its_time, set_up),
        cmocka_unit_test_setup(many_long_requests_share_one_step_a_turn, set_up),
        cmocka_unit_test_setup(what_waits_costs_no_turns_until_it_is_resumed, set_up),
        cmocka_unit_test(a_countdown_ends_once_with_the_last_that_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
