/* What the jobs of a partition's space do: files that are made, named, saved, trimmed, opened (space.c says when). */
#include "storage/log/space_job.h"
#include "storage/log/partition_dir.h"
#include <stdio.h>
#include <string.h>

enum { BALLAST_GIVEN_BYTES = 64 * 1024 };
/* Recovery removes it, as all that ends like this. */
static const char ahead_name[] = "next-segment.tmp";

static enum err write_partition_file(const struct space_job *j, const char *name, const void *at, size_t bytes)
{
    assert(at || !bytes);
    char path[FS_PATH_MAX];
    size_t dir = strlen(j->dir), tail = strlen(name);
    if (dir + tail + 2 > sizeof path)
        return ERR_INVALID;
    memcpy(path, j->dir, dir);
    path[dir] = '/';
    memcpy(path + dir + 1, name, tail + 1);
    return segment_write_file(path, at, bytes);
}

static enum err save_epochs(const struct space_job *j)
{
    assert(j->epochs || !j->epochs_bytes);
    return j->epochs ? write_partition_file(j, "leader-epoch-checkpoint", j->epochs, j->epochs_bytes) : ERR_NONE;
}

static enum err save_snapshot(const struct space_job *j)
{
    assert(j->producers);
    char path[FS_PATH_MAX];
    if (!segment_path(path, j->dir, j->next_offset, ".snapshot"))
        return ERR_INVALID;
    struct heap *heap = heap_open();
    size_t bytes = producers_snapshot_bytes(j->producers);
    uint8_t *at = heap ? heap_alloc(heap, bytes) : NULL;
    enum err err = at ? ERR_NONE : ERR_NO_MEMORY;
    if (at) {
        producers_snapshot(j->producers, at);
        err = segment_put_file(path, at, bytes, !j->sync_later);
        heap_free(heap, at);
    }
    if (heap)
        heap_close(heap);
    return err;
}

/* Saves what stands beside the segment, and trims it to its batches last: so one that is not trimmed tells that its indexes may not
 * be whole. */
static enum err save_old_segment(struct space_job *j)
{
    assert(j->old_fd >= 0);
    assert(j->producers || j->kind == JOB_STOP);
    enum err err = segment_put_index(j->dir, j->old, !j->sync_later);
    if (!err)
        err = segment_put_aborted(j->dir, j->old, !j->sync_later);
    if (!err && j->producers)
        err = save_snapshot(j);
    return err ? err : fs_truncate(j->old_fd, j->old_bytes);
}

static enum err make_partition_folder(const struct space_job *j)
{
    assert(j->data_dir);
    enum err err = partition_dir_make(j->dir, j->topic_id);
    return err ? err : fs_sync_dir(j->data_dir);
}

static unsigned segment_flags(const struct space_job *j)
{
    return FS_READ | FS_WRITE | (j->direct ? FS_DIRECT : 0);
}

/* A file with its first step of space. */
static enum err create_file(struct space_job *j, const char *path)
{
    assert(j->fd < 0);
    assert(j->step % PAGE_BYTES == 0 && j->step > 0);
    enum err err = fs_open(path, segment_flags(j) | FS_CREATE | FS_TRUNCATE, &j->fd);
    if (err)
        return err;
    err = fs_allocate(j->fd, 0, j->step);
    j->allocated = err ? 0 : j->step;
    if (err == ERR_UNSUPPORTED) {
        j->allocated = UINT64_MAX;
        err = ERR_NONE;
    }
    return err;
}

static void drop_created_file(struct space_job *j, const char *path)
{
    assert(path);
    if (j->fd >= 0)
        fs_close(j->fd);
    j->fd = -1;
    err_ignore(fs_unlink(path)); /* best effort: recovery knows it for what it is */
}

static bool ahead_path(const struct space_job *j, char out[FS_PATH_MAX])
{
    int n = snprintf(out, FS_PATH_MAX, "%s/%s", j->dir, ahead_name);
    return n > 0 && n < FS_PATH_MAX;
}

static enum err run_ahead_job(struct space_job *j)
{
    assert(!j->made_ahead);
    char path[FS_PATH_MAX];
    if (!ahead_path(j, path))
        return ERR_INVALID;
    enum err err = create_file(j, path);
    if (!err)
        err = fs_sync(j->fd); /* its size, once: later writes need no new one */
    if (err)
        drop_created_file(j, path);
    return err;
}

static enum err name_next_segment(struct space_job *j, const char *path)
{
    assert(!j->made_ahead || j->fd >= 0);
    char ahead[FS_PATH_MAX];
    if (!j->made_ahead)
        return create_file(j, path);
    return ahead_path(j, ahead) ? fs_rename(ahead, path) : ERR_INVALID;
}

