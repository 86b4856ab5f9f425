/* OffsetCommit, OffsetDelete: how far groups have read. Home knows the topics, the owner the group: partitions that are not there
 * are answered at home, the rest is asked for, and answered when it is durable. */
#include "net/api/api.h"
#include "net/api/commits.h"
#include "net/api/group_asking.h"
#include "net/api/reply.h"

enum { PREPARED_AT_ONCE = 64, PREPARED_UNITS = 6 }; /* partitions, and what they take with a look into the catalog */

/* --- OffsetCommit --- */

struct commit_run {
    struct group_asking asking;
    struct group_question question;
    const struct offset_commit_request *ask;
    struct offset_commit_response r;
    struct commits commits;
    int16_t version;
    struct group_write write;
    enum kerr error;
    struct steps steps;
    int32_t topic_at; /* prepared up to there */
};

static void end_offset_commit(struct commit_run *run, enum kerr error)
{
    run->error = error;
    coord_call_done(&run->question.call);
}

static void offsets_committed(struct group_write *w, enum kerr error)
{
    if (w->entry)
        coordinator_after_event(w->entry);
    end_offset_commit(container_of(w, struct commit_run, write), error);
}

static void ask_offset_commit(struct coord_call *c)
{
    struct commit_run *run = container_of(c, struct commit_run, question.call);
    const struct offset_commit_request *m = run->ask;
    enum kerr error = c->error;
    struct group_entry *e =
        error ? NULL : commits_group(c, m->generation_id_or_member_epoch, run->version >= 9, &error);
    if (e)
        error = group_commit_check(e->group, m->member_id, m->group_instance_id, m->generation_id_or_member_epoch,
                                   group_log_now(e->coord.log));
    bool writes = !error && run->commits.count > 0;
    if (writes) {
        run->write = (struct group_write){.entry = e,
                                          .kind = GROUP_WRITE_COMMITS,
                                          .commits = run->commits.v,
                                          .commit_count = run->commits.count,
                                          .done = offsets_committed};
        group_log_write(group_log_of(c->log), &run->write);
    }
    if (e)
        coordinator_after_event(e);
    if (!writes)
        end_offset_commit(run, error);
}

static void reply_offset_commit(struct group_asking *asking)
{
    struct commit_run *run = container_of(asking, struct commit_run, asking);
    commits_answer(&run->commits, run->error);
    REQUEST_REPLY_LARGE(asking->req, offset_commit_response, &run->r);
}

/* False: no memory. */
static bool begin_offset_commit_topic(struct commit_run *run, const struct offset_commit_request_topic *in,
                                      struct offset_commit_response_topic *out)
{
    struct request *req = run->asking.req;
    offset_commit_response_topic_init(out);
    out->name = in->name;
    out->topic_id = in->topic_id;
    out->partitions.v = request_alloc(req, (size_t)in->partitions.n * sizeof *out->partitions.v + 1);
    return out->partitions.v;
}

/* False: no memory. */
static bool prepare_offset_commit_partitions(struct commit_run *run, const struct offset_commit_request_topic *in,
                                             struct offset_commit_response_topic *out)
{
    struct commits_topic t;
    if (!commits_topic(&run->commits, in->name, in->topic_id, &t))
        return false;
    for (int32_t left = PREPARED_AT_ONCE; left > 0 && out->partitions.n < in->partitions.n; left--) {
        struct offset_commit_response_partition *p = &out->partitions.v[out->partitions.n];
        const struct offset_commit_request_partition *from = &in->partitions.v[out->partitions.n++];
        offset_commit_response_partition_init(p);
        p->partition_index = from->partition_index;
        struct committed what = {.partition = from->partition_index,
                                 .offset = from->committed_offset,
                                 .commit_ms = from->commit_timestamp,
                                 .leader_epoch = from->committed_leader_epoch,
                                 .metadata = from->committed_metadata};
        commits_add(&run->commits, &t, what, &p->error_code);
    }
    return true;
}

/* False: no memory. */
static bool prepare_some_commits(struct commit_run *run)
{
    const struct offset_commit_request_topic *in = &run->ask->topics.v[run->topic_at];
    struct offset_commit_response_topic *out = &run->r.topics.v[run->topic_at];
    if (run->r.topics.n == run->topic_at) {
        run->r.topics.n++;
        if (!begin_offset_commit_topic(run, in, out))
            return false;
    }
    bool good = prepare_offset_commit_partitions(run, in, out);
    run->topic_at += out->partitions.n == in->partitions.n;
    return good;
}

