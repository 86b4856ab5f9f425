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
    {{0, 0, false}, false, true},
    {{0, 0, false}, true, true},
    {{1, 10, false}, true, true},   /* Produce behind Produce */
    {{1, 10, false}, false, false}, /* anything else waits for it */
    {{1, 10, true}, true, false},   /* nothing overtakes or joins what runs alone */
    {{1, 10, true}, false, false},
    {{CONN_REQUESTS_MAX - 1, 10, false}, true, true},
    {{CONN_REQUESTS_MAX, 10, false}, true, false},
    {{2, CONN_REQUEST_BYTES - 1, false}, true, true},
    {{2, CONN_REQUEST_BYTES, false}, true, false},
    {{0, 0, false}, true, true},
};

static void a_request_starts_only_when_order_and_bounds_allow(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(order_may_start(&cases[i].now, cases[i].overlaps), cases[i].may);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_starts_only_when_order_and_bounds_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
