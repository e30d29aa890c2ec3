/* tpm/key.h: keys and sealed data in the TPM: create, load, sign, unseal. Layer: tpm. The face the signer
 * sees: no tss2 type here.
 *
 * At most one key of a struct tt_tpm is in the chip at a time: using another one saves the first one's
 * context and swaps. Digests come from the caller; this layer hashes nothing and verifies nothing. */
#ifndef TPM_KEY_H
#define TPM_KEY_H

#include "base/buf.h"
#include "tpmtls/key.h"

/* Hash algorithms by TPM_ALG_ID (TPM 2.0 part 2, 6.3). */
enum tpm_hash {
    TPM_HASH_ANY = 0x0010, /* TPM_ALG_NULL */
    TPM_HASH_SHA256 = 0x000b,
    TPM_HASH_SHA384 = 0x000c,
    TPM_HASH_SHA512 = 0x000d
};

/* enum tpm_padding: how an RSA key may be asked to sign. */
enum tpm_padding {
    TPM_PADDING_ANY,
    TPM_PADDING_PKCS1,
    TPM_PADDING_PSS
};

/* struct tpm_key_info: what the public area says. */
struct tpm_key_info {
    enum tt_key_type type; /* TT_KEY_OTHER: RSA of another size */
    bool rsa;
    unsigned bits;            /* of the modulus or the field */
    bool raw;                 /* RSA: TPM2_RSA_Decrypt without padding is allowed */
    bool can_sign;            /* TPM2_Sign is allowed */
    bool decrypts;            /* made for decryption (RSA) or Diffie-Hellman (EC), and nothing else */
    enum tpm_padding padding; /* RSA: fixed by the key's scheme, or any */
    uint16_t hash;            /* enum tpm_hash, fixed by the key's scheme, or any */
    bool counts_failures;     /* wrong passwords count towards lockout (not noDA) */
    bool restricted;
};

struct tpm_key;

/* enum tpm_new_kind: a signing key, data to be sealed, an HMAC key, whose secret is data (empty: one that the
 * TPM draws), a P-256 key for Diffie-Hellman, or a key that decrypts, or does Diffie-Hellman, and does not
 * sign. */
enum tpm_new_kind {
    TPM_NEW_SIGNING,
    TPM_NEW_SEALED,
    TPM_NEW_HMAC,
    TPM_NEW_ECDH,
    TPM_NEW_DECRYPTION
};

/* struct tpm_new: what to make. */
struct tpm_new {
    enum tpm_new_kind kind;
    enum tt_key_type type; /* of a key that signs or decrypts */
    struct tt_bytes data;
    struct tt_bytes password;    /* of no length: none */
    bool counts_failures;        /* of the password */
    struct tt_bytes auth_policy; /* digest; empty: none */
    struct tt_bytes policy;      /* its statements, for the file */
    bool policy_has_password;    /* the policy asks for a password */
    struct tt_bytes description;
};

/* tpm_create: make it under the storage root key; *ret_pem is a NUL-terminated key file. The password and the
 * data travel encrypted. */
TT_MUST_USE tt_rc tpm_create(char **ret_pem, struct tt_tpm *tpm, const struct tpm_new *what,
                             struct tt_error *err);
/* tpm_create_key: a key that signs, and as tpm_key_load gives it, while its parent is in the chip anyway:
 * three commands fewer. */
TT_MUST_USE tt_rc tpm_create_key(struct tpm_key **ret, char **ret_pem, struct tt_tpm *tpm,
                                 const struct tpm_new *what, struct tt_error *err);

/* tpm_key_load: from a key file: loads it. tpm_key_persistent: one command. */
TT_MUST_USE tt_rc tpm_key_load(struct tpm_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                               const struct tt_bytes *password, struct tt_error *err);
TT_MUST_USE tt_rc tpm_key_persistent(struct tpm_key **ret, struct tt_tpm *tpm, uint32_t handle,
                                     const struct tt_bytes *password, struct tt_error *err);
/* tpm_key_load_decryption, tpm_key_persistent_decryption: one that decrypts, and does not sign. */
TT_MUST_USE tt_rc tpm_key_load_decryption(struct tpm_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                                          const struct tt_bytes *password, struct tt_error *err);
TT_MUST_USE tt_rc tpm_key_persistent_decryption(struct tpm_key **ret, struct tt_tpm *tpm, uint32_t handle,
                                                const struct tt_bytes *password, struct tt_error *err);
