/* Reads one partition's log from its first byte to its end, and judges whether it can be served here. */
#include "storage/adopt/adopt_state.h"
#include "storage/log/batch.h"
#include "storage/log/folder.h"
#include "storage/log/segment.h"
#include "storage/recovery/scan.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct log_walk {
    struct adopt *adopt;
    struct adopt_log *log;
    bool clean, last;
    int64_t segment;
    int32_t epoch;
};

static void refuse_log(struct log_walk *w, const char *what, uint64_t at)
{
    assert(what[0]);
    assert(w->segment >= 0);
    if (!w->log->refused[0])
        snprintf(w->log->refused, sizeof w->log->refused, "%s (segment %020" PRId64 ", byte %llu)", what, w->segment,
                 (unsigned long long)at);
}

/* --- batches --- */

static enum err judge_log_rest(struct log_walk *w, struct scan *s)
{
    assert(s->at <= s->end);
    uint8_t magic = 2;
    size_t got = 0;
    uint64_t dirty;
    enum err err = scan_nonzero(s, s->at, &dirty);
    if (err != ERR_NONE || dirty == UINT64_MAX)
        return err;
    if (s->end - s->at > 16)
        err = fs_read(s->fd, &magic, 1, s->at + 16, &got);
    if (err == ERR_NONE && got == 1 && magic < 2)
        refuse_log(w,
                   "has message format 0 or 1, which is not served here; let a Kafka 3.x rewrite it, or copy it with "
                   "MirrorMaker",
                   s->at);
    else if (w->last && !w->clean)
        w->log->torn_bytes = s->end - s->at;
    else
        refuse_log(w, "is damaged", s->at);
    return err;
}

static enum err walk_log_batches(struct log_walk *w, struct scan *s)
{
    assert(s->at == 0);
    assert(w->segment >= 0);
    struct adopt_log *l = w->log;
    struct batch b;
    bool valid = false;
    enum err err;
    while ((err = scan_peek(s, &b, &valid)) == ERR_NONE && valid && b.base_offset >= l->end_offset &&
           b.leader_epoch >= w->epoch) {
        l->batches++;
        l->end_offset = batch_last_offset(&b) + 1;
        w->epoch = b.leader_epoch;
        l->producer_max = b.producer_id > l->producer_max ? b.producer_id : l->producer_max;
        scan_skip(s, &b);
    }
    l->last_bytes = s->at;
    return err == ERR_NONE ? judge_log_rest(w, s) : err;
}

static enum err walk_log_segment(struct log_walk *w, const char *path)
{
    assert(path[0]);
    struct scan s;
    enum err err = scan_open_file(&s, w->adopt->heap, path);
    if (err != ERR_NONE)
        return err;
    err = walk_log_batches(w, &s);
    scan_close_file(&s);
    return err;
}

static enum err walk_log_segments(struct log_walk *w, const struct folder *f)
{
    assert(w->epoch == -1);
    struct adopt_log *l = w->log;
    enum err err = ERR_NONE;
    for (uint32_t i = 0; err == ERR_NONE && i < f->segments.count && !l->refused[0]; i++) {
        char path[FS_PATH_MAX];
        w->segment = f->segments.v[i];
        w->last = i + 1 == f->segments.count;
        if (w->segment < l->end_offset)
            refuse_log(w, "has segments that overlap", 0);
        else
            l->end_offset = w->segment;
        if (!l->refused[0])
            err = segment_path(path, l->dir, w->segment, ".log") ? walk_log_segment(w, path) : ERR_INVALID;
    }
    return err;
}

/* Files of an exchange of segments that Kafka had begun: only its own start knows how to end it. */
static bool has_swap_file(void *arg, const struct fs_entry *entry)
{
    assert(entry->name[0]);
    struct log_walk *w = arg;
    const char *dot = strrchr(entry->name, '.');
    if (dot && strcmp(dot, ".swap") == 0)
        refuse_log(
            w, "has .swap files: Kafka ended in the midst of compacting it; start that Kafka once more, and stop it",
            0);
    return true;
}

enum err adopt_log_check(struct adopt *a, const struct folder *f, bool clean, struct adopt_log *l)
{
    assert(l->dir[0]);
    assert(!l->refused[0]);
    struct log_walk w = {.adopt = a, .log = l, .clean = clean, .epoch = -1};
    l->producer_max = l->epoch_max = -1;
    enum err err = fs_list(l->dir, has_swap_file, &w);
    if (err == ERR_NONE)
        err = walk_log_segments(&w, f);
    l->epoch_max = w.epoch;
    return err;
}
