/* AlterConfigs and IncrementalAlterConfigs. Each resource is one change of the catalog, worked out and checked on shard 0
 * against what is there by then, so that two clients who change different keys of one topic do not undo each other. The reply
 * leaves when all of them are durable and count on every shard. What can be refused without the catalog is refused here.
 *
 * However many resources there are, and settings of one, they are taken, compared, checked, started and answered in steps.
 *
 * Topics (2), brokers (4), subscriptions to client metrics (16) and groups (32) can be altered. There are no loggers (8) whose level
 * could be. */
#include "net/api/api.h"
#include "net/api/configs.h"
#include "net/api/reply.h"
#include "net/api/kept.h"
#include "net/countdown.h"
#include "storage/config/entity_config.h"
#include "storage/config/settings.h"

enum { MESSAGE_BYTES = 256 };

struct alter_part {
    struct catalog_change change;
    struct alter_run *run;
    int8_t type;
    struct kview name;
    const char *text; /* the name */
    struct config_op *ops;
    struct kview *op_names;
    uint32_t op_count;
    int32_t asked_ops; /* so many they become */
    enum kerr error;
    const char *message;
};
/* What differs between the two APIs. `i` is a resource, `k` one of its configs. */
struct alter_kind {
    bool replace_all;
    bool (*begin)(struct alter_run *run, int32_t i); /* false: no memory, as from take_op */
    bool (*take_op)(struct alter_run *run, int32_t i, int32_t k);
    bool (*begin_reply)(struct alter_run *run);
    void (*fill_reply)(struct alter_run *run, int32_t i);
    void (*send)(struct alter_run *run);
};
enum alter_phase { ALTER_TAKING, ALTER_COMPARING, ALTER_CHECKING, ALTER_STARTING };
struct alter_run {
    struct request *req;
    const void *ask; /* the kind's */
    const struct alter_kind *kind;
    struct alter_part *parts; /* one per resource, in the order of the request */
    int32_t count;
    struct countdown changes; /* without an answer */
    bool validate_only;
    bool failed; /* no memory */
    enum alter_phase phase;
    int32_t at;
    struct kview *keys;           /* of resources: type and name make the one text that is compared */
    struct duplicates duplicates; /* among those */
    bool taking, checking;        /* the one at `at` has begun to be */
    uint32_t op_at;
    struct duplicates op_duplicates; /* among its settings */
    struct steps steps;
    union {
        struct alter_configs_response all;
        struct incremental_alter_configs_response some;
    } r;
};

static bool reply_alter_step(struct steps *s);

static void all_altered(struct countdown *c)
{
    struct alter_run *run = container_of(c, struct alter_run, changes);
    run->at = 0;
    if (run->kind->begin_reply(run))
        steps_start(&run->req->server->steps, &run->steps, reply_alter_step);
    else
        request_fail(run->req, "no memory for the reply to it");
}

/* --- refusing --- */

static void refuse_alter(struct alter_part *p, enum kerr error, const char *message)
{
    p->error = error;
    p->message = message;
}

static void refuse_alter_with(struct alter_part *p, enum kerr error, const char *fmt, ...) printf_like(3, 4);
static void refuse_alter_with(struct alter_part *p, enum kerr error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = request_vsay(p->run->req, MESSAGE_BYTES, fmt, args);
    va_end(args);
    refuse_alter(p, error, text);
}

/* Its keys once each, its values there unless they are deleted. */
static void check_config_op(struct alter_part *p, const struct config_op *op, bool duplicate)
{
    if (duplicate)
        refuse_alter_with(p, KERR_INVALID_REQUEST, "The config key %s is there more than once.", op->name);
    else if (op->kind > CONFIG_OP_SUBTRACT)
        refuse_alter_with(p, KERR_INVALID_REQUEST, "Unknown operations type %d", (int8_t)op->kind);
    else if (!op->value && op->kind != CONFIG_OP_DELETE)
        refuse_alter_with(p, KERR_INVALID_REQUEST, "Null value not supported for : %s", op->name);
}

