#include "tests/sim/txn_truth.h"
#include "tests/sim/broker.h"
#include "tests/sim/oracle.h"
#include <inttypes.h>
#include <stdio.h>

enum { EPOCHS_MAX = INT16_MAX, GIVEN_BY_INIT = 1, GIVEN_BY_END = 2, OFFSETS_MAX = 1 << 20 };

static struct truth_log logs[TRUTH_LOGS_MAX];
static uint32_t log_count;
static struct truth_group groups[TRUTH_GROUPS_MAX];
static uint32_t group_count;
static struct truth_record *records;
static uint32_t record_count, record_cap, txn_count;

void truth_begin(void)
{
    log_count = group_count = record_count = record_cap = txn_count = 0;
    records = NULL;
    truth_markers_begin();
}

void truth_log_new(const char *topic, int32_t index, bool caching, bool compacts, int64_t delete_retention_ms)
{
    assert(log_count < TRUTH_LOGS_MAX);
    struct truth_log *l = &logs[log_count++];
    *l = (struct truth_log){
        .index = index, .caching = caching, .compacts = compacts, .delete_retention_ms = delete_retention_ms};
    snprintf(l->topic, sizeof l->topic, "%s", topic);
}

uint32_t truth_log_count(void)
{
    return log_count;
}

struct truth_log *truth_log_at(uint32_t i)
{
    return &logs[i];
}

struct truth_group *truth_group_new(const char *name)
{
    assert(group_count < TRUTH_GROUPS_MAX);
    struct truth_group *g = &groups[group_count];
    *g = (struct truth_group){.at = group_count++};
    snprintf(g->name, sizeof g->name, "%s", name);
    return g;
}

struct truth_record *truth_record_at(uint32_t number)
{
    assert(number < record_count);
    return &records[number];
}

bool truth_is_record(uint64_t number)
{
    return number < record_count;
}

/* --- where things are --- */

struct truth_place *truth_place_at(struct truth_log *l, int64_t offset)
{
    world_check(offset >= 0 && offset < OFFSETS_MAX, "%s-%d: something is at offset %" PRId64, l->topic, l->index,
                offset);
    if (offset >= l->cap) {
        uint32_t cap = l->cap ? l->cap : 256;
        while (cap <= offset)
            cap *= 2;
        l->places = world_grow(l->places, cap * sizeof *l->places);
        memset(l->places + l->cap, 0, (cap - l->cap) * sizeof *l->places);
        l->cap = cap;
    }
    return &l->places[offset];
}

static struct truth_record *record_in(const struct truth_place *p)
{
    return p->what && !(p->what & TRUTH_MARKER) ? &records[p->what - 1] : NULL;
}

bool truth_firm(const struct truth_log *l, const struct truth_place *p)
{
    const struct truth_record *r = record_in(p);
    return !l->caching || p->power_cuts == broker_power_cuts() || (r && r->txn && r->txn->verdict == VERDICT_COMMITTED);
}

static void forget_place(struct truth_place *p, int64_t offset)
{
    struct truth_record *r = record_in(p);
    if (r && r->offset == offset)
        r->offset = -1;
    p->what = 0;
    p->replaced = true;
}

/* Something else stands at this offset: the log was cut there, or before. */
static void cut_log(struct truth_log *l, int64_t offset)
{
    for (int64_t o = offset; o < l->cap; o++) {
        struct truth_place *p = &l->places[o];
        if (p->what && !truth_firm(l, p)) {
            sim.totals.lost_allowed++;
            forget_place(p, o);
        }
    }
}

static void tell(const struct truth_place *p, char out[64])
{
    const struct truth_record *r = record_in(p);
    if (!r)
        snprintf(out, 64, "a marker");
    else
        snprintf(out, 64, "record %u of transaction %d", p->what - 1, r->txn ? (int)r->txn->number : -1);
}

