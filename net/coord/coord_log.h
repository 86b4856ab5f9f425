/* One partition of a compacted internal topic, on the shard that owns it: the entries whose keys hash there, and the log that makes
 * them durable. What an entry is, and what the bytes of keys and values say, is its kind's: groups stand on this
 * (net/group/group_log.h), and transactional ids (net/txn/txn_log.h); share groups can.
 *
 *   coord_log_open --> LOADING: log start to high watermark, replayed in the background --> READY --> coord_log_close
 *                               no memory for it, or its partition offline --> FAILED
 *
 * One record that cannot be understood does not make the others unreadable: it is skipped, counted, and named once a load.
 *
 * What is written is applied (it becomes visible, and may be answered) when it is durable, in the order of the log; these topics
 * are always durable, whatever write.caching says.
 *
 * Writes of one entry are shared or alone. Shared: as many as like are under way. What goes through all that an entry has
 * is alone: it waits until what is under way has ended, and whatever is asked after it waits until it has ended. So it sees what
 * stands, and nothing older lands behind something newer.
 *
 * The log is bounded by compaction (storage/clean/), which keeps the latest record of each key: so a record must say all about its key that
 * counts, and none may need an older one of its key.
 *
 * What belongs to a transaction (coord_write.txn) is applied when it is durable like anything else: the kind keeps it apart, and it counts
 * when the transaction's marker says so, which is appended with coord_log_end_txn and applied when it is durable, in its place in the log:
 *
 *   coord_write (txn) ...: apply    coord_log_end_txn --> marker appended --> durable --> end_txn, again and again at the pace --> done
 *   while loading:         replay                                             marker read --> end_txn, until it is over
 *
 * Callbacks run from the shard's loop, never inside the call that asked. */
#pragma once
#include "core/map.h"
#include "net/coord/coord_batch.h"
#include "net/coord/pace.h"
#include "storage/store.h"

enum coord_log_state { COORD_LOG_LOADING, COORD_LOG_READY, COORD_LOG_FAILED };
struct coord_log;
struct coord_load;
struct coord_marker;

/* Embedded in the kind's own. */
struct coord_entry {
    struct coord_log *log;
    struct kview id;  /* lent by the kind for the entry's life */
    uint64_t born;    /* in the order of their making */
    uint32_t writes;  /* under way */
    bool alone;       /* the one under way is alone */
    struct list held; /* writes that wait for their turn, in order */
    struct list link; /* log->entries */
};

/* Goes through the entries in the order of their making, over as many turns as it takes: entries may come and go meanwhile, and so may
 * the log. Between begin and end it is known to the log. */
struct coord_cursor {
    struct coord_log *log; /* NULL: there is none any more */
    struct list *next;     /* entry; &log->entries: the end */
    struct list link;      /* log->cursors */
};
void coord_cursor_begin(struct coord_cursor *c, struct coord_log *l);
struct coord_entry *coord_cursor_next(struct coord_cursor *c); /* NULL: the end */
bool coord_cursor_over(const struct coord_cursor *c);
void coord_cursor_end(struct coord_cursor *c);

/* --- writes --- */
struct coord_write;
struct coord_write_ops {
    /* Puts records from w->at on, and moves w->at, until coord_write_takes says no. Sets w->last when nothing comes behind. It
     * looks at COORD_SCAN_MAX things at most, and answers at how many it looked without putting one. Changes nothing else:
     * a batch may be refused, and gathered again. */
    uint32_t (*gather)(struct coord_write *w, struct record_batch *b);
    /* How much that will be, more or less; NULL: as much as a batch takes. */
    uint64_t (*likely_bytes)(const struct coord_write *w);
    /* The batch from w->batch_at to w->at is durable, at w->append.base_offset and what follows. NULL: nothing changes. NO_MEMORY:
     * the log fails, and has to be read again. */
    enum err (*apply)(struct coord_write *w);
};
/* While a marker of the producer is being written nothing of its next transaction is: COORDINATOR_LOAD_IN_PROGRESS, which every client tries
 * again. (The coordinator of transactions lets no next one begin by then; an administrator's marker may meet one.)
 * Where the transaction is not open in the partition yet, its coordinator must be asked first (storage/log/partition.h, guards): `done` gets
 * INVALID_TXN_STATE with a guard that is not 0, nothing was written, and the write is started again with that guard. */
struct coord_txn {
    struct record_txn of;
    uint64_t guard; /* in; and out, with INVALID_TXN_STATE */
    /* Its producer keeps its epoch from one transaction to the next (TxnOffsetCommit below version 5). */
    bool first_generation;
};
/* The caller's until `done`, as what it points to. A large one is appended in several batches: one that fails may have been written,
 * and applied, in part. */
