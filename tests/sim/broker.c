/* Starting, turning, stopping, killing. Mirrors what net/main.c does around the shards. */
#include "tests/sim/broker.h"
#include "core/fs_guard.h"
#include "core/limits.h"
#include "core/list.h"
#include "net/api/api.h"
#include "net/api/topology.h"
#include "net/coordinators.h"
#include "net/server.h"
#include "net/shutdown.h"
#include "storage/clean/dedupe.h"
#include "storage/log/partition_state.h"
#include "tests/sim/disk.h"
#include "tests/sim/net_sim.h"
#include "tests/sim/oracle.h"
#include "tests/sim/shared.h"
#include "tests/sim/txn_truth.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { MEMORY_MIN_MIB = 8, SHARDS_TRIED = 3 };

/* Lives in the broker's heaps, but for this struct: zeroed when it dies. */
static struct {
    enum broker_state state;
    struct heap *heap;
    struct broker_config *config;
    struct root *root;
    struct topology topology;
    struct shard_group *group;
    struct shutdown shutdown;
    uint64_t busy_until_ns[SHARDS_MAX];
    bool ended[SHARDS_MAX];
    uint32_t opened, power_cuts;
    uint64_t up_since_ns, died_ns;
    bool stopped; /* down after a clean stop to which nothing came in the way */
    char why[CONFIG_WHY_BYTES];
} broker;

void broker_begin(void)
{
    world_free_broker();
    memset(&broker, 0, sizeof broker);
}

enum broker_state broker_state(void)
{
    return broker.state;
}

uint32_t broker_power_cuts(void)
{
    return broker.power_cuts;
}

uint64_t broker_ends(void)
{
    return sim.totals.kills + sim.totals.power_cuts + sim.totals.clean_stops;
}

/* --- the end --- */

static const struct log_store *log_store_at(uint16_t shard)
{
    return &store_of(shard_at(broker.group, shard))->log;
}

/* What of its partitions this broker made stable: until when it was written. (All other things the oracle knows from clients; but
 * these do not see when a partition's turn to be recovered comes.) */
static void tell_synced(uint64_t until_ns)
{
    for (uint16_t i = 0; broker.state != BROKER_DOWN && i < sim.knobs.shards; i++) {
        if (!shard_at(broker.group, i)->store)
            continue;
        const struct log_store *ls = log_store_at(i);
        for (uint32_t k = 0; k < ls->count; k++) {
            const struct partition *p = ls->all[k];
            if (p->recovery.done && p->condition != PARTITION_OFFLINE)
                oracle_synced(p->topic->name, p->index, until_ns);
        }
    }
}

static bool is_recovered(const struct partition *p)
{
    return p->recovery.done && p->condition == PARTITION_OPEN;
}

bool broker_has_recovered(const char *topic, int32_t index)
{
    for (uint16_t i = 0; broker.state == BROKER_UP && i < sim.knobs.shards; i++) {
        const struct log_store *ls = log_store_at(i);
        for (uint32_t k = 0; k < ls->count; k++)
            if (ls->all[k]->index == index && strcmp(ls->all[k]->topic->name, topic) == 0)
                return is_recovered(ls->all[k]);
    }
    return false;
}

int32_t broker_shard_of(const char *topic, int32_t index)
{
    for (uint16_t i = 0; broker.state == BROKER_UP && i < sim.knobs.shards; i++) {
        const struct log_store *ls = log_store_at(i);
        for (uint32_t k = 0; k < ls->count; k++)
            if (ls->all[k]->index == index && strcmp(ls->all[k]->topic->name, topic) == 0)
                return i;
    }
    return -1;
}

bool broker_has_recovered_all(void)
{
    for (uint16_t i = 0; broker.state == BROKER_UP && i < sim.knobs.shards; i++) {
        const struct log_store *ls = log_store_at(i);
        for (uint32_t k = 0; k < ls->count; k++)
            if (!is_recovered(ls->all[k]))
                return false;
    }
    return broker.state == BROKER_UP;
}

