#include "storage/kerr.h"
#include "tests/sim/keeper_parts.h"
#include "tests/sim/requests.h"
#include <inttypes.h>

enum { FAR_BEHIND = 1000000 };

/* What is asked of one partition. */
struct trim {
    struct keeper *keeper;
    struct oracle_part *part;
    int64_t before, least; /* least: where the start is then */
    bool beyond;           /* the end of the log: to be refused */
    bool recovered;        /* the partition was, when this was sent */
};

static struct oracle_part *choose_part(void)
{
    const struct oracle_topic *t = topics_at((uint32_t)dice(topics_count()));
    return oracle_find(t->name, (int32_t)dice((uint64_t)t->partitions));
}

/* --- deleting --- */

static void choose_offset(struct trim *t)
{
    int64_t start = t->part->log_start, watermark = oracle_watermark(t->part);
    t->least = start;
    switch (dice(12)) {
    case 0:
        t->before = AT_WATERMARK;
        t->least = watermark;
        return;
    case 1:
        t->before = t->part->sent_records + FAR_BEHIND;
        t->beyond = true;
        return;
    case 2: t->before = (int64_t)dice((uint64_t)start + 1); return;
    default: t->before = start + (int64_t)dice((uint64_t)(watermark - start) + 1); t->least = t->before;
    }
}

static void answered(const struct trim *t, const struct delete_records_partition_result *m)
{
    world_note("keeper: records of %s-%d below %" PRId64 ": error %d, start %" PRId64, t->part->topic, t->part->index,
               t->before, m->error_code, m->low_watermark);
    if (m->error_code == KERR_KAFKA_STORAGE_ERROR || topics_may_lag(m->error_code) ||
        (m->error_code != KERR_OFFSET_NOT_AVAILABLE &&
         topics_may_wait(&t->keeper->peer.client, t->recovered, m->error_code)))
        return;
    if (t->beyond) {
        world_check(m->error_code == KERR_OFFSET_OUT_OF_RANGE,
                    "%s-%d: deleting records beyond the end of the log: error %d", t->part->topic, t->part->index,
                    m->error_code);
        return;
    }
    world_check(!m->error_code, "%s-%d: deleting records below %" PRId64 ": error %d", t->part->topic, t->part->index,
                t->before, m->error_code);
    oracle_start_seen(t->part, t->least, m->low_watermark);
    sim.totals.trims++;
    keeper_may_crash(false);
}

static void deleted(const struct reply *r)
{
    struct trim *t = r->context;
    if (r->body.n >= 0) {
        answered(t, answer_cut(r));
        keeper_next(t->keeper);
    }
    world_free(t);
}

void keeper_trim(struct keeper *k)
{
    int16_t version = (int16_t)dice(DELETE_VERSION_MAX + 1);
    struct trim *t = world_alloc(sizeof *t);
    *t = (struct trim){.keeper = k, .part = choose_part()};
    choose_offset(t);
    t->recovered = topics_recovered(&k->peer.client, t->part);
    if (!t->beyond)
        oracle_start_asked(t->part, t->before);
    struct one_cut cut = {.topic = t->part->topic, .index = t->part->index, .before = t->before, .version = version};
    request_cut(&k->peer.client, &cut, deleted, t);
    if (dice(3) == 0)
        keeper_may_crash(false); /* in the middle of it */
}

/* --- asking where the log starts --- */

static void listed(const struct reply *r)
{
    struct trim *t = r->context;
    if (r->body.n >= 0) {
        const struct list_offsets_partition_response *p = answer_offset(r);
        world_check(!p->error_code || p->error_code == KERR_KAFKA_STORAGE_ERROR || topics_may_lag(p->error_code) ||
                        topics_may_wait(r->client, t->recovered, p->error_code),
                    "ListOffsets got error %d", p->error_code);
        if (!p->error_code)
            oracle_start_seen(t->part, t->least, p->offset);
        keeper_next(t->keeper);
    }
    world_free(t);
}

void keeper_list_start(struct keeper *k)
{
    struct trim *t = world_alloc(sizeof *t);
    *t = (struct trim){.keeper = k, .part = choose_part()};
    t->least = t->part->log_start;
    t->recovered = topics_recovered(&k->peer.client, t->part);
    request_offset(&k->peer.client, t->part->topic, t->part->index, LIST_EARLIEST, false, listed, t);
}
