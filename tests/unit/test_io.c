/* The engines: sockets, jobs, wakes, and how one is chosen. Every case runs over each: io_uring with all features, io_uring
 * with none, epoll. The disk ops are in test_io_disk.c. */
#include "core/threads.h"
#include "tests/unit/io_world.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- sockets --- */

struct pair {
    struct io_file listener, server;
    int client;
};

static void pair_open(struct world *w, struct pair *p)
{
    uint16_t port;
    int fd;
    assert_int_equal(io_listen("127.0.0.1", 0, false, "reno", &fd, &port), ERR_NONE);
    io_file_init(&p->listener, fd);
    struct call accept = {0};
    io_accept(w->io, &accept.op, &p->listener, called);
    assert_int_equal(accept.count, 0);
    run_for(w->io, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    p->client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(p->client, (struct sockaddr *)&to, sizeof to), 0);
    int32_t accepted = finish(w->io, &accept);
    assert_true(accepted >= 0);
    io_file_init(&p->server, accepted);
    io_file_attach(w->io, &p->server);
}

static void pair_close(struct world *w, struct pair *p)
{
    io_close(w->io, &p->server);
    io_close(w->io, &p->listener);
    close(p->client);
}

static void accepts_a_socket_with_nodelay_and_congestion_control(struct world *w)
{
    struct pair p;
    int on = 0;
    char name[16] = "";
    socklen_t bytes = sizeof on, name_bytes = sizeof name;
    pair_open(w, &p);
    assert_int_equal(getsockopt(p.server.fd, IPPROTO_TCP, TCP_NODELAY, &on, &bytes), 0);
    assert_int_not_equal(on, 0);
    assert_int_equal(getsockopt(p.server.fd, IPPROTO_TCP, TCP_CONGESTION, name, &name_bytes), 0);
    assert_string_equal(name, "reno"); /* every kernel has it, and lets everybody have it */
    struct io_names names;
    assert_int_equal(io_socket_names(p.server.fd, &names), ERR_NONE);
    assert_string_equal(names.peer, "127.0.0.1");
    assert_string_equal(names.local, "127.0.0.1");
    assert_true(names.peer_port != 0 && names.local_port != 0 && names.peer_port != names.local_port);
    pair_close(w, &p);
}

static void receives_what_was_sent_before_and_after_the_op(struct world *w)
{
    struct pair p;
    struct call c = {0};
    char text[16];
    pair_open(w, &p);
    for (int round = 0; round < 50; round++) {
        bool before = round % 2;
        if (before)
            assert_int_equal(write(p.client, "hello", 5), 5);
        io_recv(w->io, &c.op, &p.server, text, sizeof text, called);
        assert_int_equal(c.count, 0);
        if (!before) {
            io_run(w->io, 0);
            assert_int_equal(c.count, 0);
            assert_int_equal(write(p.client, "hello", 5), 5);
        }
        assert_int_equal(finish(w->io, &c), 5);
        assert_memory_equal(text, "hello", 5);
    }
    pair_close(w, &p);
}

static void receives_the_rest_in_further_ops(struct world *w)
{
    struct pair p;
    struct call c = {0};
    char text[4];
    pair_open(w, &p);
    assert_int_equal(write(p.client, "0123456789", 10), 10);
    close(p.client);
    for (int i = 0; i < 3; i++) {
        io_recv(w->io, &c.op, &p.server, text, sizeof text, called);
        assert_int_equal(finish(w->io, &c), i < 2 ? 4 : 2);
        assert_int_equal(text[0], '0' + 4 * i);
    }
    io_recv(w->io, &c.op, &p.server, text, sizeof text, called);
    assert_int_equal(finish(w->io, &c), 0);
    p.client = socket(AF_INET, SOCK_STREAM, 0);
    pair_close(w, &p);
}