void truth_learn(struct truth_log *l, uint32_t what, int64_t offset, uint32_t power_cuts)
{
    struct truth_place *p = truth_place_at(l, offset);
    if (p->what && p->what != what) {
        struct truth_place by = {.what = what};
        char was[64], is[64];
        tell(p, was);
        tell(&by, is);
        if (truth_firm(l, p))
            truth_fail(l, "%s was at offset %" PRId64 ", now %s is", was, offset, is);
        cut_log(l, offset);
    }
    struct truth_record *r = record_in(&(struct truth_place){.what = what});
    if (r && r->offset >= 0 && r->offset != offset) {
        struct truth_place *old = truth_place_at(l, r->offset);
        if (truth_firm(l, old))
            truth_fail(l, "record %u was at offset %" PRId64 ", now it is at %" PRId64, what - 1, r->offset, offset);
        forget_place(old, r->offset);
        p = truth_place_at(l, offset);
    }
    p->what = what;
    p->power_cuts = power_cuts;
    if (r)
        r->offset = offset;
}

void truth_power_cut(void)
{
    for (uint32_t i = 0; i < group_count; i++)
        for (uint32_t k = 0; k < TRUTH_PARTS_MAX; k++)
            for (const struct truth_offset *o = groups[i].parts[k].offsets; o; o = o->next)
                if (o->txn->verdict != VERDICT_ABORTED && groups[i].parts[k].log->caching &&
                    o->offset > groups[i].parts[k].skip_below)
                    groups[i].parts[k].skip_below = o->offset;
}

/* --- producers --- */

void truth_id_begin(struct truth_id *id, const char *name)
{
    *id = (struct truth_id){.producer_id = -1, .newest = -1, .given = world_alloc(EPOCHS_MAX)};
    snprintf(id->name, sizeof id->name, "%s", name);
}

void truth_given(struct truth_id *id, int64_t producer_id, int16_t epoch, const struct truth_txn *by_end)
{
    world_check(producer_id >= 0 && epoch >= 0 && epoch < EPOCHS_MAX, "%s was given producer %" PRId64 " epoch %d",
                id->name, producer_id, epoch);
    if (producer_id != id->producer_id) { /* the first one, or its epochs were used up */
        id->producer_id = producer_id;
        id->newest = -1;
        memset(id->given, 0, EPOCHS_MAX);
    }
    if (by_end) {
        world_check(epoch > by_end->epoch, "%s ended its transaction with epoch %d and got epoch %d", id->name,
                    by_end->epoch, epoch);
        world_check(id->given[epoch] != GIVEN_BY_INIT, "%s: epoch %d was given twice", id->name, epoch);
        id->given[epoch] = GIVEN_BY_END;
        return;
    }
    world_check(!id->given[epoch], "%s: epoch %d was given twice", id->name, epoch);
    id->given[epoch] = GIVEN_BY_INIT;
    id->newest = epoch > id->newest ? epoch : id->newest;
}

bool truth_fenced(const struct truth_id *id, int64_t producer_id, int16_t epoch)
{
    return producer_id != id->producer_id || epoch < id->newest;
}

/* --- transactions --- */

struct truth_txn *truth_txn_new(struct truth_id *id, int64_t producer_id, int16_t epoch, bool bumps,
                                struct truth_group *group)
{
    struct truth_txn *t = world_alloc(sizeof *t);
    *t = (struct truth_txn){.id = id,
                            .number = txn_count++,
                            .producer_id = producer_id,
                            .epoch = epoch,
                            .bumps = bumps,
                            .group = group,
                            .power_cuts = broker_power_cuts(),
                            .began_ns = sim.now_ns};
    world_note("transaction %u of %s, producer %" PRId64 " epoch %d", t->number, id->name, producer_id, epoch);
    return t;
}

void truth_is(struct truth_txn *t, enum truth_verdict verdict, const char *proof)
{
    const char *is = verdict == VERDICT_COMMITTED ? "committed" : "aborted";
    if (t->verdict == verdict)
        return;
    world_check(!t->verdict, "transaction %u of %s (producer %" PRId64 ", epoch %d) is %s: %s; and the contrary: %s",
                t->number, t->id->name, t->producer_id, t->epoch, is, proof, t->proof);
    world_check(verdict == VERDICT_ABORTED || t->commit_sent,
                "transaction %u of %s (producer %" PRId64 ", epoch %d) is %s: %s; but nobody asked for it", t->number,
                t->id->name, t->producer_id, t->epoch, is, proof);
    world_note("transaction %u is %s: %s", t->number, is, proof);
    t->verdict = verdict;
    t->proof = proof;
    sim.totals.committed += verdict == VERDICT_COMMITTED;
    sim.totals.aborted += verdict == VERDICT_ABORTED;
}

