/* The log of one partition of __consumer_offsets on a real shard and real files: what is acknowledged stands, after whatever. */
#include "tests/unit/group_log_world.h"
#include <zstd.h>

/* --- what is committed --- */

static void what_is_committed_is_seen_when_it_is_durable(void **state)
{
    (void)state;
    struct asked a;
    open_ready();
    assert_int_equal(g.readies, 1);
    assert_true(ask(&a, 0, ALL, false));
    assert_int_equal(stands(0, 0), NONE);
    assert_int_equal(partition_facts(w.p).high_watermark, 0);
    UNTIL(a.over);
    assert_int_equal(a.error, KERR_NONE);
    assert_int_equal(all_stands(), KEYS);
    assert_int_equal(partition_facts(w.p).high_watermark, KEYS);
}

static void fill(void)
{
    for (int i = 0; i < GROUPS; i++)
        ask_and_wait(i, ALL, false);
    ask_and_wait(1, 0x0f, true);
    ask_and_wait(1, 0x03, false);
    ask_and_wait(2, ALL, true);
    persist_and_wait(3, 5);
    persist_and_wait(3, 6);
    persist_and_wait(2, 1);
    assert_int_equal(all_stands(), 5 * KEYS + KEYS - 2);
}

static void after_a_clean_stop_everything_stands(void **state)
{
    (void)state;
    open_ready();
    fill();
    close_log();
    stop();
    restart();
    open_ready();
    assert_int_equal(all_stands(), 5 * KEYS + KEYS - 2);
    assert_int_equal(g.made, GROUPS);
    persist_and_wait(3, 7);
    close_log();
    open_ready(); /* from memory, this time */
    assert_int_equal(entry_of(3)->group->generation, 7);
    all_stands();
}

static void after_a_kill_everything_stands(void **state)
{
    (void)state;
    open_ready();
    fill();
    kill_broker();
    restart();
    open_ready();
    assert_int_equal(all_stands(), 5 * KEYS + KEYS - 2);
    const struct committed *c = offsets_get(&entry_of(0)->offsets, view_of("t"), 3);
    assert_int_equal(c->leader_epoch, 1);
    assert_int_equal(c->expire_ms, -1);
    assert_int_equal(c->metadata.n, 1);
    assert_int_equal(c->metadata.at[0], 'm');
}

