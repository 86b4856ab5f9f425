/* The marker that ends a producer's transaction in one partition, wherever that is: asked on any shard, appended by the partition's
 * owner. Of __consumer_offsets it is the group coordinator's, which applies or drops the offsets that are pending.
 *
 *   marker_call_start --part_call--> owner: partition_end_txn, or the group coordinator's --> durable --> done, at home
 *
 * It is done once, and not tried again: a caller that wants that starts it anew. An answer means that the marker is on stable media, whatever
 * write.caching says, or an error: UNKNOWN_TOPIC_OR_PARTITION when there is no such partition (any more). */
#pragma once
#include "net/coord/coord_log.h"
#include "net/part_call.h"

struct marker_call {
    /* in */
    int64_t producer_id;
    int16_t producer_epoch;
    bool commit;
    int32_t coordinator_epoch;
    int16_t version; /* generation of the transaction: storage/log's rules for epochs */
    /* out */
    enum kerr error;                     /* of __consumer_offsets also COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR */
    void (*done)(struct marker_call *m); /* at home; perhaps inside marker_call_start */
    /* its own */
    struct part_call call;
    struct coord_marker marker;
};
/* `topic` is looked up now, and not kept. */
void marker_call_start(struct shard *home, struct marker_call *m, struct kview topic, int32_t partition);

/* All that was appended to this partition before is durable when it is done. UNKNOWN_TOPIC_OR_PARTITION: as above. */
struct durable_call {
    enum kerr error;
    void (*done)(struct durable_call *d); /* at home; perhaps inside durable_call_start */
    struct part_call call;
    struct durable_wait wait;
};
void durable_call_start(struct shard *home, struct durable_call *d, struct kview topic, int32_t partition);
