/* The clean mark (clean_mark.h). */
#include "storage/recovery/clean_mark.h"
#include "core/array.h"
#include "core/bytes.h"
#include "core/crc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "odradek clean 1\n"
enum { HEADER_BYTES = 16, ENTRIES_AT = HEADER_BYTES + 5, ENTRY_BYTES = 20, CRC_BYTES = 4, MARK_BYTES_MAX = 1 << 30 };
static_assert(sizeof HEADER - 1 == HEADER_BYTES, "the header is as long as its text");

void clean_mark_init(struct clean_mark *m, struct heap *heap)
{
    assert(heap);
    *m = (struct clean_mark){.heap = heap};
}

void clean_mark_deinit(struct clean_mark *m)
{
    assert(m->v || !m->count);
    heap_free(m->heap, m->v);
    clean_mark_init(m, m->heap);
}

static int compare_marked(const void *a, const void *b)
{
    const struct clean_entry *x = a, *y = b;
    int by_id = memcmp(x->topic_id, y->topic_id, 16);
    return by_id ? by_id : (x->partition > y->partition) - (x->partition < y->partition);
}

enum err clean_mark_add(struct clean_mark *m, const uint8_t topic_id[16], int32_t partition)
{
    assert(m->count <= m->cap);
    struct clean_entry *v = array_grow(m->heap, m->v, &m->cap, m->count + 1, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    m->v = v;
    struct clean_entry *e = &m->v[m->count++];
    memcpy(e->topic_id, topic_id, 16);
    e->partition = partition;
    return ERR_NONE;
}

bool clean_mark_has(const struct clean_mark *m, const uint8_t topic_id[16], int32_t partition)
{
    assert(partition >= 0);
    struct clean_entry wanted = {.partition = partition};
    memcpy(wanted.topic_id, topic_id, 16);
    return m->count > 0 && bsearch(&wanted, m->v, m->count, sizeof wanted, compare_marked);
}

static void mark_path(char out[FS_PATH_MAX], const char *data_dir, const char *name)
{
    assert(data_dir);
    int n = snprintf(out, FS_PATH_MAX, "%s/%s", data_dir, name);
    assert(n > 0 && n < FS_PATH_MAX);
}

/* --- reading --- */

static bool mark_is_whole(const uint8_t *at, size_t bytes)
{
    if (bytes < ENTRIES_AT + CRC_BYTES || memcmp(at, HEADER, HEADER_BYTES) != 0)
        return false;
    uint64_t count = be32_get(at + HEADER_BYTES + 1);
    return bytes == ENTRIES_AT + count * ENTRY_BYTES + CRC_BYTES &&
           be32_get(at + bytes - CRC_BYTES) == crc32c(0, at, bytes - CRC_BYTES);
}

static enum err take_marked(struct clean_mark *m, const uint8_t *at, size_t bytes)
{
    if (!mark_is_whole(at, bytes))
        return ERR_NOT_FOUND;
    enum err err = ERR_NONE;
    m->all = at[HEADER_BYTES] != 0;
    uint32_t count = be32_get(at + HEADER_BYTES + 1);
    for (uint32_t i = 0; err == ERR_NONE && i < count; i++) {
        const uint8_t *entry = at + ENTRIES_AT + (size_t)i * ENTRY_BYTES;
        err = clean_mark_add(m, entry, (int32_t)be32_get(entry + 16));
    }
    assert(err || m->count == count);
    return err;
}

static enum err read_mark_file(struct clean_mark *m, int fd)
{
    assert(fd >= 0);
    uint64_t bytes;
    size_t got = 0;
    enum err err = fs_size(fd, &bytes);
    if (err != ERR_NONE)
        return err;
    if (bytes > MARK_BYTES_MAX)
        return ERR_NOT_FOUND;
    uint8_t *at = heap_alloc(m->heap, bytes + 1);
    err = at ? fs_read(fd, at, bytes, 0, &got) : ERR_NO_MEMORY;
    assert(got <= bytes);
    if (err == ERR_NONE)
        err = take_marked(m, at, got);
    heap_free(m->heap, at);
    return err;
}

enum err clean_mark_load(struct clean_mark *m, const char *data_dir)
{
    assert(m->count == 0);
    char path[FS_PATH_MAX];
    int fd;
    mark_path(path, data_dir, ".clean");
    enum err err = fs_open(path, FS_READ, &fd);
    if (err != ERR_NONE)
        return err;
    err = read_mark_file(m, fd);
    fs_close(fd);
    return err;
}

/* --- writing --- */

static uint8_t *encode_mark(struct clean_mark *m, size_t *out_bytes)
{
    assert(m->count <= m->cap);
    size_t bytes = ENTRIES_AT + (size_t)m->count * ENTRY_BYTES + CRC_BYTES;
    uint8_t *at = heap_alloc(m->heap, bytes);
    if (!at)
        return NULL;
    if (m->count > 1)
        qsort(m->v, m->count, sizeof *m->v, compare_marked);
    memcpy(at, HEADER, HEADER_BYTES);
    at[HEADER_BYTES] = m->all;
    be32_put(at + HEADER_BYTES + 1, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        uint8_t *entry = at + ENTRIES_AT + (size_t)i * ENTRY_BYTES;
        memcpy(entry, m->v[i].topic_id, 16);
        be32_put(entry + 16, (uint32_t)m->v[i].partition);
    }
    be32_put(at + bytes - CRC_BYTES, crc32c(0, at, bytes - CRC_BYTES));
    *out_bytes = bytes;
    return at;
}

static enum err write_mark_file(const char *path, const uint8_t *at, size_t bytes)
{
    assert(bytes >= ENTRIES_AT + CRC_BYTES);
    int fd;
    enum err err = fs_open(path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd);
    if (err != ERR_NONE)
        return err;
    err = fs_write(fd, at, bytes, 0);
    if (err == ERR_NONE)
        err = fs_sync(fd);
    fs_close(fd);
    return err;
}

enum err clean_mark_save(struct clean_mark *m, const char *data_dir)
{
    char path[FS_PATH_MAX];
    size_t bytes;
    uint8_t *at = encode_mark(m, &bytes);
    if (!at)
        return ERR_NO_MEMORY;
    mark_path(path, data_dir, ".clean");
    enum err err = write_mark_file(path, at, bytes); /* a torn one is none */
    heap_free(m->heap, at);
    return err != ERR_NONE ? err : fs_sync_dir(data_dir);
}

enum err clean_mark_remove(const char *data_dir)
{
    char path[FS_PATH_MAX];
    mark_path(path, data_dir, ".clean");
    enum err err = fs_unlink(path);
    if (err == ERR_NOT_FOUND)
        return ERR_NONE;
    return err != ERR_NONE ? err : fs_sync_dir(data_dir);
}
