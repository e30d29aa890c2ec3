/* net/attest_gate.h: after a handshake, before any data: the client shows that the TPM of its certificate is
 * at this end of this connection. Layer: net. docs/attestation.md, "On a connection", has the frames.
 *
 * Invariants
 *  - Nothing blocks: what the TPM does is done on its worker. All calls and callbacks belong to the loop's
 * thread.
 *  - `done` comes once, from the loop, after the time-out at the latest; never after attest_gate_free.
 *  - Not one byte behind the last frame is taken off the stream: it is the owner's. */
#ifndef NET_ATTEST_GATE_H
#define NET_ATTEST_GATE_H

#include "net/stream.h"
#include "tpmtls/attest.h"

#define ATTEST_GATE_TIMEOUT_S 30

struct attest_gate;
struct attest_gate_options {
    struct event_base *base;
    struct stream *stream; /* connected */
    enum tt_role role;
    unsigned timeout_s; /* 0: ATTEST_GATE_TIMEOUT_S */
    /* client */
    struct sign_queue *queue;        /* of the TPM */
    struct tt_key *key;              /* of the certificate; in the TPM */
    struct tt_bytes ek_certificates; /* see tt_attester_params; must outlive the gate */
    /* server */
    const struct tt_attest_policy *policy;
    const uint8_t *secret; /* TT_ATTEST_KEY_SIZE */
    /* error: NULL: data may pass. verdict: of a server, as far as it came. */
    void (*done)(void *arg, const struct tt_error *error, const struct tt_attest_verdict *verdict);
    void *arg;
};
TT_MUST_USE tt_rc attest_gate_new(struct attest_gate **ret, const struct attest_gate_options *opt,
                                  struct tt_error *err);
/* attest_gate_plaintext: the stream has some. attest_gate_ended: the peer has ended its side. */
void attest_gate_plaintext(struct attest_gate *g);
void attest_gate_ended(struct attest_gate *g);
/* attest_gate_closed: the connection is closed before `done` came: why no data may pass; valid until free.
 * ret_verdict may be NULL. */
const struct tt_error *attest_gate_closed(struct attest_gate *g,
                                          const struct tt_attest_verdict **ret_verdict);
void attest_gate_free(struct attest_gate *g); /* NULL is fine */

#endif
