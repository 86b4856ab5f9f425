/* AlterReplicaLogDirs. There is one data folder: to be moved there is done, another one is LOG_DIR_NOT_FOUND. The folder's path from the root
 * on, which is what clients name, is found out by a job. */
#include "core/fs.h"
#include "net/api/answering.h"
#include "net/api/reply.h"

/* Kafka's folder of a replica that is being moved is <topic>-<partition>.<32 hex digits>-future, of at most 255 letters. */
enum { MOVING_NAME_MAX = 255, MOVING_SUFFIX = 40, PATH_BYTES = 4096 };

struct move_run {
    struct answering walk;
    const struct alter_replica_log_dirs_request *ask;
    struct alter_replica_log_dirs_response r;
    int32_t dir, topic, topics; /* of the request: the row's */
    struct io_op op;
    const char *folder;    /* as configured */
    char path[PATH_BYTES]; /* from the root on; empty: not known. The job's */
};

static const struct alter_replica_log_dir *asked_dir(const struct move_run *run)
{
    return &run->ask->dirs.v[run->dir];
}

/* Rows are the topics of all folders that the request names. */
static void find_moved_topic(struct move_run *run)
{
    run->topic++;
    while (run->topic >= asked_dir(run)->topics.n) {
        run->dir++;
        run->topic = 0;
    }
}

static int32_t begin_moved_topic(struct answering *walk)
{
    struct move_run *run = container_of(walk, struct move_run, walk);
    find_moved_topic(run);
    const struct alter_replica_log_dir_topic *ask = &asked_dir(run)->topics.v[run->topic];
    struct alter_replica_log_dir_topic_result *out = &run->r.results.v[walk->row];
    alter_replica_log_dir_topic_result_init(out);
    out->topic_name = ask->name;
    out->partitions.v = request_alloc(walk->req, (size_t)ask->partitions.n * sizeof *out->partitions.v + 1);
    out->partitions.n = ask->partitions.n;
    return out->partitions.v ? ask->partitions.n : -1;
}

static bool is_own_folder(const struct move_run *run, struct kview path)
{
    return run->path[0] ? view_is(path, run->path) : view_is(path, run->folder);
}

static size_t count_digits(int32_t number)
{
    size_t digits = number < 0 ? 2 : 1;
    while ((number /= 10) != 0)
        digits++;
    return digits;
}

static void move_partition(struct answering *walk)
{
    struct move_run *run = container_of(walk, struct move_run, walk);
    const struct alter_replica_log_dir_topic *ask = &asked_dir(run)->topics.v[run->topic];
    struct alter_replica_log_dir_partition_result *out = &run->r.results.v[walk->row].partitions.v[walk->item];
    const struct topic *t = topic_named(walk->req, ask->name);
    alter_replica_log_dir_partition_result_init(out);
    out->partition_index = ask->partitions.v[walk->item];
    if ((size_t)ask->name.n + 1 + count_digits(out->partition_index) + MOVING_SUFFIX > MOVING_NAME_MAX)
        out->error_code = KERR_INVALID_TOPIC_EXCEPTION;
    else if (!is_own_folder(run, asked_dir(run)->path))
        out->error_code = KERR_LOG_DIR_NOT_FOUND;
    else if (!topic_has_partition(t, out->partition_index))
        out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static void reply_moves(struct answering *walk)
{
    struct move_run *run = container_of(walk, struct move_run, walk);
    REQUEST_REPLY_LARGE(walk->req, alter_replica_log_dirs_response, &run->r);
}

static const struct answering_kind move_kind = {
    .begin = begin_moved_topic, .answer = move_partition, .reply = reply_moves};

static int32_t run_folder_job(void *arg)
{
    struct move_run *run = arg;
    if (fs_absolute(run->folder, run->path, sizeof run->path))
        run->path[0] = 0;
    return 0;
}

static void folder_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct move_run *run = container_of(op, struct move_run, op);
    answering_begin(&run->walk, run->walk.req, &move_kind, run->topics);
}

void alter_replica_log_dirs_run(struct request *req)
{
    struct alter_replica_log_dirs_request *m = REQUEST_DECODE(req, alter_replica_log_dirs_request);
    if (!m)
        return;
    struct move_run *run = request_zalloc(req, sizeof *run);
    int32_t topics = 0;
    for (int32_t i = 0; i < m->dirs.n; i++)
        topics += m->dirs.v[i].topics.n;
    struct alter_replica_log_dir_topic_result *results = request_alloc(req, (size_t)topics * sizeof *results + 1);
    if (!run || !results) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    run->walk.req = req;
    run->topic = -1;
    run->topics = topics;
    run->folder = store_of(req->server->shard)->root->config->data_dir; /* which never changes */
    alter_replica_log_dirs_response_init(&run->r);
    run->r.results.v = results;
    run->r.results.n = topics;
    io_job(req->server->shard->io, &run->op, IO_BACKGROUND, run_folder_job, run, folder_job_done);
}
