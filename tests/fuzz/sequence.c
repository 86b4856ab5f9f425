/* Sequences of valid but odd requests to a live broker: any API in any version, fields drawn from what is usual, from what its answers
 * told, or from the input; on two connections, one after the other or without waiting; now and then a byte is wrong. Then
 *
 *   - every answer decodes, in order; who waits for nothing is answered in time, or the connection is closed
 *   - a plain client is served
 *   - stopped or killed, and started again, it gives out every batch that it gave out before
 *
 *   input:  shards, dice, end u8 | requests: api u8 | version u8 | how u8 | fields */
#include "core/bytes.h"
#include "tests/fuzz/draw_request.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"
#include "tests/unit/make_batch.h"

enum { REQUESTS_MAX = 40, LINES = 2, CALLS_MAX = 64, FRAME_MAX = 512 * 1024, ROOM = 256 * 1024 };
#define ANSWER_MAX_NS (90 * NS_PER_S)

static uint8_t frame[FRAME_MAX], room[ROOM] __attribute__((aligned(16)));

/* --- the APIs --- */

struct api_row {
    int16_t key, first, last;
    bool (*encode)(struct kwriter *w, int16_t version, bool *out_silent);
    void (*learn)(struct kview body, int16_t version);
};
static bool is_silent(const void *m, int16_t key)
{
    return key == KAPI_produce && ((const struct produce_request *)m)->acks == 0;
}
#define API(api, name, key, advertised, first, last, flexible)                                                     \
    static bool encode_##api(struct kwriter *w, int16_t version, bool *out_silent)                                 \
    {                                                                                                              \
        struct api##_request m;                                                                                    \
        draw_##api##_request(&m, version);                                                                         \
        *out_silent = is_silent(&m, key);                                                                          \
        return api##_request_encode(&m, w, version);                                                               \
    }                                                                                                              \
    static void learn_##api(struct kview body, int16_t version)                                                    \
    {                                                                                                              \
        struct api##_response m;                                                                                   \
        FUZZ_CHECK(api##_response_decode(&m, body, version, talk_arena()), "an answer to " #name " v%d", version); \
        learn_from_##api##_response(&m);                                                                           \
    }
#include "net/wire/schema/all.def"
static const struct api_row rows[] = {
#define API(api, name, key, advertised, first, last, flexible) {key, first, last, encode_##api, learn_##api},
#include "net/wire/schema/all.def"
};

/* --- batches --- */

static struct krecords draw_batch(struct feed *in)
{
    static uint8_t bytes[MAKE_BATCH_MAX];
    uint32_t how = feed_byte(in);
    const struct learnt *id = how & 1 ? recall("producer_id", false, 0) : NULL;
    const struct learnt *epoch = how & 128 ? recall("producer_epoch", false, 0) : NULL;
    struct make_batch m = {.timestamp = 1790000000000,
                           .producer_id = id ? id->number : -1,
                           .producer_epoch = (int16_t)(!id     ? -1
                                                       : epoch ? epoch->number
                                                               : 0),
                           .attributes = how & 64 ? BATCH_TRANSACTIONAL : 0,
                           .sequence = id ? (int32_t)feed_below(in, 8) : -1,
                           .count = 1 + (int32_t)feed_below(in, 4),
                           .value_bytes = how & 2 ? 1000 : 10,
                           .no_key = how & 4};
    uint32_t n = make_batch(bytes, m);
    if (how & 8) { /* one field of the header is something else */
        uint32_t at = feed_below(in, BATCH_HEADER_BYTES);
        bytes[at] = feed_byte(in);
        if (how & 16 && be32_get(bytes + 8) + BATCH_PREFIX_BYTES == n)
            make_seal(bytes, n);
    }
    if (how & 32) /* cut */
        n = feed_below(in, n + 1);
    uint8_t *at = arena_take(&drawing.arena, n, 1);
    if (!at)
        return (struct krecords){.n = -1};
    memcpy(at, bytes, n);
    return (struct krecords){.at = at, .n = (int32_t)n};
}

/* --- connections --- */

struct call {
    const struct api_row *row;
    int16_t version;
    int32_t correlation;
    uint64_t sent_ns;
    bool waits; /* its answer may take as long as it likes */
};
struct line {
    struct talk talk;
    struct call calls[CALLS_MAX];
    uint32_t count;
};
static struct line lines[LINES];
static int32_t correlation;

static void take_reply(struct talk *t, struct kview reply)
{
    struct line *l = container_of(t, struct line, talk);
    FUZZ_CHECK(l->count > 0, "an answer to nothing");
    struct call c = l->calls[0];
    memmove(l->calls, l->calls + 1, --l->count * sizeof l->calls[0]);
    struct response_header h;
    struct kreader r = kreader_of(reply, kapi_response_header(kapi_find(c.row->key), c.version), talk_arena());
    FUZZ_CHECK(response_header_read(&h, &r), "an answer without a header");
    FUZZ_CHECK(h.correlation_id == c.correlation, "answer %d where %d was next", h.correlation_id, c.correlation);
    c.row->learn((struct kview){r.at, (int32_t)kread_left(&r)}, c.version);
}

static bool open_line(struct line *l)
{
    if (l->talk.open)
        return true;
    talk_close(&l->talk);
    *l = (struct line){.talk = {.reply = take_reply}};
    return talk_open(&l->talk);
}

static bool may_wait(int16_t key)
{
    return key == KAPI_join_group || key == KAPI_sync_group || key == KAPI_fetch || key == KAPI_produce ||
           key == KAPI_create_topics || key == KAPI_delete_topics || key == KAPI_create_partitions ||
           key == KAPI_delete_records;
}

static void send_request(struct line *l, struct feed *in)
{
    const struct api_row *row = &rows[feed_below(in, COUNT_OF(rows))];
    int16_t version = (int16_t)(row->first + (int16_t)feed_below(in, (uint32_t)(row->last - row->first + 1)));
    uint32_t how = feed_byte(in);
    bool silent;
    drawing.in = in;
    drawing.arena = arena_of(room, sizeof room);
    drawing.records = draw_batch;
    struct kwriter w = talk_begin(frame, sizeof frame, row->key, version, ++correlation);
    if (!row->encode(&w, version, &silent))
        return; /* a null where none may be */
    size_t bytes = talk_end(&w);
    if (how >= 240) { /* spoilt, but for its length and what would make an answer of another API */
        size_t at = 12 + feed_word(in, 2) % (bytes - 11);
        if (at < bytes)
            frame[at] = feed_byte(in);
        silent = silent || row->key == KAPI_produce; /* the acks may be other ones */
        if (row->key == KAPI_produce)
            return;
    }
    if (!silent) {
        if (l->count == CALLS_MAX)
            return;
        bool waits = may_wait(row->key) || (l->count && l->calls[l->count - 1].waits);
        l->calls[l->count++] = (struct call){row, version, correlation, sim.now_ns, waits};
    }
    net_send(&l->talk.link, frame, bytes);
}

static bool all_answered(const void *arg)
{
    (void)arg;
    for (int i = 0; i < LINES; i++)
        if (lines[i].talk.open && lines[i].count)
            return false;
    return true;
}

static void nobody_waits_for_nothing(void)
{
    for (int i = 0; i < LINES; i++)
        if (lines[i].talk.open && lines[i].count && !lines[i].calls[0].waits)
            FUZZ_CHECK(sim.now_ns - lines[i].calls[0].sent_ns < ANSWER_MAX_NS, "no answer to key %d v%d",
                       lines[i].calls[0].row->key, lines[i].calls[0].version);
}

static void converse(struct feed *in)
{
    static const uint64_t waits_ms[] = {0, 1, 20, 20, 300, 300, 3000, 40000};
    for (int i = 0; i < REQUESTS_MAX && feed_left(in); i++) {
        uint32_t how = feed_byte(in);
        struct line *l = &lines[how & 1];
        if (how >= 250)
            talk_close(&l->talk);
        FUZZ_CHECK(open_line(l), "nobody listens");
        send_request(l, in);
        (void)world_run(waits_ms[how >> 1 & 7] * NS_PER_MS, all_answered, NULL);
        nobody_waits_for_nothing();
    }
    (void)world_run(ANSWER_MAX_NS, all_answered, NULL);
    nobody_waits_for_nothing();
    for (int i = 0; i < LINES; i++)
        talk_close(&lines[i].talk);
    (void)world_run(2 * NS_PER_S, NULL, NULL);
}

/* --- afterwards --- */

static void nothing_lost(const struct stored *before, const struct stored *after)
{
    for (uint32_t i = 0; i < before->count; i++) {
        const struct stored_part *b = &before->v[i], *a = stored_find(after, b->topic, b->index);
        FUZZ_CHECK(b->error == 0, "%s-%d: error %d", b->topic, b->index, b->error);
        FUZZ_CHECK(a && a->error == 0, "%s-%d is gone, or has an error", b->topic, b->index);
        FUZZ_CHECK(a->start >= b->start && a->end >= b->end, "%s-%d: [%lld, %lld) became [%lld, %lld)", b->topic,
                   b->index, (long long)b->start, (long long)b->end, (long long)a->start, (long long)a->end);
        if (!drawing.may_vanish && b->topic[0] != '_')
            FUZZ_CHECK(a->start == b->start && stored_keeps(b, a), "%s-%d lost something", b->topic, b->index);
    }
}

void fuzz_sequence(const uint8_t *at, size_t bytes)
{
    struct feed in = {at, at + bytes};
    uint32_t what = feed_byte(&in);
    struct stored before = {0}, after = {0};
    world_fresh(what >> 2 & 15);
    memset(lines, 0, sizeof lines);
    drawing = (struct drawing){0};
    correlation = 0;
    sim.knobs.shards = what & 1 ? 2 : 1;
    FUZZ_CHECK(world_start(), "no start");
    converse(&in);
    FUZZ_CHECK(stored_read(&before), "a plain client is not served");
    if (what & 2)
        world_kill();
    else
        world_stop();
    FUZZ_CHECK(world_start(), "it does not start again");
    FUZZ_CHECK(stored_read(&after), "a plain client is not served after a restart");
    nothing_lost(&before, &after);
    stored_free(&before);
    stored_free(&after);
    world_over();
}
