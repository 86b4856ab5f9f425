/* Partitions that lose what is old, under clocks that are the test's. Defines the clocks: for one test each. */
#pragma once
#include "core/log.h"
#include "core/rng.h"
#include "storage/catalog/meta.h"
#include "storage/log/deleter.h"
#include "storage/log/folder.h"
#include "storage/log/full_disk.h"
#include "tests/unit/partition_world.h"
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

enum { VALUE = 60000, A_SEGMENT = 17 }; /* 17 batches of one record make a segment of 1 MiB */
#define DAY_MS (24 * 3600 * 1000ll)
#define LOG DIR "/data/t-0"

/* --- clocks --- */

static uint64_t ahead_ns;
static int64_t wall_ahead_ms;

uint64_t clock_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec + ahead_ns;
}
static uint64_t slept_ns;
uint64_t clock_since_boot_ns(void)
{
    return clock_now_ns() + slept_ns;
}
int64_t clock_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000 + (int64_t)((ahead_ns + slept_ns) / NS_PER_MS) + wall_ahead_ms;
}
uint64_t clock_thread_cpu_ns(void)
{
    return clock_now_ns();
}
void clock_sleep_ms(uint32_t ms)
{
    usleep(ms * 1000);
}
uint64_t rng_seed_os(void)
{
    return 42;
}
static inline void pass(int64_t ms)
{
    ahead_ns += (uint64_t)ms * NS_PER_MS;
}

/* --- the world --- */

static inline int setup_retention(void **state)
{
    ahead_ns = slept_ns = 0;
    wall_ahead_ms = 0;
    if (prepare(state))
        return -1;
    set("log.initial.task.delay.ms", "0");
    set("log.retention.check.interval.ms", "10");
    set("log.segment.bytes", "1048576");
    set("disk.reserve.bytes", "0");
    set("log.message.timestamp.after.max.ms", "9223372036854775807");
    start();
    return 0;
}

static inline int setup_beside_another(void **state)
{
    shards_looked_at = 2;
    int result = setup_retention(state);
    shards_looked_at = 1;
    return result;
}

static inline void fill(int batches, int64_t age_ms)
{
    int64_t timestamp = clock_wall_ms() - age_ms;
    for (int i = 0; i < batches; i++) {
        (void)append_made((struct make_batch){.producer_id = -1,
                                              .producer_epoch = -1,
                                              .sequence = -1,
                                              .timestamp = age_ms < 0 ? -1 : timestamp,
                                              .count = 1,
                                              .value_bytes = VALUE});
        if (i % 16 == 15)
            all_are_acked();
    }
    all_are_acked();
}
static inline void topic(const struct topic_override *overrides, uint32_t count)
{
    make_topic(overrides, count);
}
static inline void starts_at(int64_t offset)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (partition_facts(w.p).log_start_offset != offset) {
        if (clock_now_ns() > end)
            fail_msg("the log starts at %lld instead of %lld", (long long)partition_facts(w.p).log_start_offset,
                     (long long)offset);
        turn();
    }
}
/* Some sweeps pass. */
static inline void stays_at(int64_t offset)
{
    uint64_t end = clock_now_ns() + 150 * NS_PER_MS;
    while (clock_now_ns() < end)
        turn();
    assert_int_equal(partition_facts(w.p).log_start_offset, offset);
}
static inline uint32_t count_named(const char *suffix)
{
    char command[256], text[16] = "";
    snprintf(command, sizeof command, "ls %s | grep -c '%s$'", LOG, suffix);
    FILE *f = popen(command, "r");
    assert_non_null(fgets(text, sizeof text, f));
    pclose(f);
    return (uint32_t)atoi(text);
}
static inline void files_named(const char *suffix, uint32_t count)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (count_named(suffix) != count) {
        if (clock_now_ns() > end)
            fail_msg("%u files *%s instead of %u", count_named(suffix), suffix, count);
        turn();
    }
}
static inline int64_t base_of(uint32_t i)
{
    return segments_at(&w.p->segments, i)->base_offset;
}
static inline void turn_for_ms(int64_t ms)
{
    uint64_t end = clock_now_ns() + (uint64_t)ms * NS_PER_MS;
    while (clock_now_ns() < end)
        turn();
}
static inline uint64_t write_in_transaction(uint64_t guard)
{
    const struct make_batch m = {.producer_id = 7,
                                 .timestamp = clock_wall_ms(),
                                 .count = 1,
                                 .value_bytes = 10,
                                 .attributes = BATCH_TRANSACTIONAL};
    struct sent *s = append_guarded(m, guard, 11);
    until(&s->over);
    assert_int_equal(s->append.error, guard ? KERR_NONE : KERR_INVALID_TXN_STATE);
    return s->append.guard;
}