static void pooled_receive_holds_a_buffer_only_when_there_is_data(struct world *w)
{
    enum { PAIRS = RECV_COUNT * 3 };
    struct pair p[PAIRS];
    struct call c[PAIRS] = {0};
    for (int i = 0; i < PAIRS; i++) {
        pair_open(w, &p[i]);
        io_recv_pooled(w->io, &c[i].op, &p[i].server, called);
    }
    run_for(w->io, 20 * NS_PER_MS);
    assert_int_equal(write(p[PAIRS - 1].client, "last", 4), 4);
    assert_int_equal(finish(w->io, &c[PAIRS - 1]), 4);
    assert_memory_equal(c[PAIRS - 1].op.buf.at, "last", 4);
    io_recv_put(w->io, c[PAIRS - 1].op.buf.at);
    for (int i = 0; i < PAIRS - 1; i++) {
        assert_int_equal(c[i].count, 0);
        assert_int_equal(write(p[i].client, &i, sizeof i), sizeof i);
        assert_int_equal(finish(w->io, &c[i]), sizeof i);
        assert_memory_equal(c[i].op.buf.at, &i, sizeof i);
        io_recv_put(w->io, c[i].op.buf.at);
        assert_true(c[i].op.buf.at != NULL);
    }
    for (int i = 0; i < PAIRS; i++)
        pair_close(w, &p[i]);
}

/* Not each of all in turn: what was just read from is still in the cache. */
static void receives_one_after_the_other_share_few_buffers(struct world *w)
{
    struct pair p;
    struct call c = {0};
    const void *seen[RECV_COUNT];
    uint32_t count = 0;
    pair_open(w, &p);
    for (int round = 0; round < 4 * RECV_COUNT; round++) {
        io_recv_pooled(w->io, &c.op, &p.server, called);
        assert_int_equal(write(p.client, "once", 4), 4);
        assert_int_equal(finish(w->io, &c), 4);
        uint32_t i = 0;
        while (i < count && seen[i] != c.op.buf.at)
            i++;
        if (i == count)
            seen[count++] = c.op.buf.at;
        io_recv_put(w->io, c.op.buf.at);
    }
    assert_in_range(count, 1, RECV_COUNT / 2 + 1);
    pair_close(w, &p);
}

static void pool_exhaustion_waits_and_recovers(struct world *w)
{
    enum { PAIRS = RECV_COUNT * 2 };
    struct pair p[PAIRS];
    struct call c[PAIRS] = {0};
    uint32_t ready = 0;
    for (int i = 0; i < PAIRS; i++) {
        pair_open(w, &p[i]);
        io_recv_pooled(w->io, &c[i].op, &p[i].server, called);
        assert_int_equal(write(p[i].client, &i, sizeof i), sizeof i);
    }
    run_for(w->io, 50 * NS_PER_MS);
    for (int i = 0; i < PAIRS; i++)
        ready += c[i].count;
    assert_int_equal(ready, RECV_COUNT);
    for (int done = 0; done < PAIRS;) {
        run_for(w->io, 0);
        for (int i = 0; i < PAIRS; i++) {
            if (c[i].count == 0)
                continue;
            assert_int_equal(c[i].count, 1);
            assert_int_equal(c[i].res, sizeof i);
            assert_memory_equal(c[i].op.buf.at, &i, sizeof i);
            io_recv_put(w->io, c[i].op.buf.at);
            c[i].count = 0;
            done++;
        }
    }
    for (int i = 0; i < PAIRS; i++)
        pair_close(w, &p[i]);
}

static void shutdown_finishes_a_receive_that_waits_for_a_buffer(struct world *w)
{
    enum { PAIRS = RECV_COUNT + 1 };
    struct pair p[PAIRS];
    struct call c[PAIRS] = {0};
    for (int i = 0; i < PAIRS; i++) {
        pair_open(w, &p[i]);
        io_recv_pooled(w->io, &c[i].op, &p[i].server, called);
        assert_int_equal(write(p[i].client, &i, sizeof i), sizeof i);
        run_for(w->io, 10 * NS_PER_MS);
    }
    assert_int_equal(c[PAIRS - 1].count, 0);
    io_shutdown(&p[PAIRS - 1].server);
    assert_true(finish(w->io, &c[PAIRS - 1]) <= 0);
    for (int i = 0; i < PAIRS; i++) {
        if (i < PAIRS - 1)
            io_recv_put(w->io, c[i].op.buf.at);
        pair_close(w, &p[i]);
    }
}

