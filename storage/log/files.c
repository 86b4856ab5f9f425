/* Open segment files of one shard, bounded: the least recently used one without work is closed for a new one. */
#include "core/log.h"
#include "storage/log/partition_state.h"
#include "storage/recovery/scan.h"

enum { CLOSE_LOOKS_MAX = 64 }; /* files that one more looks at */

static bool segment_file_is_busy(const struct segment *s)
{
    const struct partition *p = s->partition;
    if (s->users || p->gone) /* stopped: the store closes its files, not another partition's turn */
        return true;
    return p->active == s && (!writer_idle(p) || !list_empty(&p->writer.pending));
}

static struct file_close *get_file_close(struct log_store *st)
{
    struct file_close *c = heap_zalloc(st->shard->heap, sizeof *c);
    struct list *kept = c ? NULL : list_pop(&st->closes_free);
    return kept ? container_of(kept, struct file_close, link) : c;
}

static void put_file_close(struct log_store *st, struct file_close *c)
{
    if (c->reserved)
        list_push(&st->closes_free, &c->link);
    else
        heap_free(st->shard->heap, c);
}

static int32_t run_file_close(void *arg)
{
    fs_close(((struct file_close *)arg)->fd);
    return 0;
}

static void file_close_done(struct io_op *op, int32_t res);

static void start_file_close(struct file_close *c, struct partition *p, int fd)
{
    assert(fd >= 0 && p->closes > 0);
    c->partition = p;
    c->fd = fd;
    io_job(shard_of(p)->io, &c->op, IO_BACKGROUND, run_file_close, c, file_close_done);
}

/* One that found neither memory nor a reserved job. */
static void start_waiting_close(struct log_store *st)
{
    struct file_close *c = st->closes_waiting_count > 0 ? get_file_close(st) : NULL;
    if (!c)
        return;
    struct close_waiting w = st->closes_waiting[--st->closes_waiting_count];
    start_file_close(c, w.partition, w.fd);
}

static void file_close_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct file_close *c = container_of(op, struct file_close, op);
    struct partition *p = c->partition;
    struct log_store *st = p->store;
    assert(p->closes > 0);
    p->closes--;
    put_file_close(st, c);
    start_waiting_close(st);
    partition_stop_step(p);
}

void files_close_fd(struct partition *p, int fd)
{
    assert(fd >= 0);
    struct log_store *st = p->store;
    struct file_close *c = p->gone ? NULL : get_file_close(st);
    if (p->gone || (!c && st->closes_waiting_count == CLOSES_WAITING_MAX)) { /* the loop is over */
        fs_close(fd);
        return;
    }
    p->closes++;
    if (c)
        start_file_close(c, p, fd);
    else
        st->closes_waiting[st->closes_waiting_count++] = (struct close_waiting){.partition = p, .fd = fd};
}

void files_close(struct log_store *st, struct segment *s)
{
    if (s->file.fd < 0)
        return;
    assert(s->users == 0);
    io_file_detach(st->shard->io, &s->file);
    files_close_fd(s->partition, s->file.fd);
    io_file_init(&s->file, -1);
    list_remove(&s->open_link);
    st->open_count--;
    if (s->partition->active == s && space_is_ready(s->partition))
        s->partition->space.state = SPACE_CLOSED;
}

void files_used(struct log_store *st, struct segment *s)
{
    assert(s->file.fd >= 0);
    list_remove(&s->open_link);
    list_push(&st->open_files, &s->open_link);
}

/* Those at work count as used, so that the next one does not look at them again: thousands may be. */
static void close_unused_files(struct log_store *st)
{
    struct list *l;
    assert((st->open_count == 0) == list_empty(&st->open_files));
    for (uint32_t i = 0; i < CLOSE_LOOKS_MAX && st->open_count >= st->open_max && (l = list_first(&st->open_files));
         i++) {
        struct segment *s = container_of(l, struct segment, open_link);
        if (segment_file_is_busy(s))
            files_used(st, s);
        else
            files_close(st, s);
    }
}

