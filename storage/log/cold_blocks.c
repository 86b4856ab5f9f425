/* The cache of cold blocks: a hash of them, a list by use, and one read of the disk for each that is missing. */
#include "storage/log/cold_blocks.h"
#include "core/clock.h"
#include "core/shard.h"
#include "storage/log/partition_state.h"
#include <errno.h>

static uint32_t hash_block(const struct cold_blocks *all, const struct segment *s, uint64_t position)
{
    assert(all->block_bytes > 0);
    uint64_t x = s->number * 0x9e3779b97f4a7c15u ^ position / all->block_bytes * 0xd6e8feb86659fd93u ^
                 (uint64_t)s->partition->index << 40;
    return (uint32_t)((x ^ x >> 29) * 0xbf58476d1ce4e5b9u >> 40) % COLD_BUCKETS;
}

/* Of all blocks, at the most, when so many read one after the other. */
static size_t blocks_bytes_max(const struct cold_blocks *all, uint64_t readers)
{
    uint64_t share = bufpool_max_bytes(all->shard->bufs) / COLD_SHARE;
    uint64_t wanted = readers * 4 * COLD_AHEAD_MAX * all->block_bytes;
    assert(readers <= COLD_CURSORS + 1);
    return u64_max(u64_min(share, u64_max(COLD_KEPT_BYTES, wanted)), 8 * (uint64_t)all->block_bytes);
}

void cold_blocks_init(struct cold_blocks *all, struct shard *s, bool direct)
{
    assert(s->bufs);
    *all = (struct cold_blocks){.shard = s, .direct = direct};
    list_init(&all->used);
    size_t memory = bufpool_max_bytes(s->bufs);
    all->block_bytes = memory >= 64 << 20   ? COLD_BLOCK_BYTES
                       : memory >= 16 << 20 ? COLD_BLOCK_MIDDLE
                                            : COLD_BLOCK_SMALL;
    all->bytes_max = blocks_bytes_max(all, 1);
    all->read_bytes = stats_counter(s->stats, "cold_read_bytes");
    all->hit_bytes = stats_counter(s->stats, "cold_hit_bytes");
    all->ahead_bytes = stats_counter(s->stats, "cold_ahead_bytes");
}

struct cold_block *cold_blocks_find(const struct cold_blocks *all, const struct segment *s, uint64_t position)
{
    assert(s->partition);
    struct cold_block *b = all->buckets[hash_block(all, s, position)];
    while (b && (b->segment != s || b->from != align_down(position, all->block_bytes)))
        b = b->next;
    return b;
}

static void remove_block(struct cold_block *b)
{
    assert(!b->reading);
    assert(list_empty(&b->waiting));
    struct cold_blocks *all = b->all;
    struct cold_block **at = &all->buckets[hash_block(all, b->segment, b->from)];
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    list_remove(&b->link);
    assert(all->count > 0 && all->bytes >= b->buf->size);
    all->count--;
    all->bytes -= b->buf->size;
    buf_put(b->buf);
    heap_free(all->shard->heap, b);
}

void cold_blocks_drop(struct cold_blocks *all, const struct segment *s)
{
    struct list *l = all->used.next;
    while (l != &all->used) {
        struct cold_block *b = container_of(l, struct cold_block, link);
        l = l->next;
        if (b->segment == s)
            remove_block(b);
    }
}

void cold_blocks_deinit(struct cold_blocks *all)
{
    assert(all->reading == 0);
    while (!list_empty(&all->used))
        remove_block(container_of(all->used.next, struct cold_block, link));
    assert(all->bytes == 0);
}

/* Those that somebody holds or that are being read are not the oldest, whatever the list says. */
static bool evict_block(struct cold_blocks *all)
{
    assert(all->count >= all->reading);
    for (uint32_t looks = all->count; looks > 0; looks--) {
        struct cold_block *b = container_of(all->used.next, struct cold_block, link);
        if (!b->reading && b->buf->refs == 1) {
            remove_block(b);
            return true;
        }
        list_remove(&b->link);
        list_push(&all->used, &b->link);
    }
    return false;
}

void cold_block_used(struct cold_block *b)
{
    assert(b->all->count > 0);
    list_remove(&b->link);
    list_push(&b->all->used, &b->link);
}

void cold_block_wait(struct cold_block *b, struct cold_wait *w)
{
    assert(b->reading);
    list_push(&b->waiting, &w->link);
}

/* --- reading --- */

static void block_read_done(struct io_op *op, int32_t res);

