/* Storage of one shard: opening and stopping its partitions, and catalog changes. */
#include "storage/store.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/clean/cleaner.h"
#include "storage/log/deleter.h"
#include "storage/log/full_disk.h"
#include "storage/log/partition_state.h"
#include "storage/recovery/recoverer.h"
#include <errno.h>
#include <string.h>

enum {
    CHANGE_UNITS_PER_TURN = 512,   /* of work on changes: a partition of another shard is one ... */
    CHANGE_UNITS_EACH = 4,         /* ... and one of this shard so many: a microsecond each */
    STOPS_AT_ONCE = 256,           /* partitions whose clean stop is under way */
    DELETIONS_AT_ONCE = 256,       /* partitions of one topic whose folders are being deleted: a job each */
    GONE_SPENDS_BYTES = 32 * 1024, /* a partition that goes takes as long as receiving so many bytes (io_spend) */
};

static struct store *store_of_partition(const struct partition *p)
{
    return container_of(p->store, struct store, log);
}

void store_check(const struct store *st)
{
    assert(st->partitions.count == st->log.count);
    (void)map_check(&st->partitions);
    log_store_check(&st->log);
    catalog_check(&st->catalog);
    recoverer_check(st->log.recoverer);
    deleter_check(st->log.deleter);
    retention_check(st->log.retention);
    cleaner_check(st->log.cleaner);
}

/* --- partitions --- */

struct partition *store_partition(const struct store *st, const uint8_t topic_id[16], int32_t partition)
{
    uint8_t key[20];
    memcpy(key, topic_id, 16);
    be32_put(key + 16, (uint32_t)partition);
    return map_get(&st->partitions, key, sizeof key);
}

/* `fresh`: it was made in this run. */
static enum err open_partition(struct store *st, const struct topic *t, int32_t i, bool fresh)
{
    assert(topic_shard(t->id, i, st->shard->count) == st->shard->id);
    assert(i < t->partitions);
    struct partition *p = partition_open(&st->log, t, i, fresh);
    enum err err = p ? log_store_add(&st->log, p) : ERR_NO_MEMORY;
    if (!err)
        err = checkpointer_add(st->log.checkpointer, p);
    if (!err)
        err = map_put(&st->partitions, p->key, sizeof p->key, p);
    if (!err)
        recoverer_add(st->log.recoverer, p);
    else if (p)
        partition_close(p);
    return err;
}

static enum err open_found_partitions(struct store *st, const struct topic *t)
{
    assert(t->partitions > 0);
    enum err err = ERR_NONE;
    for (int32_t i = 0; i < t->partitions && !err; i++)
        if (topic_shard(t->id, i, st->shard->count) == st->shard->id)
            err = open_partition(st, t, i, false);
    return err;
}

/* --- catalog changes --- */

/* A change that is being applied here, in steps: topics have up to 100,000 partitions. In the catalog's memory. */
struct applying {
    struct store *store;
    struct catalog_change *change;
    int32_t next;     /* partition */
    uint32_t version; /* BROKER_CONFIG: of a topic, whose partitions are gone through */
    uint32_t left;    /* deletion: partitions whose stop is not over, plus one until all were begun; else one */
    bool
        cut_short; /* by a stop: partitions that it did not reach still point to the topic; the next start goes on with it */
    struct list link;
};
static_assert(sizeof(struct applying) <= CATALOG_CHANGE_ROOM_BYTES, "the catalog keeps room for it");

static void stop_part_over(struct store *st);
static void begin_stops(struct store *st);
static uint32_t step_preparations(struct store *st, uint32_t units);

static void change_part_over(struct applying *v)
{
    struct store *st = v->store;
    struct catalog_change *c = v->change;
    assert(v->left > 0);
    if (--v->left > 0)
        return;
    list_remove(&v->link);
    if (!v->cut_short)
        catalog_change_applied(st->shard, c);
    if (st->stopped) /* a stop has counted it */
        stop_part_over(st);
}

static void continue_changes(struct store *st)
{
    if (!timer_started(&st->change_timer) && !st->stopped)
        timer_start(&st->shard->timers, &st->change_timer, st->shard->now_ns + 1); /* not in this turn */
}

