/* Blocking sockets of the load: connect, send all, receive a frame. */
#ifndef BENCH_LOAD_SOCK_H
#define BENCH_LOAD_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Connects to "host:port" (host localhost or an address) with TCP_NODELAY; tells the reason on stderr and returns -1. */
int sock_connect(const char *address, bool quiet);
void sock_close(int fd); /* -1 is fine */
bool sock_send(int fd, const uint8_t *buf, size_t len);
/* Sends every byte of the parts; changes the array. */
bool sock_send_parts(int fd, struct iovec *parts, int count);
/* Receives one frame and drops its leading size. */
bool sock_recv_frame(int fd, uint8_t *buf, size_t buf_bytes, size_t *out_len);

#endif
