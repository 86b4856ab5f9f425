/* The walk over a request of topics with partitions each, every partition asked on its owner (asking.h): ListOffsets,
 * OffsetForLeaderEpoch, DeleteRecords.
 *
 *   asking_topics_begin --> [count, for each partition] --> begin (each topic), ask (each partition of it) --> reply */
#pragma once
#include "net/api/asking.h"

struct asking_topics;
struct asked_topic {
    struct kview name;
    int32_t partitions; /* of it in the request */
};
struct asking_kind {
    struct asked_topic (*topic)(const struct asking_topics *run); /* the request's, at run->topic */
    /* `t` is NULL where there is no such topic. */
    void (*count)(struct asking_topics *run,
                  const struct topic *t); /* each partition before any is asked; may be NULL */
    void (*begin)(struct asking_topics *run, const struct topic *t); /* the reply's topic, with asking_array */
    void (*ask)(struct asking_topics *run,
                const struct topic *t);       /* run->partition: answers it, or asks with asking_part */
    void (*reply)(struct asking_topics *run); /* ends the request */
    void (*over)(struct asking_topics *run);  /* before that, also without memory; may be NULL */
};
struct asking_topics {
    struct asking asking;
    const struct asking_kind *kind;
    int32_t topic_count;
    int32_t topic, partition; /* where it stands */
    bool counted;
    bool failed; /* no memory: the connection is closed */
};
void asking_topics_begin(struct asking_topics *run, struct request *req, const struct asking_kind *kind,
                         int32_t topic_count);
/* For the reply; NULL: no memory, and the walk ends. */
void *asking_array(struct asking_topics *run, int32_t count, size_t bytes_each);
/* What is asked of one partition: `bytes` of zeros that begin with struct asked_partition. NULL: no memory, and *out_error tells the
 * client to ask again. */
void *asking_part(struct asking_topics *run, size_t bytes, int16_t *out_error);
