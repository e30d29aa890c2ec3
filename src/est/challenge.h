/* est/challenge.h: the challengePassword of a request (PKCS #9, RFC 2985 section 5.4.1), which in EST ties it
 * to the connection that it comes by (RFC 7030 section 3.5): with TLS 1.3 the base64 of tls-exporter
 * (RFC 9266) in place of tls-unique. Layer: est. Formats only. */
#ifndef EST_CHALLENGE_H
#define EST_CHALLENGE_H

#include "base/rc.h"

enum est_challenge {
    EST_CHALLENGE_NONE,
    EST_CHALLENGE_THERE,     /* *ret is its text, within csr */
    EST_CHALLENGE_DAMAGED,   /* twice, or of another form */
    EST_CHALLENGE_UNREADABLE /* no DER of a request: others may read one in it, and a challengePassword */
};
/* est_challenge_find: csr: DER. What is around the signed part anybody on the way can write anew, as BER or
 * PEM: what cannot be read here is never "none". */
enum est_challenge est_challenge_find(struct tt_bytes *ret, struct tt_bytes csr);
/* est_challenge_is: is this text the base64 of these 32 bytes? */
bool est_challenge_is(struct tt_bytes text, const uint8_t binding[32]);

#endif
