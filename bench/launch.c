/* Starts a broker and times it: from exec to the line ` started: `, to the first connection that is accepted (tried again and
 * again from the start, when the port is known beforehand), and to the first fetch that brings records; then reads its
 * resident memory, stops it and prints one JSON object. Times are taken here, not by the broker: the child notes the clock in shared
 * memory right before exec. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/cpu.h"
#include "bench/load/kafka.h"
#include "bench/load/sock.h"

enum { LOG_BYTES = 64 << 10, FETCH_BYTES = 1 << 20, FETCH_ROOM = 4 << 20 };

struct launch {
    const char *log;
    /* host:port to try from the start, or NULL. */
    const char *connect_to;
    /* What to fetch first, or NULL. */
    const char *topic;
    uint32_t partition;
    uint64_t offset;
    uint64_t timeout_ns;
    unsigned settle_ms;
    int cpu;
    int stop_signal;
    pid_t pid;
    uint64_t exec_ns;
    uint64_t started_ns;
    uint64_t started_cpu_ns;
    uint64_t connected_ns;
    uint64_t fetched_ns;
    char text[LOG_BYTES + 1];
    char address[256];
    char line[1024];
};

static void run_child(const struct launch *l, uint64_t *exec_ns, char **argv)
{
    int fd = open(l->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);

    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        _exit(126);
    close(fd);
    *exec_ns = cpu_now_ns();
    execvp(argv[0], argv);
    _exit(127);
}

/* Copies the value behind `address=` of the start line. */
static bool start_line(struct launch *l)
{
    char *at = strstr(l->text, " started: ");
    char *end = at ? strchr(at, '\n') : NULL;
    char *address = end ? strstr(at, "address=") : NULL;

    if (!address || address > end)
        return false;
    while (at > l->text && at[-1] != '\n')
        at--;
    *end = 0;
    snprintf(l->line, sizeof l->line, "%s", at);
    for (char *quote = l->line; (quote = strchr(quote, '"'));) /* the line is shown as a JSON text */
        *quote = '\'';
    snprintf(l->address, sizeof l->address, "%.*s", (int)strcspn(address + 8, " \n"), address + 8);
    return true;
}

static void read_log(struct launch *l)
{
    int fd = open(l->log, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, l->text, LOG_BYTES);

    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return;
    l->text[got] = 0;
    if (!start_line(l))
        return;
    l->started_ns = cpu_now_ns();
    l->started_cpu_ns = cpu_used_ns(l->pid);
}

static void try_connect(struct launch *l)
{
    int fd = sock_connect(l->connect_to, true);

    if (fd < 0)
        return;
    l->connected_ns = cpu_now_ns();
    close(fd);
}

static bool wait_start(struct launch *l)
{
    uint64_t deadline = cpu_now_ns() + l->timeout_ns;

    while (!l->started_ns || (l->connect_to && !l->connected_ns)) {
        if (l->connect_to && !l->connected_ns)
            try_connect(l);
        if (!l->started_ns)
            read_log(l);
        if (cpu_now_ns() > deadline || waitpid(l->pid, NULL, WNOHANG) != 0)
            return false;
    }
    return true;
}

static bool fetch_first(struct launch *l)
{
    struct kafka_fetch fetch = {
        .topic = l->topic, .partition = l->partition, .offset = l->offset, .bytes_max = FETCH_BYTES, .wait_ms = 100};
    uint64_t deadline = cpu_now_ns() + l->timeout_ns;
    uint8_t *buf = malloc(FETCH_ROOM);
    struct kafka_fetched got = {.error = -1};
    int fd = sock_connect(l->address, false);

    while (fd >= 0 && buf && cpu_now_ns() < deadline && !l->fetched_ns) {
        if (!kafka_fetch(fd, &fetch, buf, FETCH_ROOM, &got))
            break;
        if (got.error == KAFKA_NONE && got.records_bytes > 0)
            l->fetched_ns = cpu_now_ns();
    }
    if (!l->fetched_ns)
        fprintf(stderr, "first fetch of %s-%u at %llu: error %d, %zu bytes\n", l->topic, l->partition,
                (unsigned long long)l->offset, got.error, got.records_bytes);
    free(buf);
    if (fd >= 0)
        close(fd);
    return l->fetched_ns != 0;
}