static void sends_many_pieces_through_short_sends(struct world *w)
{
    enum { PIECES = 3000, PIECE_BYTES = 1001 };
    static uint8_t bytes[PIECES * PIECE_BYTES], seen[sizeof bytes];
    static struct iovec iov[PIECES];
    struct pair p;
    struct call c = {0};
    size_t sent = 0, got = 0;
    pair_open(w, &p);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 4096);
    int small = 8192;
    setsockopt(p.server.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    assert_int_equal(fcntl(p.client, F_SETFL, O_NONBLOCK), 0);
    bool pending = false;
    while (got < sizeof bytes) {
        if (!pending && sent < sizeof bytes) {
            uint32_t n = 0;
            for (size_t at = sent; at < sizeof bytes && n < PIECES; n++) {
                size_t piece = PIECE_BYTES - at % PIECE_BYTES;
                iov[n] = (struct iovec){.iov_base = bytes + at, .iov_len = piece};
                at += piece;
            }
            io_send(w->io, &c.op, &p.server, iov, n, called);
            pending = true;
        }
        io_run(w->io, NS_PER_MS);
        if (c.count) {
            assert_true(c.res > 0);
            sent += (size_t)c.res;
            c.count = 0;
            pending = false;
        }
        ssize_t n = read(p.client, seen + got, sizeof seen - got);
        if (n > 0)
            got += (size_t)n;
    }
    if (pending)
        until(w->io, &c, 1);
    assert_memory_equal(bytes, seen, sizeof bytes);
    pair_close(w, &p);
}

static void shutdown_finishes_pending_ops(struct world *w)
{
    static uint8_t block[1 << 20];
    struct pair p;
    struct call recv = {0}, send = {0}, accept = {0};
    char text[8];
    struct iovec iov[4];
    for (int i = 0; i < 4; i++)
        iov[i] = (struct iovec){.iov_base = block, .iov_len = sizeof block};
    for (int pooled = 0; pooled < 2; pooled++) {
        pair_open(w, &p);
        if (pooled)
            io_recv_pooled(w->io, &recv.op, &p.server, called);
        else
            io_recv(w->io, &recv.op, &p.server, text, sizeof text, called);
        io_accept(w->io, &accept.op, &p.listener, called);
        int32_t sent;
        do { /* until the socket is full, so that a send is pending */
            io_send(w->io, &send.op, &p.server, iov, 4, called);
            run_for(w->io, 20 * NS_PER_MS);
            sent = (int32_t)send.count;
            send.count = 0;
        } while (sent);
        assert_int_equal(recv.count + accept.count, 0);
        io_shutdown(&p.server);
        io_shutdown(&p.listener);
        assert_true(finish(w->io, &recv) <= 0);
        (void)finish(w->io, &send);
        assert_true(finish(w->io, &accept) < 0);
        pair_close(w, &p);
    }
}

static void send_to_a_gone_peer_is_an_error(struct world *w)
{
    struct pair p;
    struct call c = {0};
    struct iovec iov = {.iov_base = (void *)"x", .iov_len = 1};
    pair_open(w, &p);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(p.client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(p.client);
    p.client = socket(AF_INET, SOCK_STREAM, 0);
    usleep(10000);
    int32_t res = 1;
    for (int i = 0; i < 3 && res >= 0; i++) {
        io_send(w->io, &c.op, &p.server, &iov, 1, called);
        res = finish(w->io, &c);
    }
    assert_true(res == -EPIPE || res == -ECONNRESET);
    pair_close(w, &p);
}

static void a_socket_that_somebody_made_non_blocking_works_too(struct world *w)
{
    struct pair p;
    struct call c = {0};
    char text[8];
    for (int i = 0; i < 4; i++) {
        pair_open(w, &p);
        assert_int_equal(fcntl(p.server.fd, F_SETFL, O_NONBLOCK), 0);
        if (i % 2) /* a slot remembers the mode */
            io_file_detach(w->io, &p.server);
        io_file_attach(w->io, &p.server);
        if (i / 2)
            io_recv_pooled(w->io, &c.op, &p.server, called);
        else
            io_recv(w->io, &c.op, &p.server, text, sizeof text, called);
        run_for(w->io, 10 * NS_PER_MS);
        assert_int_equal(c.count, 0);
        assert_int_equal(write(p.client, "hello", 5), 5);
        assert_int_equal(finish(w->io, &c), 5);
        if (i / 2)
            io_recv_put(w->io, c.op.buf.at);
        pair_close(w, &p);
    }
}

static void many_turns_of_echo_on_one_number_after_another(struct world *w)
{
    struct call c = {0}, s = {0};
    for (int i = 0; i < 200; i++) { /* descriptors are used again at once: nothing of the old one may stick */
        struct pair p;
        pair_open(w, &p);
        io_recv_pooled(w->io, &c.op, &p.server, called);
        assert_int_equal(write(p.client, &i, sizeof i), sizeof i);
        assert_int_equal(finish(w->io, &c), sizeof i);
        struct iovec iov = {.iov_base = c.op.buf.at, .iov_len = sizeof i};
        io_send(w->io, &s.op, &p.server, &iov, 1, called);
        assert_int_equal(finish(w->io, &s), sizeof i);
        io_recv_put(w->io, iov.iov_base);
        int back = -1;
        assert_int_equal(read(p.client, &back, sizeof back), sizeof back);
        assert_int_equal(back, i);
        pair_close(w, &p);
    }
}

/* --- jobs and wakes --- */

static uint32_t job_next;

static int32_t job(void *arg)
{
    return job_next++ == (uint32_t)(uintptr_t)arg ? (int32_t)(uintptr_t)arg : -1;
}

static void jobs_run_in_order(struct world *w)
{
    enum { JOBS = 3000 };
    static struct call c[JOBS];
    for (int class = 0; class < IO_CLASSES; class ++) {
        memset(c, 0, sizeof c);
        job_next = 0;
        for (uint32_t i = 0; i < JOBS; i++)
            io_job(w->io, &c[i].op, (enum io_class) class, job, (void *)(uintptr_t)i, called);
        assert_int_equal(c[0].count, 0);
        for (uint32_t i = 0; i < JOBS; i++)
            assert_int_equal(finish(w->io, &c[i]), i);
    }
}

static _Atomic bool urgent_is_over;

/* Answers whether an urgent job has run meanwhile: were it behind this one, it could not. */
static int32_t long_job(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000 && !urgent_is_over; i++)
        usleep(1000);
    return urgent_is_over;
}

