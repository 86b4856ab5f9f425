/* A store on one real shard and in real files, for the tests of the data path: the loop is turned by hand, and what the log
 * should hold is kept beside it. */
#pragma once
#include "core/clock.h"
#include "core/crc.h"
#include "core/shard.h"
#include "storage/clean/cleaner.h"
#include "storage/log/partition_state.h"
#include "storage/store.h"
#include "tests/unit/make_batch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#ifndef DIR
#define DIR "build/" __BASE_FILE__ ".files" /* of each test its own: they run side by side */
#endif
enum { MEMORY_BYTES = 32 << 20, WAIT_S = 20, RECORDS_MAX = 8 << 20, APPENDS_MAX = 256, TURN_NS = 5 * 1000 * 1000 };

struct mode {
    const char *name;
    struct io_options io;
    const char *disk;
};

struct sent {
    struct append append;
    uint8_t *bytes;
    uint32_t count, place; /* in the order of answers */
    bool over;
};
static struct world {
    const struct mode *mode;
    struct heap *heap;
    struct broker_config config;
    struct root *root;
    struct shard_group *group;
    struct shard *shard;
    struct partition *p;
    struct sent sent[APPENDS_MAX];
    uint32_t sent_count, answers;
    uint8_t *expected; /* the whole log, as its consumers see it */
    size_t expected_bytes;
    char why[CONFIG_WHY_BYTES];
} w;

/* --- memory that the kernel has --- */

static struct {
    const struct wave *wave;
    uint32_t crc;
} lent; /* of the wave in flight */
static inline uint32_t crc_of_wave(const struct wave *wave)
{
    uint32_t crc = 0;
    for (uint32_t i = 0; i < wave->count; i++)
        for (uint32_t k = 0; k < wave->v[i].count; k++)
            crc = crc32c(crc, wave->v[i].iov[k].iov_base, wave->v[i].iov[k].iov_len);
    return crc;
}
static inline const struct wave *wave_in_flight(void)
{
    uint32_t cursor = 0;
    const struct partition *p;
    while (w.shard && w.shard->store && (p = map_next(&store_of(w.shard)->partitions, &cursor)))
        if (p == w.p) /* it was not deleted */
            return p->writer.wave;
    return NULL;
}
/* A wave that began is remembered; what appends did to its memory since is seen before it can end. */
static inline void check_lent(void)
{
    const struct wave *wave = wave_in_flight();
    if (wave && wave == lent.wave)
        assert_int_equal(crc_of_wave(wave), lent.crc);
}
static inline void note_lent(void)
{
    lent.wave = wave_in_flight();
    if (lent.wave)
        lent.crc = crc_of_wave(lent.wave);
}

/* --- turning --- */

static inline void turn(void)
{
    check_lent();
    (void)shard_turn(w.shard, TURN_NS);
    store_check(store_of(w.shard));
    note_lent();
}
#define TURN_UNTIL(one_turn, condition)                                       \
    for (uint64_t end_ = clock_now_ns() + WAIT_S * NS_PER_S; !(condition);) { \
        assert_true(clock_now_ns() < end_);                                   \
        one_turn();                                                           \
    }
static inline void until(const bool *flag)
{
    TURN_UNTIL(turn, *flag);
}

/* --- start and stop --- */

static inline enum err start_shard(struct shard *s, void *arg)
{
    return store_open(s, arg);
}
static inline void mark_one(void *arg, const uint8_t topic_id[16], int32_t partition)
{
    assert_int_equal(root_mark_add(arg, topic_id, partition), ERR_NONE);
}
static bool killing; /* what is under way on the disk ends, and nobody hears of it */
static inline void stop_shard(struct shard *s, void *arg)
{
    if (killing) {
        catalog_writer_stop(s); /* it is idle */
        return;
    }
    store_each_clean(store_of(s), mark_one, arg);
    store_close(store_of(s));
}
static bool leave_unrecovered; /* by start */
static uint16_t shards_looked_at =
    1; /* by start: 2 makes the rings of a second one that never runs, for who sets w.shard->count */
