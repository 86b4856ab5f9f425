/* Whose folder this is (root_owner.h). */
#include "storage/root_owner.h"
#include "storage/catalog/catalog_file.h"
#include "storage/catalog/meta.h"
#include <stdio.h>
#include <string.h>

struct owner_look {
    char unknown[256]; /* the first name that a new folder of ours cannot hold; "": none */
};

/* "recovery-point-<n>.checkpoint", also with .tmp: a shard writes one before there is any topic. */
static bool is_first_checkpoint_name(const char *name)
{
    static const char before[] = "recovery-point-", behind[] = ".checkpoint";
    if (strncmp(name, before, sizeof before - 1) != 0)
        return false;
    name += sizeof before - 1;
    name += strspn(name, "0123456789");
    return strncmp(name, behind, sizeof behind - 1) == 0;
}

/* What a first start may have left, and what a file system puts into an empty disk. */
static bool is_name_of_new_folder(const char *name)
{
    assert(name[0]);
    static const char *const names[] = {".lock",        "meta.properties", "meta.properties.tmp", "catalog",
                                        "catalog.copy", "catalog.tmp",     "lost+found"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return is_first_checkpoint_name(name);
}

static bool look_at_owner_entry(void *arg, const struct fs_entry *entry)
{
    assert(arg && entry->name[0]);
    struct owner_look *l = arg;
    if (is_name_of_new_folder(entry->name))
        return true;
    memcpy(l->unknown, entry->name, sizeof l->unknown);
    return false;
}

/* Does a catalog of ours stand there? */
static bool has_our_catalog(const char *data_dir)
{
    assert(data_dir);
    static const char *const names[] = {"catalog", "catalog.copy"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[FS_PATH_MAX], text[sizeof CATALOG_HEADER] = {0};
        size_t got = 0;
        int fd, n = snprintf(path, sizeof path, "%s/%s", data_dir, names[i]);
        if (n < 0 || n >= FS_PATH_MAX || fs_open(path, FS_READ, &fd) != ERR_NONE)
            continue;
        enum err err = fs_read(fd, text, CATALOG_HEADER_WORDS, 0, &got);
        fs_close(fd);
        if (err == ERR_NONE && got == CATALOG_HEADER_WORDS && memcmp(text, CATALOG_HEADER, got) == 0)
            return true;
    }
    return false;
}

static enum err refuse_kafka_folder(const char *data_dir, char *why)
{
    assert(why);
    snprintf(why, CONFIG_WHY_BYTES,
             "The data folder %.200s was formatted by Apache Kafka: its meta.properties has no odradek.format. Nothing "
             "in it was "
             "touched; set log.dirs to a folder of Odradek's own, which may be empty or missing.",
             data_dir);
    return ERR_INVALID;
}

static enum err refuse_foreign_folder(const char *data_dir, const char *unknown, char *why)
{
    assert(unknown[0]);
    snprintf(why, CONFIG_WHY_BYTES,
             "The data folder %.200s is not Odradek's: it holds %.100s, and no meta.properties with odradek.format. "
             "Nothing in it was "
             "touched; set log.dirs to an empty or missing folder.",
             data_dir, unknown);
    return ERR_INVALID;
}

enum err root_owner_refuse_meta(const char *data_dir, bool missing, char *why)
{
    assert(why);
    snprintf(why, CONFIG_WHY_BYTES,
             "%.300s/meta.properties is %s; put it back from a backup, or let `odradek repair` make another, with a "
             "new cluster id.",
             data_dir, missing ? "missing" : "damaged");
    return ERR_CORRUPT;
}

enum err root_owner_check(struct heap *heap, const char *data_dir, char *why)
{
    assert(heap && data_dir && why);
    struct owner_look look = {{0}};
    struct meta meta;
    enum err found = meta_load(heap, data_dir, &meta);
    if (found == ERR_NONE)
        return meta.format >= 0 ? ERR_NONE : refuse_kafka_folder(data_dir, why);
    if (found != ERR_NOT_FOUND && found != ERR_CORRUPT)
        return ERR_NONE;
    if (fs_list(data_dir, look_at_owner_entry, &look) != ERR_NONE || !look.unknown[0])
        return ERR_NONE;
    if (has_our_catalog(data_dir))
        return root_owner_refuse_meta(data_dir, found == ERR_NOT_FOUND, why);
    return refuse_foreign_folder(data_dir, look.unknown, why);
}
