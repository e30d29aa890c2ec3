/* crypto/hpke.h: hybrid public key encryption in base mode (RFC 9180): DHKEM(X25519) and DHKEM(P-256) with
 * HKDF-SHA256, and three AEADs. Layer: crypto.
 *
 * The receiver's private operation is one Diffie-Hellman, and stands by itself: a TPM may do it (hpke_dh is
 * the way in software). All that follows is made from its result. */
#ifndef CRYPTO_HPKE_H
#define CRYPTO_HPKE_H

#include "crypto/aead.h"
#include "crypto/kx.h"

#define HPKE_MAX_ENC  65 /* bytes of an encapsulated key, which is a public key: of P-256 */
#define HPKE_SECRET   32 /* bytes of a private key, and of a Diffie-Hellman result, for both KEMs */
#define HPKE_TAG_SIZE AEAD_TAG_SIZE

/* The registries of RFC 9180 section 7. */
enum hpke_kem {
    HPKE_DHKEM_P256 = 0x0010,
    HPKE_DHKEM_X25519 = 0x0020
};
enum hpke_kdf {
    HPKE_HKDF_SHA256 = 0x0001
};
enum hpke_aead {
    HPKE_AES_128_GCM = 0x0001,
    HPKE_AES_256_GCM = 0x0002,
    HPKE_CHACHA20_POLY1305 = 0x0003
};

struct hpke_suite {
    uint16_t kem, kdf, aead;
};

bool hpke_kem_available(const struct crypto_lib *lib, uint16_t kem);
bool hpke_suite_available(const struct crypto_lib *lib, struct hpke_suite suite);
size_t hpke_enc_size(uint16_t kem); /* also of a public key; 0 for a KEM that is not known */

/* struct hpke_keypair: a KEM's private key, or one that somebody else has (then only the public half is set).
 */
struct hpke_keypair {
    uint16_t kem;
    uint8_t secret[HPKE_SECRET];
    uint8_t public_key[HPKE_MAX_ENC];
    size_t public_len;
};
TT_MUST_USE tt_rc hpke_generate(struct hpke_keypair *ret, const struct crypto_lib *lib, uint16_t kem,
                                struct kx_random random);
/* hpke_keypair_of_secret: TT_ERR_DECODE when it is no private key of that KEM. */
TT_MUST_USE tt_rc hpke_keypair_of_secret(struct hpke_keypair *ret, const struct crypto_lib *lib, uint16_t kem,
                                         struct tt_bytes secret);
/* hpke_keypair_of_der, hpke_keypair_der: PKCS#8. TT_ERR_DECODE, TT_ERR_UNSUPPORTED for other kinds of keys.
 * What hpke_keypair_der returns is freed with mem_free. */
TT_MUST_USE tt_rc hpke_keypair_of_der(struct hpke_keypair *ret, const struct crypto_lib *lib,
                                      struct tt_bytes der);
TT_MUST_USE tt_rc hpke_keypair_der(const struct hpke_keypair *k, uint8_t **ret, size_t *ret_len);

/* hpke_enc_check: is this an encapsulated key (or a public one) of the KEM: its length, and the point on the
 * curve. TT_ERR_PROTOCOL when not. */
TT_MUST_USE tt_rc hpke_enc_check(const struct crypto_lib *lib, uint16_t kem, struct tt_bytes enc);

/* hpke_dh: DH(skR, pkE). TT_ERR_PROTOCOL for an enc that is none, or whose result is all zeros. */
TT_MUST_USE tt_rc hpke_dh(const struct crypto_lib *lib, const struct hpke_keypair *own, struct tt_bytes enc,
                          uint8_t ret[HPKE_SECRET]);

/* struct hpke: one direction's context; wipe with hpke_wipe. */
struct hpke {
    struct aead aead;
    uint8_t base_nonce[AEAD_NONCE_SIZE];
    uint64_t seq;
};

struct hpke_encapsulated {
    uint8_t data[HPKE_MAX_ENC];
    size_t len;
};
/* hpke_setup_sender: SetupBaseS(pkR, info). TT_ERR_PROTOCOL when public_key is none. */
TT_MUST_USE tt_rc hpke_setup_sender(struct hpke *ret, struct hpke_encapsulated *ret_enc,
                                    const struct crypto_lib *lib, struct hpke_suite suite,
                                    struct tt_bytes public_key, struct tt_bytes info,
                                    struct kx_random random);

/* struct hpke_decap: what the receiver has of the KEM once the Diffie-Hellman is done. */
struct hpke_decap {
    struct tt_bytes dh, enc, public_key;
};
/* hpke_setup_receiver: SetupBaseR, from the Diffie-Hellman on. */
TT_MUST_USE tt_rc hpke_setup_receiver(struct hpke *ret, const struct crypto_lib *lib, struct hpke_suite suite,
                                      const struct hpke_decap *decap, struct tt_bytes info);
void hpke_wipe(struct hpke *h);

/* hpke_seal: plain has at least one byte; writes plain.len + HPKE_TAG_SIZE. hpke_open: writes sealed.len -
 * HPKE_TAG_SIZE; TT_ERR_DECODE when it does not authenticate, and the sequence number then stays. */
TT_MUST_USE tt_rc hpke_seal(struct hpke *h, struct tt_bytes aad, struct tt_bytes plain, uint8_t *ret);
TT_MUST_USE tt_rc hpke_open(struct hpke *h, struct tt_bytes aad, struct tt_bytes sealed, uint8_t *ret);

#endif
