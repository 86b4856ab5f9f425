#include "tests/sim/turnover.h"
#include "storage/kerr.h"
#include "tests/sim/broker.h"
#include "tests/sim/make_batch.h"
#include "tests/sim/peer.h"
#include "tests/sim/requests.h"

enum { IDS_MAX = 1024, TURNED_PARTITIONS_MAX = 3, METADATA_VERSION = 12, DELETE_VERSION = 6, PRODUCE_VERSION = 13 };
static const char name[] = "turnover";

enum presence { PRESENCE_UNKNOWN, PRESENCE_THERE, PRESENCE_GONE };

static struct turnover {
    struct client client;
    bool active, waiting;
    enum presence sure; /* what was acknowledged last */
    uint8_t id[16];     /* while it is there */
    int32_t partitions;
    uint64_t hold_until_ns, hold_ends; /* see hold() */
    uint32_t sends[TURNED_PARTITIONS_MAX];
    int32_t target; /* partition of the Produce under way */
    uint8_t dead[IDS_MAX][16];
    uint32_t dead_count, rounds, rounds_wanted;
} turn;

static void ask(void);

/* A change whose answer was lost may still be under way: nothing is sure until that broker is gone or had its time. */
static void hold(void)
{
    turn.sure = PRESENCE_UNKNOWN;
    turn.hold_until_ns = sim.now_ns + 10 * NS_PER_S;
    turn.hold_ends = broker_ends();
}

static void later(void);

static void go_on(void *arg)
{
    (void)arg;
    turn.waiting = false;
    if (!trouble() && turnover_done())
        return;
    if (sim.now_ns < turn.hold_until_ns && turn.hold_ends == broker_ends())
        later();
    else if (turn.client.link.conn && !turn.client.call_count)
        ask();
}

static void later(void)
{
    if (turn.waiting)
        return;
    turn.waiting = true;
    event_in(1000 + dice(30 * NS_PER_MS), go_on, NULL);
}

/* --- ids --- */

static void is_there(const uint8_t id[16])
{
    if (turn.sure == PRESENCE_THERE) {
        world_check(memcmp(turn.id, id, 16) == 0, "a topic that was not deleted has another id");
        return;
    }
    for (uint32_t i = 0; i < turn.dead_count; i++)
        world_check(memcmp(turn.dead[i], id, 16) != 0, "a topic that was deleted is there again");
    if (memcmp(turn.id, id, 16) != 0)
        memset(turn.sends, 0, sizeof turn.sends);
    memcpy(turn.id, id, 16);
    turn.sure = PRESENCE_THERE;
}

static void is_gone(void)
{
    static const uint8_t none[16];
    if (memcmp(turn.id, none, 16) != 0) {
        assert(turn.dead_count < IDS_MAX);
        memcpy(turn.dead[turn.dead_count++], turn.id, 16);
    }
    memset(turn.id, 0, 16);
    turn.sure = PRESENCE_GONE;
}

/* --- creating --- */

static void created(const struct reply *r)
{
    struct create_topics_response m;
    if (r->body.n < 0) {
        hold();
        return;
    }
    client_decode(r, create_topics_response, &m);
    world_check(m.topics.n == 1, "CreateTopics answers for %d topics", m.topics.n);
    int16_t error = m.topics.v[0].error_code;
    world_note("turnover: create: error %d", error);
    if (error == KERR_KAFKA_STORAGE_ERROR) { /* it may be there or not until that broker is gone */
        hold();
        later();
        return;
    }
    if (!error)
        is_there(m.topics.v[0].topic_id.b);
    else
        world_check(error != KERR_TOPIC_ALREADY_EXISTS || turn.sure != PRESENCE_GONE, "a deleted topic exists already");
    later();
}

static void create(void)
{
    const struct new_topic topic = {.name = name, .partitions = (int32_t)dice_between(1, TURNED_PARTITIONS_MAX)};
    request_topics(&turn.client, &topic, 1, created, NULL);
}

/* --- deleting --- */

