/* Every API while memory is short. A whole broker on one real shard is asked the smallest valid request of each API, while the
 * Nth request for memory (the heap's or the pool's) fails: once, or from then on; and while so many receive buffers are held
 * that each request needs a copy. Whatever fails, the client gets an answer or a closed connection, and the next one is served. */
#define DIR "build/tests/unit/request_faults"
#include "tests/unit/request_world.h"

/* What the request needs to have something to do. */
static void prepare(int16_t key)
{
    if (key == KAPI_create_topics || key == KAPI_create_partitions)
        must_answer(KAPI_delete_topics);
    if (key == KAPI_delete_topics || key == KAPI_create_partitions)
        must_answer(KAPI_create_topics);
}

/* False: fewer than n requests for memory were made. */
static bool run_fault(const struct api_case *c, int16_t version, int n, bool forever)
{
    prepare(c->key);
    connect_client();
    fault_begin(n, forever);
    send_frame(c, version);
    bool over = wait_for_end(SHORT_MS); /* it may wait for memory */
    bool fired = fault_end();
    if (!over && !wait_for_end(WAIT_S * 1000))
        fail_msg("API %d version %d hangs after request for memory %d failed%s", c->key, version, n,
                 forever ? ", and all after it" : "");
    disconnect_client();
    return fired;
}

static uint32_t run_version(const struct api_case *c, int16_t version)
{
    uint32_t runs = 0;
    for (int forever = 0; forever < 2; forever++) {
        int n = 1;
        while (n < FAULTS_MAX && run_fault(c, version, n, forever))
            n++;
        assert_true(n < FAULTS_MAX);
        runs += (uint32_t)n;
    }
    must_answer(c->key);
    return runs;
}

static uint32_t run_all(void)
{
    uint32_t runs = 0;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        runs += run_version(&cases[i], cases[i].last);
        if (cases[i].first < cases[i].last)
            runs += run_version(&cases[i], cases[i].first);
    }
    return runs;
}

static void each_request_is_answered_or_its_connection_closed(void **state)
{
    (void)state;
    printf("%u faults\n", run_all());
}

static void so_it_is_while_each_request_needs_a_copy(void **state)
{
    (void)state;
    struct blocks *bs = &server_of(w.shard)->conns.blocks;
    bs->pooled_count += IO_RECV_COUNT;
    printf("%u faults\n", run_all());
    bs->pooled_count -= IO_RECV_COUNT;
}

/* --- a member of a group, from its first JoinGroup to its LeaveGroup --- */

static const struct kview member_group = {(const uint8_t *)"members", 7};
static struct {
    uint8_t id[256];
    int32_t id_bytes, generation;
} member;

