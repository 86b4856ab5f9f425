/* One flush for the waves of many partitions.
 *
 * A durable write of 4 KiB costs twice the CPU of one that is not: it ends in a kernel worker of its own, which flushes the disk, and each end
 * wakes the shard. Where many partitions have something to write at the same time (a transaction's batches, then its markers; a thousand
 * producers), their waves are written plainly, and the disk is flushed for all that are there:
 *
 *   end of a turn: waves that may share --many under way--> writing --> written --a flush begins--> flushing --it is done--> each one ends
 *                                       '--few------------> written, each one durable by itself
 *
 * One flush at a time, and it covers what was written before it began; the others gather for the next one, as batches do for a wave. It begins
 * when no more are being written, or when those that are there are many and at least as many as those to come.
 *
 * Where a flush takes long, one wave is enough. What it saves there is other flushes: a durable write commits what the file system's journal
 * has of its file, be it only the space ahead that is being made or zeroed, and a wave of several writes would have a flush for each. The
 * lock's file has nothing in the journal.
 *
 * Which may: a wave that only writes blocks again that are durable since the file was opened (segment.settled), size and place, on a file
 * system where such a write needs no flush of its own file (fs_shares_flush). With small appends that is most of them: a block takes many, and
 * new ones were zeroed and flushed before (zeroing.c).
 * A flush that fails fails all of them, also those that it was not to cover, whatever the reason: what the disk had in its cache is unknown. */
#include "storage/log/partition_state.h"
#include <errno.h>

enum {
    FLUSH_WAVES_MAX = 256,  /* they end in one turn */
    FLUSH_EARLY_WAVES = 32, /* so many do not wait for the slowest write */
};

void shared_flush_init(struct shared_flush *f, int fd)
{
    assert(f->under_way == 0);
    list_init(&f->gathered);
    list_init(&f->writing);
    list_init(&f->written);
    list_init(&f->flushing);
    io_file_init(&f->file, fd);
}

void shared_flush_check(const struct shared_flush *f)
{
    assert(list_empty(&f->gathered) && f->gathered_count == 0);
    assert(list_empty(&f->writing) == (f->writing_count == 0));
    assert(list_empty(&f->written) == (f->written_count == 0));
    assert(f->writing_count + f->written_count <= f->under_way);
}

bool wave_may_share(const struct wave *w)
{
    const struct segment *s = w->partition->active;
    assert(w->partition->writer.wave == w);
    assert(s->settled % PAGE_BYTES == 0);
    return w->dsync && s->shares_flush && (wave_is_settled(w) || PLANTED(share_unsettled)) &&
           !PLANTED(sync_wrong_file) && !PLANTED(durable_over_unflushed);
}

void shared_flush_take(struct wave *w)
{
    struct shared_flush *f = &w->partition->store->shared_flush;
    assert(wave_may_share(w));
    w->may_share = true;
    list_push(&f->gathered, &w->link);
    f->gathered_count++;
    f->under_way++;
}

/* Are they many, or is one enough? */
static bool waves_share(const struct log_store *ls)
{
    uint32_t under_way = ls->shared_flush.under_way;
    assert(under_way >= ls->shared_flush.gathered_count);
    return under_way >= (log_store_flush_is_slow(ls) ? 1 : ls->root->traits.share_flush_from);
}

/* They go out, and share if they are many, with those that are on their way. */
static void issue_gathered_waves(struct log_store *ls)
{
    struct shared_flush *f = &ls->shared_flush;
    bool shares = waves_share(ls);
    struct list *l;
    while ((l = list_pop(&f->gathered))) {
        struct wave *w = container_of(l, struct wave, link);
        w->shares = shares;
        if (shares) {
            list_push(&f->writing, l);
            f->writing_count++;
        }
        f->gathered_count--;
        wave_issue(w);
    }
    assert(f->gathered_count == 0);
}

static void end_flushed_waves(struct list *waves)
{
    struct list *l;
    while ((l = list_pop(waves))) /* the end of the last one may be that of the store */
        wave_end(container_of(l, struct wave, link));
}

static void fail_waves(struct list *waves)
{
    for (struct list *l = waves->next; l != waves; l = l->next) {
        struct wave *w = container_of(l, struct wave, link);
        if (!w->failure)
            w->failure = -EIO;
    }
}

static void shared_flush_done(struct io_op *op, int32_t res)
{
    struct shared_flush *f = container_of(op, struct shared_flush, op);
    assert(!list_empty(&f->flushing));
    struct list waves;
    list_init(&waves);
    list_splice(&waves, &f->flushing);
    log_store_turn(container_of(f, struct log_store, shared_flush)); /* for the next flush */
    if (res < 0 && !PLANTED(flush_failure_ignored)) {
        list_splice(&waves, &f->written);
        f->written_count = 0;
        fail_waves(&waves);
        fail_waves(&f->writing);
    }
    end_flushed_waves(&waves);
}

static bool flush_is_due(const struct shared_flush *f)
{
    assert(f->writing_count + f->written_count <= f->under_way);
    return list_empty(&f->flushing) && f->written_count > 0 &&
           (f->writing_count == 0 || PLANTED(flush_before_waves) ||
            f->written_count >= u64_max(FLUSH_EARLY_WAVES, f->writing_count));
}

static void begin_shared_flush(struct log_store *ls)
{
    struct shared_flush *f = &ls->shared_flush;
    struct list *l;
    for (uint32_t n = 0; n < FLUSH_WAVES_MAX && (l = list_pop(&f->written)); n++) {
        list_push(&f->flushing, l);
        f->written_count--;
    }
    stat_add(ls->counters.shared_flushes, 1);
    io_sync(ls->shard->io, &f->op, &f->file, shared_flush_done);
}

void shared_flush_step(struct log_store *ls)
{
    struct shared_flush *f = &ls->shared_flush;
    issue_gathered_waves(ls);
    if (flush_is_due(f))
        begin_shared_flush(ls);
}

void shared_flush_wave_written(struct wave *w)
{
    struct log_store *ls = w->partition->store;
    struct shared_flush *f = &ls->shared_flush;
    assert(w->shares);
    assert(w->left == 0);
    assert(f->writing_count > 0);
    list_remove(&w->link);
    f->writing_count--;
    if (PLANTED(shared_ack_before_flush)) {
        wave_end(w);
    } else if (PLANTED(flush_before_waves) && !list_empty(&f->flushing)) {
        list_push(&f->flushing, &w->link);
    } else {
        list_push(&f->written, &w->link);
        f->written_count++;
    }
    log_store_turn(ls);
}

void shared_flush_wave_ends(const struct wave *w)
{
    struct shared_flush *f = &w->partition->store->shared_flush;
    assert(f->under_way > 0);
    assert(!list_linked(&w->link));
    f->under_way--;
}
