/* The group coordinator of one shard: the timers of its groups, their answers. */
#include "net/group/coordinator.h"
#include "core/buf.h"
#include "core/clock.h"
#include "net/limits.h"
#include "net/server.h"

struct coordinator_shard {
    struct coord_shard logs;
    struct server *server;
    struct group_rules rules;
    struct heap_meter *memory; /* of all groups' memory */
    struct group_log_hooks hooks;
    uint32_t members; /* and pending ids, of all groups */
    struct store_listener news;
    void (*stopped)(struct server *sv);
};

static struct coordinator_shard *coordinator_of_log(const struct group_log *l)
{
    return l->hooks->arg;
}

static struct coord_shard *group_coordinator_on(const struct shard *s)
{
    return &server_of(s)->coordinator->logs;
}

const struct coord_topic group_topic = {GROUP_TOPIC, group_coordinator_on};

bool group_topic_name(struct kview name)
{
    return kview_same(name, (struct kview){(const uint8_t *)GROUP_TOPIC, sizeof GROUP_TOPIC - 1});
}

void group_topic_change(const struct broker_config *config, char number[COORD_TOPIC_NUMBER_BYTES],
                        struct topic_override overrides[COORD_TOPIC_OVERRIDES], struct catalog_change *c)
{
    coord_topic_change(&group_topic, config->offsets_topic_partitions, config->offsets_topic_segment_bytes, number,
                       overrides, c);
}

/* --- time --- */

static void count_group_members(struct coordinator_shard *c, struct group_entry *e, uint32_t now)
{
    assert(c->members >= e->counted);
    c->members = c->members - e->counted + now;
    e->counted = now;
}

/* A timer that comes too early finds nothing to do and is started again: most events only put the deadline off. */
static void watch_group_deadline(struct group_entry *e)
{
    struct coordinator_shard *c = coordinator_of_log(group_entry_log(e));
    struct shard *s = c->logs.shard;
    uint64_t due = shard_due_ns(s, group_deadline(e->group));
    count_group_members(c, e, (uint32_t)(e->group->member_count + e->group->pending_count));
    if (due == UINT64_MAX)
        timer_stop(&s->timers, &e->timer);
    else if (!timer_started(&e->timer) || e->timer.deadline_ns > due)
        timer_start(&s->timers, &e->timer, due);
}

void coordinator_after_event(struct group_entry *e)
{
    watch_group_deadline(e);
    group_log_drop_if_empty(e);
}

static void group_timer_due(struct timer *t)
{
    struct group_entry *e = container_of(t, struct group_entry, timer);
    group_tick(e->group, group_log_now(e->coord.log), coordinator_emit(group_entry_log(e)));
    coordinator_after_event(e);
}

bool coordinator_full(const struct group_log *l)
{
    return coordinator_of_log(l)->members >= COORDINATOR_MEMBERS_MAX;
}

/* --- what groups and logs tell --- */

static void persist_group(struct coordinator_shard *c, const struct group *g, uint32_t serial)
{
    int32_t partition = coord_partition(group_view(g->id), c->logs.part_count);
    struct coord_log *l = c->logs.parts[partition].log;
    struct group_entry *e = group_log_find(group_log_of(l), group_view(g->id));
    if (e) /* else the log closes, and says so to every waiter */
        group_log_persist(e, serial);
}

static void act_for_group(void *arg, struct group *g, const struct group_action *a)
{
    struct group_waiter *w = a->waiter;
    switch (a->kind) {
    case GROUP_PERSIST: persist_group(arg, g, a->serial); return;
    case GROUP_ANSWER_JOIN:
    case GROUP_ANSWER_SYNC:
        assert(w->entry);
        w->entry = NULL;
        w->answered(w, g, a);
        return;
    }
    assert(!"an action");
}

void group_waiter_forget(struct group_waiter *w)
{
    struct group_entry *e = w->entry;
    if (!e)
        return;
    group_forget(e->group, w, group_log_now(e->coord.log), coordinator_emit(group_entry_log(e)));
    coordinator_after_event(e); /* nothing of `w` any more: it may have ended the request */
}

static void group_entry_made(struct group_entry *e)
{
    timer_init(&e->timer, group_timer_due);
    e->counted = 0;
    watch_group_deadline(e);
}

