/* Every state of a group times every event: what is answered, what is written, which state follows. */
#include "tests/unit/group_table.h"
#include "tests/unit/group_world.h"

/* a leads, b follows, s is static with the instance i; p was given an id and has not come back with it. */
static const char *const empty[] = {"join p need", "know a a-1 1", "know b b-1 1", "know s s-1 1", NULL};
static const char *const first[] = {"join a", "join b", "join s inst i", "join p need", NULL};
static const char *const completing[] = {"join a", "join b", "join s inst i", "wait 0", "join p need", NULL};
static const char *const writing[] = {"join a",      "join b", "join s inst i",         "wait 0",
                                      "join p need", "sync b", "sync a to a=A,b=B,s=S", NULL};
static const char *const stable[] = {"join a", "join b", "join s inst i",         "wait 0",    "join p need",
                                     "sync b", "sync s", "sync a to a=A,b=B,s=S", "persisted", NULL};
static const char *const preparing[] = {"join a", "join b", "join s inst i",         "wait 0",    "join p need",
                                        "sync b", "sync s", "sync a to a=A,b=B,s=S", "persisted", "join a",
                                        NULL};
static const char *const dead[] = {"join p need", "know a a-1 1", "know b b-1 1", "know s s-1 1", "delete", NULL};

static const char *const *const setups[STATES] = {empty, first, preparing, completing, writing, stable, dead};
static const char *const names[STATES] = {"empty", "first", "preparing", "completing", "writing", "stable", "dead"};

static void setup(struct group_world *w, const char *const *steps)
{
    group_world_open(w);
    for (; *steps; steps++)
        group_step(w, *steps);
}

static void every_state_answers_every_event_as_in_the_table(void **state)
{
    (void)state;
    struct group_world w;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int s = 0; s < STATES; s++) {
            setup(&w, setups[s]);
            const char *got = group_step_state(&w, rows[i].event);
            if (strcmp(got, rows[i].expected[s]))
                fail_msg("%s, \"%s\":\n  did    %s\n  wanted %s", names[s], rows[i].event, got, rows[i].expected[s]);
            group_world_close(&w);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_answers_every_event_as_in_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
