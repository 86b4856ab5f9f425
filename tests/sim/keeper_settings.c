/* The settings of topics. While an alteration has no answer, or a failed one, either version may be there; which one it is, is
 * sure when the broker that was asked is gone. */
#include "storage/kerr.h"
#include "storage/config/topic_config.h"
#include "tests/sim/keeper_parts.h"
#include <stdlib.h>

enum {
    ALTER_VERSION_MAX = 2,
    INCREMENTAL_VERSION_MAX = 1,
    DESCRIBE_VERSION_MIN = 1,
    DESCRIBE_VERSION_MAX = 4,
    RESOURCE_TOPIC = 2,
    FLUSH_MS_UNSET = 100,
    HUGE_SEGMENT_BYTES = 100000, /* a topic that was made with more gets huge batches */
    VALUES_MAX = 4
};
enum key { CACHING, FLUSH_MS, FLUSH_MESSAGES, MESSAGE_BYTES, SEGMENT_BYTES, INTERVAL_BYTES, KEYS };

/* No message of the producers is larger than the least max.message.bytes here. */
static const struct {
    const char *name, *values[VALUES_MAX];
    bool hidden;
} keys[KEYS] = {
    [CACHING] = {"write.caching", {"true", "true", "false", "false"}, false},
    [FLUSH_MS] = {"flush.ms", {"20", "50", "300", "1000"}, false},
    [FLUSH_MESSAGES] = {"flush.messages", {"1", "2", "10", "1000"}, false},
    [MESSAGE_BYTES] = {"max.message.bytes", {"300000", "600000", "1048588", "5000000"}, false},
    [SEGMENT_BYTES] = {"internal.segment.bytes", {"16384", "40000", "131072", "1048576"}, true},
    [INTERVAL_BYTES] = {"index.interval.bytes", {"1000", "4096", "16384", "65536"}, false},
};

/* NULL: not set. */
struct settings {
    const char *v[KEYS];
};
static struct kept {
    const struct oracle_topic *topic;
    struct settings now, next; /* next: asked for */
    bool unsure;
    uint64_t asked_of; /* which broker: so many had ended when it was connected to */
} kept[TOPICS_MAX];

/* What was asked of one topic. */
struct question {
    struct keeper *keeper;
    struct kept *topic;
    bool decides;     /* the broker that was asked before is gone: what this one says counts */
    bool only_checks; /* an alteration that changes nothing */
};

void settings_begin(void)
{
    for (uint32_t i = 0; i < topics_count(); i++) {
        const struct oracle_topic *t = topics_at(i);
        kept[i] = (struct kept){.topic = t};
        kept[i].now.v[CACHING] = t->caching ? "true" : "false";
        kept[i].now.v[FLUSH_MS] = t->flush_ms;
        kept[i].now.v[SEGMENT_BYTES] = t->segment_bytes;
        kept[i].now.v[INTERVAL_BYTES] = t->interval_bytes;
    }
}

int32_t settings_unsure(void)
{
    for (uint32_t i = 0; i < topics_count(); i++)
        if (kept[i].unsure)
            return (int32_t)i;
    return -1;
}

static bool is_durable(const struct settings *s)
{
    bool caching = s->v[CACHING] && strcmp(s->v[CACHING], "true") == 0;
    return !caching || (s->v[FLUSH_MESSAGES] && strcmp(s->v[FLUSH_MESSAGES], "1") == 0);
}

static struct question *ask(struct keeper *k, struct kept *t, bool only_checks)
{
    struct question *q = world_alloc(sizeof *q);
    *q = (struct question){k, t, t->unsure && t->asked_of != k->peer.client.broker_ends, only_checks};
    return q;
}

static void becomes(struct kept *t, const struct settings *s, uint32_t power_cuts)
{
    t->now = *s;
    t->unsure = false;
    if (is_durable(&t->now))
        oracle_is_durable(t->topic->name, power_cuts);
}

/* --- altering --- */

