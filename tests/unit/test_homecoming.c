/* Clients that are told an address and do not come there: who is named, who is not, and how often. */
#include "net/conn/homecoming.h"
#include "core/clock.h"
#include "core/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define SECOND ((uint64_t)NS_PER_S)

static int setup(void **state)
{
    static struct homecoming h;
    homecoming_init(&h, heap_open());
    *state = &h;
    return 0;
}

static int teardown(void **state)
{
    struct homecoming *h = *state;
    struct heap *heap = h->heap;
    homecoming_deinit(h);
    heap_close(heap);
    return 0;
}

/* One letter and one peer's connection each: T told, t told on another connection, c the second came, l it looked around,
 * i the first insists, J a Java client was told, j its second connection is told, k it looks around, o another one does, P, p and q the
 * same of kafka-python, x the first closes, y the other one. */
struct guests {
    struct homecoming *h;
    uint8_t counted[2];
    uint64_t now;
};

static void left(struct guests *g, const char *peer, int i)
{
    if (g->counted[i])
        homecoming_left(g->h, peer, g->counted[i]);
    g->counted[i] = 0;
}

static void event(struct guests *g, char what)
{
    const struct homecoming_name plain = {.software = "s 1", .client_id = "id", .told = "there:1"};
    const struct homecoming_name java = {.software = "java", .client_id = "j", .told = "there:1", .opens_anew = true};
    const struct homecoming_name python = {
        .software = "py", .client_id = "p", .told = "there:1", .opens_anew = true, .leaves_first = true};
    switch (what) {
    case 'T': g->counted[0] |= homecoming_told(g->h, "peer", &plain, g->now); break;
    case 't': g->counted[1] |= homecoming_told(g->h, "peer", &plain, g->now); break;
    case 'i': homecoming_insists(g->h, "peer", &plain, g->now); break;
    case 'C': g->counted[0] |= homecoming_came(g->h, "peer"); break;
    case 'c': g->counted[1] |= homecoming_came(g->h, "peer"); break;
    case 'l': g->counted[1] |= homecoming_looked(g->h, "peer", "id"); break;
    case 'J': g->counted[0] |= homecoming_told(g->h, "peer", &java, g->now); break;
    case 'j': g->counted[1] |= homecoming_told(g->h, "peer", &java, g->now); break;
    case 'k': g->counted[1] |= homecoming_looked(g->h, "peer", "j"); break;
    case 'o': g->counted[1] |= homecoming_looked(g->h, "peer", "other"); break;
    case 'P': g->counted[0] |= homecoming_told(g->h, "peer", &python, g->now); break;
    case 'p': g->counted[1] |= homecoming_told(g->h, "peer", &python, g->now); break;
    case 'q': g->counted[1] |= homecoming_looked(g->h, "peer", "p"); break;
    case 'x': left(g, "peer", 0); break;
    case 'y': left(g, "peer", 1); break;
    default: fail_msg("no such event: %c", what);
    }
}

static uint32_t judged(struct guests *g, uint64_t now)
{
    uint32_t count = 0;
    const char *address;
    struct homecoming_name name;
    while (homecoming_judge(g->h, now, &address, &name)) {
        assert_string_equal(address, "peer");
        assert_string_equal(name.told, "there:1");
        count++;
    }
    assert_true(homecoming_due(g->h) > now);
    return count;
}

static void who_is_missing_is_named(void **state)
{
    static const struct {
        const char *events; /* a digit is so many seconds later */
        uint32_t named;     /* in the second after HOMECOMING_S seconds from the first event */
    } cases[] = {
        {"T", 0},      {"Tx", 0},  {"Ti", 1},     {"Tix", 0},   {"T9i", 1},  {"Tic", 0},   {"TiC", 0},   {"Tci", 0},
        {"Tt", 0},     {"Tti", 1}, {"TxTxTx", 1}, {"TxTxT", 1}, {"TxTx", 0}, {"TtxT", 0},  {"Tcy", 0},   {"Tiyc", 0},
        {"TxTxTc", 0}, {"cT", 0},  {"cTi", 0},    {"cyTi", 1},  {"i", 0},    {"Til", 1},   {"Ti9c", 0},  {"l", 0},
        {"c", 0},      {"J", 1},   {"Jx", 0},     {"Jk", 0},    {"Jo", 1},   {"Jj", 0},    {"Jxj", 1},   {"Jxk", 0},
        {"J9xjy", 0},  {"P", 1},   {"Px", 1},     {"Pxq", 0},   {"Pxqy", 0}, {"Pxp", 0},   {"Pxl", 1},   {"Pxc", 0},
        {"Jl", 1},     {"Jt", 1},  {"JC", 0},     {"Jjx", 0},   {"Jkt", 0},  {"Jkyti", 1}, {"cTyix", 0}, {"ctTixy", 0},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct homecoming h;
        homecoming_init(&h, heap_open());
        struct guests g = {.h = &h, .now = 100 * SECOND};
        for (const char *at = cases[i].events; *at; at++) {
            if (*at >= '0' && *at <= '9')
                g.now += (uint64_t)(*at - '0') * SECOND;
            else
                event(&g, *at);
        }
        assert_int_equal(judged(&g, 100 * SECOND + (uint64_t)HOMECOMING_S * SECOND - 1), 0);
        uint32_t named = judged(&g, 100 * SECOND + (uint64_t)HOMECOMING_S * SECOND);
        if (named != cases[i].named)
            fail_msg("%s: named %u times instead of %u", cases[i].events, named, cases[i].named);
        assert_int_equal(judged(&g, 1000 * SECOND), 0);
        left(&g, "peer", 0);
        left(&g, "peer", 1);
        assert_int_equal(h.guests.count, cases[i].named); /* it is remembered for the hour, nobody else is */
        struct heap *heap = h.heap;
        homecoming_deinit(&h);
        heap_close(heap);
    }
    (void)state;
}

