/* Runs a group on threads. All shards meet twice: when all are open, so that no loop runs beside a start that fails, and
 * when all loops have ended, so that nobody wakes an engine that is gone. */
#include "core/shard_group.h"
#include "core/threads.h"
#include <signal.h>
#include <stdio.h>

struct seat {
    struct shard_group *group;
    uint16_t id;
    struct thread *thread;
};

static enum err first_shard_error(struct shard_group *g)
{
    assert(g->options.count > 0);
    for (uint16_t id = 0; id < g->options.count; id++) {
        if (g->err[id])
            return g->err[id];
    }
    return ERR_NONE;
}

static void run_seat(void *arg)
{
    struct seat *seat = arg;
    struct shard_group *g = seat->group;
    assert(seat->id < g->options.count);
    enum err err = shard_open(g, seat->id);
    g->err[seat->id] = err;
    thread_gate_wait(g->gate);
    if (!first_shard_error(g)) {
        while (shard_turn(shard_at(g, seat->id), UINT64_MAX))
            ;
    }
    thread_gate_wait(g->gate);
    if (!err)
        shard_close(shard_at(g, seat->id));
}

static int cpu_of_shard(const struct shard_group *g, uint16_t id)
{
    assert(id < g->options.count);
    return g->options.cpus ? g->options.cpus[id] : -1;
}

static void start_seats(struct shard_group *g, struct seat *seats)
{
    assert(g->gate);
    for (uint16_t id = 1; id < g->options.count; id++) {
        char name[24]; /* thread_start cuts it; gcc 14 counts a uint32_t's digits */
        snprintf(name, sizeof name, "shard-%u", (unsigned)id);
        seats[id] = (struct seat){.group = g, .id = id};
        enum err err = thread_start(name, cpu_of_shard(g, id), run_seat, &seats[id], &seats[id].thread);
        if (err) { /* nobody sits there: its error and its place at the gate are ours */
            g->err[id] = err;
            thread_gate_leave(g->gate);
        }
    }
}

static void choose_start_failure(struct shard_group *g)
{
    assert(g->why_of < g->options.count);
    while (g->why_of + 1 < g->options.count && !g->err[g->why_of])
        g->why_of++;
    if (!g->err[g->why_of])
        g->why_of = 0;
}

enum err shard_group_run(struct shard_group *g)
{
    assert(g);
    struct seat seats[SHARDS_MAX] = {{.group = g}};
    enum err err = thread_gate_open(g->options.count, &g->gate);
    if (err)
        return err;
    signal(SIGPIPE, SIG_IGN); /* a peer or a log reader that went away is an error code, not our end */
    if (cpu_of_shard(g, 0) >= 0)
        (void)!thread_pin(cpu_of_shard(g, 0)); /* as in thread_start: slower, not wrong */
    start_seats(g, seats);
    run_seat(&seats[0]);
    for (uint16_t id = 1; id < g->options.count; id++) {
        if (seats[id].thread)
            thread_join(seats[id].thread);
    }
    thread_gate_close(g->gate);
    choose_start_failure(g);
    return first_shard_error(g);
}
