/* tpm/public.h: public areas: the templates we create from, what a loaded key's public area means for TLS,
 * and its SubjectPublicKeyInfo. Layer: tpm; for the files of src/tpm only. Sends no command. */
#ifndef TPM_PUBLIC_H
#define TPM_PUBLIC_H

#include <tss2/tss2_tpm2_types.h>

#include "base/buf.h"
#include "tpm/key.h"

/* public_srk: the storage root key's template: TCG "TPM v2.0 Provisioning Guidance" 7.5.1 with the empty
 * unique field of template H-2 (ECC P-256) or, for rsa, H-1 (RSA-2048), as draft-bottomley-tpm2-keys demands.
 */
TPM2B_PUBLIC public_srk(bool rsa);

/* public_is_srk: what that template makes, but that it may count wrong passwords (tss2_provision's does). */
bool public_is_srk(const TPM2B_PUBLIC *pub);
/* public_is_storage: keys can be made under it with its password alone. */
bool public_is_storage(const TPM2B_PUBLIC *pub);

/* public_signing_key: the template of the keys we make: fixed to this TPM, usable with their (empty)
 * password, without lockout. RSA keys are sign+decrypt with no scheme, so that PSS can be padded in software.
 * type is not TT_KEY_OTHER. */
TPM2B_PUBLIC public_signing_key(enum tt_key_type type);
/* public_sealed: the template of sealed data. */
TPM2B_PUBLIC public_sealed(void);
/* public_hmac: of a key for HMAC-SHA-256, whose secret comes from outside or, with own, from the TPM. */
TPM2B_PUBLIC public_hmac(bool own);
/* public_ecdh: of a key on P-256 for TPM2_ECDH_ZGen, and nothing else. */
TPM2B_PUBLIC public_ecdh(void);
/* public_test_parms: what TPM2_TestParms is asked for before such a key is made. */
TPMT_PUBLIC_PARMS public_test_parms(enum tt_key_type type);

/* public_type: the type a public area would have, TT_KEY_OTHER for what is none of them. */
enum tt_key_type public_type(const TPM2B_PUBLIC *pub);

/* public_decryption_key: RSA for TPM2_RSA_Decrypt, EC for TPM2_ECDH_ZGen, and nothing else. */
TPM2B_PUBLIC public_decryption_key(enum tt_key_type type);

/* public_describe_any: of a key that signs or decrypts. */
TT_MUST_USE tt_rc public_describe_any(struct tpm_key_info *ret, const TPM2B_PUBLIC *pub,
                                      struct tt_error *err);
/* public_describe_signing: of a key that signs, be it restricted (an attestation key): then it signs what the
 * TPM has hashed. */
TT_MUST_USE tt_rc public_describe_signing(struct tpm_key_info *ret, const TPM2B_PUBLIC *pub,
                                          struct tt_error *err);
/* public_describe: TT_ERR_UNSUPPORTED or TT_ERR_DECODE with a sentence for a key that cannot sign for us. */
TT_MUST_USE tt_rc public_describe(struct tpm_key_info *ret, const TPM2B_PUBLIC *pub, struct tt_error *err);

/* public_refuse: why a TPM2B_PUBLIC that cannot be unmarshalled is none: TT_ERR_DECODE, or TT_ERR_UNSUPPORTED
 * for an algorithm of a later specification. */
tt_rc public_refuse(struct tt_bytes tpm2b, struct tt_error *err);

/* public_spki: append DER SubjectPublicKeyInfo (RFC 5480, RFC 3279). TT_ERR_DECODE: sizes that cannot be. */
TT_MUST_USE tt_rc public_spki(struct buf *to, const TPM2B_PUBLIC *pub);

/* public_from_spki: type, parameters and unique field from a DER SubjectPublicKeyInfo; these attributes, name
 * algorithm SHA-256 and no scheme. TT_ERR_UNSUPPORTED: neither RSA nor one of the curves. */
TT_MUST_USE tt_rc public_from_spki(TPM2B_PUBLIC *ret, struct tt_bytes spki, TPMA_OBJECT attributes);

#endif
