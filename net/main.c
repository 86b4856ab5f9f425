/* The program: command line -> data folder -> listening sockets -> shards -> start line -> until a signal -> clean stop.
 *
 *   main thread      options, root_open, sockets, then shard 0's loop, then the clean mark
 *   each shard       store_open, server_start, server_listen ... server_close, what was clean, store_close
 *
 * A signal reaches shard 0 through a socket pair, because that is something its engine can wait for. SIGTERM, SIGINT and SIGHUP
 * ask for a clean stop (SIGHUP unless it was ignored at the start, as nohup does); SIGUSR1 and SIGUSR2 are named and ignored. */
#include "core/clock.h"
#include "core/log.h"
#include "core/log_ring.h"
#include "core/map.h"
#include "core/rng.h"
#include "net/api/api.h"
#include "net/api/topology.h"
#include "net/coordinators.h"
#include "net/inspect.h"
#include "net/options.h"
#include "net/shutdown.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EXIT_FAULT = 1,
    EXIT_USAGE = 2,
    ADDRESSES_MAX = 16, /* of one host name */
    SOCKETS_MAX = LISTENERS_MAX * ADDRESSES_MAX,
    PORT_TRIES = 16,     /* to find one port that is free for every address */
    PORT_WAIT_MS = 2000, /* for a port that is taken: by a broker that was just killed? */
    PORT_STEP_MS = 20,
    WHY_BYTES = 512,
};

/* One listening address: a socket for each shard, all on one port or each on its own (net/api/topology.h). */
struct opening {
    const struct listener *listener;
    char address[IO_NAME_MAX];
    uint16_t failed; /* this port was not to be had */
    uint16_t ports[SHARDS_MAX];
    int fds[SHARDS_MAX];
};
/* The partitions that one shard stopped cleanly: in memory of its own, since the shard's is gone when it is read. */
struct clean_list {
    struct partition_name {
        uint8_t topic_id[16];
        int32_t partition;
    } * v;
    uint32_t count;
    size_t bytes;
};
struct broker {
    struct options options;
    struct broker_config config;
    struct topology topology;
    struct heap *heap;
    struct root *root;
    struct shard_group *group;
    struct opening openings[SOCKETS_MAX];
    uint32_t opening_count;
    uint64_t began_ns;
    _Atomic uint32_t started;
    struct clean_list clean[SHARDS_MAX];
    uint8_t *stats; /* mapped, for --stat-file; NULL: nobody asked */
    int stat_fd;
    struct shutdown shutdown;
    struct io_file signals;
    struct io_op signal_op;
    uint8_t signal_byte;
    _Atomic bool stop_failed; /* on some shard, and it was logged */
    char why[WHY_BYTES];
};

static int signal_writer = -1; /* a signal handler has no argument: the one global of the program */

static int print_complaint(const char *what)
{
    log_ring_flush(); /* what was logged before goes before */
    fprintf(stderr, "odradek: %s\n", what);
    return EXIT_FAULT;
}

/* --- signals --- */

static void catch_signal(int number)
{
    static volatile sig_atomic_t again;
    int saved = errno;
    bool asked = number == SIGTERM || number == SIGINT; /* by somebody; a terminal that goes away may say so twice */
    if (asked && again)                                 /* an owner who asks twice does not want to wait */
        _exit(EXIT_FAULT);
    again |= asked;
    uint8_t byte = (uint8_t)number;
    (void)!write(signal_writer, &byte, 1);
    errno = saved;
}

static void handle_signal_byte(struct io_op *op, int32_t res);

static void await_signal(struct broker *b)
{
    io_recv(shard_at(b->group, 0)->io, &b->signal_op, &b->signals, &b->signal_byte, 1, handle_signal_byte);
}

static void handle_signal_byte(struct io_op *op, int32_t res)
{
    struct broker *b = container_of(op, struct broker, signal_op);
    if (res <= 0)
        return;
    if (b->signal_byte == SIGUSR1 || b->signal_byte == SIGUSR2) {
        log_info("signal ignored", "signal=%s", b->signal_byte == SIGUSR1 ? "SIGUSR1" : "SIGUSR2");
        await_signal(b);
        return;
    }
    shutdown_start(&b->shutdown, shard_at(b->group, 0));
}

/* First thing: what ends a process by default and must not end this one. A write beyond the limit of a file's size (SIGXFSZ) or
 * to a reader that went away (SIGPIPE) is an error code. */
static void ignore_signals(void)
{
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        signal(ignored[i], SIG_IGN);
}

