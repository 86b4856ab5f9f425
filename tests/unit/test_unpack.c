/* Compressed batches on the data path: what announces more records than its bytes are likely to hold is counted by a job. */
#include "tests/unit/faulty_heap.h"
#include "core/buf.h"
#include "tests/unit/partition_world.h"
#include "storage/log/codec.h"

static uint8_t plain[MAKE_BATCH_MAX];
static bool flip; /* the last bit, behind the CRC's back */

/* m's batch in m's codec, which says that it has `claimed` records. */
static struct sent *append_in_codec(struct make_batch m, int32_t claimed)
{
    assert_true(w.sent_count < APPENDS_MAX);
    uint32_t bytes = make_batch(plain, m);
    uint8_t *packed = malloc(MAKE_BATCH_MAX);
    memcpy(packed, plain, BATCH_HEADER_BYTES);
    size_t n;
    assert_int_equal(codec_compress((enum batch_codec)(m.attributes & BATCH_CODEC_MASK), 1, plain + BATCH_HEADER_BYTES,
                                    bytes - BATCH_HEADER_BYTES, w.heap, packed + BATCH_HEADER_BYTES,
                                    MAKE_BATCH_MAX - BATCH_HEADER_BYTES, &n),
                     ERR_NONE);
    bytes = BATCH_HEADER_BYTES + (uint32_t)n;
    be32_put(packed + 8, bytes - BATCH_PREFIX_BYTES);
    be32_put(packed + 23, (uint32_t)claimed - 1);
    be32_put(packed + 57, (uint32_t)claimed);
    make_seal(packed, bytes);
    packed[bytes - 1] ^= flip;
    struct sent *s = &w.sent[w.sent_count++];
    *s = (struct sent){.bytes = packed, .count = (uint32_t)claimed};
    s->append = (struct append){.records = packed, .bytes = bytes, .produce_version = 9, .done = appended};
    partition_append(w.p, &s->append);
    assert_false(s->over);
    return s;
}

/* A batch of `count` records that says that it has `claimed`. */
static struct sent *append_packed(int32_t count, int32_t claimed, int32_t sequence)
{
    return append_in_codec((struct make_batch){.producer_id = sequence < 0 ? -1 : 7,
                                               .sequence = sequence,
                                               .timestamp = 1000,
                                               .count = count,
                                               .attributes = CODEC_ZSTD},
                           claimed);
}

static void a_lie_about_the_count_moves_nothing(void **state)
{
    (void)state;
    static const int32_t lies[] = {INT32_MAX, INT32_MAX - 1, 1 << 20, 20001, 19999};
    make_topic(NULL, 0);
    append(1, 1);
    all_are_acked();
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        struct sent *lie = append_packed(20000, lies[i], -1);
        until(&lie->over);
        assert_int_equal(lie->append.error, KERR_INVALID_RECORD);
        assert_non_null(lie->append.fault.message);
        assert_int_equal(partition_facts(w.p).end_offset, 1);
        assert_int_equal(w.p->segments.count, 1);
    }
}

static void what_it_says_truly_is_taken_in_order(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    struct sent *before = append(2, 10), *packed = append_packed(20000, 20000, 0),
                *again = append_packed(20000, 20000, 0), *behind = append(1, 10);
    until(&behind->over);
    assert_true(before->over && packed->over && again->over);
    assert_int_equal(before->append.error | packed->append.error | again->append.error | behind->append.error,
                     KERR_NONE);
    assert_true(packed->append.bytes < 20000); /* the job was needed */
    assert_int_equal(packed->append.base_offset, 2);
    assert_int_equal(again->append.base_offset, 2);
    assert_int_equal(behind->append.base_offset, 20002);
}

static void a_flipped_bit_in_it_is_corrupt(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 1);
    all_are_acked();
    flip = true;
    struct sent *s = append_packed(20000, 20000, -1);
    flip = false;
    until(&s->over);
    assert_int_equal(s->append.error, KERR_CORRUPT_MESSAGE);
}