static int32_t urgent_job(void *arg)
{
    (void)arg;
    urgent_is_over = true;
    return 3;
}

static void the_background_stands_before_no_urgent_job(struct world *w)
{
    struct call background[2] = {0}, urgent = {0};
    urgent_is_over = false;
    for (int i = 0; i < 2; i++)
        io_job(w->io, &background[i].op, IO_BACKGROUND, long_job, NULL, called);
    run_for(w->io, NS_PER_MS);
    io_job(w->io, &urgent.op, IO_URGENT, urgent_job, NULL, called);
    assert_int_equal(finish(w->io, &urgent), 3);
    for (int i = 0; i < 2; i++)
        assert_int_equal(finish(w->io, &background[i]), 1);
}

static int32_t slow_job(void *arg)
{
    (void)arg;
    usleep(30000);
    return 7;
}

static void a_job_wakes_the_loop(struct world *w)
{
    struct call c = {0};
    io_job(w->io, &c.op, IO_URGENT, slow_job, NULL, called);
    while (c.count == 0)
        io_run(w->io, UINT64_MAX); /* a lost completion hangs here */
    assert_int_equal(c.res, 7);
}

static void wake_soon(void *arg)
{
    usleep(20000);
    io_wake_external(arg);
}

static void an_external_wake_returns_from_run(struct world *w)
{
    for (int i = 0; i < 5; i++) {
        struct thread *t;
        run_for(w->io, 0);
        assert_int_equal(thread_start("waker", -1, wake_soon, w->io, &t), ERR_NONE);
        uint64_t begin = clock_now_ns();
        io_run(w->io, 10 * NS_PER_S);
        assert_true(clock_now_ns() - begin < 5 * NS_PER_S);
        thread_join(t);
    }
}

static void a_wake_before_the_wait_is_not_lost(struct world *w)
{
    for (int i = 0; i < 100; i++) {
        run_for(w->io, 0);
        io_wake_external(w->io);
        uint64_t begin = clock_now_ns();
        io_run(w->io, 10 * NS_PER_S);
        assert_true(clock_now_ns() - begin < 5 * NS_PER_S);
    }
}

static void a_wait_ends_in_time(struct world *w)
{
    run_for(w->io, 0);
    uint64_t begin = clock_now_ns();
    io_run(w->io, 20 * NS_PER_MS);
    uint64_t took = clock_now_ns() - begin;
    assert_true(took >= 15 * NS_PER_MS && took < 5 * NS_PER_S);
}

