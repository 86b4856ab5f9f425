/* See reply.h. */
#include "net/api/reply.h"
#include <stdio.h>

struct kview view_of(const char *text)
{
    return text ? (struct kview){(const uint8_t *)text, (int32_t)strlen(text)} : (struct kview){NULL, -1};
}

char *request_text(struct request *req, struct kview v)
{
    if (v.n < 0)
        return NULL;
    char *text = request_alloc(req, (size_t)v.n + 1);
    if (!text)
        return NULL;
    memcpy(text, v.at, (size_t)v.n);
    text[v.n] = 0;
    return text;
}

bool view_is(struct kview v, const char *text)
{
    return v.n >= 0 && (size_t)v.n == strlen(text) && memcmp(v.at, text, (size_t)v.n) == 0;
}

char *request_vsay(struct request *req, size_t bytes, const char *fmt, va_list args)
{
    char *text = request_alloc(req, bytes);
    if (text)
        vsnprintf(text, bytes, fmt, args);
    return text;
}

char *request_say(struct request *req, size_t bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = request_vsay(req, bytes, fmt, args);
    va_end(args);
    return text;
}

bool is_reserved_topic(struct kview name)
{
    return view_is(name, "__cluster_metadata");
}

enum kerr error_by_name(enum kerr error)
{
    return error == KERR_UNKNOWN_TOPIC_ID ? KERR_UNKNOWN_TOPIC_OR_PARTITION : error;
}

static enum kerr check_leader_epoch(int32_t asked, int32_t current)
{
    if (asked < 0 || asked == current)
        return KERR_NONE;
    return asked < current ? KERR_FENCED_LEADER_EPOCH : KERR_UNKNOWN_LEADER_EPOCH;
}

enum kerr partition_check_asked(const struct partition *p, int32_t leader_epoch, enum kerr not_recovered,
                                struct partition_facts *out_facts)
{
    if (!p)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    *out_facts = partition_facts(p);
    if (out_facts->offline)
        return KERR_KAFKA_STORAGE_ERROR;
    enum kerr error = check_leader_epoch(leader_epoch, out_facts->leader_epoch);
    return !error && out_facts->recovering ? not_recovered : error;
}

const char no_memory[] = "there is no memory for its request";

const char topic_name_rule[] =
    "A topic name has 1 to 249 characters of [a-zA-Z0-9._-] and is neither \".\" nor \"..\".";

void duplicates_begin(struct duplicates *d, struct request *req, const struct kview *names, int32_t count)
{
    *d = (struct duplicates){.req = req, .names = names, .count = count};
    map_init(&d->seen, req->server->shard->heap);
    d->marks = names || count == 0 ? request_zalloc(req, (size_t)count * sizeof *d->marks + 1) : NULL;
}

/* False: no memory. */
static bool mark_next_name(struct duplicates *d)
{
    const struct kview *name = &d->names[d->at];
    uint8_t *mark = &d->marks[d->at++], *first = map_get(&d->seen, name->at, (size_t)name->n);
    if (!first)
        return !map_put(&d->seen, name->at, (size_t)name->n, mark);
    *first = DUPLICATE_FIRST;
    *mark = DUPLICATE_LATER;
    return true;
}

bool duplicates_next(struct duplicates *d)
{
    bool good = d->marks;
    if (good && d->at < d->count) {
        good = mark_next_name(d);
        if (good)
            return true;
    }
    map_deinit(&d->seen);
    d->of = good ? d->marks : NULL;
    return false;
}

static bool duplicates_step(struct steps *s)
{
    struct duplicates *d = container_of(s, struct duplicates, steps);
    for (; steps_go_on(s); steps_spend(s, 1)) {
        if (duplicates_next(d))
            continue;
        d->found(d);
        return false;
    }
    return true;
}

void duplicates_find(struct duplicates *d, struct request *req, const struct kview *names, int32_t count,
                     void (*found)(struct duplicates *d))
{
    duplicates_begin(d, req, names, count);
    d->found = found;
    steps_start(&req->server->steps, &d->steps, duplicates_step);
}

const struct topic *topic_named(const struct request *req, struct kview name)
{
    return catalog_by_name(server_catalog(req->server), name.at, (size_t)name.n);
}

const struct topic *topic_asked(const struct request *req, bool by_id, struct kview name, struct kuuid id)
{
    return by_id ? catalog_by_id(server_catalog(req->server), id.b) : topic_named(req, name);
}

const struct topic *topic_after(const struct request *req, struct kview last)
{
    const struct catalog *c = server_catalog(req->server);
    uint32_t at = last.n < 0 ? 0 : catalog_lower_bound(c, last.at, (size_t)last.n);
    if (at < c->count && view_is(last, c->sorted[at]->name))
        at++;
    return at < c->count ? c->sorted[at] : NULL;
}
