/* Shard 0's side of catalog changes (catalog.h), and how every shard takes part in them.
 *
 *   queue --gather, at the end of a turn--> batch --two durable writes--> broadcast --all applied--> over
 *     ^                                                                                               |
 *     +------------- waiting: for another change of the same topic --<--------------------------------+
 *
 * Names are taken (and deletions noted: `changing`) when a change is gathered, so that the next one sees it. A write that
 * fails (catalog_write.h) fails all of its batch. */
#include "core/clock.h"
#include "core/log.h"
#include "storage/catalog/catalog_writer_state.h"
#include "storage/store.h"
#include "storage/uuid.h"
#include <string.h>

enum { CHANGES_PER_STEP = 64 };     /* a step: some 100 us */
enum { BATCH_BYTES = 1024 * 1024 }; /* of records in one write; further changes wait for the next */

/* One shard's part in a change. */
struct catalog_shard_part {
    struct shard_msg msg;
    struct catalog_change *change;
    void (*apply)(struct shard *s, struct catalog_change *c);
    bool unready;
    _Alignas(16) uint8_t room[CATALOG_CHANGE_ROOM_BYTES];
};

static struct catalog_writer *catalog_writer_of(const struct shard *s)
{
    assert(s->id == 0);
    return store_of(s)->root->catalog->writer;
}

/* --- answers --- */

static void change_answered(struct shard *at, struct shard_msg *msg)
{
    struct catalog_change *c = container_of(msg, struct catalog_change, msg);
    assert(at->id == c->asked_by);
    c->done(c);
}

/* The end of it here: the shard that asked may free it from now on. */
static void answer_change(struct catalog_writer *w, struct catalog_change *c)
{
    assert(!list_linked(&c->link));
    heap_free(w->file->heap, c->parts);
    c->parts = NULL;
    shard_msg_init(&c->msg, change_answered);
    shard_send(w->shard, c->asked_by, &c->msg);
}

void catalog_writer_refuse(struct catalog_writer *w, struct catalog_change *c, enum kerr error, const char *message)
{
    assert(!list_linked(&c->link));
    c->error = error;
    c->message = message;
    answer_change(w, c);
}

static void kick_catalog_writer(struct catalog_writer *w)
{
    assert(w->shard->id == 0);
    if (!list_empty(&w->queue))
        shard_defer(w->shard, &w->gather);
}

void catalog_writer_retry(struct catalog_writer *w)
{
    list_splice(&w->queue, &w->waiting);
    kick_catalog_writer(w);
}

/* What a change of partitions or settings keeps others from: its topic, or everything when it has none (the broker's). */
static void hold_topic(struct catalog_writer *w, struct topic *t, bool held)
{
    if (t)
        catalog_topic_of(t)->changing = held;
    else
        w->alone = held;
}

/* --- all topics, in steps --- */

static void run_walk_step(struct shard_defer *d)
{
    struct catalog_writer *w = container_of(d, struct catalog_writer, walk_step);
    struct catalog_change *c = w->walking;
    assert(c && c->kind == CATALOG_BROKER_CONFIG);
    if (w->walk(w, c)) {
        shard_defer(w->shard, &w->walk_step);
        return;
    }
    w->walking = NULL;
    w->walked(w, c);
}

/* The first step is made at once. */
static void walk_versions(struct catalog_writer *w, struct catalog_change *c,
                          bool (*walk)(struct catalog_writer *w, struct catalog_change *c),
                          void (*walked)(struct catalog_writer *w, struct catalog_change *c))
{
    assert(!w->walking);
    assert(w->alone);
    w->walking = c;
    w->walk = walk;
    w->walked = walked;
    run_walk_step(&w->walk_step);
}

static bool make_versions(struct catalog_writer *w, struct catalog_change *c)
{
    assert(w->flying == 0);
    return catalog_alter_make(w->file, c, CHANGES_PER_STEP, &w->walk_err);
}

static bool take_versions(struct catalog_writer *w, struct catalog_change *c)
{
    return catalog_alter_take_some(w->file, c, CHANGES_PER_STEP);
}

