/* Every API while memory is short. A whole broker on one real shard is asked the smallest valid request of each API, while the
 * Nth request for memory (the heap's or the pool's) fails: once, or from then on; and while so many receive buffers are held
 * that each request needs a copy. Whatever fails, the client gets an answer or a closed connection, and the next one is served. */
#define block libc_block /* core/mem_libc.c has a struct of this name too */
#include "tests/unit/faulty_heap.h"
#undef block
#include "core/io.h"
#define bufpool_get real_bufpool_get
#include "core/buf.c"
#undef bufpool_get
#define DIR "build/tests/unit/request_faults"
#include "core/clock.h"
#include "core/shard.h"
#include "net/api/api.h"
#include "net/api/topology.h"
#include "net/coordinators.h"
#include "net/group/coordinator.h"
#include "net/txn/txn_coordinator.h"
#include "net/shutdown.h"
#include "tests/unit/make_batch.h"
#include "tests/unit/smallest_request.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum {
    MEMORY_BYTES = 32 << 20,
    FRAME_BYTES = 4096,
    WAIT_S = 20,
    SHORT_MS = 50,
    FAULTS_MAX = 1000,
    TURN_NS = 200 * 1000
};

struct buf *bufpool_get(struct bufpool *pool, enum buf_purpose purpose, size_t bytes) must_use;
struct buf *bufpool_get(struct bufpool *pool, enum buf_purpose purpose, size_t bytes)
{
    return fails() ? NULL : real_bufpool_get(pool, purpose, bytes);
}

static struct world {
    struct heap *heap;
    struct broker_config config;
    struct root *root;
    struct topology topology;
    struct shard_group *group;
    struct shard *shard;
    struct shutdown shutdown;
    uint16_t port;
    int fd; /* the client's */
    uint8_t frame[FRAME_BYTES], reply[1 << 20];
    size_t frame_bytes, reply_bytes;
    bool closed;
    char why[CONFIG_WHY_BYTES];
} w;

/* --- the requests --- */

struct api_case {
    int16_t key, first, last, flexible;
    bool (*encode)(struct kwriter *out, int16_t version);
};
#define API(api, name, key, advertised, first, last, flexible)     \
    static bool encode_##api(struct kwriter *out, int16_t version) \
    {                                                              \
        struct api##_request m;                                    \
        smallest_##api##_request(&m);                              \
        return api##_request_encode(&m, out, version);             \
    }
#include "net/wire/schema/all.def"
static const struct api_case cases[] = {
#define API(api, name, key, advertised, first, last, flexible) {key, first, last, flexible, encode_##api},
#include "net/wire/schema/all.def"
};

static const struct api_case *case_of(int16_t key)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (cases[i].key == key)
            return &cases[i];
    fail_msg("no API %d", key);
    return NULL;
}

static void make_frame(const struct api_case *c, int16_t version)
{
    struct kwriter out = kwriter_of(w.frame, sizeof w.frame);
    struct request_header h;
    request_header_init(&h);
    h.request_api_key = c->key;
    h.request_api_version = version;
    kwrite_int32(&out, 0);
    assert_true(request_header_encode(&h, &out, version >= c->flexible ? 2 : 1));
    assert_true(c->encode(&out, version));
    w.frame_bytes = kwriter_bytes(&out);
    kwrite_int32_at(&out, 0, (int32_t)w.frame_bytes - 4);
}

/* --- the client --- */

static void turn(void)
{
    (void)shard_turn(w.shard, TURN_NS);
}

static void connect_client(void)
{
    const struct server *sv = server_of(w.shard);
    uint64_t accepted = sv->conns.counters.accepted, end = clock_now_ns() + WAIT_S * NS_PER_S;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(w.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    w.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(w.fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(w.fd, F_SETFL, O_NONBLOCK), 0);
    while (sv->conns.counters.accepted == accepted) {
        assert_true(clock_now_ns() < end);
        turn();
    }
}

static void disconnect_client(void)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    const struct server *sv = server_of(w.shard);
    close(w.fd);
    while (sv->conns.count > 0 || sv->requests.count > 0) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    assert_int_equal(sv->conns.blocks.buf_bytes, 0);
    assert_int_equal(sv->requests.bytes, 0);
}

