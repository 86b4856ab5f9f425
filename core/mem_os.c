/* The region door: address space without memory behind it, from mmap. Regions that hold whole slabs start at a slab
 * boundary and ask for huge pages, so that faulting in or registering a slab is one page's work. */
#include "core/mem.h"
#include "core/limits.h"
#include <sys/mman.h>
#include <sys/resource.h>

static void *map_pages(size_t bytes)
{
    assert(bytes % PAGE_BYTES == 0);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void unmap_pages(void *at, size_t bytes)
{
    assert(at || bytes == 0);
    if (bytes == 0)
        return;
    int failed = munmap(at, bytes);
    assert(!failed);
}

static void *map_slabs(size_t bytes)
{
    assert(bytes % SLAB_BYTES == 0);
    uint8_t *at = map_pages(bytes + SLAB_BYTES);
    if (!at)
        return NULL;
    uint8_t *start = (uint8_t *)align_up((uintptr_t)at, SLAB_BYTES);
    unmap_pages(at, (size_t)(start - at));
    unmap_pages(start + bytes, SLAB_BYTES - (size_t)(start - at));
    (void)madvise(start, bytes, MADV_HUGEPAGE); /* a kernel without huge pages serves small ones */
    return start;
}

void *region_open(size_t bytes)
{
    assert(bytes > 0);
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = align_up(bytes, PAGE_BYTES);
    return bytes % SLAB_BYTES == 0 ? map_slabs(bytes) : map_pages(bytes);
}

void region_discard(void *at, size_t bytes)
{
    assert((uintptr_t)at % PAGE_BYTES == 0);
    (void)madvise(at, bytes, MADV_DONTNEED); /* pages that stay are only memory not saved */
}

void region_close(void *at, size_t bytes)
{
    assert(at && bytes > 0);
    unmap_pages(at, align_up(bytes, PAGE_BYTES));
}

size_t region_bytes_max(void)
{
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return limited ? limit.rlim_cur : SIZE_MAX;
}