static void deleted(const struct reply *r)
{
    struct delete_topics_response m;
    if (r->body.n < 0) {
        hold();
        return;
    }
    client_decode(r, delete_topics_response, &m);
    world_check(m.responses.n == 1, "DeleteTopics answers for %d topics", m.responses.n);
    int16_t error = m.responses.v[0].error_code;
    world_note("turnover: delete: error %d", error);
    if (error == KERR_KAFKA_STORAGE_ERROR) {
        hold();
        later();
        return;
    }
    world_check(error != KERR_UNKNOWN_TOPIC_ID && error != KERR_UNKNOWN_TOPIC_OR_PARTITION,
                "a topic that metadata just showed is unknown to DeleteTopics");
    if (!error) {
        is_gone();
        turn.rounds++;
    }
    later();
}

static void delete (void)
{
    struct delete_topic_state topic;
    struct delete_topics_request m;
    delete_topic_state_init(&topic);
    delete_topics_request_init(&m);
    if (dice(2))
        topic.name = view_of(name);
    else
        memcpy(topic.topic_id.b, turn.id, 16);
    m.topics.v = &topic;
    m.topics.n = 1;
    client_call(&turn.client, delete_topics, &m, DELETE_VERSION, deleted, NULL);
}

/* --- producing --- */

static void produced(const struct reply *r)
{
    if (r->body.n < 0)
        return;
    const struct partition_produce_response *p = answer_produced(r);
    world_check(p->error_code == 0 || p->error_code == KERR_KAFKA_STORAGE_ERROR ||
                    p->error_code == KERR_NOT_LEADER_OR_FOLLOWER || topics_may_lag(p->error_code),
                "a produce to a topic that is there got error %d", p->error_code);
    if (!p->error_code)
        world_check(p->base_offset >= 0 && p->base_offset < turn.sends[turn.target],
                    "a new topic is not empty: after %u records one got offset %lld", turn.sends[turn.target],
                    (long long)p->base_offset);
    later();
}

static void produce(void)
{
    static uint8_t room[256];
    const uint32_t value_bytes = (uint32_t)dice_between(8, 100);
    turn.target = (int32_t)dice((uint64_t)turn.partitions);
    turn.sends[turn.target]++;
    const struct one_batch b = {.topic = name,
                                .id = turn.id,
                                .index = turn.target,
                                .at = room,
                                .bytes = make_batch_bytes(room, &value_bytes, 1, -1, -1),
                                .version = PRODUCE_VERSION};
    request_produce(&turn.client, &b, produced, NULL);
}

/* --- looking, and deciding what comes next --- */

static void looked(const struct reply *r)
{
    struct metadata_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, metadata_response, &m);
    world_check(m.topics.n == 1, "Metadata answers for %d topics", m.topics.n);
    const struct metadata_response_topic *t = &m.topics.v[0];
    if (t->error_code == KERR_UNKNOWN_TOPIC_OR_PARTITION) {
        world_check(turn.sure != PRESENCE_THERE, "a topic that was acknowledged is gone");
        is_gone();
        create();
        return;
    }
    world_check(t->error_code == 0, "Metadata: error %d for a topic", t->error_code);
    world_check(turn.sure != PRESENCE_GONE, "a topic whose deletion was acknowledged is there");
    is_there(t->topic_id.b);
    turn.partitions = t->partitions.n;
    world_check(turn.partitions > 0 && turn.partitions <= PARTITIONS_MAX, "a topic has %d partitions", turn.partitions);
    if (dice(3))
        produce();
    else
        delete ();
}

static void ask(void)
{
    struct metadata_request_topic asked;
    struct metadata_request m;
    metadata_request_init(&m);
    metadata_request_topic_init(&asked);
    asked.name = view_of(name);
    m.allow_auto_topic_creation = false;
    m.topics.v = &asked;
    m.topics.n = 1;
    client_call(&turn.client, metadata, &m, METADATA_VERSION, looked, NULL);
}

static void up(struct client *c)
{
    (void)c;
    later();
}

static void down(struct client *c)
{
    (void)c;
}

void turnover_begin(void)
{
    memset(&turn, 0, sizeof turn);
    turn.active = dice(2);
    client_init(&turn.client, name, up, down);
    if (turn.active)
        client_connect(&turn.client);
}

void turnover_finish(void)
{
    turn.rounds_wanted = turn.rounds + 1;
}

bool turnover_done(void)
{
    return !turn.active || turn.rounds >= turn.rounds_wanted;
}

void turnover_quit(void)
{
    if (turn.active)
        client_quit(&turn.client);
}