/* True: the reply is whole, or the connection is closed. */
static bool is_over(void)
{
    ssize_t n = recv(w.fd, w.reply + w.reply_bytes, sizeof w.reply - w.reply_bytes, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        w.closed = true;
    w.reply_bytes += n > 0 ? (size_t)n : 0;
    return w.closed || (w.reply_bytes >= 4 && w.reply_bytes >= 4 + be32_get(w.reply));
}

static bool wait_for_end(uint64_t ms)
{
    uint64_t end = clock_now_ns() + ms * NS_PER_MS;
    while (!is_over() && clock_now_ns() < end)
        turn();
    return is_over();
}

static void send_frame(const struct api_case *c, int16_t version)
{
    make_frame(c, version);
    w.reply_bytes = 0;
    w.closed = false;
    assert_int_equal(send(w.fd, w.frame, w.frame_bytes, 0), w.frame_bytes);
}

/* With all the memory that it wants. */
static void must_answer(int16_t key)
{
    const struct api_case *c = case_of(key);
    connect_client();
    send_frame(c, c->last);
    assert_true(wait_for_end(WAIT_S * 1000));
    assert_false(w.closed);
    disconnect_client();
}

/* --- the broker --- */

static enum err start_shard(struct shard *s, void *arg)
{
    int fd;
    enum err err = store_open(s, arg);
    if (!err)
        err = server_start(s, arg, &w.topology, &api_dispatcher);
    if (!err)
        err = coordinators_start(server_of(s));
    if (!err)
        err = io_listen("127.0.0.1", 0, false, NULL, &fd, &w.port);
    return err ? err : server_listen(server_of(s), fd, &w.config.listeners[0]);
}

static void stop_shard(struct shard *s, void *arg)
{
    (void)arg;
    coordinators_close(server_of(s));
    server_close(server_of(s));
    store_close(store_of(s));
}

static void set(const char *name, const char *value)
{
    assert_int_equal(broker_config_set(&w.config, name, value, "test", w.why), ERR_NONE);
}

static void start_broker(void)
{
    w = (struct world){0};
    w.heap = heap_open();
    broker_config_init(&w.config, w.heap);
    set("log.dirs", DIR "/data");
    set("listeners", "PLAINTEXT://127.0.0.1:9092");
    set("offsets.topic.num.partitions", "1");
    set("transaction.state.log.num.partitions", "1");
    set("group.initial.rebalance.delay.ms", "0");
    assert_int_equal(broker_config_finish(&w.config, w.why), ERR_NONE);
    assert_true(topology_init(&w.topology, &w.config, 1, w.why));
    if (root_open(&w.config, w.heap, &w.root, w.why))
        fail_msg("%s", w.why);
    struct shard_options options = {.count = 1,
                                    .io = {.engine = IO_ENGINE_EPOLL,
                                           .features = IO_FEATURE_ALL,
                                           .recv_bytes = IO_RECV_BYTES,
                                           .recv_count = IO_RECV_COUNT},
                                    .memory_bytes = MEMORY_BYTES,
                                    .start = start_shard,
                                    .stop = stop_shard,
                                    .arg = w.root};
    assert_int_equal(shard_group_open(options, &w.group), ERR_NONE);
    assert_int_equal(shard_open(w.group, 0), ERR_NONE);
    w.shard = shard_at(w.group, 0);
}

static void make_topic(void)
{
    static uint8_t batch[MAKE_BATCH_MAX];
    uint32_t bytes = make_batch(
        batch,
        (struct make_batch){
            .timestamp = 1, .producer_id = -1, .producer_epoch = -1, .sequence = -1, .count = 1, .value_bytes = 10});
    smallest_batch = (struct krecords){.at = batch, .n = (int32_t)bytes};
    must_answer(KAPI_metadata); /* which makes "topic" */
    const struct topic *t = catalog_by_name(server_catalog(server_of(w.shard)), (const uint8_t *)"topic", 5);
    assert_non_null(t);
    memcpy(smallest_topic_id.b, t->id, 16);
    must_answer(KAPI_produce);
    must_answer(KAPI_find_coordinator); /* which makes __consumer_offsets */
}

static int setup(void **state)
{
    (void)state;
    if (system("rm -rf " DIR " && mkdir -p " DIR) != 0)
        return -1;
    start_broker();
    make_topic();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shutdown_start(&w.shutdown, w.shard);
    while (shard_turn(w.shard, TURN_NS))
        ;
    shard_close(w.shard);
    shard_group_close(w.group);
    root_close(w.root);
    broker_config_deinit(&w.config);
    heap_close(w.heap);
    return 0;
}

/* --- the tests --- */

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
static struct kview text_of(const char *text)
{
    return (struct kview){(const uint8_t *)text, (int32_t)strlen(text)};
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

static struct kreader answer_body(int16_t version)
{
    return kreader_of((struct kview){w.reply + 8, (int32_t)w.reply_bytes - 8}, version, NULL);
}

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

static void check_log(struct coord_shard *cs)
{
    enum kerr error;
    int32_t at = 0;
    struct coord_log *l = coord_shard_next_log(cs, &at, &error);
    if (l)
        coord_log_check(l);
}

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

/* --- a transactional producer, from its first InitProducerId to its EndTxn --- */

static const struct kview producer_name = {(const uint8_t *)"producer", 8};
static struct {
    int64_t id;
    int16_t epoch;
} producer;

static bool encode_producer_find(struct kwriter *out, int16_t version)
{
    struct find_coordinator_request m;
    find_coordinator_request_init(&m);
    m.key = producer_name;
    m.key_type = 1;
    return find_coordinator_request_encode(&m, out, version);
}
static bool encode_producer_init(struct kwriter *out, int16_t version)
{
    struct init_producer_id_request m;
    init_producer_id_request_init(&m);
    m.transactional_id = producer_name;
    m.transaction_timeout_ms = 60000;
    return init_producer_id_request_encode(&m, out, version);
}
static bool encode_producer_add(struct kwriter *out, int16_t version)
{
    struct add_partitions_to_txn_request m;
    struct add_partitions_to_txn_topic topic;
    int32_t first = 0;
    add_partitions_to_txn_request_init(&m);
    add_partitions_to_txn_topic_init(&topic);
    m.v3_and_below_transactional_id = producer_name;
    m.v3_and_below_producer_id = producer.id;
    m.v3_and_below_producer_epoch = producer.epoch;
    m.v3_and_below_topics.v = &topic;
    m.v3_and_below_topics.n = 1;
    topic.name = text_of("topic");
    topic.partitions.v = &first;
    topic.partitions.n = 1;
    return add_partitions_to_txn_request_encode(&m, out, version);
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

/* With all the memory that it wants, over and over, until the transaction before has ended and another one has a partition. */
static void begin_transaction(void)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    struct init_producer_id_response r = {.error_code = -1};
    while (r.error_code != 0) {
        assert_true(clock_now_ns() < end);
        send_frame(&producer_cases[0], producer_cases[0].last);
        assert_true(wait_for_end(WAIT_S * 1000));
        send_frame(&producer_cases[1], producer_cases[1].last);
        assert_true(wait_for_end(WAIT_S * 1000));
        assert_false(w.closed);
        struct kreader reader = answer_body(producer_cases[1].last);
        assert_true(init_producer_id_response_read(&r, &reader));
        (void)shard_turn(w.shard, TURN_NS);
    }
    producer.id = r.producer_id;
    producer.epoch = r.producer_epoch;
    send_frame(&producer_cases[2], producer_cases[2].last);
    assert_true(wait_for_end(WAIT_S * 1000));
    assert_false(w.closed);
}

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
