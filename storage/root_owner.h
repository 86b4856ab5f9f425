/* Whose folder is this? Ours is one with our mark: meta.properties with odradek.format. An empty or a missing one is made ours, also one
 * whose first start lost its power: it holds nothing but names of our own. Anything else is somebody's data. */
#pragma once
#include "core/fs.h"
#include "core/mem.h"

/* ERR_NONE: ours, or to be made ours, or it cannot be listed, which the next step finds out. ERR_INVALID: somebody else's;
 * ERR_CORRUPT: ours once, and the mark is gone. why[CONFIG_WHY_BYTES] says what to do. Reads, and touches nothing. */
enum err root_owner_check(struct heap *heap, const char *data_dir, char *why) must_use;
/* The sentence for a meta.properties that a folder with topics lacks; ERR_CORRUPT. */
enum err root_owner_refuse_meta(const char *data_dir, bool missing, char *why) must_use;
