/* Parts of the fuzzer `state` that need a disk, and so a world of their own. */
#pragma once
#include "core/base.h"

void fuzz_clean_offset(const uint8_t *at, size_t n);
void fuzz_redo(const uint8_t *at, size_t n);
