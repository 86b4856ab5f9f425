/* One partition's folder, file by file (check.h). */
#include "storage/check/check.h"
#include "storage/log/epochs.h"
#include "storage/log/folder.h"
#include "storage/log/log_start.h"
#include "storage/log/partition_dir.h"
#include "storage/log/producer.h"
#include "storage/recovery/scan.h"
#include "storage/uuid.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    SMALL_FILE_MAX = 64 << 20,
    CHECK_INDEX_BYTES = 1 << 30,
    EPOCH_MAX =
        INT32_MAX - (1 << 20), /* one a start: no broker gets there, and what goes on behind it needs some more */
};
/* They are handed out from 0 on, by the thousand: what is larger came from a client. */
static const int64_t producer_id_max = INT64_MAX / 2;

/* The walk over one partition. */
struct check_walk {
    struct check *check;
    const struct check_partition *what;
    struct folder folder;
    char dir[FS_PATH_MAX], file[512]; /* file: for sentences */
    bool clean;                       /* the mark names it: nothing is torn */
    const struct checkpoint_entry *checkpoint;
    int64_t next;  /* offset */
    int64_t start; /* that was saved, 0: none */
    int32_t epoch;
    bool last;       /* the segment is the last one: no offset is missing in it */
    bool ends_whole; /* the one before ended with its file: offsets may be missing behind it */
    struct check_log *log;
};

static void name_file(struct check_walk *w, int64_t base, const char *suffix)
{
    assert(base >= 0);
    snprintf(w->file, sizeof w->file, "%s/%020" PRId64 "%s", w->what->folder, base, suffix);
}

static void name_small_file(struct check_walk *w, const char *name)
{
    assert(name);
    snprintf(w->file, sizeof w->file, "%s/%s", w->what->folder, name);
}

/* --- one segment --- */

static void note_batch(struct check_walk *w, const struct batch *b)
{
    assert(b->base_offset >= w->next);
    assert(b->leader_epoch >= w->epoch);
    struct check *c = w->check;
    w->next = batch_last_offset(b) + 1;
    w->epoch = b->leader_epoch;
    c->epoch_max = b->leader_epoch > c->epoch_max ? b->leader_epoch : c->epoch_max;
    if (b->producer_id > c->producer_max && b->producer_id <= producer_id_max)
        c->producer_max = b->producer_id;
}

/* What lies behind the last good batch of a segment. */
static enum err judge_end(struct check_walk *w, struct scan *s)
{
    assert(s->at <= s->end);
    assert(w->log->state == CHECK_LOG_WHOLE);
    uint64_t nonzero, valid = UINT64_MAX;
    enum err err = scan_nonzero(s, s->at, &nonzero);
    if (err != ERR_NONE || nonzero == UINT64_MAX)
        return err; /* space made ahead */
    err = scan_search(s, s->at + 1, w->next, &valid);
    if (err != ERR_NONE)
        return err;
    bool torn = w->last && valid == UINT64_MAX && !w->clean && !(w->checkpoint && w->checkpoint->offset > w->next);
    w->log->state = torn ? CHECK_LOG_TORN : CHECK_LOG_DAMAGED;
    unsigned long long at = s->at;
    if (torn)
        check_note(w->check, w->file, "a torn end at byte %llu: the next start cuts it", at);
    else if (valid != UINT64_MAX)
        check_fault(w->check, w->file, "damaged at byte %llu, offset %" PRId64 "; a good batch follows at byte %llu",
                    at, w->next, (unsigned long long)valid);
    else
        check_fault(w->check, w->file, "damaged at byte %llu, offset %" PRId64, at, w->next);
    return ERR_NONE;
}

static bool batch_continues(const struct check_walk *w, const struct batch *b)
{
    bool follows = w->last ? b->base_offset == w->next : b->base_offset >= w->next;
    return follows && b->leader_epoch >= w->epoch && b->leader_epoch <= EPOCH_MAX;
}

