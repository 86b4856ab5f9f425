#include "net/group/records.h"

enum {
    KEY_OFFSET_OLD = 0,
    KEY_OFFSET = 1,
    KEY_GROUP = 2,
    VALUE_OFFSET = 3,
    VALUE_OFFSET_EXPIRES = 1,
    VALUE_GROUP = 3,
    MEMBER_LEAST = 15, /* bytes of the shortest member in a value: four texts, two bytes, two times, tags (version 4) */
};

/* --- reading --- */

static const char *decode_offset_value(struct kview value, struct committed *out)
{
    struct arena none = {0};
    struct offset_commit_value v;
    if (value.n < RECORD_VERSION_BYTES)
        return "an offset without a version";
    int16_t version = (int16_t)be16_get(value.at);
    if (version < KFIRST_offset_commit_value || version > KLAST_offset_commit_value)
        return "an offset of an unknown version";
    if (!offset_commit_value_decode(&v, record_behind_version(value), version, &none))
        return "an offset that cannot be decoded";
    out->offset = v.offset;
    out->leader_epoch = v.leader_epoch;
    out->metadata = v.metadata;
    out->commit_ms = v.commit_timestamp;
    out->expire_ms = v.expire_timestamp;
    return NULL;
}

static const char *decode_offset_record(struct kview key, struct kview value, struct record *out)
{
    struct arena none = {0};
    struct offset_commit_key k;
    if (!offset_commit_key_decode(&k, key, 0, &none))
        return "an offset's key that cannot be decoded";
    if (k.topic.n > OFFSETS_TOPIC_MAX)
        return "an offset of a topic whose name is too long";
    out->kind = RECORD_OFFSET;
    out->group = k.group;
    out->committed = (struct committed){.topic = k.topic, .partition = k.partition, .expire_ms = -1};
    return out->tombstone ? NULL : decode_offset_value(value, &out->committed);
}

static const char *decode_group_record(struct kview key, struct kview value, struct record *out)
{
    struct arena none = {0};
    struct group_metadata_key k;
    if (!group_metadata_key_decode(&k, key, 0, &none))
        return "a group's key that cannot be decoded";
    out->kind = RECORD_GROUP;
    out->group = k.group;
    out->value = value;
    return NULL;
}

const char *record_read(struct kview key, struct kview value, struct record *out)
{
    *out = (struct record){.kind = RECORD_UNKNOWN, .tombstone = value.n < 0};
    if (key.n < 0)
        return NULL;
    if (key.n < RECORD_VERSION_BYTES)
        return "a key without a version";
    int16_t version = (int16_t)be16_get(key.at);
    if (version < 0)
        return "a key of a negative version";
    if (version == KEY_OFFSET_OLD || version == KEY_OFFSET)
        return decode_offset_record(record_behind_version(key), value, out);
    if (version == KEY_GROUP)
        return decode_group_record(record_behind_version(key), value, out);
    return NULL;
}

/* --- a group's value --- */

size_t record_group_arena_bytes(struct kview value)
{
    assert(value.n >= 0);
    return ((size_t)value.n / MEMBER_LEAST + 2) * sizeof(struct member_metadata);
}

bool record_group_value(struct kview value, struct arena *arena, struct group_metadata_value *out)
{
    if (value.n < RECORD_VERSION_BYTES)
        return false;
    int16_t version = (int16_t)be16_get(value.at);
    return version >= KFIRST_group_metadata_value && version <= KLAST_group_metadata_value &&
           group_metadata_value_decode(out, record_behind_version(value), version, arena);
}

uint32_t record_group_bytes(const struct group_metadata_value *v)
{
    uint64_t bytes = group_metadata_value_size(v, VALUE_GROUP).bytes + RECORD_VERSION_BYTES;
    return bytes < INT32_MAX ? (uint32_t)bytes : INT32_MAX;
}

void record_group_encode(const struct group_metadata_value *v, uint8_t *out, uint32_t bytes)
{
    struct kwriter w = kwriter_of(out, bytes);
    kwrite_int16(&w, VALUE_GROUP);
    bool good = group_metadata_value_encode(v, &w, VALUE_GROUP);
    assert(good && kwriter_bytes(&w) == bytes);
}

/* --- writing --- */

static uint32_t offset_record_key_bytes(struct kview group, const struct committed *c)
{
    return RECORD_VERSION_BYTES + 2 + (uint32_t)group.n + 2 + (uint32_t)c->topic.n + 4;
}

static uint32_t offset_record_value_bytes(const struct committed *c)
{
    return RECORD_VERSION_BYTES + 8 + 2 + (uint32_t)c->metadata.n + 8 + (c->expire_ms >= 0 ? 8 : 4);
}

static uint32_t group_record_key_bytes(struct kview group)
{
    return RECORD_VERSION_BYTES + 2 + (uint32_t)group.n;
}

uint32_t record_offset_bytes(struct kview group, const struct committed *c)
{
    return record_bytes(offset_record_key_bytes(group, c), (int32_t)offset_record_value_bytes(c));
}

uint32_t record_group_record_bytes(struct kview group, struct kview value)
{
    return record_bytes(group_record_key_bytes(group), value.n);
}

static void put_offset_record_key(struct kwriter *w, struct kview group, const struct committed *c)
{
    struct offset_commit_key k = {.group = group, .topic = c->topic, .partition = c->partition};
    kwrite_int16(w, KEY_OFFSET);
    (void)offset_commit_key_encode(&k, w, 0); /* the writer remembers */
}

bool record_put_offset(struct record_batch *b, struct kview group, const struct committed *c)
{
    struct offset_commit_value v = {.offset = c->offset,
                                    .leader_epoch = c->leader_epoch,
                                    .metadata = c->metadata,
                                    .commit_timestamp = c->commit_ms,
                                    .expire_timestamp = c->expire_ms};
    int16_t version = c->expire_ms >= 0 ? VALUE_OFFSET_EXPIRES : VALUE_OFFSET;
    int32_t bytes = (int32_t)offset_record_value_bytes(c);
    struct kwriter w = record_batch_open(b, offset_record_key_bytes(group, c), bytes);
    put_offset_record_key(&w, group, c);
    record_batch_value(&w, bytes);
    kwrite_int16(&w, version);
    (void)offset_commit_value_encode(&v, &w, version);
    return record_batch_close(b, &w);
}

bool record_put_offset_gone(struct record_batch *b, struct kview group, const struct committed *c)
{
    struct kwriter w = record_batch_open(b, offset_record_key_bytes(group, c), -1);
    put_offset_record_key(&w, group, c);
    record_batch_value(&w, -1);
    return record_batch_close(b, &w);
}

bool record_put_group(struct record_batch *b, struct kview group, struct kview value)
{
    struct group_metadata_key k = {.group = group};
    struct kwriter w = record_batch_open(b, group_record_key_bytes(group), value.n);
    kwrite_int16(&w, KEY_GROUP);
    (void)group_metadata_key_encode(&k, &w, 0);
    record_batch_value(&w, value.n);
    if (value.n > 0)
        kwrite_raw(&w, value.at, (size_t)value.n);
    return record_batch_close(b, &w);
}
