#include "tests/sim/reader.h"
#include "storage/kerr.h"
#include "tests/sim/broker.h"
#include "tests/sim/peer.h"
#include "tests/sim/requests.h"
#include <inttypes.h>
#include <stdio.h>

enum { READERS_MAX = 4, PARTS_MAX = TOPICS_MAX * PARTITIONS_MAX };

struct place {
    struct oracle_part *part;
    int64_t offset, watermark; /* watermark: as last told, -1: not yet */
    int64_t log_start;         /* the same */
    uint32_t promise;          /* with which the offset was learnt */
    int64_t told_offset;       /* what the fetch session has, -1: nothing */
    bool lost;                 /* its offset is out of range: it asks where the log starts */
    bool over;                 /* the judge has read all of it */
};
struct reader_sim {
    struct peer peer;
    struct place places[PARTS_MAX];
    uint32_t count;
    int16_t version;
    int32_t part_bytes, max_bytes, wait_ms;
    bool judges, fetching;
    bool sessions; /* KIP-227: asks only for what changed */
    int32_t session_id, session_epoch;
};
/* What was asked for. */
struct asked {
    struct reader_sim *reader;
    uint32_t count;
    bool earliest;
    struct {
        struct place *place;
        int64_t offset, at_least, start_at_least;
        bool recovered;
    } v[PARTS_MAX];
};

static struct reader_sim readers[READERS_MAX], judge;
static uint32_t reader_count;

static void fetch(struct reader_sim *rd);

static void fetch_now(void *arg)
{
    struct reader_sim *rd = arg;
    rd->fetching = false;
    if (rd->peer.is_ready && !rd->peer.client.call_count)
        fetch(rd);
}

static void fetch_later(struct reader_sim *rd)
{
    if (!rd->fetching) {
        rd->fetching = true;
        event_in(1000 + dice(rd->judges ? 10000 : 3000000), fetch_now, rd);
    }
}

/* --- asking --- */

static void look_back(struct place *pl)
{
    if (dice(12) == 0)
        pl->offset = (int64_t)dice(dice(2) ? 1 : (uint64_t)pl->offset + 1);
}

static struct asked *choose(struct reader_sim *rd)
{
    struct asked *q = world_alloc(sizeof *q);
    q->reader = rd;
    uint32_t first = (uint32_t)dice(rd->count); /* one that asks for few bytes must not starve the last ones */
    for (uint32_t i = 0; i < rd->count; i++) {
        struct place *pl = &rd->places[(first + i) % rd->count];
        bool skip = rd->judges ? pl->over : dice(5) == 0 && q->count + (rd->count - i) > 1;
        if (skip && !rd->sessions)
            continue;
        if (!rd->judges && trouble())
            look_back(pl);
        q->v[q->count].place = pl;
        q->v[q->count].offset = pl->offset;
        q->v[q->count].start_at_least = pl->part->log_start;
        q->v[q->count].recovered = topics_recovered(&rd->peer.client, pl->part);
        q->v[q->count++].at_least = oracle_watermark(pl->part);
    }
    return q;
}

static void fetched(const struct reply *r);

static void ask_place(const struct reader_sim *rd, const struct place *pl, struct fetch_topic *topic,
                      struct fetch_partition *part)
{
    fetch_topic_init(topic);
    fetch_partition_init(part);
    topic->topic = view_of(pl->part->topic);
    memcpy(topic->topic_id.b, topics_find(topic->topic, NULL, false)->id, 16);
    topic->partitions.v = part;
    topic->partitions.n = 1;
    part->partition = pl->part->index;
    part->fetch_offset = pl->offset;
    part->partition_max_bytes = trouble() ? rd->part_bytes : 256 * 1024;
}

static void begin_session(struct reader_sim *rd)
{
    rd->session_epoch = 0;
    for (uint32_t i = 0; i < rd->count; i++)
        rd->places[i].told_offset = rd->places[i].watermark = rd->places[i].log_start = -1;
}

static void list_offsets(struct reader_sim *rd, struct place *pl, bool earliest);

static bool find_start(struct reader_sim *rd)
{
    for (uint32_t i = 0; i < rd->count; i++)
        if (rd->places[i].lost) {
            list_offsets(rd, &rd->places[i], true);
            return true;
        }
    return false;
}

