/* UpdateFeatures, and what ApiVersions says of features. One feature at fault is a fault of the whole request, as in Kafka. */
#include "storage/catalog/features.h"
#include "net/api/answering.h"
#include "net/api/features.h"
#include "net/api/reply.h"
#include <stdio.h>

enum { UPGRADE = 1, SAFE_DOWNGRADE = 2, UNSAFE_DOWNGRADE = 3, MESSAGE_BYTES = 512, FAULT_BYTES = 128, LEVEL_BYTES = 8 };
static const char all_fail[] = "The update failed for all features since the following feature had an error: ";

/* --- ApiVersions --- */

/* Old clients cannot read a feature that may be 0 (KAFKA-17492): before version 4 it is left out. */
static void show_feature(const struct catalog *c, const struct feature *f, bool zero_readable,
                         struct api_versions_response *r)
{
    int16_t level = feature_level(c, f->name);
    if (f->least > 0 || zero_readable) {
        struct supported_feature_key *s = &r->supported_features.v[r->supported_features.n++];
        supported_feature_key_init(s);
        s->name = view_of(f->name);
        s->min_version = f->least;
        s->max_version = f->most;
    }
    if (level > 0) {
        struct finalized_feature_key *s = &r->finalized_features.v[r->finalized_features.n++];
        finalized_feature_key_init(s);
        s->name = view_of(f->name);
        s->min_version_level = s->max_version_level = level;
    }
}

bool features_show(struct request *req, struct api_versions_response *r)
{
    const struct catalog *c = server_catalog(req->server);
    r->supported_features.v = request_alloc(req, feature_count() * sizeof *r->supported_features.v);
    r->finalized_features.v = request_alloc(req, feature_count() * sizeof *r->finalized_features.v);
    if (!r->supported_features.v || !r->finalized_features.v)
        return false;
    for (uint32_t i = 0; i < feature_count(); i++)
        show_feature(c, feature_at(i), req->version >= 4, r);
    r->finalized_features_epoch = features_epoch(c);
    return true;
}

/* --- UpdateFeatures --- */

struct update_run {
    struct answering walk;
    const struct update_features_request *ask;
    struct update_features_response r;
    struct catalog_change change;
    struct config_op *ops; /* one for each feature that there is, at most */
    uint32_t op_count;
};

/* NULL: it may be. */
static const char *find_update_fault(const struct update_run *run, const struct feature_update_key *ask,
                                     const struct feature *f, char *room)
{
    int16_t now = f ? feature_level(server_catalog(run->walk.req->server), f->name) : 0, to = ask->max_version_level;
    if (ask->upgrade_type < UPGRADE || ask->upgrade_type > UNSAFE_DOWNGRADE)
        return "The controller does not support the given upgrade type.";
    if (to < 0)
        return "A feature version cannot be less than 0.";
    if (!f || to < f->least || to > f->most) {
        int n = snprintf(room, FAULT_BYTES, "Local controller %d ", topology_controller(run->walk.req->server));
        if (f)
            snprintf(room + n, FAULT_BYTES - (size_t)n, "only supports versions %d-%d", f->least, f->most);
        else
            snprintf(room + n, FAULT_BYTES - (size_t)n, "does not support this feature.");
        return room;
    }
    if (to < now && ask->upgrade_type == UPGRADE)
        return "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe "
               "downgrade.";
    if (to > now && ask->upgrade_type != UPGRADE)
        return "Can't downgrade to a newer version.";
    if (to < now && f->lossy)
        return "Refusing to perform the requested downgrade because it might delete metadata information.";
    return NULL;
}

static void refuse_update(struct update_run *run, const struct feature_update_key *ask, const char *fault)
{
    run->r.error_code = KERR_INVALID_UPDATE_VERSION;
    run->r.error_message =
        view_of(request_say(run->walk.req, MESSAGE_BYTES, "%sInvalid update version %d for feature %.*s. %.150s",
                            all_fail, ask->max_version_level, ask->feature.n, (const char *)ask->feature.at, fault));
}

/* Of one that is named twice the last counts, as in Kafka. False: no memory. */
static bool add_level(struct update_run *run, const struct feature *f, int16_t level)
{
    uint32_t at = 0;
    while (at < run->op_count && strcmp(run->ops[at].name, f->name) != 0)
        at++;
    char *text = request_say(run->walk.req, LEVEL_BYTES, "%d", level);
    run->ops[at] = (struct config_op){f->name, CONFIG_OP_SET, text};
    run->op_count += at == run->op_count;
    return text;
}

static const struct feature *find_named_feature(struct kview name)
{
    for (uint32_t i = 0; i < feature_count(); i++)
        if (view_is(name, feature_at(i)->name))
            return feature_at(i);
    return NULL;
}

/* Looks at one feature; its result stands in the answers of versions 0 and 1. */
static int32_t judge_update(struct answering *walk)
{
    struct update_run *run = container_of(walk, struct update_run, walk);
    const struct feature_update_key *ask = &run->ask->feature_updates.v[walk->row];
    struct updatable_feature_result *out = &run->r.results.v[walk->row];
    const struct feature *f = find_named_feature(ask->feature);
    char room[FAULT_BYTES];
    updatable_feature_result_init(out);
    out->feature = ask->feature;
    out->error_message = view_of(NULL);
    const char *fault = run->r.error_code ? NULL : find_update_fault(run, ask, f, room);
    if (fault)
        refuse_update(run, ask, fault);
    else if (f && !run->r.error_code &&
             feature_level(server_catalog(walk->req->server), f->name) != ask->max_version_level)
        return add_level(run, f, ask->max_version_level) ? 0 : -1;
    return 0;
}

static void reply_update(struct update_run *run)
{
    if (run->r.error_code || run->walk.req->version > 1)
        run->r.results.n = 0;
    REQUEST_REPLY_LARGE(run->walk.req, update_features_response, &run->r);
}

static void update_recorded(struct catalog_change *c)
{
    struct update_run *run = container_of(c, struct update_run, change);
    run->r.error_code = (int16_t)c->error;
    run->r.error_message = view_of(c->error ? c->message : NULL);
    reply_update(run);
}

/* All were looked at: what differs from now is recorded. */
static void record_update(struct answering *walk)
{
    struct update_run *run = container_of(walk, struct update_run, walk);
    if (run->r.error_code || run->op_count == 0 || run->ask->validate_only) {
        reply_update(run);
        return;
    }
    features_change(&run->change, run->ops, run->op_count);
    run->change.done = update_recorded;
    catalog_change_start(walk->req->server->shard, &run->change);
}

static const struct answering_kind update_kind = {.begin = judge_update, .reply = record_update};

void update_features_run(struct request *req)
{
    struct update_features_request *m = REQUEST_DECODE(req, update_features_request);
    if (!m)
        return;
    struct update_run *run = request_zalloc(req, sizeof *run);
    struct updatable_feature_result *results = request_alloc(req, (size_t)m->feature_updates.n * sizeof *results + 1);
    struct config_op *ops = request_alloc(req, feature_count() * sizeof *ops);
    if (!run || !results || !ops) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    run->ops = ops;
    update_features_response_init(&run->r);
    run->r.error_message = view_of(NULL);
    run->r.results.v = results;
    run->r.results.n = m->feature_updates.n;
    answering_begin(&run->walk, req, &update_kind, m->feature_updates.n);
}
