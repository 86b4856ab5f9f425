/* The history file; see history.h. */
#include "tests/load/history.h"
#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool history_open(struct history *h, const char *path)
{
    *h = (struct history){.fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)};
    return h->fd >= 0;
}

void history_put_writer(struct history *h, const struct history_writer *w)
{
    wbuf_printf(&h->pending, "W %" PRIu32 " %d %d\n", w->id, w->idempotent, w->retries);
    history_write(h);
}

void history_put_ack(struct history *h, const struct history_ack *a)
{
    wbuf_printf(&h->pending, "A %" PRIu32 " %" PRIu32 " %" PRId64 " %" PRIu64 " %" PRIu32 "\n", a->writer, a->partition,
                a->base, a->seq, a->count);
    h->acked++;
}

void history_put_read(struct history *h, const struct batch_view *v, uint32_t partition)
{
    wbuf_printf(&h->pending, "R %" PRIu32 " %" PRId64 " %" PRIu32 " %" PRId32 " %" PRIu32 "\n", partition, v->base,
                v->count, v->epoch, v->crc);
    h->read++;
}

void history_write(struct history *h)
{
    size_t done = 0;
    while (done < h->pending.len) {
        ssize_t n = write(h->fd, h->pending.at + done, h->pending.len - done);
        assert(n > 0);
        done += (size_t)n;
    }
    h->pending.len = 0;
}

/* Room for one more element: arrays double at powers of two. */
static void *grown(void *at, size_t count, size_t size)
{
    if (count & (count - 1))
        return at;
    at = realloc(at, (count ? 2 * count : 1) * size);
    assert(at);
    return at;
}

static bool take_writer(const char *line, struct history_all *all)
{
    struct history_writer w = {0};
    int idempotent, retries;
    if (sscanf(line, "W %" SCNu32 " %d %d", &w.id, &idempotent, &retries) != 3)
        return false;
    w.idempotent = idempotent;
    w.retries = retries;
    all->writers = grown(all->writers, all->writer_count, sizeof w);
    all->writers[all->writer_count++] = w;
    return true;
}

static bool take_ack(const char *line, struct history_all *all)
{
    struct history_ack a = {0};
    if (sscanf(line, "A %" SCNu32 " %" SCNu32 " %" SCNd64 " %" SCNu64 " %" SCNu32, &a.writer, &a.partition, &a.base,
               &a.seq, &a.count) != 5)
        return false;
    all->acks = grown(all->acks, all->ack_count, sizeof a);
    all->acks[all->ack_count++] = a;
    return true;
}

static bool take_read(const char *line, struct history_all *all)
{
    struct history_read r = {0};
    if (sscanf(line, "R %" SCNu32 " %" SCNd64 " %" SCNu32 " %" SCNd32 " %" SCNu32, &r.partition, &r.base, &r.count,
               &r.epoch, &r.crc) != 5)
        return false;
    all->reads = grown(all->reads, all->read_count, sizeof r);
    all->reads[all->read_count++] = r;
    return true;
}

bool history_load(const char *path, struct history_all *out)
{
    char line[256];
    bool good = true;
    FILE *f = fopen(path, "re");
    *out = (struct history_all){0};
    while (f && good && fgets(line, sizeof line, f))
        good = line[0] == 'W' ? take_writer(line, out) : line[0] == 'A' ? take_ack(line, out) : take_read(line, out);
    if (f)
        fclose(f);
    return f && good;
}

const struct history_writer *history_find(const struct history_all *all, uint32_t writer)
{
    for (size_t i = 0; i < all->writer_count; i++)
        if (all->writers[i].id == writer)
            return &all->writers[i];
    return NULL;
}
