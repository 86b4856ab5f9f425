/* Batches whose records must be seen before they are taken (repack.h has the work, partition_state.h the states): a job has the batch,
 * while its append stays the first of those that are parked, so that order is kept.
 *
 * One at a time per partition, and UNPACK_JOBS_MAX per shard: what else the helper has to do (rolls, files that are opened) never stands
 * behind more than those, nor behind one that may take seconds: that is the background's. The room for results is bounded too; partitions beyond either wait their turn in the store's queue.
 * What a job has and may take counts in --memory. */
#include "core/buf.h"
#include "storage/log/partition_state.h"
#include <string.h>

enum {
    ROOM_FACTOR = 8,
    ROOM_BYTES_MIN = 256 * 1024
}; /* a batch mostly unpacks to less; then to as much more, and again */

struct unpack_job {
    struct io_op op;
    struct partition *partition;
    struct repack r;
    size_t kept_bytes;           /* of --memory: what it has, or may take */
    _Alignas(16) uint8_t room[]; /* r.room */
};

/* Every record at fault of a batch that was refused, in memory of `owner`. */
struct fault_list {
    struct shard_msg msg; /* brings it back from the shard that answers */
    struct batch_record_fault v[];
};

/* --- what it costs --- */

/* So much stands for the job in the shard's budget: its room for the result, and while it runs what it unpacks, and writes anew. */
static void keep_for_job(struct unpack_job *j, bool runs)
{
    struct bufpool *bufs = shard_of(j->partition)->bufs;
    assert(j->r.unpacked_room > 0);
    size_t bytes = j->r.room_bytes + (runs ? (1 + repack_packs(&j->r)) * j->r.unpacked_room : 0);
    if (bytes > j->kept_bytes)
        bufpool_keep(bufs, bytes - j->kept_bytes);
    else
        bufpool_unkeep(bufs, j->kept_bytes - bytes);
    j->kept_bytes = bytes;
}

/* --- the store's bound --- */

static bool unpack_has_room(const struct log_store *ls, size_t room_bytes)
{
    assert(ls->unpack.jobs <= UNPACK_JOBS_MAX);
    return ls->unpack.jobs < UNPACK_JOBS_MAX &&
           (ls->unpack.room_bytes == 0 || ls->unpack.room_bytes + room_bytes <= UNPACK_ROOM_BYTES);
}

/* The next one looks again at the end of the turn: whether there is room for its batch, it finds out itself. */
static void call_waiting_unpack(struct log_store *ls)
{
    struct list *l = list_first(&ls->unpack.waiting);
    if (l && unpack_has_room(ls, 0))
        writer_retry(container_of(l, struct partition, unpack.link));
}

static void set_unpack(struct partition *p, enum unpack_state state, struct append *a, struct unpack_job *job)
{
    assert((state == UNPACK_NONE) == !a);
    list_remove(&p->unpack.link);
    p->unpack = (struct partition_unpack){.state = state, .append = a, .job = job, .codecs = a ? UINT8_MAX : 0};
    list_init(&p->unpack.link);
}

static void free_unpack_job(struct partition *p)
{
    struct log_store *ls = p->store;
    assert(p->unpack.job);
    assert(ls->unpack.room_bytes >= p->unpack.job->r.room_bytes);
    ls->unpack.room_bytes -= p->unpack.job->r.room_bytes;
    bufpool_unkeep(shard_of(p)->bufs, p->unpack.job->kept_bytes);
    heap_free(shard_of(p)->heap, p->unpack.job);
    set_unpack(p, UNPACK_NONE, NULL, NULL);
    call_waiting_unpack(ls);
}

/* --- the job --- */

static int32_t run_unpack_job(void *arg)
{
    struct unpack_job *j = arg;
    struct heap *heap = heap_open(); /* the shard's is its own */
    if (heap) {
        repack_run(&j->r, heap);
        heap_close(heap);
    } else {
        j->r.error = KERR_KAFKA_STORAGE_ERROR;
    }
    return 0;
}

static void count_unpacked(struct log_store *ls, const struct repack *r)
{
    assert(r->room_bytes > 0);
    stat_add(ls->unpack.batches, 1);
    if (r->packed) {
        stat_add(ls->unpack.repacked, 1);
        stat_add(ls->unpack.repacked_bytes, r->unpacked_bytes);
    }
}

