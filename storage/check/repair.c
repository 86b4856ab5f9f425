/* What can be done for a damaged data folder (check.h). */
#include "storage/catalog/meta.h"
#include "storage/check/check.h"
#include "storage/log/folder.h"
#include "storage/log/partition_dir.h"
#include "storage/log/segment.h"
#include "storage/uuid.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SIDE_TRIES = 10000, COPY_BYTES = 1 << 20, PRODUCER_MARGIN = CATALOG_PRODUCER_BLOCK };

/* --- the side folder --- */

static enum err make_side(struct check *c)
{
    for (int i = 0; !c->side[0] && i < SIDE_TRIES; i++) {
        char path[FS_PATH_MAX], name[sizeof c->side];
        snprintf(name, sizeof name, "repaired-%d", i);
        int n = snprintf(path, sizeof path, "%s/%s", c->data_dir, name);
        enum err err = n > 0 && n < FS_PATH_MAX ? fs_mkdir(path) : ERR_INVALID;
        if (err == ERR_NONE)
            memcpy(c->side, name, sizeof name);
        else if (err != ERR_EXISTS)
            return err;
    }
    return c->side[0] ? ERR_NONE : ERR_EXISTS;
}

/* "<data>/<side>/<folder>/<file>"; the folders are made. */
static enum err make_side_path(struct check *c, const char *folder, const char *file, char out[FS_PATH_MAX])
{
    assert(file && out);
    enum err err = make_side(c);
    if (err == ERR_NONE && folder) {
        int n = snprintf(out, FS_PATH_MAX, "%s/%s/%s", c->data_dir, c->side, folder);
        err = n > 0 && n < FS_PATH_MAX ? fs_mkdir(out) : ERR_INVALID;
        err = err == ERR_EXISTS ? ERR_NONE : err;
    }
    if (err != ERR_NONE)
        return err;
    int n =
        snprintf(out, FS_PATH_MAX, "%s/%s/%s%s%s", c->data_dir, c->side, folder ? folder : "", folder ? "/" : "", file);
    return n > 0 && n < FS_PATH_MAX ? ERR_NONE : ERR_INVALID;
}

enum err repair_move(struct check *c, const char *folder, const char *file)
{
    assert(file);
    char from[FS_PATH_MAX], to[FS_PATH_MAX];
    int n = snprintf(from, sizeof from, "%s%s%s/%s", c->data_dir, folder ? "/" : "", folder ? folder : "", file);
    enum err err = n > 0 && n < FS_PATH_MAX ? make_side_path(c, folder, file, to) : ERR_INVALID;
    if (err == ERR_NONE)
        err = fs_rename(from, to);
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* --- logs --- */

static enum err copy_rest(struct check *c, int from, int to, uint64_t at, uint64_t end)
{
    assert(at <= end);
    enum err err = ERR_NONE;
    size_t got = 1;
    uint8_t *piece = heap_alloc(c->heap, COPY_BYTES);
    if (!piece)
        return ERR_NO_MEMORY;
    for (uint64_t done = 0; err == ERR_NONE && got > 0 && at + done < end; done += got) {
        err = fs_read(from, piece, u64_min(COPY_BYTES, end - at - done), at + done, &got);
        if (err == ERR_NONE && got > 0)
            err = fs_write(to, piece, got, done);
    }
    heap_free(c->heap, piece);
    return err == ERR_NONE ? fs_sync(to) : err;
}

/* What lies behind the cut is kept as <segment>.log.from-<byte>. */
static enum err cut_segment(struct check *c, const char *folder, const struct check_log *log)
{
    assert(log->state == CHECK_LOG_DAMAGED);
    assert(log->bad_segment >= 0);
    char dir[FS_PATH_MAX], path[FS_PATH_MAX], kept[FS_PATH_MAX], name[64];
    int from, to;
    uint64_t size = 0;
    snprintf(name, sizeof name, "%020" PRId64 ".log.from-%llu", log->bad_segment,
             (unsigned long long)log->bad_position);
    int n = snprintf(dir, sizeof dir, "%s/%s", c->data_dir, folder);
    if (n < 0 || n >= FS_PATH_MAX || !segment_path(path, dir, log->bad_segment, ".log"))
        return ERR_INVALID;
    enum err err = make_side_path(c, folder, name, kept);
    if (err == ERR_NONE)
        err = fs_open(path, FS_READ | FS_WRITE | FS_OWN, &from);
    if (err != ERR_NONE)
        return err;
    err = fs_open(kept, FS_WRITE | FS_CREATE | FS_TRUNCATE, &to);
    if (err == ERR_NONE) {
        err = fs_size(from, &size);
        if (err == ERR_NONE)
            err = copy_rest(c, from, to, log->bad_position, size);
        fs_close(to);
    }
    if (err == ERR_NONE)
        err = fs_truncate(from, log->bad_position);
    if (err == ERR_NONE)
        err = fs_sync(from);
    fs_close(from);
    return err;
}

static enum err move_segment(struct check *c, const char *folder, int64_t base, bool with_log)
{
    assert(base >= 0);
    static const char *const suffixes[] = {".snapshot", ".timeindex", ".index",
                                           ".log"}; /* the log last: folder_lost_segment */
    enum err err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < COUNT_OF(suffixes) - !with_log; i++) {
        char name[64];
        snprintf(name, sizeof name, "%020" PRId64 "%s", base, suffixes[i]);
        err = repair_move(c, folder, name);
    }
    return err;
}

