/* Every message in every version, and the header in front of a request. What decodes is encoded, decoded and encoded again: the
 * second time to the same bytes, measured right, and with records spliced. (The first encoding may differ from the input: unknown
 * tags are left out, varints may be padded.)
 *
 *   input:  message u8 (behind the last: a whole request frame) | version u8 | the bytes */
#include "net/wire/kmsg.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 1 << 20, OUT_BYTES = 1 << 16, SPLICES_MAX = 4096 };
static uint8_t memory[2][ARENA_BYTES] __attribute__((aligned(16)));
static uint8_t out[2][OUT_BYTES];
static struct ksplice splices[SPLICES_MAX];

static struct arena fresh_arena(int which)
{
    return arena_of(memory[which], ARENA_BYTES);
}

struct message {
    const char *name;
    int16_t first, last;
    void (*check)(struct kview body, int16_t version);
};

#define MESSAGE(s, api)                                                                                          \
    static void check_##s(struct kview body, int16_t version)                                                    \
    {                                                                                                            \
        struct s m, again;                                                                                       \
        struct arena a = fresh_arena(0), b = fresh_arena(1);                                                     \
        struct kreader r = kreader_of(body, version, &a);                                                        \
        if (!s##_read(&m, &r))                                                                                   \
            return;                                                                                              \
        struct ksize size = s##_size(&m, version);                                                               \
        size_t bytes = size.bytes + size.spliced_bytes;                                                          \
        FUZZ_CHECK(bytes <= OUT_BYTES, #s " v%d grew from %d to %zu", version, body.n, bytes);                   \
        struct kwriter w = kwriter_of(out[0], bytes);                                                            \
        FUZZ_CHECK(s##_encode(&m, &w, version), #s " v%d", version);                                             \
        FUZZ_CHECK(!w.lost, #s " v%d loses %s", version, w.lost);                                                \
        FUZZ_CHECK(kwriter_bytes(&w) == bytes, #s " v%d", version);                                              \
        FUZZ_CHECK(s##_decode(&again, (struct kview){out[0], (int32_t)bytes}, version, &b), #s " v%d", version); \
        w = kwriter_of(out[1], bytes);                                                                           \
        FUZZ_CHECK(s##_encode(&again, &w, version), #s " v%d", version);                                         \
        FUZZ_CHECK(kwriter_bytes(&w) == bytes, #s " v%d", version);                                              \
        FUZZ_CHECK(memcmp(out[0], out[1], bytes) == 0, #s " v%d", version);                                      \
        w = kwriter_of(out[1], size.bytes);                                                                      \
        kwriter_splice(&w, splices, SPLICES_MAX);                                                                \
        if (size.splices > SPLICES_MAX)                                                                          \
            return;                                                                                              \
        FUZZ_CHECK(s##_encode(&m, &w, version), #s " v%d spliced", version);                                     \
        FUZZ_CHECK(kwriter_bytes(&w) == size.bytes, #s " v%d spliced", version);                                 \
        FUZZ_CHECK(w.splice_count == size.splices, #s " v%d spliced", version);                                  \
    }
#include "net/wire/schema/all.def"

static const struct message messages[] = {
#define MESSAGE(s, api) {#s, KFIRST_##api, KLAST_##api, check_##s},
#include "net/wire/schema/all.def"
};

static void check_request(struct kview frame)
{
    struct arena a = fresh_arena(0);
    struct request_header header;
    const struct kapi *api = NULL;
    struct kview body = {NULL, 0};
    enum kopen how = kmsg_open(frame, &a, &header, &api, &body);
    if (how == KOPEN_VERSION)
        FUZZ_CHECK(api->key == header.request_api_key, "key %d", header.request_api_key);
    if (how != KOPEN_OK)
        return;
    FUZZ_CHECK(body.at >= frame.at && body.at + body.n == frame.at + frame.n, "the body leaves its frame");
    FUZZ_CHECK(header.request_api_version >= api->first && header.request_api_version <= api->last, "%s", api->name);
#define API(api_, name, key_, advertised, first, last, flexible) \
    if (api->key == (key_))                                      \
        check_##api_##_request(body, header.request_api_version);
#include "net/wire/schema/all.def"
}

void fuzz_wire(const uint8_t *at, size_t bytes)
{
    struct feed f = {at, at + bytes};
    uint32_t which = feed_byte(&f), version = feed_byte(&f);
    struct kview rest = {f.at, (int32_t)feed_left(&f)};
    if (which >= COUNT_OF(messages)) {
        check_request(rest);
        return;
    }
    const struct message *m = &messages[which];
    m->check(rest, (int16_t)(m->first + (int16_t)version % (m->last - m->first + 1)));
}
