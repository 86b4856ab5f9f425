/* The disk ops of the engines. Every case runs over each: io_uring with all features, io_uring with none, epoll. */
#include "core/io_uring.h"
#include "tests/unit/io_world.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void file_open(struct world *w, struct io_file *f, int flags)
{
    mkdir("build", 0755);
    int fd = open("build/test_io_disk.data", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0644);
    assert_true(fd >= 0);
    io_file_init(f, fd);
    io_file_attach(w->io, f);
}

static void file_close(struct world *w, struct io_file *f)
{
    io_close(w->io, f);
    unlink("build/test_io_disk.data");
}

static void writes_and_reads_back(struct world *w, int flags, bool dsync)
{
    enum { BYTES = 64 * 1024 };
    struct io_file f;
    struct call c = {0};
    uint8_t *slab = region_open(SLAB_BYTES);
    io_slab_register(w->io, 0, slab, SLAB_BYTES);
    uint8_t *other = region_open(BYTES);
    memset(slab, 'a', BYTES);
    memset(slab + BYTES, 'b', BYTES);
    file_open(w, &f, flags);
    f.writes_wait = dsync; /* the engine's affair: what comes of it is the same */
    io_write(w->io, &c.op, &f, slab, BYTES, 0, dsync, called);
    assert_int_equal(c.count, 0);
    assert_int_equal(finish(w->io, &c), BYTES);
    struct iovec iov[3] = {{slab + BYTES, 4096}, {slab, 4096}, {slab + BYTES, 8192}};
    io_writev(w->io, &c.op, &f, iov, 3, BYTES, dsync, called);
    assert_int_equal(finish(w->io, &c), 16384);
    io_writev(w->io, &c.op, &f, iov, 1, BYTES + 16384, dsync, called);
    assert_int_equal(finish(w->io, &c), 4096);
    io_sync(w->io, &c.op, &f, called);
    assert_int_equal(finish(w->io, &c), 0);
    io_read(w->io, &c.op, &f, other, BYTES, 0, called);
    assert_int_equal(finish(w->io, &c), BYTES);
    assert_memory_equal(other, slab, BYTES);
    io_read(w->io, &c.op, &f, slab + 4 * BYTES, BYTES, BYTES, called); /* registered, and short at the end */
    assert_int_equal(finish(w->io, &c), 16384 + 4096);
    assert_int_equal(slab[4 * BYTES], 'b');
    assert_int_equal(slab[4 * BYTES + 4096], 'a');
    assert_int_equal(slab[4 * BYTES + 8192], 'b');
    file_close(w, &f);
    io_slab_unregister(w->io, 0);
    region_close(slab, SLAB_BYTES);
    region_close(other, BYTES);
}

enum { CACHESTAT = 451 /* Linux 6.5; headers may be older */ };
struct pages_of {
    uint64_t cached, dirty, written_back, evicted, recently_evicted;
};

/* -1: the kernel does not say. */
static int64_t dirty_pages(int fd)
{
    uint64_t whole[2] = {0, 0};
    struct pages_of pages;
    return syscall(CACHESTAT, fd, whole, &pages, 0) ? -1 : (int64_t)(pages.dirty + pages.written_back);
}

/* Whichever way a durable write goes (the ring, the thread, the epoll engine's pool), it had RWF_DSYNC: in turn, since each way gets the next
 * one that finds nothing before it. */
static void a_durable_write_leaves_nothing_dirty(struct world *w)
{
    enum { WRITES = 12 };
    static uint8_t block[2][4096];
    struct io_file f;
    struct call c = {0};
    file_open(w, &f, 0);
    io_write(w->io, &c.op, &f, block, sizeof block[0], 0, false, called);
    assert_int_equal(finish(w->io, &c), sizeof block[0]);
    if (dirty_pages(f.fd) <= 0) {
        printf("not run: a durable write leaves nothing dirty: this kernel or file system does not say\n");
        file_close(w, &f);
        return;
    }
    io_sync(w->io, &c.op, &f, called);
    assert_int_equal(finish(w->io, &c), 0);
    assert_int_equal(dirty_pages(f.fd), 0);
    for (uint64_t i = 0; i < WRITES; i++) {
        struct iovec iov[2] = {{block[0], sizeof block[0]}, {block[1], sizeof block[1]}};
        if (i % 2)
            io_writev(w->io, &c.op, &f, iov, 2, i * sizeof block, true, called);
        else
            io_write(w->io, &c.op, &f, block, sizeof block, i * sizeof block, true, called);
        assert_int_equal(finish(w->io, &c), sizeof block);
        if (dirty_pages(f.fd) != 0)
            fail_msg("a durable write left pages dirty"); /* tests/sim/run looks for these words */
    }
    file_close(w, &f);
}

static void writes_buffered_plain_and_durable(struct world *w)
{
    writes_and_reads_back(w, 0, false);
    writes_and_reads_back(w, 0, true);
}

static void writes_direct_plain_and_durable(struct world *w)
{
    int fd = open("build/test_io_disk.data", O_RDWR | O_CREAT | O_DIRECT, 0644);
    if (fd < 0) {
        printf("not run: direct writes: no O_DIRECT here\n");
        return;
    }
    close(fd);
    writes_and_reads_back(w, O_DIRECT, false);
    writes_and_reads_back(w, O_DIRECT, true);
}

