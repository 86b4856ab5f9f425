/* DescribeConfigs: topics, this broker, what was altered for all brokers of the cluster, groups and subscriptions to client metrics. Resource by resource, in steps: for each its
 * keys are listed, those that the request names are marked, and what is wanted goes into the reply. Of the configuration and the catalog
 * nothing is kept across steps: what can be altered is copied. */
#include "net/api/configs.h"
#include "net/api/api.h"
#include "net/api/kept.h"
#include "net/api/reply.h"
#include "storage/config/entity_config.h"
#include <stdio.h>

enum { MESSAGE_BYTES = 256, SETTING_BYTES = LISTENERS_MAX * (HOST_MAX + 48) };

struct describe_configs_run {
    struct request *req;
    struct describe_configs_request *ask;
    struct steps steps;
    struct describe_configs_response r;
    struct config_list list; /* of the resource that is being described; none: the next one begins */
    bool *wanted;            /* of its keys, those that the request names; NULL: all of them */
    int32_t asked_at;        /* of the names, the next */
    bool failed;             /* no memory */
};

/* --- what there is to show --- */

/* What was set may be altered before the reply is out; false: no memory. */
static bool keep_config_text(struct request *req, const char **text)
{
    size_t bytes = *text ? strlen(*text) + 1 : 0;
    char *copy = request_alloc(req, bytes + 1);
    if (copy && *text)
        *text = memcpy(copy, *text, bytes);
    return copy;
}

/* False: no memory. */
static bool take_synonyms(struct request *req, struct config_shown *c, const struct config_synonym *synonyms,
                          uint32_t count)
{
    struct config_synonym *copy = request_alloc(req, count * sizeof *copy + 1);
    if (!copy)
        return false;
    memcpy(copy, synonyms, count * sizeof *copy);
    for (uint32_t i = 0; i < count; i++) {
        bool given = copy[i].source != CONFIG_SOURCE_DEFAULT; /* defaults are the tables' */
        if (given && (!keep_config_text(req, &copy[i].name) || !keep_config_text(req, &copy[i].value)))
            return false;
    }
    c->synonyms = copy;
    c->synonym_count = count;
    c->source = count > 0 ? synonyms[0].source : CONFIG_SOURCE_DEFAULT;
    return c->source == CONFIG_SOURCE_DEFAULT || keep_config_text(req, &c->value);
}

static bool take_topic_key(struct request *req, const struct topic_key *k, const struct topic_override *overrides,
                           uint32_t count, struct config_shown *out)
{
    const struct broker_config *broker = server_config(req->server);
    struct config_synonym synonyms[CONFIG_SYNONYMS_MAX];
    struct topic_value *value = request_alloc(req, sizeof *value); /* its text may be what is shown */
    if (!value)
        return false;
    topic_value_get(k, overrides, count, broker, value);
    /* MirrorMaker 2 leaves what is read-only alone: a key that it copied would make a Kafka refuse the whole topic's configuration. */
    *out = (struct config_shown){
        .name = k->name, .doc = k->doc, .value = value->value, .type = k->type, .read_only = topic_key_foreign(k)};
    return take_synonyms(req, out, synonyms, topic_synonyms(k, overrides, count, broker, synonyms));
}

bool configs_of_topic(struct request *req, const struct topic_override *overrides, uint32_t count,
                      struct config_list *out)
{
    bool good = true;
    out->count = 0;
    out->v = request_zalloc(req, topic_key_count() * sizeof *out->v);
    for (uint32_t i = 0; out->v && good && i < topic_key_count(); i++)
        if (!topic_key_at(i)->internal)
            good = take_topic_key(req, topic_key_at(i), overrides, count, &out->v[out->count++]);
    return out->v && good;
}