static struct kview member_id(void)
{
    return (struct kview){member.id, member.id_bytes};
}
static bool encode_member_join(struct kwriter *out, int16_t version)
{
    struct join_group_request m;
    struct join_group_request_protocol protocol = {.name = text_of("range"), .metadata = text_of("metadata")};
    join_group_request_init(&m);
    m.group_id = member_group;
    m.session_timeout_ms = 60000;
    m.rebalance_timeout_ms = 100; /* members of earlier runs are not waited for longer */
    m.protocol_type = text_of("consumer");
    m.protocols.v = &protocol;
    m.protocols.n = 1;
    return join_group_request_encode(&m, out, version);
}
static bool encode_member_sync(struct kwriter *out, int16_t version)
{
    struct sync_group_request m;
    struct sync_group_request_assignment mine = {.member_id = member_id(), .assignment = text_of("everything")};
    sync_group_request_init(&m);
    m.group_id = member_group;
    m.generation_id = member.generation;
    m.member_id = member_id();
    m.assignments.v = &mine;
    m.assignments.n = 1;
    return sync_group_request_encode(&m, out, version);
}
static bool encode_member_heartbeat(struct kwriter *out, int16_t version)
{
    struct heartbeat_request m;
    heartbeat_request_init(&m);
    m.group_id = member_group;
    m.generation_id = member.generation;
    m.member_id = member_id();
    return heartbeat_request_encode(&m, out, version);
}
static bool encode_member_commit(struct kwriter *out, int16_t version)
{
    struct offset_commit_request m;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition partition;
    offset_commit_request_init(&m);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_partition_init(&partition);
    m.group_id = member_group;
    m.generation_id_or_member_epoch = member.generation;
    m.member_id = member_id();
    topic.name = text_of("topic");
    partition.committed_offset = 7;
    partition.committed_metadata = text_of("note");
    topic.partitions.v = &partition;
    m.topics.v = &topic;
    topic.partitions.n = m.topics.n = 1;
    return offset_commit_request_encode(&m, out, version);
}
static bool encode_member_fetch(struct kwriter *out, int16_t version)
{
    struct offset_fetch_request m;
    struct offset_fetch_request_group one;
    offset_fetch_request_init(&m);
    offset_fetch_request_group_init(&one);
    one.group_id = member_group;
    one.topics.n = -1;
    m.groups.v = &one;
    m.groups.n = 1;
    return offset_fetch_request_encode(&m, out, version);
}
static bool encode_member_describe(struct kwriter *out, int16_t version)
{
    struct describe_groups_request m;
    struct kview group = member_group;
    describe_groups_request_init(&m);
    m.groups.v = &group;
    m.groups.n = 1;
    return describe_groups_request_encode(&m, out, version);
}
static bool encode_member_leave(struct kwriter *out, int16_t version)
{
    struct leave_group_request m;
    leave_group_request_init(&m);
    m.group_id = member_group;
    m.member_id = member_id();
    return leave_group_request_encode(&m, out, version);
}
/* Versions without flexible headers, whose answers begin with the correlation id. */
static const struct api_case member_cases[] = {
    {KAPI_join_group, 3, 3, 99, encode_member_join},     {KAPI_sync_group, 2, 2, 99, encode_member_sync},
    {KAPI_heartbeat, 2, 2, 99, encode_member_heartbeat}, {KAPI_offset_commit, 6, 6, 99, encode_member_commit},
    {KAPI_offset_fetch, 8, 8, 6, encode_member_fetch},   {KAPI_describe_groups, 3, 3, 99, encode_member_describe},
    {KAPI_leave_group, 2, 2, 99, encode_member_leave},
};

/* With all the memory that it wants, over and over: the coordinator may be loading what it lost. */
static void join_and_sync(void)
{
    uint8_t room[4096];
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    int16_t error = -1;
    while (error != 0) {
        struct join_group_response joined;
        struct sync_group_response synced;
        assert_true(clock_now_ns() < end);
        send_frame(&member_cases[0], member_cases[0].last);
        assert_true(wait_for_end(WAIT_S * 1000));
        assert_false(w.closed);
        struct kreader r = answer_body(member_cases[0].last);
        struct arena arena = arena_of(room, sizeof room);
        r.arena = &arena;
        assert_true(join_group_response_read(&joined, &r));
        error = joined.error_code;
        if (error)
            continue;
        assert_true(joined.member_id.n < (int32_t)sizeof member.id);
        memcpy(member.id, joined.member_id.at, (size_t)joined.member_id.n);
        member.id_bytes = joined.member_id.n;
        member.generation = joined.generation_id;
        send_frame(&member_cases[1], member_cases[1].last);
        assert_true(wait_for_end(WAIT_S * 1000));
        assert_false(w.closed);
        r = answer_body(member_cases[1].last);
        assert_true(sync_group_response_read(&synced, &r));
        error = synced.error_code;
    }
}

/* --- a client of several requests, each of which finds no memory once --- */

struct actor {
    const char *name;
    const struct api_case *cases; /* the first of them needs nothing that begin does */
    size_t count;
    void (*begin)(void);
    void (*end)(void); /* what it uses is sound, whatever failed, and goes on */
};

static bool run_actor_fault(const struct actor *a, const struct api_case *c, int n, bool forever)
{
    connect_client();
    if (c != a->cases)
        a->begin();
    fault_begin(n, forever);
    send_frame(c, c->last);
    bool over = wait_for_end(SHORT_MS);
    bool fired = fault_end();
    if (!over && !wait_for_end(WAIT_S * 1000))
        fail_msg("a %s's API %d hangs after request for memory %d failed", a->name, c->key, n);
    disconnect_client();
    a->end();
    return fired;
}

static void actor_stays_sound(const struct actor *a)
{
    uint32_t runs = 0;
    for (size_t i = 0; i < a->count; i++)
        for (int forever = 0; forever < 2; forever++) {
            int n = 1;
            while (n < FAULTS_MAX && run_actor_fault(a, &a->cases[i], n, forever))
                n++;
            assert_true(n < FAULTS_MAX);
            runs += (uint32_t)n;
        }
    printf("%u faults\n", runs);
}

