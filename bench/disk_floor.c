/* What the disk under a broker takes, without a broker:
 *
 *   disk_floor write FILE [--count N] [--cpu N]       one durable 4 KiB write after the other (O_DIRECT, RWF_DSYNC) into a file whose blocks
 *                                                     are written already: what no durable ack can be below
 *   disk_floor waves FOLDER [--files N] [--count N] [--cpu N]
 *                                                     4 KiB into each of N files at once, again and again, through io_uring: CPU of such a
 *                                                     wave where each write is durable by itself, and where one flush follows all
 *   disk_floor read FILE ... [--cpu N]                all bytes of the files, in their order, DEPTH reads of 1 MiB at a time with O_DIRECT
 *
 * Prints one JSON object. The write blocks in the call: it depends on no kernel worker, so that it is the floor on a busy machine too. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/load/cpu.h"
#include "bench/load/hist.h"

enum { BLOCK = 4096, FILE_BYTES = 16 << 20, WARM = 100, PIECE = 1 << 20, DEPTH = 4 };

__attribute__((noreturn)) static void give_up(const char *what)
{
    printf("{\"ok\": false, \"wrong\": \"%s: %s\"}\n", what, strerror(errno));
    exit(1);
}

/* Where the file system has no direct IO, the page cache; RWF_DSYNC makes that durable too. */
static int open_direct(const char *path, int flags)
{
    int fd = open(path, flags | O_DIRECT | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EINVAL)
        fd = open(path, flags | O_CLOEXEC, 0644);
    if (fd < 0)
        give_up(path);
    return fd;
}

static void write_all(int fd, const uint8_t *block)
{
    for (off_t at = 0; at < FILE_BYTES; at += BLOCK) {
        if (pwrite(fd, block, BLOCK, at) != BLOCK)
            give_up("write");
    }
    if (fsync(fd) != 0)
        give_up("fsync");
}

static int time_writes(const char *path, uint32_t count)
{
    static struct hist took;
    uint8_t *block = aligned_alloc(BLOCK, BLOCK);
    int fd = open_direct(path, O_RDWR | O_CREAT);
    if (!block)
        give_up("memory");
    memset(block, 0x5a, BLOCK);
    write_all(fd, block);
    for (uint32_t i = 0; i < count + WARM; i++) {
        struct iovec part = {block, BLOCK};
        uint64_t from = cpu_now_ns();
        if (pwritev2(fd, &part, 1, (off_t)i * BLOCK % FILE_BYTES, RWF_DSYNC) != BLOCK)
            give_up("durable write");
        if (i >= WARM)
            hist_add(&took, cpu_now_ns() - from);
    }
    close(fd);
    free(block);
    printf("{\"ok\": true, \"count\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f}\n", count,
           (double)hist_quantile(&took, 0.5) / 1e3, (double)hist_quantile(&took, 0.99) / 1e3,
           (double)hist_quantile(&took, 0.999) / 1e3);
    return 0;
}

/* --- waves --- */

enum { FILES_MAX = 1024, WAVE_BLOCKS = 4 };
struct waves {
    struct io_uring ring;
    uint8_t *block;
    int fds[FILES_MAX];
    uint32_t files;
};

static void open_wave_files(struct waves *w, const char *folder)
{
    w->block = aligned_alloc(BLOCK, BLOCK);
    if (!w->block)
        give_up("memory");
    memset(w->block, 0x5a, BLOCK);
    for (uint32_t i = 0; i < w->files; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/wave-%u", folder, i);
        w->fds[i] = open_direct(path, O_RDWR | O_CREAT);
        for (int k = 0; k < WAVE_BLOCKS; k++)
            if (pwrite(w->fds[i], w->block, BLOCK, (off_t)k * BLOCK) != BLOCK)
                give_up("write");
        if (fsync(w->fds[i]) != 0)
            give_up("fsync");
    }
}

static void open_wave_ring(struct waves *w)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    struct iovec part = {w->block, BLOCK};
    int rc = io_uring_queue_init_params(FILES_MAX, &w->ring, &p);
    if (rc != 0) /* before Linux 6.1 */
        rc = io_uring_queue_init(FILES_MAX, &w->ring, 0);
    if (rc == 0)
        rc = io_uring_register_buffers(&w->ring, &part, 1);
    if (rc == 0)
        rc = io_uring_register_files(&w->ring, w->fds, w->files);
    errno = -rc;
    if (rc != 0)
        give_up("io_uring");
}

