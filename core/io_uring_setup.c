/* Sets a ring up: the ladder of flags, what the kernel registers for us (files, memory, receive buffers), and the sentence
 * that says why there is no ring. Each feature may be masked; each that fails is left out. */
#include "core/io_uring.h"
#include "core/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum {
    FILES_MAX = 16384,     /* slots for sockets and segments; what finds none goes by its number */
    BOUNDED_WORKERS = 4,   /* disk work that could not go on inline: more would only queue at the disk */
    UNBOUNDED_WORKERS = 2, /* for what may block for ever, which we never submit */
};

/* --- the ring --- */

static const char *uring_refusal_reason(int failed)
{
    switch (failed) {
    case EPERM: return "io_uring is denied here (EPERM): a container's seccomp profile or kernel.io_uring_disabled";
    case EACCES: return "io_uring is denied here (EACCES): a security module";
    case ENOSYS: return "this kernel has no io_uring (ENOSYS)";
    case EINVAL: return "this kernel's io_uring is older than Linux 5.19 (EINVAL)";
    case ENOMEM: return "io_uring got no memory (ENOMEM): the limit of locked memory (ulimit -l) is too low";
    case EMFILE:
    case ENFILE: return "io_uring got no descriptor: too many open files (ulimit -n)";
    default: return NULL;
    }
}

static enum err refuse_uring(int failed, char *out_why)
{
    assert(failed > 0);
    assert(out_why);
    const char *sentence = uring_refusal_reason(failed);
    if (sentence)
        snprintf(out_why, IO_WHY_BYTES, "%s", sentence);
    else
        snprintf(out_why, IO_WHY_BYTES, "io_uring failed: %s", strerror(failed));
    return failed == EPERM || failed == EACCES || failed == EINVAL ? ERR_UNSUPPORTED : err_from_errno(failed);
}

static int init_uring_queue(struct uring *u, unsigned flags)
{
    struct io_uring_params p = {
        .flags = flags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
        .cq_entries = IO_CQ_ENTRIES,
    };
    return -io_uring_queue_init_params(IO_SQ_ENTRIES, &u->ring, &p);
}

/* DEFER_TASKRUN (6.1) runs completions only when we ask; without it, COOP_TASKRUN (5.19) at least does not interrupt us. */
static int try_ring_flags(struct uring *u)
{
    static const unsigned polite = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    int failed = EINVAL;
    if (u->features & IO_FEATURE_DEFER)
        failed = init_uring_queue(u, polite | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (failed == EINVAL) {
        u->features &= ~(uint32_t)IO_FEATURE_DEFER;
        failed = init_uring_queue(u, polite);
    }
    return failed;
}

/* What we rely on without asking again: time-outs in enter, arguments that need to live only until they are submitted,
 * completions that are never dropped, sockets that are polled. All are older than the flags above. */
static bool has_basic_features(const struct uring *u)
{
    static const unsigned basics =
        IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL;
    return (u->ring.features & basics) == basics;
}

/* --- what is registered once --- */

static bool setup_msg_ring(struct uring *u)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&u->ring);
    bool there = probe && io_uring_opcode_supported(probe, IORING_OP_MSG_RING);
    io_uring_free_probe(probe);
    return there && u->ring.features & IORING_FEAT_CQE_SKIP;
}

/* The table is there for the locks even where the feature is masked. */
static bool setup_file_table(struct uring *u)
{
    assert(!u->slots);
    struct rlimit limit;
    bool wanted = u->features & IO_FEATURE_FILES;
    uint64_t most = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
    uint32_t count = wanted ? (uint32_t)u64_min(most, FILES_MAX) : IO_LOCKS;
    if (count < IO_LOCKS || io_uring_register_files_sparse(&u->ring, count) != 0)
        return false;
    u->slots = heap_alloc(u->io.heap, count * sizeof *u->slots);
    u->slot_count = u->slots ? count : IO_LOCKS;
    u->slot_fresh = IO_LOCKS;
    return wanted && u->slots;
}

static bool setup_slab_table(struct uring *u)
{
    assert(!u->slab_bytes);
    u->slab_bytes = heap_zalloc(u->io.heap, IO_SLABS_MAX * sizeof *u->slab_bytes);
    return u->slab_bytes && io_uring_register_buffers_sparse(&u->ring, IO_SLABS_MAX) == 0;
}

static size_t buffer_ring_bytes(const struct uring *u)
{
    return u->io.pool.count * sizeof(struct io_uring_buf);
}

static bool setup_buffer_ring(struct uring *u)
{
    assert(!u->buffers);
    u->buffers = region_open(buffer_ring_bytes(u));
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)u->buffers, .ring_entries = u->io.pool.count, .bgid = 0};
    if (u->buffers && io_uring_register_buf_ring(&u->ring, &reg, 0) != 0) {
        region_close(u->buffers, buffer_ring_bytes(u));
        u->buffers = NULL;
    }
    if (!u->buffers)
        return false;
    io_uring_buf_ring_init(u->buffers);
    u->laid_most = (uint32_t)u64_min(LAID_BUFFERS_MIN, u->io.pool.count);
    uring_lay_buffers(u);
    return true;
}