static bool free_old_versions(struct catalog_writer *w, struct catalog_change *c)
{
    return catalog_alter_free_some(w->file, c, true, CHANGES_PER_STEP);
}

static bool free_new_versions(struct catalog_writer *w, struct catalog_change *c)
{
    return catalog_alter_free_some(w->file, c, false, CHANGES_PER_STEP);
}

/* What was worked out of it is not taken; then goes on. */
static void drop_alteration(struct catalog_writer *w, struct catalog_change *c,
                            void (*then)(struct catalog_writer *w, struct catalog_change *c))
{
    assert(c->preparing);
    if (c->kind == CATALOG_BROKER_CONFIG) {
        walk_versions(w, c, free_new_versions, then);
        return;
    }
    catalog_alter_drop(w->file, c);
    then(w, c);
}

/* --- applying --- */

/* Every shard keeps to the new rule, and what was written under the old one is durable: now it is worked out again, and recorded. */
static void change_prepared(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->preparing);
    assert(!c->prepared);
    if (c->broker || c->topic)
        catalog_alter_drop(w->file, c);
    c->preparing = false;
    c->prepared = true;
    w->alone = false;
    if (c->unready) {
        hold_topic(w, c->old, false);
        catalog_writer_refuse(w, c, KERR_KAFKA_STORAGE_ERROR,
                              "A partition waits for room on the disk and cannot flush what it took.");
        catalog_writer_retry(w);
        return;
    }
    list_insert_before(w->queue.next, &c->link);
    kick_catalog_writer(w);
}

static void broker_change_over(struct catalog_writer *w, struct catalog_change *c)
{
    assert(w->alone);
    catalog_alter_over(w->file, c);
    w->alone = false;
    answer_change(w, c);
    catalog_writer_retry(w);
}

/* The version before is nobody's any more. */
static void finish_entity(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->entity || c->old_entity);
    if (c->entity)
        c->entity->changing = false;
    else
        entities_remove(&w->file->all.entities, c->old_entity);
    entity_free(w->file->heap, c->old_entity);
    c->entity = c->old_entity = NULL; /* another change may free it */
}

/* All shards are done with it. */
static void finish_change(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->waiting == 0);
    assert(w->flying > 0);
    struct topic *t = c->topic;
    w->flying--;
    if (c->preparing) {
        drop_alteration(w, c, change_prepared);
        return;
    }
    switch (c->kind) {
    case CATALOG_CREATE: catalog_topic_of(t)->changing = false; break;
    case CATALOG_DELETE:
        catalog_file_remove(w->file, t);
        catalog_topic_free(w->file, t);
        c->topic = NULL;
        break;
    case CATALOG_PARTITIONS:
    case CATALOG_CONFIG:
        catalog_alter_over(w->file, c);
        hold_topic(w, t, false);
        break;
    case CATALOG_ENTITY: finish_entity(w, c); break;
    case CATALOG_BROKER_CONFIG: walk_versions(w, c, free_old_versions, broker_change_over); return;
    case CATALOG_PRODUCER_IDS: break;
    }
    answer_change(w, c);
    catalog_writer_retry(w);
}

static void shard_part_back(struct shard *at, struct shard_msg *msg)
{
    struct catalog_shard_part *part = container_of(msg, struct catalog_shard_part, msg);
    struct catalog_change *c = part->change;
    assert(c->waiting > 0);
    c->unready |= part->unready;
    if (--c->waiting == 0)
        finish_change(catalog_writer_of(at), c);
}

void *catalog_change_room(struct shard *s, struct catalog_change *c)
{
    assert(c->parts);
    return c->parts[s->id].room;
}

void catalog_change_applied(struct shard *s, struct catalog_change *c)
{
    assert(c->parts);
    struct catalog_shard_part *part = &c->parts[s->id];
    shard_msg_init(&part->msg, shard_part_back);
    shard_send(s, 0, &part->msg);
}

