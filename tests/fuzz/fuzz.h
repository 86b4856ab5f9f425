/* The fuzzers. Each takes any bytes, makes something of them, and asserts what must hold; a failure aborts, and so does the
 * sanitizers' finding. A run begins where the last one began: nothing stays but memory that is used again. */
#pragma once
#include "core/base.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fuzzer {
    const char *name;
    void (*run)(const uint8_t *at, size_t bytes);
    uint32_t input_max; /* longer inputs only cost time */
};
extern const struct fuzzer fuzzers[];
const struct fuzzer *fuzzer_find(const char *name); /* NULL: none; fuzzers[] ends with a NULL name */

void fuzz_wire(const uint8_t *at, size_t bytes);
void fuzz_batches(const uint8_t *at, size_t bytes);
void fuzz_state(const uint8_t *at, size_t bytes);
void fuzz_folder(const uint8_t *at, size_t bytes);
void fuzz_config(const uint8_t *at, size_t bytes);
void fuzz_sequence(const uint8_t *at, size_t bytes);

#define FUZZ_CHECK(ok, ...)                                                  \
    do {                                                                     \
        if (!(ok)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #ok); \
            fprintf(stderr, __VA_ARGS__);                                    \
            fprintf(stderr, "\n");                                           \
            abort();                                                         \
        }                                                                    \
    } while (0)

/* --- decisions, drawn from the input; behind its end all are 0 --- */
struct feed {
    const uint8_t *at, *end;
};
static inline size_t feed_left(const struct feed *f)
{
    return (size_t)(f->end - f->at);
}
static inline uint8_t feed_byte(struct feed *f)
{
    return f->at < f->end ? *f->at++ : 0;
}
static inline uint64_t feed_word(struct feed *f, uint32_t bytes)
{
    uint64_t v = 0;
    while (bytes--)
        v = v << 8 | feed_byte(f);
    return v;
}
static inline uint32_t feed_below(struct feed *f, uint32_t n) /* [0, n) */
{
    return n < 2 ? 0 : (uint32_t)(feed_word(f, n <= 256 ? 1 : n <= 65536 ? 2 : 4) % n);
}
static inline bool feed_chance(struct feed *f, uint32_t in) /* one in; never behind the end */
{
    return feed_left(f) && feed_below(f, in) == in - 1;
}
/* The next bytes where they stand, as many as there are, at most n. */
static inline size_t feed_take(struct feed *f, size_t n, const uint8_t **out_at)
{
    n = n < feed_left(f) ? n : feed_left(f);
    *out_at = f->at;
    f->at += n;
    return n;
}
