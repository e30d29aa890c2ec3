/* net/diagnose.h: from what went wrong with a connection to the sentence its user can act on. Layer: net.
 * Pure. */
#ifndef NET_DIAGNOSE_H
#define NET_DIAGNOSE_H

#include "base/rc.h"
#include "tpmtls/tls.h"

#define DIAGNOSE_FIRST_BYTES 32

struct diagnose_facts {
    const char *peer;
    enum tt_role role;
    bool was_reset;                      /* by the peer's kernel */
    bool connected;                      /* our side of the handshake was complete */
    unsigned alert_sent, alert_received; /* enum tt_alert */
    struct tt_bytes first;               /* the first bytes the peer ever sent, up to DIAGNOSE_FIRST_BYTES */
};

/* diagnose: rewrite err (which holds an error) in place; its rc stays. */
void diagnose(struct tt_error *err, const struct diagnose_facts *facts);

#endif
