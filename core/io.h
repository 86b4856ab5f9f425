/* The only door to the kernel for sockets and disk on the data path. One `struct io` per shard. Three implementations:
 * core/io_uring.c, core/io_epoll.c (chosen by core/io_engine.c at run time) and the simulator's (chosen by the linker).
 *
 * Every operation has an io_op that the caller owns until its `done` runs. `done` runs later, from io_run, never inside the
 * call that started the op; it may start the op again. `res` is a byte count (or as said below), or a negative errno.
 * A short read or write is possible everywhere: the caller goes on with the rest.
 *
 * On a socket at most one receive (or accept) and one send are pending. Ending a connection: io_shutdown makes every
 * pending op on the socket finish; when none is pending, io_close (never close(2): the engine must forget the number).
 * Memory that an op names stays untouched by the caller until done. iovec arrays too. */
#pragma once
#include "core/err.h"
#include "core/list.h"
#include "core/stat.h"
#include <sys/uio.h>

struct io;
struct io_op;
struct heap;
typedef void io_done_fn(struct io_op *op, int32_t res);

/* A descriptor as the engine sees it: the number, and its slot in the ring's table (-1: none). Embedded by its owner. */
struct io_file {
    int fd;
    int32_t slot;
    bool more; /* the engine's: the last receive left bytes behind, so the next one need not wait for readiness */
    bool writes_wait; /* the kernel may wait before it takes a write of it: a worker begins them, not the loop */
};

enum io_kind {
    IO_ACCEPT,
    IO_RECV,
    IO_RECV_POOLED,
    IO_SEND,
    IO_READ,
    IO_WRITE,
    IO_SYNC,
    IO_ALLOCATE,
    IO_JOB,
};

/* Who waits for a job. Each class has a thread of its own, so that a job of the background never stands before one that an
 * append or a fetch waits for: with one thread a deletion of many files, once begun, would hold up every roll behind it. */
enum io_class {
    IO_URGENT, /* an append or a fetch: rolls, opening files, trimming the log's start, recovery of what was asked for */
    IO_BACKGROUND, /* nobody, or who can wait: deletion, compaction, checkpoints, look-ups by time, the catalog's rewrites,
                    * half of a clean stop */
    IO_CLASSES,
};

struct io_op {
    io_done_fn *done;
    struct list link; /* the engine's */
    struct io_file *file;
    union {
        struct {
            void *at;
        } buf;                   /* RECV, READ, WRITE of one piece; RECV_POOLED: where the bytes are, set before done */
        const struct iovec *iov; /* SEND, WRITE of several pieces */
        struct {
            int32_t (*run)(void *arg);
            void *arg;
        } job;
        uint64_t bytes; /* ALLOCATE */
    };
    uint64_t off;
    uint32_t len;  /* bytes, or pieces of iov */
    uint8_t kind;  /* enum io_kind */
    uint8_t class; /* JOB: enum io_class */
    bool dsync, vector;
    uint8_t way; /* the engine's: enum sync_way, of a durable write */
    int32_t res; /* the engine's */
};

enum io_engine { IO_ENGINE_AUTO, IO_ENGINE_IO_URING, IO_ENGINE_EPOLL };

/* What io_uring may use beyond its basics; each is probed at run time and masked by --io-features=. */
enum io_feature {
    IO_FEATURE_DEFER = 1 << 0,       /* DEFER_TASKRUN (6.1) */
    IO_FEATURE_PBUF = 1 << 1,        /* provided buffer rings (5.19) */
    IO_FEATURE_FIXED = 1 << 2,       /* registered buffers */
    IO_FEATURE_FILES = 1 << 3,       /* registered files for sockets and segments (the lock file always is) */
    IO_FEATURE_MSG_RING = 1 << 4,    /* wake by MSG_RING (5.18), else eventfd */
    IO_FEATURE_SYNC_THREAD = 1 << 5, /* small durable writes may go to a thread (io_sync_route.h) */
    IO_FEATURE_ALL = (1 << 6) - 1,
};

