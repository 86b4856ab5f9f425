/* Which transaction was left alone for longest, and the line about it (hanging.h). */
#include "storage/log/hanging.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/partition_state.h"
#include <string.h>

enum { HANGING_MARGIN_MS = 5 * 60 * 1000, TELL_S = 60 };

void hanging_look(struct hanging *h, const struct partition *p, int64_t now_ms)
{
    struct producer_facts f;
    int64_t age_ms, limit_ms = (int64_t)p->store->root->config->txn_timeout_ms_max + HANGING_MARGIN_MS;
    assert(limit_ms > 0);
    h->limit_ms = limit_ms;
    if (!producers_oldest_open(p->producers, &f))
        return;
    assert(f.txn_start_offset >= 0);
    if (__builtin_sub_overflow(now_ms, f.written_ms, &age_ms) || age_ms <= limit_ms)
        return;
    if (h->partitions++ == 0 || f.written_ms < h->facts.written_ms) {
        h->facts = f;
        memcpy(h->topic, p->topic->name, sizeof h->topic);
        h->index = p->index;
    }
}

static void note_away(struct hanging *h, uint64_t now_ns, uint64_t away_ns)
{
    assert(h->limit_ms > 0);
    if (h->away_ns && away_ns > h->away_ns + HANGING_MARGIN_MS * NS_PER_MS)
        h->quiet_until_ns = now_ns + (uint64_t)h->limit_ms * NS_PER_MS;
    h->away_ns = away_ns;
}

void hanging_tell(struct hanging *h, uint64_t now_ns, int64_t now_ms, uint64_t away_ns)
{
    assert(!h->partitions || h->facts.txn_start_offset >= 0);
    if (h->limit_ms)
        note_away(h, now_ns, away_ns);
    bool due = now_ns >= h->quiet_until_ns && (h->told_ns == 0 || now_ns - h->told_ns >= TELL_S * NS_PER_S);
    const struct producer_facts *f = &h->facts;
    if (h->partitions && due) {
        h->told_ns = now_ns;
        log_warn(
            "transaction hangs",
            "partition=%s-%d start_offset=%lld producer_id=%lld producer_epoch=%d idle_s=%lld others=%u why=\"no "
            "coordinator will end it, and read_committed consumers stop there\" hint=\"kafka-transactions.sh abort "
            "--topic %s --partition %d --start-offset %lld\"",
            h->topic, h->index, (long long)f->txn_start_offset, (long long)f->producer_id, f->producer_epoch,
            (long long)((now_ms - f->written_ms) / 1000), h->partitions - 1, h->topic, h->index,
            (long long)f->txn_start_offset);
    }
    h->partitions = 0;
}
