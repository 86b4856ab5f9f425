/* Records of the catalog's file, as bytes (catalog.h has the format). */
#include "core/array.h"
#include "core/bytes.h"
#include "core/crc.h"
#include "storage/catalog/catalog_file.h"
#include <string.h>

enum { RECORD_PREFIX = 8, RECORD_HEAD = RECORD_PREFIX + 5, BLOB_SPARE = 512 };

void catalog_blob_deinit(struct catalog_blob *b)
{
    assert(b->bytes <= b->cap);
    heap_free(b->heap, b->at);
    b->at = NULL;
    b->bytes = b->cap = 0;
}

static enum err grow_blob(struct catalog_blob *b, size_t bytes)
{
    assert(b->bytes <= b->cap);
    uint8_t *at = bytes_grow(b->heap, b->at, &b->cap, b->bytes + bytes, BLOB_SPARE);
    if (!at)
        return ERR_NO_MEMORY;
    b->at = at;
    return ERR_NONE;
}

/* Opens a record with room for its body; NULL: no memory. */
static uint8_t *open_blob_record(struct catalog_blob *b, enum catalog_kind kind, size_t body_bytes)
{
    assert(b->heap && body_bytes < INT32_MAX);
    if (grow_blob(b, RECORD_HEAD + body_bytes) != ERR_NONE)
        return NULL;
    uint8_t *at = b->at + b->bytes;
    b->last = b->bytes;
    be32_put(at, (uint32_t)(RECORD_HEAD - RECORD_PREFIX + body_bytes));
    be32_put(at + 8, b->wave);
    at[12] = (uint8_t)kind;
    return at + RECORD_HEAD;
}

static void seal_record(uint8_t *record)
{
    be32_put(record + 4, crc32c(0, record + RECORD_PREFIX, be32_get(record)));
}

/* The body is complete. */
static enum err close_blob_record(struct catalog_blob *b)
{
    uint8_t *at = b->at + b->bytes;
    seal_record(at);
    b->bytes += RECORD_PREFIX + be32_get(at);
    assert(b->bytes <= b->cap);
    return ERR_NONE;
}

void catalog_blob_end(struct catalog_blob *b)
{
    assert(b->bytes > 0);
    uint8_t *at = b->at + b->last;
    at[12] |= CATALOG_LAST;
    seal_record(at);
}

static uint8_t *put_blob_text(uint8_t *at, const char *text)
{
    size_t bytes = strlen(text);
    assert(bytes <= UINT16_MAX);
    be16_put(at, (uint16_t)bytes);
    memcpy(at + 2, text, bytes);
    return at + 2 + bytes;
}

static size_t measure_settings(const struct topic_override *v, uint32_t count)
{
    assert(v || count == 0);
    size_t bytes = 2;
    for (uint32_t i = 0; i < count; i++)
        bytes += 4 + strlen(v[i].name) + strlen(v[i].value);
    return bytes;
}

static void put_blob_settings(uint8_t *at, const struct topic_override *v, uint32_t count)
{
    assert(count <= UINT16_MAX);
    be16_put(at, (uint16_t)count);
    at += 2;
    for (uint32_t i = 0; i < count; i++) {
        at = put_blob_text(at, v[i].name);
        at = put_blob_text(at, v[i].value);
    }
}

enum err catalog_blob_topic(struct catalog_blob *b, const struct topic *t)
{
    assert(t->name[0]);
    assert(t->partitions > 0);
    size_t bytes = 16 + 4 + 2 + strlen(t->name) + measure_settings(t->overrides, t->override_count);
    uint8_t *at = open_blob_record(b, CATALOG_TOPIC_CREATED, bytes);
    if (!at)
        return ERR_NO_MEMORY;
    memcpy(at, t->id, 16);
    be32_put(at + 16, (uint32_t)t->partitions);
    at = put_blob_text(at + 20, t->name);
    put_blob_settings(at, t->overrides, t->override_count);
    return close_blob_record(b);
}

enum err catalog_blob_partitions(struct catalog_blob *b, const uint8_t id[16], int32_t partitions)
{
    assert(partitions > 0);
    uint8_t *at = open_blob_record(b, CATALOG_TOPIC_PARTITIONS, 16 + 4);
    if (!at)
        return ERR_NO_MEMORY;
    memcpy(at, id, 16);
    be32_put(at + 16, (uint32_t)partitions);
    return close_blob_record(b);
}

enum err catalog_blob_config(struct catalog_blob *b, const struct topic *t)
{
    assert(t->override_count <= UINT16_MAX);
    uint8_t *at = open_blob_record(b, CATALOG_TOPIC_CONFIG, 16 + measure_settings(t->overrides, t->override_count));
    if (!at)
        return ERR_NO_MEMORY;
    memcpy(at, t->id, 16);
    put_blob_settings(at + 16, t->overrides, t->override_count);
    return close_blob_record(b);
}

enum err catalog_blob_broker(struct catalog_blob *b, bool cluster_default, const struct topic_override *settings,
                             uint32_t count)
{
    assert(settings || count == 0);
    uint8_t *at = open_blob_record(b, CATALOG_BROKER_SETTINGS, 1 + measure_settings(settings, count));
    if (!at)
        return ERR_NO_MEMORY;
    at[0] = !cluster_default;
    put_blob_settings(at + 1, settings, count);
    return close_blob_record(b);
}

enum err catalog_blob_entity(struct catalog_blob *b, enum entity_kind kind, const char *name,
                             const struct topic_override *settings, uint32_t count)
{
    assert(settings || count == 0);
    assert(strlen(name) <= ENTITY_NAME_MAX);
    uint8_t *at =
        open_blob_record(b, CATALOG_ENTITY_SETTINGS, 1 + 2 + strlen(name) + measure_settings(settings, count));
    if (!at)
        return ERR_NO_MEMORY;
    at[0] = (uint8_t)kind;
    at = put_blob_text(at + 1, name);
    put_blob_settings(at, settings, count);
    return close_blob_record(b);
}

enum err catalog_blob_deleted(struct catalog_blob *b, const uint8_t id[16])
{
    uint8_t *at = open_blob_record(b, CATALOG_TOPIC_DELETED, 16);
    if (!at)
        return ERR_NO_MEMORY;
    memcpy(at, id, 16);
    return close_blob_record(b);
}

enum err catalog_blob_epoch(struct catalog_blob *b, int32_t epoch)
{
    assert(epoch >= 0);
    uint8_t *at = open_blob_record(b, CATALOG_LEADER_EPOCH, 4);
    if (!at)
        return ERR_NO_MEMORY;
    be32_put(at, (uint32_t)epoch);
    return close_blob_record(b);
}

enum err catalog_blob_ids(struct catalog_blob *b, int64_t below)
{
    assert(below >= 0);
    uint8_t *at = open_blob_record(b, CATALOG_IDS_RESERVED, 8);
    if (!at)
        return ERR_NO_MEMORY;
    be64_put(at, (uint64_t)below);
    return close_blob_record(b);
}
