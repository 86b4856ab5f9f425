/* Prints what a check or a repair finds (inspect.h). */
#include "net/inspect.h"
#include "storage/check/check.h"
#include <stdio.h>
#include <string.h>

static void print_finding(void *arg, const char *kind, const char *file, const char *text)
{
    (void)arg;
    printf("%s: %s: %s\n", kind, file, text);
}

int inspect_folder(bool repair, struct heap *heap, const struct broker_config *config)
{
    char why[CONFIG_WHY_BYTES] = "";
    struct check c = {.heap = heap, .data_dir = config->data_dir, .config = config, .say = print_finding};
    enum err err = repair ? repair_run(&c, why) : check_run(&c, why);
    if (err) {
        fflush(stdout);
        fprintf(stderr, "odradek: %s\n", why);
        return 2;
    }
    printf("%s: %llu partitions, %llu files, %llu bytes of batches: %llu faults, %llu notes, %llu repairs\n",
           c.data_dir, (unsigned long long)c.partitions, (unsigned long long)c.files, (unsigned long long)c.bytes,
           (unsigned long long)c.faults, (unsigned long long)c.notes, (unsigned long long)c.repairs);
    return !repair && c.faults > 0;
}

int inspect_adopt(const struct options *options, struct heap *heap, struct broker_config *config)
{
    char why[CONFIG_WHY_BYTES] = "";
    struct adopt a = {.heap = heap, .config = config, .from_count = options->adopt_from_count, .say = print_finding};
    memcpy(a.from, options->adopt_from, sizeof a.from);
    setlinebuf(stdout); /* each topic shows when it is done */
    enum err err = adopt_run(&a, why);
    printf("%s: %llu topics, %llu partitions, %llu batches checked: %llu bytes linked, %llu copied; %llu refused\n",
           config->data_dir, (unsigned long long)a.topics, (unsigned long long)a.partitions,
           (unsigned long long)a.batches, (unsigned long long)a.linked_bytes, (unsigned long long)a.copied_bytes,
           (unsigned long long)a.refused);
    fflush(stdout);
    if (err)
        fprintf(stderr, "odradek: %s\n", why);
    return err ? 2 : a.refused > 0;
}
