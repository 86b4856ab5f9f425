/* DescribeClientQuotas and AlterClientQuotas (KIP-546). Quotas are kept durably and described back; nobody is throttled yet. Each entity is one
 * change of the catalog, checked before by Kafka's rules but for one: an address is not looked up, so that it must be one. */
#include "net/api/answering.h"
#include "net/api/kept.h"
#include "net/api/quota_name.h"
#include "net/api/reply.h"
#include "net/countdown.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_BYTES = 400, NUMBER_BYTES = 32, MATCH_EXACT = 0, MATCH_DEFAULT = 1, MATCH_ANY = 2 };

static const struct quota_key {
    const char *name;
    double most; /* 0: any number; otherwise a whole one */
    const char *type;
    bool of_ip;
} quota_keys[] = {
    {"producer_byte_rate", 9223372036854775807.0, "a LONG", false},
    {"consumer_byte_rate", 9223372036854775807.0, "a LONG", false},
    {"request_percentage", 0, NULL, false},
    {"controller_mutation_rate", 0, NULL, false},
    {"connection_creation_rate", 2147483647.0, "an INT", true},
};

/* --- AlterClientQuotas --- */

struct quota_change;
struct alter_quotas_run {
    struct answering walk;
    const struct alter_client_quotas_request *ask;
    struct alter_client_quotas_response r;
    struct quota_change *changing; /* of the row */
    struct countdown changes;      /* without an answer */
};
struct quota_change {
    struct catalog_change change;
    struct alter_quotas_run *run;
    struct altered_quota *out;
    struct quota_name name;
    struct config_op ops[COUNT_OF(quota_keys)];
    uint32_t op_count;
};

static bool refuse_quota(struct request *req, struct altered_quota *out, const char *fmt, ...) printf_like(3, 4);
static bool refuse_quota(struct request *req, struct altered_quota *out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = request_vsay(req, MESSAGE_BYTES, fmt, args);
    va_end(args);
    out->error_code = KERR_INVALID_REQUEST;
    out->error_message = view_of(text);
    return false;
}

static bool is_address(struct kview name)
{
    char text[IO_NAME_MAX];
    if (name.n >= (int32_t)sizeof text)
        return false;
    memcpy(text, name.at, (size_t)name.n);
    text[name.n] = 0;
    return io_is_address(text);
}

/* One of the pairs that say whom it is for. False: refused. */
static bool take_quota_part(struct request *req, const struct quota_alteration_entity *ask, struct quota_name *name,
                            struct altered_quota *out)
{
    int part = quota_part_find(ask->entity_type);
    if (part < 0)
        return refuse_quota(req, out, "Unhandled client quota entity type: %.*s", (int)ask->entity_type.n,
                            (const char *)ask->entity_type.at);
    if (name->has[part])
        return refuse_quota(req, out, "Invalid client quota entity, duplicate entity entry %s", quota_part_names[part]);
    if (ask->entity_name.n == 0)
        return refuse_quota(req, out, "Empty %s not supported", quota_part_names[part]);
    name->has[part] = true;
    name->names[part] = ask->entity_name;
    return true;
}

static bool take_quota_name(struct request *req, const struct quota_alteration *ask, struct quota_name *name,
                            struct altered_quota *out)
{
    *name = quota_of_nobody;
    if (ask->entity.n == 0)
        return refuse_quota(req, out, "Invalid empty client quota entity");
    for (int32_t i = 0; i < ask->entity.n; i++)
        if (!take_quota_part(req, &ask->entity.v[i], name, out))
            return false;
    if (name->has[QUOTA_IP] && (name->has[QUOTA_USER] || name->has[QUOTA_CLIENT]))
        return refuse_quota(req, out,
                            "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId");
    if (name->names[QUOTA_IP].n >= 0 && !is_address(name->names[QUOTA_IP]))
        return refuse_quota(req, out, "%.*s is not an address; names are not looked up.", (int)name->names[QUOTA_IP].n,
                            (const char *)name->names[QUOTA_IP].at);
    return true;
}

static const struct quota_key *find_quota_key(struct kview name, bool of_ip)
{
    for (uint32_t i = 0; i < COUNT_OF(quota_keys); i++)
        if (quota_keys[i].of_ip == of_ip && view_is(name, quota_keys[i].name))
            return &quota_keys[i];
    return NULL;
}

