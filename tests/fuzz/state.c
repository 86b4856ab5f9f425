/* Small files and the state in them, each read from any bytes, written and read again: producers, snapshots, epochs, checkpoint
 * records, indexes, catalogs by their framing, aborted transactions. A checksum that stands before the rest is mended first, or
 * nothing gets behind it.
 *
 *   input:  what u8 | the bytes */
#include "core/bytes.h"
#include "core/crc.h"
#include "storage/catalog/catalog_file.h"
#include "storage/log/aborted.h"
#include "storage/log/epochs.h"
#include "storage/log/index.h"
#include "storage/log/producer.h"
#include "storage/log/segment.h"
#include "storage/recovery/checkpoint.h"
#include "tests/fuzz/fuzz.h"

enum { TEXT_MAX = 64 * 1024, LOG_BYTES = 1 << 20 };

/* --- producers --- */

static void use_producers(struct producers *ps)
{
    struct producer_duplicate d;
    struct batch b = {.producer_id = 7, .base_sequence = 3, .count = 2, .last_offset_delta = 1, .bytes = 100};
    producers_agree(ps);
    if (producers_check(ps, &b, &(struct producer_claim){0}, &d) == KERR_NONE && d.base_offset < 0)
        FUZZ_CHECK(producers_update(ps, &b, NULL, 1000, &(struct aborted_txn){0}) == ERR_NONE, "no memory");
    producers_agree(ps);
    (void)producers_expire(ps, 1 << 20, 1000);
    producers_agree(ps);
}

static void check_producers(struct heap *heap, const uint8_t *at, size_t n)
{
    struct producers *ps = producers_open(heap), *again = producers_open(heap);
    if (producers_load(ps, at, n) == ERR_NONE) {
        size_t bytes = producers_saved_bytes(ps);
        uint8_t *out = heap_alloc(heap, bytes), *second = heap_alloc(heap, bytes);
        producers_save(ps, out);
        FUZZ_CHECK(producers_load(again, out, bytes) == ERR_NONE, "what we saved");
        FUZZ_CHECK(producers_saved_bytes(again) == bytes, "what we saved");
        producers_save(again, second);
        FUZZ_CHECK(memcmp(out, second, bytes) == 0, "what we saved");
    }
    use_producers(ps);
}

static void check_snapshot(struct heap *heap, const uint8_t *at, size_t n)
{
    uint8_t *mended = heap_alloc(heap, n + 1);
    memcpy(mended, at, n);
    if (n >= 6)
        be32_put(mended + 2, crc32c(0, mended + 6, n - 6));
    struct producers *ps = producers_open(heap), *again = producers_open(heap);
    if (producers_snapshot_load(ps, mended, n) == ERR_NONE) {
        size_t bytes = producers_snapshot_bytes(ps);
        uint8_t *out = heap_alloc(heap, bytes);
        producers_snapshot(ps, out);
        FUZZ_CHECK(producers_snapshot_load(again, out, bytes) == ERR_NONE, "what we wrote");
        FUZZ_CHECK(producers_count(ps) == producers_count(again), "%u, %u", producers_count(ps),
                   producers_count(again));
    }
    use_producers(ps);
}

/* --- epochs --- */

static void check_epochs(struct heap *heap, const uint8_t *at, size_t n)
{
    static char text[TEXT_MAX];
    struct epochs es, again;
    epochs_init(&es, heap);
    epochs_init(&again, heap);
    if (epochs_parse(&es, (const char *)at, n) == ERR_NONE) {
        for (uint32_t i = 1; i < es.count; i++)
            FUZZ_CHECK(es.v[i].epoch > es.v[i - 1].epoch && es.v[i].start_offset >= es.v[i - 1].start_offset, "%u", i);
        size_t bytes = epochs_text(&es, text, sizeof text);
        FUZZ_CHECK(bytes <= sizeof text, "%zu", bytes);
        FUZZ_CHECK(epochs_parse(&again, text, bytes) == ERR_NONE, "%.*s", (int)bytes, text);
        FUZZ_CHECK(again.count == es.count, "%u, %u", again.count, es.count);
        int32_t epoch;
        int64_t end;
        epochs_end_of(&es, n ? at[0] : 0, INT32_MAX, 1000, &epoch, &end);
        (void)epochs_of_offset(&es, n ? at[n - 1] : 0);
        epochs_truncate(&es, 50);
        epochs_truncate_start(&es, 10);
        FUZZ_CHECK(es.count <= again.count, "it grew");
    }
    epochs_deinit(&es);
    epochs_deinit(&again);
}

