/* One TCP connection to the broker: frames queued and sent without blocking, replies handed out whole.
 * A link that fails is closed (`fd` is -1) and remembers nothing; the caller decides whether to open it again. */
#pragma once
#include "tests/load/wire.h"

struct link {
    int fd; /* -1: closed */
    struct wbuf out, in;
    size_t sent;  /* of out */
    size_t taken; /* of in: whole frames already handed out */
};

bool link_open(struct link *l, const char *address); /* "host:port"; false when refused */
void link_close(struct link *l);
void link_queue(struct link *l, const struct wbuf *frame); /* copies */
bool link_push(struct link *l);                            /* sends what it can; false: lost, and closed */
bool link_pull(struct link *l);                            /* receives what is there; false: lost, and closed */
bool link_frame(struct link *l, struct rcur *out);         /* the next reply, valid until the next link_pull */
/* Sends one frame and waits for its reply, at most ten seconds. */
bool link_call(struct link *l, const struct wbuf *frame, struct rcur *out);
