/* Filling in an operation, the same for every engine and for the simulator; io_start takes it from there. */
#include "core/io.h"

static inline void prepare_op(struct io_op *op, enum io_kind kind, struct io_file *f, io_done_fn *done)
{
    assert(done);
    assert(!f || f->fd >= 0);
    op->done = done;
    op->file = f;
    op->kind = (uint8_t)kind;
    op->class = IO_URGENT;
    op->vector = op->dsync = false;
    list_init(&op->link);
}

void io_accept(struct io *io, struct io_op *op, struct io_file *listener, io_done_fn *done)
{
    assert(listener);
    prepare_op(op, IO_ACCEPT, listener, done);
    io_start(io, op);
}

void io_recv(struct io *io, struct io_op *op, struct io_file *f, void *at, uint32_t bytes, io_done_fn *done)
{
    assert(at && bytes > 0);
    prepare_op(op, IO_RECV, f, done);
    op->buf.at = at;
    op->len = bytes;
    io_start(io, op);
}

void io_recv_pooled(struct io *io, struct io_op *op, struct io_file *f, io_done_fn *done)
{
    assert(f);
    prepare_op(op, IO_RECV_POOLED, f, done);
    op->buf.at = NULL;
    io_start(io, op);
}

void io_send(struct io *io, struct io_op *op, struct io_file *f, const struct iovec *iov, uint32_t count,
             io_done_fn *done)
{
    assert(count > 0);
    prepare_op(op, IO_SEND, f, done);
    op->iov = iov;
    op->vector = true;
    op->len = count;
    io_start(io, op);
}

void io_read(struct io *io, struct io_op *op, struct io_file *f, void *at, uint32_t bytes, uint64_t off,
             io_done_fn *done)
{
    assert(at && bytes > 0);
    prepare_op(op, IO_READ, f, done);
    op->buf.at = at;
    op->len = bytes;
    op->off = off;
    io_start(io, op);
}

void io_write(struct io *io, struct io_op *op, struct io_file *f, const void *at, uint32_t bytes, uint64_t off,
              bool dsync, io_done_fn *done)
{
    assert(at && bytes > 0);
    prepare_op(op, IO_WRITE, f, done);
    op->buf.at = (void *)(uintptr_t)at;
    op->len = bytes;
    op->off = off;
    op->dsync = dsync;
    io_start(io, op);
}

void io_writev(struct io *io, struct io_op *op, struct io_file *f, const struct iovec *iov, uint32_t count,
               uint64_t off, bool dsync, io_done_fn *done)
{
    assert(count > 0);
    prepare_op(op, IO_WRITE, f, done);
    op->iov = iov;
    op->vector = true;
    op->len = count;
    op->off = off;
    op->dsync = dsync;
    io_start(io, op);
}

void io_sync(struct io *io, struct io_op *op, struct io_file *f, io_done_fn *done)
{
    assert(f);
    prepare_op(op, IO_SYNC, f, done);
    io_start(io, op);
}

void io_allocate(struct io *io, struct io_op *op, struct io_file *f, uint64_t off, uint64_t bytes, io_done_fn *done)
{
    assert(bytes > 0);
    prepare_op(op, IO_ALLOCATE, f, done);
    op->bytes = bytes;
    op->off = off;
    io_start(io, op);
}

void io_job(struct io *io, struct io_op *op, enum io_class class, int32_t (*run)(void *arg), void *arg,
            io_done_fn *done)
{
    assert(run);
    assert(class < IO_CLASSES);
    prepare_op(op, IO_JOB, NULL, done);
    op->class = (uint8_t) class;
    op->job.run = run;
    op->job.arg = arg;
    io_start(io, op);
}
