/* DescribeLogDirs: the one data folder, how large the partitions in it are, and how full its disk is.
 *
 *   home: a list of partitions per shard --msg--> owner: sizes, in steps --msg--> home: when all lists are back, the reply.
 *         Where the folder is and how full its disk is, a job finds out meanwhile.
 *
 * The lists are in the request's memory. An owner writes only to the entries of its list, and home looks at none of them
 * before the list is back. */
#include "core/fs.h"
#include "net/api/api.h"
#include "net/api/reply.h"
#include "net/countdown.h"
#include "storage/recovery/recoverer.h"

enum { DROPS_PER_UNIT = 100 };

struct size_ask {
    const uint8_t *topic_id;
    struct describe_log_dirs_partition *out;
    struct size_ask *next;
};
struct log_dirs_run;
/* The list of one shard. */
struct size_list {
    struct shard_msg msg;
    struct log_dirs_run *run;
    uint16_t home, owner;
    struct shard *at;      /* the owner, once there */
    struct size_ask *next; /* not yet answered */
    struct steps steps;    /* in the owner's line: those that ask, however many, share its steps */
    struct recovery_wait wait;
    uint64_t deadline_ns; /* for all of its partitions that are not recovered yet; 0: none was met */
};
struct log_dirs_run {
    struct request *req;
    struct describe_log_dirs_response r;
    struct describe_log_dirs_result dir;
    struct size_list *lists; /* one per shard */
    struct countdown out;    /* lists that are away, and the job on the folder */
    /* taking the request apart, then leaving out what went away: in steps */
    struct steps steps;
    const struct describe_log_dirs_request *ask;
    int32_t topics_room;     /* of dir.topics.v */
    int32_t asked_at;        /* of the topics that the request names, or of the reply's: the next */
    int32_t index_at;        /* of the topic's partitions, or of those that are named: the next */
    struct log_topic *topic; /* whose partitions are being asked for; NULL: the next topic's */
    struct kview last;       /* of all topics the one before; null: none */
    struct map named;        /* topic id -> struct log_topic: a topic may stand in the request more than once */
    struct io_op op;
    const char *folder; /* as configured */
    char path[4096];    /* from the root on; empty: not known. The job's, as what follows */
    uint64_t total_bytes, usable_bytes;
    enum err space_err;
};
/* A topic of the reply while it is filled. */
struct log_topic {
    const uint8_t *id;
    struct describe_log_dirs_topic *out;
    int32_t partitions;
    bool *asked; /* per partition */
};

/* --- the reply --- */

/* Partitions that went away while they were asked for are not there. */
static void drop_missing_partitions(struct describe_log_dirs_topic *t)
{
    int32_t kept = 0;
    for (int32_t k = 0; k < t->partitions.n; k++)
        if (t->partitions.v[k].partition_size >= 0)
            t->partitions.v[kept++] = t->partitions.v[k];
    t->partitions.n = kept;
}

/* Nor are topics without partitions. */
static bool drop_step(struct steps *s)
{
    struct log_dirs_run *run = container_of(s, struct log_dirs_run, steps);
    struct describe_log_dirs_result *dir = &run->dir;
    for (; run->asked_at < dir->topics.n; run->asked_at++) {
        struct describe_log_dirs_topic *t = &dir->topics.v[run->asked_at];
        if (!steps_go_on(s))
            return true;
        steps_spend(s, 1 + (uint32_t)t->partitions.n / DROPS_PER_UNIT);
        drop_missing_partitions(t);
        if (t->partitions.n > 0)
            dir->topics.v[run->topics_room++] = *t;
    }
    dir->topics.n = run->topics_room;
    REQUEST_REPLY_LARGE(run->req, describe_log_dirs_response, &run->r);
    return false;
}

static void all_sizes_known(struct countdown *c)
{
    struct log_dirs_run *run = container_of(c, struct log_dirs_run, out);
    run->asked_at = run->topics_room = 0; /* from now on: how many topics stay */
    steps_start(&run->req->server->steps, &run->steps, drop_step);
}

/* --- to the owners and back --- */

static void sizes_arrived(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    countdown_done(&container_of(msg, struct size_list, msg)->run->out);
}

static void size_recovered(struct recovery_wait *w)
{
    struct size_list *list = container_of(w, struct size_list, wait);
    steps_resume(&server_of(list->at)->steps, &list->steps);
}