void files_adopt(struct log_store *st, struct segment *s, int fd)
{
    assert(s->file.fd < 0);
    close_unused_files(st);
    io_file_init(&s->file, fd);
    io_file_attach(st->shard->io, &s->file);
    list_push(&st->open_files, &s->open_link);
    st->open_count++;
}

void files_index_drop(struct log_store *st, struct segment *s)
{
    if (list_linked(&s->index_link)) {
        list_remove(&s->index_link);
        st->index_count--;
    }
    index_deinit(&s->index);
    s->index_loaded = false;
}

static bool too_many_indexes(const struct log_store *st)
{
    return st->index_count > INDEXES_MAX ||
           (st->index_count > 1 && st->index_meter->used_bytes > st->index_meter->max_bytes);
}

static void drop_unused_indexes(struct log_store *st)
{
    assert(st->index_count >= list_linked(&st->indexes));
    struct list *l = st->indexes.next;
    while (too_many_indexes(st) && l != &st->indexes) {
        struct segment *s = container_of(l, struct segment, index_link);
        l = l->next;
        if (s->users > 0)
            continue;
        uint32_t bytes_max = s->index.entries_max * INDEX_OFFSET_BYTES;
        files_index_drop(st, s);
        index_init(&s->index, st->index_heap, s->base_offset, bytes_max);
    }
}

void files_index_used(struct log_store *st, struct segment *s)
{
    assert(s->index_loaded);
    if (list_linked(&s->index_link))
        list_remove(&s->index_link);
    else
        st->index_count++;
    list_push(&st->indexes, &s->index_link);
    drop_unused_indexes(st);
}

/* --- in jobs --- */

struct index_ask files_index_ask(const struct partition *p, const struct segment *s)
{
    assert(s != p->active || s->index_loaded);
    assert(s->partition == p);
    return (struct index_ask){
        .dir = p->dir,
        .base_offset = s->base_offset,
        .bytes = s->bytes,
        .interval_bytes = config_of(p)->index_interval_bytes,
        .index_bytes = config_of(p)->segment_index_bytes,
    };
}

enum err files_load_index(const struct index_ask *a, struct heap *heap, struct segment *out_copy)
{
    assert(a->dir);
    assert(a->base_offset >= 0);
    *out_copy =
        (struct segment){.base_offset = a->base_offset, .bytes = a->bytes, .first_timestamp = -1, .max_timestamp = -1};
    index_init(&out_copy->index, heap, a->base_offset, a->index_bytes);
    enum err err = segment_load_index(a->dir, out_copy);
    if (err == ERR_CORRUPT || err == ERR_NOT_FOUND) {
        uint64_t bad_at = 0;
        log_warn("index rebuilt", "folder=%s segment=%020lld", a->dir, (long long)a->base_offset);
        err = scan_rebuild_index(a->dir, out_copy, a->interval_bytes, &bad_at);
    }
    if (err)
        index_deinit(&out_copy->index);
    return err;
}

enum err files_learn_times(const struct index_ask *a, struct segment_times *out)
{
    assert(a->dir);
    enum err err = segment_read_times(a->dir, a->base_offset, &out->first_timestamp, &out->max_timestamp,
                                      &out->max_timestamp_offset);
    if (err != ERR_CORRUPT && err != ERR_NOT_FOUND)
        return err;
    struct heap *heap = heap_open();
    struct segment copy;
    err = heap ? files_load_index(a, heap, &copy) : ERR_NO_MEMORY;
    if (!err)
        *out = (struct segment_times){-1, copy.index.max_timestamp, copy.index.max_timestamp_offset};
    if (heap)
        heap_close(heap);
    return err;
}

bool files_keep_times(struct partition *p, int64_t base_offset, uint64_t number, const struct segment_times *t)
{
    struct segment *s = p->segments.count ? segments_of_offset(&p->segments, base_offset) : NULL;
    if (!s || s->number != number || s == p->active)
        return false;
    if (t->first_timestamp >= 0)
        s->first_timestamp = t->first_timestamp;
    s->max_timestamp = t->max_timestamp;
    s->max_timestamp_offset = t->max_timestamp_offset;
    s->times_known = true;
    return true;
}
