/* See kept.h. */
#include "net/api/kept.h"
#include "core/log.h"
#include "net/api/reply.h"

static const char *const kept_names[] = {
    [ENTITY_GROUP] = "settings of single groups",
    [ENTITY_CLIENT_METRICS] = "subscriptions to client metrics",
    [ENTITY_QUOTA] = "quotas",
    [ENTITY_SCRAM] = "SCRAM credentials",
};

void kept_tell(struct server *sv, enum entity_kind kind)
{
    assert((size_t)kind < COUNT_OF(kept_names) && kept_names[kind]);
    if (sv->kept_told & 1u << kind)
        return;
    sv->kept_told |= 1u << kind;
    log_warn("settings kept, not obeyed", "what=\"%s\" effect=\"they are described, and nothing is done by them yet\"",
             kept_names[kind]);
}

char *kept_text(struct request *req, struct kview v, bool *out_full)
{
    *out_full = false;
    if (v.n < 0 || v.n > ENTITY_NAME_MAX || (v.n > 0 && memchr(v.at, 0, (size_t)v.n)))
        return NULL;
    char *text = request_text(req, v);
    *out_full = !text;
    return text;
}

const struct entity *kept_next(const struct server *sv, enum entity_kind kind, const char *last)
{
    const struct entities *all = &server_catalog(sv)->entities;
    uint32_t at = entities_lower_bound(all, kind, last ? last : "");
    if (last && at < all->count && all->sorted[at]->kind == kind && strcmp(all->sorted[at]->name, last) == 0)
        at++;
    return at < all->count && all->sorted[at]->kind == kind ? all->sorted[at] : NULL;
}

uint32_t kept_count(const struct server *sv, enum entity_kind kind)
{
    const struct entities *all = &server_catalog(sv)->entities;
    uint32_t from = entities_lower_bound(all, kind, "");
    return entities_lower_bound(all, (enum entity_kind)(kind + 1), "") - from;
}