enum err repair_cut_log(struct check *c, const char *folder, const struct check_log *log)
{
    assert(log->bad_segment >= 0);
    struct folder f;
    char dir[FS_PATH_MAX];
    uint32_t moved = 0;
    assert(log->state == CHECK_LOG_DAMAGED);
    int n = snprintf(dir, sizeof dir, "%s/%s", c->data_dir, folder);
    enum err err = n > 0 && n < FS_PATH_MAX ? folder_read(&f, c->heap, dir) : ERR_INVALID;
    if (err != ERR_NONE)
        return err;
    for (uint32_t i = f.segments.count; err == ERR_NONE && i-- > 0 && f.segments.v[i] > log->bad_segment; moved++)
        err = move_segment(c, folder, f.segments.v[i], true);
    if (err == ERR_NONE && f.segments.count > 0)
        err = cut_segment(c, folder, log);
    for (uint32_t i = 0; err == ERR_NONE && i < f.snapshots.count; i++)
        if (f.snapshots.v[i] > log->end_offset)
            err = move_segment(c, folder, f.snapshots.v[i], false);
    if (err == ERR_NONE && f.segments.count > 0) /* built again */
        err = move_segment(c, folder, log->bad_segment, false);
    folder_close(&f);
    if (err == ERR_NONE)
        err = fs_sync_dir(dir);
    if (err == ERR_NONE)
        check_repaired(c, folder,
                       "ends with offset %" PRId64 " now: what was behind byte %llu of segment %" PRId64
                       " and %u later segments are kept in %s",
                       log->end_offset, (unsigned long long)log->bad_position, log->bad_segment, moved, c->side);
    return err;
}

/* What stood beside them says only that they are missing. */
static enum err forget_lost_segments(struct check *c, const char *folder, const struct check_log *log)
{
    assert(log->lost_segments > 0);
    struct folder f;
    char dir[FS_PATH_MAX];
    int n = snprintf(dir, sizeof dir, "%s/%s", c->data_dir, folder);
    enum err err = n > 0 && n < FS_PATH_MAX ? folder_read(&f, c->heap, dir) : ERR_INVALID;
    if (err != ERR_NONE)
        return err;
    for (int64_t at = log->start_offset; err == ERR_NONE && (at = folder_lost_segment(&f, at)) >= 0; at++)
        err = move_segment(c, folder, at, false);
    folder_close(&f);
    if (err == ERR_NONE)
        err = fs_sync_dir(dir);
    if (err == ERR_NONE)
        check_repaired(c, folder, "goes on without %u segments that are missing: their offsets are a gap",
                       log->lost_segments);
    return err;
}

/* --- the catalog --- */

static enum err adopt_topic(struct check *c, const char *folder, size_t topic_bytes, int32_t partition,
                            const uint8_t id[16])
{
    assert(!catalog_file_knew(c->catalog, id));
    assert(partition < TOPIC_PARTITIONS_MAX);
    char name[TOPIC_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)topic_bytes, folder);
    if (catalog_plain_taken(c->catalog, name)) {
        check_fault(c, folder, "a topic of this name, or one that differs only in . and _, has another id: left alone");
        return ERR_NONE;
    }
    struct topic *t = catalog_topic_new(c->catalog, id, name, partition + 1, NULL, 0);
    enum err err = t ? catalog_file_add(c->catalog, t) : ERR_NO_MEMORY;
    if (err == ERR_NONE)
        check_repaired(
            c, folder,
            "topic %s is in the catalog again; its settings are not known, nor whether it had more partitions", name);
    else if (t)
        catalog_topic_free(c->catalog, t);
    return err;
}

