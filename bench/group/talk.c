/* Requests and answers of the group load: see talk.h. None of these versions is flexible. */
#include "bench/group/talk.h"

#include <string.h>

#include "bench/load/wire.h"

enum { REBALANCE_MS = 60000 };

static void put_text(struct put *p, const char *text)
{
    size_t len = strlen(text);

    put_u16(p, (uint16_t)len);
    put_bytes(p, text, len);
}

static void put_null(struct put *p)
{
    put_u16(p, UINT16_MAX);
}

static struct put begin(uint8_t *out, uint16_t key, uint16_t version, uint32_t correlation)
{
    struct put p = {out, out + TALK_REQUEST_MAX};

    put_begin(&p, key, version, correlation);
    return p;
}

size_t talk_find(uint8_t *out, uint32_t correlation, const char *group)
{
    struct put p = begin(out, TALK_FIND_COORDINATOR, 2, correlation);

    put_text(&p, group);
    put_u8(&p, 0);
    return put_end(&p, out, 0);
}

/* ConsumerProtocolSubscription v0, with its length in front. */
static void put_subscription(struct put *p, const char *topic)
{
    uint8_t *at = p->at;

    put_u32(p, 0);
    put_u16(p, 0);
    put_u32(p, 1);
    put_text(p, topic);
    put_u32(p, UINT32_MAX); /* no user data */
    put_end(p, at, 0);
}

/* ConsumerProtocolAssignment v0, with its length in front. */
static void put_assignment(struct put *p, const char *topic, uint32_t partition)
{
    uint8_t *at = p->at;

    put_u32(p, 0);
    put_u16(p, 0);
    put_u32(p, 1);
    put_text(p, topic);
    put_u32(p, 1);
    put_u32(p, partition);
    put_u32(p, UINT32_MAX);
    put_end(p, at, 0);
}

size_t talk_join(uint8_t *out, uint32_t correlation, const struct talk_who *who, uint32_t session_ms, const char *topic)
{
    struct put p = begin(out, TALK_JOIN_GROUP, 5, correlation);

    put_text(&p, who->group);
    put_u32(&p, session_ms);
    put_u32(&p, REBALANCE_MS);
    put_text(&p, who->member);
    put_null(&p); /* a dynamic member */
    put_text(&p, "consumer");
    put_u32(&p, 1);
    put_text(&p, "range");
    put_subscription(&p, topic);
    return put_end(&p, out, 0);
}

size_t talk_sync(uint8_t *out, uint32_t correlation, const struct talk_who *who, const struct talk_joined *joined,
                 const char *topic)
{
    struct put p = begin(out, TALK_SYNC_GROUP, 3, correlation);
    uint32_t count = joined ? joined->count : 0;

    put_text(&p, who->group);
    put_u32(&p, (uint32_t)who->generation);
    put_text(&p, who->member);
    put_null(&p);
    put_u32(&p, count);
    for (uint32_t i = 0; i < count; i++) {
        put_text(&p, joined->members[i]);
        put_assignment(&p, topic, i);
    }
    return put_end(&p, out, 0);
}

size_t talk_heartbeat(uint8_t *out, uint32_t correlation, const struct talk_who *who)
{
    struct put p = begin(out, TALK_HEARTBEAT, 3, correlation);

    put_text(&p, who->group);
    put_u32(&p, (uint32_t)who->generation);
    put_text(&p, who->member);
    put_null(&p);
    return put_end(&p, out, 0);
}

size_t talk_leave(uint8_t *out, uint32_t correlation, const struct talk_who *who)
{
    struct put p = begin(out, TALK_LEAVE_GROUP, 2, correlation);

    put_text(&p, who->group);
    put_text(&p, who->member);
    return put_end(&p, out, 0);
}

