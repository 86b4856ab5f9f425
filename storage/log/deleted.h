/* Segments that left their log: a rename takes them out of it, and their files go later.
 *
 *   <base>.log, .index, ...  --deleted_rename-->  <base>.log.deleted, ...  --file.delete.delay.ms--> deleted_unlink
 *
 * Kafka's name and meaning: a reader of such a file finishes, and somebody who deleted too much has a minute. Synchronous: in jobs.
 * What a stop leaves of them goes at a start (storage/recovery/). */
#pragma once
#include "core/fs.h"

/* With `snapshot` the producer snapshot of that offset too: not where another segment takes this one's place. The log goes last, so
 * that a rename that was cut short is done again. What is not there is fine. The folder is not synced. */
enum err deleted_rename(const char *dir, int64_t base_offset, bool snapshot) must_use;
/* The files of one segment that were renamed. Not being there is fine. */
enum err deleted_unlink(const char *dir, int64_t base_offset) must_use;
