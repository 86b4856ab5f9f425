#include "tests/sim/producer.h"
#include "core/bytes.h"
#include "storage/kerr.h"
#include "tests/sim/broker.h"
#include "tests/sim/make_batch.h"
#include "tests/sim/peer.h"
#include <stdio.h>

enum {
    PRODUCERS_MAX = 8,
    QUEUE_MAX = 5,
    FLIGHTS_MAX = 5,
    WINDOW = 5, /* batches from the oldest without an answer on: the broker remembers so many */
    FLIGHT_MAX = 4,
    LANES_MAX = TOPICS_MAX * PARTITIONS_MAX,
    IDS_MAX = 4096,
    HUGE_RATE = 15000,
    RECORDS_MAX = 3
};

struct out_batch {
    struct out_batch *next;
    struct lane *lane;
    struct attempt *attempt;
    uint8_t *bytes;
    uint32_t length, number; /* number: of its lane's */
    int32_t count;
    bool flying, recovered; /* recovered: its partition was when it was sent */
};
/* What one producer sends to one partition. */
struct lane {
    struct producer_sim *producer;
    struct oracle_part *part;
    struct out_batch *queue, **queue_end;
    uint32_t queued, flying, made, target;
    int32_t sequence;
    uint32_t acked_promise; /* of the last ack */
    bool huge;              /* its segments have room for huge batches */
    bool begun;             /* the broker has acknowledged something of this producer id */
    bool failed;            /* nothing is sent until nothing flies; then all again */
};
struct producer_sim {
    struct peer peer;
    struct lane lanes[LANES_MAX];
    uint32_t lane_count, flights;
    int64_t id;
    bool idempotent, pumping, gives_up;
    int16_t acks, version;
    uint32_t large_rate;
};
/* One Produce request. */
struct flight {
    struct producer_sim *producer;
    struct out_batch *v[FLIGHT_MAX];
    uint32_t count;
};

static struct producer_sim producers[PRODUCERS_MAX];
static uint32_t producer_count;
static int64_t ids_given[IDS_MAX];
static uint32_t id_count;

/* --- batches --- */

static uint32_t draw_value_bytes(const struct lane *l)
{
    if (l->huge && chance(HUGE_RATE))
        return (uint32_t)dice_between(20000, 60000);
    if (chance(l->producer->large_rate))
        return (uint32_t)dice_between(2000, 4000);
    return (uint32_t)dice_between(8, dice(3) ? 120 : 900);
}

static void make_batch(struct lane *l)
{
    static uint8_t room[RECORDS_MAX * 70000];
    const struct producer_sim *p = l->producer;
    uint32_t value_bytes[RECORDS_MAX];
    struct out_batch *b = world_alloc(sizeof *b);
    b->lane = l;
    b->count = (int32_t)dice_between(1, RECORDS_MAX);
    for (int32_t i = 0; i < b->count; i++)
        value_bytes[i] = draw_value_bytes(l);
    b->length = make_batch_bytes(room, value_bytes, b->count, p->idempotent ? p->id : -1, l->sequence);
    b->bytes = memcpy(world_alloc(b->length), room, b->length);
    l->sequence += b->count;
    b->number = l->made;
    *l->queue_end = b;
    l->queue_end = &b->next;
    l->queued++;
    l->made++;
}

static void drop_batch(struct lane *l, struct out_batch *b)
{
    struct out_batch **at = &l->queue;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    if (!b->next)
        l->queue_end = at;
    l->queued--;
    world_free(b->bytes);
    world_free(b);
}

/* --- sending --- */

static void pump(struct producer_sim *p);

static void pump_now(void *arg)
{
    struct producer_sim *p = arg;
    p->pumping = false;
    if (p->peer.is_ready && (!p->idempotent || p->id >= 0))
        pump(p);
}

static void pump_later(struct producer_sim *p, uint64_t ns_max)
{
    if (!p->pumping) {
        p->pumping = true;
        event_in(1000 + dice(ns_max), pump_now, p);
    }
}

/* The next batch that this lane may send now, or NULL. The first one flies alone (also the first since
 * a power cut that the log may have lost batches in): a producer that the broker does not know
 * may start anywhere, so if the first were refused for want of room and the second taken, the first would be lost (with
 * Kafka's broker too). */
