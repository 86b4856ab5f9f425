/* The bytes of one connection: at most one receive and one send at a time. The only code between a connection and its socket, and so
 * the place where TLS goes: above it nobody knows what the bytes look like on the wire. */
#pragma once
#include "core/io.h"

struct stream {
    struct io *io;
    struct io_file file;
    struct io_op recv, send;
    bool receiving, sending;
};

void stream_open(struct stream *s, struct io *io, int fd);
/* Makes what is pending end soon. */
void stream_shutdown(struct stream *s);
/* Nothing is pending any more. */
void stream_close(struct stream *s);

/* The completions call stream_received or stream_sent first. */
void stream_receive(struct stream *s, void *at, uint32_t bytes, io_done_fn *done);
void stream_receive_pooled(struct stream *s, io_done_fn *done);
void stream_send(struct stream *s, const struct iovec *pieces, uint32_t count, io_done_fn *done);
static inline void stream_received(struct stream *s)
{
    assert(s->receiving);
    s->receiving = false;
}
static inline void stream_sent(struct stream *s)
{
    assert(s->sending);
    s->sending = false;
}
