/* A small world for catalog changes: shards, messages, the end of a turn, writes and jobs, one after the other, and any write or job can be
 * made to fail. The file is a real one, in DIR. */
#pragma once
#include "storage/catalog/catalog_file.h"
#include "storage/store.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#ifndef DIR
#define DIR "build/tests/unit/catalog_writer"
#endif
enum { SHARDS = 3, NO_FAULT = -1 };

/* --- the world --- */

static struct shard shards[SHARDS];
static struct store stores[SHARDS];
static struct root root;
static struct heap *heap;
static struct broker_config config;
static struct list inbox[SHARDS], deferred, ops;
static int op_count, write_count, job_count, fault_at, fault_length, fault_errno = EIO;
static int deferred_runs, deferred_max,
    sent;                   /* calls at the end of a turn, and the most messages that one of them sent */
static int32_t short_write; /* bytes of a failing write that land all the same */

void shard_send(struct shard *from, uint16_t to, struct shard_msg *msg)
{
    assert_in_range(from->id, 0, SHARDS - 1);
    sent++;
    list_push(&inbox[to], &msg->link);
}

void shard_defer_init(struct shard_defer *d, void (*run)(struct shard_defer *d))
{
    d->run = run;
    list_init(&d->link);
}

void shard_defer(struct shard *s, struct shard_defer *d)
{
    assert_int_equal(s->id, 0);
    if (!list_linked(&d->link))
        list_push(&deferred, &d->link);
}

void io_file_init(struct io_file *f, int fd)
{
    f->fd = fd;
    f->slot = -1;
}

void io_file_attach(struct io *io, struct io_file *f)
{
    (void)io;
    f->slot = 1;
}

void io_file_detach(struct io *io, struct io_file *f)
{
    (void)io;
    f->slot = -1;
}

void io_write(struct io *io, struct io_op *op, struct io_file *f, const void *at, uint32_t bytes, uint64_t off,
              bool dsync, io_done_fn *done)
{
    (void)io;
    assert_true(dsync);
    *op = (struct io_op){.done = done, .file = f, .iov = at, .off = off, .len = bytes, .kind = IO_WRITE};
    list_init(&op->link);
    list_push(&ops, &op->link);
}

void io_job(struct io *io, struct io_op *op, enum io_class class, int32_t (*run)(void *arg), void *arg,
            io_done_fn *done)
{
    assert_in_range(class, IO_URGENT, IO_BACKGROUND);
    (void)io;
    *op = (struct io_op){.done = done, .job = {run, arg}, .kind = IO_JOB};
    list_init(&op->link);
    list_push(&ops, &op->link);
}

static enum err place; /* of the data folder */

enum err root_place_check(const struct root *r)
{
    assert_ptr_equal(r, &root);
    return place;
}

static bool fails(void)
{
    int n = op_count++;
    return fault_at != NO_FAULT && n >= fault_at && n < fault_at + fault_length;
}

static int32_t write_now(struct io_op *op)
{
    write_count++;
    bool bad = fails();
    uint32_t bytes = bad ? (uint32_t)short_write : op->len > 16 && write_count % 2 ? op->len / 2 : op->len;
    assert_int_equal(fs_write(op->file->fd, op->iov, bytes < op->len ? bytes : op->len, op->off), ERR_NONE);
    return bad ? -fault_errno : (int32_t)bytes;
}

static int32_t job_now(struct io_op *op)
{
    job_count++;
    return fails() ? (int32_t)ERR_IO : op->job.run(op->job.arg);
}

static bool step_messages(void)
{
    for (uint16_t i = 0; i < SHARDS; i++) {
        struct list *l = list_pop(&inbox[i]);
        if (!l)
            continue;
        struct shard_msg *m = container_of(l, struct shard_msg, link);
        m->run(&shards[i], m);
        return true;
    }
    return false;
}

static bool step_rest(void)
{
    struct list *l = list_pop(&deferred);
    if (l) {
        struct shard_defer *d = container_of(l, struct shard_defer, link);
        sent = 0;
        d->run(d);
        deferred_runs++;
        deferred_max = sent > deferred_max ? sent : deferred_max;
        return true;
    }
    l = list_pop(&ops);
    if (l) {
        struct io_op *op = container_of(l, struct io_op, link);
        op->done(op, op->kind == IO_WRITE ? write_now(op) : job_now(op));
    }
    return l != NULL;
}

static void run(void)
{
    for (int i = 0; step_messages() || step_rest(); i++)
        assert_in_range(i, 0, 100000);
}

/* --- the store's part: its view of the catalog, and who has applied what --- */

static int applied[SHARDS], prepared[SHARDS];

