/* net/dial.h: from "HOST:PORT" to a stream. Layer: net. */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/address.h"
#include "net/starttls.h"
#include "net/stream.h"

#define DIAL_TIMEOUT_S 30

struct dial;

struct dial_options {
    struct stream_options stream; /* base, config, ...; peer is filled in here; server_name NULL = the host */
    enum starttls_kind starttls;  /* what is said before TLS */
    unsigned
        connect_timeout_s; /* for all addresses together, and what is said before TLS; 0 = DIAL_TIMEOUT_S */
    /* The socket is open and the handshake begins; the stream is owned by the callee from here on. */
    void (*opened)(void *arg, struct stream *s);
    /* The name is unknown, or no address could be reached. Exactly one of opened and failed is called, from
     * the loop. */
    void (*failed)(void *arg, const struct tt_error *error);
    void *arg;
};

/* dial_start: look the host up and connect by Happy Eyeballs (net/reach.h); nothing blocks. */
TT_MUST_USE tt_rc dial_start(struct dial **ret, const struct address *to, const struct dial_options *opt,
                             struct tt_error *err);
/* dial_free: stops trying; a stream that was handed over is not touched. NULL is fine. */
void dial_free(struct dial *c);

#endif
