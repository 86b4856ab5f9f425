/* The simulator: runs seeds.
 *
 *   sim SEED | FROM-TO [--verify] [--trace] [--quiet] [--keep-going] [--scarce]
 *   sim SEED | FROM-TO [--plant NAME]      where all planted bugs are in it (PLANT=any)
 *   sim SEED | FROM-TO --fail-io | --fail-room | --fail-open | --fail-alloc [--every N] [--at N [--for-good]]
 *
 * A seed: trouble (faults, crashes, restarts) -> healed (everything must make progress) -> a restart -> everything is read
 * back and judged. --verify runs each seed twice and compares the hashes of all that happened; without it every 50th seed is.
 * --fail-...: a short course without other trouble (start, topics, produce, groups, administration, clean stop, kill -9, power
 * cut, recoveries); of all its operations on the disk, growths of a file, opens, or requests for memory each one fails (each Nth),
 * once, and in another run it and all that follow until the trouble ends. The rest is as for every seed.
 * Ends with 1 when a seed failed, and when nothing was acknowledged or compared. */
#include "tests/sim/broker.h"
#include "tests/sim/disk.h"
#include "tests/sim/door_io.h"
#include "tests/sim/keeper.h"
#include "tests/sim/keyed.h"
#include "tests/sim/members.h"
#include "tests/sim/net_sim.h"
#include "tests/sim/oracle.h"
#include "tests/sim/peer.h"
#include "tests/sim/producer.h"
#include "tests/sim/reader.h"
#include "tests/sim/transactions.h"
#include "tests/sim/turnover.h"
#include <sys/time.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { VERIFY_EVERY = 50, SEED_SECONDS_MAX = 60, MESSAGE_BYTES = 400 };

#define LIVENESS_NS (120 * NS_PER_S) /* of simulated time: everything has ended by then */
#define STEPS_MAX 5000000ull         /* doors passed: a loop that never sleeps */

#define PLANT_NAME(name) #name,
static const char *const plant_names[] = {PLANTED_BUGS(PLANT_NAME)};
#ifdef PLANT_ANY
bool planted_bugs[PLANT_COUNT];

static bool choose_plant(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(plant_names); i++)
        if (strcmp(plant_names[i], name) == 0)
            return planted_bugs[i] = true;
    return false;
}
#endif

#define PLANT_IS(name) PLANTED(name),
static const char *plant(void)
{
    const bool is[] = {PLANTED_BUGS(PLANT_IS)};
    for (size_t i = 0; i < COUNT_OF(is); i++)
        if (is[i])
            return plant_names[i];
    return NULL;
}

static const char *const fault_options[] = {
    [FAULT_IO] = "--fail-io",
    [FAULT_ROOM] = "--fail-room",
    [FAULT_OPEN] = "--fail-open",
    [FAULT_MEMORY] = "--fail-alloc",
};

static void print_replay(void)
{
    printf("replay: make sim SEED=%" PRIu64, sim.seed);
    if (plant())
        printf(" PLANT=%s", plant());
    if (sim.fault.kind)
        printf(" ARGS=\"%s --at %" PRIu64 "%s\"", fault_options[sim.fault.kind], sim.fault.at,
               sim.fault.for_good ? " --for-good" : "");
    else if (sim.scarce)
        printf(" ARGS=--scarce");
    putchar('\n');
    fflush(stdout);
}

/* --- the course of a seed --- */

static void step(void)
{
    uint64_t broker_ns = broker_next_ns(), event_ns = events_next();
    uint64_t next = u64_min(broker_ns, event_ns);
    world_check(next != UINT64_MAX, "nothing is left to happen");
    world_check(sim.steps < STEPS_MAX, "the broker works without end");
    sim.now_ns = u64_max(sim.now_ns, next);
    if (event_ns <= broker_ns)
        events_run_one();
    else
        broker_turn();
}

static void end_somehow(void)
{
    if (dice(6) == 0 && broker_state() == BROKER_UP) {
        broker_stop();
    } else if (!sim.crash_in) {
        sim.crash_in = dice_between(1, 300);
        sim.crash_kind = sim.knobs.power_cuts && dice(2) ? CRASH_POWER : CRASH_KILL;
    }
}

static void end_early(void *arg)
{
    (void)arg;
    if (!trouble() || broker_state() == BROKER_DOWN)
        return;
    if (dice(3) == 0 && broker_state() == BROKER_UP)
        broker_stop();
    else
        end_somehow();
}

