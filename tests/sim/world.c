/* The dice, the hash, the crash and the queue of events. */
#include "tests/sim/world.h"
#include "core/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world sim;

#define COURSE_NS (400 * NS_PER_MS)

/* --- what kind of world --- */

static uint32_t sometimes(uint32_t in_a_hundred, uint32_t value)
{
    return dice(100) < in_a_hundred ? value : 0;
}

static void roll_disk(struct knobs *k)
{
    static const struct {
        uint64_t min, max;
    } speeds[] = {{5000, 80000}, {20000, 400000}, {100000, 5000000}, {1000000, 20000000}};
    size_t speed = dice(COUNT_OF(speeds));
    k->disk_ns_min = speeds[speed].min;
    k->disk_ns_max = speeds[speed].max;
    k->stall_rate = sometimes(50, 20000);
    k->stall_ns = dice_between(50, 1500) * NS_PER_MS;
    k->direct = dice(3) != 0;
    k->allocates = dice(8) != 0;
    k->short_rate = sometimes(40, 30000);
    k->eio_rate = sometimes(10, 1000);
    k->full_periods = sometimes(25, 3);
    k->files_max = dice(6) == 0 ? 24 : 4096;
}

static void roll_world(struct knobs *k)
{
    k->shards = (uint16_t)dice_between(1, 3);
    k->net_ns_max = dice(3) == 0 ? 20 * NS_PER_MS : 500000;
    k->cut_rate = sometimes(70, (uint32_t)dice_between(200, 8000));
    k->crashes = (uint32_t)dice(6);
    k->power_cuts = dice(3) != 0;
    k->crash_at_ack_rate = sometimes(50, (uint32_t)dice_between(2000, 40000));
    k->crash_in_start_rate = sometimes(60, 350000);
    k->clock_steps = dice(4) == 0;
    k->trouble_ns = dice_between(300, 4000) * NS_PER_MS;
    k->topics = (uint32_t)dice_between(1, 3);
    k->idempotent = (uint32_t)dice_between(1, 4);
    k->plain = (uint32_t)dice(3);
    k->readers = (uint32_t)dice_between(1, 3);
    k->batches = (uint32_t)dice_between(20, 120);
    k->groups = (uint32_t)dice(3);
    k->members = (uint32_t)dice_between(2, 5);
    k->trims = dice(2);
    k->alters = dice(2);
    k->crash_at_rename_rate = sometimes(25, 60000);
    k->keeper_ns = (dice(3) ? 20 : 200) * NS_PER_MS;
}

static void roll_starts(struct knobs *k)
{
    k->end_early_rate = sometimes(50, 400000);
    k->slow_start_ns = sometimes(50, 1) * dice_between(20, 800) * NS_PER_MS;
    k->reshards = dice(3) == 0;
    k->per_core = sim.seed * 0x9e3779b97f4a7c15ull >> 62 == 0; /* no dice: the other seeds' runs stay as they were */
    k->pauses = sometimes(15, 2);
    k->shared = dice(2);
    k->shared_survives = dice(4) == 0;
    k->stale_copies = dice(4) != 0;
    if (dice(25) == 0) { /* a disk that answers after half a minute */
        k->stall_rate = 2000;
        k->stall_ns = 32 * NS_PER_S;
    }
}

static void roll_poverty(struct knobs *k)
{
    k->poor_periods = sometimes(sim.scarce ? 30 : 5, 3);
    k->memory_rate = sometimes(70, (uint32_t)dice_between(1000, 200000));
    k->files_rate = sometimes(70, (uint32_t)dice_between(10000, 500000));
}

/* The course of faults in turn: everything happens, nothing fails by itself (main.c plans the ends of its brokers). */
static void roll_course(struct knobs *k)
{
    k->stall_rate = k->short_rate = k->eio_rate = k->full_periods = k->poor_periods = 0;
    k->cut_rate = k->crashes = k->crash_at_ack_rate = k->crash_in_start_rate = k->crash_at_rename_rate = 0;
    k->end_early_rate = k->pauses = 0;
    k->slow_start_ns = 0;
    k->clock_steps = false;
    k->power_cuts = k->trims = k->alters = true;
    k->shared = k->allocates;
    k->disk_ns_min = 5000;
    k->disk_ns_max = 80000;
    k->net_ns_max = 500000;
    k->trouble_ns = COURSE_NS;
    k->groups = 1;
    k->members = 2;
    k->topics = 2;
    k->idempotent = k->plain = k->readers = 1;
    k->batches = 20;
    k->keeper_ns = 5 * NS_PER_MS;
}

