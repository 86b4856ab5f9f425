/* What several handlers put into their replies: texts as views, the replica list of one node. */
#pragma once
#include "net/conn/request.h"

/* A zero-terminated text as a view; lent. NULL gives null. */
struct kview view_of(const char *text);
/* A zero-terminated copy in the request's memory; NULL: over its limit. A null view gives NULL too. */
char *request_text(struct request *req, struct kview v) must_use;
bool view_is(struct kview v, const char *text);
/* Which of `count` names stand there more than once; NULL: no memory. */
enum duplicate { DUPLICATE_NONE, DUPLICATE_FIRST, DUPLICATE_LATER };
const uint8_t *find_duplicates(struct request *req, const struct kview *names, int32_t count) must_use;
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
static inline int32_t node_id(const struct request *req)
{
    return req->server->root->config->node_id; /* no change alters it */
}
/* [node id], the replicas of every partition; of what the broker was started with, and as long-lived. */
static inline const int32_t *replica_list(const struct request *req)
{
    return &req->server->root->config->node_id;
}
/* NULL: there is none. Valid in this turn. */
const struct topic *topic_asked(const struct request *req, bool by_id, struct kview name, struct kuuid id);
/* Errors for a request's epoch of the leader (KIP-320): -1 asks nothing. */
enum kerr leader_epoch_check(int32_t asked, int32_t current);