static bool catch_signals(void)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_handler = catch_signal, .sa_flags = SA_RESTART}, had;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < COUNT_OF(caught); i++) {
        if (caught[i] == SIGHUP && sigaction(SIGHUP, NULL, &had) == 0 && had.sa_handler == SIG_IGN)
            continue;
        if (sigaction(caught[i], &action, NULL) != 0)
            return false;
    }
    return true;
}

static bool open_signals(struct broker *b)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    signal_writer = pair[1];
    io_file_init(&b->signals, pair[0]);
    return catch_signals();
}

/* --- listening --- */

static void close_opening(const struct broker *b, const struct opening *o)
{
    for (uint16_t i = 0; i < b->options.cores; i++)
        if (o->fds[i] >= 0)
            fs_close(o->fds[i]);
}

/* NULL: the kernel's default. */
static const char *find_congestion(const struct broker *b)
{
    const char *name = broker_config_get(&b->config, "socket.congestion.control");
    return name && name[0] ? name : NULL;
}

static enum err open_shard_socket(const struct broker *b, struct opening *o, uint16_t shard, uint16_t port, bool shared)
{
    enum err err = io_listen(o->address, port, shared, find_congestion(b), &o->fds[shard], &o->ports[shard]);
    if (err)
        o->failed = port;
    return err;
}

/* The first socket is bound alone, which finds out a foreign listener; with several shards it then gives way to shared ones. */
static enum err open_shared_sockets(const struct broker *b, struct opening *o, uint16_t port)
{
    enum err err = open_shard_socket(b, o, 0, port, false);
    if (err || b->options.cores == 1)
        return err;
    fs_close(o->fds[0]);
    o->fds[0] = -1;
    port = o->ports[0];
    for (uint16_t i = 0; i < b->options.cores && !err; i++)
        err = open_shard_socket(b, o, i, port, true);
    return err;
}

/* `ports`: where each shard is to listen; 0: anywhere. */
static enum err open_address_sockets(const struct broker *b, struct opening *o, const uint16_t *ports)
{
    enum err err = ERR_NONE;
    for (uint16_t i = 0; i < b->options.cores; i++)
        o->fds[i] = -1;
    if (!b->topology.per_core)
        err = open_shared_sockets(b, o, ports[0]);
    for (uint16_t i = 0; b->topology.per_core && i < b->options.cores && !err; i++)
        err = open_shard_socket(b, o, i, ports[i], false);
    if (err)
        close_opening(b, o);
    return err;
}

/* Is it one of our own listeners that has this port? NULL: no. */
static const struct opening *find_own_opening(const struct broker *b, const struct opening *failed)
{
    for (uint32_t i = 0; i < b->opening_count; i++)
        for (uint16_t k = 0; k < b->options.cores; k++)
            if (b->openings[i].ports[k] == failed->failed && b->openings[i].listener != failed->listener)
                return &b->openings[i];
    return NULL;
}

static int explain_no_listening(const struct broker *b, const struct opening *o, enum err err)
{
    char what[WHY_BYTES], hint[WHY_BYTES / 2];
    const struct opening *own = err == ERR_BUSY ? find_own_opening(b, o) : NULL;
    const char *more = b->topology.per_core ? " (with listeners.per.core=true each core takes one more)" : "";
    if (own)
        snprintf(hint, sizeof hint, "%s has that port already: leave more between the two in listeners=%s",
                 own->listener->name, more);
    else if (err == ERR_BUSY)
        snprintf(hint, sizeof hint, "another program listens there: stop it, or choose another port with listeners=%s",
                 more);
    else if (err == ERR_PERMISSION)
        snprintf(hint, sizeof hint, "this port needs privileges: choose one above 1023 with listeners=%s", more);
    else
        snprintf(hint, sizeof hint, "choose another address with listeners=");
    snprintf(what, sizeof what, "cannot listen on %s port %u (%s); %s", o->address, o->failed, err_text(err), hint);
    return print_complaint(what);
}

/* Does this machine lack the address (no IPv6, for example)? Then the name's other addresses do. */
static bool is_address_absent(enum err err)
{
    return err != ERR_BUSY && err != ERR_PERMISSION && err != ERR_TOO_MANY_FILES && err != ERR_NO_MEMORY;
}

