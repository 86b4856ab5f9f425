/* The pool. A slab belongs to one purpose and one class from its first buf until it is closed. Slabs with a free buf stand in
 * their `room` list: those in use in front, so that idle ones stay idle and can be closed.
 *
 *   tails, 16K   room -> slab 3 (5 of 128 out) -> slab 0 (none out)
 *   slab 3       free -> buf -> buf -> ...       last used first: its bytes are still in the cache
 *
 * A slab's states:
 *
 *   cold: no memory behind it --> class slab, or part of a run (a large buf) --> warm: memory that nobody uses
 *     ^                                     ^------------------------------------------'  |
 *     |--- a job faults it in (READYING), so that some are ready while load grows ---------|
 *     |--- or a thread does (AHEAD), the first ones, when the first client comes ----------|
 *     '------------------------------------ trimmed, one at a time ------------------------'
 *
 * Warm slabs are used first. They count in no purpose; when memory that is used and memory that is warm would be more than the
 * budget, warm slabs go cold. The region has twice the budget in addresses, so that there is a run for a large buf although
 * slabs in use lie scattered. */
#include "core/buf.h"
#include "core/clock.h"
#include "core/io.h"
#include "core/limits.h"
#include "core/poison.h"
#include "core/prefault.h"

#define IDLE_NS (60 * NS_PER_S)
enum {
    READY_MAX = PREFAULT_PIECES_MAX, /* warm ones ahead: 16 MiB */
    AHEAD_PART = 4,                  /* of the budget, at most, for the first clients */
    CLOSED_PER_TRIM = 4,             /* unregistering costs some 20 us each */
    SLABS_MIN = 4, /* from here on each purpose has one of its own, and one goes to the purpose that comes first */
    LARGE_POOL_SLABS = 8, /* a smaller one has nothing to spare */
    KEPT_PART = 16,
    KEPT_BESIDE_PART = 4,
};

enum slab_state { SLAB_COLD, SLAB_WARM, SLAB_OF_CLASS, SLAB_IN_RUN, SLAB_READYING, SLAB_AHEAD };
struct slab {
    struct buf *bufs; /* of a class slab */
    struct list room; /* of a class slab: in its room list while a buf is free; cold and warm ones: in the pool's */
    struct list free;
    uint32_t count, out;
    uint8_t state, purpose, class;
    uint64_t idle_since_ns; /* 0: used since the last trim */
};
struct purse {
    size_t share_bytes; /* nobody else's */
    size_t held_bytes;  /* whole slabs */
    size_t used_bytes;  /* bufs that are out */
    struct list room[BUF_CLASSES];
};
struct bufpool {
    struct heap *heap;
    struct io *io;
    uint8_t *region;
    struct slab *slabs;
    uint32_t slab_count, warm_count;
    size_t max_bytes;
    struct list cold, warm; /* warm: the last used in front */
    uint32_t ready_wanted;  /* so many warm ones; twice as many whenever there was none, no more when some were idle */
    struct slab *readying;  /* the job's; NULL: there is no job */
    struct io_op ready_op;
    struct prefault *prefault;               /* NULL: there is none */
    struct slab *ahead[PREFAULT_PIECES_MAX]; /* what it has; NULL: it does not have that piece any more */
    uint32_t ahead_count;
    bool expected; /* it was started */
    struct purse purses[BUF_PURPOSES];
    size_t kept_bytes;
    size_t kept_beside_bytes; /* so much of it does not count */
    size_t kept_share_bytes, kept_max_bytes;
};

static const uint32_t class_bytes[BUF_CLASSES] = {4 * 1024, 16 * 1024, 64 * 1024, 256 * 1024, SLAB_BYTES};

/* --- the pool --- */