static void a_stop_waits_for_the_job_and_refuses_the_append(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 1);
    all_are_acked();
    struct sent *s = append_packed(20000, 20000, -1);
    assert_int_equal(w.p->unpack.state, UNPACK_RUNNING);
    stop_begin();
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NOT_LEADER_OR_FOLLOWER);
    stop_end();
    start();
    find_partition("t");
    assert_int_equal(partition_facts(w.p).end_offset, 1);
}

static void the_timestamp_type_bit_is_cleared(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    struct sent *s = append_made((struct make_batch){.producer_id = -1,
                                                     .sequence = -1,
                                                     .timestamp = 1000,
                                                     .count = 3,
                                                     .value_bytes = 9,
                                                     .attributes = BATCH_LOG_APPEND_TIME});
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NONE);
    struct part_read r = {.offset = 0, .max_bytes = 1 << 20, .first_whole = true, .done = read_done};
    assert_true(partition_read(w.p, &r));
    struct batch b;
    assert_true(batch_parse(r.slices.v[0].at, r.slices.v[0].bytes, &b));
    assert_int_equal(b.attributes, 0);
    assert_int_equal(batch_crc(r.slices.v[0].at, b.bytes), b.crc);
    slices_deinit(&r.slices);
}

static void bytes_behind_the_batch_are_left_out(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    uint8_t *bytes = malloc(MAKE_BATCH_MAX);
    uint32_t size = make_batch(bytes, (struct make_batch){.producer_id = -1, .timestamp = 1000, .count = 1});
    bytes[size] = bytes[size + 1] = 0xee;
    struct sent *s = &w.sent[w.sent_count++];
    *s = (struct sent){.bytes = bytes, .count = 1};
    s->append = (struct append){.records = bytes, .bytes = size + 2, .produce_version = 9, .done = appended};
    partition_append(w.p, &s->append);
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NONE);
    assert_int_equal(w.p->end.position, size);
}

/* --- topics that want to see records --- */

/* Reads the batch at `offset`, whole, into `out`. */
static struct batch read_batch(int64_t offset, uint8_t *out)
{
    struct part_read r = {.offset = offset, .max_bytes = 1, .first_whole = true, .done = read_done};
    struct batch b;
    uint32_t bytes = 0;
    assert_true(partition_read(w.p, &r));
    assert_int_equal(r.error, KERR_NONE);
    for (uint32_t i = 0; i < r.slices.count; i++) {
        memcpy(out + bytes, r.slices.v[i].at, r.slices.v[i].bytes);
        bytes += r.slices.v[i].bytes;
    }
    slices_deinit(&r.slices);
    assert_true(batch_parse(out, bytes, &b));
    assert_int_equal(b.bytes, bytes);
    assert_int_equal(batch_crc(out, bytes), b.crc);
    return b;
}

