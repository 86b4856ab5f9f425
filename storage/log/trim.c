/* The log's start moves up (partition.h: log_trim).
 *
 *   asked --the durable end is there--> job: log-start-offset-checkpoint --> the start moves, answers
 *                                                                              |
 *   segments wholly below leave the log  <-------------------------------------'
 *       --no read is under way--> job: their files are renamed to .deleted; the deleter unlinks them after file.delete.delay.ms
 *
 * A read that is under way ends with what it has in memory. What a crash leaves of the files goes when the log is opened. Where a rename
 * finds no room on a full disk, the file is unlinked at once. Where the start finds none to be saved in, it gets ballast (ballast.h), or what the
 * indexes of the oldest segment that goes took.
 *
 * The active segment stays, as in Kafka. The start never lies beyond the durable end: what recovery finds reaches it. */
#include "core/log.h"
#include "storage/log/deleted.h"
#include "storage/log/deleter.h"
#include "storage/log/folder.h"
#include "storage/log/full_disk.h"
#include "storage/log/log_start.h"
#include "storage/log/partition_state.h"
#include <stdio.h>

enum { FILES_PER_JOB = 64, START_ROOM_BYTES = 64 * 1024 };

struct trim_job {
    struct io_op op;
    struct partition *partition;
    char dir[FS_PATH_MAX];
    char topic[TOPIC_NAME_MAX + 1];
    int32_t index;
    int64_t start; /* -1: files go */
    struct {
        int64_t base_offset;
        bool unlink; /* at once, without another name first */
    } gone[FILES_PER_JOB];
    uint32_t gone_count;
    struct ballast *ballast; /* a start that finds no room gets some of it: it is what makes room */
    int64_t below;           /* the oldest segment, if it goes by this start; else -1 */
    bool pressed;            /* the disk is full */
    enum err err;
};

/* --- answers --- */

static void finish_trim(struct partition *p, struct log_trim *t, enum kerr error)
{
    assert(!list_linked(&t->link));
    assert(t->done);
    t->error = error;
    t->low_watermark = error ? -1 : p->log_start_offset;
    list_push(&p->store->trimmed, &t->link);
    log_store_turn(p->store);
}

static void finish_trims(struct partition *p, struct list *trims, enum kerr error)
{
    struct list *l;
    while ((l = list_pop(trims)))
        finish_trim(p, container_of(l, struct log_trim, link), error);
}

void trim_fail_waiting(struct partition *p)
{
    assert(p->condition != PARTITION_OPEN || p->stop.deleting);
    finish_trims(p, &p->trimmer.waiting, partition_refusal(p));
}

/* --- jobs --- */

static enum err take_files_away(const char *dir, int64_t base_offset, bool unlink)
{
    assert(base_offset >= 0);
    enum err err = unlink ? ERR_NO_SPACE : deleted_rename(dir, base_offset, true);
    return err == ERR_NO_SPACE ? folder_remove_segment(dir, base_offset) : err;
}

/* Where there is no ballast: its indexes make room for the start, and are made anew if that cannot be saved all the same. */
static bool gives_indexes_up(const struct trim_job *j)
{
    char name[64];
    if (j->below < 0)
        return false;
    snprintf(name, sizeof name, "%020lld.timeindex", (long long)j->below);
    enum err err = folder_remove(j->dir, name);
    snprintf(name, sizeof name, "%020lld.index", (long long)j->below);
    return !err && folder_remove(j->dir, name) == ERR_NONE;
}

static int32_t run_trim_job(void *arg)
{
    struct trim_job *j = arg;
    assert(j->gone_count <= FILES_PER_JOB);
    j->err = j->start < 0 ? ERR_NONE : log_start_save(j->dir, j->topic, j->index, j->start);
    if (j->err == ERR_NO_SPACE && ballast_give(j->ballast, START_ROOM_BYTES))
        j->err = log_start_save(j->dir, j->topic, j->index, j->start);
    if (j->err == ERR_NO_SPACE && gives_indexes_up(j))
        j->err = log_start_save(j->dir, j->topic, j->index, j->start);
    for (uint32_t i = 0; i < j->gone_count && !j->err; i++)
        j->err = take_files_away(j->dir, j->gone[i].base_offset, j->gone[i].unlink);
    return 0;
}

