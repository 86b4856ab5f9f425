#include "tests/sim/txn_trim.h"
#include "storage/kerr.h"
#include "tests/sim/requests.h"
#include "tests/sim/txn_client.h"
#include <inttypes.h>

struct cut_order {
    struct txn_trimmer *trimmer;
    struct truth_log *log;
    int64_t before, least; /* least: where the start is then */
};

static void trim_later(struct txn_trimmer *t, uint64_t ns_max);

static void deleted(const struct reply *r)
{
    struct cut_order *o = r->context;
    if (r->body.n >= 0) {
        const struct delete_records_partition_result *p = answer_cut(r);
        world_note("records of %s-%d below %" PRId64 " are deleted: error %d, start %" PRId64, o->log->topic,
                   o->log->index, o->before, p->error_code, p->low_watermark);
        bool lost = p->error_code == KERR_OFFSET_OUT_OF_RANGE && o->log->caching;
        world_check(!p->error_code || lost || txn_passes(p->error_code),
                    "%s-%d: DeleteRecords below %" PRId64 ": error %d", o->log->topic, o->log->index, o->before,
                    p->error_code);
        if (!p->error_code) {
            truth_start_seen(o->log, o->least, p->low_watermark);
            sim.totals.trims++;
        }
    }
    trim_later(o->trimmer, 60 * NS_PER_MS);
    world_free(o);
}

/* False: there is nothing that may go. */
static bool choose_cut(const struct txn_trimmer *t, struct cut_order *o)
{
    uint32_t which = (uint32_t)dice(TRUTH_TABLE);
    o->log = truth_log_at(which);
    int64_t start = o->log->start, most = truth_stable(o->log);
    if (which < TRUTH_SINK)
        most = truth_committed_offset(t->group, (int32_t)which);
    if (most <= start)
        return false;
    o->least = o->before = start + (int64_t)dice((uint64_t)(most - start) + 1);
    if (which >= TRUTH_SINK && dice(3) == 0) {
        o->before = AT_WATERMARK;
        o->least = most;
    }
    return true;
}

static void send_cut(struct txn_trimmer *t, struct cut_order *o)
{
    truth_start_asked(o->log, o->before == AT_WATERMARK ? INT64_MAX : o->before);
    struct one_cut cut = {.topic = o->log->topic,
                          .index = o->log->index,
                          .before = o->before,
                          .version = (int16_t)dice(DELETE_VERSION_MAX + 1)};
    request_cut(&t->client, &cut, deleted, o);
}

static void trim(void *arg)
{
    struct txn_trimmer *t = arg;
    t->waiting = false;
    if (!t->client.link.conn || t->client.call_count || !trouble())
        return;
    struct cut_order *o = world_alloc(sizeof *o);
    *o = (struct cut_order){.trimmer = t};
    if (choose_cut(t, o)) {
        send_cut(t, o);
        return;
    }
    world_free(o);
    trim_later(t, 60 * NS_PER_MS);
}

static void trim_later(struct txn_trimmer *t, uint64_t ns_max)
{
    if (t->waiting)
        return;
    t->waiting = true;
    event_in(1000 + dice(ns_max), trim, t);
}

static void up(struct client *c)
{
    trim_later(container_of(c, struct txn_trimmer, client), 60 * NS_PER_MS);
}

static void down(struct client *c)
{
    (void)c;
}

void txn_trimmer_init(struct txn_trimmer *t, const struct truth_group *group)
{
    *t = (struct txn_trimmer){.group = group};
    client_init(&t->client, "txn-trimmer", up, down);
    client_connect(&t->client);
}
