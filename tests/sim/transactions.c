#include "tests/sim/transactions.h"
#include "storage/kerr.h"
#include "tests/sim/txn_client.h"
#include "tests/sim/txn_reader.h"
#include "tests/sim/txn_trim.h"
#include <stdio.h>

enum { READERS_MAX = 2, WRITER_RECORDS_MAX = 3, WRITER_MOST = 60, PRODUCE_VERSION = 9 };

static struct exactly_once {
    bool active, made, finishing, all_written, judging;
    bool trims, drops;   /* records are deleted; retention takes some of what is written */
    struct client maker; /* makes the topics, and then writes to the source without transactions */
    bool waiting;
    uint32_t written, batch_first, batch_count, asked;
    struct truth_id ids[TRUTH_IDS_MAX];
    struct txn_client clients[TRUTH_IDS_MAX * 2];
    uint32_t id_count, client_count;
    struct truth_group *group;
    struct txn_reader readers[READERS_MAX], judge;
    struct txn_trimmer trimmer;
    struct new_topic topics[3];
} once;

/* --- the topics --- */

static void wish_topic(struct new_topic *t, const char *name, int32_t partitions, bool compacts)
{
    static const int64_t delete_ms[] = {0, 300, 3600 * 1000}, segment_bytes[] = {3000, 10000, 60000};
    bool caching = dice(2);
    int64_t kept_ms = delete_ms[dice(COUNT_OF(delete_ms))];
    *t = (struct new_topic){.name = name, .partitions = partitions};
    new_topic_set(t, "write.caching", caching ? "true" : "false");
    new_topic_set_number(t, "flush.ms", dice(2) ? 50 : 1000);
    new_topic_set_number(t, "internal.segment.bytes", segment_bytes[dice(COUNT_OF(segment_bytes))]);
    new_topic_set(t, "cleanup.policy", compacts ? "compact" : "delete");
    new_topic_set_number(t, "delete.retention.ms", kept_ms);
    new_topic_set_number(t, "segment.ms", 300);
    new_topic_set_number(t, "min.cleanable.dirty.ratio", 0);
    new_topic_set_number(t, "file.delete.delay.ms", 50);
    for (int32_t i = 0; i < partitions; i++)
        truth_log_new(name, i, caching, compacts, kept_ms);
}

static void let_retention_drop(struct new_topic *t)
{
    new_topic_set_number(t, "retention.bytes", dice(2) ? 1 : 8000);
    for (uint32_t i = TRUTH_SINK; i < TRUTH_TABLE; i++)
        truth_log_at(i)->drops = true;
}

static void draw_topics(void)
{
    wish_topic(&once.topics[0], "txn-source", TRUTH_PARTS_MAX, false);
    wish_topic(&once.topics[1], "txn-sink", TRUTH_PARTS_MAX, false);
    wish_topic(&once.topics[2], "txn-table", 1, true);
    assert(truth_log_count() == TRUTH_TABLE + 1);
    once.trims = dice(3) == 0;
    once.drops = dice(4) == 0;
    if (once.drops)
        let_retention_drop(&once.topics[1]);
}

/* --- who writes without transactions; each record is sent once --- */

static void write_later(void);
static void start_all(void);

static void wrote(const struct reply *r)
{
    if (r->body.n < 0)
        return;
    const struct partition_produce_response *p = answer_produced(r);
    world_check(!p->error_code || txn_passes(p->error_code), "a produce to the source got error %d", p->error_code);
    for (uint32_t i = 0; !p->error_code && i < once.batch_count; i++)
        truth_acked(once.batch_first + i, p->base_offset + i, r->client->power_cuts);
    once.written += !p->error_code;
    write_later();
}

static void write_batch(void)
{
    static uint8_t room[WRITER_RECORDS_MAX * 1024];
    struct keyed_value values[WRITER_RECORDS_MAX];
    struct truth_log *l = truth_log_at(TRUTH_SOURCE + (uint32_t)dice(TRUTH_PARTS_MAX));
    once.batch_count = (uint32_t)dice_between(1, WRITER_RECORDS_MAX);
    for (uint32_t i = 0; i < once.batch_count; i++) {
        const struct keyed_value v = {.value_bytes = (int32_t)dice_between(10, 200), .timestamp = clock_wall_ms()};
        uint32_t number = truth_sends(l, NULL, v, 0);
        values[i] = truth_record_at(number)->sent;
        once.batch_first = i ? once.batch_first : number;
    }
    const struct one_batch b = {.topic = l->topic,
                                .index = l->index,
                                .at = room,
                                .bytes = make_keyed_batch_bytes(room, values, once.batch_count, BATCH_SENDER_NONE),
                                .version = PRODUCE_VERSION};
    request_produce(&once.maker, &b, wrote, NULL);
}

static bool has_written_all(void)
{
    return once.finishing || once.written >= WRITER_MOST;
}

/* --- making and asking --- */

static void topics_made(const struct reply *r)
{
    if (r->body.n < 0)
        return;
    once.made = answer_topics(r, COUNT_OF(once.topics));
    if (once.made)
        start_all();
    write_later();
}

static void make_topics(void)
{
    request_topics(&once.maker, once.topics, COUNT_OF(once.topics), topics_made, NULL);
}

