/* The command line: odradek [serve] [--option ...] [key=value ...]. Keys are Kafka's, of the broker's configuration; options are
 * ours, for what is no property of the broker but of this process. */
#pragma once
#include "core/io.h"
#include "core/limits.h"
#include "core/log.h"
#include "storage/adopt/adopt.h"

enum { OPTIONS_WHY_BYTES = CONFIG_WHY_BYTES };

enum options_kind {
    OPTIONS_SERVE,
    OPTIONS_CHECK, /* config has the data folder */
    OPTIONS_REPAIR,
    OPTIONS_ADOPT, /* and adopt_from the folders to adopt from */
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_USAGE, /* a mistake on the command line: why says which */
    OPTIONS_FAULT, /* a mistake in a property or its file */
};
struct options {
    uint16_t cores;
    bool pinned; /* cpus has one for each core */
    int cpus[SHARDS_MAX];
    uint32_t spin_us;    /* --spin-us; 0: idle shards sleep at once */
    size_t memory_bytes; /* of all shards' bufs together */
    enum io_engine engine;
    uint32_t io_features;
    struct log_options log;
    const char *stat_file; /* NULL: none; lent by argv */
    const char *adopt_from[ADOPT_FOLDERS_MAX];
    uint32_t adopt_from_count;
};

/* Fills `config` (initialised) from the file first, then from the pairs, which win. */
enum options_kind options_parse(int argc, char **argv, struct broker_config *config, struct options *out,
                                char *why) must_use;
const char *options_help(void);
const char *options_version(void);
/* "64M", "2G", "1048576"; ERR_INVALID for anything else. */
enum err options_bytes(const char *text, size_t *out_bytes) must_use;
/* "0,2-3": which CPUs, at most `max`; 0 for anything else. */
uint32_t options_cpus(const char *text, int *out_cpus, uint32_t max) must_use;
