/* Folders in the data folder that look like a partition's and that the catalog knows nothing of: somebody put them there, or the
 * catalog lost their topic. They are found at the start (root_sweep.c), never adopted, never deleted. A topic of such a name is made
 * only for somebody who asks for it by name (CreateTopics); its strays are moved to <data>/set-aside/ before, where nothing of ours
 * looks at them again but `odradek check`. Belongs to shard 0 once it runs. */
#pragma once
#include "core/fs.h"
#include "core/map.h"

#define STRAYS_ASIDE "set-aside"
#define STRAYS_ADOPTING "adopting" /* what `odradek adopt` is taking over (storage/adopt/adopt.h) */

/* The folders of one topic's name. */
struct stray {
    char (*folders)[256];
    uint32_t count, cap;
    char topic[];
};
struct strays {
    struct heap *heap;
    struct map by_topic; /* struct stray */
};
void strays_init(struct strays *s, struct heap *heap);
void strays_deinit(struct strays *s);
/* "<topic>-<n>": what a partition's folder is called. The number, and the bytes of the topic's name; -1: it is none. */
int32_t strays_partition_of(const char *folder, size_t *out_topic_bytes);
/* `folder` is a partition's name. */
enum err strays_add(struct strays *s, const char *folder) must_use;
struct stray *strays_find(const struct strays *s, const char *topic); /* NULL: none */
/* Moves them, durably. Synchronous: a job. What was moved when it fails stays moved. */
enum err strays_move_aside(const struct stray *stray, const char *data_dir) must_use;
void strays_forget(struct strays *s, struct stray *stray);