static bool prepare_offset_commit_step(struct steps *s)
{
    struct commit_run *run = container_of(s, struct commit_run, steps);
    for (; run->topic_at < run->ask->topics.n; steps_spend(s, PREPARED_UNITS)) {
        if (!steps_go_on(s))
            return true;
        if (!prepare_some_commits(run)) {
            request_fail(run->asking.req, no_memory);
            return false;
        }
    }
    if (run->commits.asked_count > 0)
        group_asking_ask(&run->asking, &run->question);
    group_asking_end(&run->asking);
    return false;
}

/* False: no memory. */
static bool begin_offset_commit(struct commit_run *run)
{
    struct request *req = run->asking.req;
    const struct offset_commit_request *m = run->ask;
    size_t n = 0;
    for (int32_t i = 0; i < m->topics.n; i++)
        n += (size_t)m->topics.v[i].partitions.n;
    offset_commit_response_init(&run->r);
    if (!commits_begin(&run->commits, req, n, req->version >= 10))
        return false;
    int64_t now_ms = run->commits.now_ms;
    if (m->retention_time_ms >= 0)
        run->commits.expire_ms = m->retention_time_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + m->retention_time_ms;
    run->r.topics.v = request_alloc(req, (size_t)m->topics.n * sizeof *run->r.topics.v + 1);
    run->version = req->version;
    run->question.call.key = m->group_id;
    run->question.call.ask = ask_offset_commit;
    return run->r.topics.v;
}

void offset_commit_run(struct request *req)
{
    const struct offset_commit_request *m = REQUEST_DECODE(req, offset_commit_request);
    if (!m)
        return;
    struct commit_run *run = request_zalloc(req, sizeof *run);
    if (run) {
        run->ask = m;
        group_asking_init(&run->asking, req, reply_offset_commit);
    }
    if (!run || !begin_offset_commit(run))
        request_fail(req, no_memory);
    else
        steps_start(&req->server->steps, &run->steps, prepare_offset_commit_step);
}

/* --- OffsetDelete --- */

struct delete_run {
    struct group_asking asking;
    struct group_question question;
    struct offset_delete_response r;
    struct delete_part {
        struct committed what;
        int16_t *out_error;
    } * parts; /* those that exist */
    int32_t part_count;
    struct committed *removed;
    int32_t removed_count;
    struct group_write write;
    const struct offset_delete_request *ask;
    struct steps steps;
    int32_t topic_at;  /* prepared up to there */
    int32_t chosen_at; /* the owner's: of `parts`, chosen up to there */
};

static void end_offset_delete(struct delete_run *run, enum kerr error)
{
    run->r.error_code = (int16_t)error;
    coord_call_done(&run->question.call);
}

static void offsets_deleted(struct group_write *w, enum kerr error)
{
    if (w->entry)
        coordinator_after_event(w->entry);
    end_offset_delete(container_of(w, struct delete_run, write), error);
}

/* A group with members lets go of offsets only where it is known what its members read. */
static enum kerr check_offset_delete(const struct group_entry *e)
{
    if (!e || e->group->state == GROUP_DEAD)
        return KERR_GROUP_ID_NOT_FOUND;
    return e->group->state == GROUP_EMPTY || group_reads_topics(e->group) ? KERR_NONE : KERR_NON_EMPTY_GROUP;
}

static void choose_deleted_offset(struct delete_run *run, const struct group_entry *e)
{
    struct delete_part *part = &run->parts[run->chosen_at++];
    uint32_t looked;
    if (group_subscribed(e->group, part->what.topic))
        *part->out_error = KERR_GROUP_SUBSCRIBED_TO_TOPIC;
    else if (offsets_get(&e->offsets, part->what.topic, part->what.partition) ||
             group_txns_pending(&e->txns, part->what.topic, part->what.partition, &looked))
        run->removed[run->removed_count++] = part->what;
}

