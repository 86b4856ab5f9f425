/* What a change of partitions or settings comes to (catalog.h): checked against what is there, as new versions of topics and of
 * the broker's configuration. Nothing is changed before catalog_alter_take. */
#include "storage/catalog/catalog_file.h"
#include "storage/config/settings.h"
#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = 256 };

static enum kerr refuse_alteration(struct catalog_change *c, enum kerr error)
{
    assert(error != KERR_NONE);
    assert(!c->topic);
    c->message = error == KERR_KAFKA_STORAGE_ERROR ? "The broker has no memory for this change." : c->why;
    return error;
}

/* --- partitions --- */

enum kerr catalog_alter_partitions(struct catalog_file *f, struct catalog_change *c)
{
    assert(c->kind == CATALOG_PARTITIONS);
    assert(c->old);
    assert(!c->topic);
    const struct topic *t = c->old;
    if (c->partitions <= t->partitions) {
        snprintf(c->why, WHY_BYTES, "The topic has %d partitions already; %d is no increase.", t->partitions,
                 c->partitions);
        return refuse_alteration(c, KERR_INVALID_PARTITIONS);
    }
    if (c->partitions > TOPIC_PARTITIONS_MAX) {
        snprintf(c->why, WHY_BYTES, "A topic has at most %d partitions.", TOPIC_PARTITIONS_MAX);
        return refuse_alteration(c, KERR_INVALID_PARTITIONS);
    }
    c->topic = catalog_topic_version(f, t, c->partitions, t->overrides, t->override_count, f->config);
    return c->topic ? KERR_NONE : refuse_alteration(c, KERR_KAFKA_STORAGE_ERROR);
}

/* --- settings of a topic --- */

static bool find_topic_key_facts(const char *name, enum config_type *out_type, const char **out_fallback)
{
    const struct topic_key *key = topic_key_find(name);
    if (key) {
        *out_type = key->type;
        *out_fallback = key->fallback;
    }
    return key != NULL;
}

/* What is there now, and the ops of the change. To be deinited whatever this says. */
static enum kerr make_altered_settings(struct catalog_file *f, struct catalog_change *c, const struct topic_override *v,
                                       uint32_t count, settings_key_fn *key_facts, struct settings *out)
{
    assert(v || count == 0);
    enum err err = ERR_NONE;
    settings_init(out, f->heap);
    for (uint32_t i = 0; i < count && !err; i++)
        err = settings_put(out, v[i].name, v[i].value);
    return err ? KERR_KAFKA_STORAGE_ERROR : settings_apply(out, c->ops, c->op_count, c->replace_all, key_facts, c->why);
}

/* Only what was named is checked: what a newer release left there stays. */
static enum kerr check_topic_ops(const struct catalog_change *c, const struct settings *s, char *why)
{
    assert(c->ops || c->op_count == 0);
    enum kerr error = KERR_NONE;
    for (uint32_t i = 0; i < c->op_count && !error; i++) {
        const char *value = topic_override_find(s->v, s->count, c->ops[i].name);
        if (value)
            error = topic_override_check(c->ops[i].name, value, why);
    }
    return error ? error : topic_overrides_check(s->v, s->count, why);
}

enum kerr catalog_alter_config(struct catalog_file *f, struct catalog_change *c)
{
    assert(c->kind == CATALOG_CONFIG);
    assert(c->old);
    assert(!c->topic);
    const struct topic *t = c->old;
    struct settings s;
    enum kerr error = make_altered_settings(f, c, t->overrides, t->override_count, find_topic_key_facts, &s);
    if (!error)
        error = check_topic_ops(c, &s, c->why);
    if (!error) {
        c->topic = catalog_topic_version(f, t, t->partitions, s.v, s.count, f->config);
        error = c->topic ? KERR_NONE : KERR_KAFKA_STORAGE_ERROR;
    }
    settings_deinit(&s);
    return error ? refuse_alteration(c, error) : KERR_NONE;
}

/* --- settings of the broker --- */

static bool find_broker_key_facts(const char *name, enum config_type *out_type, const char **out_fallback)
{
    const struct broker_key *key = broker_key_find(name);
    if (key) {
        *out_type = key->type;
        *out_fallback = key->fallback;
    }
    return key != NULL;
}

static enum config_source layer_of_change(const struct catalog_change *c)
{
    assert(c->kind == CATALOG_BROKER_CONFIG);
    return c->cluster_default ? CONFIG_SOURCE_DYNAMIC_DEFAULT : CONFIG_SOURCE_DYNAMIC_BROKER;
}