static enum err grow_topic(struct check *c, struct topic *old, int32_t partitions)
{
    assert(partitions > old->partitions);
    struct topic *t =
        catalog_topic_version(c->catalog, old, partitions, old->overrides, old->override_count, c->config);
    if (!t)
        return ERR_NO_MEMORY;
    catalog_file_replace(c->catalog, old, t);
    catalog_topic_free(c->catalog, old);
    check_repaired(c, t->name, "has %d partitions, as its folders show", partitions);
    return ERR_NONE;
}

/* A folder whose topic the catalog, put together, lacks. */
static enum err adopt_folder(struct check *c, const char *folder, size_t topic_bytes, int32_t partition)
{
    assert(c->catalog);
    char path[FS_PATH_MAX];
    uint8_t id[16];
    int n = snprintf(path, sizeof path, "%s/%s", c->data_dir, folder);
    if (n < 0 || n >= FS_PATH_MAX || partition >= TOPIC_PARTITIONS_MAX)
        return ERR_NONE;
    if (!partition_dir_topic(path, id)) {
        if (!catalog_by_name(&c->catalog->all, (const uint8_t *)folder, topic_bytes))
            check_fault(c, folder, "has no partition.metadata: which topic's it is, is not known; left alone");
        return ERR_NONE;
    }
    struct topic *t = catalog_by_id(&c->catalog->all, id);
    if (t)
        return partition < t->partitions ? ERR_NONE : grow_topic(c, t, partition + 1);
    return catalog_file_knew(c->catalog, id) ? ERR_NONE : adopt_topic(c, folder, topic_bytes, partition, id);
}

struct repair_listing {
    struct check *check;
    enum err (*each)(struct check *c, const char *folder, size_t topic_bytes, int32_t partition);
    enum err err;
};

static bool visit_partition_folder(void *arg, const struct fs_entry *entry)
{
    struct repair_listing *l = arg;
    assert(l->err == ERR_NONE);
    size_t bytes = 0;
    int32_t partition = entry->folder ? strays_partition_of(entry->name, &bytes) : -1;
    if (partition >= 0)
        l->err = l->each(l->check, entry->name, bytes, partition);
    return l->err == ERR_NONE;
}

static enum err each_partition_folder(struct check *c, enum err (*each)(struct check *c, const char *folder,
                                                                        size_t topic_bytes, int32_t partition))
{
    assert(each);
    struct repair_listing l = {.check = c, .each = each};
    enum err err = fs_list(c->data_dir, visit_partition_folder, &l);
    return err == ERR_NONE ? l.err : err;
}

static enum err rebuild_catalog(struct check *c)
{
    assert(!c->catalog);
    char why[CONFIG_WHY_BYTES];
    uint32_t records = 0;
    enum err err = catalog_file_salvage(c->data_dir, c->heap, c->config, &c->catalog, &records, why);
    if (err != ERR_NONE)
        return err;
    check_repaired(
        c, "catalog",
        "put together from %u good records and the partitions' folders; what it lost cannot be known: settings, "
        "topics without data, deletions",
        records);
    for (uint32_t i = 0; i < c->catalog->all.count; i++)
        check_note(c, c->catalog->all.sorted[i]->name,
                   "is in the catalog by a record of its own; it may have been deleted or altered since");
    return each_partition_folder(c, adopt_folder);
}

static enum err repair_partition(struct check *c, const char *folder, size_t topic_bytes, int32_t partition)
{
    assert(c->catalog);
    struct check_log log;
    struct check_partition p = {.folder = folder, .partition = partition};
    char path[FS_PATH_MAX];
    uint8_t id[16];
    snprintf(path, sizeof path, "%s/%s", c->data_dir, folder);
    p.topic = catalog_by_name(&c->catalog->all, (const uint8_t *)folder, topic_bytes);
    bool named = partition_dir_topic(path, id);
    if (!p.topic || partition >= p.topic->partitions || (named && memcmp(id, p.topic->id, 16) != 0))
        return ERR_NONE; /* not ours to touch */
    enum err err = check_partition(c, &p, &log);
    if (err == ERR_NONE && log.state == CHECK_LOG_DAMAGED)
        err = repair_cut_log(c, folder, &log);
    if (err == ERR_NONE && log.lost_segments > 0)
        err = forget_lost_segments(c, folder, &log);
    if (err == ERR_NONE && !named) {
        err = partition_dir_name(path, p.topic->id);
        if (err == ERR_NONE)
            check_repaired(c, folder, "partition.metadata is there again");
    }
    return err;
}

