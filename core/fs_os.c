/* The file system door on the kernel's synchronous calls. Interrupted calls are repeated, short ones continued. */
#include "core/fs.h"
#include "core/fs_guard.h"
#include "core/limits.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef STATX_DIOALIGN /* Linux 6.1; older headers lack it */
#define STATX_DIOALIGN 0x2000U
#endif

enum { COPY_BYTES = 1 << 20, SHARE_FLUSH_FROM = 16 };

static enum err last_fs_error(void)
{
    assert(errno > 0);
    return err_from_errno(errno);
}

static enum err check_fs_call(int result)
{
    return result == 0 ? ERR_NONE : last_fs_error();
}

static enum err open_at_path(const char *path, unsigned flags, int *out_fd)
{
    assert(flags & (FS_READ | FS_WRITE));
    assert(!(flags & FS_EXCLUSIVE) || flags & FS_CREATE);
    int how = O_CLOEXEC;
    how |= !(flags & FS_WRITE) ? O_RDONLY : flags & FS_READ ? O_RDWR : O_WRONLY;
    how |= flags & FS_CREATE ? O_CREAT : 0;
    how |= flags & FS_EXCLUSIVE ? O_EXCL : 0;
    how |= flags & FS_TRUNCATE ? O_TRUNC : 0;
    how |= flags & FS_DIRECT ? O_DIRECT : 0;
    int fd;
    do
        fd = open(path, how, flags & FS_PRIVATE ? 0600 : 0644);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return last_fs_error();
    *out_fd = fd;
    return ERR_NONE;
}

/* --- a file of our own --- */

static enum err copy_whole_file(int from, int to)
{
    assert(from >= 0 && to >= 0);
    enum { PIECE = 1 << 30 };
    uint8_t *bytes;
    uint64_t at = 0;
    ssize_t n = 1;
    while (n > 0) {
        n = copy_file_range(from, NULL, to, NULL, PIECE, 0);
        at += n > 0 ? (uint64_t)n : 0;
        if (n < 0 && errno == EINTR)
            n = 1;
    }
    if (n == 0)
        return ERR_NONE;
    if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
        return last_fs_error();
    bytes = malloc(COPY_BYTES); /* where the kernel has no such copy between these files */
    enum err err = bytes ? ERR_NONE : ERR_NO_MEMORY;
    for (size_t got = 1; !err && got > 0; at += got) {
        err = fs_read(from, bytes, COPY_BYTES, at, &got);
        if (!err && got > 0)
            err = fs_write(to, bytes, got, at);
    }
    free(bytes);
    return err;
}

static enum err sync_parent(const char *path)
{
    assert(path[0]);
    char folder[FS_PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash ? snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path) : snprintf(folder, 2, ".");
    return n < FS_PATH_MAX ? fs_sync_dir(n > 0 ? folder : "/") : ERR_INVALID;
}

static enum err replace_with_copy(const char *path, int from, mode_t mode)
{
    assert(from >= 0);
    char temporary[FS_PATH_MAX];
    int to, n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    enum err err = n > 0 && n < FS_PATH_MAX ? fs_unlink(temporary) : ERR_INVALID;
    if (err == ERR_NONE || err == ERR_NOT_FOUND)
        err = open_at_path(temporary, FS_READ | FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &to);
    if (err != ERR_NONE)
        return err;
    err = check_fs_call(fchmod(to, mode & 0777));
    if (err == ERR_NONE)
        err = copy_whole_file(from, to);
    if (err == ERR_NONE)
        err = fs_sync(to);
    fs_close(to);
    if (err == ERR_NONE)
        err = fs_rename(temporary, path);
    else
        err_ignore(fs_unlink(temporary)); /* best effort: the next one does it first */
    return err == ERR_NONE ? sync_parent(path) : err;
}

static enum err make_file_own(const char *path)
{
    assert(path[0]);
    struct stat st;
    int fd;
    enum err err = open_at_path(path, FS_READ, &fd);
    if (err != ERR_NONE)
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    if (fstat(fd, &st) != 0)
        err = last_fs_error();
    else if (st.st_nlink > 1)
        err = replace_with_copy(path, fd, st.st_mode);
    fs_close(fd);
    return err;
}

/* It is to be empty: nothing needs to be copied. */
static enum err leave_other_names(const char *path)
{
    assert(path[0]);
    struct stat st;
    return stat(path, &st) == 0 && st.st_nlink > 1 ? fs_unlink(path) : ERR_NONE;
}

