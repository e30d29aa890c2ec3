/* proxy/admit.h: what a server's tunnel makes of a client that is connected: may it pass, and what the
 * program behind is told of it. Layer: proxy. */
#ifndef PROXY_ADMIT_H
#define PROXY_ADMIT_H

#include "net/stream.h"
#include "pki/cert_algorithms.h"
#include "proxy/rule.h"

/* struct known_names: the names of those who were here lately: libcrypto takes longer to read a certificate
 * than a resumed handshake takes. Of one thread. Zero is none. */
#define KNOWN_NAMES 64
struct known_names {
    struct known_name {
        uint8_t *der; /* NULL: nobody, or whose certificate is too long to be kept */
        size_t len;
        struct peer_names *names;
    } at[KNOWN_NAMES];
};
void known_names_free(struct known_names *known);

/* admit_peer: why: a sentence with the subject, escaped. */
bool admit_peer(struct known_names *known, const struct rules *rules, const struct tt_conn *c,
                struct tt_error *why);
/* admit_header: send the header of the PROXY protocol to the program; fd is a fresh connection, id what the
 * log calls the one to the client, cert what is known of our certificate. */
TT_MUST_USE tt_rc admit_header(struct known_names *known, int fd, const struct stream *s, const char *id,
                               const struct cert_algorithms *cert, struct tt_error *err);

#endif
