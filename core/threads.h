/* The door to threads: one pinned thread per shard. The simulator has none. */
#pragma once
#include "core/err.h"

struct thread;
/* `cpu` -1: not pinned. The name is cut to 15 characters. */
enum err thread_start(const char *name, int cpu, void (*run)(void *arg), void *arg, struct thread **out_thread) must_use;
void thread_join(struct thread *t);
/* How many CPUs this process may use, and which. */
uint32_t threads_cpus(int *out_cpus, uint32_t max);
