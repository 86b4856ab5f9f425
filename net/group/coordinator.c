/* The group coordinator of one shard: its logs, the timers of its groups, their answers. */
#include "net/group/coordinator.h"
#include "core/clock.h"
#include "core/log.h"
#include "net/limits.h"
#include "net/server.h"
#include "storage/limits.h"
#include <stdio.h>

static const char offsets_topic[] = "__consumer_offsets";

/* A partition of __consumer_offsets; `log` is set only for those of this shard. */
struct part {
    struct coordinator_shard *coordinator;
    struct group_log *log;
    bool was_ready, closing;
    bool was_offline; /* its partition, when the log failed */
};
struct coordinator_shard {
    struct server *server;
    struct shard *shard;
    struct group_rules rules;
    struct group_log_hooks hooks;
    struct pace pace;
    struct part *parts; /* NULL: __consumer_offsets is not there yet */
    int32_t part_count;
    uint8_t topic_id[16];
    uint32_t members; /* and pending ids, of all groups */
    struct timer retention;
    bool stopping;
    uint32_t closing; /* logs, plus one while they are told */
    void (*stopped)(struct server *sv);
};

static struct coordinator_shard *coordinator_of_log(const struct group_log *l)
{
    return group_log_hooks(l)->arg;
}

/* --- which partition --- */

/* One code point of UTF-8; what is none counts as U+FFFD, byte for byte. */
static uint32_t next_code_point(struct kview v, int32_t *at)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint8_t first = v.at[(*at)++];
    int32_t more = first < 0x80                    ? 0
                   : first >= 0xc2 && first < 0xe0 ? 1
                   : (first & 0xf0) == 0xe0        ? 2
                   : first >= 0xf0 && first < 0xf5 ? 3
                                                   : -1;
    if (more <= 0 || *at + more > v.n)
        return more == 0 ? first : 0xfffd;
    uint32_t code = first & (0x3fu >> more);
    for (int32_t i = 0; i < more; i++) {
        if ((v.at[*at + i] & 0xc0) != 0x80)
            return 0xfffd;
        code = code << 6 | (v.at[*at + i] & 0x3f);
    }
    if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0xfffd;
    *at += more;
    return code;
}

static uint32_t java_hash(struct kview v)
{
    uint32_t hash = 0;
    for (int32_t at = 0; at < v.n;) {
        uint32_t code = next_code_point(v, &at);
        if (code >= 0x10000) { /* two units of UTF-16 */
            hash = hash * 31 + (0xd800 + ((code - 0x10000) >> 10));
            code = 0xdc00 + ((code - 0x10000) & 0x3ff);
        }
        hash = hash * 31 + code;
    }
    return hash;
}

int32_t coordinator_partition(struct kview group_id, int32_t partitions)
{
    assert(partitions > 0);
    uint32_t hash = java_hash(group_id);
    if (hash >> 31) /* Java's absolute value, and 0 for the one number that has none */
        hash = -hash;
    return hash >> 31 ? 0 : (int32_t)(hash % (uint32_t)partitions);
}

bool coordinator_topic_name(struct kview name)
{
    return name.n == sizeof offsets_topic - 1 && memcmp(name.at, offsets_topic, sizeof offsets_topic - 1) == 0;
}

const struct topic *coordinator_topic(const struct store *st)
{
    return catalog_by_name(&st->catalog, (const uint8_t *)offsets_topic, sizeof offsets_topic - 1);
}

void coordinator_topic_change(const struct broker_config *config, char room[OFFSETS_ROOM],
                              struct topic_override overrides[OFFSETS_OVERRIDES], struct catalog_change *c)
{
    snprintf(room, OFFSETS_ROOM, "%d", config->offsets_topic_segment_bytes);
    overrides[0] = (struct topic_override){"cleanup.policy", "compact"};
    overrides[1] = (struct topic_override){"compression.type", "producer"};
    /* segment.bytes takes no less, but this key of the broker does. */
    bool small = config->offsets_topic_segment_bytes < SEGMENT_BYTES_MIN;
    overrides[2] = (struct topic_override){small ? "internal.segment.bytes" : "segment.bytes", room};
    *c = (struct catalog_change){.kind = CATALOG_CREATE,
                                 .name = offsets_topic,
                                 .partitions = config->offsets_topic_partitions,
                                 .overrides = overrides,
                                 .override_count = OFFSETS_OVERRIDES,
                                 .automatic = true};
}

/* --- time --- */

const struct group_emit *coordinator_emit(const struct coordinator_shard *c)
{
    return &c->hooks.emit;
}

/* What of the entry is in c->members: kept in the entry's field for us. */
static void count_group_members(struct coordinator_shard *c, struct group_entry *e, uint32_t now)
{
    uint32_t before = (uint32_t)(uintptr_t)e->coordinator_state;
    assert(c->members >= before);
    c->members = c->members - before + now;
    e->coordinator_state = (void *)(uintptr_t)now;
}