uint32_t truth_sends(struct truth_log *l, struct truth_txn *t, struct keyed_value v, uint32_t input)
{
    if (record_count == record_cap)
        records = world_grow(records, (record_cap = record_cap ? record_cap * 2 : 256) * sizeof *records);
    struct truth_record *r = &records[record_count];
    v.number = record_count;
    *r = (struct truth_record){.sent = v, .log = l, .txn = t, .offset = -1, .input = input};
    if (t) {
        r->fenced = truth_fenced(t->id, t->producer_id, t->epoch);
    }
    return record_count++;
}

void truth_acked(uint32_t number, int64_t offset, uint32_t power_cuts)
{
    struct truth_record *r = truth_record_at(number);
    if (r->fenced)
        truth_fail(r->log, "record %u of a fenced producer was taken (producer %" PRId64 ", epoch %d)", number,
                   r->txn->producer_id, r->txn->epoch);
    if (offset < 0)
        truth_fail(r->log, "record %u was acknowledged without an offset", number);
    if (!r->log->caching || power_cuts == broker_power_cuts())
        truth_learn(r->log, number + 1, offset, power_cuts);
}

/* A later record of its key is in the log, or may be. */
bool truth_replaced_key(const struct truth_record *r)
{
    for (uint32_t i = 0; i < record_count; i++) {
        const struct truth_record *o = &records[i];
        if (o->log == r->log && o->sent.key == r->sent.key && (o->offset < 0 || o->offset > r->offset) &&
            (!o->txn || o->txn->verdict != VERDICT_ABORTED))
            return true;
    }
    return false;
}

/* --- the last stable offset --- */

int64_t truth_stable(const struct truth_log *l)
{
    return !l->caching || l->stable_power_cuts == broker_power_cuts() ? l->stable : 0;
}

void truth_stable_seen(struct truth_log *l, int64_t at_least, int64_t stable, uint32_t power_cuts)
{
    if (l->caching && power_cuts != broker_power_cuts())
        return;
    if (stable < at_least)
        truth_fail(l, "the last stable offset was %" PRId64 ", now it is %" PRId64, at_least, stable);
    if (stable > truth_stable(l) || l->stable_power_cuts != power_cuts)
        l->stable = l->caching || stable > l->stable ? stable : l->stable;
    l->stable_power_cuts = power_cuts;
}

/* --- the start of the log --- */

void truth_start_asked(struct truth_log *l, int64_t start)
{
    l->start_most = start > l->start_most ? start : l->start_most;
}

void truth_start_seen(struct truth_log *l, int64_t at_least, int64_t start)
{
    if (start < at_least)
        truth_fail(l, "the log started at %" PRId64 ", now it starts at %" PRId64, at_least, start);
    if (start > l->start_most && !l->drops)
        truth_fail(l, "the log starts at %" PRId64 ", nobody asked for more than %" PRId64, start, l->start_most);
    l->start = start > l->start ? start : l->start;
}

/* --- groups --- */

/* A group without offsets may be forgotten with the broker: then its generations begin anew. */
void truth_generation(struct truth_group *g, int32_t generation)
{
    bool firm = false;
    for (int32_t i = 0; i < TRUTH_PARTS_MAX; i++)
        firm = firm || truth_offset_floor(g, i);
    g->generation = firm && generation < g->generation ? g->generation : generation;
}

