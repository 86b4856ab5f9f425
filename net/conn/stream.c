/* The bytes of one connection, as they are on the wire: in the clear. */
#include "net/conn/stream.h"

void stream_open(struct stream *s, struct io *io, int fd)
{
    *s = (struct stream){.io = io};
    io_file_init(&s->file, fd);
    io_file_attach(io, &s->file);
}

void stream_shutdown(struct stream *s)
{
    io_shutdown(&s->file);
}

void stream_close(struct stream *s)
{
    assert(!s->receiving);
    assert(!s->sending);
    io_close(s->io, &s->file);
}

void stream_receive(struct stream *s, void *at, uint32_t bytes, io_done_fn *done)
{
    assert(!s->receiving);
    assert(bytes > 0);
    s->receiving = true;
    io_recv(s->io, &s->recv, &s->file, at, bytes, done);
}

void stream_receive_pooled(struct stream *s, io_done_fn *done)
{
    assert(!s->receiving);
    s->receiving = true;
    io_recv_pooled(s->io, &s->recv, &s->file, done);
}

void stream_send(struct stream *s, const struct iovec *pieces, uint32_t count, io_done_fn *done)
{
    assert(!s->sending);
    assert(count > 0);
    s->sending = true;
    io_send(s->io, &s->send, &s->file, pieces, count, done);
}
