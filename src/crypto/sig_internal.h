/* crypto/sig_internal.h: shared by pubkey.c, privkey.c and wrap.c. Layer: crypto; included by this layer
 * only. */
#ifndef CRYPTO_SIG_INTERNAL_H
#define CRYPTO_SIG_INTERNAL_H

#include <stdatomic.h>

#include "crypto/lib_internal.h"
#include "crypto/sig.h"

enum sig_type {
    SIG_EC,
    SIG_RSA_PSS,
    SIG_RSA_PSS_KEY,
    SIG_RSA_PKCS1,
    SIG_ED25519,
    SIG_ED448,
    SIG_MLDSA44,
    SIG_MLDSA65,
    SIG_MLDSA87
};

struct scheme_info {
    uint16_t scheme;
    enum sig_type type;
    enum hash_id hash;
    enum curve_id curve;
};

#define MAX_POINT 97 /* P-384, uncompressed */

/* struct sig_key: what struct pubkey and struct privkey both are. A plain RSA key has type SIG_RSA_PSS. A
 * public key on P-256 or P-384 is nothing but its point. Immutable but for the count of references. */
struct sig_key {
    atomic_uint refs;
    EVP_PKEY *pkey; /* NULL where there is a point */
    uint8_t point[MAX_POINT];
    size_t point_len;
    enum sig_type type;
    enum curve_id curve;
    unsigned bits;
    struct spare *signers; /* of a private key: contexts that were initialised (privkey.c) */
};

const struct scheme_info *scheme_info_of(uint16_t scheme); /* NULL for an unknown scheme */
/* sig_key_new: takes pkey, also on failure. TT_ERR_DECODE for NULL and for a key of an unknown kind. */
TT_MUST_USE tt_rc sig_key_new(struct sig_key **ret, EVP_PKEY *pkey);
void sig_key_free(struct sig_key *k); /* drops one reference */
bool sig_key_fits(const struct sig_key *k, uint16_t scheme, bool allow_pkcs1);
/* spki_point: the curve and the uncompressed point of a P-256 or P-384 key; false for any other. */
bool spki_point(struct tt_bytes spki, enum curve_id *ret_curve, struct tt_bytes *ret_point);
/* spki_rsa: the key of a SubjectPublicKeyInfo of rsaEncryption, not judged; NULL for any other, and for want
 * of memory. */
EVP_PKEY *spki_rsa(struct tt_bytes spki);
/* point_key_new: of a point that is known to be on the curve. */
TT_MUST_USE tt_rc point_key_new(struct sig_key **ret, const struct crypto_lib *lib, enum curve_id curve,
                                struct tt_bytes point);
TT_MUST_USE tt_rc sig_pss_setup(EVP_PKEY_CTX *ctx, const struct crypto_lib *lib, const struct scheme_info *s);

#endif