/* --- what each kind of resource means --- */

static void config_change_done(struct catalog_change *c)
{
    struct alter_part *p = container_of(c, struct alter_part, change);
    refuse_alter(p, error_by_name(c->error), c->error ? c->message : NULL);
    countdown_done(&p->run->changes);
}

static void start_config_change(struct alter_part *p, enum catalog_change_kind kind,
                                void (*done)(struct catalog_change *c))
{
    p->change.kind = kind;
    p->change.ops = p->ops;
    p->change.op_count = p->op_count;
    p->change.replace_all = p->run->kind->replace_all;
    p->change.validate_only = p->run->validate_only;
    p->change.done = done;
    countdown_add(&p->run->changes);
    catalog_change_start(p->run->req->server->shard, &p->change);
}

static void alter_topic(struct alter_part *p)
{
    const uint8_t *name = p->name.at;
    size_t bytes = (size_t)p->name.n;
    const struct topic *t = topic_named(p->run->req, p->name);
    if (bytes == 0) {
        refuse_alter(p, KERR_INVALID_REQUEST, "Default topic resources are not allowed.");
    } else if (!topic_name_legal(name, bytes)) {
        refuse_alter(p, KERR_INVALID_TOPIC_EXCEPTION, topic_name_rule);
    } else if (!t) {
        refuse_alter_with(p, KERR_UNKNOWN_TOPIC_OR_PARTITION, "The topic '%s' does not exist.", p->text);
    } else {
        memcpy(p->change.topic_id, t->id, sizeof p->change.topic_id);
        start_config_change(p, CATALOG_CONFIG, config_change_done);
    }
}

static bool check_altered_broker(struct alter_part *p)
{
    int64_t id = 0;
    uint32_t at;
    if (!config_to_i64(p->text, &id))
        refuse_alter_with(p, KERR_INVALID_REQUEST, "Node id must be an integer, but it is: %s", p->text);
    else if (!topology_find_node(p->run->req->server, id, &at))
        refuse_alter_with(p, KERR_INVALID_REQUEST, "Unexpected broker id, expected %d, but received %s",
                          topology_own_id(p->run->req->server), p->text);
    return !p->error;
}

static void alter_broker(struct alter_part *p)
{
    p->change.cluster_default = p->name.n == 0;
    if (p->change.cluster_default || check_altered_broker(p))
        start_config_change(p, CATALOG_BROKER_CONFIG, config_change_done);
}

static enum kerr settle_group(struct settings *s, const struct broker_config *config, char *why)
{
    return group_settings_check(s->v, s->count, config, why);
}

static enum kerr settle_metrics(struct settings *s, const struct broker_config *config, char *why)
{
    (void)config;
    return metrics_settings_check(s->v, s->count, why);
}

static bool find_metrics_key_facts(const char *name, enum config_type *out_type, const char **out_fallback)
{
    const struct topic_key *key = entity_key_find(&metrics_keys, name);
    if (key) {
        *out_type = key->type;
        *out_fallback = key->fallback;
    }
    return key;
}

static void entity_change_done(struct catalog_change *c)
{
    struct alter_part *p = container_of(c, struct alter_part, change);
    refuse_alter(p, c->error, c->error ? c->message : NULL);
    if (!c->error && !c->validate_only && c->op_count > 0)
        kept_tell(p->run->req->server, c->entity_kind);
    countdown_done(&p->run->changes);
}

static void alter_entity(struct alter_part *p)
{
    bool group = p->type == RESOURCE_GROUP, full;
    if (p->name.n == 0) {
        refuse_alter(p, KERR_INVALID_REQUEST,
                     group ? "Default group resources are not allowed." : "Subscription name can't be empty");
        return;
    }
    p->change.name = kept_text(p->run->req, p->name, &full);
    if (!p->change.name) {
        refuse_alter(p, full ? KERR_UNKNOWN_SERVER_ERROR : KERR_INVALID_REQUEST, "A name cannot have a zero byte.");
        return;
    }
    p->change.entity_kind = group ? ENTITY_GROUP : ENTITY_CLIENT_METRICS;
    p->change.settle = group ? settle_group : settle_metrics;
    p->change.key_facts = group ? NULL : find_metrics_key_facts;
    start_config_change(p, CATALOG_ENTITY, entity_change_done);
}