enum err fs_open(const char *path, unsigned flags, int *out_fd)
{
    assert(path && out_fd);
    assert(!(flags & FS_OWN) || flags & FS_WRITE);
    assert(!(flags & FS_WRITE) || flags & (FS_OWN | FS_TRUNCATE | FS_EXCLUSIVE | FS_LOCK));
    fs_guard_check();
    enum err err = flags & FS_OWN ? make_file_own(path) : flags & FS_TRUNCATE ? leave_other_names(path) : ERR_NONE;
    return err == ERR_NONE ? open_at_path(path, flags, out_fd) : err;
}

void fs_close(int fd)
{
    assert(fd >= 0);
    fs_guard_check();
    int failed = close(fd);
    assert(!failed || errno != EBADF); /* closing twice would close a stranger's file */
}

enum err fs_read(int fd, void *at, size_t bytes, uint64_t off, size_t *out_bytes)
{
    assert(fd >= 0);
    assert(out_bytes);
    fs_guard_check();
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = pread(fd, (uint8_t *)at + done, bytes - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return last_fs_error();
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *out_bytes = done;
    return ERR_NONE;
}

enum err fs_write(int fd, const void *at, size_t bytes, uint64_t off)
{
    assert(fd >= 0);
    assert(at || bytes == 0);
    fs_guard_check();
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = pwrite(fd, (const uint8_t *)at + done, bytes - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return last_fs_error();
        if (n == 0)
            return ERR_IO;
        done += (size_t)n;
    }
    return ERR_NONE;
}

/* A shut-down XFS answers each stat with EIO, before anything else; a shut-down ext4 each read, also of nothing, before it looks at its locks,
 * for which XFS would wait. Whatever else they say (a sandbox may not know statx) is no concern of ours. Of the two ext4 alone can tell that a
 * file is encrypted. */
bool fs_is_up(int fd)
{
    assert(fd >= 0);
    struct statx st;
    char nothing;
    if (PLANTED(flush_unconfirmed))
        return true;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &st) != 0)
        return errno != EIO;
    return !(st.stx_attributes_mask & STATX_ATTR_ENCRYPTED) || pread(fd, &nothing, 0, 0) == 0 || errno != EIO;
}

static enum err confirm_sync(int fd, int result)
{
    assert(fd >= 0);
    return result == 0 && !fs_is_up(fd) ? ERR_IO : check_fs_call(result);
}

enum err fs_sync(int fd)
{
    assert(fd >= 0);
    fs_guard_check();
    return confirm_sync(fd, fdatasync(fd));
}

enum err fs_sync_dir(const char *path)
{
    assert(path);
    fs_guard_check();
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return last_fs_error();
    enum err err = confirm_sync(fd, fsync(fd));
    fs_close(fd);
    return err;
}

enum err fs_sync_all(int folder_fd)
{
    assert(folder_fd >= 0);
    fs_guard_check();
    return confirm_sync(folder_fd, syncfs(folder_fd));
}

