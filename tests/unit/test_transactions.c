/* Transactions of a partition: what is asked first, what ends them, what is stable, what is named as aborted, and that all of it is the same after a
 * restart of any kind. */
#include "storage/log/folder.h"
#define DIR "build/tests/unit/transactions"
#include "tests/unit/partition_world.h"

enum { VALUE = 60000, KNOWN_MAX = 64, PRODUCERS = 4, OFFSETS_MAX = 1000 };
static const struct topic_override small[] = {{"segment.bytes", "1048576"}};
static const struct topic_override caching[] = {{"write.caching", "true"}, {"flush.ms", "1000000"}};
static const struct topic_override one_segment[] = {{"segment.ms", "9223372036854775807"}}; /* markers are young */
static const struct topic_override compacted[] = {{"cleanup.policy", "compact"},
                                                  {"internal.segment.bytes", "20000"},
                                                  {"min.cleanable.dirty.ratio", "0"},
                                                  {"delete.retention.ms", "0"}};
#define LOG DIR "/data/t-0"

/* --- what the log should hold --- */

/* Every transaction, as the test knows it. */
static struct {
    int64_t producer_id, first_offset, marker_offset; /* -1: open */
    bool commit;
} known[KNOWN_MAX];
static uint32_t known_count;
static int32_t sequence_of[PRODUCERS];
static int64_t open_of[PRODUCERS]; /* its place in known, -1 */
/* Of each offset: 0 no record of ours (a marker), 1 of no transaction, else 2 and the place of its transaction in known. */
static int64_t owner_of[OFFSETS_MAX];

static int setup_transactions(void **state)
{
    known_count = 0;
    memset(owner_of, 0, sizeof owner_of);
    for (int i = 0; i < PRODUCERS; i++) {
        sequence_of[i] = 0;
        open_of[i] = -1;
    }
    return setup(state);
}

static struct make_batch batch_of(int64_t id, int16_t epoch, int32_t sequence, int16_t attributes)
{
    return (struct make_batch){.producer_id = id,
                               .producer_epoch = epoch,
                               .sequence = sequence,
                               .timestamp = 1000,
                               .count = 2,
                               .value_bytes = 100,
                               .attributes = attributes};
}

/* --- doing things --- */

static struct sent *send_of_version(struct make_batch m, uint64_t guard, int16_t produce_version)
{
    struct sent *s = append_guarded(m, guard, produce_version);
    until(&s->over);
    return s;
}
static struct sent *send_guarded(struct make_batch m, uint64_t guard)
{
    return send_of_version(m, guard, 9);
}

/* One batch of a transaction, of its own or the producer's open one. */
static void write_some(int producer, uint32_t value_bytes)
{
    struct make_batch m = batch_of(producer, 0, sequence_of[producer], BATCH_TRANSACTIONAL);
    m.value_bytes = value_bytes;
    struct sent *s = send_guarded(m, 0);
    assert_int_equal(s->append.error == KERR_NONE, open_of[producer] >= 0);
    if (s->append.error) {
        assert_int_equal(s->append.error, KERR_INVALID_TXN_STATE);
        assert_true(s->append.guard != 0);
        s = send_guarded(m, s->append.guard);
    }
    assert_int_equal(s->append.error, KERR_NONE);
    sequence_of[producer] += 2;
    if (open_of[producer] < 0) {
        open_of[producer] = known_count;
        known[known_count].producer_id = producer;
        known[known_count].first_offset = s->append.base_offset;
        known[known_count++].marker_offset = -1;
    }
    owner_of[s->append.base_offset] = owner_of[s->append.base_offset + 1] = 2 + open_of[producer];
    forget_sent();
}
static void write_plain(void)
{
    struct sent *s = append(1, 100);
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NONE);
    owner_of[s->append.base_offset] = 1;
    forget_sent();
}
static void end_it(int producer, bool commit)
{
    struct txn_marker m = put_txn_marker((struct txn_marker){.producer_id = producer, .commit = commit});
    assert_int_equal(m.error, KERR_NONE);
    known[open_of[producer]].marker_offset = m.offset;
    known[open_of[producer]].commit = commit;
    open_of[producer] = -1;
}

/* --- looking --- */

