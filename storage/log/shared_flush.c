/* One flush for the waves of many partitions.
 *
 * A durable write of 4 KiB costs twice the CPU of one that is not: it ends in a kernel worker of its own, which flushes the disk, and each end
 * wakes the shard. Where many partitions have little to write at the same time (a transaction's batches, then its markers), their
 * waves are written plainly, and when all are there the disk is flushed once:
 *
 *   end of a turn: waves that may share --enough--> written, plainly --the last one--> flush --> each one ends
 *                                       '--few----> written, each one durable by itself
 *
 * Which may: a wave that only writes blocks again that are durable since the file was opened (segment.settled), size and place, on a file
 * system where such a write needs no flush of its own file (fs_shares_flush). With small appends that is most of them: a block takes many, and
 * new ones were zeroed and flushed before (zeroing.c).
 * A flush that fails fails all of them, whatever the reason: what the disk had in its cache is unknown. */
#include "storage/log/partition_state.h"
#include <errno.h>

enum { SHARED_FLUSH_WAVES_MAX = 256 /* they end in one turn */ };

struct shared_flush {
    struct log_store *store;
    struct io_op op;
    struct list waves;
    uint32_t left; /* to be written */
};

bool wave_may_share(const struct wave *w)
{
    const struct segment *s = w->partition->active;
    assert(w->partition->writer.wave == w);
    assert(s->settled % PAGE_BYTES == 0);
    uint64_t whole_end = align_up(w->end.position, PAGE_BYTES);
    return w->dsync && s->shares_flush && (whole_end <= s->settled || PLANTED(share_unsettled)) &&
           !PLANTED(sync_wrong_file);
}

static void shared_flush_done(struct io_op *op, int32_t res);

static void early_flush_done(struct io_op *op, int32_t res)
{
    struct shared_flush *f = container_of(op, struct shared_flush, op);
    assert(f->left > 0);
    if (--f->left == 0)
        shared_flush_done(op, res);
}

static struct shared_flush *open_shared_flush(struct log_store *ls)
{
    uint32_t from = ls->root->traits.share_flush_from;
    assert(ls->sharing_count > 0);
    struct shared_flush *f = ls->sharing_count >= from ? heap_alloc(ls->shard->heap, sizeof *f) : NULL;
    if (!f)
        return NULL;
    *f = (struct shared_flush){.store = ls};
    list_init(&f->waves);
    stat_add(ls->counters.shared_flushes, 1);
    if (PLANTED(flush_before_waves)) {
        f->left++;
        io_sync(ls->shard->io, &f->op, &ls->flush_file, early_flush_done);
    }
    return f;
}

/* The next of those that may share; without a flush each one is durable by itself. */
static void begin_sharing_waves(struct log_store *ls, struct shared_flush *f)
{
    struct list *l;
    for (uint32_t n = 0; n < SHARED_FLUSH_WAVES_MAX && (l = list_pop(&ls->sharing)); n++) {
        struct wave *w = container_of(l, struct wave, link);
        w->flush = f;
        if (f) {
            list_push(&f->waves, l);
            f->left++;
        }
        ls->sharing_count--;
        wave_issue(w);
    }
    assert(!f || f->left > 0);
}

void shared_flush_begin(struct log_store *ls)
{
    while (ls->sharing_count > 0)
        begin_sharing_waves(ls, open_shared_flush(ls));
    assert(list_empty(&ls->sharing));
}

static void shared_flush_done(struct io_op *op, int32_t res)
{
    struct shared_flush *f = container_of(op, struct shared_flush, op);
    assert(f->left == 0);
    struct list waves, *l;
    list_init(&waves);
    list_splice(&waves, &f->waves);
    heap_free(f->store->shard->heap, f); /* the end of the last one may be that of the store */
    while ((l = list_pop(&waves))) {
        struct wave *w = container_of(l, struct wave, link);
        if (res < 0 && !w->failure && !PLANTED(flush_failure_ignored))
            w->failure = -EIO;
        wave_end(w);
    }
}

void shared_flush_wave_written(struct wave *w)
{
    struct shared_flush *f = w->flush;
    assert(f->left > 0);
    assert(w->left == 0);
    if (--f->left > 0)
        return;
    if (PLANTED(shared_ack_before_flush) || PLANTED(flush_before_waves))
        shared_flush_done(&f->op, 0);
    else
        io_sync(f->store->shard->io, &f->op, &f->store->flush_file, shared_flush_done);
}