enum err fs_truncate(int fd, uint64_t bytes)
{
    assert(fd >= 0);
    assert(bytes <= INT64_MAX);
    fs_guard_check();
    int result;
    do
        result = ftruncate(fd, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    return check_fs_call(result);
}

static enum err allocate_blocks(int fd, int how, uint64_t off, uint64_t bytes)
{
    assert(fd >= 0);
    assert(off <= INT64_MAX - bytes);
    fs_guard_check();
    assert(bytes > 0);
    int result;
    do
        result = fallocate(fd, how, (off_t)off, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    return check_fs_call(result);
}

enum err fs_allocate(int fd, uint64_t off, uint64_t bytes)
{
    return allocate_blocks(fd, 0, off, bytes);
}

enum err fs_allocate_behind(int fd, uint64_t off, uint64_t bytes)
{
    return allocate_blocks(fd, FALLOC_FL_KEEP_SIZE, off, bytes);
}

enum err fs_size(int fd, uint64_t *out_bytes)
{
    assert(fd >= 0);
    assert(out_bytes);
    fs_guard_check();
    struct stat st;
    if (fstat(fd, &st) != 0)
        return last_fs_error();
    *out_bytes = (uint64_t)st.st_size;
    return ERR_NONE;
}

uint64_t fs_data_from(int fd, uint64_t off)
{
    assert(fd >= 0);
    assert(off <= INT64_MAX);
    fs_guard_check();
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    off_t at = lseek(fd, (off_t)off, SEEK_DATA);
    if (at < 0)
        return errno == ENXIO ? UINT64_MAX : off;
    assert((uint64_t)at >= off);
    return (uint64_t)at;
}

enum err fs_mtime(int fd, int64_t *out_ms)
{
    assert(fd >= 0);
    assert(out_ms);
    fs_guard_check();
    struct stat st;
    if (fstat(fd, &st) != 0)
        return last_fs_error();
    *out_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    return ERR_NONE;
}

enum err fs_set_mtime(int fd, int64_t ms)
{
    assert(fd >= 0);
    assert(ms >= 0);
    fs_guard_check();
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};
    return check_fs_call(futimens(fd, times));
}

enum err fs_rename(const char *from, const char *to)
{
    assert(from && to);
    fs_guard_check();
    return check_fs_call(rename(from, to));
}

enum err fs_unlink(const char *path)
{
    assert(path);
    fs_guard_check();
    return check_fs_call(unlink(path));
}

enum err fs_mkdir(const char *path)
{
    assert(path);
    fs_guard_check();
    return check_fs_call(mkdir(path, 0755));
}

enum err fs_rmdir(const char *path)
{
    assert(path);
    fs_guard_check();
    return check_fs_call(rmdir(path));
}

/* Some file systems leave the type out of the folder entry. */
static bool is_folder(DIR *dir, const struct dirent *d)
{
    struct stat st;
    if (d->d_type != DT_UNKNOWN)
        return d->d_type == DT_DIR;
    return fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static bool visit_entry(DIR *dir, const struct dirent *d, bool (*each)(void *arg, const struct fs_entry *entry),
                        void *arg)
{
    assert(d->d_name[0]);
    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
        return true;
    struct fs_entry entry = {.folder = is_folder(dir, d)};
    static_assert(sizeof entry.name >= sizeof d->d_name, "a name fits");
    memcpy(entry.name, d->d_name, strlen(d->d_name) + 1);
    return each(arg, &entry);
}

enum err fs_list(const char *path, bool (*each)(void *arg, const struct fs_entry *entry), void *arg)
{
    assert(path && each);
    fs_guard_check();
    DIR *dir = opendir(path);
    if (!dir)
        return last_fs_error();
    const struct dirent *d;
    errno = 0;
    while ((d = readdir(dir)) && visit_entry(dir, d, each, arg))
        errno = 0;
    enum err err = d ? ERR_NONE : err_from_errno(errno);
    closedir(dir);
    return err;
}

enum err fs_open_folder(const char *path, int *out_fd)
{
    fs_guard_check();
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return last_fs_error();
    *out_fd = fd;
    return ERR_NONE;
}

enum err fs_is_same(int fd, const char *path, bool *out_same)
{
    fs_guard_check();
    struct stat opened, there;
    if (fstat(fd, &opened) != 0)
        return last_fs_error();
    bool found = stat(path, &there) == 0;
    if (!found && errno != ENOENT && errno != ENOTDIR)
        return last_fs_error();
    *out_same = found && opened.st_dev == there.st_dev && opened.st_ino == there.st_ino;
    return ERR_NONE;
}

enum err fs_link(const char *from, const char *to)
{
    assert(from && to);
    fs_guard_check();
    if (link(from, to) == 0)
        return ERR_NONE;
    return errno == EXDEV || errno == EMLINK || errno == EPERM ? ERR_UNSUPPORTED : last_fs_error();
}

enum err fs_is_locked(int fd, bool *out_locked)
{
    assert(fd >= 0 && out_locked);
    fs_guard_check();
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_GETLK, &whole) != 0)
        return last_fs_error();
    *out_locked = whole.l_type != F_UNLCK;
    return ERR_NONE;
}

enum err fs_lock(int fd)
{
    assert(fd >= 0);
    fs_guard_check();
    return check_fs_call(flock(fd, LOCK_EX | LOCK_NB));
}

enum err fs_space(const char *path, uint64_t *out_total, uint64_t *out_free)
{
    assert(path);
    assert(out_total && out_free);
    fs_guard_check();
    struct statfs st;
    if (statfs(path, &st) != 0)
        return last_fs_error();
    *out_total = (uint64_t)st.f_blocks * (uint64_t)st.f_bsize;
    *out_free = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
    return ERR_NONE;
}

enum err fs_free_bytes(const char *path, uint64_t *out_bytes)
{
    assert(path && out_bytes);
    fs_guard_check();
    uint64_t total;
    return fs_space(path, &total, out_bytes);
}

