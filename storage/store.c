/* Storage of one shard: opening and stopping its partitions, and catalog changes. */
#include "storage/store.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/partition_state.h"
#include "storage/recovery/recoverer.h"
#include <errno.h>
#include <string.h>

static struct store *store_of_partition(const struct partition *p)
{
    return container_of(p->store, struct store, log);
}

void store_check(const struct store *st)
{
    assert(st->partitions.count == st->log.count);
    log_store_check(&st->log);
    catalog_check(&st->catalog);
    recoverer_check(st->log.recoverer);
}

/* --- partitions --- */

struct partition *store_partition(const struct store *st, const uint8_t topic_id[16], int32_t partition)
{
    uint8_t key[20];
    memcpy(key, topic_id, 16);
    be32_put(key + 16, (uint32_t)partition);
    return map_get(&st->partitions, key, sizeof key);
}

/* Those from `first` on; `fresh`: they were made in this run. */
static enum err open_partitions(struct store *st, const struct topic *t, int32_t first, bool fresh)
{
    for (int32_t i = first; i < t->partitions; i++) {
        if (topic_shard(t->id, i, st->shard->count) != st->shard->id)
            continue;
        struct partition *p = partition_open(&st->log, t, i, fresh);
        enum err err = p ? log_store_add(&st->log, p) : ERR_NO_MEMORY;
        if (!err)
            err = checkpointer_add(st->log.checkpointer, p);
        if (!err)
            err = map_put(&st->partitions, p->key, sizeof p->key, p);
        if (err) {
            if (p)
                partition_close(p);
            return err;
        }
        recoverer_add(st->log.recoverer, p);
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
static_assert(sizeof(struct deletion) <= CATALOG_CHANGE_ROOM_BYTES, "a change brings the memory for its deletion");

static void stop_part_over(struct store *st);

static void deletion_over(struct deletion *v)
{
    struct store *st = v->store;
    struct catalog_change *c = v->change;
    list_remove(&v->link);
    catalog_change_applied(st->shard, c);
    if (st->stopped) /* a stop has counted it */
        stop_part_over(st);
}

/* One that is not recovered yet is stopped as it is. */
static void stop_partition(struct partition *p, bool deleting, void (*stopped)(struct partition *p))
{
    struct list waiting;
    recoverer_drop(p, &waiting);
    partition_stop(p, deleting, stopped); /* it may be gone after this */
    recoverer_tell(&waiting);
}

static void partition_left(struct partition *p)
{
    struct store *st = store_of_partition(p);
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
    struct deletion *v = catalog_change_room(st->shard, c);
    *v = (struct deletion){.store = st, .change = c, .topic = t, .left = 1};
    list_init(&v->link);
    list_push(&st->changes, &v->link);
    for (int32_t i = 0; i < t->partitions; i++) {
        struct partition *p = store_partition(st, t->id, i);
        if (p) {
            v->left++;
            stop_partition(p, true, partition_left);
        }
    }
    if (--v->left == 0)
        deletion_over(v);
}

static void open_new_partitions(struct store *st, const struct topic *t, int32_t first)
{
    if (open_partitions(st, t, first, true))
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
struct preparation {
    struct config_wait wait;
    struct store *store;
    struct catalog_change *change;
};

static void preparation_over(struct config_wait *w)
{
    struct preparation *v = container_of(w, struct preparation, wait);
    struct shard *s = v->store->shard;
    struct catalog_change *c = v->change;
    if (w->failed)
        catalog_change_unready(s, c);
    heap_free(s->heap, v);
    catalog_change_applied(s, c);
}

/* Waits for the recovery of a partition that is to keep a stricter rule: what it recovers is durable. */
struct stricter_wait {
    struct recovery_wait wait;
    struct store *store;
    const struct topic *next; /* the version in the making */
    int32_t partition;
    struct config_wait *config_wait;
};

static void keep_stricter(struct partition *p, const struct topic *next, struct config_wait *w)
{
    if (!partition_keep_stricter(p, &next->config, w))
        config_wait_over(w);
}

static void recovered_before_change(struct recovery_wait *w)
{
    struct stricter_wait *v = container_of(w, struct stricter_wait, wait);
    struct partition *p = store_partition(v->store, v->next->id, v->partition);
    struct config_wait *config_wait = v->config_wait;
    const struct topic *next = v->next;
    heap_free(v->store->shard->heap, v);
    if (p && p->recovery.done) {
        keep_stricter(p, next, config_wait);
        return;
    }
    if (p) /* the broker stops, or there is no room to recover it */
        config_wait_fail(config_wait);
    config_wait_over(config_wait);
}

static void tighten_partition(struct store *st, struct partition *p, const struct topic *next, struct config_wait *w)
{
    w->left++;
    if (PLANTED(alter_before_recovery) || p->condition != PARTITION_UNRECOVERED) {
        keep_stricter(p, next, w);
        return;
    }
    struct stricter_wait *v = heap_zalloc(st->shard->heap, sizeof *v);
    if (!v) {
        config_wait_fail(w);
        config_wait_over(w);
        return;
    }
    *v = (struct stricter_wait){
        .wait.over = recovered_before_change, .store = st, .next = next, .partition = p->index, .config_wait = w};
    bool waits = recoverer_wait(p, &v->wait, RECOVERY_CHANGE, RECOVERY_NO_DEADLINE);
    assert(waits);
}

static void tighten_topic(struct store *st, const struct topic *old, const struct topic *t, struct config_wait *w)
{
    if (!topic_config_tightens(&old->config, &t->config))
        return;
    for (int32_t i = 0; i < old->partitions; i++) {
        struct partition *p = store_partition(st, t->id, i);
        if (p)
            tighten_partition(st, p, t, w);
    }
}

static void prepare_change(struct store *st, struct catalog_change *c)
{
    struct preparation *v = heap_zalloc(st->shard->heap, sizeof *v);
    if (!v) { /* nobody would know when the promise holds */
        catalog_change_unready(st->shard, c);
        catalog_change_applied(st->shard, c);
        return;
    }
    *v = (struct preparation){.wait = {.left = 1, .over = preparation_over}, .store = st, .change = c};
    if (c->kind == CATALOG_CONFIG)
        tighten_topic(st, c->old, c->topic, &v->wait);
    for (uint32_t i = 0; i < c->version_count; i++)
        tighten_topic(st, c->versions[c->version_count + i], c->versions[i], &v->wait);
    config_wait_over(&v->wait);
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

/* What this shard writes goes nowhere, and nothing more is acknowledged. */
static void stop_taking(struct log_store *ls)
{
    struct store *st = container_of(ls, struct store, log);
    if (!st->folder_lost)
        log_error("data folder lost",
                  "data=%s why=\"it was deleted or replaced while the broker runs\" effect=\"nothing more is taken "
                  "until a restart\"",
                  st->root->config->data_dir);
    st->folder_lost = true;
    for (uint32_t i = 0; i < ls->count; i++)
        partition_fault(ls->all[i], -ENOENT, "the data folder");
}

static void init_store(struct store *st, struct shard *s, struct root *root)
{
    st->shard = s;
    st->root = root;
    log_store_init(&st->log, s, root);
    st->log.folder_lost = stop_taking;
    st->config = catalog_file_config(root->catalog);
    map_init(&st->partitions, s->heap);
    list_init(&st->changes);
}

enum err store_open(struct shard *s, struct root *root)
{
    struct store *st = heap_zalloc(s->heap, sizeof *st);
    if (!st)
        return ERR_NO_MEMORY;
    init_store(st, s, root);
    s->store = st;
    st->log.checkpointer = checkpointer_open(&st->log);
    st->log.recoverer = recoverer_open(&st->log);
    enum err err = st->log.checkpointer && st->log.recoverer ? catalog_init(&st->catalog, s->heap) : ERR_NO_MEMORY;
    for (uint32_t i = 0; !err && i < catalog_file_topics(root->catalog); i++) {
        struct topic *t = catalog_file_topic(root->catalog, i);
        err = catalog_add(&st->catalog, t);
        if (!err)
            err = open_partitions(st, t, 0, false);
    }
    if (!err)
        err = io_lock_attach(s->io, 0, root->lock_fd);
    if (!err)
        err = io_lock_attach(s->io, 1, root->folder_fd);
    if (!err && s->id == 0)
        err = catalog_writer_start(s, root->catalog, store_apply);
    return err;
}

static uint32_t count_offline_partitions(const struct store *st)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < st->log.count; i++)
        count += st->log.all[i]->condition == PARTITION_OFFLINE;
    return count;
}

static void checkpoints_stopped(struct checkpointer *c, enum err err)
{
    struct store *st = container_of(checkpointer_store(c), struct store, log);
    if (err) {
        for (uint32_t i = 0; i < st->log.count; i++)
            st->log.all[i]->stop.clean = false;
        log_error("stop failed",
                  "what=\"the last checkpoint could not be written\" effect=\"recovery at the next start\"");
    }
    st->log.stop_failed |= err || count_offline_partitions(st) > st->offline_before;
    st->stopped(st);
}

static void stop_part_over(struct store *st)
{
    assert(st->stopping > 0);
    if (--st->stopping == 0)
        checkpointer_stop(st->log.checkpointer, checkpoints_stopped);
}

static void partition_stopped(struct partition *p)
{
    stop_part_over(store_of_partition(p));
}

static void recoveries_stopped(struct log_store *ls)
{
    stop_part_over(container_of(ls, struct store, log));
}

void store_stop(struct store *st, void (*done)(struct store *st))
{
    st->stopped = done;
    st->stopping = 2; /* this function, and the recoverer */
    recoverer_stop(st->log.recoverer, recoveries_stopped);
    st->offline_before = count_offline_partitions(st);
    for (struct list *l = st->changes.next; l != &st->changes; l = l->next)
        st->stopping++; /* deletions: jobs of theirs may not outlive the loop */
    for (uint32_t i = 0; i < st->log.count; i++) {
        struct partition *p = st->log.all[i];
        if (p->stop.done)
            continue; /* being deleted */
        st->stopping++;
        stop_partition(p, false, partition_stopped);
    }
    stop_part_over(st);
}

void store_each_clean(const struct store *st, void (*each)(void *arg, const uint8_t topic_id[16], int32_t partition),
                      void *arg)
{
    for (uint32_t i = 0; i < st->log.count; i++) {
        const struct partition *p = st->log.all[i];
        if (p->stop.clean)
            each(arg, p->topic->id, p->index);
    }
}

void store_close(struct store *st)
{
    struct shard *s = st->shard;
    if (s->id == 0)
        catalog_writer_stop(s);
    map_deinit(&st->partitions);
    while (st->log.count > 0)
        partition_close(st->log.all[st->log.count - 1]);
    if (st->log.recoverer)
        recoverer_close(st->log.recoverer);
    if (st->log.checkpointer)
        checkpointer_close(st->log.checkpointer);
    log_store_deinit(&st->log);
    catalog_deinit(&st->catalog);
    s->store = NULL;
    heap_free(s->heap, st);
}
