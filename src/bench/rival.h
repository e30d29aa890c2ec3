/* bench/rival.h: other TLS implementations, both ends in memory and set up to do what our ends do: TLS 1.3,
 * X25519, P-256 certificates of one link on both sides, one suite. Layer: bench. */
#ifndef BENCH_RIVAL_H
#define BENCH_RIVAL_H

#include <stdbool.h>

#include "bench/identity.h"

/* struct rival: all functions end the program when they fail. `ends` is what a process makes once, `pair` one
 * connection. */
struct rival {
    const char *key;  /* in the JSON */
    const char *name; /* in the table */
    void *(*ends_make)(const struct identities *ids, uint16_t suite);
    void *(*ends_make_hybrid)(const struct identities *ids,
                              uint16_t suite); /* with X25519MLKEM768; NULL: it has none here */
    /* with Encrypted Client Hello: the text of RFC 9934, for both ends; NULL: it has none here */
    void *(*ends_make_ech)(const struct identities *ids, uint16_t suite, struct tt_bytes pem);
    void (*ends_free)(void *ends);
    /* pair_connect: a full handshake without tickets, or a resumed one. turn(0) and turn(1) are called before
     * each step of the client and of the server. */
    void *(*pair_connect)(void *ends, bool resumed, void (*turn)(int end));
    void (*pair_free)(void *pair);
    /* pair_send: `times` writes of n bytes by the client, then as many reads by the server, into scratch. */
    void (*pair_send)(void *pair, const void *data, size_t n, size_t times, void *scratch);
};

/* rivals: those that this build has, ended by NULL: each needs its library at build time. */
extern const struct rival *const rivals[];
extern const struct rival rival_libssl, rival_gnutls, rival_rustls;

#endif
