/* Partitions asked for a request: how many are out at a time, and how many are started in one turn. Owners and loop are lists here. */
#include "net/api/asking.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { PARTITIONS = 10000 };

static struct list deferred, away; /* what waits for the end of the turn; calls that are out */
static uint32_t out, out_most, started_in_turn, started_most;

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

bool part_call_start(struct shard *home, struct part_call *c)
{
    (void)home;
    list_init(&c->msg.link);
    list_push(&away, &c->msg.link);
    out_most = ++out > out_most ? out : out_most;
    started_most = ++started_in_turn > started_most ? started_in_turn : started_most;
    return false;
}

static bool answer_one(void)
{
    struct list *node = list_pop(&away);
    if (!node)
        return false;
    out--;
    struct part_call *c = container_of(container_of(node, struct shard_msg, link), struct part_call, msg);
    c->answered(c);
    return true;
}

static bool run_turn(void)
{
    struct list now, *node;
    list_init(&now);
    list_splice(&now, &deferred);
    bool any = !list_empty(&now);
    started_in_turn = 0;
    while ((node = list_pop(&now)))
        container_of(node, struct shard_defer, link)->run(container_of(node, struct shard_defer, link));
    return any;
}

static struct server server;
static struct shard shard;
static struct topic topic;
static struct request req;
static struct asked_partition parts[PARTITIONS];
static struct asking run;
static int32_t next, asked_of, over;

static void never_asked(struct part_call *c, struct partition *p)
{
    (void)c;
    (void)p;
    assert_true(false);
}

static bool ask_next(struct asking *a)
{
    if (next == asked_of)
        return false;
    asking_ask(a, &parts[next], &topic, next, never_asked);
    next++;
    return true;
}

static void all_over(struct asking *a)
{
    assert_ptr_equal(a, &run);
    over++;
}

static void begin(int32_t count)
{
    list_init(&deferred);
    list_init(&away);
    out = out_most = started_most = started_in_turn = 0;
    next = over = 0;
    asked_of = count;
    memset(&req, 0, offsetof(struct request, out_room));
    server.shard = &shard;
    req.server = &server;
    steps_line_init(&server.steps, &shard);
    asking_begin(&run, &req, ASKING_OUT_MAX, ask_next, all_over);
}

static void however_many_are_named_few_are_out_at_a_time(void **state)
{
    (void)state;
    begin(PARTITIONS);
    while (!over)
        if (!run_turn())
            assert_true(answer_one());
    assert_int_equal(next, PARTITIONS);
    assert_int_equal(out_most, ASKING_OUT_MAX);
    assert_int_equal(run.out_most, ASKING_OUT_MAX);
    assert_in_range(started_most, 1, STEP_UNITS);
    assert_false(answer_one());
    assert_int_equal(over, 1);
}

static void nothing_asked_is_over_at_once(void **state)
{
    (void)state;
    begin(0);
    assert_int_equal(over, 1);
}

static void the_last_answer_ends_it(void **state)
{
    (void)state;
    begin(3);
    assert_int_equal(next, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(over, 0);
        assert_true(answer_one());
    }
    assert_int_equal(over, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(however_many_are_named_few_are_out_at_a_time),
        cmocka_unit_test(nothing_asked_is_over_at_once),
        cmocka_unit_test(the_last_answer_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
