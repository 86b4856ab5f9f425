/* A group through whole rebalances, lost members and restarts: see group_world.h for the words. */
#include "net/limits.h"
#include "tests/unit/group_world.h"

struct line {
    const char *event, *expected; /* NULL: whatever */
};
#define SEQUENCE(what, ...)                               \
    static void what(void **state)                        \
    {                                                     \
        (void)state;                                      \
        static const struct line lines[] = {__VA_ARGS__}; \
        run(lines, COUNT_OF(lines));                      \
    }

static void run(const struct line *lines, size_t count)
{
    struct group_world w;
    group_world_open(&w);
    for (size_t i = 0; i < count; i++) {
        const char *got = group_step_state(&w, lines[i].event);
        if (lines[i].expected && strcmp(got, lines[i].expected))
            fail_msg("line %zu, \"%s\":\n  did    %s\n  wanted %s", i, lines[i].event, got, lines[i].expected);
    }
    group_world_close(&w);
}

/* Stable with a as the leader, then b. */
#define TWO                                                                                              \
    {"join a", NULL}, {"join b", NULL}, {"wait 0", NULL}, {"sync b", NULL}, {"sync a to a=A,b=B", NULL}, \
    {                                                                                                    \
        "persisted", "a<A b<B Stable"                                                                    \
    }
/* The same, but a is static. */
#define STATIC_TWO                                                                                              \
    {"join a inst i", NULL}, {"join b", NULL}, {"wait 0", NULL}, {"sync b", NULL}, {"sync a to a=A,b=B", NULL}, \
    {                                                                                                           \
        "persisted", "a<A b<B Stable"                                                                           \
    }

SEQUENCE(a_third_member_makes_all_join_again, TWO, {"join c", "PreparingRebalance"},
         {"beat a", "=REBALANCE_IN_PROGRESS PreparingRebalance"}, {"commit b", "=NONE PreparingRebalance"},
         {"join b", "PreparingRebalance"},
         {"join a", "a+a-1,2,range,a-1*3 b+b-1,2,range,a-1 c+c-1,2,range,a-1 CompletingRebalance"},
         {"commit b", "=REBALANCE_IN_PROGRESS CompletingRebalance"}, {"sync c", "CompletingRebalance"},
         {"sync b", "CompletingRebalance"}, {"sync a to a=1,c=3", "w3:1,,3 CompletingRebalance"},
         {"persisted", "a<1 b< c<3 Stable"}, {"commit b", "=NONE Stable"},
         {"commit b gen 1", "=ILLEGAL_GENERATION Stable"})

SEQUENCE(a_cooperative_member_rebalances_by_what_it_owns, TWO, {"join b proto range:owned", "PreparingRebalance"},
         {"beat a", "=REBALANCE_IN_PROGRESS PreparingRebalance"},
         {"join a", "a+a-1,2,range,a-1*2 b+b-1,2,range,a-1 CompletingRebalance"},
         {"sync a to a=A,b=", "w2:A, CompletingRebalance"}, {"persisted", "a<A Stable"}, {"sync b", "b< Stable"},
         {"join b proto range:less", "PreparingRebalance"},
         {"join a", "a+a-1,3,range,a-1*2 b+b-1,3,range,a-1 CompletingRebalance"})

SEQUENCE(the_protocol_that_most_prefer_is_taken, {"join a proto x:1,y:2", NULL}, {"join b proto y:1,x:2", NULL},
         {"join c proto z:1,y:2,x:3", NULL},
         {"wait 0", "a+a-1,1,y,a-1*3 b+b-1,1,y,a-1 c+c-1,1,y,a-1 CompletingRebalance"})

SEQUENCE(a_tie_goes_to_the_first_member, {"join a proto x:1,y:2", NULL}, {"join b proto y:1,x:2", NULL},
         {"wait 0", "a+a-1,1,x,a-1*2 b+b-1,1,x,a-1 CompletingRebalance"})

SEQUENCE(an_id_is_given_out_and_waited_for, TWO, {"join c need session 6000", "c-MEMBER_ID_REQUIRED,c-1 Stable"},
         {"join b proto range:new", "PreparingRebalance"}, {"join a", "PreparingRebalance"},
         {"join c", "a+a-1,2,range,a-1*3 b+b-1,2,range,a-1 c+c-1,2,range,a-1 CompletingRebalance"})

