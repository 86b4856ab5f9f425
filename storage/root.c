/* The data folder, opened and closed (root.h). */
#include "storage/root.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/catalog/meta.h"
#include "storage/expiry_clock.h"
#include "storage/root_lock.h"
#include "storage/root_owner.h"
#include "storage/root_redo.h"
#include "storage/uuid.h"
#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = CONFIG_WHY_BYTES };

/* --- the folder --- */

/* Makes the folder and those above it. */
static enum err make_data_folders(const char *dir)
{
    assert(dir && dir[0]);
    char path[FS_PATH_MAX];
    snprintf(path, sizeof path, "%s", dir);
    for (char *at = path + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = 0;
        enum err err = fs_mkdir(path); /* what stands in the way shows when the last one is made */
        *at = '/';
        if (err == ERR_NO_SPACE || err == ERR_IO)
            return err;
    }
    enum err err = fs_mkdir(path);
    return err == ERR_EXISTS ? ERR_NONE : err;
}

/* Reading a folder as if it were a file is refused; an error of another kind speaks for itself. */
static bool is_data_folder_file(const char *path)
{
    char byte;
    size_t got;
    int fd;
    if (fs_open(path, FS_READ, &fd) != ERR_NONE)
        return false;
    bool file = fs_read(fd, &byte, 1, 0, &got) == ERR_NONE;
    fs_close(fd);
    return file;
}

enum err root_say_fault(char *why, enum err err, const char *dir, const char *what)
{
    assert(err != ERR_NONE);
    assert(why && dir && what);
    const char *advice = err == ERR_PERMISSION
                             ? "give this user the right to write there, or set log.dirs to another folder"
                         : err == ERR_READ_ONLY ? "mount it for writing, or set log.dirs to a folder on another one"
                         : err == ERR_NO_SPACE  ? "make room on that disk, or set log.dirs to a folder on another one"
                         : err == ERR_NO_MEMORY ? "give the broker more memory"
                                                : "look at that disk, or set log.dirs to another folder";
    snprintf(why, WHY_BYTES, "The data folder %.200s cannot be %s: %s; %s.", dir, what, err_text(err), advice);
    return err;
}

static enum err open_data_folder(struct root *r, char *why)
{
    assert(r->folder_fd < 0);
    const char *dir = r->config->data_dir;
    enum err err = root_owner_check(r->heap, dir, why);
    if (err != ERR_NONE)
        return err;
    err = make_data_folders(dir);
    if (err == ERR_NONE)
        err = root_lock_folder(r, why);
    else
        err = root_say_fault(why, err, dir, "opened");
    if (err == ERR_NONE || err == ERR_BUSY || !is_data_folder_file(dir))
        return err;
    snprintf(why, WHY_BYTES, "The data folder %.300s is a file, not a folder; set log.dirs to a folder.", dir);
    return err;
}

/* --- meta.properties and the catalog --- */

static enum err check_format(const struct root *r, const struct meta *m, char *why)
{
    assert(m->format >= 0);
    if (m->format <= META_FORMAT && m->version <= 1)
        return ERR_NONE;
    snprintf(
        why, WHY_BYTES,
        "The data folder %.300s was written by a newer release (format %lld, this one knows %d); start that release.",
        r->config->data_dir, (long long)(m->version > 1 ? m->version : m->format), META_FORMAT);
    return ERR_UNSUPPORTED;
}

/* `found` is none in a new folder, and in one whose first start lost its power. */
static enum err make_meta(struct root *r, bool found, struct meta *m, char *why)
{
    assert(r->catalog);
    assert(found || r->fresh);
    if (!found) {
        struct rng rng = {.state = rng_seed_os()};
        uint8_t id[UUID_BYTES];
        uuid_random(&rng, id);
        *m = (struct meta){.version = 1, .retention = META_RETENTION};
        uuid_text(id, m->cluster_id);
    }
    m->node_id = r->config->node_id;
    m->format = META_FORMAT;
    enum err err = meta_save(r->config->data_dir, m, !r->fresh);
    return err == ERR_NONE ? ERR_NONE : root_say_fault(why, err, r->config->data_dir, "written");
}

static enum err open_meta_and_catalog(struct root *r, char *why)
{
    assert(r->lock_fd >= 0);
    assert(!r->catalog);
    const char *dir = r->config->data_dir;
    struct meta m = {0};
    enum err err = root_owner_check(r->heap, dir, why); /* nobody else writes there from now on */
    if (err != ERR_NONE)
        return err;
    enum err found = meta_load(r->heap, dir, &m);
    if (found != ERR_NONE && found != ERR_NOT_FOUND && found != ERR_CORRUPT)
        return root_say_fault(why, found, dir, "read");
    if (found == ERR_NONE && (err = check_format(r, &m, why)) != ERR_NONE)
        return err;
    err = catalog_file_open(dir, r->heap, r->config, r->clean, &r->catalog, why);
    if (err != ERR_NONE)
        return err;
    r->fresh = catalog_file_empty(r->catalog);
    if (found != ERR_NONE && !r->fresh)
        return root_owner_refuse_meta(dir, found == ERR_NOT_FOUND, why);
    if (found == ERR_NONE && m.node_id != r->config->node_id)
        log_warn("another node id", "data=%s was=%lld is=%d", dir, (long long)m.node_id, r->config->node_id);
    bool right = found == ERR_NONE && m.node_id == r->config->node_id && m.format == META_FORMAT;
    err = right ? ERR_NONE : make_meta(r, found == ERR_NONE, &m, why);
    memcpy(r->cluster_id, m.cluster_id, sizeof r->cluster_id);
    r->retention_marked = m.retention >= META_RETENTION;
    return err == ERR_NONE ? catalog_file_prepare(r->catalog, why) : err; /* older releases stay out from here on */
}

