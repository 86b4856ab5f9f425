/* What an ack means: see durable.h. */
#include "bench/load/durable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "bench/load/cpu.h"
#include "bench/load/proto.h"
#include "bench/load/records.h"
#include "bench/load/sock.h"

enum { PROBES = 20, ANSWER_BYTES = 4096, CACHESTAT = 451, FLUSHES_FIELD = 15, PATH_BYTES = 1024 };

struct cache_range {
    uint64_t off, len;
};
struct cache_stat {
    uint64_t cache, dirty, writeback, evicted, recently_evicted;
};

/* The youngest segment of partition 0. */
static bool log_path(const struct plan *plan, char *out)
{
    char folder[PATH_BYTES], best[256] = "";
    snprintf(folder, sizeof folder, "%s/%s-0", plan->data, plan->topic);
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        size_t len = strlen(e->d_name);
        if (len > 4 && len < sizeof best && strcmp(e->d_name + len - 4, ".log") == 0 && strcmp(e->d_name, best) > 0)
            memcpy(best, e->d_name, len + 1);
    }
    if (dir)
        closedir(dir);
    return *best && snprintf(out, PATH_BYTES, "%s/%s", folder, best) < PATH_BYTES;
}

static bool flushes_of(dev_t device, uint64_t *out)
{
    char path[128];
    unsigned long long field[17] = {0};
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/stat", major(device), minor(device));
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    int n = 0;
    while (n < 17 && fscanf(file, "%llu", &field[n]) == 1)
        n++;
    fclose(file);
    *out = field[FLUSHES_FIELD];
    return n > FLUSHES_FIELD;
}

static bool has_no_cache(dev_t device)
{
    char path[128], text[32] = "";
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/queue/write_cache", major(device), minor(device));
    FILE *file = fopen(path, "re");
    if (!file) { /* a partition: its disk's */
        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/../queue/write_cache", major(device), minor(device));
        file = fopen(path, "re");
    }
    bool through = file && fgets(text, sizeof text, file) && strncmp(text, "write through", 13) == 0;
    if (file)
        fclose(file);
    return through;
}

static bool send_probe(int fd, const struct plan *plan, struct records *r)
{
    uint8_t head[PROTO_HEAD_MAX], answer[ANSWER_BYTES];
    static const uint8_t tail[PROTO_TAIL_MAX];
    struct records_of of = {.count = 1, .producer_id = -1, .epoch = -1, .sequence = -1};
    struct produce_to to = {.topic = plan->topic, .partition = 0, .acks = plan->acks};
    struct produce_reply reply;
    size_t bytes, len;
    const uint8_t *batch = records_make(r, &of, &bytes);
    if (!batch)
        return false;
    struct iovec parts[] = {{head, proto_kafka.head_put(&to, (uint32_t)bytes, head)},
                            {(void *)(uintptr_t)batch, bytes},
                            {(void *)(uintptr_t)tail, proto_kafka.tail_bytes}};
    return sock_send_parts(fd, parts, 3) && sock_recv_frame(fd, answer, sizeof answer, &len) &&
           proto_kafka.reply_get(answer, len, &reply) && reply.error == 0;
}

struct looks {
    unsigned dirty, flushed, foreign, seen;
    bool no_cache;
    const char *problem;
};

static bool look_once(struct looks *l, const char *path, dev_t device, uint64_t flushes_before)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct cache_range whole = {0, 0};
    struct cache_stat cached = {0};
    long answer = fd < 0 ? -1 : syscall(CACHESTAT, fd, &whole, &cached, 0);
    uint64_t flushes = 0;
    if (fd >= 0)
        close(fd);
    if (answer != 0 || !flushes_of(device, &flushes)) {
        l->problem = answer != 0 ? "the kernel has no cachestat (6.5)" : "the folder is on no block device";
        return false;
    }
    l->seen++;
    l->dirty += cached.dirty + cached.writeback > 0;
    l->flushed += flushes > flushes_before;
    return true;
}

/* As long as a probe takes, without one: whose flushes are those? */
static bool others_flush(dev_t device, uint64_t pause_ns)
{
    uint64_t before = 0, after = 0;
    (void)flushes_of(device, &before);
    usleep((useconds_t)(pause_ns / 1000 + 1));
    return flushes_of(device, &after) && after > before;
}

static void probe(struct looks *l, const struct plan *plan, int fd, struct records *r)
{
    char path[PATH_BYTES];
    struct stat st = {0};
    uint64_t took_ns = 0;
    for (unsigned i = 0; i <= PROBES && !l->problem; i++) {
        uint64_t before = 0;
        l->foreign += i > 0 && others_flush(st.st_dev, took_ns);
        uint64_t began = cpu_now_ns();
        (void)flushes_of(st.st_dev, &before);
        if (!send_probe(fd, plan, r))
            l->problem = "a batch was not acknowledged";
        else if (!log_path(plan, path) || stat(path, &st) != 0)
            l->problem = "the data folder has no such partition";
        else if (i > 0) /* the first one finds out where it is */
            look_once(l, path, st.st_dev, before);
        took_ns = cpu_now_ns() - began;
    }
    l->no_cache = has_no_cache(st.st_dev);
}

bool durable_look(const struct plan *plan, const char *leader, char *out, size_t out_bytes)
{
    struct looks l = {0};
    struct records r;
    struct plan one = *plan;
    one.codec = 0;
    int fd = sock_connect(leader, false);
    if (fd < 0 || plan->acks == 0)
        l.problem = fd < 0 ? "no connection" : "with acks=0 there is none";
    if (!records_open(&r, &one))
        l.problem = "no memory";
    if (!l.problem)
        probe(&l, plan, fd, &r);
    records_close(&r);
    sock_close(fd);
    if (l.problem)
        snprintf(out, out_bytes, "not known: %s", l.problem);
    else if (l.dirty > 0)
        snprintf(out, out_bytes, "in the page cache (dirty pages after %u of %u acks)", l.dirty, l.seen);
    else if (!l.no_cache && l.foreign > l.seen / 4)
        snprintf(out, out_bytes,
                 "no dirty page; not known whether flushed: others flush the disk too (in %u of %u pauses)", l.foreign,
                 l.seen);
    else if (l.flushed == l.seen || l.no_cache)
        snprintf(out, out_bytes, "on the disk (no dirty page, %s, %u of %u acks)",
                 l.no_cache ? "a disk without volatile cache" : "flushed", l.seen, l.seen);
    else
        snprintf(out, out_bytes, "written, not flushed (%u of %u acks came with a flush)", l.flushed, l.seen);
    return !l.problem;
}
