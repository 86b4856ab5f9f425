/* Threads from pthreads. The CPUs that the process was given are read once, before anybody pins itself: a thread that is
 * started unpinned must not inherit its starter's pin. */
#include "core/threads.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { NAME_MAX_BYTES = 16, NICE_YIELDS = 10 };

struct thread {
    pthread_t id;
    int cpu;
    void (*run)(void *arg);
    void *arg;
    char name[NAME_MAX_BYTES];
};
struct thread_gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    uint32_t expected, waiting;
    uint64_t round; /* how often it has opened */
};

static pthread_once_t cpus_once = PTHREAD_ONCE_INIT;
static cpu_set_t cpus_at_start;

static void read_allowed_cpus(void)
{
    if (sched_getaffinity(0, sizeof cpus_at_start, &cpus_at_start) != 0) {
        CPU_ZERO(&cpus_at_start);
        CPU_SET(0, &cpus_at_start);
    }
}

static const cpu_set_t *allowed_cpus(void)
{
    pthread_once(&cpus_once, read_allowed_cpus);
    return &cpus_at_start;
}

uint32_t threads_cpus(int *out_cpus, uint32_t max)
{
    assert(out_cpus || max == 0);
    uint32_t count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < max; cpu++) {
        if (CPU_ISSET((size_t)cpu, allowed_cpus()))
            out_cpus[count++] = cpu;
    }
    return count;
}

enum err thread_pin(int cpu)
{
    if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET((size_t)cpu, allowed_cpus()))
        return ERR_INVALID;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return err_from_errno(pthread_setaffinity_np(pthread_self(), sizeof set, &set));
}

/* Signals are the main thread's business: it alone knows what a SIGTERM means. */
static void *run_thread(void *arg)
{
    struct thread *t = arg;
    assert(t->run);
    (void)pthread_setname_np(pthread_self(), t->name);
    if (t->cpu < 0)
        (void)pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), allowed_cpus()); /* at worst it stays pinned */
    else
        (void)!thread_pin(t->cpu); /* a thread on the wrong CPU is slower, not wrong */
    t->run(t->arg);
    return NULL;
}

static int create_thread(struct thread *t)
{
    assert(t->run);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&t->id, NULL, run_thread, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

enum err thread_start(const char *name, int cpu, void (*run)(void *arg), void *arg, struct thread **out_thread)
{
    assert(out_thread);
    assert(name && run);
    struct thread *t = malloc(sizeof *t);
    if (!t)
        return ERR_NO_MEMORY;
    (void)allowed_cpus();
    *t = (struct thread){.cpu = cpu, .run = run, .arg = arg};
    snprintf(t->name, sizeof t->name, "%.15s", name);
    if (create_thread(t) != 0) {
        free(t);
        return ERR_NO_MEMORY;
    }
    *out_thread = t;
    return ERR_NONE;
}

void thread_join(struct thread *t)
{
    assert(t);
    int failed = pthread_join(t->id, NULL);
    assert(!failed);
    free(t);
}

void thread_yields(void)
{
    (void)setpriority(PRIO_PROCESS, 0,
                      NICE_YIELDS); /* Linux: of the thread alone; at worst it is as urgent as others */
}

void thread_prepare_heap(void)
{
    enum { FIRST_BYTES = 36 * 1024 };
    void *volatile first = malloc(FIRST_BYTES); /* volatile, so that the compiler leaves it in */
    free(first);
}

uint64_t thread_waits(void)
{
    struct rusage used;
    int failed = getrusage(RUSAGE_THREAD, &used);
    assert(!failed);
    return (uint64_t)used.ru_nvcsw;
}

uint64_t thread_preempted(void)
{
    struct rusage used;
    int failed = getrusage(RUSAGE_THREAD, &used);
    assert(!failed);
    return (uint64_t)used.ru_nivcsw;
}

enum err thread_gate_open(uint32_t count, struct thread_gate **out_gate)
{
    assert(out_gate);
    assert(count > 0);
    struct thread_gate *g = malloc(sizeof *g);
    if (!g)
        return ERR_NO_MEMORY;
    *g = (struct thread_gate){.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER, .expected = count};
    *out_gate = g;
    return ERR_NONE;
}

static void open_gate_if_all_came(struct thread_gate *g)
{
    assert(g->waiting <= g->expected);
    if (g->waiting < g->expected)
        return;
    g->waiting = 0;
    g->round++;
    pthread_cond_broadcast(&g->opened);
}

void thread_gate_wait(struct thread_gate *g)
{
    pthread_mutex_lock(&g->lock);
    uint64_t round = g->round;
    g->waiting++;
    assert(g->waiting <= g->expected);
    open_gate_if_all_came(g);
    while (g->round == round)
        pthread_cond_wait(&g->opened, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

void thread_gate_leave(struct thread_gate *g)
{
    assert(g);
    pthread_mutex_lock(&g->lock);
    assert(g->expected > 0);
    g->expected--;
    open_gate_if_all_came(g);
    pthread_mutex_unlock(&g->lock);
}

void thread_gate_close(struct thread_gate *g)
{
    assert(g->waiting == 0);
    pthread_cond_destroy(&g->opened);
    pthread_mutex_destroy(&g->lock);
    free(g);
}
