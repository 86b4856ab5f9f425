/* Compares a topic with its history; see verify.h. */
#include "tests/load/verify.h"
#include "tests/load/scan.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FINDINGS_MAX = 8 };

struct check {
    const struct verify_plan *plan;
    struct history_all history;
    struct scan scan[PROTO_PARTS_MAX];
    uint32_t partitions;
    int32_t epoch; /* the metadata's */
    uint64_t acked, read, lost, batches;
    uint32_t findings;
};

static void find(struct check *c, const char *what, uint32_t partition, int64_t base, uint32_t writer, uint64_t seq)
{
    if (c->findings++ < FINDINGS_MAX)
        printf("finding: %s: partition=%" PRIu32 " offset=%" PRId64 " writer=%" PRIu32 " sequence=%" PRIu64
               " end=%" PRId64 "\n",
               what, partition, base, writer, seq, partition < c->partitions ? c->scan[partition].end : -1);
}

static void check_ack(struct check *c, const struct history_ack *a)
{
    const struct scan *s = &c->scan[a->partition];
    const struct batch_view *v = scan_find(s, a->base);
    bool beyond = a->base >= s->end;
    if (beyond && c->plan->lost_ok)
        c->lost++;
    else if (beyond)
        find(c, "an acked batch is lost", a->partition, a->base, a->writer, a->seq);
    else if (!v || v->writer != a->writer || v->seq != a->seq || v->count != a->count)
        find(c, "another batch lies where this one was acked", a->partition, a->base, a->writer, a->seq);
    else
        c->acked++;
}

static void check_read(struct check *c, const struct history_read *r)
{
    const struct scan *s = &c->scan[r->partition];
    const struct batch_view *v = scan_find(s, r->base);
    bool beyond = r->base >= s->end;
    if (beyond && c->plan->lost_ok)
        c->lost++;
    else if (beyond)
        find(c, "a batch that was read has vanished", r->partition, r->base, 0, 0);
    else if (!v || v->count != r->count || v->crc != r->crc || v->epoch != r->epoch)
        find(c, "a batch that was read has changed", r->partition, r->base, v ? v->writer : 0, v ? v->seq : 0);
    else
        c->read++;
}

static bool open_topic(struct check *c, struct link *l)
{
    struct wbuf ask = {0};
    struct rcur reply;
    proto_put_versions(&ask, 0);
    bool answered = link_call(l, &ask, &reply);
    rcur_skip(&reply, 4);
    answered = answered && proto_take_versions(&reply);
    proto_put_metadata(&ask, 0, c->plan->topic);
    answered = answered && link_call(l, &ask, &reply);
    rcur_skip(&reply, 4);
    int16_t error = answered ? proto_take_metadata(&reply, &c->partitions, &c->epoch) : 0;
    bool good = answered && error == 0 && c->partitions <= PROTO_PARTS_MAX;
    wbuf_free(&ask);
    if (!answered)
        printf("finding: topic %s: the connection is lost, or its versions are refused\n", c->plan->topic);
    else if (!good)
        printf("finding: topic %s: its metadata are refused: error %d, %u partitions\n", c->plan->topic, error,
               c->partitions);
    return good;
}

static bool scan_all(struct check *c, struct link *l)
{
    for (uint32_t p = 0; p < c->partitions; p++) {
        struct scan *s = &c->scan[p];
        *s = (struct scan){.topic = c->plan->topic, .partition = p, .history = &c->history};
        if (!scan_run(s, l)) {
            printf("finding: %s\n", s->fault);
            return false;
        }
        c->batches += s->count;
        if (s->count && s->batches[s->count - 1].epoch > c->epoch)
            find(c, "a stored leader epoch is above the metadata's", p, s->batches[s->count - 1].base, 0, 0);
    }
    return true;
}

static void compare(struct check *c)
{
    for (size_t i = 0; i < c->history.ack_count; i++) {
        if (c->history.acks[i].partition < c->partitions)
            check_ack(c, &c->history.acks[i]);
        else
            find(c, "an ack names an unknown partition", c->history.acks[i].partition, 0, 0, 0);
    }
    for (size_t i = 0; i < c->history.read_count; i++) {
        if (c->history.reads[i].partition < c->partitions)
            check_read(c, &c->history.reads[i]);
        else
            find(c, "a read names an unknown partition", c->history.reads[i].partition, 0, 0, 0);
    }
    if (!c->acked && !c->lost)
        find(c, "no acked batch was compared", 0, 0, 0, 0);
    if (c->plan->reads && !c->read && !c->lost)
        find(c, "no batch that was read was compared", 0, 0, 0, 0);
}

int verify_run(const struct verify_plan *plan)
{
    struct check *c = calloc(1, sizeof *c);
    struct link l;
    c->plan = plan;
    if (!history_load(plan->history, &c->history))
        return printf("finding: the history %s is unreadable\n", plan->history), 1;
    if (!link_open(&l, plan->address))
        return printf("finding: %s is refused\n", plan->address), 1;
    bool good = open_topic(c, &l) && scan_all(c, &l);
    if (good)
        compare(c);
    printf("verified: acked=%" PRIu64 " read=%" PRIu64 " lost=%" PRIu64 " batches=%" PRIu64 " epoch=%" PRId32
           " findings=%" PRIu32 "\n",
           c->acked, c->read, c->lost, c->batches, c->epoch, c->findings);
    link_close(&l);
    return good && !c->findings ? 0 : 1;
}
