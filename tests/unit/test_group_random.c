/* A group under random events, and under a heap that fails: whatever happens, group_check holds, every waiter is answered once,
 * a stable group's members have the assignments of its generation, and an event that was refused for want of memory left the
 * group as it was. */
#include "tests/unit/faulty_heap.h"

#include "core/rng.h"
#include "net/limits.h"
#include "tests/unit/group_world.h"

/* --- what a group is, as a number --- */

static uint64_t mix(uint64_t hash, const void *at, size_t bytes)
{
    return bytes ? hash_stable(at, bytes, hash) : hash * 31;
}
static uint64_t mix_text(uint64_t hash, struct group_text t)
{
    return mix(hash + (uint64_t)(uint32_t)t.n, t.at, t.n > 0 ? (size_t)t.n : 0);
}
static uint64_t mix_number(uint64_t hash, uint64_t n)
{
    return mix(hash, &n, sizeof n);
}

static uint64_t digest_member(uint64_t hash, const struct group_member *m)
{
    const struct group_text texts[] = {m->id, m->instance_id, m->client_id, m->client_host, m->assignment};
    const uint64_t numbers[] = {(uint64_t)m->rebalance_ms,
                                (uint64_t)m->session_ms,
                                (uint64_t)m->protocol_count,
                                (uintptr_t)m->join_waiter,
                                (uintptr_t)m->sync_waiter,
                                m->expires_ns,
                                m->is_new,
                                m->synced,
                                m->can_skip,
                                m->join_serial,
                                (uintptr_t)m->undo};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        hash = mix_text(hash, texts[i]);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        hash = mix_number(hash, numbers[i]);
    for (int32_t i = 0; i < m->protocol_count; i++)
        hash = mix_text(mix_text(hash, m->protocols[i].name), m->protocols[i].metadata);
    return hash;
}

static uint64_t digest(const struct group *g)
{
    uint64_t hash = mix_text(mix_text(mix_text(mix_text(1, g->id), g->protocol_type), g->protocol), g->leader);
    const uint64_t numbers[] = {g->state,
                                (uint64_t)g->generation,
                                (uint64_t)g->state_since_ms,
                                (uint64_t)g->pending_count,
                                g->join_due_ns,
                                g->sync_due_ns,
                                g->expiry_ns,
                                g->initial,
                                g->new_since,
                                g->persist_serial,
                                g->sync_serial,
                                g->metadata_bytes,
                                (uint64_t)g->joined_count};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        hash = mix_number(hash, numbers[i]);
    for (const struct list *at = g->members.next; at != &g->members; at = at->next)
        hash = digest_member(hash, container_of(at, struct group_member, link));
    return hash;
}

/* --- each allocation in turn --- */

static const char *const script[] = {
    "join a need",
    "join a",
    "join b proto x:1,range:b",
    "join s inst i",
    "join t inst j",
    "wait 0",
    "sync b",
    "sync a to a=A,b=B,s=S,t=T",
    "persisted",
    "join s id -",
    "persisted",
    "sync s",
    "join s id - old",
    "persisted NOT_COORDINATOR",
    "join c need",
    "join b proto range:new",
    "join a",
    "join s proto range:longer_than_before",
    "join t id -",
    "join c",
    "sync a to a=A,a=AA,b=,c=CCC",
    "persisted",
    "sync c",
    "leave a",
    "join b",
    "join d type other",
    "join d",
    "join e inst k proto range:e,another_protocol:e",
    "wait 60000",
    "wait 60000",
};

/* Answers whether the heap failed in it. */
static bool failing_step(struct group_world *w, const char *step, int nth)
{
    uint64_t before = digest(w->g);
    struct client clients[COUNT_OF(w->clients)];
    memcpy(clients, w->clients, sizeof clients);
    int blocks = fault.blocks;
    fault_begin(nth, false);
    group_step(w, step);
    if (!fault_end())
        return false;
    if (!strstr(w->said, "COORDINATOR_NOT_AVAILABLE") || digest(w->g) != before)
        fail_msg("allocation %d of \"%s\" failed: %s", nth, step, w->said);
    /* The two arrays that may have grown on the way stay: they only ever replace a block, or are the group's first. */
    assert_in_range(fault.blocks, blocks, blocks + 4);
    memcpy(w->clients, clients, sizeof clients);
    return true;
}

static void an_event_without_memory_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct group_world w;
    int failures = 0;
    group_world_open(&w);
    for (size_t i = 0; i < COUNT_OF(script); i++)
        for (int nth = 1; failing_step(&w, script[i], nth); nth++)
            failures++;
    assert_true(failures >= 90);
    group_world_close(&w);
    assert_int_equal(fault.blocks, 0);
}

