/* A data race on purpose: the check that the sanitizer runs here and that its reports are found.
 *
 * Nothing orders the two threads' additions. */
#include <pthread.h>
#include <stddef.h>

static int shared;

static void *add(void *unused)
{
    (void)unused;
    shared++;
    return NULL;
}

int main(void)
{
    pthread_t other;
    if (pthread_create(&other, NULL, add, NULL))
        return 2;
    shared++;
    pthread_join(other, NULL);
    return shared == 2 ? 0 : 1;
}
