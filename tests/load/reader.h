/* A consumer beside the producers: fetches every partition from where the topic began (or ends now), checks each batch
 * and writes down what it saw. Whatever it has seen must never vanish or change. One fetch is in flight at a time. */
#pragma once
#include "tests/load/history.h"
#include "tests/load/link.h"
#include "tests/load/proto.h"

struct reader {
    struct link link;
    const char *address, *topic; /* lent by the run */
    struct history *history;     /* lent by the run */
    struct proto_fetch_part next[PROTO_PARTS_MAX];
    uint32_t partitions;
    int32_t epoch[PROTO_PARTS_MAX]; /* of the last batch read */
    bool busy;
    char fault[160]; /* "": none */
};

bool reader_open(struct reader *r, uint32_t partitions); /* positions itself at each partition's end */
void reader_ask(struct reader *r);                       /* queues the next fetch, if none is in flight */
void reader_take(struct reader *r);                      /* handles the replies that have arrived */
