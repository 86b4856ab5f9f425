/* One flush for the waves of many partitions (storage/log/shared_flush.c), on a real shard and in real files. */
#include "tests/unit/partition_world.h"

enum { PARTITIONS = 5, FROM = 3 };
static struct partition *many[PARTITIONS];
static bool flush_is_slow;

static uint64_t count_shared(void)
{
    return stat_value(store_of(w.shard)->log.counters.shared_flushes);
}

static void append_to(uint32_t count, uint32_t value_bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        w.p = many[i];
        append(1, value_bytes);
    }
}

static void wait_for_answers(enum kerr error)
{
    for (uint32_t i = 0; i < w.sent_count; i++) {
        until(&w.sent[i].over);
        assert_int_equal(w.sent[i].append.error, error);
    }
    forget_sent();
}

/* One small batch to each of the first ones, in one turn: on stable media when it is answered. How many flushes were shared. */
static uint64_t append_and_wait(uint32_t count, uint32_t value_bytes)
{
    uint64_t before = count_shared();
    store_of(w.shard)->log.durable_wave_ns = flush_is_slow ? FLUSH_SLOW_NS * 1000ull : 1; /* whatever this disk is */
    append_to(count, value_bytes);
    wait_for_answers(KERR_NONE);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(many[i]->durable.offset, many[i]->end.offset);
    return count_shared() - before;
}

/* As if the file system could, where it cannot. */
static void let_them_share(void)
{
    for (uint32_t i = 0; i < PARTITIONS; i++)
        many[i]->active->shares_flush = true;
}

static void waves_into_durable_blocks_share_one(void **state)
{
    (void)state;
    assert_int_equal(append_and_wait(PARTITIONS, 100), 0); /* the block is new */
    let_them_share();
    assert_int_equal(append_and_wait(PARTITIONS, 100), 1);
    assert_int_equal(append_and_wait(FROM, 100), 1);
    assert_int_equal(append_and_wait(FROM - 1, 100), 0);
    assert_int_equal(append_and_wait(PARTITIONS, 100), 1);
}

/* One that comes while others are on their way goes with them, and with a flush that begins when it is written. */
static void who_comes_later_joins(void **state)
{
    (void)state;
    (void)append_and_wait(PARTITIONS, 100);
    let_them_share();
    for (int i = 0; i < 20; i++) {
        const struct shared_flush *f = &store_of(w.shard)->log.shared_flush;
        append_to(FROM, 100);
        turn();
        assert_int_equal(f->under_way, FROM);
        w.p = many[FROM];
        append(1, 100);
        TURN_UNTIL(turn, w.p->writer.wave || w.p->durable.offset == w.p->end.offset);
        assert_non_null(w.p->writer.wave);
        uint32_t from = log_store_flush_is_slow(&store_of(w.shard)->log) ? 1 : FROM;
        assert_int_equal(w.p->writer.wave->shares, f->under_way >= from);
        wait_for_answers(KERR_NONE);
        for (uint32_t k = 0; k <= FROM; k++)
            assert_int_equal(many[k]->durable.offset, many[k]->end.offset);
        assert_int_equal(f->under_way, 0);
    }
}

static void one_is_enough_where_a_flush_is_slow(void **state)
{
    (void)state;
    (void)append_and_wait(PARTITIONS, 100);
    let_them_share();
    assert_int_equal(append_and_wait(1, 100), 0);
    flush_is_slow = true;
    assert_int_equal(append_and_wait(1, 100), 1);
    assert_int_equal(append_and_wait(1, 100000), 0); /* new blocks, several writes: a flush of their own file */
    assert_int_equal(many[0]->active->settled, align_up(many[0]->end.position, PAGE_BYTES));
}

static void a_flush_is_slow_when_the_quickest_waves_are(void **state)
{
    (void)state;
    enum { KB = 1024, SLOW = FLUSH_SLOW_NS };
    struct log_store *ls = &store_of(w.shard)->log;
    static const struct {
        uint64_t bytes, took_ns;
        bool slow;
    } waves[] = {
        {KB, SLOW, true},
        {KB, SLOW - 1, false},
        {KB, SLOW * 5ull, true},
        {200 * KB, SLOW / 2, false},
        {200 * KB, SLOW * 9ull, false} /* for its bytes, maybe */,
        {KB, SLOW * 8ull, false},
        {KB, SLOW * 20ull, true},
    };
    ls->durable_wave_ns = 0;
    for (size_t i = 0; i < COUNT_OF(waves); i++) {
        log_store_note_durable(ls, waves[i].bytes, waves[i].took_ns);
        if (log_store_flush_is_slow(ls) != waves[i].slow)
            fail_msg("wave %zu", i);
    }
}

