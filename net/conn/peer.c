/* Who the peer of a connection is. */
#include "net/conn/conn.h"
#include <stdio.h>

void conn_name_peer(struct conn *c)
{
    if (io_socket_names(c->stream.file.fd, &c->names) != ERR_NONE)
        memset(&c->names, 0, sizeof c->names); /* it is gone already, and the first receive will say so */
    bool six = strchr(c->names.peer, ':');
    snprintf(c->peer, sizeof c->peer, "%s%s%s:%u", six ? "[" : "", c->names.peer, six ? "]" : "", c->names.peer_port);
}
