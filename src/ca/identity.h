/* ca/identity.h: one identity for a TPM, and one TPM for an identity: the subject, the CN and each
 * alternative name of what was issued by evidence in a profile with one-identity. Layer: ca. */
#ifndef CA_IDENTITY_H
#define CA_IDENTITY_H

#include "ca/judge.h"

/* struct identity: names as the table has them. */
#define IDENTITY_MAX 104
struct identity {
    char *at[IDENTITY_MAX]; /* [0] is the subject */
    size_t len;
};
void identity_free(struct identity *i);
/* identity_of: of a request. A name that the profile gives to everybody is nobody's. */
TT_MUST_USE tt_rc identity_of(struct identity *ret, const struct judged *j, struct tt_error *err);
/* identity_of_certificate: of one that was issued before there was the table. */
TT_MUST_USE tt_rc identity_of_certificate(struct identity *ret, struct tt_bytes der, struct tt_error *err);

/* struct identity_claim: this TPM asks for it. */
struct identity_claim {
    const struct identity *identity;
    const char *requester, *profile;
    int64_t now;
};
/* identity_check: within the transaction: refused into a where this TPM has another subject, or another TPM
 * one of the names, by a certificate that is valid or on hold. */
TT_MUST_USE tt_rc identity_check(struct ca_answer *a, struct ca *ca, const struct identity_claim *c,
                                 struct tt_error *err);
TT_MUST_USE tt_rc identity_put(struct ca *ca, const struct identity_claim *c, const char *serial,
                               struct tt_error *err);

#endif
