/* tpm/srk.h: the parent a key is created or loaded under. Layer: tpm; for the files of src/tpm only. */
#ifndef TPM_SRK_H
#define TPM_SRK_H

#include "tpm/context.h"

/* struct tpm_parent: a parent for one or two commands; give it back with parent_release. */
struct tpm_parent {
    ESYS_TR object;
    bool transient; /* must be flushed, since it takes one of three slots */
    bool rsa;
    bool ek;      /* an endorsement key: each use needs PolicySecret of the endorsement hierarchy */
    bool storage; /* keys can be made under it */
    bool srk;     /* it has the public area of a storage root key, ECC or RSA */
    bool counts;  /* a wrong password counts towards the lockout; so may the empty one */
    TPM2B_NAME name;
    TPM2B_PUBLIC pub;
};

/* struct parent_want: the parent that a key file names. */
struct parent_want {
    uint32_t handle;        /* a persistent handle, or a hierarchy, in which the primary is derived */
    bool rsa;               /* of the hierarchy's primary: the RSA template */
    bool ek_template;       /* in the endorsement hierarchy: the EK's own template H, not the storage key's */
    bool creates;           /* to make something new under it */
    const TPM2B_NAME *name; /* what its name must be, as a key file says; NULL, or empty: it does not say */
};

/* parent_acquire: a persistent handle costs one command; where 0x81000001 (the storage root key) or
 * 0x810100xx (endorsement keys) is empty, the same key is derived. TT_ERR_TPM when its name is not the wanted
 * one. */
TT_MUST_USE tt_rc parent_acquire(struct tpm_parent *ret, struct tt_tpm *tpm, const struct parent_want *want,
                                 struct tt_error *err);
/* srk_at_handle: what is at 0x81000001, with its name, whatever that is: it is not trusted for it.
 * TT_ERR_NOT_FOUND. */
TT_MUST_USE tt_rc srk_at_handle(struct tpm_parent *ret, struct tt_tpm *tpm, struct tt_error *err);
/* srk_derive_ek: the public area of the endorsement key that this template makes, which is derived for a
 * moment. */
TT_MUST_USE tt_rc srk_derive_ek(TPM2B_PUBLIC *ret, struct tt_tpm *tpm, const TPM2B_PUBLIC *template,
                                struct tt_error *err);
void parent_release(struct tt_tpm *tpm, struct tpm_parent *p);

/* parent_authorize: the session for one command that uses the parent, given back with parent_authorize_end
 * (which looks whether the command took the session with it). ESYS_TR_PASSWORD for a storage key. */
TT_MUST_USE tt_rc parent_authorize(ESYS_TR *ret, struct tt_tpm *tpm, const struct tpm_parent *p,
                                   struct tt_error *err);
void parent_authorize_end(struct tt_tpm *tpm, ESYS_TR session, TSS2_RC rc);

/* parent_for_new_key: the one that tt_tpm_set_parent named; else the storage root key, derived, and in
 * *ret_handle what a key file should say: 0x81000001 when the key there has the same name (later starts then
 * save the derivation), else TPM_RH_OWNER. Where the owner's password is in the way, the key at 0x81000001 is
 * taken if its public area is a storage root key's: only a TPM makes such a key, fixed to itself. `again`: it
 * is likely to be wanted once more, which is made cheap. */
TT_MUST_USE tt_rc parent_for_new_key(struct tpm_parent *ret, uint32_t *ret_handle, struct tt_tpm *tpm,
                                     bool again, struct tt_error *err);

#endif
