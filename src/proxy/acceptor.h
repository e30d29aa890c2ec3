/* proxy/acceptor.h: the listening sockets of a tunnel, and which carrier gets what comes. Layer: proxy. */
#ifndef PROXY_ACCEPTOR_H
#define PROXY_ACCEPTOR_H

#include "net/listen.h"
#include "proxy/carrier.h"

struct acceptor_options {
    struct event_base *base;
    struct tunnel *tunnel;
    struct carrier *carriers; /* the one with the fewest handshakes gets the next connection */
    size_t carriers_len;
    struct listen_handed *handed; /* sockets that are there already; or NULL */
};
TT_MUST_USE tt_rc acceptor_open(struct acceptor **ret, const struct acceptor_options *opt,
                                struct tt_error *err);
/* acceptor_serve: what comes from now on is another tunnel's. */
void acceptor_serve(struct acceptor *a, struct tunnel *t);
/* acceptor_listeners: to be looked at. */
struct listeners *acceptor_listeners(struct acceptor *a);
/* acceptor_stop: the sockets are closed: nobody new. NULL is fine. */
void acceptor_stop(struct acceptor *a);
void acceptor_free(struct acceptor *a); /* NULL is fine */

#endif