struct sleeper {
    const struct variant *variant;
    _Atomic(struct io *) io;
    _Atomic bool awake, leave;
};

static void sleep_in_run(void *arg)
{
    struct sleeper *s = arg;
    struct world w;
    assert_true(world_open(&w, s->variant));
    run_for(w.io, 0);
    atomic_store(&s->io, w.io);
    io_run(w.io, 10 * NS_PER_S);
    atomic_store(&s->awake, true);
    while (!atomic_load(&s->leave))
        usleep(1000);
    world_close(&w);
}

static void one_engine_wakes_another(struct world *w)
{
    struct sleeper s = {.variant = current};
    struct thread *t;
    assert_int_equal(thread_start("sleeper", -1, sleep_in_run, &s, &t), ERR_NONE);
    while (!atomic_load(&s.io))
        usleep(1000);
    usleep(20000);
    uint64_t begin = clock_now_ns();
    io_wake(w->io, atomic_load(&s.io));
    while (!atomic_load(&s.awake))
        io_run(w->io, NS_PER_MS);
    assert_true(clock_now_ns() - begin < 5 * NS_PER_S);
    atomic_store(&s.leave, true);
    thread_join(t);
}

static struct io *again_io;
static uint32_t again_count;

static int32_t nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void start_again(struct io_op *op, int32_t res)
{
    (void)res;
    if (++again_count < 1000)
        io_job(again_io, op, IO_URGENT, nothing, NULL, start_again);
}

static void done_may_start_the_op_again(struct world *w)
{
    struct io_op op;
    again_io = w->io;
    again_count = 0;
    io_job(w->io, &op, IO_URGENT, nothing, NULL, start_again);
    while (again_count < 1000)
        io_run(w->io, NS_PER_S);
}

static void closing_gives_up_what_is_pending(struct world *w)
{
    struct pair p;
    static struct call c[2];
    static char text[8];
    memset(c, 0, sizeof c);
    pair_open(w, &p);
    io_recv(w->io, &c[0].op, &p.server, text, sizeof text, called);
    io_accept(w->io, &c[1].op, &p.listener, called);
    run_for(w->io, 0);
    io_close_engine(w->io);
    assert_int_equal(c[0].count + c[1].count, 0);
    close(p.server.fd);
    close(p.listener.fd);
    close(p.client);
    heap_close(w->heap);
    assert_true(world_open(w, current));
}

static const struct io_case cases[] = {
    CASE(accepts_a_socket_with_nodelay_and_congestion_control),
    CASE(receives_what_was_sent_before_and_after_the_op),
    CASE(receives_the_rest_in_further_ops),
    CASE(pooled_receive_holds_a_buffer_only_when_there_is_data),
    CASE(receives_one_after_the_other_share_few_buffers),
    CASE(pool_exhaustion_waits_and_recovers),
    CASE(shutdown_finishes_a_receive_that_waits_for_a_buffer),
    CASE(sends_many_pieces_through_short_sends),
    CASE(shutdown_finishes_pending_ops),
    CASE(send_to_a_gone_peer_is_an_error),
    CASE(a_socket_that_somebody_made_non_blocking_works_too),
    CASE(many_turns_of_echo_on_one_number_after_another),
    CASE(jobs_run_in_order),
    CASE(the_background_stands_before_no_urgent_job),
    CASE(a_job_wakes_the_loop),
    CASE(an_external_wake_returns_from_run),
    CASE(a_wake_before_the_wait_is_not_lost),
    CASE(a_wait_ends_in_time),
    CASE(one_engine_wakes_another),
    CASE(done_may_start_the_op_again),
    CASE(closing_gives_up_what_is_pending),
};

ON_EVERY_VARIANT(cases)

/* --- what needs no engine --- */