static bool offset_delete_step(struct steps *s)
{
    struct delete_run *run = container_of(s, struct delete_run, question.steps);
    struct coord_call *c = &run->question.call;
    coord_call_look_again(c);
    struct group_entry *e = group_asked(c);
    enum kerr error = c->error ? c->error : check_offset_delete(e);
    for (; !error && run->chosen_at < run->part_count; steps_spend(s, 1)) {
        if (!steps_go_on(s))
            return true;
        choose_deleted_offset(run, e);
    }
    if (error || run->removed_count == 0) {
        end_offset_delete(run, error);
        return false;
    }
    run->write = (struct group_write){.entry = e,
                                      .kind = GROUP_WRITE_COMMITS,
                                      .removed = run->removed,
                                      .removed_count = run->removed_count,
                                      .done = offsets_deleted};
    group_log_write(group_log_of(c->log), &run->write);
    return false;
}

static void ask_offset_delete(struct coord_call *c)
{
    group_question_steps(container_of(c, struct group_question, call), offset_delete_step);
}

static void reply_offset_delete(struct group_asking *asking)
{
    struct delete_run *run = container_of(asking, struct delete_run, asking);
    if (run->r.error_code)
        run->r.topics.n = 0;
    REQUEST_REPLY_LARGE(asking->req, offset_delete_response, &run->r);
}

/* False: no memory. */
static bool prepare_offset_delete_topic(struct delete_run *run, const struct offset_delete_request_topic *in,
                                        struct offset_delete_response_topic *out)
{
    struct request *req = run->asking.req;
    const struct topic *t = topic_named(req, in->name);
    if (run->r.topics.n == run->topic_at) {
        run->r.topics.n++;
        offset_delete_response_topic_init(out);
        out->name = in->name;
        out->partitions.v = request_alloc(req, (size_t)in->partitions.n * sizeof *out->partitions.v + 1);
    }
    if (!out->partitions.v)
        return false;
    for (int32_t left = PREPARED_AT_ONCE; left > 0 && out->partitions.n < in->partitions.n; left--) {
        struct offset_delete_response_partition *p = &out->partitions.v[out->partitions.n];
        offset_delete_response_partition_init(p);
        p->partition_index = in->partitions.v[out->partitions.n++].partition_index;
        if (!topic_has_partition(t, p->partition_index))
            p->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
        else
            run->parts[run->part_count++] =
                (struct delete_part){{.topic = in->name, .partition = p->partition_index}, &p->error_code};
    }
    run->topic_at += out->partitions.n == in->partitions.n;
    return true;
}

static bool prepare_offset_delete_step(struct steps *s)
{
    struct delete_run *run = container_of(s, struct delete_run, steps);
    for (; run->topic_at < run->ask->topics.n; steps_spend(s, PREPARED_UNITS)) {
        if (!steps_go_on(s))
            return true;
        if (!prepare_offset_delete_topic(run, &run->ask->topics.v[run->topic_at], &run->r.topics.v[run->topic_at])) {
            request_fail(run->asking.req, no_memory);
            return false;
        }
    }
    if (group_id_given(run->ask->group_id))
        group_asking_ask(&run->asking, &run->question);
    else
        run->r.error_code = KERR_INVALID_GROUP_ID;
    group_asking_end(&run->asking);
    return false;
}

/* False: no memory. */
static bool begin_offset_delete(struct delete_run *run)
{
    struct request *req = run->asking.req;
    const struct offset_delete_request *m = run->ask;
    size_t n = 0;
    for (int32_t i = 0; i < m->topics.n; i++)
        n += (size_t)m->topics.v[i].partitions.n;
    offset_delete_response_init(&run->r);
    run->parts = request_alloc(req, n * sizeof *run->parts + 1);
    run->removed = request_alloc(req, n * sizeof *run->removed + 1);
    run->r.topics.v = request_alloc(req, (size_t)m->topics.n * sizeof *run->r.topics.v + 1);
    run->question.call.key = m->group_id;
    run->question.call.ask = ask_offset_delete;
    return run->parts && run->removed && run->r.topics.v;
}

void offset_delete_run(struct request *req)
{
    const struct offset_delete_request *m = REQUEST_DECODE(req, offset_delete_request);
    if (!m)
        return;
    struct delete_run *run = request_zalloc(req, sizeof *run);
    if (run) {
        run->ask = m;
        group_asking_init(&run->asking, req, reply_offset_delete);
    }
    if (!run || !begin_offset_delete(run))
        request_fail(req, no_memory);
    else
        steps_start(&req->server->steps, &run->steps, prepare_offset_delete_step);
}
