/* What a run measured: merged from its threads, printed as a table and as JSON.
 *
 * A figure that the load spoiled is not printed: where the thread itself was late by more than a quarter of it, at that quantile. Nor is a
 * quantile beyond which fewer than ten values lie. */
#pragma once
#include "bench/load/driver.h"

#include <stdio.h>

enum { OUTCOME_SECONDS_MAX = 7200 };

struct outcome_second {
    double acked_records, read_records, read_bytes; /* in it */
    uint64_t due_p50_ns, due_p99_ns, due_max_ns, end_p50_ns, end_p99_ns, end_max_ns;
};
struct outcome {
    double rate; /* asked for; 0: closed loop */
    double seconds;
    struct tally all;
    uint64_t total_acked,
        total_read; /* of the whole run, warm-up and all: each acknowledged record was read fan_out times */
    struct outcome_second *series;
    uint32_t series_count;
    double load_busy; /* the busiest thread's share of its processor */
    /* Of the broker's process, where it is known, while it was measured. */
    double broker_cpu_s;
    uint64_t broker_rss_bytes, broker_written_bytes;
    double backlog_s; /* how long the backlog took to read; 0: there was none */
    char ack_meaning[160];
};
bool outcome_open(struct outcome *o);
void outcome_close(struct outcome *o);
void outcome_add_second(struct outcome *o, const struct second *s);
/* Records a second acknowledged. */
double outcome_rate(const struct outcome *o);
/* 0: spoiled, or too few values. `late`: how late the thread itself was. */
uint64_t outcome_quantile(const struct hist *h, const struct hist *late, double share);

void outcome_print(const struct plan *plan, const struct outcome *o);
/* One object. */
void outcome_json(FILE *out, const struct plan *plan, const struct outcome *o);
