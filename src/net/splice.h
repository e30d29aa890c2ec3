/* net/splice.h: a connection whose records the kernel has, joined to a plaintext socket: data goes from one
 * to the other without passing through this process. Layer: net. splice(2).
 *
 * Invariants
 *  - Half-close in both directions, back-pressure in both directions; what cannot be judged ends both.
 *  - `closed` is the last callback and comes exactly once, from the loop, unless it is freed first. */
#ifndef NET_SPLICE_H
#define NET_SPLICE_H

#include <event2/event.h>

#include "net/relay.h"

struct splicer;
struct splice_options {
    struct event_base *base;
    int tls_fd;           /* owned from success on; ktls_begin is done */
    struct tt_conn *conn; /* owned from success on; tt_conn_offload is done */
    int plain_fd;         /* a socket; borrowed */
    const char *peer, *plain_name;
    /* Client: a ticket came; the callee owns it. NULL: they are not taken. */
    void (*session)(void *arg, struct tt_session *session);
    void (*half_closed)(void *arg); /* one side has ended */
    /* error NULL: both ended as they should. is_plain: the plaintext's side failed. */
    void (*closed)(void *arg, const struct tt_error *error, bool is_plain);
    void *arg;
};
TT_MUST_USE tt_rc splicer_new(struct splicer **ret, const struct splice_options *opt, struct tt_error *err);
/* splicer_abort: an alert, then the end: `closed` follows. */
void splicer_abort(struct splicer *s, unsigned alert, const char *why);
struct relay_counts splicer_counts(const struct splicer *s);
void splicer_free(struct splicer *s); /* NULL is fine */

#endif
