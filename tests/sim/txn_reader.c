#include "tests/sim/txn_reader.h"
#include "storage/kerr.h"
#include "tests/sim/txn_client.h"

static void go_on_reading(struct txn_reader *rd, uint64_t ns_max);

static void next_log(struct txn_reader *rd)
{
    uint32_t logs = truth_log_count();
    uint32_t which = rd->judges ? rd->done % logs : (uint32_t)dice(logs);
    rd->committed = rd->judges ? rd->done < logs : dice(3);
    rd->reading_one = true;
    truth_reading_begin(&rd->reading, truth_log_at(which), rd->committed, rd->client.power_cuts);
    rd->reading.last = rd->judges;
}

/* The end: what was stable when the last answer was made; for the judge all of it is. */
static bool came_to_the_end(const struct txn_reader *rd, const struct fetch_partition_data *m)
{
    if (rd->judges)
        return rd->reading.next == m->high_watermark && m->last_stable_offset == m->high_watermark;
    return rd->reading.next >= (rd->committed ? m->last_stable_offset : m->high_watermark);
}

static void start_told(const struct reply *r)
{
    struct txn_reader *rd = r->context;
    if (r->body.n < 0)
        return;
    const struct list_offsets_partition_response *p = answer_offset(r);
    world_check(!p->error_code || txn_passes(p->error_code), "ListOffsets of the earliest: error %d", p->error_code);
    if (!p->error_code && rd->reading_one) {
        truth_start_seen(rd->reading.log, rd->start, p->offset);
        rd->reading.next = p->offset > rd->reading.next ? p->offset : rd->reading.next;
        rd->reading.open_count = 0; /* markers were left out */
    }
    go_on_reading(rd, NS_PER_MS);
}

/* What stands there was deleted, or was never asked to stay. */
static void look_for_start(struct txn_reader *rd)
{
    const struct truth_log *l = rd->reading.log;
    rd->start = l->start;
    request_offset(&rd->client, l->topic, l->index, LIST_EARLIEST, false, start_told, rd);
}

static void fetched(const struct reply *r)
{
    struct txn_reader *rd = r->context;
    if (r->body.n < 0)
        return;
    const struct fetch_partition_data *m = answer_fetched(r);
    const struct truth_log *l = rd->reading.log;
    world_note("%s got %d bytes at %lld of %s-%d%s: error %d, start %lld, stable %lld", rd->client.name, m->records.n,
               (long long)rd->reading.next, l->topic, l->index, rd->committed ? ", committed" : "", m->error_code,
               (long long)m->log_start_offset, (long long)m->last_stable_offset);
    if (m->error_code == KERR_OFFSET_OUT_OF_RANGE && (l->drops || rd->reading.next < l->start_most)) {
        look_for_start(rd);
        return;
    }
    if (!m->error_code && rd->reading.next < rd->start)
        truth_fail(l, "a fetch at %lld is answered, the log starts at %lld", (long long)rd->reading.next,
                   (long long)rd->start);
    if (m->error_code) {
        bool cut = m->error_code == KERR_OFFSET_OUT_OF_RANGE && l->caching;
        world_check(cut || txn_passes(m->error_code), "%s-%d: a fetch at %lld got error %d", l->topic, l->index,
                    (long long)rd->reading.next, m->error_code);
        rd->reading_one = rd->reading_one && !cut;
    } else if (!truth_read(&rd->reading, m, rd->stable, r->client->power_cuts, NULL, NULL)) {
        rd->reading_one = false;
    } else if (came_to_the_end(rd, m)) {
        truth_reading_end(&rd->reading, m);
        rd->reading_one = false;
        rd->done += rd->judges;
    }
    go_on_reading(rd, rd->judges ? 100000 : (trouble() ? 4 : 60) * NS_PER_MS);
}

static void fetch(struct txn_reader *rd)
{
    const struct truth_log *l = rd->reading.log;
    const struct one_fetch f = {.topic = l->topic,
                                .index = l->index,
                                .offset = rd->reading.next,
                                .most_bytes = rd->judges ? 100000 : rd->most_bytes,
                                .wait_ms = rd->judges ? 1 : (int32_t)dice(50),
                                .committed = rd->committed,
                                .version = rd->version};
    rd->stable = truth_stable(l);
    rd->start = l->start;
    request_fetch(&rd->client, &f, fetched, rd);
}

static void read_on(void *arg)
{
    struct txn_reader *rd = arg;
    rd->waiting = false;
    if (!rd->client.link.conn || rd->client.call_count || txn_reader_judged(rd))
        return;
    if (!rd->reading_one)
        next_log(rd);
    fetch(rd);
}

static void go_on_reading(struct txn_reader *rd, uint64_t ns_max)
{
    if (rd->waiting)
        return;
    rd->waiting = true;
    event_in(1000 + dice(ns_max), read_on, rd);
}

static void up(struct client *c)
{
    go_on_reading(container_of(c, struct txn_reader, client), NS_PER_MS);
}

/* What comes over the next connection is perhaps of another time. */
static void down(struct client *c)
{
    container_of(c, struct txn_reader, client)->reading_one = false;
}

void txn_reader_init(struct txn_reader *rd, const char *name, bool judges)
{
    static const int16_t versions[] = {4, 7, 11, 12};
    static const int32_t sizes[] = {1, 1000, 5000, 100000};
    *rd = (struct txn_reader){
        .judges = judges, .version = versions[dice(COUNT_OF(versions))], .most_bytes = sizes[dice(COUNT_OF(sizes))]};
    client_init(&rd->client, name, up, down);
    client_connect(&rd->client);
}

bool txn_reader_judged(const struct txn_reader *rd)
{
    return rd->judges && rd->done == 2 * truth_log_count();
}