/* Many at once for one key: what stands is what was written last, and so it is after loading. */
static int64_t seen[50];
static uint32_t seen_count;
static void note_seen(struct group_write *write, enum kerr error)
{
    assert_int_equal(error, KERR_NONE);
    int64_t mine = write->commit_count ? write->commits->offset : NONE;
    assert_int_equal(stands(0, 0), mine);
    seen[seen_count++] = mine;
}
static void the_order_of_the_log_is_the_order_in_which_things_are_seen(void **state)
{
    (void)state;
    static struct group_write writes[50];
    static struct committed commits[50];
    open_ready();
    seen_count = 0;
    for (int i = 0; i < 50; i++) {
        bool remove = i % 7 == 6;
        commits[i] = a_commit(0, i);
        writes[i] = (struct group_write){.entry = entry_or_make(0), .done = note_seen};
        *(remove ? &writes[i].removed : &writes[i].commits) = &commits[i];
        *(remove ? &writes[i].removed_count : &writes[i].commit_count) = 1;
        group_log_write(g.log, &writes[i]);
    }
    UNTIL(seen_count == 50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(seen[i], i % 7 == 6 ? NONE : i);
    close_log();
    open_ready();
    assert_int_equal(stands(0, 0), 49);
}

/* --- large and small --- */

static struct committed many[5000];
static struct group_write commit_many(int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        many[i] = a_commit(i, 1000 + i);
    return (struct group_write){.entry = entry_or_make(0), .commits = many, .commit_count = count};
}

static void a_large_commit_is_several_batches(void **state)
{
    (void)state;
    open_ready();
    struct group_write write = commit_many(5000);
    assert_int_equal(write_and_wait(&write), KERR_NONE);
    assert_int_equal(offsets_count(&entry_of(0)->offsets), 5000);
    close_log();
    open_ready();
    assert_int_equal(offsets_count(&entry_of(0)->offsets), 5000);
    assert_int_equal(stands(0, 4999), 5999);
    write = (struct group_write){.entry = entry_of(0), .removed = many, .removed_count = 4999};
    assert_int_equal(write_and_wait(&write), KERR_NONE);
    assert_int_equal(offsets_count(&entry_of(0)->offsets), 1);
    close_log();
    open_ready();
    assert_int_equal(offsets_count(&entry_of(0)->offsets), 1);
}

/* The world's topic takes a megabyte: the writer's own bound is raised above it. */
static void a_topic_that_takes_little_gets_little(void **state)
{
    (void)state;
    static uint8_t metadata[30000];
    memset(metadata, 'm', sizeof metadata);
    open_ready();
    g.log->coord.batch_bytes = 8 << 20;
    struct group_write write = commit_many(100);
    for (int i = 0; i < 100; i++)
        many[i].metadata = (struct kview){metadata, sizeof metadata};
    assert_int_equal(write_and_wait(&write), KERR_NONE);
    assert_true(g.log->coord.batch_bytes <= 1 << 20);
    assert_int_equal(offsets_count(&entry_of(0)->offsets), 100);
    assert_int_equal(stands(0, 99), 1099);
}

static void what_is_too_large_for_any_batch_is_refused(void **state)
{
    (void)state;
    open_ready();
    struct group_entry *e = entry_or_make(0);
    ask_and_wait(0, 1, false);
    static uint8_t huge[2 << 20];
    struct group_text record;
    assert_true(group_copy(w.shard->heap, (struct kview){huge, sizeof huge}, &record));
    struct group_write write = {.entry = e, .kind = GROUP_WRITE_RECORD, .record = record, .done = note_wrote};
    uint32_t before = wrote;
    group_log_write(g.log, &write);
    UNTIL(wrote > before);
    assert_int_equal(wrote_error, KERR_UNKNOWN_SERVER_ERROR);
    all_stands();
}

/* --- going --- */

static void a_deleted_group_is_gone_for_good(void **state)
{
    (void)state;
    open_ready();
    fill();
    struct group_write write = {.entry = entry_of(3), .kind = GROUP_WRITE_DELETE};
    uint32_t gone = g.gone;
    assert_int_equal(group_delete(entry_of(3)->group, clock_wall_ms()), KERR_NONE);
    assert_int_equal(write_and_wait(&write), KERR_NONE);
    assert_null(write.entry);
    assert_null(entry_of(3));
    assert_int_equal(g.gone, gone + 1);
    for (int round = 0; round < 2; round++) {
        kill_broker();
        restart();
        open_ready();
        assert_null(entry_of(3));
        assert_non_null(entry_of(0));
        assert_int_equal(g.made, GROUPS - 1);
    }
}

/* The commit is not durable yet when the group goes; what comes behind the deletion is refused. */
static void a_deletion_takes_what_was_under_way_with_it(void **state)
{
    (void)state;
    struct asked before, behind;
    open_ready();
    assert_true(ask(&before, 0, 0x7, false));
    struct group_entry *e = entry_of(0);
    assert_int_equal(group_delete(e->group, clock_wall_ms()), KERR_NONE);
    struct group_write write = {.entry = e, .kind = GROUP_WRITE_DELETE, .done = note_wrote};
    uint32_t wrote_before = wrote;
    group_log_write(g.log, &write);
    assert_true(ask(&behind, 0, 0x8, false));
    UNTIL(wrote > wrote_before);
    assert_true(before.over && behind.over);
    assert_int_equal(before.error, KERR_NONE);
    assert_int_equal(behind.error, KERR_COORDINATOR_NOT_AVAILABLE);
    assert_int_equal(wrote_error, KERR_NONE);
    assert_null(entry_of(0));
    close_log();
    open_ready();
    assert_null(entry_of(0));
}

static void a_deletion_that_fails_leaves_the_group(void **state)
{
    (void)state;
    open_ready();
    ask_and_wait(0, 1, false);
    partition_offline(w.p, "the test says so");
    struct group_entry *e = entry_of(0);
    assert_int_equal(group_delete(e->group, clock_wall_ms()), KERR_NONE);
    struct group_write write = {.entry = e, .kind = GROUP_WRITE_DELETE};
    assert_int_equal(write_and_wait(&write), KERR_NOT_COORDINATOR);
    assert_int_equal(e->group->state, GROUP_EMPTY);
    all_stands();
}

static void an_entry_is_dropped_only_when_nothing_is_left(void **state)
{
    (void)state;
    struct asked a;
    open_ready();
    struct group_entry *e = entry_or_make(0);
    assert_true(ask(&a, 0, 1, false));
    group_log_drop_if_empty(e);
    assert_ptr_equal(entry_of(0), e);
    UNTIL(a.over);
    group_log_drop_if_empty(e);
    assert_ptr_equal(entry_of(0), e);
    ask_and_wait(0, 1, true);
    group_log_drop_if_empty(e);
    assert_null(entry_of(0));
    assert_non_null(entry_or_make(1));
    group_log_drop_if_empty(entry_of(1));
    assert_null(entry_of(1));
    persist_and_wait(2, 1);
    group_log_drop_if_empty(entry_of(2));
    assert_non_null(entry_of(2));
}

/* --- expiry --- */

enum { DAY = 24 * 3600 * 1000 };
struct aged {
    const char *what;
    const char *protocol_type;
    enum group_state state;
    bool subscribed; /* a member reads the topic */
    int64_t since, commit, expire;
    bool goes;
};
/* Now is 100 days, retention is 7. */
static const struct aged aged[] = {
    {"simple, committed lately", "", GROUP_EMPTY, false, 1, 94, -1, false},
    {"simple, committed 7 days ago", "", GROUP_EMPTY, false, 99, 93, -1, true},
    {"simple, its own time is not over", "", GROUP_EMPTY, false, 1, 1, 101, false},
    {"simple, its own time is over", "", GROUP_EMPTY, false, 99, 99, 100, true},
    {"empty for less, committed long ago", "consumer", GROUP_EMPTY, false, 94, 1, -1, false},
    {"empty for 7 days, committed lately", "consumer", GROUP_EMPTY, false, 93, 99, -1, true},
    {"empty since nobody knows when, committed lately", "consumer", GROUP_EMPTY, false, -1, 94, -1, false},
    {"empty since nobody knows when, committed long ago", "consumer", GROUP_EMPTY, false, -1, 93, -1, true},
    {"another protocol, empty for 7 days", "connect", GROUP_EMPTY, false, 93, 99, -1, true},
    {"stable, subscribed", "consumer", GROUP_STABLE, true, 1, 1, -1, false},
    {"stable, subscribed, its own time is over", "consumer", GROUP_STABLE, true, 1, 1, 2, false},
    {"stable, not subscribed, committed long ago", "consumer", GROUP_STABLE, false, 1, 93, -1, true},
    {"stable, not subscribed, committed lately", "consumer", GROUP_STABLE, false, 1, 94, -1, false},
    {"stable, another protocol", "connect", GROUP_STABLE, false, 1, 1, -1, false},
    {"preparing", "consumer", GROUP_PREPARING, false, 1, 1, 2, false},
    {"completing", "consumer", GROUP_COMPLETING, false, 1, 1, -1, false},
};

static struct committed committed_at(const struct aged *a)
{
    struct committed c = a_commit(0, 1);
    c.commit_ms = a->commit * DAY;
    c.expire_ms = a->expire < 0 ? -1 : a->expire * DAY;
    return c;
}

/* A stable group as a record has it: one member, which reads "t" or nothing. */
static void make_stable(struct group *group, const struct aged *a)
{
    static const uint8_t reads_t[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 0},
                         reads_none[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct member_metadata member = {.member_id = view_of("member"),
                                     .group_instance_id = {NULL, -1},
                                     .client_id = view_of("client"),
                                     .client_host = view_of("host"),
                                     .rebalance_timeout = 300000000,
                                     .session_timeout = 300000000,
                                     .subscription = a->subscribed ? (struct kview){reads_t, sizeof reads_t}
                                                                   : (struct kview){reads_none, sizeof reads_none},
                                     .assignment = {(const uint8_t *)"", 0}};
    struct group_metadata_value v = {.protocol_type = view_of(a->protocol_type),
                                     .generation = 3,
                                     .protocol = view_of("range"),
                                     .leader = view_of("member"),
                                     .current_state_timestamp = a->since * DAY,
                                     .members = {&member, 1}};
    struct group_now now = {w.shard->now_ns, clock_wall_ms()};
    assert_int_equal(group_from_value(group, &v, now), ERR_NONE);
    assert_int_equal(group->state, GROUP_STABLE);
}

static void make_aged(struct group *group, const struct aged *a)
{
    if (a->state == GROUP_EMPTY && a->protocol_type[0]) {
        struct group_metadata_value v = {.protocol_type = view_of(a->protocol_type),
                                         .protocol = {NULL, -1},
                                         .leader = {NULL, -1},
                                         .current_state_timestamp = a->since * DAY};
        struct group_now now = {w.shard->now_ns, clock_wall_ms()};
        assert_int_equal(group_from_value(group, &v, now), ERR_NONE);
    } else if (a->state != GROUP_EMPTY) {
        make_stable(group, a);
    }
    group->state = a->state;
    group->state_since_ms = a->since < 0 ? -1 : a->since * DAY;
}

static void offsets_expire_as_in_kafka(void **state)
{
    (void)state;
    open_ready();
    for (size_t i = 0; i < COUNT_OF(aged); i++) {
        struct group_entry *e = entry_or_make(0);
        struct committed c = committed_at(&aged[i]);
        struct group_write write = {.entry = e, .commits = &c, .commit_count = 1};
        assert_int_equal(write_and_wait(&write), KERR_NONE);
        make_aged(e->group, &aged[i]);
        group_log_expire(g.log, 100ll * DAY, 7ll * DAY);
        assert_non_null(g.log->coord.sweep);
        for (uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S; g.log->coord.sweep;) {
            assert_true(clock_now_ns() < end);
            turn(); /* the groups are made up: they do not bear a check */
        }
        e = entry_of(0);
        if ((e && offsets_get(&e->offsets, c.topic, 0)) == aged[i].goes)
            fail_msg("%s: %s", aged[i].what, aged[i].goes ? "it stays" : "it goes");
        assert_int_equal(e == NULL, aged[i].goes && aged[i].state == GROUP_EMPTY);
        close_log();
        assert_int_equal(partition_facts(w.p).offline, false);
        open_ready();
        assert_int_equal(entry_of(0) == NULL, aged[i].goes);
        if (entry_of(0)) {
            write = (struct group_write){.entry = entry_of(0), .removed = &c, .removed_count = 1};
            assert_int_equal(write_and_wait(&write), KERR_NONE);
            group_log_drop_if_empty(entry_of(0));
        }
        assert_null(entry_of(0));
    }
}

static void a_group_with_a_record_and_no_offsets_expires_at_once(void **state)
{
    (void)state;
    open_ready();
    persist_and_wait(0, 1);
    assert_non_null(entry_or_make(1));
    ask_and_wait(2, ALL, false);
    group_log_expire(g.log, clock_wall_ms(), DAY);
    UNTIL(!g.log->coord.sweep);
    assert_null(entry_of(0));
    assert_null(entry_of(1));
    g.acked_generation[0] = 0;
    assert_int_equal(all_stands(), KEYS);
    kill_broker();
    restart();
    open_ready();
    assert_null(entry_of(0));
    assert_int_equal(all_stands(), KEYS);
}

static void offsets_of_topics_that_are_not_there_go(void **state)
{
    (void)state;
    open_ready();
    ask_and_wait(0, 0x3, false);
    struct committed c = a_commit(0, 1);
    c.topic = view_of("nowhere");
    struct group_write write = {.entry = entry_of(0), .commits = &c, .commit_count = 1};
    assert_int_equal(write_and_wait(&write), KERR_NONE);
    group_log_expire(g.log, clock_wall_ms(), DAY);
    UNTIL(!g.log->coord.sweep);
    assert_null(offsets_get(&entry_of(0)->offsets, c.topic, 0));
    assert_int_equal(all_stands(), 2);
}

/* Those that are committed after the deletion are another topic's of that name. */
static void a_topic_that_is_gone_is_forgotten_in_every_group(void **state)
{
    (void)state;
    struct asked under_way, behind;
    open_ready();
    for (int i = 0; i < GROUPS; i++)
        ask_and_wait(i, ALL, false);
    assert_true(ask(&under_way, 0, 1, false));
    UNTIL(!under_way.write.coord.append.copied || partition_facts(w.p).end_offset > GROUPS * KEYS);
    group_log_forget_topic(g.log, view_of("other"));
    group_log_forget_topic(g.log, view_of("t"));
    assert_true(ask(&behind, 1, 2, false));
    UNTIL(behind.over && under_way.over && !g.log->coord.sweep && list_empty(&g.log->coord.sweeps));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < GROUPS; i++)
            for (int k = 0; k < KEYS; k++)
                assert_int_equal(stands(i, k), i == 1 && k == 1 ? behind.commits[0].offset : NONE);
        close_log();
        open_ready();
    }
}

