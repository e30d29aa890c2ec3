/* tpm/session_start.h: the salted HMAC session started without ESAPI, whose arithmetic for it takes several
 * times as long as the TPM (tpm/session_own.h says why). Layer: tpm; for the files of src/tpm only.
 *
 * ESAPI is told of the session by Esys_TR_Deserialize, so that its commands can use it as well. TPM 2.0 part
 * 1, sections 19.6.8 (session keys), 11.4.10.2 (KDFa), 11.4.10.3 (KDFe), C.6.3 (ECC salt); part 3,
 * section 11.1.
 */
#ifndef TPM_SESSION_START_H
#define TPM_SESSION_START_H

#include "tpm/srk.h"

/* session_start_possible: HMAC with SHA-256, salted to a P-256 key that we have seen. */
bool session_start_possible(const struct tt_tpm *tpm, const struct tpm_parent *salt);
/* session_start: fills in what struct tpm_session says of the session itself. The response code is as ESAPI
 * would give it; TSS2_ESYS_RC_NOT_IMPLEMENTED: this ESAPI writes sessions down otherwise; from now on it is
 * not possible. */
TSS2_RC session_start(struct tpm_session *ret, struct tt_tpm *tpm, const struct tpm_parent *salt);

#endif