static size_t memory_given = MEMORY_BYTES; /* by start */
static inline void recover_all(void)
{
    const struct log_store *ls = &store_of(w.shard)->log;
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    for (uint32_t i = 0; i < ls->count; i++)
        while (ls->all[i]->condition == PARTITION_UNRECOVERED) {
            assert_true(clock_now_ns() < end);
            turn();
        }
}
static uint8_t *stats_mapped; /* by start: the file of --stat-file; NULL: there is none */
static int stats_fd;
static inline void start(void)
{
    if (root_open(&w.config, w.heap, &w.root, w.why))
        fail_msg("%s", w.why);
    struct shard_options options = {.count = shards_looked_at,
                                    .io = w.mode->io,
                                    .memory_bytes = memory_given,
                                    .stats = stats_mapped,
                                    .stat_rows = stats_mapped ? stats_mapped + STATS_BYTES : NULL,
                                    .stat_fd = stats_fd,
                                    .start = start_shard,
                                    .stop = stop_shard,
                                    .arg = w.root};
    assert_int_equal(shard_group_open(options, &w.group), ERR_NONE);
    enum err err = shard_open(w.group, 0);
    if (err == ERR_UNSUPPORTED) {
        printf("not run: %s: %s\n", w.mode->name, shard_group_why(w.group));
        skip();
    }
    assert_int_equal(err, ERR_NONE);
    w.shard = shard_at(w.group, 0);
    w.shard->count = 1;
    if (!leave_unrecovered)
        recover_all();
}
static uint32_t lookups_over;
static inline void looked_up(struct time_lookup *l)
{
    (void)l;
    lookups_over++;
}
/* Begun and awaited. */
static inline struct time_lookup look_up_by_time(int64_t timestamp, bool max, bool committed)
{
    struct time_lookup l = {.timestamp = timestamp, .max = max, .committed = committed, .done = looked_up};
    lookups_over = 0;
    assert_false(partition_lookup(w.p, &l));
    TURN_UNTIL(turn, lookups_over);
    return l;
}

static bool store_is_stopped;
static inline void note_stopped(struct store *st)
{
    (void)st;
    store_is_stopped = true;
}
static inline void stop_begin(void)
{
    store_is_stopped = false;
    store_stop(store_of(w.shard), note_stopped);
}
static inline void stop_end(void)
{
    until(&store_is_stopped);
    shard_close(w.shard);
    shard_group_close(w.group);
    assert_int_equal(root_mark_write(w.root), ERR_NONE);
    root_close(w.root);
    w.shard = NULL;
}
/* Files that nobody closed, as the kernel would. */
static inline void close_left(void)
{
    char path[64], target[512];
    for (int fd = 3; fd < 1024; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n <= 0)
            continue;
        target[n] = 0;
        if (strstr(target, DIR "/data"))
            close(fd);
    }
}
/* A broker that is killed leaves the memory of a cleaning that is under way; what each step of one leaves, test_clean_work knows. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:clean_work_step\n";
}

/* What kill -9 leaves: nothing is stopped, nothing is saved. */
static inline void kill_broker(void)
{
    killing = true;
    shard_close(w.shard);
    killing = false;
    shard_group_close(w.group);
    root_close(w.root);
    close_left();
    w.shard = NULL;
}
static inline void stop(void)
{
    stop_begin();
    stop_end();
}

static inline void set(const char *name, const char *value)
{
    assert_int_equal(broker_config_set(&w.config, name, value, "test", w.why), ERR_NONE);
}
/* Everything but the start, for a test that sets more. */
static inline int prepare(void **state)
{
    if (system("rm -rf " DIR " && mkdir -p " DIR) != 0)
        return -1;
    w = (struct world){.mode = *state, .heap = heap_open()};
    w.expected = malloc(64 << 20);
    broker_config_init(&w.config, w.heap);
    set("log.dirs", DIR "/data");
    set("disk.io", w.mode->disk);
    return 0;
}
static inline int setup(void **state)
{
    if (prepare(state))
        return -1;
    start();
    return 0;
}

