/* The group coordinator of one shard: the partitions of __consumer_offsets that the shard owns. Hangs from server->coordinator.
 *
 * A group belongs to the partition of __consumer_offsets that its id's hash names (as in Kafka: coordinator_partition), and so
 * to that partition's shard. Handlers ask that shard with a group_call (net/group/group_call.h).
 *
 * A partition is loaded when the server starts, or when __consumer_offsets is made later. Loading does not hold the start up:
 *
 *   LOADING --> READY          questions: COORDINATOR_LOAD_IN_PROGRESS --> NONE
 *      |          | no memory
 *      |          +--> closed, and opened again by the next question
 *      +--> FAILED             NOT_COORDINATOR. Its partition is offline: closed by the first question once that is back, and opened
 *                              again by the next one. The log is damaged, or no memory to read it: until the next start
 *
 * Time: each group has one timer, at group_deadline. Whoever makes an event of a group calls coordinator_settle after it. */
#pragma once
#include "net/group/group_log.h"

struct server;
struct coordinator_shard;

/* --- life --- */
/* After store_open. Loads what is there, without waiting. */
enum err coordinator_start(struct server *sv) must_use;
/* From now on every question is answered with NOT_COORDINATOR, waiters included; `stopped` when nothing is under way. Before
 * the store stops. */
void coordinator_stop(struct server *sv, void (*stopped)(struct server *sv));
void coordinator_close(struct server *sv);

/* --- which partition --- */
enum { OFFSETS_OVERRIDES = 3, OFFSETS_ROOM = 16 };
/* __consumer_offsets as Kafka makes it. `room` is of the caller, like `c`, until the change is done. */
void coordinator_topic_change(const struct broker_config *config, char room[OFFSETS_ROOM],
                              struct topic_override overrides[OFFSETS_OVERRIDES], struct catalog_change *c);
bool coordinator_topic_name(struct kview name);
/* NULL: it is not there yet. */
const struct topic *coordinator_topic(const struct store *st);
/* Java's String.hashCode of the id (over its UTF-16 form), made positive as Kafka's coordinator does, modulo. */
int32_t coordinator_partition(struct kview group_id, int32_t partitions);

/* --- questions, on the shard that owns the partition --- */
/* NULL, and why: COORDINATOR_LOAD_IN_PROGRESS or NOT_COORDINATOR. */
struct group_log *coordinator_log(struct coordinator_shard *c, int32_t partition, enum kerr *out_error);
/* The next log of this shard that is READY: *cursor = 0 first; NULL at the end, or while one is LOADING (see *out_error). */
struct group_log *coordinator_next_log(struct coordinator_shard *c, int32_t *cursor, enum kerr *out_error);
const struct group_emit *coordinator_emit(const struct coordinator_shard *c);
/* No member more: COORDINATOR_MEMBERS_MAX of this shard are there. */
bool coordinator_full(const struct coordinator_shard *c);
/* After an event of the group: sets its timer, and frees the entry when nothing is left of it. */
void coordinator_settle(struct group_entry *e);

/* What group_join and group_sync get as their waiter. Only the owner looks at it while the call is away. */
struct group_waiter {
    /* The answer, once. It may come inside the event that brought the waiter. */
    void (*told)(struct group_waiter *w, const struct group *g, const struct group_action *a);
    struct group_entry *entry; /* set before the event; NULL when it was told */
};
