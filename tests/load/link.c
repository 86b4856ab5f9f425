/* Sockets of the load program; see link.h. */
#include "tests/load/link.h"
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALL_MS = 10000, PULL_BYTES = 256 * 1024 };

static int dial(const struct addrinfo *a)
{
    int on = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* only speed is at stake */
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return fd;
    close(fd);
    return -1;
}

bool link_open(struct link *l, const char *address)
{
    char host[128];
    const char *colon = strrchr(address, ':');
    struct addrinfo want = {.ai_socktype = SOCK_STREAM}, *list;
    assert(colon);
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    *l = (struct link){.fd = -1};
    if (getaddrinfo(host, colon + 1, &want, &list))
        return false;
    for (struct addrinfo *a = list; a && l->fd < 0; a = a->ai_next)
        l->fd = dial(a);
    freeaddrinfo(list);
    return l->fd >= 0;
}

void link_close(struct link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    wbuf_free(&l->out);
    wbuf_free(&l->in);
    *l = (struct link){.fd = -1};
}

void link_queue(struct link *l, const struct wbuf *frame)
{
    wbuf_put(&l->out, frame->at, frame->len);
}

bool link_push(struct link *l)
{
    while (l->fd >= 0 && l->sent < l->out.len) {
        ssize_t n = send(l->fd, l->out.at + l->sent, l->out.len - l->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0)
            return link_close(l), false;
        l->sent += (size_t)n;
    }
    l->sent = l->out.len = 0;
    return l->fd >= 0;
}

bool link_pull(struct link *l)
{
    wbuf_drop(&l->in, l->taken);
    l->taken = 0;
    wbuf_room(&l->in, PULL_BYTES);
    ssize_t n = recv(l->fd, l->in.at + l->in.len, l->in.cap - l->in.len, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0)
        return link_close(l), false;
    l->in.len += (size_t)n;
    return true;
}

bool link_frame(struct link *l, struct rcur *out)
{
    struct rcur c = {l->in.at + l->taken, l->in.at + l->in.len, false};
    uint64_t n = rcur_uint(&c, 4);
    if (c.bad || (uint64_t)(c.end - c.at) < n)
        return false;
    l->taken += 4 + n;
    *out = (struct rcur){c.at, c.at + n, false};
    return true;
}

bool link_call(struct link *l, const struct wbuf *frame, struct rcur *out)
{
    link_queue(l, frame);
    while (l->fd >= 0) {
        struct pollfd p = {l->fd, POLLIN, 0};
        if (!link_push(l))
            return false;
        if (l->out.len)
            p.events |= POLLOUT;
        if (poll(&p, 1, CALL_MS) <= 0)
            return link_close(l), false;
        if ((p.revents & ~POLLOUT) && !link_pull(l))
            return false;
        if (link_frame(l, out))
            return true;
    }
    return false;
}