static void take_batches_of_every_codec(const char *name, enum batch_codec wanted)
{
    static uint8_t read[MAKE_BATCH_MAX];
    const struct topic_override codec = {"compression.type", name};
    make_topic(&codec, 1);
    for (int round = 0; round < 3; round++)
        for (int16_t sent = CODEC_NONE; sent <= CODEC_ZSTD; sent++)
            append_in_codec((struct make_batch){.producer_id = 9,
                                                .sequence = round * 50 + sent * 10,
                                                .timestamp = 1000,
                                                .count = 10,
                                                .value_bytes = 500,
                                                .attributes = sent},
                            10);
    for (uint32_t i = 0; i < w.sent_count; i++) {
        until(&w.sent[i].over);
        assert_int_equal(w.sent[i].append.error, KERR_NONE);
        assert_int_equal(w.sent[i].place, i);
        assert_int_equal(w.sent[i].append.base_offset, i * 10);
        struct batch b = read_batch(i * 10, read);
        uint8_t *unpacked;
        struct batch_cursor c;
        assert_int_equal(b.attributes, wanted);
        assert_int_equal(b.base_offset, i * 10);
        assert_int_equal(codec_records(&b, read, CODEC_OUTPUT_MAX, w.heap, &unpacked, &c), ERR_NONE);
        uint32_t plain_bytes = BATCH_HEADER_BYTES + (uint32_t)(c.end - c.at);
        assert_int_equal(be32_get(plain + 8) + BATCH_PREFIX_BYTES, plain_bytes);
        assert_memory_equal(c.at, plain + BATCH_HEADER_BYTES, (size_t)(c.end - c.at));
        heap_free(w.heap, unpacked);
    }
    assert_int_equal(w.p->store->unpack.room_bytes, 0);
    assert_int_equal(stat_value(w.p->store->unpack.repacked), 12);
}
static void batches_become_uncompressed(void **state)
{
    (void)state;
    take_batches_of_every_codec("uncompressed", CODEC_NONE);
}
static void batches_become_gzip(void **state)
{
    (void)state;
    take_batches_of_every_codec("gzip", CODEC_GZIP);
}
static void batches_become_snappy(void **state)
{
    (void)state;
    take_batches_of_every_codec("snappy", CODEC_SNAPPY);
}
static void batches_become_lz4(void **state)
{
    (void)state;
    take_batches_of_every_codec("lz4", CODEC_LZ4);
}
static void batches_become_zstd(void **state)
{
    (void)state;
    take_batches_of_every_codec("zstd", CODEC_ZSTD);
}

/* What it unpacks and packs counts in --memory for as long as it may. */
static void what_a_job_may_take_is_kept_in_the_budget(void **state)
{
    (void)state;
    static const struct topic_override gzip = {"compression.type", "gzip"};
    make_topic(&gzip, 1);
    append(1, 100);
    all_are_acked();
    size_t before = bufpool_kept_bytes(w.shard->bufs), most = 0;
    struct sent *s = append_in_codec((struct make_batch){.producer_id = -1,
                                                         .sequence = -1,
                                                         .timestamp = 1000,
                                                         .count = 10,
                                                         .value_bytes = 50000,
                                                         .attributes = CODEC_ZSTD},
                                     10);
    while (!s->over) {
        turn();
        most = u64_max(most, bufpool_kept_bytes(w.shard->bufs));
    }
    assert_int_equal(s->append.error, KERR_NONE);
    assert_true(most >= before + 2 * 10 * 50000); /* the records, and what may be written anew of them */
    assert_true(bufpool_kept_bytes(w.shard->bufs) < before + 100000);
}

static void a_duplicate_is_answered_whatever_its_codec(void **state)
{
    (void)state;
    const struct topic_override codec = {"compression.type", "gzip"};
    make_topic(&codec, 1);
    struct make_batch m = {.producer_id = 9, .sequence = 5, .timestamp = 1000, .count = 4, .value_bytes = 100};
    struct sent *first = append_in_codec(m, 4), *again = append_in_codec(m, 4);
    until(&again->over);
    assert_int_equal(first->append.error | again->append.error, KERR_NONE);
    assert_int_equal(again->append.base_offset, first->append.base_offset);
    struct sent *later = append_in_codec(m, 4);
    until(&later->over);
    assert_int_equal(later->append.error, KERR_NONE);
    assert_int_equal(later->append.base_offset, 0);
    assert_int_equal(partition_facts(w.p).end_offset, 4);
}

