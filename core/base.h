/* Small things every file may need: attributes, arithmetic on sizes, and planted bugs.
 * A planted bug is a mutation that a test build compiles in (`make PLANT=name`) so that the fault tests prove they can
 * see it. PLANTED(name) is the constant 0 in every other build, so the branch disappears. */
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

#define PLANTED(name) PLANT_##name
#ifndef PLANT_ack_before_write /* simulator: the ack leaves before the wave is written */
#define PLANT_ack_before_write 0
#endif
#ifndef PLANT_redo_end_before_bytes /* simulator: a redo record counts, and is promised, before its bytes are there */
#define PLANT_redo_end_before_bytes 0
#endif
#ifndef PLANT_redo_of_stale_life /* simulator: what an older life left in shared memory is replayed too */
#define PLANT_redo_of_stale_life 0
#endif
#ifndef PLANT_duplicate_before_durable /* simulator: a duplicate is acked before its original is covered */
#define PLANT_duplicate_before_durable 0
#endif
#ifndef PLANT_duplicate_window_off_by_one /* simulator: only four batches are remembered */
#define PLANT_duplicate_window_off_by_one 0
#endif
#ifndef PLANT_cut_below_durable_end /* simulator: recovery cuts below the durable end */
#define PLANT_cut_below_durable_end 0
#endif
#ifndef PLANT_ack_before_flush /* power cut: the wave is written without RWF_DSYNC */
#define PLANT_ack_before_flush 0
#endif
#ifndef PLANT_sync_wrong_file /* power cut: the wave is plain, then another file is synced */
#define PLANT_sync_wrong_file 0
#endif
#ifndef PLANT_share_unsettled /* power cut: one flush for waves into blocks that are new to their files */
#define PLANT_share_unsettled 0
#endif
#ifndef PLANT_settled_before_flush /* power cut: zeroed blocks count as settled without a flush */
#define PLANT_settled_before_flush 0
#endif
#ifndef PLANT_zeros_behind_appends /* simulator: space ahead is used while it is being zeroed */
#define PLANT_zeros_behind_appends 0
#endif
#ifndef PLANT_generation_unchecked /* simulator: a commit's generation is not looked at */
#define PLANT_generation_unchecked 0
#endif
#ifndef PLANT_foreign_heartbeat /* simulator: a member is expired by another member's heartbeat */
#define PLANT_foreign_heartbeat 0
#endif
#ifndef PLANT_trim_before_durable /* simulator: the log start moves and is answered before it is saved */
#define PLANT_trim_before_durable 0
#endif
#ifndef PLANT_roll_before_old_durable /* simulator: a roll begins the next segment before the old one was flushed */
#define PLANT_roll_before_old_durable 0
#endif
#ifndef PLANT_caching_off_unflushed /* simulator: turning write.caching off flushes nothing */
#define PLANT_caching_off_unflushed 0
#endif
#ifndef PLANT_serve_unrecovered /* simulator: a partition answers before its log is recovered */
#define PLANT_serve_unrecovered 0
#endif
#ifndef PLANT_clean_mark_unrecovered /* simulator: the clean mark names a partition whose log was not recovered */
#define PLANT_clean_mark_unrecovered 0
#endif
#ifndef PLANT_alter_before_recovery /* simulator: a change that promises more does not wait for recoveries */
#define PLANT_alter_before_recovery 0
#endif
#ifndef PLANT_marker_before_decision /* simulator: markers of a commit are put before its decision is durable */
#define PLANT_marker_before_decision 0
#endif
#ifndef PLANT_epoch_not_raised /* simulator: InitProducerId gives the epoch that another producer has */
#define PLANT_epoch_not_raised 0
#endif
#ifndef PLANT_pending_offsets_visible /* simulator: offsets of a transaction count before it has ended */
#define PLANT_pending_offsets_visible 0
#endif
#ifndef PLANT_stable_end_of_youngest /* simulator: the youngest open transaction bounds what is stable, not the oldest */
#define PLANT_stable_end_of_youngest 0
#endif
#ifndef PLANT_aborted_not_rebuilt /* simulator: recovery does not note which transactions were aborted */
#define PLANT_aborted_not_rebuilt 0
#endif
#ifndef PLANT_marker_dropped_early /* simulator: a cleaning drops markers whatever is left of their transactions */
#define PLANT_marker_dropped_early 0
#endif
#ifndef PLANT_tombstone_dropped_early /* simulator: a cleaning drops tombstones that have no delete horizon yet */
#define PLANT_tombstone_dropped_early 0
#endif
#ifndef PLANT_swap_before_sync /* power cut: a cleaned segment takes its place before it is on stable media */
#define PLANT_swap_before_sync 0
#endif
#ifndef PLANT_key_lost_between_passes /* simulator: a full map counts as one that has every key */
#define PLANT_key_lost_between_passes 0
#endif
