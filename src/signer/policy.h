/* signer/policy.h: policies: their digests, computed in software, and their statements for a key file. Layer:
 * signer. TPM 2.0 part 3, section 23; draft-bottomley-tpm2-keys, "TPMPolicy Syntax". */
#ifndef SIGNER_POLICY_H
#define SIGNER_POLICY_H

#include "base/buf.h"
#include "crypto/sig.h"
#include "tpm/key.h"
#include "tpm/name.h"

/* struct policy: grows by one statement a call; zero-initialised it is the empty policy. The digest is
 * SHA-256's. Free with policy_free. */
struct policy {
    const struct crypto_lib *lib;
    struct buf statements; /* content of a SEQUENCE OF TPMPolicy */
    uint8_t digest[32];
    size_t count;
    bool needs_password;
};
void policy_free(struct policy *p);

TT_MUST_USE tt_rc policy_add_pcrs(struct policy *p, const struct tpm_pcrs *pcrs);
TT_MUST_USE tt_rc policy_add_auth_value(struct policy *p);
/* policy_add_secret: the password of a hierarchy, by its handle. */
TT_MUST_USE tt_rc policy_add_secret(struct policy *p, uint32_t hierarchy);

/* struct policy_authority: who may sign policies, and the nonce that ties them to one key. signature: empty
 * in a key's own policy. */
struct policy_authority {
    struct tt_bytes signer; /* TPM2B_PUBLIC */
    struct tt_bytes ref;
    struct tt_bytes signature; /* TPMT_SIGNATURE, or empty */
};
TT_MUST_USE tt_rc policy_add_authorize(struct policy *p, const struct policy_authority *who);

#endif
