/* DescribeConfigs: topics, this broker, and what was altered for all brokers of the cluster. */
#include "net/api/configs.h"
#include "net/api/api.h"
#include "net/api/reply.h"
#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_BYTES = 256 };

/* --- what there is to show --- */

/* False: no memory. */
static bool take_synonyms(struct request *req, struct config_shown *c, const struct config_synonym *synonyms,
                          uint32_t count)
{
    struct config_synonym *copy = request_alloc(req, count * sizeof *copy + 1);
    if (!copy)
        return false;
    memcpy(copy, synonyms, count * sizeof *copy);
    c->synonyms = copy;
    c->synonym_count = count;
    c->source = count > 0 ? synonyms[0].source : CONFIG_SOURCE_DEFAULT;
    return true;
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
    *out = (struct config_shown){.name = k->name, .doc = k->doc, .value = value->value, .type = k->type};
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

static bool take_broker_key(struct request *req, const struct broker_key *k, struct config_shown *out)
{
    const struct broker_config *broker = server_config(req->server);
    struct config_synonym synonyms[CONFIG_SYNONYMS_MAX];
    const char *set = broker_config_get(broker, k->name);
    *out = (struct config_shown){.name = k->name,
                                 .doc = k->doc,
                                 .value = set ? set : k->fallback,
                                 .type = k->type,
                                 .read_only = !broker_key_dynamic(k->name),
                                 .sensitive = k->type == CONFIG_PASSWORD};
    return take_synonyms(req, out, synonyms, broker_synonyms(k->name, broker, synonyms));
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
        if (!take_synonyms(req, c, synonyms, broker_synonyms(e->name, server_config(req->server), synonyms)))
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

static bool list_broker_configs(struct request *req, struct config_list *out)
{
    const struct broker_config *broker = server_config(req->server);
    const struct config_entry *layers[] = {broker->set, broker->dynamic, broker->dynamic_default};
    uint32_t room = broker_key_count();
    for (uint32_t i = 0; i < COUNT_OF(layers); i++)
        room += count_config_entries(layers[i]);
    out->v = request_zalloc(req, room * sizeof *out->v);
    bool good = out->v;
    for (out->count = 0; good && out->count < broker_key_count(); out->count++)
        good = take_broker_key(req, broker_key_at(out->count), &out->v[out->count]);
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
        good = take_synonyms(req, c, &(struct config_synonym){e->name, e->value, CONFIG_SOURCE_DYNAMIC_DEFAULT}, 1);
    }
    return out->v && good;
}

/* --- the reply --- */

/* No name at all is every name, as in Kafka 4. */
static bool is_config_wanted(const struct describe_configs_resource *ask, const char *name)
{
    if (ask->configuration_keys.n <= 0)
        return true;
    for (int32_t i = 0; i < ask->configuration_keys.n; i++)
        if (view_is(ask->configuration_keys.v[i], name))
            return true;
    return false;
}

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

static bool show_config_list(struct request *req, const struct describe_configs_request *m,
                             const struct describe_configs_resource *ask, const struct config_list *list,
                             struct describe_configs_result *out)
{
    out->configs.v = request_alloc(req, list->count * sizeof *out->configs.v + 1);
    if (!out->configs.v)
        return false;
    for (uint32_t i = 0; i < list->count; i++)
        if (is_config_wanted(ask, list->v[i].name) &&
            !show_config(req, m, &list->v[i], &out->configs.v[out->configs.n++]))
            return false;
    return true;
}

static void refuse_describe(struct request *req, struct describe_configs_result *out, enum kerr error, const char *fmt,
                            ...) printf_like(4, 5);
static void refuse_describe(struct request *req, struct describe_configs_result *out, enum kerr error, const char *fmt,
                            ...)
{
    va_list args;
    char *text = request_alloc(req, MESSAGE_BYTES);
    va_start(args, fmt);
    if (text)
        vsnprintf(text, MESSAGE_BYTES, fmt, args);
    va_end(args);
    out->error_code = (int16_t)error;
    out->error_message = view_of(text);
}

/* False: no memory. */
static bool describe_topic_configs(struct request *req, const struct describe_configs_request *m,
                                   const struct describe_configs_resource *ask, struct describe_configs_result *out)
{
    struct kview name = ask->resource_name;
    const struct topic *t = catalog_by_name(server_catalog(req->server), name.at, (size_t)name.n);
    struct config_list list;
    if (t)
        return configs_of_topic(req, t->overrides, t->override_count, &list) &&
               show_config_list(req, m, ask, &list, out);
    if (topic_name_legal(name.at, (size_t)name.n))
        refuse_describe(req, out, KERR_UNKNOWN_TOPIC_OR_PARTITION, "There is no such topic.");
    else
        refuse_describe(req, out, KERR_INVALID_TOPIC_EXCEPTION, "%s", topic_name_rule);
    return true;
}

static bool check_described_broker(struct request *req, const struct describe_configs_resource *ask,
                                   struct describe_configs_result *out)
{
    char text[24];
    int64_t id;
    snprintf(text, sizeof text, "%.*s", ask->resource_name.n, (const char *)ask->resource_name.at);
    if (!config_to_i64(text, &id))
        refuse_describe(req, out, KERR_INVALID_REQUEST, "Broker id must be an integer, but it is: %s", text);
    else if (id != topology_own_id(req->server))
        refuse_describe(req, out, KERR_INVALID_REQUEST,
                        "Unexpected broker id, expected %d or empty string, but received %s",
                        topology_own_id(req->server), text);
    return out->error_code == KERR_NONE;
}

static bool describe_broker_configs(struct request *req, const struct describe_configs_request *m,
                                    const struct describe_configs_resource *ask, struct describe_configs_result *out)
{
    struct config_list list;
    bool cluster = ask->resource_name.n == 0;
    if (!cluster && !check_described_broker(req, ask, out))
        return true;
    return (cluster ? list_cluster_configs(req, &list) : list_broker_configs(req, &list)) &&
           show_config_list(req, m, ask, &list, out);
}

/* There are no loggers whose level could be shown. */
static void describe_broker_loggers(struct request *req, const struct describe_configs_resource *ask,
                                    struct describe_configs_result *out)
{
    if (ask->resource_name.n == 0)
        refuse_describe(req, out, KERR_INVALID_REQUEST, "Broker id must not be empty");
    else
        (void)check_described_broker(req, ask, out); /* the answer is the refusal, or nothing */
}

static bool describe_resource(struct request *req, const struct describe_configs_request *m,
                              const struct describe_configs_resource *ask, struct describe_configs_result *out)
{
    describe_configs_result_init(out);
    out->resource_type = ask->resource_type;
    out->resource_name = ask->resource_name;
    switch (ask->resource_type) {
    case RESOURCE_TOPIC: return describe_topic_configs(req, m, ask, out);
    case RESOURCE_BROKER: return describe_broker_configs(req, m, ask, out);
    case RESOURCE_BROKER_LOGGER: describe_broker_loggers(req, ask, out); return true;
    default:
        refuse_describe(req, out, KERR_INVALID_REQUEST,
                        "Unsupported resource type: topics (2) and brokers (4) are described.");
        return true;
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

static void refuse_all_resources(struct request *req, const struct describe_configs_request *m,
                                 struct describe_configs_response *r)
{
    for (int32_t i = 0; i < m->resources.n; i++) {
        struct describe_configs_result *out = &r->results.v[i];
        describe_configs_result_init(out);
        out->resource_type = m->resources.v[i].resource_type;
        out->resource_name = m->resources.v[i].resource_name;
        out->error_code = KERR_INVALID_REQUEST;
        out->error_message = view_of("One of the resources is of no known type.");
    }
    REQUEST_REPLY(req, describe_configs_response, r);
}

void describe_configs_run(struct request *req)
{
    struct describe_configs_request *m = REQUEST_DECODE(req, describe_configs_request);
    if (!m)
        return;
    struct describe_configs_response r;
    describe_configs_response_init(&r);
    r.results.v = request_alloc(req, (size_t)m->resources.n * sizeof *r.results.v + 1);
    r.results.n = m->resources.n;
    bool fits = r.results.v != NULL;
    if (fits && !are_resources_possible(m)) {
        refuse_all_resources(req, m, &r);
        return;
    }
    for (int32_t i = 0; fits && i < m->resources.n; i++)
        fits = describe_resource(req, m, &m->resources.v[i], &r.results.v[i]);
    if (fits)
        REQUEST_REPLY(req, describe_configs_response, &r);
    else
        request_fail(req, "too many configs for one reply");
}