static void offsets_told(const struct reply *r)
{
    if (r->body.n < 0)
        return;
    const struct offset_fetch_response_group *g = chain_answer_offsets(r);
    bool good = !g->error_code;
    world_check(good || txn_coordinator_passes(g->error_code), "OffsetFetch at the end: error %d", g->error_code);
    for (int32_t i = 0; good && i < g->topics.n; i++) {
        const struct offset_fetch_response_partitions *p = &g->topics.v[i].partitions.v[0];
        good = !p->error_code;
        world_check(good || p->error_code == KERR_UNSTABLE_OFFSET_COMMIT, "OffsetFetch at the end: error %d",
                    p->error_code);
        if (good)
            truth_offset_told(once.group, i, truth_offset_floor(once.group, i), p->committed_offset, true);
    }
    once.asked += good;
    write_later();
}

static void write_on(void *arg)
{
    (void)arg;
    once.waiting = false;
    if (!once.maker.link.conn || once.maker.call_count)
        return;
    if (once.judging && !once.asked)
        chain_ask_offsets(&once.maker, once.group, offsets_told, NULL);
    else if (!once.made)
        make_topics();
    else if (!once.judging && !has_written_all())
        write_batch();
}

static void write_later(void)
{
    if (once.waiting)
        return;
    once.waiting = true;
    event_in(1000 + dice(15 * NS_PER_MS), write_on, NULL);
}

static void up(struct client *c)
{
    (void)c;
    write_later();
}

static void down(struct client *c)
{
    (void)c;
}

static void start_maker(void)
{
    client_init(&once.maker, "txn-maker", up, down);
    client_connect(&once.maker);
}

/* --- all of it --- */

static void add_id(uint32_t producers, struct truth_group *group, bool member)
{
    char name[24];
    struct truth_id *id = &once.ids[once.id_count];
    snprintf(name, sizeof name, "%s-%u", group ? "chain" : "txn", once.id_count++);
    truth_id_begin(id, name);
    for (uint32_t i = 0; i < producers; i++)
        txn_client_init(&once.clients[once.client_count++], id, i, group, member);
}

static void start_all(void)
{
    char name[32];
    if (once.client_count)
        return;
    bool members = dice(2);
    add_id((uint32_t)dice_between(1, 2), NULL, false);
    if (dice(2))
        add_id(1, NULL, false);
    for (uint32_t i = 0; i < 1 + (uint32_t)members; i++) /* members of one group, or two producers of one id */
        add_id(members ? 1 : 2, once.group, members);
    for (uint32_t i = 0; i < once.client_count && once.finishing; i++)
        txn_client_finish(&once.clients[i]);
    for (uint32_t i = 0; i < READERS_MAX; i++) {
        snprintf(name, sizeof name, "txn-reader-%u", i);
        txn_reader_init(&once.readers[i], name, false);
    }
    if (once.trims)
        txn_trimmer_init(&once.trimmer, once.group);
}

void transactions_begin(void)
{
    memset(&once, 0, sizeof once);
    truth_begin();
    once.active = dice(2) || sim.fault.kind;
    if (!once.active)
        return;
    draw_topics();
    once.group = truth_group_new("chain");
    for (uint32_t i = 0; i < TRUTH_PARTS_MAX; i++)
        once.group->parts[i].log = truth_log_at(TRUTH_SOURCE + i);
    start_maker();
}

void transactions_finish(void)
{
    once.finishing = true;
    for (uint32_t i = 0; i < once.client_count; i++)
        txn_client_finish(&once.clients[i]);
    if (once.active)
        write_later();
}

static bool producers_are_done(bool chains)
{
    bool all = true;
    for (uint32_t i = 0; i < once.client_count; i++)
        if ((once.clients[i].place.group != NULL) == chains)
            all = all && txn_client_done(&once.clients[i]);
    return all;
}

/* From here on nobody writes what the chains read. */
static void nobody_writes(void)
{
    once.all_written = true;
    for (uint32_t i = 0; i < once.client_count; i++)
        memset(once.clients[i].place.drained, 0, sizeof once.clients[i].place.drained);
}

bool transactions_done(void)
{
    if (!once.active)
        return true;
    if (!once.client_count || once.maker.call_count || !producers_are_done(false))
        return false;
    if (!once.all_written)
        nobody_writes();
    return producers_are_done(true);
}

void transactions_quit(void)
{
    if (!once.active)
        return;
    client_quit(&once.maker);
    if (once.trims && once.client_count && !once.judging)
        client_quit(&once.trimmer.client);
    for (uint32_t i = 0; i < once.client_count; i++)
        txn_client_quit(&once.clients[i]);
    for (uint32_t i = 0; i < READERS_MAX; i++)
        client_quit(once.judging ? &once.judge.client : &once.readers[i].client);
}

void transactions_tell(char *out, size_t bytes)
{
    for (uint32_t i = 0; i < once.client_count && !once.judging; i++)
        txn_client_tell(&once.clients[i], out, bytes);
    if (once.judging && once.active && !transactions_judged())
        snprintf(out + strlen(out), bytes - strlen(out), " transactions: %u readings are over, %s-%d is read to %lld;",
                 once.judge.done, once.judge.reading.log ? once.judge.reading.log->topic : "",
                 once.judge.reading.log ? once.judge.reading.log->index : 0, (long long)once.judge.reading.next);
}

void transactions_judge_begin(void)
{
    if (!once.active)
        return;
    once.judging = true;
    once.waiting = false;
    start_maker();
    txn_reader_init(&once.judge, "txn-judge", true);
}

bool transactions_judged(void)
{
    return !once.active || (once.asked && txn_reader_judged(&once.judge));
}

void transactions_judge(void)
{
    if (once.active)
        truth_judge();
}