SEQUENCE(an_id_that_does_not_come_back_expires, TWO, {"join c need session 6000", "c-MEMBER_ID_REQUIRED,c-1 Stable"},
         {"join b proto range:new", "PreparingRebalance"}, {"join a", "PreparingRebalance"},
         {"wait 5999", "PreparingRebalance"}, {"wait 1", "a+a-1,2,range,a-1*2 b+b-1,2,range,a-1 CompletingRebalance"},
         {"join c", "c-UNKNOWN_MEMBER_ID,c-1 CompletingRebalance"})

SEQUENCE(an_id_that_leaves_is_waited_for_no_more, TWO, {"join c need", NULL}, {"join b proto range:new", NULL},
         {"join a", "PreparingRebalance"},
         {"leave c", "a+a-1,2,range,a-1*2 b+b-1,2,range,a-1 =NONE CompletingRebalance"})

SEQUENCE(the_first_rebalance_waits_for_others, {"rules 3000 100", "Empty"},
         {"join a rebalance 10000", "PreparingRebalance"}, {"wait 2999", "PreparingRebalance"},
         {"wait 1", "a+a-1,1,range,a-1*1 CompletingRebalance"})

SEQUENCE(the_first_rebalance_is_drawn_out_while_members_come, {"rules 3000 100", NULL},
         {"join a rebalance 10000", NULL}, {"wait 2000", NULL}, {"join b rebalance 10000", NULL},
         {"wait 3000", "PreparingRebalance"}, {"join c rebalance 10000", NULL}, {"wait 3000", "PreparingRebalance"},
         {"join d rebalance 10000", NULL}, {"wait 1999", "PreparingRebalance"},
         {"wait 1", "a+a-1,1,range,a-1*4 b+b-1,1,range,a-1 c+c-1,1,range,a-1 d+d-1,1,range,a-1 CompletingRebalance"})

SEQUENCE(the_first_rebalance_is_not_drawn_out_twice_for_one, {"rules 3000 100", NULL}, {"join a rebalance 10000", NULL},
         {"wait 2000", NULL}, {"join b rebalance 10000", NULL}, {"wait 3999", "PreparingRebalance"},
         {"wait 1", "a+a-1,1,range,a-1*2 b+b-1,1,range,a-1 CompletingRebalance"})

SEQUENCE(without_a_delay_the_first_rebalance_ends_at_the_next_tick, {"join a", "PreparingRebalance"},
         {"join b", "PreparingRebalance"}, {"tick", "a+a-1,1,range,a-1*2 b+b-1,1,range,a-1 CompletingRebalance"})

SEQUENCE(who_has_a_place_may_ask_again, {"rules 3000 2", NULL}, {"join a", NULL}, {"join b", NULL},
         {"join b id b-1", "b-REBALANCE_IN_PROGRESS,b-1 PreparingRebalance"},
         {"join c", "c-GROUP_MAX_SIZE_REACHED, PreparingRebalance"})

SEQUENCE(a_full_group_takes_nobody_but_those_who_are_in_it, {"rules 0 2", NULL}, TWO,
         {"join c", "c-GROUP_MAX_SIZE_REACHED, Stable"}, {"join b proto range:new", "PreparingRebalance"},
         {"join c", "PreparingRebalance"},
         {"join a", "a-GROUP_MAX_SIZE_REACHED, b+b-1,2,range,b-1*2 c+c-2,2,range,b-1 CompletingRebalance"},
         {"join d", "d-GROUP_MAX_SIZE_REACHED, CompletingRebalance"},
         {"beat a", "=UNKNOWN_MEMBER_ID CompletingRebalance"})

SEQUENCE(a_full_group_takes_a_given_id_back, {"rules 0 2", NULL}, TWO, {"leave b", "=NONE PreparingRebalance"},
         {"join c need", NULL}, {"join d", NULL}, {"join a", "PreparingRebalance"},
         {"join c", "c-GROUP_MAX_SIZE_REACHED, a+a-1,2,range,a-1*2 d+d-1,2,range,a-1 CompletingRebalance"})

/* --- static members --- */