void catalog_change_unready(struct shard *s, struct catalog_change *c)
{
    assert(c->preparing);
    c->parts[s->id].unready = true;
}

static void shard_part_arrived(struct shard *at, struct shard_msg *msg)
{
    struct catalog_shard_part *part = container_of(msg, struct catalog_shard_part, msg);
    part->apply(at, part->change);
}

static void broadcast_change(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->parts);
    assert(c->waiting == 0);
    c->waiting = w->shard->count;
    w->flying++;
    for (uint16_t i = 0; i < w->shard->count; i++) {
        c->parts[i].change = c;
        c->parts[i].apply = w->apply;
        shard_msg_init(&c->parts[i].msg, shard_part_arrived);
        shard_send(w->shard, i, &c->parts[i].msg);
    }
}

/* --- the end of a write --- */

static void broker_versions_taken(struct catalog_writer *w, struct catalog_change *c)
{
    assert(w->alone);
    catalog_alter_take(w->file, c);
    broadcast_change(w, c);
}

static void change_written(struct catalog_writer *w, struct catalog_change *c)
{
    assert(w->busy);
    assert(!c->preparing);
    switch (c->kind) {
    case CATALOG_CREATE: broadcast_change(w, c); break;
    case CATALOG_DELETE:
        catalog_file_remember(w->file, c->topic_id);
        broadcast_change(w, c);
        break;
    case CATALOG_PRODUCER_IDS: answer_change(w, c); break;
    case CATALOG_ENTITY:
        if (c->entity && c->old_entity)
            entities_replace(&w->file->all.entities, c->old_entity, c->entity);
        broadcast_change(w, c);
        break;
    case CATALOG_PARTITIONS:
    case CATALOG_CONFIG:
        catalog_alter_take(w->file, c);
        hold_topic(w, c->topic, true);
        broadcast_change(w, c);
        break;
    case CATALOG_BROKER_CONFIG: walk_versions(w, c, take_versions, broker_versions_taken); break;
    }
}

static void refuse_unwritten(struct catalog_writer *w, struct catalog_change *c)
{
    assert(!c->preparing);
    c->topic = NULL;
    catalog_writer_refuse(w, c, KERR_KAFKA_STORAGE_ERROR,
                          w->write.full ? "The disk is full: the catalog has no room for this change."
                                        : "The catalog could not be written to disk.");
}

static void broker_change_dropped(struct catalog_writer *w, struct catalog_change *c)
{
    assert(w->alone);
    catalog_alter_drop(w->file, c);
    w->alone = false;
    refuse_unwritten(w, c);
    catalog_writer_retry(w);
}

/* Nothing of it is left: one that was new was there already. */
static void take_entity_back(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->entity || c->old_entity);
    if (c->old_entity)
        c->old_entity->changing = false;
    else
        entities_remove(&w->file->all.entities, c->entity);
    entity_free(w->file->heap, c->entity);
    c->entity = c->old_entity = NULL;
}

static void take_change_back(struct catalog_writer *w, struct catalog_change *c)
{
    assert(w->busy);
    switch (c->kind) {
    case CATALOG_CREATE:
        catalog_file_remove(w->file, c->topic);
        catalog_topic_free(w->file, c->topic);
        break;
    case CATALOG_DELETE: catalog_topic_of(c->topic)->changing = false; break;
    case CATALOG_PRODUCER_IDS: break; /* the ids are given up */
    case CATALOG_ENTITY: take_entity_back(w, c); break;
    case CATALOG_PARTITIONS:
    case CATALOG_CONFIG:
        catalog_alter_drop(w->file, c);
        hold_topic(w, c->old, false);
        break;
    case CATALOG_BROKER_CONFIG: walk_versions(w, c, free_new_versions, broker_change_dropped); return;
    }
    refuse_unwritten(w, c);
}

