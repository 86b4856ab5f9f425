/* Recovers the partitions of one shard, one at a time, as jobs of the background: at the start nothing of any log is read.
 *
 *   REQUEST     somebody waits: before all others, and a large recovery that nobody asked for gives way
 *   CHANGE      a change of settings waits, which promises more than the log was written with
 *   BACKGROUND  everything else
 *
 * Until a partition is recovered nothing is told of it: not its ends, size or epochs. It is in no clean mark, and a clean stop
 * does not wait for it; its checkpoint entry is carried over every rewrite. Its deletion needs no recovery.
 *
 * What the machine was short of (room, memory, descriptors) is asked for again: one partition of the shard is the probe, once in
 * REOPEN_MS, and when it is recovered the others follow. The same for partitions that a full disk threw back while they ran. */
#pragma once
#include "storage/log/log_store.h"

enum recovery_urgency { RECOVERY_REQUEST, RECOVERY_CHANGE, RECOVERY_BACKGROUND, RECOVERY_URGENCIES };

/* Waits for one partition. */
struct recovery_wait {
    /* From the shard's loop, never inside recoverer_wait: the partition is recovered, or failed, or is gone (look it up again), or the
     * time is over. */
    void (*over)(struct recovery_wait *w);
    /* the recoverer's */
    struct recoverer *recoverer;
    uint64_t deadline_ns;
    struct list link, deadline_link;
};

struct recoverer *recoverer_open(struct log_store *ls) must_use;
/* Nothing runs (recoverer_stop), or the loop has ended. */
void recoverer_close(struct recoverer *rc);
void recoverer_check(const struct recoverer *rc);
/* A partition that was opened, and is one of the store's: recovered by and by. */
void recoverer_add(struct recoverer *rc, struct partition *p);

/* Is there something to wait for? Then `w->over` is called, at the deadline at the latest. Its recovery is asked for with that
 * urgency. False: it answers now, whatever it answers. */
#define RECOVERY_NO_DEADLINE UINT64_MAX
bool recoverer_wait(struct partition *p, struct recovery_wait *w, enum recovery_urgency urgency,
                    uint64_t deadline_ns) must_use;
uint64_t recoverer_deadline(const struct log_store *ls); /* of a request that came now */
void recoverer_cancel(struct recovery_wait *w);          /* one that is over or was never begun is fine */
/* The same without waiting: a watcher of the partition is told when it is recovered. */
void recoverer_ask(struct partition *p);

/* Room for a copy of what a request brought, so that it holds no receive buffer while it waits. */
bool recoverer_take_bytes(struct log_store *ls, uint32_t bytes) must_use;
void recoverer_give_bytes(struct log_store *ls, uint32_t bytes);

/* The partition is about to be stopped: it is not recovered any more. Those that waited are put into `out_waiting`, for
 * recoverer_tell when its stop was begun. */
void recoverer_drop(struct partition *p, struct list *out_waiting);
void recoverer_tell(struct list *waiting);
/* The store is closed without a stop, since a shard could not start: who waits is never told, and goes with the shard's heap. */
void recoverer_forget_waits(struct partition *p);
/* No recovery begins any more; `stopped` is called when none runs, perhaps at once. */
void recoverer_stop(struct recoverer *rc, void (*stopped)(struct log_store *ls));