static int64_t expected_stable(void)
{
    struct partition_facts f = partition_facts(w.p);
    int64_t stable = f.high_watermark;
    for (uint32_t i = 0; i < known_count; i++)
        if (known[i].marker_offset < 0 && known[i].first_offset < stable)
            stable = known[i].first_offset;
    return stable > f.log_start_offset ? stable : f.log_start_offset;
}

static struct part_read read_committed(int64_t offset, uint32_t max_bytes)
{
    struct part_read r = {
        .offset = offset, .max_bytes = max_bytes, .first_whole = true, .committed = true, .done = read_done};
    read_is_over = false;
    if (!partition_read(w.p, &r))
        until(&read_is_over);
    assert_int_equal(r.error, KERR_NONE);
    return r;
}

/* In these bytes, the whole batches of which end at `end`: what must be named. More may be. */
static void check_aborted(const struct part_read *r, int64_t end)
{
    const struct aborted_txn *v = r->slices.aborted;
    for (uint32_t i = 0; i < r->slices.aborted_count; i++) {
        bool is_known = false;
        for (uint32_t k = 0; k < known_count; k++)
            is_known |= known[k].producer_id == v[i].producer_id && known[k].first_offset == v[i].first_offset &&
                        known[k].marker_offset == v[i].last_offset && !known[k].commit;
        assert_true(is_known);
        assert_true(i == 0 || v[i - 1].first_offset < v[i].first_offset);
        assert_true(v[i].last_offset >= r->offset);
    }
    for (uint32_t k = 0; k < known_count; k++) {
        bool named = false;
        for (uint32_t i = 0; i < r->slices.aborted_count; i++)
            named |= v[i].first_offset == known[k].first_offset;
        bool counts = known[k].marker_offset >= r->offset && !known[k].commit && known[k].first_offset < end;
        assert_true(named || !counts);
    }
}

static size_t gather(const struct part_read *r, uint8_t *to)
{
    size_t got = 0;
    for (uint32_t i = 0; i < r->slices.count; i++) {
        memcpy(to + got, r->slices.v[i].at, r->slices.v[i].bytes);
        got += r->slices.v[i].bytes;
    }
    return got;
}

/* Reads from `offset` to the stable end; whatever is read is below it. */
static void check_reads(int64_t offset, uint32_t max_bytes)
{
    static uint8_t bytes[8 << 20];
    int64_t stable = expected_stable();
    assert_int_equal(partition_facts(w.p).last_stable_offset, stable);
    assert_int_equal(partition_readable(w.p, offset, 1 << 20, true) > 0, offset < stable);
    while (offset < stable) {
        struct part_read r = read_committed(offset, max_bytes);
        assert_int_equal(r.last_stable_offset, stable);
        size_t got = gather(&r, bytes), at = 0;
        struct batch b;
        int64_t next = offset;
        for (; batch_parse(bytes + at, got - at, &b); at += b.bytes) {
            assert_true(b.base_offset < stable);
            if (b.bytes > got - at)
                break;
            assert_true(batch_crc(bytes + at, b.bytes) == b.crc);
            next = batch_last_offset(&b) + 1;
        }
        assert_true(next > offset);
        check_aborted(&r, next);
        slices_deinit(&r.slices);
        offset = next;
    }
    assert_int_equal(offset, stable);
    struct part_read r = read_committed(stable, max_bytes);
    assert_int_equal(r.slices.count, 0);
    assert_int_equal(r.slices.aborted_count, 0);
}
/* --- as a consumer of committed records --- */

static bool visible[OFFSETS_MAX];
static bool is_hidden[PRODUCERS];

