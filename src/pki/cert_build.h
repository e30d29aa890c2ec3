/* pki/cert_build.h: a certificate from a plan. Layer: pki. */
#ifndef PKI_CERT_BUILD_H
#define PKI_CERT_BUILD_H

#include "pki/x509.h"

#define SERIAL_SIZE 16

struct cert_plan {
    const uint8_t *serial; /* SERIAL_SIZE bytes */
    const X509_NAME *issuer, *subject;
    int64_t not_before, not_after;
    struct tt_bytes spki; /* the subject's key */
    const extensions *exts;
};

/* cert_build: have the plan signed by the issuer and append the certificate's DER; the signature is verified.
 */
TT_MUST_USE tt_rc cert_build(struct buf *to, const struct cert_plan *plan, const struct tt_pki_signer *issuer,
                             struct tt_error *err);

/* cert_serial: a positive random number of exactly SERIAL_SIZE bytes. */
TT_MUST_USE tt_rc cert_serial(uint8_t ret[SERIAL_SIZE], struct tt_error *err);

/* extensions_ca: for a CA that issues to end entities only. */
TT_MUST_USE tt_rc extensions_ca(extensions **ret, struct tt_bytes spki, struct tt_error *err);

/* struct leaf_plan: what a leaf's extensions say. */
struct leaf_plan {
    struct tt_bytes spki;
    const GENERAL_NAMES *sans; /* or NULL */
    bool san_critical;         /* where the subject is empty (RFC 5280 section 4.2.1.6) */
    bool client, server;
    bool delegation;                        /* with DelegationUsage (RFC 9345 section 4.2) */
    const ASN1_OCTET_STRING *issuer_key_id; /* or NULL */
};
TT_MUST_USE tt_rc extensions_leaf(extensions **ret, const struct leaf_plan *plan, struct tt_error *err);

#endif
