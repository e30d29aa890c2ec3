/* tpm/ek.h: endorsement keys by the TCG EK Credential Profile: which kinds there are, where their
 * certificates lie in NV memory, and from which template each is derived. Layer: tpm; for the files of
 * src/tpm only. */
#ifndef TPM_EK_H
#define TPM_EK_H

#include "tpm/context.h"

/* struct ek_kind: one row of the profile, sections 2.2.1.4 (low range, L-) and 2.2.1.5 (high range, H-). */
struct ek_kind {
    const char *name, *template_name;      /* "P-384", "H-3" */
    uint32_t certificate, nonce, template; /* NV indexes; 0: the profile has none */
    uint32_t handle;                       /* where the key is kept, when it is */
    TPMI_ECC_CURVE curve;                  /* 0: RSA */
    uint16_t bits, hash, aes;
    bool high;
};
#define EK_KINDS 9
extern const struct ek_kind ek_kinds[EK_KINDS];

/* ek_kind_at: the one that is kept at a persistent handle, or NULL. */
const struct ek_kind *ek_kind_at(uint32_t handle);

/* ek_kind_of: the kind of this template: "L-1" to "H-7". */
const struct ek_kind *ek_kind_of(const char *template_name);

/* ek_profile: the template that the profile prints. */
TPM2B_PUBLIC ek_profile(const struct ek_kind *kind);
/* ek_wants_policy: the key may only be used under PolicySecret(TPM_RH_ENDORSEMENT) ("PolicyA"). */
bool ek_wants_policy(const TPM2B_PUBLIC *pub);

/* struct ek_source: what the chip's NV memory says about deriving a key of some kind. */
struct ek_source {
    bool has_template, has_nonce;
};

/* ek_template: the template of this kind: the one in NV memory, where there is one, else the profile's; with
 * the nonce in NV memory, where there is one. TT_ERR_TPM: what is there is no template of an endorsement key.
 * ret_source may be NULL. */
TT_MUST_USE tt_rc ek_template(TPM2B_PUBLIC *ret, struct ek_source *ret_source, struct tt_tpm *tpm,
                              const struct ek_kind *kind, struct tt_error *err);

#endif
