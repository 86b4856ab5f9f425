/* A consumer group of the classic protocol (KIP-62, 134, 345, 394, 429): who its members are, which generation they are in, and
 * what each was assigned. Pure: events in, actions out, no IO, no clock, no randomness. Kafka's GroupMetadataManager (the
 * classic half) and ClassicGroup are the specification.
 *
 *                 a member joins                    all have joined, or time is up
 *        EMPTY -------------------> PREPARING ------------------------------------> COMPLETING
 *          ^                         ^  ^  |                                          |   |
 *          |       nobody is left    |  |  +--> EMPTY: nobody joined again            |   | the leader's assignment
 *          +-------------------------+  +---- a member joins, leaves, expires --------+   v is durable
 *                                    +----------------------------------------------- STABLE
 *        DEAD: deleted or unloaded; a question that still comes is answered with COORDINATOR_NOT_AVAILABLE
 *
 * A waiter waits for the answer of JoinGroup or SyncGroup: a pointer of the caller's that comes back in exactly one
 * answer. It may come back inside the event that brought it. Emit is called inside events and must not call back into the group.
 * An event for which there is no memory is refused with COORDINATOR_NOT_AVAILABLE and leaves the group as it was.
 *
 * Time is the caller's, in nanoseconds. After each event the caller asks group_deadline() when group_tick() is due. */
#pragma once
#include "core/list.h"
#include "core/map.h"
#include "net/wire/kmsg.h"
#include "storage/kerr.h"

enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE, GROUP_DEAD };
/* Kafka's names: "Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead". */
const char *group_state_name(enum group_state state);

/* Bytes that belong to the group's heap; n == -1 is null. */
struct group_text {
    uint8_t *at;
    int32_t n;
};
static inline struct kview group_view(struct group_text t)
{
    return (struct kview){t.at, t.n};
}
/* A null view gives a null text. An empty text has an address too: maps want one. False: no memory. */
bool group_copy(struct heap *h, struct kview from, struct group_text *out) must_use;

struct group_protocol {
    struct group_text name, metadata;
};
struct group_protocol_use {
    struct group_text name;
    int32_t members; /* that have it; one that names it twice counts once */
    int32_t refs;    /* lists of protocols that name it: members' and those of their undos */
};
struct group_undo;
struct group_member {
    struct list link; /* group->members, in the order of their first joining */
    uint64_t born;    /* numbered in that order: where to go on after a while */
    struct group_text id, instance_id, client_id, client_host;
    int32_t rebalance_ms, session_ms;
    struct group_protocol *protocols; /* in the member's order of preference */
    int32_t protocol_count;
    struct group_text assignment; /* n >= 0; STABLE: of the current generation, else of an earlier one */
    void *join_waiter, *sync_waiter;
    uint64_t expires_ns; /* without a sign of life until then it is out; UINT64_MAX while it waits for an answer */
    bool is_new;   /* its first JoinGroup is not answered yet: expires GROUP_NEW_MEMBER_MS after it all the same */
    bool synced;   /* has asked for the assignment of the current generation */
    bool can_skip; /* its last JoinGroup knew skip_assignment */
    uint32_t
        join_serial; /* Stable: its JoinGroup waits for this GROUP_PERSIST (a static member that came back); or 0 */
    struct group_undo *undo;  /* who it was before, while join_serial is set */
    struct group_text staged; /* inside a leader's SyncGroup only */
};
/* KIP-394: an id that was given out and has not come back yet. */
struct group_pending {
    struct list link;
    struct group_text id;
    uint64_t expires_ns;
};

struct group_rules { /* of the broker's configuration */
    int32_t session_ms_min, session_ms_max, size_max;
    int64_t initial_delay_ms;
    const struct heap_meter
        *memory; /* of all groups: while half of it is taken none is added, nor any member; NULL: no bound */
};
static inline bool group_memory_is_scarce(const struct group_rules *rules)
{
    return rules->memory && rules->memory->used_bytes > rules->memory->max_bytes / 2;
}