static void end_membership(void)
{
    check_log(group_topic.on(w.shard));
    connect_client();
    join_and_sync();
    send_frame(&member_cases[COUNT_OF(member_cases) - 1], 2);
    assert_true(wait_for_end(WAIT_S * 1000));
    disconnect_client();
}

static void a_group_with_a_member_stays_sound(void **state)
{
    (void)state;
    static const struct actor actor = {"member", member_cases, COUNT_OF(member_cases), join_and_sync, end_membership};
    actor_stays_sound(&actor);
}

static bool encode_producer_add_offsets(struct kwriter *out, int16_t version)
{
    struct add_offsets_to_txn_request m;
    add_offsets_to_txn_request_init(&m);
    m.transactional_id = producer_name;
    m.producer_id = producer.id;
    m.producer_epoch = producer.epoch;
    m.group_id = member_group;
    return add_offsets_to_txn_request_encode(&m, out, version);
}
static bool encode_producer_describe(struct kwriter *out, int16_t version)
{
    struct describe_transactions_request m;
    struct kview names[] = {producer_name, text_of("nobody")};
    describe_transactions_request_init(&m);
    m.transactional_ids.v = names;
    m.transactional_ids.n = COUNT_OF(names);
    return describe_transactions_request_encode(&m, out, version);
}
static bool encode_producer_list(struct kwriter *out, int16_t version)
{
    struct list_transactions_request m;
    list_transactions_request_init(&m);
    m.transactional_id_pattern = text_of("pro.*r");
    return list_transactions_request_encode(&m, out, version);
}
static bool encode_producer_end(struct kwriter *out, int16_t version)
{
    struct end_txn_request m;
    end_txn_request_init(&m);
    m.transactional_id = producer_name;
    m.producer_id = producer.id;
    m.producer_epoch = producer.epoch;
    m.committed = true;
    return end_txn_request_encode(&m, out, version);
}
static const struct api_case producer_cases[] = {
    {KAPI_find_coordinator, 2, 2, 99, encode_producer_find},
    {KAPI_init_producer_id, 1, 1, 99, encode_producer_init},
    {KAPI_add_partitions_to_txn, 2, 2, 99, encode_producer_add},
    {KAPI_add_offsets_to_txn, 2, 2, 99, encode_producer_add_offsets},
    {KAPI_describe_transactions, 0, 0, 0, encode_producer_describe},
    {KAPI_list_transactions, 2, 2, 0, encode_producer_list},
    {KAPI_end_txn, 2, 2, 99, encode_producer_end},
};

static void end_producer(void)
{
    check_log(txn_topic.on(w.shard));
    connect_client();
    begin_transaction(); /* which aborts what the fault left, or waits for what it decided */
    disconnect_client();
}

static void a_transaction_stays_sound(void **state)
{
    (void)state;
    static const struct actor actor = {"producer", producer_cases, COUNT_OF(producer_cases), begin_transaction,
                                       end_producer};
    actor_stays_sound(&actor);
}

static void each_api_has_one_row_and_nothing_else_has(void **state)
{
    (void)state;
    uint32_t rows = 0;
    for (int32_t key = INT16_MIN; key <= INT16_MAX; key++) {
        const struct api_row *row = api_row((int16_t)key);
        assert_int_equal(row != NULL, kapi_find((int16_t)key) != NULL);
        if (!row)
            continue;
        assert_int_equal(row->key, key);
        assert_non_null(row->run);
        assert_int_equal(row->resource == API_ANY, row->operation == API_NOTHING);
        assert_int_equal(row->overlaps, key == KAPI_produce);
        assert_int_equal(api_dispatcher.overlaps((int16_t)key), row->overlaps);
        rows++;
    }
    assert_int_equal(rows, COUNT_OF(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_api_has_one_row_and_nothing_else_has),
        cmocka_unit_test_setup_teardown(each_request_is_answered_or_its_connection_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_group_with_a_member_stays_sound, setup, teardown),
        cmocka_unit_test_setup_teardown(a_transaction_stays_sound, setup, teardown),
        cmocka_unit_test_setup_teardown(so_it_is_while_each_request_needs_a_copy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