SEQUENCE(a_static_follower_comes_back_without_a_rebalance, {"join a", NULL}, {"join s inst i", NULL}, {"wait 0", NULL},
         {"sync s", NULL}, {"sync a to a=A,s=S", NULL}, {"persisted", "a<A s<S Stable"},
         {"join s id -", "w2:A,S Stable"}, {"beat a", "=NONE Stable"}, {"persisted", "s+s-2,1,range,a-1 Stable"},
         {"sync s", "s<S Stable"}, {"wait 9999", "Stable"}, {"beat a", "=NONE Stable"},
         {"wait 1", "PreparingRebalance"}, {"beat s", "=UNKNOWN_MEMBER_ID PreparingRebalance"})

SEQUENCE(a_static_member_needs_no_id, {"join s inst i need", "PreparingRebalance"},
         {"wait 0", "s+s-1,1,range,s-1*1 CompletingRebalance"})

SEQUENCE(a_static_leader_comes_back_and_skips, STATIC_TWO, {"join a id -", "w2:A,B Stable"},
         {"persisted", "a+a-2,1,range,a-2*2! Stable"}, {"sync a", "a<A Stable"}, {"beat a", "=NONE Stable"},
         {"beat a id a-1", "=FENCED_INSTANCE_ID Stable"}, {"commit a id a-1", "=FENCED_INSTANCE_ID Stable"},
         {"beat b", "=NONE Stable"})

SEQUENCE(an_old_static_leader_is_shown_its_former_id, STATIC_TWO, {"join a id - old", "w2:A,B Stable"},
         {"persisted", "a+a-2,1,range,a-1 Stable"}, {"sync a", "a<A Stable"})

SEQUENCE(an_unwritten_return_is_undone, STATIC_TWO, {"join a id - proto range:new", "w2:A,B Stable"},
         {"persisted NOT_COORDINATOR", "a-NOT_COORDINATOR, Stable"}, {"beat a", "=NONE Stable"},
         {"join b", "b+b-1,1,range,a-1 Stable"}, {"join a proto range:a", "PreparingRebalance"})

SEQUENCE(a_return_that_a_rebalance_overtakes_joins_it, STATIC_TWO, {"join a id -", "w2:A,B Stable"},
         {"join b proto range:new", "a+a-2,2,range,a-2*2 b+b-1,2,range,a-2 CompletingRebalance"},
         {"persisted NOT_COORDINATOR", "CompletingRebalance"}, {"beat a", "=NONE CompletingRebalance"})

SEQUENCE(two_returns_fence_the_earlier, STATIC_TWO, {"join a id -", "w2:A,B Stable"},
         {"join a id -", "a-FENCED_INSTANCE_ID, w2:A,B Stable"}, {"persisted", "Stable"},
         {"persisted", "a+a-3,1,range,a-3*2! Stable"}, {"beat a", "=NONE Stable"})

SEQUENCE(a_return_that_changes_the_protocol_rebalances, {"join a inst i proto x:1,y:2", NULL},
         {"join b proto x:1,y:2", NULL}, {"wait 0", NULL}, {"sync b", NULL}, {"sync a to a=A,b=B", NULL},
         {"persisted", "a<A b<B Stable"}, {"join a id - proto y:2", "PreparingRebalance"},
         {"join b", "a+a-2,2,y,a-2*2 b+b-1,2,y,a-2 CompletingRebalance"})

SEQUENCE(a_static_member_that_comes_back_fences_its_join, STATIC_TWO, {"join c", "PreparingRebalance"},
         {"join a", "PreparingRebalance"}, {"join a id -", "a-FENCED_INSTANCE_ID,a-1 PreparingRebalance"},
         {"join b", "a+a-3,2,range,a-3*3 b+b-1,2,range,a-3 c+c-1,2,range,a-3 CompletingRebalance"})

SEQUENCE(a_return_while_completing_rebalances, {"join a", NULL}, {"join s inst i", NULL}, {"wait 0", NULL},
         {"sync s", "CompletingRebalance"}, {"join s id -", "s<-FENCED_INSTANCE_ID PreparingRebalance"},
         {"join a", "a+a-1,2,range,a-1*2 s+s-2,2,range,a-1 CompletingRebalance"})