static void alter_logger(struct alter_part *p)
{
    if (!check_altered_broker(p))
        return;
    for (uint32_t i = 0; i < p->op_count && !p->error; i++) {
        if (p->ops[i].kind == CONFIG_OP_APPEND || p->ops[i].kind == CONFIG_OP_SUBTRACT)
            refuse_alter(p, KERR_INVALID_REQUEST,
                         "A logger's level is set or deleted, not appended to or subtracted from.");
        else
            refuse_alter_with(p, KERR_INVALID_CONFIG, "Logger %s does not exist!", p->ops[i].name);
    }
}

static void alter_resource(struct alter_part *p)
{
    switch (p->type) {
    case RESOURCE_TOPIC: alter_topic(p); return;
    case RESOURCE_BROKER: alter_broker(p); return;
    case RESOURCE_CLIENT_METRICS:
    case RESOURCE_GROUP: alter_entity(p); return;
    case RESOURCE_BROKER_LOGGER:
        if (!p->run->kind->replace_all) {
            alter_logger(p);
            return;
        } /* which AlterConfigs never knew */
        [[fallthrough]];
    default: refuse_alter_with(p, KERR_INVALID_REQUEST, "Unknown resource type %d", p->type);
    }
}

/* --- both APIs --- */

/* False: no memory. */
static bool fill_alter_part(struct alter_run *run, int32_t i, int8_t type, struct kview name, int32_t op_count)
{
    struct alter_part *p = &run->parts[i];
    assert(name.n >= 0);
    uint8_t *key = request_alloc(run->req, (size_t)name.n + 2);
    *p = (struct alter_part){.run = run, .type = type, .name = name, .asked_ops = op_count};
    p->ops = request_alloc(run->req, (size_t)op_count * sizeof *p->ops + 1);
    p->op_names = request_alloc(run->req, (size_t)op_count * sizeof *p->op_names + 1);
    if (!key || !p->ops || !p->op_names)
        return false;
    key[0] = (uint8_t)type;
    memcpy(key + 1, name.at, (size_t)name.n);
    key[name.n + 1] = 0;
    p->text = (const char *)key + 1;
    run->keys[i] = (struct kview){key, name.n + 1};
    return true;
}

static bool add_config_op(struct alter_part *p, struct kview name, int8_t kind, struct kview value)
{
    struct request *req = p->run->req;
    uint32_t k = p->op_count++;
    p->ops[k] = (struct config_op){request_text(req, name), (enum config_op_kind)kind, request_text(req, value)};
    p->op_names[k] = view_of(p->ops[k].name);
    return p->ops[k].name && (p->ops[k].value || value.n < 0);
}

/* Goes on with taking; what it cost, in units. */
static uint32_t take_alter_op(struct alter_run *run)
{
    struct alter_part *p = &run->parts[run->at];
    if (!run->taking) {
        run->failed = !run->kind->begin(run, run->at);
        run->taking = true;
    } else if ((int32_t)p->op_count < p->asked_ops) {
        run->failed = !run->kind->take_op(run, run->at, (int32_t)p->op_count);
    } else {
        run->taking = false;
        run->at++;
    }
    return 1;
}

/* Goes on with checking: names are compared, then each setting is looked at. */
static uint32_t check_alter_op(struct alter_run *run)
{
    enum { OPS_PER_UNIT = 4 };
    struct alter_part *p = &run->parts[run->at];
    struct duplicates *d = &run->op_duplicates;
    if (!run->checking) {
        duplicates_begin(d, run->req, p->op_names, (int32_t)p->op_count);
        run->checking = true;
        run->op_at = 0;
    } else if (!d->of) {
        run->failed = !duplicates_next(d) && !d->of;
        return d->at % OPS_PER_UNIT == 0;
    } else if (run->op_at < p->op_count && !p->error) {
        check_config_op(p, &p->ops[run->op_at], d->of[run->op_at]);
        return ++run->op_at % OPS_PER_UNIT == 0;
    } else {
        run->checking = false;
        run->at++;
    }
    return 1;
}

