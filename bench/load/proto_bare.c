/* The dialect of the bare loop: see proto.h. */
#include "bench/load/proto.h"
#include "bench/load/wire.h"

static size_t head_put(const struct produce_to *to, uint32_t batch_bytes, uint8_t *out)
{
    struct put p = {out, out + PROTO_HEAD_MAX};

    (void)to; /* the bare loop has one file and no names */
    put_u32(&p, 4 + batch_bytes);
    put_u32(&p, 0);
    return (size_t)(p.at - out);
}

static bool reply_get(const uint8_t *frame, size_t len, struct produce_reply *out_reply)
{
    struct get g = {frame, frame + len, false};

    if (len != BARE_ACK_BYTES - 4)
        return false;
    out_reply->correlation = get_u32(&g);
    out_reply->error = 0;
    out_reply->place = get_u64(&g);
    return true;
}

const struct proto proto_bare = {.correlation_at = 4, .tail_bytes = 0, .head_put = head_put, .reply_get = reply_get};