/* Checkpoints and the clean mark say things of logs that are no longer so; without them the next start reads all. */
static enum err move_marks(struct check *c)
{
    static const char *const names[] = {".clean", "catalog.end"};
    enum err err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < COUNT_OF(names); i++)
        err = repair_move(c, NULL, names[i]);
    for (unsigned i = 0; err == ERR_NONE && i < SHARDS_MAX; i++) {
        char name[64];
        snprintf(name, sizeof name, "recovery-point-%u.checkpoint", i);
        err = repair_move(c, NULL, name);
    }
    return err;
}

/* Above everything that was found, which check_partition keeps far from where numbers end. */
static void raise_catalog_numbers(struct check *c)
{
    assert(c->catalog);
    assert(c->epoch_max < INT32_MAX);
    assert(c->producer_max <= INT64_MAX / 2);
    struct catalog_file *f = c->catalog;
    if (f->epoch <= c->epoch_max)
        f->epoch = c->epoch_max + 1;
    if (f->ids_reserved <= c->producer_max)
        f->ids_reserved = c->producer_max + 1;
    f->ids_reserved += PRODUCER_MARGIN; /* a block may have been handed out and not used */
    check_repaired(c, "catalog", "the leader epoch goes on from %d, producer ids from %lld", f->epoch,
                   (long long)f->ids_reserved);
}

static enum err repair_meta(struct check *c)
{
    assert(c->config);
    struct meta m = {.version = 1, .node_id = c->config->node_id, .format = META_FORMAT};
    struct meta old;
    struct rng rng = {.state = rng_seed_os()};
    uint8_t id[UUID_BYTES];
    enum err err = meta_load(c->heap, c->data_dir, &old);
    if (err == ERR_NONE)
        return ERR_NONE;
    if (err != ERR_NOT_FOUND && err != ERR_CORRUPT)
        return err;
    uuid_random(&rng, id);
    uuid_text(id, m.cluster_id);
    if (err == ERR_CORRUPT)
        err = repair_move(c, NULL, "meta.properties");
    else
        err = ERR_NONE;
    if (err == ERR_NONE)
        err = meta_save(c->data_dir, &m, true);
    if (err == ERR_NONE)
        check_repaired(c, "meta.properties", "made anew: the cluster id is %s, the node id %lld", m.cluster_id,
                       (long long)m.node_id);
    return err;
}

static enum err write_repaired_catalog(struct check *c, bool rebuilt, char *why)
{
    assert(c->catalog);
    bool whole = true;
    for (int i = 0; i < CATALOG_COPIES; i++) {
        const struct catalog_view *v = &c->catalog->copies[i].view;
        whole &= v->format == CATALOG_FORMAT && v->state == CATALOG_WHOLE && v->wave == c->catalog->wave;
    }
    if (whole && !rebuilt)
        return ERR_NONE;
    for (int i = 0; rebuilt && i < CATALOG_COPIES; i++) {
        enum err err = repair_move(c, NULL, i ? "catalog.copy" : "catalog");
        if (err != ERR_NONE)
            return err;
        c->catalog->copies[i].view = (struct catalog_view){.state = CATALOG_NEW};
    }
    enum err err = catalog_file_prepare(c->catalog, why);
    if (err == ERR_NONE)
        check_repaired(c, "catalog", "both copies are whole: %u topics", c->catalog->all.count);
    return err;
}

enum err repair_run(struct check *c, char *why)
{
    assert(why);
    enum err err = check_open(c, why);
    bool rebuilt = false;
    why[0] = err == ERR_NONE ? 0 : why[0];
    if (err == ERR_NONE)
        err = repair_meta(c);
    if (err == ERR_NONE && !c->catalog) {
        rebuilt = true;
        err = rebuild_catalog(c);
    }
    uint64_t before = c->repairs;
    if (err == ERR_NONE)
        err = each_partition_folder(c, repair_partition);
    if (err == ERR_NONE && (c->repairs > before || rebuilt))
        err = move_marks(c);
    if (err == ERR_NONE && rebuilt)
        raise_catalog_numbers(c);
    if (err == ERR_NONE)
        err = write_repaired_catalog(c, rebuilt, why);
    if (err == ERR_NONE && c->side[0])
        err = fs_sync_dir(c->data_dir);
    if (err != ERR_NONE && !why[0])
        snprintf(why, CONFIG_WHY_BYTES, "The data folder %.300s cannot be repaired: %s.", c->data_dir, err_text(err));
    check_close(c);
    return err;
}
