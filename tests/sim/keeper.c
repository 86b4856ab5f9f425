#include "tests/sim/keeper.h"
#include "storage/kerr.h"
#include "tests/sim/broker.h"
#include "tests/sim/keeper_parts.h"
#include <stdio.h>

enum { ROUNDS_AT_THE_END = 4, CRASH_MORE = 10 };

static struct keeper keeper;

bool keeper_passes(int16_t error)
{
    return error == KERR_KAFKA_STORAGE_ERROR || error == KERR_NOT_LEADER_OR_FOLLOWER || topics_may_lag(error);
}

static bool crash_is_drawn(bool promised)
{
    return promised ? sim.knobs.crash_at_ack_rate > 0 && !dice(3) : chance(CRASH_MORE * sim.knobs.crash_at_ack_rate);
}

void keeper_may_crash(bool promised)
{
    if (!trouble() || sim.crash_in || broker_state() == BROKER_DOWN || !crash_is_drawn(promised))
        return;
    sim.crash_in = dice_between(1, 40);
    sim.crash_kind = sim.knobs.power_cuts && dice(3) ? CRASH_POWER : CRASH_KILL;
}

/* --- what comes next --- */

static void alter_something(struct keeper *k)
{
    int32_t unsure = trouble() ? -1 : settings_unsure();
    uint64_t what = dice(6);
    if (unsure >= 0)
        settings_describe(k, (uint32_t)unsure);
    else if (what == 0)
        growth_step(k);
    else if (what == 1)
        growth_look(k);
    else if (what == 2)
        settings_describe(k, (uint32_t)dice(topics_count()));
    else
        settings_alter(k);
}

static void judge_next(struct keeper *k)
{
    if (k->judged < topics_count())
        settings_describe(k, k->judged);
    else if (!keeper_judged())
        growth_look(k);
}

static void act(struct keeper *k)
{
    if (k->judges)
        judge_next(k);
    else if (!trouble() && keeper_done())
        return;
    else if (!sim.knobs.trims || (sim.knobs.alters && dice(2)))
        alter_something(k);
    else if (dice(4))
        keeper_trim(k);
    else
        keeper_list_start(k);
}

static void go_on(void *arg)
{
    struct keeper *k = arg;
    k->waiting = false;
    if (k->peer.is_ready && !k->peer.client.call_count)
        act(k);
}

static void later(struct keeper *k)
{
    if (k->waiting)
        return;
    k->waiting = true;
    event_in(1000 + dice(sim.knobs.keeper_ns), go_on, k);
}

void keeper_next(struct keeper *k)
{
    k->rounds++;
    k->judged += k->judges;
    later(k);
}

/* --- all of it --- */

static void ready(struct peer *p)
{
    later(container_of(p, struct keeper, peer));
}

static void lost(struct peer *p)
{
    (void)p;
}

static void start(void)
{
    peer_init(&keeper.peer, "keeper", ready, lost);
    peer_start(&keeper.peer);
}

void keeper_begin(void)
{
    memset(&keeper, 0, sizeof keeper);
    settings_begin();
    growth_begin();
    keeper.active = sim.knobs.trims || sim.knobs.alters;
    if (keeper.active)
        start();
}

void keeper_finish(void)
{
    keeper.rounds_wanted = keeper.rounds + ROUNDS_AT_THE_END;
}

bool keeper_done(void)
{
    return !keeper.active || (keeper.rounds >= keeper.rounds_wanted && settings_unsure() < 0);
}

void keeper_quit(void)
{
    if (keeper.active)
        peer_quit(&keeper.peer);
}

void keeper_tell(char *out, size_t bytes)
{
    size_t used = strlen(out);
    if (!keeper_done() || (keeper.judges && !keeper_judged()))
        snprintf(out + used, bytes - used, " the keeper got %u answers of %u, is unsure of topic %d;", keeper.rounds,
                 keeper.rounds_wanted, settings_unsure());
}

void keeper_judge_begin(void)
{
    keeper.active = sim.knobs.alters;
    keeper.judges = true;
    keeper.waiting = false;
    if (keeper.active)
        start();
}

bool keeper_judged(void)
{
    return !keeper.active || keeper.judged > topics_count();
}

void keeper_judge_quit(void)
{
    keeper_quit();
}
