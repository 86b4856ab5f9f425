/* KRaft's metadata, as far as topics need it: the newest snapshot of __cluster_metadata-0, then the log behind it. Each record's value is
 * a frame version (1), an API key, a version, all varints, then the message in the flexible encoding; messages grow at their end. */
#include "storage/adopt/adopt_state.h"
#include "storage/log/batch.h"
#include "storage/log/codec.h"
#include "storage/log/folder.h"
#include "storage/log/segment.h"
#include "storage/recovery/scan.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum metadata_record {
    RECORD_TOPIC = 2,
    RECORD_PARTITION = 3,
    RECORD_CONFIG = 4,
    RECORD_PARTITION_CHANGE = 5,
    RECORD_REMOVE_TOPIC = 9,
    RECORD_PRODUCER_IDS = 15,
    RECORD_ABORT_TRANSACTION = 25,
};
enum { METADATA_BATCH_MAX = 64 << 20, METADATA_UNPACKED_MAX = 256 << 20, CONFIG_TOPIC = 2, CONFIG_BROKER = 4 };

/* --- the encoding --- */

struct metadata_cursor {
    const uint8_t *at, *end;
    bool bad;
};

static const uint8_t *metadata_bytes(struct metadata_cursor *c, size_t n)
{
    assert(c->at <= c->end);
    if (c->bad || n > (size_t)(c->end - c->at)) {
        c->bad = true;
        return NULL;
    }
    c->at += n;
    return c->at - n;
}
static uint32_t metadata_varint(struct metadata_cursor *c)
{
    assert(c->end);
    uint32_t v = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        const uint8_t *b = metadata_bytes(c, 1);
        if (!b)
            return 0;
        v |= (uint32_t)(*b & 127) << shift;
        if (!(*b & 128))
            return v;
    }
    c->bad = true;
    return 0;
}
static int32_t metadata_i32(struct metadata_cursor *c)
{
    const uint8_t *b = metadata_bytes(c, 4);
    return b ? (int32_t)be32_get(b) : 0;
}
static int64_t metadata_i64(struct metadata_cursor *c)
{
    const uint8_t *b = metadata_bytes(c, 8);
    return b ? (int64_t)be64_get(b) : 0;
}
/* Copied with a zero behind; a null is "". False: it is longer than any of ours, or null. */
static bool metadata_text(struct metadata_cursor *c, char *out, size_t cap)
{
    assert(out && cap > 1);
    uint32_t n = metadata_varint(c);
    const uint8_t *b = n > 0 ? metadata_bytes(c, n - 1) : NULL;
    out[0] = 0;
    if (!b || n > cap || memchr(b, 0, n - 1))
        return false;
    memcpy(out, b, n - 1);
    out[n - 1] = 0;
    return true;
}
static void pass_metadata_i32s(struct metadata_cursor *c)
{
    assert(c->at <= c->end);
    uint32_t n = metadata_varint(c);
    if (n > 0)
        metadata_bytes(c, (size_t)(n - 1) * 4);
}

/* --- what the records say --- */

static enum err apply_topic(struct adopt_source *s, struct metadata_cursor *c)
{
    assert(s->described);
    char name[TOPIC_NAME_MAX + 1];
    if (!metadata_text(c, name, sizeof name))
        return ERR_CORRUPT;
    const uint8_t *id = metadata_bytes(c, 16);
    if (!id)
        return ERR_CORRUPT;
    struct adopt_topic *t = adopt_source_topic(s, name, strlen(name));
    if (!t)
        return ERR_NO_MEMORY;
    if (t->described)
        map_remove(&s->by_id, t->id, 16);
    if (map_get(&s->by_id, id, 16))
        return ERR_CORRUPT;
    memcpy(t->id, id, 16);
    t->has_id = t->described = true;
    t->partitions = 0;
    return map_put(&s->by_id, t->id, 16, t);
}

