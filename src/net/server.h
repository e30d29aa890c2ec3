/* net/server.h: a listening socket that makes streams. Layer: net. A peer that fails never stops it. */
#ifndef NET_SERVER_H
#define NET_SERVER_H

#include "net/address.h"
#include "net/stream.h"

#define SERVER_DEFAULT_CONNECTIONS 1024

struct server;

struct server_options {
    struct stream_options stream; /* base, config, signer, timeouts; handlers and arg are set in `accepted` */
    size_t
        max_connections; /* at once; 0 = SERVER_DEFAULT_CONNECTIONS; above it, new ones wait in the kernel */
    size_t accept_limit; /* stop listening after so many; 0 = never */
    /* A peer has connected: fill in opt->handlers and opt->arg. NULL from it drops the connection; otherwise
     * what it returns is given to `opened` with the stream (or with NULL when there could be none). */
    void *(*accepted)(void *arg, struct stream_options *opt, const char *peer);
    void (*opened)(void *arg, void *session, struct stream *s);
    void (*failed)(void *arg, const struct tt_error *error); /* accepting failed; it goes on */
    void (*finished)(void *arg); /* no longer listening, and all connections were released */
    void *arg;
};

/* server_listen: bind and listen on the first address of `at` that can be had (port 0: the kernel chooses).
 * Accepting begins with the loop. */
TT_MUST_USE tt_rc server_listen(struct server **ret, const struct address *at,
                                const struct server_options *opt, struct tt_error *err);
/* server_address: "127.0.0.1:40961". */
const char *server_address(const struct server *srv);
/* server_use: from the next connection on; those that are there keep theirs. */
void server_use(struct server *srv, struct tt_config *config);
/* server_release: a connection is gone (its stream was freed). */
void server_release(struct server *srv);
size_t server_connections(const struct server *srv);
/* server_stop: stop listening. `finished` follows from the loop when all connections are released. */
void server_stop(struct server *srv);
void server_free(struct server *srv);

#endif