/* The cleaner does not rest from now on. */
static struct broker_config quick;
static inline void begin_cleaning(void)
{
    struct store *st = store_of(w.shard);
    quick = *st->config;
    quick.cleaner_backoff_ms = 1;
    cleaner_configure(st->log.cleaner, &quick);
}
static inline void forget_sent(void)
{
    for (uint32_t i = 0; i < w.sent_count; i++)
        free(w.sent[i].bytes);
    w.sent_count = w.answers = 0;
}
static inline int teardown(void **state)
{
    (void)state;
    if (w.shard)
        stop();
    forget_sent();
    free(w.expected);
    broker_config_deinit(&w.config);
    heap_close(w.heap);
    return 0;
}

/* --- topics --- */

static bool change_is_over;
static inline void change_done(struct catalog_change *c)
{
    (void)c;
    change_is_over = true;
}
static inline void find_partition(const char *name)
{
    struct topic *t = catalog_by_name(&store_of(w.shard)->catalog, (const uint8_t *)name, strlen(name));
    assert_non_null(t);
    w.p = store_partition(store_of(w.shard), t->id, 0);
    assert_non_null(w.p);
}
static inline void change_and_wait(struct catalog_change *c)
{
    change_is_over = false;
    catalog_change_start(w.shard, c);
    until(&change_is_over);
    assert_int_equal(c->error, KERR_NONE);
}
static inline void make_topic(const struct topic_override *overrides, uint32_t count)
{
    struct catalog_change c = {.kind = CATALOG_CREATE,
                               .name = "t",
                               .partitions = 1,
                               .overrides = overrides,
                               .override_count = count,
                               .done = change_done};
    change_and_wait(&c);
    find_partition("t");
}
/* A topic "many". */
static inline const struct topic *make_many(int32_t partitions)
{
    struct catalog_change c = {.kind = CATALOG_CREATE, .name = "many", .partitions = partitions, .done = change_done};
    change_and_wait(&c);
    find_partition("many");
    return w.p->topic;
}
static inline struct partition *nth_partition(const struct topic *t, int32_t i)
{
    return store_partition(store_of(w.shard), t->id, i);
}
static inline void alter_setting(const char *name, const char *value)
{
    struct config_op op = {name, CONFIG_OP_SET, value};
    struct catalog_change c = {.kind = CATALOG_CONFIG, .ops = &op, .op_count = 1, .done = change_done};
    memcpy(c.topic_id, w.p->topic->id, 16);
    change_and_wait(&c);
}
static inline void delete_begin(struct catalog_change *c)
{
    *c = (struct catalog_change){.kind = CATALOG_DELETE, .done = change_done};
    memcpy(c->topic_id, w.p->topic->id, 16);
    change_is_over = false;
    catalog_change_start(w.shard, c);
}

/* --- appends --- */

static inline void appended(struct append *a)
{
    struct sent *s = container_of(a, struct sent, append);
    assert_false(s->over);
    s->over = true;
    s->place = w.answers++;
}
static inline struct sent *append_guarded(struct make_batch m, uint64_t guard, int16_t produce_version)
{
    assert_true(w.sent_count < APPENDS_MAX);
    struct sent *s = &w.sent[w.sent_count++];
    uint8_t *bytes = malloc(MAKE_BATCH_MAX);
    uint32_t size = make_batch(bytes, m);
    *s = (struct sent){.bytes = bytes, .count = (uint32_t)m.count};
    s->append = (struct append){
        .records = bytes, .bytes = size, .produce_version = produce_version, .guard = guard, .done = appended};
    partition_append(w.p, &s->append);
    assert_false(s->over); /* never inside the call */
    return s;
}
static inline struct sent *append_made(struct make_batch m)
{
    return append_guarded(m, 0, 9);
}
static inline struct sent *append(int32_t count, uint32_t value_bytes)
{
    return append_made((struct make_batch){.producer_id = -1,
                                           .producer_epoch = -1,
                                           .sequence = -1,
                                           .timestamp = 1000,
                                           .count = count,
                                           .value_bytes = value_bytes});
}
static bool marker_is_over;
static inline void marker_over(struct txn_marker *m)
{
    (void)m;
    marker_is_over = true;
}
/* Put and awaited. */
static inline struct txn_marker put_txn_marker(struct txn_marker m)
{
    m.done = marker_over;
    marker_is_over = false;
    partition_end_txn(w.p, &m);
    assert_false(marker_is_over); /* never inside the call */
    until(&marker_is_over);
    return m;
}
static inline void expect(const struct sent *s)
{
    uint8_t *at = w.expected + w.expected_bytes;
    memcpy(at, s->append.records, s->append.bytes);
    be64_put(at, (uint64_t)s->append.base_offset);
    be32_put(at + 12, (uint32_t)w.root->leader_epoch);
    w.expected_bytes += s->append.bytes;
}
/* Waits for all that were sent since the last time; each must be good and follow the one before it. */
static inline void all_are_acked(void)
{
    int64_t next = -1;
    for (uint32_t i = 0; i < w.sent_count; i++) {
        struct sent *s = &w.sent[i];
        until(&s->over);
        assert_int_equal(s->append.error, KERR_NONE);
        assert_int_equal(s->place, i);
        assert_true(next < 0 || s->append.base_offset == next);
        next = s->append.base_offset + s->count;
        assert_true(next <= partition_facts(w.p).high_watermark);
        expect(s);
    }
    forget_sent();
}

