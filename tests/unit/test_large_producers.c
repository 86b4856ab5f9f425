/* A checkpoint's entry that knows many producers: the kernel takes long to take its pages back, so a job does that before the shard frees
 * what is left of it, whether the next entry takes its place or its topic goes. */
/* Their headers first: what they declare is what stands below, around what these files define. */
#include "storage/recovery/checkpoint_item.h"
#include <stdatomic.h>
static void noting_free(struct heap *h, void *block);
static void noting_discard(void *block, size_t bytes);
#define heap_free noting_free
#define heap_discard noting_discard
#include "storage/recovery/checkpointer.c"
#undef heap_free
#undef heap_discard
#include "tests/unit/partition_world.h"

enum { PRODUCERS = 2000 };

static const uint8_t *large; /* the entry that is looked at */
static uint32_t large_bytes;
static _Atomic(const uint8_t *) discarded_until; /* by a job */
static bool large_is_freed;

static void noting_discard(void *block, size_t bytes)
{
    const uint8_t *at = block;
    if (at > large && at < large + large_bytes)
        atomic_store(&discarded_until, at + bytes);
    heap_discard(block, bytes);
}

static void noting_free(struct heap *h, void *block)
{
    if (block && block == large) {
        assert_ptr_equal(atomic_load(&discarded_until), large + large_bytes);
        large_is_freed = true;
    }
    heap_free(h, block);
}

static void append_of_producers(int64_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        append_made((struct make_batch){.producer_id = first + i, .timestamp = 1000, .count = 1, .value_bytes = 10});
        if (w.sent_count == APPENDS_MAX || i + 1 == count)
            all_are_acked();
    }
}

static void look_at_entry(int64_t offset)
{
    struct checkpoint_entry e = {.offset = -1};
    while (e.offset < offset) {
        turn();
        if (w.p->checkpoint.entry)
            assert_true(checkpoint_entry_decode(w.p->checkpoint.entry, w.p->checkpoint.entry_bytes, &e) > 0);
    }
    large = w.p->checkpoint.entry;
    large_bytes = w.p->checkpoint.entry_bytes;
    large_is_freed = false;
    assert_true(large_bytes >= CHECKPOINT_LARGE_BYTES);
}

static void a_job_gives_the_pages_of_a_large_entry_back(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append_of_producers(1, PRODUCERS);
    look_at_entry(PRODUCERS);
    for (uint32_t i = 0; i < 2; i++) {
        append_of_producers(PRODUCERS + 1 + i, 1);
        until(&large_is_freed); /* the next one stands in its place */
        look_at_entry(PRODUCERS + 1 + i);
    }
    checkpoint_forget(w.p); /* as where its topic is deleted */
    until(&large_is_freed);
    large = NULL;
    stop();
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_gives_the_pages_of_a_large_entry_back, setup, teardown),
    };
    return run_in_modes(tests, sizeof tests / sizeof tests[0], 2);
}