static void init_shares(struct bufpool *pool)
{
    static const uint8_t parts[BUF_PURPOSES] = {[BUF_RECEIVE] = 4, [BUF_TAILS] = 4, [BUF_COLD] = 8};
    /* Rounded down to nothing, cold reads would get no slab for as long as a few tails are out in each of the others. */
    size_t least = pool->max_bytes >= SLABS_MIN * (size_t)SLAB_BYTES ? SLAB_BYTES : 0;
    for (int p = 0; p < BUF_PURPOSES; p++) {
        if (parts[p])
            pool->purses[p].share_bytes = u64_max(align_down(pool->max_bytes / parts[p], SLAB_BYTES), least);
        for (int c = 0; c < BUF_CLASSES; c++)
            list_init(&pool->purses[p].room[c]);
    }
    /* Where there is so little, a slab for small requests alone would be missed. */
    bool large = pool->max_bytes >= LARGE_POOL_SLABS * (size_t)SLAB_BYTES;
    pool->purses[BUF_RESERVE].share_bytes = large ? SLAB_BYTES : 0;
    pool->kept_share_bytes = large ? pool->max_bytes / KEPT_PART : 0;
    pool->kept_beside_bytes = large ? 0 : pool->max_bytes / KEPT_BESIDE_PART;
    pool->kept_max_bytes = pool->max_bytes;
    for (int p = 0; p < BUF_PURPOSES; p++)
        pool->kept_max_bytes -= pool->purses[p].share_bytes;
}

static void init_slabs(struct bufpool *pool)
{
    list_init(&pool->cold);
    list_init(&pool->warm);
    for (uint32_t i = 0; i < pool->slab_count; i++) {
        struct slab *s = &pool->slabs[i];
        list_init(&s->room);
        list_init(&s->free);
        list_push(&pool->cold, &s->room);
    }
}

struct bufpool *bufpool_open(struct heap *heap, struct io *io, size_t max_bytes)
{
    assert(heap);
    assert(max_bytes >= SLAB_BYTES);
    size_t slabs = u64_min(2 * (max_bytes / SLAB_BYTES), IO_SLABS_MAX);
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
    init_shares(pool);
    pool->prefault = prefault_open();
    return pool;
}

void bufpool_close(struct bufpool *pool)
{
    assert(pool);
    if (pool->prefault)
        prefault_close(pool->prefault);
    for (uint32_t i = 0; pool->slabs && i < pool->slab_count; i++)
        heap_free(pool->heap, pool->slabs[i].bufs);
    if (pool->region) {
        memory_unpoison(pool->region,
                        (size_t)pool->slab_count * SLAB_BYTES); /* the next mapping may stand where it did */
        region_close(pool->region, (size_t)pool->slab_count * SLAB_BYTES);
    }
    heap_free(pool->heap, pool->slabs);
    heap_free(pool->heap, pool);
}

static uint32_t slab_index(const struct bufpool *pool, const struct slab *s)
{
    assert(s >= pool->slabs && s < pool->slabs + pool->slab_count);
    return (uint32_t)(s - pool->slabs);
}

static uint8_t *slab_at(const struct bufpool *pool, const struct slab *s)
{
    return pool->region + (size_t)slab_index(pool, s) * SLAB_BYTES;
}

/* --- the budget --- */

static size_t held_bytes(const struct bufpool *pool)
{
    size_t held = 0;
    for (int p = 0; p < BUF_PURPOSES; p++)
        held += pool->purses[p].held_bytes;
    return held;
}

/* Of what is kept, that which counts. */
static size_t kept_counted(const struct bufpool *pool)
{
    return pool->kept_bytes > pool->kept_beside_bytes ? pool->kept_bytes - pool->kept_beside_bytes : 0;
}

/* What bufs cannot have of it, however much too much is kept. */
static size_t kept_taken(const struct bufpool *pool)
{
    assert(pool->kept_max_bytes <= pool->max_bytes);
    return u64_min(u64_max(kept_counted(pool), pool->kept_share_bytes), pool->kept_max_bytes);
}