static bool check_quota_value(struct request *req, const struct quota_op *op, const struct quota_key *key,
                              struct altered_quota *out)
{
    if (!key)
        return refuse_quota(req, out, "Invalid configuration key %.*s", (int)op->key.n, (const char *)op->key.at);
    if (op->value <= 0)
        return refuse_quota(req, out, "Quota %s must be greater than 0", key->name);
    if (key->most > 0 && op->value > key->most)
        return refuse_quota(req, out, "Proposed value for %s is too large for %s.", key->name, key->type);
    if (key->most > 0 && fabs(fmod(op->value, 1)) > 1e-6)
        return refuse_quota(req, out, "%s cannot be a fractional value.", key->name);
    return true;
}

/* As few digits as give the same number back. NULL: no memory. */
static char *write_quota_number(struct request *req, double value)
{
    char *text = request_alloc(req, NUMBER_BYTES);
    for (int digits = 15; text && digits <= 17; digits++) {
        snprintf(text, NUMBER_BYTES, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return text;
}

/* The keys that may be set are few: what there is more of them is named twice. */
static bool is_quota_key_again(const struct config_op *ops, uint32_t count, const struct quota_key *key)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(ops[i].name, key->name) == 0)
            return true;
    return false;
}

static void quota_altered(struct catalog_change *c)
{
    struct quota_change *p = container_of(c, struct quota_change, change);
    p->out->error_code = (int16_t)c->error;
    p->out->error_message = view_of(c->error ? c->message : NULL);
    if (!c->error && !c->validate_only)
        kept_tell(p->run->walk.req->server, ENTITY_QUOTA);
    countdown_done(&p->run->changes);
}

/* All of its settings were taken. False: refused. */
static bool start_quota_change(struct alter_quotas_run *run, struct altered_quota *out)
{
    struct request *req = run->walk.req;
    struct quota_change *p = run->changing;
    const char *text = quota_name_write(req, &p->name);
    if (!text)
        return refuse_quota(req, out, no_memory);
    if (strlen(text) > ENTITY_NAME_MAX)
        return refuse_quota(req, out, "The names are too long.");
    p->run = run;
    p->out = out;
    p->change = (struct catalog_change){.kind = CATALOG_ENTITY,
                                        .entity_kind = ENTITY_QUOTA,
                                        .name = text,
                                        .ops = p->ops,
                                        .op_count = p->op_count,
                                        .validate_only = run->ask->validate_only,
                                        .done = quota_altered};
    countdown_add(&run->changes);
    catalog_change_start(req->server->shard, &p->change);
    return true;
}

/* A key that does not exist can be removed. False: refused. */
static bool take_quota_op(struct request *req, const struct quota_op *op, struct quota_change *p,
                          struct altered_quota *out)
{
    const struct quota_key *key = find_quota_key(op->key, p->name.has[QUOTA_IP]);
    if (op->remove && !key)
        return true;
    if (!op->remove && !check_quota_value(req, op, key, out))
        return false;
    if (is_quota_key_again(p->ops, p->op_count, key))
        return refuse_quota(req, out, "Duplicate quota key %s", key->name);
    const char *value = op->remove ? NULL : write_quota_number(req, op->value);
    if (!op->remove && !value)
        return refuse_quota(req, out, no_memory);
    p->ops[p->op_count++] = (struct config_op){key->name, op->remove ? CONFIG_OP_DELETE : CONFIG_OP_SET, value};
    return true;
}

/* More than there are kinds of parts are not shown: one of them is at fault. */
static void echo_quota_entity(struct request *req, const struct quota_alteration *ask, struct altered_quota *out)
{
    enum { SHOWN_MAX = QUOTA_PARTS + 1 };
    int32_t n = ask->entity.n < SHOWN_MAX ? ask->entity.n : SHOWN_MAX;
    altered_quota_init(out);
    out->error_message = view_of(NULL);
    out->entity.v = request_alloc(req, SHOWN_MAX * sizeof *out->entity.v);
    out->entity.n = out->entity.v ? n : 0;
    for (int32_t i = 0; i < out->entity.n; i++) {
        altered_quota_entity_init(&out->entity.v[i]);
        out->entity.v[i].entity_type = ask->entity.v[i].entity_type;
        out->entity.v[i].entity_name = ask->entity.v[i].entity_name;
    }
}