/* --- reading --- */

static bool read_is_over;
static inline void read_done(struct part_read *r)
{
    (void)r;
    read_is_over = true;
}
/* Reads the whole log in steps and compares it; `disk`: every step must have gone to the disk, or none. */
static inline void log_is_as_expected(bool disk)
{
    size_t at = 0;
    while (at < w.expected_bytes) {
        struct part_read r = {
            .offset = (int64_t)be64_get(w.expected + at), .max_bytes = 100000, .first_whole = true, .done = read_done};
        read_is_over = false;
        bool now = partition_read(w.p, &r);
        assert_int_equal(now, !disk);
        if (!now)
            until(&read_is_over);
        assert_int_equal(r.error, KERR_NONE);
        size_t got = 0;
        for (uint32_t i = 0; i < r.slices.count; i++) {
            assert_memory_equal(r.slices.v[i].at, w.expected + at + got, r.slices.v[i].bytes);
            got += r.slices.v[i].bytes;
        }
        slices_deinit(&r.slices);
        size_t whole = 0; /* the last batch may be cut off */
        while (at + whole < w.expected_bytes && whole + 12 + be32_get(w.expected + at + whole + 8) <= got)
            whole += 12 + be32_get(w.expected + at + whole + 8);
        assert_true(whole > 0);
        at += whole;
    }
}
/* Its next file may still be under way when all is acked: then it does not rest yet. */
static inline void fall_idle(void)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    for (;;) {
        w.p->writer.used_at_ns = w.shard->now_ns - (IDLE_TAIL_S + 1) * NS_PER_S;
        writer_free_idle(w.p);
        if (w.p->tail.count == 0)
            return;
        assert_true(clock_now_ns() < end);
        turn();
    }
}

/* --- on both engines and both ways to the disk; the first two have one of each --- */

static const struct mode modes[] = {
    {"io_uring, direct",
     {.engine = IO_ENGINE_IO_URING, .features = IO_FEATURE_ALL, .recv_bytes = 4096, .recv_count = 4},
     "direct"},
    {"epoll, buffered", {.engine = IO_ENGINE_EPOLL, .recv_bytes = 4096, .recv_count = 4}, "buffered"},
    {"io_uring, buffered", {.engine = IO_ENGINE_IO_URING, .recv_bytes = 4096, .recv_count = 4}, "buffered"},
    {"epoll, direct", {.engine = IO_ENGINE_EPOLL, .recv_bytes = 4096, .recv_count = 4}, "direct"},
};

static inline int run_in_modes(struct CMUnitTest *tests, size_t count, size_t mode_count)
{
    int failed = 0;
    for (size_t m = 0; m < mode_count; m++) {
        for (size_t i = 0; i < count; i++)
            tests[i].initial_state = (void *)(uintptr_t)&modes[m];
        failed += _cmocka_run_group_tests(modes[m].name, tests, count, NULL, NULL);
    }
    return failed;
}
