/* Connections in a world of its own: received in random slices, requests answered in random order, sent in random pieces.
 * Every request arrives whole, none overtakes, replies leave in the order of the requests, all memory comes back. */
#include "tests/unit/conn_world.h"

static uint32_t random_size(void)
{
    static const uint32_t most[] = {4, 40, 1000, 6000, 70000, 300000};
    uint32_t class = (uint32_t)rng_below(&w.rng, 100);
    return (uint32_t)rng_below(&w.rng, most[class < 40   ? 0
                                            : class < 70 ? 1
                                            : class < 85 ? 2
                                            : class < 95 ? 3
                                            : class < 99 ? 4
                                                         : 5]);
}

static void run_stream(uint64_t seed, int32_t requests, uint32_t produce_percent, uint32_t finish_percent)
{
    w.rng.state = seed;
    for (int32_t i = 0; i < requests; i++)
        put_request(rng_below(&w.rng, 100) < produce_percent ? KAPI_produce : KAPI_metadata, i, random_size());
    for (int i = 0;
         i < 400000 && (w.in_at < w.in_bytes || w.running_count || w.send || server_of(&w.shard)->requests.count); i++)
        turn(finish_percent);
    assert_int_equal(w.in_at, w.in_bytes);
    assert_int_equal(w.started, requests);
    assert_false(w.overlapped_wrongly);
    assert_int_equal(check_replies(), requests);
}

static void requests_arrive_whole_and_replies_leave_in_order(void **state)
{
    for (uint32_t seed = 1; seed <= 12; seed++) {
        setup(state);
        run_stream(seed, 400, seed % 4 * 33, seed % 3 * 30 + 10);
        w.gone = true;
        everything_is_back();
        teardown(state);
    }
    setup(state);
}

static void produce_overlaps_up_to_its_bound(void **state)
{
    (void)state;
    for (int32_t i = 0; i < 3 * CONN_REQUESTS_MAX; i++)
        put_request(KAPI_produce, i, 10);
    for (int i = 0; i < 1000; i++)
        turn(0);
    assert_int_equal(w.most, CONN_REQUESTS_MAX);
    assert_int_equal(w.running_count, CONN_REQUESTS_MAX);
    w.gone = true;
    everything_is_back();
}

static void what_runs_is_told_that_nobody_waits(void **state)
{
    (void)state;
    for (int32_t i = 0; i < 3; i++)
        put_request(KAPI_produce, i, 10);
    for (int i = 0; i < 1000; i++)
        turn(0);
    assert_int_equal(w.running_count, 3);
    w.gone = true;
    for (int i = 0; i < 100; i++)
        turn(0);
    assert_int_equal(w.cancelled, 3);
    everything_is_back();
}

static void a_reader_that_never_reads_is_not_read_from(void **state)
{
    (void)state;
    for (int32_t i = 0; i < 1000; i++)
        put_request(KAPI_metadata, i, 5000);
    for (int i = 0; i < 5000; i++) { /* everything but sending */
        receive_some();
        while (w.running_count > 0)
            finish_one();
        turn_end();
    }
    assert_int_equal(w.started, 1); /* its reply waits to be sent */
    assert_true(w.in_at < 3 * POOLED_BYTES + 5000);
    w.gone = true;
    everything_is_back();
}

static void a_peer_that_announces_much_and_sends_little_holds_little(void **state)
{
    (void)state;
    w.config.socket_request_max_bytes = 100 << 20;
    be32_put(w.in, 16 << 20);
    w.in_bytes = 1000;
    for (int i = 0; i < 2000; i++)
        turn(0);
    assert_int_equal(w.in_at, 1000);
    assert_true(bufpool_used_bytes(w.shard.bufs, BUF_RECEIVE) <= FRAME_FIRST_BYTES);
    w.shard.now_ns += (CONN_FRAME_S + 1) * 1000000000ull; /* and not for ever */
    everything_is_back();
    assert_int_equal(server_of(&w.shard)->conns.counters.failed, 1);
}

static bool is_growing(void)
{
    struct list *first = list_first(&server_of(&w.shard)->conns.all);
    return first && container_of(first, struct conn, link)->growing;
}