/* `node`: its ids and addresses are its own, all else is the process's. */
static bool take_broker_key(struct request *req, uint32_t node, const struct broker_key *k, struct config_shown *out)
{
    const struct broker_config *broker = server_config(req->server);
    struct config_synonym synonyms[CONFIG_SYNONYMS_MAX];
    char own[SETTING_BYTES];
    const char *set = broker_config_get(broker, k->name);
    *out = (struct config_shown){.name = k->name,
                                 .doc = k->doc,
                                 .value = set ? set : k->fallback,
                                 .type = k->type,
                                 .read_only = !broker_key_dynamic(k->name),
                                 .sensitive = k->type == CONFIG_PASSWORD};
    uint32_t count = broker_synonyms(k->name, broker, synonyms);
    if (topology_setting(req->server, node, k->name, own, sizeof own)) {
        out->value = own;
        for (uint32_t i = 0; i < count && synonyms[i].source != CONFIG_SOURCE_DEFAULT; i++)
            synonyms[i].value = own;
    }
    return take_synonyms(req, out, synonyms, count) && (out->value != own || keep_config_text(req, &out->value));
}

/* Keys that are in no table (listener.name.<name>.<key>, those of plugins): of unknown type, so perhaps secrets. */
static bool take_unknown_keys(struct request *req, const struct config_entry *entries, uint32_t room,
                              struct config_list *out)
{
    for (const struct config_entry *e = entries; e; e = e->next) {
        bool shown = broker_key_find(e->name);
        for (uint32_t i = broker_key_count(); !shown && i < out->count; i++)
            shown = strcmp(out->v[i].name, e->name) == 0;
        if (shown || out->count == room)
            continue;
        struct config_synonym synonyms[CONFIG_SYNONYMS_MAX];
        struct config_shown *c = &out->v[out->count++];
        *c = (struct config_shown){.name = e->name, .read_only = !broker_key_dynamic(e->name), .sensitive = true};
        if (!keep_config_text(req, &c->name) ||
            !take_synonyms(req, c, synonyms, broker_synonyms(e->name, server_config(req->server), synonyms)))
            return false;
    }
    return true;
}

static uint32_t count_config_entries(const struct config_entry *e)
{
    uint32_t count = 0;
    for (; e; e = e->next)
        count++;
    return count;
}

static bool list_broker_configs(struct request *req, uint32_t node, struct config_list *out)
{
    const struct broker_config *broker = server_config(req->server);
    const struct config_entry *layers[] = {broker->set, broker->dynamic, broker->dynamic_default};
    uint32_t room = broker_key_count();
    for (uint32_t i = 0; i < COUNT_OF(layers); i++)
        room += count_config_entries(layers[i]);
    out->v = request_zalloc(req, room * sizeof *out->v);
    bool good = out->v;
    for (out->count = 0; good && out->count < broker_key_count(); out->count++)
        good = take_broker_key(req, node, broker_key_at(out->count), &out->v[out->count]);
    for (uint32_t i = 0; good && i < COUNT_OF(layers); i++)
        good = take_unknown_keys(req, layers[i], room, out);
    return good;
}

/* What was altered for all brokers, and nothing else. */
static bool list_cluster_configs(struct request *req, struct config_list *out)
{
    const struct config_entry *e = server_config(req->server)->dynamic_default;
    bool good = true;
    out->count = 0;
    out->v = request_zalloc(req, count_config_entries(e) * sizeof *out->v + 1);
    for (; out->v && good && e; e = e->next) {
        const struct broker_key *k = broker_key_find(e->name);
        struct config_shown *c = &out->v[out->count++];
        *c = (struct config_shown){.name = e->name,
                                   .doc = k ? k->doc : NULL,
                                   .value = e->value,
                                   .type = k ? k->type : 0,
                                   .read_only = !broker_key_dynamic(e->name),
                                   .sensitive = !k || k->type == CONFIG_PASSWORD};
        good = keep_config_text(req, &c->name) &&
               take_synonyms(req, c, &(struct config_synonym){e->name, e->value, CONFIG_SOURCE_DYNAMIC_DEFAULT}, 1);
    }
    return out->v && good;
}

