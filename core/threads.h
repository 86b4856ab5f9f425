/* The door to threads: one pinned thread per shard, and its helpers, which may block. The simulator has none. */
#pragma once
#include "core/err.h"

struct thread;
/* `cpu` -1: not pinned, whatever the caller is pinned to. The name is cut to 15 characters. */
enum err thread_start(const char *name, int cpu, void (*run)(void *arg), void *arg,
                      struct thread **out_thread) must_use;
void thread_join(struct thread *t);
/* Pins the calling thread; it may be refused (ERR_INVALID: no such CPU). */
enum err thread_pin(int cpu) must_use;
/* How many CPUs this process may use, and which: what it was started with, not what thread_pin left. */
uint32_t threads_cpus(int *out_cpus, uint32_t max);

/* The calling thread lets all others go first, where there are too few processors (nice 10: it gets a tenth beside one that never rests). */
void thread_yields(void);

/* Before the calling thread has work: for its first block, here one as large as opendir's, mimalloc (which is malloc where it is linked) maps and protects
 * memory, 32 MiB of addresses, and meanwhile page faults of all threads may wait. */
void thread_prepare_heap(void);

/* How often the calling thread has given up its processor to wait for something (voluntary context switches). */
uint64_t thread_waits(void);
/* How often another thread took its processor from it (involuntary context switches). */
uint64_t thread_preempted(void);

/* A place where `count` threads wait for each other, as often as they like. */
struct thread_gate;
enum err thread_gate_open(uint32_t count, struct thread_gate **out_gate) must_use;
void thread_gate_wait(struct thread_gate *g);
/* One thread fewer will come, from now on. */
void thread_gate_leave(struct thread_gate *g);
void thread_gate_close(struct thread_gate *g);
