/* Many consumer groups that only heartbeat and commit: `group_load --to HOST:PORT --topic T ...`. One thread, a connection per
 * member. First all groups form (the line `stable` says that they have), then for --seconds every member commits once in
 * --commit-ms, spread evenly; a rebalance meanwhile is an error. SIGUSR1 lets all of them pause, and go on. At the end every member reads back what it committed last. It
 * prints one JSON object and exits 0 only when all that was right. The topic needs as many partitions as a group has members. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/group/member.h"
#include "bench/load/cpu.h"

enum { EVENTS = 256, FORM_S = 120, READ_S = 30 };
#define NS_PER_S 1000000000ull

struct options {
    const char *address;
    struct crowd crowd;
    uint32_t groups, seconds;
    int pid, cpu;
};

struct run {
    struct options *o;
    struct crowd *crowd;
    struct member *members;
    uint32_t count;
    int epoll;
    uint64_t formed_ns, cpu_ns, measured_ns;
};

static volatile sig_atomic_t pausing; /* a signal handler has no argument */

static void on_signal(int number)
{
    (void)number;
    pausing = !pausing;
}

static const char usage_text[] =
    "group_load --to HOST:PORT --topic T [--groups N] [--members N] [--seconds N] [--commit-ms N] "
    "[--heartbeat-ms N]\n           [--session-ms N] [--pid BROKER] [--cpu N]\n";

__attribute__((noreturn)) static void usage(void)
{
    fputs(usage_text, stderr);
    exit(2);
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"to", 1, NULL, 't'},
                                          {"topic", 1, NULL, 'T'},
                                          {"groups", 1, NULL, 'g'},
                                          {"members", 1, NULL, 'm'},
                                          {"seconds", 1, NULL, 's'},
                                          {"commit-ms", 1, NULL, 'c'},
                                          {"heartbeat-ms", 1, NULL, 'h'},
                                          {"session-ms", 1, NULL, 'S'},
                                          {"pid", 1, NULL, 'p'},
                                          {"cpu", 1, NULL, 'C'},
                                          {NULL, 0, NULL, 0}};

    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        uint32_t n = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 't': o->address = optarg; break;
        case 'T': o->crowd.topic = optarg; break;
        case 'g': o->groups = n; break;
        case 'm': o->crowd.members = n; break;
        case 's': o->seconds = n; break;
        case 'c': o->crowd.commit_ms = n; break;
        case 'h': o->crowd.heartbeat_ms = n; break;
        case 'S': o->crowd.session_ms = n; break;
        case 'p': o->pid = (int)n; break;
        case 'C': o->cpu = (int)n; break;
        default: usage();
        }
    }
    if (optind != argc || !o->address || !o->groups || !o->seconds || !o->crowd.commit_ms || !o->crowd.members ||
        o->crowd.members > GROUP_MEMBERS_MAX)
        usage();
}

static bool open_all(struct run *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &r->members[i]};

        if (!member_open(&r->members[i], r->crowd, r->o->address, i / r->crowd->members) ||
            epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->members[i].fd, &event) != 0) {
            r->crowd->wrong = "a member could not connect";
            return false;
        }
    }
    return true;
}

/* One turn of all members. */
static bool turn(struct run *r)
{
    struct epoll_event events[EVENTS];
    uint64_t now_ns = cpu_now_ns();

    for (uint32_t i = 0; i < r->count && !pausing; i++)
        if (!member_go(&r->members[i], now_ns))
            return false;
    int n = epoll_wait(r->epoll, events, EVENTS, 1);
    now_ns = cpu_now_ns();
    for (int i = 0; i < n; i++)
        if (!member_read(events[i].data.ptr, now_ns))
            return false;
    return true;
}

/* Is everybody in, in groups whose leader saw all of them? */
static bool formed(const struct run *r)
{
    for (uint32_t i = 0; i < r->count; i += r->crowd->members) {
        bool complete = false;
        for (uint32_t k = i; k < i + r->crowd->members; k++) {
            if (r->members[k].step != MEMBER_IN || r->members[k].generation != r->members[i].generation)
                return false;
            complete = complete || r->members[k].group_size == r->crowd->members;
        }
        if (!complete)
            return false;
    }
    return true;
}

