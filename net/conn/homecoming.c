/* See homecoming.h. */
#include "net/conn/homecoming.h"
#include "core/clock.h"
#include "core/io.h"
#include <stdio.h>
#include <string.h>

struct guest {
    char address[IO_NAME_MAX];
    struct homecoming_name name; /* of whom is waited for */
    struct list link;            /* homecoming->waiting */
    uint64_t told_ns, named_ns;  /* named_ns: 0: never */
    uint32_t again;              /* told while none of its connections that were told is open, since it is waited for */
    bool insists;                /* since then */
    uint32_t told, came;         /* open connections */
};

static struct guest *guest_of(struct list *node)
{
    return container_of(node, struct guest, link);
}

void homecoming_init(struct homecoming *h, struct heap *heap)
{
    assert(h && heap);
    map_init(&h->guests, heap);
    list_init(&h->waiting);
    h->heap = heap;
}

void homecoming_deinit(struct homecoming *h)
{
    struct guest *g;
    for (uint32_t cursor = 0; (g = map_next(&h->guests, &cursor));)
        heap_free(h->heap, g);
    map_deinit(&h->guests);
    list_init(&h->waiting);
}

static void drop_guest(struct homecoming *h, struct guest *g)
{
    assert(!list_linked(&g->link));
    struct guest *was = map_remove(&h->guests, g->address, strlen(g->address));
    assert(was == g);
    heap_free(h->heap, g);
}

/* One that was named is remembered, so that the hour counts. */
static bool forgettable(const struct guest *g)
{
    return g->told == 0 && g->came == 0 && !list_linked(&g->link) && g->named_ns == 0;
}

static void drop_unused_guest(struct homecoming *h, struct guest *g)
{
    if (forgettable(g))
        drop_guest(h, g);
}

static bool named_lately(const struct guest *g, uint64_t now_ns)
{
    return g->named_ns != 0 && now_ns - g->named_ns < HOMECOMING_NAMED_S * NS_PER_S;
}

/* When the table is full: those whose hour is over and of whom nothing is here. */
static void sweep_guests(struct homecoming *h, uint64_t now_ns)
{
    struct guest *g;
    for (uint32_t cursor = 0; (g = map_next(&h->guests, &cursor));) {
        if (!named_lately(g, now_ns))
            g->named_ns = 0;
        drop_unused_guest(h, g);
    }
}

/* NULL: the table is full, or there is no memory. */
static struct guest *guest_get(struct homecoming *h, const char *address)
{
    size_t bytes = strlen(address);
    struct guest *g = map_get(&h->guests, address, bytes);
    if (g || h->guests.count >= HOMECOMING_GUESTS_MAX)
        return g;
    g = heap_zalloc(h->heap, sizeof *g);
    if (!g)
        return NULL;
    snprintf(g->address, sizeof g->address, "%s", address);
    list_init(&g->link);
    if (map_put(&h->guests, g->address, bytes, g) == ERR_NONE)
        return g;
    heap_free(h->heap, g);
    return NULL;
}

static void wait_for_guest(struct homecoming *h, struct guest *g, const struct homecoming_name *name, uint64_t now_ns)
{
    g->name = *name;
    g->told_ns = now_ns;
    g->again = 0;
    g->insists = false;
    list_push(&h->waiting, &g->link);
}

static void guest_comes(struct guest *g)
{
    g->came++;
    list_remove(&g->link);
}

/* Is this the second connection of the one that is waited for? */
static bool is_second(const struct guest *g, const char *client_id)
{
    bool first_is_as_it_should = g->name.opens_anew && (g->told > 0 || g->name.leaves_first);
    return list_linked(&g->link) && first_is_as_it_should && strcmp(g->name.client_id, client_id) == 0;
}

uint8_t homecoming_looked(struct homecoming *h, const char *address, const char *client_id)
{
    assert(address && client_id);
    struct guest *g = map_get(&h->guests, address, strlen(address));
    if (!g || !is_second(g, client_id))
        return 0;
    guest_comes(g);
    return GUEST_CAME;
}

/* A client that opens_anew has all of its time from now on: who came before it is gone. */
static void tell_guest_again(struct homecoming *h, struct guest *g, const struct homecoming_name *name, uint64_t now_ns)
{
    if (g->told > 0)
        return;
    g->again++;
    if (!name->opens_anew)
        return;
    uint32_t again = g->again;
    list_remove(&g->link);
    wait_for_guest(h, g, name, now_ns);
    g->again = again;
}

uint8_t homecoming_told(struct homecoming *h, const char *address, const struct homecoming_name *name, uint64_t now_ns)
{
    assert(address && name);
    if (h->guests.count >= HOMECOMING_GUESTS_MAX)
        sweep_guests(h, now_ns);
    struct guest *g = guest_get(h, address);
    if (!g)
        return 0;
    bool second = is_second(g, name->client_id);
    if (second)
        guest_comes(g);
    else if (list_linked(&g->link))
        tell_guest_again(h, g, name, now_ns);
    else if (g->came == 0)
        wait_for_guest(h, g, name, now_ns);
    g->told++;
    return second ? GUEST_TOLD | GUEST_CAME : GUEST_TOLD;
}

uint8_t homecoming_came(struct homecoming *h, const char *address)
{
    assert(address);
    struct guest *g = guest_get(h, address);
    if (!g)
        return 0;
    guest_comes(g);
    return GUEST_CAME;
}

void homecoming_insists(struct homecoming *h, const char *address, const struct homecoming_name *name, uint64_t now_ns)
{
    assert(address && name);
    struct guest *g = map_get(&h->guests, address, strlen(address));
    if (!g || g->told == 0 || g->came > 0)
        return;
    if (!list_linked(&g->link))
        wait_for_guest(h, g, name, now_ns);
    g->insists = true;
}

void homecoming_left(struct homecoming *h, const char *address, uint8_t counted)
{
    struct guest *g = map_get(&h->guests, address, strlen(address));
    bool told = counted & GUEST_TOLD, came = counted & GUEST_CAME;
    assert(told || came);
    assert(g && g->told >= told && g->came >= came);
    g->told -= told;
    g->came -= came;
    drop_unused_guest(h, g);
}

static uint64_t deadline_of_guest(const struct guest *g)
{
    return g->told_ns + HOMECOMING_S * NS_PER_S;
}

static bool is_missing(const struct guest *g)
{
    bool needs_it = g->insists || g->name.opens_anew;
    return g->again >= HOMECOMING_AGAIN || g->name.leaves_first || (g->told > 0 && needs_it);
}

uint64_t homecoming_due(const struct homecoming *h)
{
    struct list *first = list_first(&h->waiting);
    return first ? deadline_of_guest(guest_of(first)) : UINT64_MAX;
}

bool homecoming_judge(struct homecoming *h, uint64_t now_ns, const char **out_address, struct homecoming_name *out_name)
{
    while (homecoming_due(h) <= now_ns) {
        struct guest *g = guest_of(list_pop(&h->waiting));
        assert(g->came == 0);
        if (is_missing(g) && !named_lately(g, now_ns)) {
            g->named_ns = now_ns;
            *out_address = g->address;
            *out_name = g->name;
            return true;
        }
        drop_unused_guest(h, g);
    }
    return false;
}