static void start_block_read(struct cold_block *b)
{
    struct cold_blocks *all = b->all;
    b->had = b->have;
    if (all->direct) /* what is behind a page's beginning is read again */
        b->have = (uint32_t)align_down(b->have, PAGE_BYTES);
    assert(b->have < b->asked && b->asked <= b->buf->size);
    uint32_t bytes = (uint32_t)u64_min(align_up(b->asked, PAGE_BYTES), b->buf->size) - b->have;
    io_read(all->shard->io, &b->op, &b->segment->file, b->buf->at + b->have, bytes, b->from + b->have, block_read_done);
}

/* A reader took its answer away before all that is read ahead for it was asked for: the rest follows, as many at a time. */
static void read_chained_block(struct cold_blocks *all, struct segment *s, uint64_t from, uint64_t chain_to)
{
    assert(s->users > 0);
    uint64_t at = from + COLD_AHEAD_MAX * (uint64_t)all->block_bytes;
    while (at < chain_to && cold_blocks_find(all, s, at))
        at += all->block_bytes;
    struct cold_block *next;
    if (at >= chain_to || all->reading >= COLD_READS_MAX || partition_dead(s->partition) ||
        cold_blocks_read(all, s, at, chain_to, &next))
        return;
    next->chain_to = chain_to;
    stat_add(all->ahead_bytes, next->asked);
}

static void end_block_read(struct cold_block *b, int32_t failure)
{
    struct cold_blocks *all = b->all;
    struct segment *s = b->segment;
    struct list waiting, *l;
    assert(s->users > 0 && all->reading > 0);
    b->reading = false;
    all->reading--;
    list_init(&waiting);
    list_splice(&waiting, &b->waiting);
    uint64_t from = b->from, chain_to = failure ? 0 : b->chain_to;
    b->chain_to = 0;
    for (l = waiting.next; l != &waiting; l = l->next) {
        struct cold_wait *w = container_of(l, struct cold_wait, link);
        w->ready(w, b, failure);
    }
    if (failure)
        remove_block(b);
    read_chained_block(all, s, from, chain_to); /* b may be evicted by it */
    while ((l = list_pop(&waiting))) {
        struct cold_wait *w = container_of(l, struct cold_wait, link);
        w->go_on(w);
    }
    reader_left_segment(s);
}

static void block_read_done(struct io_op *op, int32_t res)
{
    struct cold_block *b = container_of(op, struct cold_block, op);
    assert(b->reading);
    if (res <= 0 || b->have + (uint32_t)res <= b->had) {
        end_block_read(b, res < 0 ? res : -ENODATA); /* the file is shorter than its log */
        return;
    }
    stat_add(b->all->read_bytes, (uint64_t)res);
    b->have += (uint32_t)res;
    if (b->have < b->asked) {
        start_block_read(b);
        return;
    }
    b->have = b->asked;
    end_block_read(b, 0);
}

/* In a small pool the sizes of bufs do not each get a slab: who keeps a small one would keep out all larger ones. So they are all of one size. */
static struct buf *get_block_buf(struct cold_blocks *all, uint32_t bytes)
{
    assert(bytes <= all->block_bytes);
    bytes = all->block_bytes < COLD_BLOCK_BYTES ? all->block_bytes : bytes;
    while (all->bytes + bytes > all->bytes_max && evict_block(all))
        ;
    struct buf *b;
    while (!(b = bufpool_get(all->shard->bufs, BUF_COLD, bytes)) && evict_block(all))
        ;
    return b;
}

static struct cold_block *new_block(struct cold_blocks *all, struct segment *s, uint64_t from, uint32_t bytes)
{
    assert(from % all->block_bytes == 0);
    struct cold_block *b = heap_alloc(all->shard->heap, sizeof *b);
    struct buf *buf = b ? get_block_buf(all, bytes) : NULL;
    if (!buf) {
        heap_free(all->shard->heap, b);
        return NULL;
    }
    *b = (struct cold_block){.all = all, .segment = s, .from = from, .buf = buf};
    list_init(&b->waiting);
    list_init(&b->link);
    list_push(&all->used, &b->link);
    struct cold_block **bucket = &all->buckets[hash_block(all, s, from)];
    b->next = *bucket;
    *bucket = b;
    all->count++;
    all->bytes += buf->size;
    return b;
}