/* --- how it is written --- */

/* Asked for by name, direct only has to work; by itself it is chosen where it is known to be good. */
static enum err choose_disk_route(struct root *r, char *why)
{
    const char *dir = r->config->data_dir;
    char path[FS_PATH_MAX];
    int fd;
    enum err err = fs_probe(dir, &r->traits);
    if (err != ERR_NONE)
        return root_say_fault(why, err, dir, "examined");
    r->direct = r->config->disk == DISK_DIRECT || (r->config->disk == DISK_AUTO && r->traits.direct);
    if (r->config->disk != DISK_DIRECT || r->traits.direct)
        return ERR_NONE;
    snprintf(path, sizeof path, "%s/.lock", dir);
    err = fs_open(path, FS_READ | FS_DIRECT, &fd);
    if (err == ERR_NONE) {
        fs_close(fd);
        return ERR_NONE;
    }
    snprintf(why, WHY_BYTES,
             "disk.io=direct does not work in %.200s (%s): set disk.io=auto, or log.dirs to another folder.", dir,
             r->traits.type);
    return ERR_UNSUPPORTED;
}

/* --- after the last stop --- */

static enum err load_stop_marks(struct root *r, char *why)
{
    assert(!r->checkpoints);
    const char *dir = r->config->data_dir;
    enum err err = clean_mark_load(&r->found, dir);
    r->clean = err == ERR_NONE;
    if (err == ERR_NOT_FOUND)
        err = ERR_NONE;
    if (err == ERR_NONE)
        err = checkpoint_set_load(r->heap, dir, &r->checkpoints);
    return err == ERR_NONE ? ERR_NONE : root_say_fault(why, err, dir, "read");
}

/* A broker that appends from here on must be told apart from what may lie behind a torn end: by the epoch. */
static enum err begin_after_last_stop(struct root *r, char *why)
{
    assert(r->catalog && r->checkpoints);
    enum err err = ERR_NONE;
    r->last_seen_ms = expiry_clock_load(r->config->data_dir);
    expiry_clock_say_gap(r->last_seen_ms, clock_wall_ms());
    r->leader_epoch = catalog_file_epoch(r->catalog);
    bool unclean = !r->fresh && !(r->clean && r->found.all);
    if (unclean)
        err = catalog_file_bump_epoch(r->catalog, &r->leader_epoch);
    if (err == ERR_NONE &&
        unclean) /* a partition's first roll may have been cut short before its folder's name was durable */
        err = fs_sync_dir(r->config->data_dir);
    if (err == ERR_NONE)
        err = clean_mark_remove(r->config->data_dir);
    if (err == ERR_NONE && !r->fresh)
        err = root_sweep(r);
    return err == ERR_NONE ? ERR_NONE : root_say_fault(why, err, r->config->data_dir, "made ready");
}

enum err root_open(struct broker_config *config, struct heap *heap, struct root **out_root, char *why)
{
    assert(config && heap && out_root);
    struct root *r = heap_zalloc(heap, sizeof *r);
    if (!r)
        return root_say_fault(why, ERR_NO_MEMORY, config->data_dir, "opened");
    r->config = config;
    r->heap = heap;
    r->folder_fd = r->lock_fd = r->redo.fd = -1;
    clean_mark_init(&r->found, heap);
    clean_mark_init(&r->next, heap);
    enum err (*const steps[])(struct root * r, char *why) = {open_data_folder,      root_lock_file,    load_stop_marks,
                                                             open_meta_and_catalog, choose_disk_route, root_redo_replay,
                                                             begin_after_last_stop, root_redo_open};
    enum err err = ERR_NONE;
    for (uint32_t i = 0; err == ERR_NONE && i < COUNT_OF(steps); i++)
        err = steps[i](r, why);
    if (err != ERR_NONE) {
        root_close(r);
        return err;
    }
    *out_root = r;
    return ERR_NONE;
}

bool root_was_clean(const struct root *r, const uint8_t topic_id[16], int32_t partition)
{
    assert(partition >= 0);
    return r->clean && clean_mark_has(&r->found, topic_id, partition);
}

enum err root_mark_add(struct root *r, const uint8_t topic_id[16], int32_t partition)
{
    assert(partition >= 0);
    return clean_mark_add(&r->next, topic_id, partition);
}

/* A folder in which no topic was ever made needs no mark: nothing is to be recovered there. */
enum err root_mark_write(struct root *r)
{
    assert(r->catalog);
    if (catalog_file_empty(r->catalog))
        return ERR_NONE;
    r->next.all = r->next.count == catalog_file_partitions(r->catalog);
    err_ignore(expiry_clock_save(r->config->data_dir, clock_wall_ms())); /* it was noted minutes ago */
    enum err err = catalog_file_note_end(r->catalog);
    return err == ERR_NONE ? clean_mark_save(&r->next, r->config->data_dir) : err; /* which syncs the folder */
}

/* The lock goes last. */
void root_close(struct root *r)
{
    root_redo_close(r);
    if (r->checkpoints)
        checkpoint_set_close(r->checkpoints);
    if (r->catalog)
        catalog_file_close(r->catalog);
    clean_mark_deinit(&r->found);
    clean_mark_deinit(&r->next);
    if (r->lock_fd >= 0)
        fs_close(r->lock_fd);
    if (r->folder_fd >= 0)
        fs_close(r->folder_fd);
    heap_free(r->heap, r);
}
