/* Addresses as Kafka writes them: PLAINTEXT://localhost:9092, INSIDE://[::1]:0, a list of them separated by commas. */
#pragma once
#include "core/base.h"

enum { LISTENERS_MAX = 8, HOST_MAX = 254, LISTENER_FAULT_BYTES = 256 };

struct listener {
    char name[32];       /* "PLAINTEXT" */
    char host[HOST_MAX]; /* "" : all interfaces; without brackets */
    uint16_t port;
};

struct listeners {
    struct listener v[LISTENERS_MAX];
    uint32_t count;
};
/* At least one, no name twice. False: fault[LISTENER_FAULT_BYTES] says why, a whole sentence without its full stop. */
bool listeners_parse(const char *list, struct listeners *out, char *fault) must_use;
/* What a listener of this name speaks by listener.security.protocol.map ("INSIDE:PLAINTEXT,..."), else its own name.
 * Writes at most 32 bytes. */
void listener_protocol(const char *map, const char *name, char out_protocol[32]);
