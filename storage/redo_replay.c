/* Replays the rings of a redo file, one after the other: a partition's records lie in one of them, in their order (redo_replay.h). */
#include "storage/redo_replay.h"
#include "core/log.h"
#include "storage/catalog/catalog_file.h"
#include "storage/log/batch.h"
#include "storage/log/folder.h"
#include "storage/log/partition_dir.h"
#include "storage/log/segment.h"
#include "storage/root.h"
#include <stdio.h>
#include <string.h>

enum { DOUBTS_SAID_MAX = 8 };

struct redo_replaying {
    const struct root *root;
    const struct redo_header *header;
    uint8_t *ring;  /* a copy: REDO_RING_BYTES */
    uint8_t *bytes; /* of one record: REDO_BYTES_MAX */
    uint64_t records, written, passed, doubted;
};

static void doubt_record(struct redo_replaying *v, const struct redo_record *record, const char *why)
{
    assert(why);
    if (v->doubted++ < DOUBTS_SAID_MAX)
        log_error("doubtful in shared memory",
                  "partition=%d offset=%lld bytes=%u why=\"%s\" effect=\"it is not taken\"", record->partition,
                  (long long)record->base_offset, record->bytes, why);
}

/* Every batch of it is whole, and has the place and the epoch that it must have. */
static bool are_batches_whole(const struct redo_replaying *v, const struct redo_record *record)
{
    assert(record->bytes <= REDO_BYTES_MAX);
    int64_t next = record->base_offset;
    struct batch b;
    for (uint32_t at = 0; at < record->bytes; at += b.bytes) {
        const uint8_t *from = v->bytes + at;
        if (!batch_parse(from, record->bytes - at, &b) || b.bytes > record->bytes - at || b.base_offset != next ||
            b.last_offset_delta < 0 || b.leader_epoch != v->header->of.leader_epoch ||
            batch_crc(from, b.bytes) != b.crc)
            return false;
        next = batch_last_offset(&b) + 1;
    }
    return next == record->end_offset;
}

/* Is the log still in the record's segment? It left it when every byte of that was durable; a later file that begins before the record is
 * what a roll left that failed. */
