#include "tests/sim/keyed.h"
#include "storage/kerr.h"
#include "tests/sim/broker.h"
#include "tests/sim/keyed_truth.h"
#include "tests/sim/make_batch.h"
#include "tests/sim/requests.h"
#include <stdio.h>

enum { PRODUCE_VERSION = 9, FETCH_VERSION = 11, LOGS_MAX = 3, RECORDS_MAX = 4, MORE_AT_THE_END = 3 };

static struct keyed {
    struct client client;
    bool active, made, waiting, judging;
    struct keyed_log logs[LOGS_MAX];
    uint32_t log_count, most; /* most: records for each */
    uint32_t finished;        /* logs that were read since the end began */
    bool finishing;
    uint32_t more[LOGS_MAX]; /* acknowledged batches that are still wanted */
    /* the request under way */
    struct keyed_log *log;
    uint32_t first, count; /* Produce */
    int64_t offset, start_at_least;
    bool reading;
} keyed;

static void later(void);

/* --- the topics --- */

static int64_t one_of(const int64_t *v, size_t count)
{
    return v[dice(count)];
}

static void draw_log(struct keyed_log *l, uint32_t i)
{
    static const char *const names[LOGS_MAX] = {"compacted", "dropped", "both"};
    static const int64_t ms[] = {100, 400, 1500}, bytes[] = {-1, 3000, 20000}, delete_ms[] = {0, 300, 3600 * 1000};
    snprintf(l->topic, sizeof l->topic, "keyed-%s", names[i]);
    l->compacts = i != 1;
    l->drops = i != 0;
    l->retention_ms = dice(3) ? one_of(ms, COUNT_OF(ms)) : -1;
    l->retention_bytes = one_of(bytes, COUNT_OF(bytes));
    l->delete_retention_ms = one_of(delete_ms, COUNT_OF(delete_ms));
}

static void made(const struct reply *r)
{
    if (r->body.n < 0)
        return;
    keyed.made = answer_topics(r, (int32_t)keyed.log_count);
    later();
}

static void wish(const struct keyed_log *l, struct new_topic *t)
{
    *t = (struct new_topic){.name = l->topic, .partitions = 1};
    new_topic_set_number(t, "internal.segment.bytes", 2000);
    new_topic_set_number(t, "retention.ms", l->retention_ms);
    new_topic_set_number(t, "retention.bytes", l->retention_bytes);
    new_topic_set_number(t, "delete.retention.ms", l->delete_retention_ms);
    new_topic_set_number(t, "segment.ms", 200);
    new_topic_set_number(t, "min.cleanable.dirty.ratio", 0);
    new_topic_set_number(t, "file.delete.delay.ms", 50);
    new_topic_set(t, "cleanup.policy", !l->compacts ? "delete" : l->drops ? "compact,delete" : "compact");
}

static void make(void)
{
    struct new_topic topics[LOGS_MAX];
    for (uint32_t i = 0; i < keyed.log_count; i++)
        wish(&keyed.logs[i], &topics[i]);
    request_topics(&keyed.client, topics, (int32_t)keyed.log_count, made, NULL);
}

static bool passes(int16_t error)
{
    return error == KERR_KAFKA_STORAGE_ERROR || error == KERR_NOT_LEADER_OR_FOLLOWER ||
           error == KERR_OFFSET_NOT_AVAILABLE || error == KERR_REQUEST_TIMED_OUT ||
           (world_runs_short() && error == KERR_UNKNOWN_TOPIC_OR_PARTITION);
}

/* --- writing --- */

static void wrote(const struct reply *r)
{
    if (r->body.n < 0)
        return;
    const struct partition_produce_response *p = answer_produced(r);
    world_check(!p->error_code || passes(p->error_code), "%s: a produce got error %d", keyed.log->topic, p->error_code);
    for (uint32_t i = 0; !p->error_code && i < keyed.count; i++)
        keyed_acked(keyed.log, keyed.first + i, p->base_offset + i);
    uint32_t *more = &keyed.more[keyed.log - keyed.logs];
    *more -= !p->error_code && *more;
    later();
}

static void produce(struct keyed_log *l)
{
    static uint8_t room[RECORDS_MAX * 1024];
    struct keyed_value values[RECORDS_MAX];
    int64_t now_ms = clock_wall_ms();
    keyed.log = l;
    keyed.first = l->count;
    keyed.count = (uint32_t)dice_between(1, RECORDS_MAX);
    for (uint32_t i = 0; i < keyed.count; i++) {
        bool tombstone = l->compacts && dice(4) == 0;
        values[i] = (struct keyed_value){.number = l->count + i,
                                         .key = (uint32_t)dice(dice(3) ? KEYED_KEYS : 2),
                                         .value_bytes = tombstone ? -1 : (int32_t)dice_between(10, 300),
                                         .timestamp = now_ms - (int64_t)dice(50)};
    }
    uint32_t bytes = make_keyed_batch_bytes(room, values, keyed.count, BATCH_SENDER_NONE);
    assert(bytes <= sizeof room);
    for (uint32_t i = 0; i < keyed.count; i++)
        keyed_sends(l, &values[i], i ? 0 : bytes);
    const struct one_batch b = {
        .topic = l->topic, .index = l->index, .at = room, .bytes = bytes, .version = PRODUCE_VERSION};
    request_produce(&keyed.client, &b, wrote, NULL);
}