/* Of one answer: what Kafka's consumer gives on, by the list of aborted transactions and the markers. */
static int64_t consume(const struct part_read *r)
{
    static uint8_t bytes[8 << 20];
    size_t got = gather(r, bytes);
    uint32_t taken = 0;
    int64_t next = r->offset;
    struct batch b;
    memset(is_hidden, 0, sizeof is_hidden);
    for (size_t at = 0; batch_parse(bytes + at, got - at, &b) && b.bytes <= got - at; at += b.bytes) {
        struct batch_marker m;
        struct batch_cursor c = {bytes + at + BATCH_HEADER_BYTES, bytes + at + b.bytes};
        struct batch_record record;
        for (; taken < r->slices.aborted_count && r->slices.aborted[taken].first_offset <= batch_last_offset(&b);
             taken++)
            is_hidden[r->slices.aborted[taken].producer_id] = true;
        if (batch_is_control(&b) && batch_read_marker(&b, bytes + at, &m) && !m.commit)
            is_hidden[b.producer_id] = false;
        bool hidden = batch_is_control(&b) || (batch_is_transactional(&b) && is_hidden[b.producer_id]);
        while (!hidden && batch_next(&c, &record))
            visible[b.base_offset + record.offset_delta] = true;
        next = batch_last_offset(&b) + 1;
    }
    return next;
}
static void consume_from(int64_t offset, uint32_t max_bytes)
{
    memset(visible, 0, sizeof visible);
    while (offset < partition_facts(w.p).last_stable_offset) {
        struct part_read r = read_committed(offset, max_bytes);
        int64_t next = consume(&r);
        slices_deinit(&r.slices);
        assert_true(next > offset);
        offset = next;
    }
}
static bool is_committed(int64_t offset)
{
    int64_t owner = owner_of[offset];
    return owner == 1 || (owner > 1 && known[owner - 2].marker_offset >= 0 && known[owner - 2].commit);
}
/* Exactly what was committed, from each of some offsets on; `whole_from`: what lies before it may have been compacted. */
static void check_consumer(int64_t whole_from)
{
    struct partition_facts f = partition_facts(w.p);
    for (int64_t from = f.log_start_offset; from < f.last_stable_offset; from += 7) {
        consume_from(from, from % 2 ? 1000 : 200000);
        for (int64_t i = from; i < f.last_stable_offset; i++) {
            assert_true(!visible[i] || is_committed(i));
            assert_true(visible[i] || !is_committed(i) || i < whole_from);
        }
    }
}

static void check_all(void)
{
    check_reads(partition_facts(w.p).log_start_offset, 1 << 20);
    check_reads(partition_facts(w.p).log_start_offset, 1000);
    check_reads(expected_stable(), 1000);
    check_consumer(0);
}

static void restart(void)
{
    stop();
    start();
    find_partition("t");
}
static void crash(void)
{
    kill_broker();
    forget_sent();
    start();
    find_partition("t");
}

/* --- the tests --- */

static void a_transaction_is_asked_about_once(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    struct make_batch m = batch_of(1, 0, 0, BATCH_TRANSACTIONAL);
    struct sent *s = send_guarded(m, 0);
    uint64_t guard = s->append.guard;
    assert_int_equal(s->append.error, KERR_INVALID_TXN_STATE);
    assert_true(guard != 0);
    assert_int_equal(partition_facts(w.p).end_offset, 0);
    s = send_guarded(m, 0); /* while the answer is waited for: the same question */
    assert_true(s->append.guard == guard);
    s = send_guarded(m, guard + 1);
    assert_int_equal(s->append.error, KERR_INVALID_TXN_STATE);
    assert_true(s->append.guard == 0);
    s = send_guarded(m, guard);
    assert_int_equal(s->append.error, KERR_NONE);
    s = send_guarded(batch_of(1, 0, 2, BATCH_TRANSACTIONAL), 0);
    assert_int_equal(s->append.error, KERR_NONE);
    s = send_guarded(m, 0); /* again: a duplicate */
    assert_int_equal(s->append.error, KERR_NONE);
    assert_int_equal(s->append.base_offset, 0);
    s = send_guarded(batch_of(1, 0, 4, 0), 0);
    assert_int_equal(s->append.error, KERR_INVALID_TXN_STATE);
    assert_true(s->append.guard == 0);
    s = send_guarded(batch_of(1, 1, 0, BATCH_TRANSACTIONAL), 0); /* not of the open one's epoch */
    assert_int_equal(s->append.error, KERR_INVALID_TXN_STATE);
    assert_true(s->append.guard != 0);
    s = send_guarded(batch_of(2, 0, 7, 0), 0);
    assert_int_equal(s->append.error, KERR_NONE);
    assert_int_equal(partition_facts(w.p).end_offset, 6);
    assert_int_equal(partition_facts(w.p).last_stable_offset, 0);
}

