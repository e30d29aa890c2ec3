/* ca/make.h: certificates of CAs: of a new one (make.c), of one with another key (rollover.c). Layer: ca. */
#ifndef CA_MAKE_H
#define CA_MAKE_H

#include "ca/authority.h"

#define CA_ROOT_DAYS 3650

/* struct own_plan: a certificate of a CA under its own name: self-signed, or one of its keys by another. */
struct own_plan {
    const X509_NAME *name;
    struct tt_bytes spki;
    struct tt_bytes key_id;        /* as its other certificate has it, or empty: made of spki */
    struct tt_bytes issuer_key_id; /* or empty */
    int path_len;                  /* -1: any */
    int64_t not_before, not_after;
};
TT_MUST_USE tt_rc own_certificate(struct buf *ret, const struct own_plan *p,
                                  const struct tt_pki_signer *signer, struct tt_error *err);

/* struct below: a CA below another, which issues its certificate by the profile sub-ca. */
struct below {
    struct ca *parent; /* with its signer */
    const X509_NAME *subject;
    struct tt_bytes spki;
    unsigned path_len, days; /* days 0: the profile's */
    int64_t now;
    struct buf der; /* what is issued; owned */
    char serial[CA_SERIAL_HEX];
    int64_t not_before, not_after;
};
TT_MUST_USE tt_rc below_certify(struct below *b, struct tt_error *err);
/* below_record: into the parent's store. */
TT_MUST_USE tt_rc below_record(struct below *b, struct tt_error *err);

/* chain_pem: own, then those of the parent (or none); mem_free. */
TT_MUST_USE tt_rc chain_pem(char **ret, struct tt_bytes own, const struct ca *parent, struct tt_error *err);

#endif