/* --- what others wrote --- */

static void append_bytes(uint8_t *bytes, uint32_t n)
{
    struct sent *s = &w.sent[w.sent_count++];
    uint8_t *copy = malloc(n);
    memcpy(copy, bytes, n);
    *s = (struct sent){.bytes = copy};
    s->append = (struct append){.records = copy, .bytes = n, .produce_version = 9, .done = appended};
    partition_append(w.p, &s->append);
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NONE);
}

static uint8_t batch_bytes[1 << 16], unpacked[1 << 16];
static struct record_batch begin_batch(void)
{
    struct record_batch b;
    record_batch_begin(&b, batch_bytes, sizeof batch_bytes);
    return b;
}

static void a_compressed_batch_is_read(void **state)
{
    (void)state;
    struct record_batch b = begin_batch();
    for (int i = 0; i < 100; i++) {
        struct committed c = a_commit(i, i);
        assert_true(record_put_offset(&b, group_id(0), &c));
    }
    uint32_t n = record_batch_end(&b, clock_wall_ms(), NULL);
    memcpy(unpacked, batch_bytes + BATCH_HEADER_BYTES, n - BATCH_HEADER_BYTES);
    n = BATCH_HEADER_BYTES + (uint32_t)ZSTD_compress(batch_bytes + BATCH_HEADER_BYTES,
                                                     sizeof batch_bytes - BATCH_HEADER_BYTES, unpacked,
                                                     n - BATCH_HEADER_BYTES, 3);
    be32_put(batch_bytes + 8, n - BATCH_PREFIX_BYTES);
    be16_put(batch_bytes + 21, CODEC_ZSTD);
    make_seal(batch_bytes, n);
    append_bytes(batch_bytes, n);
    open_ready();
    assert_int_equal(offsets_count(&entry_of(0)->offsets), 100);
    assert_int_equal(stands(0, 99), 99);
}

