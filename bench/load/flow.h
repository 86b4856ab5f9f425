/* One connection of odradek-bench that never blocks: frames go out, whole frames come in. What the socket does not take waits here. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct flow {
    int fd; /* -1: closed */
    uint8_t *out;
    size_t out_at, out_end, out_room;
    uint8_t *in; /* the part of a frame that is not whole yet; NULL: none */
    size_t in_end, in_room;
};
/* Connects (blocking) and makes the socket non-blocking. False, and said on stderr. */
bool flow_open(struct flow *f, const char *address);
void flow_close(struct flow *f);
/* False: the connection is broken. */
bool flow_send(struct flow *f, const struct iovec *parts, int count);
/* The socket takes bytes again. */
bool flow_flush(struct flow *f);
bool flow_waits(const struct flow *f); /* for the socket to take bytes */
/* Reads what is there, through `scratch` (shared by all connections of a thread), and calls frame() for each whole frame, without its
 * size. False: broken, ended, or frame() said so. */
bool flow_receive(struct flow *f, uint8_t *scratch, size_t scratch_bytes,
                  bool (*frame)(void *arg, const uint8_t *at, size_t bytes), void *arg);