/* --- reading --- */

static void fetch(void);

static void read_through(int64_t watermark)
{
    keyed_reading_ends(keyed.log, watermark);
    keyed.reading = false;
    uint32_t at = (uint32_t)(keyed.log - keyed.logs);
    if ((keyed.judging || (keyed.finishing && !keyed.more[at])) && at == keyed.finished)
        keyed.finished++;
}

static void fetched(const struct reply *r)
{
    if (r->body.n < 0)
        return;
    const struct fetch_partition_data *p = answer_fetched(r);
    if (p->error_code) {
        world_check(passes(p->error_code) || (p->error_code == KERR_OFFSET_OUT_OF_RANGE && keyed.log->drops),
                    "%s: a fetch at %lld got error %d", keyed.log->topic, (long long)keyed.offset, p->error_code);
        keyed.reading = false;
        later();
        return;
    }
    keyed_start_seen(keyed.log, keyed.start_at_least, p->log_start_offset);
    if (p->records.n > 0)
        keyed.offset = keyed_read(keyed.log, keyed.offset, p->records.at, (uint32_t)p->records.n);
    if (keyed.offset >= p->high_watermark)
        read_through(p->high_watermark);
    later();
}

static void fetch(void)
{
    const struct one_fetch f = {.topic = keyed.log->topic,
                                .index = keyed.log->index,
                                .offset = keyed.offset,
                                .most_bytes = dice(3) ? 100000 : 1000,
                                .wait_ms = 5,
                                .version = FETCH_VERSION};
    keyed.start_at_least = keyed.log->start;
    request_fetch(&keyed.client, &f, fetched, NULL);
}

static void listed(const struct reply *r)
{
    if (r->body.n < 0)
        return;
    const struct list_offsets_partition_response *p = answer_offset(r);
    world_check(!p->error_code || passes(p->error_code), "ListOffsets got error %d", p->error_code);
    if (!p->error_code) {
        keyed_start_seen(keyed.log, keyed.start_at_least, p->offset);
        keyed.offset = p->offset;
        keyed.reading = true;
        keyed_reading_begins(keyed.log, p->offset);
    }
    later();
}

static void list_start(struct keyed_log *l)
{
    keyed.log = l;
    keyed.start_at_least = l->start;
    request_offset(&keyed.client, l->topic, l->index, LIST_EARLIEST, false, listed, NULL);
}

/* --- its course --- */

static void act(void)
{
    struct keyed_log *l = &keyed.logs[dice(keyed.log_count)];
    if (keyed.judging || keyed.finishing)
        l = &keyed.logs[keyed.finished];
    if (!keyed.made)
        make();
    else if (keyed.reading)
        fetch();
    else if (!keyed.judging && (keyed.finishing ? keyed.more[keyed.finished] > 0 : dice(12) && l->count < keyed.most))
        produce(l);
    else
        list_start(l);
}

static void go_on(void *arg)
{
    (void)arg;
    keyed.waiting = false;
    if (!keyed.client.link.conn || keyed.client.call_count || (keyed.finishing && keyed_done()) ||
        (keyed.judging && keyed_judged()))
        return;
    act();
}

static void later(void)
{
    if (keyed.waiting)
        return;
    keyed.waiting = true;
    event_in(1000 + dice(keyed.judging || keyed.reading ? 100000 : 8 * NS_PER_MS), go_on, NULL);
}

static void up(struct client *c)
{
    (void)c;
    later();
}

/* What was read so far is not all of the log at one time any more. */
static void down(struct client *c)
{
    (void)c;
    keyed.reading = false;
}

static void start(void)
{
    client_init(&keyed.client, "keyed", up, down);
    client_connect(&keyed.client);
}

void keyed_begin(void)
{
    memset(&keyed, 0, sizeof keyed);
    keyed.active = dice(3) == 0;
    if (!keyed.active)
        return;
    keyed.log_count = LOGS_MAX;
    keyed.most = (uint32_t)dice_between(50, 600);
    for (uint32_t i = 0; i < keyed.log_count; i++)
        draw_log(&keyed.logs[i], i);
    start();
}

void keyed_finish(void)
{
    keyed.finishing = true;
    for (uint32_t i = 0; i < keyed.log_count; i++)
        keyed.more[i] = MORE_AT_THE_END;
    if (keyed.active)
        later();
}

bool keyed_done(void)
{
    return !keyed.active || keyed.finished == keyed.log_count;
}

void keyed_quit(void)
{
    if (keyed.active)
        client_quit(&keyed.client);
}

void keyed_tell(char *out, size_t bytes)
{
    size_t used = strlen(out);
    if (keyed.active && keyed.finished < keyed.log_count)
        snprintf(out + used, bytes - used, " %s was not read to its end;", keyed.logs[keyed.finished].topic);
}

void keyed_judge_begin(void)
{
    keyed.finished = 0;
    keyed.finishing = keyed.reading = keyed.waiting = false;
    keyed.judging = true;
    if (keyed.active)
        start();
}

bool keyed_judged(void)
{
    return !keyed.active || keyed.finished == keyed.log_count;
}
