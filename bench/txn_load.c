/* Transactional producers: `txn_load --to HOST:PORT --topic T ...`. One thread, a connection per producer. For --seconds, after a warm-up,
 * each does one transaction after the other: a small batch to each of --partitions partitions of the topic, and EndTxn of the new
 * generation. It prints one JSON object and exits 0 only when all that was right. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/load/cpu.h"
#include "bench/txn/actor.h"

enum { EVENTS = 256, OPEN_S = 60, END_S = 30 };
#define NS_PER_S 1000000000ull

struct options {
    const char *address;
    struct stage stage;
    uint32_t producers, seconds;
    int pid, cpu;
};

struct run {
    struct options *o;
    struct actor *actors;
    int epoll;
    uint64_t cpu_ns, measured_ns;
};

static const char usage_text[] =
    "txn_load --to HOST:PORT --topic T [--producers N] [--partitions N] [--seconds N] [--abort-every N] "
    "[--pid BROKER] [--cpu N]\n";

__attribute__((noreturn)) static void usage(void)
{
    fputs(usage_text, stderr);
    exit(2);
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"to", 1, NULL, 't'},         {"topic", 1, NULL, 'T'},   {"producers", 1, NULL, 'n'},
        {"partitions", 1, NULL, 'P'}, {"seconds", 1, NULL, 's'}, {"abort-every", 1, NULL, 'a'},
        {"pid", 1, NULL, 'p'},        {"cpu", 1, NULL, 'C'},     {NULL, 0, NULL, 0}};

    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        uint32_t n = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 't': o->address = optarg; break;
        case 'T': o->stage.topic = optarg; break;
        case 'n': o->producers = n; break;
        case 'P': o->stage.partitions = n; break;
        case 's': o->seconds = n; break;
        case 'a': o->stage.abort_every = n; break;
        case 'p': o->pid = (int)n; break;
        case 'C': o->cpu = (int)n; break;
        default: usage();
        }
    }
    if (optind != argc || !o->address || !o->producers || !o->seconds || !o->stage.partitions ||
        o->stage.partitions > TXN_PARTITIONS_MAX)
        usage();
}

static bool open_actors(struct run *r)
{
    for (uint32_t i = 0; i < r->o->producers; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &r->actors[i]};

        if (!actor_open(&r->actors[i], &r->o->stage, r->o->address, i) ||
            epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->actors[i].fd, &event) != 0)
            return false;
    }
    return true;
}

/* One turn of all producers. */
static bool turn_actors(struct run *r)
{
    struct epoll_event events[EVENTS];
    uint64_t now_ns = cpu_now_ns();
    bool waits = false;

    for (uint32_t i = 0; i < r->o->producers; i++) {
        if (!actor_go(&r->actors[i], now_ns))
            return false;
        waits = waits || now_ns < r->actors[i].retry_ns;
    }
    int n = epoll_wait(r->epoll, events, EVENTS, waits ? 0 : 1);
    now_ns = cpu_now_ns();
    for (int i = 0; i < n; i++)
        if (!actor_read(events[i].data.ptr, now_ns))
            return false;
    return true;
}

static bool turn_for(struct run *r, uint64_t ns)
{
    for (uint64_t began_ns = cpu_now_ns(); cpu_now_ns() - began_ns < ns;)
        if (!turn_actors(r))
            return false;
    return true;
}

/* Has everybody ended a transaction (or, at the end, nobody one that is open)? */
static bool all_are(const struct run *r, bool ending)
{
    for (uint32_t i = 0; i < r->o->producers; i++)
        if (ending ? r->actors[i].asked || r->actors[i].step != ACTOR_SENDING : r->actors[i].count == 0)
            return false;
    return true;
}

static bool turn_until(struct run *r, bool ending, uint32_t seconds)
{
    for (uint64_t began_ns = cpu_now_ns(); !all_are(r, ending);) {
        if (!turn_actors(r))
            return false;
        if (cpu_now_ns() - began_ns > seconds * NS_PER_S) {
            r->o->stage.wrong = ending ? "not every transaction ended" : "not every producer came to its first end";
            return false;
        }
    }
    return true;
}

static bool measure(struct run *r)
{
    if (!turn_until(r, false, OPEN_S) || !turn_for(r, NS_PER_S / 2))
        return false;
    uint64_t began_ns = cpu_now_ns(), cpu_ns = cpu_used_ns(r->o->pid);
    r->o->stage.measuring = true;
    bool good = turn_for(r, r->o->seconds * NS_PER_S);
    r->o->stage.measuring = false;
    r->measured_ns = cpu_now_ns() - began_ns;
    r->cpu_ns = cpu_used_ns(r->o->pid) - cpu_ns;
    r->o->stage.over = true;
    return good && turn_until(r, true, END_S);
}

static void print_times(const char *name, const struct hist *h)
{
    printf(", \"%s_p50_us\": %.1f, \"%s_p99_us\": %.1f", name, (double)hist_quantile(h, 0.5) / 1e3, name,
           (double)hist_quantile(h, 0.99) / 1e3);
}

static void print(const struct run *r, bool good)
{
    const struct stage *s = &r->o->stage;
    double seconds = (double)(r->measured_ns ? r->measured_ns : 1) / 1e9,
           count = s->transactions ? (double)s->transactions : 1;
    uint64_t all = 0;

    for (uint32_t i = 0; i < r->o->producers; i++)
        all += r->actors[i].count;
    printf("{\"ok\": %s, ", good ? "true" : "false");
    if (s->wrong)
        printf("\"wrong\": \"%s\", ", s->wrong);
    printf("\"producers\": %u, \"partitions\": %u, \"all\": %llu, \"transactions\": %llu, \"transactions_s\": %.1f, "
           "\"again\": %llu, \"cpu_us\": %.2f",
           r->o->producers, s->partitions, (unsigned long long)all, (unsigned long long)s->transactions,
           count / seconds, (unsigned long long)s->again, (double)r->cpu_ns / 1e3 / count);
    print_times("end", &s->end);
    print_times("completed", &s->completed);
    print_times("whole", &s->whole);
    puts("}");
}

int main(int argc, char **argv)
{
    static struct options o = {.producers = 1, .seconds = 5, .cpu = -1, .stage = {.topic = "bench", .partitions = 1}};

    parse(argc, argv, &o);
    if (o.cpu >= 0 && !cpu_pin(o.cpu))
        perror("pin");
    struct run r = {.o = &o, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    r.actors = calloc(o.producers, sizeof *r.actors);
    bool good = r.actors && r.epoll >= 0 && open_actors(&r) && measure(&r) && o.stage.transactions > 0;
    print(&r, good);
    for (uint32_t i = 0; r.actors && i < o.producers; i++)
        if (r.actors[i].fd > 0)
            close(r.actors[i].fd);
    free(r.actors);
    return good ? 0 : 1;
}
