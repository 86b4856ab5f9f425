/* The lock, and the folder's place (root_lock.h). */
#include "storage/root_lock.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/catalog/catalog_file.h"
#include "storage/root.h"
#include <stdio.h>

enum { LOCK_WAIT_MS = 10000, LOCK_STEP_MS = 5, LOCK_QUIET_MS = 200 };

/* A broker that just ended holds it a moment longer, until the kernel is done with its ring: not worth a line. */
static enum err wait_for_lock(const struct root *r, int fd)
{
    assert(fd >= 0);
    uint64_t from = clock_now_ns();
    bool said = false;
    enum err err;
    while ((err = fs_lock(fd)) == ERR_BUSY && clock_now_ns() - from < LOCK_WAIT_MS * NS_PER_MS) {
        if (!said && clock_now_ns() - from >= LOCK_QUIET_MS * NS_PER_MS) {
            log_info("waiting", "for=\"another broker to leave the data folder\" data=%s at_most_ms=%d",
                     r->config->data_dir, LOCK_WAIT_MS);
            said = true;
        }
        clock_sleep_ms(LOCK_STEP_MS);
    }
    return err;
}

static enum err refuse_second_broker(const struct root *r, char *why)
{
    snprintf(why, CONFIG_WHY_BYTES,
             "The data folder %.300s is in use by another broker, also after %d s; stop that one, or set log.dirs to "
             "another folder.",
             r->config->data_dir, LOCK_WAIT_MS / 1000);
    return ERR_BUSY;
}

enum err root_lock_folder(struct root *r, char *why)
{
    assert(r->folder_fd < 0);
    enum err err = fs_open_folder(r->config->data_dir, &r->folder_fd);
    if (err != ERR_NONE) {
        r->folder_fd = -1;
        return root_say_fault(why, err, r->config->data_dir, "opened");
    }
    err = wait_for_lock(r, r->folder_fd);
    if (err == ERR_BUSY)
        return refuse_second_broker(r, why);
    if (err != ERR_NONE) /* some network file systems lock no folders: the file's lock holds */
        log_warn("folder not locked", "data=%s why=\"%s\"", r->config->data_dir, err_text(err));
    return ERR_NONE;
}

enum err root_lock_file(struct root *r, char *why)
{
    char path[FS_PATH_MAX];
    assert(r->folder_fd >= 0 && r->lock_fd < 0);
    int n = snprintf(path, sizeof path, "%s/.lock", r->config->data_dir);
    enum err err =
        n > 0 && n < FS_PATH_MAX ? fs_open(path, FS_READ | FS_WRITE | FS_CREATE | FS_LOCK, &r->lock_fd) : ERR_INVALID;
    if (err != ERR_NONE) {
        r->lock_fd = -1;
        return root_say_fault(why, err, r->config->data_dir, "opened");
    }
    err = wait_for_lock(r, r->lock_fd);
    if (err == ERR_BUSY)
        return refuse_second_broker(r, why);
    return err == ERR_NONE ? ERR_NONE : root_say_fault(why, err, r->config->data_dir, "locked");
}

enum err root_place_check(const struct root *r)
{
    assert(r->folder_fd >= 0);
    assert(r->catalog);
    bool same = false, any = false;
    enum err err = fs_is_same(r->folder_fd, r->config->data_dir, &same);
    if (err != ERR_NONE)
        return ERR_NONE; /* it cannot be asked: no proof */
    for (int i = 0; same && !any && i < CATALOG_COPIES; i++) {
        const struct catalog_copy *c = &r->catalog->copies[i];
        if (fs_is_same(c->fd, c->path, &any) != ERR_NONE)
            return ERR_NONE;
    }
    return same && any ? ERR_NONE : ERR_NOT_FOUND;
}