static long status_number(pid_t pid, const char *name)
{
    char path[64];
    char line[256];
    long value = -1;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");

    while (f && value < 0 && fgets(line, sizeof line, f)) {
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    }
    if (f)
        fclose(f);
    return value;
}

static void print_time(const char *name, uint64_t from_ns, uint64_t at_ns)
{
    if (at_ns)
        printf("\"%s\": %.1f, ", name, (double)(at_ns - from_ns) / 1e3);
}

static int report(struct launch *l, bool good)
{
    struct timespec settle = {.tv_sec = l->settle_ms / 1000, .tv_nsec = (long)(l->settle_ms % 1000) * 1000000};
    int status = 0;

    nanosleep(&settle, NULL);
    printf("{\"ok\": %s, ", good ? "true" : "false");
    print_time("started_us", l->exec_ns, l->started_ns);
    print_time("started_cpu_us", 0, l->started_cpu_ns);
    print_time("connected_us", l->exec_ns, l->connected_ns);
    print_time("fetched_us", l->exec_ns, l->fetched_ns);
    printf("\"rss_kb\": %ld, \"rss_max_kb\": %ld, \"threads\": %ld, ", status_number(l->pid, "VmRSS:"),
           status_number(l->pid, "VmHWM:"), status_number(l->pid, "Threads:"));
    uint64_t stop_ns = cpu_now_ns();

    kill(l->pid, l->stop_signal);
    waitpid(l->pid, &status, 0);
    print_time("stopped_us", stop_ns, cpu_now_ns());
    printf("\"status\": %d, \"line\": \"%s\"}\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), l->line);
    return good ? 0 : 1;
}

__attribute__((noreturn)) static void usage(void)
{
    fputs("launch [--log FILE] [--connect HOST:PORT] [--topic T --partition N --offset N] [--timeout-ms N] "
          "[--settle-ms N]\n"
          "       [--cpu N] [--signal N] -- COMMAND ...\n",
          stderr);
    exit(2);
}

static const struct option names[] = {{"log", 1, NULL, 'l'},       {"connect", 1, NULL, 'c'},
                                      {"topic", 1, NULL, 't'},     {"partition", 1, NULL, 'p'},
                                      {"offset", 1, NULL, 'o'},    {"timeout-ms", 1, NULL, 'w'},
                                      {"settle-ms", 1, NULL, 's'}, {"cpu", 1, NULL, 'u'},
                                      {"signal", 1, NULL, 'k'},    {NULL, 0, NULL, 0}};

static void option_set(struct launch *l, int option, const char *text)
{
    uint64_t n = text ? strtoull(text, NULL, 10) : 0;

    switch (option) {
    case 'l': l->log = text; break;
    case 'c': l->connect_to = text; break;
    case 't': l->topic = text; break;
    case 'p': l->partition = (uint32_t)n; break;
    case 'o': l->offset = n; break;
    case 'w': l->timeout_ns = n * 1000000; break;
    case 's': l->settle_ms = (unsigned)n; break;
    case 'u': l->cpu = (int)n; break;
    case 'k': l->stop_signal = (int)n; break;
    default: usage();
    }
}

int main(int argc, char **argv)
{
    static struct launch l = {
        .log = "launch.log", .timeout_ns = 30000000000u, .settle_ms = 200, .cpu = -1, .stop_signal = SIGTERM};
    uint64_t *exec_ns = mmap(NULL, sizeof *exec_ns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    for (int o; (o = getopt_long(argc, argv, "+", names, NULL)) != -1;)
        option_set(&l, o, optarg);
    if (optind == argc || exec_ns == MAP_FAILED)
        usage();
    unlink(l.log);
    l.pid = fork();
    if (l.pid == 0)
        run_child(&l, exec_ns, argv + optind);
    if (l.pid < 0 || (l.cpu >= 0 && !cpu_pin(l.cpu))) {
        perror("launch");
        return 1;
    }
    bool good = wait_start(&l);

    l.exec_ns = *exec_ns;
    if (!good) {
        kill(l.pid, SIGKILL);
        printf("{\"ok\": false, \"wrong\": \"no start line or no connection\"}\n");
        return 1;
    }
    return report(&l, !l.topic || fetch_first(&l));
}
