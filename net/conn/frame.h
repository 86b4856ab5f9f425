/* Frames: a size of four bytes, big-endian, then that many bytes. Pure functions over what was received. */
#pragma once
#include "net/limits.h"

enum frame_kind {
    FRAME_WHOLE,
    FRAME_PART,     /* more bytes are needed */
    FRAME_NEGATIVE, /* the size is below zero */
    FRAME_TINY,     /* too small for a request's header */
    FRAME_HUGE,     /* larger than socket.request.max.bytes */
    FRAME_TLS,      /* not Kafka at all: a TLS ClientHello, */
    FRAME_HTTP,     /* or an HTTP request */
};
struct frame {
    enum frame_kind kind;
    uint32_t total; /* with its size field: of WHOLE, and of PART once four bytes are there (else 0) */
};

/* What begins at `at`, where `bytes` have come. */
struct frame frame_look(const uint8_t *at, size_t bytes, uint32_t max_bytes);
/* A sentence for the log, NULL for WHOLE and PART. Static. */
const char *frame_complaint(enum frame_kind kind);
/* How much memory a frame of `total` bytes (0: unknown) gets when `have` of them have come: what is there fits, and a peer that
 * announces much and sends little holds little: `ahead` times what has come (FRAME_AHEAD, or FRAME_AHEAD_SHORT). */
uint32_t frame_room(uint32_t total, uint32_t have, uint32_t ahead);
