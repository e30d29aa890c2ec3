/* tls/session.h: what a client keeps to resume, or an external PSK. Layer: tls. Public face in tpmtls/tls.h.
 * Immutable once made; reference counted. */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include <stdatomic.h>

#include "base/buf.h"
#include "tls/psk.h"
#include "tpmtls/tls.h"

struct tt_session {
    atomic_uint refs;
    struct psk psk;
    void *held_key;    /* of a held PSK */
    uint16_t suite;    /* of the connection that made it; external: one with the PSK's hash */
    uint16_t group;    /* of that connection; 0: unknown */
    uint8_t peer_type; /* enum tt_certificate_type: what peer_chain holds */
    uint32_t age_add, lifetime, max_early_data;
    int64_t received_ms;
    int64_t authenticated_ms; /* the full handshake at the root of this chain of tickets */
    int64_t peer_not_after;   /* seconds: the server's certificate; INT64_MAX: no limit */
    struct buf identity;      /* the ticket, or the external identity */
    struct buf alpn, server_name, peer_chain;
};

TT_MUST_USE tt_rc session_alloc(struct tt_session **ret);
struct tt_session *session_ref(struct tt_session *s);
/* session_usable: may it still be offered at this time (section 4.3.11.1). */
bool session_usable(const struct tt_session *s, int64_t now_ms);
/* session_age: obfuscated_ticket_age; 0 for an external PSK. */
uint32_t session_age(const struct tt_session *s, int64_t now_ms);

#endif
