/* crypto/trust.h: does a chain of certificates, or a raw public key, lead to somebody we trust. Layer:
 * crypto.
 *
 * The path validation is libcrypto's (RFC 5280); the name check follows RFC 9525 (no common names); stapled
 * OCSP responses follow RFC 6960, must-staple RFC 7633, raw public keys RFC 7250. The time is handed in.
 * struct tt_trust is public (tpmtls/tls.h), and what its sources mean is said there. A chain that was found
 * good is remembered (crypto/chain_cache.h), so that the next handshake with the same peer costs one hash. */
#ifndef CRYPTO_TRUST_H
#define CRYPTO_TRUST_H

#include "crypto/sig.h"
#include "tpmtls/tls.h"

void trust_ref(struct tt_trust *trust);
/* trust_freeze: no more anchors may be added. */
void trust_freeze(struct tt_trust *trust);

/* struct trust_name: a name that a leaf may have. */
struct trust_name {
    bool is_uri; /* compared byte for byte */
    char *text;  /* DNS name or IP address text, or a URI */
};

struct trust_request {
    const struct tt_bytes *chain;   /* DER, leaf first */
    size_t chain_len;               /* at least 1 */
    const struct trust_name *names; /* the leaf must have one of these; host is NULL then */
    size_t names_len;               /* 0: as host says */
    const char *host;     /* DNS name or IP address text the leaf must be valid for; NULL: no name check */
    bool peer_is_server;  /* the extended key usage that is demanded */
    int64_t now;          /* seconds since 1970 */
    struct tt_bytes ocsp; /* the OCSPResponse that came with the leaf, or empty. One that came is checked */
    bool asked_ocsp;      /* status_request was sent: a leaf with must-staple has to bring a response */
    bool require_ocsp;    /* every leaf has to bring one */
};

/* enum trust_basis: why a peer is trusted. */
enum trust_basis {
    TRUST_NOT_JUDGED, /* trust was NULL */
    TRUST_BY_ANCHOR,  /* a path to a trust anchor */
    TRUST_BY_PIN      /* its own key is pinned; names, dates and revocation were not looked at */
};

/* struct trust_verdict: the proof that a chain was judged, with the key that came out of it. */
struct trust_verdict {
    struct pubkey *leaf_key; /* a reference, owned by the receiver */
    int64_t not_after;       /* seconds since 1970: the earliest end of all that the verdict rests on: each
                                certificate of the path, the CRLs, the OCSP response and its responder; of the
                                leaf alone where nobody judged; INT64_MAX where no date limits the trust */
    unsigned alert;          /* on failure: the alert to send (RFC 9846 section 6.2) */
    enum trust_basis basis;
    bool ocsp_good; /* a valid OCSP response says that the leaf is good */
    bool cached;    /* judged by an earlier handshake */
};

/* trust_verify: trust NULL means: accept any chain, but read the leaf's key (the insecure switch).
 * TT_ERR_VERIFY with ret->alert set and a sentence that says which certificate and which rule; TT_ERR_DECODE
 * (bad_certificate) for a leaf that cannot be read; TT_ERR_MEMORY or TT_ERR_INTERNAL (internal_error) when
 * the chain cannot be judged for our own fault. May be called by several threads at once. */
TT_MUST_USE tt_rc trust_verify(struct trust_verdict *ret, const struct crypto_lib *lib,
                               const struct tt_trust *trust, const struct trust_request *req,
                               struct tt_error *err);

/* trust_takes_raw_keys: the set consists of pinned keys alone, so that a raw public key can be judged. */
bool trust_takes_raw_keys(const struct tt_trust *trust);
/* trust_verify_raw_key: is this SubjectPublicKeyInfo (RFC 7250) one of the pinned ones; trust NULL as in
 * trust_verify. TT_ERR_VERIFY with ret->alert set; TT_ERR_DECODE (bad_certificate) for a key that cannot be
 * read. */
TT_MUST_USE tt_rc trust_verify_raw_key(struct trust_verdict *ret, const struct crypto_lib *lib,
                                       const struct tt_trust *trust, struct tt_bytes spki,
                                       struct tt_error *err);

/* trust_each_subject: the DER subject names of the anchors, for certificate_authorities: calls fn(arg, name)
 * for each. */
tt_rc trust_each_subject(const struct tt_trust *trust, tt_rc (*fn)(void *arg, struct tt_bytes name),
                         void *arg);

/* trust_digest: SHA-256 over the anchors and pins, whatever order they were added in; CRLs do not count. */
TT_MUST_USE tt_rc trust_digest(const struct tt_trust *trust, const struct crypto_lib *lib, uint8_t ret[32]);
/* trust_has_crls: who is trusted may change although the set did not. */
bool trust_has_crls(const struct tt_trust *trust);

/* cert_leaf_key: the public key of one DER certificate. */
TT_MUST_USE tt_rc cert_leaf_key(struct pubkey **ret, const struct crypto_lib *lib, struct tt_bytes der);
/* cert_has_spki: is this the SubjectPublicKeyInfo of the certificate? */
bool cert_has_spki(struct tt_bytes der, struct tt_bytes spki);
/* cert_wants_staple: does the certificate demand that an OCSP response is stapled to it (must-staple, RFC
 * 7633)? False for what is no certificate. */
bool cert_wants_staple(struct tt_bytes der);

#endif
