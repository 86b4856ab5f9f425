/* Reading the catalog's file back: each record is checked and applied; a torn end is told from damage (catalog.h). */
#include "core/bytes.h"
#include "core/crc.h"
#include "storage/catalog/catalog_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_PREFIX = 8, RECORD_LEAST = 5, OVERRIDES_MAX = 256 };

struct record {
    size_t bytes; /* with its prefix */
    uint32_t wave;
    uint8_t kind;
    bool last; /* of its wave */
    const uint8_t *body;
    size_t body_bytes;
};

static bool parse_record(const uint8_t *at, size_t left, struct record *out)
{
    assert(at || left == 0);
    if (left < RECORD_PREFIX + RECORD_LEAST)
        return false;
    uint32_t bytes = be32_get(at);
    if (bytes < RECORD_LEAST || bytes > left - RECORD_PREFIX)
        return false;
    if (be32_get(at + 4) != crc32c(0, at + RECORD_PREFIX, bytes))
        return false;
    *out = (struct record){
        .bytes = RECORD_PREFIX + (size_t)bytes,
        .wave = be32_get(at + 8),
        .kind = at[12] & (CATALOG_LAST - 1),
        .last = at[12] & CATALOG_LAST,
        .body = at + RECORD_PREFIX + RECORD_LEAST,
        .body_bytes = bytes - RECORD_LEAST,
    };
    return true;
}