static struct out_batch *next_batch(struct lane *l)
{
    bool known = l->begun && oracle_firm(l->acked_promise);
    if (l->flying && (l->failed || (l->producer->idempotent && !known)))
        return NULL;
    l->failed = false;
    struct out_batch *b = l->queue;
    while (b && b->flying)
        b = b->next;
    if (b || l->queued == QUEUE_MAX || l->made >= l->target)
        return b;
    if (l->producer->idempotent && l->queue && l->made - l->queue->number >= WINDOW)
        return NULL;
    make_batch(l);
    for (b = l->queue; b->next;)
        b = b->next;
    return b;
}

static void take_off(struct flight *f, struct out_batch *b)
{
    sim.totals.resent_batches += b->attempt != NULL;
    b->attempt = oracle_attempt(b->lane->part, b->bytes, b->length);
    world_note("%s sends %u records with crc %08x to %s-%d", b->lane->producer->peer.client.name, b->count,
               be32_get(b->bytes + 17), b->lane->part->topic, b->lane->part->index);
    b->flying = true;
    b->recovered = topics_recovered(&b->lane->producer->peer.client, b->lane->part);
    b->lane->flying++;
    f->v[f->count++] = b;
}

/* Led by the node that it is connected to, or it does not care. */
static bool is_lane_here(const struct lane *l)
{
    const struct peer *p = &l->producer->peer;
    const struct oracle_topic *t = topics_find(view_of(l->part->topic), NULL, false);
    return !p->client.follows || p->ports[t - topics_at(0)][l->part->index] == p->client.port;
}

static struct flight *gather(struct producer_sim *p)
{
    struct flight *f = world_alloc(sizeof *f);
    f->producer = p;
    uint32_t most = (uint32_t)dice_between(1, FLIGHT_MAX), first = (uint32_t)dice(p->lane_count);
    for (uint32_t i = 0; i < p->lane_count && f->count < most; i++) {
        struct lane *l = &p->lanes[(first + i) % p->lane_count];
        struct out_batch *b = is_lane_here(l) ? next_batch(l) : NULL;
        if (b)
            take_off(f, b);
    }
    return f;
}

static void landed(const struct reply *r);

static void send_flight(struct flight *f)
{
    struct producer_sim *p = f->producer;
    struct topic_produce_data topics[FLIGHT_MAX];
    struct partition_produce_data parts[FLIGHT_MAX];
    struct produce_request m;
    produce_request_init(&m);
    m.acks = p->acks;
    m.timeout_ms = 10000;
    m.topic_data.v = topics;
    m.topic_data.n = (int32_t)f->count;
    for (uint32_t i = 0; i < f->count; i++) { /* a topic may come twice: Kafka allows it */
        struct out_batch *b = f->v[i];
        topic_produce_data_init(&topics[i]);
        partition_produce_data_init(&parts[i]);
        topics[i].name = view_of(b->lane->part->topic);
        memcpy(topics[i].topic_id.b, topics_find(topics[i].name, NULL, false)->id, 16);
        topics[i].partition_data.v = &parts[i];
        topics[i].partition_data.n = 1;
        parts[i].index = b->lane->part->index;
        parts[i].records = (struct krecords){.at = b->bytes, .n = (int32_t)b->length};
    }
    client_call(&p->peer.client, produce, &m, p->version, p->acks ? landed : NULL, f);
}

/* acks=0: a producer that sends so does not want to know. */
static void forget_flight(struct flight *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        f->v[i]->lane->flying--;
        drop_batch(f->v[i]->lane, f->v[i]);
    }
    world_free(f);
}

/* Nothing is left to do here: on to the leader of a lane that has something. True: it is on its way. */
static bool move_on(struct producer_sim *p)
{
    for (uint32_t i = 0; i < p->lane_count; i++)
        if (is_lane_here(&p->lanes[i]) && (p->lanes[i].queue || p->lanes[i].made < p->lanes[i].target) && dice(30))
            return false;
    uint32_t first = (uint32_t)dice(p->lane_count);
    for (uint32_t i = 0; i < p->lane_count; i++) {
        const struct lane *l = &p->lanes[(first + i) % p->lane_count];
        const struct oracle_topic *t = topics_find(view_of(l->part->topic), NULL, false);
        if (!is_lane_here(l) && (l->queue || l->made < l->target))
            return client_go_to(&p->peer.client, p->peer.ports[t - topics_at(0)][l->part->index]);
    }
    return false;
}

