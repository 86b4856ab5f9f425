/* Nodes (files) with their two versions, and what a crash makes of them. Names are in disk_names.c. */
#include "tests/sim/disk.h"
#include "core/limits.h"
#include "tests/sim/disk_names.h"
#include "tests/sim/shared.h"
#include <stdlib.h>
#include <string.h>

struct disk_node {
    struct disk_node *next; /* all nodes of this world */
    uint32_t id;
    uint8_t *cache, *stable;
    uint8_t *before;               /* per sector that is dirty: what stood there before its last write */
    uint64_t *dirty;               /* per sector: number of its last unsynced write, 0: clean */
    uint64_t *dirty_since;         /* and of its first */
    uint8_t *placed;               /* per page: its place is durable, and only direct writes changed it since */
    uint64_t cap;                  /* bytes of the two versions; beyond are zeros */
    uint64_t dirty_from, dirty_to; /* sectors: all dirty ones lie in [from, to) */
    uint64_t size, stable_size;
    int64_t changed_ms;
    bool locked;
};

static struct disk_node *nodes;
static uint32_t node_count;
static uint64_t write_number;

enum { FDS_MAX = 8192 };
static struct {
    struct disk_node *node;
    bool direct;
} fds[FDS_MAX];
static uint32_t fd_high;

void disk_begin(void)
{
    nodes = NULL; /* their memory was the last world's */
    node_count = 0;
    write_number = 1;
    memset(fds, 0, fd_high * sizeof fds[0]);
    fd_high = 0;
    names_begin();
    shared_begin();
}

/* --- descriptors --- */

int disk_fd_open(struct disk_node *n, bool direct)
{
    int fd = 0;
    while (fd < FDS_MAX && fds[fd].node)
        fd++;
    assert(fd < FDS_MAX);
    fds[fd].node = n;
    fds[fd].direct = direct;
    if ((uint32_t)fd >= fd_high)
        fd_high = (uint32_t)fd + 1;
    return fd + DISK_FD_FIRST;
}

struct disk_node *disk_node_of(int fd)
{
    assert(fd >= DISK_FD_FIRST && fd < DISK_FD_FIRST + FDS_MAX);
    struct disk_node *n = fds[fd - DISK_FD_FIRST].node;
    assert(n);
    return n;
}

bool disk_is_direct(int fd)
{
    return disk_node_of(fd) && fds[fd - DISK_FD_FIRST].direct;
}

void disk_close(int fd)
{
    disk_node_of(fd)->locked = false;
    fds[fd - DISK_FD_FIRST].node = NULL;
}

/* --- nodes --- */

struct disk_node *disk_node_new(void)
{
    struct disk_node *n = world_alloc(sizeof *n);
    n->id = ++node_count;
    n->next = nodes;
    n->changed_ms = clock_wall_ms();
    nodes = n;
    return n;
}

uint32_t disk_id(const struct disk_node *n)
{
    return n->id;
}

bool disk_lock(struct disk_node *n)
{
    bool taken = n->locked;
    n->locked = true;
    return !taken;
}

int64_t disk_changed_ms(const struct disk_node *n)
{
    return n->changed_ms;
}
void disk_set_changed_ms(struct disk_node *n, int64_t ms)
{
    n->changed_ms = ms;
}

uint64_t disk_size(const struct disk_node *n)
{
    return n->size;
}

static void *grow(void *old, uint64_t from, uint64_t to)
{
    uint8_t *at = world_grow(old, to);
    memset(at + from, 0, to - from);
    return at;
}

static void hold(struct disk_node *n, uint64_t end)
{
    if (end <= n->cap)
        return;
    uint64_t cap = n->cap ? n->cap : 16384;
    while (cap < end)
        cap *= 2;
    n->cache = grow(n->cache, n->cap, cap);
    n->stable = grow(n->stable, n->cap, cap);
    n->before = grow(n->before, n->cap, cap);
    n->dirty = grow(n->dirty, n->cap / DISK_SECTOR * sizeof *n->dirty, cap / DISK_SECTOR * sizeof *n->dirty);
    n->dirty_since =
        grow(n->dirty_since, n->cap / DISK_SECTOR * sizeof *n->dirty, cap / DISK_SECTOR * sizeof *n->dirty);
    n->placed = grow(n->placed, n->cap / PAGE_BYTES, cap / PAGE_BYTES);
    n->cap = cap;
}