/* False: its recovery is waited for. What is not recovered in time is left out: nobody knows how large it is. */
static bool size_partition(struct size_list *list, const struct size_ask *a)
{
    struct log_store *log = &store_of(list->at)->log;
    struct partition *p = store_partition(store_of(list->at), a->topic_id, a->out->partition_index);
    struct partition_facts f = p ? partition_facts(p) : (struct partition_facts){0};
    if (!p)
        return true;
    if (!f.recovering) {
        a->out->partition_size = (int64_t)f.bytes;
        return true;
    }
    if (!list->deadline_ns)
        list->deadline_ns = recoverer_deadline(log);
    list->wait.over = size_recovered;
    return list->at->now_ns >= list->deadline_ns ||
           !recoverer_wait(p, &list->wait, RECOVERY_REQUEST, list->deadline_ns);
}

static bool size_step(struct steps *s)
{
    struct size_list *list = container_of(s, struct size_list, steps);
    for (; steps_go_on(s) && list->next; list->next = list->next->next, steps_spend(s, 1))
        if (!size_partition(list, list->next))
            return false; /* its recovery comes back here */
    if (list->next)
        return true;
    shard_msg_init(&list->msg, sizes_arrived);
    shard_send(list->at, list->home, &list->msg);
    return false;
}

static void size_on_owner(struct shard *at, struct shard_msg *msg)
{
    struct size_list *list = container_of(msg, struct size_list, msg);
    list->at = at;
    list->steps.step = size_step;
    list_init(&list->steps.link);
    steps_resume(&server_of(at)->steps, &list->steps);
}

static void start_size_lists(struct log_dirs_run *run)
{
    struct shard *home = run->req->server->shard;
    for (uint16_t i = 0; i < home->count; i++) {
        struct size_list *list = &run->lists[i];
        list->run = run;
        list->home = home->id;
        list->owner = i;
        if (!list->next)
            continue;
        countdown_add(&run->out);
        shard_msg_init(&list->msg, size_on_owner);
        shard_send(home, i, &list->msg);
    }
}

/* --- what is asked --- */

static uint16_t find_size_owner(const struct log_dirs_run *run, const struct log_topic *t, int32_t index)
{
    return topic_shard(t->id, index, run->req->server->shard->count);
}

/* False: no memory. */
static bool ask_partition_size(struct log_dirs_run *run, struct log_topic *t, int32_t index)
{
    struct size_ask *a = request_alloc(run->req, sizeof *a);
    if (!a)
        return false;
    struct size_list *list = &run->lists[find_size_owner(run, t, index)];
    *a = (struct size_ask){t->id, &t->out->partitions.v[t->out->partitions.n++], list->next};
    list->next = a;
    describe_log_dirs_partition_init(a->out);
    a->out->partition_index = index;
    a->out->partition_size = -1;
    t->asked[index] = true;
    return true;
}

/* Copies what outlives the turn: the topic may be deleted meanwhile. */
static struct log_topic *add_sized_topic(struct log_dirs_run *run, const struct topic *t)
{
    assert(run->dir.topics.n < run->topics_room);
    struct request *req = run->req;
    struct log_topic *lt = request_zalloc(req, sizeof *lt);
    struct kview id = request_copy(req, (struct kview){t->id, sizeof t->id});
    struct kview name = request_copy(req, view_of(t->name));
    struct describe_log_dirs_partition *parts = request_alloc(req, (size_t)t->partitions * sizeof *parts);
    bool *asked = request_zalloc(req, (size_t)t->partitions * sizeof *asked);
    if (!lt || id.n < 0 || name.n < 0 || !parts || !asked)
        return NULL;
    lt->id = id.at;
    lt->asked = asked;
    lt->partitions = t->partitions;
    lt->out = &run->dir.topics.v[run->dir.topics.n++];
    describe_log_dirs_topic_init(lt->out);
    lt->out->name = name;
    lt->out->partitions.v = parts;
    lt->out->partitions.n = 0;
    return lt;
}

/* Of all topics, in the order of names. False: there are no more. */
static bool begin_next_topic(struct log_dirs_run *run, bool *out_failed)
{
    const struct topic *t = topic_after(run->req, run->last);
    if (!t || run->dir.topics.n == run->topics_room)
        return false;
    run->topic = add_sized_topic(run, t);
    *out_failed = !run->topic;
    if (run->topic)
        run->last = run->topic->out->name;
    return true;
}

