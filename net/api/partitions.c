/* CreatePartitions. Each topic is one change of the catalog; the reply leaves when all are durable and the new partitions can be
 * used on every shard. timeout_ms is not looked at: a change takes as long as the disk takes.
 *
 * Internal topics are refused, which Kafka allows: the number of their partitions decides which group or transaction is kept
 * where, and more of them would hide what was committed before. */
#include "net/api/api.h"
#include "net/api/reply.h"
#include "net/countdown.h"
#include <stdio.h>

enum { MESSAGE_BYTES = 400 };

struct more_run {
    struct request *req;
    struct create_partitions_request *ask;
    struct create_partitions_response r;
    struct steps steps;
    int32_t at; /* of the topics that it names, the next */
    struct duplicates duplicates;
    struct countdown changes; /* without an answer */
};
struct more_part {
    struct catalog_change change;
    struct more_run *run;
    struct create_partitions_topic_result *out;
};

static void all_partitions_added(struct countdown *c)
{
    struct more_run *run = container_of(c, struct more_run, changes);
    REQUEST_REPLY_LARGE(run->req, create_partitions_response, &run->r);
}

/* --- what can be refused without the catalog's writer --- */

/* Nobody but the node that will lead the partition can have a replica. NULL: it does. */
static const char *find_replica_fault(const struct server *sv, const struct create_partitions_assignment *a,
                                      int32_t leader, char *room)
{
    const char *begin = "The manual partition assignment includes";
    uint32_t at;
    for (int32_t i = 0; i < a->broker_ids.n; i++) {
        if (topology_find_node(sv, a->broker_ids.v[i], &at))
            continue;
        snprintf(room, MESSAGE_BYTES, "%s broker %d, but no such broker is registered.", begin, a->broker_ids.v[i]);
        return room;
    }
    if (a->broker_ids.n == 1 && a->broker_ids.v[0] == leader)
        return NULL;
    if (a->broker_ids.n == 0)
        snprintf(room, MESSAGE_BYTES, "%s an empty replica list.", begin);
    else if (a->broker_ids.n > 1 && a->broker_ids.v[0] == a->broker_ids.v[1])
        snprintf(room, MESSAGE_BYTES, "%s the broker %d more than once.", begin, a->broker_ids.v[0]);
    else
        snprintf(room, MESSAGE_BYTES,
                 "Broker %d alone can have this partition: its topic's id decides which core does.", leader);
    return room;
}

static enum kerr check_more_assignments(const struct request *req, const struct create_partitions_topic *ask,
                                        const struct topic *t, char *room, const char **out_message)
{
    int32_t additional = ask->count - t->partitions;
    *out_message = room;
    if (ask->assignments.n != additional) {
        snprintf(room, MESSAGE_BYTES,
                 "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", additional,
                 ask->assignments.n);
        return KERR_INVALID_REPLICA_ASSIGNMENT;
    }
    for (int32_t i = 0; i < additional; i++) {
        *out_message = find_replica_fault(req->server, &ask->assignments.v[i],
                                          topology_leader_of(req->server, t->id, t->partitions + i).node_id, room);
        if (*out_message)
            return KERR_INVALID_REPLICA_ASSIGNMENT;
    }
    return KERR_NONE;
}

static enum kerr check_more_count(const struct create_partitions_topic *ask, const struct topic *t, char *room,
                                  const char **out_message)
{
    *out_message = room;
    if (ask->count > TOPIC_PARTITIONS_MAX) {
        *out_message = "More partitions than one topic may have (100000).";
        return KERR_INVALID_PARTITIONS;
    }
    if (ask->count > t->partitions)
        return KERR_NONE;
    if (ask->count == t->partitions)
        snprintf(room, MESSAGE_BYTES, "Topic already has %d partition(s).", t->partitions);
    else
        snprintf(room, MESSAGE_BYTES, "The topic %s currently has %d partition(s); %d would not be an increase.",
                 t->name, t->partitions, ask->count);
    return KERR_INVALID_PARTITIONS;
}

static enum kerr check_more_partitions(struct request *req, const struct create_partitions_topic *ask,
                                       const struct topic *t, const char **out_message)
{
    char *room = request_alloc(req, MESSAGE_BYTES);
    *out_message = NULL;
    if (!t)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (!room)
        return KERR_UNKNOWN_SERVER_ERROR;
    if (t->internal) {
        *out_message = "The number of partitions of an internal topic decides what is kept where and stays as it is.";
        return KERR_INVALID_TOPIC_EXCEPTION;
    }
    enum kerr error = check_more_count(ask, t, room, out_message);
    if (!error && ask->assignments.n >= 0)
        error = check_more_assignments(req, ask, t, room, out_message);
    return error;
}