static void fetch(struct reader_sim *rd)
{
    if (find_start(rd))
        return;
    struct asked *q = choose(rd);
    struct fetch_topic topics[PARTS_MAX];
    struct fetch_partition parts[PARTS_MAX];
    struct fetch_request m;
    if (q->count == 0) {
        world_free(q);
        return;
    }
    fetch_request_init(&m);
    m.max_wait_ms = rd->judges ? 0 : rd->wait_ms;
    m.min_bytes = 1;
    m.max_bytes = trouble() ? rd->max_bytes : 1024 * 1024;
    m.topics.v = topics;
    if (rd->sessions) {
        m.session_id = rd->session_id;
        m.session_epoch = rd->session_epoch;
    }
    for (uint32_t i = 0; i < q->count; i++) {
        struct place *pl = q->v[i].place;
        if (rd->sessions && pl->told_offset == pl->offset)
            continue;
        pl->told_offset = pl->offset;
        ask_place(rd, pl, &topics[m.topics.n], &parts[m.topics.n]);
        m.topics.n++;
    }
    world_note("%s fetches %d of %u partitions, %s-%d from %" PRId64, rd->peer.client.name, m.topics.n, q->count,
               q->v[0].place->part->topic, q->v[0].place->part->index, q->v[0].offset);
    client_call(&rd->peer.client, fetch, &m, rd->version, fetched, q);
}

/* --- what came --- */

/* Either the log starts behind it, or it was cut before it, which its promise must allow. */
static void out_of_range(struct place *pl, uint32_t power_cuts)
{
    bool cut = pl->promise != FOR_GOOD && pl->promise != power_cuts;
    world_check(cut || oracle_below_start(pl->part, pl->offset),
                "%s-%d: offset %" PRId64 " was there and is out of range now", pl->part->topic, pl->part->index,
                pl->offset);
    sim.totals.out_of_range++;
    pl->lost = true;
}

/* Only ListOffsets says OFFSET_NOT_AVAILABLE. */
static bool passes(const struct reader_sim *rd, bool recovered, int16_t error)
{
    return error == KERR_KAFKA_STORAGE_ERROR || topics_may_wait(&rd->peer.client, recovered, error) ||
           topics_may_lag(error);
}

/* A fetch that was answered was not of what is deleted. */
static void check_start(struct place *pl, int64_t at_least, const struct fetch_partition_data *m)
{
    world_check(pl->offset >= at_least, "%s-%d: the log starts at %" PRId64 ", and a fetch at %" PRId64 " is answered",
                pl->part->topic, pl->part->index, at_least, pl->offset);
    pl->log_start = m->log_start_offset;
    if (m->log_start_offset >= 0) /* -1 from a version that does not tell */
        oracle_start_seen(pl->part, at_least, m->log_start_offset);
}

static void took(struct reader_sim *rd, struct place *pl, int64_t at_least, int64_t start_at_least, bool recovered,
                 const struct fetch_partition_data *m)
{
    uint32_t power_cuts = rd->peer.client.power_cuts;
    if (m->error_code == KERR_OFFSET_OUT_OF_RANGE) {
        pl->log_start = -1;
        out_of_range(pl, power_cuts);
        return;
    }
    if (m->error_code) {
        world_check(m->error_code != KERR_OFFSET_NOT_AVAILABLE && passes(rd, recovered, m->error_code),
                    "%s-%d: a fetch got error %d", pl->part->topic, pl->part->index, m->error_code);
        pl->log_start = -1;
        return;
    }
    check_start(pl, start_at_least, m);
    oracle_watermark_seen(pl->part, at_least, m->high_watermark, power_cuts);
    world_note("%s got %d bytes at %" PRId64 " of %" PRId64 " of %s-%d", rd->peer.client.name, m->records.n, pl->offset,
               m->high_watermark, pl->part->topic, pl->part->index);
    int64_t next = pl->offset;
    if (m->records.n > 0)
        next = oracle_read(pl->part, pl->offset, m->records.at, (uint32_t)m->records.n, power_cuts);
    world_check(next <= m->high_watermark || m->records.n <= 0,
                "%s-%d: a fetch returned records up to %" PRId64 " beyond the watermark %" PRId64, pl->part->topic,
                pl->part->index, next, m->high_watermark);
    if (next > m->high_watermark) { /* appends under way may make an offset valid that the log has lost */
        out_of_range(pl, power_cuts);
        return;
    }
    pl->offset = next;
    pl->promise = oracle_promise(pl->part, power_cuts);
    pl->watermark = m->high_watermark;
    if (rd->judges && next == m->high_watermark) {
        pl->over = true;
        oracle_judge_end(pl->part, next);
    }
}

