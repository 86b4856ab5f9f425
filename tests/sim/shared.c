/* A list of mapped files. Their memory is the world's, so it stays when a broker is killed. */
#include "tests/sim/shared.h"
#include "storage/log/redo.h"
#include "storage/root_redo.h"
#include "tests/sim/disk_names.h"
#include <stdio.h>
#include <string.h>

struct shared {
    struct shared *next;
    struct disk_node *node;
    uint64_t bytes;
    uint8_t *at; /* as far as it is ever used */
};
enum { COPIED_RINGS = 4 }; /* more shards than any world has */

static struct shared *files;
static uint8_t *old; /* an operator's copy; NULL: none */
static char old_path[256];
static uint32_t starts_left; /* before it may come back */
static bool spoilt;

void shared_begin(void)
{
    files = NULL; /* the last world's memory */
    old = NULL;
    spoilt = false;
    names_link(SHARED_DIR, NULL);
    names_sync("");
}

static struct shared *shared_of(const struct disk_node *n)
{
    struct shared *s = files;
    while (s && s->node != n)
        s = s->next;
    return s;
}

bool shared_read(const struct disk_node *n, void *to, uint64_t off, uint64_t bytes, uint64_t *out_bytes)
{
    const struct shared *s = shared_of(n);
    if (!s)
        return false;
    uint64_t used = redo_ring_at(COPIED_RINGS), there = off < used ? u64_min(bytes, used - off) : 0;
    *out_bytes = off < s->bytes ? u64_min(bytes, s->bytes - off) : 0;
    memset(to, 0, *out_bytes);
    memcpy(to, s->at + off, there);
    return true;
}

bool shared_write(const struct disk_node *n, const void *from, uint64_t off, uint64_t bytes)
{
    const struct shared *s = shared_of(n);
    if (!s)
        return false;
    assert(off + bytes <= redo_ring_at(COPIED_RINGS));
    memcpy(s->at + off, from, bytes);
    return true;
}

uint8_t *shared_map(struct disk_node *n, uint64_t bytes)
{
    struct shared *s = shared_of(n);
    if (!s) {
        s = world_alloc(sizeof *s);
        *s = (struct shared){.next = files, .node = n, .bytes = bytes, .at = world_alloc(redo_ring_at(COPIED_RINGS))};
        files = s;
    }
    return s->at;
}

static bool is_needed(const struct shared *s)
{
    for (uint32_t i = 0; i < COPIED_RINGS; i++) {
        const struct redo_ends *ends = (const void *)(s->at + redo_ring_at(i));
        if (ends->committed != ends->needed)
            return true;
    }
    return false;
}

/* As if it had been copied before any wave was over: all of its records count. */
static void keep_copy(const struct shared *s, const char *path)
{
    old = old ? old : world_alloc(redo_ring_at(COPIED_RINGS));
    memcpy(old, s->at, redo_ring_at(COPIED_RINGS));
    for (uint32_t i = 0; i < COPIED_RINGS; i++)
        ((struct redo_ends *)(void *)(old + redo_ring_at(i)))->needed = 0;
    snprintf(old_path, sizeof old_path, "%s", path);
    starts_left = 2; /* not at the next start */
}

static struct disk_name *first_file(void)
{
    struct disk_name *n = names_in(SHARED_DIR, NULL);
    return n && shared_of(n->node) ? n : NULL;
}

void shared_crash(enum crash_kind kind)
{
    struct disk_name *n = first_file();
    if (kind != CRASH_POWER || !n)
        return;
    struct shared *s = shared_of(n->node);
    if (sim.knobs.stale_copies)
        keep_copy(s, n->path);
    if (sim.knobs.shared_survives)
        return;
    names_unlink(n->path);
    names_sync(SHARED_DIR);
}

void shared_start(void)
{
    struct disk_name *n = first_file();
    starts_left -= starts_left > 0;
    if (!old || starts_left > 0 || (n && is_needed(shared_of(n->node))))
        return;
    if (!n) {
        names_link(old_path, disk_node_new());
        n = names_find(old_path);
        disk_set_size(n->node, redo_ring_at(SHARDS_MAX));
    }
    memcpy(shared_map(n->node, redo_ring_at(SHARDS_MAX)), old, redo_ring_at(COPIED_RINGS));
    old = NULL;
    world_note("an old copy of %s is back", n->path);
}

void shared_spoil(void)
{
    spoilt = true;
}

bool shared_is_spoilt(void)
{
    return spoilt;
}