struct group {
    struct heap *heap;
    const struct group_rules *rules;     /* lent by the coordinator for the group's life */
    struct group_text id, protocol_type; /* protocol_type is empty until the first member joins */
    struct group_text protocol, leader;  /* null while there is none; the leader's is lent by the member */
    int32_t protocol_capacity;           /* bytes at protocol.at: enough for every name that a member brought */
    enum group_state state;
    int32_t generation;
    int64_t state_since_ms; /* wall clock, Kafka's currentStateTimestamp: offsets expire by it */
    struct list members, pending;
    struct map by_id, by_instance, pending_by_id; /* struct group_member, struct group_member, struct group_pending */
    uint64_t born;                                /* of the last member */
    int32_t member_count, pending_count;
    int32_t joined_count;    /* members with a join_waiter */
    uint64_t metadata_bytes; /* of the members' protocols */
    uint64_t join_due_ns;    /* PREPARING: the rebalance ends then; UINT64_MAX otherwise */
    uint64_t join_limit_ns;  /* the initial delay may be drawn out to here */
    uint64_t sync_due_ns;    /* COMPLETING, STABLE: who has not synced by then is out; UINT64_MAX: all have */
    uint64_t expiry_ns;      /* no member and no pending id expires earlier */
    bool initial;            /* PREPARING: out of EMPTY */
    bool new_since;          /* somebody joined during the initial delay */
    struct map by_protocol;  /* struct group_protocol_use, by name: how many members have each protocol */
    /* What group_subscribed knows: found out once for as long as the members, their protocols and the group's stay the same. */
    struct map topics; /* by name: a view into a member's metadata */
    enum { GROUP_TOPICS_UNKNOWN, GROUP_TOPICS_KNOWN, GROUP_TOPICS_ANY } topics_state;
    uint32_t persist_serial; /* of the last GROUP_PERSIST */
    uint32_t sync_serial;    /* COMPLETING: the one with the leader's assignment, on its way; or 0 */
};

/* --- actions --- */
enum group_action_kind {
    GROUP_ANSWER_JOIN, /* waiter, error, member: with KERR_NONE the reply is read from group and member (the leader gets the members) */
    GROUP_ANSWER_SYNC, /* waiter, error, member: its assignment is the reply's */
    GROUP_PERSIST, /* write the group's record as it is now; group_persisted(serial) tells how that went. In order */
};
struct group_action {
    enum group_action_kind kind;
    void *waiter;
    enum kerr error;
    const struct group_member *member; /* NULL with an error */
    struct kview member_id;            /* ANSWER_JOIN: what the reply shows, also with MEMBER_ID_REQUIRED */
    struct kview leader;  /* ANSWER_JOIN without an error: what the reply shows. The same as member_id: it lists the
                                        * members. (A static leader that came back by an old version is shown its former id.) */
    bool skip_assignment; /* ANSWER_JOIN: KIP-814 */
    uint32_t serial;
};
struct group_emit {
    void (*act)(void *arg, struct group *g, const struct group_action *a);
    void *arg;
};
struct group_now {
    uint64_t ns;     /* monotonic: deadlines */
    int64_t wall_ms; /* for records */
};

/* --- life --- */
/* NULL: no memory. `id` is copied. */
struct group *group_open(struct heap *heap, const struct group_rules *rules, struct kview id, int64_t wall_ms) must_use;
/* There must be no waiter any more (group_unload). */
void group_close(struct group *g);
/* The record of __consumer_offsets, both ways. `out` gets views into the group and arrays from the arena. A group whose
 * assignment is not known (PREPARING, COMPLETING before the leader's) is written without members: after a restart they
 * join again. False: the arena is full. */
bool group_to_value(const struct group *g, struct arena *arena, struct group_metadata_value *out) must_use;
/* A group as it was written: Stable or Empty; each member has a whole session time-out from now on. `protocol_name` of the
 * value is every member's only protocol, with `subscription` as its metadata. `g` is fresh from group_open; after an error
 * (NO_MEMORY, CORRUPT) it can only be closed. */
