/* A whole broker on one real shard, in a folder DIR that the includer names, and a client of it; the heap and the pool refuse when
 * they are told to. */
#pragma once
#define block libc_block /* core/mem_libc.c has a struct of this name too */
#include "tests/unit/faulty_heap.h"
#undef block
#include "core/io.h"
#define bufpool_get real_bufpool_get
#include "core/buf.c"
#undef bufpool_get
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

static size_t make_frame_in(uint8_t *frame, size_t room, const struct api_case *c, int16_t version)
{
    struct kwriter out = kwriter_of(frame, room);
    struct request_header h;
    request_header_init(&h);
    h.request_api_key = c->key;
    h.request_api_version = version;
    kwrite_int32(&out, 0);
    assert_true(request_header_encode(&h, &out, version >= c->flexible ? 2 : 1));
    assert_true(c->encode(&out, version));
    size_t bytes = kwriter_bytes(&out);
    kwrite_int32_at(&out, 0, (int32_t)bytes - 4);
    return bytes;
}

static void make_frame(const struct api_case *c, int16_t version)
{
    w.frame_bytes = make_frame_in(w.frame, sizeof w.frame, c, version);
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

static struct kview text_of(const char *text)
{
    return (struct kview){(const uint8_t *)text, (int32_t)strlen(text)};
}

static struct kreader answer_body(int16_t version)
{
    return kreader_of((struct kview){w.reply + 8, (int32_t)w.reply_bytes - 8}, version, NULL);
}

static inline void check_log(struct coord_shard *cs)
{
    enum kerr error;
    int32_t at = 0;
    struct coord_log *l = coord_shard_next_log(cs, &at, &error);
    if (l)
        coord_log_check(l);
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
static inline bool encode_added(struct kwriter *out, int16_t version, int32_t *partitions, int32_t count)
{
    struct add_partitions_to_txn_request m;
    struct add_partitions_to_txn_topic topic;
    add_partitions_to_txn_request_init(&m);
    add_partitions_to_txn_topic_init(&topic);
    m.v3_and_below_transactional_id = producer_name;
    m.v3_and_below_producer_id = producer.id;
    m.v3_and_below_producer_epoch = producer.epoch;
    m.v3_and_below_topics.v = &topic;
    m.v3_and_below_topics.n = 1;
    topic.name = text_of("topic");
    topic.partitions.v = partitions;
    topic.partitions.n = count;
    return add_partitions_to_txn_request_encode(&m, out, version);
}
static bool encode_producer_add(struct kwriter *out, int16_t version)
{
    int32_t first = 0;
    return encode_added(out, version, &first, 1);
}
static const struct api_case producer_begins[] = {
    {KAPI_find_coordinator, 2, 2, 99, encode_producer_find},
    {KAPI_init_producer_id, 1, 1, 99, encode_producer_init},
    {KAPI_add_partitions_to_txn, 2, 2, 99, encode_producer_add},
};

/* With all the memory that it wants, over and over, until the transaction before has ended and another one has a partition. */
static inline void begin_transaction(void)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    struct init_producer_id_response r = {.error_code = -1};
    while (r.error_code != 0) {
        assert_true(clock_now_ns() < end);
        send_frame(&producer_begins[0], producer_begins[0].last);
        assert_true(wait_for_end(WAIT_S * 1000));
        send_frame(&producer_begins[1], producer_begins[1].last);
        assert_true(wait_for_end(WAIT_S * 1000));
        assert_false(w.closed);
        struct kreader reader = answer_body(producer_begins[1].last);
        assert_true(init_producer_id_response_read(&r, &reader));
        (void)shard_turn(w.shard, TURN_NS);
    }
    producer.id = r.producer_id;
    producer.epoch = r.producer_epoch;
    send_frame(&producer_begins[2], producer_begins[2].last);
    assert_true(wait_for_end(WAIT_S * 1000));
    assert_false(w.closed);
}
