/* The coordinators of one shard: of groups, and of transactions. Each ends in a step of its own of the shutdown (net/shutdown.h). */
#pragma once
#include "net/server.h"

/* After server_start. Loads what is there, without waiting. */
enum err coordinators_start(struct server *sv) must_use;
/* After the loop ended. */
void coordinators_close(struct server *sv);
