/* tls/credential.h: delegated credentials (RFC 9345): a key that may stand in for that of a certificate for
 * some days at most. Layer: tls. Public face in tpmtls/tls.h. A credential is immutable once it is in use; a
 * struct tt_delegation is the place where the present one stands, and may be shared by threads. */
#ifndef TLS_CREDENTIAL_H
#define TLS_CREDENTIAL_H

#include <stdatomic.h>

#include "base/buf.h"
#include "crypto/sig.h"
#include "tpmtls/tls.h"
#include "wire/reader.h"
#include "wire/writer.h"

#define CREDENTIAL_MAX_VALIDITY 604800 /* seconds: "the maximum validity period is set to 7 days" */

/* struct delegated_credential: the structure DelegatedCredential as it stands on the wire; views. */
struct delegated_credential {
    struct tt_bytes cred; /* the whole Credential */
    uint32_t valid_time;  /* seconds since the certificate's notBefore */
    uint16_t dc_cert_verify_algorithm;
    struct tt_bytes spki;
    uint16_t algorithm;
    struct tt_bytes signature;
};
TT_MUST_USE tt_rc delegated_credential_parse(struct delegated_credential *ret, struct tt_bytes whole);

/* credential_scheme_allowed: may a credential's key sign with this. */
bool credential_scheme_allowed(uint16_t scheme);

/* struct credential_signed: what the signature of a credential covers (section 4). */
struct credential_signed {
    enum tt_role holder; /* who proves itself with it */
    struct tt_bytes leaf, cred;
    uint16_t algorithm;
};
void credential_content_put(struct writer *w, const struct credential_signed *what);

/* struct tt_credential: one of ours. */
struct tt_credential {
    atomic_uint refs;
    int64_t valid_until; /* seconds since 1970 */
    uint16_t key_scheme; /* of CertificateVerify */
    uint16_t algorithm;  /* of its own signature */
    struct buf content;  /* what the certificate's key signs */
    struct buf encoded;  /* DelegatedCredential, complete once it is in use */
    void *key;
    void (*release)(void *key);
};

struct tt_delegation *delegation_ref(struct tt_delegation *d);
/* delegation_fits: was it made for this role and this certificate. */
bool delegation_fits(const struct tt_delegation *d, enum tt_role role, struct tt_bytes leaf);
/* delegation_current: a reference to the present credential, when it is valid at this time; else NULL. */
struct tt_credential *delegation_current(struct tt_delegation *d, int64_t now);

#endif
