/* core/fs.h on the simulated disk. Each call is a door where the broker may die, large writes also in their middle. */
#include "core/fs.h"
#include "core/fs_guard.h"
#include "core/limits.h"
#include "tests/sim/disk_names.h"
#include "tests/sim/door_io.h"
#include "tests/sim/shared.h"
#include <stdio.h>
#include <string.h>

/* Outside a job a call takes time: the broker is starting or closing. */
static void pass(void)
{
    fs_guard_check();
    world_door();
    if (!door_in_job())
        sim.now_ns += dice_between(1000, 30000);
}

static bool no_room(const struct disk_node *n, uint64_t end)
{
    if (!disk_refuses(n, end))
        return false;
    sim.totals.full++;
    return true;
}

enum err fs_open(const char *path, unsigned flags, int *out_fd)
{
    pass();
    struct disk_name *name = names_find(path);
    char parent[FS_PATH_MAX];
    names_parent(path, parent);
    if (name && !name->node)
        return ERR_IO; /* EISDIR */
    if (name && flags & FS_EXCLUSIVE)
        return ERR_EXISTS;
    if (!name && (!(flags & FS_CREATE) || !names_folder_exists(parent)))
        return ERR_NOT_FOUND;
    if (world_breaks())
        return ERR_IO;
    if (world_refuses_file()) {
        world_note("no descriptor for %s", path);
        return ERR_TOO_MANY_FILES;
    }
    if (!name && (world_fault(FAULT_ROOM) || (sim.full && dice(2))))
        return ERR_NO_SPACE;
    if (!name)
        names_link(path, disk_node_new());
    struct disk_node *n = names_find(path)->node;
    if (!name)
        world_note("file %u is %s", disk_id(n), path);
    if (flags & FS_TRUNCATE)
        disk_set_size(n, 0);
    *out_fd = disk_fd_open(n, flags & FS_DIRECT);
    world_mix(disk_id(n), flags);
    return ERR_NONE;
}

void fs_close(int fd)
{
    fs_guard_check();
    disk_close(fd);
}

static void check_aligned(int fd, const void *at, uint64_t bytes, uint64_t off)
{
    if (!disk_is_direct(fd))
        return;
    world_check((uintptr_t)at % PAGE_BYTES == 0 && bytes % PAGE_BYTES == 0 && off % PAGE_BYTES == 0,
                "a direct file was read or written unaligned: %llu bytes at %llu", (unsigned long long)bytes,
                (unsigned long long)off);
}

enum err fs_read(int fd, void *at, size_t bytes, uint64_t off, size_t *out_bytes)
{
    pass();
    check_aligned(fd, at, bytes, off);
    if (world_breaks())
        return ERR_IO;
    uint64_t got;
    if (shared_read(disk_node_of(fd), at, off, bytes, &got)) {
        *out_bytes = got;
        return ERR_NONE;
    }
    *out_bytes = disk_read(disk_node_of(fd), at, bytes, off);
    return ERR_NONE;
}

enum err fs_write(int fd, const void *at, size_t bytes, uint64_t off)
{
    pass();
    check_aligned(fd, at, bytes, off);
    struct disk_node *n = disk_node_of(fd);
    world_mix(disk_id(n) * 4 + 1, off ^ bytes << 32);
    if (shared_write(n, at, off, bytes))
        return ERR_NONE;
    size_t first = align_down(dice(bytes + 1), DISK_SECTOR);
    first = no_room(n, off + first) ? 0 : first; /* there may be room a moment later */
    disk_write(n, at, first, off, disk_is_direct(fd));
    world_door();
    if (world_breaks())
        return ERR_IO;
    if (no_room(n, off + bytes))
        return ERR_NO_SPACE;
    disk_write(n, (const uint8_t *)at + first, bytes - first, off + first, disk_is_direct(fd));
    return ERR_NONE;
}

enum err fs_sync(int fd)
{
    pass();
    struct disk_node *n = disk_node_of(fd);
    world_mix(disk_id(n) * 4 + 2, 0);
    if (world_breaks()) {
        disk_sync_failed(n);
        return ERR_IO;
    }
    disk_sync(n, disk_mark());
    return ERR_NONE;
}

enum err fs_sync_dir(const char *path)
{
    pass();
    if (strcmp(path, ".") == 0 || strcmp(path, "/") == 0)
        path = "";
    if (!names_folder_exists(path))
        return ERR_NOT_FOUND;
    if (world_breaks())
        return ERR_IO;
    names_sync(path);
    world_note("folder \"%s\" is stable", path);
    return ERR_NONE;
}

enum err fs_sync_all(int folder_fd)
{
    pass();
    (void)folder_fd;
    if (world_breaks())
        return ERR_IO;
    names_sync_all();
    world_note("everything is stable");
    return ERR_NONE;
}

