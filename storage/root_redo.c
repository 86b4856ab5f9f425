/* Making, finding and removing the file (root_redo.h). */
#include "storage/root_redo.h"
#include "core/log.h"
#include "storage/catalog/catalog_file.h"
#include "storage/redo_replay.h"
#include "storage/root.h"
#include <stdio.h>
#include <string.h>

#define SHARED_MEMORY_DIR "/dev/shm"

static const char *redo_dir(const struct root *r)
{
    assert(r->config->crash_dir);
    return r->config->crash_dir[0] ? r->config->crash_dir : SHARED_MEMORY_DIR;
}

enum err root_redo_identity(const struct root *r, struct redo_identity *out)
{
    assert(r->folder_fd >= 0 && r->catalog);
    struct redo_identity id = {.leader_epoch = catalog_file_epoch(r->catalog)};
    struct fs_identity folder;
    enum err err = fs_identify(r->folder_fd, &folder);
    if (!err)
        err = fs_boot_id(id.boot_id);
    id.device = folder.device;
    id.inode = folder.inode;
    if (!err)
        *out = id;
    return err;
}

static bool redo_path(char out[FS_PATH_MAX], const char *dir, const struct fs_identity *folder)
{
    assert(dir[0]);
    uint64_t mixed = folder->inode * 0x9E3779B97F4A7C15u ^ folder->device * 0xC2B2AE3D27D4EB4Fu;
    int n = snprintf(out, FS_PATH_MAX, "%s/" REDO_FILE_PREFIX "%016llx", dir, (unsigned long long)mixed);
    return n > 0 && n < FS_PATH_MAX;
}

enum err redo_header_read(int fd, int folder_fd, struct redo_header *out)
{
    assert(fd >= 0);
    size_t got = 0;
    if (!fs_is_own(fd, folder_fd))
        return ERR_CORRUPT;
    enum err err = fs_read(fd, out, sizeof *out, 0, &got);
    if (err)
        return err;
    bool whole = got == sizeof *out && memcmp(out->magic, REDO_MAGIC, sizeof out->magic) == 0 &&
                 out->crc == redo_header_crc(out) && memchr(out->path, 0, sizeof out->path);
    return whole ? ERR_NONE : ERR_CORRUPT;
}

/* --- the last life's --- */

/* Is what lies there of the life that has just ended? */
static bool is_of_last_life(const struct redo_header *h, const struct redo_identity *now)
{
    assert(now->leader_epoch >= 0);
    return PLANTED(redo_of_stale_life) ||
           (memcmp(h->of.boot_id, now->boot_id, sizeof now->boot_id) == 0 && h->of.device == now->device &&
            h->of.inode == now->inode && h->of.leader_epoch == now->leader_epoch);
}

/* What nobody can read is not of another life: it holds what was acknowledged. */
static enum err find_last_life(const struct root *r, int fd, const char *path, struct redo_header *out, bool *out_last)
{
    struct redo_identity now;
    *out_last = false;
    if (r->fresh || (r->clean && r->found.all))
        return ERR_NONE;
    enum err err = redo_header_read(fd, r->folder_fd, out);
    if (err == ERR_CORRUPT) {
        log_warn("shared memory is not taken",
                 "file=%s why=\"it is not whole, or not of the owner of the data folder\"", path);
        return ERR_NONE;
    }
    if (!err)
        err = root_redo_identity(r, &now);
    if (err)
        return err;
    *out_last = is_of_last_life(out, &now);
    if (!*out_last)
        log_info("shared memory is of another life", "file=%s effect=\"it is discarded\"", path);
    return ERR_NONE;
}

static enum err replay_left_file(struct root *r, const char *path, char *why)
{
    assert(r->lock_fd >= 0);
    struct redo_header h;
    bool last;
    int fd;
    enum err err = fs_open(path, FS_READ, &fd);
    if (err)
        return err == ERR_NOT_FOUND ? ERR_NONE : root_say_fault(why, err, path, "read");
    err = find_last_life(r, fd, path, &h, &last);
    if (!err && last)
        err = redo_replay(r, fd, &h);
    fs_close(fd);
    if (err)
        return root_say_fault(why, err, r->config->data_dir, "brought up to what was acknowledged");
    err_ignore(fs_unlink(path)); /* if it stays, no new one is made, and its epoch is over */
    return ERR_NONE;
}