enum err fs_absolute(const char *path, char *out_path, size_t bytes)
{
    assert(path);
    assert(out_path && bytes > 0);
    fs_guard_check();
    char here[4096] = "";
    if (path[0] != '/' && !getcwd(here, sizeof here))
        return last_fs_error();
    bool slash = path[0] != '/' && strcmp(here, "/") != 0;
    int n = snprintf(out_path, bytes, "%s%s%s", here, slash ? "/" : "", path);
    return n >= 0 && (size_t)n < bytes ? ERR_NONE : ERR_INVALID;
}

void fs_drop_cache(int fd)
{
    assert(fd >= 0);
    fs_guard_check();
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* advice: pages that stay only cost time */
}

/* --- what a folder's file system can do --- */

struct fs_kind {
    uint64_t magic;
    const char *name;
    bool never_direct; /* it takes O_DIRECT and then caches, copies or compresses all the same */
};
enum { EXT4_MAGIC = 0xef53 };
static const struct fs_kind kinds[] = {
    {EXT4_MAGIC, "ext4", false},   {0x58465342, "xfs", false}, {0x01021994, "tmpfs", true},
    {0x794c7630, "overlay", true}, {0x01021997, "9p", true},   {0x9123683e, "btrfs", true},
    {0x858458f6, "ramfs", true},   {0x6969, "nfs", true},      {0x65735546, "fuse", true},
    {0xf2f52010, "f2fs", false},   {0x2fc12fc1, "zfs", true},
};

static const struct fs_kind *fs_kind_of(uint64_t magic)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (kinds[i].magic == magic)
            return &kinds[i];
    }
    return NULL;
}

/* struct statx as Linux 6.1 lays it out; the names of the two fields are missing from older headers. */
static bool aligns_to_pages(int fd)
{
    assert(fd >= 0);
    union {
        struct statx st;
        uint8_t bytes[256];
    } u;
    enum { DIO_MEM_ALIGN_AT = 0x98, DIO_OFFSET_ALIGN_AT = 0x9c };
    memset(&u, 0, sizeof u);
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &u.st) != 0 || !(u.st.stx_mask & STATX_DIOALIGN))
        return false;
    uint32_t memory, offset;
    memcpy(&memory, u.bytes + DIO_MEM_ALIGN_AT, sizeof memory);
    memcpy(&offset, u.bytes + DIO_OFFSET_ALIGN_AT, sizeof offset);
    return memory > 0 && memory <= PAGE_BYTES && offset > 0 && offset <= PAGE_BYTES;
}

/* syncfs(2): "since Linux 5.8 it reports errors". */
static bool kernel_tells_of_failures(void)
{
    struct utsname name;
    unsigned major = 0, minor = 0;
    return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 8));
}

static enum err probe_fs_file(int fd, struct fs_traits *traits)
{
    assert(fd >= 0);
    assert(traits);
    struct statfs st;
    if (fstatfs(fd, &st) != 0)
        return last_fs_error();
    uint64_t magic = (uint64_t)(uint32_t)st.f_type;
    const struct fs_kind *kind = fs_kind_of(magic);
    if (kind)
        snprintf(traits->type, sizeof traits->type, "%s", kind->name);
    else
        snprintf(traits->type, sizeof traits->type, "0x%x", (unsigned)magic);
    traits->direct = !(kind && kind->never_direct) && aligns_to_pages(fd);
    traits->allocates = fallocate(fd, 0, 0, PAGE_BYTES) == 0;
    bool journals = strcmp(traits->type, "ext4") == 0 || strcmp(traits->type, "xfs") == 0;
    traits->syncs_all = journals && kernel_tells_of_failures();
    traits->share_flush_from = SHARE_FLUSH_FROM;
    traits->unwritten_costs = traits->direct && journals;
    return ERR_NONE;
}

/* Asked of the file itself: its folder may lie on another disk, and one that journals its data (chattr +j) is never written directly. */
bool fs_shares_flush(int fd, int other_fd)
{
    assert(fd >= 0 && other_fd >= 0);
    fs_guard_check();
    struct statfs fs;
    struct stat file, other;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && flags & O_DIRECT && aligns_to_pages(fd) && fstatfs(fd, &fs) == 0 &&
           (uint64_t)(uint32_t)fs.f_type == EXT4_MAGIC && fstat(fd, &file) == 0 && fstat(other_fd, &other) == 0 &&
           file.st_dev == other.st_dev;
}

