/* bench/ends.h: our client and our server in memory. Layer: bench. */
#ifndef BENCH_ENDS_H
#define BENCH_ENDS_H

#include "bench/identity.h"
#include "tpmtls/tls.h"

/* struct ends: both configurations, mutual authentication, one suite, X25519. */
struct ends {
    struct tt_config *client_cfg, *server_cfg;
    int64_t now;
};
void ends_make(struct ends *e, const struct identities *ids, uint16_t suite);
void ends_free(struct ends *e);

/* struct pair: one connection. */
struct pair {
    struct tt_conn *client, *server;
};
/* pair_connect: a full handshake. turn(0) and turn(1) are called before each step of the client and of the
 * server, when turn is not NULL. */
void pair_connect(struct pair *p, const struct ends *e, void (*turn)(int end));
void pair_free(struct pair *p);

#endif
