/* What came out: see outcome.h. */
#include "bench/load/outcome.h"

#include <stdlib.h>
#include <string.h>

static const double shares[] = {0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999};
enum { SHARES = sizeof shares / sizeof *shares, VALUES_BEYOND = 10 };

bool outcome_open(struct outcome *o)
{
    *o = (struct outcome){.series = calloc(OUTCOME_SECONDS_MAX, sizeof *o->series)};
    return o->series != NULL;
}

void outcome_close(struct outcome *o)
{
    free(o->series);
    o->series = NULL;
}

void outcome_add_second(struct outcome *o, const struct second *s)
{
    if (o->series_count == OUTCOME_SECONDS_MAX)
        return;
    o->series[o->series_count++] = (struct outcome_second){.acked_records = (double)s->acked_records,
                                                           .read_records = (double)s->read_records,
                                                           .read_bytes = (double)s->read_bytes,
                                                           .due_p50_ns = hist_quantile(&s->from_due, 0.5),
                                                           .due_p99_ns = hist_quantile(&s->from_due, 0.99),
                                                           .due_max_ns = s->from_due.max_ns,
                                                           .end_p50_ns = hist_quantile(&s->end_to_end, 0.5),
                                                           .end_p99_ns = hist_quantile(&s->end_to_end, 0.99),
                                                           .end_max_ns = s->end_to_end.max_ns};
}

double outcome_rate(const struct outcome *o)
{
    return o->seconds > 0 ? (double)o->all.acked_records / o->seconds : 0;
}

uint64_t outcome_quantile(const struct hist *h, const struct hist *late, double share)
{
    if ((double)h->total * (1 - share) < VALUES_BEYOND)
        return 0;
    uint64_t value = hist_quantile(h, share);
    return late->total > 0 && hist_quantile(late, share) > value / 4 ? 0 : value;
}

static const char *why_not(const struct hist *h, double share)
{
    return (double)h->total * (1 - share) < VALUES_BEYOND ? "-" : "spoiled";
}

static void print_quantiles(const char *what, const struct hist *h, const struct hist *late)
{
    if (h->total == 0)
        return;
    printf("  %-28s", what);
    for (unsigned i = 0; i < SHARES; i++) {
        uint64_t v = outcome_quantile(h, late, shares[i]);
        if (v)
            printf(" %9.1f", (double)v / 1e3);
        else
            printf(" %9s", why_not(h, shares[i]));
    }
    printf(" %9.1f\n", (double)h->max_ns / 1e3);
}

static double megabytes(double bytes)
{
    return bytes / 1e6;
}

static void print_broker(const struct plan *plan, const struct outcome *o)
{
    if (!plan->pid)
        return;
    double gb = ((double)o->all.acked_bytes + (double)o->all.read_bytes) / 1e9;
    double millions = (double)(o->all.acked_records + o->all.read_records) / 1e6;
    printf("  broker: %.2f s of CPU, %.3f s per GB in and out, %.3f s per million records, %.0f MB resident, %.0f MB "
           "written\n",
           o->broker_cpu_s, gb > 0 ? o->broker_cpu_s / gb : 0, millions > 0 ? o->broker_cpu_s / millions : 0,
           megabytes((double)o->broker_rss_bytes), megabytes((double)o->broker_written_bytes));
}

void outcome_print(const struct plan *plan, const struct outcome *o)
{
    printf("%s, %s: ", plan->label, plan->workload);
    if (o->rate > 0)
        printf("%.0f records/s offered, ", o->rate);
    printf("%.0f records/s acknowledged (%.1f MB/s) over %.1f s, %.0f requests/s\n", outcome_rate(o),
           megabytes((double)o->all.acked_bytes) / o->seconds, o->seconds, (double)o->all.requests / o->seconds);
    if (o->backlog_s > 0)
        printf("  backlog: %.0f MB read in %.2f s, %.1f MB/s\n", megabytes((double)o->all.read_bytes), o->backlog_s,
               megabytes((double)o->all.read_bytes) / o->backlog_s);
    else if (plan->fan_out)
        printf("  read: %.1f MB/s, every acknowledged record %u times\n",
               megabytes((double)o->all.read_bytes) / o->seconds, plan->fan_out);
    printf("  %-28s %9s %9s %9s %9s %9s %9s %9s %9s %9s\n", "microseconds", "p50", "p75", "p90", "p95", "p99", "p99.9",
           "p99.99", "p99.999", "max");
    print_quantiles("ack, from when it was due", &o->all.from_due, &o->all.late);
    print_quantiles("ack, from the send", &o->all.from_send, &o->all.turns);
    if (o->backlog_s <= 0)
        print_quantiles("end to end, from when due", &o->all.end_to_end, &o->all.late);
    print_quantiles("the load's own lateness", &o->all.late, &(struct hist){0});
    print_quantiles("the load's own turns", &o->all.turns, &(struct hist){0});
    printf("  the load's busiest thread: %.0f %% of its processor%s\n", o->load_busy * 100,
           o->load_busy > 0.95 ? ": it is the limit, not the broker" : "");
    if (*o->ack_meaning)
        printf("  what an ack meant: %s\n", o->ack_meaning);
    print_broker(plan, o);
}