/* Without memory it is this one that is refused: changes of others are under way. */
static int32_t begin_quota(struct answering *walk)
{
    struct alter_quotas_run *run = container_of(walk, struct alter_quotas_run, walk);
    const struct quota_alteration *ask = &run->ask->entries.v[walk->row];
    struct altered_quota *out = &run->r.entries.v[walk->row];
    struct quota_change *p = request_zalloc(walk->req, sizeof *p);
    echo_quota_entity(walk->req, ask, out);
    run->changing = p;
    if (!p)
        return (int32_t)refuse_quota(walk->req, out, no_memory);
    if (!take_quota_name(walk->req, ask, &p->name, out))
        return 0;
    if (ask->ops.n == 0)
        (void)start_quota_change(run, out);
    return ask->ops.n;
}

static void alter_quota(struct answering *walk)
{
    struct alter_quotas_run *run = container_of(walk, struct alter_quotas_run, walk);
    const struct quota_alteration *ask = &run->ask->entries.v[walk->row];
    struct altered_quota *out = &run->r.entries.v[walk->row];
    if (!out->error_code && take_quota_op(walk->req, &ask->ops.v[walk->item], run->changing, out) &&
        walk->item == walk->items - 1)
        (void)start_quota_change(run, out);
}

static void all_quotas_altered(struct countdown *c)
{
    struct alter_quotas_run *run = container_of(c, struct alter_quotas_run, changes);
    REQUEST_REPLY_LARGE(run->walk.req, alter_client_quotas_response, &run->r);
}

static void all_quotas_started(struct answering *walk)
{
    countdown_done(&container_of(walk, struct alter_quotas_run, walk)->changes);
}

static const struct answering_kind alter_quotas_kind = {
    .begin = begin_quota, .answer = alter_quota, .reply = all_quotas_started};

void alter_client_quotas_run(struct request *req)
{
    struct alter_client_quotas_request *m = REQUEST_DECODE(req, alter_client_quotas_request);
    if (!m)
        return;
    struct alter_quotas_run *run = request_zalloc(req, sizeof *run);
    struct altered_quota *entries = request_alloc(req, (size_t)m->entries.n * sizeof *entries + 1);
    if (!run || !entries) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    alter_client_quotas_response_init(&run->r);
    run->r.entries.v = entries;
    run->r.entries.n = m->entries.n;
    countdown_begin(&run->changes, all_quotas_altered);
    answering_begin(&run->walk, req, &alter_quotas_kind, m->entries.n);
}

/* --- DescribeClientQuotas --- */

struct describe_quotas_run {
    struct answering walk; /* rows: as many entities as there were when it began */
    const struct describe_client_quotas_request *ask;
    struct describe_client_quotas_response r;
    struct quota_name wanted;   /* what the filter says of each part; a name: exactly that, null: the default ... */
    bool any_name[QUOTA_PARTS]; /* ... unless any will do */
    const char *last;           /* the entity before; NULL: none */
};

static void refuse_quota_filter(struct describe_quotas_run *run, enum kerr error, const char *message)
{
    run->r.error_code = (int16_t)error;
    run->r.error_message = view_of(message);
    run->r.entries.v = NULL;
    run->r.entries.n = -1;
}

/* NULL: it is well. */
static const char *take_quota_component(struct describe_quotas_run *run, const struct quota_component *ask,
                                        enum kerr *out_error)
{
    int part = quota_part_find(ask->entity_type);
    *out_error = KERR_INVALID_REQUEST;
    if (ask->entity_type.n == 0)
        return "Invalid empty entity type.";
    if (part >= 0 && run->wanted.has[part])
        return "An entity type cannot appear more than once in the filter.";
    if (part < 0) {
        *out_error = KERR_UNSUPPORTED_VERSION;
        return "Unsupported entity type: user, client-id and ip are known.";
    }
    if (ask->match_type < MATCH_EXACT || ask->match_type > MATCH_ANY)
        return "Unknown match type.";
    if (ask->match_type == MATCH_EXACT && ask->match.n < 0)
        return "Request specified MATCH_TYPE_EXACT, but set match string to null.";
    if (ask->match_type != MATCH_EXACT && ask->match.n >= 0)
        return "Request specified a match string, but no exact match.";
    run->wanted.has[part] = true;
    run->wanted.names[part] = ask->match;
    run->any_name[part] = ask->match_type == MATCH_ANY;
    return NULL;
}

