/* libFuzzer's two doors. One program for all fuzzers: the name by which it was called (build/fuzz/<fuzzer>) says which it is. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t bytes);

static const struct fuzzer *chosen;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    const char *slash = strrchr((*argv)[0], '/');
    const char *name = slash ? slash + 1 : (*argv)[0];
    chosen = fuzzer_find(name);
    if (!chosen) {
        fprintf(stderr, "there is no fuzzer %s: call it by the name of one\n", name);
        exit(2);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t bytes)
{
    if (bytes > chosen->input_max)
        return -1;
    chosen->run(at, bytes);
    return 0;
}