uint32_t disk_read(const struct disk_node *n, void *to, uint64_t bytes, uint64_t off)
{
    if (off >= n->size)
        return 0;
    bytes = u64_min(bytes, n->size - off);
    uint64_t held = off < n->cap ? u64_min(bytes, n->cap - off) : 0;
    if (held)
        memcpy(to, n->cache + off, held);
    memset((uint8_t *)to + held, 0, bytes - held);
    return (uint32_t)bytes;
}

/* Whole pages, as a file system counts its extents. */
uint64_t disk_data_from(const struct disk_node *n, uint64_t off)
{
    for (uint64_t at = off; at < u64_min(n->size, n->cap); at++)
        if (n->cache[at])
            return u64_max(off, align_down(at, PAGE_BYTES));
    return UINT64_MAX;
}

/* These bytes are about to change. */
static void soil(struct disk_node *n, uint64_t off, uint64_t end)
{
    uint64_t from = off / DISK_SECTOR, to = (end + DISK_SECTOR - 1) / DISK_SECTOR;
    memcpy(n->before + from * DISK_SECTOR, n->cache + from * DISK_SECTOR, (to - from) * DISK_SECTOR);
    for (uint64_t i = from; i < to; i++) {
        n->dirty_since[i] = n->dirty[i] ? n->dirty_since[i] : write_number;
        n->dirty[i] = write_number;
    }
    n->dirty_from = n->dirty_to ? u64_min(n->dirty_from, from) : from;
    n->dirty_to = u64_max(n->dirty_to, to);
}

/* These bytes are in a cache that a flush of the disk does not reach, or are none any more. */
static void displace(struct disk_node *n, uint64_t off, uint64_t end)
{
    for (uint64_t i = off / PAGE_BYTES; i * PAGE_BYTES < end; i++)
        n->placed[i] = 0;
}

void disk_write(struct disk_node *n, const void *from, uint64_t bytes, uint64_t off, bool direct)
{
    if (bytes == 0)
        return;
    hold(n, align_up(off + bytes, DISK_SECTOR));
    soil(n, off, off + bytes);
    if (!direct)
        displace(n, off, off + bytes);
    memcpy(n->cache + off, from, bytes);
    write_number++;
    n->size = u64_max(n->size, off + bytes);
    n->changed_ms = clock_wall_ms();
}

void disk_set_size(struct disk_node *n, uint64_t bytes)
{
    uint64_t old_end = u64_min(n->size, n->cap);
    if (bytes < old_end) {
        soil(n, bytes, old_end);
        displace(n, bytes, old_end);
        memset(n->cache + bytes, 0, old_end - bytes);
        write_number++;
    }
    n->size = bytes;
    n->changed_ms = clock_wall_ms();
}

static void settle(struct disk_node *n, uint64_t sector)
{
    memcpy(n->stable + sector * DISK_SECTOR, n->cache + sector * DISK_SECTOR, DISK_SECTOR);
    n->dirty[sector] = 0;
}

/* By a sync of its own file. */
static void settle_in_place(struct disk_node *n, uint64_t sector)
{
    settle(n, sector);
    n->placed[sector * DISK_SECTOR / PAGE_BYTES] = 1;
}

void disk_sync_range(struct disk_node *n, uint64_t bytes, uint64_t off)
{
    hold(n, align_up(off + bytes, DISK_SECTOR));
    for (uint64_t i = off / DISK_SECTOR; i * DISK_SECTOR < off + bytes; i++)
        settle_in_place(n, i);
    n->stable_size = n->size;
}

uint64_t disk_mark(void)
{
    return write_number;
}

/* Written before the sync began, and again since: some version from then on is stable, not a yet older one. */
static void settle_before(struct disk_node *n, uint64_t sector)
{
    memcpy(n->stable + sector * DISK_SECTOR, n->before + sector * DISK_SECTOR, DISK_SECTOR);
    n->dirty_since[sector] = n->dirty[sector];
}

