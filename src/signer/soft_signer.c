/* signer/soft_signer.c: a private key in memory as a signer, for servers and tests. Layer: signer. */
#include "crypto/sig.h"
#include "signer/signer.h"

struct soft_signer {
    struct tt_key key; /* must be first */
    struct crypto_lib *lib;
    struct privkey *priv;
};

static tt_rc soft_signer_sign(struct tt_key *key, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig,
                              size_t cap, size_t *ret_len, struct tt_error *err)
{
    struct soft_signer *s = (struct soft_signer *)key;
    tt_rc rc = privkey_sign(s->lib, s->priv, scheme, message, ret_sig, cap, ret_len);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "cannot sign with the software key");
}

static void soft_signer_free(struct tt_key *key)
{
    struct soft_signer *s = (struct soft_signer *)key;
    privkey_free(s->priv);
    crypto_lib_free(s->lib);
}

/* The schemes of TLS 1.3 in the order we like best, each with the key type it implies (RSA by its size). */
static const struct {
    uint16_t scheme;
    enum tt_key_type type;
} tls_schemes[] = {
    {TT_SCHEME_ECDSA_SECP256R1_SHA256, TT_KEY_P256},
    {TT_SCHEME_ECDSA_SECP384R1_SHA384, TT_KEY_P384},
    {TT_SCHEME_ECDSA_SECP521R1_SHA512, TT_KEY_P521},
    {TT_SCHEME_ED25519, TT_KEY_OTHER},
    {TT_SCHEME_ED448, TT_KEY_OTHER},
    {TT_SCHEME_RSA_PSS_RSAE_SHA256, TT_KEY_RSA2048},
    {TT_SCHEME_RSA_PSS_RSAE_SHA384, TT_KEY_RSA2048},
    {TT_SCHEME_RSA_PSS_RSAE_SHA512, TT_KEY_RSA2048},
    {TT_SCHEME_RSA_PSS_PSS_SHA256, TT_KEY_RSA2048},
    {TT_SCHEME_RSA_PSS_PSS_SHA384, TT_KEY_RSA2048},
    {TT_SCHEME_RSA_PSS_PSS_SHA512, TT_KEY_RSA2048},
    {TT_SCHEME_MLDSA44, TT_KEY_OTHER},
    {TT_SCHEME_MLDSA65, TT_KEY_OTHER},
    {TT_SCHEME_MLDSA87, TT_KEY_OTHER},
};

static enum tt_key_type rsa_type(unsigned bits)
{
    return bits == 2048   ? TT_KEY_RSA2048
           : bits == 3072 ? TT_KEY_RSA3072
           : bits == 4096 ? TT_KEY_RSA4096
                          : TT_KEY_OTHER;
}

static tt_rc soft_fill(struct soft_signer *s, struct tt_error *err)
{
    struct tt_key *key = &s->key;
    for (size_t i = 0; i < TT_COUNT(tls_schemes); i++) {
        if (!privkey_fits(s->priv, tls_schemes[i].scheme))
            continue;
        if (key->schemes_len == 0)
            key->type = tls_schemes[i].type;
        if (key->schemes_len < SIGNER_MAX_SCHEMES)
            key->schemes[key->schemes_len++] = tls_schemes[i].scheme;
    }
    if (key->schemes_len == 0)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the software key is of a kind or size that TLS 1.3 cannot use");
    if (key->type == TT_KEY_RSA2048)
        key->type = rsa_type(privkey_bits(s->priv));
    bool pkcs1 = privkey_fits(s->priv, TT_SCHEME_RSA_PKCS1_SHA256);
    key->x509_scheme = pkcs1 ? TT_SCHEME_RSA_PKCS1_SHA256 : key->schemes[0];
    tt_rc rc = privkey_spki(s->priv, &key->spki, &key->spki_len);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "cannot encode the software key's public part");
}

static tt_rc soft_load(struct soft_signer *s, struct tt_bytes pem, const struct tt_bytes *password,
                       struct tt_error *err)
{
    TT_TRY(crypto_lib_new(&s->lib, err));
    TT_TRY(privkey_from_pem(&s->priv, s->lib, pem, password, err));
    return soft_fill(s, err);
}

static tt_rc soft_generate(struct soft_signer *s, enum tt_key_type type, struct tt_error *err)
{
    uint16_t scheme = 0;
    for (size_t i = 0; i < TT_COUNT(tls_schemes) && scheme == 0; i++)
        scheme = tls_schemes[i].type == type ? tls_schemes[i].scheme : 0;
    TT_TRY(crypto_lib_new(&s->lib, err));
    tt_rc rc = privkey_generate(&s->priv, s->lib, scheme);
    if (rc != TT_OK)
        return error_set(err, rc, "cannot make a software key of the type %s", tt_key_type_name(type));
    return soft_fill(s, err);
}

static struct soft_signer *soft_new(void)
{
    static const struct signer_ops ops = {.sign = soft_signer_sign, .free = soft_signer_free};
    struct soft_signer *s = mem_alloc(sizeof *s);
    if (s != NULL) {
        s->key.ops = &ops;
        s->key.type = TT_KEY_OTHER;
    }
    return s;
}

tt_rc tt_key_create_software(struct tt_key **ret, enum tt_key_type type, struct tt_error *err)
{
    struct soft_signer *s = soft_new();
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    tt_rc rc = soft_generate(s, type, err);
    if (rc != TT_OK) {
        tt_key_free(&s->key);
        return rc;
    }
    *ret = &s->key;
    return TT_OK;
}

tt_rc tt_key_open_software(struct tt_key **ret, struct tt_bytes pem, const struct tt_bytes *password,
                           struct tt_error *err)
{
    struct soft_signer *s = soft_new();
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    tt_rc rc = soft_load(s, pem, password, err);
    if (rc != TT_OK) {
        tt_key_free(&s->key);
        return rc;
    }
    *ret = &s->key;
    return TT_OK;
}
