/* Parts of the fuzzer `folder` that need only some files, and no broker. */
#pragma once
#include "core/base.h"

void fuzz_clean_offset(const uint8_t *at, size_t n);
void fuzz_redo(const uint8_t *at, size_t n);
