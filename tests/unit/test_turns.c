/* How much a shard does in one turn for many partitions, or for one with many appends: counted, not timed. On a real shard and in real files. */
#include "tests/unit/partition_world.h"

enum {
    PARTITIONS = 300,
    APPENDS = 700,
    ANSWERS_MOST = 128, /* a turn */
    WAVES_MOST = 128,
    GONE_MOST = 2 * IO_BYTES_PER_TURN / (32 * 1024) + 1,
    TAKEN_BYTES_MOST = IO_BYTES_PER_TURN / 4,
};
static struct append appends[APPENDS];
static uint8_t the_batch[MAKE_BATCH_MAX];
static uint32_t batch_bytes, over, over_most;

static void append_is_over(struct append *a)
{
    assert_int_equal(a->error, KERR_NONE);
    over++;
}

static void make_the_batch(uint32_t value_bytes)
{
    batch_bytes = make_batch(the_batch, (struct make_batch){.producer_id = -1,
                                                            .producer_epoch = -1,
                                                            .sequence = -1,
                                                            .timestamp = 1000,
                                                            .count = 1,
                                                            .value_bytes = value_bytes});
    over = over_most = 0;
}

static void append_nth(struct partition *p, uint32_t i)
{
    appends[i] =
        (struct append){.records = the_batch, .bytes = batch_bytes, .produce_version = 9, .done = append_is_over};
    partition_append(p, &appends[i]);
}

static void counted_turn(void)
{
    uint32_t before = over;
    turn();
    over_most = over - before > over_most ? over - before : over_most;
}

static void append_to_all(const struct topic *t)
{
    for (int32_t i = 0; i < PARTITIONS; i++)
        append_nth(nth_partition(t, i), (uint32_t)i);
}

static void many_partitions_begin_so_many_waves_a_turn(void **state)
{
    (void)state;
    const struct stat_counter *begun_waves = store_of(w.shard)->log.counters.durable_waves;
    const struct topic *t = make_many(PARTITIONS);
    make_the_batch(100);
    append_to_all(t);
    TURN_UNTIL(counted_turn, over == PARTITIONS); /* their files are there now */
    make_the_batch(100);
    append_to_all(t);
    uint64_t most = 0, begun = stat_value(begun_waves);
    while (stat_value(begun_waves) - begun < PARTITIONS) {
        uint64_t before = stat_value(begun_waves);
        counted_turn();
        most = stat_value(begun_waves) - before > most ? stat_value(begun_waves) - before : most;
        assert_true(stat_value(begun_waves) > before);
    }
    assert_int_equal(most, WAVES_MOST);
    TURN_UNTIL(counted_turn, over == PARTITIONS);
    assert_in_range(over_most, 1, ANSWERS_MOST);
}

static void so_many_deleted_partitions_go_in_a_turn(void **state)
{
    (void)state;
    struct catalog_change c;
    const struct store *st = store_of(w.shard);
    (void)make_many(PARTITIONS);
    delete_begin(&c);
    uint32_t before = st->log.count, most = 0;
    while (st->log.count > 0) {
        usleep(20 * 1000); /* the jobs come up with the shard */
        before = st->log.count;
        turn();
        most = before - st->log.count > most ? before - st->log.count : most;
    }
    assert_in_range(most, 1, GONE_MOST);
    until(&change_is_over);
}

static void many_appends_of_one_wave_are_answered_so_many_a_turn(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    make_the_batch(100);
    append_nth(w.p, 0);
    TURN_UNTIL(counted_turn, over == 1);
    make_the_batch(100);
    for (uint32_t i = 0; i < APPENDS; i++)
        append_nth(w.p, i);
    TURN_UNTIL(counted_turn, over == APPENDS);
    assert_int_equal(over_most, ANSWERS_MOST);
    for (uint32_t i = 0; i < APPENDS; i++)
        assert_int_equal(appends[i].base_offset, i + 1);
}

static void appends_that_waited_copy_so_many_bytes_a_turn(void **state)
{
    (void)state;
    enum { COUNT = 200, VALUE = 16000 };
    make_topic(NULL, 0);
    make_the_batch(VALUE);
    for (uint32_t i = 0; i < COUNT; i++)
        append_nth(w.p, i); /* all wait for the first roll */
    assert_int_equal(w.p->end.offset, 0);
    int64_t most = 0;
    while (over < COUNT) {
        int64_t before = w.p->end.offset;
        turn();
        most = w.p->end.offset - before > most ? w.p->end.offset - before : most;
    }
    assert_in_range((uint64_t)most * batch_bytes, 1, TAKEN_BYTES_MOST + batch_bytes);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(appends[i].base_offset, i);
}

int main(void)
{
#define CASE(f)                                                                    \
    {                                                                              \
        .name = #f, .test_func = f, .setup_func = setup, .teardown_func = teardown \
    }
    struct CMUnitTest tests[] = {
        CASE(many_partitions_begin_so_many_waves_a_turn),
        CASE(so_many_deleted_partitions_go_in_a_turn),
        CASE(many_appends_of_one_wave_are_answered_so_many_a_turn),
        CASE(appends_that_waited_copy_so_many_bytes_a_turn),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