enum err root_redo_replay(struct root *r, char *why)
{
    assert(r->folder_fd >= 0);
    const char *dirs[] = {SHARED_MEMORY_DIR, r->config->crash_dir};
    struct fs_identity folder;
    char path[FS_PATH_MAX];
    enum err err = fs_identify(r->folder_fd, &folder);
    if (err)
        return root_say_fault(why, err, r->config->data_dir, "examined");
    for (uint32_t i = 0; i < COUNT_OF(dirs) && !err; i++)
        if (dirs[i][0] && redo_path(path, dirs[i], &folder))
            err = replay_left_file(r, path, why);
    return err;
}

/* --- what others left --- */

/* Gone, and not only its disk: what is left of the path lies on the disk that it was on. */
static bool is_folder_gone(const struct redo_header *h)
{
    assert(h->path[0] == '/');
    char path[REDO_PATH_BYTES];
    struct fs_identity there;
    int fd;
    memcpy(path, h->path, sizeof path);
    enum err err = fs_open_folder(path, &fd);
    bool missing = err == ERR_NOT_FOUND;
    while (err == ERR_NOT_FOUND && path[1]) {
        char *slash = strrchr(path, '/');
        *(slash == path ? slash + 1 : slash) = 0;
        err = fs_open_folder(path, &fd);
    }
    if (err)
        return false;
    err = fs_identify(fd, &there);
    fs_close(fd);
    return !err && there.device == h->of.device && (missing || there.inode != h->of.inode);
}

struct redo_sweep {
    const char *dir;
    struct redo_identity now;
};

/* One whose broker lives is locked. */
static bool sweep_redo_file(void *arg, const struct fs_entry *entry)
{
    const struct redo_sweep *s = arg;
    struct redo_header h;
    char path[FS_PATH_MAX];
    int fd, n = snprintf(path, sizeof path, "%s/%s", s->dir, entry->name);
    if (entry->folder || strncmp(entry->name, REDO_FILE_PREFIX, strlen(REDO_FILE_PREFIX)) != 0 || n < 0 ||
        (size_t)n >= sizeof path || fs_open(path, FS_READ, &fd))
        return true;
    bool own = redo_header_read(fd, -1, &h) == ERR_NONE;
    bool over = own && (memcmp(h.of.boot_id, s->now.boot_id, sizeof h.of.boot_id) != 0 || is_folder_gone(&h));
    if (over && fs_lock(fd) == ERR_NONE) {
        enum err err = fs_unlink(path);
        log_info("left in shared memory", "file=%s of=%s result=\"%s\"", path, h.path, err_text(err));
    }
    fs_close(fd);
    return true;
}

/* --- this one's --- */

static bool refuse_redo(struct root_redo *redo, const char *what)
{
    assert(redo->fd < 0);
    assert(what[0]);
    snprintf(redo->why, sizeof redo->why, "%s", what);
    return false;
}

static bool may_have_redo(struct root *r)
{
    bool asked = r->config->crash == CRASH_SHM || r->config->crash_dir[0];
    assert(r->config->crash != CRASH_WRITTEN);
    if (!asked && !fs_is_outside_containers())
        return refuse_redo(&r->redo, "a container's /dev/shm may end with it: set crash.dir");
    if (!r->traits.allocates)
        return refuse_redo(&r->redo, "the data folder's file system makes no space ahead");
    return true;
}

static enum err fill_redo_file(struct root *r, const struct redo_identity *id, int fd)
{
    struct redo_header h = {.of = *id, .rings = SHARDS_MAX};
    size_t bytes = (size_t)redo_ring_at(SHARDS_MAX);
    void *at;
    assert(id->leader_epoch == r->leader_epoch);
    memcpy(h.magic, REDO_MAGIC, sizeof h.magic);
    enum err err = fs_absolute(r->config->data_dir, h.path, sizeof h.path);
    if (!err)
        err = fs_lock(fd);
    if (!err)
        err = fs_file_bytes_max() < bytes ? ERR_NO_SPACE : fs_truncate(fd, bytes);
    if (!err)
        err = fs_map_open(fd, bytes, &at);
    if (err)
        return err;
    h.crc = redo_header_crc(&h);
    err = fs_write(fd, &h, sizeof h, 0);
    if (err) {
        fs_unmap(at, bytes);
        return err;
    }
    r->redo.fd = fd;
    r->redo.at = at;
    r->redo.bytes = bytes;
    return ERR_NONE;
}

