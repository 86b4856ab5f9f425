/* See asking_topics.h. */
#include "net/api/asking_topics.h"
#include "net/api/reply.h"

static bool next_walked_pass(struct asking_topics *run)
{
    bool more = !run->counted && !run->failed;
    run->counted = true;
    run->topic = run->partition = 0;
    return more;
}

/* One partition, or the end of a topic. */
static bool next_walked_partition(struct asking *asking)
{
    struct asking_topics *run = container_of(asking, struct asking_topics, asking);
    if (run->topic == run->topic_count)
        return next_walked_pass(run);
    struct asked_topic ask = run->kind->topic(run);
    const struct topic *t = topic_named(asking->req, ask.name);
    if (run->counted && run->partition == 0)
        run->kind->begin(run, t);
    if (run->failed)
        return false;
    if (run->partition == ask.partitions) {
        run->topic++;
        run->partition = 0;
        return true;
    }
    (run->counted ? run->kind->ask : run->kind->count)(run, t);
    run->partition++;
    return !run->failed;
}

static void asked_topics_over(struct asking *asking)
{
    struct asking_topics *run = container_of(asking, struct asking_topics, asking);
    if (run->kind->over)
        run->kind->over(run);
    if (run->failed)
        request_fail(asking->req, no_memory);
    else
        run->kind->reply(run);
}

void asking_topics_begin(struct asking_topics *run, struct request *req, const struct asking_kind *kind,
                         int32_t topic_count)
{
    assert(kind->topic && kind->begin && kind->ask && kind->reply);
    run->kind = kind;
    run->topic_count = topic_count;
    run->counted = !kind->count;
    asking_begin(&run->asking, req, ASKING_OUT_MAX, next_walked_partition, asked_topics_over);
}

void *asking_array(struct asking_topics *run, int32_t count, size_t bytes_each)
{
    void *v = request_alloc(run->asking.req, (size_t)count * bytes_each + 1);
    run->failed |= !v;
    return v;
}

void *asking_part(struct asking_topics *run, size_t bytes, int16_t *out_error)
{
    void *part = request_zalloc(run->asking.req, bytes);
    if (!part)
        *out_error = KERR_KAFKA_STORAGE_ERROR;
    return part;
}