/* A key without a broker's of its meaning comes from its default, which Kafka shows of groups alone. */
static bool take_entity_key(struct request *req, const struct topic_key *k, const struct entity *e,
                            enum config_source own, struct config_shown *out)
{
    struct config_synonym synonyms[CONFIG_SYNONYMS_MAX + 1];
    struct topic_value value;
    const struct topic_override *settings = e ? e->settings : NULL;
    uint32_t set = e ? e->count : 0;
    topic_value_get(k, settings, set, server_config(req->server), &value);
    uint32_t count = topic_synonyms(k, settings, set, server_config(req->server), synonyms);
    if (!k->synonym && own == CONFIG_SOURCE_GROUP)
        synonyms[count++] = (struct config_synonym){k->name, k->fallback, CONFIG_SOURCE_DEFAULT};
    if (count > 0 && synonyms[0].source == CONFIG_SOURCE_TOPIC)
        synonyms[0].source = own;
    *out = (struct config_shown){.name = k->name, .doc = k->doc, .value = value.value, .type = k->type};
    return take_synonyms(req, out, synonyms, count);
}

static bool list_entity_configs(struct request *req, const struct entity_keys *keys, const struct entity *e,
                                enum config_source own, struct config_list *out)
{
    bool good = true;
    out->v = request_zalloc(req, keys->count * sizeof *out->v);
    for (out->count = 0; out->v && good && out->count < keys->count; out->count++)
        good = take_entity_key(req, &keys->v[out->count], e, own, &out->v[out->count]);
    return out->v && good;
}

/* --- the reply --- */

static bool show_config_synonyms(struct request *req, const struct config_shown *c,
                                 struct describe_configs_resource_result *out)
{
    out->synonyms.v = request_alloc(req, c->synonym_count * sizeof *out->synonyms.v + 1);
    if (!out->synonyms.v)
        return false;
    out->synonyms.n = (int32_t)c->synonym_count;
    for (uint32_t i = 0; i < c->synonym_count; i++) {
        struct describe_configs_synonym *s = &out->synonyms.v[i];
        describe_configs_synonym_init(s);
        s->name = view_of(c->synonyms[i].name);
        s->value = view_of(c->sensitive ? NULL : c->synonyms[i].value);
        s->source = (int8_t)c->synonyms[i].source;
    }
    return true;
}

static bool show_config(struct request *req, const struct describe_configs_request *m, const struct config_shown *c,
                        struct describe_configs_resource_result *out)
{
    describe_configs_resource_result_init(out);
    out->name = view_of(c->name);
    out->value = view_of(c->sensitive ? NULL : c->value);
    out->read_only = c->read_only;
    out->is_sensitive = c->sensitive;
    out->is_default = c->source == CONFIG_SOURCE_DEFAULT;
    out->config_source = (int8_t)c->source;
    out->config_type = (int8_t)c->type;
    out->documentation = view_of(m->include_documentation ? c->doc : NULL);
    return !m->include_synonyms || show_config_synonyms(req, c, out);
}

static bool show_config_list(struct describe_configs_run *run, struct describe_configs_result *out)
{
    const struct config_list *list = &run->list;
    out->configs.v = request_alloc(run->req, list->count * sizeof *out->configs.v + 1);
    if (!out->configs.v)
        return false;
    for (uint32_t i = 0; i < list->count; i++)
        if ((!run->wanted || run->wanted[i]) &&
            !show_config(run->req, run->ask, &list->v[i], &out->configs.v[out->configs.n++]))
            return false;
    return true;
}

static void refuse_describe(struct request *req, struct describe_configs_result *out, enum kerr error, const char *fmt,
                            ...) printf_like(4, 5);
static void refuse_describe(struct request *req, struct describe_configs_result *out, enum kerr error, const char *fmt,
                            ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = request_vsay(req, MESSAGE_BYTES, fmt, args);
    va_end(args);
    out->error_code = (int16_t)error;
    out->error_message = view_of(text);
}

/* False: no memory. */
static bool list_asked_topic(struct describe_configs_run *run, const struct describe_configs_resource *ask,
                             struct describe_configs_result *out)
{
    struct kview name = ask->resource_name;
    const struct topic *t = topic_named(run->req, name);
    if (t)
        return configs_of_topic(run->req, t->overrides, t->override_count, &run->list);
    if (topic_name_legal(name.at, (size_t)name.n))
        refuse_describe(run->req, out, KERR_UNKNOWN_TOPIC_OR_PARTITION, "There is no such topic.");
    else
        refuse_describe(run->req, out, KERR_INVALID_TOPIC_EXCEPTION, "%s", topic_name_rule);
    return true;
}