static const char *draw_value(const struct kept *t, enum key key)
{
    bool huge = key == SEGMENT_BYTES && atoi(t->topic->segment_bytes) > HUGE_SEGMENT_BYTES;
    return keys[key].values[huge ? dice_between(2, 3) : dice(VALUES_MAX)];
}

/* From now on both versions must be reckoned with. */
static void asks_for(const struct keeper *k, struct kept *t, const struct settings *next)
{
    t->next = *next;
    t->unsure = true;
    t->asked_of = k->peer.client.broker_ends;
    if (!is_durable(next))
        oracle_caches(t->topic->name, next->v[FLUSH_MS] ? (uint32_t)atoi(next->v[FLUSH_MS]) : FLUSH_MS_UNSET);
}

static void took(struct question *q, int16_t error, uint32_t power_cuts)
{
    struct kept *t = q->topic;
    world_note("keeper: settings of %s: error %d", t->topic->name, error);
    world_check(!error || keeper_passes(error), "altering the settings of %s: error %d", t->topic->name, error);
    if (!error && !q->only_checks) {
        bool promised = is_durable(&t->next) && !is_durable(&t->now); /* what was cached, too */
        becomes(t, &t->next, power_cuts);
        sim.totals.alterations++;
        keeper_may_crash(promised);
    }
    keeper_next(q->keeper);
}

static void altered(const struct reply *r)
{
    struct question *q = r->context;
    struct alter_configs_response m;
    if (r->body.n >= 0) {
        client_decode(r, alter_configs_response, &m);
        world_check(m.responses.n == 1, "AlterConfigs answers for %d resources", m.responses.n);
        took(q, m.responses.v[0].error_code, r->client->power_cuts);
    }
    world_free(q);
}

static void incrementally_altered(const struct reply *r)
{
    struct question *q = r->context;
    struct incremental_alter_configs_response m;
    if (r->body.n >= 0) {
        client_decode(r, incremental_alter_configs_response, &m);
        world_check(m.responses.n == 1, "IncrementalAlterConfigs answers for %d resources", m.responses.n);
        took(q, m.responses.v[0].error_code, r->client->power_cuts);
    }
    world_free(q);
}

/* What is not named goes. */
static void replace(struct keeper *k, struct kept *t, bool only_checks)
{
    struct alter_configs_config configs[KEYS];
    struct alter_configs_resource resource;
    struct alter_configs_request m;
    int16_t version = (int16_t)dice(ALTER_VERSION_MAX + 1);
    struct settings next = {{NULL}};
    alter_configs_resource_init(&resource);
    alter_configs_request_init(&m);
    for (uint32_t i = 0; i < KEYS; i++) {
        if (dice(4) == 0)
            continue;
        next.v[i] = draw_value(t, i);
        struct alter_configs_config *c = &configs[resource.configs.n++];
        alter_configs_config_init(c);
        c->name = view_of(keys[i].name);
        c->value = view_of(next.v[i]);
    }
    if (!only_checks)
        asks_for(k, t, &next);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = view_of(t->topic->name);
    resource.configs.v = configs;
    m.resources.v = &resource;
    m.resources.n = 1;
    m.validate_only = only_checks;
    client_call(&k->peer.client, alter_configs, &m, version, altered, ask(k, t, only_checks));
}

