/* Arena, file and write waves of the bare loop: see bare.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/bare/bare.h"
#include "bench/load/batch.h"
#include "bench/load/wire.h"
#include "core/crc.h"

static bool zero_file(struct bare *b)
{
    for (uint64_t at = 0; at < b->file_bytes; at += b->arena_bytes) {
        if (pwrite(b->file_fd, b->arena, b->arena_bytes, (off_t)at) != (ssize_t)b->arena_bytes)
            return false;
    }
    return fdatasync(b->file_fd) == 0;
}

bool disk_open(struct bare *b, const char *dir)
{
    struct iovec whole;
    char path[4096];

    assert(b->arena_bytes % PIECE_BYTES == 0 && b->file_bytes % b->arena_bytes == 0);
    b->arena = mmap(NULL, b->arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->arena == MAP_FAILED)
        return false;
    madvise(b->arena, b->arena_bytes, MADV_HUGEPAGE);
    memset(b->arena, 0, b->arena_bytes);
    whole = (struct iovec){.iov_base = b->arena, .iov_len = b->arena_bytes};
    b->fixed = io_uring_register_buffers(&b->ring, &whole, 1) == 0;
    if (b->mode == ACK_NONE)
        return true;
    snprintf(path, sizeof path, "%s/bare.data", dir);
    b->file_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0644);
    if (b->file_fd < 0 || fallocate(b->file_fd, 0, 0, (off_t)b->file_bytes) != 0 || !zero_file(b)) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

bool disk_has_room(const struct bare *b, uint32_t bytes)
{
    uint64_t held = b->appended - (b->written & ~(uint64_t)(BLOCK_BYTES - 1));

    return b->arena_bytes - held >= bytes + (uint64_t)BLOCK_BYTES;
}

static void copy(struct bare *b, const uint8_t *from, uint64_t bytes)
{
    uint64_t at = b->appended % b->arena_bytes;
    uint64_t first = b->arena_bytes - at < bytes ? b->arena_bytes - at : bytes;

    memcpy(b->arena + at, from, first);
    memcpy(b->arena, from + first, bytes - first);
    b->appended += bytes;
}

/* The broker's own sum and copy (core/crc.h): slice by slice, so that the copy finds the slice in the cache, and past the caches
 * where it is large. At the arena's end it goes on at its beginning. */
bool disk_append(struct bare *b, const uint8_t *batch, uint32_t bytes)
{
    struct get g = {batch + BATCH_CRC_AT, batch + BATCH_CRC_FROM, false};
    uint32_t want = get_u32(&g);
    uint32_t crc = 0;

    assert(bytes >= BATCH_HEADER_BYTES);
    copy(b, batch, BATCH_CRC_FROM);
    for (uint32_t from = BATCH_CRC_FROM, len; from < bytes; from += len) {
        uint64_t at = b->appended % b->arena_bytes;
        len = b->arena_bytes - at < bytes - from ? (uint32_t)(b->arena_bytes - at) : bytes - from;
        crc = crc32c_copy(crc, b->arena + at, batch + from, len);
        b->appended += len;
    }
    return crc == want;
}

static void write_piece(struct bare *b, uint64_t from, uint32_t len)
{
    struct io_uring_sqe *sqe = bare_sqe(b);
    uint8_t *bytes = b->arena + from % b->arena_bytes;

    if (b->fixed)
        io_uring_prep_write_fixed(sqe, b->file_fd, bytes, len, from % b->file_bytes, 0);
    else
        io_uring_prep_write(sqe, b->file_fd, bytes, len, from % b->file_bytes);
    if (b->mode == ACK_DURABLE)
        sqe->rw_flags = RWF_DSYNC;
    bare_tag(sqe, OP_WRITE, len);
    b->pieces++;
}

void disk_wave(struct bare *b)
{
    uint64_t at = b->written & ~(uint64_t)(BLOCK_BYTES - 1);

    if (b->pieces > 0 || b->appended == b->written)
        return;
    b->wave_end = b->appended;
    b->waves++;
    while (at < b->wave_end) {
        uint64_t len = (b->wave_end - at + BLOCK_BYTES - 1) & ~(uint64_t)(BLOCK_BYTES - 1);
        uint64_t to_edge = b->arena_bytes - at % b->arena_bytes;
        len = len < to_edge ? len : to_edge;
        len = len < PIECE_BYTES ? len : PIECE_BYTES;
        write_piece(b, at, (uint32_t)len);
        at += len;
    }
}

bool disk_wave_done(struct bare *b, uint32_t len, int result)
{
    assert(b->pieces > 0);
    if (result != (int)len) {
        fprintf(stderr, "write of %u: %s\n", len, result < 0 ? strerror(-result) : "short");
        exit(1);
    }
    if (--b->pieces > 0)
        return false;
    b->written = b->wave_end;
    return true;
}