/* Counts how often the loop's thread waited for anything but io_run's own wait: what is submitted there goes out before, so that
 * a submission that blocks is counted too. Costs two system calls per wait. */
struct io_watch {
    struct stat_counter *waits;
    uint64_t seen; /* of thread_waits, when the last wait ended; 0: none has */
};

/* Looking for work before a wait (spin.h), without a system call. The epoll engine does not: each look would be one. */
struct io_spin {
    uint64_t most_ns;                  /* 0: never */
    bool (*has_work)(const void *arg); /* of who runs the engine, asked again and again */
    const void *arg;
    struct stat_counter *looks, *found;
};

struct io_options {
    enum io_engine engine;
    uint32_t features;      /* of enum io_feature */
    uint32_t recv_bytes;    /* size of one pooled receive buffer */
    uint32_t recv_count;    /* how many of them: a power of two */
    struct io_watch *watch; /* NULL: nobody asks; lent until the engine is closed */
    struct io_spin spin;    /* needs now_ns */
    uint64_t *now_ns;       /* NULL, or where io_run stores the time after waiting, before the first done runs */
};

/* On failure *out_why (256 bytes) is a sentence, e.g. why there is no io_uring. AUTO falls back to epoll and leaves the
 * reason in out_why with ERR_NONE ("" when io_uring was granted). Called on the thread that will run it. */
enum err io_open(struct io_options options, struct heap *heap, struct io **out_io, char *out_why) must_use;
void io_close_engine(struct io *io);
const char *io_engine_name(const struct io *io); /* "io_uring" or "epoll" */
/* How long it may look for work before it waits; 0: it does not. */
uint64_t io_spin_ns(const struct io *io);
/* "defer,pbuf" -> bits; ERR_INVALID for an unknown name. "none" and "all" too. */
enum err io_features_parse(const char *text, uint32_t *out_features) must_use;

/* --- files and memory known to the engine; all optional, all may silently do nothing --- */
void io_file_init(struct io_file *f, int fd);
void io_file_attach(struct io *io, struct io_file *f); /* takes a slot if one is free */
void io_file_detach(struct io *io, struct io_file *f);
/* What is locked (flock), `lock` < IO_LOCKS: kept registered until the engine closes, whatever the features (flock outlives kill -9
 * until the last submitted write landed). An error means: do not use this engine. epoll: the open descriptor does it, ERR_NONE. */
enum { IO_LOCKS = 2 };
enum err io_lock_attach(struct io *io, uint32_t lock, int fd) must_use;
/* Memory from which WRITE and READ may be taken as registered buffers. `slab` < IO_SLABS_MAX, and all slabs of an engine lie
 * in one region, slab n SLAB_BYTES * n behind its start: an op finds its slab by address. Refusal is logged once. */
enum { IO_SLABS_MAX = 4096 };
void io_slab_register(struct io *io, uint32_t slab, void *at, size_t bytes);
void io_slab_unregister(struct io *io, uint32_t slab);

/* --- operations --- */
/* res: the new socket, for this engine only, TCP_NODELAY set; the peer is asked with io_socket_names. */
void io_accept(struct io *io, struct io_op *op, struct io_file *listener, io_done_fn *done);
/* res 0: the peer has finished. */
void io_recv(struct io *io, struct io_op *op, struct io_file *f, void *at, uint32_t bytes, io_done_fn *done);
/* Waits for data without holding memory; then op->buf.at points to a pooled buffer with res bytes, which the receiver gives
 * back with io_recv_put (also before the next turn). res <= 0: no buffer was taken. While the pool is empty the op waits. */
void io_recv_pooled(struct io *io, struct io_op *op, struct io_file *f, io_done_fn *done);
void io_recv_put(struct io *io, void *at);
void io_send(struct io *io, struct io_op *op, struct io_file *f, const struct iovec *iov, uint32_t count,
             io_done_fn *done);
void io_read(struct io *io, struct io_op *op, struct io_file *f, void *at, uint32_t bytes, uint64_t off,
             io_done_fn *done);