static void start_again(void *arg)
{
    (void)arg;
    if (broker_state() != BROKER_DOWN)
        return;
    if (trouble() && chance(sim.knobs.crash_in_start_rate)) {
        sim.crash_in = dice_between(1, 400);
        sim.crash_kind = sim.knobs.power_cuts && dice(2) ? CRASH_POWER : CRASH_KILL;
    }
    if (!broker_start())
        event_in(dice_between(1, 50) * NS_PER_MS, start_again, NULL);
    else if (trouble() && chance(sim.knobs.end_early_rate))
        event_in(dice(30 * NS_PER_MS), end_early, NULL);
}

static void plan_crash(void *arg)
{
    (void)arg;
    if (!trouble() || broker_state() == BROKER_DOWN)
        return;
    end_somehow();
}

static void toggle_full(void *arg)
{
    (void)arg;
    if (!trouble())
        return;
    sim.full = !sim.full;
    world_note(sim.full ? "the disk is full" : "the disk has room");
    if (sim.full)
        event_in(dice_between(20, 600) * NS_PER_MS, toggle_full, NULL);
}

static void toggle_poor(void *arg)
{
    (void)arg;
    if (!trouble())
        return;
    sim.poor = !sim.poor;
    world_note(sim.poor ? "memory and descriptors are scarce" : "there is enough of everything");
    if (sim.poor)
        event_in(dice_between(20, 600) * NS_PER_MS, toggle_poor, NULL);
}

/* Some minutes mostly, now and then more than an hour; the machine may have been asleep. */
static void step_clock(void *arg)
{
    (void)arg;
    if (!trouble())
        return;
    int64_t most_ms = dice(3) ? 600 * 1000 : 4000 * 1000;
    sim.wall_ms += (int64_t)dice((uint64_t)most_ms * 2) - most_ms;
    world_note("the wall clock steps");
}

/* The machine sleeps: its monotonic clock stands, its wall clock has jumped when it wakes. */
static void suspend(uint64_t ns)
{
    world_note("the machine is suspended for %llu ms", (unsigned long long)(ns / NS_PER_MS));
    door_suspend(ns);
    sim.asleep_ns += ns;
    sim.awake_at_ns = sim.now_ns + ns;
    sim.wall_ms += (int64_t)dice(10 * 3600 * 1000);
}

/* The trouble's end wakes it. */
static void wake_up(void)
{
    if (sim.awake_at_ns > sim.now_ns)
        sim.asleep_ns -= sim.awake_at_ns - sim.now_ns;
}

static void pause_all(void *arg)
{
    (void)arg;
    if (!trouble() || broker_state() == BROKER_DOWN || sim.now_ns < sim.awake_at_ns)
        return;
    uint64_t ns = dice_between(1, dice(3) ? 300 : 20000) * NS_PER_MS;
    if (dice(2))
        suspend(ns);
    else
        world_note("the broker stands still for %llu ms", (unsigned long long)(ns / NS_PER_MS));
    broker_pause(sim.now_ns + ns);
}

/* --- the course of faults in turn --- */

static void stop_in_course(void *arg)
{
    (void)arg;
    if (broker_state() == BROKER_UP)
        broker_stop();
}

static void kill_in_course(void *arg)
{
    (void)arg;
    if (broker_state() != BROKER_DOWN)
        broker_kill(CRASH_KILL);
}

static void cut_in_course(void *arg)
{
    (void)arg;
    if (broker_state() != BROKER_DOWN)
        broker_kill(CRASH_POWER);
}

static void plan_course(void)
{
    event_in(100 * NS_PER_MS, stop_in_course, NULL);
    event_in(200 * NS_PER_MS, kill_in_course, NULL);
    event_in(300 * NS_PER_MS, cut_in_course, NULL);
}

static void plan_trouble(void)
{
    const struct knobs *k = &sim.knobs;
    if (sim.fault.kind)
        plan_course();
    for (uint32_t i = 0; i < k->crashes; i++)
        event_in(dice(k->trouble_ns), plan_crash, NULL);
    for (uint32_t i = 0; i < k->full_periods; i++)
        event_in(dice(k->trouble_ns), toggle_full, NULL);
    for (uint32_t i = 0; i < k->poor_periods; i++)
        event_in(dice(k->trouble_ns), toggle_poor, NULL);
    for (uint32_t i = 0; i < k->pauses; i++)
        event_in(dice(k->trouble_ns), pause_all, NULL);
    for (uint32_t i = 0; k->clock_steps && i < 3; i++)
        event_in(dice(k->trouble_ns), step_clock, NULL);
}

