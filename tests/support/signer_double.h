/* tests/support/signer_double.h: a key that plays a chip: it signs with a software key, but late, or not at
 * all, or with the maximum salt that many TPMs use for RSA-PSS and that TLS 1.3 forbids. */
#ifndef SUPPORT_SIGNER_DOUBLE_H
#define SUPPORT_SIGNER_DOUBLE_H

#include "tpmtls/key.h"

struct signer_double {
    const char *pem;   /* an unencrypted software key */
    unsigned delay_ms; /* before each answer; the caller is blocked as by a TPM */
    bool fail;         /* answer TT_ERR_TPM */
    bool maximum_salt; /* RSA-PSS with the longest salt that fits (222 bytes for RSA-2048 with SHA-256) */
    bool pose_as_tpm;  /* tt_key_is_tpm says yes */
};

/* signer_double_new: to be freed with tt_key_free. The description is copied; pem is used only now. */
TT_MUST_USE tt_rc signer_double_new(struct tt_key **ret, const struct signer_double *what,
                                    struct tt_error *err);

/* signer_double_signatures: how many it was asked for so far; thread-safe. */
unsigned signer_double_signatures(const struct tt_key *key);

#endif