static enum err run_roll_job(struct space_job *j)
{
    assert(j->next_offset >= 0);
    char path[FS_PATH_MAX];
    if (!segment_path(path, j->dir, j->next_offset, ".log"))
        return ERR_INVALID;
    enum err err = j->first ? make_partition_folder(j) : save_epochs(j);
    if (!err)
        err = name_next_segment(j, path);
    if (!err && !PLANTED(new_file_unsynced))
        err = fs_sync_dir(j->dir);
    if (err)
        drop_created_file(j, path);
    else
        j->shares_flush = fs_shares_flush(j->fd, j->flush_fd);
    return err;
}

static enum err run_close_job(struct space_job *j)
{
    assert(j->old);
    char path[FS_PATH_MAX];
    enum err err = ERR_NONE;
    if (j->old_fd < 0) {
        err = segment_path(path, j->dir, j->old->base_offset, ".log") ? fs_open(path, segment_flags(j) | FS_OWN, &j->fd)
                                                                      : ERR_INVALID;
        j->old_fd = j->fd;
    }
    if (!err)
        err = save_old_segment(j);
    if (j->fd >= 0)
        fs_close(j->fd);
    return err;
}

static enum err open_active_file(struct space_job *j)
{
    assert(j->fd < 0);
    char path[FS_PATH_MAX];
    if (!segment_path(path, j->dir, j->old->base_offset, ".log"))
        return ERR_INVALID;
    return fs_open(path, segment_flags(j) | FS_OWN, &j->fd);
}

static enum err run_wake_job(struct space_job *j)
{
    assert(j->block_position % PAGE_BYTES == 0);
    enum err err = j->old_fd < 0 ? open_active_file(j) : ERR_NONE;
    if (err)
        return err;
    int fd = j->old_fd < 0 ? j->fd : j->old_fd;
    j->shares_flush = fs_shares_flush(fd, j->flush_fd);
    if (!j->block)
        return ERR_NONE;
    size_t got = 0;
    memset(j->block, 0, PAGE_BYTES);
    err = fs_read(fd, j->block, PAGE_BYTES, j->block_position, &got);
    return !err && j->block_position + got < j->old_bytes ? ERR_CORRUPT
                                                          : err; /* zeros would be written over what was lost */
}

/* On a full disk: the space ahead is not needed any more (a start judges what is behind a checkpoint by the batches, trimmed or not),
 * nor is the reserve. */
static bool makes_room_to_stop(const struct space_job *j)
{
    assert(j->old_fd >= 0);
    bool trimmed = fs_truncate(j->old_fd, j->old_bytes) == ERR_NONE;
    return ballast_give(j->ballast, BALLAST_GIVEN_BYTES) || trimmed;
}

static enum err save_all_at_stop(struct space_job *j)
{
    assert(j->kind == JOB_STOP);
    enum err err = save_old_segment(j);
    return err ? err : save_epochs(j);
}

static enum err run_stop_job(struct space_job *j)
{
    assert(j->old);
    char path[FS_PATH_MAX];
    enum err err = ERR_NONE;
    if (j->made_ahead)
        err = ahead_path(j, path) ? fs_unlink(path) : ERR_INVALID;
    if (!err && j->old_fd < 0) {
        err = open_active_file(j);
        j->old_fd = j->fd;
    }
    if (!err)
        err = save_all_at_stop(j);
    if (err == ERR_NO_SPACE && j->old_fd >= 0 && makes_room_to_stop(j))
        err = save_all_at_stop(j);
    if (!err && !j->sync_later) /* a flush that failed is never tried again, not even for lack of room */
        err = fs_sync(j->old_fd) ? ERR_IO : ERR_NONE;
    if (j->fd >= 0)
        fs_close(j->fd);
    return err || j->sync_later ? err : fs_sync_dir(j->dir);
}

/* What makes room, or must go on without any, may need some itself. */
static bool gets_ballast(const struct space_job *j)
{
    assert(j->partition);
    return j->err == ERR_NO_SPACE && j->ballast && ballast_give(j->ballast, BALLAST_GIVEN_BYTES);
}

int32_t space_job_run(void *arg)
{
    struct space_job *j = arg;
    assert(j->partition);
    switch (j->kind) {
    case JOB_AHEAD: j->err = run_ahead_job(j); break;
    case JOB_ROLL:
        j->err = run_roll_job(j);
        if (gets_ballast(j) && !j->made_ahead)
            j->err = run_roll_job(j);
        break;
    case JOB_CLOSE:
        j->err = run_close_job(j);
        if (gets_ballast(j)) {
            j->old_fd = j->fd >= 0 ? -1 : j->old_fd; /* it was opened there, and closed */
            j->fd = -1;
            j->err = run_close_job(j);
        }
        break;
    case JOB_WAKE: j->err = run_wake_job(j); break;
    case JOB_STOP: j->err = run_stop_job(j); break;
    case JOB_DELETE: j->err = partition_dir_delete(j->dir, j->topic_id); break;
    }
    return 0;
}
