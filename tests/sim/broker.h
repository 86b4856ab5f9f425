/* The broker under test: the real code of all layers, several shards by turns in this thread. It is started, stopped and
 * killed here; a crash at some door (world_crash) is caught here too. */
#pragma once
#include "tests/sim/world.h"

enum broker_state { BROKER_DOWN, BROKER_UP, BROKER_STOPPING };

void broker_begin(void);
enum broker_state broker_state(void);
/* How many power cuts there were before the present moment: what a client learnt earlier may be gone (write.caching). */
uint32_t broker_power_cuts(void);
uint64_t broker_ends(void); /* of any kind, also while starting */
/* It is up, and has recovered this partition; all of them. (Inside knowledge, as of what a recovery has synced.) */
bool broker_has_recovered(const char *topic, int32_t index);
/* Which shard has it; -1: none, or it is not up. */
int32_t broker_shard_of(const char *topic, int32_t index);
bool broker_has_recovered_all(void);
/* False: it could not (the disk failed, or it crashed meanwhile); it is down then. */
bool broker_start(void);
/* Ends at once, between two turns. */
void broker_kill(enum crash_kind kind);
/* The machine goes down while no broker runs. What a clean stop left is all stable. */
void broker_power_cut_while_down(void);
/* A clean stop begins; it is over when the state is BROKER_DOWN. */
void broker_stop(void);
/* No shard gets a turn before then. */
void broker_pause(uint64_t until_ns);
/* When some shard wants a turn; UINT64_MAX: none. */
uint64_t broker_next_ns(void);
void broker_turn(void);