static void addresses_resolve_and_listen(void **state)
{
    (void)state;
    char names[4][IO_NAME_MAX];
    assert_int_equal(io_resolve("localhost", names, 4), 2);
    assert_string_equal(names[0], "127.0.0.1");
    assert_string_equal(names[1], "::1");
    assert_int_equal(io_resolve("", names, 4), 2);
    assert_string_equal(names[1], "::");
    assert_int_equal(io_resolve("::ffff:10.1.2.3", names, 4), 1);
    assert_string_equal(names[0], "10.1.2.3");
    assert_true(io_is_address("10.1.2.3"));
    assert_true(io_is_address("2001:db8::1"));
    assert_false(io_is_address("10.1.2"));
    assert_false(io_is_address("localhost"));
    assert_false(io_is_address(""));
    assert_int_equal(io_resolve("localhost", names, 1), 1);
    int a, b, c;
    uint16_t port, same;
    assert_int_equal(io_listen("127.0.0.1", 0, false, NULL, &a, &port), ERR_NONE);
    assert_true(port != 0);
    assert_int_equal(io_listen("127.0.0.1", port, false, NULL, &b, &same), ERR_BUSY);
    assert_int_equal(io_listen("127.0.0.1", port, true, NULL, &b, &same), ERR_BUSY);
    enum err err = io_listen("::1", port, false, NULL, &b, &same);
    if (!err) {
        assert_int_equal(same, port);
        close(b);
    }
    close(a);
    assert_int_equal(io_listen("127.0.0.1", port, true, NULL, &b, &same), ERR_NONE);
    assert_int_equal(io_listen("127.0.0.1", port, true, NULL, &c, &same), ERR_NONE);
    close(b);
    close(c);
    assert_int_equal(io_listen("nonsense", 0, false, NULL, &a, &port), ERR_INVALID);
}

static void feature_names_parse(void **state)
{
    (void)state;
    uint32_t bits = 77;
    assert_int_equal(io_features_parse("defer,pbuf", &bits), ERR_NONE);
    assert_int_equal(bits, IO_FEATURE_DEFER | IO_FEATURE_PBUF);
    assert_int_equal(io_features_parse("none", &bits), ERR_NONE);
    assert_int_equal(bits, 0);
    assert_int_equal(io_features_parse("all", &bits), ERR_NONE);
    assert_int_equal(bits, IO_FEATURE_ALL);
    static const char *const bad[] = {"", "defer,", "pbuff", ",", "defer pbuf"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        bits = 77;
        assert_int_equal(io_features_parse(bad[i], &bits), ERR_INVALID);
        assert_int_equal(bits, 77);
    }
}

/* --- choosing an engine --- */

/* Makes io_uring_setup fail from here on, as a container's seccomp profile does. */
static bool deny_io_uring(int with)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)with),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = COUNT_OF(code), .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* In a child, because a denial cannot be taken back. Its exit code: 0 as expected, 77 no seccomp, else a fault. */
static int open_denied(int with, const char *expected)
{
    struct io_options options = {.features = IO_FEATURE_ALL, .recv_bytes = RECV_BYTES, .recv_count = RECV_COUNT};
    struct heap *heap = heap_open();
    struct io *io;
    char why[256] = "";
    if (!deny_io_uring(with))
        return 77;
    if (io_open(options, heap, &io, why) != ERR_NONE || strcmp(io_engine_name(io), "epoll") != 0)
        return 1;
    io_close_engine(io);
    if (strcmp(why, expected) != 0)
        return 2;
    why[0] = 0;
    options.engine = IO_ENGINE_IO_URING;
    if (io_open(options, heap, &io, why) != ERR_UNSUPPORTED || strcmp(why, expected) != 0)
        return 3;
    heap_close(heap);
    return 0;
}

static void where_io_uring_is_denied_epoll_comes_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        int with;
        const char *why;
    } denials[] = {
        {EPERM, "io_uring is denied here (EPERM): a container's seccomp profile or kernel.io_uring_disabled"},
        {ENOSYS, "this kernel has no io_uring (ENOSYS)"},
    };
    for (size_t i = 0; i < COUNT_OF(denials); i++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            _exit(open_denied(denials[i].with, denials[i].why));
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            printf("not run: where_io_uring_is_denied_epoll_comes_with_the_reason: no seccomp here\n");
        else
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static void unknown_congestion_control_is_not_found(void **state)
{
    (void)state;
    assert_int_equal(io_check_congestion("reno"), ERR_NONE);
    assert_int_equal(io_check_congestion("no-such-one"), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_resolve_and_listen),
        cmocka_unit_test(unknown_congestion_control_is_not_found),
        cmocka_unit_test(feature_names_parse),
        cmocka_unit_test(where_io_uring_is_denied_epoll_comes_with_the_reason),
        cmocka_unit_test(every_case_holds_on_io_uring),
        cmocka_unit_test(every_case_holds_on_io_uring_without_features),
        cmocka_unit_test(every_case_holds_on_epoll),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
