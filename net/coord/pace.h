/* Work in the background of one shard (loading and sweeping of coordinators' logs), one job a turn, so that the shard goes
 * on serving: each job does what PACE_UNITS allows, and stands in line again if it has more. */
#pragma once
#include "core/shard.h"

struct pace {
    struct shard *shard;
    struct list waiting; /* of jobs */
    struct shard_defer defer;
};
struct pace_job {
    void (*run)(struct pace_job *j);
    struct list link;
};
void pace_init(struct pace *p, struct shard *s);
void pace_job_init(struct pace_job *j, void (*run)(struct pace_job *j));
/* `run` is called from the loop, once. Adding one that waits does nothing. */
void pace_add(struct pace *p, struct pace_job *j);
/* It does not run any more. */
static inline void pace_remove(struct pace_job *j)
{
    list_remove(&j->link);
}