static enum kerr check_broker_ops(const struct catalog_change *c, const struct settings *s, char *why)
{
    assert(c->ops || c->op_count == 0);
    enum kerr error = KERR_NONE;
    for (uint32_t i = 0; i < c->op_count && !error; i++) {
        const char *name = c->ops[i].name, *value = topic_override_find(s->v, s->count, name);
        if (value)
            error = broker_alteration_check(name, value, layer_of_change(c), why);
    }
    return error;
}

static enum kerr make_altered_layer(struct catalog_file *f, struct catalog_change *c)
{
    assert(!c->broker);
    struct settings s;
    uint32_t count;
    struct topic_override *now = catalog_file_layer(f->heap, f->config, c->cluster_default, &count);
    if (!now)
        return KERR_KAFKA_STORAGE_ERROR;
    enum kerr error = make_altered_settings(f, c, now, count, find_broker_key_facts, &s);
    if (!error)
        error = check_broker_ops(c, &s, c->why);
    if (!error) {
        c->broker = broker_config_version(f->config, f->heap, layer_of_change(c), s.v, s.count);
        error = c->broker ? KERR_NONE : KERR_KAFKA_STORAGE_ERROR;
    }
    heap_free(f->heap, now);
    settings_deinit(&s);
    return error;
}

static bool topic_resolves_otherwise(const struct topic *t, const struct broker_config *config)
{
    assert(config);
    struct topic_config resolved;
    topic_config_resolve(&resolved, t->overrides, t->override_count, config);
    return memcmp(&resolved, &t->config, sizeof resolved) != 0; /* padding may make a version more than needed */
}

/* The topics on which the broker's settings have a say get new versions, step by step: new ones first, the old ones behind. */
enum kerr catalog_alter_broker(struct catalog_file *f, struct catalog_change *c)
{
    assert(c->kind == CATALOG_BROKER_CONFIG);
    assert(!c->old && !c->versions);
    enum kerr error = make_altered_layer(f, c);
    c->version_count = c->walked = 0;
    c->tightens = false;
    if (!error)
        c->versions = heap_zalloc(f->heap, (2 * (size_t)f->all.count + 1) * sizeof *c->versions);
    if (!error && c->versions)
        return KERR_NONE;
    catalog_alter_drop(f, c);
    return refuse_alteration(c, error ? error : KERR_KAFKA_STORAGE_ERROR);
}

static enum err make_topic_version(struct catalog_file *f, struct catalog_change *c, uint32_t i)
{
    assert(i < f->all.count);
    struct topic *t = f->all.sorted[i];
    if (!topic_resolves_otherwise(t, c->broker))
        return ERR_NONE;
    struct topic *v = catalog_topic_version(f, t, t->partitions, t->overrides, t->override_count, c->broker);
    if (!v)
        return ERR_NO_MEMORY;
    c->tightens |= topic_config_tightens(&t->config, &v->config);
    c->versions[f->all.count + c->version_count] = t;
    c->versions[c->version_count++] = v;
    return ERR_NONE;
}

bool catalog_alter_make(struct catalog_file *f, struct catalog_change *c, uint32_t most, enum err *out_err)
{
    assert(c->broker && c->versions);
    uint32_t all = f->all.count;
    *out_err = ERR_NONE;
    for (; most > 0 && c->walked < all && !*out_err; most--, c->walked += !*out_err)
        *out_err = make_topic_version(f, c, c->walked);
    if (c->walked < all)
        return !*out_err;
    memmove(c->versions + c->version_count, c->versions + all, c->version_count * sizeof *c->versions);
    c->walked = 0;
    return false;
}

bool catalog_alter_take_some(struct catalog_file *f, struct catalog_change *c, uint32_t most)
{
    assert(c->broker && !c->preparing);
    for (; most > 0 && c->walked < c->version_count; most--, c->walked++)
        catalog_file_replace(f, c->versions[c->version_count + c->walked], c->versions[c->walked]);
    return c->walked < c->version_count;
}

bool catalog_alter_free_some(struct catalog_file *f, struct catalog_change *c, bool old, uint32_t most)
{
    assert(c->versions || !c->version_count);
    if (old) /* they lie behind the new ones */
        for (; most > 0 && c->walked > 0; most--)
            catalog_topic_free(f, c->versions[c->version_count + --c->walked]);
    else
        for (; most > 0 && c->version_count > 0; most--)
            catalog_topic_free(f, c->versions[--c->version_count]);
    return old ? c->walked > 0 : c->version_count > 0;
}