/* The present broker's, or when it is down the last one's. */
static void tell_oracle(void)
{
    oracle_power_cut(broker.up_since_ns, broker.state == BROKER_DOWN ? broker.died_ns : sim.now_ns);
    truth_power_cut();
}

static void died(enum crash_kind kind)
{
    uint64_t up_since_ns = broker.up_since_ns, died_ns = broker.state == BROKER_DOWN ? broker.died_ns : sim.now_ns;
    tell_synced(up_since_ns);
    if (kind == CRASH_POWER)
        tell_oracle();
    uint32_t power_cuts = broker.power_cuts + (kind == CRASH_POWER);
    sim.crashable = false;
    sim.crash_in = 0;
    sim.totals.kills += kind == CRASH_KILL;
    sim.totals.power_cuts += kind == CRASH_POWER;
    sim.totals.start_crashes += broker.state == BROKER_DOWN;
    world_note("%s%s", kind == CRASH_KILL ? "kill -9" : "power cut",
               broker.state == BROKER_DOWN ? " while starting" : "");
    door_broker_died(kind);
    net_broker_died();
    disk_crash(kind);
    world_free_broker();
    memset(&broker, 0, sizeof broker);
    broker.power_cuts = power_cuts;
    broker.up_since_ns = up_since_ns;
    broker.died_ns = died_ns;
}

void broker_kill(enum crash_kind kind)
{
    assert(broker.state != BROKER_DOWN);
    died(kind);
}

void broker_power_cut_while_down(void)
{
    assert(broker.state == BROKER_DOWN);
    world_note("power cut while down, after a %s", broker.stopped ? "clean stop" : "crash");
    sim.totals.power_cuts++;
    disk_crash(CRASH_POWER);
    tell_oracle();
    broker.power_cuts++;
}

/* --- the start --- */

static enum err set(const char *name, const char *value)
{
    return broker_config_set(broker.config, name, value, "simulator", broker.why);
}

static enum err configure(void)
{
    broker.heap = heap_open();
    broker.config = broker.heap ? heap_zalloc(broker.heap, sizeof *broker.config) : NULL;
    if (!broker.config)
        return ERR_NO_MEMORY;
    broker_config_init(broker.config, broker.heap);
    enum err err = set("log.dirs", "data");
    if (!err)
        err = set("listeners", "PLAINTEXT://127.0.0.1:9092");
    if (!err)
        err = set("listeners.per.core", sim.knobs.per_core ? "true" : "false");
    if (!err)
        err = set("offsets.topic.num.partitions", "4");
    if (!err)
        err = set("offsets.topic.segment.bytes", "16384");
    if (!err)
        err = set("transaction.state.log.num.partitions", "4");
    if (!err)
        err = set("transaction.state.log.segment.bytes", "16384");
    if (!err)
        err = set("transaction.abort.timed.out.transaction.cleanup.interval.ms", "50");
    if (!err)
        err = set("group.min.session.timeout.ms", "10");
    if (!err) /* clocks step by more than the hour that is the default */
        err = set("log.message.timestamp.after.max.ms", "9223372036854775807");
    if (!err)
        err = set("log.initial.task.delay.ms", "10");
    if (!err)
        err = set("log.retention.check.interval.ms", "40");
    if (!err)
        err = set("log.cleaner.backoff.ms", "20");
    if (!err && dice(2)) { /* a map that takes more than one pass */
        char bytes[24];
        snprintf(bytes, sizeof bytes, "%u", (unsigned)(sim.knobs.shards * DEDUPE_SLOT_BYTES * dice_between(3, 6)));
        err = set("log.cleaner.dedupe.buffer.size", bytes);
    }
    if (!err)
        err = set("disk.io", sim.knobs.direct ? "direct" : "buffered");
    if (!err)
        err = set("crash.dir", SHARED_DIR);
    if (!err) /* now and then a life goes the other way */
        err = set("crash.route", sim.knobs.shared && dice(8) ? "auto" : "written");
    return err ? err : broker_config_finish(broker.config, broker.why);
}