static void a_record_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    static uint64_t room[2048];
    struct arena arena = arena_of(room, sizeof room);
    struct group_metadata_value v;
    struct group_world w;
    int failures = 0;
    group_world_open(&w);
    for (size_t i = 0; i < 9; i++)
        group_step(&w, script[i]);
    assert_true(group_to_value(w.g, &arena, &v));
    assert_int_equal(v.members.n, 4);
    for (bool done = false; !done;) {
        int blocks = fault.blocks;
        fault_begin(failures + 1, false);
        struct group *g = group_open(w.heap, &w.rules, text("other"), 0);
        enum err err = g ? group_from_value(g, &v, w.now) : ERR_NO_MEMORY;
        done = !fault_end();
        assert_int_equal(err, done ? ERR_NONE : ERR_NO_MEMORY);
        failures += !done;
        if (done)
            assert_null(group_check(g));
        if (g)
            group_close(g);
        assert_int_equal(fault.blocks, blocks);
    }
    assert_true(failures > 20);
    struct arena small = arena_of(room, 64);
    assert_false(group_to_value(w.g, &small, &v));
    group_world_close(&w);
}

/* --- at random --- */

enum { EVENTS = 100 * 1000, PEOPLE = 8, WAITING_MAX = 48 };

/* The leader gives everybody the generation's number. */
static void sync_all(struct group_world *w, char name, struct client *c)
{
    static char number[16];
    struct sync_group_request_assignment assignments[128];
    int32_t n = 0;
    snprintf(number, sizeof number, "%d", w->g->generation);
    for (struct list *at = w->g->members.next; at != &w->g->members && n < 128; at = at->next)
        assignments[n++] = (struct sync_group_request_assignment){
            .member_id = group_view(container_of(at, struct group_member, link)->id), .assignment = text(number)};
    struct group_sync e = {.member_id = text(c->id),
                           .instance_id = text(c->inst[0] ? c->inst : NULL),
                           .protocol_type = text(NULL),
                           .protocol = text(NULL),
                           .generation = c->generation,
                           .assignments = assignments,
                           .assignment_count = n,
                           .waiter = new_waiter(w, name)};
    struct group_emit emit = world_emit(w);
    w->step = "sync_all";
    w->said[0] = 0;
    group_sync(w->g, &e, w->now, &emit);
    checked(w);
}

static const char *random_join(struct rng *rng, char name, const struct client *c)
{
    static char step[160];
    static const char *const protos[] = {"range:1", "range:2", "range:1,rr:1", "rr:1,range:1", "range:1,rr:2,coop:3",
                                         "rr:9"};
    bool fixed = name < 'd';
    snprintf(step, sizeof step, "join %c session %d rebalance %d proto %s%s%s%s%s", name,
             6000 + (int)rng_below(rng, 10000), (int)rng_below(rng, 20000),
             protos[rng_below(rng, 3) ? 2 : rng_below(rng, COUNT_OF(protos))], fixed ? " inst " : "",
             fixed ? (const char *[]){"i", "j", "k"}[name - 'a'] : "", rng_below(rng, 2) ? " need" : "",
             rng_below(rng, 2) ? " old" : "");
    if (c->id[0] && rng_below(rng, 6) == 0)
        strcat(step, " id -");
    return step;
}

static void random_event(struct group_world *w, struct rng *rng)
{
    char name = (char)('a' + rng_below(rng, PEOPLE)), step[64];
    struct client *c = client_of(w, name);
    uint64_t what = rng_below(rng, 100);
    bool room = waiting(w) < WAITING_MAX;
    if (what < 30 && room) {
        group_step(w, random_join(rng, name, c));
    } else if (what < 50 && room) {
        sync_all(w, name, c);
    } else if (what < 62) {
        if (w->serial_first != w->serial_end)
            group_step(w, rng_below(rng, 8) ? "persisted" : "persisted NOT_COORDINATOR");
    } else if (what < 70) {
        snprintf(step, sizeof step, "beat %c", name);
        group_step(w, step);
    } else if (what < 75) {
        snprintf(step, sizeof step, "commit %c", name);
        group_step(w, step);
    } else if (what < 79) {
        snprintf(step, sizeof step, "leave %c", name);
        group_step(w, step);
    } else if (what < 82) {
        snprintf(step, sizeof step, "forget %c", name);
        group_step(w, step);
    } else if (what < 99) {
        snprintf(step, sizeof step, "wait %d", (int)rng_below(rng, what < 90 ? 10 : what < 98 ? 1000 : 50000));
        group_step(w, step);
    } else if (rng_below(rng, 4) == 0) {
        (void)fault_end();
        group_step(w, "restart");
    }
}