enum err cold_blocks_read(struct cold_blocks *all, struct segment *s, uint64_t position, uint64_t end,
                          struct cold_block **out)
{
    assert(position < end);
    assert(s->file.fd >= 0);
    struct cold_block *b = cold_blocks_find(all, s, position);
    uint64_t from = align_down(position, all->block_bytes);
    uint32_t bytes = (uint32_t)u64_min(end - from, all->block_bytes);
    assert(!b || (!b->reading && b->have < bytes));
    if (b && b->buf->size < align_up(bytes, PAGE_BYTES)) { /* there is more now than its buf holds */
        remove_block(b);
        b = NULL;
    }
    if (!b)
        b = new_block(all, s, from, (uint32_t)align_up(bytes, PAGE_BYTES));
    if (!b)
        return ERR_NO_MEMORY;
    b->asked = bytes;
    b->reading = true;
    all->reading++;
    reader_enters_segment(s);
    start_block_read(b);
    *out = b;
    return ERR_NONE;
}

/* --- cursors --- */

static struct cold_cursor *cursor_set(struct cold_blocks *all, int32_t index, int64_t offset)
{
    uint64_t x = ((uint64_t)offset ^ (uint64_t)index << 48) * 0x9e3779b97f4a7c15u;
    return &all->cursors[(x >> 32) % (COLD_CURSORS / COLD_CURSOR_WAYS) * COLD_CURSOR_WAYS];
}

/* Of several that ended there, the one that was read ahead for the most: who came from elsewhere does not take its place. */
bool cold_cursor_take(struct cold_blocks *all, const struct partition *p, int32_t index, int64_t offset,
                      struct cold_cursor *out)
{
    assert(p);
    struct cold_cursor *set = cursor_set(all, index, offset), *found = NULL;
    for (int i = 0; i < COLD_CURSOR_WAYS; i++)
        if (set[i].partition == p && set[i].offset == offset && (!found || set[i].ahead > found->ahead))
            found = &set[i];
    if (!found)
        return false;
    *out = *found;
    found->partition = NULL;
    return true;
}

void cold_cursor_put(struct cold_blocks *all, int32_t index, const struct cold_cursor *c)
{
    assert(c->partition);
    struct cold_cursor *set = cursor_set(all, index, c->offset), *to = set;
    for (int i = 1; i < COLD_CURSOR_WAYS; i++)
        if (!set[i].partition || (to->partition && set[i].used_ns < to->used_ns))
            to = &set[i];
    *to = *c;
    to->used_ns = all->shard->now_ns;
}

void cold_cursors_forget(struct cold_blocks *all, const struct partition *p)
{
    assert(p);
    for (uint32_t i = 0; i < COLD_CURSORS; i++)
        if (all->cursors[i].partition == p)
            all->cursors[i].partition = NULL;
}

/* Those for whom so many blocks and more were read ahead: 1 begins a log, 2 goes on. */
static uint32_t count_sequential_readers(const struct cold_blocks *all, uint32_t ahead_min)
{
    assert(ahead_min > 0);
    uint64_t now_ns = all->shard->now_ns;
    uint32_t count = 0;
    for (uint32_t i = 0; i < COLD_CURSORS; i++)
        count += all->cursors[i].partition && all->cursors[i].ahead >= ahead_min &&
                 now_ns - all->cursors[i].used_ns < COLD_READER_S * NS_PER_S;
    return count;
}

uint32_t cold_blocks_ahead_max(struct cold_blocks *all, uint32_t reads, uint64_t answer_bytes)
{
    uint64_t readers = count_sequential_readers(all, 1) + 1, at_work = count_sequential_readers(all, 2) + reads;
    size_t most = blocks_bytes_max(all, readers);
    assert(reads > 0 && most >= 8 * (size_t)all->block_bytes);
    all->bytes_max = u64_min(most, at_work * (COLD_READER_BYTES + 3 * answer_bytes));
    return (uint32_t)u64_min(COLD_CHAIN_MAX, most / all->block_bytes / 4 / readers);
}

void cold_blocks_check(const struct cold_blocks *all)
{
    uint32_t count = 0, reading = 0;
    size_t bytes = 0;
    for (const struct list *l = all->used.next; l != &all->used; l = l->next) {
        const struct cold_block *b = container_of(l, const struct cold_block, link);
        assert(cold_blocks_find(all, b->segment, b->from) == b);
        assert(b->reading || list_empty(&b->waiting));
        assert(!b->reading || b->segment->users > 0);
        assert(b->have <= b->buf->size && b->good_from <= b->good_to && b->buf->refs > 0);
        count++;
        reading += b->reading;
        bytes += b->buf->size;
    }
    assert(count == all->count && reading == all->reading && bytes == all->bytes);
}