/* Records in the way: unknown kinds, none with a meaning, and one that is damaged. */
static uint32_t batch_with(const uint8_t *key, int32_t key_bytes, const uint8_t *value, int32_t value_bytes)
{
    uint8_t body[256], *at = body;
    *at++ = 0;
    at = make_varint(at, 0);
    at = make_varint(at, 0);
    at = make_varint(at, key_bytes);
    memcpy(at, key, (size_t)key_bytes);
    at = make_varint(at + key_bytes, value_bytes);
    memcpy(at, value, (size_t)value_bytes);
    at = make_varint(at + value_bytes, 0);
    struct record_batch b = begin_batch();
    b.at = make_varint(b.at, at - body);
    memcpy(b.at, body, (size_t)(at - body));
    b.at += at - body;
    b.count = 1;
    return record_batch_end(&b, clock_wall_ms(), NULL);
}

static void what_is_unknown_is_skipped(void **state)
{
    (void)state;
    static const uint8_t key[] = {0, 5, 0, 1, 'g', 0, 1, 'm'}, value[] = {0, 0, 1, 2, 3};
    open_ready();
    ask_and_wait(0, ALL, false);
    close_log();
    append_bytes(batch_bytes, batch_with(key, sizeof key, value, sizeof value));
    open_ready();
    ask_and_wait(1, ALL, false);
    close_log();
    open_ready();
    assert_int_equal(all_stands(), 2 * KEYS);
}