/* A broker that went down is started again after a while. */
static void keep_up(bool *starting)
{
    if (broker_state() != BROKER_DOWN) {
        *starting = false;
    } else if (!*starting) {
        *starting = true;
        if (trouble() && !sim.fault.kind && sim.knobs.power_cuts && dice(4) == 0)
            broker_power_cut_while_down();
        event_in(trouble() && !sim.fault.kind ? dice(200 * NS_PER_MS) : NS_PER_MS, start_again, NULL);
    }
}

static void run_until(uint64_t end_ns, bool (*done)(void), const char *what)
{
    bool starting = false;
    while (sim.now_ns < end_ns && !(done && done())) {
        keep_up(&starting);
        step();
    }
    if (!done || done())
        return;
    char who[MESSAGE_BYTES] = "";
    producers_sim_tell(who, sizeof who);
    readers_tell(who, sizeof who);
    if (!turnover_done())
        snprintf(who, sizeof who, " the turnover of topics did not go round");
    members_tell(who, sizeof who);
    keeper_tell(who, sizeof who);
    keyed_tell(who, sizeof who);
    transactions_tell(who, sizeof who);
    if (broker_state() == BROKER_UP && !broker_has_recovered_all())
        snprintf(who + strlen(who), sizeof who - strlen(who), " a partition is not recovered");
    world_fail("stuck: %s within %llu s:%s", what, LIVENESS_NS / NS_PER_S, who);
}

static bool all_judged(void)
{
    return judge_done() && members_judged() && keeper_judged() && keyed_judged() && transactions_judged();
}

static bool is_down(void)
{
    return broker_state() == BROKER_DOWN;
}

static bool quiet_but_keeper(void)
{
    return broker_state() == BROKER_UP && admin_done() && producers_sim_done() && turnover_done() &&
           readers_caught_up() && members_done() && keyed_done() && transactions_done();
}

/* What the disk took away comes back with a restart only. What was scarce comes back by itself: half of the other worlds must
 * go on with the broker that lived through it, unless that is being stopped. It ends all the same, as the keeper may wait for that. */
static void heal(void)
{
    world_note("healed");
    sim.phase = PHASE_HEALED;
    sim.full = sim.poor = false;
    sim.crash_in = 0;
    wake_up();
    door_heal();
    broker_pause(sim.now_ns);
    bool by_itself = !world_disk_fails() && dice(2) && broker_state() == BROKER_UP;
    producers_sim_finish();
    turnover_finish();
    members_finish();
    keyed_finish();
    transactions_finish();
    if (by_itself)
        run_until(sim.now_ns + LIVENESS_NS, quiet_but_keeper,
                  "not everything was produced and read, without a restart,");
    if (broker_state() != BROKER_DOWN)
        broker_kill(sim.knobs.power_cuts && dice(2) ? CRASH_POWER : CRASH_KILL);
    keeper_finish();
}

static bool all_quiet(void)
{
    return quiet_but_keeper() && keeper_done() && broker_has_recovered_all();
}

static void end_broker(void)
{
    uint64_t how = dice(3);
    if (how == 0) {
        broker_stop();
        while (!is_down() && sim.now_ns < UINT64_MAX / 2)
            step();
    } else {
        broker_kill(how == 1 ? CRASH_KILL : CRASH_POWER);
    }
}

static void live(void)
{
    disk_begin();
    door_begin();
    net_begin();
    broker_begin();
    oracle_begin();
    topics_begin();
    plan_trouble();
    admin_begin();
    producers_sim_begin();
    readers_begin();
    turnover_begin();
    members_begin();
    keeper_begin();
    keyed_begin();
    transactions_begin();
    run_until(sim.now_ns + sim.knobs.trouble_ns, NULL, "");
    heal();
    run_until(sim.now_ns + LIVENESS_NS, all_quiet, "not everything was produced and read");
    producers_sim_quit();
    readers_quit();
    turnover_quit();
    members_quit();
    keeper_quit();
    keyed_quit();
    transactions_quit();
    end_broker();
    sim.phase = PHASE_JUDGE;
    judge_begin();
    members_judge_begin();
    keeper_judge_begin();
    keyed_judge_begin();
    transactions_judge_begin();
    run_until(sim.now_ns + LIVENESS_NS, all_judged, "not everything was read back");
    judge_quit();
    members_judge_quit();
    keeper_judge_quit();
    keyed_quit();
    transactions_quit();
    transactions_judge();
    world_check(!sim.offline[0], "a partition went offline although the disk had no error: %s", sim.offline);
}

/* False: the seed failed. */
static bool run_seed(uint64_t seed, uint64_t *out_hash)
{
    world_begin(seed);
    if (setjmp(sim.on_fail)) {
        world_free_all();
        return false;
    }
    live();
    *out_hash = sim.hash;
    world_free_all();
    return true;
}