struct coord_write {
    struct coord_entry *entry; /* NULL in `done`: the entry is gone */
    const struct coord_write_ops *ops;
    struct coord_txn *txn; /* its records belong to this transaction; NULL: to none. Such a write is shared */
    bool alone;
    bool takes_entry; /* the entry goes when it is done; may be set while it is gathered */
    /* Once, with NONE or what Kafka's coordinators answer for what the log said. A batch that is too large even for one record:
     * the partition's error. */
    void (*done)(struct coord_write *w, enum kerr error);
    uint32_t at, batch_at, batch_count;
    bool last;
    /* the log's */
    struct coord_log *log;
    struct coord_sweep *sweep; /* that asked for it */
    struct append append;
    uint8_t *bytes;    /* of the batch in the making or under way */
    uint32_t capacity; /* bytes there */
    struct list link;  /* entry->held, log->over or log->steps */
    enum kerr error;   /* of one in log->over */
    bool begun;        /* it is among entry->writes */
};
/* `w` has entry, ops, alone and done set, and zeros. */
void coord_write_start(struct coord_log *l, struct coord_write *w);
/* Not begun: `done` gets the error at the end of the turn. */
void coord_write_refuse(struct coord_log *l, struct coord_write *w, enum kerr error);
/* Inside `gather`: may a record of at most so many bytes be put? False: the batch is full, or there is no memory for its first
 * record. A first one that is larger than any batch gets one to itself; the partition says whether it takes that. */
bool coord_write_takes(struct coord_write *w, struct record_batch *b, uint32_t bytes) must_use;

/* An error that `done` gets of a batch that is too large even for one record: what is answered is the kind's. */
static inline bool coord_write_too_large(enum kerr error)
{
    return error == KERR_MESSAGE_TOO_LARGE || error == KERR_RECORD_LIST_TOO_LARGE;
}

/* --- markers --- */
/* A transaction that ends, for its kind: `state` is the kind's, NULL at first. */
struct coord_end {
    int64_t producer_id;
    bool commit;
    void *state;
};
/* The caller's until `done`. Set: marker (what ends, how, by which coordinator), done. */
struct coord_marker {
    struct txn_marker marker;
    /* Once, in a later turn: NONE when the marker is durable and all that it commits is visible, or else what the partition said, or
     * NOT_COORDINATOR: the log is not READY or closes. A transaction that wrote nothing here gets its marker all the same. */
    void (*done)(struct coord_marker *m, enum kerr error);
    /* the log's */
    struct coord_log *log;
    struct coord_end end;
    struct list link; /* log->markers_... */
    enum kerr error;
};
void coord_log_end_txn(struct coord_log *l, struct coord_marker *m);

/* --- sweeps: what goes through all entries, one sweep at a time, at the pace --- */
struct coord_sweep {
    const char *what; /* for the log */
    /* A write of this entry that is alone, which the sweep starts; its `done` frees it. NULL: no memory. */
    struct coord_write *(*write)(struct coord_sweep *s, struct coord_entry *e);
    /* It met an error (the first of them), or every entry that was there when it began has had its write. */
    void (*over)(struct coord_sweep *s, enum kerr error);
    struct list link; /* log->sweeps */
};
/* In the order of asking. While LOADING it waits. `over` runs in any case, with NOT_COORDINATOR when the log closes before. */
void coord_log_sweep(struct coord_log *l, struct coord_sweep *s);
/* What nobody has needed for so long: a sweep of each kind. */
struct coord_expiry {
    struct coord_sweep sweep;
    int64_t wall_ms, after_ms; /* for its `write`: now, and for how long something is kept */
    bool asked;                /* it waits or is under way */
};
/* Only when READY. One that waits gets these times; while one is under way nothing happens. */
void coord_log_expire(struct coord_log *l, struct coord_expiry *x,
                      struct coord_write *(*write)(struct coord_sweep *s, struct coord_entry *e), int64_t wall_ms,
                      int64_t after_ms);

/* --- loading --- */
struct coord_record {
    int64_t offset;
    struct kview key, value; /* n == -1: null */
    int64_t producer_id;     /* -1: none */
    bool transactional;
    const char *why; /* of one that is not replayed: static */
};
enum coord_replay {
    COORD_REPLAYED,
    COORD_UNKNOWN,       /* a kind of record that is not known here */
    COORD_TRANSACTIONAL, /* of a transaction, which the kind does not know */
    COORD_MALFORMED,
    COORD_NO_MEMORY,
    COORD_AGAIN, /* of end_txn: there is more to do */
};

