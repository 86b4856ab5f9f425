/* Clients that were told where this broker is and never come there: their owners see nothing but time-outs, and the reason is
 * almost always advertised.listeners. Pure: events in, lines to log out; who tells what is in net/conn/told.h.
 *
 * Guests are counted by the peer's address, as one client opens several connections. Of each:
 *
 *            told                     HOMECOMING_S over, and no open connection of it came
 *   (nothing) ----> waiting ----------------------------------------------------------------> missing, or gone for good
 *                     |   came
 *                     +--------> at home: as long as one of its connections that came is open
 *
 * Told means that it was given an address to go to. Came means that it asked for anything that only clients ask who know their
 * way. Missing is who needs that address: holds its connection and asks again and again (insists), or has bootstrapped
 * HOMECOMING_AGAIN times more; it is named once an hour. Who asks once and stays is idle (a producer without records), who
 * asks once and leaves has looked around (kcat -L).
 *
 * A Java client leaves its first connection open and connects to the address that it was told at once, be it only to look
 * around once more (an idle admin client); it does not ask again on the first. So its second connection counts as coming, whatever
 * it asks, and holding the first without a second is missing: `opens_anew`. So does kafka-python, which closes the first: `leaves_first`. */
#pragma once
#include "core/list.h"
#include "core/map.h"
#include "net/limits.h"

struct homecoming {
    struct map guests;   /* address text -> struct guest: at most HOMECOMING_GUESTS_MAX */
    struct list waiting; /* of guests, in the order of their deadlines */
    struct heap *heap;
};

/* What is logged of a missing one. */
struct homecoming_name {
    char software[SOFTWARE_NAME_MAX], client_id[SOFTWARE_NAME_MAX];
    char told[HOMECOMING_TOLD_MAX]; /* "localhost:9092" */
    bool opens_anew, leaves_first;
};

void homecoming_init(struct homecoming *h, struct heap *heap);
void homecoming_deinit(struct homecoming *h);
/* What a connection was counted as, until it closes. None of it: the table is full, or there is no memory. */
enum { GUEST_TOLD = 1, GUEST_CAME = 2 };
/* A connection at `address` was told, came, or looks around without being sent anywhere. Each once per connection. Answers what
 * it is counted as from now on. */
uint8_t homecoming_told(struct homecoming *h, const char *address, const struct homecoming_name *name,
                        uint64_t now_ns) must_use;
uint8_t homecoming_came(struct homecoming *h, const char *address) must_use;
uint8_t homecoming_looked(struct homecoming *h, const char *address, const char *client_id) must_use;
/* A connection that was told asks again and again. Once per connection. */
void homecoming_insists(struct homecoming *h, const char *address, const struct homecoming_name *name, uint64_t now_ns);
/* A connection closed that was counted as this. */
void homecoming_left(struct homecoming *h, const char *address, uint8_t counted);
/* When homecoming_judge is due next; TIMER_NEVER: nobody waits. */
uint64_t homecoming_due(const struct homecoming *h);
/* Takes one guest whose time is over; true when it is missing and was not named within the hour: say so, and ask again. */
bool homecoming_judge(struct homecoming *h, uint64_t now_ns, const char **out_address,
                      struct homecoming_name *out_name);