/* All addresses of a host on the same port. ERR_BUSY with port 0: the kernel's choice was taken on another address; again. */
static enum err open_host_sockets(struct broker *b, const struct listener *l, char (*names)[IO_NAME_MAX],
                                  uint32_t count, struct opening *out_failed)
{
    uint32_t first = b->opening_count;
    uint16_t ports[SHARDS_MAX];
    enum err err = ERR_NOT_FOUND;
    for (uint16_t i = 0; i < b->options.cores; i++)
        ports[i] = topology_port(&b->topology, l, i);
    for (uint32_t i = 0; i < count && b->opening_count < SOCKETS_MAX; i++) {
        struct opening *o = &b->openings[b->opening_count];
        *o = (struct opening){.listener = l};
        memcpy(o->address, names[i], sizeof o->address);
        enum err e = open_address_sockets(b, o, ports);
        *out_failed = *o;
        if (e && !is_address_absent(e)) {
            while (b->opening_count > first)
                close_opening(b, &b->openings[--b->opening_count]);
            return e;
        }
        if (e) {
            err = err == ERR_NONE ? ERR_NONE : e;
            continue;
        }
        err = ERR_NONE;
        memcpy(ports, o->ports, sizeof ports);
        b->opening_count++;
    }
    topology_opened(&b->topology, (uint32_t)(l - b->config.listeners), ports);
    return err;
}

static int open_listener(struct broker *b, const struct listener *l)
{
    char names[ADDRESSES_MAX][IO_NAME_MAX];
    struct opening failed = {0};
    uint32_t count = io_resolve(l->host, names, ADDRESSES_MAX);
    if (count == 0) {
        char what[WHY_BYTES];
        snprintf(what, sizeof what, "cannot find an address for the host name \"%s\" in listeners=", l->host);
        return print_complaint(what);
    }
    enum err err = open_host_sockets(b, l, names, count, &failed);
    for (int i = 1; err == ERR_BUSY && l->port == 0 && i < PORT_TRIES; i++)
        err = open_host_sockets(b, l, names, count, &failed);
    /* After kill -9 the kernel gives a ring's sockets back some tens of milliseconds late. */
    for (int i = 0; err == ERR_BUSY && l->port != 0 && i < PORT_WAIT_MS / PORT_STEP_MS; i++) {
        clock_sleep_ms(PORT_STEP_MS);
        err = open_host_sockets(b, l, names, count, &failed);
    }
    return err ? explain_no_listening(b, &failed, err) : 0;
}

/* Those that this process may choose. */
static void list_congestions(char *out, size_t bytes)
{
    char text[WHY_BYTES / 2] = "", *rest = text;
    int fd;
    size_t got = 0, used = 0;
    out[0] = 0;
    if (fs_open("/proc/sys/net/ipv4/tcp_available_congestion_control", FS_READ, &fd) == ERR_NONE) {
        if (fs_read(fd, text, sizeof text - 1, 0, &got) != ERR_NONE)
            text[0] = 0;
        fs_close(fd);
    }
    for (const char *name; (name = strsep(&rest, " \n")) && used < bytes;)
        if (name[0] && io_check_congestion(name) == ERR_NONE) {
            int n = snprintf(out + used, bytes - used, " %s", name);
            used += n > 0 ? (size_t)n : 0;
        }
}

static int check_congestion(const struct broker *b)
{
    char what[WHY_BYTES], names[WHY_BYTES / 2];
    const char *name = find_congestion(b);
    enum err err = name ? io_check_congestion(name) : ERR_NONE;
    if (!err)
        return 0;
    list_congestions(names, sizeof names);
    snprintf(what, sizeof what, "socket.congestion.control=%.60s: %s; leave it out, or choose one of these:%s", name,
             err == ERR_PERMISSION  ? "that takes privileges (net.ipv4.tcp_allowed_congestion_control)"
             : err == ERR_NOT_FOUND ? "this kernel has no congestion control of that name"
                                    : err_text(err),
             names);
    return print_complaint(what);
}

static int open_listeners(struct broker *b)
{
    for (uint32_t i = 0; i < b->config.listener_count; i++) {
        int fault = open_listener(b, &b->config.listeners[i]);
        if (fault)
            return fault;
    }
    return 0;
}

/* --- each shard --- */

static const char *shown_listener_host(const struct listener *l)
{
    return l->host[0] ? l->host : "localhost";
}