/* --- an entity --- */

/* Within the bytes that all may take, counted with it in the old one's place. */
static enum kerr make_entity_version(struct catalog_file *f, struct catalog_change *c, const struct settings *s)
{
    assert(!c->entity);
    size_t old_bytes = c->old_entity ? c->old_entity->bytes : 0;
    if (s->count == 0)
        return KERR_NONE;
    c->entity = entity_new(f->heap, c->entity_kind, c->name, s->v, s->count);
    if (!c->entity)
        return KERR_KAFKA_STORAGE_ERROR;
    if (f->all.entities.bytes - old_bytes + c->entity->bytes <= ENTITIES_BYTES_MAX)
        return KERR_NONE;
    entity_free(f->heap, c->entity);
    c->entity = NULL;
    snprintf(c->why, WHY_BYTES,
             "Groups, client metrics, quotas and credentials have %d bytes of settings at most, all of them together.",
             ENTITIES_BYTES_MAX);
    return KERR_POLICY_VIOLATION;
}

enum kerr catalog_alter_entity(struct catalog_file *f, struct catalog_change *c)
{
    assert(c->kind == CATALOG_ENTITY);
    assert(!c->entity);
    struct settings s;
    const struct entity *old = c->old_entity = entities_find(&f->all.entities, c->entity_kind, c->name);
    enum kerr error = make_altered_settings(f, c, old ? old->settings : NULL, old ? old->count : 0, c->key_facts, &s);
    if (!error && c->settle)
        error = c->settle(&s, f->config, c->why);
    if (!error)
        error = make_entity_version(f, c, &s);
    settings_deinit(&s);
    return error ? refuse_alteration(c, error) : KERR_NONE;
}

/* --- what becomes of it --- */

bool catalog_alter_tightens(const struct catalog_change *c)
{
    assert(c->topic || c->broker);
    return c->kind == CATALOG_BROKER_CONFIG ? c->tightens : topic_config_tightens(&c->old->config, &c->topic->config);
}

static enum err blob_altered_layer(struct catalog_file *f, const struct catalog_change *c, struct catalog_blob *b)
{
    assert(c->broker);
    uint32_t count;
    struct topic_override *v = catalog_file_layer(f->heap, c->broker, c->cluster_default, &count);
    enum err err = v ? catalog_blob_broker(b, c->cluster_default, v, count) : ERR_NO_MEMORY;
    heap_free(f->heap, v);
    return err;
}

enum err catalog_alter_blob(struct catalog_file *f, const struct catalog_change *c, struct catalog_blob *b)
{
    switch (c->kind) {
    case CATALOG_PARTITIONS: return catalog_blob_partitions(b, c->topic->id, c->topic->partitions);
    case CATALOG_CONFIG: return catalog_blob_config(b, c->topic);
    case CATALOG_BROKER_CONFIG: return blob_altered_layer(f, c, b);
    case CATALOG_CREATE:
    case CATALOG_DELETE:
    case CATALOG_ENTITY:
    case CATALOG_PRODUCER_IDS: break;
    }
    assert(!"a change that alters nothing");
    return ERR_INVALID;
}

void catalog_alter_drop(struct catalog_file *f, struct catalog_change *c)
{
    for (uint32_t i = 0; i < c->version_count; i++)
        catalog_topic_free(f, c->versions[i]);
    heap_free(f->heap, c->versions);
    if (c->broker)
        broker_config_version_free(c->broker);
    if (c->topic)
        catalog_topic_free(f, c->topic);
    c->versions = NULL;
    c->version_count = 0;
    c->broker = NULL;
    c->topic = NULL;
}

void catalog_alter_take(struct catalog_file *f, struct catalog_change *c)
{
    assert(c->topic || c->broker);
    assert(!c->preparing);
    if (c->kind != CATALOG_BROKER_CONFIG) {
        catalog_file_replace(f, c->old, c->topic);
        return;
    }
    assert(c->walked == c->version_count);
    c->old_broker = f->config;
    f->config = c->broker;
}

void catalog_alter_over(struct catalog_file *f, struct catalog_change *c)
{
    assert(c->old || c->old_broker);
    if (c->kind != CATALOG_BROKER_CONFIG) {
        catalog_topic_free(f, c->old);
        c->old = NULL;
        return;
    }
    assert(c->walked == 0);
    heap_free(f->heap, c->versions);
    c->versions = NULL;
    broker_config_version_drop(c->old_broker);
    c->broker = NULL;
}