static void take_one(struct asked *q, const struct reply *r, const struct fetchable_topic_response *topic,
                     const struct fetch_partition_data *m)
{
    const struct oracle_topic *t = topics_find(topic->topic, topic->topic_id.b, r->version >= 13);
    for (uint32_t i = 0; t && i < q->count; i++) {
        struct place *pl = q->v[i].place;
        if (!pl || strcmp(pl->part->topic, t->name) != 0 || pl->part->index != m->partition_index)
            continue;
        q->v[i].place = NULL;
        pl->offset = q->v[i].offset;
        took(q->reader, pl, q->v[i].at_least, q->v[i].start_at_least, q->v[i].recovered, m);
        return;
    }
    world_fail("a fetch reply for a partition that was not asked for");
}

/* A session leaves out what is no news: then what it told before must still be enough. */
static void check_left_out(const struct reader_sim *rd, const struct asked *q)
{
    for (uint32_t i = 0; i < q->count; i++) {
        const struct place *pl = q->v[i].place;
        if (!pl)
            continue;
        world_check(rd->sessions && rd->session_epoch > 0, "a fetch reply leaves out a partition");
        world_check(pl->watermark < 0 || pl->watermark >= q->v[i].at_least || !oracle_still_firm(pl->part),
                    "%s-%d: a fetch session told the watermark %" PRId64 ", now it is at least %" PRId64
                    " and the session says nothing",
                    pl->part->topic, pl->part->index, pl->watermark, q->v[i].at_least);
        world_check(pl->log_start < 0 || pl->log_start >= q->v[i].start_at_least,
                    "%s-%d: a fetch session told the log start %" PRId64 ", now it is %" PRId64
                    " and the session says nothing",
                    pl->part->topic, pl->part->index, pl->log_start, q->v[i].start_at_least);
    }
}

static void next_session_step(struct reader_sim *rd, int32_t session_id)
{
    rd->session_id = session_id;
    if (session_id) /* 0: the broker keeps none */
        rd->session_epoch++;
    else
        begin_session(rd);
}

/* False: the session is not known (any more); a new one begins. */
static bool session_holds(struct reader_sim *rd, int16_t error)
{
    bool unknown = error == KERR_FETCH_SESSION_ID_NOT_FOUND || error == KERR_INVALID_FETCH_SESSION_EPOCH;
    world_check(error == 0 || (unknown && rd->sessions && rd->session_id), "a fetch got error %d", error);
    if (!error)
        return true;
    rd->session_id = 0;
    begin_session(rd);
    return false;
}

static void take_all(struct asked *q, const struct reply *r, const struct fetch_response *m)
{
    for (int32_t i = 0; i < m->responses.n; i++)
        for (int32_t k = 0; k < m->responses.v[i].partitions.n; k++)
            take_one(q, r, &m->responses.v[i], &m->responses.v[i].partitions.v[k]);
    check_left_out(q->reader, q);
    if (q->reader->sessions)
        next_session_step(q->reader, m->session_id);
}

static void fetched(const struct reply *r)
{
    struct asked *q = r->context;
    struct reader_sim *rd = q->reader;
    struct fetch_response m;
    if (r->body.n >= 0) {
        client_decode(r, fetch_response, &m);
        if (session_holds(rd, m.error_code))
            take_all(q, r, &m);
        if (!rd->judges && dice(10) == 0)
            list_offsets(rd, &rd->places[dice(rd->count)], false);
        else
            fetch_later(rd);
    }
    world_free(q);
}

/* --- offsets --- */

static void listed_one(struct asked *q, int64_t offset, uint32_t power_cuts)
{
    struct place *pl = q->v[0].place;
    if (!q->earliest) {
        oracle_watermark_seen(pl->part, q->v[0].at_least, offset, power_cuts);
        return;
    }
    oracle_start_seen(pl->part, q->v[0].start_at_least, offset);
    pl->offset = offset;
    pl->promise = FOR_GOOD; /* a start is durable */
    pl->lost = false;
}

