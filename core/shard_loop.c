/* The loop of one shard, and messages between shards.
 *
 * A message travels through the ring [from][to]; where the ring is full it waits in the sender's outbox, which goes first
 * in the next turns, so order is kept. Once a turn, before io_run, the sender looks whether those it has written to sleep,
 * and wakes them: a turn's messages cost one wake. */
#include "core/buf.h"
#include "core/clock.h"
#include "core/fs_guard.h"
#include "core/log.h"
#include "core/shard_group.h"
#include <stdatomic.h>

#define OUTBOX_RETRY_NS 20000ull /* a full ring's reader is busy: look again soon, but let it work */

enum {
    MESSAGES_PER_TURN = 128, /* of all other shards, and of its own: replies that they end take some 5 us each */
    TIMERS_PER_TURN = 256,
    DEFER_ROUNDS = 3,        /* storage's end of a turn, who is told there, and what those append */
    DEFERRED_PER_TURN = 128, /* and as many last ones: each may be a connection's, a few requests begun, a reply sent */
};

static struct ring *ring_between(const struct shard *s, uint16_t from, uint16_t to)
{
    assert(from < s->count && to < s->count);
    assert(from != to);
    return &s->group->rings[(size_t)from * s->count + to];
}

/* --- sending --- */

static uint64_t shard_bit(uint16_t id)
{
    assert(id < SHARDS_MAX);
    return 1ull << id;
}

static void put_in_outbox(struct shard *from, uint16_t to, struct shard_msg *msg)
{
    assert(msg->run);
    list_push(&from->outbox[to], &msg->link);
    from->outbox_used |= shard_bit(to);
}

void shard_send(struct shard *from, uint16_t to, struct shard_msg *msg)
{
    assert(to < from->count);
    assert(msg->run && !list_linked(&msg->link));
    if (to == from->id || from->outbox_used & shard_bit(to) || !ring_push(ring_between(from, from->id, to), msg))
        put_in_outbox(from, to, msg);
    else
        from->touched |= shard_bit(to);
}

static void flush_outbox_to(struct shard *s, uint16_t to)
{
    assert(to != s->id);
    assert(s->outbox_used & shard_bit(to));
    struct ring *r = ring_between(s, s->id, to);
    struct list *node;
    while ((node = list_first(&s->outbox[to]))) {
        /* Unlinked before it is pushed: from then on it is the receiver's. */
        list_remove(node);
        if (!ring_push(r, container_of(node, struct shard_msg, link))) {
            list_push_front(&s->outbox[to], node);
            return;
        }
        s->touched |= shard_bit(to);
    }
    s->outbox_used &= ~shard_bit(to);
}

static void flush_outbox(struct shard *s)
{
    uint64_t left = s->outbox_used & ~shard_bit(s->id);
    for (; left; left &= left - 1)
        flush_outbox_to(s, (uint16_t)__builtin_ctzll(left));
}

/* `last`: io_run will not be called again, which is what submits an io_wake. */
static void wake_touched_shards(struct shard *s, bool last)
{
    for (; s->touched; s->touched &= s->touched - 1) {
        struct shard *to = shard_at(s->group, (uint16_t)__builtin_ctzll(s->touched));
        if (!atomic_exchange_explicit(&to->sleeping, false, memory_order_acq_rel))
            continue;
        if (last)
            io_wake_external(to->io);
        else
            io_wake(s->io, to->io);
    }
}

/* --- receiving --- */

static uint32_t run_messages_from(struct shard *s, struct ring *r, uint32_t most, uint64_t until)
{
    assert(r);
    uint32_t ran = 0;
    while (ran < most && io_spent(s->io) < until) {
        struct shard_msg *msg = ring_pop(r);
        if (!msg)
            break;
        ran++;
        msg->run(s, msg);
    }
    return ran;
}

