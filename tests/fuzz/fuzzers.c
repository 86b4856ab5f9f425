#include "tests/fuzz/fuzz.h"

const struct fuzzer fuzzers[] = {
    {"wire", fuzz_wire, 4096},
    {"batches", fuzz_batches, 8192},
    {"state", fuzz_state, 4096},
    {"folder", fuzz_folder, 512},
    {"config", fuzz_config, 2048},
    {"sequence", fuzz_sequence, 1024},
    {NULL, NULL, 0},
};

const struct fuzzer *fuzzer_find(const char *name)
{
    const struct fuzzer *f = fuzzers;
    while (f->name && strcmp(f->name, name) != 0)
        f++;
    return f->name ? f : NULL;
}