static void unpack_job_done(struct io_op *op, int32_t res);

static void submit_unpack_job(struct unpack_job *j)
{
    enum io_class class = repack_is_slow(&j->r) ? IO_BACKGROUND : IO_URGENT; /* rolls do not stand behind it */
    assert(j->partition->unpack.state == UNPACK_RUNNING);
    keep_for_job(j, true);
    io_job(shard_of(j->partition)->io, &j->op, class, run_unpack_job, j, unpack_job_done);
}

static void unpack_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct unpack_job *j = container_of(op, struct unpack_job, op);
    struct partition *p = j->partition;
    assert(p->unpack.job == j && p->unpack.state == UNPACK_RUNNING);
    assert(!j->r.wants_more || j->r.unpacked_room < j->r.unpacked_max);
    if (j->r.wants_more && !p->unpack.refused) { /* it unpacks to more than most do */
        j->r.unpacked_room = u64_min(j->r.unpacked_room * ROOM_FACTOR, j->r.unpacked_max);
        submit_unpack_job(j);
        return;
    }
    keep_for_job(j, false);
    p->store->unpack.jobs--;
    p->unpack.state = UNPACK_DONE;
    count_unpacked(p->store, &j->r);
    if (p->unpack.refused) {
        struct append *a = p->unpack.append;
        enum kerr refused = p->unpack.refused;
        free_unpack_job(p);
        writer_append_finish(p, a, refused);
    }
    call_waiting_unpack(p->store);
    writer_retry(p);
    partition_stop_step(p);
}

static enum kerr start_unpack_job(struct partition *p, struct append *a, const struct repack *r)
{
    struct log_store *ls = p->store;
    assert(ls->unpack.jobs < UNPACK_JOBS_MAX);
    struct unpack_job *j = heap_alloc(shard_of(p)->heap, sizeof *j + r->room_bytes);
    if (!j)
        return KERR_KAFKA_STORAGE_ERROR;
    j->partition = p;
    j->r = *r;
    j->r.room = j->room;
    j->kept_bytes = 0;
    bool waited = p->unpack.state == UNPACK_WAITING;
    set_unpack(p, UNPACK_RUNNING, a, j);
    ls->unpack.jobs++;
    ls->unpack.room_bytes += r->room_bytes;
    submit_unpack_job(j);
    if (waited)
        call_waiting_unpack(ls);
    return KERR_NONE;
}

/* --- for the writer --- */

static struct repack describe_unpack(const struct partition *p, const struct append *a, const struct batch *b,
                                     const struct batch_limits *limits)
{
    const struct topic_config *c = config_of(p);
    struct repack r = {.at = a->records, .batch = *b, .limits = *limits, .codec = c->codec, .level = c->codec_level};
    r.unpacked_max = u64_min(u64_min(UNPACKED_BYTES_MAX, c->unpacked_bytes_max), bufpool_max_bytes(shard_of(p)->bufs));
    r.unpacked_room = u64_min(u64_max((uint64_t)ROOM_FACTOR * b->bytes, ROOM_BYTES_MIN), r.unpacked_max);
    r.room_bytes = repack_room_bytes(&r);
    return r;
}

enum unpack_state unpack_records(struct partition *p, struct append *a, const struct batch *b,
                                 const struct batch_limits *limits, enum kerr *out_error)
{
    struct log_store *ls = p->store;
    *out_error = KERR_NONE;
    if (p->unpack.state == UNPACK_RUNNING || p->unpack.state == UNPACK_DONE) {
        assert(p->unpack.append == a || p->unpack.refused);
        return p->unpack.state;
    }
    assert(!p->unpack.append || p->unpack.append == a);
    struct repack r = describe_unpack(p, a, b, limits);
    struct list *first = list_first(&ls->unpack.waiting);
    if ((!first || first == &p->unpack.link) && unpack_has_room(ls, r.room_bytes)) {
        *out_error = start_unpack_job(p, a, &r);
        return p->unpack.state;
    }
    if (p->unpack.state == UNPACK_NONE) {
        set_unpack(p, UNPACK_WAITING, a, NULL);
        list_push(&ls->unpack.waiting, &p->unpack.link);
    }
    return UNPACK_WAITING;
}

