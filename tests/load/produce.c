/* Runs the load: one thread, one poll loop over the producing connections and the reader; see produce.h. */
#define _GNU_SOURCE
#include "tests/load/produce.h"
#include "tests/load/pipe.h"
#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { CONNS_MAX = 16, REOPEN_MS = 30000, DRAIN_MS = 20000 };
#define MS UINT64_C(1000000)

struct run {
    const struct produce_plan *plan;
    struct history history;
    struct pipe pipes[CONNS_MAX];
    struct reader reader;
    uint64_t began, first_ack, stop_at, lost_at, back_at; /* ns; 0: not yet */
    uint64_t sent_bytes;
    uint32_t losses;
    bool killed, fired; /* the first trigger, the last one */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

static bool set_up(struct run *r, uint32_t *out_partitions)
{
    struct link l;
    struct wbuf ask = {0};
    struct rcur reply;
    int32_t epoch;
    bool good = history_open(&r->history, r->plan->history) && link_open(&l, r->plan->address);
    if (!good)
        return false;
    proto_put_metadata(&ask, 0, r->plan->topic);
    good = link_call(&l, &ask, &reply);
    rcur_skip(&reply, 4);
    good = good && proto_take_metadata(&reply, out_partitions, &epoch) == 0 && *out_partitions <= PROTO_PARTS_MAX;
    wbuf_free(&ask);
    link_close(&l);
    return good;
}

static bool open_all(struct run *r)
{
    const struct produce_plan *plan = r->plan;
    uint32_t partitions = 0;
    if (!set_up(r, &partitions) || plan->conns > partitions)
        return false;
    history_put_writer(&r->history, &(struct history_writer){plan->writer, plan->idempotent, plan->retry});
    for (uint32_t i = 0; i < plan->conns; i++) {
        r->pipes[i].plan = plan;
        r->pipes[i].history = &r->history;
        if (!pipe_open(&r->pipes[i], i, partitions))
            return false;
    }
    r->reader = (struct reader){.link.fd = -1, .address = plan->address, .topic = plan->topic, .history = &r->history};
    return !plan->read || reader_open(&r->reader, partitions);
}

static bool has_trigger(const struct produce_plan *plan)
{
    return plan->kill_pid || plan->cut;
}

static void cut(struct run *r)
{
    int fd = open(r->plan->cut, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || write(fd, "x", 1) != 1)
        perror(r->plan->cut);
    if (fd >= 0)
        close(fd);
    for (uint32_t i = 0; i < r->plan->conns; i++)
        r->pipes[i].last = true;
}

/* The moment of the next trigger, in ns; 0: not known yet, or none is left. */
static uint64_t trigger_at(const struct run *r)
{
    const struct produce_plan *plan = r->plan;
    if (!r->first_ack || r->fired || !has_trigger(plan))
        return 0;
    if (!r->killed)
        return r->first_ack + plan->at_us * 1000;
    return r->back_at ? r->back_at + plan->cut_us * 1000 : 0;
}

static void fire(struct run *r)
{
    bool kills = r->plan->kill_pid && !r->killed;
    r->killed = true;
    r->fired = !kills || !r->plan->cut;
    if (kills)
        kill(r->plan->kill_pid, SIGKILL);
    else
        cut(r);
}

/* Fires the triggers and sets the end when their time has come; returns how long the loop may sleep, in ns. */
static uint64_t keep_time(struct run *r, uint64_t now)
{
    uint64_t at = trigger_at(r);
    if (r->first_ack && !r->stop_at)
        r->stop_at = r->first_ack + r->plan->ms * MS;
    if (at && now >= at)
        fire(r);
    if (at && now + 2 * MS > at)
        return at > now ? at - now : 0;
    return 2 * MS;
}

static bool sending(const struct run *r, uint64_t now)
{
    uint64_t allowed = r->plan->burst_bytes + r->plan->rate_bytes * ((now - r->began) / MS) / 1000;
    bool waits_for_trigger = has_trigger(r->plan) && !r->fired;
    return r->sent_bytes < allowed && (!r->stop_at || now < r->stop_at || waits_for_trigger);
}

static void send_more(struct run *r, uint64_t now)
{
    bool more = true;
    while (more) {
        more = false;
        for (uint32_t i = 0; i < r->plan->conns && sending(r, now); i++) {
            struct pipe *p = &r->pipes[i];
            size_t n = p->over || p->fault[0] ? 0 : pipe_send(p);
            r->sent_bytes += n;
            more |= n > 0;
        }
    }
}

static void note_loss(struct run *r, uint64_t now)
{
    r->losses++;
    if (!r->lost_at)
        r->lost_at = now;
}

/* A lost pipe ends, or tries again until the broker is back; a loss nobody asked for is a fault. */
static void mend_pipe(struct run *r, struct pipe *p, uint64_t now)
{
    if (p->link.fd >= 0 || p->over || p->fault[0])
        return;
    if (has_trigger(r->plan) && !r->killed && !p->again)
        snprintf(p->fault, sizeof p->fault, "producer: the connection was lost before anything was killed");
    else if (!r->plan->retry || p->last)
        p->over = true;
    else if (link_open(&p->link, r->plan->address)) {
        pipe_resend(p);
        p->anew = true;
        r->stop_at = now + r->plan->after_ms * MS;
    } else if (now - r->lost_at > REOPEN_MS * MS)
        snprintf(p->fault, sizeof p->fault, "producer: no broker came back");
}

static void mend(struct run *r, uint64_t now)
{
    for (uint32_t i = 0; i < r->plan->conns; i++)
        mend_pipe(r, &r->pipes[i], now);
    if (r->plan->read && r->plan->retry && r->reader.link.fd < 0 && !r->pipes[0].last) {
        r->reader.busy = false;
        (void)link_open(&r->reader.link, r->plan->address); /* tried again next turn */
    }
}

static void serve_link(struct run *r, struct link *l, short events, uint64_t now)
{
    if (l->fd < 0)
        return;
    bool kept = !(events & (POLLIN | POLLHUP | POLLERR)) || link_pull(l);
    if (!kept)
        note_loss(r, now);
}

static void push_link(struct run *r, struct link *l, uint64_t now)
{
    if (l->fd >= 0 && !link_push(l))
        note_loss(r, now);
}

static struct pollfd poll_of(const struct link *l)
{
    return (struct pollfd){l->fd, (short)(POLLIN | (l->sent < l->out.len ? POLLOUT : 0)), 0};
}

static void wait_and_serve(struct run *r, uint64_t sleep_ns)
{
    struct pollfd fds[CONNS_MAX + 1];
    uint32_t n = r->plan->conns;
    struct timespec t = {0, (long)sleep_ns};
    for (uint32_t i = 0; i < n; i++)
        fds[i] = poll_of(&r->pipes[i].link);
    fds[n] = poll_of(&r->reader.link);
    ppoll(fds, n + 1, &t, NULL);
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < n; i++) {
        serve_link(r, &r->pipes[i].link, fds[i].revents, now);
        pipe_take(&r->pipes[i]);
        if (r->pipes[i].back && !r->back_at)
            r->back_at = now;
    }
    serve_link(r, &r->reader.link, fds[n].revents, now);
    reader_take(&r->reader);
    history_write(&r->history);
    if (!r->first_ack && r->history.acked)
        r->first_ack = now;
}