static struct trim_job *new_trim_job(struct partition *p)
{
    struct trim_job *j = heap_zalloc(shard_of(p)->heap, sizeof *j);
    if (!j)
        return NULL;
    j->partition = p;
    j->index = p->index;
    j->start = j->below = -1;
    j->ballast = &p->store->ballast;
    j->pressed = full_disk_is_pressed(p);
    snprintf(j->dir, sizeof j->dir, "%s", p->dir);
    snprintf(j->topic, sizeof j->topic, "%s", p->topic->name);
    return j;
}

/* Files, and starts that only retention moves, keep nobody waiting. */
static enum io_class trim_job_class(const struct partition *p, const struct trim_job *j)
{
    bool asked = false;
    for (const struct list *l = p->trimmer.saving.next; l != &p->trimmer.saving; l = l->next)
        asked |= !container_of(l, struct log_trim, link)->background;
    assert(j->start >= 0 || !asked);
    return asked || j->pressed ? IO_URGENT : IO_BACKGROUND;
}

static void start_trim_job(struct partition *p, struct trim_job *j, io_done_fn *done)
{
    assert(!p->trimmer.job);
    assert(j->partition == p);
    assert(p->trimmer.state == TRIMMER_IDLE);
    p->trimmer.job = j;
    p->trimmer.state = j->start < 0 ? TRIMMER_REMOVING : TRIMMER_SAVING;
    io_job(shard_of(p)->io, &j->op, trim_job_class(p, j), run_trim_job, j, done);
}

static void end_trim_job(struct partition *p)
{
    assert(p->trimmer.job);
    heap_free(shard_of(p)->heap, p->trimmer.job);
    p->trimmer.job = NULL;
    p->trimmer.state = TRIMMER_IDLE;
    trim_step(p);
    partition_stop_step(p);
}

/* --- files --- */

static void remove_files_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct trim_job *j = container_of(op, struct trim_job, op);
    struct partition *p = j->partition;
    assert(p->trimmer.job == j);
    if (j->err)
        log_warn("segments not removed", "partition=%s-%d why=\"%s\" effect=\"they go at the next start\"",
                 p->topic->name, p->index, err_text(j->err));
    full_disk_freed(p->store);
    end_trim_job(p);
}

/* There is no delay to wait for. */
static bool unlinks_at_once(const struct partition *p)
{
    assert(config_of(p)->file_delete_delay_ms >= 0);
    return config_of(p)->file_delete_delay_ms == 0 || full_disk_unlinks_at_once(p);
}

static void remove_dropped_files(struct partition *p)
{
    assert(p->trimmer.state == TRIMMER_IDLE);
    struct trim_job *j = list_empty(&p->trimmer.dropped) ? NULL : new_trim_job(p);
    struct list *l = p->trimmer.dropped.next;
    while (j && l != &p->trimmer.dropped && j->gone_count < FILES_PER_JOB) {
        struct segment *s = container_of(l, struct segment, link);
        l = l->next;
        if (s->users > 0)
            continue; /* the end of the last read comes back here */
        j->gone[j->gone_count].base_offset = s->base_offset;
        j->gone[j->gone_count++].unlink =
            unlinks_at_once(p) || !deleter_add(p->store->deleter, p, s->base_offset, s->bytes);
        list_remove(&s->link);
        files_close(p->store, s);
        cold_blocks_drop(&p->store->cold, s);
        files_index_drop(p->store, s);
        aborted_deinit(&s->aborted);
        heap_free(shard_of(p)->heap, s);
    }
    if (j && j->gone_count > 0)
        start_trim_job(p, j, remove_files_done);
    else
        heap_free(shard_of(p)->heap, j);
}

/* --- the start --- */

static void drop_segments_below_start(struct partition *p)
{
    assert(p->segments.count > 0);
    uint32_t gone = 0;
    for (; gone + 1 < p->segments.count; gone++) {
        struct segment *s = segments_at(&p->segments, gone);
        if (segments_at(&p->segments, gone + 1)->base_offset > p->log_start_offset)
            break;
        list_push(&p->trimmer.dropped, &s->link);
        p->closed_bytes -= s->bytes;
    }
    segments_drop(&p->segments, gone);
    /* A cleaned one is numbered when it is made, maybe behind the active one, whose bytes stay. */
    uint64_t number = u64_min(segments_at(&p->segments, 0)->number, p->active->number);
    while (tail_evict(&p->tail, number, 0))
        ;
}

static void move_log_start(struct partition *p, int64_t start)
{
    assert(start >= p->log_start_offset && start <= p->durable.offset);
    p->log_start_offset = start;
    epochs_truncate_start(&p->epochs, start);
    drop_segments_below_start(p);
    partition_moved(p);
}

