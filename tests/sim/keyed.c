#include "tests/sim/keyed.h"
#include "storage/kerr.h"
#include "tests/sim/broker.h"
#include "tests/sim/client.h"
#include "tests/sim/keyed_truth.h"
#include "tests/sim/make_batch.h"
#include <stdio.h>

enum {
    CREATE_VERSION = 7,
    PRODUCE_VERSION = 9,
    FETCH_VERSION = 11,
    LIST_VERSION = 6,
    EARLIEST = -2,
    LOGS_MAX = 3,
    CONFIGS = 8,
    RECORDS_MAX = 4,
    MORE_AT_THE_END = 3
};

static struct keyed {
    struct client client;
    bool active, made, waiting, judging;
    struct keyed_log logs[LOGS_MAX];
    uint32_t log_count, most; /* most: records for each */
    uint32_t finished;        /* logs that were read since the end began */
    bool finishing;
    uint32_t more[LOGS_MAX]; /* acknowledged batches that are still wanted */
    char values[LOGS_MAX][CONFIGS][24];
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

static void set(struct creatable_topic_config *configs, int32_t *count, uint32_t log, const char *name, int64_t value)
{
    char *text = keyed.values[log][*count];
    struct creatable_topic_config *c = &configs[(*count)++];
    assert(*count <= CONFIGS);
    creatable_topic_config_init(c);
    snprintf(text, sizeof keyed.values[log][0], "%lld", (long long)value);
    c->name = view_of(name);
    c->value = view_of(text);
}

static void made(const struct reply *r)
{
    struct create_topics_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, create_topics_response, &m);
    world_check(m.topics.n == (int32_t)keyed.log_count, "CreateTopics answers for %d topics", m.topics.n);
    keyed.made = true;
    for (int32_t i = 0; i < m.topics.n; i++) {
        int16_t error = m.topics.v[i].error_code;
        world_check(error != KERR_INVALID_CONFIG && error != KERR_POLICY_VIOLATION, "a keyed topic: error %d", error);
        keyed.made = keyed.made && (!error || error == KERR_TOPIC_ALREADY_EXISTS);
    }
    later();
}

static void make(void)
{
    struct creatable_topic topics[LOGS_MAX];
    struct creatable_topic_config configs[LOGS_MAX][CONFIGS];
    struct create_topics_request m;
    create_topics_request_init(&m);
    m.topics.v = topics;
    m.topics.n = (int32_t)keyed.log_count;
    for (uint32_t i = 0; i < keyed.log_count; i++) {
        const struct keyed_log *l = &keyed.logs[i];
        struct creatable_topic *t = &topics[i];
        creatable_topic_init(t);
        t->name = view_of(l->topic);
        t->num_partitions = 1;
        t->replication_factor = 1;
        t->configs.v = configs[i];
        set(configs[i], &t->configs.n, i, "internal.segment.bytes", 2000);
        set(configs[i], &t->configs.n, i, "retention.ms", l->retention_ms);
        set(configs[i], &t->configs.n, i, "retention.bytes", l->retention_bytes);
        set(configs[i], &t->configs.n, i, "delete.retention.ms", l->delete_retention_ms);
        set(configs[i], &t->configs.n, i, "segment.ms", 200);
        set(configs[i], &t->configs.n, i, "min.cleanable.dirty.ratio", 0);
        set(configs[i], &t->configs.n, i, "file.delete.delay.ms", 50);
        set(configs[i], &t->configs.n, i, "cleanup.policy", 0);
        configs[i][CONFIGS - 1].value = view_of(!l->compacts ? "delete" : l->drops ? "compact,delete" : "compact");
    }
    client_call(&keyed.client, create_topics, &m, CREATE_VERSION, made, NULL);
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
    struct produce_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, produce_response, &m);
    world_check(m.responses.n == 1 && m.responses.v[0].partition_responses.n == 1,
                "Produce answers for something else");
    const struct partition_produce_response *p = &m.responses.v[0].partition_responses.v[0];
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
    struct partition_produce_data part;
    struct topic_produce_data topic;
    struct produce_request m;
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
    uint32_t bytes = make_keyed_batch_bytes(room, values, keyed.count);
    assert(bytes <= sizeof room);
    for (uint32_t i = 0; i < keyed.count; i++)
        (void)keyed_sends(l, values[i].key, values[i].value_bytes < 0, values[i].timestamp, i ? 0 : bytes);
    partition_produce_data_init(&part);
    topic_produce_data_init(&topic);
    produce_request_init(&m);
    part.index = l->index;
    part.records = (struct krecords){.at = room, .n = (int32_t)bytes};
    topic.name = view_of(l->topic);
    topic.partition_data.v = &part;
    topic.partition_data.n = 1;
    m.acks = -1;
    m.timeout_ms = 10000;
    m.topic_data.v = &topic;
    m.topic_data.n = 1;
    client_call(&keyed.client, produce, &m, PRODUCE_VERSION, wrote, NULL);
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
    struct fetch_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, fetch_response, &m);
    world_check(!m.error_code && m.responses.n == 1 && m.responses.v[0].partitions.n == 1,
                "%s: a fetch got error %d and %d topics", keyed.log->topic, m.error_code, m.responses.n);
    const struct fetch_partition_data *p = &m.responses.v[0].partitions.v[0];
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
    struct fetch_partition part;
    struct fetch_topic topic;
    struct fetch_request m;
    fetch_partition_init(&part);
    fetch_topic_init(&topic);
    fetch_request_init(&m);
    part.partition = keyed.log->index;
    part.fetch_offset = keyed.offset;
    part.partition_max_bytes = dice(3) ? 100000 : 1000;
    topic.topic = view_of(keyed.log->topic);
    topic.partitions.v = &part;
    topic.partitions.n = 1;
    m.max_bytes = 1024 * 1024;
    m.max_wait_ms = 5;
    m.min_bytes = 1;
    m.topics.v = &topic;
    m.topics.n = 1;
    keyed.start_at_least = keyed.log->start;
    client_call(&keyed.client, fetch, &m, FETCH_VERSION, fetched, NULL);
}

static void listed(const struct reply *r)
{
    struct list_offsets_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, list_offsets_response, &m);
    world_check(m.topics.n == 1 && m.topics.v[0].partitions.n == 1, "ListOffsets does not answer what was asked");
    const struct list_offsets_partition_response *p = &m.topics.v[0].partitions.v[0];
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
    struct list_offsets_partition part;
    struct list_offsets_topic topic;
    struct list_offsets_request m;
    list_offsets_partition_init(&part);
    list_offsets_topic_init(&topic);
    list_offsets_request_init(&m);
    keyed.log = l;
    keyed.start_at_least = l->start;
    part.partition_index = l->index;
    part.timestamp = EARLIEST;
    topic.name = view_of(l->topic);
    topic.partitions.v = &part;
    topic.partitions.n = 1;
    m.replica_id = -1;
    m.topics.v = &topic;
    m.topics.n = 1;
    client_call(&keyed.client, list_offsets, &m, LIST_VERSION, listed, NULL);
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