static enum err walk_good_batches(struct check_walk *w, struct scan *s, uint64_t *out_bytes)
{
    assert(s->at == 0);
    struct batch b;
    bool valid = false;
    enum err err;
    while ((err = scan_peek(s, &b, &valid)) == ERR_NONE && valid && batch_continues(w, &b)) {
        note_batch(w, &b);
        scan_skip(s, &b);
    }
    *out_bytes = s->at;
    w->log->bad_position = s->at;
    w->log->end_offset = w->next;
    w->ends_whole = s->at == s->end;
    return err == ERR_NONE ? judge_end(w, s) : err;
}

/* Every entry leads to a batch that ends with its offset, or (Kafka, where several came in one piece) before it. */
static bool does_index_fit(const struct index *ix, int fd)
{
    assert(fd >= 0);
    for (uint32_t i = 0; i < ix->offset_count; i++) {
        const uint8_t *entry = ix->offsets + (size_t)i * INDEX_OFFSET_BYTES;
        uint8_t head[BATCH_HEADER_BYTES];
        struct batch b;
        size_t got;
        if (fs_read(fd, head, sizeof head, be32_get(entry + 4), &got) != ERR_NONE || !batch_parse(head, got, &b) ||
            batch_last_offset(&b) > ix->base_offset + be32_get(entry))
            return false;
    }
    return true;
}

static enum err check_index(struct check_walk *w, int64_t base, int fd, uint64_t bytes)
{
    assert(w->log->state == CHECK_LOG_WHOLE);
    assert(bytes > 0);
    struct segment s = {.base_offset = base, .next_offset = w->next, .bytes = bytes, .allocated = bytes};
    index_init(&s.index, w->check->heap, base, CHECK_INDEX_BYTES);
    enum err err = segment_load_index(w->dir, &s);
    name_file(w, base, ".index");
    if (err == ERR_CORRUPT || (err == ERR_NONE && !does_index_fit(&s.index, fd)))
        check_note(w->check, w->file, "missing or not this log's: the broker builds it and .timeindex again");
    w->check->files += 2;
    index_deinit(&s.index);
    return err == ERR_CORRUPT ? ERR_NONE : err;
}

static enum err check_log_segment(struct check_walk *w, int64_t base)
{
    assert(base == w->next);
    char path[FS_PATH_MAX];
    struct scan s;
    uint64_t bytes = 0;
    if (!segment_path(path, w->dir, base, ".log"))
        return ERR_INVALID;
    enum err err = scan_open_file(&s, w->check->heap, path);
    if (err != ERR_NONE)
        return err;
    name_file(w, base, ".log");
    w->log->bad_segment = base;
    err = walk_good_batches(w, &s, &bytes);
    w->check->files++;
    w->check->bytes += bytes;
    if (err == ERR_NONE && w->log->state == CHECK_LOG_WHOLE && bytes > 0 && (!w->last || w->clean))
        err = check_index(w, base, s.fd, bytes);
    scan_close_file(&s);
    return err;
}

static void check_lost_segments(struct check_walk *w)
{
    assert(w->start >= 0);
    w->log->start_offset = w->start;
    for (int64_t at = w->start; (at = folder_lost_segment(&w->folder, at)) >= 0; at++) {
        name_file(w, at, ".log");
        check_fault(w->check, w->file, "missing: its index is there");
        w->log->lost_segments++;
    }
}

static void note_what_jobs_left(struct check_walk *w)
{
    const struct folder *f = &w->folder;
    for (uint32_t i = 0; i < f->swaps.count; i++) {
        name_file(w, f->swaps.v[i], ".log.swap");
        check_note(w->check, w->file, "a cleaning that was interrupted: the next start finishes or undoes it");
    }
    for (uint32_t i = 0; i < f->deleted.count; i++) {
        name_file(w, f->deleted.v[i], ".log.deleted");
        check_note(w->check, w->file, "left the log, with what belongs to it: the next start removes it by and by");
    }
    for (uint32_t i = 0; i < f->leftover_count; i++) {
        name_small_file(w, f->leftovers[i]);
        check_note(w->check, w->file, "left by a job that was interrupted: the next start removes it");
    }
}