/* Others keep what they hold, and what is theirs. */
static bool fits_budget(const struct bufpool *pool, enum buf_purpose purpose, size_t bytes)
{
    const struct purse *own = &pool->purses[purpose];
    if (purpose == BUF_RESERVE && own->held_bytes + bytes > own->share_bytes)
        return false;
    if (own->held_bytes + bytes <= own->share_bytes)
        return true; /* also where too much is kept */
    size_t taken = own->held_bytes + kept_taken(pool);
    for (int p = 0; p < BUF_PURPOSES; p++)
        if (p != (int)purpose)
            taken += u64_max(pool->purses[p].held_bytes, pool->purses[p].share_bytes);
    return taken <= pool->max_bytes && bytes <= pool->max_bytes - taken;
}

/* The same for what is to be kept. */
static bool fits_kept(const struct bufpool *pool, size_t bytes)
{
    assert(pool->kept_share_bytes <= pool->kept_max_bytes);
    size_t taken = kept_counted(pool);
    for (int p = 0; p < BUF_PURPOSES; p++)
        taken += u64_max(pool->purses[p].held_bytes, pool->purses[p].share_bytes);
    size_t beside = pool->kept_beside_bytes - u64_min(pool->kept_bytes, pool->kept_beside_bytes);
    return bytes <= beside || (taken <= pool->max_bytes && bytes - beside <= pool->max_bytes - taken);
}

static void cool_slab(struct bufpool *pool, struct slab *s)
{
    assert(s->state == SLAB_WARM);
    assert(pool->warm_count > 0);
    memory_unpoison(slab_at(pool, s), SLAB_BYTES);
    region_discard(slab_at(pool, s), SLAB_BYTES);
    s->state = SLAB_COLD;
    pool->warm_count--;
    list_remove(&s->room);
    list_push_front(&pool->cold, &s->room);
}

static void warm_slab(struct bufpool *pool, struct slab *s)
{
    assert(!list_linked(&s->room));
    assert(s->state != SLAB_COLD && s->state != SLAB_WARM);
    s->state = SLAB_WARM;
    pool->warm_count++;
    list_push_front(&pool->warm, &s->room);
}

static void close_slab(struct bufpool *pool, struct slab *s)
{
    assert(s->state == SLAB_OF_CLASS);
    assert(s->out == 0);
    if (pool->io)
        io_slab_unregister(pool->io, slab_index(pool, s));
    list_remove(&s->room);
    list_init(&s->free);
    heap_free(pool->heap, s->bufs);
    s->bufs = NULL;
    pool->purses[s->purpose].held_bytes -= SLAB_BYTES;
    warm_slab(pool, s);
}

/* --- warm ones ahead --- */

static void ready_slabs(struct bufpool *pool);

static int32_t run_ready_job(void *arg)
{
    assert(arg);
    prefault_pages(arg, SLAB_BYTES);
    return 0;
}

/* With so many more that nobody uses: is all that has memory within the budget? */
static bool fits_warm_slabs(const struct bufpool *pool, uint32_t more)
{
    size_t unused = ((size_t)pool->warm_count + pool->ahead_count + more) * SLAB_BYTES;
    return held_bytes(pool) + kept_counted(pool) + unused <= pool->max_bytes;
}

static void ready_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct bufpool *pool = container_of(op, struct bufpool, ready_op);
    struct slab *s = pool->readying;
    assert(s->state == SLAB_READYING);
    assert(!list_linked(&s->room));
    bool fits = fits_warm_slabs(pool, 1); /* or else others took the room meanwhile */
    pool->readying = NULL;
    warm_slab(pool, s);
    if (!fits)
        cool_slab(pool, s);
    ready_slabs(pool);
}

