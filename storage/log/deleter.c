/* Unlinking what was dropped (deleter.h). Files stand in the order in which they are due; mostly a new one is the last. */
#include "storage/log/deleter.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/deleted.h"
#include "storage/log/full_disk.h"
#include "storage/log/partition_state.h"
#include <stdio.h>

#define DELAY_MS_MAX (1000ll * 365 * 24 * 3600 * 1000) /* a thousand years: the sum does not overflow */

struct dropped_file {
    struct list link;
    struct partition *partition;
    int64_t base_offset;
    uint64_t due_ns, bytes;
};
struct deleter {
    struct log_store *store;
    struct list files; /* by due_ns */
    struct timer timer;
    uint64_t bytes, hurry_until_ns;
    /* the job's */
    struct io_op op;
    struct partition *busy; /* a file of this one is being unlinked; NULL: none */
    char dir[FS_PATH_MAX];
    int64_t base_offset;
    enum err err;
};

static void await_next_file(struct deleter *d)
{
    assert(d->bytes == 0 || !list_empty(&d->files));
    struct list *l = list_first(&d->files);
    struct shard *s = d->store->shard;
    timer_stop(&s->timers, &d->timer);
    if (!l || d->busy)
        return;
    uint64_t due_ns = s->now_ns < d->hurry_until_ns ? 0 : container_of(l, struct dropped_file, link)->due_ns;
    timer_start(&s->timers, &d->timer, u64_max(due_ns, s->now_ns));
}

static void insert_dropped_file(struct deleter *d, struct dropped_file *f)
{
    assert(!list_linked(&f->link));
    struct list *at = &d->files;
    while (at->prev != &d->files && container_of(at->prev, struct dropped_file, link)->due_ns > f->due_ns)
        at = at->prev;
    list_insert_before(at, &f->link);
}

static bool add_dropped_file(struct deleter *d, struct dropped_file file)
{
    assert(file.partition->store == d->store);
    struct dropped_file *f = heap_alloc(d->store->shard->heap, sizeof *f);
    if (!f)
        return false;
    *f = file;
    list_init(&f->link);
    if (f->due_ns == 0)
        list_insert_before(d->files.next, &f->link);
    else
        insert_dropped_file(d, f);
    f->partition->trimmer.unlinks++;
    d->bytes += f->bytes;
    await_next_file(d);
    return true;
}

bool deleter_add(struct deleter *d, struct partition *p, int64_t base_offset, uint64_t bytes)
{
    assert(base_offset >= 0);
    int64_t delay_ms = config_of(p)->file_delete_delay_ms;
    delay_ms = delay_ms > DELAY_MS_MAX ? DELAY_MS_MAX : delay_ms;
    uint64_t due_ns = d->store->shard->now_ns + (uint64_t)delay_ms * NS_PER_MS;
    return add_dropped_file(
        d, (struct dropped_file){.partition = p, .base_offset = base_offset, .bytes = bytes, .due_ns = due_ns});
}

bool deleter_add_left(struct deleter *d, struct partition *p, int64_t base_offset)
{
    assert(base_offset >= 0);
    return add_dropped_file(d, (struct dropped_file){.partition = p, .base_offset = base_offset});
}

static void drop_file_record(struct deleter *d, struct dropped_file *f)
{
    assert(d->bytes >= f->bytes);
    assert(f->partition->trimmer.unlinks > 0);
    d->bytes -= f->bytes;
    f->partition->trimmer.unlinks--;
    list_remove(&f->link);
    heap_free(d->store->shard->heap, f);
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
    struct list *l = list_first(&d->files);
    assert(!d->busy);
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
    for (struct list *l = d->files.next; l != &d->files && p->trimmer.unlinks > 0;) {
        struct dropped_file *f = container_of(l, struct dropped_file, link);
        l = l->next;
        if (f->partition == p && f->base_offset == base_offset)
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
    assert(!list_empty(&d->files) || d->bytes == 0);
    return d->busy || !list_empty(&d->files);
}

uint64_t deleter_bytes(const struct deleter *d)
{
    return d->bytes;
}

void deleter_forget(struct deleter *d, const struct partition *p)
{
    assert(d->busy != p);
    for (struct list *l = d->files.next; l != &d->files && p->trimmer.unlinks > 0;) {
        struct dropped_file *f = container_of(l, struct dropped_file, link);
        l = l->next;
        if (f->partition == p)
            drop_file_record(d, f);
    }
    assert(p->trimmer.unlinks == 0);
    await_next_file(d); /* the timer may have been for one of those */
}

struct deleter *deleter_open(struct log_store *ls)
{
    assert(!ls->deleter);
    struct deleter *d = heap_zalloc(ls->shard->heap, sizeof *d);
    if (!d)
        return NULL;
    d->store = ls;
    list_init(&d->files);
    timer_init(&d->timer, unlink_due_file);
    return d;
}

void deleter_close(struct deleter *d)
{
    assert(list_empty(&d->files));
    timer_stop(&d->store->shard->timers, &d->timer);
    d->store->deleter = NULL;
    heap_free(d->store->shard->heap, d);
}

void deleter_check(const struct deleter *d)
{
    uint64_t bytes = 0, due_ns = 0;
    for (const struct list *l = d->files.next; l != &d->files; l = l->next) {
        const struct dropped_file *f = container_of(l, struct dropped_file, link);
        assert(f->partition->store == d->store);
        assert(f->due_ns >= due_ns);
        due_ns = f->due_ns;
        bytes += f->bytes;
    }
    assert(bytes == d->bytes);
    assert(list_empty(&d->files) || d->busy || timer_started(&d->timer));
}
