/* crypto/trust.h: does a chain of certificates lead to somebody we trust. Layer: crypto.
 * The path validation is libcrypto's (RFC 5280); the name check follows RFC 9525 (no common names). The time
 * is handed in. struct tt_trust is public (tpmtls/tls.h). */
#ifndef CRYPTO_TRUST_H
#define CRYPTO_TRUST_H

#include "crypto/sig.h"
#include "tpmtls/tls.h"

void trust_ref(struct tt_trust *trust);
/* trust_freeze: no more anchors may be added. */
void trust_freeze(struct tt_trust *trust);

struct trust_request {
    const struct tt_bytes *chain; /* DER, leaf first */
    size_t chain_len;             /* at least 1 */
    const char *host;    /* DNS name or IP address text the leaf must be valid for; NULL: no name check */
    bool peer_is_server; /* the extended key usage that is demanded */
    int64_t now;         /* seconds since 1970 */
};

/* struct trust_verdict: the proof that a chain was judged, with the key that came out of it. */
struct trust_verdict {
    struct pubkey *leaf_key; /* owned by the receiver */
    int64_t not_after;       /* of the leaf, seconds since 1970 */
    unsigned alert;          /* on failure: the alert to send (RFC 9846 section 6.2) */
};

/* trust_verify: trust NULL means: accept any chain, but read the leaf's key (the insecure switch).
 * TT_ERR_VERIFY with ret->alert set and a sentence that says which certificate and which rule; TT_ERR_DECODE
 * (bad_certificate) for a leaf that cannot be read. */
TT_MUST_USE tt_rc trust_verify(struct trust_verdict *ret, const struct crypto_lib *lib,
                               const struct tt_trust *trust, const struct trust_request *req,
                               struct tt_error *err);

/* trust_issuers: the DER subject names of the anchors, for certificate_authorities: calls wants(arg, name)
 * for each. */
tt_rc trust_each_subject(const struct tt_trust *trust, tt_rc (*fn)(void *arg, struct tt_bytes name),
                         void *arg);

/* cert_leaf_key: the public key of one DER certificate. */
TT_MUST_USE tt_rc cert_leaf_key(struct pubkey **ret, const struct crypto_lib *lib, struct tt_bytes der);

#endif
