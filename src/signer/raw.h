/* signer/raw.h: a TPM key's private operation on digests and blocks that somebody else made, as PKCS#11 wants
 * it. Layer: signer. Nothing of it uses libcrypto's default context or starts a thread (crypto/apart.h): the
 * process is somebody else's.
 *
 * A key is named by a text: a TSS2 PRIVATE KEY, or "handle:0x81..." on a line of its own. A handle's text may
 * say more, so that no TPM need be asked for it: a TPM2B_PUBLIC (PEM, with that label) and "password: yes".
 */
#ifndef SIGNER_RAW_H
#define SIGNER_RAW_H

#include "crypto/apart.h"
#include "tpm/key.h"

/* struct raw_info: what a key is. No TPM is asked. */
struct raw_info {
    struct tpm_key_info key;
    uint32_t handle; /* persistent; 0: it is in the file */
    bool needs_password, has_policy;
    bool local; /* made in the TPM */
    bool fixed; /* cannot leave it */
    uint8_t *spki;
    size_t spki_len; /* owned DER */
};
/* raw_info_read: spki: the key's, where its text does not tell (a bare handle: then what the TPM allows shows
 * when it is used), or empty. */
TT_MUST_USE tt_rc raw_info_read(struct raw_info *ret, struct tt_bytes text, struct tt_bytes spki,
                                struct tt_error *err);
/* raw_info_of_public: of somebody else's public key: only raw_verify works with it. */
TT_MUST_USE tt_rc raw_info_of_public(struct raw_info *ret, struct tt_bytes spki, struct tt_error *err);
void raw_info_free(struct raw_info *info);

/* raw_silence: tpm2-tss prints unless a variable of the environment keeps it from that; to be called before
 * the host has threads, if possible. */
void raw_silence(void);
/* raw_tpm_open: a TPM that starts no thread, ever. */
TT_MUST_USE tt_rc raw_tpm_open(struct tt_tpm **ret, const struct apart *a, const char *spec,
                               struct tt_error *err);

/* enum raw_result: what went wrong, as far as its user can do something about it. */
enum raw_result {
    RAW_OK,
    RAW_MEMORY,
    RAW_PASSWORD,    /* the TPM refused it */
    RAW_LOCKED,      /* too many were refused */
    RAW_NO_PASSWORD, /* one is needed */
    RAW_POLICY,      /* not satisfied */
    RAW_LENGTH,      /* the data is too long or too short for the key */
    RAW_DATA,        /* the data has the wrong form, or is no number below the modulus */
    RAW_UNSUPPORTED, /* this key or chip does not do it */
    RAW_BUSY,        /* other processes have all of its places for keys */
    RAW_LOST,        /* the TPM has to be opened anew */
    RAW_FAILED
};

struct raw_key;
/* raw_key_open: load it, and satisfy its policy. Its TPM must outlive it. */
enum raw_result raw_key_open(struct raw_key **ret, const struct apart *apart, struct tt_tpm *tpm,
                             const struct raw_info *info, struct tt_bytes text,
                             const struct tt_bytes *password, struct tt_error *err);
void raw_key_free(struct raw_key *k);

#define RAW_SIGNATURE_MAX 512
/* raw_sign: ECDSA: r and s, each as long as the field; RSA: as long as the modulus. Verified before it
 * leaves. One command. */
enum raw_result raw_sign(struct raw_key *k, const struct apart_signed *what, uint8_t ret[RAW_SIGNATURE_MAX],
                         size_t *ret_len, struct tt_error *err);
/* raw_decrypt: a key made for it (info.key.decrypts, rsa): RSAES-PKCS1-v1_5 (APART_NO_HASH), or OAEP with
 * this hash and no label. ret has room for RAW_SIGNATURE_MAX. RAW_DATA: it is no such ciphertext. */
enum raw_result raw_decrypt(struct raw_key *k, enum apart_hash oaep, struct tt_bytes cipher, uint8_t *ret,
                            size_t *ret_len, struct tt_error *err);
/* raw_derive: Diffie-Hellman with the point (4 || x || y): x of the product. RAW_DATA: it is no point of the
 * curve. */
enum raw_result raw_derive(struct raw_key *k, struct tt_bytes point, uint8_t *ret, size_t *ret_len,
                           struct tt_error *err);
/* raw_prove: is the password right? By a signature that the TPM refuses for something else (tpm_key_prove),
 * or by what the key does, which nobody sees. */
enum raw_result raw_prove(struct raw_key *k, struct tt_error *err);

/* raw_verify: a signature in the form of raw_sign. TT_ERR_VERIFY. */
TT_MUST_USE tt_rc raw_verify(const struct apart *apart, const struct raw_info *info,
                             const struct apart_signed *what, struct tt_bytes sig);
size_t raw_signature_size(const struct raw_info *info);

/* raw_digest_info: the DER before a digest, in RSASSA-PKCS1-v1_5 (RFC 8017 section 9.2, note 1). */
struct tt_bytes raw_digest_info(enum apart_hash hash);

#endif
