/* One partition of __consumer_offsets on the shard that owns it: the groups whose id hashes there, and their committed offsets, in
 * Kafka's record formats (records.h), on a coordinator's log (net/coord/coord_log.h), which loads and writes them.
 *
 * What is committed becomes visible (offsets_get) when its record is durable, in the order of the log. A group's record is
 * written with the group as it is when it is asked (GROUP_PERSIST).
 *
 * What a transaction commits is pending (txn_offsets.h) from when its record is durable until the marker is.
 *
 * Deletion, expiry and a topic that is gone are writes that are alone in their group. Tombstones: a deleted group's record and each of
 * its offsets get one; compaction drops them a day later.
 *
 * Callbacks run from the shard's loop, never inside the call that asked (`made` excepted). */
#pragma once
#include "net/coord/coord_log.h"
#include "net/group/group.h"
#include "net/group/txn_offsets.h"

#define GROUP_TOPIC "__consumer_offsets"

/* A group id that is known here: to the classic state machine, by its offsets, or both (a simple group: offsets only, EMPTY). */
struct group_entry {
    struct coord_entry coord; /* its id lies behind this */
    struct group *group;      /* never NULL */
    struct offsets offsets;
    struct group_txns txns;   /* offsets that transactions committed and that do not count yet */
    struct group_text record; /* the group's as it stands durably in the log, encoded; null: none */
    struct timer timer;       /* the coordinator's: group_deadline */
    uint32_t counted;         /* the coordinator's: members of it that it has counted */
    bool made;                /* the hook of that name was called, `going` not */
    struct list lost_link;    /* log->lost: a record that found no memory */
    uint32_t lost_from,
        lost_to; /* their serials; one between that was not lost hears of an error first, and then no more */
};

struct group_log;
struct group_log_hooks {
    struct pace *pace; /* one for all logs of a shard */
    /* For groups and offsets: a part of the shard's heap, which may refuse, and its meter. NULL: that heap itself. */
    struct heap *heap;
    struct heap_meter *memory;
    struct group_emit emit; /* for group_persisted and group_unload */
    /* A group was made or loaded: the coordinator sets up its timer. It is going (deleted, expired, closed): stops it. */
    void (*made)(struct group_entry *e);
    void (*going)(struct group_entry *e);
    void (*changed)(struct group_entry *e); /* group_persisted was called: group_deadline may be another */
    void (*ready)(struct group_log *l);     /* coord_kind's */
    void *arg;
};
struct group_log {
    struct coord_log coord;
    const struct group_rules *rules;
    const struct group_log_hooks *hooks;
    struct heap *heap; /* of entries, and all that belongs to them */
    struct txn_offsets txns;
    struct list lost; /* of entries: group_persisted is due, with an error */
    struct shard_defer tell_lost;
    struct coord_expiry expiry;
};
static inline struct group_log *group_log_of(const struct coord_log *l)
{
    return container_of(l, struct group_log, coord);
}
static inline struct group_log *group_entry_log(const struct group_entry *e)
{
    return group_log_of(e->coord.log);
}
/* NULL: no memory. Starts loading; `ready` is called later even when the log is empty. `rules` and `hooks` are lent for its life. Ends with
 * coord_log_close. */
struct group_log *group_log_open(struct shard *s, struct partition *p, int32_t index, const struct group_rules *rules,
                                 const struct group_log_hooks *hooks) must_use;

/* NULL: not known, or not READY. */
struct group_entry *group_log_find(const struct group_log *l, struct kview id);
/* Makes it, EMPTY and without a record; calls `made`. NULL: no memory (or half of what groups may
 * have is taken), GROUPS_MAX, or not READY. */
struct group_entry *group_log_make(struct group_log *l, struct kview id) must_use;
/* What is durable already is taken into memory whatever the meter says: on around that. */
void group_log_force_memory(struct group_log *l, bool forced);
/* Frees a group that has neither members, pending ids, offsets (also of open transactions), a record nor writes (after a refused join, or when DEAD). */
void group_log_drop_if_empty(struct group_entry *e);

/* --- writes. `done` is called once, never within the call, with the error that the client gets: NONE, NOT_COORDINATOR, or a
 * storage error turned into what Kafka's coordinator answers for it. The object is the caller's until then, the texts it
 * points to as well. A large one is appended in several batches: one that fails may have been written, and become visible, in
 * part. --- */
enum group_write_kind {
    GROUP_WRITE_COMMITS, /* shared: `commits`, then tombstones for `removed` */
    GROUP_WRITE_DELETE,  /* alone: tombstones for all offsets and the group, which must be DEAD; then the entry goes */
    GROUP_WRITE_RECORD,  /* shared: the group's, encoded in `record`, which the log takes */
    GROUP_WRITE_EXPIRE,  /* the log's own, alone, as the next */
    GROUP_WRITE_FORGET,
};
struct group_write {
    struct group_entry *entry; /* NULL in `done`: the group is gone */
    enum group_write_kind kind;
    const struct committed *commits; /* GROUP_WRITE_COMMITS: to write ... */
    int32_t commit_count;
    const struct committed *removed; /* ... and to give a tombstone (only topic and partition count) */
    int32_t removed_count;
    /* Of GROUP_WRITE_COMMITS with commits only: they are pending in it; NULL: they count at once. net/coord/coord_log.h has what
     * INVALID_TXN_STATE means then. */
    struct coord_txn *txn;
    struct group_text record;
    void (*done)(struct group_write *w, enum kerr error);
    /* the log's */
    struct coord_write coord;
    /* Of one that removes what it finds: which pending offset is next, the first of the batch under way; how many tombstones that batch has of
     * offsets that count; and which table coord.at is a place in. */
    struct group_txns_cursor pending, batch_pending;
    uint32_t gone_count, moved;
    uint32_t serial; /* of group_log_persist */
};
void group_log_write(struct group_log *l, struct group_write *w);
/* GROUP_PERSIST: writes the group's record; group_persisted is called with the hooks' emit when that ended. */
void group_log_persist(struct group_entry *e, uint32_t serial);
/* Offsets that nobody needs any more (retention, as Kafka's OffsetExpirationCondition has it; topics that are gone) and groups
 * that are then empty get their tombstones, in the background. To be called after `ready`, too, and in intervals. */
void group_log_expire(struct group_log *l, int64_t wall_ms, int64_t retention_ms);
/* A topic was deleted: its offsets go, in every group, in the background; not those that are committed from now on. */
void group_log_forget_topic(struct group_log *l, struct kview topic);

/* For the events of a group; in lived time (core/shard.h): who sent a heartbeat while we stood still is not expelled for that. The shard's own
 * time is as old as its last turn: a session would be shorter by what it slept. */
struct group_now group_log_now(const struct coord_log *l);

/* --- for the files of the group log --- */
static inline struct group_entry *group_entry_of(const struct coord_entry *e)
{
    return container_of(e, struct group_entry, coord);
}
/* A tombstone. */
void group_entry_remove_offset(struct group_entry *e, struct kview topic, int32_t partition);
/* coord_kind's. */
enum coord_replay group_log_end_txn(struct coord_log *l, struct coord_end *end, uint32_t units, uint32_t *took);
void group_entry_set_record(struct group_entry *e, struct group_text record); /* takes it; null: none */
