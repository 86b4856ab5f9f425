/* The file system door, in build/test_fs. */
#include "core/fs.h"
#include "core/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#define DIR_PATH "build/test_fs"

static bool remove_entry(void *arg, const struct fs_entry *entry)
{
    char path[FS_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", (const char *)arg, entry->name);
    return (entry->folder ? fs_rmdir(path) : fs_unlink(path)) == ERR_NONE;
}

/* With all that is in it, also what a test that failed left there. */
static int remove_dir(void **state)
{
    (void)state;
    static char dir[] = DIR_PATH;
    if (fs_list(dir, remove_entry, dir))
        return -1;
    return fs_rmdir(dir) == ERR_NONE ? 0 : -1;
}

static int make_dir(void **state)
{
    (void)remove_dir(state); /* of a run that was killed */
    enum err err = fs_mkdir("build");
    if (err && err != ERR_EXISTS)
        return -1;
    return fs_mkdir(DIR_PATH) == ERR_NONE ? 0 : -1;
}

static int open_new(const char *path)
{
    int fd = -1;
    assert_int_equal(fs_open(path, FS_READ | FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &fd), ERR_NONE);
    return fd;
}

static void bytes_come_back_up_to_the_end(void **state)
{
    (void)state;
    char at[16];
    size_t bytes;
    uint64_t size;
    int fd = open_new(DIR_PATH "/a");
    assert_int_equal(fs_write(fd, "0123456789", 10, 5), ERR_NONE);
    assert_int_equal(fs_read(fd, at, sizeof at, 3, &bytes), ERR_NONE);
    assert_int_equal(bytes, 12);
    assert_memory_equal(at,
                        "\0\0"
                        "0123456789",
                        12);
    assert_int_equal(fs_read(fd, at, 4, 100, &bytes), ERR_NONE);
    assert_int_equal(bytes, 0);
    assert_int_equal(fs_truncate(fd, 7), ERR_NONE);
    assert_int_equal(fs_size(fd, &size), ERR_NONE);
    assert_int_equal(size, 7);
    assert_int_equal(fs_sync(fd), ERR_NONE);
    assert_int_equal(fs_sync_dir(DIR_PATH), ERR_NONE);
    fs_drop_cache(fd);
    int64_t changed_ms;
    assert_int_equal(fs_mtime(fd, &changed_ms), ERR_NONE);
    assert_true(changed_ms > clock_wall_ms() - 60000 && changed_ms <= clock_wall_ms());
    assert_int_equal(fs_set_mtime(fd, 1234567), ERR_NONE);
    assert_int_equal(fs_mtime(fd, &changed_ms), ERR_NONE);
    assert_int_equal(changed_ms, 1234567);
    fs_close(fd);
}

static void allocating_sets_the_size(void **state)
{
    (void)state;
    uint64_t size;
    struct fs_traits traits;
    assert_int_equal(fs_probe(DIR_PATH, &traits), ERR_NONE);
    assert_true(strlen(traits.type) > 0);
    int fd = open_new(DIR_PATH "/a");
    enum err err = fs_allocate(fd, 0, 65536);
    if (traits.allocates) {
        assert_int_equal(err, ERR_NONE);
        assert_int_equal(fs_size(fd, &size), ERR_NONE);
        assert_int_equal(size, 65536);
    } else {
        assert_int_equal(err, ERR_UNSUPPORTED);
    }
    fs_close(fd);
    uint64_t free_bytes;
    assert_int_equal(fs_free_bytes(DIR_PATH, &free_bytes), ERR_NONE);
    assert_true(free_bytes > 0);
}

static void a_folder_knows_its_disk_and_its_whole_path(void **state)
{
    (void)state;
    uint64_t total, free_bytes;
    char whole[4096], again[4096], tiny[4];
    assert_int_equal(fs_space(DIR_PATH, &total, &free_bytes), ERR_NONE);
    assert_true(free_bytes > 0 && free_bytes <= total);
    assert_int_equal(fs_space(DIR_PATH "/none", &total, &free_bytes), ERR_NOT_FOUND);
    assert_int_equal(fs_absolute(DIR_PATH, whole, sizeof whole), ERR_NONE);
    assert_true(whole[0] == '/' && strlen(whole) >= strlen(DIR_PATH));
    assert_string_equal(whole + strlen(whole) - strlen(DIR_PATH), DIR_PATH);
    assert_int_equal(fs_probe(whole, &(struct fs_traits){0}), ERR_NONE);
    assert_int_equal(fs_absolute(whole, again, sizeof again), ERR_NONE);
    assert_string_equal(whole, again);
    assert_int_equal(fs_absolute(DIR_PATH, tiny, sizeof tiny), ERR_INVALID);
}

static void a_search_for_data_passes_none(void **state)
{
    (void)state;
    static uint8_t page[4096] = {1};
    uint64_t at = 512 * 1024;
    int fd = open_new(DIR_PATH "/sparse");
    assert_true(fs_data_from(fd, 0) == UINT64_MAX || fs_data_from(fd, 0) == 0); /* empty */
    assert_int_equal(fs_truncate(fd, 1024 * 1024), ERR_NONE);
    assert_int_equal(fs_write(fd, page, sizeof page, at), ERR_NONE);
    for (int synced = 0; synced < 2; synced++) {
        assert_true(fs_data_from(fd, 0) <= at);
        assert_int_equal(fs_data_from(fd, at), at);
        assert_int_equal(fs_data_from(fd, at + 100), at + 100);
        assert_true(fs_data_from(fd, at + sizeof page) >= at + sizeof page);
        assert_int_equal(fs_sync(fd), ERR_NONE);
        fs_drop_cache(fd);
    }
    fs_close(fd);
    assert_int_equal(fs_unlink(DIR_PATH "/sparse"), ERR_NONE);
}

static void what_is_not_there_or_already_there_is_told(void **state)
{
    (void)state;
    int fd;
    uint64_t bytes;
    struct fs_traits traits;
    assert_int_equal(fs_open(DIR_PATH "/none", FS_READ, &fd), ERR_NOT_FOUND);
    assert_int_equal(fs_unlink(DIR_PATH "/none"), ERR_NOT_FOUND);
    assert_int_equal(fs_rename(DIR_PATH "/none", DIR_PATH "/a"), ERR_NOT_FOUND);
    assert_int_equal(fs_mkdir(DIR_PATH), ERR_EXISTS);
    assert_int_equal(fs_mkdir(DIR_PATH "/x/y"), ERR_NOT_FOUND);
    assert_int_equal(fs_sync_dir(DIR_PATH "/none"), ERR_NOT_FOUND);
    assert_int_equal(fs_free_bytes(DIR_PATH "/none", &bytes), ERR_NOT_FOUND);
    assert_int_equal(fs_probe(DIR_PATH "/none", &traits), ERR_NOT_FOUND);
    fs_close(open_new(DIR_PATH "/a"));
    assert_int_equal(fs_open(DIR_PATH "/a", FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &fd), ERR_EXISTS);
    assert_int_equal(fs_rmdir(DIR_PATH), ERR_EXISTS);
}

static void rename_replaces(void **state)
{
    (void)state;
    int fd;
    char at[4];
    size_t bytes;
    fs_close(open_new(DIR_PATH "/a"));
    fd = open_new(DIR_PATH "/b");
    assert_int_equal(fs_write(fd, "new", 3, 0), ERR_NONE);
    fs_close(fd);
    assert_int_equal(fs_rename(DIR_PATH "/b", DIR_PATH "/a"), ERR_NONE);
    assert_int_equal(fs_open(DIR_PATH "/a", FS_READ, &fd), ERR_NONE);
    assert_int_equal(fs_read(fd, at, sizeof at, 0, &bytes), ERR_NONE);
    assert_int_equal(bytes, 3);
    assert_memory_equal(at, "new", 3);
    fs_close(fd);
    assert_int_equal(fs_open(DIR_PATH "/a", FS_WRITE | FS_TRUNCATE, &fd), ERR_NONE);
    uint64_t size;
    assert_int_equal(fs_size(fd, &size), ERR_NONE);
    assert_int_equal(size, 0);
    fs_close(fd);
}

struct listing {
    uint32_t files, folders, max;
};

static bool count_entry(void *arg, const struct fs_entry *entry)
{
    struct listing *l = arg;
    assert_string_not_equal(entry->name, ".");
    assert_string_not_equal(entry->name, "..");
    l->files += !entry->folder;
    l->folders += entry->folder;
    return l->files + l->folders < l->max;
}

static void a_listing_tells_files_from_folders_and_may_stop(void **state)
{
    (void)state;
    fs_close(open_new(DIR_PATH "/a"));
    fs_close(open_new(DIR_PATH "/b"));
    assert_int_equal(fs_mkdir(DIR_PATH "/sub"), ERR_NONE);
    struct listing all = {.max = 100}, one = {.max = 1};
    assert_int_equal(fs_list(DIR_PATH, count_entry, &all), ERR_NONE);
    assert_int_equal(all.files, 2);
    assert_int_equal(all.folders, 1);
    assert_int_equal(fs_list(DIR_PATH, count_entry, &one), ERR_NONE);
    assert_int_equal(one.files + one.folders, 1);
    assert_int_equal(fs_list(DIR_PATH "/none", count_entry, &all), ERR_NOT_FOUND);
}

static void a_lock_excludes_until_it_is_closed(void **state)
{
    (void)state;
    int a = open_new(DIR_PATH "/a"), b;
    assert_int_equal(fs_open(DIR_PATH "/a", FS_READ, &b), ERR_NONE);
    assert_int_equal(fs_lock(a), ERR_NONE);
    assert_int_equal(fs_lock(b), ERR_BUSY);
    fs_close(a);
    assert_int_equal(fs_lock(b), ERR_NONE);
    fs_close(b);
}

static void a_file_with_another_name_is_copied_before_it_is_written(void **state)
{
    (void)state;
    char bytes[8];
    size_t got;
    int fd = open_new(DIR_PATH "/a"), other;
    assert_int_equal(fs_write(fd, "before", 6, 0), ERR_NONE);
    fs_close(fd);
    assert_int_equal(fs_link(DIR_PATH "/a", DIR_PATH "/b"), ERR_NONE);
    assert_int_equal(fs_link(DIR_PATH "/a", DIR_PATH "/b"), ERR_EXISTS);
    assert_int_equal(fs_open(DIR_PATH "/a", FS_READ | FS_WRITE | FS_OWN, &fd), ERR_NONE);
    assert_int_equal(fs_write(fd, "after!", 6, 0), ERR_NONE);
    assert_int_equal(fs_open(DIR_PATH "/b", FS_READ, &other), ERR_NONE);
    assert_int_equal(fs_read(other, bytes, sizeof bytes, 0, &got), ERR_NONE);
    assert_int_equal(got, 6);
    assert_memory_equal(bytes, "before", 6);
    fs_close(other);
    assert_int_equal(fs_open(DIR_PATH "/a", FS_READ | FS_WRITE | FS_OWN, &other), ERR_NONE);
    bool same = false;
    assert_int_equal(fs_is_same(fd, DIR_PATH "/a", &same), ERR_NONE);
    assert_true(same); /* alone by now: nothing is copied again */
    fs_close(other);
    fs_close(fd);
    assert_int_equal(fs_open(DIR_PATH "/a.tmp", FS_READ, &fd), ERR_NOT_FOUND);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}
/* What only its owner may read (the catalog keeps credentials) is copied for its owner only. */
static void a_copy_is_as_private_as_the_file(void **state)
{
    (void)state;
    int fd;
    fs_close(open_new(DIR_PATH "/a"));
    assert_int_equal(chmod(DIR_PATH "/a", 0600), 0);
    assert_int_equal(fs_link(DIR_PATH "/a", DIR_PATH "/b"), ERR_NONE);
    assert_int_equal(fs_open(DIR_PATH "/a", FS_WRITE | FS_OWN, &fd), ERR_NONE);
    fs_close(fd);
    assert_int_equal(mode_of(DIR_PATH "/a"), 0600);
}

static void a_file_with_another_name_is_not_emptied(void **state)
{
    (void)state;
    char bytes[8];
    size_t got;
    int fd = open_new(DIR_PATH "/a");
    assert_int_equal(fs_write(fd, "before", 6, 0), ERR_NONE);
    fs_close(fd);
    assert_int_equal(fs_link(DIR_PATH "/a", DIR_PATH "/b"), ERR_NONE);
    assert_int_equal(fs_open(DIR_PATH "/a", FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd), ERR_NONE);
    assert_int_equal(fs_read(fd, bytes, sizeof bytes, 0, &got), ERR_NONE);
    assert_int_equal(got, 0);
    fs_close(fd);
    assert_int_equal(fs_open(DIR_PATH "/b", FS_READ, &fd), ERR_NONE);
    assert_int_equal(fs_read(fd, bytes, sizeof bytes, 0, &got), ERR_NONE);
    assert_int_equal(got, 6);
    fs_close(fd);
}

static void memory_file_systems_are_not_direct(void **state)
{
    (void)state;
    struct fs_traits traits;
    if (fs_probe("/dev/shm", &traits) != ERR_NONE) {
        printf("not run: memory_file_systems_are_not_direct: no /dev/shm to write to\n");
        return;
    }
    assert_string_equal(traits.type, "tmpfs");
    assert_false(traits.direct);
    assert_true(traits.allocates);
}

static void direct_files_of_one_disk_may_share_a_flush(void **state)
{
    (void)state;
    struct fs_traits traits;
    int fd, cached, folder;
    assert_int_equal(fs_probe(DIR_PATH, &traits), ERR_NONE);
    assert_int_equal(fs_open_folder("/dev", &folder), ERR_NONE);
    if (fs_open(DIR_PATH "/direct", FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE | FS_DIRECT, &fd) == ERR_NONE) {
        cached = open_new(DIR_PATH "/cached");
        assert_int_equal(fs_shares_flush(fd, cached), traits.direct && strcmp(traits.type, "ext4") == 0);
        assert_false(fs_shares_flush(cached, fd)); /* its writes wait in the page cache */
        assert_false(fs_shares_flush(fd, folder)); /* another disk */
        fs_close(cached);
        fs_close(fd);
        assert_int_equal(fs_unlink(DIR_PATH "/direct"), ERR_NONE);
        assert_int_equal(fs_unlink(DIR_PATH "/cached"), ERR_NONE);
    } else {
        printf("not run: direct_files_of_one_disk_may_share_a_flush: no direct files here\n");
    }
    fs_close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_come_back_up_to_the_end, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(allocating_sets_the_size, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_search_for_data_passes_none, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_folder_knows_its_disk_and_its_whole_path, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_is_not_there_or_already_there_is_told, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(rename_replaces, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_listing_tells_files_from_folders_and_may_stop, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_lock_excludes_until_it_is_closed, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_file_with_another_name_is_copied_before_it_is_written, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_copy_is_as_private_as_the_file, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_file_with_another_name_is_not_emptied, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(direct_files_of_one_disk_may_share_a_flush, make_dir, remove_dir),
        cmocka_unit_test(memory_file_systems_are_not_direct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