static void a_marker_voids_the_guard(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    struct make_batch m = batch_of(1, 0, 0, BATCH_TRANSACTIONAL);
    struct sent *s = send_guarded(m, 0);
    uint64_t guard = s->append.guard;
    struct txn_marker marker = put_txn_marker((struct txn_marker){.producer_id = 1});
    assert_int_equal(marker.error, KERR_NONE);
    assert_int_equal(marker.offset, 0);
    s = send_guarded(m, guard);
    assert_int_equal(s->append.error, KERR_INVALID_TXN_STATE);
    assert_true(s->append.guard == 0);
    s = send_guarded(m, 0);
    assert_true(s->append.guard != guard);
}

/* The coordinator raises the epoch before it sends the marker (KIP-890), and the producer may be told so before that comes. */
static void but_not_that_of_the_epoch_that_follows(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    for (int16_t version = 11; version <= 12; version++) {
        int64_t id = version;
        struct sent *s = send_of_version(batch_of(id, 0, 0, BATCH_TRANSACTIONAL), 0, version);
        s = send_of_version(batch_of(id, 0, 0, BATCH_TRANSACTIONAL), s->append.guard, version);
        assert_int_equal(s->append.error, KERR_NONE);
        s = send_of_version(batch_of(id, 1, 0, BATCH_TRANSACTIONAL), 0, version);
        assert_true(s->append.guard != 0);
        uint64_t guard = s->append.guard;
        (void)put_txn_marker(
            (struct txn_marker){.producer_id = id, .producer_epoch = 1, .transaction_version = 2, .commit = true});
        s = send_of_version(batch_of(id, 1, 0, BATCH_TRANSACTIONAL), guard, version);
        assert_int_equal(s->append.error, version == 12 ? KERR_NONE : KERR_INVALID_TXN_STATE);
    }
}

static void what_is_open_is_not_stable(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    write_plain();
    check_all();
    write_some(0, 100);
    write_some(1, 100);
    write_some(0, 100);
    write_plain();
    check_all();
    end_it(1, false);
    check_all();
    end_it(0, true);
    check_all();
    write_some(2, 100);
    check_all();
    end_it(2, false);
    write_some(2, 100);
    write_some(0, 100);
    end_it(0, false);
    check_all();
    for (int how = 0; how < 3; how++) {
        if (how == 1)
            restart();
        else
            crash();
        check_all();
    }
    end_it(2, false);
    check_all();
    crash();
    check_all();
}

static void transactions_lie_across_segments(void **state)
{
    (void)state;
    make_topic(small, 1);
    write_some(3, VALUE);
    for (int i = 0; i < 40; i++) {
        write_some(i % 3, VALUE);
        if (i % 5 == 4)
            end_it(i % 3, i % 2);
        if (i == 20)
            check_all();
    }
    check_all();
    struct folder f;
    TURN_UNTIL(turn, !w.p->space.closing);
    assert_int_equal(folder_read(&f, w.heap, LOG), ERR_NONE);
    assert_true(f.aborted.count > 0);
    folder_close(&f);
    for (int how = 0; how < 3; how++) {
        if (how == 1)
            restart();
        else
            crash();
        check_all();
    }
    for (int i = 0; i < PRODUCERS; i++)
        if (open_of[i] >= 0)
            end_it(i, i % 2);
    check_all();
    fall_idle();
    check_all(); /* from the disk */
    crash();
    check_all();
}

/* Whatever is missing of the files beside the log, the log says it. */
static void aborted_transactions_are_found_in_the_log(void **state)
{
    (void)state;
    make_topic(small, 1);
    for (int i = 0; i < 40; i++) {
        write_some(i % 3, VALUE);
        if (i % 5 == 4)
            end_it(i % 3, false);
    }
    check_all();
    static const char *const lost[] = {"*.txnindex *.snapshot", "*.txnindex ../*.checkpoint *.snapshot",
                                       "../*.checkpoint"};
    for (size_t i = 0; i < COUNT_OF(lost); i++) {
        char command[256];
        kill_broker();
        forget_sent();
        snprintf(command, sizeof command, "cd " LOG " && rm -f %s", lost[i]);
        assert_int_equal(system(command), 0);
        start();
        find_partition("t");
        check_all();
    }
}