/* Puts the batch behind the end of the log, as it would be in a folder that Kafka wrote. Answers where the next one goes. */
static uint64_t put_behind(uint64_t at, int64_t offset, int16_t attributes, uint32_t n)
{
    be64_put(batch_bytes, (uint64_t)offset);
    be32_put(batch_bytes + 12, (uint32_t)w.root->leader_epoch);
    be16_put(batch_bytes + 21, (uint16_t)attributes);
    make_seal(batch_bytes, n);
    int fd;
    assert_int_equal(fs_open(DIR "/data/t-0/00000000000000000000.log", FS_WRITE | FS_OWN, &fd), ERR_NONE);
    assert_int_equal(fs_write(fd, batch_bytes, n, at), ERR_NONE);
    fs_close(fd);
    return at + n;
}
static uint64_t write_behind(uint64_t at, int64_t offset, int16_t attributes, int group)
{
    struct record_batch b = begin_batch();
    struct committed c = a_commit(0, 4711);
    assert_true(record_put_offset(&b, group_id(group), &c));
    return put_behind(at, offset, attributes, record_batch_end(&b, clock_wall_ms(), NULL));
}

static void a_control_batch_that_ends_nothing_is_skipped(void **state)
{
    (void)state;
    open_ready();
    ask_and_wait(0, ALL, false);
    uint64_t at = w.p->end.position;
    int64_t offset = w.p->end.offset;
    UNTIL(w.p->durable.offset == offset);
    at = write_behind(at, offset, BATCH_TRANSACTIONAL | BATCH_CONTROL, 0);
    (void)write_behind(at, offset + 1, 0, 1);
    kill_broker();
    restart();
    open_ready();
    assert_int_equal(partition_facts(w.p).high_watermark, offset + 2);
    assert_int_equal(stands(1, 0), 4711);
    g.keys[1][0].acked = 4711;
    assert_int_equal(all_stands(), KEYS + 1);
}