enum err fs_truncate(int fd, uint64_t bytes)
{
    pass();
    struct disk_node *n = disk_node_of(fd);
    if (world_breaks())
        return ERR_IO;
    if (no_room(n, bytes))
        return ERR_NO_SPACE;
    world_note("file %u of %llu bytes has %llu now", disk_id(n), (unsigned long long)disk_size(n),
               (unsigned long long)bytes);
    disk_set_size(n, bytes);
    return ERR_NONE;
}

enum err fs_allocate(int fd, uint64_t off, uint64_t bytes)
{
    pass();
    struct disk_node *n = disk_node_of(fd);
    if (!sim.knobs.allocates)
        return ERR_UNSUPPORTED;
    if (world_breaks())
        return ERR_IO;
    if (no_room(n, off + bytes))
        return ERR_NO_SPACE;
    if (off + bytes > disk_size(n))
        disk_set_size(n, off + bytes);
    return ERR_NONE;
}

/* Its disks have no room of their own for anybody. */
enum err fs_allocate_behind(int fd, uint64_t off, uint64_t bytes)
{
    (void)fd, (void)off, (void)bytes;
    return ERR_UNSUPPORTED;
}

enum err fs_size(int fd, uint64_t *out_bytes)
{
    pass();
    if (world_breaks())
        return ERR_IO;
    *out_bytes = disk_size(disk_node_of(fd));
    return ERR_NONE;
}

uint64_t fs_data_from(int fd, uint64_t off)
{
    fs_guard_check();
    const struct disk_node *n = disk_node_of(fd);
    if (sim.seed % 4) /* most know what was never written */
        return disk_data_from(n, off);
    return off < disk_size(n) ? off : UINT64_MAX;
}

enum err fs_mtime(int fd, int64_t *out_ms)
{
    fs_guard_check();
    *out_ms = disk_changed_ms(disk_node_of(fd));
    return ERR_NONE;
}

enum err fs_set_mtime(int fd, int64_t ms)
{
    fs_guard_check();
    disk_set_changed_ms(disk_node_of(fd), ms);
    return ERR_NONE;
}

enum err fs_rename(const char *from, const char *to)
{
    pass();
    if (!names_find(from))
        return ERR_NOT_FOUND;
    if (world_breaks())
        return ERR_IO;
    names_rename(from, to);
    if (trouble() && sim.crashable && chance(sim.knobs.crash_at_rename_rate)) /* before the folder is synced */
        world_crash(sim.knobs.power_cuts && dice(3) == 0 ? CRASH_POWER : CRASH_KILL);
    return ERR_NONE;
}

enum err fs_unlink(const char *path)
{
    pass();
    const struct disk_name *n = names_find(path);
    if (!n)
        return ERR_NOT_FOUND;
    if (!n->node || world_breaks())
        return ERR_IO;
    names_unlink(path);
    return ERR_NONE;
}

enum err fs_mkdir(const char *path)
{
    fs_guard_check();
    char parent[FS_PATH_MAX];
    pass();
    names_parent(path, parent);
    if (names_find(path))
        return ERR_EXISTS;
    if (!names_folder_exists(parent))
        return ERR_NOT_FOUND;
    if (world_breaks())
        return ERR_IO;
    if (world_fault(FAULT_ROOM) || (sim.full && dice(2)))
        return ERR_NO_SPACE;
    names_link(path, NULL);
    world_note("folder \"%s\" is made", path);
    return ERR_NONE;
}

enum err fs_rmdir(const char *path)
{
    pass();
    const struct disk_name *n = names_find(path);
    if (!n)
        return ERR_NOT_FOUND;
    if (n->node || names_in(path, NULL) || world_breaks())
        return ERR_IO;
    names_unlink(path);
    return ERR_NONE;
}

/* Copied first: the callback may remove what it is shown, list another folder, or never return. */
enum err fs_list(const char *path, bool (*each)(void *arg, const struct fs_entry *entry), void *arg)
{
    fs_guard_check();
    uint32_t count = 0, cap = 0;
    struct fs_entry *entries = NULL;
    pass();
    if (!names_folder_exists(path))
        return ERR_NOT_FOUND;
    if (world_breaks())
        return ERR_IO;
    if (world_refuses_file())
        return ERR_TOO_MANY_FILES;
    for (struct disk_name *n = names_in(path, NULL); n; n = names_in(path, n)) {
        if (count == cap)
            entries = world_grow(entries, (cap = cap ? cap * 2 : 16) * sizeof *entries);
        snprintf(entries[count].name, sizeof entries[count].name, "%.250s", n->path + strlen(path) + 1);
        entries[count++].folder = !n->node;
    }
    for (uint32_t i = 0; i < count && each(arg, &entries[i]); i++)
        ;
    world_free(entries);
    return ERR_NONE;
}

