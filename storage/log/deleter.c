/* Unlinking what was dropped (deleter.h). Each file has a timer of its own, so that none is looked for among all that wait:
 *
 *   added --> waiting --its timer--> due --one job after the other--> unlinked
 *                '--while the disk is full, behind those that are due--'
 *
 * What a closed partition leaves is let go of a little at a time, before the next file. */
#include "storage/log/deleter.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/deleted.h"
#include "storage/log/full_disk.h"
#include "storage/log/partition_state.h"
#include <stdio.h>

#define DELAY_MS_MAX (1000ll * 365 * 24 * 3600 * 1000) /* a thousand years: the sum does not overflow */

enum { LET_GO_AT_ONCE = 256 };

struct dropped_file {
    struct list link;   /* waiting or due */
    struct list own;    /* of its partition's, or forgotten */
    struct timer timer; /* while it waits */
    struct deleter *deleter;
    struct partition *partition; /* not to be looked at once it is forgotten */
    int64_t base_offset;
    uint64_t bytes;
};
struct deleter {
    struct log_store *store;
    struct list waiting, due; /* as they were added; as they became due */
    struct list forgotten;    /* of partitions that are closed */
    struct timer timer;       /* the next step */
    uint64_t bytes, hurry_until_ns;
    /* the job's */
    struct io_op op;
    struct partition *busy; /* a file of this one is being unlinked; NULL: none */
    char dir[FS_PATH_MAX];
    int64_t base_offset;
    enum err err;
};

static struct list *next_dropped_file(const struct deleter *d)
{
    assert(d->bytes == 0 || !list_empty(&d->waiting) || !list_empty(&d->due));
    struct list *l = list_first(&d->due);
    return l || d->store->shard->now_ns >= d->hurry_until_ns ? l : list_first(&d->waiting);
}

static void await_next_file(struct deleter *d)
{
    struct shard *s = d->store->shard;
    assert(s->heap);
    if (!d->busy && (!list_empty(&d->forgotten) || next_dropped_file(d)))
        timer_start(&s->timers, &d->timer, s->now_ns + 1); /* not in this turn any more */
    else
        timer_stop(&s->timers, &d->timer);
}

static void file_is_due(struct timer *t)
{
    struct dropped_file *f = container_of(t, struct dropped_file, timer);
    struct deleter *d = f->deleter;
    assert(list_linked(&f->link));
    list_remove(&f->link);
    list_push(&d->due, &f->link);
    await_next_file(d);
}

/* After so many milliseconds. */
static bool add_dropped_file(struct deleter *d, struct dropped_file file, int64_t delay_ms)
{
    assert(file.partition->store == d->store);
    assert(delay_ms >= 0);
    struct shard *s = d->store->shard;
    struct dropped_file *f = heap_alloc(s->heap, sizeof *f);
    if (!f)
        return false;
    *f = file;
    f->deleter = d;
    list_init(&f->link);
    list_init(&f->own);
    timer_init(&f->timer, file_is_due);
    list_push(delay_ms ? &d->waiting : &d->due, &f->link);
    if (delay_ms)
        timer_start(&s->timers, &f->timer, s->now_ns + (uint64_t)delay_ms * NS_PER_MS);
    list_push(&f->partition->trimmer.renamed, &f->own);
    f->partition->trimmer.unlinks++;
    d->bytes += f->bytes;
    await_next_file(d);
    return true;
}

bool deleter_add(struct deleter *d, struct partition *p, int64_t base_offset, uint64_t bytes)
{
    assert(base_offset >= 0);
    int64_t delay_ms = config_of(p)->file_delete_delay_ms;
    return add_dropped_file(d, (struct dropped_file){.partition = p, .base_offset = base_offset, .bytes = bytes},
                            delay_ms > DELAY_MS_MAX ? DELAY_MS_MAX : delay_ms);
}

bool deleter_add_left(struct deleter *d, struct partition *p, int64_t base_offset)
{
    assert(base_offset >= 0);
    return add_dropped_file(d, (struct dropped_file){.partition = p, .base_offset = base_offset}, 0);
}

static void free_file_record(struct deleter *d, struct dropped_file *f)
{
    assert(d->bytes >= f->bytes);
    assert(f->deleter == d);
    d->bytes -= f->bytes;
    timer_stop(&d->store->shard->timers, &f->timer);
    list_remove(&f->link);
    list_remove(&f->own);
    heap_free(d->store->shard->heap, f);
}

static void drop_file_record(struct deleter *d, struct dropped_file *f)
{
    assert(f->partition->trimmer.unlinks > 0);
    f->partition->trimmer.unlinks--;
    free_file_record(d, f);
}

