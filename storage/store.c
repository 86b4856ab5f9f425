/* Storage of one shard: opening and stopping its partitions, catalog changes, and the work at the end of each turn. */
#include "storage/store.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/partition_state.h"
#include <string.h>

enum { FREE_BYTES_UNKNOWN = 1 << 30 };

/* --- the end of a turn --- */

void store_turn(struct store *st)
{
    shard_defer(st->shard, &st->turn_end);
}

void store_queue(struct store *st, struct list *queue, struct list *link)
{
    if (!list_linked(link))
        list_push(queue, link);
    store_turn(st);
}

void store_finish(struct store *st, struct append *a)
{
    assert(!list_linked(&a->link));
    list_push(&st->finished, &a->link);
    store_turn(st);
}

static void tell_watchers(struct partition *p)
{
    struct list now, *l;
    list_init(&now);
    list_splice(&now, &p->watches);
    while ((l = list_pop(&now))) {
        list_push(&p->watches, l);
        struct watch *w = container_of(l, struct watch, link);
        w->moved(w);
    }
}

void store_check(const struct store *st)
{
    uint32_t cursor = 0;
    const struct partition *p;
    while ((p = map_next(&st->partitions, &cursor)))
        partition_check(p);
}

static void run_turn_end(struct shard_defer *d)
{
    struct store *st = container_of(d, struct store, turn_end);
    struct list now, *l;
    list_init(&now);
    list_splice(&now, &st->retry);
    while ((l = list_pop(&now)))
        writer_take_parked(container_of(l, struct partition, writer.parked_link));
    list_splice(&now, &st->dirty);
    while ((l = list_pop(&now))) {
        struct partition *p = container_of(l, struct partition, writer.wave_link);
        writer_start_wave(p);
        if (DEBUG_CHECKS)
            partition_check(p);
    }
    list_splice(&now, &st->watched);
    while ((l = list_pop(&now)))
        tell_watchers(container_of(l, struct partition, watch_link));
    list_splice(&now, &st->finished);
    while ((l = list_pop(&now))) {
        struct append *a = container_of(l, struct append, link);
        a->done(a);
    }
    list_splice(&now, &st->trimmed);
    while ((l = list_pop(&now))) {
        struct log_trim *t = container_of(l, struct log_trim, link);
        t->done(t);
    }
    reader_begin_waiting(st);
}

/* --- what is short is asked for again --- */

static void retry_timer_due(struct timer *t)
{
    struct store *st = container_of(t, struct store, retry_timer);
    uint32_t cursor = 0;
    struct partition *p;
    while ((p = map_next(&st->partitions, &cursor))) {
        partition_retry(p);
        writer_retry(p);
        if (p->end.position != p->promised.position)
            writer_kick(p);
    }
}

void store_retry_later(struct store *st, struct partition *p)
{
    (void)p;
    if (!timer_started(&st->retry_timer))
        timer_start(&st->shard->timers, &st->retry_timer, st->shard->now_ns + RETRY_MS * NS_PER_MS);
}

static void idle_look_due(struct timer *t)
{
    struct store *st = container_of(t, struct store, idle_timer);
    uint32_t cursor = 0;
    struct partition *p;
    while ((p = map_next(&st->partitions, &cursor)))
        writer_free_idle(p);
    timer_start(&st->shard->timers, t, st->shard->now_ns + IDLE_LOOK_S * NS_PER_S);
}

/* Round-robin over the partitions, so that no one's cache pays alone. */
bool store_evict(struct store *st)
{
    for (uint32_t tried = 0; tried <= st->partitions.count; tried++) {
        struct partition *p = map_next(&st->partitions, &st->evict_cursor);
        if (!p) {
            st->evict_cursor = 0;
            continue;
        }
        int64_t segment = p->active ? p->active->base_offset : 0;
        if (tail_evict(&p->tail, segment, p->promised.position))
            return true;
    }
    return false;
}

/* --- partitions --- */

struct partition *store_partition(const struct store *st, const uint8_t topic_id[16], int32_t partition)
{
    uint8_t key[20];
    memcpy(key, topic_id, 16);
    be32_put(key + 16, (uint32_t)partition);
    return map_get(&st->partitions, key, sizeof key);
}

/* Those from `first` on. */
static enum err open_partitions(struct store *st, const struct topic *t, int32_t first)
{
    for (int32_t i = first; i < t->partitions; i++) {
        if (topic_shard(t->id, i, st->shard->count) != st->shard->id)
            continue;
        struct partition *p = partition_open(st, t, i);
        if (!p)
            return ERR_NO_MEMORY;
        enum err err = map_put(&st->partitions, p->key, sizeof p->key, p);
        if (err) {
            partition_close(p);
            return err;
        }
        checkpointer_add(st->checkpointer, p);
    }
    return ERR_NONE;
}

/* --- catalog changes --- */

/* A deletion that waits for its partitions on this shard. */
struct deletion {
    struct store *store;
    struct catalog_change *change;
    const struct topic *topic;
    uint32_t left;
    struct list link;
};

static void stop_part_over(struct store *st);

