/* The bare loop: what a produce path cannot avoid, and nothing else. One pinned thread and one ring receive framed batches
 * over loopback TCP, check their CRC-32C, copy them into an aligned arena, write the arena to a preallocated file with
 * O_DIRECT and registered buffers, and answer each batch with 64 bytes. No Kafka, no topics, no offsets, no recovery. It is
 * the floor that the broker is measured against.
 *
 * Writes go in waves as the broker's do: everything copied since the last wave started goes out together when that one
 * has ended, in pieces of at most PIECE_BYTES, from the 4 KiB block that holds the last wave's end.
 *
 *   file position:   written            wave_end        appended
 *   ... on disk ------|--- in flight ----|--- next wave ---|
 * Position modulo arena size is the place in the arena, modulo file size the place in the file; the file is written round and
 * round, and zeroed beforehand, so that no write needs the file system's journal.
 *
 * Invariants: written <= wave_end <= appended; appended - (written rounded down to a block) <= arena_bytes; the file is a
 * multiple of the arena, the arena of PIECE_BYTES. */
#ifndef BENCH_BARE_BARE_H
#define BENCH_BARE_BARE_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CONNS_MAX = 256,
    /* Answers that wait for a wave, all connections together. */
    ACKS_MAX = 1 << 14,
    OUT_BYTES = 64 << 10,
    BLOCK_BYTES = 4096,
    PIECE_BYTES = 256 << 10,
};

enum ack_mode { ACK_NONE, ACK_WRITTEN, ACK_DURABLE };

/* The kind of an operation, in the low byte of its user data; the rest is the connection's number or a piece's length. */
enum op_kind { OP_ACCEPT, OP_RECV, OP_SEND, OP_WRITE };

struct bare_conn {
    int fd;
    bool sending;
    bool receiving;
    /* The kernel said that more is waiting: receive at once instead of polling first. */
    bool more;
    /* A frame waits for room in the arena. */
    bool starved;
    /* Received and parsed byte counts; the ring is mapped twice in a row, so a frame is always contiguous. */
    uint64_t in_got;
    uint64_t in_read;
    uint8_t *in;
    /* Answers being sent, and answers being gathered. */
    uint32_t out_len[2];
    unsigned out_at;
    uint8_t out[2][OUT_BYTES];
};

struct bare_ack {
    uint32_t conn;
    uint32_t correlation;
    uint64_t place;
    uint64_t end;
};

struct bare {
    struct io_uring ring;
    enum ack_mode mode;
    int listen_fd;
    int file_fd;
    bool fixed;
    uint32_t frame_max;
    uint32_t in_bytes;
    uint8_t *arena;
    uint64_t arena_bytes;
    uint64_t file_bytes;
    uint64_t appended;
    uint64_t wave_end;
    uint64_t written;
    unsigned pieces;
    /* Answers in order of their ends: [ack_head, ack_tail) modulo ACKS_MAX. */
    uint64_t ack_head;
    uint64_t ack_tail;
    uint64_t acked;
    uint64_t waves;
    struct bare_ack acks[ACKS_MAX];
    /* One past the highest place that was ever used. */
    uint32_t conn_count;
    struct bare_conn *conns[CONNS_MAX];
};

/* disk.c: the arena and its waves. */
bool disk_open(struct bare *b, const char *dir);
/* Copies a batch to the end of the arena, checking its CRC on the way; false when it is wrong. */
bool disk_append(struct bare *b, const uint8_t *batch, uint32_t bytes);
bool disk_has_room(const struct bare *b, uint32_t bytes);
/* Starts the next wave unless one is in flight or nothing is new. */
void disk_wave(struct bare *b);
/* A piece of `len` bytes ended. True when it was the wave's last. A failed or short write ends the program. */
bool disk_wave_done(struct bare *b, uint32_t len, int result);

/* conn.c: connections. */
void conn_accepted(struct bare *b, int fd);
void conn_received(struct bare *b, uint32_t at, int result, unsigned flags);
void conn_sent(struct bare *b, uint32_t at, int result);
/* Answers everything that `written` covers, and goes on with connections that waited for room. */
void conn_answer(struct bare *b);

struct io_uring_sqe *bare_sqe(struct bare *b);
/* To be called after the io_uring_prep function, which clears the user data. */
void bare_tag(struct io_uring_sqe *sqe, enum op_kind kind, uint32_t value);

#endif
