/* load: produces to a broker while it crashes, and verifies afterwards what the broker still has.
 *
 *   load create  ADDRESS TOPIC PARTITIONS [key=value ...]
 *   load produce ADDRESS TOPIC HISTORY [name=value ...]
 *   load verify  ADDRESS TOPIC HISTORY [lost=ok] [reads=1]
 *   load selftest
 *
 * produce takes: writer= conns= window= bytes= records= idempotent= retry= read= acks= seed= ms= after_ms= burst= rate=
 * and as a trigger at_us= with kill=PID or cut=FILE, or with both and cut_us=. Exit code 0: as promised; 1: findings;
 * 2: wrong usage. */
#include "tests/load/produce.h"
#include "tests/load/verify.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage(void)
{
    fputs("usage: load create|produce|verify ADDRESS TOPIC PARTITIONS|HISTORY [name=value ...], or load selftest\n",
          stderr);
    return 2;
}

static int create_run(const char *address, const char *topic, const char *partitions, char **configs, int count)
{
    struct link l;
    struct wbuf ask = {0};
    struct rcur reply;
    proto_put_create(&ask, 0, topic, (uint32_t)atoi(partitions), configs, count);
    if (!link_open(&l, address) || !link_call(&l, &ask, &reply))
        return printf("finding: no answer from %s\n", address), 1;
    rcur_skip(&reply, 4);
    int16_t error = proto_take_create(&reply);
    link_close(&l);
    wbuf_free(&ask);
    if (error)
        printf("finding: topic %s was refused with code %d\n", topic, error);
    return error ? 1 : 0;
}

/* The value of `name=` among the arguments, or NULL. */
static const char *value_of(char **args, int count, const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < count; i++)
        if (!strncmp(args[i], name, n) && args[i][n] == '=')
            return args[i] + n + 1;
    return NULL;
}

static uint64_t number_of(char **args, int count, const char *name, uint64_t usual)
{
    const char *v = value_of(args, count, name);
    return v ? strtoull(v, NULL, 10) : usual;
}

static bool all_known(char **args, int count)
{
    static const char names[] =
        " writer conns window bytes records idempotent retry read acks seed ms after_ms burst rate "
        "at_us cut_us kill cut lost reads ";
    for (int i = 0; i < count; i++) {
        char *equals = strchr(args[i], '='), name[32];
        if (!equals || equals - args[i] > 20)
            return false;
        snprintf(name, sizeof name, " %.*s ", (int)(equals - args[i]), args[i]);
        if (!strstr(names, name))
            return false;
    }
    return true;
}

static struct produce_plan plan_of(char **at, int count)
{
    char **args = at + 3;
    const char *acks = value_of(args, count, "acks");
    return (struct produce_plan){
        .address = at[0],
        .topic = at[1],
        .history = at[2],
        .cut = value_of(args, count, "cut"),
        .writer = (uint32_t)number_of(args, count, "writer", 1),
        .conns = (uint32_t)number_of(args, count, "conns", 3),
        .window = (uint32_t)number_of(args, count, "window", 5),
        .bytes = (uint32_t)number_of(args, count, "bytes", 1024),
        .records = (uint32_t)number_of(args, count, "records", 1),
        .seed = number_of(args, count, "seed", 1),
        .ms = number_of(args, count, "ms", 1000),
        .after_ms = number_of(args, count, "after_ms", 50),
        .at_us = number_of(args, count, "at_us", 0),
        .cut_us = number_of(args, count, "cut_us", 0),
        .kill_pid = (int)number_of(args, count, "kill", 0),
        .acks = (int16_t)(acks ? atoi(acks) : -1),
        .idempotent = number_of(args, count, "idempotent", 0),
        .retry = number_of(args, count, "retry", 0),
        .read = number_of(args, count, "read", 1),
        .burst_bytes = number_of(args, count, "burst", 32 << 20),
        .rate_bytes = number_of(args, count, "rate", 16 << 20),
    };
}

static int self_run(void)
{
    struct wbuf b = {0};
    struct batch_view v;
    const char *why = "";
    struct batch_want want = {.pid = -1, .writer = 7, .partition = 3, .count = 1, .seq = 1u << 20, .bytes = 1024};
    batch_put(&b, &want);
    bool good = batch_crc("123456789", 9) == 0xe3069283 && b.len == 1024;
    good &= batch_read(b.at, b.len, &v, &why) == BATCH_OK && v.writer == 7 && v.partition == 3 && v.seq == 1u << 20;
    good &= batch_read(b.at, b.len - 1, &v, &why) == BATCH_PARTIAL;
    b.at[500] ^= 1;
    good &= batch_read(b.at, b.len, &v, &why) == BATCH_BAD;
    wbuf_free(&b);
    puts(good ? "selftest: good" : "selftest: the batch code is broken");
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "selftest"))
        return self_run();
    if (argc < 5)
        return usage();
    char **at = argv + 2;
    int count = argc - 5;
    if (!strcmp(argv[1], "create"))
        return create_run(at[0], at[1], at[2], at + 3, count);
    if (!all_known(at + 3, count))
        return usage();
    struct produce_plan plan = plan_of(at, count);
    struct verify_plan verify = {.address = at[0],
                                 .topic = at[1],
                                 .history = at[2],
                                 .lost_ok = value_of(at + 3, count, "lost"),
                                 .reads = number_of(at + 3, count, "reads", 0)};
    if (!strcmp(argv[1], "produce"))
        return produce_run(&plan);
    return strcmp(argv[1], "verify") ? usage() : verify_run(&verify);
}