static bool check_described_broker(struct request *req, const struct describe_configs_resource *ask, uint32_t *out_at,
                                   struct describe_configs_result *out)
{
    char text[24];
    int64_t id;
    snprintf(text, sizeof text, "%.*s", ask->resource_name.n, (const char *)ask->resource_name.at);
    if (!config_to_i64(text, &id))
        refuse_describe(req, out, KERR_INVALID_REQUEST, "Broker id must be an integer, but it is: %s", text);
    else if (!topology_find_node(req->server, id, out_at))
        refuse_describe(req, out, KERR_INVALID_REQUEST,
                        "Unexpected broker id, expected %d or empty string, but received %s",
                        topology_own_id(req->server), text);
    return out->error_code == KERR_NONE;
}

static bool list_asked_broker(struct describe_configs_run *run, const struct describe_configs_resource *ask,
                              struct describe_configs_result *out)
{
    if (ask->resource_name.n == 0)
        return list_cluster_configs(run->req, &run->list);
    uint32_t node;
    return !check_described_broker(run->req, ask, &node, out) || list_broker_configs(run->req, node, &run->list);
}

/* There are no loggers whose level could be shown. */
static void describe_broker_loggers(struct request *req, const struct describe_configs_resource *ask,
                                    struct describe_configs_result *out)
{
    uint32_t node;
    if (ask->resource_name.n == 0)
        refuse_describe(req, out, KERR_INVALID_REQUEST, "Broker id must not be empty");
    else
        (void)check_described_broker(req, ask, &node, out); /* the answer is the refusal, or nothing */
}

static bool list_asked_entity(struct describe_configs_run *run, const struct describe_configs_resource *ask,
                              struct describe_configs_result *out)
{
    bool group = ask->resource_type == RESOURCE_GROUP;
    if (ask->resource_name.n == 0) {
        refuse_describe(run->req, out, KERR_INVALID_REQUEST, "%s name must not be empty",
                        group ? "Group" : "Client metrics subscription");
        return true;
    }
    bool full;
    const char *name = kept_text(run->req, ask->resource_name, &full); /* NULL: nothing can have been set of it */
    const struct entity *e = name ? entities_find(&server_catalog(run->req->server)->entities,
                                                  group ? ENTITY_GROUP : ENTITY_CLIENT_METRICS, name)
                                  : NULL;
    return !full && list_entity_configs(run->req, group ? &group_keys : &metrics_keys, e,
                                        group ? CONFIG_SOURCE_GROUP : CONFIG_SOURCE_CLIENT_METRICS, &run->list);
}

/* The keys of a resource, or why there are none. False: no memory. */
static bool list_asked_resource(struct describe_configs_run *run, const struct describe_configs_resource *ask,
                                struct describe_configs_result *out)
{
    describe_configs_result_init(out);
    out->resource_type = ask->resource_type;
    out->resource_name = ask->resource_name;
    switch (ask->resource_type) {
    case RESOURCE_TOPIC: return list_asked_topic(run, ask, out);
    case RESOURCE_BROKER: return list_asked_broker(run, ask, out);
    case RESOURCE_BROKER_LOGGER: describe_broker_loggers(run->req, ask, out); return true;
    case RESOURCE_CLIENT_METRICS:
    case RESOURCE_GROUP: return list_asked_entity(run, ask, out);
    default: refuse_describe(run->req, out, KERR_INVALID_REQUEST, "Unsupported resource type."); return true;
    }
}

/* A number that stands for no kind of resource spoils the whole request, as in Kafka. */
static bool are_resources_possible(const struct describe_configs_request *m)
{
    for (int32_t i = 0; i < m->resources.n; i++)
        switch (m->resources.v[i].resource_type) {
        case RESOURCE_TOPIC:
        case RESOURCE_BROKER:
        case RESOURCE_BROKER_LOGGER:
        case RESOURCE_CLIENT_METRICS:
        case RESOURCE_GROUP: break;
        default: return false;
        }
    return true;
}