static void deletion_over(struct deletion *v)
{
    struct store *st = v->store;
    struct catalog_change *c = v->change;
    list_remove(&v->link);
    heap_free(st->shard->heap, v);
    catalog_change_applied(st->shard, c);
    if (st->stopped) /* a stop has counted it */
        stop_part_over(st);
}

static void partition_left(struct partition *p)
{
    struct store *st = p->store;
    struct deletion *v = NULL;
    for (struct list *l = st->changes.next; l != &st->changes; l = l->next)
        if (container_of(l, struct deletion, link)->topic == p->topic)
            v = container_of(l, struct deletion, link);
    assert(v);
    (void)map_remove(&st->partitions, p->key, sizeof p->key);
    struct list *l; /* whoever still watches looks again and finds no partition */
    while ((l = list_pop(&p->watches)))
        container_of(l, struct watch, link)->moved(container_of(l, struct watch, link));
    partition_close(p);
    if (--v->left == 0)
        deletion_over(v);
}

static void apply_delete(struct store *st, struct catalog_change *c)
{
    struct topic *t = c->topic;
    catalog_remove(&st->catalog, t);
    if (st->topic_gone)
        st->topic_gone(st, t);
    if (st->stopped)
        return; /* its partitions still need the topic; the next start removes the folders, and nobody hears an answer */
    struct deletion *v = heap_zalloc(st->shard->heap, sizeof *v);
    assert(v); /* a few bytes: without them the partitions would outlive their topic */
    *v = (struct deletion){.store = st, .change = c, .topic = t, .left = 1};
    list_init(&v->link);
    list_push(&st->changes, &v->link);
    for (int32_t i = 0; i < t->partitions; i++) {
        struct partition *p = store_partition(st, t->id, i);
        if (p) {
            v->left++;
            partition_stop(p, true, partition_left);
        }
    }
    if (--v->left == 0)
        deletion_over(v);
}

static void open_new_partitions(struct store *st, const struct topic *t, int32_t first)
{
    if (open_partitions(st, t, first))
        log_error("no memory", "topic=%s effect=\"some of its partitions are missing until a restart\"", t->name);
}

static void apply_create(struct store *st, struct catalog_change *c)
{
    if (catalog_add(&st->catalog, c->topic))
        log_error("no memory", "topic=%s effect=\"it is missing until a restart\"", c->topic->name);
    else
        open_new_partitions(st, c->topic, 0);
    if (st->topic_made)
        st->topic_made(st, c->topic);
}

/* The new version takes the old one's place in this shard's view and in its partitions. */
static void replace_topic_version(struct store *st, struct topic *old, struct topic *t)
{
    catalog_replace(&st->catalog, old, t);
    for (int32_t i = 0; i < old->partitions; i++) {
        struct partition *p = store_partition(st, t->id, i);
        if (p)
            partition_set_topic(p, t);
    }
    if (t->partitions > old->partitions)
        open_new_partitions(st, t, old->partitions);
}

static void apply_broker_config(struct store *st, struct catalog_change *c)
{
    for (uint32_t i = 0; i < c->version_count; i++)
        replace_topic_version(st, c->versions[c->version_count + i], c->versions[i]);
    st->config = c->broker;
}

/* A preparation that waits for flushes of this shard's partitions. */
struct config_wait {
    struct store *store;
    struct catalog_change *change;
    uint32_t left;
    bool failed;
};

void config_wait_fail(struct config_wait *v)
{
    v->failed = true;
}

void config_wait_over(struct config_wait *v)
{
    struct store *st = v->store;
    struct catalog_change *c = v->change;
    assert(v->left > 0);
    if (--v->left > 0)
        return;
    if (v->failed)
        catalog_change_unready(st->shard, c);
    heap_free(st->shard->heap, v);
    catalog_change_applied(st->shard, c);
}

static void tighten_topic(struct store *st, const struct topic *old, const struct topic *t, struct config_wait *v)
{
    if (!topic_config_tightens(&old->config, &t->config))
        return;
    for (int32_t i = 0; i < old->partitions; i++) {
        struct partition *p = store_partition(st, t->id, i);
        if (p && partition_keep_stricter(p, &t->config, v))
            v->left++;
    }
}

static void prepare_change(struct store *st, struct catalog_change *c)
{
    struct config_wait *v = heap_zalloc(st->shard->heap, sizeof *v);
    assert(v); /* a few bytes: without them nobody would know when the promise holds */
    *v = (struct config_wait){.store = st, .change = c, .left = 1};
    if (c->kind == CATALOG_CONFIG)
        tighten_topic(st, c->old, c->topic, v);
    for (uint32_t i = 0; i < c->version_count; i++)
        tighten_topic(st, c->versions[c->version_count + i], c->versions[i], v);
    config_wait_over(v);
}