/* Each of them once made all groups of the partition unloadable, at every start. `-1`: null. */
struct planted {
    const char *what;
    int32_t key_bytes, value_bytes;
    uint8_t key[24], value[40];
};
static const struct planted planted[] = {
    {"an empty key", 0, 3, {0}, {0, 3, 0}},
    {"half a version", 1, 3, {0}, {0, 3, 0}},
    {"a negative version", 3, 3, {0xff, 0xff, 0}, {0, 3, 0}},
    {"an unknown version", 8, 5, {0, 5, 0, 1, 'g', 0, 1, 'm'}, {0, 0, 1, 2, 3}},
    {"the largest version", 3, 1, {0x7f, 0xff, 0}, {0}},
    {"an offset's key that is cut", 9, 3, {0, 1, 0, 1, 'b', 0, 1, 't', 0}, {0, 3, 0}},
    {"an offset's key whose group has no end", 4, 3, {0, 1, 0x7f, 0xff}, {0, 3, 0}},
    {"an offset's key whose group is null", 12, 3, {0, 1, 0xff, 0xff, 0, 1, 't', 0, 0, 0, 2, 0}, {0, 3, 0}},
    {"a group's key that is cut", 4, 2, {0, 2, 0, 9}, {0, 3}},
    {"a group's key that goes on", 6, 2, {0, 2, 0, 1, 'h', 'i'}, {0, 3}},
    {"an offset without a version", 12, 0, {0, 1, 0, 1, 'h', 0, 1, 't', 0, 0, 0, 2}, {0}},
    {"an offset of an unknown version", 12, 3, {0, 1, 0, 1, 'h', 0, 1, 't', 0, 0, 0, 2}, {0, 9, 0}},
    {"an offset that is cut", 12, 5, {0, 1, 0, 1, 'h', 0, 1, 't', 0, 0, 0, 2}, {0, 3, 0, 0, 0}},
    {"a group without a version", 5, 0, {0, 2, 0, 1, 'h'}, {0}},
    {"a group of an unknown version", 5, 4, {0, 2, 0, 1, 'h'}, {0, 9, 0, 0}},
    {"a group that is cut", 5, 7, {0, 2, 0, 1, 'h'}, {0, 3, 0, 1, 'x', 0, 0}},
    {"a group of a negative generation", 5, 29, {0, 2, 0, 1, 'h'}, {0,    3,    0,    1,    'x', 0xff, 0xff, 0xff, 0xf0,
                                                                    0xff, 0xff, 0xff, 0xff, 0,   0,    0,    0,    0,
                                                                    0,    0,    1,    0,    0,   0,    0}},
};