static void records_without_a_key_are_named_and_none_is_taken(void **state)
{
    (void)state;
    const struct topic_override compact = {"cleanup.policy", "compact"};
    make_topic(&compact, 1);
    for (int16_t codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct make_batch m = {
            .producer_id = -1, .timestamp = 1000, .count = 50, .value_bytes = 20, .attributes = codec, .no_key = true};
        struct sent *s = append_in_codec(m, 50);
        until(&s->over);
        assert_int_equal(s->append.error, KERR_INVALID_RECORD);
        struct batch_faults walk;
        int32_t record, named = 0;
        const char *message;
        batch_faults_init(&walk, &s->append.fault, s->append.records, s->append.bytes);
        while (batch_faults_next(&walk, &record, &message))
            assert_int_equal(record, named++);
        assert_int_equal(named, 50);
        append_forget_faults(&s->append, w.shard, w.shard);
        assert_int_equal(partition_facts(w.p).end_offset, 50 * codec);
        m.no_key = false;
        s = append_in_codec(m, 50);
        until(&s->over);
        assert_int_equal(s->append.error, KERR_NONE);
    }
}

/* As a batch that waited for a recovery: only its copy was there. */
static void records_at_fault_are_named_when_their_bytes_are_gone(void **state)
{
    (void)state;
    const struct topic_override compact = {"cleanup.policy", "compact"};
    make_topic(&compact, 1);
    struct sent *s =
        append_made((struct make_batch){.producer_id = -1, .timestamp = 1000, .count = 50, .no_key = true});
    until(&s->over);
    assert_int_equal(s->append.error, KERR_INVALID_RECORD);
    append_list_faults(&s->append, w.shard);
    memset(s->bytes, 0xdd, s->append.bytes);
    struct batch_faults walk;
    int32_t record, named = 0;
    const char *message;
    batch_faults_init(&walk, &s->append.fault, s->append.records, s->append.bytes);
    while (batch_faults_next(&walk, &record, &message))
        assert_int_equal(record, named++);
    assert_int_equal(named, 50);
    append_forget_faults(&s->append, w.shard, w.shard);
}

static void what_does_not_match_its_header_is_refused_where_that_is_asked_for(void **state)
{
    (void)state;
    const struct topic_override deep = {"batch.validation", "deep"};
    make_topic(&deep, 1);
    struct sent *lie = append_packed(10, 11, -1);
    until(&lie->over);
    assert_int_equal(lie->append.error, KERR_INVALID_RECORD);
    struct sent *truth = append_packed(10, 10, -1);
    until(&truth->over);
    assert_int_equal(truth->append.error, KERR_NONE);
    assert_int_equal(truth->append.base_offset, 0);
}

static void times_out_of_bounds_become_the_brokers(void **state)
{
    (void)state;
    static uint8_t read[MAKE_BATCH_MAX];
    const struct topic_override policy[] = {{"message.timestamp.out.of.range", "append-time"},
                                            {"message.timestamp.before.max.ms", "3600000"}};
    make_topic(policy, 2);
    int64_t now = clock_wall_ms();
    for (int16_t codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++)
        for (int old = 0; old < 2; old++) {
            struct make_batch m = {.producer_id = 20 + codec * 2 + old,
                                   .timestamp = old ? 1000 : now,
                                   .count = 50,
                                   .value_bytes = 20,
                                   .attributes = codec};
            struct sent *s = append_in_codec(m, 50), *again = append_in_codec(m, 50);
            until(&again->over);
            assert_int_equal(s->append.error | again->append.error, KERR_NONE);
            struct batch b = read_batch(s->append.base_offset, read);
            assert_int_equal(b.attributes, codec | (old ? BATCH_LOG_APPEND_TIME : 0));
            assert_int_equal(again->append.base_offset, s->append.base_offset);
            assert_int_equal(again->append.append_time_ms, s->append.append_time_ms);
            if (old) {
                assert_true(s->append.append_time_ms >= now);
                assert_int_equal(b.max_timestamp, s->append.append_time_ms);
            } else {
                assert_int_equal(s->append.append_time_ms, -1);
                assert_int_equal(b.max_timestamp, now);
            }
        }
    assert_int_equal(stat_value(w.p->store->unpack.append_time), CODEC_ZSTD + 1);
}