static enum err apply_partition(struct adopt_source *s, struct metadata_cursor *c)
{
    assert(s->described);
    int32_t number = metadata_i32(c);
    const uint8_t *id = metadata_bytes(c, 16);
    for (int i = 0; i < 4; i++)
        pass_metadata_i32s(c);
    metadata_i32(c); /* leader */
    int32_t epoch = metadata_i32(c);
    if (c->bad)
        return ERR_CORRUPT;
    struct adopt_topic *t = map_get(&s->by_id, id, 16);
    if (t && number >= t->partitions)
        t->partitions = number + 1;
    s->epoch_max = epoch > s->epoch_max ? epoch : s->epoch_max;
    return ERR_NONE;
}

static enum err apply_config(struct adopt_source *s, struct metadata_cursor *c)
{
    assert(s->heap);
    char value[SETTING_VALUE_MAX + 1], topic[TOPIC_NAME_MAX + 1], key[256];
    const uint8_t *type = metadata_bytes(c, 1);
    bool named = metadata_text(c, topic, sizeof topic) && metadata_text(c, key, sizeof key);
    if (!type || c->bad)
        return ERR_CORRUPT;
    if (*type == CONFIG_BROKER)
        s->broker_settings++;
    struct adopt_topic *t = *type == CONFIG_TOPIC && named ? map_get(&s->topics, topic, strlen(topic)) : NULL;
    if (!t)
        return ERR_NONE;
    if (metadata_text(c, value, sizeof value))
        return settings_put(&t->settings, key, value);
    char why[256]; /* no value: the setting goes */
    const struct config_op op = {.name = key, .kind = CONFIG_OP_DELETE};
    return settings_apply(&t->settings, &op, 1, false, NULL, why) ? ERR_CORRUPT : ERR_NONE;
}

static enum err apply_removal(struct adopt_source *s, struct metadata_cursor *c)
{
    assert(s->described);
    const uint8_t *id = metadata_bytes(c, 16);
    struct adopt_topic *t = id ? map_remove(&s->by_id, id, 16) : NULL;
    if (t) {
        t->described = t->has_id = false;
        settings_deinit(&t->settings);
    }
    return id ? ERR_NONE : ERR_CORRUPT;
}

static enum err apply_producer_ids(struct adopt_source *s, struct metadata_cursor *c)
{
    assert(s->producer_max >= -1);
    metadata_i32(c);
    metadata_i64(c);
    int64_t next = metadata_i64(c);
    if (!c->bad && next > 0 && next - 1 > s->producer_max)
        s->producer_max = next - 1;
    return c->bad ? ERR_CORRUPT : ERR_NONE;
}

static enum err apply_metadata(struct adopt_source *s, const struct batch_record *r)
{
    assert(r);
    struct metadata_cursor c = {r->value, r->value + (r->value_bytes > 0 ? r->value_bytes : 0), false};
    metadata_varint(&c);
    uint32_t key = metadata_varint(&c);
    metadata_varint(&c);
    if (c.bad)
        return ERR_CORRUPT;
    switch (key) {
    case RECORD_TOPIC: return apply_topic(s, &c);
    case RECORD_PARTITION: return apply_partition(s, &c);
    case RECORD_CONFIG: return apply_config(s, &c);
    case RECORD_PARTITION_CHANGE:
        s->epoch_max += s->epoch_max < INT32_MAX;
        return ERR_NONE; /* may raise one epoch by one */
    case RECORD_REMOVE_TOPIC: return apply_removal(s, &c);
    case RECORD_PRODUCER_IDS: return apply_producer_ids(s, &c);
    case RECORD_ABORT_TRANSACTION: return ERR_UNSUPPORTED;
    default: return ERR_NONE;
    }
}

/* --- the files --- */

static enum err apply_metadata_batch(struct adopt_source *s, int fd, uint64_t at, const struct batch *b, int64_t from)
{
    assert(b->bytes >= BATCH_HEADER_BYTES);
    assert(fd >= 0);
    uint8_t *bytes, *unpacked = NULL;
    size_t got = 0;
    struct batch_cursor records;
    struct batch_record r;
    if (b->attributes & BATCH_CONTROL || b->count == 0)
        return ERR_NONE;
    if (b->bytes > METADATA_BATCH_MAX || !(bytes = heap_alloc(s->heap, b->bytes)))
        return ERR_NO_MEMORY;
    enum err err = fs_read(fd, bytes, b->bytes, at, &got);
    if (err == ERR_NONE)
        err = got == b->bytes ? codec_records(b, bytes, METADATA_UNPACKED_MAX, s->heap, &unpacked, &records) : ERR_IO;
    while (err == ERR_NONE && records.at < records.end) {
        if (!batch_next(&records, &r))
            err = ERR_CORRUPT;
        else if (b->base_offset + r.offset_delta >= from)
            err = apply_metadata(s, &r);
    }
    heap_free(s->heap, unpacked);
    heap_free(s->heap, bytes);
    return err;
}

