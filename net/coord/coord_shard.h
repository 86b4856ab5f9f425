/* A coordinator on one shard: the logs of those partitions of its topic that the shard owns.
 *
 * A partition is loaded when the server starts, or when the topic is made later. Loading does not hold the start up:
 *
 *   LOADING --> READY          questions: COORDINATOR_LOAD_IN_PROGRESS --> NONE
 *      |          | no memory
 *      |          +--> closed, and opened again by the next question
 *      +--> FAILED             NOT_COORDINATOR. Closed by a question once its partition is back (that was offline, or not recovered), or COORD_REOPEN_MS
 *                              after it found no memory or a read was refused, and opened again by the next one. A log that is damaged: until the next start */
#pragma once
#include "net/coord/coord_log.h"
#include "net/coord/coord_topic.h"

struct coord_part {
    struct coord_shard *shard;
    struct coord_log *log; /* only of those of this shard */
    bool was_ready, closing;
    bool was_offline;   /* its partition, when the log failed; or it was not recovered */
    uint64_t failed_ns; /* when that was */
};
struct coord_shard {
    struct shard *shard;
    const struct coord_topic *topic;
    /* Opens one log, whose kind calls coord_shard_ready; NULL: no memory. */
    struct coord_log *(*open)(struct coord_shard *c, struct partition *p, int32_t index);
    struct pace pace;
    struct coord_part *parts; /* NULL: the topic is not there yet */
    int32_t part_count;
    uint8_t topic_id[16];
    struct timer expiry_timer;
    uint64_t expire_every_ms;
    void (*expire)(struct coord_log *l, int64_t now_ms); /* NULL: nothing expires */
    bool stopping;
    uint32_t closing; /* logs, plus one while they are told */
    void (*stopped)(struct coord_shard *c);
};
/* Loads what is there, without waiting. */
enum err coord_shard_start(struct coord_shard *c, struct shard *s, const struct coord_topic *topic,
                           struct coord_log *(*open)(struct coord_shard *c, struct partition *p,
                                                     int32_t index)) must_use;
/* From now on what is old goes: `expire` runs for each log that is READY, when it becomes that and every so often, unless the wall clock cannot be
 * believed then (storage/expiry_clock.h). */
void coord_shard_expire(struct coord_shard *c, int64_t every_ms, void (*expire)(struct coord_log *l, int64_t now_ms));
/* The catalog's news: a topic was made. */
void coord_shard_topic_made(struct coord_shard *c, const struct topic *t);
/* From now on every question is answered with NOT_COORDINATOR, waiters included; `stopped` when nothing is under way. Before
 * the store stops. */
void coord_shard_stop(struct coord_shard *c, void (*stopped)(struct coord_shard *c));
/* Logs that are still there go with the shard's heap: the loop ended without a stop. */
void coord_shard_close(struct coord_shard *c);

/* coord_kind's `ready`. */
void coord_shard_ready(struct coord_shard *c, struct coord_log *l);
/* NULL, and why: COORDINATOR_LOAD_IN_PROGRESS or NOT_COORDINATOR. */
struct coord_log *coord_shard_log(struct coord_shard *c, int32_t partition, enum kerr *out_error);
/* The next log of this shard that is READY: *cursor = 0 first; NULL at the end, or while one is LOADING (see *out_error). */
struct coord_log *coord_shard_next_log(struct coord_shard *c, int32_t *cursor, enum kerr *out_error);
