/* Disk ops as blocking calls. */
#include "core/io_disk.h"
#include "core/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

static int32_t disk_result(ssize_t n)
{
    return n < 0 ? -errno : (int32_t)n;
}

static int32_t write_then_sync(int fd, const struct iovec *iov, int count, off_t off)
{
    assert(fd >= 0);
    assert(count > 0);
    ssize_t n = pwritev(fd, iov, count, off);
    return n >= 0 && fdatasync(fd) != 0 ? -errno : disk_result(n);
}

static int32_t write_disk_pieces(const struct io_op *op)
{
    assert(op->kind == IO_WRITE);
    assert(op->file->fd >= 0);
    struct iovec one = {.iov_base = op->buf.at, .iov_len = op->len};
    const struct iovec *iov = op->vector ? op->iov : &one;
    int fd = op->file->fd, count = op->vector ? (int)op->len : 1;
    if (!op->dsync || PLANTED(thread_write_not_durable))
        return disk_result(pwritev(fd, iov, count, (off_t)op->off));
    int32_t res = disk_result(pwritev2(fd, iov, count, (off_t)op->off, RWF_DSYNC));
    /* A sandbox's kernel may not know the flag: the promise can still be kept. */
    return res == -EOPNOTSUPP || res == -ENOSYS ? write_then_sync(fd, iov, count, (off_t)op->off) : res;
}

static int32_t execute_disk_op(struct io_op *op)
{
    assert(op->kind == IO_JOB || op->file->fd >= 0);
    switch ((enum io_kind)op->kind) {
    case IO_READ: return disk_result(pread(op->file->fd, op->buf.at, op->len, (off_t)op->off));
    case IO_WRITE: return write_disk_pieces(op);
    case IO_SYNC: return disk_result(fdatasync(op->file->fd));
    case IO_ALLOCATE: return disk_result(fallocate(op->file->fd, 0, (off_t)op->off, (off_t)op->bytes));
    case IO_JOB: return op->job.run(op->job.arg);
    case IO_ACCEPT:
    case IO_RECV:
    case IO_RECV_POOLED:
    case IO_SEND: break;
    }
    assert(!"a socket op on the helper thread");
    return -EINVAL;
}

int32_t io_disk_confirm(const struct io_op *op, int32_t res)
{
    assert(op->kind != IO_JOB);
    bool durable = op->kind == IO_SYNC || (op->kind == IO_WRITE && op->dsync);
    return !durable || res < 0 || fs_is_up(op->file->fd) ? res : -EIO;
}

int32_t io_disk_execute(struct io_op *op)
{
    assert(op && op->done);
    int32_t res;
    do
        res = execute_disk_op(op);
    while (res == -EINTR && op->kind != IO_JOB); /* a job's res is its own */
    return op->kind == IO_JOB ? res : io_disk_confirm(op, res);
}
