/* The load generator: `load_gen create|produce|fetch` against a Kafka broker, `load_gen produce --bare` against the bare loop.
 * One thread, raw blocking sockets, pinned. It prints one JSON object on stdout and exits 0 only when everything that was
 * sent was answered as it should be, and what was read back was what had been sent. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/consume.h"
#include "bench/load/cpu.h"
#include "bench/load/kafka.h"
#include "bench/load/produce.h"
#include "bench/load/sock.h"

enum { CONFIGS_MAX = 32 };

struct options {
    struct load load;
    struct consume consume;
    int cpu;
    const char *configs[CONFIGS_MAX + 1];
    unsigned config_count;
};

static const char usage_text[] =
    "load_gen create  --to HOST:PORT --topic T [--partitions N] [--config k=v ...]\n"
    "load_gen produce --to HOST:PORT --topic T [--bare] [--partitions N] [--acks N] [--lanes N] [--window N] [--batch "
    "BYTES]\n"
    "                 [--record BYTES] [--requests N] [--warmup N] [--rate N] [--pid BROKER] [--cpu N] [--file PATH]\n"
    "                 [--coalesce] [--sleep] [--may-be-cut]\n"
    "load_gen fetch   --to HOST:PORT --topic T [--partition N] [--offset N] [--fetch BYTES] [--bytes N] [--crc] [--pid "
    "BROKER]\n"
    "                 [--cpu N]\n";

enum {
    OPT_TO = 256,
    OPT_TOPIC,
    OPT_BARE,
    OPT_PARTITIONS,
    OPT_ACKS,
    OPT_LANES,
    OPT_WINDOW,
    OPT_BATCH,
    OPT_RECORD,
    OPT_REQUESTS,
    OPT_WARMUP,
    OPT_RATE,
    OPT_PID,
    OPT_CPU,
    OPT_FILE,
    OPT_CUT,
    OPT_PARTITION,
    OPT_OFFSET,
    OPT_FETCH,
    OPT_BYTES,
    OPT_CRC,
    OPT_CONFIG,
    OPT_COALESCE,
    OPT_SLEEP
};

static const struct option option_names[] = {{"to", 1, NULL, OPT_TO},
                                             {"topic", 1, NULL, OPT_TOPIC},
                                             {"bare", 0, NULL, OPT_BARE},
                                             {"partitions", 1, NULL, OPT_PARTITIONS},
                                             {"acks", 1, NULL, OPT_ACKS},
                                             {"lanes", 1, NULL, OPT_LANES},
                                             {"window", 1, NULL, OPT_WINDOW},
                                             {"batch", 1, NULL, OPT_BATCH},
                                             {"record", 1, NULL, OPT_RECORD},
                                             {"requests", 1, NULL, OPT_REQUESTS},
                                             {"warmup", 1, NULL, OPT_WARMUP},
                                             {"rate", 1, NULL, OPT_RATE},
                                             {"pid", 1, NULL, OPT_PID},
                                             {"cpu", 1, NULL, OPT_CPU},
                                             {"file", 1, NULL, OPT_FILE},
                                             {"may-be-cut", 0, NULL, OPT_CUT},
                                             {"partition", 1, NULL, OPT_PARTITION},
                                             {"offset", 1, NULL, OPT_OFFSET},
                                             {"fetch", 1, NULL, OPT_FETCH},
                                             {"bytes", 1, NULL, OPT_BYTES},
                                             {"crc", 0, NULL, OPT_CRC},
                                             {"config", 1, NULL, OPT_CONFIG},
                                             {"coalesce", 0, NULL, OPT_COALESCE},
                                             {"sleep", 0, NULL, OPT_SLEEP},
                                             {NULL, 0, NULL, 0}};

__attribute__((noreturn)) static void usage(void)
{
    fputs(usage_text, stderr);
    exit(2);
}

static void config_add(struct options *o, const char *text)
{
    if (!strchr(text, '=') || o->config_count == CONFIGS_MAX)
        usage();
    o->configs[o->config_count++] = text;
}

static void option_set(struct options *o, int option, const char *text)
{
    uint64_t n = text ? strtoull(text, NULL, 10) : 0;

    switch (option) {
    case OPT_TO: o->load.address = o->consume.address = text; break;
    case OPT_TOPIC: o->load.topic = o->consume.topic = text; break;
    case OPT_BARE: o->load.proto = &proto_bare; break;
    case OPT_PARTITIONS: o->load.partitions = (uint32_t)n; break;
    case OPT_ACKS: o->load.acks = (int16_t)atoi(text); break;
    case OPT_LANES: o->load.lanes = (uint32_t)n; break;
    case OPT_WINDOW: o->load.window = (uint32_t)n; break;
    case OPT_BATCH: o->load.batch_bytes = (uint32_t)n; break;
    case OPT_RECORD: o->load.record_bytes = (uint32_t)n; break;
    case OPT_REQUESTS: o->load.requests = n; break;
    case OPT_WARMUP: o->load.warmup = n; break;
    case OPT_RATE: o->load.rate = strtod(text, NULL); break;
    case OPT_PID: o->load.pid = o->consume.pid = (int)n; break;
    case OPT_CPU: o->cpu = (int)n; break;
    case OPT_FILE: o->load.file = text; break;
    case OPT_CUT: o->load.may_be_cut = true; break;
    case OPT_PARTITION: o->consume.partition = (uint32_t)n; break;
    case OPT_OFFSET: o->consume.offset = n; break;
    case OPT_FETCH: o->consume.fetch_bytes = (uint32_t)n; break;
    case OPT_BYTES: o->consume.bytes = n; break;
    case OPT_CRC: o->consume.check_crc = true; break;
    case OPT_COALESCE: o->load.coalesce = true; break;
    case OPT_SLEEP: o->load.sleep = true; break;
    case OPT_CONFIG: config_add(o, text); break;
    default: usage();
    }
}

static double us(uint64_t ns)
{
    return (double)ns / 1e3;
}

static void print_hist(const char *prefix, const struct hist *h)
{
    printf("\"%sp50_us\": %.2f, \"%sp99_us\": %.2f, \"%sp999_us\": %.2f, \"%smax_us\": %.2f, ", prefix,
           us(hist_quantile(h, 0.5)), prefix, us(hist_quantile(h, 0.99)), prefix, us(hist_quantile(h, 0.999)), prefix,
           us(h->max_ns));
}

static void print_rates(uint64_t requests, uint64_t bytes, uint64_t ns, uint64_t cpu_ns)
{
    double seconds = (double)(ns ? ns : 1) / 1e9;

    printf("\"requests\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"mb_s\": %.2f, \"req_s\": %.1f, ",
           (unsigned long long)requests, (unsigned long long)bytes, seconds, (double)bytes / 1e6 / seconds,
           (double)requests / seconds);
    printf("\"cpu_s\": %.6f, \"cpu_s_per_gb\": %.5f, \"cpu_us_per_request\": %.4f, ", (double)cpu_ns / 1e9,
           bytes ? (double)cpu_ns / (double)bytes : 0, requests ? us(cpu_ns) / (double)requests : 0);
}

static void print_produced(const struct load *load, const struct totals *t, const struct lane *lanes, bool good,
                           unsigned right)
{
    uint64_t measured = t->acked > load->warmup ? t->acked - load->warmup : 0;

    printf("{\"ok\": %s, ", good ? "true" : "false");
    if (t->wrong)
        printf("\"wrong\": \"%s\", ", t->wrong);
    printf("\"sent\": %llu, \"acked\": %llu, \"read_back\": %u, \"sampled\": %u, \"batch_bytes\": %u, "
           "\"batch_records\": %u, ",
           (unsigned long long)t->sent, (unsigned long long)t->acked, right, t->samples, lanes[0].batch_bytes,
           lanes[0].batch_records);
    print_rates(measured, t->bytes, t->ended_ns - t->started_ns, t->cpu_to_ns - t->cpu_from_ns);
    print_hist("", &t->from_send);
    if (load->rate > 0)
        print_hist("intended_", &t->from_intended);
    printf("\"end_offset\": %llu}\n", (unsigned long long)lanes[0].next_place);
}

/* What is asked of a run: all sent is acked, and the sample reads back; a run that may be cut only has its counts to tell. */
static int produce(const struct load *load)
{
    static struct totals totals;
    struct lane *lanes = calloc(load->lanes, sizeof *lanes);
    unsigned right = 0;
    bool good = lanes != NULL;

    for (uint32_t i = 0; i < load->lanes && good; i++)
        good = lane_open(&lanes[i], load, &totals, i);
    if (!good) {
        printf("{\"ok\": false, \"wrong\": \"the first request of a connection failed\"}\n");
        return 1;
    }
    bool whole = produce_run(lanes, load, &totals);

    good = whole && totals.acked == totals.sent && totals.acked == load->requests;
    if (good && (load->proto == &proto_kafka || load->file)) {
        good = produce_verify(lanes, load, &totals, &right);
        if (!good)
            totals.wrong = "what was read back differs from what was sent";
    }
    if (!whole && load->may_be_cut && strncmp(totals.wrong, "connection lost", 15) == 0)
        good = true;
    print_produced(load, &totals, lanes, good, right);
    for (uint32_t i = 0; i < load->lanes; i++)
        lane_close(&lanes[i]);
    free(lanes);
    return good ? 0 : 1;
}

