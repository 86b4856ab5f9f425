/* Every bound of core, with its reason. Storage and net have their own limits.h. */
#pragma once
#include "core/base.h"

enum {
    PAGE_BYTES = 4096,  /* alignment of direct I/O */
    SECTOR_BYTES = 512, /* a torn write leaves each sector wholly old or wholly new */
    IO_RECV_BYTES =
        128 * 1024,     /* pooled receive buffer: a request with a 64 KiB batch fits, one with two just does not */
    IO_RECV_COUNT = 32, /* 4 MiB of addresses per shard, faulted in only as load needs them */
    IO_SQ_ENTRIES = 1024,
    IO_CQ_ENTRIES = 16384,         /* sixteen completions per submission before the kernel must keep a list */
    IO_COMPLETIONS_PER_TURN = 256, /* so that timers and other shards get their turn */
    IO_BYTES_PER_TURN =
        2 * 1024 *
        1024, /* received, or what takes as long (io_spend); copied and summed they take some 0.5 ms of the 2 that a turn may last */
    SHARDS_MAX = 64,
    SLAB_BYTES = 2 * 1024 * 1024, /* a huge page */
};
static_assert(IO_RECV_BYTES % PAGE_BYTES == 0, "receive buffers are whole pages");
static_assert((IO_RECV_COUNT & (IO_RECV_COUNT - 1)) == 0, "a provided buffer ring holds a power of two");