/* A frame of megabytes is copied in steps as it grows, and arrives whole. */
static void a_growing_frame_is_copied_in_steps(void **state)
{
    (void)state;
    uint32_t growing_turns = 0;
    w.config.socket_request_max_bytes = 100 << 20;
    w.in_one_piece = true;
    put_request(KAPI_produce, 0, 7 << 20);
    for (int i = 0; i < 3000 && w.started == 0; i++) {
        turn(0);
        growing_turns += is_growing();
    }
    assert_int_equal(w.started, 1);
    assert_true(growing_turns >= 3);
    w.gone = true;
    for (int i = 0; i < 100; i++)
        turn(100);
    everything_is_back();
}

static void a_peer_that_leaves_while_its_frame_is_copied_leaves_nothing(void **state)
{
    (void)state;
    w.config.socket_request_max_bytes = 100 << 20;
    w.in_one_piece = true;
    put_request(KAPI_produce, 0, 7 << 20);
    for (int i = 0; i < 3000 && !is_growing(); i++)
        turn(0);
    assert_true(is_growing());
    conn_close(container_of(list_first(&server_of(&w.shard)->conns.all), struct conn, link));
    everything_is_back();
}

static void a_frame_larger_than_the_memory_is_refused_at_once(void **state)
{
    (void)state;
    w.config.socket_request_max_bytes = 100 << 20;
    be32_put(w.in, 100 << 20); /* half of the pool's 64 MiB is for frames */
    w.in_bytes = 1000;
    for (int i = 0; i < 100; i++)
        turn(0);
    assert_int_equal(server_of(&w.shard)->conns.counters.failed, 1);
    everything_is_back();
}

static struct buf *reserve[4096];

static uint32_t take_reserve(void)
{
    uint32_t count = 0;
    while (count < COUNT_OF(reserve) && (reserve[count] = bufpool_get(w.shard.bufs, BUF_RESERVE, 1)))
        count++;
    return count;
}

/* A request that is whole in a pooled receive buffer while too many of those are held, and the copy that it needs is refused. */
static void a_request_that_found_no_memory_starts_later(void **state)
{
    static const int16_t keys[] = {KAPI_metadata, KAPI_produce};
    struct server *sv = server_of(&w.shard);
    (void)state;
    size_t granted = sv->conns.blocks.buf_bytes_max;
    w.in_one_piece = true;
    for (int32_t i = 0; i < 2; i++) {
        uint32_t taken = take_reserve();
        sv->conns.blocks.pooled_count += IO_RECV_COUNT;
        sv->conns.blocks.buf_bytes_max = 4 + HEADER_BYTES + 9;
        put_request(keys[i], i, 10);
        for (int k = 0; k < 200; k++)
            turn(0);
        assert_int_equal(w.started, i);
        assert_true(sv->conns.counters.starved > 0);
        sv->conns.blocks.pooled_count -= IO_RECV_COUNT;
        sv->conns.blocks.buf_bytes_max = granted;
        while (taken > 0)
            buf_put(reserve[--taken]);
        for (int k = 0; k < 200; k++)
            turn(50);
    }
    assert_int_equal(check_replies(), 2);
    w.gone = true;
    everything_is_back();
}

/* A crowd that asked for megabytes is sent to in several turns; who asked for little never waits for it. */
static void large_sends_of_a_turn_are_bounded_and_small_ones_pass(void **state)
{
    (void)state;
    struct conns *cs = &server_of(&w.shard)->conns;
    for (int round = 0; round < 3; round++) {
        int large = 0;
        while (conns_may_send(cs, SEND_SMALL_BYTES + 1))
            large++;
        assert_true(large > 0 && (uint64_t)large * SEND_SMALL_BYTES <= SENDS_BYTES_PER_TURN);
        assert_true(conns_may_send(cs, SEND_SMALL_BYTES));
        assert_false(conns_may_send(cs, SEND_BYTES_MAX));
        turn_end();
        assert_true(conns_may_send(cs, SEND_BYTES_MAX));
        assert_false(conns_may_send(cs, SEND_BYTES_MAX));
        turn_end();
    }
}

