/* What the cluster has agreed on (KIP-584): features, of which each has a level that everybody keeps to until UpdateFeatures changes it. What
 * was changed is kept as an entity; a feature that nobody changed has the level that a new cluster of this release begins with. The epoch
 * rises with each change: clients take the levels of the highest one that they saw.
 *
 * metadata.version stands for what Kafka's release of that number knows, which tools ask for; its level only rises. Features of Kafka that
 * are not served are not here: their level is 0. */
#pragma once
#include "storage/catalog/catalog.h"

struct feature {
    const char *name;
    int16_t least, most; /* supported */
    int16_t initial;
    bool lossy; /* it cannot be lowered: something would be lost */
};
uint32_t feature_count(void);
const struct feature *feature_at(uint32_t i);
/* NULL: not supported. */
const struct feature *feature_find(const char *name);
/* As one shard sees it; 0: it is off, or unknown. */
int16_t feature_level(const struct catalog *c, const char *name);
int64_t features_epoch(const struct catalog *c);

/* A change of levels: `ops` sets them, by name. The epoch rises with it. */
void features_change(struct catalog_change *c, const struct config_op *ops, uint32_t count);
