/* The command line. */
#include "net/options.h"
#include "core/fs.h"
#include "core/threads.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CPU_MAX = 4096, KEY_MAX = 256, SPIN_US_DEFAULT = 250, SPIN_US_MAX = 1000 };
#define MEMORY_PER_CORE_MIN (4ull * SLAB_BYTES) /* each purpose has a slab of its own (core/buf.h) */
#define MEMORY_MIN (16ull << 20)
#define MEMORY_DEFAULT_MAX (8ull << 30)
/* Of address space: twice --memory for buffers (core/buf.h), and of each core its stacks, rings and heap, with the program itself. */
#define ADDRESSES_TIMES 2
#define ADDRESSES_PER_CORE (192ull << 20)
#define ADDRESSES_BESIDE (64ull << 20)
#define FILE_BYTES_MIN ((2ull << 30) + (64ull << 20)) /* the largest segment.bytes, and the space ahead of it */

enum option_code {
    OPTION_CONFIG = 1,
    OPTION_CORES,
    OPTION_CPU_LIST,
    OPTION_SPIN,
    OPTION_MEMORY,
    OPTION_ENGINE,
    OPTION_FEATURES,
    OPTION_LEVEL,
    OPTION_JSON,
    OPTION_STATS,
    OPTION_DATA,
    OPTION_FROM,
    OPTION_HELP,
    OPTION_VERSION,
};
static const struct option table[] = {
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"cores", required_argument, NULL, OPTION_CORES},
    {"cpu-list", required_argument, NULL, OPTION_CPU_LIST},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"spin-us", required_argument, NULL, OPTION_SPIN},
    {"io-engine", required_argument, NULL, OPTION_ENGINE},
    {"io-features", required_argument, NULL, OPTION_FEATURES},
    {"log-level", required_argument, NULL, OPTION_LEVEL},
    {"log-json", no_argument, NULL, OPTION_JSON},
    {"stat-file", required_argument, NULL, OPTION_STATS},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"data", required_argument, NULL, OPTION_DATA},
    {"from", required_argument, NULL, OPTION_FROM},
    {NULL, 0, NULL, 0},
};

/* What was said, before it is made sense of together. */
struct said {
    const char *config_file;
    const char *data;       /* --data */
    enum options_kind kind; /* serve, check, repair, adopt */
    const char *cores, *spin;
    int cpus[SHARDS_MAX];
    uint32_t cpu_count;
    bool memory;
};

const char *options_version(void)
{
    return "odradek 0.1.0";
}

const char *options_help(void)
{
    return "odradek [serve] [--option ...] [key=value ...]\n"
           "odradek check|repair [--data DIR] [--config FILE]\n"
           "odradek adopt --from DIR [--from DIR ...] [--data DIR] [--config FILE]\n"
           "\n"
           "A broker that speaks Kafka's protocol. Keys are those of Kafka's server.properties, for example\n"
           "  listeners=PLAINTEXT://localhost:9092   where clients connect; port 0: any free one\n"
           "  log.dirs=odradek-data                  the data folder\n"
           "  disk.io=auto|direct|buffered           how segments are written\n"
           "  write.caching=true                     acks before the disk has flushed (crash-safe, not power-safe)\n"
           "  crash.route=auto|shm|written           what makes those acks crash-safe: shared memory, or a write\n"
           "\n"
           "  --config FILE         a server.properties; keys on the command line win over it\n"
           "  --cores N|auto        one thread per core (default 1; auto: every CPU that this process may use)\n"
           "  --cpu-list LIST       the CPUs to run on, one per core, e.g. 0,2-3\n"
           "  --spin-us N|auto      so long a core that has nothing to do looks for work before it sleeps, where that "
           "makes answers quicker;\n"
           "                        0: never (default auto: 250 where the processors are the broker's own: named or "
           "several, and not all)\n"
           "  --memory SIZE         for what is received, written and read, e.g. 512M, 4G (default: a quarter of the "
           "machine's, at most 8G)\n"
           "  --io-engine=ENGINE    io_uring or epoll (default: io_uring where the kernel grants it)\n"
           "  --io-features=LIST    what io_uring may use: all, none, or of "
           "defer,pbuf,fixed,files,msg_ring,sync_thread\n"
           "  --log-level=LEVEL     debug, info, warn or error\n"
           "  --log-json            log lines as JSON\n"
           "  --stat-file=FILE      what shards count, and a row for each partition, while they run (scripts/stats "
           "prints it);\n"
           "                        measures their turns; on tmpfs\n"
           "  --help (-h, help), --version\n"
           "\n"
           "check reads a whole data folder (of a broker that is stopped, or a copy), touches nothing, and says what "
           "is wrong,\n"
           "file by file; it ends with 0 if nothing is, 1 if something is, 2 if it cannot be read. repair does what "
           "can be done,\n"
           "keeps what it takes away in <data folder>/repaired-<n>/, and says so.\n"
           "  --data DIR            the data folder (default: that of log.dirs)\n"
           "\n"
           "adopt takes over the topics, settings and committed offsets of an Apache Kafka that is stopped, and never "
           "changes them there;\n"
           "it ends with 0 if all was taken, 1 if something was refused (each with a reason), 2 if it could not be "
           "done. "
           "Run again, it goes on.\n"
           "  --from DIR            each of that Kafka's log.dirs, the one with its metadata log among them\n";
}

