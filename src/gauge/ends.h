/* gauge/ends.h: the two ends of a handshake in this process: a CA and certificates in memory, our client and
 * our server. Layer: gauge. */
#ifndef GAUGE_ENDS_H
#define GAUGE_ENDS_H

#include "base/mem.h"
#include "gauge/peer.h"
#include "tpmtls/tls.h"

/* struct world: what all handshakes share. */
struct world {
    struct tt_key *ca, *server;
    struct tt_bytes ca_cert, server_cert; /* owned */
    struct tt_trust *trust;               /* of both ends */
    struct tt_tickets *tickets;
    struct tt_config *server_cfg;
    struct peer *peer; /* where the server works while the client's TPM does */
};
TT_MUST_USE tt_rc world_make(struct world *ret, struct tt_error *err);
void world_free(struct world *w);

/* client_certify: a certificate for a client's key, to be freed with certificate_free. client_make: its
 * configuration; the key must live as long. */
TT_MUST_USE tt_rc client_certify(struct tt_bytes *ret, const struct world *w, struct tt_key *key,
                                 struct tt_error *err);
TT_MUST_USE tt_rc client_make(struct tt_config **ret, const struct world *w, struct tt_key *key,
                              struct tt_bytes cert, struct tt_error *err);
void certificate_free(struct tt_bytes *der);
/* software_key: of this type: p256 or rsa2048. */
TT_MUST_USE tt_rc software_key(struct tt_key **ret, enum tt_key_type type, struct tt_error *err);

/* struct handshake: how one is to be, and what came of it. */
struct handshake {
    struct tt_config *client;
    struct tt_session *session; /* offered, or NULL */
    bool alone;                 /* the server does not work while the client's signature is made */
    double pause_us;            /* sleep this long before that */
    bool take_session;
    struct tt_session *taken; /* the caller's */
    double paused_us;         /* how long that really was */
};
/* handshake_run: from the first byte to both ends being connected. Without a session both ends judge the
 * other's chain anew, as those that have just started. TT_ERR_INTERNAL when the session is not taken up. */
TT_MUST_USE tt_rc handshake_run(struct handshake *h, const struct world *w, struct tt_error *err);

#endif