static void compressed_batches_of_topics_with_append_time_keep_their_bytes(void **state)
{
    (void)state;
    static uint8_t read[MAKE_BATCH_MAX];
    const struct topic_override append_time = {"message.timestamp.type", "LogAppendTime"};
    make_topic(&append_time, 1);
    for (int16_t codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct make_batch m = {
            .producer_id = -1, .timestamp = 1000, .count = 5, .value_bytes = 200, .attributes = codec};
        struct sent *s = append_in_codec(m, 5);
        until(&s->over);
        assert_int_equal(s->append.error, KERR_NONE);
        struct batch b = read_batch(s->append.base_offset, read);
        assert_int_equal(b.attributes, codec | BATCH_LOG_APPEND_TIME);
        assert_int_equal(b.max_timestamp, s->append.append_time_ms);
        assert_int_equal(b.bytes, s->append.bytes);
        assert_memory_equal(read + BATCH_HEADER_BYTES, s->bytes + BATCH_HEADER_BYTES, b.bytes - BATCH_HEADER_BYTES);
    }
    assert_int_equal(stat_value(w.p->store->unpack.batches), 0); /* and none was unpacked for it */
}

/* --- what happens meanwhile --- */

static void a_full_disk_answers_when_the_job_ends(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 1);
    all_are_acked();
    struct sent *s = append_packed(20000, 20000, -1), *behind = append(1, 1);
    assert_int_equal(w.p->unpack.state, UNPACK_RUNNING);
    space_full(w.p, ERR_NO_SPACE);
    struct sent *later = append(1, 1); /* there is room again: it need not wait for the job */
    until(&s->over);
    until(&behind->over);
    until(&later->over);
    assert_int_equal(s->append.error, KERR_KAFKA_STORAGE_ERROR);
    assert_int_equal(behind->append.error, KERR_KAFKA_STORAGE_ERROR);
    assert_int_equal(later->append.error, KERR_NONE);
    assert_int_equal(later->append.base_offset, 1);
    assert_int_equal(w.p->unpack.state, UNPACK_NONE);
    assert_int_equal(w.p->store->unpack.jobs, 0);
}

static void partitions_wait_their_turn(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 1);
    all_are_acked();
    struct log_store *ls = w.p->store;
    ls->unpack.jobs = UNPACK_JOBS_MAX; /* of others */
    struct sent *refused = append_packed(20000, 20000, -1);
    assert_int_equal(w.p->unpack.state, UNPACK_WAITING);
    space_full(w.p, ERR_NO_SPACE);
    until(&refused->over);
    assert_int_equal(refused->append.error, KERR_KAFKA_STORAGE_ERROR);
    assert_true(list_empty(&ls->unpack.waiting));
    struct sent *first = append_packed(20000, 20000, -1), *behind = append(1, 1);
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(w.p->unpack.state, UNPACK_WAITING);
    assert_false(first->over || behind->over);
    ls->unpack.jobs = 0;
    writer_retry(w.p);
    until(&behind->over);
    assert_int_equal(first->append.error | behind->append.error, KERR_NONE);
    assert_int_equal(behind->append.base_offset, 20001);
}

static void a_deletion_refuses_what_waits_for_its_turn(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 1);
    all_are_acked();
    struct log_store *ls = w.p->store;
    ls->unpack.jobs = UNPACK_JOBS_MAX; /* of others */
    struct sent *s = append_packed(20000, 20000, -1);
    struct catalog_change c;
    assert_int_equal(w.p->unpack.state, UNPACK_WAITING);
    delete_begin(&c);
    until(&change_is_over);
    until(&s->over);
    ls->unpack.jobs = 0;
    assert_int_equal(s->append.error, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    w.p = NULL;
}

/* --- without memory --- */