bool world_fault(enum fault_kind kind)
{
    struct fault *f = &sim.fault;
    if (f->kind != kind || !trouble())
        return false;
    f->seen++;
    return f->at && (f->seen == f->at || (f->for_good && f->seen > f->at));
}

bool world_breaks(void)
{
    if (!world_fault(FAULT_IO) && !(trouble() && chance(sim.knobs.eio_rate)))
        return false;
    sim.totals.eio++;
    return true;
}

bool world_refuses_memory(void)
{
    if (!world_fault(FAULT_MEMORY) && !(sim.poor && trouble() && chance(sim.knobs.memory_rate)))
        return false;
    sim.totals.memory_refusals++;
    return true;
}

bool world_refuses_file(void)
{
    if (!world_fault(FAULT_OPEN) && !(sim.poor && trouble() && chance(sim.knobs.files_rate)))
        return false;
    sim.totals.file_refusals++;
    return true;
}

void world_begin(uint64_t seed)
{
    sim.seed = seed;
    sim.rng.state = seed * 0x9e3779b97f4a7c15ull + 0x1234567;
    sim.now_ns = NS_PER_S;
    sim.wall_ms = 1790000000000;
    sim.hash = 0xcbf29ce484222325ull;
    sim.steps = 0;
    sim.phase = PHASE_TROUBLE;
    sim.full = sim.poor = sim.crashable = false;
    sim.boots = 0;
    sim.crash_in = sim.slow_until_ns = sim.asleep_ns = sim.awake_at_ns = sim.fault.seen = 0;
    sim.why[0] = sim.offline[0] = 0;
    roll_disk(&sim.knobs);
    roll_world(&sim.knobs);
    roll_starts(&sim.knobs);
    roll_poverty(&sim.knobs);
    if (sim.fault.kind)
        roll_course(&sim.knobs);
    events_begin();
}

/* --- the hash --- */

void world_mix(uint64_t a, uint64_t b)
{
    sim.hash = (sim.hash ^ a) * 0x9e3779b97f4a7c15ull;
    sim.hash = (sim.hash ^ (sim.hash >> 29) ^ b) * 0xbf58476d1ce4e5b9ull;
    sim.hash ^= sim.hash >> 32;
}

void world_mix_bytes(const void *at, size_t bytes)
{
    const uint8_t *p = at;
    uint64_t word;
    for (; bytes >= sizeof word; bytes -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        world_mix(word, 1);
    }
    word = 0;
    memcpy(&word, p, bytes);
    world_mix(word, bytes);
}

void world_note(const char *fmt, ...)
{
    char line[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    world_mix_bytes(line, (size_t)(n < (int)sizeof line ? n : (int)sizeof line - 1));
    if (sim.tracing)
        printf("%12.6f %s\n", (double)sim.now_ns / 1e9, line);
}

/* --- the end of a broker, or of a seed --- */

_Noreturn void world_crash(enum crash_kind kind)
{
    assert(sim.crashable);
    sim.crashable = false;
    sim.crash_in = 0;
    sim.crash_kind = kind;
    longjmp(sim.on_crash, 1);
}

void world_door(void)
{
    sim.steps++;
    if (sim.crash_in && sim.crashable && --sim.crash_in == 0)
        world_crash(sim.crash_kind);
}

_Noreturn void world_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(sim.why, sizeof sim.why, fmt, args);
    va_end(args);
    longjmp(sim.on_fail, 1);
}

/* --- events: a binary heap --- */

static struct event *events;
static size_t event_count, event_cap;

void events_begin(void)
{
    event_count = 0;
}

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

void event_at(uint64_t at_ns, void (*run)(void *arg), void *arg)
{
    if (event_count == event_cap) {
        event_cap = event_cap ? event_cap * 2 : 256;
        events = realloc(events, event_cap * sizeof *events);
        assert(events);
    }
    struct event e = {.at_ns = at_ns, .order = rng_next(&sim.rng), .run = run, .arg = arg};
    size_t at = event_count++;
    for (; at > 0 && before(&e, &events[(at - 1) / 2]); at = (at - 1) / 2)
        events[at] = events[(at - 1) / 2];
    events[at] = e;
}

uint64_t events_next(void)
{
    return event_count ? events[0].at_ns : UINT64_MAX;
}

static void sift_down(struct event e)
{
    size_t at = 0, child;
    while ((child = at * 2 + 1) < event_count) {
        if (child + 1 < event_count && before(&events[child + 1], &events[child]))
            child++;
        if (!before(&events[child], &e))
            break;
        events[at] = events[child];
        at = child;
    }
    events[at] = e;
}

void events_run_one(void)
{
    assert(event_count > 0);
    struct event first = events[0];
    event_count--;
    if (event_count)
        sift_down(events[event_count]);
    first.run(first.arg);
}