/* Every address that is listened on. */
static void list_openings(const struct broker *b, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < b->opening_count && used < bytes; i++) {
        const struct opening *o = &b->openings[i];
        bool six = strchr(o->address, ':'), all = strcmp(o->address, "0.0.0.0") == 0 || strcmp(o->address, "::") == 0;
        for (uint16_t k = 0; k < b->topology.nodes && used < bytes; k++) {
            int n = snprintf(out + used, bytes - used, "%s%s%s%s:%u%s", i || k ? "," : "", six ? "[" : "", o->address,
                             six ? "]" : "", o->ports[k], all ? " (all interfaces)" : "");
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

static void log_started(const struct broker *b, const struct shard *s)
{
    char listening[1024], nodes[32] = "";
    int32_t first_id = b->topology.ids[0];
    if (b->topology.per_core)
        snprintf(nodes, sizeof nodes, " nodes=%d-%d", first_id, first_id + b->topology.nodes - 1);
    list_openings(b, listening, sizeof listening);
    const struct opening *first = &b->openings[0];
    const char *host = shown_listener_host(first->listener), *why = shard_group_why(b->group);
    bool six = strchr(host, ':'), caching = catalog_file_config(b->root->catalog)->topic_defaults.write_caching;
    log_info("started",
             "address=%s%s%s:%u listening=\"%s\" engine=%s%s%s%s disk=%s ack=%s route=%s%s%s%s cores=%u%s spin_us=%u "
             "data=%s "
             "took_ms=%llu",
             six ? "[" : "", host, six ? "]" : "", first->ports[0], listening, io_engine_name(s->io),
             why[0] ? " why=\"" : "", why, why[0] ? "\"" : "", b->root->direct ? "direct" : "buffered",
             caching ? "crash-safe" : "durable", b->root->redo.fd >= 0 ? "shm" : "written",
             b->root->redo.why[0] ? " route_why=\"" : "", b->root->redo.why, b->root->redo.why[0] ? "\"" : "",
             b->options.cores, nodes, (unsigned)(io_spin_ns(s->io) / 1000), b->config.data_dir,
             (unsigned long long)((clock_now_ns() - b->began_ns) / NS_PER_MS));
}

static enum err listen_on_openings(struct broker *b, struct shard *s)
{
    for (uint32_t i = 0; i < b->opening_count; i++) {
        enum err err = server_listen(server_of(s), b->openings[i].fds[s->id], b->openings[i].listener);
        if (err)
            return err;
    }
    return ERR_NONE;
}

static enum err start_shard(struct shard *s, void *arg)
{
    struct broker *b = arg;
    enum err err = store_open(s, b->root);
    if (err)
        return err;
    err = server_start(s, b->root, &b->topology, &api_dispatcher);
    if (!err)
        err = coordinators_start(server_of(s));
    if (!err)
        err = listen_on_openings(b, s);
    if (err)
        return err;
    if (s->id == 0) {
        io_file_attach(s->io, &b->signals);
        await_signal(b);
    }
    if (atomic_fetch_add(&b->started, 1) + 1 == b->options.cores)
        log_started(b, s);
    return ERR_NONE;
}

static void note_clean_partition(void *arg, const uint8_t topic_id[16], int32_t partition)
{
    struct clean_list *list = arg;
    assert((list->count + 1) * sizeof *list->v <= list->bytes);
    struct partition_name *name = &list->v[list->count++];
    memcpy(name->topic_id, topic_id, sizeof name->topic_id);
    name->partition = partition;
}

/* False: no memory. */
static bool note_clean_partitions(struct clean_list *list, const struct store *st)
{
    list->bytes = (st->partitions.count + 1) * sizeof *list->v;
    list->v = region_open(list->bytes);
    if (list->v)
        store_each_clean(st, note_clean_partition, list);
    return list->v;
}

static void stop_shard(struct shard *s, void *arg)
{
    struct broker *b = arg;
    if (!note_clean_partitions(&b->clean[s->id], store_of(s)) || store_of(s)->log.stop_failed)
        atomic_store(&b->stop_failed, true);
    coordinators_close(server_of(s));
    server_close(server_of(s));
    store_close(store_of(s));
}

/* --- the end --- */

/* Only after a stop that ran to its end; whatever is missing from the mark is recovered at the next start. Returns the exit code. */
static int write_clean_mark(struct broker *b)
{
    enum err err = ERR_NONE;
    if (b->shutdown.step != SHUTDOWN_LOOPS)
        return EXIT_FAULT;
    for (uint16_t i = 0; i < b->options.cores; i++)
        for (uint32_t k = 0; k < b->clean[i].count && !err; k++)
            err = root_mark_add(b->root, b->clean[i].v[k].topic_id, b->clean[i].v[k].partition);
    if (!err)
        err = root_mark_write(b->root);
    bool failed = err || atomic_load(&b->stop_failed);
    if (err)
        log_error("no clean mark", "because %s; the next start recovers", err_text(err));
    else if (failed)
        log_error("stopped", "data=%s effect=\"not all of it cleanly: the next start recovers the rest\"",
                  b->config.data_dir);
    else
        log_info("stopped", "data=%s", b->config.data_dir);
    return failed ? EXIT_FAULT : 0;
}

static void free_clean_lists(struct broker *b)
{
    for (uint16_t i = 0; i < b->options.cores; i++)
        if (b->clean[i].v)
            region_close(b->clean[i].v, b->clean[i].bytes);
}

static struct shard_options make_shard_options(struct broker *b)
{
    return (struct shard_options){
        .count = b->options.cores,
        .io = {.engine = b->options.engine,
               .features = b->options.io_features,
               .recv_bytes = IO_RECV_BYTES,
               .recv_count = IO_RECV_COUNT,
               .spin = {.most_ns = b->options.spin_us * 1000ull}},
        .stats = b->stats,
        .stat_rows = b->stats ? b->stats + b->options.cores * (size_t)STATS_BYTES : NULL,
        .stat_fd = b->stat_fd,
        .watch = b->stats,
        .memory_bytes = b->options.memory_bytes / b->options.cores,
        .cpus = b->options.pinned ? b->options.cpus : NULL,
        .start = start_shard,
        .stop = stop_shard,
        .arg = b,
    };
}

static int open_stat_file(struct broker *b)
{
    char what[WHY_BYTES];
    if (!b->options.stat_file)
        return 0;
    size_t blocks = b->options.cores * (size_t)STATS_BYTES, rows = b->options.cores * (size_t)STAT_ROWS_BYTES;
    void *at;
    enum err err = fs_map(b->options.stat_file, blocks + rows, blocks, &b->stat_fd, &at);
    b->stats = err ? NULL : at;
    snprintf(what, sizeof what, "cannot write the file %s of --stat-file: %s", b->options.stat_file, err_text(err));
    return err ? print_complaint(what) : 0;
}

static int run_shards(struct broker *b)
{
    enum err err = shard_group_open(make_shard_options(b), &b->group);
    if (err)
        return print_complaint("there is not enough memory to start");
    err = shard_group_run(b->group);
    char what[2 * WHY_BYTES];
    snprintf(what, sizeof what, "cannot start: %s; %s", err_text(err), shard_group_why(b->group));
    int code = err ? print_complaint(what) : write_clean_mark(b);
    free_clean_lists(b);
    shard_group_close(b->group);
    return code;
}

static int serve_folder(struct broker *b)
{
    if (log_ring_start())
        return print_complaint("there is not enough memory to start: no thread for the log");
    if (!topology_init(&b->topology, &b->config, b->options.cores, b->why))
        return print_complaint(b->why);
    int code = check_congestion(b);
    if (code)
        return code;
    if (root_open(&b->config, b->heap, &b->root, b->why))
        return print_complaint(b->why);
    code = open_listeners(b);
    if (!code)
        code = open_stat_file(b);
    if (!code && !open_signals(b))
        code = print_complaint("cannot prepare for signals");
    if (!code)
        code = run_shards(b);
    root_close(b->root);
    return code;
}

static int run_command(struct broker *b, int argc, char **argv)
{
    enum options_kind kind = options_parse(argc, argv, &b->config, &b->options, b->why);
    switch (kind) {
    case OPTIONS_SERVE: return serve_folder(b);
    case OPTIONS_CHECK:
    case OPTIONS_REPAIR: return inspect_folder(kind == OPTIONS_REPAIR, b->heap, &b->config);
    case OPTIONS_ADOPT: return inspect_adopt(&b->options, b->heap, &b->config);
    case OPTIONS_HELP: fputs(options_help(), stdout); return 0;
    case OPTIONS_VERSION: puts(options_version()); return 0;
    case OPTIONS_USAGE: print_complaint(b->why); return EXIT_USAGE;
    case OPTIONS_FAULT: return print_complaint(b->why);
    }
    assert(!"a kind of command line");
    return EXIT_FAULT;
}

/* First thing: a descriptor that was closed at the start would be given to the first file that we open, and what is printed or
 * logged would be written into it. */
static bool open_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    return fd >= 0 && close(fd) == 0;
}

int main(int argc, char **argv)
{
    if (!open_standard_descriptors())
        return print_complaint("cannot open /dev/null");
    ignore_signals();
    hash_seed(rng_seed_os());
    struct heap *heap = heap_open();
    struct broker *b = heap ? heap_zalloc(heap, sizeof *b) : NULL;
    if (!b)
        return print_complaint("there is not enough memory to start");
    b->began_ns = clock_now_ns();
    b->heap = heap;
    broker_config_init(&b->config, heap);
    int code = run_command(b, argc, argv);
    log_ring_stop();
    broker_config_deinit(&b->config);
    heap_close(heap);
    return code;
}
