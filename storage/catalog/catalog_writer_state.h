/* The inside of shard 0's side of catalog changes, for the files that make it up: catalog_writer.c and catalog_writer_strays.c. */
#pragma once
#include "storage/catalog/catalog_write.h"

struct catalog_writer {
    struct shard *shard;
    struct catalog_file *file;
    void (*apply)(struct shard *s, struct catalog_change *c);
    struct list queue, waiting, batch;
    struct shard_defer gather, end;
    void (*ended)(struct catalog_writer *w,
                  struct catalog_change *c); /* of the batch whose write is over; NULL: none */
    struct catalog_write write;              /* of the batch: its records */
    uint32_t deletes;                        /* in it */
    uint32_t flying;                         /* changes that shards are applying or preparing */
    struct catalog_change *walking;          /* whose versions of topics are gone through in steps; NULL: none */
    bool (*walk)(struct catalog_writer *w, struct catalog_change *c); /* a step; false: it was the last */
    void (*walked)(struct catalog_writer *w, struct catalog_change *c);
    enum err walk_err;
    struct shard_defer walk_step;
    bool alone;                    /* a change of the broker's settings is under way, and nothing else */
    bool busy;                     /* an op or a job is out */
    struct catalog_change *moving; /* a creation for which folders are set aside; NULL: none */
    struct stray *stray;           /* theirs */
    enum err moved;
    struct io_op move_op;
    uint64_t stray_logged_ns; /* when the log was told of a creation that was refused for them */
};

/* The end of it: the shard that asked may free it from now on. */
void catalog_writer_refuse(struct catalog_writer *w, struct catalog_change *c, enum kerr error, const char *message);
/* A change of this topic is under way: this one is looked at again when it is over. */
void catalog_writer_wait(struct catalog_writer *w, struct catalog_change *c);
/* Some topic changes no more: the changes that waited for one look again. */
void catalog_writer_retry(struct catalog_writer *w);
/* A creation of a name of which there are folders that the catalog does not know. */
void catalog_writer_strays(struct catalog_writer *w, struct catalog_change *c, struct stray *stray);
