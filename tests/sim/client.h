/* A simulated Kafka client: one connection, requests with their replies in order, time-outs, a new connection when one was
 * lost. Its bytes are made and read with the broker's own codec (net/wire), of which tests/schema has its own opinion. */
#pragma once
#include "net/wire/kmsg.h"
#include "tests/sim/net_sim.h"

struct client;
/* A reply, or its absence: body.n < 0 when the connection was lost. */
struct reply {
    struct client *client;
    struct kview body;
    int16_t version;
    void *context;
};
typedef void client_done_fn(const struct reply *r);

struct client {
    struct net_link link;
    char name[32];
    uint8_t *in;
    size_t in_bytes, in_cap;
    struct call *calls, **calls_end; /* in flight, in order */
    uint32_t call_count;
    int32_t correlation;
    uint32_t power_cuts; /* at the time of the connection */
    uint64_t broker_ends;
    uint64_t timeout_ns;
    bool wants; /* a connection */
    bool
        follows; /* where each shard is a node: goes where it is told to; otherwise it stays where it came to, whichever node leads */
    uint16_t port; /* connected to */
    uint16_t next; /* to be connected to; 0: to any */
    bool retrying;
    void (*up)(struct client *c);   /* connected; nothing is in flight */
    void (*down)(struct client *c); /* lost; all calls were told */
};

void client_init(struct client *c, const char *name, void (*up)(struct client *), void (*down)(struct client *));
/* Connects now, or again and again until somebody listens. */
void client_connect(struct client *c);
/* Closes, and connects again later. Calls are told. */
void client_reset(struct client *c, const char *why);
/* For good. */
void client_quit(struct client *c);

/* The node at this port has what it wants. True: it is on its way there, and all calls were told. */
bool client_go_to(struct client *c, int32_t port);

/* Sends one request. `done` NULL: no reply is expected. */
#define client_call(c, api, message, version, done, context)                   \
    do {                                                                       \
        struct kwriter w_ = client_begin((c), KAPI_##api, (version));          \
        bool good_ = api##_request_encode((message), &w_, (version));          \
        client_end((c), &w_, good_, KAPI_##api, (version), (done), (context)); \
    } while (0)
struct kwriter client_begin(struct client *c, int16_t key, int16_t version);
void client_end(struct client *c, struct kwriter *w, bool good, int16_t key, int16_t version, client_done_fn *done,
                void *context);
/* Memory for decoding one reply; the last one's is gone. */
struct arena *client_arena(void);
#define client_decode(r, X, out)                                                                             \
    world_check(X##_decode((out), (r)->body, (r)->version, client_arena()), "%s got a reply that is no " #X, \
                (r)->client->name)

static inline struct kview view_of(const char *text)
{
    return (struct kview){(const uint8_t *)text, (int32_t)strlen(text)};
}
