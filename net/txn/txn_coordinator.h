/* The transaction coordinator of one shard: the partitions of __transaction_state that the shard owns (net/coord/coord_shard.h). Hangs
 * from server->txns. It answers questions (txn_ask.h), sends markers, ends what is open for too long, and lets ids expire.
 *
 * An end, from the question on:
 *
 *   END --> [commit: every partition durable] --> PREPARE_* durable --> answered
 *                                                     '--> a marker to every partition --> all durable --> COMPLETE_* durable
 *                                                          '--> one failed: again, a little later, for ever
 *
 * A marker whose partition is gone counts as put. A partition that refuses it for good (a later epoch, a later coordinator) does too, with a
 * line in the log. What loading finds PREPARE_* goes on with its markers: whatever the moment of a crash, what was decided is completed. */
#pragma once
#include "net/coord/coord_shard.h"

struct server;
struct txn_shard;

/* --- life: see coord_shard.h --- */
enum err txn_shard_start(struct server *sv) must_use;
void txn_shard_stop(struct server *sv, void (*stopped)(struct server *sv));
void txn_shard_close(struct server *sv);

extern const struct coord_topic txn_topic;
/* Makes it: see coord_topic_change. */
void txn_topic_change(const struct broker_config *config, char number[COORD_TOPIC_NUMBER_BYTES],
                      struct topic_override overrides[COORD_TOPIC_OVERRIDES], struct catalog_change *c);