static enum err find_record_segment(const struct redo_replaying *v, const char *dir, const struct redo_record *record,
                                    bool *out_wanted)
{
    struct folder f;
    assert(v->root->heap);
    enum err err = folder_read(&f, v->root->heap, dir);
    *out_wanted = false;
    if (!err) {
        int64_t last = f.segments.count ? f.segments.v[f.segments.count - 1] : -1;
        *out_wanted = last <= record->base_offset && folder_offsets_have(&f.segments, record->segment);
        folder_close(&f);
    }
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err write_record(struct redo_replaying *v, const char *dir, const struct redo_record *record)
{
    char path[FS_PATH_MAX];
    uint64_t size;
    int fd;
    if (!segment_path(path, dir, record->segment, ".log"))
        return ERR_INVALID;
    enum err err = fs_open(path, FS_READ | FS_WRITE | FS_OWN, &fd);
    if (err)
        return err;
    err = fs_size(fd, &size);
    if (!err && (record->position > size || record->bytes > size - record->position)) {
        doubt_record(v, record, "its file is shorter");
    } else if (!err) {
        err = fs_write(fd, v->bytes, record->bytes, record->position);
        v->written += record->bytes;
    }
    fs_close(fd);
    return err;
}

static enum err replay_record(struct redo_replaying *v, const struct redo_record *record)
{
    assert(v->root->catalog);
    const struct topic *t = catalog_by_id(&v->root->catalog->all, record->topic_id);
    char dir[FS_PATH_MAX];
    uint8_t owner[16];
    bool wanted;
    if (!t || record->partition >= t->partitions || root_was_clean(v->root, t->id, record->partition)) {
        v->passed++;
        return ERR_NONE;
    }
    int n = snprintf(dir, sizeof dir, "%s/%s-%d", v->root->config->data_dir, t->name, record->partition);
    if (n < 0 || (size_t)n >= sizeof dir)
        return ERR_INVALID;
    enum err err = find_record_segment(v, dir, record, &wanted);
    if (!err && wanted)
        err = partition_dir_owner(dir, owner);
    if (err && err != ERR_NOT_FOUND) /* nobody knows whether it is needed */
        return err;
    if (err || !wanted || memcmp(owner, t->id, sizeof owner) != 0) {
        v->passed++;
        return ERR_NONE;
    }
    if (!are_batches_whole(v, record)) {
        doubt_record(v, record, "its batches are not whole");
        return ERR_NONE;
    }
    v->records++;
    return write_record(v, dir, record);
}

/* A header that makes sense, at its place. */
static bool is_record_good(const struct redo_replaying *v, const struct redo_record *record, uint64_t place,
                           uint64_t end)
{
    assert(place < end);
    return record->crc == redo_record_crc(record) && record->place == place && record->bytes > 0 &&
           record->bytes <= REDO_BYTES_MAX && record->bytes <= end - place - sizeof *record && record->partition >= 0 &&
           record->leader_epoch == v->header->of.leader_epoch && record->segment >= 0 &&
           record->segment <= record->base_offset && record->base_offset < record->end_offset &&
           record->position <= UINT32_MAX;
}

/* It stops where it makes no sense any more, and at the committed end. */
static enum err replay_ring(struct redo_replaying *v, uint64_t needed, uint64_t committed)
{
    assert(needed < committed);
    enum err err = ERR_NONE;
    for (uint64_t place = needed; place < committed && !err;) {
        struct redo_record record;
        if (committed - place < sizeof record)
            memset(&record, 0, sizeof record);
        else
            redo_ring_read(v->ring, place, &record, sizeof record);
        if (committed - place < sizeof record || !is_record_good(v, &record, place, committed)) {
            doubt_record(v, &record, "its header makes no sense, nothing behind it is looked at");
            return ERR_NONE;
        }
        redo_ring_read(v->ring, place + sizeof record, v->bytes, record.bytes);
        err = replay_record(v, &record);
        place += sizeof record + record.bytes;
    }
    return err;
}

static enum err replay_ring_of(struct redo_replaying *v, int fd, uint32_t ring)
{
    struct redo_ends ends;
    size_t got = 0;
    assert(ring < SHARDS_MAX);
    enum err err = fs_read(fd, &ends, sizeof ends, redo_ring_at(ring), &got);
    if (err || got < sizeof ends)
        return err;
    uint64_t needed = atomic_load(&ends.needed), committed = atomic_load(&ends.committed);
    if (needed == committed)
        return ERR_NONE;
    err = fs_read(fd, v->ring, REDO_RING_BYTES, redo_ring_at(ring) + PAGE_BYTES, &got);
    if (err)
        return err;
    if (got < REDO_RING_BYTES || needed > committed || committed - needed > REDO_RING_BYTES) {
        log_error("doubtful in shared memory", "ring=%u effect=\"nothing of it is taken\"", ring);
        return ERR_NONE;
    }
    return replay_ring(v, needed, committed);
}

enum err redo_replay(const struct root *r, int fd, const struct redo_header *h)
{
    assert(fd >= 0);
    assert(h->crc == redo_header_crc(h));
    struct redo_replaying v = {.root = r, .header = h};
    v.ring = heap_alloc(r->heap, REDO_RING_BYTES);
    v.bytes = heap_alloc(r->heap, REDO_BYTES_MAX);
    enum err err = v.ring && v.bytes ? ERR_NONE : ERR_NO_MEMORY;
    for (uint32_t i = 0; i < SHARDS_MAX && i < h->rings && !err; i++)
        err = replay_ring_of(&v, fd, i);
    heap_free(r->heap, v.ring);
    heap_free(r->heap, v.bytes);
    if (v.records || v.doubted)
        log_info("from shared memory", "records=%llu bytes=%llu passed=%llu doubtful=%llu",
                 (unsigned long long)v.records, (unsigned long long)v.written, (unsigned long long)v.passed,
                 (unsigned long long)v.doubted);
    return err;
}