void truth_offset_sent(struct truth_group *g, int32_t part, int64_t offset, struct truth_txn *t)
{
    static uint64_t order;
    struct truth_offset *o = world_alloc(sizeof *o);
    *o = (struct truth_offset){.next = g->parts[part].offsets, .order = ++order, .offset = offset, .txn = t};
    g->parts[part].offsets = o;
    if (g->parts[part].log->caching && t->power_cuts != broker_power_cuts() && offset > g->parts[part].skip_below)
        g->parts[part].skip_below = offset; /* what it consumed is of the time before */
}

int64_t truth_committed_offset(const struct truth_group *g, int32_t part)
{
    const struct truth_offset *o = g->parts[part].offsets;
    while (o && o->txn->verdict != VERDICT_COMMITTED)
        o = o->next;
    return o ? o->offset : 0;
}

uint64_t truth_offset_floor(const struct truth_group *g, int32_t part)
{
    const struct truth_offset *o = g->parts[part].offsets;
    while (o && o->txn->verdict != VERDICT_COMMITTED)
        o = o->next;
    return o ? o->order : 0;
}

void truth_offset_told(struct truth_group *g, int32_t part, uint64_t floor, int64_t offset, bool at_end)
{
    struct truth_offset *found = NULL;
    uint32_t count = 0;
    for (struct truth_offset *o = g->parts[part].offsets; o && o->order >= floor; o = o->next)
        if (o->offset == offset && o->txn->commit_sent && o->txn->verdict != VERDICT_ABORTED) {
            found = o;
            count++;
        }
    world_check(found || (offset == -1 && !floor),
                "%s is told offset %" PRId64
                " of part %d, which no transaction since its last committed one may have committed",
                g->name, offset, part);
    if (count == 1 && !found->txn->verdict)
        truth_is(found->txn, VERDICT_COMMITTED, "its group was told its offset");
    if (at_end)
        g->parts[part].told_at_end = offset;
    sim.totals.fetched_commits++;
}

/* --- the end --- */

static void judge_record(uint32_t number)
{
    const struct truth_record *r = &records[number];
    if (!r->txn || r->txn->verdict != VERDICT_COMMITTED || r->there_at_end)
        return;
    if (r->log->compacts && truth_replaced_key(r))
        return;
    if (r->log->start > 0 && r->offset < r->log->start) /* nobody may have been told where it was */
        return;
    truth_fail(r->log, "record %u (offset %" PRId64 ") of transaction %u of %s, which is committed (%s), is gone",
               number, r->offset, r->txn->number, r->txn->id->name, r->txn->proof);
}

/* Its place was another's before, which was lost and whose consumer was quicker. */
static bool may_be_skipped(const struct truth_group *g, int32_t part, const struct truth_record *r)
{
    return r->log->caching && r->offset < g->parts[part].skip_below && truth_place_at(r->log, r->offset)->replaced;
}

/* What was made may be gone before anybody has read it. */
static bool sinks_were_cut(void)
{
    bool cut = false;
    for (uint32_t i = TRUTH_SINK; i < TRUTH_TABLE; i++)
        cut = cut || logs[i].start > 0;
    return cut;
}

static void judge_input(const struct truth_group *g, int32_t part, uint32_t number)
{
    const struct truth_record *r = &records[number];
    int64_t committed = g->parts[part].told_at_end;
    bool made = r->outputs[g->at] != 0;
    if (!made && sinks_were_cut())
        return;
    if (r->log != g->parts[part].log || !r->shown_at_end)
        return;
    if (made && r->offset >= committed)
        truth_fail(r->log, "%s made an output of record %u at %" PRId64 ", but its offset is %" PRId64, g->name, number,
                   r->offset, committed);
    if (!made && !may_be_skipped(g, part, r))
        truth_fail(r->log, "%s made no output of record %u at %" PRId64 "; its offset is %" PRId64, g->name, number,
                   r->offset, committed);
    sim.totals.skipped += !made;
    sim.totals.chained += made;
}

void truth_judge(void)
{
    for (uint32_t i = 0; i < record_count; i++) {
        judge_record(i);
        for (uint32_t g = 0; g < group_count; g++)
            for (int32_t part = 0; part < TRUTH_PARTS_MAX; part++)
                judge_input(&groups[g], part, i);
    }
}