/* --- the command --- */

static void caught(int signal_number)
{
    printf("seed %" PRIu64 " failed: %s\n", sim.seed,
           signal_number == SIGPROF   ? "it does not end (see the stack with a debugger)"
           : signal_number == SIGABRT ? "an assertion (above)"
                                      : "a fault of memory");
    print_replay();
    _exit(1);
}

/* Of processor time: a busy machine is no reason. */
static clock_t seed_began;
static void limit_seed(void)
{
    struct itimerval limit = {.it_value.tv_sec = SEED_SECONDS_MAX};
    seed_began = clock();
    setitimer(ITIMER_PROF, &limit, NULL);
}

/* The timer also rings when a process that was stopped for a minute goes on. */
static void limit_reached(int signal_number)
{
    if (clock() - seed_began < (clock_t)SEED_SECONDS_MAX / 2 * CLOCKS_PER_SEC)
        limit_seed();
    else
        caught(signal_number);
}

struct options {
    uint64_t from, to;
    bool verify, quiet, keep_going;
    enum fault_kind fault;
    uint64_t at, every;
    bool for_good;
};

static enum fault_kind fault_of(const char *option)
{
    for (size_t i = FAULT_IO; i < COUNT_OF(fault_options); i++)
        if (strcmp(option, fault_options[i]) == 0)
            return (enum fault_kind)i;
    return FAULT_NONE;
}

static bool parse_number(const char *text, uint64_t *out)
{
    char *end = NULL;
    *out = text ? strtoull(text, &end, 10) : 0;
    return text && end != text && !*end && *out > 0;
}

static bool parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.every = 1};
    for (int i = 1; i < argc; i++) {
        char *end;
        if (strcmp(argv[i], "--verify") == 0) {
            o->verify = true;
        } else if (strcmp(argv[i], "--trace") == 0) {
            sim.tracing = true;
        } else if (strcmp(argv[i], "--scarce") == 0) {
            sim.scarce = true;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            o->quiet = true;
#ifdef PLANT_ANY
        } else if (strcmp(argv[i], "--plant") == 0 && argv[i + 1]) {
            if (!choose_plant(argv[++i]))
                return false;
#endif
        } else if (strcmp(argv[i], "--keep-going") == 0) {
            o->keep_going = true;
        } else if (fault_of(argv[i])) {
            o->fault = fault_of(argv[i]);
        } else if (strcmp(argv[i], "--for-good") == 0) {
            o->for_good = true;
        } else if (strcmp(argv[i], "--at") == 0 || strcmp(argv[i], "--every") == 0) {
            if (!parse_number(argv[i + 1], strcmp(argv[i], "--at") == 0 ? &o->at : &o->every))
                return false;
            i++;
        } else {
            o->from = o->to = strtoull(argv[i], &end, 10);
            if (*end == '-')
                o->to = strtoull(end + 1, &end, 10);
            if (*end || end == argv[i] || o->to < o->from)
                return false;
        }
    }
    return o->to > 0;
}

static bool try_seed(uint64_t seed, bool twice)
{
    uint64_t hash = 0, again = 0;
    limit_seed();
    if (!run_seed(seed, &hash)) {
        printf("seed %" PRIu64 " failed after %.6f s: %s\n", seed, (double)sim.now_ns / 1e9, sim.why);
        print_replay();
        return false;
    }
    sim.totals.seeds++;
    if (!twice)
        return true;
    struct totals before = sim.totals;
    bool good = run_seed(seed, &again) && hash == again;
    sim.totals = before;
    if (!good) {
        printf("seed %" PRIu64 " failed: it is not the same run twice: %016" PRIx64 " and %016" PRIx64 "\n", seed, hash,
               again);
        print_replay();
    }
    return good;
}

/* --- faults in turn --- */

static bool try_fault(uint64_t seed, const struct options *o, uint64_t at, bool for_good)
{
    uint64_t hash;
    sim.fault = (struct fault){.kind = o->fault, .at = at, .for_good = for_good};
    limit_seed();
    if (run_seed(seed, &hash))
        return true;
    printf("seed %" PRIu64 " failed after %.6f s: %s\n", seed, (double)sim.now_ns / 1e9, sim.why);
    print_replay();
    return false;
}

