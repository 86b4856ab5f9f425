/* One producing connection; see pipe.h. */
#include "tests/load/pipe.h"
#include <inttypes.h>
#include <stdio.h>

enum { LEADER_NOT_AVAILABLE = 5, NOT_LEADER = 6 };

static bool call_init_pid(struct pipe *p)
{
    struct wbuf ask = {0};
    struct rcur reply;
    proto_put_init_pid(&ask, 0);
    int16_t error = -1;
    if (link_call(&p->link, &ask, &reply)) {
        rcur_skip(&reply, 4);
        error = proto_take_init_pid(&reply, &p->pid);
    }
    if (error)
        snprintf(p->fault, sizeof p->fault, "producer: InitProducerId is refused (%d)", error);
    wbuf_free(&ask);
    return error == 0;
}

bool pipe_open(struct pipe *p, uint32_t index, uint32_t partitions)
{
    p->pid = (struct proto_pid){.id = -1, .epoch = -1};
    p->rng = p->plan->seed * 2654435761u + index + 1;
    for (uint32_t i = index; i < partitions; i += p->plan->conns)
        p->mine[p->mine_count++] = (struct pipe_part){i, 0};
    return link_open(&p->link, p->plan->address) && (!p->plan->idempotent || call_init_pid(p));
}

static uint32_t draw(struct pipe *p)
{
    p->rng = p->rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(p->rng >> 33);
}

/* At least one of the pipe's partitions, each of the others with a chance of one half. */
static void choose(struct pipe *p, struct pipe_slot *s)
{
    uint32_t always = draw(p) % p->mine_count;
    s->count = 0;
    for (uint32_t i = 0; i < p->mine_count; i++) {
        if (i != always && draw(p) % 2)
            continue;
        s->part[s->count++] = p->mine[i];
        p->mine[i].seq += p->plan->records;
    }
}

static void encode(struct pipe *p, struct pipe_slot *s)
{
    struct wbuf records = {0};
    proto_open_produce(&s->frame, s->corr, p->plan->topic, s->count, p->plan->acks);
    for (uint32_t i = 0; i < s->count; i++) {
        records.len = 0;
        batch_put(&records, &(struct batch_want){.pid = p->pid.id,
                                                 .pid_epoch = p->pid.epoch,
                                                 .writer = p->plan->writer,
                                                 .partition = s->part[i].partition,
                                                 .count = p->plan->records,
                                                 .seq = s->part[i].seq,
                                                 .bytes = p->plan->bytes});
        proto_put_produce(&s->frame, s->part[i].partition, &records);
    }
    proto_close_produce(&s->frame);
    wbuf_free(&records);
}

size_t pipe_send(struct pipe *p)
{
    if (p->used == p->plan->window || p->link.fd < 0)
        return 0;
    struct pipe_slot *s = &p->slot[(p->first + p->used++) % p->plan->window];
    s->corr = p->corr++;
    choose(p, s);
    encode(p, s);
    link_queue(&p->link, &s->frame);
    return s->frame.len;
}

void pipe_resend(struct pipe *p)
{
    for (uint32_t i = 0; i < p->used; i++)
        link_queue(&p->link, &p->slot[(p->first + i) % p->plan->window].frame);
}

static void fail(struct pipe *p, const char *what, int64_t value)
{
    if (!p->fault[0])
        snprintf(p->fault, sizeof p->fault, "producer: %s (%" PRId64 ")", what, value);
}

static const struct pipe_part *find_part(const struct pipe_slot *s, uint32_t partition)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->part[i].partition == partition)
            return &s->part[i];
    return NULL;
}

static void take_ack(struct pipe *p, const struct pipe_slot *s, const struct proto_ack *ack)
{
    const struct pipe_part *sent = find_part(s, ack->partition);
    if (!sent)
        fail(p, "a reply names a partition that was not asked", ack->partition);
    else if (ack->error && p->last)
        p->over = true; /* the disk was cut under the broker, which says so */
    else if (p->plan->retry && (ack->error == LEADER_NOT_AVAILABLE || ack->error == NOT_LEADER))
        p->again = true;
    else if (ack->error)
        fail(p, "a batch was refused with an error code", ack->error);
    else if (ack->base < 0)
        fail(p, "an ack carries no offset", ack->base);
    else
        history_put_ack(p->history, &(struct history_ack){p->plan->writer, sent->partition, p->plan->records, ack->base,
                                                          sent->seq});
}

static void take_reply(struct pipe *p, struct rcur *c)
{
    struct proto_ack acks[PROTO_PARTS_MAX];
    struct pipe_slot *s = &p->slot[p->first];
    uint32_t count;
    if (!p->used || rcur_int(c, 4) != s->corr)
        return fail(p, "a reply does not belong to the oldest request", p->used);
    if (!proto_take_produce(c, acks, &count) || count != s->count)
        return fail(p, "a produce reply is not understood", s->count);
    for (uint32_t i = 0; i < count; i++)
        take_ack(p, s, &acks[i]);
    if (p->again)
        return;
    p->first = (p->first + 1) % p->plan->window;
    p->used--;
    p->back = p->anew;
}

void pipe_take(struct pipe *p)
{
    struct rcur c;
    p->again = false;
    while (!p->fault[0] && !p->again && link_frame(&p->link, &c))
        take_reply(p, &c);
    if (p->again)
        link_close(&p->link);
}

void pipe_close(struct pipe *p)
{
    link_close(&p->link);
    for (uint32_t i = 0; i < PIPE_WINDOW_MAX; i++)
        wbuf_free(&p->slot[i].frame);
}
