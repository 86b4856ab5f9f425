/* The synchronous socket calls: listening, names, shutdown. */
#include "core/io.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 };           /* the kernel takes less if net.core.somaxconn says so */
#define LOOPBACK_CONGESTION "reno" /* in every kernel, for everybody */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse_address(const char *text, uint16_t port, union address *out, socklen_t *out_bytes)
{
    assert(text && out && out_bytes);
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        *out_bytes = sizeof out->v4;
        return true;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        *out_bytes = sizeof out->v6;
        return true;
    }
    return false;
}

static void format_address(const union address *a, char *out, uint16_t *out_port)
{
    assert(a && out && out_port);
    static const size_t mapped_prefix_bytes = 12;
    out[0] = 0;
    *out_port = 0;
    if (a->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->v4.sin_addr, out, IO_NAME_MAX);
        *out_port = ntohs(a->v4.sin_port);
    } else if (a->any.sa_family == AF_INET6) {
        if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
            inet_ntop(AF_INET, a->v6.sin6_addr.s6_addr + mapped_prefix_bytes, out, IO_NAME_MAX);
        else
            inet_ntop(AF_INET6, &a->v6.sin6_addr, out, IO_NAME_MAX);
        *out_port = ntohs(a->v6.sin6_port);
    }
}

static bool set_socket_option(int fd, int level, int option)
{
    assert(fd >= 0);
    int one = 1;
    return setsockopt(fd, level, option, &one, sizeof one) == 0;
}

static bool set_congestion(int fd, const char *name)
{
    assert(fd >= 0);
    return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) == 0;
}

/* Only peers on this machine reach it. */
static bool is_loopback(const union address *a)
{
    assert(a->any.sa_family == AF_INET || a->any.sa_family == AF_INET6);
    if (a->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
    return ntohl(a->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* Accepted sockets inherit TCP_NODELAY and TCP_CONGESTION, which saves calls for each. V6ONLY lets both families have the same port. */
static bool prepare_socket(int fd, int family, bool shared, const char *congestion)
{
    assert(family == AF_INET || family == AF_INET6);
    return set_socket_option(fd, SOL_SOCKET, SO_REUSEADDR) && set_socket_option(fd, IPPROTO_TCP, TCP_NODELAY) &&
           (!congestion || set_congestion(fd, congestion)) &&
           (!shared || set_socket_option(fd, SOL_SOCKET, SO_REUSEPORT)) &&
           (family != AF_INET6 || set_socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY));
}

enum err io_check_congestion(const char *name)
{
    assert(name && name[0]);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    bool good = set_congestion(fd, name);
    enum err err = good ? ERR_NONE : errno == EPERM ? ERR_PERMISSION : err_from_errno(errno);
    close(fd);
    return err;
}

static bool read_local_port(int fd, uint16_t *out_port)
{
    assert(fd >= 0);
    union address a;
    socklen_t bytes = sizeof a;
    char name[IO_NAME_MAX];
    if (getsockname(fd, &a.any, &bytes) != 0)
        return false;
    format_address(&a, name, out_port);
    return true;
}

enum err io_listen(const char *address, uint16_t port, bool shared, const char *congestion, int *out_fd,
                   uint16_t *out_port)
{
    assert(address && out_fd && out_port);
    union address a;
    socklen_t bytes;
    if (!parse_address(address, port, &a, &bytes))
        return ERR_INVALID;
    int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    uint16_t real_port;
    if (!congestion && is_loopback(&a))
        congestion = LOOPBACK_CONGESTION;
    if (!prepare_socket(fd, a.any.sa_family, shared, congestion) || bind(fd, &a.any, bytes) != 0 ||
        listen(fd, BACKLOG) != 0 || !read_local_port(fd, &real_port)) {
        enum err err = err_from_errno(errno);
        close(fd);
        return err;
    }
    *out_fd = fd;
    *out_port = real_port;
    return ERR_NONE;
}

enum err io_socket_names(int fd, struct io_names *out_names)
{
    assert(fd >= 0);
    assert(out_names);
    union address local, peer;
    socklen_t local_bytes = sizeof local, peer_bytes = sizeof peer;
    if (getsockname(fd, &local.any, &local_bytes) != 0 || getpeername(fd, &peer.any, &peer_bytes) != 0)
        return errno == ENOTCONN ? ERR_CLOSED : err_from_errno(errno);
    struct io_names names;
    format_address(&local, names.local, &names.local_port);
    format_address(&peer, names.peer, &names.peer_port);
    *out_names = names;
    return ERR_NONE;
}

static uint32_t put_two_addresses(char (*out)[IO_NAME_MAX], uint32_t max, const char *first, const char *second)
{
    assert(first && second);
    if (max > 0)
        snprintf(out[0], IO_NAME_MAX, "%s", first);
    if (max > 1)
        snprintf(out[1], IO_NAME_MAX, "%s", second);
    return max < 2 ? max : 2;
}

static uint32_t look_up_host(const char *host, char (*out)[IO_NAME_MAX], uint32_t max)
{
    assert(host && max > 0);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found, *a;
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return 0;
    uint32_t count = 0;
    for (a = found; a && count < max; a = a->ai_next) {
        union address address;
        uint16_t port;
        if (a->ai_addrlen > sizeof address)
            continue;
        memcpy(&address, a->ai_addr, a->ai_addrlen);
        format_address(&address, out[count], &port);
        count += out[count][0] != 0;
    }
    freeaddrinfo(found);
    return count;
}

bool io_is_address(const char *text)
{
    assert(text);
    union address a;
    socklen_t bytes;
    return parse_address(text, 0, &a, &bytes);
}

uint32_t io_resolve(const char *host, char (*out_addresses)[IO_NAME_MAX], uint32_t max)
{
    assert(host && out_addresses);
    union address a;
    socklen_t bytes;
    if (max == 0)
        return 0;
    if (host[0] == 0 || strcmp(host, "::") == 0) /* as in Java, "::" takes IPv4 as well */
        return put_two_addresses(out_addresses, max, "0.0.0.0", "::");
    /* Not left to the resolver: many hosts files know only one of the two, and clients try either first. */
    if (strcasecmp(host, "localhost") == 0)
        return put_two_addresses(out_addresses, max, "127.0.0.1", "::1");
    if (parse_address(host, 0, &a, &bytes)) {
        uint16_t port;
        format_address(&a, out_addresses[0], &port);
        return 1;
    }
    return look_up_host(host, out_addresses, max);
}

void io_shutdown(struct io_file *f)
{
    assert(f->fd >= 0);
    assert(f->fd >= 0);
    (void)shutdown(f->fd, SHUT_RDWR); /* ENOTCONN: the peer was faster */
}
