/* For LD_PRELOAD: fails chosen operations of a process on files below $FAULT_FOLDER, whichever engine asks for them: calls of libc, and
 * what goes to the kernel through io_uring's queue (READ, WRITE, FSYNC, FALLOCATE), which is replaced there by a NOP with the
 * error as its result (Linux 6.10). Nothing of what fails is done; a write by call is done in half.
 *
 * $FAULT_PLAN is a file that all starts of one course share: struct plan. Whoever writes it arms it (in_turn.py). */
#include <errno.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef IORING_NOP_INJECT_RESULT
#define IORING_NOP_INJECT_RESULT 1u
#endif

enum { FDS = 65536, NAME_BYTES = 32, FAILED_MAX = 64 };
struct plan {
    _Atomic int64_t count;              /* operations so far */
    int64_t fail_at;                    /* the number of the first that fails; -1: none does */
    int64_t for_good;                   /* and all that follow */
    _Atomic int64_t failed;             /* so many did */
    char names[FAILED_MAX][NAME_BYTES]; /* which, the first ones */
};
static struct plan *plan;
static const char *folder;
static size_t folder_bytes;
static _Atomic unsigned char ours[FDS];

__attribute__((constructor)) static void map_plan(void)
{
    const char *path = getenv("FAULT_PLAN");
    folder = getenv("FAULT_FOLDER");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || !folder)
        abort();
    folder_bytes = strlen(folder);
    plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (plan == MAP_FAILED)
        abort();
    syscall(SYS_close, fd);
}

/* Counts this operation: does it fail? */
static int fails(const char *name)
{
    int64_t at = plan->count++;
    if (plan->fail_at < 0 || at < plan->fail_at || (at > plan->fail_at && !plan->for_good))
        return 0;
    int64_t k = plan->failed++;
    if (k < FAILED_MAX)
        snprintf(plan->names[k], NAME_BYTES, "%s", name);
    errno = EIO;
    return 1;
}

static int is_ours(const char *path)
{
    return plan && strncmp(path, folder, folder_bytes) == 0; /* libraries begin before us */
}

static int fd_is_ours(int fd)
{
    return fd >= 0 && fd < FDS && ours[fd];
}

#define FIND_REAL(name)            \
    static __typeof__(&name) real; \
    if (!real)                     \
    real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    int watched = is_ours(path);
    if (watched && fails("open"))
        return -1;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= 0 && fd < FDS)
        ours[fd] = (unsigned char)watched;
    return fd;
}

ssize_t pread(int fd, void *at, size_t bytes, off_t off)
{
    return fd_is_ours(fd) && fails("pread") ? -1 : syscall(SYS_pread64, fd, at, bytes, off);
}

ssize_t pwrite(int fd, const void *at, size_t bytes, off_t off)
{
    if (!fd_is_ours(fd) || !fails("pwrite"))
        return syscall(SYS_pwrite64, fd, at, bytes, off);
    (void)!syscall(SYS_pwrite64, fd, at, bytes / 2, off); /* torn */
    errno = EIO;
    return -1;
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t off)
{
    return fd_is_ours(fd) && fails("pwritev") ? -1 : syscall(SYS_pwritev2, fd, iov, count, off, 0, 0);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t off, int flags)
{
    return fd_is_ours(fd) && fails("pwritev2") ? -1 : syscall(SYS_pwritev2, fd, iov, count, off, 0, flags);
}

ssize_t copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t bytes, unsigned flags)
{
    return fd_is_ours(from) && fails("copy_file_range")
               ? -1
               : syscall(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags);
}

int fdatasync(int fd)
{
    return fd_is_ours(fd) && fails("fdatasync") ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return fd_is_ours(fd) && fails("fsync") ? -1 : (int)syscall(SYS_fsync, fd);
}

int syncfs(int fd)
{
    return fd_is_ours(fd) && fails("syncfs") ? -1 : (int)syscall(SYS_syncfs, fd);
}

