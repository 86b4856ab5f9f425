/* A group log on a real partition, and what it must hold kept beside it: for each key (group, topic, partition) the value that
 * was acknowledged last, and the one under way, if any. After a kill either may stand there. */
#pragma once
#ifndef DIR
#define DIR "build/tests/unit/group_log"
#endif
#include "net/coord/coord_log_inside.h"
#include "net/group/group_log.h"
#include "net/group/records.h"
#include "tests/unit/partition_world.h"

enum { GROUPS = 7, KEYS = 9, ALL = (1 << KEYS) - 1, NONE = -1 }; /* keys of each group: partitions of the topic "t" */

struct key {
    int64_t acked, under_way; /* the offset; NONE: nothing, or gone */
    bool busy;
};
struct asked {
    struct group_write write;
    struct committed commits[KEYS];
    int group;
    uint32_t mask; /* of keys */
    bool over;
    enum kerr error;
};
static struct group_world {
    struct group_log *log;
    struct pace pace;
    struct group_rules rules;
    struct group_log_hooks hooks;
    uint32_t made, gone, readies, closes, persisted;
    struct key keys[GROUPS][KEYS];
    int32_t acked_generation[GROUPS], generation[GROUPS];
    int64_t next;
    uint32_t batch_bytes;
} g;

static inline struct kview view_of(const char *text)
{
    return (struct kview){(const uint8_t *)text, (int32_t)strlen(text)};
}
static inline struct kview group_id(int i)
{
    static const char *const names[GROUPS] = {"a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg"};
    return view_of(names[i]);
}
static inline struct group_entry *entry_of(int i)
{
    return group_log_find(g.log, group_id(i));
}
static inline struct group_entry *entry_or_make(int i)
{
    struct group_entry *e = entry_of(i);
    return e ? e : group_log_make(g.log, group_id(i));
}

/* --- the coordinator's part --- */

static inline void hook_act(void *arg, struct group *group, const struct group_action *a)
{
    (void)arg;
    (void)group;
    (void)a;
}
static inline void hook_made(struct group_entry *e)
{
    assert_int_equal(e->counted, 0);
    e->counted = 1;
    g.made++;
}
static inline void hook_going(struct group_entry *e)
{
    assert_int_equal(e->counted, 1);
    e->counted = 0;
    g.gone++;
}
static inline void hook_changed(struct group_entry *e)
{
    assert_int_equal(e->counted, 1);
    g.persisted++;
}
static inline void hook_ready(struct group_log *l)
{
    assert_ptr_equal(l, g.log);
    g.readies++;
}
static inline void hook_closed(void *arg)
{
    (void)arg;
    g.closes++;
    g.log = NULL;
}

/* --- turning --- */

static inline void group_turn(void)
{
    turn();
    if (g.log)
        coord_log_check(&g.log->coord);
}
#define UNTIL(condition) TURN_UNTIL(group_turn, condition)

static inline void init_log(void)
{
    pace_init(&g.pace, w.shard);
    g.rules =
        (struct group_rules){.session_ms_min = 6000, .session_ms_max = 300000, .size_max = 100, .initial_delay_ms = 0};
    g.hooks = (struct group_log_hooks){.pace = &g.pace,
                                       .emit = {.act = hook_act},
                                       .made = hook_made,
                                       .going = hook_going,
                                       .changed = hook_changed,
                                       .ready = hook_ready};
    g.made = g.gone = g.readies = g.closes = g.persisted = 0;
    g.log = group_log_open(w.shard, w.p, 0, &g.rules, &g.hooks);
    if (g.log && g.batch_bytes)
        g.log->coord.batch_bytes = g.batch_bytes;
}
static inline void open_log(void)
{
    init_log();
    assert_non_null(g.log);
}
static inline void open_ready(void)
{
    open_log();
    assert_int_equal(g.log->coord.state, COORD_LOG_LOADING);
    UNTIL(g.readies > 0);
    assert_int_equal(g.log->coord.state, COORD_LOG_READY);
}
static inline void close_log(void)
{
    coord_log_close(&g.log->coord, hook_closed, NULL);
    UNTIL(g.closes == 1);
    UNTIL(!list_linked(&g.pace.defer.link)); /* the next log starts with a pace of its own */
    assert_int_equal(g.made, g.gone);
}
static inline void restart(void)
{
    g.log = NULL;
    start();
    find_partition("t");
}

#ifndef OFFSETS_SEGMENT
#define OFFSETS_SEGMENT "1048576"
#endif
static const struct topic_override offsets_topic[] = {
    {"cleanup.policy", "compact"}, {"internal.segment.bytes", OFFSETS_SEGMENT}, {"min.cleanable.dirty.ratio", "0.1"}};
static inline int group_setup(void **state)
{
    int result = setup(state);
    memset(&g, 0, sizeof g);
    for (int i = 0; i < GROUPS; i++)
        for (int k = 0; k < KEYS; k++)
            g.keys[i][k].acked = NONE;
    if (result == 0)
        make_topic(offsets_topic, COUNT_OF(offsets_topic));
    return result;
}
static inline int group_teardown(void **state)
{
    if (g.log)
        close_log();
    return teardown(state);
}

