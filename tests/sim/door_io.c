/* core/io.h in the simulator: one engine per shard, all on one thread. An operation on a file is done at a random time, out of
 * order; its bytes move when its done runs, so until then nobody may rely on them. Whether a write takes the bytes that stood
 * in memory at its start or those at its end is drawn for each: both are legal, since the two must be the same: what is being
 * written or sent does not change before its done (a device with integrity data would call that an error). A job runs whole
 * at one moment and is reported later; a shard's jobs of one class keep their order, as on a helper thread, those of the
 * other go by their own clock. */
#include "tests/sim/door_io.h"
#include "core/crc.h"
#include "core/fs_guard.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "tests/sim/disk_names.h"
#include "tests/sim/net_sim.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ENGINES_MAX = 16, TURN_MAX = 64, JOB_SLOW_NS = 20 * 1000 * 1000 };

enum pending_state { PENDING_READY /* res is known */, PENDING_DISK, PENDING_JOB };
struct pending {
    struct io_op *op;
    enum pending_state state;
    int32_t res;
    uint64_t due_ns, mark;
    uint8_t *copy; /* of a write's bytes at its start, or NULL */
};
/* Memory that an operation lent to the kernel. */
struct lent {
    const struct io_op *op;
    uint32_t crc;
};
struct io {
    struct heap *heap;
    uint8_t *recv_region;
    uint32_t recv_bytes, recv_count, recv_free_count;
    uint16_t *recv_free;
    struct pending *v; /* the world's memory: it outlives the broker's heaps */
    uint32_t count, cap;
    struct lent *lent; /* the world's too */
    uint32_t lent_count, lent_cap;
    uint64_t wake_ns;
    uint64_t job_ns[IO_CLASSES]; /* that class's helper is busy until then */
    uint64_t *now_ns;            /* the shard's */
    uint16_t index;
};
static struct io engines[ENGINES_MAX];
static uint32_t engine_count;
static bool in_job;

/* --- the engine --- */

void door_begin(void)
{
    for (uint32_t i = 0; i < ENGINES_MAX; i++)
        engines[i] = (struct io){0}; /* the last world's memory */
    engine_count = 0;
    in_job = false;
    (void)fs_guard_turn(false);
}

void door_heal(void)
{
    const uint64_t soon_ns = sim.now_ns + 100 * NS_PER_MS;
    sim.slow_until_ns = 0;
    for (uint32_t i = 0; i < engine_count; i++) {
        for (uint32_t k = 0; k < engines[i].count; k++)
            engines[i].v[k].due_ns = u64_min(engines[i].v[k].due_ns, soon_ns);
        for (uint32_t k = 0; k < COUNT_OF(engines[i].job_ns); k++)
            engines[i].job_ns[k] = u64_min(engines[i].job_ns[k], soon_ns);
    }
}

void door_suspend(uint64_t ns)
{
    for (uint32_t i = 0; i < engine_count; i++) {
        struct io *io = &engines[i];
        for (uint32_t k = 0; k < io->count; k++)
            io->v[k].due_ns += ns;
        for (uint32_t k = 0; k < COUNT_OF(io->job_ns); k++)
            io->job_ns[k] = u64_max(io->job_ns[k], sim.now_ns) + ns;
    }
}

enum err io_open(struct io_options options, struct heap *heap, struct io **out_io, char *out_why)
{
    world_door();
    out_why[0] = 0;
    assert(engine_count < ENGINES_MAX);
    struct io *io = &engines[engine_count];
    *io = (struct io){
        .heap = heap, .recv_bytes = options.recv_bytes, .index = (uint16_t)engine_count++, .now_ns = options.now_ns};
    io->recv_count = io->recv_free_count = options.recv_count;
    io->recv_region = region_open((size_t)options.recv_bytes * options.recv_count);
    io->recv_free = io->recv_region ? heap_alloc(heap, options.recv_count * sizeof *io->recv_free) : NULL;
    if (!io->recv_free) { /* the region goes with the broker, which does not start without it */
        engine_count--;
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < options.recv_count; i++)
        io->recv_free[i] = (uint16_t)i;
    *out_io = io;
    return ERR_NONE;
}

