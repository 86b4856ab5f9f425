/* Which request of a connection may start. */
#include "net/conn/order.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct order_case {
    struct in_flight now;
    bool overlaps, may;
};
static const struct order_case cases[] = {
    {{0, 0, false, false}, false, true},
    {{0, 0, false, false}, true, true},
    {{1, 10, false, false}, true, true},   /* Produce behind Produce */
    {{1, 10, false, false}, false, false}, /* anything else waits for it */
    {{1, 10, true, false}, true, false},   /* nothing overtakes or joins what runs alone */
    {{1, 10, true, false}, false, false},
    {{CONN_REQUESTS_MAX - 1, 10, false, false}, true, true},
    {{CONN_REQUESTS_MAX, 10, false, false}, true, false},
    {{2, CONN_REQUEST_BYTES - 1, false, false}, true, true},
    {{2, CONN_REQUEST_BYTES, false, false}, true, false},
    {{0, 0, false, false}, true, true},
    {{1, 10, false, true}, true, false}, /* it has not handed on what it asks for: the next would overtake it */
    {{2, 10, false, true}, true, false},
    {{1, 10, true, true}, false, false},
};

static void a_request_starts_only_when_order_and_bounds_allow(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(order_may_start(&cases[i].now, cases[i].overlaps), cases[i].may);
}

static void what_is_held_lets_nothing_by_until_it_is_let_go(void **state)
{
    (void)state;
    struct in_flight now = {0};
    order_started(&now, true, 10);
    order_started(&now, true, 10);
    order_hold(&now, true);
    order_ended(&now, 10); /* the first one: the held one is behind it */
    assert_false(order_may_start(&now, true));
    order_hold(&now, false);
    assert_true(order_may_start(&now, true));
    order_ended(&now, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_starts_only_when_order_and_bounds_allow),
        cmocka_unit_test(what_is_held_lets_nothing_by_until_it_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
