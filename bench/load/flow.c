/* Connections that never block: see flow.h. */
#include "bench/load/flow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/sock.h"
#include "bench/load/wire.h"

enum { FRAME_MAX = 1 << 30 };

bool flow_open(struct flow *f, const char *address)
{
    *f = (struct flow){.fd = sock_connect(address, false)};
    return f->fd >= 0 && fcntl(f->fd, F_SETFL, O_NONBLOCK) == 0;
}

void flow_close(struct flow *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->out);
    free(f->in);
    *f = (struct flow){.fd = -1};
}

static bool grow_to(uint8_t **at, size_t *room, size_t want)
{
    if (want <= *room)
        return true;
    size_t more = want + want / 2;
    uint8_t *grown = realloc(*at, more);
    if (!grown)
        return false;
    *at = grown;
    *room = more;
    return true;
}

/* What follows the first `sent` bytes of the parts waits in `out`. */
static bool keep_rest(struct flow *f, const struct iovec *parts, int count, size_t sent)
{
    for (int i = 0; i < count; i++) {
        size_t skip = sent < parts[i].iov_len ? sent : parts[i].iov_len, rest = parts[i].iov_len - skip;
        sent -= skip;
        if (!grow_to(&f->out, &f->out_room, f->out_end + rest))
            return false;
        if (rest > 0)
            memcpy(f->out + f->out_end, (const uint8_t *)parts[i].iov_base + skip, rest);
        f->out_end += rest;
    }
    return true;
}

bool flow_send(struct flow *f, const struct iovec *parts, int count)
{
    if (f->out_end > f->out_at)
        return keep_rest(f, parts, count, 0);
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
    ssize_t sent = sendmsg(f->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    return keep_rest(f, parts, count, sent > 0 ? (size_t)sent : 0);
}

bool flow_waits(const struct flow *f)
{
    return f->out_end > f->out_at;
}

bool flow_flush(struct flow *f)
{
    while (flow_waits(f)) {
        ssize_t sent = send(f->fd, f->out + f->out_at, f->out_end - f->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        f->out_at += (size_t)sent;
    }
    f->out_at = f->out_end = 0;
    return true;
}

/* Takes the whole frames at `at`; the bytes of one that is not whole are left: *out_left. */
static bool take_frames(const uint8_t *at, size_t bytes, bool (*frame)(void *arg, const uint8_t *at, size_t bytes),
                        void *arg, size_t *out_left)
{
    while (bytes >= 4) {
        struct get g = {at, at + 4, false};
        size_t len = get_u32(&g);
        if (len > FRAME_MAX)
            return false;
        if (bytes - 4 < len)
            break;
        if (!frame(arg, at + 4, len))
            return false;
        at += 4 + len;
        bytes -= 4 + len;
    }
    *out_left = bytes;
    return true;
}

static bool stash(struct flow *f, const uint8_t *at, size_t bytes)
{
    if (!grow_to(&f->in, &f->in_room, f->in_end + bytes))
        return false;
    memcpy(f->in + f->in_end, at, bytes);
    f->in_end += bytes;
    return true;
}

/* A frame that came in pieces is put together in `in`. */
static bool take_received(struct flow *f, const uint8_t *at, size_t bytes,
                          bool (*frame)(void *arg, const uint8_t *at, size_t bytes), void *arg)
{
    size_t left;
    if (f->in_end == 0)
        return take_frames(at, bytes, frame, arg, &left) && (left == 0 || stash(f, at + bytes - left, left));
    if (!stash(f, at, bytes) || !take_frames(f->in, f->in_end, frame, arg, &left))
        return false;
    memmove(f->in, f->in + f->in_end - left, left);
    f->in_end = left;
    return true;
}

bool flow_receive(struct flow *f, uint8_t *scratch, size_t scratch_bytes,
                  bool (*frame)(void *arg, const uint8_t *at, size_t bytes), void *arg)
{
    for (;;) {
        ssize_t got = recv(f->fd, scratch, scratch_bytes, MSG_DONTWAIT);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        if (got == 0 || !take_received(f, scratch, (size_t)got, frame, arg))
            return false;
        if ((size_t)got < scratch_bytes)
            return true;
    }
}