void io_close_engine(struct io *io)
{
    region_close(io->recv_region, (size_t)io->recv_bytes * io->recv_count);
    heap_free(io->heap, io->recv_free);
    world_check(io->count == 0, "an engine was closed with %u operations pending", io->count);
    world_check(io->lent_count == 0, "an engine was closed while %u operations had memory", io->lent_count);
    world_free(io->v);
    world_free(io->lent);
    io->v = NULL;
    io->lent = NULL;
}

const char *io_engine_name(const struct io *io)
{
    (void)io;
    return "sim";
}

enum err io_features_parse(const char *text, uint32_t *out_features)
{
    (void)text;
    *out_features = IO_FEATURE_ALL;
    return ERR_NONE;
}

bool door_in_job(void)
{
    return in_job;
}

uint64_t door_pending(const struct io *io)
{
    return io->count;
}

/* --- files and memory --- */

void io_file_init(struct io_file *f, int fd)
{
    *f = (struct io_file){.fd = fd, .slot = -1};
}

void io_file_attach(struct io *io, struct io_file *f)
{
    (void)io, (void)f;
}

void io_file_detach(struct io *io, struct io_file *f)
{
    (void)io, (void)f;
}

static void check_unused(int fd)
{
    for (uint32_t i = 0; i < engine_count; i++)
        for (uint32_t k = 0; k < engines[i].count; k++)
            world_check(!engines[i].v[k].op->file || engines[i].v[k].op->file->fd != fd || net_is_socket(fd),
                        "a file was closed with an operation pending on it");
}

void io_close(struct io *io, struct io_file *f)
{
    (void)io;
    check_unused(f->fd);
    if (net_is_socket(f->fd))
        net_broker_close(f->fd);
    else
        disk_close(f->fd);
    f->fd = -1;
}

enum err io_lock_attach(struct io *io, uint32_t lock, int fd)
{
    (void)io, (void)lock, (void)fd;
    return ERR_NONE;
}

void io_slab_register(struct io *io, uint32_t slab, void *at, size_t bytes)
{
    (void)io, (void)slab, (void)at, (void)bytes;
}

void io_slab_unregister(struct io *io, uint32_t slab)
{
    (void)io, (void)slab;
}

void *door_recv_get(struct io *io)
{
    return io->recv_free_count ? io->recv_region + (size_t)io->recv_free[--io->recv_free_count] * io->recv_bytes : NULL;
}

void door_recv_put(struct io *io, const void *at)
{
    size_t index = (size_t)((const uint8_t *)at - io->recv_region) / io->recv_bytes;
    assert(index < io->recv_count && io->recv_free_count < io->recv_count);
    io->recv_free[io->recv_free_count++] = (uint16_t)index;
}

void io_recv_put(struct io *io, void *at)
{
    door_recv_put(io, at);
    net_recv_room(io);
}

/* --- starting --- */

static struct pending *add(struct io *io, struct io_op *op, enum pending_state state, uint64_t due_ns)
{
    if (io->count == io->cap || !io->v) {
        io->cap = io->v ? io->cap * 2 : 64;
        io->v = world_grow(io->v, io->cap * sizeof *io->v);
    }
    struct pending *p = &io->v[io->count++];
    *p = (struct pending){.op = op, .state = state, .due_ns = due_ns};
    return p;
}

void door_finish(struct io *io, struct io_op *op, int32_t res, uint64_t at_ns)
{
    add(io, op, PENDING_READY, at_ns)->res = res;
}

static uint64_t disk_delay(void)
{
    if (!trouble())
        return dice_between(5000, 200000);
    uint64_t ns = dice_between(sim.knobs.disk_ns_min, sim.knobs.disk_ns_max);
    return chance(sim.knobs.stall_rate) ? ns + dice(sim.knobs.stall_ns) : ns;
}

static uint64_t bytes_of(const struct io_op *op)
{
    uint64_t bytes = op->vector ? 0 : op->len;
    for (uint32_t i = 0; op->vector && i < op->len; i++)
        bytes += op->iov[i].iov_len;
    return bytes;
}