static void json_quantiles(FILE *out, const char *name, const struct hist *h, const struct hist *late)
{
    fprintf(out, "\"%s\":{\"count\":%lu,\"max\":%.3f", name, h->total, (double)h->max_ns / 1e3);
    for (unsigned i = 0; i < SHARES; i++) {
        uint64_t v = h->total ? outcome_quantile(h, late, shares[i]) : 0;
        fprintf(out, v ? ",\"p%g\":%.3f" : ",\"p%g\":null", shares[i] * 100, (double)v / 1e3);
    }
    fprintf(out, ",\"curve\":[");
    const char *comma = "";
    for (double beyond = 0.5; h->total && beyond * (double)h->total >= VALUES_BEYOND; beyond /= 1.25) {
        uint64_t v = outcome_quantile(h, late, 1 - beyond);
        if (v)
            fprintf(out, "%s[%.8g,%.3f]", comma, 1 - beyond, (double)v / 1e3);
        comma = v ? "," : comma;
    }
    fprintf(out, "]}");
}

static void json_series(FILE *out, const struct outcome *o)
{
    fprintf(out, "\"series\":[");
    for (uint32_t i = 0; i < o->series_count; i++) {
        const struct outcome_second *s = &o->series[i];
        fprintf(out, "%s[%.0f,%.0f,%.0f,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f]", i ? "," : "", s->acked_records,
                s->read_records, s->read_bytes, (double)s->due_p50_ns / 1e3, (double)s->due_p99_ns / 1e3,
                (double)s->due_max_ns / 1e3, (double)s->end_p50_ns / 1e3, (double)s->end_p99_ns / 1e3,
                (double)s->end_max_ns / 1e3);
    }
    fprintf(out, "]");
}

/* Names come from the command line: what would end a JSON string is left out. */
static void json_text(FILE *out, const char *name, const char *text)
{
    fprintf(out, "\"%s\":\"", name);
    for (; *text; text++) {
        if (*text != '"' && *text != '\\' && (unsigned char)*text >= ' ')
            fputc(*text, out);
    }
    fprintf(out, "\",");
}

static void json_plan(FILE *out, const struct plan *plan)
{
    json_text(out, "broker", plan->label);
    json_text(out, "workload", plan->workload);
    fprintf(out,
            "\"plan\":{\"partitions\":%u,\"connections\":%u,\"fan_out\":%u,\"acks\":%d,\"codec\":%u,\"idempotent\":%s,"
            "\"record_bytes\":%u,"
            "\"keys\":%u,\"batch_bytes\":%u,\"in_flight\":%u,\"linger_ms\":%.3f,\"threads\":%u},",
            plan->partitions, plan->connections, plan->fan_out, plan->acks, plan->codec,
            plan->idempotent ? "true" : "false", plan->record_bytes, plan->keys, plan->batch_bytes, plan->in_flight,
            (double)plan->linger_ns / 1e6, plan->threads);
}

void outcome_json(FILE *out, const struct plan *plan, const struct outcome *o)
{
    fprintf(out, "{");
    json_plan(out, plan);
    json_text(out, "ack_meaning", o->ack_meaning);
    fprintf(out,
            "\"offered\":%.1f,\"seconds\":%.3f,\"acked_records\":%lu,\"acked_bytes\":%lu,\"requests\":%lu,\"read_"
            "records\":%lu,"
            "\"read_bytes\":%lu,\"total_acked\":%lu,\"total_read\":%lu,\"backlog_s\":%.3f,\"load_busy\":%.3f,",
            o->rate, o->seconds, o->all.acked_records, o->all.acked_bytes, o->all.requests, o->all.read_records,
            o->all.read_bytes, o->total_acked, o->total_read, o->backlog_s, o->load_busy);
    fprintf(out, "\"broker_cpu_s\":%.4f,\"broker_rss_bytes\":%lu,\"broker_written_bytes\":%lu,", o->broker_cpu_s,
            o->broker_rss_bytes, o->broker_written_bytes);
    json_quantiles(out, "from_due_us", &o->all.from_due, &o->all.late);
    fputc(',', out);
    json_quantiles(out, "from_send_us", &o->all.from_send, &o->all.turns);
    fputc(',', out);
    json_quantiles(out, "end_to_end_us", &o->all.end_to_end, &o->all.late);
    fputc(',', out);
    json_quantiles(out, "late_us", &o->all.late, &(struct hist){0});
    fputc(',', out);
    json_series(out, o);
    fprintf(out, "}\n");
}
