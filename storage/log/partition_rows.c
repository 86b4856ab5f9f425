/* See partition_rows.h. Of the file only versions are read back: what others write there harms nobody but readers. */
#include "storage/log/partition_rows.h"
#include "core/clock.h"
#include "core/fs.h"
#include "core/log.h"
#include "storage/log/partition_state.h"
#include <string.h>

/* A row behind its version, as the header draws it. */
struct partition_row {
    uint8_t topic_id[16];
    int32_t partition;
    uint32_t flags;
    uint64_t bytes, segments;
    int64_t log_start_offset, high_watermark, end_offset;
    uint64_t risk_bytes, risk_ms, dirty_bytes;
    int64_t cleaned_to;
    uint64_t zeros[3];
    char name[256];
};
enum { ROW_AT = sizeof(struct stat_row) };
static_assert(ROW_AT + sizeof(struct partition_row) == PARTITION_ROW_BYTES, "partition_rows.h draws it");
static_assert(ROW_AT + offsetof(struct partition_row, cleaned_to) == 96, "partition_rows.h draws it");
static_assert(ROW_AT + offsetof(struct partition_row, name) == 128, "partition_rows.h draws it");
static_assert(TOPIC_NAME_MAX < sizeof((struct partition_row *)0)->name, "with a final zero");

/* The file grows. */
struct partition_rows_step {
    struct io_op op;
    struct partition_rows *rows;
    int fd;
    uint64_t at, bytes;
};

void partition_rows_init(struct partition_rows *r, struct shard *s)
{
    assert(s->stats);
    *r = (struct partition_rows){.shard = s, .at = s->stat_room.at};
    if (!r->at)
        return;
    r->table = stats_table(s->stats, "partitions");
    stat_set(&r->table->rows_at, s->stat_room.file_at);
    stat_set(&r->table->row_bytes, PARTITION_ROW_BYTES);
}

/* --- one row --- */

static struct stat_row *row_at(const struct partition_rows *r, uint32_t place)
{
    assert(place < r->room);
    return (struct stat_row *)(void *)(r->at + (size_t)place * PARTITION_ROW_BYTES);
}

static uint32_t row_flags(const struct partition *p)
{
    assert(p->topic);
    return (p->condition == PARTITION_UNRECOVERED ? PARTITION_ROW_RECOVERING : 0u) |
           (partition_is_offline(p) ? PARTITION_ROW_OFFLINE : 0u) |
           (config_of(p)->compacted ? PARTITION_ROW_COMPACTED : 0u) |
           (p->cleaning.refused ? PARTITION_ROW_CLEANER_REFUSES : 0u);
}

static void fill_row(const struct partition *p, uint64_t now_ns, struct partition_row *row)
{
    assert(p->end.offset >= p->promised.offset);
    *row = (struct partition_row){
        .partition = p->index,
        .flags = row_flags(p),
        .bytes = p->closed_bytes + p->end.position,
        .segments = p->segments.count,
        .log_start_offset = p->log_start_offset,
        .high_watermark = p->promised.offset,
        .end_offset = p->end.offset,
        .risk_bytes = partition_risk_bytes(p),
        .dirty_bytes = p->cleaning.dirty_bytes,
        .cleaned_to = p->cleaning.known ? p->cleaning.first_dirty : -1,
    };
    if (row->risk_bytes)
        row->risk_ms = (now_ns - p->flusher.risk_since_ns) / NS_PER_MS;
    memcpy(row->topic_id, p->topic->id, sizeof row->topic_id);
    memcpy(row->name, p->topic->name, strlen(p->topic->name));
}

static void put_row(struct partition_rows *r, uint32_t place, const struct partition_row *row)
{
    struct stat_row *at = row_at(r, place);
    const uint8_t *shown = (const uint8_t *)at + ROW_AT;
    assert(row->zeros[0] == 0);
    bool same = memcmp(shown, row->topic_id, sizeof row->topic_id) == 0; /* the name too, then */
    stat_row_begin(at);
    stat_row_put(at, ROW_AT, row, same ? offsetof(struct partition_row, name) : sizeof *row);
    stat_row_end(at);
}