static void gather(const struct io_op *op, uint8_t *to)
{
    if (!op->vector) {
        memcpy(to, op->buf.at, op->len);
        return;
    }
    for (uint32_t i = 0; i < op->len; i++) {
        memcpy(to, op->iov[i].iov_base, op->iov[i].iov_len);
        to += op->iov[i].iov_len;
    }
}

static uint32_t crc_of(const struct io_op *op)
{
    uint32_t crc = 0;
    if (!op->vector)
        return crc32c(0, op->buf.at, op->len);
    for (uint32_t i = 0; i < op->len; i++)
        crc = crc32c(crc, op->iov[i].iov_base, op->iov[i].iov_len);
    return crc;
}

static void lend(struct io *io, const struct io_op *op)
{
    if (io->lent_count == io->lent_cap || !io->lent) {
        io->lent_cap = io->lent ? io->lent_cap * 2 : 64;
        io->lent = world_grow(io->lent, io->lent_cap * sizeof *io->lent);
    }
    io->lent[io->lent_count++] = (struct lent){op, crc_of(op)};
}

static void check_unchanged(const struct lent *l)
{
    world_check(crc_of(l->op) == l->crc, "memory was changed while the kernel %s it",
                l->op->kind == IO_SEND ? "sent" : "wrote");
}

static void give_back(struct io *io, const struct io_op *op)
{
    for (uint32_t i = 0; i < io->lent_count; i++)
        if (io->lent[i].op == op) {
            check_unchanged(&io->lent[i]);
            io->lent[i] = io->lent[--io->lent_count];
            return;
        }
}

static void check_aligned(const struct io_op *op)
{
    if (!disk_is_direct(op->file->fd))
        return;
    bool good = op->off % PAGE_BYTES == 0;
    for (uint32_t i = 0; op->vector && i < op->len; i++)
        good = good && (uintptr_t)op->iov[i].iov_base % PAGE_BYTES == 0 && op->iov[i].iov_len % PAGE_BYTES == 0;
    if (!op->vector)
        good = good && (uintptr_t)op->buf.at % PAGE_BYTES == 0 && op->len % PAGE_BYTES == 0;
    world_check(good, "a direct file was read or written unaligned: %llu bytes at %llu",
                (unsigned long long)bytes_of(op), (unsigned long long)op->off);
}

static void start_disk(struct io *io, struct io_op *op)
{
    world_door();
    if (op->kind == IO_READ || op->kind == IO_WRITE)
        check_aligned(op);
    struct pending *p = add(io, op, PENDING_DISK, sim.now_ns + disk_delay());
    p->mark = disk_mark();
    if (op->kind == IO_WRITE && dice(2)) {
        p->copy = world_alloc(bytes_of(op));
        gather(op, p->copy);
    }
    world_mix(disk_id(disk_node_of(op->file->fd)) * 16 + op->kind, op->off);
}

static void start_job(struct io *io, struct io_op *op)
{
    world_door();
    uint64_t *busy_ns = &io->job_ns[op->class];
    *busy_ns = u64_max(*busy_ns, sim.now_ns) + disk_delay();
    if (op->class == IO_BACKGROUND && trouble() && dice(8) == 0) /* a deletion of many files stands before it */
        *busy_ns += dice(sim.knobs.stall_ns + 1);
    if (sim.now_ns < sim.slow_until_ns)
        *busy_ns += dice(JOB_SLOW_NS);
    add(io, op, PENDING_JOB, *busy_ns);
}

void io_start(struct io *io, struct io_op *op)
{
    if (op->kind == IO_WRITE || op->kind == IO_SEND)
        lend(io, op);
    switch ((enum io_kind)op->kind) {
    case IO_RECV_POOLED:
        op->len = io->recv_bytes;
        net_start(io, op);
        break;
    case IO_ACCEPT:
    case IO_RECV:
    case IO_SEND: net_start(io, op); break;
    case IO_READ:
    case IO_WRITE:
    case IO_SYNC:
    case IO_ALLOCATE: start_disk(io, op); break;
    case IO_JOB: start_job(io, op); break;
    }
}

