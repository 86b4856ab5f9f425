/* A race that is meant: writes into memory that another thread is reading, where it does not matter what that thread sees of
 * them. ThreadSanitizer cannot know, and looks away from begin to end, also from what this thread reads there: keep it short.
 * In every other build these do nothing, nor with `meant` false. */
#pragma once
#include <stdbool.h>
#ifdef __SANITIZE_THREAD__
/* libtsan's, declared in none of gcc's headers (tsan_interface_ann.cpp). */
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
#else
#define AnnotateIgnoreWritesBegin(file, line) ((void)0)
#define AnnotateIgnoreWritesEnd(file, line) ((void)0)
#endif

static inline void race_begin(bool meant)
{
    if (meant)
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
static inline void race_end(bool meant)
{
    if (meant)
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
}
