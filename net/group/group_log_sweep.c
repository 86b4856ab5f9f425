/* What goes through all groups of a log: topics that are gone, expiry, rewriting. One at a time, at the pace; each group gets a
 * write of its own that is alone in it, up to GROUP_LOG_ALONE of them at once, so that one wave of the disk carries many.
 *
 *   want --> kind set, next = first entry --> a write per entry ... --> all done --> REWRITE: trim --> the next sweep
 *
 * A rewrite needs no other order than this: what a group's write finds is durable and stands, and whatever comes after it lands
 * behind it. When all are done, everything that lives has a record at or behind `from`. A sweep that meets an error ends; nothing is
 * lost by that, as the log start stays. */
#include "core/log.h"
#include "net/group/group_log_inside.h"

/* --- what is removed --- */

/* Kafka's conditions for groups of the classic protocol. False: these offsets do not expire. */
static bool offset_expires_from(const struct group *g, const struct committed *c, int64_t *out_ms)
{
    bool simple = g->protocol_type.n <= 0;
    *out_ms = c->commit_ms;
    if (simple)
        return true;
    if (g->state == GROUP_EMPTY) {
        if (g->state_since_ms >= 0) /* older records do not have it */
            *out_ms = g->state_since_ms;
        return true;
    }
    return group_reads_topics(g) && g->state == GROUP_STABLE && !group_subscribed(g, c->topic);
}

static bool offset_expired(const struct sweep *s, const struct group *g, const struct committed *c)
{
    int64_t from_ms;
    if (!offset_expires_from(g, c, &from_ms))
        return false;
    if (c->expire_ms >= 0)
        return s->wall_ms >= c->expire_ms;
    return s->wall_ms - from_ms >= s->retention_ms;
}

static bool is_topic_gone(const struct group_log *l, struct kview topic)
{
    return !catalog_by_name(&store_of(l->shard)->catalog, topic.at, (size_t)topic.n);
}

bool sweep_removes(const struct group_write *w, const struct committed *c)
{
    const struct sweep *s = &w->log->sweep;
    switch (w->kind) {
    case GROUP_WRITE_DELETE: return true;
    case GROUP_WRITE_EXPIRE: return is_topic_gone(w->log, c->topic) || offset_expired(s, w->entry->group, c);
    case GROUP_WRITE_FORGET: return c->position < s->forget->position && kview_same(c->topic, s->forget->topic);
    case GROUP_WRITE_COMMITS:
    case GROUP_WRITE_RECORD:
    case GROUP_WRITE_REWRITE: break;
    }
    return false;
}

/* Somebody who waits for this group to write to it, or who is about to join, keeps it until the next time. */
bool sweep_removes_group(const struct group_write *w)
{
    struct group_entry *e = w->entry;
    if (w->kind == GROUP_WRITE_DELETE)
        return true;
    if (w->kind != GROUP_WRITE_EXPIRE || e->group->state != GROUP_EMPTY)
        return false;
    if (e->group->pending_count > 0 || !list_empty(&e->held) || list_linked(&e->lost_link))
        return false;
    return group_delete(e->group, w->log->sweep.wall_ms) == KERR_NONE;
}

/* --- one sweep --- */

static const char *sweep_name(enum sweep_kind kind)
{
    switch (kind) {
    case SWEEP_NONE: break;
    case SWEEP_FORGET: return "forgetting a topic";
    case SWEEP_EXPIRE: return "expiry";
    case SWEEP_REWRITE: return "rewriting";
    }
    return "";
}

static enum group_write_kind sweep_write_kind(enum sweep_kind kind)
{
    assert(kind != SWEEP_NONE);
    return kind == SWEEP_FORGET ? GROUP_WRITE_FORGET : kind == SWEEP_EXPIRE ? GROUP_WRITE_EXPIRE : GROUP_WRITE_REWRITE;
}

static void begin_sweep(struct group_log *l, enum sweep_kind kind)
{
    struct sweep *s = &l->sweep;
    assert(s->kind == SWEEP_NONE && s->running == 0);
    s->kind = kind;
    s->next = l->entries.next;
    s->born_max = l->born;
    s->error = KERR_NONE;
    pace_add(l->hooks->pace, &l->job);
}

static bool group_rewrite_due(const struct group_log *l)
{
    return l->log_bytes > l->hooks->slack_bytes && l->log_bytes > GROUP_LOG_SLACK_TIMES * l->live_bytes &&
           l->log_bytes >= l->rewrite_at;
}

static void begin_group_rewrite(struct group_log *l)
{
    l->sweep.from = partition_facts(l->partition).end_offset;
    l->sweep.bytes_before = l->log_bytes;
    begin_sweep(l, SWEEP_REWRITE);
}

void sweep_want(struct group_log *l)
{
    struct sweep *s = &l->sweep;
    if (l->state != GROUP_LOG_READY || s->kind != SWEEP_NONE)
        return;
    if (!list_empty(&l->forgets)) {
        s->forget = container_of(list_pop(&l->forgets), struct forget, link);
        begin_sweep(l, SWEEP_FORGET);
    } else if (group_rewrite_due(l)) {
        begin_group_rewrite(l);
    } else if (s->again) {
        s->again = false;
        begin_sweep(l, SWEEP_EXPIRE);
    }
}