/* --- finishing --- */

/* Fewer bytes than asked for: whole pages where the file is direct. */
static uint64_t shorten(const struct io_op *op, uint64_t bytes)
{
    if (!trouble() || bytes < 2 || !chance(sim.knobs.short_rate))
        return bytes;
    uint64_t step = disk_is_direct(op->file->fd) ? PAGE_BYTES : 1;
    uint64_t less = align_down(dice(bytes), step);
    if (less == 0)
        return bytes;
    sim.totals.short_ios++;
    return less;
}

/* Space ahead that is zeroed: no batch begins so. */
static bool is_zeros(const uint8_t *at, uint64_t bytes)
{
    return bytes > 0 && at[0] == 0 && memcmp(at, at + 1, bytes - 1) == 0;
}

static void land(const struct io_op *op, struct disk_node *n, const struct pending *p, uint64_t bytes)
{
    uint64_t whole = bytes_of(op);
    uint8_t *at = p->copy;
    if (!at) {
        at = world_alloc(whole);
        gather(op, at);
    }
    world_note("%llu bytes land at %llu of file %u%s", (unsigned long long)bytes, (unsigned long long)op->off,
               disk_id(n), op->dsync ? ", durably" : "");
    disk_write(n, at, bytes, op->off, disk_is_direct(op->file->fd));
    if (op->dsync && bytes)
        disk_sync_range(n, bytes, op->off);
    if (is_zeros(at, bytes))
        sim.totals.zeroed += bytes;
    world_mix_bytes(at, bytes);
    world_free(at);
}

static int32_t finish_write(struct io_op *op, struct disk_node *n, const struct pending *p)
{
    uint64_t whole = bytes_of(op), bytes = shorten(op, whole);
    if (disk_refuses(n, op->off + bytes)) {
        sim.totals.full++;
        world_free(p->copy);
        return -ENOSPC;
    }
    land(op, n, p, bytes);
    return (int32_t)bytes;
}

static int32_t finish_read(struct io_op *op, const struct disk_node *n)
{
    uint32_t got = disk_read(n, op->buf.at, op->len, op->off);
    uint64_t bytes = shorten(op, got);
    if (bytes < got) /* what was not read is not there */
        memset((uint8_t *)op->buf.at + bytes, 0xdb, got - bytes);
    return (int32_t)bytes;
}

static int32_t finish_allocate(struct io_op *op, struct disk_node *n)
{
    if (!sim.knobs.allocates)
        return -EOPNOTSUPP;
    if (disk_refuses(n, op->off + op->bytes)) {
        sim.totals.full++;
        return -ENOSPC;
    }
    if (op->off + op->bytes > disk_size(n))
        disk_set_size(n, op->off + op->bytes);
    return 0;
}

/* The device fails: some of a write may be there all the same. */
static int32_t finish_broken(struct io_op *op, struct disk_node *n, struct pending *p)
{
    world_note("EIO: kind %u", op->kind);
    if (op->kind == IO_WRITE) {
        op->dsync = false;
        land(op, n, p, align_down(dice(bytes_of(op) + 1), DISK_SECTOR));
    } else if (op->kind == IO_SYNC) {
        disk_sync_failed(n);
    }
    return -EIO;
}

static int32_t finish_disk(struct pending *p)
{
    struct io_op *op = p->op;
    struct disk_node *n = disk_node_of(op->file->fd);
    if (world_breaks())
        return finish_broken(op, n, p);
    switch ((enum io_kind)op->kind) {
    case IO_WRITE: return finish_write(op, n, p);
    case IO_READ: return finish_read(op, n);
    case IO_ALLOCATE: return finish_allocate(op, n);
    case IO_SYNC:
        disk_sync(n, p->mark);
        if (sim.seed % 3)
            disk_flush(p->mark);
        return 0;
    case IO_ACCEPT:
    case IO_RECV:
    case IO_RECV_POOLED:
    case IO_SEND:
    case IO_JOB: break;
    }
    assert(!"not an operation on a file");
    return -EIO;
}

