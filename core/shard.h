/* A shard: one thread's whole world. Everything hangs from it, nothing from globals, so that the simulator can run several
 * in one thread. The loop of one turn:
 *
 *     completions (io_run) -> messages -> timers -> deferred calls, those that send last -> again
 *
 * and io_run is the one system call that submits and waits. A shard that has nothing to do sleeps in it. So what a turn's completions and
 * messages allow (a wave's acks) is told by its deferred calls, and leaves with the very next io_run. */
#pragma once
#include "core/io.h"
#include "core/mem.h"
#include "core/clock.h"
#include "core/ring.h"
#include "core/rng.h"
#include "core/timer.h"

struct bufpool;
struct shard;

/* A message to another shard (or to oneself): embedded in what it is about, owned by the receiver until sent back. Messages
 * from one shard to another arrive in order. */
struct shard_msg {
    void (*run)(struct shard *at, struct shard_msg *msg);
    struct list link; /* waiting for room in a ring; bounded by the number of objects that embed it */
};
/* Runs at the end of the turn, once a turn; where there are many, of one of the next. Deferring a deferred one again does nothing. */
struct shard_defer {
    void (*run)(struct shard_defer *d);
    struct list link;
    uint64_t turn; /* the last one in which it ran */
};

struct shard_group; /* all shards of one broker */
struct shard_watch;

struct shard {
    uint16_t id, count;
    struct shard_group *group;
    struct io *io;
    struct heap *heap;
    struct bufpool *bufs;
    struct timers timers;
    struct rng rng;
    uint64_t now_ns;    /* taken once per turn */
    uint64_t turn;      /* counts them */
    uint64_t turned_ns; /* of the last turn, or when standing still was noted last */
    uint64_t stood_ns;  /* for so long it stood still: shard_lived_ns */
    struct list deferred, deferred_last;
    struct stats *stats;        /* what it counts, also of the layers above */
    struct stat_room stat_room; /* of rows beside them */
    struct shard_watch *watch;  /* NULL: nobody asks how long its turns are */
    void *store;                /* storage's: struct store */
    void *net;                  /* net's: struct server */
    bool stop;                  /* the loop ends after this turn */
    struct timer trim;          /* gives idle memory back */
    struct list *outbox;        /* per target: messages that found its ring full; per oneself: all */
    uint64_t outbox_used;       /* bit per target: its outbox is not empty */
    uint16_t next_from;         /* whose messages come first in the next turn */
    uint64_t touched;           /* bit per target: it got messages in this turn and may have to be woken */
    /* Others write it; only ever exchanged, so that of a sleeper's last look and a sender's push one sees the other. */
    _Alignas(64) _Atomic bool sleeping;
};

struct shard_options {
    uint16_t count;
    struct io_options io;
    void *stats;     /* count * STATS_BYTES of zeros, or NULL: the group has its own */
    void *stat_rows; /* behind them: count * STAT_ROWS_BYTES of stat_fd, or NULL: no rows */
    int stat_fd;
    bool watch;          /* measure turns: "turns", "turn_cpu_ns" and "waits_outside"; costs about 2 us a turn */
    size_t memory_bytes; /* budget of one shard's bufs */
    const int *cpus;     /* count of them; NULL: not pinned */
    /* Called on each shard's own thread: builds and tears down the upper layers. An error stops the start. */
    enum err (*start)(struct shard *s, void *arg);
    void (*stop)(struct shard *s, void *arg);
    void *arg;
};

/* Builds the rings; no thread yet. */
enum err shard_group_open(struct shard_options options, struct shard_group **out_group) must_use;
/* Shard 0 runs on the calling thread, the others on their own; returns when all have ended. */
enum err shard_group_run(struct shard_group *g) must_use;
void shard_group_close(struct shard_group *g);
struct shard *shard_at(struct shard_group *g, uint16_t id);
/* Why io_open fell back, "" if it did not (of shard 0). */
const char *shard_group_why(const struct shard_group *g);

/* The pieces of a run, for the simulator, which calls them for each shard by turns. */
enum err shard_open(struct shard_group *g, uint16_t id) must_use; /* engine, heap, bufs, then options.start */
bool shard_turn(struct shard *s, uint64_t wait_ns_max);           /* false when stop was asked and the turn is over */
void shard_close(struct shard *s);
/* Asserts that what hangs from it agrees: timers, bufs, what came and what goes. Between turns, on its thread. Slow. */
void shard_check(const struct shard *s);

/* What clock_now_ns says, without the time for which this shard stood still: its process was stopped, or it had no processor, and a timer that was due came
 * SHARD_STOOD_NS too late. Who waits for a sign of a client counts in it, since a sign may have come meanwhile and lies unread. Some idle
 * time before counts as standing. `shard_due_ns` is when the timer is to fire for a moment in lived time: it may come too early. */
#define SHARD_STOOD_NS NS_PER_S
uint64_t shard_lived_ns(struct shard *s);
uint64_t shard_due_ns(const struct shard *s, uint64_t lived_ns);

static inline void shard_msg_init(struct shard_msg *m, void (*run)(struct shard *, struct shard_msg *))
{
    assert(run);
    m->run = run;
    list_init(&m->link);
}
/* Never blocks, never fails. To oneself: runs at the end of this turn or in the next. */
void shard_send(struct shard *from, uint16_t to, struct shard_msg *msg);
/* What a deferred call defers runs in the same turn too, for a few rounds, unless it has run in it already. */
void shard_defer(struct shard *s, struct shard_defer *d);
/* Behind all of those: what gathers what they have made, and sends it. What is deferred from there waits for the next turn. */
void shard_defer_last(struct shard *s, struct shard_defer *d);
void shard_defer_init(struct shard_defer *d, void (*run)(struct shard_defer *d));