static uint32_t start_alter_part(struct alter_run *run)
{
    enum { START_UNITS = 20 };
    struct alter_part *p = &run->parts[run->at];
    if (run->duplicates.of[run->at++])
        refuse_alter(p, KERR_INVALID_REQUEST, "Each resource must appear at most once.");
    else if (!p->error)
        alter_resource(p);
    return p->error ? 1 : START_UNITS;
}

/* All resources went through this phase. False: it was the last one; `run` may be gone. */
static bool next_alter_phase(struct alter_run *run)
{
    run->at = 0;
    switch (run->phase) {
    case ALTER_TAKING:
        duplicates_begin(&run->duplicates, run->req, run->keys, run->count);
        run->phase = ALTER_COMPARING;
        return true;
    case ALTER_COMPARING:
        run->failed = duplicates_next(&run->duplicates) || !run->duplicates.of; /* there are no more */
        run->phase = ALTER_CHECKING;
        return true;
    case ALTER_CHECKING: run->phase = ALTER_STARTING; return true;
    case ALTER_STARTING: countdown_done(&run->changes); return false;
    }
    assert(!"a phase");
    return false;
}

static uint32_t compare_alter_part(struct alter_run *run)
{
    run->failed = !duplicates_next(&run->duplicates);
    run->at++;
    return 1;
}

static uint32_t alter_next(struct alter_run *run)
{
    switch (run->phase) {
    case ALTER_TAKING: return take_alter_op(run);
    case ALTER_COMPARING: return compare_alter_part(run);
    case ALTER_CHECKING: return check_alter_op(run);
    case ALTER_STARTING: return start_alter_part(run);
    }
    assert(!"a phase");
    return 0;
}

static bool alter_step(struct steps *s)
{
    struct alter_run *run = container_of(s, struct alter_run, steps);
    while (steps_go_on(s) && !run->failed) {
        if (run->at < run->count) {
            steps_spend(s, alter_next(run));
        } else if (!next_alter_phase(run)) {
            return false;
        }
    }
    if (run->failed) /* before any change was started */
        request_fail(run->req, "too many configs for one request");
    return !run->failed;
}

static bool reply_alter_step(struct steps *s)
{
    struct alter_run *run = container_of(s, struct alter_run, steps);
    for (; run->at < run->count; run->at++) {
        if (!steps_go_on(s))
            return true;
        run->kind->fill_reply(run, run->at);
        steps_spend(s, 1);
    }
    run->kind->send(run);
    return false;
}

static void start_alter(struct request *req, const struct alter_kind *kind, const void *ask, int32_t count,
                        bool validate_only)
{
    struct alter_run *run = request_zalloc(req, sizeof *run);
    struct alter_part *parts = request_alloc(req, (size_t)count * sizeof *parts + 1);
    struct kview *keys = request_alloc(req, (size_t)count * sizeof *keys + 1);
    if (!run || !parts || !keys) {
        request_fail(req, no_memory);
        return;
    }
    *run = (struct alter_run){.req = req,
                              .ask = ask,
                              .kind = kind,
                              .parts = parts,
                              .keys = keys,
                              .count = count,
                              .validate_only = validate_only};
    countdown_begin(&run->changes, all_altered);
    steps_start(&req->server->steps, &run->steps, alter_step);
}

/* --- AlterConfigs --- */

static bool begin_replacing_reply(struct alter_run *run)
{
    struct alter_configs_response *r = &run->r.all;
    alter_configs_response_init(r);
    r->responses.v = request_alloc(run->req, (size_t)run->count * sizeof *r->responses.v + 1);
    r->responses.n = run->count;
    return r->responses.v;
}

