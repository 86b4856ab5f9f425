#include "storage/catalog/catalog_write.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/store.h"

enum { PLACE_MS = 100 };

/* --- the write, and its end --- */

/* Where the disk was full, the reserve makes room for both copies, once. */
static int32_t run_catalog_cut(void *arg)
{
    struct catalog_write *w = arg;
    assert(w->blob.bytes > 0);
    enum err err = catalog_file_cut(w->file);
    uint64_t bytes = CATALOG_COPIES * align_up(w->blob.bytes + PAGE_BYTES, PAGE_BYTES);
    bool asks = err == ERR_NONE && w->full && !w->helped;
    w->helped = asks && ballast_give(&store_of(w->shard)->log.ballast, bytes);
    return (int32_t)err;
}

static void write_catalog_more(struct catalog_write *w);

static void catalog_cut_done(struct io_op *op, int32_t res)
{
    struct catalog_write *w = container_of(op, struct catalog_write, op);
    assert(w->full || !w->helped);
    w->dirty = res != ERR_NONE;
    w->written = 0;
    w->copy = 0;
    if (res == ERR_NONE && w->helped)
        write_catalog_more(w);
    else
        w->over(w, false);
}

static void catalog_write_failed(struct catalog_write *w, int32_t res)
{
    assert(w->copy < CATALOG_COPIES);
    enum err err = res < 0 ? err_from_errno(-res) : ERR_IO;
    w->full = err == ERR_NO_SPACE;
    if (!w->full || w->helped)
        log_error("catalog not written", "path=%s why=\"%s\" effect=\"who asked is answered KAFKA_STORAGE_ERROR\"",
                  w->file->copies[w->copy].path, err_text(err));
    io_job(w->shard->io, &w->op, IO_BACKGROUND, run_catalog_cut, w, catalog_cut_done);
}

static int32_t run_catalog_room(void *arg)
{
    catalog_file_make_room(arg);
    return 0;
}

static void catalog_room_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct catalog_write *w = container_of(op, struct catalog_write, op);
    assert(w->copy == CATALOG_COPIES);
    w->over(w, true);
}

static void both_copies_written(struct catalog_write *w)
{
    assert(w->copy == CATALOG_COPIES);
    for (int i = 0; i < CATALOG_COPIES; i++)
        w->file->copies[i].bytes += w->blob.bytes;
    w->file->wave = w->blob.wave;
    w->file->empty = false;
    if (catalog_file_wants_room(w->file))
        io_job(w->shard->io, &w->op, IO_URGENT, run_catalog_room, w->file, catalog_room_done);
    else
        w->over(w, true);
}

static void catalog_write_done(struct io_op *op, int32_t res)
{
    struct catalog_write *w = container_of(op, struct catalog_write, op);
    if (res <= 0) {
        catalog_write_failed(w, res);
        return;
    }
    w->written += (size_t)res;
    assert(w->written <= w->blob.bytes);
    if (w->written == w->blob.bytes) {
        w->copy++;
        w->written = 0;
    }
    if (w->copy == CATALOG_COPIES)
        both_copies_written(w);
    else
        write_catalog_more(w);
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
        io_job(w->shard->io, &w->op, IO_BACKGROUND, run_catalog_cut, w, catalog_recut_done);
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
    w->full = w->helped = false;
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
