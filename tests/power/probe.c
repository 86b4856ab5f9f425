/* probe: writes to a file on the disk that forgets, and says after the cut what is left of it. It checks the disk, not
 * the broker: if this finds nothing lost, the power tests prove nothing.
 *
 *   probe prepare FILE    64 blocks of 4 KiB with generation 1, synced: overwritten extents; 64 fresh ones behind them
 *   probe write FILE CUT  writes generation 2, O_DIRECT: even blocks with RWF_DSYNC, then the odd ones without; then cuts
 *   probe check FILE      prints synced=, plain=, gone=: sectors of the synced blocks that hold generation 2, of the
 *                         plain ones that do, and of the plain ones that do not; fails when a synced sector is not there */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BLOCK = 4096, SECTOR = 512, HALF = 64, BLOCKS = 2 * HALF };

struct stamp {
    uint64_t generation, sector;
};

static void fill(uint8_t *block, uint64_t number, uint64_t generation)
{
    for (uint64_t i = 0; i < BLOCK / SECTOR; i++) {
        struct stamp s = {generation, number * (BLOCK / SECTOR) + i};
        memset(block + i * SECTOR, (int)generation, SECTOR);
        memcpy(block + i * SECTOR, &s, sizeof s);
    }
}

static int die(const char *what)
{
    perror(what);
    return 1;
}

static int put(int fd, uint64_t number, uint64_t generation, int flags)
{
    static _Alignas(BLOCK) uint8_t block[BLOCK];
    struct iovec v = {block, BLOCK};
    fill(block, number, generation);
    return pwritev2(fd, &v, 1, (off_t)(number * BLOCK), flags) == BLOCK ? 0 : die("pwritev2");
}

static int prepare(const char *file)
{
    int fd = open(file, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644), bad = 0;
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)BLOCKS * BLOCK))
        return die(file);
    for (uint64_t b = 0; b < HALF; b++)
        bad |= put(fd, b, 1, 0);
    return bad || fsync(fd) ? die("fsync") : 0;
}

/* Even blocks are the synced ones. They come first: a later sync of the device would save the plain ones too. */
static int write_and_cut(const char *file, const char *cut)
{
    int fd = open(file, O_RDWR | O_DIRECT | O_CLOEXEC), bad = fd < 0;
    for (uint64_t b = 0; b < BLOCKS && !bad; b += 2)
        bad = put(fd, b, 2, RWF_DSYNC);
    for (uint64_t b = 1; b < BLOCKS && !bad; b += 2)
        bad = put(fd, b, 2, 0);
    int fifo = open(cut, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return bad || fifo < 0 || write(fifo, "x", 1) != 1 ? die(cut) : 0;
}

static int is_new(const uint8_t *sector, uint64_t number)
{
    uint8_t want[BLOCK];
    fill(want, number / (BLOCK / SECTOR), 2);
    return !memcmp(sector, want + number % (BLOCK / SECTOR) * SECTOR, SECTOR);
}

static int check(const char *file)
{
    static _Alignas(BLOCK) uint8_t all[BLOCKS * BLOCK];
    uint64_t synced = 0, plain = 0, gone = 0, sectors = BLOCKS * BLOCK / SECTOR;
    int fd = open(file, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0 || pread(fd, all, sizeof all, 0) != (ssize_t)sizeof all)
        return die(file);
    for (uint64_t s = 0; s < sectors; s++) {
        int good = is_new(all + s * SECTOR, s);
        if (s / (BLOCK / SECTOR) % 2 == 0)
            synced += (uint64_t)good;
        else
            *(good ? &plain : &gone) += 1;
    }
    printf("synced=%lu plain=%lu gone=%lu\n", synced, plain, gone);
    return synced == sectors / 2 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "prepare"))
        return prepare(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "write"))
        return write_and_cut(argv[2], argv[3]);
    if (argc == 3 && !strcmp(argv[1], "check"))
        return check(argv[2]);
    fputs("usage: probe prepare FILE | write FILE CUT | check FILE\n", stderr);
    return 2;
}