static void waves_into_new_blocks_do_not(void **state)
{
    (void)state;
    (void)append_and_wait(PARTITIONS, 100);
    let_them_share();
    assert_int_equal(append_and_wait(PARTITIONS, 5000), 0);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        assert_int_equal(many[i]->active->settled, 2 * PAGE_BYTES);
    assert_int_equal(append_and_wait(PARTITIONS, 100), 1);
    (void)append_and_wait(2, 3000); /* of these two the next one fits into its block no more */
    assert_int_equal(append_and_wait(PARTITIONS, 1000), 1);
    assert_int_equal(many[0]->active->settled, 3 * PAGE_BYTES);
    assert_int_equal(many[4]->active->settled, 2 * PAGE_BYTES);
}

/* Its size may have been cut, and what makes it longer again is not durable before a wave of its own is. */
static void a_file_that_was_opened_again_begins_anew(void **state)
{
    (void)state;
    (void)append_and_wait(PARTITIONS, 100);
    let_them_share();
    assert_int_equal(append_and_wait(PARTITIONS, 100), 1);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        w.p = many[i];
        fall_idle();
    }
    assert_int_equal(append_and_wait(PARTITIONS, 100), 0);
    let_them_share();
    assert_int_equal(append_and_wait(PARTITIONS, 100), 1);
}

/* What was zeroed and flushed beforehand is as durable as what a wave wrote. */
static void waves_into_new_blocks_that_were_zeroed_share_one(void **state)
{
    (void)state;
    w.root->traits.unwritten_costs = true;
    for (int i = 0; i < 8; i++) {
        store_of(w.shard)->log.zeroing.usual_ns = 0;
        (void)append_and_wait(PARTITIONS, 1000);
    }
    let_them_share();
    for (uint32_t i = 0; i < PARTITIONS; i++)
        TURN_UNTIL(turn, many[i]->space.state == SPACE_READY);
    bool all = true;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        all &= align_up(many[i]->end.position + 5000, PAGE_BYTES) <= many[i]->active->settled;
    assert_int_equal(all, w.root->direct);
    assert_int_equal(append_and_wait(PARTITIONS, 4500), all ? 1 : 0);
}

static void a_flush_that_fails_fails_all(void **state)
{
    (void)state;
    (void)append_and_wait(PARTITIONS, 100);
    let_them_share();
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    io_file_init(&store_of(w.shard)->log.shared_flush.file, ends[0]); /* what cannot be flushed */
    append_to(PARTITIONS, 100);
    wait_for_answers(KERR_KAFKA_STORAGE_ERROR);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        assert_int_equal(many[i]->condition, PARTITION_OFFLINE);
        assert_int_equal(many[i]->durable.offset, 1);
    }
    close(ends[0]);
    close(ends[1]);
}

static void what_shared_a_flush_is_there_after_a_kill(void **state)
{
    (void)state;
    (void)append_and_wait(PARTITIONS, 100);
    let_them_share();
    for (int i = 0; i < 4; i++)
        assert_int_equal(append_and_wait(PARTITIONS, 100), 1);
    kill_broker();
    start();
    for (int32_t i = 0; i < PARTITIONS; i++) {
        struct topic *t = catalog_by_name(&store_of(w.shard)->catalog, (const uint8_t *)"many", 4);
        assert_non_null(t);
        assert_int_equal(store_partition(store_of(w.shard), t->id, i)->durable.offset, 5);
    }
}

static void only_direct_files_share(void **state)
{
    const struct mode *mode = *state;
    (void)append_and_wait(PARTITIONS, 100);
    bool wanted =
        strcmp(mode->disk, "direct") == 0 && w.root->traits.direct && strcmp(w.root->traits.type, "ext4") == 0;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        assert_int_equal(many[i]->active->shares_flush, wanted);
}

static int many_setup(void **state)
{
    if (setup(state))
        return -1;
    const struct topic *t = make_many(PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++)
        many[i] = nth_partition(t, i);
    flush_is_slow = false;
    w.root->traits.share_flush_from = FROM;
    w.root->traits.unwritten_costs = false;
    return 0;
}

#define CASE(f)                                                                         \
    {                                                                                   \
        .name = #f, .test_func = f, .setup_func = many_setup, .teardown_func = teardown \
    }
int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(waves_into_durable_blocks_share_one),
        CASE(who_comes_later_joins),
        CASE(one_is_enough_where_a_flush_is_slow),
        CASE(a_flush_is_slow_when_the_quickest_waves_are),
        CASE(waves_into_new_blocks_do_not),
        CASE(waves_into_new_blocks_that_were_zeroed_share_one),
        CASE(a_file_that_was_opened_again_begins_anew),
        CASE(a_flush_that_fails_fails_all),
        CASE(what_shared_a_flush_is_there_after_a_kill),
        CASE(only_direct_files_share),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
