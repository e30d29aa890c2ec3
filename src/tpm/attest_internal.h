/* tpm/attest_internal.h: struct tpm_attester, for attest.c and attest_ek.c. Layer: tpm. */
#ifndef TPM_ATTEST_INTERNAL_H
#define TPM_ATTEST_INTERNAL_H

#include "tpm/attest.h"
#include "tpm/ek.h"

#define ATTEST_MAX_CERT  8192
#define ATTEST_MAX_CHAIN 32768

struct tpm_attester {
    struct tt_tpm *tpm;
    const struct ek_kind *kind;
    bool own_template; /* the chip's NV memory has a template, or a nonce, for it */
    struct buf certificate, chain;
    unsigned opening; /* of the TPM; the handles are of that one (tpm/reopen.h) */
    ESYS_TR ak, ek;   /* ESYS_TR_NONE while they are not in the chip */
    bool ek_persistent;
    bool ek_policy; /* it wants PolicySecret of the endorsement hierarchy */
    struct buf ak_public, ek_public;
};

/* attest_ek_find: which endorsement key, by what lies in NV memory. */
TT_MUST_USE tt_rc attest_ek_find(struct tpm_attester *a, const struct tpm_attest_want *want,
                                 struct tt_error *err);
/* attest_ek_open: at its handle, else derived. */
TT_MUST_USE tt_rc attest_ek_open(struct tpm_attester *a, struct tt_error *err);
/* attest_primary: derive a key of the endorsement hierarchy; its TPMT_PUBLIC into the empty `area`. */
TT_MUST_USE tt_rc attest_primary(ESYS_TR *ret, struct buf *area, struct tt_tpm *tpm,
                                 const TPM2B_PUBLIC *template, const char *what, struct tt_error *err);
/* attest_area: its TPMT_PUBLIC. */
TT_MUST_USE tt_rc attest_area(struct buf *to, const TPM2B_PUBLIC *pub);

#endif