/* A timer that comes too early finds nothing to do and is started again: most events only put the deadline off. */
static void watch_group_deadline(struct group_entry *e)
{
    struct coordinator_shard *c = coordinator_of_log(e->log);
    uint64_t due = group_deadline(e->group);
    count_group_members(c, e, (uint32_t)(e->group->member_count + e->group->pending_count));
    if (due == UINT64_MAX)
        timer_stop(&c->shard->timers, &e->timer);
    else if (!timer_started(&e->timer) || e->timer.deadline_ns > due)
        timer_start(&c->shard->timers, &e->timer, due);
}

void coordinator_settle(struct group_entry *e)
{
    watch_group_deadline(e);
    group_log_drop_if_empty(e);
}

static void group_timer_due(struct timer *t)
{
    struct group_entry *e = container_of(t, struct group_entry, timer);
    struct coordinator_shard *c = coordinator_of_log(e->log);
    group_tick(e->group, group_log_now(), &c->hooks.emit);
    coordinator_settle(e);
}

bool coordinator_full(const struct coordinator_shard *c)
{
    return c->members >= COORDINATOR_MEMBERS_MAX;
}

/* --- what groups and logs tell --- */

static void persist_group(struct coordinator_shard *c, const struct group *g, uint32_t serial)
{
    struct group_log *l = c->parts[coordinator_partition(group_view(g->id), c->part_count)].log;
    struct group_entry *e = group_log_find(l, group_view(g->id));
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
        w->told(w, g, a);
        return;
    }
    assert(!"an action");
}

static void group_entry_made(struct group_entry *e)
{
    timer_init(&e->timer, group_timer_due);
    e->coordinator_state = NULL;
    watch_group_deadline(e);
}

static void group_entry_going(struct group_entry *e)
{
    struct coordinator_shard *c = coordinator_of_log(e->log);
    timer_stop(&c->shard->timers, &e->timer);
    count_group_members(c, e, 0);
}

static void expire_group_log(struct coordinator_shard *c, struct group_log *l)
{
    group_log_expire(l, clock_wall_ms(), store_of(c->shard)->config->offsets_retention_ms);
}

static void group_log_closed(void *arg)
{
    struct part *p = arg;
    struct coordinator_shard *c = p->coordinator;
    p->log = NULL;
    p->closing = p->was_ready = false;
    if (c->stopping && --c->closing == 0)
        c->stopped(c->server);
}

static void close_group_part(struct part *p)
{
    p->closing = true;
    group_log_close(p->log, group_log_closed, p);
}

static bool group_part_offline(const struct coordinator_shard *c, int32_t i)
{
    const struct partition *p = store_partition(store_of(c->shard), c->topic_id, i);
    return !p || partition_facts(p).offline;
}

static void group_log_ready(struct group_log *l)
{
    struct coordinator_shard *c = coordinator_of_log(l);
    struct part *p = &c->parts[group_log_index(l)];
    if (p->closing)
        return;
    p->was_offline = group_part_offline(c, group_log_index(l));
    if (group_log_state(l) == GROUP_LOG_READY) {
        p->was_ready = true;
        expire_group_log(c, l);
    } else if (p->was_ready) { /* it has lost its memory, and reads it again */
        close_group_part(p);
    }
}

/* --- logs --- */

static void open_group_part(struct coordinator_shard *c, int32_t i)
{
    struct partition *p = store_partition(store_of(c->shard), c->topic_id, i);
    if (p)
        c->parts[i].log = group_log_open(c->shard, p, i, &c->rules, &c->hooks);
    if (p && !c->parts[i].log)
        log_error("no memory", "topic=%s partition=%d effect=\"its groups are not coordinated\"", offsets_topic, i);
}

static enum err open_group_parts(struct coordinator_shard *c, const struct topic *t)
{
    c->parts = heap_zalloc(c->shard->heap, (size_t)t->partitions * sizeof *c->parts);
    if (!c->parts)
        return ERR_NO_MEMORY;
    c->part_count = t->partitions;
    memcpy(c->topic_id, t->id, sizeof c->topic_id);
    for (int32_t i = 0; i < c->part_count; i++) {
        c->parts[i].coordinator = c;
        open_group_part(c, i);
    }
    return ERR_NONE;
}

/* What questions to this partition are answered with. */
static enum kerr group_part_error(const struct coordinator_shard *c, int32_t i)
{
    const struct group_log *l = c->parts[i].log;
    if (!l || c->stopping)
        return KERR_NOT_COORDINATOR;
    switch (group_log_state(l)) {
    case GROUP_LOG_LOADING: return KERR_COORDINATOR_LOAD_IN_PROGRESS;
    case GROUP_LOG_READY: return KERR_NONE;
    case GROUP_LOG_FAILED: return KERR_NOT_COORDINATOR;
    }
    assert(!"a state");
    return KERR_NOT_COORDINATOR;
}

