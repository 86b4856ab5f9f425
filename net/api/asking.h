/* A request whose partitions are asked one by one on their owners (ListOffsets, OffsetForLeaderEpoch, DeleteRecords), or anything else with
 * many questions: however many it names, they are started in steps, and at most `out_max` are out at a time, so that neither the
 * jobs of its look-ups nor its messages stand before those of others.
 *
 *   asking_begin --> next() for each partition, which calls asking_ask or answers by itself --> false: no more
 *                    the last answer --> over(), with REQUEST_REPLY */
#pragma once
#include "net/api/api.h"
#include "net/conn/request.h"
#include "net/countdown.h"

enum { ASKING_OUT_MAX = 64 }; /* of partitions */

struct asking {
    struct request *req;
    bool (*next)(struct asking *run);
    void (*over)(struct asking *run);
    struct countdown out;
    uint32_t out_max;
    uint32_t out_most; /* for tests: so many have been out at a time */
    bool held;         /* as many are out as may be */
    struct steps steps;
};
/* Embedded in what is asked, in the request's memory. */
struct asked_partition {
    struct part_call call;
    struct asking *run;
    /* With the answer. False: it needs more turns, and asking_answered comes behind. NULL: it needs nothing more. */
    bool (*at_home)(struct asked_partition *a);
};

void asking_begin(struct asking *run, struct request *req, uint32_t out_max, bool (*next)(struct asking *),
                  void (*over)(struct asking *));
/* From `next`, once at most. `ask` runs on the owner and ends with part_call_done(&a->call). */
void asking_ask(struct asking *run, struct asked_partition *a, const struct topic *t, int32_t partition,
                void (*ask)(struct part_call *c, struct partition *p));
/* The same for a question of another kind: from `next`, once at most, before it is started; and when it was answered, perhaps inside. */
void asking_add(struct asking *run);
void asking_answered(struct asking *run);
