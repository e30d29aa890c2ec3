/* tls/ticket.h: stateless tickets: what the server needs to resume, sealed for itself. Layer: tls.
 * Protection: key_name[16] || nonce[12] || AES-256-GCM. A ticket that does not open is simply unknown: no
 * oracle. struct tt_tickets may be shared by configurations and threads, and its keys change while it is in
 * use. */
#ifndef TLS_TICKET_H
#define TLS_TICKET_H

#include "tls/conn.h"
#include "tls/psk.h"

#define TICKET_ISSUER_SIZE 16

/* struct ticket_state: the content of a ticket. */
struct ticket_state {
    uint8_t issuer[TICKET_ISSUER_SIZE];
    uint16_t suite;
    uint32_t age_add, lifetime, max_early_data;
    int64_t issued_ms,
        authenticated_ms;   /* authenticated: the full handshake at the root of this chain of tickets */
    int64_t peer_not_after; /* seconds; INT64_MAX without a client certificate */
    struct psk psk;
    struct tt_bytes server_name, alpn, scope, peer_chain; /* views */
    struct tt_bytes external_identity; /* of the external PSK that it all began with, or empty; a view */
    size_t peer_chain_len;
    uint8_t peer_type; /* enum tt_certificate_type: what peer_chain holds */
};

void tickets_ref(struct tt_tickets *t);
/* ticket_seal: append the protected ticket to out. */
TT_MUST_USE tt_rc ticket_seal(struct tt_tickets *t, const struct crypto_lib *lib, struct kx_random random,
                              const struct ticket_state *state, struct buf *out);
/* ticket_open: TT_ERR_NOT_FOUND for anything that is not a ticket of ours under a known key. The views of ret
 * point into *plain, which the caller frees. */
TT_MUST_USE tt_rc ticket_open(struct tt_tickets *t, const struct crypto_lib *lib, struct tt_bytes ticket,
                              struct buf *plain, struct ticket_state *ret);
/* ticket_first_use: single use for 0-RTT (section 8.2): true exactly once for a ClientHello (known by its
 * binder), and only for tickets that this struct tt_tickets issued: of others it does not know whether they
 * were used before. Bounded: when the register is full, false. */
bool ticket_first_use(struct tt_tickets *t, struct tt_bytes binder, const struct ticket_state *ticket,
                      int64_t now_ms);

#endif
