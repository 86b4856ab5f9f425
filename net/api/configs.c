/* DescribeConfigs for topics and for this broker. Nothing can be altered yet, so broker keys are read-only. */
#include "net/api/configs.h"
#include "net/api/api.h"
#include "net/api/reply.h"
#include <stdio.h>

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };

bool configs_of_topic(struct request *req, const struct topic_override *overrides, uint32_t count,
                      struct config_list *out)
{
    const struct broker_config *broker = req->server->config;
    out->count = 0;
    out->v = request_zalloc(req, topic_key_count() * sizeof *out->v);
    for (uint32_t i = 0; out->v && i < topic_key_count(); i++) {
        const struct topic_key *k = topic_key_at(i);
        if (k->internal)
            continue;
        struct config_shown *c = &out->v[out->count++];
        *c = (struct config_shown){
            .name = k->name, .doc = k->doc, .synonym = k->synonym, .fallback = k->fallback, .type = k->type};
        topic_value_get(k, overrides, count, broker, &c->own);
        topic_value_get(k, NULL, 0, broker, &c->broker);
    }
    return out->v != NULL;
}

bool configs_of_broker(struct request *req, struct config_list *out)
{
    const struct broker_config *broker = req->server->config;
    out->count = broker_key_count();
    out->v = request_zalloc(req, out->count * sizeof *out->v);
    for (uint32_t i = 0; out->v && i < out->count; i++) {
        const struct broker_key *k = broker_key_at(i);
        const char *set = broker_config_get(broker, k->name);
        struct config_shown *c = &out->v[i];
        *c = (struct config_shown){
            .name = k->name, .doc = k->doc, .synonym = k->name, .fallback = k->fallback, .type = k->type};
        c->own.value = set ? set : k->fallback;
        c->own.source_name = k->name;
        c->own.source = set ? CONFIG_SOURCE_BROKER : CONFIG_SOURCE_DEFAULT;
        c->broker = c->own;
        c->read_only = true;
    }
    return out->v != NULL;
}

static bool wanted(const struct describe_configs_resource *ask, const char *name)
{
    if (ask->configuration_keys.n < 0)
        return true;
    for (int32_t i = 0; i < ask->configuration_keys.n; i++)
        if (view_is(ask->configuration_keys.v[i], name))
            return true;
    return false;
}

static void add_synonym(struct describe_configs_resource_result *out, const char *name, const char *value,
                        enum config_source source)
{
    struct describe_configs_synonym *s = &out->synonyms.v[out->synonyms.n++];
    describe_configs_synonym_init(s);
    s->name = view_of(name);
    s->value = view_of(value);
    s->source = (int8_t)source;
}

/* Where the value could come from, the one that counts first. */
static bool show_synonyms(struct request *req, const struct config_shown *c,
                          struct describe_configs_resource_result *out)
{
    out->synonyms.v = request_alloc(req, 3 * sizeof *out->synonyms.v);
    out->synonyms.n = 0;
    if (!out->synonyms.v)
        return false;
    if (c->own.source == CONFIG_SOURCE_TOPIC)
        add_synonym(out, c->own.source_name, c->own.value, CONFIG_SOURCE_TOPIC);
    if (c->broker.source == CONFIG_SOURCE_BROKER)
        add_synonym(out, c->broker.source_name, c->broker.value, CONFIG_SOURCE_BROKER);
    if (c->synonym)
        add_synonym(out, c->synonym, c->fallback, CONFIG_SOURCE_DEFAULT);
    return true;
}

static bool show(struct request *req, const struct describe_configs_request *m, const struct config_shown *c,
                 struct describe_configs_resource_result *out)
{
    describe_configs_resource_result_init(out);
    out->name = view_of(c->name);
    out->value = view_of(c->own.value);
    out->read_only = c->read_only;
    out->is_default = c->own.source == CONFIG_SOURCE_DEFAULT;
    out->config_source = (int8_t)c->own.source;
    out->config_type = (int8_t)c->type;
    out->documentation = view_of(m->include_documentation ? c->doc : NULL);
    return !m->include_synonyms || show_synonyms(req, c, out);
}

static bool show_list(struct request *req, const struct describe_configs_request *m,
                      const struct describe_configs_resource *ask, const struct config_list *list,
                      struct describe_configs_result *out)
{
    out->configs.v = request_alloc(req, list->count * sizeof *out->configs.v + 1);
    if (!out->configs.v)
        return false;
    for (uint32_t i = 0; i < list->count; i++)
        if (wanted(ask, list->v[i].name) && !show(req, m, &list->v[i], &out->configs.v[out->configs.n++]))
            return false;
    return true;
}

static bool refuse(struct describe_configs_result *out, enum kerr error, const char *message)
{
    out->error_code = (int16_t)error;
    out->error_message = view_of(message);
    return true;
}

static bool describe_topic(struct request *req, const struct describe_configs_request *m,
                           const struct describe_configs_resource *ask, struct describe_configs_result *out)
{
    struct kview name = ask->resource_name;
    const struct topic *t = catalog_by_name(server_catalog(req->server), name.at, (size_t)name.n);
    if (!t && !topic_name_legal(name.at, (size_t)name.n))
        return refuse(out, KERR_INVALID_TOPIC_EXCEPTION, "The topic name is not legal.");
    if (!t)
        return refuse(out, KERR_UNKNOWN_TOPIC_OR_PARTITION, "There is no such topic.");
    struct config_list list;
    return configs_of_topic(req, t->overrides, t->override_count, &list) && show_list(req, m, ask, &list, out);
}

/* A named broker shows what it runs with; "" asks for the cluster-wide dynamic defaults, of which there are none. */
static bool describe_broker(struct request *req, const struct describe_configs_request *m,
                            const struct describe_configs_resource *ask, struct describe_configs_result *out)
{
    char self[16];
    snprintf(self, sizeof self, "%d", node_id(req));
    if (ask->resource_name.n == 0)
        return true;
    if (!view_is(ask->resource_name, self))
        return refuse(out, KERR_INVALID_REQUEST, "Unexpected broker id: this is the only node.");
    struct config_list list;
    return configs_of_broker(req, &list) && show_list(req, m, ask, &list, out);
}

static bool describe(struct request *req, const struct describe_configs_request *m,
                     const struct describe_configs_resource *ask, struct describe_configs_result *out)
{
    describe_configs_result_init(out);
    out->error_message = view_of(NULL);
    out->resource_type = ask->resource_type;
    out->resource_name = ask->resource_name;
    switch (ask->resource_type) {
    case RESOURCE_TOPIC: return describe_topic(req, m, ask, out);
    case RESOURCE_BROKER: return describe_broker(req, m, ask, out);
    default:
        return refuse(out, KERR_INVALID_REQUEST,
                      "Unsupported resource type: topics (2) and brokers (4) are described.");
    }
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
    for (int32_t i = 0; fits && i < m->resources.n; i++)
        fits = describe(req, m, &m->resources.v[i], &r.results.v[i]);
    if (fits)
        REQUEST_REPLY(req, describe_configs_response, &r);
    else
        request_fail(req, "too many configs for one reply");
}