static void push_all(struct run *r, uint64_t now)
{
    for (uint32_t i = 0; i < r->plan->conns; i++)
        push_link(r, &r->pipes[i].link, now);
    if (r->plan->read)
        reader_ask(&r->reader);
    push_link(r, &r->reader.link, now);
}

/* Over once the trigger has fired, the time is up, and nothing is in flight any more. */
static bool ended(const struct run *r, uint64_t now)
{
    bool waiting = has_trigger(r->plan) && !(r->fired && (r->lost_at || r->plan->cut));
    bool open = false;
    for (uint32_t i = 0; i < r->plan->conns; i++) {
        const struct pipe *p = &r->pipes[i];
        if (p->fault[0])
            return true;
        open |= !p->over && (p->used || p->link.fd < 0 || !r->stop_at || now < r->stop_at || waiting);
    }
    if (r->stop_at && now > r->stop_at + DRAIN_MS * MS)
        return true;
    return r->reader.fault[0] || !open;
}

static bool report_pipe(struct pipe *p)
{
    if (!p->fault[0] && p->used && !p->over)
        snprintf(p->fault, sizeof p->fault, "producer: %" PRIu32 " requests were never answered", p->used);
    if (p->fault[0])
        printf("fault: %s\n", p->fault);
    return !p->fault[0];
}

static bool report(struct run *r)
{
    bool good = r->history.acked > 0 && (!has_trigger(r->plan) || r->fired) && !r->reader.fault[0];
    for (uint32_t i = 0; i < r->plan->conns; i++)
        good &= report_pipe(&r->pipes[i]);
    if (r->reader.fault[0])
        printf("fault: %s\n", r->reader.fault);
    if (!r->history.acked)
        printf("fault: nothing was acked\n");
    printf("produced: acked=%" PRIu64 " read=%" PRIu64 " losses=%" PRIu32 " bytes=%" PRIu64 "\n", r->history.acked,
           r->history.read, r->losses, r->sent_bytes);
    return good;
}

int produce_run(const struct produce_plan *plan)
{
    struct run *r = calloc(1, sizeof *r);
    assert(r && plan->conns <= CONNS_MAX && plan->window <= PIPE_WINDOW_MAX);
    r->plan = plan;
    if (!open_all(r))
        return printf("fault: the load could not be set up\n"), (void)report(r), 1;
    r->began = now_ns();
    for (uint64_t now = r->began; !ended(r, now); now = now_ns()) {
        uint64_t sleep_ns = keep_time(r, now);
        mend(r, now);
        send_more(r, now);
        push_all(r, now);
        wait_and_serve(r, sleep_ns);
    }
    return report(r) ? 0 : 1;
}