/* --- values --- */

enum err options_bytes(const char *text, size_t *out_bytes)
{
    static const char units[] = "KMGT";
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    if (end == text || text[0] == '-')
        return ERR_INVALID;
    if (*end) {
        const char *unit = strchr(units, *end & ~0x20);
        if (!unit || end[1])
            return ERR_INVALID;
        unsigned shift = 10u * (unsigned)(unit - units + 1);
        if (n > SIZE_MAX >> shift)
            return ERR_INVALID;
        n <<= shift;
    }
    *out_bytes = n;
    return ERR_NONE;
}

/* A number or a range at *text, which moves behind it. */
static bool parse_cpu_range(const char **text, int *out_from, int *out_to)
{
    char *end;
    long from = strtol(*text, &end, 10), to = from;
    if (end == *text || from < 0)
        return false;
    if (*end == '-') {
        const char *second = end + 1;
        to = strtol(second, &end, 10);
        if (end == second)
            return false;
    }
    if (to < from || to >= CPU_MAX)
        return false;
    *text = end;
    *out_from = (int)from;
    *out_to = (int)to;
    return true;
}

uint32_t options_cpus(const char *text, int *out_cpus, uint32_t max)
{
    uint32_t count = 0;
    for (;;) {
        int from, to;
        if (!parse_cpu_range(&text, &from, &to))
            return 0;
        for (int cpu = from; cpu <= to; cpu++) {
            if (count == max)
                return 0;
            out_cpus[count++] = cpu;
        }
        if (!*text)
            return count;
        if (*text++ != ',')
            return 0;
    }
}

static bool parse_io_engine(const char *text, enum io_engine *out)
{
    if (strcmp(text, "auto") == 0)
        *out = IO_ENGINE_AUTO;
    else if (strcmp(text, "io_uring") == 0)
        *out = IO_ENGINE_IO_URING;
    else if (strcmp(text, "epoll") == 0)
        *out = IO_ENGINE_EPOLL;
    else
        return false;
    return true;
}

