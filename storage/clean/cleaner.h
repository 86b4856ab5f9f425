/* Compaction of one shard's partitions: finds the dirtiest log, and cleans one at a time. All work on files is jobs of the background
 * class (clean_work.h), bounded and paced; what a turn of the shard does is to look at some partitions, to start the next job, and to change
 * a partition's list.
 *
 *   RESTING --log.cleaner.backoff.ms--> LOOKING --nothing is dirty enough--> RESTING
 *                                         |  ^    (a log seen for the first time: a job learns its first dirty offset and times)
 *                             the dirtiest v  |
 *                                       CLEANING: jobs one after the other --it is over--> LOOKING (it failed: RESTING)
 *
 * In the hour in which a folder from before retention keeps everything (storage/log/retention.h) it rests.
 *
 * A log may be cleaned from its first dirty offset to the first uncleanable one, the least of: the high watermark, the active segment, the
 * first dirty segment whose largest timestamp is younger than min.compaction.lag.ms. It is when more than min.cleanable.dirty.ratio of its
 * bytes are dirty, or when a dirty segment's first timestamp is older than max.compaction.lag.ms.
 *
 * A cleaning is given up, its files removed, when the partition stops, goes or fails, when the log start overtakes it, when its topic is
 * not compacted any more, or when anything is short. It leaves the log as it is, or with some groups cleaned, which is as good. A log with
 * a damaged segment or with transactional batches is left alone until a restart, and named in the log. */
#pragma once
#include "storage/config/broker_config.h"
#include "storage/log/log_store.h"

struct cleaner *cleaner_open(struct log_store *ls, const struct broker_config *config) must_use;
/* Another version of the broker's configuration counts; lent until the next. */
void cleaner_configure(struct cleaner *c, const struct broker_config *config);
/* Nothing new is begun; what is under way ends with its partition's stop. */
void cleaner_stop(struct cleaner *c);
/* After the last partition is gone. */
void cleaner_close(struct cleaner *c);
/* Asserts that its fields agree. */
void cleaner_check(const struct cleaner *c);