/* --- the change --- */

static void refuse_more(struct create_partitions_topic_result *out, enum kerr error, const char *message)
{
    out->error_code = (int16_t)error;
    out->error_message = view_of(error ? message : NULL);
}

static void partitions_added(struct catalog_change *c)
{
    struct more_part *p = container_of(c, struct more_part, change);
    refuse_more(p->out, error_by_name(c->error), c->message);
    countdown_done(&p->run->changes);
}

static void add_partitions(struct more_run *run, const struct create_partitions_topic *ask,
                           struct create_partitions_topic_result *out)
{
    const char *message;
    const struct topic *t = topic_named(run->req, ask->name);
    enum kerr error = check_more_partitions(run->req, ask, t, &message);
    if (error) {
        refuse_more(out, error, message);
        return;
    }
    struct more_part *p = request_zalloc(run->req, sizeof *p);
    if (!p) {
        refuse_more(out, KERR_UNKNOWN_SERVER_ERROR, "out of memory");
        return;
    }
    p->run = run;
    p->out = out;
    p->change = (struct catalog_change){.kind = CATALOG_PARTITIONS,
                                        .partitions = ask->count,
                                        .validate_only = run->ask->validate_only,
                                        .done = partitions_added};
    memcpy(p->change.topic_id, t->id, sizeof p->change.topic_id);
    countdown_add(&run->changes);
    catalog_change_start(run->req->server->shard, &p->change);
}

static const struct kview *list_names_to_grow(struct request *req, const struct create_partitions_request *m)
{
    struct kview *names = request_alloc(req, (size_t)m->topics.n * sizeof *names + 1);
    for (int32_t i = 0; names && i < m->topics.n; i++)
        names[i] = m->topics.v[i].name;
    return names;
}

static void add_to_next_topic(struct more_run *run)
{
    const struct create_partitions_topic *ask = &run->ask->topics.v[run->at];
    uint8_t duplicate = run->duplicates.of[run->at++];
    if (duplicate == DUPLICATE_LATER) /* answered once, as in Kafka */
        return;
    struct create_partitions_topic_result *out = &run->r.results.v[run->r.results.n++];
    create_partitions_topic_result_init(out);
    out->name = ask->name;
    if (duplicate)
        refuse_more(out, KERR_INVALID_REQUEST, "Duplicate topic name.");
    else
        add_partitions(run, ask, out);
}

static bool create_partitions_step(struct steps *s)
{
    enum { ADD_UNITS = 20, ASSIGNMENTS_PER_UNIT = 64 };
    struct more_run *run = container_of(s, struct more_run, steps);
    while (steps_go_on(s) && run->at < run->ask->topics.n) {
        int32_t assigned = run->ask->topics.v[run->at].assignments.n;
        add_to_next_topic(run);
        steps_spend(s, ADD_UNITS + (assigned > 0 ? (uint32_t)assigned / ASSIGNMENTS_PER_UNIT : 0));
    }
    bool more = run->at < run->ask->topics.n;
    if (!more)
        countdown_done(&run->changes);
    return more;
}

static const char no_memory_for_topics[] = "too many topics for one request";

static void begin_additions(struct duplicates *d)
{
    struct more_run *run = container_of(d, struct more_run, duplicates);
    if (d->of)
        steps_start(&d->req->server->steps, &run->steps, create_partitions_step);
    else
        request_fail(d->req, no_memory_for_topics);
}

void create_partitions_run(struct request *req)
{
    struct create_partitions_request *m = REQUEST_DECODE(req, create_partitions_request);
    if (!m)
        return;
    struct more_run *run = request_zalloc(req, sizeof *run);
    struct create_partitions_topic_result *out = request_alloc(req, (size_t)m->topics.n * sizeof *out + 1);
    if (!run || !out) {
        request_fail(req, no_memory_for_topics);
        return;
    }
    *run = (struct more_run){.req = req, .ask = m};
    countdown_begin(&run->changes, all_partitions_added);
    create_partitions_response_init(&run->r);
    run->r.results.v = out;
    duplicates_find(&run->duplicates, req, list_names_to_grow(req, m), m->topics.n, begin_additions);
}