void store_apply(struct shard *s, struct catalog_change *c)
{
    struct store *st = store_of(s);
    if (c->preparing) {
        prepare_change(st, c);
        return;
    }
    switch (c->kind) {
    case CATALOG_DELETE: apply_delete(st, c); return;
    case CATALOG_CREATE: apply_create(st, c); break;
    case CATALOG_PARTITIONS:
    case CATALOG_CONFIG: replace_topic_version(st, c->old, c->topic); break;
    case CATALOG_BROKER_CONFIG: apply_broker_config(st, c); break;
    case CATALOG_PRODUCER_IDS: break;
    }
    catalog_change_applied(s, c);
}

/* --- opening and stopping --- */

static void init_store(struct store *st, struct shard *s, struct root *root)
{
    st->shard = s;
    st->root = root;
    st->config = catalog_file_config(root->catalog);
    map_init(&st->partitions, s->heap);
    list_init(&st->changes);
    list_init(&st->finished);
    list_init(&st->trimmed);
    list_init(&st->retry);
    list_init(&st->dirty);
    list_init(&st->watched);
    list_init(&st->cold_waiting);
    list_init(&st->open_files);
    list_init(&st->indexes);
    shard_defer_init(&st->turn_end, run_turn_end);
    timer_init(&st->retry_timer, retry_timer_due);
    timer_init(&st->idle_timer, idle_look_due);
    timer_start(&s->timers, &st->idle_timer, s->now_ns + IDLE_LOOK_S * NS_PER_S);
    st->open_max = fs_files_max() / OPEN_FILES_SHARE / s->count;
    if (fs_free_bytes(root->config->data_dir, &st->free_bytes))
        st->free_bytes = FREE_BYTES_UNKNOWN;
}

enum err store_open(struct shard *s, struct root *root)
{
    struct store *st = heap_zalloc(s->heap, sizeof *st);
    if (!st)
        return ERR_NO_MEMORY;
    init_store(st, s, root);
    s->store = st;
    st->checkpointer = checkpointer_open(st);
    enum err err = st->checkpointer ? catalog_init(&st->catalog, s->heap) : ERR_NO_MEMORY;
    for (uint32_t i = 0; !err && i < catalog_file_topics(root->catalog); i++) {
        struct topic *t = catalog_file_topic(root->catalog, i);
        err = catalog_add(&st->catalog, t);
        if (!err)
            err = open_partitions(st, t, 0);
    }
    if (!err)
        err = io_lock_attach(s->io, root->lock_fd);
    if (!err && s->id == 0)
        err = catalog_writer_start(s, root->catalog, store_apply);
    return err;
}

static uint32_t count_offline_partitions(const struct store *st)
{
    uint32_t cursor = 0, count = 0;
    const struct partition *p;
    while ((p = map_next(&st->partitions, &cursor)))
        count += p->condition == PARTITION_OFFLINE;
    return count;
}

static void checkpoints_stopped(struct checkpointer *c, enum err err)
{
    struct store *st = checkpointer_store(c);
    uint32_t cursor = 0;
    struct partition *p;
    if (err) {
        while ((p = map_next(&st->partitions, &cursor)))
            p->stop.clean = false;
        log_error("stop failed",
                  "what=\"the last checkpoint could not be written\" effect=\"recovery at the next start\"");
    }
    st->stop_failed |= err || count_offline_partitions(st) > st->offline_before;
    st->stopped(st);
}

static void stop_part_over(struct store *st)
{
    assert(st->stopping > 0);
    if (--st->stopping == 0)
        checkpointer_stop(st->checkpointer, checkpoints_stopped);
}

static void partition_stopped(struct partition *p)
{
    stop_part_over(p->store);
}

void store_stop(struct store *st, void (*done)(struct store *st))
{
    st->stopped = done;
    st->stopping = 1;
    st->offline_before = count_offline_partitions(st);
    for (struct list *l = st->changes.next; l != &st->changes; l = l->next)
        st->stopping++; /* deletions: jobs of theirs may not outlive the loop */
    uint32_t cursor = 0;
    struct partition *p;
    while ((p = map_next(&st->partitions, &cursor))) {
        if (p->stop.done)
            continue; /* being deleted */
        st->stopping++;
        partition_stop(p, false, partition_stopped);
    }
    stop_part_over(st);
}

void store_each_clean(const struct store *st, void (*each)(void *arg, const uint8_t topic_id[16], int32_t partition),
                      void *arg)
{
    uint32_t cursor = 0;
    struct partition *p;
    while ((p = map_next(&st->partitions, &cursor)))
        if (p->stop.clean)
            each(arg, p->topic->id, p->index);
}

void store_close(struct store *st)
{
    struct shard *s = st->shard;
    uint32_t cursor = 0;
    struct partition *p;
    timer_stop(&s->timers, &st->retry_timer);
    timer_stop(&s->timers, &st->idle_timer);
    if (s->id == 0)
        catalog_writer_stop(s);
    while ((p = map_next(&st->partitions, &cursor))) {
        (void)map_remove(&st->partitions, p->key, sizeof p->key);
        partition_close(p);
    }
    if (st->checkpointer)
        checkpointer_close(st->checkpointer);
    map_deinit(&st->partitions);
    catalog_deinit(&st->catalog);
    list_remove(&st->turn_end.link);
    s->store = NULL;
    heap_free(s->heap, st);
}