size_t talk_commit(uint8_t *out, uint32_t correlation, const struct talk_who *who, const char *topic,
                   uint32_t partition, uint64_t offset)
{
    struct put p = begin(out, TALK_OFFSET_COMMIT, 7, correlation);

    put_text(&p, who->group);
    put_u32(&p, (uint32_t)who->generation);
    put_text(&p, who->member);
    put_null(&p);
    put_u32(&p, 1);
    put_text(&p, topic);
    put_u32(&p, 1);
    put_u32(&p, partition);
    put_u64(&p, offset);
    put_u32(&p, UINT32_MAX); /* leader epoch unknown */
    put_text(&p, "");
    return put_end(&p, out, 0);
}

size_t talk_fetch(uint8_t *out, uint32_t correlation, const struct talk_who *who, const char *topic, uint32_t partition)
{
    struct put p = begin(out, TALK_OFFSET_FETCH, 5, correlation);

    put_text(&p, who->group);
    put_u32(&p, 1);
    put_text(&p, topic);
    put_u32(&p, 1);
    put_u32(&p, partition);
    return put_end(&p, out, 0);
}

/* --- answers --- */

static void skip_text(struct get *g)
{
    uint16_t len = get_u16(g);

    if (len != UINT16_MAX)
        get_bytes(g, len);
}

static void take_text(struct get *g, char out[TALK_ID_BYTES])
{
    uint16_t len = get_u16(g);
    const uint8_t *at = len < TALK_ID_BYTES ? get_bytes(g, len) : NULL;

    out[0] = 0;
    g->bad = g->bad || !at;
    if (!g->bad) {
        memcpy(out, at, len);
        out[len] = 0;
    }
}

static void skip_bytes(struct get *g)
{
    get_bytes(g, get_u32(g));
}

bool talk_found(const uint8_t *at, size_t len, int16_t *out_error)
{
    struct get g = {at, at + len, false};

    get_u32(&g); /* throttle time */
    *out_error = (int16_t)get_u16(&g);
    return !g.bad;
}

bool talk_joined(const uint8_t *at, size_t len, struct talk_joined *out)
{
    struct get g = {at, at + len, false};

    get_u32(&g);
    out->error = (int16_t)get_u16(&g);
    out->generation = (int32_t)get_u32(&g);
    skip_text(&g); /* protocol */
    skip_text(&g); /* leader */
    take_text(&g, out->member);
    out->count = get_u32(&g);
    for (uint32_t i = 0; i < out->count && out->count <= GROUP_MEMBERS_MAX; i++) {
        take_text(&g, out->members[i]);
        skip_text(&g); /* instance */
        skip_bytes(&g);
    }
    return !g.bad && out->count <= GROUP_MEMBERS_MAX;
}

bool talk_synced(const uint8_t *at, size_t len, struct talk_assigned *out)
{
    struct get g = {at, at + len, false};

    get_u32(&g);
    out->error = (int16_t)get_u16(&g);
    out->has_partition = get_u32(&g) > 0;
    if (out->has_partition) {
        get_u16(&g);
        get_u32(&g);
        skip_text(&g);
        get_u32(&g);
        out->partition = get_u32(&g);
    }
    return !g.bad;
}

bool talk_beaten(const uint8_t *at, size_t len, int16_t *out_error)
{
    return talk_found(at, len, out_error);
}

/* Up to what is said of the partition. False: there is not exactly one of one topic. */
static bool one_partition(struct get *g)
{
    get_u32(g); /* throttle time */
    bool one = get_u32(g) == 1;
    skip_text(g);
    one = get_u32(g) == 1 && one;
    get_u32(g);
    return one;
}

bool talk_committed(const uint8_t *at, size_t len, int16_t *out_error)
{
    struct get g = {at, at + len, false};
    bool one = one_partition(&g);

    *out_error = (int16_t)get_u16(&g);
    return one && !g.bad;
}

bool talk_fetched(const uint8_t *at, size_t len, int16_t *out_error, uint64_t *out_offset)
{
    struct get g = {at, at + len, false};
    bool one = one_partition(&g);

    *out_offset = get_u64(&g);
    get_u32(&g);
    skip_text(&g);
    *out_error = (int16_t)get_u16(&g);
    return one && !g.bad;
}
