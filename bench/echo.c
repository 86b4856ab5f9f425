/* The echo floor: an epoll server that reads the frames of the bare dialect (load/proto.h) and answers each with its 64 bytes. It
 * checks nothing, copies nothing and writes nothing: what a round trip over loopback and the receiving of bytes cost without
 * a broker. It prints a line with ` started: ` and `address=` as the broker does, and serves until SIGTERM.
 *
 * A frame is size (4) | correlation (4) | batch. Of a frame only these 8 bytes are looked at; the rest is received and
 * forgotten, in whatever pieces it comes. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/cpu.h"
#include "bench/load/proto.h"
#include "bench/load/wire.h"

enum { HEAD_BYTES = 8, IN_BYTES = 256 << 10, OUT_ANSWERS = IN_BYTES / HEAD_BYTES, EVENTS = 64 };

struct echo_conn {
    int fd;
    uint32_t head_have; /* bytes of the next frame's head; HEAD_BYTES: the head is whole */
    uint32_t left;      /* of this frame, behind its head */
    uint64_t place;     /* bytes of batches before this one, as the bare loop counts them */
    uint8_t head[HEAD_BYTES];
};

static volatile sig_atomic_t stopping;
static uint8_t in[IN_BYTES], out[OUT_ANSWERS * BARE_ACK_BYTES];

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static size_t take_head(struct echo_conn *c, const uint8_t *at, size_t bytes)
{
    size_t n = HEAD_BYTES - c->head_have < bytes ? HEAD_BYTES - c->head_have : bytes;
    memcpy(c->head + c->head_have, at, n);
    c->head_have += (uint32_t)n;
    if (c->head_have == HEAD_BYTES) {
        struct get g = {c->head, c->head + 4, false};
        c->left = get_u32(&g) - 4;
    }
    return n;
}

static void put_answer(struct echo_conn *c, uint8_t *to)
{
    struct get g = {c->head, c->head + 4, false};
    uint32_t batch = get_u32(&g) - 4;
    memset(to, 0, BARE_ACK_BYTES);
    struct put p = {to, to + BARE_ACK_BYTES};
    put_u32(&p, BARE_ACK_BYTES - 4);
    memcpy(p.at, c->head + 4, 4);
    p.at += 4;
    put_u64(&p, c->place);
    c->place += batch;
    c->head_have = 0;
}

/* Answers each frame that ends in these bytes; how many. */
static size_t pass_over(struct echo_conn *c, size_t bytes)
{
    size_t answers = 0;
    for (size_t at = 0; at < bytes;) {
        if (c->head_have < HEAD_BYTES) {
            at += take_head(c, in + at, bytes - at);
            continue;
        }
        size_t n = c->left < bytes - at ? c->left : bytes - at;
        at += n;
        c->left -= (uint32_t)n;
        if (c->left == 0)
            put_answer(c, out + answers++ * BARE_ACK_BYTES);
    }
    return answers;
}

static bool serve_once(struct echo_conn *c)
{
    ssize_t got = recv(c->fd, in, sizeof in, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return false;
    size_t bytes = pass_over(c, (size_t)got) * BARE_ACK_BYTES;
    return bytes == 0 || send(c->fd, out, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

static void accept_one(int poll_fd, int listen_fd)
{
    struct echo_conn *c = calloc(1, sizeof *c);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;
    if (!c || (c->fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) < 0) {
        free(c);
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static int listen_somewhere(uint16_t *out_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        perror("listen");
        exit(1);
    }
    *out_port = ntohs(at.sin_port);
    return fd;
}

static void serve(int poll_fd, int listen_fd)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(poll_fd, events, EVENTS, -1);
    for (int i = 0; i < n; i++) {
        struct echo_conn *c = events[i].data.ptr;
        if (!c) {
            accept_one(poll_fd, listen_fd);
        } else if (!serve_once(c)) {
            close(c->fd);
            free(c);
        }
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct epoll_event e = {.events = EPOLLIN};
    uint16_t port;
    if (argc > 2 || (argc == 2 && !cpu_pin(atoi(argv[1])))) {
        fputs("usage: echo [CPU]\n", stderr);
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int listen_fd = listen_somewhere(&port), poll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listen_fd, &e);
    fprintf(stderr, "echo started: address=localhost:%u engine=epoll\n", port);
    while (!stopping)
        serve(poll_fd, listen_fd);
    return 0;
}
