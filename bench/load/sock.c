/* Blocking sockets of the load: see sock.h. */
#include "bench/load/sock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/wire.h"

static int connect_one(const struct addrinfo *info)
{
    int one = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (connect(fd, info->ai_addr, info->ai_addrlen) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

int sock_connect(const char *address, bool quiet)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const char *colon = strrchr(address, ':');
    char host[256];
    int fd = -1;

    if (!colon || (size_t)(colon - address) >= sizeof host)
        return -1;
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = 0;
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
        return -1;
    for (struct addrinfo *i = list; i && fd < 0; i = i->ai_next)
        fd = connect_one(i);
    freeaddrinfo(list);
    if (fd < 0 && !quiet)
        fprintf(stderr, "cannot connect to %s: %s\n", address, strerror(errno));
    return fd;
}

void sock_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

bool sock_send(int fd, const uint8_t *buf, size_t len)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};

    return sock_send_parts(fd, &part, 1);
}

bool sock_send_parts(int fd, struct iovec *parts, int count)
{
    while (count > 0) {
        struct msghdr msg = {.msg_iov = parts, .msg_iovlen = (size_t)count};
        ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        for (; count > 0 && (size_t)sent >= parts->iov_len; parts++, count--)
            sent -= (ssize_t)parts->iov_len;
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
    return true;
}

static bool recv_all(int fd, uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t got = recv(fd, buf, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        buf += got;
        len -= (size_t)got;
    }
    return true;
}

bool sock_recv_frame(int fd, uint8_t *buf, size_t buf_bytes, size_t *out_len)
{
    uint8_t size[4];

    if (!recv_all(fd, size, sizeof size))
        return false;
    struct get g = {size, size + sizeof size, false};
    size_t len = get_u32(&g);

    if (len > buf_bytes || !recv_all(fd, buf, len))
        return false;
    *out_len = len;
    return true;
}
