/* Data races on purpose: the check that the sanitizer runs here and that its reports are found.
 *
 * Nothing orders the two threads' additions. ThreadSanitizer misses a race whose two sides happen at the very same moment
 * (each looks before the other has left its mark), so the threads take the counters in opposite orders: they meet once at most. */
#include <pthread.h>
#include <stddef.h>

enum { COUNTERS = 64 };

static int shared[COUNTERS];

static void *add_downwards(void *unused)
{
    (void)unused;
    for (int i = COUNTERS - 1; i >= 0; i--)
        shared[i]++;
    return NULL;
}

int main(void)
{
    pthread_t other;
    if (pthread_create(&other, NULL, add_downwards, NULL))
        return 2;
    for (int i = 0; i < COUNTERS; i++)
        shared[i]++;
    pthread_join(other, NULL);
    int sum = 0;
    for (int i = 0; i < COUNTERS; i++)
        sum += shared[i];
    return sum == 2 * COUNTERS ? 0 : 1;
}
