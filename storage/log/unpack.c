/* Compressed batches that announce more records than is likely (batch.h): a job unpacks a copy of the batch and counts, while the
 * append stays the first of those that are parked, so that order is kept. One at a time per partition. */
#include "storage/log/partition_state.h"
#include <string.h>

struct unpack_job {
    struct io_op op;
    struct partition *partition;
    struct batch_limits limits;
    /* out */
    enum kerr error;
    struct batch batch;
    struct batch_fault fault;
    uint8_t bytes[];
};

static int32_t run_unpack_job(void *arg)
{
    struct unpack_job *j = arg;
    struct heap *heap = heap_open(); /* the shard's is its own */
    j->error = heap ? batch_check_unpacked(j->bytes, &j->limits, heap, &j->batch, &j->fault) : KERR_KAFKA_STORAGE_ERROR;
    if (heap)
        heap_close(heap);
    return 0;
}

/* The append that asked, if it still waits: a stop or a full disk may have refused it meanwhile. */
static struct append *find_unpacked_append(const struct partition *p, const struct unpack_job *j)
{
    struct list *l = list_first(&p->writer.parked);
    struct append *a = l ? container_of(l, struct append, link) : NULL;
    return a && a->unpack == j ? a : NULL;
}

static void unpack_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct unpack_job *j = container_of(op, struct unpack_job, op);
    struct partition *p = j->partition;
    struct append *a = find_unpacked_append(p, j);
    assert(p->writer.unpack == j);
    p->writer.unpack = NULL;
    if (a) {
        a->unpack = NULL;
        a->counted = !j->error;
        a->counted_max_timestamp = j->batch.max_timestamp;
    }
    if (a && j->error) {
        a->fault = j->fault;
        list_remove(&a->link);
        writer_append_finish(p, a, j->error);
    }
    heap_free(shard_of(p)->heap, j);
    writer_retry(p);
    partition_stop_step(p);
}

bool unpack_is_needed(struct partition *p, struct append *a, struct batch *b, enum kerr *out_error)
{
    assert(list_first(&p->writer.parked) == &a->link);
    *out_error = KERR_NONE;
    if (!batch_needs_unpacking(b))
        return false;
    if (a->counted) {
        b->max_timestamp = a->counted_max_timestamp;
        return false;
    }
    if (p->writer.unpack) /* of this append, or of one that was refused meanwhile */
        return true;
    struct unpack_job *j = NULL;
    if (batch_crc(a->records, b->bytes) != b->crc)
        *out_error = KERR_CORRUPT_MESSAGE;
    else if (!(j = heap_alloc(shard_of(p)->heap, sizeof *j + b->bytes)))
        *out_error = KERR_KAFKA_STORAGE_ERROR;
    if (!j)
        return true;
    *j = (struct unpack_job){.partition = p, .limits = a->fault.limits, .batch = *b};
    memcpy(j->bytes, a->records, b->bytes);
    a->unpack = p->writer.unpack = j;
    io_job(shard_of(p)->io, &j->op, IO_URGENT, run_unpack_job, j, unpack_job_done);
    return true;
}
