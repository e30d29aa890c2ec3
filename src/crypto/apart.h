/* crypto/apart.h: libcrypto for a guest in somebody else's process, as PKCS#11 needs it: digests, random
 * numbers, and public keys that verify digests and padded blocks. Layer: crypto.
 *
 * All of it happens in a library context of its own, so that neither the host's configuration nor its
 * providers matter (one of them may lead back into the guest). The calling thread's queue of errors is left
 * as it was found. */
#ifndef CRYPTO_APART_H
#define CRYPTO_APART_H

#include "crypto/hash.h"

struct apart;
TT_MUST_USE tt_rc apart_new(struct apart **ret, struct tt_error *err);
void apart_free(struct apart *a);
TT_DEFINE_AUTO(struct apart, apart_free)
/* apart_is_over: the process is ending and libcrypto has cleaned up: nothing of it may be called. */
bool apart_is_over(void);
/* apart_lib: the SHA-2 hashes, for whoever wants a struct crypto_lib. */
const struct crypto_lib *apart_lib(const struct apart *a);

/* struct apart_visit: for as long as it lasts, what this thread does in libcrypto without saying where
 * happens in our context, and no engine of the host's makes the EC keys. tpm2-tss does so when it starts an
 * encrypted session, and does not get at the parts of a key that an engine has made. One at a time in the
 * process. */
struct apart_visit {
    void *context, *engine; /* the host's */
};
void apart_enter(struct apart_visit *ret, const struct apart *a);
void apart_leave(struct apart_visit *v);

/* apart_random: false when there is none. */
TT_MUST_USE bool apart_random(const struct apart *a, uint8_t *ret, size_t n);

enum apart_hash {
    APART_NO_HASH,
    APART_SHA1,
    APART_SHA224,
    APART_SHA256,
    APART_SHA384,
    APART_SHA512
};
#define APART_HASHES   6
#define APART_HASH_MAX 64
size_t apart_hash_size(enum apart_hash hash); /* 0 for APART_NO_HASH */

struct apart_digest;
TT_MUST_USE tt_rc apart_digest_new(struct apart_digest **ret, const struct apart *a, enum apart_hash hash);
TT_MUST_USE tt_rc apart_digest_update(struct apart_digest *d, struct tt_bytes data);
/* apart_digest_final: ret has apart_hash_size bytes; after it only apart_digest_free. */
TT_MUST_USE tt_rc apart_digest_final(struct apart_digest *d, uint8_t *ret);
void apart_digest_free(struct apart_digest *d);
TT_DEFINE_AUTO(struct apart_digest, apart_digest_free)

/* struct apart_signed: what a signature is over. */
enum apart_form {
    APART_ECDSA, /* data is a digest; the signature is a DER Ecdsa-Sig-Value */
    APART_PKCS1, /* data is what RSASSA-PKCS1-v1_5 pads: a DigestInfo, in most cases (RFC 8017 section 9.2) */
    APART_PSS,   /* data is a digest; MGF1 with the same hash */
    APART_X509   /* data is a number as long as the modulus */
};
struct apart_signed {
    enum apart_form form;
    struct tt_bytes data;
    enum apart_hash hash; /* APART_PSS */
    size_t salt_len;      /* APART_PSS */
};

struct apart_key;
/* apart_key_new: from a DER SubjectPublicKeyInfo. */
TT_MUST_USE tt_rc apart_key_new(struct apart_key **ret, const struct apart *a, struct tt_bytes spki);
void apart_key_free(struct apart_key *k);
TT_DEFINE_AUTO(struct apart_key, apart_key_free)
/* apart_verify: TT_ERR_VERIFY when it is wrong, TT_ERR_MEMORY when it cannot be checked. */
TT_MUST_USE tt_rc apart_verify(const struct apart_key *k, const struct apart_signed *what,
                               struct tt_bytes sig);

#endif