static bool parse_log_level(const char *text, enum log_level *out)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (uint32_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* --- one option --- */

static bool take_adopt_folder(const char *value, struct options *out)
{
    if (!value[0] || out->adopt_from_count == ADOPT_FOLDERS_MAX)
        return false;
    out->adopt_from[out->adopt_from_count++] = value;
    return true;
}

static bool take_option_value(int option, const char *value, struct said *said, struct options *out)
{
    switch (option) {
    case OPTION_CONFIG: said->config_file = value; return true;
    case OPTION_DATA: said->data = value; return value[0] != 0;
    case OPTION_CORES: said->cores = value; return true;
    case OPTION_CPU_LIST: return (said->cpu_count = options_cpus(value, said->cpus, SHARDS_MAX)) > 0;
    case OPTION_SPIN: said->spin = value; return true;
    case OPTION_MEMORY: said->memory = true; return options_bytes(value, &out->memory_bytes) == ERR_NONE;
    case OPTION_ENGINE: return parse_io_engine(value, &out->engine);
    case OPTION_FEATURES: return io_features_parse(value, &out->io_features) == ERR_NONE;
    case OPTION_LEVEL: return parse_log_level(value, &out->log.level);
    case OPTION_JSON: out->log.json = true; return true;
    case OPTION_FROM: return take_adopt_folder(value, out);
    case OPTION_STATS: out->stat_file = value; return *value;
    default: return false;
    }
}

static enum options_kind refuse_command_line(char *why, const char *what, const char *value)
{
    snprintf(why, OPTIONS_WHY_BYTES, "%s \"%s\": see odradek --help", what, value ? value : "");
    return OPTIONS_USAGE;
}

static enum options_kind parse_options(int argc, char **argv, struct said *said, struct options *out, char *why)
{
    int option, place = 0;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":h", table, &place)) != -1) {
        if (option == OPTION_HELP || option == 'h')
            return OPTIONS_HELP;
        if (option == OPTION_VERSION)
            return OPTIONS_VERSION;
        if (option == '?')
            return refuse_command_line(why, "there is no option", argv[optind - 1]);
        if (option == ':')
            return refuse_command_line(why, "a value is missing after", argv[optind - 1]);
        if (!take_option_value(option, optarg, said, out)) {
            char what[64];
            snprintf(what, sizeof what, "--%s cannot be", table[place].name);
            return refuse_command_line(why, what, optarg);
        }
    }
    return OPTIONS_SERVE;
}

/* The first word, if it is one of ours. */
static enum options_kind take_command(int argc, char **argv)
{
    static const struct {
        const char *word;
        enum options_kind kind;
    } commands[] = {{"serve", OPTIONS_SERVE},
                    {"check", OPTIONS_CHECK},
                    {"repair", OPTIONS_REPAIR},
                    {"adopt", OPTIONS_ADOPT},
                    {"help", OPTIONS_HELP}};
    for (size_t i = 0; optind < argc && i < COUNT_OF(commands); i++) {
        if (strcmp(argv[optind], commands[i].word) == 0) {
            optind++;
            return commands[i].kind;
        }
    }
    return OPTIONS_SERVE;
}

/* --- key=value --- */

static enum options_kind set_argument_pair(struct broker_config *config, const char *pair, char *why)
{
    char key[KEY_MAX];
    const char *equals = strchr(pair, '=');
    if (!equals || equals == pair || (size_t)(equals - pair) >= sizeof key)
        return refuse_command_line(why, "this is no key=value:", pair);
    memcpy(key, pair, (size_t)(equals - pair));
    key[equals - pair] = 0;
    return broker_config_set(config, key, equals + 1, "argument", why) ? OPTIONS_FAULT : OPTIONS_SERVE;
}

static bool stop_listing(void *arg, const struct fs_entry *entry)
{
    (void)arg, (void)entry;
    return false;
}

static enum options_kind set_argument_properties(int argc, char **argv, const struct said *said,
                                                 struct broker_config *config, char *why)
{
    if (said->config_file && fs_list(said->config_file, stop_listing, NULL) == ERR_NONE) {
        snprintf(why, OPTIONS_WHY_BYTES, "%.300s is a folder: give --config the path of a text file.",
                 said->config_file);
        return OPTIONS_FAULT;
    }
    if (said->config_file && broker_config_load(config, said->config_file, why))
        return OPTIONS_FAULT;
    if (said->data && broker_config_set(config, "log.dirs", said->data, "argument", why))
        return OPTIONS_FAULT;
    for (int i = optind; i < argc; i++) {
        enum options_kind kind = set_argument_pair(config, argv[i], why);
        if (kind != OPTIONS_SERVE)
            return kind;
    }
    return broker_config_finish(config, why) ? OPTIONS_FAULT : said->kind;
}

/* --- what follows from it --- */

static bool parse_option_count(const char *text, uint32_t max, uint32_t *out)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (end == text || *end || n < 1 || n > max)
        return false;
    *out = (uint32_t)n;
    return true;
}

/* Writes allowed CPUs as 0-3,8. */
static void list_cpus(const int *cpus, uint32_t count, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < count && used < bytes;) {
        uint32_t last = i;
        while (last + 1 < count && cpus[last + 1] == cpus[last] + 1)
            last++;
        int n = last > i ? snprintf(out + used, bytes - used, "%s%d-%d", i ? "," : "", cpus[i], cpus[last])
                         : snprintf(out + used, bytes - used, "%s%d", i ? "," : "", cpus[i]);
        used += n > 0 ? (size_t)n : 0;
        i = last + 1;
    }
}

