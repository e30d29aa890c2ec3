/* signer/mldsa_signer.c: an ML-DSA key in the TPM as a signer. Layer: signer. The message goes into the TPM
 * as it is (draft-ietf-tls-mldsa, RFC 9881: no pre-hash, empty context); the result is verified before it
 * leaves, so a libcrypto that has ML-DSA is needed (3.5). */
#include "signer/mldsa_signer.h"

#include <string.h>

#include "crypto/sig.h"
#include "signer/signer.h"
#include "tpm/mldsa.h"
#include "wire/der.h"

struct mldsa_signer {
    struct tt_key key; /* must be first */
    struct crypto_lib *lib;
    struct pubkey *pub;
    struct tpm_mldsa *tpm;
};

static tt_rc mldsa_sign(struct tt_key *key, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig,
                        size_t cap, size_t *ret_len, struct tt_error *err)
{
    struct mldsa_signer *s = (struct mldsa_signer *)key;
    uint8_t sig[TPM_MLDSA_SIGNATURE_MAX];
    size_t len = 0;
    TT_TRY(tpm_mldsa_sign(sig, &len, s->tpm, message, err));
    if (len > cap)
        return error_set(err, TT_ERR_USAGE, "the buffer for the signature is too small");
    tt_rc rc = pubkey_verify(s->lib, s->pub, scheme, message, (struct tt_bytes){sig, len});
    if (rc == TT_OK) {
        memcpy(ret_sig, sig, len);
        *ret_len = len;
        return TT_OK;
    }
    mem_wipe(sig, sizeof sig); /* a glitched signature can give the key away */
    if (rc != TT_ERR_VERIFY)
        return error_set(err, rc, "the TPM's signature cannot be verified");
    (void)error_set(err, TT_ERR_TPM,
                    "the TPM's signature is wrong: it does not verify with the key's public part");
    error_hint(err, "try again; if it stays, the TPM or the way to it is faulty or tampered with");
    return TT_ERR_TPM;
}

static void mldsa_free(struct tt_key *key)
{
    struct mldsa_signer *s = (struct mldsa_signer *)key;
    tpm_mldsa_free(s->tpm);
    pubkey_free(s->pub);
    crypto_lib_free(s->lib);
}

/* SubjectPublicKeyInfo: id-ml-dsa-44 and its followers, without parameters (RFC 9881, section 4). */
static tt_rc spki_make(struct tt_key *key, enum tpm_mldsa_set set, struct tt_bytes public)
{
    const uint8_t oid[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, (uint8_t)(16 + set)};
    static const uint8_t no_unused_bits = 0;
    struct buf to = {0};
    struct writer w = writer_to(&to);
    struct der_mark all = der_open(&w, DER_SEQUENCE), algorithm = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_OID, (struct tt_bytes){oid, sizeof oid});
    der_close(&w, algorithm);
    struct der_mark bits = der_open(&w, DER_BIT_STRING);
    wr_bytes(&w, (struct tt_bytes){&no_unused_bits, 1});
    wr_bytes(&w, public);
    der_close(&w, bits);
    der_close(&w, all);
    tt_rc rc = wr_status(&w);
    if (rc == TT_OK) {
        key->spki_len = buf_size(&to);
        key->spki = mem_dup(buf_front(&to), key->spki_len);
        rc = key->spki == NULL ? TT_ERR_MEMORY : TT_OK;
    }
    buf_free(&to);
    return rc;
}

static tt_rc fill(struct mldsa_signer *s, struct tt_error *err)
{
    enum tpm_mldsa_set set = tpm_mldsa_set(s->tpm);
    struct tt_bytes name = tpm_mldsa_name(s->tpm);
    uint16_t scheme = (uint16_t)(TT_SCHEME_MLDSA44 + (set - TPM_MLDSA_44));
    s->key.type = (enum tt_key_type)(TT_KEY_MLDSA44 + (set - TPM_MLDSA_44));
    s->key.is_tpm = true;
    memcpy(s->key.name, name.data, name.len);
    s->key.name_len = name.len;
    s->key.schemes[s->key.schemes_len++] = scheme;
    s->key.x509_scheme = scheme;
    TT_TRY(crypto_lib_new(&s->lib, err));
    if (!scheme_available(s->lib, scheme)) {
        (void)error_set(err, TT_ERR_UNSUPPORTED,
                        "the key is an ML-DSA key, which libcrypto on this machine cannot verify");
        error_hint(err, "OpenSSL 3.5 or later is needed for it");
        return TT_ERR_UNSUPPORTED;
    }
    tt_rc rc = spki_make(&s->key, set, tpm_mldsa_public(s->tpm));
    if (rc == TT_OK)
        rc = pubkey_from_spki(&s->pub, s->lib, tt_key_spki(&s->key));
    return rc == TT_OK ? TT_OK : error_set(err, rc, "the key's public part is not a valid public key");
}

tt_rc mldsa_signer_open(struct tt_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                        const struct tt_bytes *password, struct tt_error *err)
{
    static const struct signer_ops ops = {.sign = mldsa_sign, .free = mldsa_free};
    if (password != NULL && password->len > 0)
        return error_set(err, TT_ERR_UNSUPPORTED, "an ML-DSA key in the TPM has no password here");
    struct mldsa_signer *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    s->key.ops = &ops;
    tt_rc rc = tpm_mldsa_load(&s->tpm, tpm, pem, err);
    if (rc == TT_OK)
        rc = fill(s, err);
    if (rc != TT_OK) {
        tt_key_free(&s->key);
        return rc;
    }
    *ret = &s->key;
    return TT_OK;
}
