/* proxy/tunnel.h: what all connections of a tunnel share, and what is counted of them. Layer: proxy. */
#ifndef PROXY_TUNNEL_H
#define PROXY_TUNNEL_H

#include <jansson.h>

#include "base/lock.h"
#include "net/delegate.h"
#include "net/burst.h"
#include "proxy/proxy.h"

/* enum refusal: why a connection did not come to be; the words are those of the metrics. */
enum refusal {
    REFUSED_PLAINTEXT_TARGET, /* server: the target cannot be reached */
    REFUSED_TLS_TARGET,       /* client: the same */
    REFUSED_TIMEOUT,
    REFUSED_HANDSHAKE,   /* TLS failed: the peer's fault, or ours */
    REFUSED_TPM,         /* no signature, or not in time */
    REFUSED_RULE,        /* the peer is known and may not pass */
    REFUSED_ATTESTATION, /* nothing shows that the client's TPM is at its end; of a client: it was refused */
    REFUSED_LIMIT,       /* too many connections */
    REFUSALS
};
const char *refusal_name(enum refusal why);

#define HISTOGRAM_BUCKETS 12
struct histogram {
    atomic_ullong bucket[HISTOGRAM_BUCKETS + 1]; /* the last one: what is longer */
    atomic_ullong sum_us;
};
/* histogram_bound_s: the upper end of a bucket. */
double histogram_bound_s(size_t bucket);
void histogram_add(struct histogram *h, uint64_t ns);

struct counters {
    atomic_ullong accepted, refused[REFUSALS];
    atomic_ullong full, resumed, delegated; /* handshakes */
    atomic_ullong to_peer, from_peer;       /* bytes of plaintext, of connections that ended */
    atomic_ullong kernel;                   /* connections whose records the kernel has */
    atomic_ullong sessions_kept, sessions_lost, waited_for_tickets;
    atomic_llong open;
    struct histogram handshake, sign_wait, sign;
};

struct acceptor;

struct tunnel {
    struct tunnel *next;
    struct tunnel_options opt;
    struct acceptor *acceptor;
    uint64_t empty_since_ns; /* of one that has left: since nobody is in it; 0: somebody is */
    struct counters counters;
    struct burst *burst; /* client */
    struct delegator *delegator;

    struct lock lock;
    struct tunnel_setup *setup;
    int64_t reloaded_at;                                     /* seconds since 1970 */
    char reload_error[sizeof(((struct tt_error *)0)->text)]; /* of the last reload; empty: it went well */
};

/* tunnel_setup_get: the one in force; tunnel_setup_drop gives it back, and hands one that nobody holds to
 * `retire`. */
struct tunnel_setup *tunnel_setup_get(struct tunnel *t);
/* tunnel_setup_drop: true when that was the last holder: it has to be unmade. */
bool tunnel_setup_drop(struct tunnel_setup *s);
/* tunnel_install: a new setup is in force; returns the former. */
struct tunnel_setup *tunnel_install(struct tunnel *t, struct tunnel_setup *setup, int64_t now_s);
/* tunnel_reload_failed: the one in force stays. */
void tunnel_reload_failed(struct tunnel *t, const struct tt_error *why);

/* tunnel_status: what /_status says of it. */
json_t *tunnel_status(struct tunnel *t);

#endif
