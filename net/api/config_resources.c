/* ListConfigResources: the names of what has a configuration: topics, brokers and their loggers, and those groups and subscriptions to client
 * metrics of which something was set. Version 0 asks for client metrics alone. */
#include "net/api/api.h"
#include "net/api/configs.h"
#include "net/api/kept.h"
#include "net/api/reply.h"
#include <stdio.h>

enum list_phase { LIST_GROUPS, LIST_METRICS, LIST_LOGGERS, LIST_BROKERS, LIST_TOPICS, LIST_OVER };
static const int8_t phase_types[] = {
    [LIST_GROUPS] = RESOURCE_GROUP,   [LIST_METRICS] = RESOURCE_CLIENT_METRICS, [LIST_LOGGERS] = RESOURCE_BROKER_LOGGER,
    [LIST_BROKERS] = RESOURCE_BROKER, [LIST_TOPICS] = RESOURCE_TOPIC,
};
enum { ID_BYTES = 12 };

struct list_run {
    struct request *req;
    struct list_config_resources_response r;
    uint32_t types; /* bit n: phase n is asked for */
    enum list_phase phase;
    uint32_t node;
    const char *last; /* the name before, of this phase; NULL: none */
    int32_t room;     /* of the reply's array: as many as there were when it began */
    bool failed;      /* no memory */
    struct steps steps;
};

static int find_list_phase(int8_t type)
{
    for (int i = 0; i < LIST_OVER; i++)
        if (phase_types[i] == type)
            return i;
    return -1;
}

/* False: there is a type among them that this version does not know. */
static bool take_list_types(struct list_run *run, const struct list_config_resources_request *m)
{
    uint32_t known = run->req->version == 0 ? 1u << LIST_METRICS : (1u << LIST_OVER) - 1;
    for (int32_t i = 0; i < m->resource_types.n; i++) {
        int phase = find_list_phase(m->resource_types.v[i]);
        if (phase < 0 || !(known & 1u << phase))
            return false;
        run->types |= 1u << phase;
    }
    run->types = run->types ? run->types : known;
    return true;
}

static void add_listed(struct list_run *run, const char *name)
{
    struct list_config_resource *out = &run->r.config_resources.v[run->r.config_resources.n];
    char *copy = request_text(run->req, view_of(name));
    run->failed = !copy;
    if (run->failed)
        return;
    list_config_resource_init(out);
    out->resource_name = view_of(copy);
    out->resource_type = phase_types[run->phase];
    run->last = copy;
    run->r.config_resources.n++;
}

static const char *next_topic_name(const struct list_run *run)
{
    const struct topic *t = topic_after(run->req, view_of(run->last));
    return t ? t->name : NULL;
}

static const char *next_node_name(struct list_run *run, char room[ID_BYTES])
{
    if (run->node == topology_node_count(run->req->server))
        return NULL;
    snprintf(room, ID_BYTES, "%d", topology_node_at(request_conn(run->req), run->node++).id);
    return room;
}

/* The next one of this phase, in this turn; NULL: there are no more. */
static const char *next_listed(struct list_run *run, char room[ID_BYTES])
{
    const struct entity *e;
    switch (run->phase) {
    case LIST_GROUPS: e = kept_next(run->req->server, ENTITY_GROUP, run->last); return e ? e->name : NULL;
    case LIST_METRICS: e = kept_next(run->req->server, ENTITY_CLIENT_METRICS, run->last); return e ? e->name : NULL;
    case LIST_LOGGERS:
    case LIST_BROKERS: return next_node_name(run, room);
    case LIST_TOPICS: return next_topic_name(run);
    case LIST_OVER: break;
    }
    return NULL;
}

static bool list_resources_step(struct steps *s)
{
    struct list_run *run = container_of(s, struct list_run, steps);
    for (; steps_go_on(s) && run->phase < LIST_OVER && !run->failed; steps_spend(s, 1)) {
        char room[ID_BYTES];
        bool asked = run->types & 1u << run->phase && run->r.config_resources.n < run->room;
        const char *name = asked ? next_listed(run, room) : NULL;
        if (name) {
            add_listed(run, name);
            continue;
        }
        run->phase++;
        run->last = NULL;
        run->node = 0;
    }
    if (run->failed)
        request_fail(run->req, no_memory);
    else if (run->phase == LIST_OVER)
        REQUEST_REPLY_LARGE(run->req, list_config_resources_response, &run->r);
    else
        return true;
    return false;
}

void list_config_resources_run(struct request *req)
{
    struct list_config_resources_request *m = REQUEST_DECODE(req, list_config_resources_request);
    if (!m)
        return;
    const struct catalog *c = server_catalog(req->server);
    struct list_run *run = request_zalloc(req, sizeof *run);
    size_t room = (size_t)c->count + c->entities.count + 2 * topology_node_count(req->server);
    struct list_config_resource *v = request_alloc(req, room * sizeof *v);
    if (!run || !v) {
        request_fail(req, no_memory);
        return;
    }
    run->req = req;
    run->room = (int32_t)room;
    list_config_resources_response_init(&run->r);
    run->r.config_resources.v = v;
    if (take_list_types(run, m)) {
        steps_start(&req->server->steps, &run->steps, list_resources_step);
        return;
    }
    run->r.error_code = KERR_UNSUPPORTED_VERSION;
    REQUEST_REPLY(req, list_config_resources_response, &run->r);
}