int ftruncate(int fd, off_t bytes)
{
    return fd_is_ours(fd) && fails("ftruncate") ? -1 : (int)syscall(SYS_ftruncate, fd, bytes);
}

int fallocate(int fd, int mode, off_t off, off_t bytes)
{
    return fd_is_ours(fd) && fails("fallocate") ? -1 : (int)syscall(SYS_fallocate, fd, mode, off, bytes);
}

int fstat(int fd, struct stat *out)
{
    return fd_is_ours(fd) && fails("fstat") ? -1 : (int)syscall(SYS_fstat, fd, out);
}

int stat(const char *path, struct stat *out)
{
    return is_ours(path) && fails("stat") ? -1 : (int)syscall(SYS_newfstatat, AT_FDCWD, path, out, 0);
}

int rename(const char *from, const char *to)
{
    return is_ours(from) && fails("rename") ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int link(const char *from, const char *to)
{
    return is_ours(to) && fails("link") ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    return is_ours(path) && fails("unlink") ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode)
{
    return is_ours(path) && fails("mkdir") ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int rmdir(const char *path)
{
    return is_ours(path) && fails("rmdir") ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

DIR *opendir(const char *path)
{
    FIND_REAL(opendir);
    return is_ours(path) && fails("opendir") ? NULL : real(path);
}

/* --- io_uring --- */

static int is_file_sqe(const struct io_uring_sqe *sqe)
{
    struct stat st;
    switch (sqe->opcode) {
    case IORING_OP_READ: /* a wake-up is one of an eventfd */
    case IORING_OP_READ_FIXED:
    case IORING_OP_READV:
    case IORING_OP_WRITE:
    case IORING_OP_WRITE_FIXED:
    case IORING_OP_WRITEV:
    case IORING_OP_FSYNC:
    case IORING_OP_FALLOCATE:
        return sqe->flags & IOSQE_FIXED_FILE || (syscall(SYS_fstat, sqe->fd, &st) == 0 && S_ISREG(st.st_mode));
    default: return 0;
    }
}

static const char *name_of_sqe(const struct io_uring_sqe *sqe)
{
    return sqe->opcode == IORING_OP_FSYNC       ? "uring fsync"
           : sqe->opcode == IORING_OP_FALLOCATE ? "uring fallocate"
           : sqe->opcode == IORING_OP_READ || sqe->opcode == IORING_OP_READ_FIXED || sqe->opcode == IORING_OP_READV
               ? "uring read"
           : sqe->rw_flags & RWF_DSYNC ? "uring durable write"
                                       : "uring write";
}

/* What waits to be submitted. Each is looked at once: a submission takes all. */
static void fail_queued(struct io_uring *ring)
{
    for (unsigned at = ring->sq.sqe_head; at != ring->sq.sqe_tail; at++) {
        struct io_uring_sqe *sqe = &ring->sq.sqes[at & ring->sq.ring_mask];
        if (!is_file_sqe(sqe) || !fails(name_of_sqe(sqe)))
            continue;
        uint64_t user_data = sqe->user_data;
        memset(sqe, 0, sizeof *sqe);
        sqe->opcode = IORING_OP_NOP;
        sqe->fd = -1;
        sqe->rw_flags = (int)IORING_NOP_INJECT_RESULT;
        sqe->len = (uint32_t)-EIO;
        sqe->user_data = user_data;
    }
}

int io_uring_submit(struct io_uring *ring)
{
    FIND_REAL(io_uring_submit);
    fail_queued(ring);
    return real(ring);
}

int io_uring_submit_and_get_events(struct io_uring *ring)
{
    FIND_REAL(io_uring_submit_and_get_events);
    fail_queued(ring);
    return real(ring);
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait,
                                     struct __kernel_timespec *ts, sigset_t *mask)
{
    FIND_REAL(io_uring_submit_and_wait_timeout);
    fail_queued(ring);
    return real(ring, cqe, wait, ts, mask);
}
