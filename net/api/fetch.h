/* A Fetch under way. Its partitions are grouped by the shard that owns them; one group is one conversation with one shard:
 *
 *   home                                     owner
 *    |--- look (and watch) ----------------->|  offsets and epochs checked, bytes counted
 *    |<-- looked ----------------------------|
 *    |   enough, or no wait: read; else park |
 *    |<-- wake ------------------------------|  a watermark (read_committed: a last stable offset) moved (at most one such message
 *    |                                       |  is out; home gives it back)
 *    |--- read (a budget of bytes) --------->|  watches end; memory or disk
 *    |<-- read ------------------------------|
 *    |   reply is sent                       |
 *    |--- release -------------------------->|  bufs go back to their pool
 *    |<-- released --------------------------|
 *
 * Each of these goes in steps (net/steps.h), and so do taking the request apart and making the reply: a Fetch may have a hundred thousand
 * partitions. A partition that a request names twice is one part, as in Kafka, so it is watched once.
 *
 * A group of home's own partitions takes the same steps as direct calls. Messages between two shards arrive in order, so when
 * "read" has come back no "wake" can follow it, and the memory may go.
 *
 * Who writes what: parts and `found` belong to the owner from "look" until "read" came back; `looked` is written by the
 * owner before it sends "looked", `waked` only while it holds the wake message; `known` is home's.
 *
 *   state at home: LOOKING -> PARKED -> READING -> REPLIED        (LOOKING -> READING when there is nothing to wait for) */
#pragma once
#include "net/api/api.h"
#include "net/countdown.h"

struct fetch;
struct fetch_shard;

struct fetch_part {
    struct fetch_shard *group; /* NULL: `error` was found at home */
    struct fetch_part *next;   /* in the group, in the order of the request */
    struct fetch_part *bucket_next;
    struct kview name; /* a copy; empty when topics are named by id */
    uint8_t topic_id[16];
    int64_t offset;
    int32_t partition, max_bytes, current_leader_epoch, last_fetched_epoch;
    uint32_t place; /* in the request */
    /* what the owner found */
    enum kerr error;
    bool has_data, diverging, recovering; /* recovering: `error` is the answer only if that does not change in time */
    uint32_t available;
    int64_t high_watermark, last_stable_offset, log_start_offset, diverging_end;
    int32_t diverging_epoch;
    struct watch watch;
    struct part_read read;
};

/* What a group has to offer. */
struct fetch_found {
    uint64_t available; /* bytes */
    uint32_t first;     /* place of the first partition with data, UINT32_MAX: none */
    bool urgent;        /* an error or a diverging epoch: answer at once */
};

struct fetch_shard {
    struct fetch *all;
    struct fetch_part *first, *last;
    uint16_t owner_id;
    struct shard *owner; /* set on arrival */
    struct fetch_found found, looked, waked, known;
    bool watching, looking, wake_out, wake_again; /* the owner's */
    struct steps steps;                           /* of looking, reading or releasing, on the owner */
    struct fetch_part *next;
    bool watching_asked;      /* home's */
    struct shard_defer moved; /* on the owner */
    struct shard_msg msg, wake;
    /* read */
    bool first_whole;
    uint32_t budget, reading;
    bool holds_bufs; /* the owner's, until "read" came back: some part's slices are to be given back */
};

enum fetch_state { FETCH_LOOKING, FETCH_PARKED, FETCH_READING, FETCH_REPLIED };

struct fetch {
    struct request *req;
    enum fetch_state state;
    enum session_kind kind;
    int32_t session_id, session_epoch; /* 0: none; the epoch after this request */
    bool by_id, committed;
    bool cancelled; /* nobody waits for the reply */
    bool urgent;    /* an error was found at home */
    uint64_t min_bytes, deadline_ns;
    uint32_t max_bytes;
    struct fetch_part *parts;
    uint32_t part_count, part_room;
    struct countdown out; /* groups that look, read or give back */
    uint32_t topic_runs;  /* of parts of the same topic, at most */
    uint16_t group_count;
    struct fetch_shard *groups[SHARDS_MAX]; /* dense */
    struct timer timer;
    /* at home: taking the request apart, then making the reply */
    struct steps steps;
    enum fetch_taking { FETCH_PUTTING, FETCH_FORGETTING, FETCH_CLEARING, FETCH_TAKING } taking;
    const struct fetch_request *ask;
    int32_t at_topic, at_partition;
    struct session *session;     /* busy while the request is taken apart; NULL: none */
    struct list *session_at;     /* in its order */
    struct fetch_part **buckets; /* by topic id and partition, where there is no session */
    uint32_t bucket_count;       /* a power of two */
    uint32_t buckets_cleared;
    uint64_t seed;
    struct fetch_response reply;
    struct fetch_partition_data *data;
    struct fetch_part *filled; /* the one before in the reply */
    uint32_t fill_at, with_records;
    bool starved; /* there was no memory for a part of it */
};

/* --- on the owner (fetch_shard.c) --- */
/* Begins at home; `fetch_looked`, `fetch_read` and `fetch_released` are called at home, possibly inside. */
void fetch_shard_look(struct fetch_shard *g, bool watch);
void fetch_shard_watch(struct fetch_shard *g); /* only home's own group, in the turn in which it looked */
void fetch_shard_read(struct fetch_shard *g);
void fetch_shard_release(struct fetch_shard *g);
void fetch_shard_rearm(struct fetch_shard *g); /* gives the wake message back */

/* --- at home (fetch.c) --- */
void fetch_looked(struct fetch_shard *g);
void fetch_woken(struct fetch_shard *g);
void fetch_read(struct fetch_shard *g);
void fetch_released(struct fetch_shard *g);

/* --- the reply (fetch_reply.c) --- */
static inline bool fetch_same_topic(const struct fetch *all, const struct fetch_part *a, const struct fetch_part *b)
{
    return all->by_id ? memcmp(a->topic_id, b->topic_id, sizeof a->topic_id) == 0 : kview_same(a->name, b->name);
}
void fetch_reply(struct fetch *all);
