/* pki/crl_build.h: a CertificateList from a plan. Layer: pki. RFC 5280 section 5. */
#ifndef PKI_CRL_BUILD_H
#define PKI_CRL_BUILD_H

#include "pki/x509.h"
#include "wire/der.h"

struct crl_plan {
    const X509_NAME *issuer;
    int64_t this_update, next_update;
    int64_t number;
    int64_t base; /* the number of the complete list that this is a delta to; 0: it is complete */
    struct tt_bytes issuer_key_id; /* or empty */
    struct tt_bytes freshest;      /* where deltas to it are to be had, or empty */
    struct tt_bytes entries;       /* of crl_entry_put, one after the other */
};

/* crl_entry_put: one revoked certificate. serial: big-endian; reason: of RFC 5280 section 5.3.1, 0 is left
 * out. */
void crl_entry_put(struct writer *w, struct tt_bytes serial, int64_t revoked, int reason);

/* crl_build: append the signed list; the signature is verified unless the signer does that itself. */
TT_MUST_USE tt_rc crl_build(struct buf *to, const struct crl_plan *plan, const struct tt_pki_signer *signer,
                            struct tt_error *err);

#endif