/* A folder has no node: one beside the folders stands for it. */
enum err fs_open_folder(const char *path, int *out_fd)
{
    char beside[FS_PATH_MAX];
    pass();
    if (!names_folder_exists(path))
        return ERR_NOT_FOUND;
    if (world_breaks())
        return ERR_IO;
    if (world_refuses_file())
        return ERR_TOO_MANY_FILES;
    snprintf(beside, sizeof beside, "the folder %s", path);
    for (char *slash = strchr(beside, '/'); slash; slash = strchr(slash, '/'))
        *slash = ':';
    if (!names_find(beside))
        names_link(beside, disk_node_new());
    *out_fd = disk_fd_open(names_find(beside)->node, false);
    return ERR_NONE;
}

enum err fs_is_same(int fd, const char *path, bool *out_same)
{
    pass();
    const struct disk_name *name = names_find(path);
    *out_same = name && (!name->node || name->node == disk_node_of(fd));
    return ERR_NONE;
}

/* This disk has no second names. */
enum err fs_link(const char *from, const char *to)
{
    assert(from && to);
    fs_guard_check();
    return ERR_UNSUPPORTED;
}

/* Nor a Java program that could lock something here. */
enum err fs_is_locked(int fd, bool *out_locked)
{
    assert(fd >= 0);
    fs_guard_check();
    *out_locked = false;
    return ERR_NONE;
}

enum err fs_lock(int fd)
{
    fs_guard_check();
    return disk_lock(disk_node_of(fd)) ? ERR_NONE : ERR_BUSY;
}

enum err fs_free_bytes(const char *path, uint64_t *out_bytes)
{
    fs_guard_check();
    uint64_t total;
    return fs_space(path, &total, out_bytes);
}

enum err fs_space(const char *path, uint64_t *out_total, uint64_t *out_free)
{
    fs_guard_check();
    (void)path;
    *out_total = 20ull * 1024 * 1024 * 1024;
    *out_free = sim.full ? 100 * 1024 : *out_total;
    return ERR_NONE;
}

enum err fs_absolute(const char *path, char *out_path, size_t bytes)
{
    fs_guard_check();
    int n = snprintf(out_path, bytes, "%s%s", path[0] == '/' ? "" : "/", path);
    return n >= 0 && (size_t)n < bytes ? ERR_NONE : ERR_INVALID;
}

enum err fs_probe(const char *folder, struct fs_traits *out_traits)
{
    fs_guard_check();
    if (!names_folder_exists(folder))
        return ERR_NOT_FOUND;
    *out_traits = (struct fs_traits){.direct = sim.knobs.direct,
                                     .allocates = sim.knobs.allocates,
                                     .syncs_all = sim.seed % 2,
                                     .share_flush_from = 1 + sim.seed / 2 % 2,
                                     .unwritten_costs = sim.seed / 4 % 4 > 0,
                                     .type = "sim"};
    return ERR_NONE;
}

bool fs_shares_flush(int fd, int other_fd)
{
    fs_guard_check();
    return disk_is_direct(fd) && disk_node_of(other_fd) && sim.seed % 3;
}

void fs_drop_cache(int fd)
{
    fs_guard_check();
    (void)fd;
}

uint32_t fs_files_max(void)
{
    fs_guard_check();
    return sim.knobs.files_max;
}

uint64_t fs_file_bytes_max(void)
{
    return UINT64_MAX;
}

enum err fs_map_open(int fd, size_t bytes, void **out_at)
{
    pass();
    if (world_refuses_memory())
        return ERR_NO_MEMORY;
    *out_at = shared_map(disk_node_of(fd), bytes);
    return ERR_NONE;
}

/* The file has it still. */
void fs_unmap(void *at, size_t bytes)
{
    fs_guard_check();
    (void)at, (void)bytes;
}

/* The broker may die on either side of it. */
void fs_publish(_Atomic uint64_t *at, uint64_t value)
{
    world_door();
    *at = value;
    world_door();
}

/* The only folder is always the same. */
enum err fs_identify(int fd, struct fs_identity *out)
{
    fs_guard_check();
    (void)fd;
    *out = (struct fs_identity){.device = 1, .inode = 1};
    return ERR_NONE;
}

bool fs_is_own(int fd, int folder_fd)
{
    fs_guard_check();
    (void)folder_fd;
    return fd >= 0;
}

enum err fs_boot_id(uint8_t out_id[16])
{
    fs_guard_check();
    memset(out_id, 0, 16);
    memcpy(out_id, &sim.boots, sizeof sim.boots);
    return ERR_NONE;
}

bool fs_is_outside_containers(void)
{
    return false;
}
