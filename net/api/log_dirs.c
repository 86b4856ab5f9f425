/* DescribeLogDirs: the one data folder, how large the partitions in it are, and how full its disk is.
 *
 *   home: a list of partitions per shard --msg--> owner: sizes of at most SIZES_PER_TURN --msg--> home: the rest of the list,
 *         or when all lists are at their end the reply. Where the folder is and how full its disk is, a job finds out meanwhile.
 *
 * The lists are in the request's memory. An owner writes only to the entries of its list, and home looks at none of them
 * before the list is back. */
#include "core/fs.h"
#include "net/api/api.h"
#include "net/api/reply.h"
#include "net/countdown.h"
#include "storage/recovery/recoverer.h"

enum { SIZES_PER_TURN = 1000 };

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
    struct recovery_wait wait;
    uint64_t deadline_ns; /* for all of its partitions that are not recovered yet; 0: none was met */
};
struct log_dirs_run {
    struct request *req;
    struct describe_log_dirs_response r;
    struct describe_log_dirs_result dir;
    struct size_list *lists; /* one per shard */
    struct countdown out;    /* lists that are away, and the job on the folder */
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
    bool *asked; /* per partition */
};

/* --- the reply --- */

/* Partitions that went away while they were asked for are not there, nor are topics without partitions. */
static void drop_missing_partitions(struct describe_log_dirs_result *dir)
{
    int32_t topics = 0;
    for (int32_t i = 0; i < dir->topics.n; i++) {
        struct describe_log_dirs_topic *t = &dir->topics.v[i];
        int32_t kept = 0;
        for (int32_t k = 0; k < t->partitions.n; k++)
            if (t->partitions.v[k].partition_size >= 0)
                t->partitions.v[kept++] = t->partitions.v[k];
        t->partitions.n = kept;
        if (kept > 0)
            dir->topics.v[topics++] = *t;
    }
    dir->topics.n = topics;
}

static void all_sizes_known(struct countdown *c)
{
    struct log_dirs_run *run = container_of(c, struct log_dirs_run, out);
    drop_missing_partitions(&run->dir);
    REQUEST_REPLY_LARGE(run->req, describe_log_dirs_response, &run->r);
}

/* --- to the owners and back --- */

static void size_on_owner(struct shard *at, struct shard_msg *msg);

static void sizes_arrived(struct shard *at, struct shard_msg *msg)
{
    struct size_list *list = container_of(msg, struct size_list, msg);
    if (!list->next) {
        countdown_done(&list->run->out);
        return;
    }
    shard_msg_init(&list->msg, size_on_owner);
    shard_send(at, list->owner, &list->msg);
}

static void size_recovered(struct recovery_wait *w)
{
    struct size_list *list = container_of(w, struct size_list, wait);
    shard_msg_init(&list->msg, size_on_owner);
    shard_send(list->at, list->owner, &list->msg);
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

static void size_on_owner(struct shard *at, struct shard_msg *msg)
{
    struct size_list *list = container_of(msg, struct size_list, msg);
    list->at = at;
    for (uint32_t i = 0; i < SIZES_PER_TURN && list->next; i++, list->next = list->next->next)
        if (!size_partition(list, list->next))
            return;
    shard_msg_init(&list->msg, sizes_arrived);
    shard_send(at, list->home, &list->msg);
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

/* False: no memory. */
static bool ask_partition_size(struct log_dirs_run *run, struct log_topic *t, int32_t index)
{
    struct size_ask *a = request_alloc(run->req, sizeof *a);
    if (!a)
        return false;
    struct size_list *list = &run->lists[topic_shard(t->id, index, run->req->server->shard->count)];
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
    lt->out = &run->dir.topics.v[run->dir.topics.n++];
    describe_log_dirs_topic_init(lt->out);
    lt->out->name = name;
    lt->out->partitions.v = parts;
    lt->out->partitions.n = 0;
    return lt;
}

static bool ask_all_sizes(struct log_dirs_run *run, const struct catalog *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct log_topic *lt = add_sized_topic(run, c->sorted[i]);
        for (int32_t k = 0; lt && k < c->sorted[i]->partitions; k++)
            if (!ask_partition_size(run, lt, k))
                return false;
        if (!lt)
            return false;
    }
    return true;
}

/* The partitions that there are; a topic may stand in the request more than once. */
static bool ask_named_sizes(struct log_dirs_run *run, const struct topic *t,
                            const struct describable_log_dir_topic *named, struct map *topics)
{
    struct log_topic *lt = map_get(topics, t->id, sizeof t->id);
    if (!lt) {
        lt = add_sized_topic(run, t);
        if (!lt || map_put(topics, lt->id, sizeof t->id, lt))
            return false;
    }
    for (int32_t i = 0; i < named->partitions.n; i++) {
        int32_t index = named->partitions.v[i];
        bool there = index >= 0 && index < t->partitions && !lt->asked[index];
        if (there && !ask_partition_size(run, lt, index))
            return false;
    }
    return true;
}

static bool ask_some_sizes(struct log_dirs_run *run, const struct catalog *c, const struct describe_log_dirs_request *m)
{
    struct map topics;
    bool good = true;
    map_init(&topics, run->req->server->shard->heap);
    for (int32_t i = 0; good && i < m->topics.n; i++) {
        struct kview name = m->topics.v[i].topic;
        const struct topic *t = catalog_by_name(c, name.at, (size_t)name.n);
        good = !t || ask_named_sizes(run, t, &m->topics.v[i], &topics);
    }
    map_deinit(&topics);
    return good;
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
    const struct catalog *c = server_catalog(req->server);
    struct log_dirs_run *run = request_zalloc(req, sizeof *run);
    struct size_list *lists = request_zalloc(req, req->server->shard->count * sizeof *lists);
    struct describe_log_dirs_topic *topics = request_alloc(req, c->count * sizeof *topics + 1);
    bool good = run && lists && topics;
    if (good) {
        run->req = req;
        run->lists = lists;
        countdown_begin(&run->out, all_sizes_known);
        init_log_dirs_reply(run);
        run->dir.topics.v = topics;
        run->dir.topics.n = 0;
    }
    if (!good || !(m->topics.n < 0 ? ask_all_sizes(run, c) : ask_some_sizes(run, c, m))) {
        request_fail(req, "too many partitions for one reply");
        return;
    }
    start_log_dir_job(run);
    start_size_lists(run);
    countdown_done(&run->out);
}
