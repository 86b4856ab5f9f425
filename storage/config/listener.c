/* Addresses of listeners (listener.h). */
#include "storage/config/listener.h"
#include "storage/config/config_value.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Copies a piece of text; false when it does not fit. */
static bool take_listener_piece(char *out, size_t room, const char *at, size_t bytes)
{
    assert(out && room > 0);
    if (bytes >= room)
        return false;
    memcpy(out, at, bytes);
    out[bytes] = 0;
    return true;
}

/* Names know no case: Kafka makes them upper case. */
static bool read_listener_name(struct listener *l, const char *at, size_t bytes)
{
    if (bytes == 0 || !take_listener_piece(l->name, sizeof l->name, at, bytes))
        return false;
    for (char *c = l->name; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("_-.", *c))
            return false;
        *c = (char)toupper((unsigned char)*c);
    }
    return true;
}

static bool read_listener_host(struct listener *l, const char *at, size_t bytes)
{
    assert(l && at);
    bool brackets = bytes >= 2 && at[0] == '[' && at[bytes - 1] == ']';
    if (brackets) {
        at++;
        bytes -= 2;
    }
    if (!take_listener_piece(l->host, sizeof l->host, at, bytes))
        return false;
    for (const char *c = l->host; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-._%:", *c))
            return false;
    return true;
}

static bool read_listener_port(struct listener *l, const char *at, size_t bytes)
{
    assert(l && at);
    uint32_t port = 0;
    if (bytes == 0 || bytes > 5)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(at[i] - '0');
    }
    l->port = (uint16_t)port;
    return port <= UINT16_MAX;
}

/* NAME://HOST:PORT; the host may be empty. */
static bool read_listener(const char *at, size_t bytes, struct listener *out)
{
    assert(at && out);
    char text[512];
    if (!take_listener_piece(text, sizeof text, at, bytes))
        return false;
    const char *slashes = strstr(text, "://");
    const char *colon = strrchr(text, ':');
    if (!slashes || colon <= slashes + 2 || colon < slashes + 3)
        return false;
    const char *host = slashes + 3;
    return read_listener_name(out, text, (size_t)(slashes - text)) &&
           read_listener_host(out, host, (size_t)(colon - host)) &&
           read_listener_port(out, colon + 1, strlen(colon + 1));
}

static bool is_listener_name_known(const struct listeners *ls, const char *name)
{
    assert(ls->count <= LISTENERS_MAX);
    for (uint32_t i = 0; i < ls->count; i++)
        if (strcmp(ls->v[i].name, name) == 0)
            return true;
    return false;
}

bool listeners_parse(const char *list, struct listeners *out, char *fault)
{
    assert(list && out && fault);
    const char *item;
    size_t bytes;
    *out = (struct listeners){0};
    for (const char *at = config_list_start(list); config_list_next(&at, &item, &bytes); out->count++) {
        struct listener *l = &out->v[out->count];
        if (out->count == LISTENERS_MAX) {
            snprintf(fault, LISTENER_FAULT_BYTES, "there may be at most %d listeners", LISTENERS_MAX);
            return false;
        }
        if (!read_listener(item, bytes, l)) {
            snprintf(fault, LISTENER_FAULT_BYTES, "\"%.*s\" is no address; write it like PLAINTEXT://localhost:9092",
                     (int)(bytes > 80 ? 80 : bytes), item);
            return false;
        }
        if (is_listener_name_known(out, l->name)) {
            snprintf(fault, LISTENER_FAULT_BYTES, "there are two listeners with the name %s; give each its own",
                     l->name);
            return false;
        }
    }
    if (out->count == 0)
        snprintf(fault, LISTENER_FAULT_BYTES, "it names no listener; write for example PLAINTEXT://localhost:9092");
    return out->count > 0;
}

void listener_protocol(const char *map, const char *name, char out_protocol[32])
{
    const char *item;
    size_t bytes, want = strlen(name);
    assert(want < 32);
    memcpy(out_protocol, name, want + 1);
    for (const char *at = config_list_start(map); config_list_next(&at, &item, &bytes);) {
        const char *colon = memchr(item, ':', bytes);
        if (!colon || (size_t)(colon - item) != want || strncasecmp(item, name, want) != 0)
            continue;
        size_t left = bytes - want - 1;
        if (!take_listener_piece(out_protocol, 32, colon + 1, left))
            memcpy(out_protocol, "?", 2);
    }
}