static void end_sweep(struct group_log *l)
{
    struct sweep *s = &l->sweep;
    if (s->forget)
        heap_free(heap_of(l), s->forget);
    s->forget = NULL;
    s->kind = SWEEP_NONE;
    s->next = &l->entries;
    sweep_want(l);
}

/* Not again before as much has come as may be in the log anyway. */
static void postpone_group_rewrite(struct group_log *l)
{
    l->rewrite_at = l->log_bytes + l->hooks->slack_bytes;
}

static void group_log_trimmed(struct log_trim *t)
{
    struct sweep *s = container_of(t, struct sweep, trim);
    struct group_log *l = container_of(s, struct group_log, sweep);
    s->trimming = false;
    if (t->error) {
        log_warn("group log not trimmed", "partition=__consumer_offsets-%d why=%s", l->index, kerr_name(t->error));
        postpone_group_rewrite(l);
    } else {
        l->log_bytes -= s->bytes_before;
        l->rewrite_at = 0;
    }
    if (l->closing)
        log_later(l);
    end_sweep(l);
}

static void sweep_over(struct group_log *l)
{
    struct sweep *s = &l->sweep;
    if (s->error) {
        if (!l->closing)
            log_warn("group log not swept", "partition=__consumer_offsets-%d what=\"%s\" why=%s", l->index,
                     sweep_name(s->kind), kerr_name(s->error));
        if (s->kind == SWEEP_REWRITE)
            postpone_group_rewrite(l);
        end_sweep(l);
    } else if (s->kind == SWEEP_REWRITE) {
        s->trimming = true;
        s->trim = (struct log_trim){.before = s->from, .done = group_log_trimmed};
        list_init(&s->trim.link);
        partition_trim(l->partition, &s->trim);
    } else {
        end_sweep(l);
    }
}

static void sweep_wrote(struct group_write *w, enum kerr error)
{
    struct group_log *l = w->log;
    struct sweep *s = &l->sweep;
    assert(s->running > 0);
    s->running--;
    if (error && w->entry && !s->error) /* a group that went has nothing left to do */
        s->error = error;
    heap_free(heap_of(l), w);
    pace_add(l->hooks->pace, &l->job);
}

static void sweep_group_entry(struct group_log *l, struct group_entry *e)
{
    struct group_write *w = heap_zalloc(heap_of(l), sizeof *w);
    if (!w) {
        l->sweep.error = KERR_COORDINATOR_NOT_AVAILABLE;
        return;
    }
    w->entry = e;
    w->kind = sweep_write_kind(l->sweep.kind);
    w->record.n = -1;
    w->done = sweep_wrote;
    l->sweep.running++;
    write_start(l, w);
}

void sweep_step(struct group_log *l, uint32_t units)
{
    struct sweep *s = &l->sweep;
    if (s->kind == SWEEP_NONE || s->trimming)
        return;
    if (l->state != GROUP_LOG_READY)
        s->error = KERR_NOT_COORDINATOR;
    uint32_t begun = 0;
    while (begun < units / PACE_RECORD && s->running < GROUP_LOG_ALONE && s->next != &l->entries && !s->error) {
        struct group_entry *e = container_of(s->next, struct group_entry, link);
        s->next = e->born > s->born_max ? &l->entries : e->link.next;
        if (e->born <= s->born_max)
            sweep_group_entry(l, e);
        begun++;
    }
    if (s->running == 0 && (s->error || s->next == &l->entries))
        sweep_over(l);
    else if (s->running == 0)
        pace_add(l->hooks->pace, &l->job);
}

void sweep_close(struct group_log *l)
{
    struct list *i;
    assert(l->sweep.running == 0 && !l->sweep.trimming);
    heap_free(heap_of(l), l->sweep.forget);
    while ((i = list_pop(&l->forgets)))
        heap_free(heap_of(l), container_of(i, struct forget, link));
}

/* --- asked from outside --- */

void group_log_expire(struct group_log *l, int64_t wall_ms, int64_t retention_ms)
{
    if (l->state != GROUP_LOG_READY || l->sweep.kind == SWEEP_EXPIRE)
        return;
    l->sweep.wall_ms = wall_ms;
    l->sweep.retention_ms = retention_ms;
    l->sweep.again = true;
    sweep_want(l);
}

void group_log_forget_topic(struct group_log *l, struct kview topic)
{
    assert(topic.n > 0);
    if (l->state == GROUP_LOG_FAILED)
        return;
    struct forget *f = heap_alloc(heap_of(l), sizeof *f + (size_t)topic.n);
    if (!f) { /* expiry will find them */
        log_warn("offsets of a deleted topic not forgotten yet", "partition=__consumer_offsets-%d why=\"no memory\"",
                 l->index);
        return;
    }
    memcpy(f + 1, topic.at, (size_t)topic.n);
    f->topic = (struct kview){(const uint8_t *)(f + 1), topic.n};
    f->position = partition_facts(l->partition).end_offset;
    list_init(&f->link);
    list_push(&l->forgets, &f->link);
    sweep_want(l);
}