static int fetch(const struct consume *how)
{
    static struct consumed out;
    bool good = consume_run(how, &out);

    printf("{\"ok\": %s, ", good ? "true" : "false");
    if (out.wrong)
        printf("\"wrong\": \"%s\", ", out.wrong);
    print_rates(out.requests, out.bytes, out.ns, out.cpu_ns);
    print_hist("", &out.latency);
    printf("\"records\": %llu}\n", (unsigned long long)out.records);
    return good ? 0 : 1;
}

static int create(const struct options *o)
{
    struct kafka_topic topic = {.name = o->load.topic, .partitions = o->load.partitions, .configs = o->configs};
    int fd = sock_connect(o->load.address, false);
    int16_t error = -1;

    bool good =
        fd >= 0 && kafka_create_topic(fd, &topic, &error) && (error == KAFKA_NONE || error == KAFKA_TOPIC_EXISTS);

    printf("{\"ok\": %s, \"error\": %d}\n", good ? "true" : "false", error);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct options o = {
        .load = {.proto = &proto_kafka,
                 .topic = "bench",
                 .partitions = 1,
                 .acks = -1,
                 .lanes = 1,
                 .window = 1,
                 .batch_bytes = 65536,
                 .record_bytes = 1024,
                 .requests = 1000},
        .consume = {.topic = "bench", .fetch_bytes = 1 << 20, .bytes = 1 << 20},
        .cpu = -1,
    };

    for (int option; (option = getopt_long(argc, argv, "", option_names, NULL)) != -1;)
        option_set(&o, option, optarg);
    if (optind + 1 != argc || !o.load.address || o.load.lanes == 0 || o.load.partitions == 0 ||
        o.load.warmup >= o.load.requests || (o.load.sleep && (o.load.lanes != 1 || o.load.rate <= 0)))
        usage();
    if (o.cpu >= 0 && !cpu_pin(o.cpu))
        perror("pin");
    if (strcmp(argv[optind], "produce") == 0)
        return produce(&o.load);
    if (strcmp(argv[optind], "fetch") == 0)
        return fetch(&o.consume);
    if (strcmp(argv[optind], "create") == 0)
        return create(&o);
    usage();
}