/* It failed because its partition was offline, which is back: a full disk has room again. */
static bool may_reopen_group_log(const struct coordinator_shard *c, int32_t i)
{
    const struct part *p = &c->parts[i];
    return p->was_offline && !p->closing && group_log_state(p->log) == GROUP_LOG_FAILED && !group_part_offline(c, i);
}

struct group_log *coordinator_log(struct coordinator_shard *c, int32_t partition, enum kerr *out_error)
{
    *out_error = KERR_NOT_COORDINATOR;
    if (c->stopping || partition < 0 || partition >= c->part_count)
        return NULL;
    struct part *p = &c->parts[partition];
    if (!p->log)
        open_group_part(c, partition);
    else if (may_reopen_group_log(c, partition))
        close_group_part(p); /* the next question opens it */
    *out_error = group_part_error(c, partition);
    return *out_error ? NULL : p->log;
}

struct group_log *coordinator_next_log(struct coordinator_shard *c, int32_t *cursor, enum kerr *out_error)
{
    *out_error = KERR_NONE;
    while (*cursor < c->part_count) {
        int32_t i = (*cursor)++;
        *out_error = group_part_error(c, i);
        if (!*out_error)
            return c->parts[i].log;
        if (*out_error == KERR_COORDINATOR_LOAD_IN_PROGRESS)
            return NULL;
        *out_error = KERR_NONE; /* those of other shards, and what has failed: Kafka leaves it out, too */
    }
    return NULL;
}

/* --- the catalog's news --- */

static void offsets_topic_made(struct store *st, const struct topic *t)
{
    struct coordinator_shard *c = server_of(st->shard)->coordinator;
    if (c->parts || c->stopping || strcmp(t->name, offsets_topic) != 0)
        return;
    if (open_group_parts(c, t))
        log_error("no memory", "topic=%s effect=\"no group is coordinated until a restart\"", offsets_topic);
}

static void forget_gone_topic(struct store *st, const struct topic *t)
{
    struct coordinator_shard *c = server_of(st->shard)->coordinator;
    struct kview name = {(const uint8_t *)t->name, (int32_t)strlen(t->name)};
    for (int32_t i = 0; i < c->part_count; i++)
        if (c->parts[i].log && group_log_state(c->parts[i].log) != GROUP_LOG_FAILED)
            group_log_forget_topic(c->parts[i].log, name);
}

/* --- life --- */

static void offsets_retention_due(struct timer *t)
{
    struct coordinator_shard *c = container_of(t, struct coordinator_shard, retention);
    for (int32_t i = 0; i < c->part_count; i++)
        if (!group_part_error(c, i))
            expire_group_log(c, c->parts[i].log);
    uint64_t every_ms = (uint64_t)store_of(c->shard)->config->offsets_retention_check_ms;
    timer_start(&c->shard->timers, t, c->shard->now_ns + every_ms * NS_PER_MS);
}

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
    c->shard = sv->shard;
    c->rules = group_rules_of(st->config);
    pace_init(&c->pace, c->shard);
    c->hooks = (struct group_log_hooks){.pace = &c->pace,
                                        .emit = {act_for_group, c},
                                        .made = group_entry_made,
                                        .going = group_entry_going,
                                        .changed = watch_group_deadline,
                                        .ready = group_log_ready,
                                        .arg = c};
    c->hooks.slack_bytes = u64_min(GROUP_LOG_SLACK_BYTES, (uint64_t)st->config->offsets_topic_segment_bytes);
    timer_init(&c->retention, offsets_retention_due);
    timer_start(&c->shard->timers, &c->retention,
                c->shard->now_ns + (uint64_t)st->config->offsets_retention_check_ms * NS_PER_MS);
    sv->coordinator = c;
    st->topic_made = offsets_topic_made;
    st->topic_gone = forget_gone_topic;
    const struct topic *t = coordinator_topic(st);
    return t ? open_group_parts(c, t) : ERR_NONE;
}

void coordinator_stop(struct server *sv, void (*stopped)(struct server *sv))
{
    struct coordinator_shard *c = sv->coordinator;
    assert(!c->stopping);
    c->stopping = true;
    c->stopped = stopped;
    c->closing = 1;
    timer_stop(&c->shard->timers, &c->retention);
    for (int32_t i = 0; i < c->part_count; i++) {
        struct part *p = &c->parts[i];
        if (!p->log)
            continue;
        c->closing++;
        if (!p->closing)
            close_group_part(p);
    }
    if (--c->closing == 0)
        stopped(sv);
}

/* Logs that are still there go with the shard's heap: the loop ended without a stop. */
void coordinator_close(struct server *sv)
{
    struct coordinator_shard *c = sv->coordinator;
    struct store *st = store_of(sv->shard);
    if (!c)
        return;
    timer_stop(&c->shard->timers, &c->retention);
    st->topic_made = NULL;
    st->topic_gone = NULL;
    heap_free(c->shard->heap, c->parts);
    heap_free(c->shard->heap, c);
    sv->coordinator = NULL;
}