/* However many shards there are, and one after the other: where this turn ends, the next one begins. */
static void run_others_messages(struct shard *s)
{
    assert(s->count > 0);
    uint32_t left = MESSAGES_PER_TURN;
    uint64_t until = io_spent(s->io) + IO_BYTES_PER_TURN;
    for (uint16_t i = 0; i < s->count && left > 0 && io_spent(s->io) < until; i++) {
        uint16_t from = (uint16_t)(s->next_from % s->count);
        s->next_from = (uint16_t)((from + 1) % s->count);
        if (from != s->id)
            left -= run_messages_from(s, ring_between(s, from, s->id), left, until);
    }
}

/* What it sends itself meanwhile waits for the next turn, and so does what is too many for this one. */
static void run_own_messages(struct shard *s)
{
    struct list now, *node;
    uint64_t until = io_spent(s->io) + IO_BYTES_PER_TURN;
    if (!(s->outbox_used & shard_bit(s->id)))
        return;
    list_init(&now);
    list_splice(&now, &s->outbox[s->id]);
    for (int i = 0; i < MESSAGES_PER_TURN && io_spent(s->io) < until && (node = list_pop(&now)); i++) {
        struct shard_msg *msg = container_of(node, struct shard_msg, link);
        msg->run(s, msg);
    }
    list_splice(&now, &s->outbox[s->id]); /* what is left of the old goes before the new */
    list_splice(&s->outbox[s->id], &now);
    if (list_empty(&s->outbox[s->id]))
        s->outbox_used &= ~shard_bit(s->id);
}

bool shard_has_messages(const void *shard)
{
    const struct shard *s = shard;
    assert(s->count > 0);
    for (uint16_t from = 0; from < s->count; from++) {
        if (from != s->id && !ring_empty(ring_between(s, from, s->id)))
            return true;
    }
    return false;
}

/* --- the turn --- */

static uint64_t choose_wait_ns(const struct shard *s, uint64_t wait_ns_max)
{
    assert(s->io);
    bool due = !list_empty(&s->deferred) || !list_empty(&s->deferred_last) || s->outbox_used & shard_bit(s->id);
    if (wait_ns_max == 0 || s->stop || due)
        return 0;
    uint64_t wait = s->outbox_used ? u64_min(wait_ns_max, OUTBOX_RETRY_NS) : wait_ns_max;
    uint64_t next = timers_next(&s->timers);
    if (next == TIMER_NEVER)
        return wait;
    uint64_t now = clock_now_ns();
    return next <= now ? 0 : u64_min(wait, next - now);
}

static void run_shard_io(struct shard *s, uint64_t wait)
{
    assert(s->io);
    bool sleeps = wait > 0;
    if (sleeps) {
        atomic_exchange_explicit(&s->sleeping, true, memory_order_acq_rel);
        if (shard_has_messages(s))
            wait = 0;
    }
    (void)io_run(s->io, wait);
    if (sleeps)
        atomic_exchange_explicit(&s->sleeping, false, memory_order_acq_rel);
}

/* What ran in this turn already waits for the next one: a step of long work is one a turn; so does what is too much for this one, ahead
 * of what is deferred meanwhile. The last turn has no next one. Returns whether anything ran. */
static bool run_deferred_round(struct shard *s, struct list *deferred, uint32_t *left)
{
    struct list now, *node;
    bool ran = false;
    list_init(&now);
    list_splice(&now, deferred);
    while ((*left > 0 || s->stop) && (node = list_pop(&now))) {
        struct shard_defer *d = container_of(node, struct shard_defer, link);
        assert(d->turn <= s->turn);
        if (d->turn == s->turn) {
            list_push(deferred, &d->link);
            continue;
        }
        d->turn = s->turn;
        *left -= *left > 0;
        ran = true;
        d->run(d);
    }
    list_splice(&now, deferred);
    list_splice(deferred, &now);
    return ran;
}

