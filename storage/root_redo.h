/* The file in shared memory that the redo rings of this broker lie in (storage/log/redo.h): made at the start, removed at a clean stop; what
 * the last life of this folder left is replayed and removed before, and what brokers left whose folders are gone is removed, too.
 *
 * <crash.dir, or /dev/shm>/odradek-redo-<16 digits of the folder's identity>, locked by flock(2) as long as its broker lives. Made
 * only where it outlives the process: outside of containers, or where crash.dir names a place; and where space for the log can be made
 * ahead, so that a write of it does not fail for want of room. In any other case, or if it cannot be made, the route is `written`, and
 * root->redo.why says why; with crash.route=shm the start is refused then. */
#pragma once
#include "storage/log/redo.h"

struct root;

#define REDO_FILE_PREFIX "odradek-redo-"

/* Steps of root_open; why[512]. What is there to be replayed and cannot be is an error: it holds what was acknowledged. */
enum err root_redo_replay(struct root *r, char *why) must_use;
enum err root_redo_open(struct root *r, char *why) must_use;
/* Is the file still in its place? ERR_NOT_FOUND: it was deleted or replaced; no start finds what is in it. Synchronous, on any thread: a
 * job. */
enum err root_redo_check(const struct root *r) must_use;
/* It goes, unless some log still lacks something of it (a write failed): the next start has that then. */
void root_redo_close(struct root *r);
/* The folder as it is now. ERR_UNSUPPORTED: the machine does not say which boot this is. */
enum err root_redo_identity(const struct root *r, struct redo_identity *out) must_use;
/* Reads and checks a file's header. ERR_CORRUPT: it is not whole, or of another user than this one and the owner of the folder (-1: this one alone):
 * anybody may put a file there. */
enum err redo_header_read(int fd, int folder_fd, struct redo_header *out) must_use;
