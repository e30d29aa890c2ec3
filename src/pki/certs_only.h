/* pki/certs_only.h: certificates in PKCS#7's SignedData without a signature ("certs-only": RFC 5272 section
 * 4.1, RFC 8551 section 3.8), as EST carries them. Layer: pki. Formats only: says nothing about trust. */
#ifndef PKI_CERTS_ONLY_H
#define PKI_CERTS_ONLY_H

#include "pki/cert.h"

#define CERTS_ONLY_MAX 64 /* certificates in one message */

/* certs_only_write: append the DER: version 1, no digests, no content, no signers. The certificates are a SET
 * OF and so sorted by their bytes (X.690 section 11.6); each once. */
TT_MUST_USE tt_rc certs_only_write(struct buf *to, const struct tt_cert_list *certs);

/* certs_only_read: DER, or the BER of indefinite length that some servers write. The certificates as they
 * stand in it, each once; at least one. Signatures and CRLs in it are passed over. TT_ERR_DECODE. */
TT_MUST_USE tt_rc certs_only_read(struct tt_cert_list **ret, struct tt_bytes der, struct tt_error *err);

#endif