void tpm_key_free(struct tpm_key *k);
TT_DEFINE_AUTO(struct tpm_key, tpm_key_free)

/* tpm_file_load: only load what a key file holds, of whatever kind, and take it out again. */
TT_MUST_USE tt_rc tpm_file_load(struct tt_tpm *tpm, struct tt_bytes pem, struct tt_error *err);
/* tpm_file_persist: load it and keep it at a handle. */
TT_MUST_USE tt_rc tpm_file_persist(struct tt_tpm *tpm, struct tt_bytes pem, uint32_t handle,
                                   struct tt_error *err);
/* tpm_file_import: an importable file becomes a loadable one. */
TT_MUST_USE tt_rc tpm_file_import(char **ret_pem, struct tt_tpm *tpm, struct tt_bytes pem,
                                  struct tt_error *err);
/* tpm_unseal: the data of a sealed file; to be freed with mem_free. */
TT_MUST_USE tt_rc tpm_unseal(uint8_t **ret, size_t *ret_len, struct tt_tpm *tpm, struct tt_bytes pem,
                             const struct tt_bytes *password, struct tt_error *err);

/* struct tpm_persistent: an entry of tpm_persistent_list, which appends them to ret. */
struct tpm_persistent {
    uint32_t handle;
    uint16_t alg; /* TPM_ALG_ID */
    enum tt_key_type type;
    uint32_t attributes; /* TPMA_OBJECT */
    uint8_t name[66];
    size_t name_len;
};
TT_MUST_USE tt_rc tpm_persistent_list(struct buf *ret, struct tt_tpm *tpm, struct tt_error *err);
TT_MUST_USE tt_rc tpm_persistent_evict(struct tt_tpm *tpm, uint32_t handle, struct tt_error *err);

/* tpm_persistent_public: append the TPM2B_PUBLIC of what is at a handle; one command. */
TT_MUST_USE tt_rc tpm_persistent_public(struct buf *ret, struct tt_tpm *tpm, uint32_t handle,
                                        struct tt_error *err);

/* tpm_nv_read: into an empty ret: what lies in an NV index, at most max bytes, for everybody to read or for
 * the owner. TT_ERR_NOT_FOUND: there is none; TT_ERR_AUTH, TT_ERR_UNSUPPORTED: it cannot be read, with the
 * reason. */
TT_MUST_USE tt_rc tpm_nv_read(struct buf *ret, struct tt_tpm *tpm, uint32_t index, size_t max,
                              struct tt_error *err);

/* tpm_storage_public: the storage root key's TPM2B_PUBLIC, marshalled, its name, and what a key file calls
 * it. */
struct tpm_storage {
    uint8_t pub[700];
    size_t pub_len;
    uint8_t name[66];
    size_t name_len;
    uint32_t handle;
};
TT_MUST_USE tt_rc tpm_storage_public(struct tpm_storage *ret, struct tt_tpm *tpm, struct tt_error *err);

/* struct tpm_pcrs: PCRs and their values now. */
struct tpm_pcrs {
    uint8_t selection[64]; /* TPML_PCR_SELECTION */
    size_t selection_len;
    uint8_t values[24 * 64 * 2]; /* in the TPM's order */
    size_t values_len;
};
/* tpm_pcrs_parse: "sha256:0,2,7", several banks joined with "+": fills in the selection. */
TT_MUST_USE tt_rc tpm_pcrs_parse(struct tpm_pcrs *ret, const char *spec, struct tt_error *err);
TT_MUST_USE tt_rc tpm_pcrs_read(struct tpm_pcrs *ret, struct tt_tpm *tpm, struct tt_error *err);

/* tpm_has_hash: the chip has this hash (TPM_ALG_ID); one command, once. True when it cannot be asked. */
bool tpm_has_hash(struct tt_tpm *tpm, uint16_t hash);

/* struct tpm_lockout: what the TPM has counted (TPM 2.0 part 1, section 19.8); two properties, one command.
 */
struct tpm_lockout {
    uint32_t counter, max; /* at max it is locked */
    bool locked;
};
TT_MUST_USE tt_rc tpm_lockout_read(struct tpm_lockout *ret, struct tt_tpm *tpm, struct tt_error *err);

