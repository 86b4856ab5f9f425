/* The door to the file system: synchronous calls for start-up, shutdown and jobs (io_job); never on a shard's data path.
 * Implemented by core/fs_os.c and by the simulator's disk. Paths are bytes, at most FS_PATH_MAX with the final zero.
 * A rename or a new name is durable only after fs_sync_dir of its folder. */
#pragma once
#include "core/err.h"
#include <stdatomic.h>

enum { FS_PATH_MAX = 4096 };
enum fs_flags {
    FS_READ = 1 << 0,
    FS_WRITE = 1 << 1,
    FS_CREATE = 1 << 2,
    FS_EXCLUSIVE = 1 << 3, /* with FS_CREATE: ERR_EXISTS */
    FS_TRUNCATE = 1 << 4,  /* it is empty; what it was stays under its other names, if there are any (FS_OWN) */
    FS_DIRECT = 1 << 5,    /* O_DIRECT: offsets, sizes and memory aligned to 4096 */
    FS_OWN =
        1
        << 6, /* with FS_WRITE: a file that has more names than this one (a backup by hard links, an adopted segment) is first
                         * replaced, durably, by a copy that has none but this (by way of <path>.tmp): what others see never changes */
    FS_PRIVATE = 1 << 7, /* with FS_CREATE: nobody but its owner may read it */
    FS_LOCK =
        1 << 8, /* with FS_WRITE: only to be locked, for which some network file systems want it; nothing is written */
};

/* FS_WRITE comes with FS_OWN, FS_TRUNCATE, FS_EXCLUSIVE or FS_LOCK: nothing is ever written into a file that somebody knows by another
 * name. */
enum err fs_open(const char *path, unsigned flags, int *out_fd) must_use;
void fs_close(int fd);
/* Reads until `bytes` or the end of the file. */
enum err fs_read(int fd, void *at, size_t bytes, uint64_t off, size_t *out_bytes) must_use;
enum err fs_write(int fd, const void *at, size_t bytes, uint64_t off) must_use; /* all of it */
enum err fs_sync(int fd) must_use;                                              /* fdatasync */
enum err fs_sync_dir(const char *path) must_use;
/* All that was written to the file system of that folder, files and names, is durable then. It fails if anything could not be written since the
 * folder was opened (once for each time it was opened). Only where the traits say so: elsewhere failures are not told. */
enum err fs_sync_all(int folder_fd) must_use;
enum err fs_truncate(int fd, uint64_t bytes) must_use;
enum err fs_allocate(int fd, uint64_t off, uint64_t bytes) must_use; /* i_size grows */
/* The same, and the file is no longer for it: who writes there later finds room. A truncation gives it back. */
enum err fs_allocate_behind(int fd, uint64_t off, uint64_t bytes) must_use;
enum err fs_size(int fd, uint64_t *out_bytes) must_use;
/* From where at or behind `off` the file may hold anything but zeros; UINT64_MAX: nowhere. Space that was allocated and never
 * written costs nothing to pass, unless its zeros are in the page cache: so from now on this descriptor reads nothing ahead.
 * `off` itself where the file system cannot tell. */