/* One more, if there are too few and the budget has room for it. */
static void ready_slabs(struct bufpool *pool)
{
    assert(pool->ready_wanted <= READY_MAX);
    if (!pool->io || pool->readying || pool->warm_count + pool->ahead_count >= pool->ready_wanted ||
        !fits_warm_slabs(pool, 1))
        return;
    struct list *node = list_pop(&pool->cold);
    if (!node)
        return;
    struct slab *s = container_of(node, struct slab, room);
    s->state = SLAB_READYING;
    s->idle_since_ns = 0;
    pool->readying = s;
    memory_unpoison(slab_at(pool, s), SLAB_BYTES);
    io_job(pool->io, &pool->ready_op, IO_URGENT, run_ready_job, slab_at(pool, s), ready_job_done);
}

static void want_ready_slabs(struct bufpool *pool, bool was_warm)
{
    if (!was_warm)
        pool->ready_wanted = (uint32_t)u64_min(pool->ready_wanted ? 2 * pool->ready_wanted : 1, READY_MAX);
    ready_slabs(pool);
}

/* --- the first ones, by a thread --- */

void bufpool_expect(struct bufpool *pool)
{
    assert(pool);
    if (!pool->prefault || pool->expected)
        return;
    void *at[PREFAULT_PIECES_MAX];
    uint64_t most = u64_min(pool->max_bytes / SLAB_BYTES / AHEAD_PART, READY_MAX);
    struct list *node;
    while (pool->ahead_count < most && fits_warm_slabs(pool, 1) && (node = list_pop(&pool->cold))) {
        struct slab *s = container_of(node, struct slab, room);
        s->state = SLAB_AHEAD;
        s->idle_since_ns = 0;
        memory_unpoison(slab_at(pool, s), SLAB_BYTES);
        at[pool->ahead_count] = slab_at(pool, s);
        pool->ahead[pool->ahead_count++] = s;
    }
    pool->expected = true;
    pool->ready_wanted = (uint32_t)u64_max(pool->ready_wanted, pool->ahead_count);
    prefault_start(pool->prefault, at, pool->ahead_count, SLAB_BYTES);
}

static struct slab *take_ahead(struct bufpool *pool, uint32_t piece)
{
    struct slab *s = pool->ahead[piece];
    assert(s->state == SLAB_AHEAD);
    assert(pool->ahead_count > 0);
    pool->ahead[piece] = NULL;
    pool->ahead_count--;
    return s;
}

/* What the thread has done is warm. */
static void warm_ahead(struct bufpool *pool)
{
    for (uint32_t i = 0; pool->ahead_count > 0 && i < PREFAULT_PIECES_MAX; i++) {
        if (pool->ahead[i] && prefault_ready(pool->prefault, i))
            warm_slab(pool, take_ahead(pool, i));
    }
}

/* What it has not begun stays cold. False: there is nothing of that kind. */
static bool cool_ahead(struct bufpool *pool)
{
    for (uint32_t i = PREFAULT_PIECES_MAX; pool->ahead_count > 0 && i-- > 0;) {
        if (pool->ahead[i] && prefault_revoke(pool->prefault, i)) {
            struct slab *s = take_ahead(pool, i);
            s->state = SLAB_COLD;
            list_push_front(&pool->cold, &s->room);
            return true;
        }
    }
    return false;
}

/* The last in a room list is an idle slab, if there is one. */
static struct slab *idle_slab_of(struct purse *purse)
{
    for (int c = 0; c < BUF_CLASSES; c++) {
        struct list *last = purse->room[c].prev;
        if (last != &purse->room[c] && container_of(last, struct slab, room)->out == 0)
            return container_of(last, struct slab, room);
    }
    return NULL;
}

/* One whose end is room for this purpose: its own, or one beyond its purpose's share. */
static struct slab *find_idle_slab(struct bufpool *pool, enum buf_purpose purpose)
{
    for (int p = 0; p < BUF_PURPOSES; p++) {
        struct purse *purse = &pool->purses[p];
        struct slab *s = p == (int)purpose || purse->held_bytes > purse->share_bytes ? idle_slab_of(purse) : NULL;
        if (s)
            return s;
    }
    return NULL;
}