static void group_entry_going(struct group_entry *e)
{
    struct coordinator_shard *c = coordinator_of_log(group_entry_log(e));
    timer_stop(&c->logs.shard->timers, &e->timer);
    count_group_members(c, e, 0);
}

static void expire_group_log(struct coord_log *l, int64_t now_ms)
{
    group_log_expire(group_log_of(l), now_ms, store_of(l->shard)->config->offsets_retention_ms);
}

static void group_log_ready(struct group_log *l)
{
    coord_shard_ready(&coordinator_of_log(l)->logs, &l->coord);
}

static struct coord_log *open_group_log(struct coord_shard *logs, struct partition *p, int32_t index)
{
    struct coordinator_shard *c = container_of(logs, struct coordinator_shard, logs);
    struct group_log *l = group_log_open(logs->shard, p, index, &c->rules, &c->hooks);
    return l ? &l->coord : NULL;
}

/* --- transactions --- */

void coordinator_end_txn(struct shard *owner, int32_t index, struct coord_marker *m)
{
    enum kerr error;
    struct coord_log *l = coord_shard_log(group_coordinator_on(owner), index, &error);
    if (l)
        coord_log_end_txn(l, m);
    else
        m->done(m, error);
}

/* --- the catalog's news --- */

static void offsets_topic_made(struct store *st, const struct topic *t)
{
    coord_shard_topic_made(&server_of(st->shard)->coordinator->logs, t);
}

static void forget_gone_topic(struct store *st, const struct topic *t)
{
    const struct coord_shard *c = &server_of(st->shard)->coordinator->logs;
    struct kview name = {(const uint8_t *)t->name, (int32_t)strlen(t->name)};
    for (int32_t i = 0; i < c->part_count; i++)
        if (c->parts[i].log)
            group_log_forget_topic(group_log_of(c->parts[i].log), name);
}

/* --- life --- */

static struct group_rules group_rules_of(const struct broker_config *config)
{
    return (struct group_rules){.session_ms_min = config->group_min_session_timeout_ms,
                                .session_ms_max = config->group_max_session_timeout_ms,
                                .size_max = config->group_max_size,
                                .initial_delay_ms = config->group_initial_rebalance_delay_ms};
}

enum err coordinator_start(struct server *sv)
{
    struct store *st = store_of(sv->shard);
    struct coordinator_shard *c = heap_zalloc(sv->shard->heap, sizeof *c);
    if (!c)
        return ERR_NO_MEMORY;
    c->server = sv;
    c->rules = group_rules_of(st->config);
    struct bufpool *bufs = sv->shard->bufs;
    struct heap *heap = bufpool_part(bufs, bufpool_max_bytes(bufs) / GROUPS_SHARE, true, &c->memory);
    if (!heap) {
        heap_free(sv->shard->heap, c);
        return ERR_NO_MEMORY;
    }
    c->rules.memory = c->memory;
    c->hooks = (struct group_log_hooks){.pace = &c->logs.pace,
                                        .heap = heap,
                                        .memory = c->memory,
                                        .emit = {act_for_group, c},
                                        .made = group_entry_made,
                                        .going = group_entry_going,
                                        .changed = watch_group_deadline,
                                        .ready = group_log_ready,
                                        .arg = c};
    sv->coordinator = c;
    c->news = (struct store_listener){.topic_made = offsets_topic_made, .topic_gone = forget_gone_topic};
    store_listen(st, &c->news);
    enum err err = coord_shard_start(&c->logs, sv->shard, &group_topic, open_group_log);
    coord_shard_expire(&c->logs, st->config->offsets_retention_check_ms, expire_group_log);
    return err;
}

static void group_logs_stopped(struct coord_shard *logs)
{
    struct coordinator_shard *c = container_of(logs, struct coordinator_shard, logs);
    c->stopped(c->server);
}

void coordinator_stop(struct server *sv, void (*stopped)(struct server *sv))
{
    struct coordinator_shard *c = sv->coordinator;
    c->stopped = stopped;
    coord_shard_stop(&c->logs, group_logs_stopped);
}

void coordinator_close(struct server *sv)
{
    struct coordinator_shard *c = sv->coordinator;
    if (!c)
        return;
    list_remove(&c->news.link);
    coord_shard_close(&c->logs);
    bufpool_part_close(sv->shard->bufs, c->hooks.heap, c->memory);
    heap_free(sv->shard->heap, c);
    sv->coordinator = NULL;
}
