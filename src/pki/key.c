/* pki/key.c: which public keys are good enough for a certificate. Layer: pki. The list is what TLS 1.3 can
 * use (RFC 9846 section 4.3.3), less what is too weak or would make verifying expensive. Also makes the CA's
 * software key. */
#include "pki/key.h"

#include <stdio.h>
#include <string.h>

#include "pki/text.h"
#include "wire/pem.h"

#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 8192 /* a check of a bigger key takes long: a way to keep a CA busy */

EVP_PKEY *spki_read(struct tt_bytes spki)
{
    const uint8_t *at = spki.data;
    EVP_PKEY *key = spki.len == 0 || spki.len > INT32_MAX ? NULL : d2i_PUBKEY(NULL, &at, (long)spki.len);
    if (key != NULL && at != spki.data + spki.len) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}

static bool is_rsa(const EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "RSA") == 1 || EVP_PKEY_is_a(key, "RSA-PSS") == 1;
}

static bool is_mldsa(const EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ML-DSA-44") == 1 || EVP_PKEY_is_a(key, "ML-DSA-65") == 1 ||
           EVP_PKEY_is_a(key, "ML-DSA-87") == 1;
}

/* The usual name of the curve, NULL for one TLS 1.3 does not have. */
static const char *curve_name(const EVP_PKEY *key)
{
    char group[32];
    if (EVP_PKEY_is_a(key, "EC") != 1 || EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1)
        return NULL;
    return strcmp(group, "prime256v1") == 0  ? "P-256"
           : strcmp(group, "secp384r1") == 0 ? "P-384"
           : strcmp(group, "secp521r1") == 0 ? "P-521"
                                             : NULL;
}

/* The curves that are accepted have a prime order: a point that is on one and not at infinity is of that
 * order, and multiplying it to see that ("full validation" in SP 800-56A section 5.6.2.3.3) would show
 * nothing more. */
static bool is_sound(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ec = EVP_PKEY_is_a(key, "EC") == 1;
    bool ok = ctx != NULL && (ec ? EVP_PKEY_public_check_quick(ctx) : EVP_PKEY_public_check(ctx)) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static tt_rc key_refuse(const char *whose, const char *why, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_UNSUPPORTED, "%s key %s", whose, why);
    error_hint(err,
               "use P-256 (tpmtls key create), P-384, P-521, Ed25519, ML-DSA, or RSA with 2048 to %d bits",
               RSA_MAX_BITS);
    return TT_ERR_UNSUPPORTED;
}

tt_rc key_accept(EVP_PKEY *key, const char *whose, enum csr_flaw *ret_flaw, struct tt_error *err)
{
    enum csr_flaw none, *flaw = ret_flaw != NULL ? ret_flaw : &none;
    *flaw = FLAW_KEY_DAMAGED;
    if (key == NULL)
        return key_refuse(whose, "cannot be read, or is of a kind that is not known here", err);
    *flaw = FLAW_KEY_KIND;
    if (is_rsa(key)) {
        *flaw = FLAW_KEY_WEAK;
        char why[64];
        int bits = EVP_PKEY_get_bits(key);
        (void)snprintf(why, sizeof why, "is RSA with %d bits, which is too %s", bits,
                       bits < RSA_MIN_BITS ? "weak" : "big");
        if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
            return key_refuse(whose, why, err);
    } else if (EVP_PKEY_is_a(key, "EC") == 1) {
        if (curve_name(key) == NULL)
            return key_refuse(whose, "is on a curve that TLS 1.3 does not have", err);
    } else if (EVP_PKEY_is_a(key, "ED25519") != 1 && EVP_PKEY_is_a(key, "ED448") != 1 && !is_mldsa(key)) {
        return key_refuse(whose, "is of a kind that TLS 1.3 does not have", err);
    }
    *flaw = FLAW_KEY_DAMAGED;
    if (!is_sound(key))
        return key_refuse(whose, "is not a sound public key", err);
    *flaw = FLAW_NONE;
    return TT_OK;
}

tt_rc key_describe(char **ret, const EVP_PKEY *key)
{
    char text[40] = "unknown";
    const char *curve = key == NULL ? NULL : curve_name(key);
    const char *kind = key == NULL ? NULL : EVP_PKEY_get0_type_name(key);
    if (curve != NULL)
        (void)snprintf(text, sizeof text, "%s", curve);
    else if (key != NULL && is_rsa(key))
        (void)snprintf(text, sizeof text, "%s %d", kind, EVP_PKEY_get_bits(key));
    else if (kind != NULL)
        (void)snprintf(text, sizeof text, "%s", kind);
    char *copy = mem_strdup(text);
    if (copy == NULL)
        return TT_ERR_MEMORY;
    *ret = copy;
    return TT_OK;
}

tt_rc key_generate(EVP_PKEY **ret, uint8_t **ret_der, size_t *ret_len, struct tt_error *err)
{
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *key = EVP_EC_gen("P-256");
    PKCS8_PRIV_KEY_INFO *info = key == NULL ? NULL : EVP_PKEY2PKCS8(key);
    uint8_t *der = NULL;
    int len = info == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    PKCS8_PRIV_KEY_INFO_free(info);
    ERR_clear_error();
    if (len <= 0)
        return error_set(err, TT_ERR_INTERNAL, "libcrypto could not make a P-256 key");
    *ret = TT_TAKE(key);
    *ret_der = der;
    *ret_len = (size_t)len;
    return TT_OK;
}

tt_rc tt_ca_key_generate(char **ret_pem, struct tt_error *err)
{
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *key = NULL;
    TT_AUTO(buf_free) struct buf b = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    TT_TRY(key_generate(&key, &der, &len, err));
    tt_rc rc = pem_write(&b, "PRIVATE KEY", (struct tt_bytes){der, len});
    OPENSSL_clear_free(der, len);
    if (rc != TT_OK || text_take(ret_pem, &b) != TT_OK)
        return pki_no_memory(err);
    return TT_OK;
}