static void who_begins_to_insist_later_is_waited_for_again(void **state)
{
    struct guests g = {.h = *state, .now = 100 * SECOND};
    event(&g, 'T');
    assert_int_equal(judged(&g, 120 * SECOND), 0); /* idle */
    g.now = 500 * SECOND;
    event(&g, 'i');
    assert_int_equal(homecoming_due(g.h), (uint64_t)(500 + HOMECOMING_S) * SECOND);
    assert_int_equal(judged(&g, 520 * SECOND), 1);
    event(&g, 'i');
    event(&g, 'C');
    assert_int_equal(judged(&g, 9000 * SECOND), 0);
    left(&g, "peer", 0);
}

static void one_line_per_peer_and_hour(void **state)
{
    struct guests g = {.h = *state, .now = 50 * SECOND};
    uint32_t named = 0;
    for (uint32_t second = 0; second < HOMECOMING_NAMED_S * 2; second += 20) {
        g.now += 20 * SECOND;
        event(&g, 'T');
        event(&g, 'i');
        named += judged(&g, g.now + (uint64_t)HOMECOMING_S * SECOND);
        event(&g, 'x');
    }
    assert_int_equal(named, 2);
}

static void each_peer_is_named_for_itself(void **state)
{
    struct homecoming *h = *state;
    const struct homecoming_name name = {.told = "there:1"};
    char peer[32];
    for (int i = 0; i < 100; i++) {
        snprintf(peer, sizeof peer, "10.0.0.%d", i);
        assert_true(homecoming_told(h, peer, &name, (uint64_t)i * SECOND));
        homecoming_insists(h, peer, &name, (uint64_t)i * SECOND);
        if (i % 2)
            assert_true(homecoming_came(h, peer));
    }
    const char *address;
    struct homecoming_name out;
    for (int i = 0; i < 100; i += 2) {
        uint64_t due = (uint64_t)(i + HOMECOMING_S) * SECOND;
        snprintf(peer, sizeof peer, "10.0.0.%d", i);
        assert_int_equal(homecoming_due(h), due);
        assert_true(homecoming_judge(h, due, &address, &out));
        assert_string_equal(address, peer);
        assert_false(homecoming_judge(h, due, &address, &out));
    }
    assert_int_equal(homecoming_due(h), UINT64_MAX);
}

static void the_table_has_a_bound_and_makes_room(void **state)
{
    struct homecoming *h = *state;
    const struct homecoming_name name = {.told = "there:1"};
    struct homecoming_name out;
    const char *address;
    char peer[32];
    uint32_t named = 0;
    for (uint32_t i = 0; i < HOMECOMING_GUESTS_MAX; i++) {
        snprintf(peer, sizeof peer, "p%u", i);
        assert_true(homecoming_told(h, peer, &name, SECOND));
        homecoming_insists(h, peer, &name, SECOND);
    }
    assert_false(homecoming_told(h, "one more", &name, SECOND));
    assert_false(homecoming_came(h, "one more"));
    assert_true(homecoming_came(h, "p7"));
    while (homecoming_judge(h, 20 * SECOND, &address, &out))
        named++;
    assert_int_equal(named, HOMECOMING_GUESTS_MAX - 1);
    homecoming_left(h, "p5", GUEST_TOLD);
    assert_false(homecoming_told(h, "one more", &name, 30 * SECOND)); /* p5 was named and is remembered */
    assert_true(homecoming_told(h, "one more", &name, (uint64_t)(20 + HOMECOMING_NAMED_S) * SECOND));
    assert_int_equal(h->guests.count, HOMECOMING_GUESTS_MAX);
    homecoming_left(h, "p7", GUEST_TOLD | GUEST_CAME);
    assert_true(homecoming_came(h, "another"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_missing_is_named),
        cmocka_unit_test_setup_teardown(who_begins_to_insist_later_is_waited_for_again, setup, teardown),
        cmocka_unit_test_setup_teardown(one_line_per_peer_and_hour, setup, teardown),
        cmocka_unit_test_setup_teardown(each_peer_is_named_for_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(the_table_has_a_bound_and_makes_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
