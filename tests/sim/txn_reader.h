/* Readers of the transactions' topics: one log after the other, each from its start to its end, at one isolation level. */
#pragma once
#include "tests/sim/requests.h"
#include "tests/sim/txn_truth.h"

struct txn_reader {
    struct client client;
    struct truth_reading reading;
    bool judges, committed, reading_one, waiting;
    uint32_t done;         /* the judge: logs that it has read to their ends, at one level and then at the other */
    int64_t stable, start; /* known when it was asked */
    int32_t most_bytes;
    int16_t version;
};
void txn_reader_init(struct txn_reader *rd, const char *name, bool judges);
bool txn_reader_judged(const struct txn_reader *rd);