/* What a client does that wants to be in the group: without them a random group is never stable. */
static void sensible_event(struct group_world *w, struct rng *rng)
{
    char name = (char)('a' + rng_below(rng, PEOPLE)), step[64];
    struct client *c = client_of(w, name);
    const struct group_member *m = c->id[0] ? map_get(&w->g->by_id, c->id, strlen(c->id)) : NULL;
    bool pending = c->id[0] && map_get(&w->g->pending_by_id, c->id, strlen(c->id));
    uint64_t what = rng_below(rng, 16);
    if (what < 3) {
        group_step(w, what ? "persisted" : "wait 1000");
        return;
    }
    if (waiting(w) >= WAITING_MAX || (m && (m->join_waiter || m->sync_waiter)))
        return;
    if (m && w->g->state == GROUP_COMPLETING) {
        sync_all(w, name, c);
        return;
    }
    bool joins = !m || w->g->state == GROUP_PREPARING;
    const char *inst = name == 'a' ? " inst i" : name == 'b' ? " inst j" : name == 'c' ? " inst k" : "";
    snprintf(step, sizeof step, "%s %c%s%s%s%s", joins ? "join" : "beat", name, joins ? " rebalance 8000" : "",
             joins && !pending ? inst : "", joins && !m && !pending ? " id -" : "",
             joins && rng_below(rng, 2) ? " old" : "");
    group_step(w, step);
}

static void assignments_are_of_the_generation(const struct group_world *w)
{
    char number[16];
    if (w->g->state != GROUP_STABLE)
        return;
    snprintf(number, sizeof number, "%d", w->g->generation);
    for (struct list *at = w->g->members.next; at != &w->g->members; at = at->next) {
        struct group_text t = container_of(at, struct group_member, link)->assignment;
        if (t.n != (int32_t)strlen(number) || memcmp(t.at, number, (size_t)t.n))
            fail_msg("after \"%s\": an assignment of another generation than %s", w->step, number);
    }
}

/* A waiter is answered when it can no longer be. */
static void wait_for_the_end(struct group_world *w)
{
    for (int i = 0; i < 4 && waiting(w) > 0; i++) {
        while (w->serial_first != w->serial_end)
            group_step(w, "persisted");
        group_step(w, "wait 400000");
    }
    assert_int_equal(waiting(w), 0);
}

/* Answers how many skipped their assignment. */
static uint32_t run(uint64_t seed, int events, bool poor)
{
    struct group_world w;
    struct rng rng = {seed};
    uint32_t states[GROUP_DEAD] = {0}, skipped = 0;
    int32_t generation = 0;
    group_world_open(&w);
    w.rules.initial_delay_ms = (int64_t)rng_below(&rng, 2) * 500;
    w.rules.size_max = rng_below(&rng, 2) ? 6 : 100;
    for (int i = 0; i < events; i++) {
        uint64_t before = digest(w.g);
        fault_begin(poor && rng_below(&rng, 3) == 0 ? 1 + (int)rng_below(&rng, 12) : 0, false);
        (rng_below(&rng, 10) < 9 ? sensible_event : random_event)(&w, &rng);
        if (fault_end() && strstr(w.said, "COORDINATOR_NOT_AVAILABLE"))
            assert_true(digest(w.g) == before);
        assignments_are_of_the_generation(&w);
        assert_true(w.g->generation >= generation);
        generation = w.g->generation;
        states[w.g->state]++;
        skipped += strchr(w.said, '!') != NULL;
    }
    for (int s = 0; s < GROUP_DEAD; s++)
        assert_true(states[s] > 0);
    assert_true(generation > events / 500);
    wait_for_the_end(&w);
    group_world_close(&w);
    assert_int_equal(fault.blocks, 0);
    return skipped;
}

static void random_events_keep_it_sound(void **state)
{
    (void)state;
    uint32_t skipped = 0;
    for (uint64_t seed = 1; seed <= 10; seed++)
        skipped += run(seed, EVENTS / 10, false);
    assert_true(skipped > 0);
}

static void random_events_on_a_failing_heap_keep_it_sound(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 110; seed++)
        (void)run(seed, EVENTS / 20, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_without_memory_is_refused_and_changes_nothing),
        cmocka_unit_test(a_record_is_read_whole_or_not_at_all),
        cmocka_unit_test(random_events_keep_it_sound),
        cmocka_unit_test(random_events_on_a_failing_heap_keep_it_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
