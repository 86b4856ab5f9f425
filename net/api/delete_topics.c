/* DeleteTopics. Each topic is one change of the catalog, begun in steps; the reply leaves when all are durable and applied on every
 * shard. timeout_ms is not looked at: a change takes as long as the disk takes.
 *
 * A topic that is named twice, by name, by id or by both, is answered once, and not deleted. */
#include "net/api/api.h"
#include "net/api/reply.h"
#include "net/countdown.h"

struct delete_run {
    struct request *req;
    const struct delete_topics_request *ask;
    struct delete_topics_response r;
    struct steps steps;
    struct countdown changes;
    int32_t count;                /* how many are asked for */
    int32_t at;                   /* the next one */
    struct kview *meant;          /* the ids of topics that there are, or what was said of others */
    struct duplicates duplicates; /* among those */
};
/* One topic of the request, in all versions. */
struct delete_asked {
    struct kview name; /* null: by id */
    struct kuuid id;
};
struct delete_part {
    struct catalog_change change;
    struct delete_run *run;
    struct deletable_topic_result *out;
    bool by_name;
};

static void refuse_delete(struct deletable_topic_result *out, enum kerr error, const char *message)
{
    out->error_code = (int16_t)error;
    out->error_message = view_of(message ? message : kerr_name(error));
}

static struct delete_asked topic_to_delete(const struct delete_run *run, int32_t i)
{
    if (run->req->version < 6)
        return (struct delete_asked){.name = run->ask->topic_names.v[i]};
    return (struct delete_asked){.name = run->ask->topics.v[i].name, .id = run->ask->topics.v[i].topic_id};
}

static const struct topic *find_topic_to_delete(const struct request *req, const struct delete_asked *a)
{
    const struct catalog *c = server_catalog(req->server);
    return a->name.n >= 0 ? catalog_by_name(c, a->name.at, (size_t)a->name.n) : catalog_by_id(c, a->id.b);
}

static enum kerr judge_topic_delete(const struct request *req, const struct delete_asked *a, const struct topic *t,
                                    bool duplicate, const char **out_message)
{
    bool by_id = !uuid_zero(a->id);
    *out_message = "delete.topic.enable is false.";
    if (!server_config(req->server)->delete_topic_enable)
        return req->version < 3 ? KERR_INVALID_REQUEST : KERR_TOPIC_DELETION_DISABLED;
    *out_message = "A topic is named by its name or by its id, not by both.";
    if (by_id && a->name.n >= 0)
        return KERR_INVALID_REQUEST;
    *out_message = "Neither a topic's name nor its id is there.";
    if (!by_id && a->name.n < 0)
        return KERR_INVALID_REQUEST;
    *out_message = "The request names this topic more than once.";
    if (duplicate)
        return KERR_INVALID_REQUEST;
    *out_message = by_id ? "There is no topic with this id." : "There is no such topic.";
    if (!t)
        return by_id ? KERR_UNKNOWN_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION;
    *out_message = "What groups committed is kept in it."; /* Kafka deletes it, and every group with it */
    if (t->internal)
        return KERR_INVALID_TOPIC_EXCEPTION;
    return KERR_NONE;
}

static void topic_deleted(struct catalog_change *c)
{
    struct delete_part *part = container_of(c, struct delete_part, change);
    if (c->error)
        refuse_delete(part->out, part->by_name ? error_by_name(c->error) : c->error, c->message);
    countdown_done(&part->run->changes);
}

static void start_topic_delete(struct delete_run *run, const struct topic *t, bool by_name,
                               struct deletable_topic_result *out)
{
    struct delete_part *part = request_zalloc(run->req, sizeof *part);
    struct kview name = by_name ? out->name : request_copy(run->req, view_of(t->name));
    if (!part || name.n < 0) {
        refuse_delete(out, KERR_UNKNOWN_SERVER_ERROR, no_memory);
        return;
    }
    out->name = name;
    out->topic_id = uuid_of(t->id);
    part->run = run;
    part->out = out;
    part->by_name = by_name;
    part->change = (struct catalog_change){.kind = CATALOG_DELETE, .done = topic_deleted};
    memcpy(part->change.topic_id, t->id, sizeof part->change.topic_id);
    countdown_add(&run->changes);
    catalog_change_start(run->req->server->shard, &part->change);
}

