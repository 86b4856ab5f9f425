/* What must hold in a catalog, of one shard and of the file (catalog.h, catalog_file.h). */
#include "storage/catalog/catalog_file.h"
#include <string.h>

static void check_catalog_topic(const struct catalog *c, const struct topic *t)
{
    assert(t->partitions > 0);
    assert(t->partitions <= TOPIC_PARTITIONS_MAX);
    assert(topic_name_legal((const uint8_t *)t->name, strlen(t->name)));
    assert(catalog_by_name(c, (const uint8_t *)t->name, strlen(t->name)) == t);
    assert(catalog_by_id(c, t->id) == t);
    for (uint32_t i = 1; i < t->override_count; i++)
        assert(strcmp(t->overrides[i - 1].name, t->overrides[i].name) < 0);
}

void catalog_check(const struct catalog *c)
{
    uint64_t partitions = 0;
    assert(c->count <= c->cap);
    assert(c->by_name.count == c->count);
    assert(c->by_id.count == c->count);
    for (uint32_t i = 0; i < c->count; i++) {
        check_catalog_topic(c, c->sorted[i]);
        assert(i == 0 || strcmp(c->sorted[i - 1]->name, c->sorted[i]->name) < 0);
        partitions += (uint64_t)c->sorted[i]->partitions;
    }
    assert(partitions == c->partitions_total);
    entities_check(&c->entities);
}

void catalog_file_check(const struct catalog_file *f)
{
    catalog_check(&f->all);
    assert(f->by_plain.count == f->all.count);
    assert(f->deleted_count <= f->deleted_cap);
    assert(f->empty == (f->wave == 0));
    for (uint32_t i = 0; i < f->all.count; i++) {
        const struct catalog_topic *t = catalog_topic_of(f->all.sorted[i]);
        char plain[TOPIC_NAME_MAX + 1];
        catalog_plain_name(t->topic.name, plain);
        assert(strcmp(plain, t->plain) == 0);
        assert(map_get(&f->by_plain, plain, strlen(plain)) == t);
    }
    for (uint32_t i = 1; i < f->deleted_count; i++)
        assert(memcmp(f->deleted[i - 1], f->deleted[i], 16) < 0);
}