static void refuse_resource(const struct describe_configs_resource *ask, struct describe_configs_result *out)
{
    describe_configs_result_init(out);
    out->resource_type = ask->resource_type;
    out->resource_name = ask->resource_name;
    out->error_code = KERR_INVALID_REQUEST;
    out->error_message = view_of("One of the resources is of no known type.");
}

/* --- the steps --- */

static void begin_resource(struct describe_configs_run *run)
{
    const struct describe_configs_resource *ask = &run->ask->resources.v[run->r.results.n];
    struct describe_configs_result *out = &run->r.results.v[run->r.results.n++];
    run->list.count = 0;
    run->asked_at = 0;
    run->failed = !list_asked_resource(run, ask, out);
    bool some = run->list.count > 0 && ask->configuration_keys.n > 0; /* no name at all is every name, as in Kafka 4 */
    run->wanted = some && !run->failed ? request_zalloc(run->req, run->list.count * sizeof *run->wanted) : NULL;
    run->failed = run->failed || (some && !run->wanted);
}

static void mark_wanted_config(struct describe_configs_run *run, struct kview name)
{
    for (uint32_t i = 0; i < run->list.count; i++)
        run->wanted[i] = run->wanted[i] || view_is(name, run->list.v[i].name);
}

/* Goes on with the resource whose keys are listed; what it cost, in units. */
static uint32_t continue_resource(struct describe_configs_run *run)
{
    enum { KEYS_PER_UNIT = 32 }; /* compared with a name */
    const struct describe_configs_resource *ask = &run->ask->resources.v[run->r.results.n - 1];
    uint32_t keys = run->list.count;
    if (run->wanted && run->asked_at < ask->configuration_keys.n) {
        mark_wanted_config(run, ask->configuration_keys.v[run->asked_at++]);
        return 1 + keys / KEYS_PER_UNIT;
    }
    run->failed = !show_config_list(run, &run->r.results.v[run->r.results.n - 1]);
    run->list.count = 0;
    return keys;
}

static bool describe_configs_step(struct steps *s)
{
    struct describe_configs_run *run = container_of(s, struct describe_configs_run, steps);
    while (steps_go_on(s) && !run->failed) {
        if (run->list.count > 0) {
            steps_spend(s, continue_resource(run));
        } else if (run->r.results.n < run->ask->resources.n) {
            begin_resource(run);
            steps_spend(s, 1 + run->list.count);
        } else {
            REQUEST_REPLY_LARGE(run->req, describe_configs_response, &run->r);
            return false;
        }
    }
    if (run->failed)
        request_fail(run->req, "too many configs for one reply");
    return !run->failed;
}

static bool refuse_resources_step(struct steps *s)
{
    struct describe_configs_run *run = container_of(s, struct describe_configs_run, steps);
    for (; run->r.results.n < run->ask->resources.n; run->r.results.n++) {
        if (!steps_go_on(s))
            return true;
        refuse_resource(&run->ask->resources.v[run->r.results.n], &run->r.results.v[run->r.results.n]);
        steps_spend(s, 1);
    }
    REQUEST_REPLY_LARGE(run->req, describe_configs_response, &run->r);
    return false;
}

void describe_configs_run(struct request *req)
{
    struct describe_configs_request *m = REQUEST_DECODE(req, describe_configs_request);
    if (!m)
        return;
    struct describe_configs_run *run = request_zalloc(req, sizeof *run);
    if (run) {
        *run = (struct describe_configs_run){.req = req, .ask = m};
        describe_configs_response_init(&run->r);
        run->r.results.n = 0;
        run->r.results.v = request_alloc(req, (size_t)m->resources.n * sizeof *run->r.results.v + 1);
    }
    if (!run || !run->r.results.v)
        request_fail(req, no_memory);
    else
        steps_start(&req->server->steps, &run->steps,
                    are_resources_possible(m) ? describe_configs_step : refuse_resources_step);
}
