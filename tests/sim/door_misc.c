/* The small doors: time, the seed of randomness, the log's lines, address space, and the heaps, which are the libc ones with
 * a list of all that are open; memory is refused there (the linker wraps these functions: SIM_WRAPS in the Makefile). */
#include "core/buf.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/prefault.h"
#include "tests/sim/shared.h"
#include "tests/sim/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- time --- */

uint64_t clock_now_ns(void)
{
    return sim.now_ns - sim.asleep_ns;
}

uint64_t clock_since_boot_ns(void)
{
    return sim.now_ns;
}

int64_t clock_wall_ms(void)
{
    return sim.wall_ms + (int64_t)(sim.now_ns / NS_PER_MS);
}

uint64_t clock_thread_cpu_ns(void)
{
    return sim.now_ns;
}

void clock_sleep_ms(uint32_t ms)
{
    sim.now_ns += ms * NS_PER_MS;
}

uint64_t rng_seed_os(void)
{
    return rng_next(&sim.rng);
}

/* --- the log --- */

/* That takes a disk that fails. A full one, short reads and crashes are no reason. Told at the end of the seed: what clients
 * see of it is the better story. */
static void gone_offline(const char *line, size_t bytes)
{
    sim.totals.offline++;
    if (!world_disk_fails() && !sim.offline[0])
        snprintf(sim.offline, sizeof sim.offline, "%.*s", (int)bytes, line);
}

void log_write_line(const char *line, size_t bytes)
{
    world_mix_bytes(line, bytes);
    if (strstr(line, " offline: ") || strstr(line, " corrupt: "))
        gone_offline(line, bytes);
    sim.totals.replayed += strstr(line, " from shared memory: ") != NULL;
    sim.totals.stale += strstr(line, " shared memory is of another life: ") != NULL;
    world_check(PLANTED(redo_end_before_bytes) || PLANTED(redo_of_stale_life) || shared_is_spoilt() ||
                    !strstr(line, " doubtful in shared memory: "),
                "%.*s", (int)bytes, line);
    if (sim.tracing)
        printf("%12.6f broker: %.*s", (double)sim.now_ns / 1e9, (int)bytes, line);
}

/* --- heaps --- */

enum { HEAPS_MAX = 64 };
static struct heap *heaps[HEAPS_MAX];
static uint32_t heap_count;
static struct heap *world_heap;

static bool refused(const struct heap *h, size_t bytes)
{
    if (h == world_heap || !world_refuses_memory())
        return false;
    world_note("no memory for %zu bytes", bytes);
    return true;
}

struct heap *__real_heap_open(void);
void __real_heap_close(struct heap *h);
struct heap *__wrap_heap_open(void);
void __wrap_heap_close(struct heap *h);

struct heap *__wrap_heap_open(void)
{
    if (refused(NULL, 0))
        return NULL;
    assert(heap_count < HEAPS_MAX);
    return heaps[heap_count++] = __real_heap_open();
}

void __wrap_heap_close(struct heap *h)
{
    uint32_t i = 0;
    while (i < heap_count && heaps[i] != h)
        i++;
    assert(i < heap_count);
    heaps[i] = heaps[--heap_count];
    __real_heap_close(h);
}

/* --- memory that is refused: the broker's, never the world's --- */

void *__real_heap_alloc(struct heap *h, size_t bytes);
void *__wrap_heap_alloc(struct heap *h, size_t bytes);
void *__wrap_heap_alloc(struct heap *h, size_t bytes)
{
    return refused(h, bytes) ? NULL : __real_heap_alloc(h, bytes);
}

void *__real_heap_zalloc(struct heap *h, size_t bytes);
void *__wrap_heap_zalloc(struct heap *h, size_t bytes);
void *__wrap_heap_zalloc(struct heap *h, size_t bytes)
{
    return refused(h, bytes) ? NULL : __real_heap_zalloc(h, bytes);
}