/* The job runs now; its done comes later. */
static void run_job(struct io *io, struct pending *p)
{
    in_job = true;
    bool in_turn = fs_guard_turn(false);
    int32_t res = p->op->job.run(p->op->job.arg);
    (void)fs_guard_turn(in_turn);
    in_job = false;
    door_finish(io, p->op, res, sim.now_ns + dice_between(1000, 100000));
}

static void finish(struct io *io, struct pending p)
{
    if (p.state == PENDING_JOB) {
        run_job(io, &p);
        return;
    }
    int32_t res = p.state == PENDING_READY ? p.res : finish_disk(&p);
    world_mix((uint64_t)p.op->kind << 32 | (uint32_t)res, sim.now_ns);
    give_back(io, p.op);
    p.op->done(p.op, res);
}

/* --- the loop --- */

/* Any of those that are due. */
static bool take_due(struct io *io, struct pending *out)
{
    uint32_t due = 0, pick = 0;
    for (uint32_t i = 0; i < io->count; i++)
        if (io->v[i].due_ns <= sim.now_ns && dice(++due) == 0)
            pick = i;
    if (!due)
        return false;
    *out = io->v[pick];
    io->v[pick] = io->v[--io->count];
    return true;
}

uint32_t io_run(struct io *io, uint64_t wait_ns)
{
    world_door();
    uint32_t ran = 0, most = (uint32_t)dice_between(1, TURN_MAX);
    struct pending p;
    if (io->now_ns)
        *io->now_ns = clock_now_ns();
    for (; ran < most && take_due(io, &p); ran++)
        finish(io, p);
    uint64_t quiet = sim.now_ns > UINT64_MAX - wait_ns ? UINT64_MAX : sim.now_ns + wait_ns;
    io->wake_ns = ran ? sim.now_ns : quiet;
    return ran;
}

uint64_t door_next_ns(const struct io *io)
{
    uint64_t next = io->wake_ns;
    for (uint32_t i = 0; i < io->count; i++)
        next = u64_min(next, io->v[i].due_ns);
    return next;
}

void io_spend(struct io *io, size_t bytes)
{
    (void)io;
    (void)bytes;
}

uint64_t io_spent(const struct io *io)
{
    (void)io;
    return 0;
}

void io_wake(struct io *from, struct io *to)
{
    (void)from;
    to->wake_ns = u64_min(to->wake_ns, sim.now_ns + dice(20000));
}

void io_wake_external(struct io *to)
{
    to->wake_ns = sim.now_ns;
}

/* --- the end of a process --- */

/* A write that the kernel had: it lands whole, or in part, or not at all, and nobody is told. */
static void orphan(const struct pending *p, enum crash_kind kind)
{
    const struct io_op *op = p->op;
    if (p->state != PENDING_DISK || op->kind != IO_WRITE)
        return;
    struct disk_node *n = disk_node_of(op->file->fd);
    uint64_t whole = bytes_of(op);
    uint8_t *at = p->copy;
    if (!at) {
        at = world_alloc(whole);
        gather(op, at);
    }
    world_note("in flight: %llu bytes at %llu of file %u", (unsigned long long)whole, (unsigned long long)op->off,
               disk_id(n));
    if (kind == CRASH_POWER)
        disk_tear(n, at, whole, op->off);
    else if (dice(2))
        disk_write(n, at, dice(3) ? whole : align_down(dice(whole), PAGE_BYTES), op->off, disk_is_direct(op->file->fd));
    world_free(at);
}

void door_broker_died(enum crash_kind kind)
{
    for (uint32_t i = 0; i < engine_count; i++) {
        for (uint32_t k = 0; k < engines[i].lent_count; k++)
            check_unchanged(&engines[i].lent[k]);
        for (uint32_t k = 0; k < engines[i].count; k++)
            orphan(&engines[i].v[k], kind);
        world_free(engines[i].v);
        world_free(engines[i].lent);
        engines[i] = (struct io){0};
    }
    engine_count = 0;
    in_job = false;
    (void)fs_guard_turn(false);
}
