#include "tests/sim/client.h"
#include "core/bytes.h"
#include "tests/sim/broker.h"
#include <stdio.h>

enum { OUT_BYTES = 2 * 1024 * 1024, ARENA_BYTES = 1024 * 1024, RETRY_NS_MAX = 30 * 1000 * 1000 };

struct call {
    struct call *next;
    int32_t correlation;
    int16_t key, version;
    client_done_fn *done;
    void *context;
};
/* A time-out event: which call of which client it was for. */
struct alarm {
    struct client *client;
    int32_t correlation;
};

static uint8_t out[OUT_BYTES];
static uint8_t arena_bytes[ARENA_BYTES] __attribute__((aligned(16)));

struct arena *client_arena(void)
{
    static struct arena arena;
    arena = arena_of(arena_bytes, sizeof arena_bytes);
    return &arena;
}

/* --- losing a connection --- */

static void lose(struct client *c, const char *why)
{
    world_note("%s: connection lost: %s", c->name, why);
    if (c->link.conn)
        net_close(&c->link);
    c->in_bytes = 0;
    struct call *call = c->calls;
    c->calls = NULL;
    c->calls_end = &c->calls;
    c->call_count = 0;
    while (call) {
        struct call *next = call->next;
        const struct reply r = {.client = c, .body = {NULL, -1}, .version = call->version, .context = call->context};
        call->done(&r);
        world_free(call);
        call = next;
    }
    c->down(c);
}

static void retry(void *arg)
{
    struct client *c = arg;
    c->retrying = false;
    if (c->wants && !c->link.conn)
        client_connect(c);
}

static void retry_later(struct client *c)
{
    if (!c->retrying && c->wants) {
        c->retrying = true;
        event_in(1000 + dice(RETRY_NS_MAX), retry, c);
    }
}

static void closed(struct net_link *l)
{
    struct client *c = container_of(l, struct client, link);
    lose(c, "closed");
    retry_later(c);
}

void client_reset(struct client *c, const char *why)
{
    lose(c, why);
    retry_later(c);
}

void client_quit(struct client *c)
{
    c->wants = false;
    if (c->link.conn)
        lose(c, "done");
}

/* --- connecting --- */

static void arrived(struct net_link *l, const uint8_t *at, size_t bytes);

void client_init(struct client *c, const char *name, void (*up)(struct client *), void (*down)(struct client *))
{
    memset(c, 0, sizeof *c);
    snprintf(c->name, sizeof c->name, "%s", name);
    c->link = (struct net_link){.arrived = arrived, .closed = closed};
    c->calls_end = &c->calls;
    c->timeout_ns = dice_between(100, 3000) * NS_PER_MS;
    c->follows = sim.knobs.per_core && dice(2);
    c->up = up;
    c->down = down;
}

/* Any of the bootstrap servers, or where it was told to go: once, as nobody may be there any more. */
static uint16_t choose_port(struct client *c)
{
    uint16_t port = c->next;
    c->next = 0;
    if (!port)
        port = (uint16_t)(BROKER_PORT + (sim.knobs.per_core ? dice(sim.knobs.shards) : 0));
    return port;
}

bool client_go_to(struct client *c, int32_t port)
{
    if (!c->follows || port == c->port)
        return false;
    world_note("%s goes to port %d", c->name, port);
    c->next = (uint16_t)port;
    client_reset(c, "another node has it");
    return true;
}

void client_connect(struct client *c)
{
    c->wants = true;
    c->port = choose_port(c);
    if (!net_connect(&c->link, c->port)) {
        retry_later(c);
        return;
    }
    c->power_cuts = broker_power_cuts();
    c->broker_ends = broker_ends();
    c->up(c);
}

/* --- sending --- */

struct kwriter client_begin(struct client *c, int16_t key, int16_t version)
{
    struct kwriter w = kwriter_of(out, sizeof out);
    const struct request_header h = {.request_api_key = key,
                                     .request_api_version = version,
                                     .correlation_id = ++c->correlation,
                                     .client_id = view_of(c->name)};
    kwrite_int32(&w, 0);
    bool good = request_header_encode(&h, &w, kapi_request_header(kapi_find(key), version));
    assert(good);
    return w;
}

static void alarm_rings(void *arg)
{
    struct alarm *a = arg;
    struct client *c = a->client;
    bool waiting = false;
    for (const struct call *call = c->calls; call; call = call->next)
        waiting = waiting || call->correlation == a->correlation;
    world_free(a);
    if (waiting && c->link.conn)
        client_reset(c, "no reply in time");
}

static void set_alarm(struct client *c, int32_t correlation)
{
    struct alarm *a = world_alloc(sizeof *a);
    *a = (struct alarm){c, correlation};
    event_in(trouble() ? c->timeout_ns : 20 * NS_PER_S, alarm_rings, a);
}

void client_end(struct client *c, struct kwriter *w, bool good, int16_t key, int16_t version, client_done_fn *done,
                void *context)
{
    assert(good && kwriter_good(w));
    size_t bytes = kwriter_bytes(w);
    kwrite_int32_at(w, 0, (int32_t)bytes - 4);
    if (done) {
        struct call *call = world_alloc(sizeof *call);
        *call = (struct call){
            .correlation = c->correlation, .key = key, .version = version, .done = done, .context = context};
        *c->calls_end = call;
        c->calls_end = &call->next;
        c->call_count++;
        set_alarm(c, call->correlation);
    }
    world_mix_bytes(out, bytes);
    net_send(&c->link, out, bytes);
}

/* --- receiving --- */

static void take_frame(struct client *c, struct kview frame)
{
    struct call *call = c->calls;
    world_check(call, "%s got a reply that it did not ask for", c->name);
    c->calls = call->next;
    c->call_count--;
    if (!c->calls)
        c->calls_end = &c->calls;
    int16_t header_version = kapi_response_header(kapi_find(call->key), call->version);
    struct response_header h;
    struct kreader kr = kreader_of(frame, header_version, client_arena());
    world_check(response_header_read(&h, &kr), "%s got a reply with a bad header", c->name);
    world_check(h.correlation_id == call->correlation, "%s got reply %d where %d was next", c->name, h.correlation_id,
                call->correlation);
    const struct reply r = {
        .client = c, .body = {kr.at, (int32_t)(kr.end - kr.at)}, .version = call->version, .context = call->context};
    call->done(&r);
    world_free(call);
}

static void arrived(struct net_link *l, const uint8_t *at, size_t bytes)
{
    struct client *c = container_of(l, struct client, link);
    if (c->in_bytes + bytes > c->in_cap)
        c->in = world_grow(c->in, c->in_cap = (c->in_bytes + bytes) * 2);
    memcpy(c->in + c->in_bytes, at, bytes);
    c->in_bytes += bytes;
    size_t from = 0;
    while (l->conn && c->in_bytes - from >= 4) {
        uint32_t frame_bytes = be32_get(c->in + from);
        world_check(frame_bytes < 64 * 1024 * 1024, "%s got a frame of %u bytes", c->name, frame_bytes);
        if (c->in_bytes - from - 4 < frame_bytes)
            break;
        take_frame(c, (struct kview){c->in + from + 4, (int32_t)frame_bytes});
        from += 4 + frame_bytes;
    }
    if (!l->conn) /* lost meanwhile; in_bytes is 0, or of the next connection */
        return;
    memmove(c->in, c->in + from, c->in_bytes - from);
    c->in_bytes -= from;
}
