/* forget: an nbdkit plugin whose disk forgets. Reads see the newest bytes. The image holds only what was flushed: a
 * flush commits everything written before it, a FUA write commits itself. At the cut the disk dies at once, and what
 * was not flushed is decided sector by sector, as a real write cache would: each 512-byte sector that is still
 * volatile keeps the bytes of the image, or gets the newest ones, or those of a write between the two.
 *
 *   file=IMAGE size=BYTES cut=FIFO seed=N [keep=PERCENT] [flush_us=N] report=FILE
 *
 * A byte written to the FIFO is the cut: the seeded choice goes into the image, one line about it into the report, and
 * the process ends. Without keep= the seed also draws how much survives, and whether 4 KiB share
 * their fate. With flush_us= each flush and FUA write takes so long, and everything else waits meanwhile. */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS

enum { SECTOR = 512, BLOCK_SECTORS = 8, WORD = 64 };

struct counts {
    uint64_t open, newest, older;
};

static struct {
    char *file, *cut, *report;
    int64_t size;
    uint64_t seed;
    int flush_us;           /* what a flush takes */
    int keep;               /* percent of the sectors that survive; -1: the seed decides */
    uint8_t *image;         /* what is durable: the file itself */
    uint8_t *now;           /* what reads see: a private copy of it */
    uint8_t *between;       /* the version before the newest, of a sector written twice since its flush */
    uint64_t *open, *twice; /* bits, one per sector: not flushed; has a version between */
    pthread_mutex_t lock;   /* requests against the cut */
} disk = {.keep = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

static bool bit_get(const uint64_t *bits, uint64_t i)
{
    return bits[i / WORD] >> (i % WORD) & 1;
}

static void bit_set(uint64_t *bits, uint64_t i, bool on)
{
    uint64_t mask = UINT64_C(1) << (i % WORD);
    bits[i / WORD] = on ? bits[i / WORD] | mask : bits[i / WORD] & ~mask;
}

/* Decides nothing: copies one sector of a version into the image and calls it durable. */
static void commit(uint64_t sector, const uint8_t *version)
{
    memcpy(disk.image + sector * SECTOR, version + sector * SECTOR, SECTOR);
    bit_set(disk.open, sector, false);
    bit_set(disk.twice, sector, false);
}

static void commit_range(uint64_t first, uint64_t end)
{
    for (uint64_t s = first; s < end; s++)
        if (bit_get(disk.open, s))
            commit(s, disk.now);
}

static void commit_all(void)
{
    uint64_t words = (uint64_t)disk.size / SECTOR / WORD;
    for (uint64_t w = 0; w < words; w++)
        if (disk.open[w])
            commit_range(w * WORD, (w + 1) * WORD);
}

/* --- the cut --------------------------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* What one sector becomes; `fate` is 64 random bits, shared by the sectors that share their fate. */
static void decide(uint64_t sector, uint64_t fate, int keep, struct counts *counts)
{
    counts->open++;
    if ((int)(fate % 100) >= keep)
        return;
    bool older = bit_get(disk.twice, sector) && (fate >> 32) % 2;
    counts->older += older;
    counts->newest += !older;
    commit(sector, older ? disk.between : disk.now);
}

static void decide_all(struct counts *counts)
{
    static const int keeps[] = {0, 20, 50, 50, 80, 95};
    uint64_t rng = disk.seed, fate = 0;
    int drawn = keeps[draw(&rng) % (sizeof keeps / sizeof *keeps)];
    int keep = disk.keep >= 0 ? disk.keep : drawn;
    uint64_t shared = draw(&rng) % 2 ? BLOCK_SECTORS : 1;
    for (uint64_t s = 0; s < (uint64_t)disk.size / SECTOR; s++) {
        if (s % shared == 0)
            fate = draw(&rng);
        if (bit_get(disk.open, s))
            decide(s, fate, keep, counts);
    }
}

static void report_cut(const struct counts *c)
{
    FILE *f = fopen(disk.report, "w");
    if (!f)
        return;
    fprintf(f, "open=%" PRIu64 " newest=%" PRIu64 " older=%" PRIu64 " lost=%" PRIu64 "\n", c->open, c->newest, c->older,
            c->open - c->newest - c->older);
    fclose(f);
}

/* Blocks until somebody writes to the FIFO. No request is served any more once the lock is taken. */
static void *watch(void *unused)
{
    struct counts counts = {0};
    char byte;
    int fd = open(disk.cut, O_RDWR | O_CLOEXEC); /* read and write: no end of file when a writer leaves */
    (void)unused;
    while (fd >= 0 && read(fd, &byte, 1) != 1)
        ;
    if (fd < 0)
        return NULL;
    pthread_mutex_lock(&disk.lock);
    decide_all(&counts);
    report_cut(&counts);
    _exit(0);
}

/* --- the plugin ------------------------------------------------------------------------------------------------ */

static int forget_config(const char *key, const char *value)
{
    if (!strcmp(key, "file"))
        disk.file = nbdkit_absolute_path(value);
    else if (!strcmp(key, "cut"))
        disk.cut = nbdkit_absolute_path(value);
    else if (!strcmp(key, "report"))
        disk.report = nbdkit_absolute_path(value);
    else if (!strcmp(key, "size"))
        disk.size = nbdkit_parse_size(value);
    else if (!strcmp(key, "keep"))
        return nbdkit_parse_int("keep", value, &disk.keep);
    else if (!strcmp(key, "flush_us"))
        return nbdkit_parse_int("flush_us", value, &disk.flush_us);
    else if (!strcmp(key, "seed"))
        return nbdkit_parse_uint64_t("seed", value, &disk.seed);
    else
        return nbdkit_error("unknown parameter %s", key), -1;
    return 0;
}

static int forget_config_complete(void)
{
    if (disk.file && disk.cut && disk.report && disk.size > 0 && disk.size % (SECTOR * WORD) == 0)
        return 0;
    nbdkit_error("file=, cut=, report= and size= (a multiple of 32 KiB) are needed");
    return -1;
}

static int forget_get_ready(void)
{
    size_t size = (size_t)disk.size, bits = size / SECTOR / 8;
    int fd = open(disk.file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, disk.size))
        return nbdkit_error("%s: %s", disk.file, strerror(errno)), -1;
    disk.image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    disk.now = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    disk.between = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    disk.open = calloc(1, bits);
    disk.twice = calloc(1, bits);
    close(fd);
    if (disk.flush_us > 0 && disk.now != MAP_FAILED) /* for benches: what is timed are flushes, not page faults */
        (void)madvise(disk.now, size, MADV_POPULATE_WRITE);
    bool good = disk.image != MAP_FAILED && disk.now != MAP_FAILED && disk.between != MAP_FAILED;
    return good && disk.open && disk.twice ? 0 : (nbdkit_error("no memory"), -1);
}