/* The next one that the request names, if it is there. False: there are no more. */
static bool begin_named_topic(struct log_dirs_run *run, bool *out_failed)
{
    if (run->asked_at == run->ask->topics.n)
        return false;
    struct kview name = run->ask->topics.v[run->asked_at].topic;
    const struct topic *t = topic_named(run->req, name);
    run->topic = t ? map_get(&run->named, t->id, sizeof t->id) : NULL;
    if (t && !run->topic) {
        run->topic = add_sized_topic(run, t);
        *out_failed = !run->topic || map_put(&run->named, run->topic->id, sizeof t->id, run->topic);
    }
    run->asked_at += !t;
    return true;
}

/* The topic's next partition. False: no memory. */
static bool ask_next_size(struct log_dirs_run *run)
{
    struct log_topic *t = run->topic;
    const struct describable_log_dir_topic *named = run->ask->topics.n < 0 ? NULL : &run->ask->topics.v[run->asked_at];
    if (run->index_at >= (named ? named->partitions.n : t->partitions)) {
        run->topic = NULL;
        run->index_at = 0;
        run->asked_at += named != NULL;
        return true;
    }
    int32_t index = named ? named->partitions.v[run->index_at] : run->index_at;
    run->index_at++;
    bool there = index >= 0 && index < t->partitions && !t->asked[index];
    return !there || !topology_tells_of(run->req->server, find_size_owner(run, t, index)) ||
           ask_partition_size(run, t, index);
}

static void start_log_dir_job(struct log_dirs_run *run);

static bool ask_sizes_step(struct steps *s)
{
    struct log_dirs_run *run = container_of(s, struct log_dirs_run, steps);
    bool failed = false, more = true;
    for (; steps_go_on(s) && more && !failed; steps_spend(s, 1)) {
        if (run->topic)
            failed = !ask_next_size(run);
        else if (run->ask->topics.n < 0)
            more = begin_next_topic(run, &failed);
        else
            more = begin_named_topic(run, &failed);
    }
    if (more && !failed)
        return true;
    map_deinit(&run->named);
    if (failed) {
        request_fail(run->req, "too many partitions for one reply");
        return false;
    }
    start_log_dir_job(run);
    start_size_lists(run);
    countdown_done(&run->out);
    return false;
}

/* --- the folder and its disk --- */

static int32_t run_log_dir_job(void *arg)
{
    struct log_dirs_run *run = arg;
    if (fs_absolute(run->folder, run->path, sizeof run->path))
        run->path[0] = 0;
    run->space_err = fs_space(run->folder, &run->total_bytes, &run->usable_bytes);
    return 0;
}

static void log_dir_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct log_dirs_run *run = container_of(op, struct log_dirs_run, op);
    run->dir.log_dir = view_of(run->path[0] ? run->path : run->folder);
    if (!run->space_err) {
        run->dir.total_bytes = (int64_t)run->total_bytes;
        run->dir.usable_bytes = (int64_t)run->usable_bytes;
    }
    countdown_done(&run->out);
}

static void start_log_dir_job(struct log_dirs_run *run)
{
    struct shard *home = run->req->server->shard;
    countdown_add(&run->out);
    io_job(home->io, &run->op, IO_BACKGROUND, run_log_dir_job, run, log_dir_job_done);
}

static void init_log_dirs_reply(struct log_dirs_run *run)
{
    describe_log_dirs_response_init(&run->r);
    describe_log_dirs_result_init(&run->dir);
    run->r.results.v = &run->dir;
    run->r.results.n = 1;
    run->folder = store_of(run->req->server->shard)->root->config->data_dir; /* which never changes */
}

void describe_log_dirs_run(struct request *req)
{
    struct describe_log_dirs_request *m = REQUEST_DECODE(req, describe_log_dirs_request);
    if (!m)
        return;
    struct log_dirs_run *run = request_zalloc(req, sizeof *run);
    struct size_list *lists = request_zalloc(req, req->server->shard->count * sizeof *lists);
    int32_t room = m->topics.n < 0 ? (int32_t)server_catalog(req->server)->count : m->topics.n;
    struct describe_log_dirs_topic *topics = request_alloc(req, (size_t)room * sizeof *topics + 1);
    if (!run || !lists || !topics) {
        request_fail(req, no_memory);
        return;
    }
    run->req = req;
    run->ask = m;
    run->lists = lists;
    run->topics_room = room;
    run->last.n = -1;
    map_init(&run->named, req->server->shard->heap);
    countdown_begin(&run->out, all_sizes_known);
    init_log_dirs_reply(run);
    run->dir.topics.v = topics;
    run->dir.topics.n = 0;
    steps_start(&req->server->steps, &run->steps, ask_sizes_step);
}
