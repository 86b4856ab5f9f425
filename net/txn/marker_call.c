/* See marker_call.h. */
#include "net/txn/marker_call.h"
#include "net/group/coordinator.h"

/* --- on the owner. The error of a partition that is not there was set at home. --- */

static void coord_marker_put(struct coord_marker *c, enum kerr error)
{
    struct marker_call *m = container_of(c, struct marker_call, marker);
    m->error = error;
    part_call_done(&m->call);
}

static void marker_put(struct txn_marker *t)
{
    coord_marker_put(container_of(t, struct coord_marker, marker), t->error);
}

static struct txn_marker txn_marker_of(const struct marker_call *m)
{
    return (struct txn_marker){.producer_id = m->producer_id,
                               .coordinator_epoch = m->coordinator_epoch,
                               .producer_epoch = m->producer_epoch,
                               .transaction_version = m->version,
                               .commit = m->commit,
                               .done = marker_put};
}

static void ask_marker(struct part_call *c, struct partition *p)
{
    struct marker_call *m = container_of(c, struct marker_call, call);
    if (!p) {
        part_call_done(c);
        return;
    }
    m->marker.marker = txn_marker_of(m);
    partition_end_txn(p, &m->marker.marker);
}

static void ask_group_marker(struct part_call *c, struct partition *p)
{
    struct marker_call *m = container_of(c, struct marker_call, call);
    if (!p) {
        part_call_done(c);
        return;
    }
    m->marker = (struct coord_marker){.marker = txn_marker_of(m), .done = coord_marker_put};
    coordinator_end_txn(c->owner, c->partition, &m->marker);
}

static void part_is_durable(struct durable_wait *w)
{
    struct durable_call *d = container_of(w, struct durable_call, wait);
    d->error = w->error;
    part_call_done(&d->call);
}

static void ask_durable(struct part_call *c, struct partition *p)
{
    struct durable_call *d = container_of(c, struct durable_call, call);
    if (!p) {
        part_call_done(c);
        return;
    }
    d->wait = (struct durable_wait){.done = part_is_durable};
    partition_make_durable(p, &d->wait);
}

/* --- at home --- */

static void marker_answered(struct part_call *c)
{
    struct marker_call *m = container_of(c, struct marker_call, call);
    m->done(m);
}

static void durable_answered(struct part_call *c)
{
    struct durable_call *d = container_of(c, struct durable_call, call);
    d->done(d);
}

/* False: there is no such topic. */
static bool aim_part_call(const struct shard *home, struct part_call *c, struct kview topic, int32_t partition)
{
    const struct topic *t = catalog_by_name(&store_of(home)->catalog, topic.at, (size_t)topic.n);
    if (!t || partition < 0 || partition >= t->partitions)
        return false;
    memcpy(c->topic_id, t->id, sizeof c->topic_id);
    c->partition = partition;
    return true;
}

void marker_call_start(struct shard *home, struct marker_call *m, struct kview topic, int32_t partition)
{
    m->call =
        (struct part_call){.ask = group_topic_name(topic) ? ask_group_marker : ask_marker, .answered = marker_answered};
    m->error = KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (aim_part_call(home, &m->call, topic, partition))
        (void)part_call_start(home, &m->call);
    else
        m->done(m);
}

void durable_call_start(struct shard *home, struct durable_call *d, struct kview topic, int32_t partition)
{
    d->call = (struct part_call){.ask = ask_durable, .answered = durable_answered};
    d->error = KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (aim_part_call(home, &d->call, topic, partition))
        (void)part_call_start(home, &d->call);
    else
        d->done(d);
}
