/* See features.h. */
#include "storage/catalog/features.h"
#include "storage/config/settings.h"
#include <stdio.h>
#include <string.h>

enum { METADATA_3_3 = 7, METADATA_4_3 = 30 }; /* Kafka's levels of metadata.version: its oldest, and 4.3-IV0 */

static const struct feature features[] = {
    {"metadata.version", METADATA_3_3, METADATA_4_3, METADATA_4_3, true},
    {"transaction.version", 0, 2, 2,
     false}, /* 2: each transaction raises its epoch, and Produce adds its partitions (KIP-890) */
};
static const char entity_name[] = "cluster", epoch_key[] = "epoch";

uint32_t feature_count(void)
{
    static_assert(COUNT_OF(features) > 0, "there is something to agree on");
    return COUNT_OF(features);
}

const struct feature *feature_at(uint32_t i)
{
    assert(i < COUNT_OF(features));
    return &features[i];
}

const struct feature *feature_find(const char *name)
{
    assert(name);
    for (uint32_t i = 0; i < COUNT_OF(features); i++)
        if (strcmp(features[i].name, name) == 0)
            return &features[i];
    return NULL;
}

static const struct entity *find_features_entity(const struct catalog *c)
{
    assert(c->heap);
    return entities_find(&c->entities, ENTITY_FEATURES, entity_name);
}

/* A level that a newer release agreed on is the most that this one can do. */
int16_t feature_level(const struct catalog *c, const char *name)
{
    const struct feature *f = feature_find(name);
    const char *set = entity_setting(find_features_entity(c), name);
    int64_t level;
    if (!f)
        return 0;
    if (!set || !config_to_i64(set, &level))
        return f->initial;
    assert(f->least <= f->most);
    return (int16_t)(level < f->least ? f->least : level > f->most ? f->most : level);
}

int64_t features_epoch(const struct catalog *c)
{
    const char *set = entity_setting(find_features_entity(c), epoch_key);
    int64_t epoch;
    assert(c);
    return set && config_to_i64(set, &epoch) ? epoch : 0;
}

/* On shard 0. */
static enum kerr raise_features_epoch(struct settings *s, const struct broker_config *config, char *why)
{
    char text[24];
    int64_t epoch = 0;
    const char *set = topic_override_find(s->v, s->count, epoch_key);
    assert(config && why);
    if (!set || !config_to_i64(set, &epoch))
        epoch = 0;
    snprintf(text, sizeof text, "%lld", (long long)epoch + 1);
    return settings_put(s, epoch_key, text) ? KERR_KAFKA_STORAGE_ERROR : KERR_NONE;
}

void features_change(struct catalog_change *c, const struct config_op *ops, uint32_t count)
{
    assert(ops && count > 0);
    c->kind = CATALOG_ENTITY;
    c->entity_kind = ENTITY_FEATURES;
    c->name = entity_name;
    c->ops = ops;
    c->op_count = count;
    c->settle = raise_features_epoch;
}
