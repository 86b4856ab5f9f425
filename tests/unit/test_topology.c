/* Who leads what at which address, on one port and with a node for each core. Which shard owns a partition is made up. */
#include "net/api/topology.h"
#include "net/conn/conn.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { SHARDS = 3, OWNER = 2, TEXT_BYTES = 1024 };

static struct world {
    struct heap *heap;
    struct broker_config config;
    struct topology topology;
    struct root root;
    struct shard shard;
    struct server server;
    struct conns conns;
    struct conn conn;
    bool coordinated; /* the topic of coordinators is there */
    char why[CONFIG_WHY_BYTES];
} w;

/* --- what it calls --- */

uint16_t topic_shard(const uint8_t id[16], int32_t partition, uint16_t shard_count)
{
    assert_non_null(id);
    return (uint16_t)((OWNER + partition) % shard_count);
}

const struct topic *coord_topic_find(const struct coord_topic *t, const struct store *st)
{
    static const struct topic there = {.partitions = 9};
    (void)t, (void)st;
    return w.coordinated ? &there : NULL;
}

int32_t coord_partition(struct kview key, int32_t partitions)
{
    assert_int_equal(partitions, 9);
    return key.n;
}

/* --- the world --- */

/* Of pairs, and a NULL. False: the configuration or the topology refuses; w.why says why. */
static bool begin(uint16_t shards, const char *const *pairs)
{
    if (w.heap)
        heap_close(w.heap);
    memset(&w, 0, sizeof w);
    w.heap = heap_open();
    broker_config_init(&w.config, w.heap);
    for (; *pairs; pairs += 2)
        assert_int_equal(broker_config_set(&w.config, pairs[0], pairs[1], "test", w.why), ERR_NONE);
    assert_int_equal(broker_config_finish(&w.config, w.why), ERR_NONE);
    if (!topology_init(&w.topology, &w.config, shards, w.why))
        return false;
    w.root.leader_epoch = 7;
    w.server = (struct server){.shard = &w.shard, .root = &w.root, .topology = &w.topology};
    w.shard.net = &w.server;
    w.conns.shard = &w.shard;
    w.conn = (struct conn){.conns = &w.conns, .listener = &w.config.listeners[0]};
    w.conn.names = (struct io_names){.local = "10.0.0.7", .local_port = 1234};
    return true;
}
#define BEGIN(shards, ...) begin((shards), (const char *const[]){__VA_ARGS__, NULL})
#define PER_CORE "listeners.per.core", "true"

static void open_ports(uint32_t listener)
{
    uint16_t ports[SHARDS_MAX];
    for (uint16_t i = 0; i < w.topology.shards; i++)
        ports[i] = topology_port(&w.topology, &w.config.listeners[listener], i);
    topology_opened(&w.topology, listener, ports);
}

static void expect_node(uint32_t at, int32_t id, const char *host, int32_t port)
{
    struct topology_node node = topology_node_at(&w.conn, at);
    assert_int_equal(node.id, id);
    assert_int_equal(node.host.n, strlen(host));
    assert_memory_equal(node.host.at, host, strlen(host));
    assert_int_equal(node.port, port);
}

static int teardown(void **state)
{
    (void)state;
    heap_close(w.heap);
    w.heap = NULL;
    return 0;
}

/* --- statements --- */

static void on_one_port_one_node_has_everything(void **state)
{
    (void)state;
    static const uint8_t id[16];
    assert_true(BEGIN(SHARDS, "node.id", "5", "listeners", "PLAINTEXT://:9092"));
    open_ports(0);
    for (uint16_t i = 0; i < SHARDS; i++) {
        w.shard.id = i;
        struct topology_leader l = topology_leader_of(&w.server, id, i);
        assert_int_equal(topology_port(&w.topology, &w.config.listeners[0], i), 9092);
        assert_int_equal(l.node_id, 5);
        assert_int_equal(l.epoch, 7);
        assert_int_equal(topology_own_id(&w.server), 5);
        for (uint16_t owner = 0; owner < SHARDS; owner++)
            assert_true(topology_tells_of(&w.server, owner));
    }
    assert_int_equal(topology_node_count(&w.server), 1);
    assert_int_equal(topology_controller(&w.server), 5);
    w.coordinated = true;
    assert_int_equal(topology_coordinator_of(&w.conn, NULL, (struct kview){.n = 1}).id, 5);
    expect_node(0, 5, "10.0.0.7", 1234); /* where the client came to, whatever forwards it */
}