static enum err start_shard(struct shard *s, void *arg)
{
    int fd;
    uint16_t port;
    const struct listener *l = &broker.config->listeners[0];
    enum err err = store_open(s, arg);
    if (!err)
        err = server_start(s, arg, &broker.topology, &api_dispatcher);
    if (!err)
        err = coordinators_start(server_of(s));
    if (!err)
        err = io_listen("127.0.0.1", topology_port(&broker.topology, l, s->id), !sim.knobs.per_core, NULL, &fd, &port);
    return err ? err : server_listen(server_of(s), fd, l);
}

/* As main.c knows them when it has opened all listeners. */
static void tell_ports(void)
{
    uint16_t ports[SHARDS_MAX];
    for (uint16_t i = 0; i < sim.knobs.shards; i++)
        ports[i] = topology_port(&broker.topology, &broker.config->listeners[0], i);
    topology_opened(&broker.topology, 0, ports);
}

static void mark(void *arg, const uint8_t topic_id[16], int32_t partition)
{
    bool *good = arg;
    *good = *good && root_mark_add(broker.root, topic_id, partition) == ERR_NONE;
}

static void stop_shard(struct shard *s, void *arg)
{
    bool good = true;
    (void)arg;
    store_each_clean(store_of(s), mark, &good);
    coordinators_close(server_of(s));
    server_close(server_of(s));
    store_close(store_of(s));
}

static enum err open_shards(void)
{
    const struct shard_options options = {
        .count = sim.knobs.shards,
        .io = {.features = IO_FEATURE_ALL, .recv_bytes = IO_RECV_BYTES, .recv_count = IO_RECV_COUNT},
        .memory_bytes = (size_t)(MEMORY_MIN_MIB << sim.seed % 3) * 1024 * 1024,
        .start = start_shard,
        .stop = stop_shard,
        .arg = broker.root,
    };
    enum err err = shard_group_open(options, &broker.group);
    for (uint16_t i = 0; !err && i < sim.knobs.shards; i++) {
        err = shard_open(broker.group, i);
        broker.opened += !err;
    }
    return err;
}

static enum err start(void)
{
    hash_seed(rng_seed_os());
    enum err err = configure();
    if (!err && !topology_init(&broker.topology, broker.config, sim.knobs.shards, broker.why))
        err = ERR_INVALID;
    if (!err)
        tell_ports();
    if (!err)
        err = root_open(broker.config, broker.heap, &broker.root, broker.why);
    return err ? err : open_shards();
}

bool broker_start(void)
{
    assert(broker.state == BROKER_DOWN);
    if (setjmp(sim.on_crash)) {
        died(sim.crash_kind);
        return false;
    }
    broker.stopped = false;
    shared_start();
    if (sim.knobs.reshards)
        sim.knobs.shards = (uint16_t)dice_between(1, SHARDS_TRIED);
    sim.slow_until_ns = sim.now_ns + sim.knobs.slow_start_ns;
    sim.crashable = true;
    enum err err = start();
    sim.crashable = false;
    if (err) {
        world_check(trouble(), "the broker does not start although nothing fails any more: %s: %s", err_text(err),
                    broker.why);
        world_note("start failed: %s: %s", err_text(err), broker.why);
        died(CRASH_KILL);
        return false;
    }
    broker.state = BROKER_UP;
    broker.up_since_ns = sim.now_ns;
    world_note("broker is up: epoch %d", broker.root->leader_epoch);
    return true;
}

/* --- turns --- */

static bool more_to_do(const struct shard *s)
{
    return !list_empty(&s->deferred) || !list_empty(&s->deferred_last) || s->touched || s->outbox_used & 1ull << s->id;
}

