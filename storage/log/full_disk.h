/* What happens as a disk fills up (disk.full.policy, disk.reserve.bytes), one per shard.
 *
 *   refuse          produce is refused, retriably, until there is room
 *   delete-oldest   a ring: while less than the reserve is free, the oldest segments among such topics go, whatever their retention says
 *
 * A ring are partitions of topics whose cleanup.policy is exactly delete, and that are not internal. Oldest is by when the broker wrote a
 * segment's last batch, never by the records' times, over all shards: each notes its oldest on the board (root.h), and drops it if no other
 * has an older one. Segments go by the log start, as always (durable first), but only below the last stable offset, and their files at once, without
 * file.delete.delay.ms; so do those that still wait for that. As the disk gets fuller, segments of rings become smaller, so that there
 * always is something to drop: all active ones together hold an eighth of it at most.
 *
 *   measure (a job) --less than the reserve is free--> hurry files that wait --> drop the oldest --> files gone --> measure
 *                   '--often while little is free, else twice a second; not at all without rings and internal topics
 *
 * An append to a ring that finds no room waits while something can be dropped: it is slowed, not refused, for as long as files go, and half
 * a minute longer. While the reserve is short it waits for
 * that alone; more is dropped only where the reserve finds no room either. Internal topics, log starts, markers in rings and
 * checkpoints get the ballast (ballast.h) before they fail.
 *
 * A transaction that is open holds the segment in which it begins, and those behind it: the ring takes what others have. Where nobody has anything
 * else, appends are refused as without a ring (they do not wait: what ends the transaction would stand behind them), until it is ended,
 * committed, aborted or timed out by its coordinator, for which its marker gets ballast, or, if it hangs, by hand (hanging.h names it).
 *
 * Files that wait for file.delete.delay.ms, of whatever topic, go at once when the disk is full: when less than the reserve is free and
 * there are rings, or when anybody on any shard found no room. */
#pragma once
#include "storage/log/log_store.h"

struct full_disk;
struct full_disk *full_disk_open(struct log_store *ls) must_use;
/* After the last partition is gone. */
void full_disk_close(struct full_disk *d);
/* A clean stop. `over`, perhaps inside: no job of its own is under way. */
void full_disk_stop(struct full_disk *d, void (*over)(struct log_store *ls));
/* Its topic has another version, or it is new. */
void full_disk_note(struct partition *p);
void full_disk_forget(struct partition *p);
/* An allocation or a roll of this partition found no room. True: something is being done, it asks again when a measure finds more, or after a while. */
bool full_disk_helps(struct partition *p) must_use;
/* Do its jobs get ballast where they find no room? Internal topics, rings, and what retention closes: what is closed can be dropped. */
bool full_disk_comes_first(const struct partition *p);
/* Must this partition leave what is free to those that come first? Not for what ends a transaction. */
bool full_disk_is_reserved(const struct partition *p);
/* It is a ring, and less than the reserve is free. */
bool full_disk_is_pressed(const struct partition *p);
/* Files of this partition do not wait for their end. */
bool full_disk_unlinks_at_once(const struct partition *p);
/* Somebody found no room, and is refused. */
void full_disk_found_full(struct log_store *ls);
/* Files are gone: it is measured again. */
void full_disk_freed(struct log_store *ls);
