/* See txn_merge.h. */
#include "net/txn/txn_merge.h"

/* --- sorting --- */

static uint32_t run_end(const struct txn_sort *s, uint32_t start)
{
    return s->count - start < s->width ? s->count : start + s->width;
}

/* The next two runs begin where the last two ended. */
static void begin_run_pair(struct txn_sort *s)
{
    s->left = s->out;
    s->middle = s->right = run_end(s, s->left);
    s->end = run_end(s, s->right);
}

static enum txn_work copy_for_sorting(struct txn_sort *s)
{
    size_t bytes = (size_t)s->count * sizeof *s->from;
    s->from = heap_alloc(s->heap, bytes);
    s->into = heap_alloc(s->heap, bytes);
    if (!s->from || !s->into)
        return TXN_WORK_NO_MEMORY;
    memcpy(s->from, s->given, bytes);
    s->width = 1;
    begin_run_pair(s);
    return TXN_WORK_MORE;
}

void txn_sort_begin(struct txn_sort *s, struct heap *heap, const struct txn_partition *given, uint32_t count)
{
    *s = (struct txn_sort){.heap = heap, .given = given, .count = count, .looked = count > 0};
}

/* DONE: all of them are in order. */
static enum txn_work look_for_disorder(struct txn_sort *s, uint32_t *items)
{
    for (; s->looked < s->count; s->looked++, --*items) {
        if (*items == 0)
            return TXN_WORK_MORE;
        if (txn_partition_compare(&s->given[s->looked - 1], &s->given[s->looked]) > 0)
            return copy_for_sorting(s);
    }
    return TXN_WORK_DONE;
}

static void merge_next_of_runs(struct txn_sort *s)
{
    const struct txn_partition *from = s->from;
    bool takes_left =
        s->left < s->middle && (s->right == s->end || txn_partition_compare(&from[s->left], &from[s->right]) <= 0);
    s->into[s->out++] = from[takes_left ? s->left++ : s->right++];
    if (s->out == s->end)
        begin_run_pair(s);
}

static void begin_wider_runs(struct txn_sort *s)
{
    struct txn_partition *from = s->from;
    s->from = s->into;
    s->into = from;
    s->width *= 2;
    s->out = 0;
    begin_run_pair(s);
}

enum txn_work txn_sort_some(struct txn_sort *s, uint32_t *items)
{
    enum txn_work looked = s->from ? TXN_WORK_MORE : look_for_disorder(s, items);
    if (!s->from || looked != TXN_WORK_MORE)
        return looked;
    for (; s->width < s->count; --*items) {
        if (*items == 0)
            return TXN_WORK_MORE;
        merge_next_of_runs(s);
        if (s->out == s->count)
            begin_wider_runs(s);
    }
    return TXN_WORK_DONE;
}

void txn_sort_end(struct txn_sort *s)
{
    heap_free(s->heap, s->from);
    heap_free(s->heap, s->into);
    s->from = s->into = NULL;
}

/* --- merging with what is there --- */

static void next_old_part(struct txn_merge *m)
{
    m->more = txn_parts_next(m->set, &m->topic, &m->in_topic, &m->old);
}

void txn_merge_begin(struct txn_merge *m, const struct txn_parts *set, const struct txn_partition *added,
                     uint32_t count, struct txn_parts *to)
{
    assert(to->count == 0);
    *m = (struct txn_merge){.set = set, .to = to};
    txn_sort_begin(&m->sort, to->heap, added, count);
    next_old_part(m);
}

enum txn_work txn_merge_some(struct txn_merge *m, uint32_t *items)
{
    enum txn_work sorted = m->sorted ? TXN_WORK_DONE : txn_sort_some(&m->sort, items);
    if (sorted != TXN_WORK_DONE)
        return sorted;
    m->sorted = true;
    const struct txn_partition *v = txn_sort_sorted(&m->sort);
    for (; m->more || m->at < m->sort.count; --*items) {
        if (*items == 0)
            return TXN_WORK_MORE;
        bool old = m->more && (m->at == m->sort.count || txn_partition_compare(&m->old, &v[m->at]) <= 0);
        const struct txn_partition *next = old ? &m->old : &v[m->at++];
        if (txn_parts_append(m->to, next->topic, next->partition))
            return TXN_WORK_NO_MEMORY;
        if (old)
            next_old_part(m);
    }
    return TXN_WORK_DONE;
}

void txn_merge_end(struct txn_merge *m)
{
    txn_sort_end(&m->sort);
}

enum err txn_merge_all(const struct txn_parts *set, const struct txn_partition *added, uint32_t count,
                       struct txn_parts *to)
{
    struct txn_merge m;
    uint32_t items = UINT32_MAX;
    txn_merge_begin(&m, set, added, count, to);
    enum txn_work done = txn_merge_some(&m, &items);
    txn_merge_end(&m);
    if (done == TXN_WORK_DONE)
        return ERR_NONE;
    txn_parts_deinit(to);
    return ERR_NO_MEMORY;
}
