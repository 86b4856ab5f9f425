/* Files in shared memory: crash.dir is the folder "shm" of the simulated disk. What is stored in a mapping is in the file at once; it outlives
 * a kill, and a power cut only in some worlds (a crash.dir that lies on a disk). In some worlds an old file comes back at a later start, in
 * the place of one that nobody needs: an operator's copy. */
#pragma once
#include "tests/sim/disk.h"

#define SHARED_DIR "shm"
void shared_begin(void); /* with the disk */
/* Of a file that was mapped; false: it was not. */
bool shared_read(const struct disk_node *n, void *to, uint64_t off, uint64_t bytes, uint64_t *out_bytes);
bool shared_write(const struct disk_node *n, const void *from, uint64_t off, uint64_t bytes);
uint8_t *shared_map(struct disk_node *n, uint64_t bytes);
void shared_crash(enum crash_kind kind); /* after the disk's */
void shared_start(void);                 /* before a broker's */
/* A fuzzer writes into what is found there: the broker may doubt it. */
void shared_spoil(void);
bool shared_is_spoilt(void);
