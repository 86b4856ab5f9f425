/* See partition_dir.h. partition.metadata is text: "version: 0" and "topic_id: <22 characters of base64>". */
#include "storage/log/partition_dir.h"
#include "core/log.h"
#include "storage/log/folder.h"
#include "storage/log/segment.h"
#include "storage/uuid.h"
#include <stdio.h>
#include <string.h>

static const char metadata_name[] = "partition.metadata";
enum { METADATA_BYTES_MAX = 4096, STRAY_TRIES = 10000 };

static enum err partition_file_path(char out[FS_PATH_MAX], const char *dir, const char *name)
{
    assert(dir);
    assert(name[0]);
    int n = snprintf(out, FS_PATH_MAX, "%s/%s", dir, name);
    return n > 0 && n < FS_PATH_MAX ? ERR_NONE : ERR_INVALID;
}

static bool parse_topic_id(const char *text, uint8_t out_id[16])
{
    const char *at = strstr(text, "topic_id:");
    if (!at)
        return false;
    at += strlen("topic_id:");
    at += strspn(at, " ");
    return uuid_parse(at, strcspn(at, " \r\n"), out_id);
}

/* ERR_NOT_FOUND: there is none, or none that makes sense. */
enum err partition_dir_owner(const char *dir, uint8_t out_topic_id[16])
{
    char path[FS_PATH_MAX], text[METADATA_BYTES_MAX + 1];
    size_t bytes = 0;
    int fd;
    enum err err = partition_file_path(path, dir, metadata_name);
    if (!err)
        err = fs_open(path, FS_READ, &fd);
    if (err)
        return err;
    err = fs_read(fd, text, METADATA_BYTES_MAX, 0, &bytes);
    fs_close(fd);
    assert(bytes <= METADATA_BYTES_MAX);
    text[bytes] = 0;
    return err ? err : parse_topic_id(text, out_topic_id) ? ERR_NONE : ERR_NOT_FOUND;
}

bool partition_dir_topic(const char *dir, uint8_t out_topic_id[16])
{
    assert(dir);
    return partition_dir_owner(dir, out_topic_id) == ERR_NONE;
}

enum err partition_dir_name(const char *dir, const uint8_t topic_id[16])
{
    char path[FS_PATH_MAX], id[UUID_TEXT_BYTES], text[64];
    uuid_text(topic_id, id);
    int n = snprintf(text, sizeof text, "version: 0\ntopic_id: %s\n", id);
    assert(n > 0 && (size_t)n < sizeof text);
    enum err err = partition_file_path(path, dir, metadata_name);
    return err ? err : segment_write_file(path, text, (size_t)n);
}

static bool find_segment(void *arg, const struct fs_entry *entry)
{
    assert(arg);
    int64_t offset;
    *(bool *)arg = !entry->folder && segment_parse_name(entry->name, ".log", &offset);
    return !*(bool *)arg;
}

/* Another topic's, or with segments and without an id. An error (no descriptors) says neither: then nothing is made or written. */
static enum err is_folder_foreign(const char *dir, const uint8_t topic_id[16], bool *out_foreign)
{
    assert(out_foreign);
    uint8_t owner[16];
    *out_foreign = false;
    enum err err = partition_dir_owner(dir, owner);
    if (!err)
        *out_foreign = memcmp(owner, topic_id, sizeof owner) != 0;
    if (err != ERR_NOT_FOUND)
        return err;
    err = fs_list(dir, find_segment, out_foreign);
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static bool note_entry(void *arg, const struct fs_entry *entry)
{
    assert(arg);
    (void)entry;
    *(bool *)arg = true;
    return false;
}

static enum err move_out_of_the_way(const char *dir)
{
    assert(dir[0]);
    char to[FS_PATH_MAX];
    for (int i = 0; i < STRAY_TRIES; i++) {
        bool any;
        int n = snprintf(to, sizeof to, "%s.%d" PARTITION_DIR_STRAY, dir, i);
        if (n < 0 || n >= FS_PATH_MAX)
            return ERR_INVALID;
        enum err err = fs_list(to, note_entry, &any);
        if (err == ERR_NOT_FOUND)
            return fs_rename(dir, to);
        if (err)
            return err;
    }
    return ERR_EXISTS;
}

enum err partition_dir_make(const char *dir, const uint8_t topic_id[16])
{
    assert(topic_id);
    bool foreign;
    enum err err = is_folder_foreign(dir, topic_id, &foreign);
    if (!err && foreign)
        err = move_out_of_the_way(dir);
    if (!err)
        err = fs_mkdir(dir);
    return err && err != ERR_EXISTS ? err : partition_dir_name(dir, topic_id);
}

/* --- the end --- */

struct removal {
    const char *dir;
    enum err err;
};

static bool remove_partition_file(void *arg, const struct fs_entry *entry)
{
    struct removal *r = arg;
    assert(r->dir);
    if (entry->folder || strcmp(entry->name, metadata_name) == 0)
        return true;
    enum err err = folder_remove(r->dir, entry->name);
    if (err)
        r->err = err;
    return true;
}

enum err partition_dir_delete(const char *dir, const uint8_t *topic_id)
{
    assert(dir);
    struct removal r = {.dir = dir};
    bool foreign = false;
    enum err err = topic_id ? is_folder_foreign(dir, topic_id, &foreign) : ERR_NONE;
    if (err || foreign) {
        if (foreign)
            log_warn("folder left alone", "folder=%s why=\"it is not that of the topic that was deleted\"", dir);
        return err;
    }
    err = fs_list(dir, remove_partition_file, &r);
    if (err == ERR_NOT_FOUND)
        return ERR_NONE;
    if (!err)
        err = r.err;
    if (!err)
        err = fs_sync_dir(dir);
    if (!err)
        err = folder_remove(dir, metadata_name);
    return err ? err : fs_rmdir(dir);
}