/* Memory that nobody uses goes back to the kernel while all together would be more than the budget. */
static void cool_surplus(struct bufpool *pool)
{
    warm_ahead(pool);
    while (!fits_warm_slabs(pool, 0) && cool_ahead(pool))
        ;
    while (!fits_warm_slabs(pool, 0) && pool->warm_count > 0)
        cool_slab(pool, container_of(pool->warm.prev, struct slab, room));
}

static bool make_budget(struct bufpool *pool, enum buf_purpose purpose, size_t bytes)
{
    while (!fits_budget(pool, purpose, bytes)) {
        struct slab *s = bytes <= pool->max_bytes ? find_idle_slab(pool, purpose) : NULL;
        if (!s)
            return false;
        close_slab(pool, s);
    }
    return true;
}

/* --- class slabs --- */

static void init_buf(struct bufpool *pool, struct buf *b, uint8_t *at, uint32_t bytes, enum buf_class class,
                     enum buf_purpose purpose)
{
    *b = (struct buf){.at = at, .size = bytes, .pool = pool, .class = (uint8_t) class, .purpose = (uint8_t)purpose};
    list_init(&b->link);
}

static struct slab *take_vacant_slab(struct bufpool *pool)
{
    warm_ahead(pool);
    struct list *node = list_pop(&pool->warm);
    if (node)
        pool->warm_count--;
    else
        node = list_pop(&pool->cold);
    return node ? container_of(node, struct slab, room) : NULL;
}

static bool open_slab(struct bufpool *pool, enum buf_purpose purpose, enum buf_class class)
{
    uint32_t bytes = class_bytes[class], count = SLAB_BYTES / bytes;
    struct buf *bufs = heap_alloc(pool->heap, count * sizeof *bufs);
    struct slab *s = bufs ? take_vacant_slab(pool) : NULL;
    if (!s) {
        heap_free(pool->heap, bufs);
        return false;
    }
    uint8_t *at = slab_at(pool, s);
    bool was_warm = s->state == SLAB_WARM;
    *s = (struct slab){
        .bufs = bufs, .count = count, .state = SLAB_OF_CLASS, .purpose = (uint8_t)purpose, .class = class};
    list_init(&s->room);
    list_init(&s->free);
    for (uint32_t i = 0; i < count; i++) {
        init_buf(pool, &bufs[i], at + (size_t)i * bytes, bytes, class, purpose);
        list_push(&s->free, &bufs[i].link);
    }
    memory_poison(at, SLAB_BYTES);
    pool->purses[purpose].held_bytes += SLAB_BYTES;
    list_push_front(&pool->purses[purpose].room[class], &s->room);
    cool_surplus(pool);
    if (pool->io)
        io_slab_register(pool->io, slab_index(pool, s), at, SLAB_BYTES);
    want_ready_slabs(pool, was_warm);
    return true;
}

static struct buf *take_buf(struct bufpool *pool, struct list *room)
{
    struct slab *s = container_of(list_first(room), struct slab, room);
    struct buf *b = container_of(list_pop(&s->free), struct buf, link);
    assert(b->refs == 0);
    assert(s->out < s->count);
    s->out++;
    s->idle_since_ns = 0;
    if (s->out == s->count)
        list_remove(&s->room);
    b->refs = 1;
    memory_unpoison(b->at, b->size);
    pool->purses[b->purpose].used_bytes += b->size;
    return b;
}

static void put_slab_buf(struct bufpool *pool, struct buf *b)
{
    struct slab *s = &pool->slabs[(size_t)(b->at - pool->region) / SLAB_BYTES];
    assert(s->state == SLAB_OF_CLASS);
    assert(s->out > 0);
    memory_poison(b->at, b->size);
    list_push_front(&s->free, &b->link);
    s->out--;
    struct list *room = &pool->purses[s->purpose].room[s->class];
    if (s->out == 0) {
        list_remove(&s->room);
        list_push(room, &s->room);
    } else if (!list_linked(&s->room)) {
        list_push_front(room, &s->room);
    }
}

