/* The pool. A slab belongs to one class from its first buf until it is given back. Slabs with a free buf stand in their
 * class's `room` list: those in use in front, so that idle ones stay idle and can be given back.
 *
 *   class 16K  room -> slab 3 (5 of 128 out) -> slab 0 (none out)
 *   slab 3     free -> buf -> buf -> ...       last used first: its bytes are still in the cache */
#include "core/buf.h"
#include "core/clock.h"
#include "core/io.h"
#include "core/limits.h"
#include "core/poison.h"

#define IDLE_NS (60 * NS_PER_S)

struct slab {
    struct buf *bufs; /* NULL: the slab has no memory */
    struct list room; /* in the pool's list of its class while a buf is free */
    struct list free;
    uint32_t count, out;
    uint32_t next_vacant;   /* while without memory: the next such slab */
    uint64_t idle_since_ns; /* 0: used since the last trim */
};
struct bufpool {
    struct heap *heap;
    struct io *io;
    uint8_t *region;
    struct slab *slabs;
    uint32_t slab_count, vacant; /* vacant: the first slab without memory, slab_count: none */
    size_t max_bytes;
    size_t held_bytes; /* slabs with memory, and large bufs */
    size_t used_bytes;
    struct list room[BUF_CLASSES];
};

static const uint32_t class_bytes[BUF_CLASSES] = {16 * 1024, 64 * 1024, 256 * 1024, SLAB_BYTES};

static void init_slabs(struct bufpool *pool)
{
    for (uint32_t i = 0; i < pool->slab_count; i++) {
        list_init(&pool->slabs[i].room);
        list_init(&pool->slabs[i].free);
        pool->slabs[i].next_vacant = i + 1;
    }
    for (int c = 0; c < BUF_CLASSES; c++)
        list_init(&pool->room[c]);
}

struct bufpool *bufpool_open(struct heap *heap, struct io *io, size_t max_bytes)
{
    assert(heap);
    assert(max_bytes >= SLAB_BYTES);
    size_t slabs = u64_min(max_bytes / SLAB_BYTES, IO_SLABS_MAX);
    struct bufpool *pool = heap_zalloc(heap, sizeof *pool);
    if (!pool)
        return NULL;
    *pool = (struct bufpool){.heap = heap, .io = io, .slab_count = (uint32_t)slabs, .max_bytes = max_bytes};
    pool->slabs = heap_zalloc(heap, slabs * sizeof *pool->slabs);
    pool->region = region_open(slabs * SLAB_BYTES);
    if (!pool->slabs || !pool->region) {
        bufpool_close(pool);
        return NULL;
    }
    init_slabs(pool);
    return pool;
}

static void close_slab(struct bufpool *pool, struct slab *s)
{
    uint32_t index = (uint32_t)(s - pool->slabs);
    assert(s->out == 0);
    if (pool->io)
        io_slab_unregister(pool->io, index);
    memory_unpoison(pool->region + (size_t)index * SLAB_BYTES, SLAB_BYTES);
    region_discard(pool->region + (size_t)index * SLAB_BYTES, SLAB_BYTES);
    list_remove(&s->room);
    list_init(&s->free);
    heap_free(pool->heap, s->bufs);
    s->bufs = NULL;
    s->next_vacant = pool->vacant;
    pool->vacant = index;
    pool->held_bytes -= SLAB_BYTES;
}

void bufpool_close(struct bufpool *pool)
{
    assert(pool);
    for (uint32_t i = 0; pool->slabs && i < pool->slab_count; i++) {
        if (pool->slabs[i].bufs) /* the next mapping may stand where they do */
            memory_unpoison(pool->region + (size_t)i * SLAB_BYTES, SLAB_BYTES);
        heap_free(pool->heap, pool->slabs[i].bufs);
    }
    if (pool->region)
        region_close(pool->region, (size_t)pool->slab_count * SLAB_BYTES);
    heap_free(pool->heap, pool->slabs);
    heap_free(pool->heap, pool);
}

static void init_buf(struct bufpool *pool, struct buf *b, uint8_t *at, uint32_t bytes, uint8_t class)
{
    *b = (struct buf){.at = at, .size = bytes, .pool = pool, .class = class};
    list_init(&b->link);
}

static bool open_slab(struct bufpool *pool, enum buf_class class)
{
    uint32_t index = pool->vacant, bytes = class_bytes[class], count = SLAB_BYTES / bytes;
    struct slab *s = &pool->slabs[index];
    uint8_t *at = pool->region + (size_t)index * SLAB_BYTES;
    s->bufs = heap_alloc(pool->heap, count * sizeof *s->bufs);
    if (!s->bufs)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        init_buf(pool, &s->bufs[i], at + (size_t)i * bytes, bytes, (uint8_t) class);
        list_push(&s->free, &s->bufs[i].link);
    }
    memory_poison(at, SLAB_BYTES);
    s->count = count;
    pool->vacant = s->next_vacant;
    pool->held_bytes += SLAB_BYTES;
    list_push_front(&pool->room[class], &s->room);
    if (pool->io)
        io_slab_register(pool->io, index, at, SLAB_BYTES);
    return true;
}

