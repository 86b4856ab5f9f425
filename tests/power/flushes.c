/* flushes: writes and flushes without a pause, by the broker's own doors, while the file system is shut down without its journal; and says
 * after the next mount what is left of what was durable.
 *
 *   flushes write DIR MS ACKS   four threads, each with files of its own in DIR, each with another way to be durable; after MS ms the shutdown.
 *                               A line in ACKS for each success: file, bytes from its start
 *   flushes check DIR ACKS      prints acks=, lost=; fails when one is lost */
#define _GNU_SOURCE
#include "core/fs.h"
#include "core/io_disk.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { THREADS = 4, FILE_BYTES = 1 << 20, STEP_BYTES = 64 * 1024, ACKS_MAX = 1 << 16, NO_LOG_FLUSH = 2 };
#define GOING_DOWN _IOR('X', 125, uint32_t)

struct ack {
    uint32_t file;
    uint64_t bytes;
};
struct writer {
    pthread_t thread;
    const char *dir;
    uint32_t number, files, acks;
    uint8_t *piece;
    struct ack v[ACKS_MAX];
};
static atomic_bool stop;
static struct writer writers[THREADS];

static void path_of(char *out, size_t n, const char *dir, uint32_t writer, uint32_t file)
{
    snprintf(out, n, "%s/%u-%u", dir, writer, file);
}

static uint8_t value_of(uint32_t writer, uint32_t file, uint64_t at)
{
    return (uint8_t)(1 + (writer * 61 + file * 17 + at / STEP_BYTES) % 255);
}

static void unused_done(struct io_op *op, int32_t res)
{
    (void)op;
    (void)res;
}

/* Writes a piece by one of the ways, and is true when the door says that it is durable. */
static bool put_durably(struct writer *w, int fd, uint64_t at)
{
    struct io_file file = {.fd = fd, .slot = -1};
    struct io_op op = {
        .done = unused_done, .file = &file, .kind = IO_WRITE, .off = at, .len = STEP_BYTES, .buf.at = w->piece};
    op.dsync = w->number == 0;
    if (io_disk_execute(&op) != STEP_BYTES)
        return false;
    if (op.dsync)
        return true;
    op.kind = IO_SYNC;
    return w->number == 1 ? fs_sync(fd) == ERR_NONE : io_disk_execute(&op) == 0;
}

static bool fill_file(struct writer *w, int fd)
{
    for (uint64_t at = 0; at < FILE_BYTES && !stop && w->acks < ACKS_MAX; at += STEP_BYTES) {
        memset(w->piece, value_of(w->number, w->files, at), STEP_BYTES);
        if (!put_durably(w, fd, at))
            return false;
        w->v[w->acks++] = (struct ack){w->files, at + STEP_BYTES};
    }
    return true;
}

/* One file after the other, with its space, and with its name on the disk before it is used. */
static void *run_writer(void *arg)
{
    struct writer *w = arg;
    bool good = true;
    for (; good && !stop; w->files++) {
        char path[512];
        int fd = -1;
        path_of(path, sizeof path, w->dir, w->number, w->files);
        good = fs_open(path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd) == ERR_NONE &&
               fs_allocate(fd, 0, FILE_BYTES) == ERR_NONE && fs_sync(fd) == ERR_NONE &&
               fs_sync_dir(w->dir) == ERR_NONE && fill_file(w, fd);
        if (fd >= 0)
            fs_close(fd);
    }
    return NULL;
}

static int write_until_shutdown(const char *dir, unsigned ms, const char *acks)
{
    uint32_t how = NO_LOG_FLUSH;
    int root = open(dir, O_RDONLY | O_CLOEXEC);
    FILE *out = fopen(acks, "w");
    if (root < 0 || !out)
        return perror(dir), 2;
    for (uint32_t i = 0; i < THREADS; i++) {
        writers[i].dir = dir;
        writers[i].number = i;
        writers[i].piece = aligned_alloc(4096, STEP_BYTES);
        if (!writers[i].piece || pthread_create(&writers[i].thread, NULL, run_writer, &writers[i]))
            return 2;
    }
    usleep(ms * 1000);
    int down = ioctl(root, GOING_DOWN, &how);
    stop = true;
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(writers[i].thread, NULL);
        for (uint32_t k = 0; k < writers[i].acks; k++)
            fprintf(out, "%u %u %llu\n", i, writers[i].v[k].file, (unsigned long long)writers[i].v[k].bytes);
    }
    return fclose(out) || down ? (perror("the shutdown"), 2) : 0;
}

static bool is_there(const char *dir, uint32_t writer, uint32_t file, uint64_t bytes)
{
    static uint8_t got[FILE_BYTES];
    char path[512];
    path_of(path, sizeof path, dir, writer, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && pread(fd, got, bytes, 0) == (ssize_t)bytes;
    for (uint64_t at = 0; at < bytes && good; at++)
        good = got[at] == value_of(writer, file, at);
    if (fd >= 0)
        close(fd);
    return good;
}

static int check(const char *dir, const char *acks)
{
    uint32_t writer, file, count = 0, lost = 0;
    unsigned long long bytes;
    FILE *in = fopen(acks, "r");
    while (in && fscanf(in, "%u %u %llu", &writer, &file, &bytes) == 3 && bytes <= FILE_BYTES) {
        count++;
        lost += !is_there(dir, writer, file, bytes);
    }
    printf("acks=%u lost=%u\n", count, lost);
    return !in || lost;
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "write"))
        return write_until_shutdown(argv[2], (unsigned)atoi(argv[3]), argv[4]);
    if (argc == 4 && !strcmp(argv[1], "check"))
        return check(argv[2], argv[3]);
    fprintf(stderr, "flushes write DIR MS ACKS | flushes check DIR ACKS\n");
    return 2;
}