static bool is_cpu_in(const int *cpus, uint32_t count, int cpu)
{
    for (uint32_t i = 0; i < count; i++)
        if (cpus[i] == cpu)
            return true;
    return false;
}

/* Each named once, and one that this process may use. */
static bool check_cpu_list(const struct said *said, char *why)
{
    static int allowed[CPU_MAX];
    char text[128];
    uint32_t count = threads_cpus(allowed, CPU_MAX);
    list_cpus(allowed, count, text, sizeof text);
    for (uint32_t i = 0; i < said->cpu_count; i++) {
        bool there = is_cpu_in(allowed, count, said->cpus[i]);
        if (there && !is_cpu_in(said->cpus, i, said->cpus[i]))
            continue;
        snprintf(why, OPTIONS_WHY_BYTES, "--cpu-list names processor %d %s; this process may use %s", said->cpus[i],
                 there ? "twice" : "which is not there or not for us", text);
        return false;
    }
    return true;
}

/* Threads are pinned where there are several of them or CPUs were named: a single one is better placed by the kernel. */
static bool settle_cores(struct said *said, struct options *out, char *why)
{
    int allowed[SHARDS_MAX];
    uint32_t allowed_count = threads_cpus(allowed, SHARDS_MAX);
    uint32_t cores = said->cpu_count ? said->cpu_count : 1;
    if (said->cores && strcmp(said->cores, "auto") == 0)
        cores = said->cpu_count ? said->cpu_count : allowed_count;
    else if (said->cores && !parse_option_count(said->cores, SHARDS_MAX, &cores)) {
        snprintf(why, OPTIONS_WHY_BYTES, "--cores cannot be \"%s\": it is a number from 1 to %d, or auto", said->cores,
                 SHARDS_MAX);
        return false;
    }
    if (said->cpu_count && cores > said->cpu_count) {
        snprintf(why, OPTIONS_WHY_BYTES, "--cores %u is more than the processors that --cpu-list names: %u", cores,
                 said->cpu_count);
        return false;
    }
    if (!check_cpu_list(said, why))
        return false;
    const int *cpus = said->cpu_count ? said->cpus : allowed;
    uint32_t cpu_count = said->cpu_count ? said->cpu_count : allowed_count;
    out->pinned = (said->cpu_count || cores > 1) && cores <= cpu_count;
    for (uint32_t i = 0; out->pinned && i < cores; i++)
        out->cpus[i] = cpus[i];
    out->cores = (uint16_t)cores;
    return true;
}

/* A core that looks for work takes its processor from everybody else: only where it is pinned to one, and another one is left for what is not ours. */
static bool settle_spin(const struct said *said, struct options *out, char *why)
{
    static int allowed[CPU_MAX];
    bool automatic = !said->spin || strcmp(said->spin, "auto") == 0;
    bool own = out->pinned && threads_cpus(allowed, CPU_MAX) > out->cores;
    out->spin_us = automatic && own ? SPIN_US_DEFAULT : 0;
    if (automatic || strcmp(said->spin, "0") == 0)
        return true;
    if (!parse_option_count(said->spin, SPIN_US_MAX, &out->spin_us)) {
        snprintf(why, OPTIONS_WHY_BYTES, "--spin-us cannot be \"%s\": it is a number from 0 to %d, or auto", said->spin,
                 SPIN_US_MAX);
        return false;
    }
    if (own && out->engine != IO_ENGINE_EPOLL)
        return true;
    snprintf(
        why, OPTIONS_WHY_BYTES, "--spin-us=%u needs %s", out->spin_us,
        own ? "io_uring: with --io-engine=epoll each look would be a system call"
            : "processors of the broker's own: name them with --cpu-list, and leave it one more than it has cores");
    return false;
}

