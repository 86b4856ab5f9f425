/* What the keeper is made of: its course (keeper.c) and the three things it does. One request is in flight at a time. */
#pragma once
#include "tests/sim/peer.h"

struct keeper {
    struct peer peer;
    bool active, waiting;
    bool judges;
    uint32_t judged; /* questions of the last round that were answered */
    uint32_t rounds, rounds_wanted;
};
/* One request was answered; the next one comes after a while. */
void keeper_next(struct keeper *k);
/* The answer may have been no, without a reason that the keeper could know. */
bool keeper_passes(int16_t error);
/* Something was asked for or acknowledged just now: a good moment for a crash. Promised: of what was not durable before, so that a crash would show it. */
void keeper_may_crash(bool promised);

/* keeper_trim.c */
void keeper_trim(struct keeper *k);
void keeper_list_start(struct keeper *k);

/* keeper_settings.c */
void settings_begin(void);
void settings_alter(struct keeper *k);
void settings_describe(struct keeper *k, uint32_t topic);
/* A topic of which it is not known what became of its last alteration; -1: none. */
int32_t settings_unsure(void);

/* keeper_growth.c */
void growth_begin(void);
void growth_step(struct keeper *k);
void growth_look(struct keeper *k);