/* enum tpm_refusal: why the TPM refused the last command that failed, where it was about authorisation. */
enum tpm_refusal {
    TPM_REFUSED_OTHERWISE,
    TPM_REFUSED_PASSWORD,
    TPM_REFUSED_LOCKED
};
enum tpm_refusal tpm_last_refusal(const struct tt_tpm *tpm);

/* tpm_key_tpm: the TPM it is in. */
struct tt_tpm *tpm_key_tpm(const struct tpm_key *k);
/* tpm_probe_get, tpm_probe_set: what a test signature showed of this key, kept as long as the TPM is open. */
bool tpm_probe_get(bool *ret_works, const struct tpm_key *k);
void tpm_probe_set(struct tpm_key *k, bool works);
/* tpm_key_recheck: a signature was wrong: true when somebody else's object is at the key's handle (the TPM
 * was restarted); the next signature loads the key anew. */
bool tpm_key_recheck(struct tpm_key *k);
/* tpm_key_avoid_raw: this chip does not do the raw operation after all; TPM2_Sign must do. */
void tpm_key_avoid_raw(struct tpm_key *k);

const struct tpm_key_info *tpm_key_info(const struct tpm_key *k);
/* tpm_key_name: nameAlg || digest; valid until free. */
struct tt_bytes tpm_key_name(const struct tpm_key *k);
/* tpm_key_spki: to be freed with mem_free. */
TT_MUST_USE tt_rc tpm_key_spki(uint8_t **ret, size_t *ret_len, const struct tpm_key *k);

/* tpm_key_hash: have the TPM hash the message for the next signature of a restricted key, which signs nothing
 * else: that with this digest. ret has the digest's size. One command up to 1,024 bytes. */
TT_MUST_USE tt_rc tpm_key_hash(uint8_t *ret, size_t size, struct tpm_key *k, uint16_t hash,
                               struct tt_bytes message, struct tt_error *err);
/* tpm_key_sign_ecdsa: *ret_der is a DER Ecdsa-Sig-Value. One command. */
TT_MUST_USE tt_rc tpm_key_sign_ecdsa(struct buf *ret_der, struct tpm_key *k, uint16_t hash,
                                     struct tt_bytes digest, struct tt_error *err);
/* tpm_key_sign_rsa: TPM2_Sign with RSASSA or RSAPSS (with whatever salt the chip likes); ret has bits/8
 * bytes. */
TT_MUST_USE tt_rc tpm_key_sign_rsa(uint8_t *ret, struct tpm_key *k, enum tpm_padding padding, uint16_t hash,
                                   struct tt_bytes digest, struct tt_error *err);
/* tpm_key_prove: is the password right? By a signature of what cannot be signed: a digest of one byte. The
 * TPM checks authorizations before it looks at parameters (part 3, section 5), so that it says which of the
 * two is wrong, and the private operation is not done. *ret_proven false with TT_OK: this key or chip does
 * not tell. */
TT_MUST_USE tt_rc tpm_key_prove(bool *ret_proven, struct tpm_key *k, struct tt_error *err);
/* tpm_key_rsa_raw: the private operation on a padded number of bits/8 bytes (TPM2_RSA_Decrypt, TPM_ALG_NULL).
 */
TT_MUST_USE tt_rc tpm_key_rsa_raw(uint8_t *ret, struct tpm_key *k, struct tt_bytes padded,
                                  struct tt_error *err);

/* tpm_key_decrypt_rsa: TPM2_RSA_Decrypt with RSAES-PKCS1-v1_5 (hash 0) or OAEP with this hash (TPM_ALG_ID)
 * and no label; ret has room for bits/8 bytes. The answer travels encrypted. TT_ERR_DECODE: it is no such
 * ciphertext. */
TT_MUST_USE tt_rc tpm_key_decrypt_rsa(uint8_t *ret, size_t *ret_len, struct tpm_key *k, uint16_t hash,
                                      struct tt_bytes cipher, struct tt_error *err);
/* tpm_key_ecdh: the x coordinate, as long as the field, of the product of the key and the point (x || y).
 * TT_ERR_DECODE: the point is not on the curve. */
TT_MUST_USE tt_rc tpm_key_ecdh(uint8_t *ret, struct tpm_key *k, struct tt_bytes point, struct tt_error *err);

#endif