static enum err check_log_segments(struct check_walk *w)
{
    assert(w->log->state == CHECK_LOG_WHOLE);
    const struct folder_offsets *v = &w->folder.segments;
    enum err err = ERR_NONE;
    for (uint32_t i = 0; err == ERR_NONE && i < v->count && w->log->state == CHECK_LOG_WHOLE; i++) {
        if (i > 0 && v->v[i] != w->next && (v->v[i] < w->next || !w->ends_whole)) {
            name_file(w, v->v[i], ".log");
            check_fault(w->check, w->file, "begins with offset %" PRId64 ", but the one before ends with %" PRId64,
                        v->v[i], w->next);
            w->log->state = CHECK_LOG_DAMAGED;
            break;
        }
        w->next = v->v[i];
        w->last = i + 1 == v->count;
        err = check_log_segment(w, v->v[i]);
    }
    if (err == ERR_NONE && w->log->state == CHECK_LOG_WHOLE && w->checkpoint && w->checkpoint->offset > w->next) {
        check_fault(w->check, w->what->folder, "ends with offset %" PRId64 "; up to %" PRId64 " was on stable media",
                    w->next, w->checkpoint->offset);
        w->log->state = CHECK_LOG_DAMAGED;
    }
    return err;
}

/* --- what stands beside them --- */

static enum err read_small_file(struct check_walk *w, const char *name, uint8_t **out_at, size_t *out_bytes)
{
    assert(out_at && out_bytes);
    char path[FS_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", w->dir, name);
    if (n < 0 || n >= FS_PATH_MAX)
        return ERR_INVALID;
    name_small_file(w, name);
    enum err err = segment_read_file(w->check->heap, path, SMALL_FILE_MAX, out_at, out_bytes);
    if (err == ERR_NONE)
        w->check->files++;
    return err;
}

static enum err check_snapshots(struct check_walk *w)
{
    assert(w->folder.heap);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; err == ERR_NONE && i < w->folder.snapshots.count; i++) {
        char name[64];
        uint8_t *at = NULL;
        size_t bytes = 0;
        struct producers *ps = producers_open(w->check->heap);
        snprintf(name, sizeof name, "%020" PRId64 ".snapshot", w->folder.snapshots.v[i]);
        err = ps ? read_small_file(w, name, &at, &bytes) : ERR_NO_MEMORY;
        if (err == ERR_NONE && (err = producers_snapshot_load(ps, at, bytes)) == ERR_CORRUPT) {
            check_note(w->check, w->file, "damaged: producers will be known from their batches alone");
            err = ERR_NONE;
        }
        heap_free(w->check->heap, at);
        if (ps)
            producers_close(ps);
    }
    return err;
}

/* Does each abort marker lie in the segment that the file stands beside? */
static bool does_aborted_fit(const struct check_walk *w, const struct aborted_index *a, int64_t base)
{
    int64_t next = folder_offsets_between(&w->folder.segments, base + 1, INT64_MAX);
    assert(base >= 0);
    return a->count == 0 || (a->v[0].last_offset >= base && (next < 0 || a->v[a->count - 1].last_offset < next) &&
                             folder_offsets_have(&w->folder.segments, base));
}

static enum err check_aborted_file(struct check_walk *w, int64_t base)
{
    char name[64];
    uint8_t *at = NULL;
    size_t bytes = 0;
    struct aborted_index a;
    assert(base >= 0);
    aborted_init(&a, w->check->heap);
    snprintf(name, sizeof name, "%020" PRId64 ".txnindex", base);
    enum err err = read_small_file(w, name, &at, &bytes);
    if (err == ERR_NONE)
        err = aborted_load(&a, at, bytes);
    if (err == ERR_CORRUPT || (err == ERR_NONE && !does_aborted_fit(w, &a, base))) {
        check_note(w->check, w->file, "damaged or not this log's: the broker builds it again");
        err = ERR_NONE;
    }
    heap_free(w->check->heap, at);
    aborted_deinit(&a);
    return err;
}

