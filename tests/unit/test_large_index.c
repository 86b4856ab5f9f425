/* An active segment with many index entries: what of them is copied on the shard is bounded in each turn, when the log is recovered and when the first
 * checkpoint behind that saves all of them; and nothing of them is lost on the way. */
/* Their headers first: what they declare is what stands below, around what these files define. */
#include "storage/recovery/checkpoint_item.h"
#include "storage/recovery/recovery.h"
static bool real_checkpoint_item_build(struct checkpoint_item *it, struct partition *p, bool clean, uint64_t *serial);
static enum err real_recovered_copy_some(struct recovered_copy *c, const struct recovered *from,
                                         struct heap *index_heap, bool *out_whole);
#define checkpoint_item_build real_checkpoint_item_build
#include "storage/recovery/checkpoint_item.c"
#undef checkpoint_item_build
#define recovered_copy_some real_recovered_copy_some
#include "storage/recovery/recovered_copy.c"
#undef recovered_copy_some
#include "tests/unit/partition_world.h"

enum { BATCHES = 30000, ENTRY_BYTES = INDEX_OFFSET_BYTES + INDEX_TIME_BYTES };
static_assert(BATCHES * ENTRY_BYTES > 2 * CHECKPOINT_DELTA_BYTES);
static_assert(BATCHES * ENTRY_BYTES > 2 * RECOVERED_COPY_BYTES);

static uint32_t parts, copies; /* items without an entry; turns that copied something of a segment */
static uint64_t scanned_bytes; /* by the last recovery */

bool checkpoint_item_build(struct checkpoint_item *it, struct partition *p, bool clean, uint64_t *serial)
{
    bool built = real_checkpoint_item_build(it, p, clean, serial);
    if (built && !clean)
        assert_true(checkpoint_item_delta_bytes(it) <= CHECKPOINT_DELTA_BYTES);
    parts += built && it->part;
    return built;
}

static size_t copied_index_bytes(const struct recovered_copy *c)
{
    size_t bytes = 0;
    for (const struct list *l = c->to.segments.next; l != &c->to.segments; l = l->next) {
        const struct index *ix = &container_of(l, struct segment, link)->index;
        bytes += (size_t)ix->offset_count * INDEX_OFFSET_BYTES + (size_t)ix->time_count * INDEX_TIME_BYTES;
    }
    return bytes;
}

enum err recovered_copy_some(struct recovered_copy *c, const struct recovered *from, struct heap *index_heap,
                             bool *out_whole)
{
    static uint64_t turn_before_ns;
    assert_true(w.shard->now_ns > turn_before_ns); /* another turn */
    turn_before_ns = w.shard->now_ns;
    size_t before = copied_index_bytes(c);
    enum err err = real_recovered_copy_some(c, from, index_heap, out_whole);
    size_t copied = copied_index_bytes(c) - before;
    assert_true(copied <= RECOVERED_COPY_BYTES);
    copies += copied > 0;
    scanned_bytes = from->scanned_bytes;
    return err;
}

static void append_batches(int64_t first_timestamp, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        append_made((struct make_batch){.producer_id = -1,
                                        .producer_epoch = -1,
                                        .sequence = -1,
                                        .timestamp = first_timestamp + i,
                                        .count = 1,
                                        .value_bytes = 10});
        if (w.sent_count == APPENDS_MAX || i + 1 == count)
            all_are_acked();
    }
}

static struct checkpoint_entry until_checkpointed(int64_t offset)
{
    struct checkpoint_entry e = {.offset = -1};
    while (e.offset < offset) {
        turn();
        if (w.p->checkpoint.entry)
            assert_true(checkpoint_entry_decode(w.p->checkpoint.entry, w.p->checkpoint.entry_bytes, &e) > 0);
    }
    return e;
}

/* The entries as they stood when this was called first, and whatever came behind. */
static uint8_t *noted;
static uint32_t noted_count;
static void note_or_compare_index(void)
{
    const struct index *ix = &w.p->active->index;
    if (!noted) {
        noted_count = ix->offset_count;
        assert_int_equal(ix->time_count, noted_count); /* each timestamp rose */
        noted = malloc((size_t)noted_count * ENTRY_BYTES);
        memcpy(noted, ix->offsets, (size_t)noted_count * INDEX_OFFSET_BYTES);
        memcpy(noted + (size_t)noted_count * INDEX_OFFSET_BYTES, ix->times, (size_t)noted_count * INDEX_TIME_BYTES);
    }
    assert_true(ix->offset_count >= noted_count);
    assert_true(ix->time_count >= noted_count);
    assert_memory_equal(ix->offsets, noted, (size_t)noted_count * INDEX_OFFSET_BYTES);
    assert_memory_equal(ix->times, noted + (size_t)noted_count * INDEX_OFFSET_BYTES,
                        (size_t)noted_count * INDEX_TIME_BYTES);
}

static void kill_and_start(void)
{
    copies = parts = 0;
    kill_broker();
    start();
    find_partition("t");
    assert_true(copies > 2);
    assert_true(scanned_bytes < w.p->end.position / 4); /* the checkpoint and the files agree: only its end was read */
    note_or_compare_index();
}

static void no_turn_copies_all_of_it(void **state)
{
    (void)state;
    const struct topic_override overrides[] = {{"index.interval.bytes", "0"}, {"write.caching", "true"}};
    make_topic(overrides, 2);
    append_batches(1000, BATCHES);
    (void)until_checkpointed(BATCHES);
    note_or_compare_index();
    kill_and_start();
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t cap = w.p->active->index.offset_cap;
        append_batches(1000 + BATCHES + i, 1);
        assert_int_equal(w.p->active->index.offset_cap, cap); /* nothing was copied to make room for it */
        struct checkpoint_entry e = until_checkpointed(BATCHES + 1 + i);
        assert_int_equal(e.index_count, w.p->active->index.offset_count);
        assert_int_equal(e.time_count, w.p->active->index.time_count);
        assert_int_equal(e.index_crc,
                         crc32c(0, w.p->active->index.offsets, (size_t)e.index_count * INDEX_OFFSET_BYTES));
        assert_true(parts > 1); /* behind a start, of which nothing is known to be saved */
        kill_and_start();
    }
    log_is_as_expected(true);
    stop();
    free(noted);
    noted = NULL;
    noted_count = 0;
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_turn_copies_all_of_it, setup, teardown),
    };
    return run_in_modes(tests, sizeof tests / sizeof tests[0], 2);
}
