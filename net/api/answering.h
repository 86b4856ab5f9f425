/* A request whose parts are answered one by one without waiting for anybody (ElectLeaders, CreateAcls ...), in steps, however many it names:
 * rows (topics, filters), each with its items (partitions) or without.
 *
 *   answering_begin --> [row, for each] --> begin, then answer for each of its items --> reply */
#pragma once
#include "net/api/api.h"

struct answering;
struct answering_kind {
    int32_t (*begin)(struct answering *run); /* run->row: makes room for its items, which it counts; -1: no memory */
    void (*answer)(struct answering *run);   /* run->item of it; NULL where rows have none */
    void (*reply)(struct answering *run);    /* ends the request */
};
struct answering {
    struct request *req;
    const struct answering_kind *kind;
    int32_t rows, row; /* how many, and where it stands */
    int32_t items, item;
    struct steps steps;
};
void answering_begin(struct answering *run, struct request *req, const struct answering_kind *kind, int32_t rows);