SEQUENCE(a_static_member_outlives_a_rebalance_but_not_its_sync, {"join a session 300000", NULL},
         {"join s inst i session 300000 rebalance 20000", NULL}, {"wait 0", NULL}, {"sync s", NULL},
         {"sync a to a=A,s=S", NULL}, {"persisted", "a<A s<S Stable"},
         {"join a session 300000 rebalance 20000", "PreparingRebalance"},
         {"wait 20000", "a+a-1,2,range,a-1*2 CompletingRebalance"}, {"sync a to a=A,s=S", NULL},
         {"persisted", "a<A Stable"}, {"wait 19999", "Stable"}, {"wait 1", "PreparingRebalance"},
         {"beat a", "=REBALANCE_IN_PROGRESS PreparingRebalance"}, {"beat s", "=UNKNOWN_MEMBER_ID PreparingRebalance"})

SEQUENCE(a_static_leader_that_does_not_join_again_is_replaced, {"join s inst i session 300000", NULL},
         {"join a session 300000", NULL}, {"wait 0", NULL}, {"sync a", NULL}, {"sync s to a=A,s=S", NULL},
         {"persisted", "s<S a<A Stable"}, {"join a session 300000 proto range:new", "PreparingRebalance"},
         {"wait 60000", "a+a-1,2,range,a-1*2 CompletingRebalance"}, {"sync a to a=A,s=S", NULL},
         {"persisted", "a<A Stable"}, {"restart", "Stable"}, {"join s", "s+s-1,2,range,a-1 Stable"})

SEQUENCE(static_members_alone_are_waited_for_until_they_expire, {"join s inst i session 300000 rebalance 20000", NULL},
         {"join t inst j session 200000 rebalance 20000", NULL}, {"join a rebalance 20000", NULL}, {"wait 0", NULL},
         {"sync t", NULL}, {"sync a", NULL}, {"sync s to s=S", NULL}, {"persisted", NULL},
         {"leave a", "=NONE PreparingRebalance"}, {"wait 20000", "PreparingRebalance"},
         {"wait 180000", "PreparingRebalance"}, {"join s", "s+s-1,2,range,s-1*1 CompletingRebalance"})

/* --- time --- */

SEQUENCE(who_is_silent_is_out, TWO, {"wait 9999", "Stable"}, {"beat b", "=NONE Stable"},
         {"wait 1", "PreparingRebalance"}, {"beat a", "=UNKNOWN_MEMBER_ID PreparingRebalance"},
         {"join b", "b+b-1,2,range,b-1*1 CompletingRebalance"})

SEQUENCE(a_commit_is_a_sign_of_life, TWO, {"wait 9999", "Stable"}, {"commit b", "=NONE Stable"},
         {"beat a", "=NONE Stable"}, {"wait 9999", "Stable"}, {"beat a", "=NONE Stable"},
         {"wait 1", "PreparingRebalance"}, {"beat b", "=UNKNOWN_MEMBER_ID PreparingRebalance"})

SEQUENCE(who_waits_for_its_join_does_not_expire, {"join a session 6000 rebalance 60000", NULL},
         {"join b session 1800000", NULL}, {"wait 0", NULL}, {"sync b", NULL}, {"sync a", NULL}, {"persisted", NULL},
         {"join a", "PreparingRebalance"}, {"wait 59999", "PreparingRebalance"},
         {"wait 1", "a+a-1,2,range,a-1*1 CompletingRebalance"})

SEQUENCE(who_waits_for_its_sync_does_not_expire, {"join a session 1800000", NULL}, {"join b session 6000", NULL},
         {"wait 0", NULL}, {"sync b", "CompletingRebalance"}, {"wait 59999", "CompletingRebalance"},
         {"sync a to b=B", "w2:,B CompletingRebalance"}, {"wait 100000", "CompletingRebalance"},
         {"persisted", "a< b<B Stable"}, {"wait 5999", "Stable"}, {"wait 1", "PreparingRebalance"})

SEQUENCE(a_first_join_is_not_waited_for_longer_than_five_minutes, {"join a session 1800000 rebalance 1000000", NULL},
         {"wait 0", NULL}, {"sync a", NULL}, {"persisted", "a< Stable"}, {"join b session 6000", "PreparingRebalance"},
         {"wait 299999", "PreparingRebalance"}, {"wait 1", "b-UNKNOWN_MEMBER_ID, PreparingRebalance"})