/* One that is not recovered yet is stopped as it is. */
static void stop_partition(struct partition *p, bool deleting, void (*stopped)(struct partition *p))
{
    assert(stopped);
    struct list waiting;
    recoverer_drop(p, &waiting);
    partition_stop(p, deleting, stopped); /* it may be gone after this */
    recoverer_tell(&waiting);
}

static struct applying *deletion_of(const struct store *st, const struct topic *t)
{
    for (struct list *l = st->changes.next; l != &st->changes; l = l->next) {
        struct applying *v = container_of(l, struct applying, link);
        if (v->change->kind == CATALOG_DELETE && v->change->topic == t)
            return v;
    }
    return NULL;
}

static void partition_left(struct partition *p)
{
    assert(p->stop.deleting);
    struct store *st = store_of_partition(p);
    struct applying *v = deletion_of(st, p->topic);
    assert(v);
    (void)map_remove(&st->partitions, p->key, sizeof p->key);
    struct list *l; /* a watcher that is left looks again and finds no partition */
    while ((l = list_pop(&p->watches)))
        container_of(l, struct watch, link)->moved(container_of(l, struct watch, link));
    partition_close(p);
    io_spend(st->shard->io, GONE_SPENDS_BYTES);
    if (v->next < v->change->topic->partitions)
        continue_changes(st);
    change_part_over(v);
}

/* --- step by step --- */

/* What a step does with one partition; returns its units, 0: there is no memory. */
static uint32_t open_step(struct store *st, const struct catalog_change *c, int32_t i)
{
    assert(c->kind != CATALOG_DELETE);
    assert(i < c->topic->partitions);
    struct partition *p = store_partition(st, c->topic->id, i);
    if (p) { /* it was there before: PARTITIONS, CONFIG */
        partition_set_topic(p, c->topic);
        return 1;
    }
    if (topic_shard(c->topic->id, i, st->shard->count) != st->shard->id)
        return 1;
    return open_partition(st, c->topic, i, true) ? 0 : CHANGE_UNITS_EACH;
}

static uint32_t delete_step(struct applying *v, int32_t i)
{
    assert(v->change->kind == CATALOG_DELETE);
    assert(v->left > 0);
    struct partition *p = store_partition(v->store, v->change->topic->id, i);
    if (!p)
        return 1;
    v->left++;
    stop_partition(p, true, partition_left);
    return CHANGE_UNITS_EACH;
}

static bool is_begun(const struct applying *v)
{
    if (v->change->kind == CATALOG_BROKER_CONFIG)
        return v->version == v->change->version_count;
    assert(v->next <= v->change->topic->partitions);
    return v->next == v->change->topic->partitions;
}

/* What is durable comes true: without memory it is tried again, and answered once it is done. */
static void retry_changes(struct store *st)
{
    if (!timer_started(&st->change_timer))
        timer_start(&st->shard->timers, &st->change_timer, st->shard->now_ns + RETRY_MS * NS_PER_MS);
}

static void tell_topic_made(struct store *st, const struct topic *t)
{
    assert(t);
    for (struct list *l = st->listeners.next; l != &st->listeners; l = l->next) {
        const struct store_listener *listener = container_of(l, struct store_listener, link);
        if (listener->topic_made)
            listener->topic_made(st, t);
    }
}

static void tell_topic_gone(struct store *st, const struct topic *t)
{
    assert(t);
    for (struct list *l = st->listeners.next; l != &st->listeners; l = l->next) {
        const struct store_listener *listener = container_of(l, struct store_listener, link);
        if (listener->topic_gone)
            listener->topic_gone(st, t);
    }
}

void store_listen(struct store *st, struct store_listener *l)
{
    assert(l->topic_made || l->topic_gone);
    list_init(&l->link);
    list_push(&st->listeners, &l->link);
}

/* All of its partitions had their step: now others see it. */
static void finish_applying(struct applying *v)
{
    assert(is_begun(v));
    assert(v->left > 0);
    struct store *st = v->store;
    struct catalog_change *c = v->change;
    if (c->kind == CATALOG_CREATE && catalog_add(&st->catalog, c->topic)) {
        v->next--; /* the last step is taken again */
        retry_changes(st);
        return;
    }
    if (c->kind == CATALOG_CREATE)
        tell_topic_made(st, c->topic);
    if (c->kind == CATALOG_PARTITIONS || c->kind == CATALOG_CONFIG)
        catalog_replace(&st->catalog, c->old, c->topic);
    change_part_over(v); /* it may be gone after this */
}