static void an_idle_peer_is_closed_but_not_while_we_work(void **state)
{
    (void)state;
    put_request(KAPI_metadata, 0, 10);
    for (int i = 0; i < 100; i++)
        turn(0);
    assert_int_equal(w.running_count, 1);
    w.shard.now_ns += 1200 * 1000000000ull;
    for (int i = 0; i < 10; i++)
        turn(0);
    assert_int_equal(server_of(&w.shard)->conns.count, 1);
    for (int i = 0; i < 100; i++)
        turn(100);
    assert_int_equal(check_replies(), 1);
    w.shard.now_ns += 1300 * 1000000000ull;
    everything_is_back();
    assert_int_equal(server_of(&w.shard)->conns.counters.failed, 0);
}

static void connections_beyond_a_limit_are_refused(void **state)
{
    (void)state;
    struct server *sv = server_of(&w.shard);
    w.config.max_connections = 1; /* setup has opened one */
    conn_open(&sv->conns, 4, &w.listener);
    w.config.max_connections = 10;
    w.config.max_connections_per_ip = 1;
    conn_open(&sv->conns, 5, &w.listener);
    w.config.max_connections_per_ip = 10;
    sv->conns.meter->max_bytes = sv->conns.meter->used_bytes; /* of --memory */
    conn_open(&sv->conns, 6, &w.listener);
    assert_int_equal(sv->conns.counters.refused, 3);
    assert_int_equal(sv->conns.count, 1);
    w.closes = 0;
    w.gone = true;
    everything_is_back();
    assert_int_equal(sv->conns.peers.count, 0);
    assert_int_equal(sv->conns.everywhere, 0);
}

/* Of this process or of the whole machine: connections are accepted again when there are some. */
static void a_lack_of_descriptors_ends(void **state)
{
    (void)state;
    static const int lacks[] = {EMFILE, ENFILE, ENOMEM};
    struct server *sv = server_of(&w.shard);
    assert_int_equal(conns_listen(&sv->conns, 7, &w.listener), ERR_NONE);
    for (size_t i = 0; i < COUNT_OF(lacks); i++) {
        struct io_op *op = w.accept;
        assert_non_null(op);
        w.accept = NULL;
        op->done(op, -lacks[i]);
        assert_null(w.accept); /* not at once */
        for (int turns = 0; turns < 2 * ACCEPT_RETRY_MS && !w.accept; turns++)
            turn_end();
        assert_non_null(w.accept);
    }
    acceptors_stop(&sv->conns);
    w.accept->done(w.accept, -ECANCELED);
    w.closes = 0; /* the listener's */
    w.gone = true;
    everything_is_back();
}

static void nonsense_closes(void **state)
{
    static const char *const sent[] = {"\xff\xff\xff\xff",
                                       "\x7f\xff\xff\xff",
                                       "GET / HTTP/1.0\r\n\r\n",
                                       "\0\0\0\1x",
                                       "\0\0\0\x0a\x01\x01\0\0\0\0\0\0\xff\xff",
                                       "\0\0\0\x0a\0\3\0\x63\0\0\0\0\xff\xff"};
    static const size_t bytes[] = {4, 4, 18, 5, 14, 14};
    for (size_t i = 0; i < COUNT_OF(sent); i++) {
        memcpy(w.in, sent[i], bytes[i]);
        w.in_bytes = bytes[i];
        for (int k = 0; k < 200; k++)
            turn(0);
        assert_int_equal(server_of(&w.shard)->conns.counters.failed, 1);
        everything_is_back();
        teardown(state);
        setup(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_arrive_whole_and_replies_leave_in_order, NULL, teardown),
        cmocka_unit_test_setup_teardown(produce_overlaps_up_to_its_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(what_runs_is_told_that_nobody_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_that_never_reads_is_not_read_from, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_announces_much_and_sends_little_holds_little, setup, teardown),
        cmocka_unit_test_setup_teardown(a_growing_frame_is_copied_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_leaves_while_its_frame_is_copied_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_frame_larger_than_the_memory_is_refused_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_that_found_no_memory_starts_later, setup, teardown),
        cmocka_unit_test_setup_teardown(large_sends_of_a_turn_are_bounded_and_small_ones_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(an_idle_peer_is_closed_but_not_while_we_work, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_beyond_a_limit_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lack_of_descriptors_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_closes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
