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
    void *held_key;         /* of a held PSK */
    uint16_t suite;         /* of the connection that made it; external: one with the PSK's hash */
    uint16_t group;         /* of that connection; 0: unknown */
    uint8_t psk_digest[32]; /* external: which PSK it is, also where its key is not here */
    uint32_t age_add, lifetime, max_early_data;
    int64_t received_ms;
    struct buf identity; /* the ticket, or the external identity */
    struct buf alpn, server_name;
    struct buf auth; /* of a ticket: struct auth as auth_put writes it: what the server's authentication
                        rested on */
};

TT_MUST_USE tt_rc session_alloc(struct tt_session **ret);
struct tt_session *session_ref(struct tt_session *s);
/* session_usable: is the ticket still valid at this time (section 4.3.11.1). Whether what the server was
 * believed for still holds is another question: auth_holds. */
bool session_usable(const struct tt_session *s, int64_t now_ms);
/* session_age: obfuscated_ticket_age; 0 for an external PSK. */
uint32_t session_age(const struct tt_session *s, int64_t now_ms);

#endif