enum err group_from_value(struct group *g, const struct group_metadata_value *v, struct group_now now) must_use;
/* Answers every waiter with `error` (NOT_COORDINATOR at a stop); members stay, the group is DEAD. */
void group_unload(struct group *g, enum kerr error, const struct group_emit *emit);
/* The waiter's connection is gone: it is answered with NOT_COORDINATOR (nobody reads that). The member lives on for a session
 * time-out; a rebalance waits for it as for one that has not joined. */
void group_forget(struct group *g, void *waiter, struct group_now now, const struct group_emit *emit);

/* --- events --- */
struct group_join {
    struct kview member_id, instance_id, client_id, client_host, protocol_type; /* instance_id may be null */
    struct kview fresh_id; /* the id that a new member gets: client id (or instance id), "-", a random uuid */
    const struct join_group_request_protocol *protocols;
    int32_t protocol_count;
    int32_t session_timeout_ms, rebalance_timeout_ms; /* v0: both the same */
    bool id_required;                                 /* v4+: MEMBER_ID_REQUIRED for a dynamic member without an id */
    bool can_skip;                                    /* v9+: knows skip_assignment */
    bool may_create; /* this JoinGroup found no group and made it: an unknown member id is then UNKNOWN_MEMBER_ID */
    void *waiter;
};
void group_join(struct group *g, const struct group_join *e, struct group_now now, const struct group_emit *emit);

struct group_sync {
    struct kview member_id, instance_id, protocol_type, protocol; /* the last two null before v5 */
    int32_t generation;
    const struct sync_group_request_assignment *assignments;
    int32_t assignment_count;
    void *waiter;
};
void group_sync(struct group *g, const struct group_sync *e, struct group_now now, const struct group_emit *emit);

enum kerr group_heartbeat(struct group *g, struct kview member_id, struct kview instance_id, int32_t generation,
                          struct group_now now) must_use;
/* One member of a LeaveGroup; member_id may be empty when the instance id is given (admin, KIP-345). */
enum kerr group_leave(struct group *g, struct kview member_id, struct kview instance_id, struct group_now now,
                      const struct group_emit *emit) must_use;
/* May these offsets be committed? Counts as a sign of life. generation < 0 with an empty id: a simple consumer or admin tool. */
enum kerr group_commit_check(struct group *g, struct kview member_id, struct kview instance_id, int32_t generation,
                             struct group_now now) must_use;
/* The same as part of a transaction: no sign of life; a rebalance may be under way; who names neither member nor generation (before version 3
 * of TxnOffsetCommit nobody does) is not judged. */
enum kerr group_txn_commit_check(const struct group *g, struct kview member_id, struct kview instance_id,
                                 int32_t generation) must_use;
/* DeleteGroups: NONE and DEAD, or NON_EMPTY_GROUP, or GROUP_ID_NOT_FOUND when it was DEAD already. */
enum kerr group_delete(struct group *g, int64_t wall_ms) must_use;
/* How the record of GROUP_PERSIST fared: NONE, or what its waiters are answered. */
void group_persisted(struct group *g, uint32_t serial, enum kerr error, struct group_now now,
                     const struct group_emit *emit);
/* Expires members and pending ids, ends a rebalance whose time is up. */
void group_tick(struct group *g, struct group_now now, const struct group_emit *emit);
/* When group_tick is due; UINT64_MAX: never. */
uint64_t group_deadline(const struct group *g);

/* Is its protocol type "consumer", so that it is known which topics its members read? */
bool group_reads_topics(const struct group *g);
/* Does an active member (of a group that uses the protocol type "consumer") read this topic? OffsetDelete and the expiry of
 * offsets spare those. Unknown subscriptions count as reading everything, and so do all when there is no memory. The first question
 * after a change looks at all that the members brought, the others at nothing. */
bool group_subscribed(struct group *g, struct kview topic);

/* What the member brought for the group's protocol; empty when it does not know that one, or there is none. */
struct kview group_metadata(const struct group *g, const struct group_member *m);
/* For tests and the simulator: NULL, or what is wrong with the group between two events. */
const char *group_check(const struct group *g);
