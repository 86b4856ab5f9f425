/* A topic of the keeper's own that gets more and more partitions. */
#include "storage/kerr.h"
#include "tests/sim/keeper_parts.h"
#include "tests/sim/requests.h"

enum { METADATA_VERSION = 12, MORE_VERSION_MAX = 3, PARTITIONS_WANTED = 12 };
static const char name[] = "growing";

static struct growth {
    struct keeper *keeper;
    int32_t least, most; /* partitions: acknowledged or seen; ever asked for. 0: it may not be there */
    int32_t asked, least_then;
    bool may_be_there; /* what was asked, because of an earlier request without an answer */
} growth;

void growth_begin(void)
{
    memset(&growth, 0, sizeof growth);
}

static void there_are(int32_t partitions)
{
    growth.least = partitions > growth.least ? partitions : growth.least;
}

/* --- making it --- */

static void created(const struct reply *r)
{
    struct create_topics_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, create_topics_response, &m);
    world_check(m.topics.n == 1, "CreateTopics answers for %d topics", m.topics.n);
    int16_t error = m.topics.v[0].error_code;
    world_check(!error || keeper_passes(error) || error == KERR_TOPIC_ALREADY_EXISTS, "CreateTopics: error %d", error);
    if (!error || error == KERR_TOPIC_ALREADY_EXISTS)
        there_are(1);
    keeper_next(growth.keeper);
}

static void create(struct keeper *k)
{
    const struct new_topic topic = {.name = name, .partitions = growth.most = 1};
    request_topics(&k->peer.client, &topic, 1, created, NULL);
}

/* --- more partitions --- */

static void grown(const struct reply *r)
{
    struct create_partitions_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, create_partitions_response, &m);
    world_check(m.results.n == 1, "CreatePartitions answers for %d topics", m.results.n);
    int16_t error = m.results.v[0].error_code;
    world_note("keeper: %d partitions: error %d", growth.asked, error);
    if (!error) {
        there_are(growth.asked);
        keeper_may_crash(false);
    }
    world_check(!error || (error == KERR_INVALID_PARTITIONS && growth.may_be_there) || keeper_passes(error),
                "%d partitions instead of %d: error %d", growth.asked, growth.least_then, error);
    keeper_next(growth.keeper);
}

static void grow(struct keeper *k)
{
    struct create_partitions_topic topic;
    struct create_partitions_request m;
    int16_t version = (int16_t)dice(MORE_VERSION_MAX + 1);
    growth.asked = growth.least + (int32_t)dice_between(1, 2);
    growth.least_then = growth.least;
    growth.may_be_there = growth.asked <= growth.most;
    growth.most = growth.asked > growth.most ? growth.asked : growth.most;
    create_partitions_topic_init(&topic);
    create_partitions_request_init(&m);
    topic.name = view_of(name);
    topic.count = growth.asked;
    topic.assignments.n = -1;
    m.topics.v = &topic;
    m.topics.n = 1;
    m.timeout_ms = 10000;
    client_call(&k->peer.client, create_partitions, &m, version, grown, NULL);
}

void growth_step(struct keeper *k)
{
    growth.keeper = k;
    if (growth.least == 0)
        create(k);
    else if (growth.least < PARTITIONS_WANTED)
        grow(k);
    else
        growth_look(k);
}

/* --- looking --- */

static void looked(const struct reply *r)
{
    struct metadata_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, metadata_response, &m);
    world_check(m.topics.n == 1, "Metadata answers for %d topics", m.topics.n);
    const struct metadata_response_topic *t = &m.topics.v[0];
    if (t->error_code) {
        world_check(t->error_code == KERR_UNKNOWN_TOPIC_OR_PARTITION && growth.least_then == 0,
                    "Metadata: error %d for a topic with %d partitions", t->error_code, growth.least_then);
    } else {
        world_check(t->partitions.n >= growth.least_then && t->partitions.n <= growth.most,
                    "a topic has %d partitions, acknowledged were %d and %d asked for", t->partitions.n,
                    growth.least_then, growth.most);
        there_are(t->partitions.n);
    }
    keeper_next(growth.keeper);
}

void growth_look(struct keeper *k)
{
    struct metadata_request_topic asked;
    struct metadata_request m;
    growth.keeper = k;
    growth.least_then = growth.least;
    metadata_request_init(&m);
    metadata_request_topic_init(&asked);
    asked.name = view_of(name);
    m.allow_auto_topic_creation = false;
    m.topics.v = &asked;
    m.topics.n = 1;
    client_call(&k->peer.client, metadata, &m, METADATA_VERSION, looked, NULL);
}