/* --- checkpoints --- */

static void check_checkpoint(struct heap *heap, const uint8_t *at, size_t n)
{
    uint8_t *mended = heap_alloc(heap, n + 1);
    memcpy(mended, at, n);
    uint32_t bytes = n >= 8 ? be32_get(mended) : 0;
    if (bytes > 8 && bytes <= n)
        be32_put(mended + 4, crc32c(0, mended + 8, bytes - 8));
    struct checkpoint_entry e;
    struct checkpoint_segment s;
    size_t taken = checkpoint_entry_decode(mended, n, &e);
    FUZZ_CHECK(taken <= n, "%zu of %zu", taken, n);
    if (taken) {
        size_t wanted = checkpoint_entry_bytes(&e); /* one of before format 4 is shorter */
        FUZZ_CHECK(wanted == taken || wanted == taken + 8, "%zu, %zu", wanted, taken);
        uint8_t *out = heap_alloc(heap, wanted);
        checkpoint_entry_encode(&e, out);
        struct checkpoint_entry again;
        FUZZ_CHECK(checkpoint_entry_decode(out, wanted, &again) == wanted, "what we wrote");
        FUZZ_CHECK(again.offset == e.offset && again.position == e.position && again.clean == e.clean, "what we wrote");
    }
    if (checkpoint_segment_decode(mended, n, &s)) {
        uint8_t out[CHECKPOINT_SEGMENT_BYTES];
        checkpoint_segment_encode(&s, out);
        FUZZ_CHECK(memcmp(out, mended, sizeof out) == 0, "what we wrote");
    }
}

/* --- indexes --- */

static void check_index(struct heap *heap, const uint8_t *at, size_t n)
{
    struct feed f = {at, at + n};
    struct index ix;
    const uint8_t *offsets, *times;
    uint32_t offset_bytes = feed_below(&f, 256), log_bytes = (uint32_t)feed_word(&f, 3);
    size_t taken = feed_take(&f, offset_bytes, &offsets), rest = feed_take(&f, SIZE_MAX, &times);
    index_init(&ix, heap, 100, LOG_BYTES);
    if (index_load(&ix, offsets, (uint32_t)taken, times, (uint32_t)rest, log_bytes) == ERR_NONE) {
        index_check(&ix, log_bytes);
        for (int64_t o = 0; o < 400; o += 7)
            FUZZ_CHECK(index_position(&ix, o) <= log_bytes, "offset %lld", (long long)o);
        int64_t found = index_offset_of_time(&ix, log_bytes);
        FUZZ_CHECK(found >= ix.base_offset, "%lld", (long long)found);
        index_truncate(&ix, 200, log_bytes / 2);
        index_check(&ix, log_bytes);
    }
    index_deinit(&ix);
}

/* --- catalogs, by their framing --- */

static void check_catalog(struct heap *heap, const uint8_t *at, size_t n)
{
    (void)heap;
    struct catalog_view v[CATALOG_COPIES];
    struct feed f = {at, at + n};
    const uint8_t *half[CATALOG_COPIES];
    struct catalog_past past = {.clean = feed_chance(&f, 2), .used = feed_chance(&f, 2), .wave = feed_byte(&f)};
    size_t first = feed_take(&f, feed_left(&f) / 2, &half[0]), second = feed_take(&f, SIZE_MAX, &half[1]);
    char text[64];
    memset(v, 0, sizeof v);
    v[0].there = v[1].there = true;
    catalog_view_scan(&v[0], half[0], first);
    catalog_view_scan(&v[1], half[1], second);
    for (int i = 0; i < CATALOG_COPIES; i++) {
        FUZZ_CHECK(v[i].bytes <= (i ? second : first), "%zu", v[i].bytes);
        FUZZ_CHECK(v[i].wave <= v[i].seen, "%u of %u", v[i].wave, v[i].seen);
        catalog_view_text(&v[i], text);
        FUZZ_CHECK(strlen(text) < sizeof text, "not closed");
    }
    int chosen = catalog_choose(v, &past);
    FUZZ_CHECK(chosen >= -1 && chosen < CATALOG_COPIES, "%d", chosen);
    FUZZ_CHECK(chosen < 0 || v[chosen].wave >= past.wave, "%u waves, %u were answered", v[chosen].wave, past.wave);
}

