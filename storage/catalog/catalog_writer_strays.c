/* Folders of a name that is to be created, of which the catalog knows nothing: they are set aside if the topic was asked for by its name. */
#include "core/clock.h"
#include "core/log.h"
#include "storage/catalog/catalog_writer_state.h"
#include <string.h>

enum { STRAY_TELL_S = 60 };

static int32_t run_move_aside(void *arg)
{
    struct catalog_writer *w = arg;
    return (int32_t)strays_move_aside(w->stray, w->file->dir);
}

/* The creation is looked at again: the folders are gone. */
static void move_aside_done(struct io_op *op, int32_t res)
{
    struct catalog_writer *w = container_of(op, struct catalog_writer, move_op);
    struct catalog_change *c = w->moving;
    assert(c && w->stray);
    if (res == ERR_NONE)
        strays_forget(&w->file->strays, w->stray);
    w->moving = NULL;
    w->stray = NULL;
    if (res == ERR_NONE)
        list_insert_before(w->queue.next, &c->link);
    else
        catalog_writer_refuse(w, c, KERR_KAFKA_STORAGE_ERROR,
                              "Folders of this name, which the catalog does not know, could not be set aside.");
    catalog_writer_retry(w);
}

static void refuse_stray_name(struct catalog_writer *w, struct catalog_change *c, const struct stray *stray)
{
    assert(c->automatic);
    assert(stray->count > 0);
    uint64_t now_ns = w->shard->now_ns;
    if (w->stray_logged_ns == 0 || now_ns - w->stray_logged_ns >= STRAY_TELL_S * NS_PER_S) {
        w->stray_logged_ns = now_ns;
        log_warn("topic not created",
                 "topic=%s why=\"there are folders of this name that the catalog does not know\" first=%s count=%u "
                 "hint=\"CreateTopics makes it and sets them aside; odradek check tells more\"",
                 c->name, stray->folders[0], stray->count);
    }
    catalog_writer_refuse(
        w, c, KERR_UNKNOWN_TOPIC_OR_PARTITION,
        "There are folders of this name that the catalog does not know: create the topic by its name.");
}

void catalog_writer_strays(struct catalog_writer *w, struct catalog_change *c, struct stray *stray)
{
    assert(strcmp(stray->topic, c->name) == 0);
    if (c->automatic) {
        refuse_stray_name(w, c, stray);
    } else if (w->moving) {
        catalog_writer_wait(w, c);
    } else {
        w->moving = c;
        w->stray = stray;
        io_job(w->shard->io, &w->move_op, IO_BACKGROUND, run_move_aside, w, move_aside_done);
    }
}