SEQUENCE(who_does_not_join_again_is_out, TWO, {"join a rebalance 20000", "PreparingRebalance"}, {"wait 9000", NULL},
         {"beat b", NULL}, {"wait 9000", NULL}, {"beat b", NULL}, {"wait 9000", NULL}, {"beat b", NULL},
         {"wait 9000", NULL}, {"beat b", NULL}, {"wait 9000", NULL}, {"beat b", NULL}, {"wait 9000", NULL},
         {"beat b", "=REBALANCE_IN_PROGRESS PreparingRebalance"}, {"wait 5999", "PreparingRebalance"},
         {"wait 1", "a+a-1,2,range,a-1*1 CompletingRebalance"})

SEQUENCE(who_does_not_sync_is_out, {"join a session 300000 rebalance 20000", NULL},
         {"join b session 300000 rebalance 20000", NULL}, {"wait 0", NULL}, {"sync b", "CompletingRebalance"},
         {"wait 19999", "CompletingRebalance"}, {"wait 1", "b<-REBALANCE_IN_PROGRESS PreparingRebalance"},
         {"beat a", "=UNKNOWN_MEMBER_ID PreparingRebalance"}, {"join b", "b+b-1,2,range,b-1*1 CompletingRebalance"})

/* --- records --- */

SEQUENCE(an_unwritten_assignment_is_nobodys, {"join a", NULL}, {"join b", NULL}, {"wait 0", NULL}, {"sync b", NULL},
         {"sync a to a=A,b=B", "w2:A,B CompletingRebalance"},
         {"persisted COORDINATOR_NOT_AVAILABLE",
          "a<-COORDINATOR_NOT_AVAILABLE b<-COORDINATOR_NOT_AVAILABLE PreparingRebalance"},
         {"join a", NULL}, {"join b", "a+a-1,2,range,a-1*2 b+b-1,2,range,a-1 CompletingRebalance"},
         {"sync a to b=2", NULL}, {"persisted", "a< Stable"}, {"sync b", "b<2 Stable"})

SEQUENCE(a_record_that_comes_too_late_changes_nothing, {"join a", NULL}, {"join b", NULL}, {"wait 0", NULL},
         {"sync a to a=A,b=B", "w2:A,B CompletingRebalance"}, {"join c", "a<-REBALANCE_IN_PROGRESS PreparingRebalance"},
         {"persisted", "PreparingRebalance"}, {"join a", NULL},
         {"join b", "a+a-1,2,range,a-1*3 b+b-1,2,range,a-1 c+c-1,2,range,a-1 CompletingRebalance"},
         {"sync a to c=C", "w3:,,C CompletingRebalance"}, {"persisted", "a< Stable"}, {"sync c", "c<C Stable"})

SEQUENCE(the_leader_is_heard_once, {"join a", NULL}, {"join b", NULL}, {"wait 0", NULL},
         {"sync a to a=1,a=2", "w2:2, CompletingRebalance"},
         {"sync a to a=3", "a<-REBALANCE_IN_PROGRESS CompletingRebalance"}, {"persisted", "a<2 Stable"})

SEQUENCE(a_join_sent_twice_is_answered_twice, TWO, {"join a", "PreparingRebalance"},
         {"join a", "a-REBALANCE_IN_PROGRESS,a-1 PreparingRebalance"},
         {"join b", "a+a-1,2,range,a-1*2 b+b-1,2,range,a-1 CompletingRebalance"})

SEQUENCE(a_group_without_members_is_empty_and_written, TWO, {"leave a", "=NONE PreparingRebalance"},
         {"leave b", "w0 =NONE Empty"}, {"persisted NOT_COORDINATOR", "Empty"}, {"simple", "=NONE Empty"},
         {"join c type other proto z:1", "PreparingRebalance"}, {"wait 0", "c+c-1,3,z,c-1*1 CompletingRebalance"})

SEQUENCE(an_empty_group_is_deleted_once, {"delete", "=NONE Dead"}, {"delete", "=GROUP_ID_NOT_FOUND Dead"},
         {"simple", "=COORDINATOR_NOT_AVAILABLE Dead"}, {"wait 100000", "Dead"})

SEQUENCE(generations_begin_anew_after_the_last, TWO, {"generation 2147483647", "Stable"}, {"join a", NULL},
         {"join b", "a+a-1,1,range,a-1*2 b+b-1,1,range,a-1 CompletingRebalance"})

