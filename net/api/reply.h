/* What several handlers put into their replies: texts as views, what may be done. */
#pragma once
#include "net/api/api.h"
#include "net/api/topology.h"
#include <stdarg.h>

/* A zero-terminated text as a view; lent. NULL gives null. */
struct kview view_of(const char *text);
/* A zero-terminated copy in the request's memory; NULL: over its limit. A null view gives NULL too. */
char *request_text(struct request *req, struct kview v) must_use;
bool view_is(struct kview v, const char *text);
/* A sentence in the request's memory, cut off where it has `bytes` with its zero. NULL: over its limit. */
char *request_say(struct request *req, size_t bytes, const char *fmt, ...) printf_like(3, 4) must_use;
char *request_vsay(struct request *req, size_t bytes, const char *fmt, va_list args) must_use;
/* Which of `count` names stand there more than once. Bit by bit, as a request may name a hundred thousand: one name each duplicates_next,
 * which answers false when there are no more, or no memory; or all of it in steps, until `found` is called, perhaps inside. The names stay
 * until then (NULL: no memory). In the request's memory. */
enum duplicate { DUPLICATE_NONE, DUPLICATE_FIRST, DUPLICATE_LATER };
struct duplicates {
    const uint8_t *of; /* per name, at the end; NULL: no memory */
    void (*found)(struct duplicates *d);
    struct request *req;
    const struct kview *names;
    int32_t count, at;
    uint8_t *marks;
    struct map seen;
    struct steps steps;
};
void duplicates_begin(struct duplicates *d, struct request *req, const struct kview *names, int32_t count);
bool duplicates_next(struct duplicates *d) must_use;
void duplicates_find(struct duplicates *d, struct request *req, const struct kview *names, int32_t count,
                     void (*found)(struct duplicates *d));
/* For request_fail. */
extern const char no_memory[];
/* What a legal topic name is, as a sentence. */
extern const char topic_name_rule[];
static inline struct kuuid uuid_of(const uint8_t id[16])
{
    struct kuuid u;
    memcpy(u.b, id, sizeof u.b);
    return u;
}
static inline bool uuid_zero(struct kuuid u)
{
    static const uint8_t zero[16];
    return memcmp(u.b, zero, sizeof zero) == 0;
}
/* What everybody may do as long as there is no authorizer: a bit for each operation. */
enum {
    TOPIC_OPERATIONS = 1 << API_READ | 1 << API_WRITE | 1 << API_CREATE | 1 << API_DELETE | 1 << API_ALTER |
                       1 << API_DESCRIBE | 1 << API_DESCRIBE_CONFIGS | 1 << API_ALTER_CONFIGS,
    CLUSTER_OPERATIONS = 1 << API_CREATE | 1 << API_ALTER | 1 << API_DESCRIBE | 1 << API_CLUSTER_ACTION |
                         1 << API_DESCRIBE_CONFIGS | 1 << API_ALTER_CONFIGS | 1 << API_IDEMPOTENT_WRITE,
};
/* Kafka keeps its own metadata under this name; a topic of it would confuse its tools. */
bool is_reserved_topic(struct kview name);
/* What a change of a topic that was found by its name came to: between the look and the change it may have been deleted. */
enum kerr error_by_name(enum kerr error);
/* NULL: there is none. Valid in this turn. */
const struct topic *topic_named(const struct request *req, struct kview name);
const struct topic *topic_asked(const struct request *req, bool by_id, struct kview name, struct kuuid id);
/* Of all topics, in the order of their names, the one behind `last`; null: the first. They may come and go between steps. */
const struct topic *topic_after(const struct request *req, struct kview last);
static inline bool topic_has_partition(const struct topic *t, int32_t index)
{
    return t && index >= 0 && index < t->partitions;
}
/* What stands before any question to a partition (NULL: it is gone): is it there, does it work, is the client's epoch of the leader ours (KIP-320; -1 asks nothing), and is it
 * recovered (or else `not_recovered`, in time to wait for: part_call.h)? `out_facts` are filled in when there is no error. */
enum kerr partition_check_asked(const struct partition *p, int32_t leader_epoch, enum kerr not_recovered,
                                struct partition_facts *out_facts);
