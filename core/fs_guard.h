/* No shard's turn calls core/fs.h: what may wait for a disk is a job (core/io.h). A build with FS_GUARD=1 holds the doors to
 * the file system to it: shard_turn marks its thread, a call there stops the process. The mark is the one thread-local of the
 * program, because it is the thread that is asked about; in other builds there is none. FS_GUARD=2 names the callers on stderr
 * and goes on. */
#pragma once
#include "core/base.h"

#ifndef FS_GUARD
#define FS_GUARD 0
#endif
#if FS_GUARD == 2
#include <execinfo.h>
#endif

#if FS_GUARD
__attribute__((
    weak)) _Thread_local bool fs_guard_in_turn; /* weak: a program that links one of the doors or the loop has it */
#endif

/* Returns what it was. */
static inline bool fs_guard_turn(bool in_turn)
{
    bool was = false;
    (void)in_turn;
#if FS_GUARD
    was = fs_guard_in_turn;
    fs_guard_in_turn = in_turn;
#endif
    return was;
}
static inline void fs_guard_check(void)
{
#if FS_GUARD == 1
    assert(!fs_guard_in_turn);
#elif FS_GUARD == 2
    void *frames[12];
    if (fs_guard_in_turn)
        backtrace_symbols_fd(frames, backtrace(frames, 12), 2);
#endif
}