static void delete_next_topic(struct delete_run *run)
{
    uint8_t duplicate = run->duplicates.of[run->at];
    const struct delete_asked a = topic_to_delete(run, run->at++);
    if (duplicate == DUPLICATE_LATER)
        return;
    const struct topic *t = find_topic_to_delete(run->req, &a);
    const char *message;
    enum kerr error = judge_topic_delete(run->req, &a, t, duplicate, &message);
    struct deletable_topic_result *out = &run->r.responses.v[run->r.responses.n++];
    deletable_topic_result_init(out);
    out->name = a.name;
    out->topic_id = a.id;
    if (error)
        refuse_delete(out, error, message);
    else
        start_topic_delete(run, t, a.name.n >= 0, out);
}

/* What a topic is compared by, to find those that are meant twice: its id, or what was said where there is none. */
static struct kview topic_meant(struct request *req, const struct delete_asked *a, int32_t place)
{
    const struct topic *t = find_topic_to_delete(req, a);
    bool by_id = !uuid_zero(a->id);
    if (by_id == (a->name.n >= 0)) /* both or neither: like nothing else */
        return request_copy(req, (struct kview){(const uint8_t *)&place, sizeof place});
    if (t)
        return request_copy(req, (struct kview){t->id, sizeof t->id});
    return by_id ? request_copy(req, (struct kview){a->id.b, sizeof a->id.b}) : a->name;
}

static bool delete_step(struct steps *s)
{
    enum { DELETE_UNITS = 5 };
    struct delete_run *run = container_of(s, struct delete_run, steps);
    for (; steps_go_on(s) && run->at < run->count; steps_spend(s, DELETE_UNITS))
        delete_next_topic(run);
    bool more = run->at < run->count;
    if (!more)
        countdown_done(&run->changes);
    return more;
}

static void begin_deletes(struct duplicates *d)
{
    struct delete_run *run = container_of(d, struct delete_run, duplicates);
    run->at = 0;
    if (d->of)
        steps_start(&run->req->server->steps, &run->steps, delete_step);
    else
        request_fail(run->req, no_memory);
}

static bool compare_step(struct steps *s)
{
    struct delete_run *run = container_of(s, struct delete_run, steps);
    for (; steps_go_on(s) && run->at < run->count; steps_spend(s, 1)) {
        const struct delete_asked a = topic_to_delete(run, run->at);
        run->meant[run->at] = topic_meant(run->req, &a, run->at);
        run->at++;
    }
    bool more = run->at < run->count;
    if (!more)
        duplicates_find(&run->duplicates, run->req, run->meant, run->count, begin_deletes);
    return more;
}

static void reply_delete_topics(struct countdown *c)
{
    struct delete_run *run = container_of(c, struct delete_run, changes);
    REQUEST_REPLY_LARGE(run->req, delete_topics_response, &run->r);
}

void delete_topics_run(struct request *req)
{
    struct delete_topics_request *m = REQUEST_DECODE(req, delete_topics_request);
    if (!m)
        return;
    int32_t n = req->version < 6 ? m->topic_names.n : m->topics.n;
    struct delete_run *run = request_zalloc(req, sizeof *run);
    struct deletable_topic_result *out = request_alloc(req, (size_t)n * sizeof *out + 1);
    struct kview *meant = request_alloc(req, (size_t)n * sizeof *meant + 1);
    if (!run || !out || !meant) {
        request_fail(req, no_memory);
        return;
    }
    *run = (struct delete_run){.req = req, .ask = m, .count = n, .meant = meant};
    delete_topics_response_init(&run->r);
    run->r.responses.v = out;
    countdown_begin(&run->changes, reply_delete_topics);
    steps_start(&req->server->steps, &run->steps, compare_step);
}