/* Records below `from` are known from the snapshot. Zeros or a torn batch end the file. */
static enum err read_metadata_file(struct adopt_source *s, const char *path, int64_t from)
{
    assert(path[0]);
    struct scan scan;
    struct batch b;
    bool valid = true;
    enum err err = scan_open_file(&scan, s->heap, path);
    if (err != ERR_NONE)
        return err;
    while ((err = scan_peek(&scan, &b, &valid)) == ERR_NONE && valid) {
        err = batch_last_offset(&b) < from ? ERR_NONE : apply_metadata_batch(s, scan.fd, scan.at, &b, from);
        if (err != ERR_NONE)
            break;
        scan_skip(&scan, &b);
    }
    scan_close_file(&scan);
    return err;
}

struct snapshot_search {
    char name[256]; /* the newest; "": none */
    int64_t offset;
};

/* <offset, 20 digits>-<epoch, 10 digits>.checkpoint */
static bool look_for_snapshot(void *arg, const struct fs_entry *entry)
{
    assert(entry->name[0]);
    struct snapshot_search *f = arg;
    int64_t offset, epoch;
    int end = 0;
    if (entry->folder || sscanf(entry->name, "%20" SCNd64 "-%10" SCNd64 ".checkpoint%n", &offset, &epoch, &end) != 2 ||
        !end || entry->name[end])
        return true;
    if (!f->name[0] || strcmp(entry->name, f->name) > 0) {
        memcpy(f->name, entry->name, sizeof f->name);
        f->offset = offset;
    }
    return true;
}

static enum err read_metadata_folder(struct adopt_source *s, const char *dir)
{
    assert(!s->described);
    struct snapshot_search newest = {.offset = 0};
    struct folder f;
    char path[FS_PATH_MAX];
    enum err err = folder_read(&f, s->heap, dir);
    if (err != ERR_NONE)
        return err;
    s->described = true;
    err = fs_list(dir, look_for_snapshot, &newest);
    if (err == ERR_NONE && newest.name[0])
        err = adopt_path(path, dir, newest.name) ? read_metadata_file(s, path, INT64_MIN) : ERR_INVALID;
    for (uint32_t i = 0; err == ERR_NONE && i < f.segments.count; i++)
        err =
            segment_path(path, dir, f.segments.v[i], ".log") ? read_metadata_file(s, path, newest.offset) : ERR_INVALID;
    folder_close(&f);
    return err;
}

enum err adopt_metadata_read(struct adopt_source *s, struct adopt *a, char *why)
{
    assert(!s->described);
    assert(a->from_count <= ADOPT_FOLDERS_MAX);
    for (uint32_t i = 0; i < a->from_count && !s->described; i++) {
        char dir[FS_PATH_MAX];
        enum err err = adopt_path(dir, a->from[i], "__cluster_metadata-0") ? read_metadata_folder(s, dir) : ERR_INVALID;
        if (err == ERR_NOT_FOUND && !s->described)
            continue;
        if (err != ERR_NONE) {
            snprintf(why, CONFIG_WHY_BYTES, "The metadata log in %.300s cannot be understood: %s.", dir,
                     err == ERR_UNSUPPORTED ? "a transaction in it was aborted; start that Kafka once more, and stop it"
                                            : err_text(err));
            return err;
        }
    }
    if (!s->described)
        adopt_note(a, a->from[0],
                   "has no metadata log (__cluster_metadata-0): topic ids come from the partitions' folders, settings "
                   "are not known");
    if (s->broker_settings > 0)
        adopt_note(a, "broker settings",
                   "%u that were altered dynamically are not taken: set them in this broker's configuration",
                   s->broker_settings);
    return ERR_NONE;
}