uint64_t fs_data_from(int fd, uint64_t off);
enum err fs_rename(const char *from, const char *to) must_use; /* replaces */
enum err fs_unlink(const char *path) must_use;
/* Another name of the same file. ERR_UNSUPPORTED: not on this file system, or not from one to the other. */
enum err fs_link(const char *from, const char *to) must_use;
enum err fs_mkdir(const char *path) must_use; /* ERR_EXISTS; parents must exist */
enum err fs_rmdir(const char *path) must_use; /* empty folders only */
struct fs_entry {
    char name[256];
    bool folder;
};
/* Calls `each` for every entry but . and .., in no order; stops when it returns false. */
enum err fs_list(const char *path, bool (*each)(void *arg, const struct fs_entry *entry), void *arg) must_use;
/* Milliseconds since 1970 of the last change. */
enum err fs_mtime(int fd, int64_t *out_ms) must_use;
enum err fs_set_mtime(int fd, int64_t ms) must_use;
/* flock(2), exclusive, without waiting: ERR_BUSY. */
enum err fs_lock(int fd) must_use;
/* Does another process hold a lock of fcntl(2)'s kind on it, as Java's FileChannel.lock takes? */
enum err fs_is_locked(int fd, bool *out_locked) must_use;
/* A folder itself, to lock it or to know it again. */
enum err fs_open_folder(const char *path, int *out_fd) must_use;
/* Is what stands at the path now the file or folder that was opened? Nothing there: no. */
enum err fs_is_same(int fd, const char *path, bool *out_same) must_use;
enum err fs_free_bytes(const char *path, uint64_t *out_bytes) must_use;
/* Of the disk that holds `path`: all of it, and what is free for us. */
enum err fs_space(const char *path, uint64_t *out_total, uint64_t *out_free) must_use;
/* The path from the root on, without looking for links. ERR_INVALID: it is longer than `bytes`. */
enum err fs_absolute(const char *path, char *out_path, size_t bytes) must_use;
/* How this file is best written. `direct` false on tmpfs, overlay, 9p, btrfs and where statx knows no alignment up to 4096. */
struct fs_traits {
    bool direct;
    bool allocates; /* fallocate works */
    bool syncs_all; /* fs_sync_all does what it says: ext4 and XFS, since Linux 5.8 */
    uint32_t
        share_flush_from; /* so many writes at once cost less with one flush for all (fs_shares_flush) than with one each */
    /* A durable write into space that was only allocated ends in the file system's journal, one into written blocks does not: ext4 and XFS,
     * written directly. */
    bool unwritten_costs;
    char type[16]; /* "ext4", "xfs", "tmpfs", "overlay", ... or "0x..." */
};
enum err fs_probe(const char *folder, struct fs_traits *out_traits) must_use;
/* Does fdatasync(2) of `other_fd`, whatever that is, also make durable what direct writes of `fd` changed in blocks that were durable before,
 * size and place? So it is on ext4: such a write changes no metadata but the time, bypasses the page cache, and is in the disk's cache when it
 * is done; fdatasync flushes that, also of a file that has nothing to write. Not where places change (XFS with reflinks, btrfs), nor
 * on another disk than the one of `other_fd`. */
bool fs_shares_flush(int fd, int other_fd); /* `fd` was opened with FS_DIRECT */
/* Has the file system of this file not been shut down? To be asked after each flush that is to be believed; on a shard, too. A flush asks XFS and
 * ext4 that at its beginning only. Where they are shut down later, because the journal could not be written, what it had of the file is dropped;
 * then nothing seems to be left to write, and fdatasync(2), fsync(2) and RWF_DSYNC answer that all is well (Linux 6.18). fs_sync and its like
 * do ask. */
bool fs_is_up(int fd);
/* Drops cached pages of a file (POSIX_FADV_DONTNEED): a foreign buffered reader makes direct writes slow. */
void fs_drop_cache(int fd);
/* Memory that is the file's, which is made anew with that many zeros (whole pages): other processes see what is written there. Both for
 * as long as the process lives. The first `allocated` of them have room, others only when they were allocated (SIGBUS). Not in the
 * simulator. */
enum err fs_map(const char *path, size_t bytes, size_t allocated, int *out_fd, void **out_at) must_use;
/* The same of an open file, as long as it is and unlike it (holes, a file that was cut: SIGBUS): what is used was allocated, and nobody
 * else may change its size. What was stored there when the process is killed is what the next one reads. */
enum err fs_map_open(int fd, size_t bytes, void **out_at) must_use;
void fs_unmap(void *at, size_t bytes);
/* Into memory of such a file: everything that was stored before is there when this is. On a shard, too. */
void fs_publish(_Atomic uint64_t *at, uint64_t value);
/* Which file or folder it is, as long as the disk is the same. */
struct fs_identity {
    uint64_t device, inode;
};
enum err fs_identify(int fd, struct fs_identity *out) must_use;
/* Is it a file of this user's, or of the one whose the folder is? -1: of this user's alone. */
bool fs_is_own(int fd, int folder_fd);
/* Which boot of the machine this is. */
enum err fs_boot_id(uint8_t out_id[16]) must_use;
/* Is this process not in a container with processes of its own? There /dev/shm dies with it. */
bool fs_is_outside_containers(void);
/* How many descriptors this process may have open (the soft limit, raised to the hard one). */
uint32_t fs_files_max(void);
uint64_t fs_file_bytes_max(void); /* of one file (RLIMIT_FSIZE); UINT64_MAX: no limit */