/* Too many of its folders are on their way already: the end of one goes on. */
static bool must_pause(const struct applying *v)
{
    return v->change->kind == CATALOG_DELETE && v->left > DELETIONS_AT_ONCE;
}

/* Every topic on which the broker's settings have a say: its new version takes the old one's place in its partitions, then in this shard's
 * view; then the broker's. Acks promise no less meanwhile: who is to keep a stricter rule does already. */
static uint32_t step_broker_change(struct applying *v, uint32_t units)
{
    struct store *st = v->store;
    struct catalog_change *c = v->change;
    assert(c->broker);
    while (v->version < c->version_count && units > 0) {
        struct topic *old = c->versions[c->version_count + v->version], *t = c->versions[v->version];
        assert(memcmp(old->id, t->id, sizeof t->id) == 0);
        struct partition *p = v->next < t->partitions ? store_partition(st, t->id, v->next) : NULL;
        if (p)
            partition_set_topic(p, t);
        if (++v->next >= t->partitions) {
            catalog_replace(&st->catalog, old, t);
            v->version++;
            v->next = 0;
        }
        units -= (uint32_t)u64_min(p ? CHANGE_UNITS_EACH : 1, units);
    }
    if (v->version < c->version_count)
        return units;
    st->config = st->log.config = c->broker;
    cleaner_configure(st->log.cleaner, c->broker);
    change_part_over(v); /* it may be gone after this */
    return units;
}

/* Returns what is left of the units. */
static uint32_t step_change(struct applying *v, uint32_t units)
{
    assert(units > 0);
    if (v->change->kind == CATALOG_BROKER_CONFIG)
        return step_broker_change(v, units);
    int32_t partitions = v->change->topic->partitions;
    while (v->next < partitions && units > 0 && !must_pause(v)) {
        uint32_t took =
            v->change->kind == CATALOG_DELETE ? delete_step(v, v->next) : open_step(v->store, v->change, v->next);
        if (took == 0) {
            retry_changes(v->store);
            return units;
        }
        v->next++;
        units -= (uint32_t)u64_min(took, units);
    }
    if (v->next == partitions)
        finish_applying(v);
    return units;
}

static void change_timer_due(struct timer *t)
{
    struct store *st = container_of(t, struct store, change_timer);
    if (st->stopped) {
        begin_stops(st);
        return;
    }
    uint32_t units = step_preparations(st, CHANGE_UNITS_PER_TURN);
    for (struct list *l = st->changes.next; l != &st->changes && units > 0;) {
        struct applying *v = container_of(l, struct applying, link);
        l = l->next;
        if (!is_begun(v) && !must_pause(v))
            units = step_change(v, units);
    }
    if (units == 0)
        continue_changes(st);
}

/* A small one is applied within the call. */
static void apply_in_steps(struct store *st, struct catalog_change *c)
{
    if (st->stopped)
        return; /* the next start knows of it, and nobody hears an answer */
    assert(c->topic || c->broker);
    struct applying *v = catalog_change_room(st->shard, c);
    *v = (struct applying){.store = st, .change = c, .left = 1};
    list_init(&v->link);
    list_push(&st->changes, &v->link);
    if (step_change(v, CHANGE_UNITS_PER_TURN) == 0)
        continue_changes(st);
}

static void apply_delete(struct store *st, struct catalog_change *c)
{
    assert(c->kind == CATALOG_DELETE);
    catalog_remove(&st->catalog, c->topic);
    tell_topic_gone(st, c->topic);
    apply_in_steps(st, c);
}

/* A preparation that waits for flushes of this shard's partitions, which it looks for in steps. */
struct preparation {
    struct config_wait wait;
    struct store *store;
    struct catalog_change *change;
    uint32_t version; /* the next: of a topic, ... */
    int32_t partition;
    struct list link;
};