/* Some of a batch whose write is over, a step a turn; the writer is busy until all are. */
static void end_batch_step(struct shard_defer *d)
{
    struct catalog_writer *w = container_of(d, struct catalog_writer, end);
    struct list *l;
    assert(w->busy && w->ended);
    for (int i = 0; i < CHANGES_PER_STEP && (l = list_pop(&w->batch)); i++)
        w->ended(w, container_of(l, struct catalog_change, link));
    if (!list_empty(&w->batch)) {
        shard_defer(w->shard, &w->end);
        return;
    }
    if (DEBUG_CHECKS && !w->walking)
        catalog_file_check(w->file);
    w->ended = NULL;
    w->busy = false;
    w->write.blob.bytes = 0;
    catalog_writer_retry(w);
}

static void end_batch(struct catalog_writer *w, void (*each)(struct catalog_writer *w, struct catalog_change *c))
{
    assert(w->busy && !w->ended);
    w->ended = each;
    end_batch_step(&w->end);
}

static void catalog_batch_written(struct catalog_write *write, bool written)
{
    end_batch(container_of(write, struct catalog_writer, write), written ? change_written : take_change_back);
}

/* --- checks --- */

/* No topic ever had it. */
static void draw_topic_id(struct catalog_writer *w, uint8_t out[16])
{
    do
        uuid_random(&w->shard->rng, out);
    while (catalog_file_knew(w->file, out));
}

static const char *find_creation_fault(const struct catalog_change *c, enum kerr *out_error)
{
    assert(c->name);
    assert(c->overrides || c->override_count == 0);
    char why[256];
    *out_error = KERR_INVALID_TOPIC_EXCEPTION;
    if (!topic_name_legal((const uint8_t *)c->name, strlen(c->name)))
        return "The name of a topic has 1 to 249 of the letters a-z A-Z 0-9 . _ - and is neither . nor ..";
    *out_error = KERR_INVALID_PARTITIONS;
    if (c->partitions < 1 || c->partitions > TOPIC_PARTITIONS_MAX)
        return "A topic has 1 to 100000 partitions.";
    *out_error = KERR_INVALID_CONFIG;
    for (uint32_t i = 0; i < c->override_count; i++)
        if (topic_override_check(c->overrides[i].name, c->overrides[i].value, why) != KERR_NONE)
            return "A setting of the topic is unknown or has an impossible value.";
    if (topic_overrides_check(c->overrides, c->override_count, why) != KERR_NONE)
        return "The settings of the topic contradict each other.";
    *out_error = KERR_NONE;
    return NULL;
}

void catalog_writer_wait(struct catalog_writer *w, struct catalog_change *c)
{
    assert(!list_linked(&c->link));
    list_push(&w->waiting, &c->link);
}

static void refuse_taken_name(struct catalog_writer *w, struct catalog_change *c, struct catalog_topic *other)
{
    assert(!other->changing);
    if (strcmp(other->topic.name, c->name) == 0) {
        c->topic = &other->topic;
        catalog_writer_refuse(w, c, KERR_TOPIC_ALREADY_EXISTS, "A topic with this name exists already.");
    } else {
        catalog_writer_refuse(w, c, KERR_INVALID_TOPIC_EXCEPTION,
                              "A topic exists whose name differs only in . and _, which metrics cannot tell apart.");
    }
}

/* True: it goes with this write. */
static bool join_batch(struct catalog_writer *w, struct catalog_change *c, enum err err)
{
    assert(!list_linked(&c->link));
    if (err != ERR_NONE) {
        catalog_writer_refuse(w, c, KERR_KAFKA_STORAGE_ERROR, "The broker has no memory for this change.");
        return false;
    }
    list_push(&w->batch, &c->link);
    return true;
}

static enum err make_shard_parts(struct catalog_writer *w, struct catalog_change *c)
{
    if (!c->parts)
        c->parts = heap_zalloc(w->file->heap, w->shard->count * sizeof *c->parts);
    return c->parts ? ERR_NONE : ERR_NO_MEMORY;
}

