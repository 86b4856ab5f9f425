/* One request and its reply, as their connection sees them: in flight until the reply is ready, then sent piece by piece.
 *
 *   RUNNING --(the handler has a reply, or none)--> READY --(its last piece is sent, or nobody wants it)--> SENT
 *
 * Embedded in whatever keeps a request (net/conn/request.h). */
#pragma once
#include "core/io.h"

struct conn;

enum exchange_state { EXCHANGE_RUNNING, EXCHANGE_READY, EXCHANGE_SENT };
struct exchange {
    struct conn *conn; /* NULL once SENT */
    struct list link;  /* conn->exchanges; free for its owner once SENT */
    enum exchange_state state;
    uint32_t frame_bytes;
    struct iovec *pieces; /* of the reply; none: nothing is sent */
    uint32_t piece_count, piece_at;
    size_t piece_sent; /* bytes of pieces[piece_at] that are gone */
};
