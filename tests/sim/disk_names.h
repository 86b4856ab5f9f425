/* The names on the simulated disk, in two versions like the bytes; and what the files of the disk share among themselves. */
#pragma once
#include "tests/sim/disk.h"

enum { DISK_FD_FIRST = 1000 };
int disk_fd_open(struct disk_node *n, bool direct);
struct disk_node *disk_node_new(void);
uint32_t disk_id(const struct disk_node *n);
bool disk_lock(struct disk_node *n); /* false: taken */
int64_t disk_changed_ms(const struct disk_node *n);
void disk_set_changed_ms(struct disk_node *n, int64_t ms);

struct disk_name {
    struct disk_name *next;
    uint64_t hash;
    struct disk_node *node; /* NULL: a folder */
    char path[];
};

void names_begin(void);
void names_forget(void); /* the power went */
struct disk_name *names_find(const char *path);
bool names_folder_exists(const char *path);     /* "" is the root */
void names_parent(const char *path, char *out); /* "a/b" -> "a", "a" -> "" */
void names_link(const char *path, struct disk_node *node);
void names_unlink(const char *path);
void names_rename(const char *from, const char *to);
void names_sync(const char *folder);
void names_sync_all(void); /* and what the files hold */
/* The first name in this folder after `after` in the list (NULL: from the start). */
struct disk_name *names_in(const char *folder, struct disk_name *after);