static void with_a_node_for_each_core_its_shard_leads(void **state)
{
    (void)state;
    static const uint8_t id[16];
    assert_true(BEGIN(SHARDS, "node.id", "5", "listeners", "PLAINTEXT://:9092", PER_CORE));
    open_ports(0);
    assert_int_equal(topology_node_count(&w.server), SHARDS);
    for (int32_t i = 0; i < SHARDS; i++) {
        struct topology_leader l = topology_leader_of(&w.server, id, i);
        assert_int_equal(l.node_id, 5 + (OWNER + i) % SHARDS);
        assert_int_equal(l.replica_count, 1);
        assert_int_equal(l.replicas[0], l.node_id);
        expect_node((uint32_t)i, 5 + i, "10.0.0.7", 9092 + i);
    }
}

static void each_node_tells_of_its_own(void **state)
{
    (void)state;
    assert_true(BEGIN(SHARDS, PER_CORE));
    for (uint16_t i = 0; i < SHARDS; i++) {
        w.shard.id = i;
        assert_int_equal(topology_own_id(&w.server), 1 + i);
        assert_int_equal(topology_controller(&w.server), 1);
        for (uint16_t owner = 0; owner < SHARDS; owner++)
            assert_int_equal(topology_tells_of(&w.server, owner), owner == i);
    }
}

static void a_key_is_coordinated_where_its_partition_is(void **state)
{
    (void)state;
    assert_true(BEGIN(SHARDS, PER_CORE));
    assert_int_equal(topology_coordinator_of(&w.conn, NULL, (struct kview){.n = 1}).id, 1);
    w.coordinated = true;
    for (int32_t key = 0; key < SHARDS; key++)
        assert_int_equal(topology_coordinator_of(&w.conn, NULL, (struct kview){.n = key}).id,
                         1 + (OWNER + key) % SHARDS);
}

static void ports_are_those_that_were_opened(void **state)
{
    (void)state;
    assert_true(BEGIN(SHARDS, "listeners", "A://localhost:0,B://127.0.0.1:0", "listener.security.protocol.map",
                      "A:PLAINTEXT,B:PLAINTEXT", PER_CORE));
    assert_int_equal(topology_port(&w.topology, &w.config.listeners[0], 2), 0);
    topology_opened(&w.topology, 0, (const uint16_t[]){40001, 40017, 40002});
    topology_opened(&w.topology, 1, (const uint16_t[]){50001, 50017, 50002});
    expect_node(1, 2, "localhost", 40017);
    w.conn.listener = &w.config.listeners[1];
    expect_node(2, 3, "10.0.0.7", 50002);
}

static void advertised_ports_count_up(void **state)
{
    (void)state;
    assert_true(
        BEGIN(SHARDS, "listeners", "PLAINTEXT://:9092", "advertised.listeners", "PLAINTEXT://box:19092", PER_CORE));
    open_ports(0);
    for (int32_t i = 0; i < SHARDS; i++)
        expect_node((uint32_t)i, 1 + i, "box", 19092 + i);
    assert_true(BEGIN(SHARDS, "listeners", "PLAINTEXT://:9092", "advertised.listeners", "PLAINTEXT://box:19092"));
    expect_node(0, 1, "box", 19092);
}

static void only_ids_of_nodes_are_found(void **state)
{
    (void)state;
    static const struct {
        int64_t id;
        bool found;
        uint32_t at;
    } cases[] = {{4, false, 0}, {5, true, 0}, {7, true, 2}, {8, false, 0}, {-1, false, 0}, {INT64_MAX, false, 0}};
    assert_true(BEGIN(SHARDS, "node.id", "5", PER_CORE));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint32_t at = 99;
        assert_int_equal(topology_find_node(&w.server, cases[i].id, &at), cases[i].found);
        assert_int_equal(at, cases[i].found ? cases[i].at : 99);
    }
}