static void check_name(struct heap *heap, const uint8_t *at, size_t n)
{
    (void)heap;
    char name[64], path[FS_PATH_MAX];
    int64_t base;
    n = n < sizeof name - 1 ? n : sizeof name - 1;
    memcpy(name, at, n);
    name[n] = 0;
    if (!segment_parse_name(name, ".log", &base))
        return;
    FUZZ_CHECK(base >= 0, "%s", name);
    FUZZ_CHECK(segment_path(path, "d", base, ".log"), "%s", name);
    FUZZ_CHECK(strcmp(path + 2, name) == 0, "%s is %s", name, path);
}

/* --- aborted transactions --- */

/* As aborted_collect has it, one by one. */
static void check_collected(const struct aborted_index *a, int64_t from, int64_t to, struct heap *heap)
{
    struct aborted_index list;
    bool complete;
    uint32_t found = 0;
    aborted_init(&list, heap);
    FUZZ_CHECK(aborted_collect(a, from, to, &list, &complete) == ERR_NONE, "no memory");
    aborted_check(&list);
    for (uint32_t i = 0; i < a->count && found < list.count; i++)
        found += memcmp(&a->v[i], &list.v[found], sizeof list.v[found]) == 0;
    FUZZ_CHECK(found == list.count, "%u of %u are not of the file", list.count - found, list.count);
    for (uint32_t i = 0; i < list.count; i++)
        FUZZ_CHECK(list.v[i].last_offset >= from && list.v[i].first_offset < to, "transaction %u is elsewhere", i);
    aborted_deinit(&list);
}

static void check_aborted(struct heap *heap, const uint8_t *at, size_t n)
{
    struct aborted_index a;
    struct feed f = {at, at + n};
    int64_t from = (int64_t)feed_word(&f, 2), to = from + (int64_t)feed_word(&f, 2), cut = (int64_t)feed_word(&f, 2);
    const uint8_t *file;
    size_t bytes = feed_take(&f, SIZE_MAX, &file);
    aborted_init(&a, heap);
    if (aborted_load(&a, file, bytes) == ERR_NONE) {
        uint8_t *out = heap_alloc(heap, bytes + 1);
        aborted_check(&a);
        FUZZ_CHECK(aborted_file_bytes(&a) == bytes, "%zu of %zu", aborted_file_bytes(&a), bytes);
        aborted_encode(&a, 0, a.count, out);
        FUZZ_CHECK(bytes == 0 || memcmp(out, file, bytes) == 0, "what we read");
        check_collected(&a, from, to, heap);
        check_collected(&a, 0, INT64_MAX, heap);
        aborted_truncate(&a, cut);
        FUZZ_CHECK(a.count == 0 || a.v[a.count - 1].last_offset < cut, "%u are left", a.count);
        check_collected(&a, from, to, heap);
    } else {
        FUZZ_CHECK(a.count == 0, "%u of a bad file", a.count);
    }
    aborted_deinit(&a);
}

enum { LATER_CHECKS = 240 }; /* of first bytes: what came later; older inputs mean what they meant */

void fuzz_state(const uint8_t *at, size_t bytes)
{
    static void (*const checks[])(struct heap *, const uint8_t *, size_t) = {
        check_producers, check_snapshot, check_epochs, check_checkpoint, check_index, check_catalog, check_name};
    if (bytes == 0)
        return;
    struct heap *heap = heap_open();
    if (at[0] >= LATER_CHECKS)
        check_aborted(heap, at + 1, bytes - 1);
    else
        checks[at[0] % COUNT_OF(checks)](heap, at + 1, bytes - 1);
    heap_close(heap);
}
