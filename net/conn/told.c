/* See told.h. */
#include "net/conn/told.h"
#include "core/clock.h"
#include "core/log.h"

enum { WAS_TOLD = 1, LOOKED = 2, CAME = 4, LEFT = 8, INSISTS = 16 };

/* --- on shard 0 --- */

static void watch_homecoming(struct server *first)
{
    uint64_t due = homecoming_due(&first->homecoming);
    struct timer *t = &first->homecoming_timer;
    if (due != TIMER_NEVER && (!timer_started(t) || t->deadline_ns > due))
        timer_start(&first->shard->timers, t, due);
}

static void say_missing(const char *address, const struct homecoming_name *name)
{
    log_warn("client does not come back",
             "peer=%s software=\"%s\" client=\"%s\" told=%s why=\"it asked where to go and was given this address, "
             "but has not come there in %d s\" do=\"set advertised.listeners to an address that it can reach\"",
             address, name->software, name->client_id, name->told, HOMECOMING_S);
}

void told_judge(struct timer *t)
{
    struct server *first = container_of(t, struct server, homecoming_timer);
    const char *address;
    struct homecoming_name name;
    while (homecoming_judge(&first->homecoming, first->shard->now_ns, &address, &name))
        say_missing(address, &name);
    watch_homecoming(first);
}

/* In the order in which the one connection can do them. */
static void apply_events(struct server *first, struct told *t)
{
    struct homecoming *h = &first->homecoming;
    if (t->carried & LOOKED)
        t->counted |= homecoming_looked(h, t->peer, t->name.client_id);
    if (t->carried & WAS_TOLD)
        t->counted |= homecoming_told(h, t->peer, &t->name, first->shard->now_ns);
    if (t->carried & INSISTS)
        homecoming_insists(h, t->peer, &t->name, first->shard->now_ns);
    if (t->carried & CAME && !(t->counted & GUEST_CAME))
        t->counted |= homecoming_came(h, t->peer);
    if (t->carried & LEFT && t->counted)
        homecoming_left(h, t->peer, t->counted);
    watch_homecoming(first);
}

static void events_came_home(struct shard *at, struct shard_msg *msg);

static void events_arrive(struct shard *at, struct shard_msg *msg)
{
    struct told *t = container_of(msg, struct told, msg);
    apply_events(server_of(at), t);
    shard_msg_init(&t->msg, events_came_home);
    shard_send(at, t->home->id, &t->msg);
}

/* --- at home --- */

static void send_events(struct told *t)
{
    if (t->out || !t->next)
        return;
    t->carried = t->next;
    t->next = 0;
    if (t->home->id == 0) {
        apply_events(server_of(t->home), t);
        return;
    }
    t->out = true;
    shard_msg_init(&t->msg, events_arrive);
    shard_send(t->home, 0, &t->msg);
}

static void events_came_home(struct shard *at, struct shard_msg *msg)
{
    struct told *t = container_of(msg, struct told, msg);
    assert(at == t->home && t->out);
    t->out = false;
    send_events(t);
    if (!t->out)
        t->back(t);
}

static void note_event(struct told *t, uint8_t what)
{
    if (t->happened & what)
        return;
    t->happened |= what;
    t->next |= what;
    send_events(t);
}

void told_init(struct told *t, struct shard *home, const char *peer, void (*back)(struct told *t))
{
    *t = (struct told){.home = home, .peer = peer, .back = back};
}

/* Whatever happened first said who the client is, and shard 0 may be reading it. */
static void note_named_event(struct told *t, uint8_t what, const struct homecoming_name *name)
{
    if (t->happened & (CAME | LEFT))
        return;
    if (!(t->happened & (WAS_TOLD | LOOKED)))
        t->name = *name;
    note_event(t, what);
}

static void note_look(struct told *t, const struct homecoming_name *name)
{
    if (name->opens_anew && !(t->happened & WAS_TOLD))
        note_named_event(t, LOOKED, name);
}

/* Asks that follow each other at the pace of retries. */
static void count_retry(struct told *t)
{
    uint64_t now = t->home->now_ns, gap = now - t->asked_ns;
    if (gap < (uint64_t)HOMECOMING_RETRY_MS_MIN * NS_PER_MS)
        return;
    t->asked_ns = now;
    t->retries = gap <= (uint64_t)HOMECOMING_RETRY_MS_MAX * NS_PER_MS ? t->retries + 1 : 0;
    if (t->retries >= HOMECOMING_RETRIES) {
        t->retries = 0;
        note_event(t, INSISTS);
    }
}

static void note_go(struct told *t, const struct homecoming_name *name)
{
    if (t->happened & CAME)
        return;
    t->only_opened = false;
    if (t->happened & WAS_TOLD) {
        count_retry(t);
        return;
    }
    t->asked_ns = t->home->now_ns;
    note_named_event(t, WAS_TOLD, name);
}

void told_note(struct told *t, enum told_way way, const struct homecoming_name *name)
{
    switch (way) {
    case TOLD_TO_GO: note_go(t, name); return;
    case TOLD_OPENING:
        if (t->producer)
            return;
        t->only_opened = !(t->happened & WAS_TOLD);
        note_named_event(t, WAS_TOLD, name);
        return;
    case TOLD_OF_ALL: note_look(t, name); return;
    case TOLD_A_PRODUCER:
        t->producer = true;
        if (t->only_opened)
            told_came(t);
        else
            note_look(t, name);
        return;
    }
    assert(!"a way to be told");
}

void told_came(struct told *t)
{
    note_event(t, CAME);
}

bool told_leave(struct told *t)
{
    if (t->happened)
        note_event(t, LEFT);
    return !t->out;
}
