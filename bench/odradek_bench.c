/* odradek-bench: measures any broker that speaks Kafka's protocol. README.md (bench/) tells how to read what it prints. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/run.h"
#include "bench/load/workloads.h"

struct option_row {
    const char *name, *argument, *help;
};
enum choice {
    TO,
    WORKLOAD,
    LABEL,
    TOPIC,
    CONFIG,
    PARTITIONS,
    CONNECTIONS,
    READERS,
    RECORD,
    BATCH,
    LINGER,
    IN_FLIGHT,
    ACKS,
    CODEC,
    IDEMPOTENT,
    KEYS,
    RATE,
    RAMP,
    RAMP_P99,
    WARMUP,
    DURATION,
    BACKLOG,
    FETCH,
    THREADS,
    CPU,
    SPIN,
    PID,
    DATA,
    DURABLE,
    JSON,
    LIST,
    HELP,
    CHOICES
};
static const struct option_row rows[CHOICES] = {
    [TO] = {"to", "HOST:PORT", "a broker; the others come from its metadata (localhost:9092)"},
    [WORKLOAD] = {"workload", "NAME", "a named workload (--list); options behind it change single things"},
    [LABEL] = {"label", "NAME", "the broker's name in the report"},
    [TOPIC] = {"topic", "NAME", "the topic that is made (default: a new name)"},
    [CONFIG] = {"config", "KEY=VALUE", "a setting of the topic; may be given often"},
    [PARTITIONS] = {"partitions", "N", "of the topic"},
    [CONNECTIONS] = {"connections", "N", "producers, each on a connection and a partition of its own (1 to 20000)"},
    [READERS] = {"readers", "N", "how many readers each partition has (0: none)"},
    [RECORD] = {"record", "BYTES", "of a record's value"},
    [BATCH] = {"batch", "BYTES", "a batch goes when it is that large (batch.size)"},
    [LINGER] = {"linger", "MS", "or when its first record has waited so long (linger.ms)"},
    [IN_FLIGHT] = {"in-flight", "N", "batches of a connection that wait for their ack (1 to 64)"},
    [ACKS] = {"acks", "N", "0, 1 or -1 (all)"},
    [CODEC] = {"codec", "NAME", "none, gzip, snappy, lz4 or zstd"},
    [IDEMPOTENT] = {"idempotent", NULL, "producers ask for an id and number their batches"},
    [KEYS] = {"keys", "N", "records have one of N keys"},
    [RATE] = {"rate", "N", "records a second, all producers together (open loop); 0: as fast as the window allows"},
    [RAMP] = {"ramp", NULL, "look for the highest rate that is sustained"},
    [RAMP_P99] = {"ramp-p99", "MS", "and its p99 may be no longer than that (default 100)"},
    [WARMUP] = {"warmup", "S", "before it is measured (default 5)"},
    [DURATION] = {"duration", "S", "of the measurement (default 30)"},
    [BACKLOG] = {"backlog", "BYTES", "written first, then read from the start"},
    [FETCH] = {"fetch", "BYTES", "a reader asks for at most (default 1 MiB)"},
    [THREADS] = {"threads", "N", "of the load; with two or more the readers have the last one (default 1)"},
    [CPU] = {"cpu", "N", "the first thread's processor, the next ones follow"},
    [SPIN] = {"spin", NULL, "do not sleep for what is due within 50 us"},
    [PID] = {"pid", "PID", "the broker's process: its CPU, memory and written bytes are shown"},
    [DATA] = {"data", "DIR", "the broker's data folder: finds out what its acks mean, by looking at the disk"},
    [DURABLE] = {"durable", NULL,
                 "fair mode: flush.messages=1 on the topic, and it is an error unless acks are seen to be on the disk "
                 "(--data)"},
    [JSON] = {"json", "FILE", "the result as JSON too (bench/report makes pages of it)"},
    [LIST] = {"list", NULL, "the named workloads"},
    [HELP] = {"help", NULL, "this text"},
};
static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};

struct asked {
    struct plan plan;
    const char *json;
    bool durable;
    unsigned configs;
};

static void print_help(void)
{
    printf("odradek-bench measures a Kafka broker.\n\n  odradek-bench --to localhost:9092 --workload simple --pid "
           "$(pidof odradek)\n\n");
    for (int i = 0; i < CHOICES; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", rows[i].name, rows[i].argument ? " " : "",
                 rows[i].argument ? rows[i].argument : "");
        printf("  %-22s %s\n", left, rows[i].help);
    }
}

static void complain(const char *what, const char *text)
{
    fprintf(stderr, "odradek-bench: %s: %s\n", what, text);
    exit(2);
}

static double number(const char *name, const char *text, double low, double high)
{
    char *end, range[96];
    double v = strtod(text, &end);
    snprintf(range, sizeof range, "--%s wants a number from %.12g to %.12g", name, low, high);
    if (*end || end == text || !(v >= low && v <= high))
        complain(range, text);
    return v;
}

static uint8_t codec_number(const char *text)
{
    for (uint8_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        if (strcmp(text, codecs[i]) == 0)
            return i;
    }
    complain("--codec is none, gzip, snappy, lz4 or zstd", text);
    return 0;
}

static void add_config(struct asked *a, const char *text)
{
    if (!strchr(text, '=') || a->configs == PLAN_CONFIGS_MAX)
        complain("--config wants KEY=VALUE, 32 at most", text);
    a->plan.configs[a->configs++] = text;
}

static void take_size(struct plan *p, enum choice c, const char *name, const char *text)
{
    switch (c) {
    case PARTITIONS: p->partitions = (uint32_t)number(name, text, 1, PLAN_PARTITIONS_MAX); break;
    case CONNECTIONS: p->connections = (uint32_t)number(name, text, 1, PLAN_CONNECTIONS_MAX); break;
    case READERS: p->fan_out = (uint32_t)number(name, text, 0, 1000); break;
    case RECORD: p->record_bytes = (uint32_t)number(name, text, 8, 1 << 20); break;
    case BATCH: p->batch_bytes = (uint32_t)number(name, text, 1, 16 << 20); break;
    case IN_FLIGHT: p->in_flight = (uint32_t)number(name, text, 1, PLAN_IN_FLIGHT_MAX); break;
    case KEYS: p->keys = (uint32_t)number(name, text, 0, 999999999); break;
    case FETCH: p->fetch_bytes = (uint32_t)number(name, text, 1, 256 << 20); break;
    case THREADS: p->threads = (uint32_t)number(name, text, 1, PLAN_THREADS_MAX); break;
    case CPU: p->cpu = (int)number(name, text, 0, 1023); break;
    case PID: p->pid = (pid_t)number(name, text, 1, 1 << 30); break;
    default: break;
    }
}

static void take(struct asked *a, enum choice c, const char *text)
{
    struct plan *p = &a->plan;
    const char *name = rows[c].name;
    switch (c) {
    case TO: p->address = text; break;
    case WORKLOAD:
        if (!workload_apply(text, p))
            complain("there is no such workload (--list)", text);
        break;
    case LABEL: p->label = text; break;
    case TOPIC: p->topic = text; break;
    case CONFIG: add_config(a, text); break;
    case LINGER: p->linger_ns = (uint64_t)(number(name, text, 0, 60000) * 1e6); break;
    case ACKS: p->acks = (int16_t)number(name, text, -1, 1); break;
    case CODEC: p->codec = codec_number(text); break;
    case IDEMPOTENT: p->idempotent = true; break;
    case RATE: p->rate = number(name, text, 0, 1e9); break;
    case RAMP: p->ramp = true; break;
    case RAMP_P99: p->ramp_p99_ms = number(name, text, 0.001, 1e6); break;
    case WARMUP: p->warmup_s = number(name, text, 0, 86400); break;
    case DURATION: p->duration_s = number(name, text, 0.1, OUTCOME_SECONDS_MAX); break;
    case BACKLOG: p->backlog_bytes = (uint64_t)number(name, text, 1, 1e13); break;
    case SPIN: p->spin = true; break;
    case DATA: p->data = text; break;
    case DURABLE: a->durable = true; break;
    case JSON: a->json = text; break;
    case LIST: workload_list(); exit(0);
    case HELP: print_help(); exit(0);
    default: take_size(p, c, name, text); break;
    }
}

static void read_options(struct asked *a, int argc, char **argv)
{
    struct option known[CHOICES + 1] = {0};
    for (int i = 0; i < CHOICES; i++)
        known[i] = (struct option){rows[i].name, rows[i].argument ? required_argument : no_argument, NULL, i + 1};
    for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (c == 'h')
            take(a, HELP, NULL);
        if (c < 1 || c > CHOICES)
            exit(2); /* getopt has said what is wrong */
        take(a, (enum choice)(c - 1), optarg);
    }
    if (optind < argc)
        complain("there are only options (--help)", argv[optind]);
    if (a->plan.backlog_bytes && !a->plan.fan_out)
        complain("a backlog is read by somebody", "--readers is 0");
    if (a->durable && !a->plan.data)
        complain("--durable looks at the disk", "--data is missing");
    if (a->durable)
        add_config(a, "flush.messages=1");
}