/* The last in a room list is an idle slab, if the class has one. */
static struct slab *find_idle_slab(struct bufpool *pool)
{
    for (int c = 0; c < BUF_CLASSES; c++) {
        struct list *last = pool->room[c].prev;
        if (last != &pool->room[c] && container_of(last, struct slab, room)->out == 0)
            return container_of(last, struct slab, room);
    }
    return NULL;
}

/* Makes room in the budget, if need be out of idle slabs. */
static bool reserve_slab_bytes(struct bufpool *pool, size_t bytes)
{
    while (bytes > pool->max_bytes - pool->held_bytes) {
        struct slab *s = find_idle_slab(pool);
        if (!s)
            return false;
        close_slab(pool, s);
    }
    return true;
}

static struct buf *take_buf(struct bufpool *pool, enum buf_class class)
{
    struct slab *s = container_of(list_first(&pool->room[class]), struct slab, room);
    struct buf *b = container_of(list_pop(&s->free), struct buf, link);
    assert(b->refs == 0);
    s->out++;
    s->idle_since_ns = 0;
    if (s->out == s->count)
        list_remove(&s->room);
    b->refs = 1;
    memory_unpoison(b->at, b->size);
    pool->used_bytes += b->size;
    return b;
}

static struct buf *get_large_buf(struct bufpool *pool, size_t bytes)
{
    bytes = align_up(bytes, PAGE_BYTES);
    if (bytes > pool->max_bytes || bytes > UINT32_MAX || !reserve_slab_bytes(pool, bytes))
        return NULL;
    struct buf *b = heap_alloc(pool->heap, sizeof *b);
    uint8_t *at = b ? region_open(bytes) : NULL;
    if (!at) {
        heap_free(pool->heap, b);
        return NULL;
    }
    init_buf(pool, b, at, (uint32_t)bytes, BUF_LARGE);
    b->refs = 1;
    pool->held_bytes += bytes;
    pool->used_bytes += bytes;
    return b;
}

static enum buf_class buf_class_of(size_t bytes)
{
    int c = BUF_16K;
    while (class_bytes[c] < bytes)
        c++;
    return (enum buf_class)c;
}

struct buf *bufpool_get(struct bufpool *pool, size_t bytes)
{
    assert(pool);
    if (bytes > SLAB_BYTES)
        return get_large_buf(pool, bytes);
    enum buf_class class = buf_class_of(bytes);
    if (list_empty(&pool->room[class])) {
        bool room = reserve_slab_bytes(pool, SLAB_BYTES) && pool->vacant < pool->slab_count;
        if (!room || !open_slab(pool, class))
            return NULL;
    }
    return take_buf(pool, class);
}

size_t bufpool_used_bytes(const struct bufpool *pool)
{
    return pool->used_bytes;
}

size_t bufpool_max_bytes(const struct bufpool *pool)
{
    return pool->max_bytes;
}

/* Closes the slabs of one class that were idle long enough; they stand behind those in use. */
static void trim_buf_class(struct bufpool *pool, struct list *room, uint64_t now_ns)
{
    struct list *node = room->prev;
    while (node != room) {
        struct slab *s = container_of(node, struct slab, room);
        node = node->prev;
        if (s->out > 0)
            return;
        if (s->idle_since_ns == 0)
            s->idle_since_ns = u64_max(now_ns, 1);
        else if (now_ns - s->idle_since_ns >= IDLE_NS)
            close_slab(pool, s);
    }
}

void bufpool_trim(struct bufpool *pool, uint64_t now_ns)
{
    for (int c = 0; c < BUF_CLASSES; c++)
        trim_buf_class(pool, &pool->room[c], now_ns);
}

struct buf *buf_ref(struct buf *b)
{
    assert(b->refs > 0);
    assert(b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

static void put_large_buf(struct bufpool *pool, struct buf *b)
{
    pool->held_bytes -= b->size;
    region_close(b->at, b->size);
    heap_free(pool->heap, b);
}

static void put_slab_buf(struct bufpool *pool, struct buf *b)
{
    struct slab *s = &pool->slabs[(size_t)(b->at - pool->region) / SLAB_BYTES];
    assert(s->out > 0);
    memory_poison(b->at, b->size);
    list_push_front(&s->free, &b->link);
    s->out--;
    struct list *room = &pool->room[b->class];
    if (s->out == 0) {
        list_remove(&s->room);
        list_push(room, &s->room);
    } else if (!list_linked(&s->room)) {
        list_push_front(room, &s->room);
    }
}

void buf_put(struct buf *b)
{
    assert(b->refs > 0);
    if (--b->refs > 0)
        return;
    struct bufpool *pool = b->pool;
    assert(!list_linked(&b->link));
    assert(pool->used_bytes >= b->size);
    pool->used_bytes -= b->size;
    if (b->class == BUF_LARGE)
        put_large_buf(pool, b);
    else
        put_slab_buf(pool, b);
}