void disk_sync(struct disk_node *n, uint64_t mark)
{
    bool all = true;
    for (uint64_t i = n->dirty_from; i < n->dirty_to; i++) {
        if (n->dirty[i] && n->dirty[i] < mark)
            settle_in_place(n, i);
        else if (n->dirty[i] && n->dirty_since[i] < mark)
            settle_before(n, i);
        all = all && !n->dirty[i];
    }
    if (all)
        n->dirty_from = n->dirty_to = 0;
    n->stable_size = n->size;
}

static bool is_placed(const struct disk_node *n, uint64_t sector)
{
    uint64_t page = sector * DISK_SECTOR / PAGE_BYTES;
    return n->placed[page] && (page + 1) * PAGE_BYTES <= n->stable_size;
}

void disk_flush(uint64_t mark)
{
    for (struct disk_node *n = nodes; n; n = n->next)
        for (uint64_t i = n->dirty_from; i < n->dirty_to; i++) {
            if (!n->dirty[i] || !is_placed(n, i))
                continue;
            if (n->dirty[i] < mark)
                settle(n, i);
            else if (n->dirty_since[i] < mark)
                settle_before(n, i);
        }
}

void disk_sync_failed(struct disk_node *n)
{
    for (uint64_t i = n->dirty_from; i < n->dirty_to; i++)
        if (n->dirty[i] && dice(2))
            settle(n, i);
}

bool disk_refuses(const struct disk_node *n, uint64_t end)
{
    return end > n->size && (world_fault(FAULT_ROOM) || (sim.full && dice(8) != 0));
}

/* --- the power goes --- */

enum { KEEP_NONE, KEEP_ALL, KEEP_SOME, KEEP_FIRST, KEEP_LAST, KEEPS };

static bool keeps(uint64_t how, uint64_t at, uint64_t from, uint64_t to)
{
    switch (how) {
    case KEEP_NONE: return false;
    case KEEP_ALL: return true;
    case KEEP_FIRST: return at < (from + to) / 2;
    case KEEP_LAST: return at >= (from + to) / 2;
    default: return dice(2) != 0;
    }
}

void disk_tear(struct disk_node *n, const void *from, uint64_t bytes, uint64_t off)
{
    uint64_t how = dice(KEEPS), first = off / DISK_SECTOR, end = off + bytes;
    if (end > n->size && how != KEEP_NONE && n->size == n->stable_size)
        n->size = end; /* an extending write: its size may or may not survive */
    hold(n, align_up(end, DISK_SECTOR));
    for (uint64_t i = first; i * DISK_SECTOR < end; i++) {
        uint64_t a = u64_max(i * DISK_SECTOR, off), b = u64_min((i + 1) * DISK_SECTOR, end);
        if (keeps(how, i, first, end / DISK_SECTOR + 1))
            memcpy(n->stable + a, (const uint8_t *)from + (a - off), b - a);
    }
}

static void forget(struct disk_node *n)
{
    uint64_t how = dice(KEEPS);
    for (uint64_t i = n->dirty_from; i < n->dirty_to; i++) {
        if (n->dirty[i] && keeps(how, i, n->dirty_from, n->dirty_to))
            settle(n, i);
        n->dirty[i] = 0;
    }
    n->dirty_from = n->dirty_to = 0;
    if (n->size != n->stable_size && dice(2))
        n->stable_size = n->size;
    n->size = n->stable_size;
    if (n->size < n->cap)
        memset(n->stable + n->size, 0, n->cap - n->size);
    if (n->cap)
        memcpy(n->cache, n->stable, n->cap);
    displace(n, 0, n->cap);
}

void disk_crash(enum crash_kind kind)
{
    memset(fds, 0, fd_high * sizeof fds[0]);
    fd_high = 0;
    for (struct disk_node *n = nodes; n; n = n->next) {
        n->locked = false;
        if (kind == CRASH_POWER)
            forget(n);
    }
    if (kind == CRASH_POWER) {
        names_forget();
        sim.boots++;
    }
    shared_crash(kind);
}