const struct repack *unpack_result(const struct partition *p)
{
    assert(p->unpack.state == UNPACK_DONE);
    return &p->unpack.job->r;
}

/* Without memory none is named: the message says it too. */
static struct batch_record_fault *give_fault_list(struct append *a, struct shard *owner, uint32_t count)
{
    assert(!a->fault.listed && count <= BATCH_FAULTS_MAX);
    struct fault_list *list = heap_alloc(owner->heap, sizeof *list + count * sizeof *list->v);
    a->fault.listed = list ? list->v : NULL;
    a->fault.listed_count = count;
    a->fault.record = list ? a->fault.record : -1;
    return list ? list->v : NULL;
}

/* The list lies where the new batch would be: the job goes, and the list has to stay until the answer is made. */
static void keep_fault_list(struct partition *p, struct append *a, const struct repack *r)
{
    struct batch_record_fault *v = r->fault.listed ? give_fault_list(a, shard_of(p), r->fault.listed_count) : NULL;
    if (v)
        memcpy(v, r->fault.listed, r->fault.listed_count * sizeof *v);
}

enum kerr unpack_refused(struct partition *p, struct append *a)
{
    const struct repack *r = unpack_result(p);
    enum kerr error = r->error;
    assert(error);
    a->fault = r->fault;
    a->fault.listed = NULL;
    keep_fault_list(p, a, r);
    return error;
}

void unpack_over(struct partition *p, const struct append *a)
{
    if (p->unpack.append != a)
        return;
    assert(p->unpack.state != UNPACK_RUNNING);
    if (p->unpack.job) {
        free_unpack_job(p);
        return;
    }
    set_unpack(p, UNPACK_NONE, NULL, NULL);
    call_waiting_unpack(p->store);
}

bool unpack_holds(struct partition *p, struct append *a, enum kerr error)
{
    assert(error && !list_linked(&a->link));
    if (p->unpack.append != a)
        return false;
    if (p->unpack.state == UNPACK_RUNNING) {
        p->unpack.refused = error;
        return true;
    }
    unpack_over(p, a);
    return false;
}

void unpack_check(const struct partition *p)
{
    const struct partition_unpack *u = &p->unpack;
    assert((u->state == UNPACK_NONE) == !u->append);
    assert((u->state == UNPACK_RUNNING || u->state == UNPACK_DONE) == (u->job != NULL));
    assert((u->state == UNPACK_WAITING) == list_linked(&u->link));
    assert(!u->refused || u->state == UNPACK_RUNNING);
    assert(!u->codecs == !u->append);
    assert(!u->append || u->refused || list_first(&p->writer.parked) == &u->append->link);
}

/* --- the answer's list --- */

static void free_fault_list(struct shard *at, struct shard_msg *msg)
{
    heap_free(at->heap, container_of(msg, struct fault_list, msg));
}

void append_list_faults(struct append *a, struct shard *owner)
{
    struct batch_faults walk;
    struct batch_record_fault one;
    uint32_t count = 0;
    if (!a->error || a->fault.record < 0 || a->fault.listed)
        return;
    const struct batch_fault found = a->fault;
    batch_faults_init(&walk, &found, a->records, a->bytes);
    while (batch_faults_next(&walk, &one.record, &one.message))
        count++;
    struct batch_record_fault *v = give_fault_list(a, owner, count);
    batch_faults_init(&walk, &found, a->records, a->bytes);
    for (uint32_t i = 0; v && i < count; i++)
        if (!batch_faults_next(&walk, &v[i].record, &v[i].message))
            a->fault.listed_count = count = i;
}

void append_forget_faults(struct append *a, struct shard *at, struct shard *owner)
{
    if (!a->fault.listed)
        return;
    struct fault_list *list = container_of(a->fault.listed, struct fault_list, v);
    a->fault.listed = NULL;
    if (at == owner) {
        heap_free(at->heap, list);
        return;
    }
    shard_msg_init(&list->msg, free_fault_list);
    shard_send(at, owner->id, &list->msg);
}
