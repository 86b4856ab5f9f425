/* Prints what a check or a repair finds (inspect.h). */
#include "net/inspect.h"
#include "storage/check/check.h"
#include <stdio.h>

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
