/* Producers of one partition: the last five batches of each (producer id, epoch), so that a resent batch is found and a gap is
 * refused, and the transaction that it has open. Rules: Kafka's ProducerAppendInfo, ProducerStateEntry, ProducerStateManager.
 *
 * Transactions stand in a list by first offset: from a producer's first transactional batch until its marker is below the high
 * watermark (producers_settle). The first of it bounds what is stable. A producer with an open transaction is neither
 * forgotten nor expired.
 *
 * Guards: the first batch of a transaction is appended only after the transaction's coordinator was asked (partition.h). A guard stands for that
 * question; the answer counts while the guard is there. They are in memory alone.
 *
 * State is updated when offsets are given, not when they are durable; a partition whose wave failed is opened again from its
 * checkpoint, so nothing is undone here. */
#pragma once
#include "core/mem.h"
#include "storage/log/aborted.h"
#include "storage/log/batch.h"

enum {
    PRODUCER_BATCHES = 5,
    PRODUCER_GUARDS_MAX = 4096, /* per partition: of questions under way; the oldest goes, its batch is refused */
    PRODUCERS_MAX =
        65536, /* per partition: 13 MiB. Kafka has no bound; here the one that wrote longest ago is forgotten */
    PRODUCERS_EXPIRED_MAX = 1024, /* in one go, some 100 us */
};
struct producers;

struct producer_duplicate {
    int64_t base_offset, last_offset, timestamp;
};

struct producers *producers_open(struct heap *heap) must_use;
void producers_close(struct producers *ps);
/* As they are now, whatever comes: to be counted, saved, told and closed, nothing else. It costs a page's share of each 64 producers until they are
 * appended to. May be read on another thread, and is closed on its own. NULL: no memory. */
struct producers *producers_hold(const struct producers *ps) must_use;
/* With memory of its own, without guards: from a heap to one of another thread, which may be 13 MiB. NULL: no memory. It is whole when
 * producers_copy_some has said so; until then there is more to do in another turn. */
struct producers *producers_copy(const struct producers *ps, struct heap *heap) must_use;
enum err producers_copy_some(const struct producers *ps, struct producers *copy, bool *out_whole) must_use;
uint32_t producers_count(const struct producers *ps);
/* Asserts that entries and table agree; slow. */
void producers_agree(const struct producers *ps);
void producers_table_agree(const struct producers *ps); /* the same, of places alone; for a held copy too */
/* A transactional batch whose producer has no transaction of that epoch open. One of an older epoch is refused without a question: its
 * guard would hold back the batches of the younger. `bumps`: its producer gets a new epoch with each transaction
 * (KIP-890). In the first generation it does not: what is open may be its transaction before, which has ended, but whose marker is still on its way.
 * So a batch that bumps asks also where what is open was not begun by such a batch, or nobody knows (the log was opened anew). */
bool producers_asks(const struct producers *ps, const struct batch *b, bool bumps);
/* The guard of such a batch: that of its producer, or a new one. 0: no memory. */
uint64_t producers_guard(struct producers *ps, const struct batch *b, bool bumps, int64_t now_ms);
/* What an append says of itself. */
struct producer_claim {
    bool no_sequence; /* a coordinator's batch: only its epoch is checked */
    bool bumps;
    uint64_t guard;
};
/* For a data batch with producer_id >= 0. KERR_NONE: append it, or, when *out_duplicate->base_offset >= 0, answer as before.
 * KERR_INVALID_TXN_STATE: it asks and has no valid guard, or it is of no transaction while its producer has one open.
 * KERR_INVALID_PRODUCER_EPOCH, KERR_OUT_OF_ORDER_SEQUENCE_NUMBER. An unknown producer may start anywhere, unless it has a guard. */
enum kerr producers_check(const struct producers *ps, const struct batch *b, const struct producer_claim *claim,
                          struct producer_duplicate *out_duplicate) must_use;
/* For a marker: KERR_NONE, KERR_TRANSACTION_COORDINATOR_FENCED, KERR_INVALID_PRODUCER_EPOCH (partition.h, struct txn_marker). */
enum kerr producers_check_marker(const struct producers *ps, const struct batch *b, const struct batch_marker *marker,
                                 int16_t transaction_version) must_use;
/* Records an appended batch (its base_offset is the log's), with its marker if it is one. `now_ms` is wall time. *out_aborted is the
 * transaction that it aborted; producer_id -1: none. ERR_NO_MEMORY: the heap's, or all that are known have a transaction open; nothing of
 * this producer has changed. */
enum err producers_update(struct producers *ps, const struct batch *b, const struct batch_marker *marker,
                          int64_t now_ms, struct aborted_txn *out_aborted) must_use;
/* The first offset of the oldest transaction that is open or not settled; INT64_MAX: none. */
int64_t producers_first_unstable(const struct producers *ps);
/* Markers below the high watermark are seen: their transactions are over. */
void producers_settle(struct producers *ps, int64_t high_watermark);
uint32_t producers_open_transactions(const struct producers *ps);
/* The last offset of each (-1: it has no batch since its last epoch began), in no order; `out` has room for producers_count. */
struct producer_last {
    int64_t id, last_offset;
    int16_t epoch;
};
uint32_t producers_last_offsets(const struct producers *ps, struct producer_last *out);
bool producers_know(const struct producers *ps, int64_t producer_id);
/* What is known of each. */
struct producer_facts {
    int64_t producer_id;
    int64_t last_timestamp;   /* of its last batch or marker; -1: none */
    int64_t txn_start_offset; /* of its open transaction; -1: none is */
    int64_t written_ms;    /* when it wrote last, by the broker's clock: how long a transaction has been left alone */
    int32_t last_sequence; /* -1: none */
    int32_t coordinator_epoch; /* of its last marker; -1: none */
    int16_t producer_epoch;
};
/* Of `count` of them, from number `from` on: of all of a held copy, in pieces. */
void producers_facts(const struct producers *ps, uint32_t from, uint32_t count, struct producer_facts *out);
/* Whose transaction is open and began first; false: none is. */
bool producers_oldest_open(const struct producers *ps, struct producer_facts *out) must_use;
/* Drops those whose last batch is older than expiration (producer.id.expiration.ms), and such guards. Returns how many producers; after
 * PRODUCERS_EXPIRED_MAX there may be more. */
uint32_t producers_expire(struct producers *ps, int64_t now_ms, int64_t expiration_ms);

void producers_forget(struct producers *ps); /* all of them */

/* Our own form, all five batches: for the checkpoint. */
size_t producers_saved_bytes(const struct producers *ps);
void producers_save(const struct producers *ps, uint8_t *out);
/* ERR_CORRUPT: none is known then. */
enum err producers_load(struct producers *ps, const uint8_t *at, size_t bytes) must_use;
/* Every open transaction began before `offset`: recovery, which loads something that is said to be of there, looks. */
bool producers_are_before(const struct producers *ps, int64_t offset);
/* Kafka's .snapshot file (version 1): of each the batches that are remembered. What a recovery begins with where no checkpoint
 * is of a segment that is still there; also for tools, and for partitions that move. */
size_t producers_snapshot_bytes(const struct producers *ps);
void producers_snapshot(const struct producers *ps, uint8_t *out);
enum err producers_snapshot_load(struct producers *ps, const uint8_t *at, size_t bytes) must_use;