/* --- asking --- */

static inline struct committed a_commit(int key, int64_t offset)
{
    return (struct committed){.topic = view_of("t"),
                              .partition = key,
                              .offset = offset,
                              .commit_ms = clock_wall_ms(),
                              .expire_ms = -1,
                              .leader_epoch = 1,
                              .metadata = view_of("m")};
}
static inline void asked_done(struct group_write *write, enum kerr error)
{
    struct asked *a = container_of(write, struct asked, write);
    assert_false(a->over);
    a->over = true;
    a->error = error;
    for (int k = 0; k < KEYS; k++) {
        if (!(a->mask & 1u << k))
            continue;
        struct key *key = &g.keys[a->group][k];
        assert_true(key->busy);
        key->busy = false;
        if (error == KERR_NONE)
            key->acked = key->under_way;
    }
}
/* Commits or removes the keys of `mask` that nobody else writes now. False: none is left. */
static inline bool ask(struct asked *a, int group, uint32_t mask, bool remove)
{
    *a = (struct asked){.group = group};
    int32_t count = 0;
    for (int k = 0; k < KEYS; k++) {
        struct key *key = &g.keys[group][k];
        if (!(mask & 1u << k) || key->busy)
            continue;
        a->mask |= 1u << k;
        key->busy = true;
        key->under_way = remove ? NONE : g.next++;
        a->commits[count++] = a_commit(k, key->under_way);
    }
    if (count == 0)
        return false;
    a->write = (struct group_write){.entry = entry_or_make(group), .kind = GROUP_WRITE_COMMITS, .done = asked_done};
    assert_non_null(a->write.entry);
    *(remove ? &a->write.removed : &a->write.commits) = a->commits;
    *(remove ? &a->write.removed_count : &a->write.commit_count) = count;
    group_log_write(g.log, &a->write);
    assert_false(a->over); /* never inside the call */
    return true;
}
static inline void ask_and_wait(int group, uint32_t mask, bool remove)
{
    struct asked a;
    assert_true(ask(&a, group, mask, remove));
    UNTIL(a.over);
    assert_int_equal(a.error, KERR_NONE);
}
static inline void persist(int group, int32_t generation)
{
    struct group_entry *e = entry_or_make(group);
    e->group->generation = generation;
    g.generation[group] = generation;
    group_log_persist(e, 1000); /* a serial that the group does not wait for */
}
static inline void persist_and_wait(int group, int32_t generation)
{
    uint32_t before = g.persisted;
    persist(group, generation);
    UNTIL(g.persisted > before);
    g.acked_generation[group] = generation;
}

/* --- comparing --- */

static inline int64_t stands(int group, int key)
{
    const struct group_entry *e = entry_of(group);
    const struct committed *c = e ? offsets_get(&e->offsets, view_of("t"), key) : NULL;
    return c ? c->offset : NONE;
}
static inline uint32_t all_stands(void)
{
    uint32_t live = 0;
    for (int i = 0; i < GROUPS; i++)
        for (int k = 0; k < KEYS; k++) {
            const struct key *key = &g.keys[i][k];
            int64_t there = stands(i, k);
            if (there != key->acked && !(key->busy && there == key->under_way))
                fail_msg("group %d key %d: %lld, acknowledged %lld", i, k, (long long)there, (long long)key->acked);
            live += there != NONE;
        }
    for (int i = 0; i < GROUPS; i++) {
        const struct group_entry *e = entry_of(i);
        if (g.acked_generation[i] > 0) {
            assert_non_null(e);
            assert_true(e->group->generation == g.acked_generation[i] || e->group->generation == g.generation[i]);
        }
    }
    return live;
}
/* What was found after a kill is what stands. */
static inline void take_as_acked(void)
{
    for (int i = 0; i < GROUPS; i++) {
        for (int k = 0; k < KEYS; k++)
            g.keys[i][k] = (struct key){.acked = stands(i, k)};
        g.acked_generation[i] = entry_of(i) ? entry_of(i)->group->generation : 0;
    }
}

/* --- writes that are not the table's --- */

static uint32_t wrote;
static enum kerr wrote_error;
static inline void note_wrote(struct group_write *write, enum kerr error)
{
    (void)write;
    wrote++;
    wrote_error = error;
}
static inline enum kerr write_and_wait(struct group_write *write)
{
    uint32_t before = wrote;
    write->done = note_wrote;
    group_log_write(g.log, write);
    assert_int_equal(wrote, before);
    UNTIL(wrote > before);
    assert_int_equal(wrote, before + 1);
    return wrote_error;
}

#define CASE(f)                                                                                \
    {                                                                                          \
        .name = #f, .test_func = f, .setup_func = group_setup, .teardown_func = group_teardown \
    }