static void listed(const struct reply *r)
{
    struct asked *q = r->context;
    if (r->body.n >= 0) {
        const struct list_offsets_partition_response *p = answer_offset(r);
        if (p->error_code)
            world_check(passes(q->reader, q->v[0].recovered, p->error_code), "ListOffsets got error %d", p->error_code);
        else
            listed_one(q, p->offset, r->client->power_cuts);
        fetch_later(q->reader);
    }
    world_free(q);
}

static void list_offsets(struct reader_sim *rd, struct place *pl, bool earliest)
{
    struct asked *q = world_alloc(sizeof *q);
    *q = (struct asked){.reader = rd, .count = 1, .earliest = earliest};
    q->v[0].place = pl;
    q->v[0].at_least = oracle_watermark(pl->part);
    q->v[0].start_at_least = pl->part->log_start;
    q->v[0].recovered = topics_recovered(&rd->peer.client, pl->part);
    request_offset(&rd->peer.client, pl->part->topic, pl->part->index, earliest ? LIST_EARLIEST : LIST_LATEST, false,
                   listed, q);
}

/* --- all of them --- */

/* The session of a lost connection may have moved on without us: a new one takes its place. */
static void ready(struct peer *peer)
{
    struct reader_sim *rd = container_of(peer, struct reader_sim, peer);
    begin_session(rd);
    fetch(rd);
}

static void lost(struct peer *peer)
{
    (void)peer;
}

static void begin_one(struct reader_sim *rd, const char *name, bool judges)
{
    static const int16_t versions[] = {4, 7, 11, 12, 13, 15, 17};
    static const int32_t sizes[] = {1, 1000, 20000, 1024 * 1024};
    memset(rd, 0, sizeof *rd);
    peer_init(&rd->peer, name, ready, lost);
    rd->judges = judges;
    rd->version = versions[dice(COUNT_OF(versions))];
    rd->part_bytes = judges ? 256 * 1024 : sizes[dice(COUNT_OF(sizes))];
    rd->max_bytes = judges ? 1024 * 1024 : sizes[dice(COUNT_OF(sizes))];
    rd->wait_ms = (int32_t)dice_between(1, 500);
    rd->sessions = !judges && rd->version >= 7 && dice(2);
    for (struct oracle_part *part = oracle_parts(); part; part = part->next)
        rd->places[rd->count++] = (struct place){.part = part, .watermark = -1, .log_start = -1};
    peer_start(&rd->peer);
}

void readers_begin(void)
{
    char name[32];
    reader_count = sim.knobs.readers;
    judge.count = 0;
    for (uint32_t i = 0; i < reader_count; i++) {
        snprintf(name, sizeof name, "reader-%u", i);
        begin_one(&readers[i], name, false);
    }
}

bool readers_caught_up(void)
{
    for (uint32_t i = 0; i < reader_count; i++)
        for (uint32_t k = 0; k < readers[i].count; k++)
            if (readers[i].places[k].offset < oracle_watermark(readers[i].places[k].part))
                return false;
    return true;
}

void readers_quit(void)
{
    for (uint32_t i = 0; i < reader_count; i++)
        peer_quit(&readers[i].peer);
}

static void tell_one(const struct reader_sim *rd, char *out, size_t bytes)
{
    for (uint32_t k = 0; k < rd->count; k++) {
        const struct place *pl = &rd->places[k];
        size_t used = strlen(out);
        if (pl->offset < oracle_watermark(pl->part) || (rd->judges && !pl->over))
            snprintf(out + used, bytes - used, " %s is at %" PRId64 " of %" PRId64 " in %s-%d (%s);",
                     rd->peer.client.name, pl->offset, oracle_watermark(pl->part), pl->part->topic, pl->part->index,
                     rd->peer.is_ready           ? "ready"
                     : rd->peer.client.link.conn ? "connected"
                                                 : "not connected");
    }
}

void readers_tell(char *out, size_t bytes)
{
    if (judge.count)
        tell_one(&judge, out, bytes);
    for (uint32_t i = 0; i < reader_count && !judge.count; i++)
        tell_one(&readers[i], out, bytes);
}

void judge_begin(void)
{
    for (struct oracle_part *part = oracle_parts(); part; part = part->next)
        oracle_judge_begin(part);
    begin_one(&judge, "judge", true);
}

bool judge_done(void)
{
    for (uint32_t i = 0; i < judge.count; i++)
        if (!judge.places[i].over)
            return false;
    return true;
}

void judge_quit(void)
{
    peer_quit(&judge.peer);
}