/* --- the kind --- */
struct coord_kind {
    const char *topic; /* for log lines */
    /* Applies one record of the log, in its order; makes entries that are not there (coord_log_get, coord_entry_add). They do not come to
     * life yet. */
    enum coord_replay (*replay)(struct coord_log *l, struct coord_record *r);
    /* The marker of a transaction, in its place in the log. It takes so many units (as PACE_UNITS) or a little more, and adds what it took.
     * AGAIN: it is called again with the same, soon; writes and markers that stand behind it may be applied meanwhile (except while
     * loading). When the log goes, it is not called again. NULL: the kind knows no transactions. */
    enum coord_replay (*end_txn)(struct coord_log *l, struct coord_end *end, uint32_t units, uint32_t *took);
    /* All was replayed: the entry comes to life, unless it is empty, when it goes. MALFORMED (*out_why): what was found does not
     * go together, and counts as not written. *out_units: what it took, in PACE_UNITS. */
    enum coord_replay (*loaded)(struct coord_entry *e, uint32_t *out_units, const char **out_why);
    /* Nothing is in it that somebody may ask for: it may go, if no write is under way. */
    bool (*empty)(const struct coord_entry *e);
    /* The log closes: the questions that wait in the entry are answered, and it is as dead. */
    void (*unload)(struct coord_entry *e);
    /* Frees it; it is in no list any more. */
    void (*free_entry)(struct coord_entry *e);
    /* READY or FAILED. Also when it fails later, for want of memory: then close it, and open it again if you like. */
    void (*ready)(struct coord_log *l);
    /* Closed, and nothing of it is used any more: frees it. */
    void (*free_log)(struct coord_log *l);
    /* Asserts what must hold in an entry. For tests and the simulator. */
    void (*check)(const struct coord_entry *e);
};

/* Embedded in the kind's own; zeroed before coord_log_open. */
struct coord_log {
    struct shard *shard;
    struct heap *heap; /* the shard's */
    struct partition *partition;
    const struct coord_kind *kind;
    struct pace *pace; /* one for all logs of a shard */
    int32_t index;
    enum coord_log_state state;
    bool closing, unloaded, ready_due;
    bool may_pass; /* why it failed: there was no memory, or a read was refused */
    void (*closed)(void *arg);
    void *closed_arg;
    struct map by_id; /* struct coord_entry */
    struct list entries, cursors;
    uint64_t born;           /* of the last entry */
    uint32_t writes;         /* begun and not done, of all entries */
    struct list over, steps; /* writes: `done` at the end of the turn; alone, and going on at the pace */
    /* Of markers: being written; durable, and applied at the pace; `done` at the end of the turn. */
    struct list markers_writing, markers_ending, markers_over;
    struct shard_defer defer;
    struct pace_job job;
    struct coord_load *load;   /* while LOADING */
    uint32_t batch_bytes;      /* COORD_BATCH_BYTES, or less where the topic takes less */
    struct list sweeps;        /* waiting */
    struct coord_sweep *sweep; /* under way; NULL: none */
    struct coord_cursor sweep_at;
    uint64_t sweep_born_max; /* younger ones have nothing that is looked for */
    uint32_t sweep_running;  /* writes */
    enum kerr sweep_error;   /* the first that a write met */
};
/* shard, heap, partition, kind, pace and index are set. Starts loading; `ready` is called later even when the log is empty.
 * NO_MEMORY: nothing has begun. */
enum err coord_log_open(struct coord_log *l) must_use;
/* Unloads every entry and answers every write with NOT_COORDINATOR (what is durable meanwhile: as it fared), then frees all when its
 * operations have ended; `closed` may be NULL. The state is FAILED from now on. */
void coord_log_close(struct coord_log *l, void (*closed)(void *arg), void *arg);

/* --- entries --- */
/* NULL: not known. Find: also NULL unless READY. */
struct coord_entry *coord_log_get(const struct coord_log *l, struct kview id);
struct coord_entry *coord_log_find(const struct coord_log *l, struct kview id);
/* The id must not be there. `e` is zeroed but for its id. */
enum err coord_entry_add(struct coord_log *l, struct coord_entry *e) must_use;
/* Frees an entry without writes that its kind calls empty. */
void coord_entry_drop_if_empty(struct coord_entry *e);

/* Asserts what must hold between its parts; slow: for tests and the simulator. */
void coord_log_check(const struct coord_log *l);