void *__real_heap_realloc(struct heap *h, void *old, size_t bytes);
void *__wrap_heap_realloc(struct heap *h, void *old, size_t bytes);
void *__wrap_heap_realloc(struct heap *h, void *old, size_t bytes)
{
    return refused(h, bytes) ? NULL : __real_heap_realloc(h, old, bytes);
}

char *__real_heap_strdup(struct heap *h, const char *s);
char *__wrap_heap_strdup(struct heap *h, const char *s);
char *__wrap_heap_strdup(struct heap *h, const char *s)
{
    return refused(h, strlen(s)) ? NULL : __real_heap_strdup(h, s);
}

struct buf *__real_bufpool_get(struct bufpool *pool, enum buf_purpose purpose, size_t bytes);
struct buf *__wrap_bufpool_get(struct bufpool *pool, enum buf_purpose purpose, size_t bytes);
struct buf *__wrap_bufpool_get(struct bufpool *pool, enum buf_purpose purpose, size_t bytes)
{
    return refused(NULL, bytes) ? NULL : __real_bufpool_get(pool, purpose, bytes);
}

enum { ZEROED_BYTES_MAX = 512 * 1024 };

/* --- regions: kept for the next broker, since fresh pages cost more than all the rest --- */

struct region {
    struct region *next;
    void *at;
    size_t bytes;
    bool taken;
};
static struct region *regions;

static struct region *region_new(size_t bytes)
{
    struct region *r = calloc(1, sizeof *r);
    assert(r);
    *r = (struct region){.next = regions, .bytes = bytes};
    r->at = aligned_alloc(PAGE_BYTES, bytes);
    assert(r->at);
    regions = r;
    return r;
}

/* Fresh ones are zeros; of the large ones, which are buffers, nobody may rely on it, and here nobody can. */
void *region_open(size_t bytes)
{
    bytes = align_up(bytes, PAGE_BYTES);
    if (refused(NULL, bytes))
        return NULL;
    struct region *r = regions;
    while (r && (r->taken || r->bytes != bytes))
        r = r->next;
    if (!r)
        r = region_new(bytes);
    r->taken = true;
    if (bytes <= ZEROED_BYTES_MAX)
        memset(r->at, 0, bytes);
    return r->at;
}

size_t region_bytes_max(void)
{
    return SIZE_MAX;
}

void region_discard(void *at, size_t bytes)
{
    (void)at, (void)bytes;
}

void region_close(void *at, size_t bytes)
{
    (void)bytes;
    struct region *r = regions;
    while (r && r->at != at)
        r = r->next;
    assert(r && r->taken);
    r->taken = false;
}

/* No thread, so the pool does without it. */
struct prefault *prefault_open(void)
{
    return NULL;
}

void prefault_start(struct prefault *p, void *const *pieces, uint32_t count, size_t bytes)
{
    (void)pieces, (void)count, (void)bytes;
    assert(p && "there is none");
}

bool prefault_ready(const struct prefault *p, uint32_t piece)
{
    (void)piece;
    assert(p && "there is none");
    return false;
}

bool prefault_revoke(struct prefault *p, uint32_t piece)
{
    (void)piece;
    assert(p && "there is none");
    return false;
}

void prefault_close(struct prefault *p)
{
    assert(p && "there is none");
}

/* --- the world's own memory --- */

void world_free_broker(void)
{
    while (heap_count)
        __real_heap_close(heaps[--heap_count]);
    for (struct region *r = regions; r; r = r->next)
        r->taken = false;
}

void world_free_all(void)
{
    world_free_broker();
    if (world_heap)
        __real_heap_close(world_heap);
    world_heap = NULL;
}

struct heap *world_own_heap(void)
{
    if (!world_heap)
        world_heap = __real_heap_open();
    return world_heap;
}

void *world_alloc(size_t bytes)
{
    void *at = heap_zalloc(world_own_heap(), bytes);
    assert(at);
    return at;
}

void *world_grow(void *old, size_t bytes)
{
    void *at = heap_realloc(world_own_heap(), old, bytes);
    assert(at);
    return at;
}

void world_free(void *at)
{
    heap_free(world_own_heap(), at);
}
