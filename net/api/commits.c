/* See commits.h. */
#include "net/api/commits.h"
#include "core/clock.h"
#include "net/api/group_asking.h"
#include "net/api/reply.h"
#include "net/server.h"

bool commits_begin(struct commits *c, struct request *req, size_t partitions, bool by_id)
{
    *c = (struct commits){.req = req, .by_id = by_id, .now_ms = clock_wall_ms(), .expire_ms = -1};
    c->v = request_alloc(req, partitions * sizeof *c->v + 1);
    c->asked = request_alloc(req, partitions * sizeof *c->asked + 1);
    return c->v && c->asked;
}

bool commits_topic(struct commits *c, struct kview name, struct kuuid id, struct commits_topic *out)
{
    const struct topic *t = topic_asked(c->req, c->by_id, name, id);
    *out = (struct commits_topic){t, c->by_id && t ? request_copy(c->req, view_of(t->name)) : name};
    return out->name.n >= 0;
}

/* In units of UTF-16, as Kafka's limit counts. */
static int32_t java_text_length(struct kview v)
{
    int32_t n = 0;
    for (int32_t i = 0; i < v.n; i++)
        n += (v.at[i] & 0xc0) == 0x80 ? 0 : v.at[i] >= 0xf0 ? 2 : 1;
    return n;
}

void commits_add(struct commits *c, const struct commits_topic *t, struct committed what, int16_t *out_error)
{
    if (!topic_has_partition(t->found, what.partition)) {
        *out_error = !t->found && c->by_id ? KERR_UNKNOWN_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    c->asked[c->asked_count++] = out_error;
    if (java_text_length(what.metadata) > server_config(c->req->server)->offset_metadata_max_bytes) {
        *out_error = KERR_OFFSET_METADATA_TOO_LARGE;
        return;
    }
    what.topic = t->name;
    what.commit_ms = what.commit_ms == -1 ? c->now_ms : what.commit_ms;
    what.expire_ms = c->expire_ms;
    what.metadata = what.metadata.n < 0 ? view_of("") : what.metadata;
    c->v[c->count++] = what;
}

struct group_entry *commits_group(const struct coord_call *call, int32_t generation, bool knows_no_group,
                                  enum kerr *out_error)
{
    struct group_entry *e = group_asked(call);
    if (!e && generation >= 0)
        *out_error = knows_no_group ? KERR_GROUP_ID_NOT_FOUND : KERR_ILLEGAL_GENERATION;
    else if (!e && !(e = group_log_make(group_log_of(call->log), call->key)))
        *out_error = KERR_COORDINATOR_NOT_AVAILABLE;
    return e;
}

void commits_answer(const struct commits *c, enum kerr error)
{
    for (int32_t i = 0; error && i < c->asked_count; i++)
        *c->asked[i] = (int16_t)error;
}
