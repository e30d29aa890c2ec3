/* crypto/cert_names.h: what a server or client needs to know of its own certificates to choose among them.
 * Layer: crypto. */
#ifndef CRYPTO_CERT_NAMES_H
#define CRYPTO_CERT_NAMES_H

#include "base/buf.h"

/* struct cert_names: one parsed certificate. */
struct cert_names;
TT_MUST_USE tt_rc cert_names_read(struct cert_names **ret, struct tt_bytes der);
void cert_names_free(struct cert_names *c);
/* cert_names_cover: is it for this DNS name (RFC 9525, wildcards as there). */
bool cert_names_cover(const struct cert_names *c, struct tt_bytes host);
/* cert_names_issuer: the issuer's Name as DER; valid until freed. */
struct tt_bytes cert_names_issuer(const struct cert_names *c);

#endif