static void pump(struct producer_sim *p)
{
    if (p->peer.client.follows && p->flights == 0 && move_on(p))
        return;

    uint32_t sends = (uint32_t)dice_between(1, FLIGHTS_MAX);
    for (; sends && p->flights < FLIGHTS_MAX; sends--) {
        struct flight *f = gather(p);
        if (f->count == 0) {
            world_free(f);
            break;
        }
        send_flight(f);
        if (p->acks)
            p->flights++;
        else
            forget_flight(f);
    }
    pump_later(p, 15 * NS_PER_MS);
}

/* --- answers --- */

/* Begins again as another producer: the log lost batches of this one, and was allowed to. */
static void renew(struct producer_sim *p)
{
    world_note("%s begins again: its id was %lld", p->peer.client.name, (long long)p->id);
    p->id = -1;
    client_reset(&p->peer.client, "a new producer id");
    for (uint32_t i = 0; i < p->lane_count; i++) {
        while (p->lanes[i].queue)
            drop_batch(&p->lanes[i], p->lanes[i].queue);
        p->lanes[i].sequence = 0;
        p->lanes[i].flying = 0;
        p->lanes[i].begun = false;
    }
}

static bool lost_its_state(int16_t error)
{
    return error == KERR_OUT_OF_ORDER_SEQUENCE_NUMBER || error == KERR_UNKNOWN_PRODUCER_ID ||
           error == KERR_DUPLICATE_SEQUENCE_NUMBER;
}

static bool passes(const struct out_batch *b, int16_t error)
{
    return error == KERR_KAFKA_STORAGE_ERROR || error == KERR_REQUEST_TIMED_OUT || topics_may_lag(error) ||
           (error != KERR_OFFSET_NOT_AVAILABLE &&
            topics_may_wait(&b->lane->producer->peer.client, b->recovered, error));
}

/* Returns true when the producer began again: all batches are gone. */
static bool refused(struct out_batch *b, int16_t error)
{
    struct lane *l = b->lane;
    bool first = l->queue == b && !l->failed;
    world_note("%s: %s-%d refused: error %d", l->producer->peer.client.name, l->part->topic, l->part->index, error);
    if (l->producer->idempotent && lost_its_state(error) && first) {
        world_check(!oracle_firm(l->acked_promise),
                    "%s-%d: producer %lld with sequence %d got error %d although everything before was acked",
                    l->part->topic, l->part->index, (long long)l->producer->id, b->attempt->sequence, error);
        renew(l->producer);
        return true;
    }
    world_check(passes(b, error) || (l->producer->idempotent && lost_its_state(error)),
                "%s-%d: a produce was refused: error %d", l->part->topic, l->part->index, error);
    if (!l->producer->idempotent && l->producer->gives_up && dice(2))
        drop_batch(l, b);
    else
        l->failed = true;
    return false;
}

static bool land_one(struct flight *f, const struct reply *r, struct kview name, const uint8_t id[16],
                     const struct partition_produce_response *m)
{
    const struct oracle_topic *t = topics_find(name, id, r->version >= 13);
    struct out_batch *b = NULL;
    for (uint32_t i = 0; i < f->count; i++)
        if (t && f->v[i] && strcmp(f->v[i]->lane->part->topic, t->name) == 0 &&
            f->v[i]->lane->part->index == m->index) {
            b = f->v[i];
            f->v[i] = NULL;
            break;
        }
    world_check(b, "a produce reply for a partition that was not asked for");
    struct lane *l = b->lane;
    b->flying = false;
    l->flying--;
    if (m->error_code)
        return refused(b, m->error_code);
    oracle_acked(l->part, b->attempt, m->base_offset, r->client->power_cuts);
    l->acked_promise = oracle_promise(l->part, r->client->power_cuts);
    if (m->log_start_offset >= 0)
        oracle_start_seen(l->part, 0, m->log_start_offset);
    l->begun = true;
    drop_batch(l, b);
    if (trouble() && !sim.crash_in && broker_state() != BROKER_DOWN && chance(sim.knobs.crash_at_ack_rate)) {
        sim.crash_in = dice_between(1, 20);
        sim.crash_kind = sim.knobs.power_cuts && dice(3) ? CRASH_POWER : CRASH_KILL;
    }
    return false;
}

static void landed_nowhere(struct flight *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        f->v[i]->flying = false;
        f->v[i]->lane->flying--;
        f->v[i]->lane->failed = true;
    }
}

static void land_all(struct flight *f, const struct reply *r)
{
    struct produce_response m;
    client_decode(r, produce_response, &m);
    uint32_t answers = 0;
    for (int32_t i = 0; i < m.responses.n; i++)
        for (int32_t k = 0; k < m.responses.v[i].partition_responses.n; k++, answers++)
            if (land_one(f, r, m.responses.v[i].name, m.responses.v[i].topic_id.b,
                         &m.responses.v[i].partition_responses.v[k]))
                return;
    world_check(answers == f->count, "a produce reply for %u of %u partitions", answers, f->count);
}