static bool is_shortage(enum err err)
{
    return err == ERR_NO_SPACE || err == ERR_NO_MEMORY || err == ERR_TOO_MANY_FILES;
}

static void save_log_start_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct trim_job *j = container_of(op, struct trim_job, op);
    struct partition *p = j->partition;
    assert(p->trimmer.job == j);
    enum err err = j->err;
    if (err && !is_shortage(err)) {
        char why[128];
        snprintf(why, sizeof why, "saving the log start failed: %s", err_text(err));
        partition_offline(p, why);
    } else if (err) {
        log_error("log start not saved", "partition=%s-%d why=\"%s\"", p->topic->name, p->index, err_text(err));
    }
    bool kept = !partition_is_offline(p) && !p->stop.deleting;
    if (!err && kept)
        move_log_start(p, j->start);
    finish_trims(p, &p->trimmer.saving, err ? KERR_KAFKA_STORAGE_ERROR : kept ? KERR_NONE : partition_refusal(p));
    end_trim_job(p);
}

/* Where all that wait want it; below the present start: nobody wants anything. */
static int64_t wanted_log_start(struct partition *p)
{
    int64_t most = -1;
    for (struct list *l = p->trimmer.waiting.next; l != &p->trimmer.waiting;) {
        struct log_trim *t = container_of(l, struct log_trim, link);
        l = l->next;
        if (t->target > p->log_start_offset) {
            most = t->target > most ? t->target : most;
            continue;
        }
        list_remove(&t->link);
        finish_trim(p, t, KERR_NONE);
    }
    return most;
}

/* Of what goes, the producers are known from the snapshot behind it alone: that comes first, and then here. */
static bool waits_for_closing(const struct partition *p, int64_t start)
{
    assert(start >= p->log_start_offset);
    bool waits = false;
    for (uint32_t i = 0; p->space.closing && i < p->segments.count && segments_at(&p->segments, i)->base_offset < start;
         i++)
        waits |= segments_at(&p->segments, i)->closing;
    return waits;
}

static void save_log_start(struct partition *p, int64_t start)
{
    assert(start > p->log_start_offset);
    assert(start <= p->promised.offset);
    if (waits_for_closing(p, start))
        return;
    if (p->durable.offset < start) {
        writer_want_durable(p, start); /* or the wave, flush or roll that is under way: its end comes back here */
        return;
    }
    struct trim_job *j = new_trim_job(p);
    if (!j) {
        finish_trims(p, &p->trimmer.waiting, KERR_KAFKA_STORAGE_ERROR);
        return;
    }
    j->start = start;
    if (p->segments.count > 1 && segments_at(&p->segments, 1)->base_offset <= start)
        j->below = segments_at(&p->segments, 0)->base_offset;
    if (PLANTED(trim_before_durable)) {
        move_log_start(p, start);
        finish_trims(p, &p->trimmer.waiting, KERR_NONE);
    }
    list_splice(&p->trimmer.saving, &p->trimmer.waiting);
    start_trim_job(p, j, save_log_start_done);
}

/* The active one stays when the start passes it, and one that the last run dropped may be back after a power cut: closed, they go. */
static void drop_passed_segments(struct partition *p)
{
    assert(p->trimmer.state == TRIMMER_IDLE);
    if (p->segments.count > 1 && segments_at(&p->segments, 1)->base_offset <= p->log_start_offset &&
        !waits_for_closing(p, p->log_start_offset))
        drop_segments_below_start(p);
}

void trim_step(struct partition *p)
{
    if (p->trimmer.state != TRIMMER_IDLE || partition_is_offline(p) || p->stop.deleting)
        return;
    int64_t start = wanted_log_start(p);
    if (start >= 0) {
        save_log_start(p, start);
    } else {
        drop_passed_segments(p);
        remove_dropped_files(p);
    }
}

void partition_trim(struct partition *p, struct log_trim *t)
{
    assert(t->done);
    list_init(&t->link);
    t->target = t->before == -1 ? p->promised.offset : t->before;
    if (partition_dead(p)) {
        finish_trim(p, t, partition_refusal(p));
    } else if (t->target < 0 || t->target > p->promised.offset) {
        finish_trim(p, t, KERR_OFFSET_OUT_OF_RANGE);
    } else {
        list_push(&p->trimmer.waiting, &t->link);
        trim_step(p);
    }
}