/* A cursor over one body: goes bad when something is missing. */
struct body {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static const uint8_t *take_bytes(struct body *b, size_t bytes)
{
    assert(b->at || b->left == 0);
    static const uint8_t zeros[16];
    if (b->bad || b->left < bytes) {
        b->bad = true;
        return bytes <= sizeof zeros ? zeros : NULL;
    }
    const uint8_t *at = b->at;
    b->at += bytes;
    b->left -= bytes;
    return at;
}

/* A text of the file as one of our own; NULL: missing, or no memory. */
static char *take_text(struct body *b, struct heap *heap, enum err *err)
{
    uint16_t bytes = be16_get(take_bytes(b, 2));
    const uint8_t *at = take_bytes(b, bytes);
    if (b->bad || memchr(at, 0, bytes)) {
        b->bad = true;
        return NULL;
    }
    char *text = heap_alloc(heap, (size_t)bytes + 1);
    if (!text) {
        *err = ERR_NO_MEMORY;
        return NULL;
    }
    memcpy(text, at, bytes);
    text[bytes] = 0;
    return text;
}

/* A topic's record, or another one with settings, read. Freed by topic_record_deinit. */
struct topic_record {
    const uint8_t *id;
    int32_t partitions;
    char *name;
    char *keys[OVERRIDES_MAX], *values[OVERRIDES_MAX];
    struct topic_override overrides[OVERRIDES_MAX];
    uint16_t count;
};

static void topic_record_deinit(struct topic_record *r, struct heap *heap)
{
    assert(r->count <= OVERRIDES_MAX);
    heap_free(heap, r->name);
    for (uint32_t i = 0; i < r->count; i++) {
        heap_free(heap, r->keys[i]);
        heap_free(heap, r->values[i]);
    }
}

/* The rest of the body: a count, and as many keys and values. */
static enum err read_settings(struct topic_record *r, struct heap *heap, struct body *b)
{
    assert(r->count == 0);
    enum err err = ERR_NONE;
    uint16_t count = be16_get(take_bytes(b, 2));
    b->bad |= count > OVERRIDES_MAX;
    while (!b->bad && err == ERR_NONE && r->count < count) {
        r->keys[r->count] = take_text(b, heap, &err);
        r->values[r->count] = take_text(b, heap, &err);
        r->overrides[r->count] = (struct topic_override){r->keys[r->count], r->values[r->count]};
        r->count++;
    }
    return err != ERR_NONE ? err : b->bad || b->left > 0 ? ERR_CORRUPT : ERR_NONE;
}

static enum err read_topic_record(struct topic_record *r, struct heap *heap, struct body *b)
{
    assert(heap);
    enum err err = ERR_NONE;
    *r = (struct topic_record){.id = take_bytes(b, 16)};
    r->partitions = (int32_t)be32_get(take_bytes(b, 4));
    r->name = take_text(b, heap, &err);
    return err != ERR_NONE ? err : read_settings(r, heap, b);
}
/* Keys that a newer release knows are kept; a known one must have a value that can be obeyed. */
static bool are_overrides_possible(const struct topic_record *r)
{
    assert(r->count <= OVERRIDES_MAX);
    char why[256];
    for (uint32_t i = 0; i < r->count; i++)
        if (topic_key_find(r->keys[i]) && topic_override_check(r->keys[i], r->values[i], why) != KERR_NONE)
            return false;
    return true;
}

static bool is_topic_possible(const struct catalog_file *f, const struct topic_record *r)
{
    assert(r->name);
    char plain[TOPIC_NAME_MAX + 1];
    size_t bytes = strlen(r->name);
    if (!topic_name_legal((const uint8_t *)r->name, bytes) || r->partitions < 1 || r->partitions > TOPIC_PARTITIONS_MAX)
        return false;
    catalog_plain_name(r->name, plain);
    return !map_get(&f->by_plain, plain, bytes) && !catalog_file_knew(f, r->id) && are_overrides_possible(r);
}

static enum err apply_topic_record(struct catalog_file *f, const struct topic_record *r)
{
    assert(r->id);
    if (!is_topic_possible(f, r))
        return ERR_CORRUPT;
    struct topic *t = catalog_topic_new(f, r->id, r->name, r->partitions, r->overrides, r->count);
    enum err err = t ? catalog_file_add(f, t) : ERR_NO_MEMORY;
    if (t && err != ERR_NONE)
        catalog_topic_free(f, t);
    return err;
}

static enum err apply_created_record(struct catalog_file *f, struct body *b)
{
    assert(!b->bad);
    struct topic_record r;
    enum err err = read_topic_record(&r, f->heap, b);
    if (err == ERR_NONE)
        err = apply_topic_record(f, &r);
    topic_record_deinit(&r, f->heap);
    return err;
}

/* Also of a topic that is not there: a rewritten file has only the ids of the deleted. */
static enum err apply_deleted_record(struct catalog_file *f, struct body *b)
{
    assert(!b->bad);
    if (b->left != 16)
        return ERR_CORRUPT;
    const uint8_t *id = take_bytes(b, 16);
    struct topic *t = catalog_by_id(&f->all, id);
    if (!t && catalog_file_knew(f, id))
        return ERR_CORRUPT;
    enum err err = catalog_file_reserve(f, 1);
    if (err != ERR_NONE)
        return err;
    catalog_file_remember(f, id);
    if (t) {
        catalog_file_remove(f, t);
        catalog_topic_free(f, t);
    }
    return ERR_NONE;
}

static enum err take_topic_version(struct catalog_file *f, struct topic *old, struct topic *t)
{
    assert(old);
    assert(old != t);
    if (!t)
        return ERR_NO_MEMORY;
    catalog_file_replace(f, old, t);
    catalog_topic_free(f, old);
    return ERR_NONE;
}

static enum err apply_partitions_record(struct catalog_file *f, struct body *b)
{
    if (b->left != 16 + 4)
        return ERR_CORRUPT;
    struct topic *t = catalog_by_id(&f->all, take_bytes(b, 16));
    int32_t partitions = (int32_t)be32_get(take_bytes(b, 4));
    if (!t || partitions <= t->partitions || partitions > TOPIC_PARTITIONS_MAX)
        return ERR_CORRUPT;
    return take_topic_version(f, t,
                              catalog_topic_version(f, t, partitions, t->overrides, t->override_count, f->config));
}

static enum err apply_config_record(struct catalog_file *f, struct body *b)
{
    struct topic_record r = {.id = take_bytes(b, 16)};
    struct topic *t = b->bad ? NULL : catalog_by_id(&f->all, r.id);
    enum err err = read_settings(&r, f->heap, b);
    if (err == ERR_NONE)
        err =
            !t || !are_overrides_possible(&r)
                ? ERR_CORRUPT
                : take_topic_version(f, t, catalog_topic_version(f, t, t->partitions, r.overrides, r.count, f->config));
    topic_record_deinit(&r, f->heap);
    return err;
}

/* A dynamic layer counts whole. Every topic is resolved again: some of its values may be the broker's. */
static enum err adopt_layer(struct catalog_file *f, const struct topic_record *r, enum config_source layer)
{
    assert(layer == CONFIG_SOURCE_DYNAMIC_BROKER || layer == CONFIG_SOURCE_DYNAMIC_DEFAULT);
    struct broker_config *c = broker_config_version(f->config, f->heap, layer, r->overrides, r->count);
    if (!c)
        return ERR_NO_MEMORY;
    catalog_file_adopt(f, c);
    for (uint32_t i = 0; i < f->all.count; i++) {
        struct topic *t = f->all.sorted[i];
        topic_config_resolve(&t->config, t->overrides, t->override_count, c);
    }
    return ERR_NONE;
}

/* Settings that this release does not let one change are a newer one's: kept, and without effect (broker_config_in). */
static bool is_layer_possible(const struct topic_record *r, enum config_source layer)
{
    assert(layer != CONFIG_SOURCE_DEFAULT);
    char why[256];
    for (uint32_t i = 0; i < r->count; i++)
        if (broker_key_dynamic(r->keys[i]) && broker_dynamic_check(r->keys[i], r->values[i], layer, why) != KERR_NONE)
            return false;
    return true;
}

static enum err apply_broker_record(struct catalog_file *f, struct body *b)
{
    struct topic_record r = {.count = 0};
    uint8_t own = take_bytes(b, 1)[0];
    enum config_source layer = own ? CONFIG_SOURCE_DYNAMIC_BROKER : CONFIG_SOURCE_DYNAMIC_DEFAULT;
    enum err err = own > 1 ? ERR_CORRUPT : read_settings(&r, f->heap, b);
    if (err == ERR_NONE)
        err = is_layer_possible(&r, layer) ? adopt_layer(f, &r, layer) : ERR_CORRUPT;
    topic_record_deinit(&r, f->heap);
    return err;
}

/* Another version in the place of the one before, if there is one; neither settings nor one before: nothing. */
static enum err take_entity_version(struct catalog_file *f, enum entity_kind kind, const struct topic_record *r)
{
    assert(r->name);
    struct entity *old = entities_find(&f->all.entities, kind, r->name), *e = NULL;
    if (r->count > 0) {
        e = entity_new(f->heap, kind, r->name, r->overrides, r->count);
        if (!e)
            return ERR_NO_MEMORY;
    }
    enum err err = ERR_NONE;
    if (e && old)
        entities_replace(&f->all.entities, old, e);
    else if (e)
        err = entities_add(&f->all.entities, e);
    else if (old)
        entities_remove(&f->all.entities, old);
    entity_free(f->heap, err ? e : old);
    return err;
}

static enum err apply_entity_record(struct catalog_file *f, struct body *b)
{
    assert(!b->bad);
    struct topic_record r = {.count = 0};
    enum err err = ERR_NONE;
    uint8_t kind = take_bytes(b, 1)[0];
    r.name = take_text(b, f->heap, &err);
    if (err == ERR_NONE)
        err = read_settings(&r, f->heap, b);
    if (err == ERR_NONE)
        err = kind < ENTITY_GROUP || kind > ENTITY_FEATURES ? ERR_CORRUPT
                                                            : take_entity_version(f, (enum entity_kind)kind, &r);
    topic_record_deinit(&r, f->heap);
    return err;
}

static enum err apply_epoch_record(struct catalog_file *f, struct body *b)
{
    int32_t epoch = b->left == 4 ? (int32_t)be32_get(take_bytes(b, 4)) : -1;
    if (epoch < f->epoch)
        return ERR_CORRUPT;
    f->epoch = epoch;
    assert(f->epoch >= 0);
    return ERR_NONE;
}

static enum err apply_ids_record(struct catalog_file *f, struct body *b)
{
    int64_t below = b->left == 8 ? (int64_t)be64_get(take_bytes(b, 8)) : -1;
    if (below < f->ids_reserved)
        return ERR_CORRUPT;
    f->ids_reserved = below;
    assert(f->ids_reserved >= 0);
    return ERR_NONE;
}

static enum err apply_record(struct catalog_file *f, const struct record *r)
{
    assert(r->bytes == RECORD_PREFIX + RECORD_LEAST + r->body_bytes);
    struct body b = {.at = r->body, .left = r->body_bytes};
    switch (r->kind) {
    case CATALOG_TOPIC_CREATED: return apply_created_record(f, &b);
    case CATALOG_TOPIC_DELETED: return apply_deleted_record(f, &b);
    case CATALOG_LEADER_EPOCH: return apply_epoch_record(f, &b);
    case CATALOG_IDS_RESERVED: return apply_ids_record(f, &b);
    case CATALOG_TOPIC_PARTITIONS: return apply_partitions_record(f, &b);
    case CATALOG_TOPIC_CONFIG: return apply_config_record(f, &b);
    case CATALOG_BROKER_SETTINGS: return apply_broker_record(f, &b);
    case CATALOG_ENTITY_SETTINGS: return apply_entity_record(f, &b);
    default: return ERR_CORRUPT; /* a kind that this release does not know: not ours to skip */
    }
}

/* --- what a file holds, by its framing --- */

/* Where the next wave, number `wave`, ends; 0: any number, which is set. Returns 0 when it is not whole. */
static size_t measure_wave(uint32_t *wave, const uint8_t *at, size_t left)
{
    assert(at || left == 0);
    struct record r;
    for (size_t bytes = 0; parse_record(at + bytes, left - bytes, &r) && (*wave == 0 || r.wave == *wave);) {
        *wave = r.wave;
        bytes += r.bytes;
        if (r.last)
            return bytes;
    }
    return 0;
}

/* A write starts only when the one before is durable and answered. So a torn write has the next number, and a record of any
 * other that lies behind it proves that the bad bytes were once good. */
static void view_tail(struct catalog_view *v, const uint8_t *at, size_t left)
{
    assert(left > 0);
    assert(v->format > 0);
    struct record r;
    v->state = CATALOG_TORN;
    for (size_t i = 0; i < left; i++) {
        if (!parse_record(at + i, left - i, &r))
            continue;
        if (r.wave != v->wave + 1)
            v->state = CATALOG_DAMAGED;
        if (r.wave > v->seen)
            v->seen = r.wave;
    }
}

/* Nothing, a beginning of the header, or zeros in its place: the folder is new, and a power cut came before its first change. */
static bool is_header_torn(const uint8_t *at, size_t bytes)
{
    size_t same = 0, zeros = 0;
    while (same < bytes && at[same] == (uint8_t)CATALOG_HEADER[same])
        same++;
    while (same + zeros < bytes && at[same + zeros] == 0)
        zeros++;
    return same + zeros == bytes;
}

/* The number in the header; 0: none of ours. */
static uint32_t read_header(const uint8_t *at, size_t bytes)
{
    assert(at || !bytes);
    if (bytes < CATALOG_HEADER_BYTES || memcmp(at, CATALOG_HEADER, CATALOG_HEADER_WORDS) != 0)
        return 0;
    bool known = at[CATALOG_HEADER_BYTES - 2] >= '1' && at[CATALOG_HEADER_BYTES - 2] <= '0' + CATALOG_FORMAT;
    return known && at[CATALOG_HEADER_BYTES - 1] == '\n' ? at[CATALOG_HEADER_BYTES - 2] - (uint32_t)'0' : 0;
}

void catalog_view_scan(struct catalog_view *v, const uint8_t *at, size_t bytes)
{
    assert(v && (at || bytes == 0));
    *v = (struct catalog_view){.format = read_header(at, bytes)};
    if (v->format == 0) {
        v->state = bytes <= CATALOG_HEADER_BYTES && is_header_torn(at, bytes) ? CATALOG_NEW : CATALOG_DAMAGED;
        return;
    }
    size_t wave_bytes;
    uint32_t wave = v->format == 1; /* a rewritten file of today's begins with any number */
    for (v->bytes = CATALOG_HEADER_BYTES; (wave_bytes = measure_wave(&wave, at + v->bytes, bytes - v->bytes)) > 0;
         wave++) {
        v->bytes += wave_bytes;
        v->wave = v->seen = wave;
    }
    v->state = CATALOG_WHOLE;
    if (v->bytes < bytes)
        view_tail(v, at + v->bytes, bytes - v->bytes);
    assert(v->bytes <= bytes && v->wave <= v->seen);
}

/* --- applying it --- */

enum err catalog_apply(struct catalog_file *f, const uint8_t *at, const struct catalog_view *v, const char *path,
                       char *why)
{
    assert(v->bytes >= CATALOG_HEADER_BYTES);
    struct record r;
    assert(v->format > 0);
    for (size_t done = CATALOG_HEADER_BYTES; done < v->bytes; done += r.bytes) {
        bool good = parse_record(at + done, v->bytes - done, &r);
        assert(good); /* catalog_view_scan saw it */
        enum err err = apply_record(f, &r);
        if (err != ERR_NONE) {
            snprintf(
                why, CONFIG_WHY_BYTES,
                "%.300s: what stands at byte %llu cannot be applied (%s); if a newer release wrote it, start that one.",
                path, (unsigned long long)done, err_text(err));
            return err;
        }
    }
    f->wave = v->wave;
    f->empty = v->wave == 0;
    return ERR_NONE;
}

/* --- putting together what is left --- */

struct salvaged {
    struct record record;
    uint32_t place; /* of the copies, one after the other: keeps the order within a wave */
};

static int compare_salvaged(const void *a, const void *b)
{
    const struct salvaged *x = a, *y = b;
    int by_wave = (x->record.wave > y->record.wave) - (x->record.wave < y->record.wave);
    return by_wave ? by_wave : (x->place > y->place) - (x->place < y->place);
}

/* Every good record, wherever it stands. Without `out` it only counts. */
static uint32_t find_good_records(const struct catalog_bytes *copy, struct salvaged *out, uint32_t place)
{
    assert(copy->at || !copy->bytes);
    uint32_t count = 0;
    for (size_t i = 0; i < copy->bytes;) {
        struct record r;
        if (!parse_record(copy->at + i, copy->bytes - i, &r)) {
            i++;
            continue;
        }
        if (out)
            out[count] = (struct salvaged){r, place + count};
        count++;
        assert(r.bytes <= copy->bytes - i);
        i += r.bytes;
    }
    return count;
}

/* The topic that had this name before: its deletion is what was lost. */
static enum err forget_older_topic(struct catalog_file *f, const struct record *r, bool *out_again)
{
    assert(r->kind == CATALOG_TOPIC_CREATED);
    struct body b = {.at = r->body, .left = r->body_bytes};
    struct topic_record t;
    char plain[TOPIC_NAME_MAX + 1];
    enum err err = read_topic_record(&t, f->heap, &b);
    struct catalog_topic *older = NULL;
    if (err == ERR_NONE && strlen(t.name) <= TOPIC_NAME_MAX) {
        catalog_plain_name(t.name, plain);
        older = map_get(&f->by_plain, plain, strlen(plain));
    }
    *out_again = older && memcmp(older->topic.id, t.id, 16) != 0 && !catalog_file_knew(f, t.id);
    if (*out_again)
        err = catalog_file_reserve(f, 1);
    if (*out_again && err == ERR_NONE) {
        catalog_file_remember(f, older->topic.id);
        catalog_file_remove(f, &older->topic);
        catalog_topic_free(f, &older->topic);
    }
    topic_record_deinit(&t, f->heap);
    return err == ERR_CORRUPT ? ERR_NONE : err;
}

static enum err salvage_record(struct catalog_file *f, const struct record *r)
{
    assert(f->empty);
    bool again = false;
    enum err err = apply_record(f, r);
    if (err == ERR_CORRUPT && r->kind == CATALOG_TOPIC_CREATED) {
        err = forget_older_topic(f, r, &again);
        if (err == ERR_NONE && again)
            err = apply_record(f, r);
    }
    return err == ERR_CORRUPT ? ERR_NONE : err;
}

enum err catalog_salvage(struct catalog_file *f, const struct catalog_bytes copies[CATALOG_COPIES],
                         uint32_t *out_records)
{
    assert(f->empty && f->wave == 0);
    uint32_t first = find_good_records(&copies[0], NULL, 0), second = find_good_records(&copies[1], NULL, 0);
    uint32_t count = first + second;
    struct salvaged *v = heap_alloc(f->heap, ((size_t)count + 1) * sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    (void)find_good_records(&copies[0], v, 0);
    (void)find_good_records(&copies[1], v + first, first);
    if (count > 1)
        qsort(v, count, sizeof *v, compare_salvaged);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; err == ERR_NONE && i < count; i++)
        err = salvage_record(f, &v[i].record);
    f->wave = (count ? v[count - 1].record.wave : 0) + 1;
    *out_records = count;
    heap_free(f->heap, v);
    return err;
}