static bool write_json(const struct asked *a, const struct outcome *o)
{
    FILE *out = a->json ? fopen(a->json, "we") : NULL;
    if (!out)
        return !a->json;
    outcome_json(out, &a->plan, o);
    return fclose(out) == 0;
}

int main(int argc, char **argv)
{
    struct asked a = {.plan = {.address = "localhost:9092",
                               .label = "broker",
                               .acks = -1,
                               .fetch_bytes = 1 << 20,
                               .fetch_wait_ms = 500,
                               .threads = 1,
                               .cpu = -1,
                               .warmup_s = 5,
                               .duration_s = 30,
                               .ramp_p99_ms = 100}};
    struct outcome o;
    char why[RUN_TEXT];
    workload_apply("simple", &a.plan);
    read_options(&a, argc, argv);
    if (!outcome_open(&o))
        complain("no result", "out of memory");
    bool fine = a.plan.ramp ? run_ramp(&a.plan, &o, why) : run_once(&a.plan, a.plan.rate, &o, why);
    if (!fine)
        fprintf(stderr, "odradek-bench: %s\n", why);
    else
        outcome_print(&a.plan, &o);
    if (fine && a.durable && strncmp(o.ack_meaning, "on the disk", 11) != 0) {
        fprintf(stderr, "odradek-bench: acks were to be durable, and are %s\n", o.ack_meaning);
        fine = false;
    }
    if (fine && !write_json(&a, &o)) {
        fprintf(stderr, "odradek-bench: %s cannot be written\n", a.json);
        fine = false;
    }
    outcome_close(&o);
    return fine ? 0 : 1;
}