/* Each part at most once, so there is little to look at. False: refused. */
static bool take_quota_filter(struct describe_quotas_run *run)
{
    enum kerr error;
    const char *fault = NULL;
    run->wanted = quota_of_nobody;
    for (int32_t i = 0; !fault && i < run->ask->components.n; i++)
        fault = take_quota_component(run, &run->ask->components.v[i], &error);
    if (!fault && run->wanted.has[QUOTA_IP] && (run->wanted.has[QUOTA_USER] || run->wanted.has[QUOTA_CLIENT])) {
        error = KERR_INVALID_REQUEST;
        fault = "Invalid entity filter component combination. IP filter component should not be used with user or "
                "clientId filter component.";
    }
    if (fault)
        refuse_quota_filter(run, error, fault);
    return !fault;
}

static bool is_same_text(struct kview a, struct kview b)
{
    return a.n == b.n && (a.n <= 0 || memcmp(a.at, b.at, (size_t)a.n) == 0);
}

static bool is_quota_wanted(const struct describe_quotas_run *run, const struct quota_name *name)
{
    for (int i = 0; i < QUOTA_PARTS; i++) {
        if (!run->wanted.has[i] && !(run->ask->strict && name->has[i]))
            continue;
        if (!run->wanted.has[i] || !name->has[i])
            return false;
        if (!run->any_name[i] && !is_same_text(run->wanted.names[i], name->names[i]))
            return false;
    }
    return true;
}

/* False: no memory. */
static bool show_quota_entity(struct request *req, const struct quota_name *name, struct described_quota *out)
{
    out->entity.v = request_alloc(req, QUOTA_PARTS * sizeof *out->entity.v);
    out->entity.n = 0;
    for (int i = 0; out->entity.v && i < QUOTA_PARTS; i++) {
        if (!name->has[i])
            continue;
        struct described_quota_entity *e = &out->entity.v[out->entity.n++];
        described_quota_entity_init(e);
        e->entity_type = view_of(quota_part_names[i]);
        e->entity_name = name->names[i];
    }
    return out->entity.v;
}

static bool show_quota_values(struct request *req, const struct entity *e, struct described_quota *out)
{
    out->values.v = request_alloc(req, e->count * sizeof *out->values.v);
    out->values.n = 0;
    for (uint32_t i = 0; out->values.v && i < e->count; i++) {
        struct described_quota_value *v = &out->values.v[out->values.n++];
        described_quota_value_init(v);
        v->key = request_copy(req, view_of(e->settings[i].name));
        v->value = strtod(e->settings[i].value, NULL);
        if (v->key.n < 0)
            return false;
    }
    return out->values.v;
}

static int32_t describe_next_quota(struct answering *walk)
{
    struct describe_quotas_run *run = container_of(walk, struct describe_quotas_run, walk);
    const struct entity *e = kept_next(walk->req->server, ENTITY_QUOTA, run->last);
    struct quota_name name;
    if (!e) /* some were removed meanwhile */
        return 0;
    steps_spend(&walk->steps, 1);
    run->last = request_text(walk->req, view_of(e->name));
    if (!run->last || !quota_name_read(walk->req, run->last, &name))
        return -1;
    if (!is_quota_wanted(run, &name))
        return 0;
    struct described_quota *out = &run->r.entries.v[run->r.entries.n++];
    described_quota_init(out);
    return show_quota_entity(walk->req, &name, out) && show_quota_values(walk->req, e, out) ? 0 : -1;
}

static void reply_described_quotas(struct answering *walk)
{
    struct describe_quotas_run *run = container_of(walk, struct describe_quotas_run, walk);
    REQUEST_REPLY_LARGE(walk->req, describe_client_quotas_response, &run->r);
}

static const struct answering_kind describe_quotas_kind = {.begin = describe_next_quota,
                                                           .reply = reply_described_quotas};

void describe_client_quotas_run(struct request *req)
{
    struct describe_client_quotas_request *m = REQUEST_DECODE(req, describe_client_quotas_request);
    if (!m)
        return;
    struct describe_quotas_run *run = request_zalloc(req, sizeof *run);
    uint32_t room = kept_count(req->server, ENTITY_QUOTA);
    struct described_quota *entries = request_alloc(req, room * sizeof *entries + 1);
    if (!run || !entries) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    describe_client_quotas_response_init(&run->r);
    run->r.entries.v = entries;
    if (take_quota_filter(run))
        answering_begin(&run->walk, req, &describe_quotas_kind, (int32_t)room);
    else
        REQUEST_REPLY(req, describe_client_quotas_response, &run->r);
}
