/* tls/ticket.h: stateless tickets: what the server needs to resume, sealed for itself. Layer: tls.
 * Protection: key_name[16] || nonce[12] || AES-256-GCM. A ticket that does not open is simply unknown: no
 * oracle. struct tt_tickets may be shared by configurations and threads, and its keys change while it is in
 * use. */
#ifndef TLS_TICKET_H
#define TLS_TICKET_H

#include "tls/conn.h"
#include "tls/psk.h"

#define TICKET_ISSUER_SIZE 16

/* Section 8.3: what a client's clock, ours and the network may differ by in the age of a ticket with 0-RTT.
 */
#define TICKET_AGE_TOLERANCE_MS 10000

/* struct ticket_state: the content of a ticket. */
struct ticket_state {
    uint8_t issuer[TICKET_ISSUER_SIZE];
    uint16_t suite;
    uint32_t age_add, lifetime, max_early_data;
    int64_t issued_ms, issued_steady_ms; /* by the wall clock, and by conn_steady_ms */
    struct psk psk;
    struct tt_bytes server_name, alpn; /* views */
    struct auth auth;                  /* what the client's authentication rests on */
};

void tickets_ref(struct tt_tickets *t);
/* ticket_seal: append the protected ticket to out; fills in who issued it. */
TT_MUST_USE tt_rc ticket_seal(struct tt_tickets *t, const struct crypto_lib *lib, struct kx_random random,
                              struct ticket_state *state, struct buf *out);
/* ticket_open: TT_ERR_NOT_FOUND for anything that is not a ticket of ours under a known key. The views of ret
 * point into *plain, which the caller frees. */
TT_MUST_USE tt_rc ticket_open(struct tt_tickets *t, const struct crypto_lib *lib, struct tt_bytes ticket,
                              struct buf *plain, struct ticket_state *ret);
/* struct ticket_use: a ClientHello that wants 0-RTT, known by its binder, which was checked; and the time by
 * conn_steady_ms. */
struct ticket_use {
    struct tt_bytes binder;
    uint32_t age_ms; /* of the ticket, as the client has it */
    int64_t now_ms;
};
/* ticket_first_use: single use for 0-RTT (section 8.2), and freshness (section 8.3): true at most once for a
 * ClientHello, and only for tickets that this struct tt_tickets issued in this process: of others it does not
 * know whether they were used before. Bounded: when the register is full, false. */
bool ticket_first_use(struct tt_tickets *t, const struct ticket_state *ticket, const struct ticket_use *use);

#endif