static uint64_t next_of(uint16_t id)
{
    const struct shard *s = shard_at(broker.group, id);
    if (broker.ended[id])
        return UINT64_MAX;
    uint64_t timer = timers_next(&s->timers); /* on a clock that stands while the machine sleeps */
    if (timer != TIMER_NEVER)
        timer += sim.asleep_ns;
    uint64_t next = more_to_do(s) ? 0 : u64_min(door_next_ns(s->io), timer);
    return u64_max(next, broker.busy_until_ns[id]);
}

uint64_t broker_next_ns(void)
{
    uint64_t next = UINT64_MAX;
    for (uint16_t i = 0; broker.state != BROKER_DOWN && i < sim.knobs.shards; i++)
        next = u64_min(next, next_of(i));
    return next;
}

static uint16_t choose_shard(void)
{
    uint16_t chosen = 0;
    uint64_t best = UINT64_MAX;
    uint16_t first = (uint16_t)dice(sim.knobs.shards);
    for (uint16_t k = 0; k < sim.knobs.shards; k++) {
        uint16_t i = (uint16_t)((first + k) % sim.knobs.shards);
        if (next_of(i) < best) {
            best = next_of(i);
            chosen = i;
        }
    }
    return chosen;
}

static bool all_ended(void)
{
    for (uint16_t i = 0; i < sim.knobs.shards; i++)
        if (!broker.ended[i])
            return false;
    return true;
}

static void close_all(void)
{
    bool good = !world_disk_fails() && !world_disk_fills();
    if (good)
        tell_synced(sim.now_ns);
    for (uint16_t i = 0; i < sim.knobs.shards; i++)
        shard_close(shard_at(broker.group, i));
    enum err err = root_mark_write(broker.root);
    world_check(!err || trouble(), "the clean mark could not be written although nothing fails any more: %s",
                err_text(err));
    root_close(broker.root);
    shard_group_close(broker.group);
    uint32_t power_cuts = broker.power_cuts;
    uint64_t up_since_ns = broker.up_since_ns;
    sim.crashable = false;
    sim.totals.clean_stops++;
    world_note("stopped cleanly");
    net_broker_died();
    door_broker_died(CRASH_KILL); /* nothing is pending */
    disk_crash(CRASH_KILL);       /* closes what is open */
    world_free_broker();
    memset(&broker, 0, sizeof broker);
    broker.power_cuts = power_cuts;
    broker.up_since_ns = up_since_ns;
    broker.died_ns = sim.now_ns;
    broker.stopped = good;
}

static void turn(void)
{
    uint16_t id = choose_shard();
    struct shard *s = shard_at(broker.group, id);
    (void)fs_guard_turn(true);
    bool more = shard_turn(s, UINT64_MAX);
    (void)fs_guard_turn(false);
    atomic_store(&s->sleeping, true); /* as it is while a real one waits in io_run: messages wake it */
    shard_check(s);
    if (s->store)
        store_check(s->store);
    if (s->net)
        sessions_check(&((struct server *)s->net)->sessions);
    broker.busy_until_ns[id] = sim.now_ns + dice_between(500, 15000);
    broker.ended[id] = !more;
    world_mix(id, sim.now_ns);
    if (!more && all_ended())
        close_all();
}

void broker_turn(void)
{
    if (setjmp(sim.on_crash)) {
        died(sim.crash_kind);
        return;
    }
    sim.crashable = true;
    turn();
    sim.crashable = false;
}

void broker_pause(uint64_t until_ns)
{
    for (uint16_t i = 0; i < SHARDS_MAX; i++)
        broker.busy_until_ns[i] = until_ns;
}

void broker_stop(void)
{
    assert(broker.state == BROKER_UP);
    world_note("clean stop begins");
    broker.state = BROKER_STOPPING;
    shutdown_start(&broker.shutdown, shard_at(broker.group, 0));
}