/* Cached pages make the kernel refuse to write without waiting: the engine goes on all the same. */
static void writes_direct_beside_cached_pages(struct world *w)
{
    enum { BYTES = 16 * 4096 };
    struct io_file f;
    struct call c[16] = {0};
    uint8_t *at = region_open(BYTES);
    memset(at, 'x', BYTES);
    file_open(w, &f, O_DIRECT);
    int buffered = open("build/test_io_disk.data", O_RDWR);
    assert_int_equal(pwrite(buffered, at, BYTES, 0), BYTES);
    for (int i = 0; i < 16; i++)
        io_write(w->io, &c[i].op, &f, at, 4096, (uint64_t)i * 4096, true, called);
    for (int i = 0; i < 16; i++)
        assert_int_equal(finish(w->io, &c[i]), 4096);
    close(buffered);
    file_close(w, &f);
    region_close(at, BYTES);
}

static void allocates_with_the_size_set(struct world *w)
{
    struct io_file f;
    struct call c = {0};
    struct stat st;
    file_open(w, &f, 0);
    io_allocate(w->io, &c.op, &f, 0, 1 << 20, called);
    int32_t res = finish(w->io, &c);
    if (res == -EOPNOTSUPP) {
        printf("not run: allocates: this file system cannot\n");
    } else {
        assert_int_equal(res, 0);
        assert_int_equal(fstat(f.fd, &st), 0);
        assert_int_equal(st.st_size, 1 << 20);
    }
    file_close(w, &f);
}

static void a_bad_descriptor_is_an_error_not_a_crash(struct world *w)
{
    struct io_file f;
    struct call c = {0};
    char at[16];
    int fd = open("/dev/null", O_WRONLY);
    io_file_init(&f, fd);
    io_read(w->io, &c.op, &f, at, sizeof at, 0, called);
    assert_int_equal(finish(w->io, &c), -EBADF);
    close(fd);
}

static void more_ops_than_the_queue_holds(struct world *w)
{
    enum { OPS = 3000 };
    static struct call c[OPS];
    static uint8_t block[4096];
    struct io_file f;
    memset(c, 0, sizeof c);
    file_open(w, &f, 0);
    for (int i = 0; i < OPS; i++)
        io_write(w->io, &c[i].op, &f, block, sizeof block, (uint64_t)(i % 64) * sizeof block, false, called);
    for (int i = 0; i < OPS; i++)
        assert_int_equal(finish(w->io, &c[i]), sizeof block);
    file_close(w, &f);
}

static int open_lock(void)
{
    int fd = open("build/test_io_disk.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    return fd;
}

/* What keeps a successor out after a kill: the ring's own reference, not our descriptor. It must be there even where
 * registered files are masked. With epoll no write outlives the process, and the descriptor is enough. */
static void the_ring_keeps_the_lock_after_the_descriptor_is_closed(struct world *w)
{
    int fd = open_lock(), other = open_lock();
    assert_int_equal(mkdir("build/test_io_disk.folder", 0755), 0);
    int folder = open("build/test_io_disk.folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        again = open("build/test_io_disk.folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB) | flock(folder, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(io_lock_attach(w->io, 0, fd) | io_lock_attach(w->io, 1, folder), ERR_NONE);
    close(fd);
    close(folder);
    bool kept = flock(other, LOCK_EX | LOCK_NB) != 0, kept_too = flock(again, LOCK_EX | LOCK_NB) != 0;
    assert_int_equal(kept, strcmp(io_engine_name(w->io), "io_uring") == 0);
    assert_int_equal(kept_too, kept);
    close(other);
    close(again);
    rmdir("build/test_io_disk.folder");
    unlink("build/test_io_disk.lock");
}

/* Otherwise a disk that is quick enough has the shard wait for its flush, now and then: the kernel makes a plug where there are more than
 * two SQEs. */
static void a_durable_write_is_not_submitted_alone(struct world *w)
{
    if (strcmp(io_engine_name(w->io), "io_uring") != 0)
        return;
    struct io_file f;
    struct call c = {0};
    const struct io_uring_sq *sq = &uring_of(w->io)->ring.sq;
    uint8_t *page = region_open(4096);
    file_open(w, &f, 0);
    (void)io_run(w->io, 0); /* what it reads for being woken is out */
    unsigned before = sq->sqe_tail;
    io_write(w->io, &c.op, &f, page, 4096, 0, true, called);
    (void)io_run(w->io, 0);
    assert_true(sq->sqe_tail - before > 2);
    if (c.count == 0)
        assert_int_equal(finish(w->io, &c), 4096);
    file_close(w, &f);
    region_close(page, 4096);
}

static const struct io_case cases[] = {
    CASE(writes_buffered_plain_and_durable),
    CASE(writes_direct_plain_and_durable),
    CASE(a_durable_write_leaves_nothing_dirty),
    CASE(writes_direct_beside_cached_pages),
    CASE(allocates_with_the_size_set),
    CASE(a_bad_descriptor_is_an_error_not_a_crash),
    CASE(a_durable_write_is_not_submitted_alone),
    CASE(more_ops_than_the_queue_holds),
    CASE(the_ring_keeps_the_lock_after_the_descriptor_is_closed),
};

ON_EVERY_VARIANT(cases)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_holds_on_io_uring),
        cmocka_unit_test(every_case_holds_on_io_uring_without_features),
        cmocka_unit_test(every_case_holds_on_epoll),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
