/* The group coordinator of one shard: the partitions of __consumer_offsets that the shard owns (net/coord/coord_shard.h), and the timers
 * of their groups. Hangs from server->coordinator.
 *
 * A group belongs to the partition of __consumer_offsets that its id's hash names, as in Kafka, and so to that partition's shard.
 * Handlers ask that shard with a coord_call (net/coord/coord_call.h).
 *
 * Time: each group has one timer, at group_deadline. The maker of an event of a group calls coordinator_after_event after it. */
#pragma once
#include "net/coord/coord_shard.h"
#include "net/group/group_log.h"

struct server;
struct coordinator_shard;

/* --- life: see coord_shard.h --- */
enum err coordinator_start(struct server *sv) must_use;
void coordinator_stop(struct server *sv, void (*stopped)(struct server *sv));
void coordinator_close(struct server *sv);

extern const struct coord_topic group_topic;
bool group_topic_name(struct kview name);
/* Makes it: see coord_topic_change. */
void group_topic_change(const struct broker_config *config, char number[COORD_TOPIC_NUMBER_BYTES],
                        struct topic_override overrides[COORD_TOPIC_OVERRIDES], struct catalog_change *c);

/* --- on the shard that owns the group --- */
/* What the log's groups say goes here. */
static inline const struct group_emit *coordinator_emit(const struct group_log *l)
{
    return &l->hooks->emit;
}
/* No member more: COORDINATOR_MEMBERS_MAX of this shard are there. */
bool coordinator_full(const struct group_log *l);
/* After an event of the group: sets its timer, and frees the entry when nothing is left of it. */
void coordinator_after_event(struct group_entry *e);

/* The end of a transaction in this partition of __consumer_offsets, on the shard that owns it: the marker is appended, and when it is
 * durable the offsets that the transaction committed count, or go; then `done`. For what is set in `m`, and when `done` runs: net/coord/coord_log.h; but
 * where the partition is not coordinated now it runs inside: COORDINATOR_LOAD_IN_PROGRESS or NOT_COORDINATOR, ask again later. */
void coordinator_end_txn(struct shard *owner, int32_t index, struct coord_marker *m);

/* What group_join and group_sync get as their waiter. */
struct group_waiter {
    /* The answer, once. It may come inside the event that brought the waiter. */
    void (*answered)(struct group_waiter *w, const struct group *g, const struct group_action *a);
    struct group_entry *entry; /* set before the event; NULL when it was answered */
};
/* Nobody reads the answer any more: if it waits, it is answered now, with NOT_COORDINATOR. The member stays. */
void group_waiter_forget(struct group_waiter *w);