/* --- large bufs --- */

static uint32_t run_slabs(size_t bytes)
{
    assert(bytes > SLAB_BYTES);
    return (uint32_t)((bytes + SLAB_BYTES - 1) / SLAB_BYTES);
}

/* The first run of vacant slabs; NULL: there is none. */
static struct slab *find_run(struct bufpool *pool, uint32_t wanted)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < pool->slab_count; i++) {
        bool vacant = pool->slabs[i].state == SLAB_COLD || pool->slabs[i].state == SLAB_WARM;
        found = vacant ? found + 1 : 0;
        if (found == wanted)
            return &pool->slabs[i + 1 - wanted];
    }
    return NULL;
}

static struct buf *get_large_buf(struct bufpool *pool, enum buf_purpose purpose, size_t bytes)
{
    uint32_t count = run_slabs(bytes);
    if (bytes > UINT32_MAX - PAGE_BYTES || !make_budget(pool, purpose, (size_t)count * SLAB_BYTES))
        return NULL;
    struct slab *run = find_run(pool, count);
    struct buf *b = run ? heap_alloc(pool->heap, sizeof *b) : NULL;
    if (!b)
        return NULL;
    for (uint32_t i = 0; i < count; i++) {
        pool->warm_count -= run[i].state == SLAB_WARM;
        run[i].state = SLAB_IN_RUN;
        list_remove(&run[i].room);
    }
    pool->purses[purpose].held_bytes += (size_t)count * SLAB_BYTES;
    cool_surplus(pool);
    init_buf(pool, b, slab_at(pool, run), (uint32_t)align_up(bytes, PAGE_BYTES), BUF_LARGE, purpose);
    b->refs = 1;
    memory_unpoison(b->at, (size_t)count * SLAB_BYTES);
    pool->purses[purpose].used_bytes += b->size;
    return b;
}

static void put_large_buf(struct bufpool *pool, struct buf *b)
{
    uint32_t count = run_slabs(b->size);
    struct slab *run = &pool->slabs[(size_t)(b->at - pool->region) / SLAB_BYTES];
    memory_poison(b->at, (size_t)count * SLAB_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        assert(run[i].state == SLAB_IN_RUN);
        run[i].idle_since_ns = 0;
        warm_slab(pool, &run[i]);
    }
    pool->purses[b->purpose].held_bytes -= (size_t)count * SLAB_BYTES;
    heap_free(pool->heap, b);
}

/* --- bufs --- */

static enum buf_class buf_class_of(enum buf_purpose purpose, size_t bytes)
{
    int c = purpose == BUF_TAILS ? BUF_4K : BUF_16K;
    while (class_bytes[c] < bytes)
        c++;
    assert(c < BUF_CLASSES);
    return (enum buf_class)c;
}

struct buf *bufpool_get(struct bufpool *pool, enum buf_purpose purpose, size_t bytes)
{
    assert(pool);
    assert(purpose < BUF_PURPOSES);
    if (purpose == BUF_RESERVE && bytes > class_bytes[BUF_16K])
        return NULL;
    if (bytes > SLAB_BYTES)
        return get_large_buf(pool, purpose, bytes);
    enum buf_class class = buf_class_of(purpose, bytes);
    struct list *room = &pool->purses[purpose].room[class];
    if (!list_empty(room) || (make_budget(pool, purpose, SLAB_BYTES) && open_slab(pool, purpose, class)))
        return take_buf(pool, room);
    /* In a small pool the classes do not each get a slab. */
    for (uint32_t larger = class + 1u; larger < BUF_CLASSES; larger++)
        if (!list_empty(&pool->purses[purpose].room[larger]))
            return take_buf(pool, &pool->purses[purpose].room[larger]);
    return NULL;
}

size_t bufpool_used_bytes(const struct bufpool *pool, enum buf_purpose purpose)
{
    assert(purpose < BUF_PURPOSES);
    return pool->purses[purpose].used_bytes;
}