void partition_rows_show(struct partition_rows *r, const struct partition *p)
{
    assert(p->store->shard == r->shard);
    if (p->place >= r->room)
        return;
    struct partition_row row;
    fill_row(p, r->shard->now_ns, &row);
    put_row(r, p->place, &row);
}

/* --- how many --- */

static void publish_counts(const struct partition_rows *r)
{
    assert(r->at);
    stat_set(&r->table->all, r->count);
    stat_set(&r->table->rows, u64_min(r->count, r->room));
}

void partition_rows_added(struct partition_rows *r)
{
    assert(r->count < UINT32_MAX);
    if (!r->at)
        return;
    r->count++;
    publish_counts(r);
}

void partition_rows_removed(struct partition_rows *r, uint32_t place, const struct partition *last)
{
    if (!r->at)
        return;
    assert(place < r->count);
    assert(!last || last->place == place);
    static const struct partition_row nothing;
    stat_table_begin(r->table);
    r->count--;
    if (last)
        partition_rows_show(r, last);
    if (r->count < r->room)
        put_row(r, r->count, &nothing);
    publish_counts(r);
    stat_table_end(r->table);
}

/* --- room --- */

static int32_t run_grow_job(void *arg)
{
    struct partition_rows_step *step = arg;
    assert(step->bytes > 0);
    return (int32_t)fs_allocate(step->fd, step->at, step->bytes);
}

static void grow_rows(struct partition_rows *r);

static void rows_have_grown(struct io_op *op, int32_t res)
{
    struct partition_rows_step *step = container_of(op, struct partition_rows_step, op);
    struct partition_rows *r = step->rows;
    assert(r->step == step);
    if (res && !r->retry_at_ns)
        log_warn("the file of --stat-file has no room for rows of more partitions", "shown=%u partitions=%u error=%s",
                 r->room, r->count, err_text((enum err)res));
    r->retry_at_ns = res ? r->shard->now_ns + PARTITION_ROWS_RETRY_S * NS_PER_S : 0;
    if (!res) {
        r->room_bytes += step->bytes;
        r->room = (uint32_t)(r->room_bytes / PARTITION_ROW_BYTES);
        publish_counts(r);
    }
    r->step = NULL;
    heap_free(r->shard->heap, step);
    if (!res)
        grow_rows(r);
}

/* The step is a block of its own: it may outlast the store, when the loop ends. */
static void grow_rows(struct partition_rows *r)
{
    assert(r->at);
    if (r->step || r->room >= r->count || r->room == PARTITION_ROWS_MAX || r->shard->now_ns < r->retry_at_ns)
        return;
    struct partition_rows_step *step = heap_zalloc(r->shard->heap, sizeof *step);
    if (!step)
        return;
    step->rows = r;
    step->fd = r->shard->stat_room.fd;
    step->at = r->shard->stat_room.file_at + r->room_bytes;
    step->bytes = u64_min(u64_max(r->room_bytes, PARTITION_ROWS_STEP_MIN), PARTITION_ROWS_STEP_MAX);
    step->bytes = u64_min(step->bytes, STAT_ROWS_BYTES - r->room_bytes);
    r->step = step;
    io_job(r->shard->io, &step->op, IO_BACKGROUND, run_grow_job, step, rows_have_grown);
}

void partition_rows_looked(struct partition_rows *r)
{
    assert(r->shard);
    if (r->at)
        grow_rows(r);
}

void partition_rows_check(const struct partition_rows *r)
{
    assert(r->room <= PARTITION_ROWS_MAX);
    assert(r->room == r->room_bytes / PARTITION_ROW_BYTES);
    assert(r->at || (!r->count && !r->room && !r->step));
    if (!r->at)
        return;
    assert(stat_value(&r->table->all) == r->count);
    assert(stat_value(&r->table->rows) == u64_min(r->count, r->room));
    assert(stat_value(&r->table->moves) % 2 == 0);
}
