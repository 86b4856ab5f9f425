/* No shard's turn calls core/fs.h: what may wait for a disk is a job (core/io.h). A build with FS_GUARD=1 holds the doors to
 * the file system to it: shard_turn marks its thread, a call there stops the process. The mark is the one thread-local of the
 * program, because it is the thread that is asked about; in other builds there is none. FS_GUARD=2 names the callers on stderr
 * and goes on. */
#pragma once
#include "core/base.h"

#ifndef FS_GUARD
#define FS_GUARD 0
#endif

#if FS_GUARD
__attribute__((weak)) _Thread_local bool fs_guard_in_turn; /* weak: whoever links one of the doors or the loop has it */

/* Returns what it was. */
static inline bool fs_guard_turn(bool in_turn)
{
    bool was = fs_guard_in_turn;
    fs_guard_in_turn = in_turn;
    return was;
}
#if FS_GUARD == 2
#include <execinfo.h>
#include <unistd.h>
static inline void fs_guard_check(void)
{
    void *frames[12];
    if (!fs_guard_in_turn)
        return;
    int count = backtrace(frames, 12);
    backtrace_symbols_fd(frames, count, 2);
    (void)!write(2, "FS_GUARD\n", 9);
}
#else
static inline void fs_guard_check(void)
{
    assert(!fs_guard_in_turn);
}
#endif
#else
static inline bool fs_guard_turn(bool in_turn)
{
    (void)in_turn;
    return false;
}
static inline void fs_guard_check(void) {}
#endif