/* The answers belong to files, so one is made for the question. */
enum err fs_probe(const char *folder, struct fs_traits *out_traits)
{
    assert(folder && out_traits);
    fs_guard_check();
    char path[FS_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/.probe-%ld", folder, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof path)
        return ERR_INVALID;
    int fd;
    enum err err = fs_open(path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd);
    if (err)
        return err;
    struct fs_traits traits = {0};
    err = probe_fs_file(fd, &traits);
    fs_close(fd);
    (void)!fs_unlink(path); /* an empty file that stays is harmless */
    if (!err)
        *out_traits = traits;
    return err;
}

enum err fs_map(const char *path, size_t bytes, size_t allocated, int *out_fd, void **out_at)
{
    assert(path && out_fd && out_at);
    assert(bytes > 0 && bytes % PAGE_BYTES == 0);
    assert(allocated > 0 && allocated <= bytes);
    int fd;
    enum err err = fs_open(path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd);
    if (err)
        return err;
    err = fs_truncate(fd, bytes);
    if (!err)
        err = fs_allocate(fd, 0, allocated);
    if (err == ERR_UNSUPPORTED) /* such a file system (9p) gives room as it likes */
        err = ERR_NONE;
    void *at = err ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!err && at == MAP_FAILED)
        err = last_fs_error();
    if (err) {
        fs_close(fd);
        return err;
    }
    *out_fd = fd;
    *out_at = at;
    return ERR_NONE;
}

enum err fs_map_open(int fd, size_t bytes, void **out_at)
{
    assert(fd >= 0);
    assert(bytes > 0 && bytes % PAGE_BYTES == 0);
    fs_guard_check();
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return last_fs_error();
    *out_at = at;
    return ERR_NONE;
}

void fs_unmap(void *at, size_t bytes)
{
    assert(at && bytes > 0);
    int failed = munmap(at, bytes);
    assert(!failed);
}

/* Only the compiler could change the order: of a process that is killed every store counts up to some point of its program. */
void fs_publish(_Atomic uint64_t *at, uint64_t value)
{
    assert(at);
    atomic_store(at, value);
}

enum err fs_identify(int fd, struct fs_identity *out)
{
    assert(fd >= 0);
    fs_guard_check();
    struct stat st;
    if (fstat(fd, &st) != 0)
        return last_fs_error();
    *out = (struct fs_identity){.device = st.st_dev, .inode = st.st_ino};
    return ERR_NONE;
}

bool fs_is_own(int fd, int folder_fd)
{
    assert(fd >= 0);
    fs_guard_check();
    struct stat st, folder;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    return st.st_uid == geteuid() || (folder_fd >= 0 && fstat(folder_fd, &folder) == 0 && st.st_uid == folder.st_uid);
}

enum err fs_boot_id(uint8_t out_id[16])
{
    char text[64] = "";
    int fd, digits = 0;
    size_t got = 0;
    enum err err = fs_open("/proc/sys/kernel/random/boot_id", FS_READ, &fd);
    if (err)
        return err;
    err = fs_read(fd, text, sizeof text - 1, 0, &got);
    fs_close(fd);
    uint8_t id[16] = {0};
    for (const char *at = text; !err && *at && digits < 32; at++) {
        int digit = *at >= '0' && *at <= '9' ? *at - '0' : *at >= 'a' && *at <= 'f' ? *at - 'a' + 10 : -1;
        if (digit >= 0) {
            id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | digit);
            digits++;
        }
    }
    if (err || digits < 32)
        return err ? err : ERR_CORRUPT;
    memcpy(out_id, id, sizeof id);
    return ERR_NONE;
}

bool fs_is_outside_containers(void)
{
    enum { FIRST_PID_NAMESPACE = (int)0xEFFFFFFCu }; /* PROC_PID_INIT_INO, since Linux 3.8 */
    fs_guard_check();
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == (uint32_t)FIRST_PID_NAMESPACE;
}

uint32_t fs_files_max(void)
{
    fs_guard_check();
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 1024; /* what every system grants */
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t had = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit))
            limit.rlim_cur = had;
    }
    return (uint32_t)(limit.rlim_cur < 1u << 20 ? limit.rlim_cur : 1u << 20);
}

uint64_t fs_file_bytes_max(void)
{
    fs_guard_check();
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return limited ? limit.rlim_cur : UINT64_MAX;
}
