/* Memory that nobody may touch for now. AddressSanitizer knows which blocks malloc has given out; of pools it has to be told.
 * In every other build these do nothing. */
#pragma once
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif
#include <assert.h>
#include <stddef.h>

static inline void memory_poison(const void *at, size_t bytes)
{
    assert(at || bytes == 0);
    ASAN_POISON_MEMORY_REGION(at, bytes);
}
static inline void memory_unpoison(const void *at, size_t bytes)
{
    assert(at || bytes == 0);
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
}