static void ids_and_addresses_are_each_nodes_own(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    assert_true(BEGIN(SHARDS, "listeners", "PLAINTEXT://[::1]:9092", PER_CORE));
    open_ports(0);
    assert_true(topology_setting(&w.server, 2, "node.id", out, sizeof out));
    assert_string_equal(out, "3");
    assert_true(topology_setting(&w.server, 2, "listeners", out, sizeof out));
    assert_string_equal(out, "PLAINTEXT://[::1]:9094");
    assert_false(topology_setting(&w.server, 2, "advertised.listeners", out, sizeof out));
    assert_false(topology_setting(&w.server, 2, "log.dirs", out, sizeof out));
    assert_true(BEGIN(SHARDS, "node.id", "4", "advertised.listeners", "PLAINTEXT://box:1", PER_CORE));
    assert_true(topology_setting(&w.server, 1, "broker.id", out, sizeof out));
    assert_string_equal(out, "5");
    assert_true(topology_setting(&w.server, 1, "advertised.listeners", out, sizeof out));
    assert_string_equal(out, "PLAINTEXT://box:2");
}

static void one_core_is_a_single_broker(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    assert_true(BEGIN(1, "node.id", "2147483647", "listeners", "PLAINTEXT://:65535", PER_CORE));
    open_ports(0);
    assert_int_equal(topology_node_count(&w.server), 1);
    assert_true(topology_tells_of(&w.server, 0));
    assert_false(topology_setting(&w.server, 0, "listeners", out, sizeof out));
    expect_node(0, INT32_MAX, "10.0.0.7", 65535);
}

#define MAP "listener.security.protocol.map", "A:PLAINTEXT,B:PLAINTEXT"

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *id, *listeners, *advertised, *fault; /* NULL: it fits */
    } cases[] = {
        {"2147483645", "A://:9092", NULL, NULL},
        {"2147483646", "A://:9092", NULL, "node.id=2147483646: "},
        {"1", "A://:65533", NULL, NULL},
        {"1", "A://:65534", NULL, "listeners: A begins at port 65534: "},
        {"1", "A://:9092,B://:9095", NULL, NULL},
        {"1", "A://:9092,B://:9094", NULL, "listeners: A takes the ports 9092 to 9094 and B takes 9094 to 9096, "},
        {"1", "A://:9092,B://:9090", NULL, "listeners: A takes the ports 9092 to 9094 and B takes 9090 to 9092, "},
        {"1", "A://:9092,B://:9089", NULL, NULL},
        {"1", "A://10.0.0.1:9092,B://10.0.0.2:9093", NULL, NULL},
        {"1", "A://box:9092,B://BOX:9093", NULL, "listeners: A takes"},
        {"1", "A://0.0.0.0:9092,B://10.0.0.2:9093", NULL, "listeners: A takes"},
        {"1", "A://:0,B://:0", NULL, NULL},
        {"1", "A://:0,B://:2", NULL, NULL},
        {"1", "A://:9092,B://:9192", "A://box:65533,B://box:9092", NULL},
        {"1", "A://:9092,B://:9192", "A://box:65535", "advertised.listeners: A begins at port 65535: "},
        {"1", "A://:9092,B://:9192", "A://box:9092,B://box:9093", "advertised.listeners: A takes"},
        {"1", "A://:9092,B://:9192", "A://box:9092,B://inside:9093", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *pairs[] = {"node.id", cases[i].id, "listeners", cases[i].listeners, MAP, PER_CORE,
                               NULL,      NULL,        NULL};
        if (cases[i].advertised) {
            pairs[8] = "advertised.listeners";
            pairs[9] = cases[i].advertised;
        }
        bool good = begin(SHARDS, pairs);
        assert_int_equal(good, cases[i].fault == NULL);
        if (!good)
            assert_memory_equal(w.why, cases[i].fault, strlen(cases[i].fault));
        pairs[7] = "false"; /* on one port all of them are possible */
        assert_true(begin(SHARDS, pairs));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(on_one_port_one_node_has_everything, teardown),
        cmocka_unit_test_teardown(with_a_node_for_each_core_its_shard_leads, teardown),
        cmocka_unit_test_teardown(each_node_tells_of_its_own, teardown),
        cmocka_unit_test_teardown(a_key_is_coordinated_where_its_partition_is, teardown),
        cmocka_unit_test_teardown(ports_are_those_that_were_opened, teardown),
        cmocka_unit_test_teardown(advertised_ports_count_up, teardown),
        cmocka_unit_test_teardown(only_ids_of_nodes_are_found, teardown),
        cmocka_unit_test_teardown(ids_and_addresses_are_each_nodes_own, teardown),
        cmocka_unit_test_teardown(one_core_is_a_single_broker, teardown),
        cmocka_unit_test_teardown(what_does_not_fit_is_refused, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
