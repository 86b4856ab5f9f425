/* One partition of __consumer_offsets on the shard that owns it: the groups whose id hashes there, their committed offsets, and
 * the log that makes both durable, in Kafka's record formats (records.h).
 *
 *   group_log_open --> LOADING: log start to high watermark, read in the background, applied --> READY --> group_log_close
 *                                                        a damaged log, or its partition offline --> FAILED
 *
 * What is committed becomes visible (offsets_get) when its record is durable, in the order of the log; __consumer_offsets is always
 * durable, whatever write.caching says. A group's record is written with the group as it is when it is asked (GROUP_PERSIST).
 *
 * Writes of one group are shared or alone. Commits and group records are shared: as many as like are under way. What goes through
 * all of a group's entries is alone: deletion, expiry, a topic that is gone, a rewrite. It waits until what is under way has ended,
 * and whatever is asked after it waits until it has ended. So it sees what stands, and nothing older lands behind something newer.
 *
 * The log is bounded: when what was appended since the log start is more than the hooks' slack_bytes and more than thrice
 * the live entries, every live entry is appended again, then the log start moves (partition_trim, durably) to where that began.
 * A kill in between leaves the old entries in front of the new: nothing is lost.
 *
 * Tombstones: a deleted group's record and each of its offsets get one; when the log is rewritten they go.
 *
 * Callbacks run from the shard's loop, never inside the call that asked (`made` excepted). */
#pragma once
#include "net/group/group.h"
#include "net/group/offsets.h"
#include "net/group/pace.h"
#include "storage/store.h"

enum group_log_state { GROUP_LOG_LOADING, GROUP_LOG_READY, GROUP_LOG_FAILED };

/* A group id that is known here: to the classic state machine, by its offsets, or both (a simple group: offsets only, EMPTY). */
struct group_entry {
    struct group_log *log;
    struct group *group; /* never NULL */
    struct offsets offsets;
    struct group_text record; /* the group's as it stands durably in the log, encoded; null: none */
    uint32_t writes;          /* under way */
    bool alone;               /* the one under way is alone */
    struct list held;         /* writes that wait for their turn, in order */
    struct timer timer;       /* the coordinator's: group_deadline */
    void *coordinator_state;  /* the coordinator's own */
    /* the log's */
    struct list link;      /* log->entries, in the order of their making */
    struct list lost_link; /* log->lost: a record that found no memory */
    uint32_t lost_from,
        lost_to; /* their serials; one between that was not lost hears of an error first, and then no more */
    uint64_t born;
    bool made; /* the hook of that name was called */
};

struct group_log;
struct group_log_hooks {
    struct pace *pace;      /* one for all logs of a shard */
    uint64_t slack_bytes;   /* a log that is shorter is not rewritten */
    struct group_emit emit; /* for group_persisted and group_unload */
    /* A group was made or loaded: the coordinator sets up its timer. It is going (deleted, expired, closed): stops it. */
    void (*made)(struct group_entry *e);
    void (*going)(struct group_entry *e);
    void (*changed)(struct group_entry *e); /* group_persisted was called: group_deadline may be another */
    /* READY or FAILED. Also when it fails later, for want of memory: then close it, and open it again if you like. */
    void (*ready)(struct group_log *l);
    void *arg;
};
/* NULL: no memory. Starts loading; `ready` is called later even when the log is empty. `rules` and `hooks` are lent for its life. */
struct group_log *group_log_open(struct shard *s, struct partition *p, int32_t index, const struct group_rules *rules,
                                 const struct group_log_hooks *hooks) must_use;
/* Answers every waiter and every write with NOT_COORDINATOR (what is durable meanwhile: as it fared), then frees it when its
 * operations have ended; `closed` may be NULL. The state is FAILED from now on. */
void group_log_close(struct group_log *l, void (*closed)(void *arg), void *arg);
enum group_log_state group_log_state(const struct group_log *l);
const struct group_log_hooks *group_log_hooks(const struct group_log *l);
int32_t group_log_index(const struct group_log *l);

/* NULL: not known, or not READY. */
struct group_entry *group_log_find(const struct group_log *l, struct kview id);
/* Makes it, EMPTY and without a record; calls `made`. NULL: no memory, GROUPS_MAX, or not READY. */
struct group_entry *group_log_make(struct group_log *l, struct kview id) must_use;
/* Frees a group that has neither members, pending ids, offsets, a record nor writes (after a refused join, or when DEAD). */
void group_log_drop_if_empty(struct group_entry *e);
/* All groups: *cursor = 0 first; no group may be made meanwhile. */
struct group_entry *group_log_next(const struct group_log *l, uint32_t *cursor);

/* --- writes. `done` is called once, never within the call, with the error that the client gets: NONE, NOT_COORDINATOR, or a
 * storage error turned into what Kafka's coordinator answers for it. The object is the caller's until then, the texts it
 * points to as well. A large one is appended in several batches: one that fails may have been written, and become visible, in
 * part. --- */
enum group_write_kind {
    GROUP_WRITE_COMMITS, /* shared: `commits`, then tombstones for `removed` */
    GROUP_WRITE_DELETE,  /* alone: tombstones for all offsets and the group, which must be DEAD; then the entry goes */
    /* the log's own */
    GROUP_WRITE_RECORD, /* shared */
    GROUP_WRITE_EXPIRE, /* alone, like those below */
    GROUP_WRITE_FORGET,
    GROUP_WRITE_REWRITE,
};
struct group_write {
    struct group_entry *entry; /* NULL in `done`: the group is gone */
    enum group_write_kind kind;
    const struct committed *commits; /* GROUP_WRITE_COMMITS: to write ... */
    int32_t commit_count;
    const struct committed *removed; /* ... and to give a tombstone (only topic and partition count) */
    int32_t removed_count;
    void (*done)(struct group_write *w, enum kerr error);
    /* the log's */
    struct group_log *log;
    struct append append;
    uint8_t *bytes;   /* of the batch in the making or under way */
    uint32_t room;    /* for it */
    struct list link; /* entry->held, log->over or log->steps */
    enum kerr error;  /* of one in log->over */
    bool begun;       /* it is among entry->writes */
    /* how far it is; where the batch under way began; its records */
    uint32_t at, batch_at, batch_count;
    bool record_done, batch_record; /* the group's record or tombstone is written; is in that batch */
    bool last;                      /* nothing comes behind that batch */
    bool takes_group;               /* the entry goes when it is done */
    const struct committed **gone;  /* offsets that the batch removes, where that has to be found out */
    uint32_t gone_count;
    struct group_text record; /* GROUP_WRITE_RECORD */
    uint32_t serial;
};
void group_log_write(struct group_log *l, struct group_write *w);
/* GROUP_PERSIST: writes the group's record; group_persisted is called with the hooks' emit when that ended. */
void group_log_persist(struct group_entry *e, uint32_t serial);
/* Offsets that nobody needs any more (retention, as Kafka's OffsetExpirationCondition has it; topics that are gone) and groups
 * that are then empty get their tombstones, in the background. To be called after `ready`, too, and in intervals. */
void group_log_expire(struct group_log *l, int64_t wall_ms, int64_t retention_ms);
/* A topic was deleted: its offsets go, in every group, in the background; not those that are committed from now on. */
void group_log_forget_topic(struct group_log *l, struct kview topic);

/* For the events of a group. The shard's own time is as old as its last turn: a session would be shorter by what it slept. */
struct group_now group_log_now(void);

/* Asserts what must hold between its parts; slow: for tests and the simulator. */
void group_log_check(const struct group_log *l);