/* Of the active segment the first ones are in the file, as far as the checkpoint says. */
static void a_checkpoint_knows_what_was_aborted_before_it(void **state)
{
    (void)state;
    static const char *const damage[] = {
        "true",
        "rm " LOG "/*.txnindex",
        "printf x | dd of=" LOG "/00000000000000000000.txnindex bs=1 seek=40 conv=notrunc status=none",
        "truncate -s 50 " LOG "/00000000000000000000.txnindex",
        "head -c 34 " LOG "/00000000000000000000.txnindex > " LOG "/x && cat " LOG "/x >> " LOG
        "/00000000000000000000.txnindex",
    };
    make_topic(one_segment, 1);
    write_some(3, 100);
    for (size_t i = 0; i < COUNT_OF(damage); i++) {
        for (int k = 0; k < 3; k++) {
            write_some(k, 100);
            write_some(k, 100);
            end_it(k, k == 1);
        }
        TURN_UNTIL(turn, w.p->checkpoint.saved_aborted == w.p->active->aborted.count);
        assert_int_equal(access(LOG "/00000000000000000000.txnindex", F_OK), 0);
        assert_true(w.p->checkpoint.saved_aborted > 0);
        write_some(0, 100);
        end_it(0, false);
        write_some(1, 100);
        check_all();
        kill_broker();
        forget_sent();
        assert_int_equal(system(damage[i]), 0);
        start();
        find_partition("t");
        check_all();
        end_it(1, false);
        check_all();
    }
    stop(); /* whole from then on */
    struct folder f;
    assert_int_equal(folder_read(&f, w.heap, LOG), ERR_NONE);
    assert_int_equal(f.aborted.count, 1);
    folder_close(&f);
    start();
    find_partition("t");
    check_all();
}

/* --- compaction --- */

static void await_clean_to(int64_t offset)
{
    TURN_UNTIL(turn, !w.p->cleaning.busy && w.p->cleaning.first_dirty >= offset);
}
static uint32_t count_markers(void)
{
    static uint8_t bytes[8 << 20];
    uint32_t n = 0;
    for (int64_t at = partition_facts(w.p).log_start_offset; at < partition_facts(w.p).high_watermark;) {
        struct part_read r = {.offset = at, .max_bytes = 5000, .first_whole = true, .done = read_done};
        read_is_over = partition_read(w.p, &r);
        until(&read_is_over);
        size_t got = gather(&r, bytes);
        struct batch b;
        for (size_t i = 0; batch_parse(bytes + i, got - i, &b) && b.bytes <= got - i; i += b.bytes) {
            n += batch_is_control(&b) && b.count > 0;
            at = batch_last_offset(&b) + 1;
        }
        slices_deinit(&r.slices);
    }
    return n;
}
/* Producer 3 has one open, behind which nothing is cleaned. */
static void a_compaction_leaves_what_was_committed(void **state)
{
    (void)state;
    make_topic(compacted, COUNT_OF(compacted));
    for (int i = 0; i < 60; i++) {
        if (i == 40)
            write_some(3, 500);
        write_some(i % 3, 1200);
        if (i % 4 == 3)
            end_it(i % 3, i % 8 == 3);
    }
    check_consumer(0);
    int64_t stable = partition_facts(w.p).last_stable_offset,
            bound = segments_of_offset(&w.p->segments, stable)->base_offset;
    assert_true(bound > 40);
    uint64_t bytes = partition_facts(w.p).bytes;
    begin_cleaning();
    await_clean_to(bound);
    assert_int_equal(w.p->cleaning.first_dirty, bound);
    assert_true(partition_facts(w.p).bytes < bytes / 2);
    check_consumer(bound);
    uint32_t markers = count_markers();
    assert_int_equal(markers, 60 / 4);
    for (int how = 0; how < 2; how++) {
        if (how)
            restart();
        else
            crash();
        check_consumer(bound);
    }
    for (int i = 0; i < PRODUCERS; i++)
        if (open_of[i] >= 0)
            end_it(i, i % 2 == 0);
    for (int round = 0; round < 4; round++) { /* their horizons come, and are over */
        for (int i = 0; i < 20; i++)
            write_some(0, 1200);
        end_it(0, true);
        int64_t to = w.p->active->base_offset;
        begin_cleaning();
        await_clean_to(to);
        check_consumer(to);
    }
    assert_true(count_markers() < markers);
    crash();
    check_consumer(partition_facts(w.p).high_watermark);
}

