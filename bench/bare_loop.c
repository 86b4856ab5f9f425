/* The bare loop as a program: see bare/bare.h. It prints a line with ` started: ` and `address=` as the broker does, so that one
 * harness runs both, serves until SIGTERM, then prints what it acknowledged. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bare/bare.h"
#include "bench/load/cpu.h"

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

struct io_uring_sqe *bare_sqe(struct bare *b)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);

    if (!sqe) {
        io_uring_submit(&b->ring);
        sqe = io_uring_get_sqe(&b->ring);
    }
    assert(sqe);
    return sqe;
}

void bare_tag(struct io_uring_sqe *sqe, enum op_kind kind, uint32_t value)
{
    sqe->user_data = (uint64_t)value << 8 | kind;
}

static void listen_again(struct bare *b)
{
    struct io_uring_sqe *sqe = bare_sqe(b);

    io_uring_prep_accept(sqe, b->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    bare_tag(sqe, OP_ACCEPT, 0);
}

static uint16_t listen_on(struct bare *b, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int one = 1;

    b->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(b->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(b->listen_fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(b->listen_fd, 128) != 0 ||
        getsockname(b->listen_fd, (struct sockaddr *)&at, &len) != 0) {
        perror("listen");
        exit(1);
    }
    return ntohs(at.sin_port);
}

static void dispatch(struct bare *b, const struct io_uring_cqe *cqe)
{
    uint32_t value = (uint32_t)(cqe->user_data >> 8);

    switch ((enum op_kind)(cqe->user_data & 0xff)) {
    case OP_ACCEPT:
        if (cqe->res >= 0)
            conn_accepted(b, cqe->res);
        listen_again(b);
        break;
    case OP_RECV: conn_received(b, value, cqe->res, cqe->flags); break;
    case OP_SEND: conn_sent(b, value, cqe->res); break;
    case OP_WRITE:
        if (disk_wave_done(b, value, cqe->res))
            conn_answer(b);
        break;
    }
}

static void turn(struct bare *b)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    unsigned seen = 0;

    int rc = io_uring_submit_and_wait(&b->ring, 1);
    if (rc < 0 && rc != -EINTR) {
        fprintf(stderr, "io_uring: %s\n", strerror(-rc));
        exit(1);
    }
    io_uring_for_each_cqe(&b->ring, head, cqe)
    {
        struct io_uring_cqe copy = *cqe;
        dispatch(b, &copy);
        seen++;
    }
    io_uring_cq_advance(&b->ring, seen);
    if (b->mode == ACK_NONE)
        conn_answer(b);
    else
        disk_wave(b);
}

static bool ring_open(struct bare *b)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
        .cq_entries = 8192,
    };
    int rc = io_uring_queue_init_params(1024, &b->ring, &params);

    if (rc != 0)
        fprintf(stderr, "io_uring: %s\n", strerror(-rc));
    else
        (void)io_uring_register_ring_fd(&b->ring); /* only saves a little */
    return rc == 0;
}

static enum ack_mode mode_named(const char *name)
{
    if (strcmp(name, "none") == 0)
        return ACK_NONE;
    if (strcmp(name, "written") == 0)
        return ACK_WRITTEN;
    if (strcmp(name, "durable") == 0)
        return ACK_DURABLE;
    fprintf(stderr, "--ack is none, written or durable\n");
    exit(2);
}

static void usage(void)
{
    fprintf(stderr,
            "bare_loop [--port N] [--cpu N] [--ack none|written|durable] [--dir DIR] [--file-mb N] [--arena-mb N]\n"
            "          [--frame-kb N (largest frame, a power of two)]\n");
    exit(2);
}

static void options(struct bare *b, int argc, char **argv, const char **dir, uint16_t *port)
{
    static const struct option names[] = {
        {"port", 1, NULL, 'p'},    {"cpu", 1, NULL, 'c'},      {"ack", 1, NULL, 'a'},      {"dir", 1, NULL, 'd'},
        {"file-mb", 1, NULL, 'f'}, {"arena-mb", 1, NULL, 'm'}, {"frame-kb", 1, NULL, 'k'}, {NULL, 0, NULL, 0}};

    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (o == 'p')
            *port = (uint16_t)atoi(optarg);
        else if (o == 'c' && !cpu_pin(atoi(optarg)))
            perror("pin");
        else if (o == 'a')
            b->mode = mode_named(optarg);
        else if (o == 'd')
            *dir = optarg;
        else if (o == 'f')
            b->file_bytes = strtoull(optarg, NULL, 10) << 20;
        else if (o == 'm')
            b->arena_bytes = strtoull(optarg, NULL, 10) << 20;
        else if (o == 'k')
            b->frame_max = (uint32_t)atoi(optarg) << 10;
        else if (o == '?')
            usage();
    }
    /* The receive ring is mapped twice, so its size is a power of two and pages. */
    if (b->frame_max < 4096 || (b->frame_max & (b->frame_max - 1)) != 0)
        usage();
    if (b->arena_bytes == 0 || b->file_bytes == 0 || b->file_bytes % b->arena_bytes != 0)
        usage();
}

static const char *const mode_names[] = {"none", "written", "durable"};

int main(int argc, char **argv)
{
    static struct bare b = {.mode = ACK_WRITTEN, .file_fd = -1};
    struct sigaction action = {.sa_handler = on_signal};
    const char *dir = ".";
    uint16_t port = 0;

    b.file_bytes = 1 << 30;
    b.arena_bytes = 16 << 20;
    b.frame_max = 128 << 10;
    options(&b, argc, argv, &dir, &port);
    /* At least two whole frames, or four usual ones of 64 KiB; more would leave the core's own cache. */
    b.in_bytes = 2 * b.frame_max;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (!ring_open(&b) || !disk_open(&b, dir))
        return 1;
    port = listen_on(&b, port);
    listen_again(&b);
    fprintf(stderr,
            "bare loop started: address=localhost:%u engine=io_uring disk=direct ack=%s fixed=%d arena_mb=%llu\n", port,
            mode_names[b.mode], b.fixed, (unsigned long long)b.arena_bytes >> 20);
    while (!stopping)
        turn(&b);
    fprintf(stderr, "bare loop stopped: acked=%llu bytes=%llu waves=%llu\n", (unsigned long long)b.acked,
            (unsigned long long)b.appended, (unsigned long long)b.waves);
    return 0;
}
