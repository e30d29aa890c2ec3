/* pki/cert_build.h: a certificate from a plan. Layer: pki. */
#ifndef PKI_CERT_BUILD_H
#define PKI_CERT_BUILD_H

#include "pki/extension.h"
#include "pki/x509.h"

#define SERIAL_SIZE 20 /* "up to 20 octets" (RFC 5280 section 4.1.2.2) */

struct cert_plan {
    const uint8_t *serial; /* SERIAL_SIZE bytes */
    const X509_NAME *issuer, *subject;
    int64_t not_before, not_after;
    struct tt_bytes spki;       /* the subject's key */
    struct tt_bytes extensions; /* Extension after Extension: pki/extension.h */
};

/* cert_build: have the plan signed by the issuer and append the certificate's DER; the signature is verified,
 * unless the signer has done that itself (issuer->checks_itself). */
TT_MUST_USE tt_rc cert_build(struct buf *to, const struct cert_plan *plan, const struct tt_pki_signer *issuer,
                             struct tt_error *err);

/* cert_serial: a positive random number of exactly SERIAL_SIZE bytes. */
TT_MUST_USE tt_rc cert_serial(uint8_t ret[SERIAL_SIZE], struct tt_error *err);

/* cert_put_time: UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5). */
TT_MUST_USE bool cert_put_time(struct writer *w, int64_t seconds);
/* cert_put_name: false: libcrypto has no encoding of it. */
TT_MUST_USE bool cert_put_name(struct writer *w, const X509_NAME *name);

/* extensions_ca: for a CA that issues to end entities only. */
TT_MUST_USE tt_rc extensions_ca(struct buf *ret, struct tt_bytes spki, struct tt_error *err);

/* struct leaf_plan: what a leaf's extensions say. */
struct leaf_plan {
    struct tt_bytes spki;
    bool client, server;
    struct tt_bytes names;         /* DER of GeneralNames, or empty */
    struct tt_bytes issuer_key_id; /* or empty */
};
TT_MUST_USE tt_rc extensions_leaf(struct buf *ret, const struct leaf_plan *plan, struct tt_error *err);

#endif