/* --- connections and brokers --- */

SEQUENCE(a_lost_connection_is_waited_for_like_one_that_has_not_joined, TWO, {"join c", NULL}, {"join a", NULL},
         {"forget a", "a-NOT_COORDINATOR,a-1 PreparingRebalance"}, {"join b", "PreparingRebalance"},
         {"join a", "a+a-1,2,range,a-1*3 b+b-1,2,range,a-1 c+c-1,2,range,a-1 CompletingRebalance"}, {"sync b", NULL},
         {"forget b", "b<-NOT_COORDINATOR CompletingRebalance"}, {"sync a to b=B", NULL}, {"persisted", "a< Stable"},
         {"sync b", "b<B Stable"})

SEQUENCE(a_new_member_whose_connection_is_lost_expires, TWO, {"join c", NULL},
         {"forget c", "c-NOT_COORDINATOR,c-1 PreparingRebalance"}, {"join a", NULL}, {"join b", "PreparingRebalance"},
         {"wait 9999", "PreparingRebalance"}, {"wait 1", "a+a-1,2,range,a-1*2 b+b-1,2,range,a-1 CompletingRebalance"})

SEQUENCE(a_restart_makes_no_rebalance, STATIC_TWO, {"wait 9999", "Stable"}, {"restart", "Stable"},
         {"beat a", "=NONE Stable"}, {"sync b", "b<B Stable"}, {"commit b", "=NONE Stable"},
         {"join b", "b+b-1,1,range,a-1 Stable"}, {"join a id -", "w2:A,B Stable"},
         {"persisted", "a+a-2,1,range,a-2*2! Stable"}, {"restart", "Stable"}, {"beat a", "=NONE Stable"},
         {"wait 10000", "w0 Empty"}, {"restart", "Empty"}, {"join c", NULL},
         {"wait 0", "c+c-1,3,range,c-1*1 CompletingRebalance"})

SEQUENCE(a_restart_while_the_assignment_is_written_may_know_it, {"join a", NULL}, {"join b", NULL}, {"wait 0", NULL},
         {"sync a to a=A,b=B", "w2:A,B CompletingRebalance"}, {"restart", "a<-NOT_COORDINATOR Stable"},
         {"sync a", "a<A Stable"}, {"sync b", "b<B Stable"})

SEQUENCE(a_restart_before_the_assignment_forgets_the_members, TWO, {"join a", NULL},
         {"join b proto range:new", "a+a-1,2,range,a-1*2 b+b-1,2,range,a-1 CompletingRebalance"}, {"restart", "Empty"},
         {"sync b", "b<-UNKNOWN_MEMBER_ID Empty"}, {"join b id -", NULL},
         {"wait 0", "b+b-3,3,range,b-3*1 CompletingRebalance"})

SEQUENCE(a_group_that_became_too_large_gathers_again, TWO, {"rules 0 1", NULL}, {"restart", "PreparingRebalance"},
         {"join b", "PreparingRebalance"},
         {"join a", "a-GROUP_MAX_SIZE_REACHED, b+b-1,2,range,b-1*1 CompletingRebalance"})

/* --- subscriptions and bounds --- */

static const uint8_t reads_t[] = {0, 1, 0, 0, 0, 2, 0, 1, 's', 0, 1, 't', 0xff, 0xff, 0xff, 0xff};

static void join_with(struct group_world *w, const char *type, const void *metadata, size_t bytes, int32_t count,
                      struct waiter *waiter)
{
    static struct join_group_request_protocol protocols[GROUP_PROTOCOLS_MAX + 1];
    static char name[GROUP_PROTOCOLS_MAX + 1][16];
    for (int32_t i = 0; i < count; i++) {
        snprintf(name[i], sizeof name[i], "p%d", i);
        protocols[i] =
            (struct join_group_request_protocol){.name = text(name[i]), .metadata = {metadata, (int32_t)bytes}};
    }
    struct group_join e = {.member_id = text(""),
                           .instance_id = text(NULL),
                           .client_id = text("c"),
                           .client_host = text("h"),
                           .protocol_type = text(type),
                           .fresh_id = text("a-1"),
                           .protocols = protocols,
                           .protocol_count = count,
                           .session_timeout_ms = 10000,
                           .rebalance_timeout_ms = 10000,
                           .waiter = waiter};
    struct group_emit emit = world_emit(w);
    group_join(w->g, &e, w->now, &emit);
}

