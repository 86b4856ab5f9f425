#include "tests/sim/assignment.h"
#include "tests/sim/peer.h"
#include <stdio.h>

enum { ROOM_BYTES = 1024, TOPIC_COUNT_AT = 2, NO_USER_DATA = -1 };

struct assignment_writer assignment_begin(void)
{
    uint8_t *at = world_alloc(ROOM_BYTES);
    struct assignment_writer a = {.w = kwriter_of(at, ROOM_BYTES), .at = at};
    kwrite_int16(&a.w, 0); /* version */
    kwrite_int32(&a.w, 0); /* topics, told at the end */
    return a;
}

/* A topic may stand there several times, with one partition each. */
void assignment_add(struct assignment_writer *a, const char *topic, int32_t partition)
{
    kwrite_string16(&a->w, view_of(topic), false);
    kwrite_int32(&a->w, 1);
    kwrite_int32(&a->w, partition);
    a->topics++;
}

struct kview assignment_end(struct assignment_writer *a)
{
    kwrite_int32(&a->w, NO_USER_DATA);
    kwrite_int32_at(&a->w, TOPIC_COUNT_AT, a->topics);
    assert(kwriter_good(&a->w));
    return (struct kview){a->at, (int32_t)kwriter_bytes(&a->w)};
}

struct assignment_cursor assignment_open(struct kview bytes)
{
    struct assignment_cursor c = {.r = kreader_of(bytes, 0, NULL)};
    if (bytes.n == 0) /* nobody assigned anything */
        return c;
    c.bad = kread_int16(&c.r) != 0;
    c.left = kread_int32(&c.r);
    return c;
}

bool assignment_next(struct assignment_cursor *c, const char **out_topic, int32_t *out_partition)
{
    if (c->bad || c->left == 0)
        return false;
    c->left--;
    struct kview topic = kread_string16(&c->r, false);
    int32_t one = kread_int32(&c->r);
    *out_partition = kread_int32(&c->r);
    snprintf(c->topic, sizeof c->topic, "%.*s", topic.n, (const char *)topic.at);
    *out_topic = c->topic;
    c->bad = c->r.bad || one != 1;
    return !c->bad;
}

struct kview assignment_subscription(void)
{
    struct assignment_writer a = assignment_begin();
    for (uint32_t i = 0; i < topics_count(); i++) {
        kwrite_string16(&a.w, view_of(topics_at(i)->name), false);
        a.topics++;
    }
    return assignment_end(&a);
}

bool assignment_is_subscription(struct kview bytes)
{
    struct kview mine = assignment_subscription();
    return bytes.n == mine.n && memcmp(bytes.at, mine.at, (size_t)mine.n) == 0;
}