/* dsync: done means on stable media (RWF_DSYNC). */
void io_write(struct io *io, struct io_op *op, struct io_file *f, const void *at, uint32_t bytes, uint64_t off,
              bool dsync, io_done_fn *done);
void io_writev(struct io *io, struct io_op *op, struct io_file *f, const struct iovec *iov, uint32_t count,
               uint64_t off, bool dsync, io_done_fn *done);
/* fdatasync; covers writes whose done ran before. */
void io_sync(struct io *io, struct io_op *op, struct io_file *f, io_done_fn *done);
/* Space with i_size set (fallocate mode 0). -EOPNOTSUPP where the file system cannot. */
void io_allocate(struct io *io, struct io_op *op, struct io_file *f, uint64_t off, uint64_t bytes, io_done_fn *done);
/* Runs a blocking function (core/fs.h calls, long computations) on the helper thread of that class; res is what it returned.
 * Jobs of one class run one after the other, in order of submission; between the classes there is no order: two jobs that
 * touch the same file wait for each other's done, or are of one class. A job shares nothing with the shard, nor with a job of
 * the other class, but what `arg` lends it. The background's long work is cut into steps, each a job: its class is in order too. */
void io_job(struct io *io, struct io_op *op, enum io_class class, int32_t (*run)(void *arg), void *arg,
            io_done_fn *done);

/* What the calls above end in: takes over a filled-in op. An engine's; nobody else calls it. */
void io_start(struct io *io, struct io_op *op);

/* --- the loop --- */
/* Submits, waits at most wait_ns (0: not at all; UINT64_MAX: until something happens) for a completion or a wake, runs at
 * most a bounded number of done callbacks. Returns how many ran. */
uint32_t io_run(struct io *io, uint64_t wait_ns);
/* What a done does that takes as long as receiving so many bytes does: io_run comes to its end earlier. What is received counts by itself,
 * and so does a slab that is registered. */
void io_spend(struct io *io, size_t bytes);
uint64_t io_spent(const struct io *io); /* so far */
/* Makes another shard's io_run return. Called on `from`'s thread. */
void io_wake(struct io *from, struct io *to);
/* The same from a thread without an engine (signals, main). Async-signal-safe. */
void io_wake_external(struct io *to);

/* --- sockets: the few synchronous calls --- */
enum { IO_NAME_MAX = 64 };
struct io_names {
    char local[IO_NAME_MAX]; /* "127.0.0.1"; v4-mapped addresses shown as IPv4, no brackets */
    char peer[IO_NAME_MAX];
    uint16_t local_port, peer_port;
};
/* A listening socket on one numeric address. `shared` sets SO_REUSEPORT (every shard its own); the first bind of a broker is
 * made without it, so that a foreign listener is found out: ERR_BUSY. Port 0: the kernel chooses; *out_port is the real one.
 * `congestion`: what accepted sockets have for TCP_CONGESTION, a name that io_check_congestion took; NULL: the kernel's default, but
 * reno on a loopback address: there is no way to be measured, and bbr's pacing costs a timer for each burst. */
enum err io_listen(const char *address, uint16_t port, bool shared, const char *congestion, int *out_fd,
                   uint16_t *out_port) must_use;
/* ERR_NOT_FOUND: the kernel knows no such congestion control; ERR_PERMISSION: only with privileges. */
enum err io_check_congestion(const char *name) must_use;
enum err io_socket_names(int fd, struct io_names *out_names) must_use;
/* All numeric addresses of a host name ("" and "::" = all interfaces: "0.0.0.0" and "::"); returns how many. */
uint32_t io_resolve(const char *host, char (*out_addresses)[IO_NAME_MAX], uint32_t max);
/* A numeric address, IPv4 or IPv6 without brackets. Looks nothing up. */
bool io_is_address(const char *text);
void io_shutdown(struct io_file *f);
/* Detaches and closes a socket without pending ops. A file that may be the last of its name is closed by a job (fs_close). */
void io_close(struct io *io, struct io_file *f);