static void subscriptions_are_read_from_the_metadata(void **state)
{
    (void)state;
    static const struct {
        const char *type, *topic;
        size_t bytes;
        bool expected;
    } cases[] = {{"consumer", "t", sizeof reads_t, true},
                 {"consumer", "s", sizeof reads_t, true},
                 {"consumer", "u", sizeof reads_t, false},
                 {"connect", "t", sizeof reads_t, false},
                 {"consumer", "u", 9, true},
                 {"consumer", "u", 0, true}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct group_world w;
        group_world_open(&w);
        assert_false(group_subscribed(w.g, text(cases[i].topic)));
        join_with(&w, cases[i].type, reads_t, cases[i].bytes, 1, new_waiter(&w, 'a'));
        assert_int_equal(group_subscribed(w.g, text(cases[i].topic)), strcmp(cases[i].type, "consumer") == 0);
        group_step(&w, "wait 0");
        assert_int_equal(w.g->state, GROUP_COMPLETING);
        assert_int_equal(group_subscribed(w.g, text(cases[i].topic)), cases[i].expected);
        group_world_close(&w);
    }
}

/* Found out once, however often it is asked, and anew after whatever may change it. */
static void what_a_group_reads_is_found_out_once(void **state)
{
    (void)state;
    struct group_world w;
    group_world_open(&w);
    join_with(&w, "consumer", reads_t, sizeof reads_t, 1, new_waiter(&w, 'a'));
    group_step(&w, "wait 0");
    assert_int_equal(w.g->topics_state, GROUP_TOPICS_UNKNOWN);
    for (int i = 0; i < 3; i++) {
        assert_true(group_subscribed(w.g, text("t")));
        assert_false(group_subscribed(w.g, text("u")));
        assert_int_equal(w.g->topics_state, GROUP_TOPICS_KNOWN);
        assert_int_equal(w.g->topics.count, 2);
    }
    struct group_emit emit = world_emit(&w);
    assert_int_equal(group_leave(w.g, text("a-1"), (struct kview){NULL, -1}, w.now, &emit), KERR_NONE);
    assert_int_equal(w.g->topics_state, GROUP_TOPICS_UNKNOWN);
    assert_false(group_subscribed(w.g, text("t")));
    group_world_close(&w);
}

