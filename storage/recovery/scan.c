/* The buffer moves over the file; `view` is the only place that reads. */
#include "storage/recovery/scan.h"
#include "core/crc.h"
#include "core/limits.h"

enum {
    RECORD_BYTES_MIN = 7
}; /* length, attributes, two deltas, three counts: so a file of n bytes holds at most n / 7 */

enum err scan_open(struct scan *s, struct heap *heap, int fd, uint64_t at, uint64_t end)
{
    assert(at <= end);
    *s = (struct scan){.fd = fd, .heap = heap, .at = at, .end = end};
    s->buf = heap_alloc(heap, SCAN_BUF_BYTES);
    return s->buf ? ERR_NONE : ERR_NO_MEMORY;
}
void scan_close(struct scan *s)
{
    assert(s->at <= s->end);
    heap_free(s->heap, s->buf);
    s->buf = NULL;
}

enum err scan_open_file(struct scan *s, struct heap *heap, const char *path)
{
    assert(path[0]);
    uint64_t size = 0;
    int fd;
    enum err err = fs_open(path, FS_READ, &fd);
    if (err)
        return err;
    err = fs_size(fd, &size);
    if (!err)
        err = scan_open(s, heap, fd, 0, size);
    if (err)
        fs_close(fd);
    return err;
}
void scan_close_file(struct scan *s)
{
    assert(s->fd >= 0);
    int fd = s->fd;
    scan_close(s);
    fs_close(fd);
}

/* The file's bytes from `at` on, at least `want` of them (fewer only at the end), valid until the next call. */
static enum err view_bytes(struct scan *s, uint64_t at, size_t want, const uint8_t **out, size_t *out_bytes)
{
    assert(want <= SCAN_BUF_BYTES);
    assert(at <= s->end);
    want = (size_t)u64_min(want, s->end - at);
    if (at < s->buf_from || at + want > s->buf_from + s->buf_bytes) {
        size_t bytes = (size_t)u64_min(SCAN_BUF_BYTES, s->end - at), got = 0;
        s->buf_bytes = 0;
        enum err err = fs_read(s->fd, s->buf, bytes, at, &got);
        if (err)
            return err;
        s->read_bytes += got;
        s->buf_from = at;
        s->buf_bytes = got;
    }
    *out = s->buf + (at - s->buf_from);
    *out_bytes = (size_t)(s->buf_from + s->buf_bytes - at);
    return ERR_NONE;
}

static enum err scan_crc_of_range(struct scan *s, uint64_t from, uint64_t to, uint32_t *out_crc)
{
    assert(from <= to && to <= s->end);
    uint32_t crc = 0;
    while (from < to) {
        const uint8_t *at;
        size_t bytes;
        enum err err = view_bytes(s, from, 1, &at, &bytes);
        if (err)
            return err;
        if (!bytes)
            return ERR_IO; /* the file was longer a moment ago */
        bytes = (size_t)u64_min(bytes, to - from);
        crc = crc32c(crc, at, bytes);
        from += bytes;
    }
    *out_crc = crc;
    return ERR_NONE;
}

static bool batch_is_plausible(const struct scan *s, uint64_t position, const struct batch *b)
{
    assert(position <= s->end);
    return b->bytes <= s->end - position && b->base_offset >= 0 && b->last_offset_delta >= 0 && b->count >= 0 &&
           b->base_offset <= INT64_MAX - b->last_offset_delta;
}

static enum err look_at_batch(struct scan *s, uint64_t position, struct batch *out_batch, bool *out_valid)
{
    assert(out_batch && out_valid);
    const uint8_t *at;
    size_t bytes;
    *out_valid = false;
    enum err err = view_bytes(s, position, BATCH_HEADER_BYTES, &at, &bytes);
    if (err || !batch_parse(at, bytes, out_batch) || !batch_is_plausible(s, position, out_batch))
        return err;
    uint32_t crc = 0;
    err = scan_crc_of_range(s, position + BATCH_CRC_FROM, position + out_batch->bytes, &crc);
    if (!err)
        *out_valid = crc == out_batch->crc;
    return err;
}

enum err scan_peek(struct scan *s, struct batch *out_batch, bool *out_valid)
{
    assert(s->buf);
    return look_at_batch(s, s->at, out_batch, out_valid);
}

enum err scan_marker(struct scan *s, const struct batch *b, struct batch_marker *out, bool *out_is)
{
    assert(batch_is_control(b));
    const uint8_t *at;
    size_t bytes;
    *out_is = false;
    if (b->bytes > SCAN_BUF_BYTES) /* none is as large */
        return ERR_NONE;
    enum err err = view_bytes(s, s->at, b->bytes, &at, &bytes);
    if (!err && bytes >= b->bytes)
        *out_is = batch_read_marker(b, at, out);
    return err;
}

/* Cheap reasons to say no, before the CRC is taken. */
static bool may_be_batch(const struct scan *s, const uint8_t *at, size_t bytes, uint64_t position, int64_t min_offset)
{
    assert(min_offset >= 0);
    struct batch b;
    return batch_parse(at, bytes, &b) && batch_is_plausible(s, position, &b) && b.base_offset >= min_offset &&
           (uint64_t)(b.base_offset - min_offset) <= s->end / RECORD_BYTES_MIN;
}

