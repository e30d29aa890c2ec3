/* pki/extension.h: the extensions of certificates and CRLs as DER, one function each. Layer: pki. RFC 5280
 * sections 4.2 and 5.2.
 *
 * Each appends one Extension to the writer; a list of them goes as it is into struct cert_plan or crl_plan.
 * Failures are the writer's. */
#ifndef PKI_EXTENSION_H
#define PKI_EXTENSION_H

#include "pki/x509.h"
#include "wire/der.h"

/* Bits of KeyUsage, by their numbers in RFC 5280 section 4.2.1.3. */
#define KEY_USAGE(n)          (1u << (n))
#define USAGE_SIGNATURE       KEY_USAGE(0)
#define USAGE_KEY_CERT_SIGN   KEY_USAGE(5)
#define USAGE_CRL_SIGN        KEY_USAGE(6)
#define EXTENSION_KEY_ID_SIZE 20

/* extension_put: oid is the content of an OBJECT IDENTIFIER; value the DER within extnValue. */
void extension_put(struct writer *w, struct tt_bytes oid, bool critical, struct tt_bytes value);

/* extension_constraints: BasicConstraints; path_len < 0: without one. */
void extension_constraints(struct writer *w, bool ca, int path_len);
void extension_key_usage(struct writer *w, unsigned bits);
/* extension_purposes: ExtendedKeyUsage; each oid is the content of an OBJECT IDENTIFIER, as are those of
 * extension_policies. */
void extension_purposes(struct writer *w, const struct tt_bytes *oids, size_t n);
void extension_policies(struct writer *w, const struct tt_bytes *oids, size_t n);
/* extension_key_id: the first 160 bits of SHA-256 over the key's bits (RFC 7093 section 2, method 1). */
TT_MUST_USE bool extension_key_id(uint8_t ret[EXTENSION_KEY_ID_SIZE], struct tt_bytes spki);
void extension_subject_key_id(struct writer *w, struct tt_bytes id);
void extension_authority_key_id(struct writer *w, struct tt_bytes id);
/* extension_names: SubjectAltName; names is the DER of GeneralNames. Critical where the subject is empty (RFC
 * 5280 section 4.2.1.6). */
void extension_names(struct writer *w, struct tt_bytes names, bool critical);
/* extension_crl_points, extension_authority_info: URLs; empty ones are left out. */
void extension_crl_points(struct writer *w, const struct tt_bytes *urls, size_t n);
void extension_authority_info(struct writer *w, struct tt_bytes ocsp, struct tt_bytes issuers);
void extension_must_staple(struct writer *w);      /* RFC 7633 */
void extension_delegation_usage(struct writer *w); /* RFC 9345 section 4.2 */
void extension_ocsp_nocheck(struct writer *w);     /* RFC 6960 section 4.2.2.2.1 */
void extension_crl_number(struct writer *w, int64_t number);
void extension_delta_indicator(struct writer *w, int64_t base);
void extension_freshest_crl(struct writer *w, struct tt_bytes url);
void extension_crl_reason(struct writer *w, int reason);

/* oid_append: the content of the OBJECT IDENTIFIER for "1.3.6.1.5.5.7.3.2" or a name of libcrypto's
 * ("clientAuth"); TT_ERR_USAGE. */
TT_MUST_USE tt_rc oid_append(struct buf *to, const char *text, struct tt_error *err);

#endif