static void change(struct keeper *k, struct kept *t, bool only_checks)
{
    struct incremental_alter_configs_config configs[KEYS];
    struct incremental_alter_configs_resource resource;
    struct incremental_alter_configs_request m;
    int16_t version = (int16_t)dice(INCREMENTAL_VERSION_MAX + 1);
    struct settings next = t->now;
    incremental_alter_configs_resource_init(&resource);
    incremental_alter_configs_request_init(&m);
    enum key first = dice(2) ? CACHING : (enum key)dice(KEYS);
    for (uint32_t i = first; i < KEYS; i++) {
        if (i != first && dice(4))
            continue;
        next.v[i] = dice(5) ? draw_value(t, i) : NULL;
        struct incremental_alter_configs_config *c = &configs[resource.configs.n++];
        incremental_alter_configs_config_init(c);
        c->name = view_of(keys[i].name);
        c->config_operation = next.v[i] ? CONFIG_OP_SET : CONFIG_OP_DELETE;
        c->value = next.v[i] ? view_of(next.v[i]) : (struct kview){NULL, -1};
    }
    if (!only_checks)
        asks_for(k, t, &next);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = view_of(t->topic->name);
    resource.configs.v = configs;
    m.resources.v = &resource;
    m.resources.n = 1;
    m.validate_only = only_checks;
    client_call(&k->peer.client, incremental_alter_configs, &m, version, incrementally_altered, ask(k, t, only_checks));
}

void settings_alter(struct keeper *k)
{
    uint32_t i = (uint32_t)dice(topics_count());
    bool only_checks = dice(12) == 0;
    if (kept[i].unsure)
        settings_describe(k, i);
    else if (dice(3))
        change(k, &kept[i], only_checks);
    else
        replace(k, &kept[i], only_checks);
}

/* --- looking --- */

static bool is_text(struct kview v, const char *text)
{
    return v.n == (int32_t)strlen(text) && memcmp(v.at, text, (size_t)v.n) == 0;
}

static bool shows(const struct describe_configs_result *m, enum key key, const char *value)
{
    for (int32_t i = 0; i < m->configs.n; i++) {
        const struct describe_configs_resource_result *c = &m->configs.v[i];
        if (!is_text(c->name, keys[key].name))
            continue;
        bool own = c->config_source == CONFIG_SOURCE_TOPIC;
        return value ? own && is_text(c->value, value) : !own;
    }
    return false;
}

static bool shows_all(const struct describe_configs_result *m, const struct settings *s)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        if (keys[i].hidden)
            continue;
        if (!shows(m, i, s->v[i]))
            return false;
        sim.totals.shown_settings++;
    }
    return true;
}

static void fail(const struct kept *t, const struct describe_configs_result *m)
{
    for (uint32_t i = 0; i < KEYS; i++)
        if (!keys[i].hidden && !shows(m, i, t->now.v[i]))
            world_fail("%s: %s should be %s%s%s, and something else is shown", t->topic->name, keys[i].name,
                       t->now.v[i] ? t->now.v[i] : "unset", t->unsure ? ", or as was asked for then: " : "",
                       !t->unsure     ? ""
                       : t->next.v[i] ? t->next.v[i]
                                      : "unset");
}

static void described(const struct reply *r)
{
    struct question *q = r->context;
    struct describe_configs_response m;
    if (r->body.n >= 0) {
        struct kept *t = q->topic;
        client_decode(r, describe_configs_response, &m);
        world_check(m.results.n == 1 && !m.results.v[0].error_code, "DescribeConfigs of %s fails", t->topic->name);
        bool is_next = t->unsure && shows_all(&m.results.v[0], &t->next);
        if (!is_next && !shows_all(&m.results.v[0], &t->now))
            fail(t, &m.results.v[0]);
        if (q->decides)
            becomes(t, is_next ? &t->next : &t->now, r->client->power_cuts);
        keeper_next(q->keeper);
    }
    world_free(q);
}

void settings_describe(struct keeper *k, uint32_t topic)
{
    struct describe_configs_resource resource;
    struct describe_configs_request m;
    int16_t version = (int16_t)dice_between(DESCRIBE_VERSION_MIN, DESCRIBE_VERSION_MAX);
    describe_configs_resource_init(&resource);
    describe_configs_request_init(&m);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = view_of(kept[topic].topic->name);
    resource.configuration_keys.n = -1;
    m.resources.v = &resource;
    m.resources.n = 1;
    client_call(&k->peer.client, describe_configs, &m, version, described, ask(k, &kept[topic], false));
}