static void preparation_over(struct config_wait *w)
{
    assert(w->left == 0);
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
    assert(w->left > 0);
    if (!partition_keep_stricter(p, &next->config, w))
        config_wait_over(w);
}

static void recovered_before_change(struct recovery_wait *w)
{
    struct stricter_wait *v = container_of(w, struct stricter_wait, wait);
    assert(v->config_wait);
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
    assert(p->store == &st->log);
    assert(p->index < next->partitions);
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

/* Partitions of one version of a topic; returns what is left of the units. */
static uint32_t tighten_topic(struct preparation *v, const struct topic *old, const struct topic *t, uint32_t units)
{
    assert(old != t);
    assert(v->partition <= old->partitions);
    if (!topic_config_tightens(&old->config, &t->config))
        v->partition = old->partitions;
    for (; v->partition < old->partitions && units > 0; v->partition++) {
        struct partition *p = store_partition(v->store, t->id, v->partition);
        if (p)
            tighten_partition(v->store, p, t, &v->wait);
        units -= (uint32_t)u64_min(p ? CHANGE_UNITS_EACH : 1, units);
    }
    return units;
}

static uint32_t step_preparation(struct preparation *v, uint32_t units)
{
    assert(list_linked(&v->link));
    const struct catalog_change *c = v->change;
    uint32_t count = c->kind == CATALOG_CONFIG ? 1 : c->version_count;
    while (v->version < count && units > 0) {
        const struct topic *old = c->kind == CATALOG_CONFIG ? c->old : c->versions[count + v->version];
        const struct topic *t = c->kind == CATALOG_CONFIG ? c->topic : c->versions[v->version];
        units = tighten_topic(v, old, t, units - 1);
        if (v->partition < old->partitions)
            break;
        v->version++;
        v->partition = 0;
    }
    if (v->version == count) {
        list_remove(&v->link);
        config_wait_over(&v->wait); /* it may be gone after this */
    }
    return units;
}

/* Returns what is left of the units. */
static uint32_t step_preparations(struct store *st, uint32_t units)
{
    for (struct list *l = st->preparations.next; l != &st->preparations && units > 0;) {
        struct preparation *v = container_of(l, struct preparation, link);
        l = l->next;
        units = step_preparation(v, units);
    }
    return units;
}

static void prepare_change(struct store *st, struct catalog_change *c)
{
    assert(c->preparing);
    struct preparation *v = heap_zalloc(st->shard->heap, sizeof *v);
    if (!v) { /* nobody would know when the promise holds */
        catalog_change_unready(st->shard, c);
        catalog_change_applied(st->shard, c);
        return;
    }
    *v = (struct preparation){.wait = {.left = 1, .over = preparation_over}, .store = st, .change = c};
    list_init(&v->link);
    list_push(&st->preparations, &v->link);
    if (step_preparation(v, st->stopped ? UINT32_MAX : CHANGE_UNITS_PER_TURN) == 0)
        continue_changes(st);
}

/* The broker stops: they look at what is left at once, and what they wait for ends with the stop. */
static void finish_preparations(struct store *st)
{
    while (!list_empty(&st->preparations))
        (void)step_preparations(st, UINT32_MAX);
}

/* One that there is no memory for is there after the next start. */
static void apply_entity(struct store *st, const struct catalog_change *c)
{
    assert(c->entity || c->old_entity);
    struct entities *all = &st->catalog.entities;
    if (!c->entity)
        entities_remove(all, c->old_entity);
    else if (c->old_entity)
        entities_replace(all, c->old_entity, c->entity);
    else if (entities_add(all, c->entity) != ERR_NONE)
        log_error("settings not applied", "name=\"%.80s\" why=\"there is no memory\" shard=%u", c->entity->name,
                  st->shard->id);
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
    case CATALOG_CREATE:
    case CATALOG_PARTITIONS:
    case CATALOG_CONFIG:
    case CATALOG_BROKER_CONFIG: apply_in_steps(st, c); return;
    case CATALOG_ENTITY: apply_entity(st, c); break;
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

static enum err init_store(struct store *st, struct shard *s, struct root *root)
{
    assert(root->catalog);
    st->shard = s;
    st->root = root;
    enum err err = log_store_init(&st->log, s, root);
    st->log.folder_lost = stop_taking;
    st->sync_fd = -1;
    timer_init(&st->change_timer, change_timer_due);
    st->config = st->log.config = catalog_file_config(root->catalog);
    map_init(&st->partitions, s->heap);
    list_init(&st->changes);
    list_init(&st->listeners);
    list_init(&st->preparations);
    return err;
}

static enum err show_entities(struct store *st)
{
    const struct entities *found = catalog_file_entities(st->root->catalog);
    enum err err = ERR_NONE;
    assert(st->catalog.entities.count == 0);
    for (uint32_t i = 0; !err && i < found->count; i++)
        err = entities_add(&st->catalog.entities, found->sorted[i]);
    return err;
}

enum err store_open(struct shard *s, struct root *root)
{
    assert(!s->store);
    struct store *st = heap_zalloc(s->heap, sizeof *st);
    if (!st)
        return ERR_NO_MEMORY;
    enum err err = init_store(st, s, root);
    s->store = st;
    if (err)
        return err;
    st->log.checkpointer = checkpointer_open(&st->log);
    st->log.recoverer = recoverer_open(&st->log);
    st->log.cleaner = cleaner_open(&st->log, st->config);
    st->log.deleter = deleter_open(&st->log);
    st->log.retention = retention_open(&st->log);
    st->log.full_disk = full_disk_open(&st->log);
    bool opened = st->log.checkpointer && st->log.recoverer && st->log.cleaner && st->log.deleter &&
                  st->log.retention && st->log.full_disk;
    err = opened ? catalog_init(&st->catalog, s->heap) : ERR_NO_MEMORY;
    for (uint32_t i = 0; !err && i < catalog_file_topics(root->catalog); i++) {
        struct topic *t = catalog_file_topic(root->catalog, i);
        err = catalog_add(&st->catalog, t);
        if (!err)
            err = open_found_partitions(st, t);
    }
    err = err ? err : show_entities(st);
    if (!err && root->traits.syncs_all)
        err = fs_open_folder(root->config->data_dir, &st->sync_fd);
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
    assert(st->stopped);
    assert(st->stopping == 0);
    if (err) {
        for (uint32_t i = 0; i < st->log.count; i++)
            st->log.all[i]->stop.clean = false;
        log_error("stop failed",
                  "what=\"the last checkpoint could not be written\" effect=\"recovery at the next start\"");
    }
    st->log.stop_failed |= err || count_offline_partitions(st) > st->offline_before;
    st->stopped(st);
}

static int32_t run_sync_all(void *arg)
{
    struct store *st = arg;
    assert(st->sync_fd >= 0);
    st->sync_err = fs_sync_all(st->sync_fd);
    return 0;
}

static void sync_all_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct store *st = container_of(op, struct store, sync_op);
    assert(st->log.stop_syncs_all);
    for (uint32_t i = 0; i < st->log.count && st->sync_err; i++) {
        struct partition *p = st->log.all[i];
        if (p->stop.saved)
            p->stop.clean = p->stop.saved = false;
    }
    if (st->sync_err)
        log_error("stop failed",
                  "what=\"the file system could not be flushed: %s\" effect=\"recovery at the next start\"",
                  err_text(st->sync_err));
    st->log.stop_failed |= st->sync_err != ERR_NONE;
    checkpointer_stop(st->log.checkpointer, checkpoints_stopped);
}

static void stop_part_over(struct store *st)
{
    assert(st->stopping > 0);
    assert(st->stopped);
    if (--st->stopping > 0)
        return;
    if (st->log.stop_syncs_all)
        io_job(st->shard->io, &st->sync_op, IO_URGENT, run_sync_all, st, sync_all_done);
    else
        checkpointer_stop(st->log.checkpointer, checkpoints_stopped);
}

static void continue_stops(struct store *st)
{
    assert(st->stopped);
    assert(st->stop_next > 0);
    if (!timer_started(&st->change_timer))
        timer_start(&st->shard->timers, &st->change_timer, st->shard->now_ns + 1); /* not in this turn */
}

static void partition_stopped(struct partition *p)
{
    assert(!p->stop.deleting);
    struct store *st = store_of_partition(p);
    assert(st->stops_flying > 0);
    st->stops_flying--;
    stop_part_over(st);
    if (st->stop_next > 0)
        continue_stops(st);
}

/* Each a job, so not all at once. */
static void begin_stops(struct store *st)
{
    assert(st->stopped);
    assert(st->stops_flying <= STOPS_AT_ONCE);
    uint32_t begun = 0;
    st->stop_next = (uint32_t)u64_min(st->stop_next, st->log.count);
    while (st->stop_next > 0 && begun < STOPS_AT_ONCE && st->stops_flying < STOPS_AT_ONCE) {
        struct partition *p = st->log.all[--st->stop_next];
        if (p->stop.done)
            continue; /* being deleted */
        begun++;
        st->stopping++;
        st->stops_flying++;
        stop_partition(p, false, partition_stopped);
    }
    if (st->stop_next == 0 && !st->all_stops_begun) {
        st->all_stops_begun = true;
        stop_part_over(st);
    } else if (st->stop_next > 0 && st->stops_flying < STOPS_AT_ONCE) {
        continue_stops(st);
    }
}

/* What was begun of deletions ends: jobs of theirs may not outlive the loop. The rest of them, and what else is being applied, the
 * next start knows of. */
static void leave_changes(struct store *st)
{
    assert(st->stopped);
    for (struct list *l = st->changes.next; l != &st->changes;) {
        struct applying *v = container_of(l, struct applying, link);
        assert(v->left > 0);
        l = l->next;
        bool begun = is_begun(v);
        if (!begun && (v->change->kind != CATALOG_DELETE || v->left == 1)) {
            list_remove(&v->link);
            continue;
        }
        st->stopping++;
        v->next = v->change->topic->partitions;
        v->cut_short = !begun;
        if (!begun)
            v->left--;
    }
}

static void store_job_over(struct log_store *ls)
{
    stop_part_over(container_of(ls, struct store, log));
}

void store_stop(struct store *st, void (*done)(struct store *st))
{
    assert(done);
    assert(!st->stopped);
    finish_preparations(st);
    st->stopped = done;
    st->stopping =
        4; /* until all stops are begun, and what has jobs of no partition: recoverer, retention, the full disk */
    cleaner_stop(st->log.cleaner);
    st->log.stop_syncs_all = st->sync_fd >= 0 && st->log.count >= SYNC_ALL_FROM;
    retention_stop(st->log.retention, store_job_over);
    full_disk_stop(st->log.full_disk, store_job_over);
    recoverer_stop(st->log.recoverer, store_job_over);
    st->offline_before = count_offline_partitions(st);
    timer_stop(&st->shard->timers, &st->change_timer);
    leave_changes(st);
    st->stop_next = st->log.count;
    begin_stops(st);
}

void store_each_clean(const struct store *st, void (*each)(void *arg, const uint8_t topic_id[16], int32_t partition),
                      void *arg)
{
    assert(each);
    for (uint32_t i = 0; i < st->log.count; i++) {
        const struct partition *p = st->log.all[i];
        if (p->stop.clean)
            each(arg, p->topic->id, p->index);
    }
}

void store_close(struct store *st)
{
    assert(st->shard->store == st);
    struct shard *s = st->shard;
    if (s->id == 0)
        catalog_writer_stop(s);
    timer_stop(&s->timers, &st->change_timer);
    map_deinit(&st->partitions);
    while (st->log.count > 0) {
        struct partition *p = st->log.all[st->log.count - 1];
        if (st->log.recoverer)
            recoverer_forget_waits(p);
        partition_close(p);
    }
    if (st->log.cleaner)
        cleaner_close(st->log.cleaner);
    if (st->sync_fd >= 0)
        fs_close(st->sync_fd);
    if (st->log.recoverer)
        recoverer_close(st->log.recoverer);
    if (st->log.deleter)
        deleter_close(st->log.deleter);
    if (st->log.retention)
        retention_close(st->log.retention);
    if (st->log.full_disk)
        full_disk_close(st->log.full_disk);
    if (st->log.checkpointer)
        checkpointer_close(st->log.checkpointer);
    log_store_deinit(&st->log);
    catalog_deinit(&st->catalog);
    s->store = NULL;
    heap_free(s->heap, st);
}