static enum err check_aborted(struct check_walk *w)
{
    assert(w->folder.heap);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; err == ERR_NONE && i < w->folder.aborted.count; i++)
        err = check_aborted_file(w, w->folder.aborted.v[i]);
    return err;
}

static enum err check_epochs(struct check_walk *w)
{
    uint8_t *at = NULL;
    size_t bytes = 0;
    struct epochs epochs;
    epochs_init(&epochs, w->check->heap);
    enum err err = read_small_file(w, "leader-epoch-checkpoint", &at, &bytes);
    if (err == ERR_NONE)
        err = epochs_parse(&epochs, (const char *)at, bytes);
    if (err == ERR_CORRUPT)
        check_note(w->check, w->file, "damaged: epochs will be known from the batches that are read");
    epochs_deinit(&epochs);
    heap_free(w->check->heap, at);
    return err == ERR_CORRUPT || err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err check_log_start(struct check_walk *w)
{
    assert(w->log->end_offset <= w->next);
    enum err err = log_start_load(w->check->heap, w->dir, &w->start);
    name_small_file(w, "log-start-offset-checkpoint");
    if (err == ERR_CORRUPT)
        check_fault(w->check, w->file, "damaged: where the log starts is not known");
    else if (err == ERR_NONE && w->folder.segments.count > 0 && w->start > w->next && w->log->state == CHECK_LOG_WHOLE)
        check_fault(w->check, w->file, "says %" PRId64 ", but the log ends with %" PRId64, w->start, w->next);
    return err == ERR_CORRUPT || err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static void check_owner(struct check_walk *w)
{
    assert(w->dir[0]);
    uint8_t id[16];
    char text[UUID_TEXT_BYTES];
    name_small_file(w, "partition.metadata");
    if (!partition_dir_topic(w->dir, id)) {
        if (w->folder.segments.count == 0)
            check_note(w->check, w->file,
                       "missing or damaged, but there is no segment: the next record goes on with making the folder");
        else
            check_fault(w->check, w->file, "missing or damaged: which topic's it is, is not known");
        return;
    }
    uuid_text(id, text);
    w->check->files++;
    if (w->what->topic && memcmp(id, w->what->topic->id, 16) != 0)
        check_fault(w->check, w->file, "has the topic id %s, which is not that of %s", text, w->what->topic->name);
}

enum err check_partition(struct check *c, const struct check_partition *p, struct check_log *out)
{
    struct check_walk w = {.check = c, .what = p, .epoch = -1, .log = out};
    assert(p->folder && p->partition >= 0);
    *out = (struct check_log){.state = CHECK_LOG_WHOLE};
    if (p->topic) {
        w.clean = clean_mark_has(&c->clean, p->topic->id, p->partition);
        w.checkpoint = checkpoint_find(c->checkpoints, p->topic->id, p->partition);
    }
    int n = snprintf(w.dir, sizeof w.dir, "%s/%s", c->data_dir, p->folder);
    enum err err = n > 0 && n < FS_PATH_MAX ? folder_read(&w.folder, c->heap, w.dir) : ERR_INVALID;
    if (err != ERR_NONE)
        return err;
    c->partitions++;
    check_owner(&w);
    err = check_log_segments(&w);
    if (err == ERR_NONE)
        err = check_snapshots(&w);
    if (err == ERR_NONE)
        err = check_aborted(&w);
    if (err == ERR_NONE)
        err = check_epochs(&w);
    if (err == ERR_NONE)
        err = check_log_start(&w);
    check_lost_segments(&w);
    note_what_jobs_left(&w);
    folder_close(&w.folder);
    return err;
}
