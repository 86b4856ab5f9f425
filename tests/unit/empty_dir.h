/* A folder of a test's own below build/tests/unit, made if need be and emptied: no test finds what another run left. */
#pragma once
#include "core/fs.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static inline bool empty_dir_remove(void *arg, const struct fs_entry *entry)
{
    const char *dir = arg;
    char path[FS_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, entry->name);
    assert_int_equal(fs_unlink(path), ERR_NONE);
    return true;
}

static inline void empty_dir(const char *dir)
{
    const char *const folders[] = {"build", "build/tests", "build/tests/unit", dir};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        enum err err = fs_mkdir(folders[i]);
        assert_true(err == ERR_NONE || err == ERR_EXISTS);
    }
    assert_int_equal(fs_list(dir, empty_dir_remove, (void *)(uintptr_t)dir), ERR_NONE);
}
