/* What is kept of groups, client metrics, quotas and credentials (storage/catalog/entities.h): kept durably, described back, and not obeyed
 * yet, which the log says. */
#pragma once
#include "net/api/api.h"

/* The first time that one of this kind is set on this shard. */
void kept_tell(struct server *sv, enum entity_kind kind);
/* A text that the catalog can keep, as one of the request's own: no zero byte within, and not too long. NULL: it cannot, or (*out_full) there
 * is no memory. */
char *kept_text(struct request *req, struct kview v, bool *out_full) must_use;
/* Walks over those of a kind, a name at a time; entities may come and go between steps. NULL: there are no more. Valid in this turn. `last` is
 * the name before, null to begin; the caller sets it to a copy of the new one. */
const struct entity *kept_next(const struct server *sv, enum entity_kind kind, const char *last);
uint32_t kept_count(const struct server *sv, enum entity_kind kind);
