/* bench/resume.h: bench-resume: what each way to a connection costs, TPM included. Layer: bench. */
#ifndef BENCH_RESUME_H
#define BENCH_RESUME_H

#include "bench/identity.h"
#include "bench/report.h"
#include "tpmtls/tls.h"

/* resume_client, resume_server: configurations; tickets may be NULL (none). */
struct tt_config *resume_client(const struct identities *ids, const struct identity *own,
                                struct tt_delegation *delegation);
struct tt_config *resume_server(const struct identities *ids, struct tt_tickets *tickets);
struct tt_tickets *resume_tickets(void);

/* struct resume_try: one handshake. */
struct resume_try {
    struct tt_config *client, *server;
    struct tt_session *session;                                        /* or NULL */
    void (*answer)(const struct tt_psk_request *req, uint8_t ret[32]); /* of a held PSK */
};
/* resume_handshake: *ret_session: the first ticket, or NULL where it is not wanted. Dies unless it ends well,
 * and resumed where a session was given. */
void resume_handshake(const struct resume_try *t, struct tt_session **ret_session);
int64_t resume_now_ms(void);

#endif