static enum err make_redo_file(struct root *r)
{
    assert(r->redo.fd < 0);
    struct redo_identity id;
    struct fs_identity folder;
    int fd;
    enum err err = root_redo_identity(r, &id);
    if (err)
        return err;
    folder = (struct fs_identity){.device = id.device, .inode = id.inode};
    if (!redo_path(r->redo.path, redo_dir(r), &folder))
        return ERR_INVALID;
    struct redo_sweep sweep = {.dir = redo_dir(r), .now = id};
    err = fs_list(sweep.dir, sweep_redo_file, &sweep);
    if (!err)
        err = fs_open(r->redo.path, FS_READ | FS_WRITE | FS_CREATE | FS_EXCLUSIVE | FS_PRIVATE, &fd);
    if (err)
        return err;
    err = fill_redo_file(r, &id, fd);
    if (err) {
        fs_close(fd);
        err_ignore(fs_unlink(r->redo.path)); /* without its header it says nothing */
    }
    return err;
}

enum err root_redo_open(struct root *r, char *why)
{
    assert(r->redo.fd < 0);
    if (r->config->crash == CRASH_WRITTEN)
        return ERR_NONE;
    if (may_have_redo(r)) {
        enum err err = make_redo_file(r);
        if (err)
            snprintf(r->redo.why, sizeof r->redo.why, "%.100s: %s", redo_dir(r), err_text(err));
    }
    if (r->redo.fd >= 0 || r->config->crash != CRASH_SHM)
        return ERR_NONE;
    snprintf(why, CONFIG_WHY_BYTES,
             "crash.route=shm cannot be kept: %s; set crash.route=auto, or crash.dir to another folder.", r->redo.why);
    return ERR_UNSUPPORTED;
}

uint8_t *root_redo_ring(struct root *r, uint32_t shard)
{
    assert(shard < SHARDS_MAX);
    if (r->redo.fd < 0)
        return NULL;
    uint64_t at = redo_ring_at(shard);
    enum err err = fs_allocate(r->redo.fd, at, redo_ring_at(shard + 1) - at);
    if (!err)
        return r->redo.at + at;
    log_warn("no shared memory", "file=%s shard=%u why=\"%s\" effect=\"acks of write.caching wait for writes\"",
             r->redo.path, shard, err_text(err));
    return NULL;
}

enum err root_redo_check(const struct root *r)
{
    assert(r->folder_fd >= 0);
    bool same = true;
    if (r->redo.fd >= 0 && fs_is_same(r->redo.fd, r->redo.path, &same) != ERR_NONE)
        return ERR_NONE; /* it cannot be asked: no proof */
    return same ? ERR_NONE : ERR_NOT_FOUND;
}

/* Rings that were never used are holes, which reading by a mapping might not find room for: they are read. */
static bool is_redo_needed(const struct root *r)
{
    assert(r->redo.at);
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        struct redo_ends ends;
        size_t got = 0;
        if (fs_read(r->redo.fd, &ends, sizeof ends, redo_ring_at(i), &got) || got < sizeof ends ||
            atomic_load(&ends.committed) != atomic_load(&ends.needed))
            return true;
    }
    return false;
}

void root_redo_close(struct root *r)
{
    if (r->redo.fd < 0)
        return;
    assert(r->redo.at);
    if (root_redo_check(r) != ERR_NONE) /* what stands there now, if anything, is not ours */
        log_warn("shared memory lost", "file=%s why=\"it was deleted or replaced\" effect=\"%s\"", r->redo.path,
                 is_redo_needed(r) ? "what failed writes lacked is lost" : "none: the logs have it all");
    else if (!is_redo_needed(r))
        err_ignore(fs_unlink(r->redo.path)); /* the next start does it */
    else
        log_warn("shared memory is kept",
                 "file=%s why=\"writes failed: the next start takes what they lacked from there\"", r->redo.path);
    fs_unmap(r->redo.at, r->redo.bytes);
    fs_close(r->redo.fd);
    r->redo.fd = -1;
}