static void run_deferred(struct shard *s)
{
    uint32_t left = DEFERRED_PER_TURN, left_last = DEFERRED_PER_TURN;
    for (int i = 0; i < DEFER_ROUNDS && run_deferred_round(s, &s->deferred, &left); i++)
        ;
    (void)run_deferred_round(s, &s->deferred_last, &left_last);
}

static void watch_turn(struct shard_watch *w)
{
    assert(w->ended_at > 0);
    uint64_t now = clock_thread_cpu_ns();
    stat_add(w->turns, 1);
    stat_note(w->turn_cpu_ns, now - w->ended_at);
    w->ended_at = now;
}

static void note_standing_still(struct shard *s, uint64_t now_ns)
{
    enum { SAID_MS_MIN = 5000 };
    uint64_t due_ns = timers_next(&s->timers), stood_ns = now_ns - s->turned_ns;
    assert(now_ns >= s->turned_ns);
    s->turned_ns = now_ns;
    if (likely(due_ns >= now_ns || now_ns - due_ns < SHARD_STOOD_NS))
        return;
    s->stood_ns += stood_ns;
    if (stood_ns >= SAID_MS_MIN * NS_PER_MS)
        log_warn("stood still",
                 "shard=%u for_ms=%llu effect=\"clients whose sign is waited for have that time again\" "
                 "hint=\"the process was stopped, or the machine was paused or had no processor for it\"",
                 (unsigned)s->id, (unsigned long long)(stood_ns / NS_PER_MS));
}

uint64_t shard_lived_ns(struct shard *s)
{
    uint64_t now_ns = clock_now_ns();
    note_standing_still(s, now_ns);
    assert(s->stood_ns <= now_ns);
    return now_ns - s->stood_ns;
}

uint64_t shard_due_ns(const struct shard *s, uint64_t lived_ns)
{
    assert(s->stood_ns <= s->turned_ns);
    return lived_ns > UINT64_MAX - s->stood_ns ? UINT64_MAX : lived_ns + s->stood_ns;
}

bool shard_turn(struct shard *s, uint64_t wait_ns_max)
{
    assert(s->io);
    (void)fs_guard_turn(true);
    if (unlikely(s->watch && s->watch->ended_at == 0))
        s->watch->ended_at = clock_thread_cpu_ns();
    s->turn++;
    flush_outbox(s);
    wake_touched_shards(s, false);
    run_shard_io(s, choose_wait_ns(s, wait_ns_max));
    s->now_ns = clock_now_ns();
    note_standing_still(s, s->now_ns);
    run_own_messages(s);
    run_others_messages(s);
    timers_fire(&s->timers, s->now_ns, TIMERS_PER_TURN);
    run_deferred(s);
    if (s->stop) {
        flush_outbox(s);
        wake_touched_shards(s, true);
    }
    (void)fs_guard_turn(false);
    if (unlikely(s->watch))
        watch_turn(s->watch);
    return !s->stop || bufpool_busy(s->bufs); /* a job of its that is under way comes back */
}

void shard_check(const struct shard *s)
{
    assert(s->bufs && s->outbox);
    timers_check(&s->timers);
    bufpool_check(s->bufs);
    for (uint16_t id = 0; id < s->count; id++) {
        assert(list_empty(&s->outbox[id]) == !(s->outbox_used & shard_bit(id)));
        if (id != s->id)
            ring_check(ring_between(s, id, s->id));
    }
    assert(!(s->touched & shard_bit(s->id)));
}

void shard_defer_init(struct shard_defer *d, void (*run)(struct shard_defer *d))
{
    assert(run);
    d->run = run;
    d->turn = 0;
    list_init(&d->link);
}

void shard_defer(struct shard *s, struct shard_defer *d)
{
    assert(s && d);
    assert(d->run);
    if (!list_linked(&d->link))
        list_push(&s->deferred, &d->link);
}

void shard_defer_last(struct shard *s, struct shard_defer *d)
{
    assert(d->run);
    assert(d->turn <= s->turn);
    if (!list_linked(&d->link))
        list_push(&s->deferred_last, &d->link);
}