static void what_is_malformed_is_skipped_and_the_rest_is_there(void **state)
{
    (void)state;
    open_ready();
    ask_and_wait(0, ALL, false);
    persist_and_wait(2, 5);
    close_log();
    for (size_t i = 0; i < COUNT_OF(planted); i++) {
        const struct planted *p = &planted[i];
        append_bytes(batch_bytes, batch_with(p->key, p->key_bytes, p->value, p->value_bytes));
        open_log();
        UNTIL(g.readies > 0);
        if (g.log->coord.state != COORD_LOG_READY)
            fail_msg("%s makes the rest unreadable", p->what);
        assert_null(group_log_find(g.log, view_of("h")));
        ask_and_wait(1, 1u << i % KEYS, false);
        assert_true(all_stands() > KEYS);
        close_log();
    }
    kill_broker();
    restart();
    open_ready();
    assert_int_equal(all_stands(), 2 * KEYS);
    assert_int_equal(entry_of(2)->group->generation, 5);
}

/* The last record of a group does not say anything: its offsets stand, and it is a group that may be joined. */
static void a_group_whose_record_is_damaged_keeps_its_offsets(void **state)
{
    (void)state;
    static const uint8_t key[] = {0, 2, 0, 1, 'a'}, value[] = {0, 3, 0, 1, 'x', 0, 0};
    open_ready();
    ask_and_wait(0, ALL, false);
    persist_and_wait(0, 3);
    close_log();
    append_bytes(batch_bytes, batch_with(key, sizeof key, value, sizeof value));
    open_ready();
    g.acked_generation[0] = 0;
    assert_int_equal(all_stands(), KEYS);
    assert_int_equal(entry_of(0)->group->state, GROUP_EMPTY);
    assert_int_equal(entry_of(0)->record.n, -1);
    persist_and_wait(0, 7);
    close_log();
    open_ready();
    assert_int_equal(entry_of(0)->group->generation, 7);
}

/* The records of a batch have no end: those before stand, and what follows the batch. */
static void a_batch_that_is_damaged_inside_costs_only_itself(void **state)
{
    (void)state;
    struct record_batch b = begin_batch();
    struct committed c = a_commit(0, 4711), d = a_commit(1, 4712);
    open_ready();
    ask_and_wait(1, ALL, false);
    uint64_t at = w.p->end.position;
    int64_t offset = w.p->end.offset;
    UNTIL(w.p->durable.offset == offset);
    assert_true(record_put_offset(&b, group_id(0), &c));
    uint8_t *second = b.at;
    assert_true(record_put_offset(&b, group_id(0), &d));
    *second = 0x7e; /* longer than what is left */
    uint32_t n = record_batch_end(&b, clock_wall_ms(), NULL);
    at = put_behind(at, offset, 0, n);
    (void)write_behind(at, offset + 2, 0, 2);
    kill_broker();
    restart();
    open_ready();
    assert_int_equal(partition_facts(w.p).high_watermark, offset + 3);
    assert_int_equal(stands(0, 0), 4711);
    assert_int_equal(stands(0, 1), NONE);
    assert_int_equal(stands(2, 0), 4711);
    g.keys[0][0].acked = g.keys[2][0].acked = 4711;
    assert_int_equal(all_stands(), KEYS + 2);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(what_is_committed_is_seen_when_it_is_durable),
        CASE(after_a_clean_stop_everything_stands),
        CASE(after_a_kill_everything_stands),
        CASE(the_order_of_the_log_is_the_order_in_which_things_are_seen),
        CASE(a_large_commit_is_several_batches),
        CASE(a_topic_that_takes_little_gets_little),
        CASE(what_is_too_large_for_any_batch_is_refused),
        CASE(a_deleted_group_is_gone_for_good),
        CASE(a_deletion_takes_what_was_under_way_with_it),
        CASE(a_deletion_that_fails_leaves_the_group),
        CASE(an_entry_is_dropped_only_when_nothing_is_left),
        CASE(offsets_expire_as_in_kafka),
        CASE(a_group_with_a_record_and_no_offsets_expires_at_once),
        CASE(offsets_of_topics_that_are_not_there_go),
        CASE(a_topic_that_is_gone_is_forgotten_in_every_group),
        CASE(a_compressed_batch_is_read),
        CASE(what_is_unknown_is_skipped),
        CASE(a_control_batch_that_ends_nothing_is_skipped),
        CASE(what_is_malformed_is_skipped_and_the_rest_is_there),
        CASE(a_group_whose_record_is_damaged_keeps_its_offsets),
        CASE(a_batch_that_is_damaged_inside_costs_only_itself),
    };
    return run_in_modes(tests, COUNT_OF(tests), COUNT_OF(modes));
}