size_t bufpool_max_bytes(const struct bufpool *pool)
{
    return pool->max_bytes;
}

struct buf *buf_ref(struct buf *b)
{
    assert(b->refs > 0);
    assert(b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void buf_put(struct buf *b)
{
    assert(b->refs > 0);
    if (--b->refs > 0)
        return;
    struct bufpool *pool = b->pool;
    assert(!list_linked(&b->link));
    assert(pool->purses[b->purpose].used_bytes >= b->size);
    pool->purses[b->purpose].used_bytes -= b->size;
    if (b->class == BUF_LARGE)
        put_large_buf(pool, b);
    else
        put_slab_buf(pool, b);
}

/* --- what is kept on the heap --- */

struct part {
    struct heap_meter meter; /* at its start */
    struct bufpool *pool;
    bool yields;
};

/* An idle slab beyond its purpose's share; NULL: there is none. */
static struct slab *find_surplus_slab(struct bufpool *pool)
{
    for (int p = 0; p < BUF_PURPOSES; p++) {
        struct purse *purse = &pool->purses[p];
        struct slab *s = purse->held_bytes > purse->share_bytes ? idle_slab_of(purse) : NULL;
        if (s)
            return s;
    }
    return NULL;
}

static bool make_kept_budget(struct bufpool *pool, size_t bytes)
{
    while (!fits_kept(pool, bytes)) {
        struct slab *s = bytes <= pool->max_bytes ? find_surplus_slab(pool) : NULL;
        if (!s)
            return false;
        close_slab(pool, s);
    }
    return true;
}

void bufpool_keep(struct bufpool *pool, size_t bytes)
{
    assert(pool);
    (void)make_kept_budget(pool, bytes); /* as far as it goes */
    pool->kept_bytes += bytes;
    cool_surplus(pool);
}

void bufpool_unkeep(struct bufpool *pool, size_t bytes)
{
    assert(pool->kept_bytes >= bytes);
    pool->kept_bytes -= bytes;
}

size_t bufpool_kept_bytes(const struct bufpool *pool)
{
    assert(pool);
    return pool->kept_bytes;
}

static bool grow_part(struct heap_meter *m, size_t bytes, bool anyway)
{
    struct part *part = container_of(m, struct part, meter);
    assert(part->pool->kept_bytes >= m->granted_bytes);
    if (part->yields && !anyway && !make_kept_budget(part->pool, bytes))
        return false;
    bufpool_keep(part->pool, bytes);
    return true;
}

static void shrink_part(struct heap_meter *m, size_t bytes)
{
    bufpool_unkeep(container_of(m, struct part, meter)->pool, bytes);
}

struct heap *bufpool_part(struct bufpool *pool, size_t max_bytes, bool yields, struct heap_meter **out_meter)
{
    assert(pool);
    struct part *part = heap_zalloc(pool->heap, sizeof *part);
    if (!part)
        return NULL;
    *part = (struct part){
        .meter = {.max_bytes = max_bytes, .more = grow_part, .less = shrink_part}, .pool = pool, .yields = yields};
    struct heap *h = heap_open_part(pool->heap, &part->meter);
    if (h)
        *out_meter = &part->meter;
    else
        heap_free(pool->heap, part);
    return h;
}

void bufpool_part_close(struct bufpool *pool, struct heap *h, struct heap_meter *meter)
{
    assert(h && meter);
    heap_close_part(pool->heap, h);
    bufpool_unkeep(pool, meter->granted_bytes);
    heap_free(pool->heap, container_of(meter, struct part, meter));
}

/* --- giving back --- */

/* Is it idle for long enough? From the first time that it is looked at. */
static bool idle_long(struct slab *s, uint64_t now_ns)
{
    if (s->idle_since_ns == 0)
        s->idle_since_ns = u64_max(now_ns, 1);
    return now_ns - s->idle_since_ns >= IDLE_NS;
}

/* Closes slabs of one class that were idle long enough; they stand behind those in use. */
static void trim_buf_class(struct bufpool *pool, struct list *room, uint64_t now_ns, uint32_t *left)
{
    struct list *node = room->prev;
    while (node != room && *left > 0) {
        struct slab *s = container_of(node, struct slab, room);
        node = node->prev;
        if (s->out > 0)
            return;
        if (idle_long(s, now_ns)) {
            close_slab(pool, s);
            --*left;
        }
    }
}

/* Stamps all warm slabs, cools the one that is warm for the longest time. */
static bool trim_warm(struct bufpool *pool, uint64_t now_ns)
{
    struct slab *oldest = NULL;
    for (struct list *l = pool->warm.next; l != &pool->warm; l = l->next) {
        struct slab *s = container_of(l, struct slab, room);
        if (idle_long(s, now_ns) && (!oldest || s->idle_since_ns < oldest->idle_since_ns))
            oldest = s;
    }
    if (oldest) {
        cool_slab(pool, oldest);
        pool->ready_wanted = 0;
    }
    return oldest;
}

bool bufpool_trim(struct bufpool *pool, uint64_t now_ns)
{
    uint32_t left = CLOSED_PER_TRIM;
    warm_ahead(pool);
    for (int p = 0; p < BUF_PURPOSES; p++)
        for (int c = 0; c < BUF_CLASSES; c++)
            trim_buf_class(pool, &pool->purses[p].room[c], now_ns, &left);
    return trim_warm(pool, now_ns) || left == 0;
}

bool bufpool_busy(const struct bufpool *pool)
{
    assert(pool);
    return pool->readying;
}

/* --- what must be true --- */

static void check_room(const struct bufpool *pool, enum buf_purpose purpose, enum buf_class class)
{
    const struct list *room = &pool->purses[purpose].room[class];
    bool idle = false;
    for (const struct list *l = room->next; l != room; l = l->next) {
        const struct slab *s = container_of(l, struct slab, room);
        assert(s->state == SLAB_OF_CLASS);
        assert(s->purpose == purpose);
        assert(s->class == class);
        assert(s->out < s->count);
        assert(!idle || s->out == 0); /* idle ones are behind */
        idle = s->out == 0;
    }
}

void bufpool_check(const struct bufpool *pool)
{
    size_t held[BUF_PURPOSES] = {0}, all = 0, used = 0, in_runs = 0;
    uint32_t warm = 0, ahead = 0;
    for (uint32_t i = 0; i < pool->slab_count; i++) {
        const struct slab *s = &pool->slabs[i];
        warm += s->state == SLAB_WARM;
        ahead += s->state == SLAB_AHEAD;
        assert((s->state == SLAB_READYING) == (s == pool->readying));
        in_runs += s->state == SLAB_IN_RUN ? SLAB_BYTES : 0;
        if (s->state == SLAB_OF_CLASS) {
            held[s->purpose] += SLAB_BYTES;
            used += (size_t)s->out * class_bytes[s->class];
            assert(s->bufs);
            assert(list_empty(&s->free) == (s->out == s->count));
        }
    }
    assert(warm == pool->warm_count);
    assert(ahead == pool->ahead_count);
    for (int p = 0; p < BUF_PURPOSES; p++) {
        assert(pool->purses[p].held_bytes >= held[p]);
        assert(pool->purses[p].used_bytes <= pool->purses[p].held_bytes);
        in_runs -= pool->purses[p].held_bytes - held[p];
        all += pool->purses[p].held_bytes;
        for (int c = 0; c < BUF_CLASSES; c++)
            check_room(pool, (enum buf_purpose)p, (enum buf_class)c);
    }
    assert(in_runs == 0);
    assert(used <= all);
    assert(all <= pool->max_bytes);
    assert(all + (size_t)warm * SLAB_BYTES <= pool->max_bytes);
}
