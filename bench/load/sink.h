/* A consumer: one connection, one partition, one Fetch in flight. Checks that offsets follow each other. */
#pragma once
#include "bench/load/driver.h"
#include "bench/load/flow.h"

struct sink {
    enum party party; /* first: see driver.h */
    struct driver *driver;
    struct flow flow;
    uint32_t partition, fetch_bytes;
    uint64_t offset;
};
bool sink_open(struct sink *s, struct driver *d, const char *address, uint32_t partition);
void sink_close(struct sink *s);
bool sink_ask(struct sink *s);
void sink_ready(struct sink *s, uint32_t events);