static bool fail_in_turn(uint64_t seed, const struct options *o)
{
    uint64_t failed = 0, tried = 0;
    if (!try_fault(seed, o, o->at, o->for_good))
        return false;
    if (o->at)
        return true;
    uint64_t places = sim.fault.seen;
    for (uint64_t at = 1 + seed % o->every; at <= places && (!failed || o->keep_going); at += o->every, tried++)
        failed += (uint64_t)!try_fault(seed, o, at, false) + (uint64_t)!try_fault(seed, o, at, true);
    printf("seed %" PRIu64 " %s: %" PRIu64 " places, %" PRIu64 " of them failed once and from there on\n", seed,
           fault_options[o->fault], places, tried);
    return !failed && tried;
}

static bool all_in_turn(const struct options *o)
{
    bool good = true;
    for (uint64_t seed = o->from; seed <= o->to && (good || o->keep_going); seed++)
        good = fail_in_turn(seed, o) && good;
    return good && sim.totals.acked_batches && sim.totals.compared_records;
}

static void print_totals(double ms)
{
    const struct totals *t = &sim.totals;
    printf("%" PRIu64 " seeds, %.1f ms each: %" PRIu64 " batches acked, %" PRIu64 " resent, %" PRIu64
           " records compared in %" PRIu64 " reads\n",
           t->seeds, ms / (double)(t->seeds ? t->seeds : 1), t->acked_batches, t->resent_batches, t->compared_records,
           t->reads);
    printf("%" PRIu64 " kills, %" PRIu64 " power cuts (%" PRIu64 " of both while starting), %" PRIu64
           " clean stops, %" PRIu64 " connections cut\n",
           t->kills, t->power_cuts, t->start_crashes, t->clean_stops, t->conn_cuts);
    printf("%" PRIu64 " errors of the disk, %" PRIu64 " refusals for lack of room, %" PRIu64
           " short reads and writes, %" PRIu64 " partitions offline, %" PRIu64 " batches lost that were not promised\n",
           t->eio, t->full, t->short_ios, t->offline, t->lost_allowed);
    printf("%" PRIu64 " bytes of space ahead were zeroed\n", t->zeroed);
    printf("%" PRIu64 " starts took something from shared memory, %" PRIu64 " found another life's there\n",
           t->replayed, t->stale);
    printf("%" PRIu64 " refusals of memory, %" PRIu64 " of a descriptor\n", t->memory_refusals, t->file_refusals);
    printf("%" PRIu64 " assignments, %" PRIu64 " commits acked, %" PRIu64 " refused, %" PRIu64 " fetched, %" PRIu64
           " members expelled\n",
           t->assignments, t->commits, t->refused_commits, t->fetched_commits, t->expulsions);
    printf("%" PRIu64 " log starts moved, %" PRIu64 " fetches out of range, %" PRIu64 " settings altered, %" PRIu64
           " compared\n",
           t->trims, t->out_of_range, t->alterations, t->shown_settings);
    printf("%" PRIu64 " records dropped by retention, %" PRIu64 " seen to be compacted\n", t->dropped, t->compacted);
    printf("%" PRIu64 " transactions committed, %" PRIu64 " aborted, %" PRIu64 " producers fenced, %" PRIu64
           " late ends, %" PRIu64 " late commits of offsets, %" PRIu64 " records chained, %" PRIu64 " skipped\n",
           t->committed, t->aborted, t->fenced, t->late_ends, t->late_commits, t->chained, t->skipped);
}

int main(int argc, char **argv)
{
    struct options o;
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: sim SEED | FROM-TO [--verify] [--trace] [--quiet] [--keep-going] [--scarce]\n"
                        "       sim SEED | FROM-TO --fail-io|--fail-room|--fail-open|--fail-alloc [--every N] [--at N "
                        "[--for-good]]\n");
        return 2;
    }
    signal(SIGABRT, caught);
    signal(SIGSEGV, caught);
    signal(SIGPROF, limit_reached);
    if (o.fault)
        return all_in_turn(&o) ? 0 : 1;
    clock_t start = clock();
    uint64_t failed = 0;
    for (uint64_t seed = o.from; seed <= o.to && (!failed || o.keep_going); seed++)
        failed += !try_seed(seed, o.verify || (seed % VERIFY_EVERY == 0 && !sim.tracing));
    if (failed)
        return 1;
    if (!o.quiet)
        print_totals((double)(clock() - start) * 1000 / CLOCKS_PER_SEC);
    const struct totals *t = &sim.totals;
    bool all_kinds = o.to - o.from < VERIFY_EVERY ||
                     (t->fetched_commits && t->trims && t->out_of_range && t->alterations && t->shown_settings &&
                      t->committed && t->aborted && t->chained && t->replayed && t->zeroed);
    if (t->acked_batches == 0 || t->compared_records == 0 || !all_kinds) {
        printf("failed: nothing was acknowledged, or nothing compared\n");
        return 1;
    }
    return 0;
}