static bool wait_is_over;
static void wait_done(struct durable_wait *d)
{
    (void)d;
    wait_is_over = true;
}
static void a_marker_is_durable_whatever_caching_says(void **state)
{
    (void)state;
    make_topic(caching, COUNT_OF(caching));
    append(1, 100);
    until(&w.sent[0].over);
    forget_sent();
    assert_int_equal(w.p->durable.offset, 0);
    struct durable_wait d = {.done = wait_done};
    wait_is_over = false;
    partition_make_durable(w.p, &d);
    assert_false(wait_is_over);
    until(&wait_is_over);
    assert_int_equal(d.error, KERR_NONE);
    assert_int_equal(w.p->durable.offset, 1);
    write_some(0, 100);
    assert_int_equal(w.p->durable.offset, 1);
    end_it(0, true);
    assert_true(w.p->durable.offset == 4);
    wait_is_over = false;
    partition_make_durable(w.p, &d); /* there is nothing to do */
    until(&wait_is_over);
    assert_int_equal(d.error, KERR_NONE);
}

/* The one that there is at most. */
static uint32_t look_at_producer(struct producer_facts *out)
{
    struct producers *held;
    assert_int_equal(partition_hold_producers(w.p, &held), ERR_NONE);
    uint32_t count = held ? producers_count(held) : 0;
    assert_in_range(count, 0, 1);
    if (count)
        producers_facts(held, 0, 1, out);
    producers_close(held);
    return count;
}

static void markers_keep_kafkas_rules(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    static const struct {
        int16_t epoch, version;
        int32_t coordinator_epoch;
        bool open; /* a transaction, of the epoch that the last marker left */
        enum kerr error;
    } cases[] = {
        {0, 0, 5, true, KERR_NONE},
        {0, 0, 5, false, KERR_NONE}, /* nothing is open */
        {0, 1, 4, false, KERR_TRANSACTION_COORDINATOR_FENCED},
        {0, 2, 5, true, KERR_INVALID_PRODUCER_EPOCH}, /* not above the transaction's */
        {1, 2, 5, true, KERR_NONE},
        {1, 2, 5, false, KERR_NONE}, /* the same again */
        {0, 2, 5, false, KERR_INVALID_PRODUCER_EPOCH},
        {0, 0, 5, false, KERR_INVALID_PRODUCER_EPOCH},
        {1, 2, 5, true, KERR_INVALID_PRODUCER_EPOCH},
        {1, 1, 5, true, KERR_NONE},
        {3, 2, 6, false, KERR_NONE},
    };
    int16_t epoch = 0;
    bool is_open = false;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (cases[i].open && !is_open) {
            struct producer_facts known_of_it = {.last_sequence = -1};
            (void)look_at_producer(&known_of_it);
            struct make_batch m = batch_of(1, epoch, known_of_it.last_sequence + 1, BATCH_TRANSACTIONAL);
            struct sent *s = send_guarded(m, 0);
            s = send_guarded(m, s->append.guard);
            assert_int_equal(s->append.error, KERR_NONE);
            is_open = true;
        }
        struct txn_marker m = put_txn_marker((struct txn_marker){.producer_id = 1,
                                                                 .producer_epoch = cases[i].epoch,
                                                                 .coordinator_epoch = cases[i].coordinator_epoch,
                                                                 .transaction_version = cases[i].version,
                                                                 .commit = i % 2});
        assert_int_equal(m.error, cases[i].error);
        if (!m.error) {
            epoch = cases[i].epoch;
            is_open = false;
        }
    }
    struct producer_facts last;
    assert_int_equal(look_at_producer(&last), 1);
    assert_int_equal(last.producer_epoch, 3);
    assert_int_equal(last.coordinator_epoch, 6);
    assert_int_equal(last.last_sequence, -1);
    assert_int_equal(last.txn_start_offset, -1);
}