static void setup_uring_features(struct uring *u)
{
    static const struct {
        uint32_t bit;
        bool (*setup)(struct uring *u);
    } steps[] = {
        {IO_FEATURE_PBUF, setup_buffer_ring},
        {IO_FEATURE_FIXED, setup_slab_table},
        {IO_FEATURE_MSG_RING, setup_msg_ring},
    };
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        if (u->features & steps[i].bit && !steps[i].setup(u))
            u->features &= ~steps[i].bit;
    }
    if (!setup_file_table(u))
        u->features &= ~(uint32_t)IO_FEATURE_FILES;
}

enum err uring_setup(struct uring *u, uint32_t features, char *out_why)
{
    assert(out_why);
    u->features = features & IO_FEATURE_ALL;
    int failed = try_ring_flags(u);
    if (failed)
        return refuse_uring(failed, out_why);
    u->messages = heap_alloc(u->io.heap, u->ring.sq.ring_entries * sizeof *u->messages);
    if (!u->messages || !has_basic_features(u)) {
        enum err err = refuse_uring(u->messages ? EINVAL : ENOMEM, out_why);
        uring_teardown(u);
        return err;
    }
    (void)io_uring_register_ring_fd(&u->ring); /* saves a look-up per enter; works without */
    unsigned workers[2] = {BOUNDED_WORKERS, UNBOUNDED_WORKERS};
    (void)io_uring_register_iowq_max_workers(&u->ring, workers);
    setup_uring_features(u);
    return ERR_NONE;
}

void uring_teardown(struct uring *u)
{
    io_uring_queue_exit(&u->ring);
    if (u->buffers)
        region_close(u->buffers, buffer_ring_bytes(u));
    heap_free(u->io.heap, u->messages);
    heap_free(u->io.heap, u->slots);
    heap_free(u->io.heap, u->slab_bytes);
}

/* --- files --- */

static bool set_file_slot(struct uring *u, uint32_t slot, int fd)
{
    assert(slot < u->slot_count);
    return io_uring_register_files_update(&u->ring, slot, &fd, 1) == 1;
}

void uring_attach(struct io *io, struct io_file *f)
{
    assert(f->fd >= 0);
    assert(f->slot < 0);
    struct uring *u = uring_of(io);
    if (!(u->features & IO_FEATURE_FILES) || (u->slot_free == 0 && u->slot_fresh == u->slot_count))
        return;
    uint32_t slot = u->slot_free ? (uint32_t)u->slots[--u->slot_free] : u->slot_fresh++;
    if (set_file_slot(u, slot, f->fd))
        f->slot = (int32_t)slot;
    else
        u->slots[u->slot_free++] = (int32_t)slot;
}

void uring_detach(struct io *io, struct io_file *f)
{
    struct uring *u = uring_of(io);
    if (f->slot < 0)
        return;
    assert(f->slot >= IO_LOCKS && (uint32_t)f->slot < u->slot_fresh);
    bool cleared = set_file_slot(u, (uint32_t)f->slot, -1);
    assert(cleared); /* else the socket would stay open behind its closed number */
    u->slots[u->slot_free++] = f->slot;
    f->slot = -1;
}

enum err uring_lock_attach(struct io *io, uint32_t lock, int fd)
{
    assert(fd >= 0);
    struct uring *u = uring_of(io);
    return u->slot_count > lock && set_file_slot(u, lock, fd) ? ERR_NONE : ERR_UNSUPPORTED;
}

/* --- memory --- */

/* 0 or an errno. */
static int set_slab_registration(struct uring *u, uint32_t slab, void *at, size_t bytes)
{
    assert(slab < IO_SLABS_MAX);
    struct iovec iov = {.iov_base = at, .iov_len = bytes};
    int set = io_uring_register_buffers_update_tag(&u->ring, slab, &iov, NULL, 1);
    return set == 1 ? 0 : set < 0 ? -set : EAGAIN;
}

void uring_slab_register(struct io *io, uint32_t slab, void *at, size_t bytes)
{
    assert(at);
    struct uring *u = uring_of(io);
    if (!(u->features & IO_FEATURE_FIXED))
        return;
    assert(bytes > 0 && bytes <= SLAB_BYTES);
    if (!u->slab_base)
        u->slab_base = (uint8_t *)at - (size_t)slab * SLAB_BYTES;
    assert((uint8_t *)at == u->slab_base + (size_t)slab * SLAB_BYTES);
    assert(u->slab_bytes[slab] == 0);
    int failed = set_slab_registration(u, slab, at, bytes);
    if (!failed) {
        u->slab_bytes[slab] = (uint32_t)bytes;
    } else if (!u->slab_refused) {
        u->slab_refused = true;
        log_warn("buffers are not registered", "error=\"%s\" hint=\"ulimit -l\" effect=\"disk costs more CPU\"",
                 strerror(failed));
    }
}

void uring_slab_unregister(struct io *io, uint32_t slab)
{
    struct uring *u = uring_of(io);
    if (!u->slab_bytes || u->slab_bytes[slab] == 0)
        return;
    u->slab_bytes[slab] = 0;
    int failed = set_slab_registration(u, slab, NULL, 0);
    assert(!failed);
}

int uring_slab_of(const struct uring *u, const void *at, uint32_t bytes)
{
    if (!u->slab_base || (const uint8_t *)at < u->slab_base)
        return -1;
    size_t away = (size_t)((const uint8_t *)at - u->slab_base);
    size_t slab = away / SLAB_BYTES;
    if (slab >= IO_SLABS_MAX || away % SLAB_BYTES + bytes > u->slab_bytes[slab])
        return -1;
    return (int)slab;
}