static void fill_replacing_reply(struct alter_run *run, int32_t i)
{
    const struct alter_part *p = &run->parts[i];
    run->r.all.responses.v[i] = (struct alter_configs_resource_response){.error_code = (int16_t)p->error,
                                                                         .error_message = view_of(p->message),
                                                                         .resource_type = p->type,
                                                                         .resource_name = p->name};
}

static void send_replacing_reply(struct alter_run *run)
{
    REQUEST_REPLY_LARGE(run->req, alter_configs_response, &run->r.all);
}

static bool begin_replacing_resource(struct alter_run *run, int32_t i)
{
    const struct alter_configs_request *m = run->ask;
    const struct alter_configs_resource *in = &m->resources.v[i];
    return fill_alter_part(run, i, in->resource_type, in->resource_name, in->configs.n);
}

static bool take_replacing_op(struct alter_run *run, int32_t i, int32_t k)
{
    const struct alter_configs_request *m = run->ask;
    const struct alter_configs_resource *in = &m->resources.v[i];
    return add_config_op(&run->parts[i], in->configs.v[k].name, CONFIG_OP_SET, in->configs.v[k].value);
}

static const struct alter_kind replacing_kind = {.replace_all = true,
                                                 .begin = begin_replacing_resource,
                                                 .take_op = take_replacing_op,
                                                 .begin_reply = begin_replacing_reply,
                                                 .fill_reply = fill_replacing_reply,
                                                 .send = send_replacing_reply};

void alter_configs_run(struct request *req)
{
    struct alter_configs_request *m = REQUEST_DECODE(req, alter_configs_request);
    if (m)
        start_alter(req, &replacing_kind, m, m->resources.n, m->validate_only);
}

/* --- IncrementalAlterConfigs --- */

static bool begin_incremental_reply(struct alter_run *run)
{
    struct incremental_alter_configs_response *r = &run->r.some;
    incremental_alter_configs_response_init(r);
    r->responses.v = request_alloc(run->req, (size_t)run->count * sizeof *r->responses.v + 1);
    r->responses.n = run->count;
    return r->responses.v;
}

static void fill_incremental_reply(struct alter_run *run, int32_t i)
{
    const struct alter_part *p = &run->parts[i];
    run->r.some.responses.v[i] =
        (struct incremental_alter_configs_resource_response){.error_code = (int16_t)p->error,
                                                             .error_message = view_of(p->message),
                                                             .resource_type = p->type,
                                                             .resource_name = p->name};
}

static void send_incremental_reply(struct alter_run *run)
{
    REQUEST_REPLY_LARGE(run->req, incremental_alter_configs_response, &run->r.some);
}

static bool begin_incremental_resource(struct alter_run *run, int32_t i)
{
    const struct incremental_alter_configs_request *m = run->ask;
    const struct incremental_alter_configs_resource *in = &m->resources.v[i];
    return fill_alter_part(run, i, in->resource_type, in->resource_name, in->configs.n);
}

static bool take_incremental_op(struct alter_run *run, int32_t i, int32_t k)
{
    const struct incremental_alter_configs_request *m = run->ask;
    const struct incremental_alter_configs_resource *in = &m->resources.v[i];
    return add_config_op(&run->parts[i], in->configs.v[k].name, in->configs.v[k].config_operation,
                         in->configs.v[k].value);
}

static const struct alter_kind incremental_kind = {.replace_all = false,
                                                   .begin = begin_incremental_resource,
                                                   .take_op = take_incremental_op,
                                                   .begin_reply = begin_incremental_reply,
                                                   .fill_reply = fill_incremental_reply,
                                                   .send = send_incremental_reply};

void incremental_alter_configs_run(struct request *req)
{
    struct incremental_alter_configs_request *m = REQUEST_DECODE(req, incremental_alter_configs_request);
    if (m)
        start_alter(req, &incremental_kind, m, m->resources.n, m->validate_only);
}