static int forget_after_fork(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, watch, NULL) ? (nbdkit_error("no thread"), -1) : 0;
}

static void *forget_open(int readonly)
{
    (void)readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t forget_get_size(void *handle)
{
    (void)handle;
    return disk.size;
}

static int forget_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    (void)handle;
    *minimum = SECTOR;
    *preferred = 4096;
    *maximum = 32u << 20;
    return 0;
}

static int forget_pread(void *handle, void *to, uint32_t n, uint64_t at, uint32_t flags)
{
    (void)handle;
    (void)flags;
    memcpy(to, disk.now + at, n);
    return 0;
}

static void write_sector(uint64_t s, const uint8_t *from)
{
    if (bit_get(disk.open, s)) {
        memcpy(disk.between + s * SECTOR, disk.now + s * SECTOR, SECTOR);
        bit_set(disk.twice, s, true);
    }
    memcpy(disk.now + s * SECTOR, from, SECTOR);
    bit_set(disk.open, s, true);
}

static void take_time(void)
{
    if (disk.flush_us > 0)
        usleep((useconds_t)disk.flush_us);
}

static int forget_pwrite(void *handle, const void *from, uint32_t n, uint64_t at, uint32_t flags)
{
    (void)handle;
    if (n % SECTOR || at % SECTOR)
        return nbdkit_error("a write of %" PRIu32 " bytes at %" PRIu64 " is not made of sectors", n, at), -1;
    uint64_t first = at / SECTOR, end = (at + n) / SECTOR;
    if (flags & NBDKIT_FLAG_FUA)
        take_time();
    pthread_mutex_lock(&disk.lock);
    for (uint64_t s = first; s < end; s++)
        write_sector(s, (const uint8_t *)from + (s - first) * SECTOR);
    if (flags & NBDKIT_FLAG_FUA)
        commit_range(first, end);
    pthread_mutex_unlock(&disk.lock);
    return 0;
}

static int forget_flush(void *handle, uint32_t flags)
{
    (void)handle;
    (void)flags;
    take_time();
    pthread_mutex_lock(&disk.lock);
    commit_all();
    pthread_mutex_unlock(&disk.lock);
    return 0;
}

static int forget_can_flush(void *handle)
{
    (void)handle;
    return 1;
}

static int forget_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE;
}

static struct nbdkit_plugin plugin = {
    .name = "forget",
    .config = forget_config,
    .config_complete = forget_config_complete,
    .get_ready = forget_get_ready,
    .after_fork = forget_after_fork,
    .open = forget_open,
    .get_size = forget_get_size,
    .block_size = forget_block_size,
    .pread = forget_pread,
    .pwrite = forget_pwrite,
    .flush = forget_flush,
    .can_flush = forget_can_flush,
    .can_fua = forget_can_fua,
};
NBDKIT_REGISTER_PLUGIN(plugin)