static void each_allocation_may_fail(void **state)
{
    (void)state;
    const struct topic_override codec = {"compression.type", "zstd"};
    make_topic(&codec, 1);
    fault.poor = w.shard->heap;
    for (int n = 1; n < 40; n++) {
        fall_idle();
        fault_begin(n, false);
        struct make_batch m = {
            .producer_id = -1, .timestamp = 1000, .count = 20, .value_bytes = 300, .attributes = CODEC_LZ4};
        struct sent *first = append_in_codec(m, 20), *second = append_in_codec(m, 20), *plain_one = append(1, 10);
        until(&first->over);
        until(&second->over);
        until(&plain_one->over);
        (void)fault_end();
        for (uint32_t i = 0; i < w.sent_count; i++)
            assert_true(w.sent[i].append.error == KERR_NONE || w.sent[i].append.error == KERR_KAFKA_STORAGE_ERROR);
        assert_int_equal(w.p->condition, PARTITION_OPEN);
        assert_int_equal(w.p->store->unpack.jobs, 0);
        struct sent *again = append_in_codec(m, 20);
        until(&again->over);
        assert_int_equal(again->append.error, KERR_NONE);
        assert_int_equal(w.p->store->unpack.room_bytes, 0);
        forget_sent();
    }
    fault.poor = NULL;
}

static void without_memory_for_the_list_the_batch_is_refused_all_the_same(void **state)
{
    (void)state;
    const struct topic_override compact = {"cleanup.policy", "compact"};
    make_topic(&compact, 1);
    append(1, 1);
    all_are_acked();
    fault.poor = w.shard->heap;
    bool listed = false;
    for (int n = 1; n < 20 && !listed; n++) {
        struct make_batch m = {.producer_id = -1,
                               .timestamp = 1000,
                               .count = 50,
                               .value_bytes = 20,
                               .attributes = CODEC_GZIP,
                               .no_key = true};
        int blocks = fault.blocks;
        fault_begin(n, false);
        struct sent *s = append_in_codec(m, 50);
        until(&s->over);
        bool failed = fault_end();
        listed = !failed && s->append.fault.listed;
        assert_true(s->append.error == KERR_INVALID_RECORD || (failed && s->append.error == KERR_KAFKA_STORAGE_ERROR));
        append_forget_faults(&s->append, w.shard, w.shard);
        assert_int_equal(fault.blocks, blocks);
        forget_sent();
    }
    assert_true(listed);
    fault.poor = NULL;
}

#define CASE(f)                                                                    \
    {                                                                              \
        .name = #f, .test_func = f, .setup_func = setup, .teardown_func = teardown \
    }
int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(a_lie_about_the_count_moves_nothing),
        CASE(what_it_says_truly_is_taken_in_order),
        CASE(a_flipped_bit_in_it_is_corrupt),
        CASE(a_stop_waits_for_the_job_and_refuses_the_append),
        CASE(the_timestamp_type_bit_is_cleared),
        CASE(bytes_behind_the_batch_are_left_out),
        CASE(batches_become_uncompressed),
        CASE(batches_become_gzip),
        CASE(batches_become_snappy),
        CASE(batches_become_lz4),
        CASE(batches_become_zstd),
        CASE(what_a_job_may_take_is_kept_in_the_budget),
        CASE(a_duplicate_is_answered_whatever_its_codec),
        CASE(records_without_a_key_are_named_and_none_is_taken),
        CASE(records_at_fault_are_named_when_their_bytes_are_gone),
        CASE(what_does_not_match_its_header_is_refused_where_that_is_asked_for),
        CASE(times_out_of_bounds_become_the_brokers),
        CASE(compressed_batches_of_topics_with_append_time_keep_their_bytes),
        CASE(a_full_disk_answers_when_the_job_ends),
        CASE(partitions_wait_their_turn),
        CASE(a_deletion_refuses_what_waits_for_its_turn),
        CASE(each_allocation_may_fail),
        CASE(without_memory_for_the_list_the_batch_is_refused_all_the_same),
    };
    return run_in_modes(tests, COUNT_OF(tests), COUNT_OF(modes));
}