/* Where in these bytes a header may start, going by its magic byte; `bytes`: nowhere. */
static size_t find_magic(const uint8_t *at, size_t bytes)
{
    if (bytes < BATCH_HEADER_BYTES)
        return bytes;
    const uint8_t *hit = memchr(at + 16, 2, bytes - BATCH_HEADER_BYTES + 1);
    return hit ? (size_t)(hit - at) - 16 : bytes;
}

/* Looks through one view. *out_next: where to go on. */
static enum err search_one_view(struct scan *s, uint64_t from, int64_t min_offset, uint64_t *out_next, bool *out_found)
{
    assert(from < s->end);
    const uint8_t *at;
    size_t bytes;
    enum err err = view_bytes(s, from, BATCH_HEADER_BYTES, &at, &bytes);
    if (err)
        return err;
    size_t i = find_magic(at, bytes);
    while (i < bytes && !may_be_batch(s, at + i, bytes - i, from + i, min_offset))
        i += 1 + find_magic(at + i + 1, bytes - i - 1);
    *out_found = false;
    if (i >= bytes) { /* headers that straddle the view's end start in its last bytes */
        *out_next = bytes < BATCH_HEADER_BYTES ? s->end : from + bytes - BATCH_HEADER_BYTES + 1;
        return ERR_NONE;
    }
    struct batch b;
    err = look_at_batch(s, from + i, &b, out_found);
    *out_next = from + i + !*out_found;
    return err;
}

enum err scan_search(struct scan *s, uint64_t from, int64_t min_offset, uint64_t *out_at)
{
    assert(min_offset >= 0);
    while (from < s->end) {
        bool found;
        enum err err = search_one_view(s, from, min_offset, &from, &found);
        if (err)
            return err;
        if (found) {
            *out_at = from;
            return ERR_NONE;
        }
    }
    *out_at = UINT64_MAX;
    return ERR_NONE;
}

static size_t count_zeros(const uint8_t *at, size_t bytes)
{
    size_t i = 0;
    static const uint8_t block[64];
    while (i + sizeof block <= bytes && memcmp(at + i, block, sizeof block) == 0)
        i += sizeof block;
    while (i < bytes && !at[i])
        i++;
    return i;
}

/* What was only allocated is not read: after a crash that can be 64 MiB in every partition. */
enum err scan_nonzero(struct scan *s, uint64_t from, uint64_t *out_at)
{
    while ((from = fs_data_from(s->fd, from)) < s->end) {
        const uint8_t *at;
        size_t bytes;
        enum err err = view_bytes(s, from, 1, &at, &bytes);
        if (err)
            return err;
        if (!bytes)
            return ERR_IO;
        size_t n = count_zeros(at, bytes);
        from += n;
        if (n < bytes) {
            *out_at = from;
            return ERR_NONE;
        }
    }
    *out_at = UINT64_MAX;
    return ERR_NONE;
}

enum err scan_wipe(struct scan *s, uint64_t from, uint64_t *out_bytes)
{
    assert(from <= s->end);
    static const uint8_t page[PAGE_BYTES];
    enum err err;
    while (!(err = scan_nonzero(s, from, &from)) && from != UINT64_MAX) {
        uint64_t to = u64_min(align_up(from + 1, PAGE_BYTES), s->end);
        err = fs_write(s->fd, page, (size_t)(to - from), from);
        if (err)
            break;
        *out_bytes += to - from;
        from = to;
    }
    s->buf_bytes = 0; /* what it holds is no longer what the file has */
    return err;
}

/* --- a closed segment's index --- */

static enum err rebuild_index_entries(struct scan *scan, struct segment *s, uint32_t interval_bytes)
{
    int64_t next = s->base_offset;
    while (scan->at < s->bytes) {
        struct batch b;
        bool valid;
        enum err err = scan_peek(scan, &b, &valid);
        if (err)
            return err;
        if (!valid || b.base_offset < next || batch_last_offset(&b) - s->base_offset > INT32_MAX)
            return ERR_CORRUPT;
        err = index_add(&s->index, interval_bytes, batch_last_offset(&b), (uint32_t)scan->at, b.bytes,
                        batch_newest_timestamp(&b), batch_last_offset(&b));
        if (err)
            return err;
        next = batch_last_offset(&b) + 1;
        scan_skip(scan, &b);
    }
    return index_finish(&s->index);
}

enum err scan_rebuild_index(const char *dir, struct segment *s, uint32_t interval_bytes, uint64_t *out_bad_at)
{
    char path[FS_PATH_MAX];
    int fd;
    struct scan scan;
    if (!segment_path(path, dir, s->base_offset, ".log"))
        return ERR_INVALID;
    index_clear(&s->index);
    enum err err = fs_open(path, FS_READ, &fd);
    if (err)
        return err;
    err = scan_open(&scan, s->index.heap, fd, 0, s->bytes);
    if (err)
        goto close;
    err = rebuild_index_entries(&scan, s, interval_bytes);
    *out_bad_at = scan.at;
    scan_close(&scan);
    fs_drop_cache(fd);
    if (!err)
        err = segment_save_index(dir, s);
close:
    fs_close(fd);
    if (!err) {
        s->index_loaded = true;
        s->max_timestamp = s->index.max_timestamp;
    }
    return err;
}
