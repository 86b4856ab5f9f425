/* An array that rises in both columns, as Kafka's cache keeps it. */
#include "storage/log/epochs.h"
#include "core/array.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void epochs_init(struct epochs *es, struct heap *heap)
{
    assert(heap);
    *es = (struct epochs){.heap = heap};
}
void epochs_deinit(struct epochs *es)
{
    assert(es->count <= es->cap);
    heap_free(es->heap, es->v);
    es->v = NULL;
    es->count = es->cap = 0;
}

static enum err grow_epochs(struct epochs *es)
{
    assert(es->count == es->cap);
    struct epoch_start *v = array_grow(es->heap, es->v, &es->cap, es->count + 1, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    es->v = v;
    return ERR_NONE;
}

enum err epochs_reserve(struct epochs *es)
{
    assert(es->count <= es->cap);
    return es->count < es->cap ? ERR_NONE : grow_epochs(es);
}

enum err epochs_add(struct epochs *es, int32_t epoch, int64_t offset)
{
    assert(offset >= 0);
    if (epoch < 0 || epoch <= epochs_latest(es))
        return ERR_NONE;
    /* An epoch that began where the new one begins had no batch: Kafka drops it. */
    while (es->count && es->v[es->count - 1].start_offset >= offset)
        es->count--;
    if (es->count == es->cap) {
        enum err err = grow_epochs(es);
        if (err)
            return err;
    }
    assert(es->count < es->cap);
    es->v[es->count++] = (struct epoch_start){epoch, offset};
    return ERR_NONE;
}

int32_t epochs_latest(const struct epochs *es)
{
    assert(es->v || !es->count);
    return es->count ? es->v[es->count - 1].epoch : -1;
}

/* How many entries have an epoch <= `epoch`. */
static uint32_t rank_epoch(const struct epochs *es, int32_t epoch)
{
    uint32_t n = es->count;
    while (n && es->v[n - 1].epoch > epoch)
        n--;
    return n;
}

void epochs_end_of(const struct epochs *es, int32_t epoch, int32_t current_epoch, int64_t log_end_offset,
                   int32_t *out_epoch, int64_t *out_end_offset)
{
    assert(log_end_offset >= 0);
    *out_epoch = -1;
    *out_end_offset = -1;
    if (epoch < 0 || epoch > current_epoch)
        return;
    uint32_t n = rank_epoch(es, epoch);
    /* The current epoch is known even before its first batch, and starts at the end of the log then. */
    *out_epoch = epoch == current_epoch || !n ? epoch : es->v[n - 1].epoch;
    *out_end_offset = n < es->count ? es->v[n].start_offset : log_end_offset;
}

int32_t epochs_of_offset(const struct epochs *es, int64_t offset)
{
    assert(es->count <= es->cap);
    for (uint32_t n = es->count; n > 0; n--) {
        if (es->v[n - 1].start_offset <= offset)
            return es->v[n - 1].epoch;
    }
    return -1;
}

void epochs_truncate(struct epochs *es, int64_t end_offset)
{
    assert(end_offset >= 0);
    while (es->count && es->v[es->count - 1].start_offset >= end_offset)
        es->count--;
}

void epochs_truncate_start(struct epochs *es, int64_t start_offset)
{
    assert(start_offset >= 0);
    uint32_t past = 0; /* entries that begin at or before the start: the last of them holds it */
    while (past < es->count && es->v[past].start_offset <= start_offset)
        past++;
    if (past == 0)
        return;
    es->count -= past - 1;
    memmove(es->v, es->v + past - 1, es->count * sizeof *es->v);
    es->v[0].start_offset = start_offset;
}

size_t epochs_text(const struct epochs *es, char *out, size_t cap)
{
    assert(out || !cap);
    size_t n = 0;
#define PUT(...) n += (size_t)snprintf(n < cap ? out + n : NULL, n < cap ? cap - n : 0, __VA_ARGS__)
    PUT("0\n%" PRIu32 "\n", es->count);
    for (uint32_t i = 0; i < es->count; i++)
        PUT("%" PRId32 " %" PRId64 "\n", es->v[i].epoch, es->v[i].start_offset);
#undef PUT
    return n;
}

/* A number that ends with `delimiter`, from the text's current place. */
static bool parse_epoch_number(const char **at, const char *end, char delimiter, int64_t *out)
{
    assert(*at <= end);
    int64_t v = 0;
    const char *from = *at;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, **at - '0', &v))
            return false;
    }
    if (*at == from || *at == end || **at != delimiter)
        return false;
    ++*at;
    *out = v;
    return true;
}

enum err epochs_parse(struct epochs *es, const char *text, size_t bytes)
{
    assert(text || !bytes);
    const char *end = text + bytes;
    int64_t version, count, epoch, offset;
    es->count = 0;
    if (!parse_epoch_number(&text, end, '\n', &version) || version != 0 ||
        !parse_epoch_number(&text, end, '\n', &count))
        return ERR_CORRUPT;
    for (; count > 0; count--) {
        if (!parse_epoch_number(&text, end, ' ', &epoch) || !parse_epoch_number(&text, end, '\n', &offset) ||
            epoch > INT32_MAX)
            return ERR_CORRUPT;
        enum err err = epochs_add(es, (int32_t)epoch, offset);
        if (err)
            return err;
    }
    return text == end ? ERR_NONE : ERR_CORRUPT;
}
