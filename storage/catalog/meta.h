/* <data>/meta.properties, Kafka's file about a data folder, with our format's number added:
 *
 *   version=1
 *   cluster.id=4L6g3nShT-eMCtK--X86sw
 *   node.id=1
 *   odradek.format=4     1: one copy of the catalog; 2: no segment has gaps; 3: no transactions
 *   odradek.retention=1  retention has its way here; without it a broker keeps everything for an hour first (storage/log/retention.h)
 */
#pragma once
#include "core/fs.h"
#include "core/mem.h"

enum { META_FORMAT = 4, META_RETENTION = 1, META_CLUSTER_BYTES = 23 };

struct meta {
    char cluster_id[META_CLUSTER_BYTES]; /* "": none */
    int64_t node_id;                     /* -1: none */
    int64_t version, format;             /* -1: none, as in a folder that Kafka made */
    int64_t retention;                   /* below 1: from before there was retention */
};
/* ERR_NOT_FOUND; ERR_CORRUPT: not such a file (a power cut in a new folder may leave one). */
enum err meta_load(struct heap *heap, const char *data_dir, struct meta *out) must_use;
/* Whole or not at all, under another name first; with `sync` also durable. */
enum err meta_save(const char *data_dir, const struct meta *m, bool sync) must_use;
