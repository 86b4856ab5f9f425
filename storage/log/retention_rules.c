/* What retention drops of one partition (retention.h): Kafka's rules, first by size, then by time. */
#include "storage/log/partition_state.h"
#include "storage/log/retention.h"

const char *const retention_rule_names[RETENTION_RULES] = {
    [RETENTION_SIZE] = "size", [RETENTION_TIME] = "time", [RETENTION_DISK] = "disk"};

/* All of it lies below the high watermark, and it is not what stays of an empty log. */
static bool segment_may_go(const struct partition *p, uint32_t i)
{
    assert(i < p->segments.count);
    bool last = i + 1 == p->segments.count;
    int64_t end = last ? p->end.offset : segments_at(&p->segments, i + 1)->base_offset;
    return p->promised.offset >= end && !(last && p->end.position == 0);
}

/* By its records' timestamps; where they have none, by when it was written. False: not known yet. */
static bool find_largest_time(const struct partition *p, const struct segment *s, int64_t *out_ms)
{
    assert(s->partition == p);
    bool active = s == p->active;
    if (!active && !s->times_known)
        return false;
    int64_t records_ms = active ? p->end.max_timestamp : s->max_timestamp;
    int64_t written_ms = s->written_ms > 0 ? s->written_ms : INT64_MAX; /* not known: it stays */
    *out_ms = records_ms >= 0 ? records_ms : written_ms;
    return true;
}

static void add_to_verdict(struct retention_verdict *v, enum retention_rule rule, const struct segment *s)
{
    v->count++;
    v->by[rule].segments++;
    v->by[rule].bytes += s->bytes;
}

static void judge_by_size(const struct partition *p, struct retention_verdict *v)
{
    uint64_t total = p->closed_bytes + p->end.position, most = (uint64_t)config_of(p)->retention_bytes;
    if (config_of(p)->retention_bytes < 0 || total < most)
        return;
    uint64_t excess = total - most;
    while (v->count < p->segments.count && segment_may_go(p, v->count)) {
        const struct segment *s = segments_at(&p->segments, v->count);
        if (s->bytes > excess)
            return;
        excess -= s->bytes;
        add_to_verdict(v, RETENTION_SIZE, s);
    }
}

static void judge_by_time(const struct partition *p, int64_t now_ms, struct retention_verdict *v)
{
    int64_t largest_ms = 0;
    while (v->count < p->segments.count && segment_may_go(p, v->count)) {
        struct segment *s = segments_at(&p->segments, v->count);
        if (!find_largest_time(p, s, &largest_ms)) {
            v->unknown = s;
            return;
        }
        if (now_ms - largest_ms <= config_of(p)->retention_ms)
            return;
        add_to_verdict(v, RETENTION_TIME, s);
    }
}

void retention_judge(const struct partition *p, bool timed, int64_t now_ms, struct retention_verdict *out)
{
    assert(p->promised.offset <= p->end.offset);
    *out = (struct retention_verdict){0};
    if (!config_of(p)->deletes || p->segments.count == 0)
        return;
    judge_by_size(p, out);
    if (timed && config_of(p)->retention_ms >= 0)
        judge_by_time(p, now_ms, out);
    assert(out->count <= p->segments.count);
}
