/* Unlinks the files of dropped segments of one shard's partitions when file.delete.delay.ms is over: one segment after the other, by
 * jobs of the background. What is left at a stop goes at the next start, a few segments' files while the log is recovered, the rest
 * behind that. */
#pragma once
#include "storage/log/log_store.h"

struct deleter;
struct deleter *deleter_open(struct log_store *ls) must_use;
/* After the last partition is gone. */
void deleter_close(struct deleter *d);
void deleter_check(const struct deleter *d);
/* A dropped segment's files that are to be renamed: remembered before they are, so that they cannot be forgotten. False: no memory. */
bool deleter_add(struct deleter *d, struct partition *p, int64_t base_offset, uint64_t bytes) must_use;
/* The same of files that an earlier run renamed: they go as soon as may be. */
bool deleter_add_left(struct deleter *d, struct partition *p, int64_t base_offset) must_use;
/* What was added of that segment is not unlinked: another one's files are about to get these names. */
void deleter_take_back(struct deleter *d, struct partition *p, int64_t base_offset);
/* The disk is full: until then nothing waits for its time. */
void deleter_hurry(struct deleter *d, uint64_t until_ns);
bool deleter_waits(const struct deleter *d);     /* something is left to unlink */
uint64_t deleter_bytes(const struct deleter *d); /* of all that wait */
/* The partition is being closed. */
void deleter_forget(struct deleter *d, struct partition *p);