/* What was asked of the shards to keep to is never more lax than what they got. */
static void prepare(struct shard *s, const struct catalog_change *c)
{
    bool tightens = c->topic && topic_config_tightens(&c->old->config, &c->topic->config);
    for (uint32_t i = 0; i < c->version_count; i++)
        tightens |= topic_config_tightens(&c->versions[c->version_count + i]->config, &c->versions[i]->config);
    assert_true(tightens);
    prepared[s->id]++;
}

static void apply_broker(struct shard *s, const struct catalog_change *c)
{
    for (uint32_t i = 0; i < c->version_count; i++)
        catalog_replace(&stores[s->id].catalog, c->versions[c->version_count + i], c->versions[i]);
    assert_ptr_equal(stores[s->id].config, c->old_broker);
    stores[s->id].config = c->broker;
}

static void apply_entity(struct catalog *view, const struct catalog_change *c)
{
    if (!c->entity)
        entities_remove(&view->entities, c->old_entity);
    else if (c->old_entity)
        entities_replace(&view->entities, c->old_entity, c->entity);
    else
        assert_int_equal(entities_add(&view->entities, c->entity), ERR_NONE);
}

static void apply(struct shard *s, struct catalog_change *c)
{
    struct catalog *view = &stores[s->id].catalog;
    if (c->preparing) {
        prepare(s, c);
        catalog_change_applied(s, c);
        return;
    }
    applied[s->id]++;
    switch (c->kind) {
    case CATALOG_CREATE: assert_int_equal(catalog_add(view, c->topic), ERR_NONE); break;
    case CATALOG_DELETE: catalog_remove(view, c->topic); break;
    case CATALOG_PARTITIONS:
    case CATALOG_CONFIG: catalog_replace(view, c->old, c->topic); break;
    case CATALOG_BROKER_CONFIG: apply_broker(s, c); break;
    case CATALOG_ENTITY: apply_entity(view, c); break;
    case CATALOG_PRODUCER_IDS: assert_false("producer ids go to nobody"); break;
    }
    catalog_change_applied(s, c);
}

static void open_world(void)
{
    char why[CONFIG_WHY_BYTES];
    assert_int_equal(catalog_file_open(DIR, heap, &config, false, &root.catalog, why), ERR_NONE);
    assert_int_equal(catalog_file_prepare(root.catalog, why), ERR_NONE);
    list_init(&deferred);
    list_init(&ops);
    op_count = write_count = job_count = 0;
    fault_at = NO_FAULT;
    for (uint16_t i = 0; i < SHARDS; i++) {
        list_init(&inbox[i]);
        applied[i] = prepared[i] = 0;
        shards[i] = (struct shard){.id = i,
                                   .count = SHARDS,
                                   .heap = heap,
                                   .now_ns = 5000000000u,
                                   .store = &stores[i],
                                   .rng = {.state = i + 1u}};
        stores[i] = (struct store){.shard = &shards[i], .root = &root, .config = catalog_file_config(root.catalog)};
        assert_int_equal(catalog_init(&stores[i].catalog, heap), ERR_NONE);
        for (uint32_t t = 0; t < catalog_file_topics(root.catalog); t++)
            assert_int_equal(catalog_add(&stores[i].catalog, catalog_file_topic(root.catalog, t)), ERR_NONE);
        const struct entities *kept = catalog_file_entities(root.catalog);
        for (uint32_t e = 0; e < kept->count; e++)
            assert_int_equal(entities_add(&stores[i].catalog.entities, kept->sorted[e]), ERR_NONE);
    }
    assert_int_equal(catalog_writer_start(&shards[0], root.catalog, apply), ERR_NONE);
}

static void close_world(void)
{
    catalog_file_check(root.catalog);
    for (uint16_t i = 0; i < SHARDS; i++)
        catalog_check(&stores[i].catalog);
    catalog_writer_stop(&shards[0]);
    for (uint16_t i = 0; i < SHARDS; i++)
        catalog_deinit(&stores[i].catalog);
    catalog_file_close(root.catalog);
}

static int setup(void **state)
{
    (void)state;
    mkdir("build", 0755);
    mkdir("build/tests", 0755);
    mkdir("build/tests/unit", 0755);
    mkdir(DIR, 0755);
    unlink(DIR "/catalog");
    unlink(DIR "/catalog.copy");
    heap = heap_open();
    if (!heap)
        return -1;
    broker_config_init(&config, heap);
    short_write = 0;
    fault_length = 1;
    fault_errno = EIO;
    place = ERR_NONE;
    open_world();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_world();
    broker_config_deinit(&config);
    heap_close(heap);
    return 0;
}
