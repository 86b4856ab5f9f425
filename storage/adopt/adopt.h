/* `odradek adopt --from DIR`: takes over the topics of a stopped Apache Kafka into a data folder of ours, which may be new.
 *
 *   from: meta.properties, __cluster_metadata-0/   -> topics, ids, settings           (adopt_metadata.c)
 *         <topic>-<n>/<n>.log                      -> every batch read and checked    (adopt_log.c)
 *   ours: adopting/<topic>-<n>/                    -> closed segments linked, the last one and small files copied, synced
 *         <topic>-<n>/, then the catalog's record                                     (adopt_place.c, adopt_run.c)
 *
 * The source is only read; a linked segment is one file with two names, and no code of ours writes into such a file (FS_OWN in
 * core/fs.h). A topic is taken whole or not at all: one partition that cannot be taken keeps its topic out, by name. It is taken when
 * the catalog says so, so an interrupted run is run again: what is there stays, what was half made in adopting/ goes.
 *
 * Committed offsets come with the topic __consumer_offsets, transactional ids and what they have open with __transaction_state, if ours has none
 * yet. Not taken: __share_group_state, the broker's own settings (said), message formats 0 and 1. */
#pragma once
#include "storage/config/broker_config.h"

enum { ADOPT_FOLDERS_MAX = 16 };
struct adopt {
    /* in */
    struct heap *heap;
    struct broker_config *config; /* with our data folder */
    const char *from[ADOPT_FOLDERS_MAX];
    uint32_t from_count;
    void (*say)(void *arg, const char *kind, const char *what, const char *text); /* kind: taken, refused, note */
    void *arg;
    /* out */
    uint64_t topics, partitions, batches, linked_bytes, copied_bytes, refused;
};
/* ERR_INVALID: no folder of a stopped Kafka; ERR_BUSY: it runs, or a broker runs on ours; others: the machine failed, and what was said to be
 * taken is. why[CONFIG_WHY_BYTES] is a sentence. */
enum err adopt_run(struct adopt *a, char *why) must_use;
