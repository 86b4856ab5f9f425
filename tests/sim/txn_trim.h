/* Who deletes records under transactions: of what chains read up to what they have committed (as Kafka Streams does with its repartition
 * topics), of what they write anything up to the watermark, open transactions and all. */
#pragma once
#include "tests/sim/requests.h"
#include "tests/sim/txn_truth.h"

struct txn_trimmer {
    struct client client;
    const struct truth_group *group;
    bool waiting;
};
void txn_trimmer_init(struct txn_trimmer *t, const struct truth_group *group);
