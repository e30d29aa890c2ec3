/* tests/fuzz/engine.h: what the fuzz targets of the TLS engine share. Tests only.
 *
 * Everything is deterministic: each end has a random stream of its own, libcrypto's generator is replaced,
 * keys and certificates are made from fixed seeds, the time stands still. The same input takes the same path
 * in every process, and a flight captured by gen_corpus is accepted by a connection that replays it. */
#ifndef FUZZ_ENGINE_H
#define FUZZ_ENGINE_H

#include <stdlib.h>

#include "fuzz.h"
#include "support/testpki.h"
#include "tls/hs.h"

/* Options of a connection, 16 bits in the inputs. The suite: FZ_SUITE(0) default, 1 AES-128, 2 AES-256,
 * 3 ChaCha20. */
enum {
    FZ_ANY = 1,    /* accept any certificate */
    FZ_ALPN = 2,   /* both: offer or take "h2" and "mqtt" */
    FZ_BARE = 4,   /* client: no compatibility mode; server: no client authentication */
    FZ_GROUP = 8,  /* client: shares for X25519 and P-256; server: P-384 only, so that it asks for a retry */
    FZ_SOLO = 16,  /* client: no certificate of its own; server: a client without one is let in */
    FZ_RETRY = 32, /* server: always a cookie */
    /* 64 and 128: FZ_SUITE */
    FZ_RESUME = 256, /* client: offer the ticket of an earlier connection; server: issue and accept tickets */
    FZ_EARLY = 512,  /* client: with 0-RTT data; server: take it */
    FZ_EXTERNAL = 1024, /* client: offer an external PSK; server: accept it */
    FZ_FEATURES = 2048, /* OCSP, SCTs, record_size_limit, padding; without FZ_BARE compressed certificates */
    FZ_DELEGATE = 4096, /* accept delegated credentials, and use one */
    FZ_BOTH = 8192,     /* client: certificate and external PSK together (not with AES-256 alone) */
    FZ_POST = 16384     /* client: offers to authenticate after the handshake; server: may ask it to */
};
#define FZ_SUITE(n) ((n) << 6)

/* struct fz_input: what is left of the fuzzer's bytes. Reading beyond the end gives zeros. */
struct fz_input {
    const uint8_t *at;
    size_t left;
};
uint8_t fz_u8(struct fz_input *in);
uint16_t fz_u16(struct fz_input *in);
struct tt_bytes fz_bytes(struct fz_input *in, size_t n); /* at most n */

/* fz_begin: the start of each input: the random streams begin anew. */
void fz_begin(void);

/* fz_prepare: make what connections with these options need (a configuration, a ticket from a whole
 * handshake), once; fz_conn does it too. For targets that step in between the parts of the engine and must
 * not see that handshake. */
void fz_prepare(enum tt_role role, unsigned options);

/* fz_conn: a new connection. */
struct tt_conn *fz_conn(enum tt_role role, unsigned options);

/* fz_sign: answer an open signature request; false when there is none. */
bool fz_sign(struct tt_conn *c);

/* fz_feed_all: give bytes to a connection in pieces of `split` (0: whole), signing and reading on the way, to
 * the end or to an error. Each piece is a block of its own, so that ASan sees every step beyond it. */
void fz_feed_all(struct tt_conn *c, struct tt_bytes bytes, size_t split);

/* fz_check_sane: what holds of any connection at any time. */
void fz_check_sane(struct tt_conn *c);

/* struct fz_pair: our client and our server. */
struct fz_pair {
    struct tt_conn *client, *server;
};
void fz_pair_new(struct fz_pair *p, unsigned client_options, unsigned server_options);
void fz_pair_run(struct fz_pair *p); /* until nothing moves */
bool fz_pair_connected(const struct fz_pair *p);
/* fz_pair_check: both are connected: with the same secrets, the same view of the handshake, and the same data
 * both ways. */
void fz_pair_check(struct fz_pair *p);
void fz_pair_free(struct fz_pair *p);

/* fz_tap: when set, sees all bytes that fz_pair_run moves; returns the one before. */
typedef void (*fz_tap_fn)(enum tt_role from, struct tt_bytes bytes);
fz_tap_fn fz_tap(fz_tap_fn fn);

const struct test_key *fz_key(enum tt_role role);
const struct test_key *fz_delegating_key(enum tt_role role); /* of FZ_DELEGATE */
const struct test_key *fz_ca(void);

#endif