static bool form(struct run *r)
{
    uint64_t began_ns = cpu_now_ns();

    while (!formed(r)) {
        if (cpu_now_ns() - began_ns > FORM_S * NS_PER_S) {
            r->crowd->wrong = "the groups did not form";
            return false;
        }
        if (!turn(r))
            return false;
    }
    r->formed_ns = cpu_now_ns() - began_ns;
    puts("stable");
    fflush(stdout);
    return true;
}

static bool measure(struct run *r)
{
    uint64_t began_ns = cpu_now_ns(), cpu_ns = cpu_used_ns(r->o->pid);

    for (uint32_t i = 0; i < r->count; i++)
        member_begin(&r->members[i], began_ns, (double)i / r->count);
    r->crowd->measuring = true;
    r->crowd->rebalances = 0;
    while (cpu_now_ns() - began_ns < r->o->seconds * NS_PER_S)
        if (!turn(r))
            return false;
    r->measured_ns = cpu_now_ns() - began_ns;
    r->cpu_ns = cpu_used_ns(r->o->pid) - cpu_ns;
    return true;
}

static bool read_back(struct run *r)
{
    uint64_t began_ns = cpu_now_ns();
    bool waiting = true;

    pausing = 0;

    while (waiting) {
        waiting = false;
        for (uint32_t i = 0; i < r->count; i++) {
            struct member *m = &r->members[i];
            if (m->step == MEMBER_IN && m->asked == UINT16_MAX)
                m->step = MEMBER_READING;
            waiting = waiting || m->step != MEMBER_OVER;
        }
        if (cpu_now_ns() - began_ns > READ_S * NS_PER_S) {
            r->crowd->wrong = "not every member could read back what it had committed";
            return false;
        }
        if (!turn(r))
            return false;
    }
    return true;
}

static void print(const struct run *r, bool good)
{
    const struct crowd *c = r->crowd;
    double seconds = (double)(r->measured_ns ? r->measured_ns : 1) / 1e9;

    printf("{\"ok\": %s, ", good ? "true" : "false");
    if (c->wrong)
        printf("\"wrong\": \"%s\", ", c->wrong);
    printf("\"groups\": %u, \"members\": %u, \"formed_s\": %.3f, \"seconds\": %.3f, \"commits\": %llu, \"commits_s\": "
           "%.1f, "
           "\"heartbeats\": %llu, \"read_back\": %llu, ",
           r->o->groups, r->count, (double)r->formed_ns / 1e9, seconds, (unsigned long long)c->commits,
           (double)c->commits / seconds, (unsigned long long)c->heartbeats, (unsigned long long)c->read_back);
    printf("\"cpu_share\": %.4f, \"cpu_us_per_commit\": %.2f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
           (double)r->cpu_ns / 1e9 / seconds, c->commits ? (double)r->cpu_ns / 1e3 / (double)c->commits : 0,
           (double)hist_quantile(&c->commit_latency, 0.5) / 1e3, (double)hist_quantile(&c->commit_latency, 0.99) / 1e3,
           (double)c->commit_latency.max_ns / 1e3);
}

int main(int argc, char **argv)
{
    static struct options o = {
        .groups = 1000,
        .seconds = 10,
        .cpu = -1,
        .crowd = {.topic = "bench", .members = 3, .session_ms = 30000, .heartbeat_ms = 3000, .commit_ms = 1000}};

    parse(argc, argv, &o);
    signal(SIGUSR1, on_signal);
    if (o.cpu >= 0 && !cpu_pin(o.cpu))
        perror("pin");
    struct run r = {
        .o = &o, .crowd = &o.crowd, .count = o.groups * o.crowd.members, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    r.members = calloc(r.count, sizeof *r.members);
    bool good = r.members && r.epoll >= 0 && open_all(&r) && form(&r) && measure(&r) && read_back(&r) &&
                o.crowd.commits > 0 && o.crowd.read_back == r.count;
    print(&r, good);
    for (uint32_t i = 0; r.members && i < r.count; i++)
        if (r.members[i].fd > 0)
            close(r.members[i].fd);
    free(r.members);
    return good ? 0 : 1;
}
