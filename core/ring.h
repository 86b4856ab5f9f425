/* Single-producer single-consumer ring of pointers between two shards: two cache lines of indices, no locks.
 * One thread pushes, one pops; both ends may be asked whether it is empty. */
#pragma once
#include "core/base.h"

enum { RING_SLOTS = 1024 };

struct ring {
    _Alignas(64) _Atomic uint32_t head; /* next to pop: written by the consumer */
    _Alignas(64) _Atomic uint32_t tail; /* next to push: written by the producer */
    _Alignas(64) void *slots[RING_SLOTS];
};

void ring_init(struct ring *r);
bool ring_push(struct ring *r, void *item) must_use; /* false: full */
void *ring_pop(struct ring *r);                      /* NULL: empty */
bool ring_empty(const struct ring *r);
/* Asserts that the fields agree; while neither end is used. */
void ring_check(const struct ring *r);
