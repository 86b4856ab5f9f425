/* Memory that nobody has touched yet is slow: the kernel clears it when it is touched, and in a young virtual machine the hypervisor has to find it first (2 MiB: 5 to
 * 14 ms). So that no shard's turn pays for the first of it, a thread of low priority touches pieces of memory for their owner, once in its life.
 *
 *   the owner's --start--> asked --the thread--> under way --the thread--> ready, the owner's
 *       ^--------revoke------'
 *
 * A piece that is asked for, or under way, is nobody else's. The thread sleeps until the start, is bound to no processor, and ends when all is done. The
 * simulator has none. */
#pragma once
#include "core/limits.h"

enum { PREFAULT_PIECES_MAX = 8 };
struct prefault;

/* NULL: there is no such thread, and the log says why. */
struct prefault *prefault_open(void);
/* Once: `count` pieces of `bytes` each, whole pages, in this order. What they hold becomes zero. */
void prefault_start(struct prefault *p, void *const *pieces, uint32_t count, size_t bytes);
/* It is the owner's, and in memory. */
bool prefault_ready(const struct prefault *p, uint32_t piece);
/* True: it was not begun, and is the owner's again, cold as it was. */
bool prefault_revoke(struct prefault *p, uint32_t piece) must_use;
/* Waits for a few pages at most. */
void prefault_close(struct prefault *p);

/* Touches each page. Helper threads only: it takes long where the pages are fresh. */
static inline void prefault_pages(void *at, size_t bytes)
{
    assert(bytes % PAGE_BYTES == 0);
    for (size_t i = 0; i < bytes; i += PAGE_BYTES)
        ((volatile uint8_t *)at)[i] = 0;
}