/* A container's limit, if there is one; SIZE_MAX otherwise. */
static size_t container_memory_limit(void)
{
    char text[32] = {0};
    size_t bytes, got;
    int fd;
    if (fs_open("/sys/fs/cgroup/memory.max", FS_READ, &fd) != ERR_NONE)
        return SIZE_MAX;
    bool read = fs_read(fd, text, sizeof text - 1, 0, &got) == ERR_NONE;
    fs_close(fd);
    text[strcspn(text, "\n")] = 0;
    return read && options_bytes(text, &bytes) == ERR_NONE ? bytes : SIZE_MAX;
}

static uint64_t machine_memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
    return u64_min(machine, container_memory_limit());
}

static uint64_t addresses_beside(const struct options *out)
{
    uint64_t each = ADDRESSES_PER_CORE + (out->stat_file ? (uint64_t)STATS_BYTES + STAT_ROWS_BYTES : 0);
    return ADDRESSES_BESIDE + out->cores * each;
}

/* What --memory can be within the limit of address space; UINT64_MAX: there is none. */
static uint64_t addressable_memory_bytes(const struct options *out)
{
    uint64_t limit = region_bytes_max(), beside = addresses_beside(out);
    if (limit == SIZE_MAX)
        return UINT64_MAX;
    return limit > beside ? (limit - beside) / ADDRESSES_TIMES : 0;
}

static bool settle_addresses(struct options *out, bool said, uint64_t least, char *why)
{
    uint64_t most = addressable_memory_bytes(out);
    if (!said)
        out->memory_bytes = u64_min(out->memory_bytes, u64_max(most, least));
    if (out->memory_bytes <= most)
        return true;
    uint64_t wanted = ADDRESSES_TIMES * out->memory_bytes + addresses_beside(out);
    snprintf(
        why, OPTIONS_WHY_BYTES,
        "the limit of address space (ulimit -v) is %lluM: --memory %lluM with %u cores needs %lluM of it, and --memory "
        "has to be %lluM at least",
        (unsigned long long)region_bytes_max() >> 20, (unsigned long long)out->memory_bytes >> 20, out->cores,
        (unsigned long long)wanted >> 20, (unsigned long long)least >> 20);
    return false;
}

static bool check_file_limit(char *why)
{
    uint64_t most = fs_file_bytes_max();
    if (most >= FILE_BYTES_MIN)
        return true;
    snprintf(why, OPTIONS_WHY_BYTES,
             "the limit of file sizes (ulimit -f) is %lluK: segments and the space ahead of them need %lluK at least",
             (unsigned long long)most >> 10, FILE_BYTES_MIN >> 10);
    return false;
}

static bool settle_memory(struct options *out, bool said, char *why)
{
    uint64_t least = u64_max(MEMORY_MIN, out->cores * MEMORY_PER_CORE_MIN), most = machine_memory_bytes();
    if (!said)
        out->memory_bytes = u64_max(u64_min(most / 4, MEMORY_DEFAULT_MAX), least);
    if (!said || (out->memory_bytes >= least && out->memory_bytes <= most))
        return settle_addresses(out, said, least, why);
    snprintf(why, OPTIONS_WHY_BYTES, "--memory has to be from %lluM (of %u cores) to the %lluM that there are",
             (unsigned long long)(least >> 20), out->cores, (unsigned long long)(most >> 20));
    return false;
}

enum options_kind options_parse(int argc, char **argv, struct broker_config *config, struct options *out, char *why)
{
    struct said said = {0};
    *out = (struct options){.io_features = IO_FEATURE_ALL, .log = {.level = LOG_INFO}};
    enum options_kind kind = parse_options(argc, argv, &said, out, why);
    if (kind != OPTIONS_SERVE)
        return kind;
    said.kind = take_command(argc, argv);
    if (said.kind == OPTIONS_HELP)
        return OPTIONS_HELP;
    if ((said.kind == OPTIONS_ADOPT) != (out->adopt_from_count > 0))
        return refuse_command_line(
            why, said.kind == OPTIONS_ADOPT ? "adopt needs the folders of a Kafka:" : "this belongs to adopt:",
            "--from DIR");
    if (!settle_cores(&said, out, why) || !settle_spin(&said, out, why) || !settle_memory(out, said.memory, why) ||
        !check_file_limit(why))
        return OPTIONS_USAGE;
    log_init(out->log); /* the configuration may have something to say */
    return set_argument_properties(argc, argv, &said, config, why);
}