static void protocols_and_their_bytes_are_bounded(void **state)
{
    (void)state;
    static uint8_t metadata[GROUP_MEMBER_BYTES_MAX];
    static const struct {
        size_t bytes;
        int32_t count;
        const char *expected;
    } cases[] = {{1, GROUP_PROTOCOLS_MAX, "a+a-1,1,p0,a-1*1"},
                 {1, GROUP_PROTOCOLS_MAX + 1, "a-INVALID_REQUEST,"},
                 {GROUP_MEMBER_BYTES_MAX - 2, 1, "a+a-1,1,p0,a-1*1"},
                 {GROUP_MEMBER_BYTES_MAX - 1, 1, "a-INVALID_REQUEST,"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct group_world w;
        group_world_open(&w);
        join_with(&w, "x", metadata, cases[i].bytes, cases[i].count, new_waiter(&w, 'a'));
        if (!w.said[0])
            group_step(&w, "wait 0");
        assert_string_equal(w.said, cases[i].expected);
        group_world_close(&w);
    }
}

static void records_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct member_metadata m[2];
    for (int i = 0; i < 2; i++) {
        member_metadata_init(&m[i]);
        m[i].member_id = text("a");
    }
    struct group_metadata_value fine, v;
    group_metadata_value_init(&fine);
    fine.protocol_type = text("consumer");
    fine.protocol = text("range");
    fine.leader = text("nobody");
    fine.members.v = m;
    fine.members.n = 1;
    for (int i = 0; i < 6; i++) {
        struct group_world w;
        group_world_open(&w);
        v = fine;
        v.members.n = i == 1 ? 2 : 1;
        v.generation = i == 2 ? -1 : 1;
        v.protocol = text(i == 3 ? NULL : "range");
        v.protocol_type = text(i == 4 ? "" : "consumer");
        m[0].member_id = text(i == 5 ? "" : "a");
        assert_int_equal(group_from_value(w.g, &v, w.now), i == 0 ? ERR_NONE : ERR_CORRUPT);
        if (i == 0)
            assert_int_equal(w.g->leader.n, 1);
        group_close(w.g);
        heap_close(w.heap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_third_member_makes_all_join_again),
        cmocka_unit_test(a_cooperative_member_rebalances_by_what_it_owns),
        cmocka_unit_test(the_protocol_that_most_prefer_is_taken),
        cmocka_unit_test(a_tie_goes_to_the_first_member),
        cmocka_unit_test(an_id_is_given_out_and_waited_for),
        cmocka_unit_test(an_id_that_does_not_come_back_expires),
        cmocka_unit_test(an_id_that_leaves_is_waited_for_no_more),
        cmocka_unit_test(the_first_rebalance_waits_for_others),
        cmocka_unit_test(the_first_rebalance_is_drawn_out_while_members_come),
        cmocka_unit_test(the_first_rebalance_is_not_drawn_out_twice_for_one),
        cmocka_unit_test(without_a_delay_the_first_rebalance_ends_at_the_next_tick),
        cmocka_unit_test(who_has_a_place_may_ask_again),
        cmocka_unit_test(a_full_group_takes_nobody_but_those_who_are_in_it),
        cmocka_unit_test(a_full_group_takes_a_given_id_back),
        cmocka_unit_test(a_static_follower_comes_back_without_a_rebalance),
        cmocka_unit_test(a_static_member_needs_no_id),
        cmocka_unit_test(a_static_leader_comes_back_and_skips),
        cmocka_unit_test(an_old_static_leader_is_shown_its_former_id),
        cmocka_unit_test(an_unwritten_return_is_undone),
        cmocka_unit_test(a_return_that_a_rebalance_overtakes_joins_it),
        cmocka_unit_test(two_returns_fence_the_earlier),
        cmocka_unit_test(a_return_that_changes_the_protocol_rebalances),
        cmocka_unit_test(a_static_member_that_comes_back_fences_its_join),
        cmocka_unit_test(a_return_while_completing_rebalances),
        cmocka_unit_test(a_static_member_outlives_a_rebalance_but_not_its_sync),
        cmocka_unit_test(a_static_leader_that_does_not_join_again_is_replaced),
        cmocka_unit_test(static_members_alone_are_waited_for_until_they_expire),
        cmocka_unit_test(who_is_silent_is_out),
        cmocka_unit_test(a_commit_is_a_sign_of_life),
        cmocka_unit_test(who_waits_for_its_join_does_not_expire),
        cmocka_unit_test(who_waits_for_its_sync_does_not_expire),
        cmocka_unit_test(a_first_join_is_not_waited_for_longer_than_five_minutes),
        cmocka_unit_test(who_does_not_join_again_is_out),
        cmocka_unit_test(who_does_not_sync_is_out),
        cmocka_unit_test(an_unwritten_assignment_is_nobodys),
        cmocka_unit_test(a_record_that_comes_too_late_changes_nothing),
        cmocka_unit_test(the_leader_is_heard_once),
        cmocka_unit_test(a_join_sent_twice_is_answered_twice),
        cmocka_unit_test(a_group_without_members_is_empty_and_written),
        cmocka_unit_test(an_empty_group_is_deleted_once),
        cmocka_unit_test(generations_begin_anew_after_the_last),
        cmocka_unit_test(a_lost_connection_is_waited_for_like_one_that_has_not_joined),
        cmocka_unit_test(a_new_member_whose_connection_is_lost_expires),
        cmocka_unit_test(a_restart_makes_no_rebalance),
        cmocka_unit_test(a_restart_while_the_assignment_is_written_may_know_it),
        cmocka_unit_test(a_restart_before_the_assignment_forgets_the_members),
        cmocka_unit_test(a_group_that_became_too_large_gathers_again),
        cmocka_unit_test(subscriptions_are_read_from_the_metadata),
        cmocka_unit_test(what_a_group_reads_is_found_out_once),
        cmocka_unit_test(protocols_and_their_bytes_are_bounded),
        cmocka_unit_test(records_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