static uint32_t moves;
static void moved(struct watch *watch)
{
    (void)watch;
    moves++;
}
static void watches_hear_of_markers(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    struct watch watch;
    watch_init(&watch, moved);
    write_some(0, 100);
    partition_watch(w.p, &watch);
    moves = 0;
    int64_t stable = partition_facts(w.p).last_stable_offset;
    end_it(0, true);
    assert_true(moves > 0);
    assert_true(partition_facts(w.p).last_stable_offset > stable);
    partition_unwatch(&watch);
}

static bool trim_is_over;
static void trim_done(struct log_trim *t)
{
    (void)t;
    trim_is_over = true;
}
static void a_log_start_may_lie_behind_an_open_transaction(void **state)
{
    (void)state;
    make_topic(small, 1);
    write_some(0, VALUE);
    write_some(1, VALUE);
    end_it(1, false);
    for (int i = 0; i < 30; i++)
        write_some(2, VALUE);
    end_it(2, false);
    struct log_trim t = {.before = partition_facts(w.p).high_watermark - 3, .done = trim_done};
    trim_is_over = false;
    partition_trim(w.p, &t);
    until(&trim_is_over);
    assert_int_equal(t.error, KERR_NONE);
    for (int how = 0; how < 3; how++) {
        assert_int_equal(partition_facts(w.p).last_stable_offset, t.low_watermark);
        check_all();
        if (how == 1)
            restart();
        else
            crash();
    }
    end_it(0, false);
    check_all();
    crash();
    check_all();
}

/* Records below the start hold back the stable end no longer: a read from the disk that began before must not show them. */
static void a_log_start_that_passes_a_cold_read_ends_it(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    write_some(0, 100);
    end_it(0, true);
    int64_t open_at = partition_facts(w.p).high_watermark;
    write_some(1, 100);
    restart();
    struct part_read r = {.max_bytes = 1 << 20, .first_whole = true, .committed = true, .done = read_done};
    read_is_over = false;
    bool now = partition_read(w.p, &r);
    assert_false(now);
    assert_int_equal(partition_facts(w.p).last_stable_offset, open_at);
    while (w.p->store->cold_reads == 0) /* it begins at the end of a turn */
        turn();
    assert_false(read_is_over);
    w.p->log_start_offset = w.p->promised.offset; /* as the last step of a trim does */
    until(&read_is_over);
    assert_int_equal(r.error, KERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(r.slices.count, 0);
    slices_deinit(&r.slices);
}

static void time_look_ups_keep_below_what_is_stable(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 100);
    all_are_acked();
    write_some(0, 100);
    struct make_batch m = {.producer_id = -1, .producer_epoch = -1, .sequence = -1, .timestamp = 5000, .count = 1};
    struct sent *s = append_made(m);
    until(&s->over);
    struct {
        int64_t timestamp;
        bool max, committed;
        int64_t offset;
    } cases[] = {{1000, false, true, 0},
                 {5000, false, true, -1},
                 {5000, false, false, 3},
                 {0, true, true, -1},
                 {0, true, false, 3}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct time_lookup l = look_up_by_time(cases[i].timestamp, cases[i].max, cases[i].committed);
        assert_int_equal(l.error, KERR_NONE);
        assert_int_equal(l.found_offset, cases[i].offset);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_transactions, teardown)
    struct CMUnitTest tests[] = {
        TEST(a_transaction_is_asked_about_once),
        TEST(a_marker_voids_the_guard),
        TEST(but_not_that_of_the_epoch_that_follows),
        TEST(what_is_open_is_not_stable),
        TEST(transactions_lie_across_segments),
        TEST(aborted_transactions_are_found_in_the_log),
        TEST(a_checkpoint_knows_what_was_aborted_before_it),
        TEST(a_compaction_leaves_what_was_committed),
        TEST(a_marker_is_durable_whatever_caching_says),
        TEST(markers_keep_kafkas_rules),
        TEST(watches_hear_of_markers),
        TEST(a_log_start_may_lie_behind_an_open_transaction),
        TEST(a_log_start_that_passes_a_cold_read_ends_it),
        TEST(time_look_ups_keep_below_what_is_stable),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