/* The topic, known to the file's catalog and in the blob. */
static enum err make_new_topic(struct catalog_writer *w, struct catalog_change *c)
{
    assert(!c->topic);
    uint8_t id[16];
    draw_topic_id(w, id);
    struct topic *t = catalog_topic_new(w->file, id, c->name, c->partitions, c->overrides, c->override_count);
    if (!t)
        return ERR_NO_MEMORY;
    enum err err = catalog_file_add(w->file, t);
    if (err == ERR_NONE) {
        err = catalog_blob_topic(&w->write.blob, t);
        if (err != ERR_NONE)
            catalog_file_remove(w->file, t);
    }
    if (err != ERR_NONE) {
        catalog_topic_free(w->file, t);
        return err;
    }
    catalog_topic_of(t)->changing = true;
    c->topic = t;
    return ERR_NONE;
}

static void gather_creation(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->kind == CATALOG_CREATE);
    enum kerr error;
    char plain[TOPIC_NAME_MAX + 1];
    const char *fault = find_creation_fault(c, &error);
    if (fault) {
        catalog_writer_refuse(w, c, error, fault);
        return;
    }
    catalog_plain_name(c->name, plain);
    struct catalog_topic *other = map_get(&w->file->by_plain, plain, strlen(plain));
    if (other && other->changing) {
        catalog_writer_wait(w, c);
        return;
    }
    if (other) {
        refuse_taken_name(w, c, other);
        return;
    }
    struct stray *stray = strays_find(&w->file->strays, c->name);
    if (stray) {
        catalog_writer_strays(w, c, stray);
        return;
    }
    enum err err = make_shard_parts(w, c);
    (void)join_batch(w, c, err == ERR_NONE ? make_new_topic(w, c) : err);
}

static void gather_deletion(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->kind == CATALOG_DELETE);
    struct topic *t = catalog_by_id(&w->file->all, c->topic_id);
    if (!t) {
        catalog_writer_refuse(w, c, KERR_UNKNOWN_TOPIC_ID, "No topic has this id.");
        return;
    }
    if (catalog_topic_of(t)->changing) {
        catalog_writer_wait(w, c);
        return;
    }
    enum err err = make_shard_parts(w, c);
    if (err == ERR_NONE) /* room for every deletion of this batch */
        err = catalog_file_reserve(w->file, w->deletes + 1);
    if (err == ERR_NONE)
        err = catalog_blob_deleted(&w->write.blob, c->topic_id);
    if (!join_batch(w, c, err))
        return;
    w->deletes++;
    c->topic = t;
    catalog_topic_of(t)->changing = true;
}

static void gather_producer_ids(struct catalog_writer *w, struct catalog_change *c)
{
    struct catalog_file *f = w->file;
    assert(f->ids_reserved <= INT64_MAX - CATALOG_PRODUCER_BLOCK);
    if (!join_batch(w, c, catalog_blob_ids(&w->write.blob, f->ids_reserved + CATALOG_PRODUCER_BLOCK)))
        return;
    c->producer_ids = f->ids_reserved;
    f->ids_reserved += CATALOG_PRODUCER_BLOCK;
}

/* It was worked out: for the record, or first for the shards to prepare. */
static void begin_alteration(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->topic || c->broker);
    struct topic *old = c->old;
    enum err err = make_shard_parts(w, c);
    bool prepare = !c->prepared && catalog_alter_tightens(c);
    if (err == ERR_NONE && !prepare)
        err = catalog_alter_blob(w->file, c, &w->write.blob);
    if (err != ERR_NONE)
        catalog_alter_drop(w->file, c);
    if (err == ERR_NONE && prepare) {
        c->preparing = true;
        broadcast_change(w, c);
    } else if (!join_batch(w, c, err)) {
        hold_topic(w, old, false);
        catalog_writer_retry(w);
        return;
    }
    hold_topic(w, old, true);
}

/* It was only to be checked, or there was no memory to work it out. */
static void broker_change_let_go(struct catalog_writer *w, struct catalog_change *c)
{
    assert(w->alone);
    catalog_alter_drop(w->file, c);
    w->alone = false;
    enum kerr error = w->walk_err ? KERR_KAFKA_STORAGE_ERROR : KERR_NONE;
    catalog_writer_refuse(w, c, error, error ? "The broker has no memory for this change." : NULL);
    catalog_writer_retry(w);
}

