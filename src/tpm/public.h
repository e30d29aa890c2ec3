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

/* public_signing_key: the template of the keys we make: fixed to this TPM, without password, without lockout.
 * RSA keys are sign+decrypt with no scheme, so that PSS can be padded in software. type is not TT_KEY_OTHER.
 */
TPM2B_PUBLIC public_signing_key(enum tt_key_type type);
/* public_test_parms: what TPM2_TestParms is asked for before such a key is made. */
TPMT_PUBLIC_PARMS public_test_parms(enum tt_key_type type);

/* public_describe: TT_ERR_UNSUPPORTED or TT_ERR_DECODE with a sentence for a key that cannot sign for us. */
TT_MUST_USE tt_rc public_describe(struct tpm_key_info *ret, const TPM2B_PUBLIC *pub, struct tt_error *err);

/* public_spki: append DER SubjectPublicKeyInfo (RFC 5480, RFC 3279). TT_ERR_DECODE: sizes that cannot be. */
TT_MUST_USE tt_rc public_spki(struct buf *to, const TPM2B_PUBLIC *pub);

#endif