static void let_go_of_some(struct deleter *d, uint32_t most)
{
    assert(most > 0);
    for (uint32_t i = 0; i < most && !list_empty(&d->forgotten); i++)
        free_file_record(d, container_of(d->forgotten.next, struct dropped_file, own));
}

static int32_t run_unlink_job(void *arg)
{
    struct deleter *d = arg;
    assert(d->busy);
    d->err = deleted_unlink(d->dir, d->base_offset);
    return 0;
}

static void unlink_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct deleter *d = container_of(op, struct deleter, op);
    struct partition *p = d->busy;
    assert(p && p->closes > 0);
    if (d->err)
        log_warn("files not removed", "partition=%s-%d segment=%020lld why=\"%s\" effect=\"they go at the next start\"",
                 p->topic->name, p->index, (long long)d->base_offset, err_text(d->err));
    d->busy = NULL;
    p->closes--;
    full_disk_freed(d->store);
    await_next_file(d);
    partition_stop_step(p); /* p may be gone after this */
}

static void unlink_due_file(struct timer *t)
{
    struct deleter *d = container_of(t, struct deleter, timer);
    assert(!d->busy);
    if (!list_empty(&d->forgotten)) {
        let_go_of_some(d, LET_GO_AT_ONCE);
        await_next_file(d);
        return;
    }
    struct list *l = next_dropped_file(d);
    if (!l)
        return;
    struct dropped_file *f = container_of(l, struct dropped_file, link);
    struct partition *p = f->partition;
    if (p->gone) { /* its stop is at its last step: the next start does it */
        drop_file_record(d, f);
        await_next_file(d);
        return;
    }
    d->busy = p;
    d->base_offset = f->base_offset;
    snprintf(d->dir, sizeof d->dir, "%s", p->dir);
    drop_file_record(d, f);
    p->closes++;
    io_job(d->store->shard->io, &d->op, IO_BACKGROUND, run_unlink_job, d, unlink_done);
}

void deleter_take_back(struct deleter *d, struct partition *p, int64_t base_offset)
{
    assert(p->store == d->store);
    for (struct list *l = p->trimmer.renamed.next; l != &p->trimmer.renamed;) {
        struct dropped_file *f = container_of(l, struct dropped_file, own);
        l = l->next;
        if (f->base_offset == base_offset)
            drop_file_record(d, f);
    }
    await_next_file(d);
}

void deleter_hurry(struct deleter *d, uint64_t until_ns)
{
    assert(until_ns > 0);
    d->hurry_until_ns = u64_max(d->hurry_until_ns, until_ns);
    await_next_file(d);
}

bool deleter_waits(const struct deleter *d)
{
    bool waits = !list_empty(&d->waiting) || !list_empty(&d->due);
    assert(waits || d->bytes == 0);
    return d->busy || waits;
}

uint64_t deleter_bytes(const struct deleter *d)
{
    return d->bytes;
}

void deleter_forget(struct deleter *d, struct partition *p)
{
    assert(d->busy != p);
    assert(list_empty(&p->trimmer.renamed) == (p->trimmer.unlinks == 0));
    list_splice(&d->forgotten, &p->trimmer.renamed);
    p->trimmer.unlinks = 0;
    await_next_file(d);
}

struct deleter *deleter_open(struct log_store *ls)
{
    assert(!ls->deleter);
    struct deleter *d = heap_zalloc(ls->shard->heap, sizeof *d);
    if (!d)
        return NULL;
    d->store = ls;
    list_init(&d->waiting);
    list_init(&d->due);
    list_init(&d->forgotten);
    timer_init(&d->timer, unlink_due_file);
    return d;
}

void deleter_close(struct deleter *d)
{
    let_go_of_some(d, UINT32_MAX);
    assert(!deleter_waits(d));
    timer_stop(&d->store->shard->timers, &d->timer);
    d->store->deleter = NULL;
    heap_free(d->store->shard->heap, d);
}

void deleter_check(const struct deleter *d)
{
    uint64_t bytes = 0;
    for (const struct list *l = d->waiting.next; l != &d->waiting; l = l->next) {
        const struct dropped_file *f = container_of(l, struct dropped_file, link);
        assert(list_linked(&f->own) && timer_started(&f->timer));
        bytes += f->bytes;
    }
    for (const struct list *l = d->due.next; l != &d->due; l = l->next) {
        const struct dropped_file *f = container_of(l, struct dropped_file, link);
        assert(list_linked(&f->own) && !timer_started(&f->timer));
        bytes += f->bytes;
    }
    assert(bytes == d->bytes);
    assert(list_empty(&d->due) || d->busy || timer_started(&d->timer));
}