static void broker_versions_made(struct catalog_writer *w, struct catalog_change *c)
{
    assert(w->alone);
    if (w->walk_err || c->validate_only) {
        walk_versions(w, c, free_new_versions, broker_change_let_go);
        return;
    }
    begin_alteration(w, c);
    shard_defer(w->shard, &w->gather); /* which writes it */
}

static void gather_broker_alteration(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->kind == CATALOG_BROKER_CONFIG);
    c->old = NULL;
    enum kerr error = catalog_alter_broker(w->file, c);
    if (!error) {
        w->alone = true;
        walk_versions(w, c, make_versions, broker_versions_made);
        return;
    }
    if (c->prepared) /* others waited for it */
        catalog_writer_retry(w);
    catalog_writer_refuse(w, c, error, c->message);
}

static void gather_alteration(struct catalog_writer *w, struct catalog_change *c)
{
    c->old = catalog_by_id(&w->file->all, c->topic_id);
    if (!c->old) {
        catalog_writer_refuse(w, c, KERR_UNKNOWN_TOPIC_OR_PARTITION, "No topic has this id.");
        return;
    }
    if (catalog_topic_of(c->old)->changing && !c->prepared) {
        catalog_writer_wait(w, c);
        return;
    }
    catalog_topic_of(c->old)->changing = false; /* one that was prepared holds it itself */
    enum kerr error =
        c->kind == CATALOG_PARTITIONS ? catalog_alter_partitions(w->file, c) : catalog_alter_config(w->file, c);
    if (!error && !c->validate_only) {
        begin_alteration(w, c);
        return;
    }
    if (!error)
        catalog_alter_drop(w->file, c);
    if (c->prepared) /* others waited for it */
        catalog_writer_retry(w);
    catalog_writer_refuse(w, c, error, error ? c->message : NULL);
}

/* The record, and a place for one that is new: the next change of it finds it there. */
static enum err begin_entity(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->entity || c->old_entity);
    const struct entity *e = c->entity;
    enum err err = make_shard_parts(w, c);
    if (err == ERR_NONE && !c->old_entity)
        err = entities_add(&w->file->all.entities, c->entity);
    if (err != ERR_NONE) {
        entity_free(w->file->heap, c->entity);
        c->entity = NULL;
        return err;
    }
    err = catalog_blob_entity(&w->write.blob, c->entity_kind, c->name, e ? e->settings : NULL, e ? e->count : 0);
    if (err != ERR_NONE)
        take_entity_back(w, c);
    return err;
}

static void gather_entity(struct catalog_writer *w, struct catalog_change *c)
{
    assert(c->kind == CATALOG_ENTITY);
    const struct entity *now = entities_find(&w->file->all.entities, c->entity_kind, c->name);
    if (now && now->changing) {
        catalog_writer_wait(w, c);
        return;
    }
    enum kerr error = catalog_alter_entity(w->file, c);
    bool nothing = error || c->validate_only || (!c->entity && !c->old_entity);
    if (nothing) {
        entity_free(w->file->heap, c->entity);
        c->entity = c->old_entity = NULL;
        catalog_writer_refuse(w, c, error, error ? c->message : NULL);
    } else if (join_batch(w, c, begin_entity(w, c))) {
        if (c->old_entity)
            c->old_entity->changing = true;
        if (c->entity)
            c->entity->changing = true;
    }
}

static void gather_change(struct catalog_writer *w, struct catalog_change *c)
{
    assert(!w->busy);
    assert(!list_linked(&c->link));
    switch (c->kind) {
    case CATALOG_CREATE: gather_creation(w, c); break;
    case CATALOG_DELETE: gather_deletion(w, c); break;
    case CATALOG_PRODUCER_IDS: gather_producer_ids(w, c); break;
    case CATALOG_PARTITIONS:
    case CATALOG_CONFIG: gather_alteration(w, c); break;
    case CATALOG_BROKER_CONFIG: gather_broker_alteration(w, c); break;
    case CATALOG_ENTITY: gather_entity(w, c); break;
    }
}

