/* What consumers put into JoinGroup and SyncGroup, bytes that mean nothing to a broker (ConsumerProtocolSubscription and
 * ConsumerProtocolAssignment, version 0). */
#pragma once
#include "net/wire/wire.h"

struct assignment_writer {
    struct kwriter w;
    int32_t topics;
    uint8_t *at;
};
/* Each in memory of its own until the end of the seed. */
struct assignment_writer assignment_begin(void);
void assignment_add(struct assignment_writer *a, const char *topic, int32_t partition);
struct kview assignment_end(struct assignment_writer *a);

struct assignment_cursor {
    struct kreader r;
    int32_t left;
    char topic[32];
    bool bad;
};
struct assignment_cursor assignment_open(struct kview bytes);
bool assignment_next(struct assignment_cursor *c, const char **out_topic, int32_t *out_partition);

/* Of all topics of this world. */
struct kview assignment_subscription(void);
bool assignment_is_subscription(struct kview bytes);
