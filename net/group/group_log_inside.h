/* The inside of a group log, for the files that make it up; nobody else includes this.
 *
 *   group_log.c        life, entries                group_log_write.c   writes: turns, batches, what became of them
 *   group_log_load.c   reading the log              group_log_sweep.c   expiry, topics that are gone, rewriting
 *
 * Of everything that is asked for later there is one list, and close() waits until all are empty:
 *
 *   held      (an entry's)   waits for its turn                 steps    a write that is alone and goes on at the pace
 *   over      its `done` runs at the end of the turn            lost     group_persisted with an error, likewise
 */
#pragma once
#include "net/group/group_log.h"
#include "net/group/records.h"
#include "net/limits.h"

/* Loading: batches come from the slices of one read; one that lies across slices is put together in `scratch`. */
struct group_load {
    struct group_log *read_log; /* whose it is */
    struct part_read read;
    bool reading;
    int64_t next_offset, until;
    uint32_t slice, slice_at; /* where the next batch begins */
    uint8_t *scratch;
    uint32_t scratch_bytes;
    struct batch batch; /* the current one ... */
    struct batch_cursor records;
    int32_t record;                  /* ... and which of its records is next */
    uint8_t *unpacked;               /* its records, if it was compressed */
    uint64_t unknown, transactional; /* records that were skipped */
    struct list *entry;              /* finishing: the next one; NULL: still reading */
    uint32_t tries;
    struct timer retry;
    uint64_t started_ns;
};

/* What goes through all groups, one at a time. */
enum sweep_kind { SWEEP_NONE, SWEEP_FORGET, SWEEP_EXPIRE, SWEEP_REWRITE };
struct sweep {
    enum sweep_kind kind;
    struct list *next; /* entry; &log->entries: all have been started */
    uint64_t born_max; /* younger ones have nothing that is looked for */
    uint32_t running;
    enum kerr error; /* the first that a write met */
    /* EXPIRE */
    int64_t wall_ms, retention_ms;
    bool again; /* asked for while another sweep is under way */
    /* FORGET */
    struct forget *forget;
    /* REWRITE */
    int64_t from; /* the log's end when it began */
    uint64_t bytes_before;
    struct log_trim trim;
    bool trimming;
};
/* A topic that is gone: its offsets below `position` are forgotten. */
struct forget {
    struct list link; /* log->forgets */
    int64_t position;
    struct kview topic; /* in this block */
};

struct group_log {
    struct shard *shard;
    struct heap *heap; /* the shard's */
    struct partition *partition;
    int32_t index;
    const struct group_rules *rules;
    const struct group_log_hooks *hooks;
    enum group_log_state state;
    bool closing, unloaded, told; /* told: `ready` is due */
    void (*closed)(void *arg);
    void *closed_arg;
    struct map by_id; /* struct group_entry, by group id */
    struct list entries;
    uint64_t born;   /* of the last entry */
    uint32_t writes; /* begun and not done, of all entries */
    struct list over, lost, steps;
    struct shard_defer defer;
    struct pace_job job;
    struct group_load *load; /* while LOADING */
    struct sweep sweep;
    struct list forgets;
    uint32_t batch_bytes; /* GROUP_BATCH_BYTES, or less where the topic takes less */
    uint64_t log_bytes;   /* since the log start */
    uint64_t live_bytes;  /* what a rewrite would write, at most */
    uint64_t rewrite_at;  /* after one that failed: not before log_bytes is there */
};

static inline struct heap *heap_of(const struct group_log *l)
{
    return l->heap;
}
static inline struct kview id_of(const struct group_entry *e)
{
    return group_view(e->group->id);
}
static inline bool write_alone(const struct group_write *w)
{
    return w->kind != GROUP_WRITE_COMMITS && w->kind != GROUP_WRITE_RECORD;
}

/* group_log.c */
struct group_entry *entry_make(struct group_log *l, struct kview id) must_use; /* without `made` */
void entry_free(struct group_entry *e);                                        /* `going` was called, if `made` was */
bool entry_empty(const struct group_entry *e);
void log_later(struct group_log *l); /* the end of this turn has work */
void log_fail(struct group_log *l, const char *why);
/* What is put and taken is counted. */
enum err entry_put(struct group_entry *e, const struct committed *c) must_use;
void entry_remove(struct group_entry *e, struct kview topic, int32_t partition);
void entry_set_record(struct group_entry *e, struct group_text record); /* takes it; null: none */
/* group_log_load.c */
enum err load_begin(struct group_log *l) must_use;
void load_step(struct group_log *l);  /* at the pace */
bool load_close(struct group_log *l); /* false: a read is under way, which calls log_later */
/* group_log_write.c */
void write_start(struct group_log *l, struct group_write *w);
uint32_t write_step(struct group_log *l, struct group_write *w); /* the next batch, or the end; the units it took */
void write_over(struct group_log *l, struct group_write *w, enum kerr error); /* at the end of the turn */
void write_run_over(struct group_log *l);
void write_refuse_held(struct group_entry *e, enum kerr error);
/* group_log_sweep.c */
void sweep_want(struct group_log *l);                 /* begins what is due, and stands in line for the pace */
void sweep_step(struct group_log *l, uint32_t units); /* at the pace */
void sweep_close(struct group_log *l);
/* Does a write that is alone remove this offset? And the group, when no offset is left? */
bool sweep_removes(const struct group_write *w, const struct committed *c);
bool sweep_removes_group(const struct group_write *w);