/* A change of the broker's settings touches every topic: it goes when no other change is under way. */
static bool must_change_alone(const struct catalog_writer *w, const struct catalog_change *c)
{
    return c->kind == CATALOG_BROKER_CONFIG && (w->flying > 0 || w->write.blob.bytes > 0);
}

/* A step a turn, until the write is large enough or nobody waits. */
static bool gather_step(struct catalog_writer *w)
{
    struct list *l;
    for (int i = 0; i < CHANGES_PER_STEP; i++) {
        if (w->write.blob.bytes >= BATCH_BYTES || w->alone || !(l = list_first(&w->queue)))
            return true;
        struct catalog_change *c = container_of(l, struct catalog_change, link);
        if (must_change_alone(w, c))
            return true;
        list_remove(l);
        gather_change(w, c);
    }
    return w->alone || list_empty(&w->queue);
}

static void gather_batch(struct shard_defer *d)
{
    struct catalog_writer *w = container_of(d, struct catalog_writer, gather);
    if (w->busy || w->walking)
        return; /* end_batch, or the end of the walk, comes back here */
    if (w->write.blob.bytes == 0) {
        w->deletes = 0;
        w->write.blob.wave = w->file->wave + 1;
    }
    if (!w->alone && !gather_step(w)) {
        shard_defer(w->shard, &w->gather);
        return;
    }
    if (w->walking || w->write.blob.bytes == 0)
        return;
    catalog_blob_end(&w->write.blob);
    assert(!w->busy);
    w->busy = true;
    catalog_write_start(&w->write);
}

/* --- outside --- */

static void change_arrived(struct shard *at, struct shard_msg *msg)
{
    assert(at->id == 0);
    struct catalog_change *c = container_of(msg, struct catalog_change, msg);
    struct catalog_writer *w = catalog_writer_of(at);
    list_push(&w->queue, &c->link);
    kick_catalog_writer(w);
}

void catalog_change_start(struct shard *s, struct catalog_change *c)
{
    assert(c->done);
    c->asked_by = s->id;
    c->error = KERR_NONE;
    c->message = NULL;
    c->topic = c->old = NULL;
    c->versions = NULL;
    c->version_count = c->walked = 0;
    c->tightens = false;
    c->broker = NULL;
    c->entity = c->old_entity = NULL;
    c->preparing = c->prepared = c->unready = false;
    c->parts = NULL;
    list_init(&c->link);
    shard_msg_init(&c->msg, change_arrived);
    shard_send(s, 0, &c->msg);
}

enum err catalog_writer_start(struct shard *s, struct catalog_file *f,
                              void (*apply)(struct shard *s, struct catalog_change *c))
{
    assert(s->id == 0 && !f->writer);
    struct catalog_writer *w = heap_zalloc(f->heap, sizeof *w);
    if (!w)
        return ERR_NO_MEMORY;
    w->shard = s;
    w->file = f;
    w->apply = apply;
    catalog_write_init(&w->write, s, f, catalog_batch_written);
    list_init(&w->queue);
    list_init(&w->waiting);
    list_init(&w->batch);
    shard_defer_init(&w->gather, gather_batch);
    shard_defer_init(&w->end, end_batch_step);
    shard_defer_init(&w->walk_step, run_walk_step);
    f->writer = w;
    return ERR_NONE;
}

/* A write that is still out keeps its memory: the heap frees it when the engine is closed. */
void catalog_writer_stop(struct shard *s)
{
    assert(s->id == 0);
    struct catalog_file *f = store_of(s)->root->catalog;
    struct catalog_writer *w = f->writer;
    if (!w)
        return;
    f->writer = NULL;
    list_remove(&w->gather.link);
    list_remove(&w->end.link);
    list_remove(&w->walk_step.link);
    catalog_write_detach(&w->write);
    if (w->busy || w->moving)
        return;
    catalog_blob_deinit(&w->write.blob);
    heap_free(f->heap, w);
}