static void landed(const struct reply *r)
{
    struct flight *f = r->context;
    struct producer_sim *p = f->producer;
    p->flights--;
    if (r->body.n < 0)
        landed_nowhere(f);
    else
        land_all(f, r);
    world_free(f);
    pump_later(p, 300000);
}

/* --- producer ids --- */

static void id_given(const struct reply *r)
{
    struct producer_sim *p = r->context;
    struct init_producer_id_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, init_producer_id_response, &m);
    if (m.error_code) {
        client_reset(&p->peer.client, "no producer id");
        return;
    }
    for (uint32_t i = 0; i < id_count; i++)
        world_check(ids_given[i] != m.producer_id, "producer id %lld was given twice", (long long)m.producer_id);
    assert(id_count < IDS_MAX);
    ids_given[id_count++] = m.producer_id;
    p->id = m.producer_id;
    pump(p);
}

static void ready(struct peer *peer)
{
    struct producer_sim *p = container_of(peer, struct producer_sim, peer);
    if (!p->idempotent || p->id >= 0) {
        pump(p);
        return;
    }
    struct init_producer_id_request m;
    init_producer_id_request_init(&m);
    m.transactional_id = (struct kview){NULL, -1};
    m.transaction_timeout_ms = 60000;
    client_call(&peer->client, init_producer_id, &m, 4, id_given, p);
}

static void lost(struct peer *peer)
{
    (void)peer;
}

/* --- all of them --- */

static void begin_one(struct producer_sim *p, bool idempotent)
{
    static const int16_t versions[] = {3, 5, 8, 9, 11, 12, 13};
    char name[32];
    memset(p, 0, sizeof *p);
    snprintf(name, sizeof name, "producer-%ld", (long)(p - producers));
    peer_init(&p->peer, name, ready, lost);
    p->id = -1;
    p->idempotent = idempotent;
    p->version = versions[dice(COUNT_OF(versions))];
    p->acks = idempotent || dice(2) ? -1 : dice(4) ? 1 : 0;
    p->gives_up = dice(2);
    p->large_rate = dice(2) ? 200000 : 10000;
    for (struct oracle_part *part = oracle_parts(); part; part = part->next) {
        if (p->lane_count && dice(3) == 0)
            continue;
        struct lane *l = &p->lanes[p->lane_count++];
        *l = (struct lane){.producer = p, .part = part, .target = (uint32_t)dice_between(1, sim.knobs.batches)};
        l->queue_end = &l->queue;
        l->huge = strlen(topics_find(view_of(part->topic), NULL, false)->segment_bytes) >= 6; /* 131072 and more */
    }
    peer_start(&p->peer);
}

void producers_sim_begin(void)
{
    producer_count = sim.knobs.idempotent + sim.knobs.plain;
    id_count = 0;
    for (uint32_t i = 0; i < producer_count; i++)
        begin_one(&producers[i], i < sim.knobs.idempotent);
}

void producers_sim_finish(void)
{
    for (uint32_t i = 0; i < producer_count; i++)
        for (uint32_t k = 0; k < producers[i].lane_count; k++)
            producers[i].lanes[k].target = producers[i].lanes[k].made + 2;
}

bool producers_sim_done(void)
{
    for (uint32_t i = 0; i < producer_count; i++)
        for (uint32_t k = 0; k < producers[i].lane_count; k++) {
            const struct lane *l = &producers[i].lanes[k];
            if (l->queued || l->made < l->target)
                return false;
        }
    return true;
}

void producers_sim_quit(void)
{
    for (uint32_t i = 0; i < producer_count; i++)
        peer_quit(&producers[i].peer);
}

void producers_sim_tell(char *out, size_t bytes)
{
    int n = 0;
    for (uint32_t i = 0; i < producer_count; i++)
        for (uint32_t k = 0; k < producers[i].lane_count && n >= 0 && (size_t)n < bytes; k++) {
            const struct lane *l = &producers[i].lanes[k];
            if (l->queued || l->made < l->target)
                n += snprintf(out + n, bytes - (size_t)n, " %s to %s-%d: %u queued, %u flying, %u of %u made;",
                              producers[i].peer.client.name, l->part->topic, l->part->index, l->queued, l->flying,
                              l->made, l->target);
        }
}
