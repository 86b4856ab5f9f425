/* Fetch sessions (KIP-227): what a client fetches again and again is remembered, so that it sends only what changes and is
 * answered only what changed. A session belongs to the shard of the connection that made it; on another shard its id is
 * unknown, which the protocol allows for (FETCH_SESSION_ID_NOT_FOUND: the client begins a new one).
 *
 *   id 0, epoch 0      a new session; all partitions in the request, all in the reply
 *   id x, epoch 0      the same, and session x is closed
 *   id x, epoch -1     no session; x is closed
 *   id x, epoch n > 0  the next request of session x: n must be the expected epoch
 *
 * Bounded by slots and by partitions. When full, a new session takes the place of one that was idle for SESSION_EVICT_S, or
 * of a smaller one that is older than that; or else the request is served without a session (id 0 in the reply).
 *
 * A session that is closed is unknown at once and no longer counts; the memory of its partitions, of which it may have a hundred thousand, is
 * freed in steps (sessions_free_some), by whoever holds the sessions. */
#pragma once
#include "core/map.h"
#include "core/bytes.h"
#include "core/rng.h"
#include "net/limits.h"
#include "net/wire/kmsg.h"
#include "storage/catalog/catalog.h"

/* One partition of a session: what the client asked, and what it was last told. In older versions (below 13) topics are known
 * by name and the id is zero; from 13 on by id, and the name in the key is empty. */
struct session_part {
    struct list link; /* in order of service: those that got data move to the end */
    int64_t fetch_offset, log_start_offset;
    int32_t current_leader_epoch, last_fetched_epoch, max_bytes;
    int64_t told_high_watermark, told_log_start; /* -1: to be told */
    char *topic_name; /* by id only: what the topic with this id is or was called; NULL: not known yet */
    uint16_t key_bytes, name_bytes;
    uint8_t key[]; /* partition 4 | id 16 | name: of key_bytes */
};
struct session {
    int32_t id, epoch; /* the epoch that the next request must have */
    bool by_id;
    bool busy;   /* a request is being taken in */
    uint32_t at; /* its place in sessions->v */
    uint64_t created_ns, used_ns;
    struct map parts;
    struct list order;
    uint32_t count;
    struct list closed_link; /* sessions->closed's, once it is closed */
};
struct sessions {
    struct session **v; /* all of them, in no order */
    struct map ids;     /* session->id -> session */
    uint32_t count, slots;
    uint32_t parts_total;
    struct list closed; /* whose partitions are still to be freed */
    struct heap *heap;
    const struct catalog *catalog; /* tells the names of topics */
    struct rng rng;
};

void sessions_init(struct sessions *ss, struct heap *heap, const struct catalog *catalog, uint32_t slots,
                   uint64_t seed);
void sessions_deinit(struct sessions *ss);
/* Asserts that counts, places, orders and maps agree: for tests, the simulator and debug builds. */
void sessions_check(const struct sessions *ss);
struct session *sessions_find(const struct sessions *ss, int32_t id);
void sessions_close(struct sessions *ss, struct session *s);
/* Frees at most so many partitions of closed sessions. False: there is nothing left. */
bool sessions_free_some(struct sessions *ss, uint32_t parts);
static inline bool sessions_have_closed(const struct sessions *ss)
{
    return !list_empty(&ss->closed);
}

/* What a request means. */
enum session_kind { SESSION_NONE, SESSION_NEW, SESSION_NEXT };
/* Decides from id and epoch, and closes what the request closes. KERR_NONE, or the error of the whole reply. *out_session is set for
 * SESSION_NEXT, and for SESSION_NEW where there is room (or else it is served without): it is busy from then on. Its partitions are
 * put and forgotten one by one, over as many turns as that takes, and session_settle or sessions_close ends that. Nobody else ends
 * a busy session, and its next request comes too early. */
enum kerr sessions_open_request(struct sessions *ss, const struct fetch_request *m, int16_t version, uint64_t now_ns,
                                enum session_kind *out_kind, struct session **out_session) must_use;
/* A partition is added, or asked for otherwise. False: no room. */
bool session_put(struct sessions *ss, struct session *s, const struct fetch_topic *t,
                 const struct fetch_partition *in) must_use;
void session_forget(struct sessions *ss, struct session *s, const struct fetch_forgotten_topic *t, int32_t partition);
/* The request is taken in; `next`: it was a following one. NULL: it has forgotten everything, which closes the session, as in Kafka. */
struct session *session_settle(struct sessions *ss, struct session *s, bool next, uint64_t now_ns) must_use;

static inline int32_t session_part_partition(const struct session_part *p)
{
    return (int32_t)be32_get(p->key);
}
static inline const uint8_t *session_part_id(const struct session_part *p)
{
    return p->key + 4;
}
static inline struct kview session_part_name(const struct session_part *p)
{
    return (struct kview){p->key + 20, p->name_bytes};
}
struct session_part *session_find(const struct session *s, int32_t partition, const uint8_t id[16], struct kview name);
/* A partition whose topic is not there by its id. While its name is free: UNKNOWN_TOPIC_OR_PARTITION; when there is another topic of
 * that name: INCONSISTENT_TOPIC_ID; when it has never been there: UNKNOWN_TOPIC_ID. */
enum kerr session_part_missing(const struct sessions *ss, const struct session_part *p);
/* Its topic is there: remembers the name. */
void session_part_found(struct sessions *ss, struct session_part *p, const struct topic *t);
/* What a partition is answered: must it be in the reply? Remembers what the client is told then. */
bool session_part_answer(struct session *s, struct session_part *p, enum kerr error, bool diverging,
                         int64_t high_watermark, int64_t log_start, int32_t record_bytes);
