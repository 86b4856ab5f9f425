/* Small things every file may need: attributes, arithmetic on sizes, and planted bugs.
 * A planted bug is a mutation that a test build compiles in (`make PLANT=name`) so that the fault tests prove they can
 * see it. PLANTED(name) is the constant 0 in every other build, so the branch disappears. Only .c files have it: `make PLANT=any` is a
 * simulator with all of them, of which one is chosen when it runs, and tests/sim/run makes only those files anew for it. */
#pragma once
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define must_use __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
/* `step` is a power of two. */
static inline uint64_t align_down(uint64_t n, uint64_t step)
{
    assert((step & (step - 1)) == 0);
    return n & ~(step - 1);
}
static inline uint64_t align_up(uint64_t n, uint64_t step)
{
    assert((step & (step - 1)) == 0);
    return (n + step - 1) & ~(step - 1);
}

#ifndef DEBUG_CHECKS
#define DEBUG_CHECKS 0 /* the debug build sets it: slow checks run where something was changed */
#endif

/* X(name): and who finds it. */
#define PLANTED_BUGS(X)                                                                                                \
    X(ack_before_write)            /* simulator: the ack leaves before the wave is written */                          \
    X(redo_end_before_bytes)       /* simulator: a redo record counts, and is promised, before its bytes are there */  \
    X(redo_of_stale_life)          /* simulator: what an older life left in shared memory is replayed too */           \
    X(duplicate_before_durable)    /* simulator: a duplicate is acked before its original is covered */                \
    X(duplicate_window_off_by_one) /* simulator: only four batches are remembered */                                   \
    X(cut_below_durable_end)       /* simulator: recovery cuts below the durable end */                                \
    X(ack_before_flush)            /* power cut: the wave is written without RWF_DSYNC */                              \
    X(sync_wrong_file)             /* power cut: the wave is plain, then another file is synced */                     \
    X(share_unsettled)             /* power cut: one flush for waves into blocks that are new to their files */        \
    X(settled_before_flush)        /* power cut: zeroed blocks count as settled without a flush */                     \
    X(zeros_behind_appends)        /* simulator: space ahead is used while it is being zeroed */                       \
    X(generation_unchecked)        /* simulator: a commit's generation is not looked at */                             \
    X(foreign_heartbeat)           /* simulator: a member is expired by another member's heartbeat */                  \
    X(trim_before_durable)         /* simulator: the log start moves and is answered before it is saved */             \
    X(roll_before_old_durable)     /* simulator: a roll begins the next segment before the old one was flushed */      \
    X(caching_off_unflushed)       /* simulator: turning write.caching off flushes nothing */                          \
    X(serve_unrecovered)           /* simulator: a partition answers before its log is recovered */                    \
    X(clean_mark_unrecovered)      /* simulator: the clean mark names a partition whose log was not recovered */       \
    X(alter_before_recovery)       /* simulator: a change that promises more does not wait for recoveries */           \
    X(marker_before_decision)      /* simulator: markers of a commit are put before its decision is durable */         \
    X(epoch_not_raised)            /* simulator: InitProducerId gives the epoch that another producer has */           \
    X(pending_offsets_visible)     /* simulator: offsets of a transaction count before it has ended */                 \
    X(stable_end_of_youngest)  /* simulator: the youngest open transaction bounds what is stable, not the oldest */    \
    X(aborted_not_rebuilt)     /* simulator: recovery does not note which transactions were aborted */                 \
    X(marker_dropped_early)    /* simulator: a cleaning drops markers whatever is left of their transactions */        \
    X(tombstone_dropped_early) /* simulator: a cleaning drops tombstones that have no delete horizon yet */            \
    X(swap_before_sync)        /* power cut: a cleaned segment takes its place before it is on stable media */         \
    X(key_lost_between_passes) /* simulator: a full map counts as one that has every key */                            \
    X(shared_ack_before_flush) /* simulator: waves that share a flush are acked when they are written */               \
    X(whole_ack_before_flush)  /* simulator: waves of plain writes are acked before the flush of their file */         \
    X(flush_before_waves)      /* simulator: the flush that waves share begins when they do */                         \
    X(flush_covers_later)      /* simulator: what is written while a file is flushed counts as flushed */              \
    X(flush_failure_ignored)   /* simulator: a flush that failed counts as done */                                     \
    X(write_failure_ignored)   /* simulator: a wave that failed counts as written */                                   \
    X(durable_over_unflushed)  /* simulator: caching was turned off: a wave's own flush covers what stood before it */ \
    X(every_message_unflushed) /* simulator: flush.messages=1 is no more than any other number */                      \
    X(internal_unflushed)      /* simulator: the broker's own topics are acked as cached ones are */                   \
    X(redo_needed_before_write) /* simulator: what a wave carries is given up in shared memory as it begins */         \
    X(read_before_promise)      /* simulator: readers see what nobody has promised yet */                              \
    X(marker_before_durable)    /* simulator: a marker is done when it is promised, not when it is durable */          \
    X(decision_before_data)     /* simulator: a transaction is decided before what it wrote is durable */              \
    X(recovered_unsynced)       /* simulator: what a killed broker left is not synced before it counts as durable */   \
    X(new_file_unsynced)        /* simulator: the name of a new segment is not synced before it is used */             \
    X(ring_write_not_durable)   /* engines: a durable write through the ring has no RWF_DSYNC */                       \
    X(thread_write_not_durable) /* engines: a durable write of a thread has none */                                    \
    X(flush_unconfirmed)        /* power cut: a flush that succeeds while its file system is shut down is believed */

#define PLANT_CONSTANT(name) PLANT_##name,
enum planted_bug { PLANTED_BUGS(PLANT_CONSTANT) PLANT_COUNT };
#ifdef PLANT_ANY /* the simulator's: it is told which one, if any, when it runs */
extern bool planted_bugs[PLANT_COUNT];
#define PLANTED(name) planted_bugs[PLANT_##name]
#elif defined(PLANT_CHOSEN) /* PLANT_name */
#define PLANTED(name) ((int)PLANT_##name == (int)PLANT_CHOSEN)
#else
#define PLANTED(name) 0
#endif
