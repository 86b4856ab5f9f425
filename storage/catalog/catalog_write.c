#include "storage/catalog/catalog_write.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/store.h"

enum { PLACE_MS = 100 };

/* --- the write, and its end --- */

static int32_t run_catalog_cut(void *arg)
{
    return (int32_t)catalog_file_cut(arg);
}

static void catalog_cut_done(struct io_op *op, int32_t res)
{
    struct catalog_write *w = container_of(op, struct catalog_write, op);
    w->dirty = res != ERR_NONE;
    w->over(w, false);
}

static void catalog_write_failed(struct catalog_write *w, int32_t res)
{
    assert(w->copy < CATALOG_COPIES);
    log_error("catalog not written", "path=%s why=\"%s\" effect=\"who asked is answered KAFKA_STORAGE_ERROR\"",
              w->file->copies[w->copy].path, err_text(res < 0 ? err_from_errno(-res) : ERR_IO));
    io_job(w->shard->io, &w->op, IO_BACKGROUND, run_catalog_cut, w->file, catalog_cut_done);
}

static void write_catalog_more(struct catalog_write *w);

static void catalog_write_done(struct io_op *op, int32_t res)
{
    struct catalog_write *w = container_of(op, struct catalog_write, op);
    if (res <= 0) {
        catalog_write_failed(w, res);
        return;
    }
    w->written += (size_t)res;
    assert(w->written <= w->blob.bytes);
    if (w->written < w->blob.bytes) {
        write_catalog_more(w);
        return;
    }
    if (++w->copy < CATALOG_COPIES) {
        w->written = 0;
        write_catalog_more(w);
        return;
    }
    for (int i = 0; i < CATALOG_COPIES; i++)
        w->file->copies[i].bytes += w->blob.bytes;
    w->file->wave = w->blob.wave;
    w->file->empty = false;
    w->over(w, true);
}

static void write_catalog_more(struct catalog_write *w)
{
    size_t left = w->blob.bytes - w->written;
    assert(left > 0 && left <= UINT32_MAX);
    assert(w->copy < CATALOG_COPIES);
    io_write(w->shard->io, &w->op, &w->io_files[w->copy], w->blob.at + w->written, (uint32_t)left,
             w->file->copies[w->copy].bytes + w->written, true, catalog_write_done);
}

/* --- what may come before --- */

static int32_t run_catalog_names(void *arg)
{
    return (int32_t)catalog_file_sync_names(arg);
}

static void catalog_names_done(struct io_op *op, int32_t res)
{
    struct catalog_write *w = container_of(op, struct catalog_write, op);
    if (res == ERR_NONE) {
        write_catalog_more(w);
        return;
    }
    log_error("catalog not written", "path=%s why=\"%s\"", w->file->copies[w->copy].path, err_text((enum err)res));
    w->over(w, false);
}

static void catalog_recut_done(struct io_op *op, int32_t res)
{
    struct catalog_write *w = container_of(op, struct catalog_write, op);
    w->dirty = res != ERR_NONE;
    if (w->dirty)
        w->over(w, false);
    else
        write_catalog_more(w);
}

static void begin_catalog_write(struct catalog_write *w)
{
    assert(w->blob.bytes > 0);
    if (w->dirty)
        io_job(w->shard->io, &w->op, IO_BACKGROUND, run_catalog_cut, w->file, catalog_recut_done);
    else if (w->file->empty)
        io_job(w->shard->io, &w->op, IO_BACKGROUND, run_catalog_names, w->file, catalog_names_done);
    else
        write_catalog_more(w);
}

/* Each PLACE_MS at most: is there still a folder that anybody will find again? */
static int32_t run_place_check(void *arg)
{
    return (int32_t)root_place_check(arg);
}

static void place_check_done(struct io_op *op, int32_t res)
{
    struct catalog_write *w = container_of(op, struct catalog_write, op);
    if (res == ERR_NONE) {
        w->checked_ns = w->shard->now_ns;
        begin_catalog_write(w);
        return;
    }
    log_error("catalog not written", "data=%s why=\"the data folder was deleted or replaced while the broker runs\"",
              w->file->dir);
    w->over(w, false);
}

void catalog_write_start(struct catalog_write *w)
{
    assert(w->over);
    w->written = 0;
    w->copy = 0;
    if (w->checked_ns == 0 || w->shard->now_ns - w->checked_ns >= PLACE_MS * NS_PER_MS)
        io_job(w->shard->io, &w->op, IO_URGENT, run_place_check, store_of(w->shard)->root, place_check_done);
    else
        begin_catalog_write(w);
}

/* --- outside --- */

void catalog_write_init(struct catalog_write *w, struct shard *s, struct catalog_file *f,
                        void (*over)(struct catalog_write *w, bool written))
{
    assert(s->id == 0);
    *w = (struct catalog_write){.shard = s, .file = f, .over = over, .blob.heap = f->heap};
    for (int i = 0; i < CATALOG_COPIES; i++) {
        io_file_init(&w->io_files[i], f->copies[i].fd);
        io_file_attach(s->io, &w->io_files[i]);
    }
}

void catalog_write_detach(struct catalog_write *w)
{
    assert(w->shard);
    for (int i = 0; i < CATALOG_COPIES; i++)
        io_file_detach(w->shard->io, &w->io_files[i]);
}
