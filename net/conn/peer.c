/* Who the peer of a connection is, and at which address it can reach us. */
#include "net/conn/conn.h"
#include <stdio.h>

void conn_name_peer(struct conn *c)
{
    if (io_socket_names(c->stream.file.fd, &c->names) != ERR_NONE)
        memset(&c->names, 0, sizeof c->names); /* it is gone already, and the first receive will say so */
    bool six = strchr(c->names.peer, ':');
    snprintf(c->peer, sizeof c->peer, "%s%s%s:%u", six ? "[" : "", c->names.peer, six ? "]" : "", c->names.peer_port);
}

static const struct listener *advertised_listener(const struct conn *c)
{
    const struct broker_config *config = conns_config(c->conns);
    for (uint32_t i = 0; i < config->advertised_count; i++)
        if (strcmp(config->advertised[i].name, c->listener->name) == 0)
            return &config->advertised[i];
    return NULL;
}

/* Neither all interfaces nor a numeric address. */
static bool is_host_name(const char *host)
{
    bool letter = false;
    for (const char *at = host; *at; at++)
        letter |= (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');
    return letter && !strchr(host, ':');
}

/* A listener's name stands for the addresses that it was bound to, so whoever is connected came over one of them. */
static const char *reached_host(const struct conn *c)
{
    return is_host_name(c->listener->host) ? c->listener->host : c->names.local;
}

void conn_address(const struct conn *c, struct kview *out_host, int32_t *out_port)
{
    const struct listener *l = advertised_listener(c);
    const char *host = l ? l->host : reached_host(c);
    *out_host = (struct kview){(const uint8_t *)host, (int32_t)strlen(host)};
    *out_port = l ? l->port : c->names.local_port;
}
