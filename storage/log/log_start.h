/* Where a partition's log starts, when not at its first segment: the file log-start-offset-checkpoint in its folder, in the
 * format of Kafka's file of that name ("0", a count, "topic partition offset" lines; always one line here, its offset with 20 digits).
 * It is durable before anybody is told that the start moved. It lies within one sector and never changes its length, so it is written
 * over where it lies: not torn, and without needing any room. Synchronous: at open, or a job. */
#pragma once
#include "core/fs.h"
#include "core/mem.h"

enum err log_start_save(const char *dir, const char *topic, int32_t partition, int64_t offset) must_use;
/* What a killed run wrote may be in the page cache alone: it is durable afterwards. */
enum err log_start_sync(const char *dir) must_use;
/* ERR_NOT_FOUND: the start never moved. ERR_CORRUPT: no such file was ever written. */
enum err log_start_load(struct heap *heap, const char *dir, int64_t *out_offset) must_use;
