/* net/starttls.h: what is said in the clear before TLS begins, in protocols that start without it: SMTP (RFC
 * 3207), IMAP (RFC 9051 section 6.2.1), LDAP (RFC 4511 section 4.14), PostgreSQL (its protocol, SSLRequest).
 * Layer: net. Bytes in, bytes out; no socket here.
 *
 * Invariants
 *  - What the server sends behind its consent, before it has seen our ClientHello, was sent by somebody who
 * is not authenticated: it is refused, never given on (RFC 3207 section 6).
 *  - An answer is bounded in length and in lines. */
#ifndef NET_STARTTLS_H
#define NET_STARTTLS_H

#include "base/rc.h"

enum starttls_kind {
    STARTTLS_NONE,
    STARTTLS_SMTP,
    STARTTLS_IMAP,
    STARTTLS_LDAP,
    STARTTLS_POSTGRES
};

#define STARTTLS_ANSWER_MAX 2048 /* of one line, or of LDAP's message */
#define STARTTLS_LINES_MAX  100

struct starttls {
    enum starttls_kind kind;
    enum {
        STARTTLS_GREETING,
        STARTTLS_HELLO,  /* SMTP: EHLO was sent */
        STARTTLS_CONSENT /* it was asked for */
    } state;
    bool offered; /* SMTP: among the extensions */
    bool done;
    struct tt_bytes output; /* to be sent now; what it views is constant */
    size_t lines, len;
    char answer[STARTTLS_ANSWER_MAX];
};

/* starttls_begin: output may be there at once. */
void starttls_begin(struct starttls *s, enum starttls_kind kind);
/* starttls_feed: what the server sent; takes all of it. Look at output and done then. TT_ERR_UNSUPPORTED: the
 * server does not want to; TT_ERR_PROTOCOL: that is not the protocol. */
TT_MUST_USE tt_rc starttls_feed(struct starttls *s, struct tt_bytes in, struct tt_error *err);
/* starttls_name: "SMTP". */
const char *starttls_name(enum starttls_kind kind);

#endif