static void write_wave(struct waves *w, uint64_t at, int rw_flags)
{
    for (uint32_t i = 0; i < w->files; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
        io_uring_prep_write_fixed(sqe, (int)i, w->block, BLOCK, at, 0);
        sqe->flags |= IOSQE_FIXED_FILE;
        sqe->rw_flags = rw_flags;
    }
    for (uint32_t left = w->files; left > 0;) {
        struct io_uring_cqe *cqe;
        io_uring_submit_and_wait(&w->ring, 1);
        for (; io_uring_peek_cqe(&w->ring, &cqe) == 0; left--) {
            errno = cqe->res < 0 ? -cqe->res : EIO;
            if (cqe->res != BLOCK)
                give_up("wave");
            io_uring_cqe_seen(&w->ring, cqe);
        }
    }
}

/* CPU us a wave, of all threads of this process. */
static double time_wave_kind(struct waves *w, uint32_t count, bool shared)
{
    uint64_t from = cpu_used_ns(getpid());
    for (uint32_t i = 0; i < count; i++) {
        write_wave(w, (uint64_t)i % WAVE_BLOCKS * BLOCK, shared ? 0 : RWF_DSYNC);
        if (shared && fdatasync(w->fds[0]) != 0)
            give_up("fdatasync");
    }
    return (double)(cpu_used_ns(getpid()) - from) / 1e3 / count;
}

static int time_waves(const char *folder, uint32_t files, uint32_t count)
{
    static struct waves w;
    w.files = files;
    open_wave_files(&w, folder);
    open_wave_ring(&w);
    (void)time_wave_kind(&w, 2, true);
    double shared = time_wave_kind(&w, count, true), each = time_wave_kind(&w, count, false);
    printf("{\"ok\": true, \"files\": %u, \"each_cpu_us\": %.1f, \"shared_cpu_us\": %.1f}\n", files, each, shared);
    return 0;
}

/* --- reading --- */

struct reading {
    struct io_uring ring;
    uint8_t *buffers;
    uint64_t bytes;
};

static void read_file(struct reading *r, const char *path)
{
    struct stat st;
    int fd = open_direct(path, O_RDONLY);
    uint32_t in_flight = 0;
    if (fstat(fd, &st) != 0)
        give_up(path);
    for (off_t at = 0; at < st.st_size || in_flight > 0;) {
        for (; in_flight < DEPTH && at < st.st_size; at += PIECE, in_flight++) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);
            io_uring_prep_read(sqe, fd, r->buffers + (size_t)(at / PIECE % DEPTH) * PIECE, PIECE, (uint64_t)at);
        }
        io_uring_submit_and_wait(&r->ring, 1);
        struct io_uring_cqe *cqe;
        while (io_uring_peek_cqe(&r->ring, &cqe) == 0) {
            errno = cqe->res < 0 ? -cqe->res : 0;
            if (cqe->res < 0)
                give_up("read");
            r->bytes += (uint64_t)cqe->res;
            io_uring_cqe_seen(&r->ring, cqe);
            in_flight--;
        }
    }
    close(fd);
}

static int time_reads(char **paths)
{
    struct reading r = {.buffers = aligned_alloc(BLOCK, (size_t)DEPTH * PIECE)};
    int rc = io_uring_queue_init(DEPTH, &r.ring, 0);
    errno = rc < 0 ? -rc : ENOMEM;
    if (rc != 0 || !r.buffers)
        give_up("io_uring");
    uint64_t from = cpu_now_ns();
    for (; *paths; paths++)
        read_file(&r, *paths);
    double seconds = (double)(cpu_now_ns() - from) / 1e9;
    printf("{\"ok\": true, \"bytes\": %llu, \"seconds\": %.6f, \"mb_s\": %.1f}\n", (unsigned long long)r.bytes, seconds,
           (double)r.bytes / 1e6 / seconds);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"count", 1, NULL, 'n'}, {"cpu", 1, NULL, 'c'}, {"files", 1, NULL, 'f'}, {NULL, 0, NULL, 0}};
    uint32_t count = 1000, files = 100;
    int bad = 0;
    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (o == 'n')
            count = (uint32_t)strtoul(optarg, NULL, 10);
        else if (o == 'f')
            files = (uint32_t)strtoul(optarg, NULL, 10);
        else
            bad |= o != 'c' || !cpu_pin(atoi(optarg));
    }
    if (!bad && argc - optind == 2 && strcmp(argv[optind], "write") == 0)
        return time_writes(argv[optind + 1], count);
    bad |= !count || !files || files > FILES_MAX;
    if (!bad && argc - optind == 2 && strcmp(argv[optind], "waves") == 0)
        return time_waves(argv[optind + 1], files, count);
    if (!bad && argc - optind >= 2 && strcmp(argv[optind], "read") == 0)
        return time_reads(argv + optind + 1);
    fputs("usage: disk_floor write FILE [--count N] [--cpu N] | waves FOLDER [--files N] [--count N] [--cpu N] | read "
          "FILE ... [--cpu N]\n",
          stderr);
    return 2;
}
