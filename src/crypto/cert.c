/* crypto/cert.c: reading DER certificates. Layer: crypto. RFC 5280 section 4.1, RFC 5480.
 *
 * d2i_X509 of libcrypto 3.0 looks for the public key with its generic decoder: 110 us a certificate, more
 * than a signature and a verification together. For P-256 and P-384 the key is therefore read here, in a way
 * that changes nothing else: the certificate is decoded where libcrypto finds no decoder for the key, then
 * the key is put in. Whatever does not go well on this way (another key, a point not on the curve, another
 * encoding) goes through d2i_X509, so that this file decides nothing. */
#define OPENSSL_SUPPRESS_DEPRECATED  /* EC_KEY: the only keys that X509_set_pubkey takes without that decoder \
                                      */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <string.h>

#include "crypto/cert_internal.h"
#include "crypto/refusal.h"
#include "crypto/sig_internal.h"
#include "crypto/trust.h"

static X509 *whole(X509 *x, struct tt_bytes der, const uint8_t *end)
{
    if (x == NULL || end == der.data + der.len)
        return x;
    X509_free(x);
    return NULL;
}

static EVP_PKEY *point_key(const EC_GROUP *group, struct tt_bytes point)
{
    EVP_PKEY *pkey = EVP_PKEY_new();
    EC_KEY *ec = EC_KEY_new();
    /* oct2key refuses a point that is not on the curve; assign takes ec. */
    if (pkey != NULL && ec != NULL && EC_KEY_set_group(ec, group) == 1 &&
        EC_KEY_oct2key(ec, point.data, point.len, NULL) == 1 && EVP_PKEY_assign_EC_KEY(pkey, ec) == 1)
        return pkey;
    EC_KEY_free(ec);
    EVP_PKEY_free(pkey);
    return NULL;
}

/* Does the certificate still stand for the very bytes that were signed? */
static bool is_encoded_as(X509 *x, struct tt_bytes der)
{
    uint8_t *again = NULL;
    int len = i2d_X509(x, &again);
    bool same = len > 0 && (size_t)len == der.len && memcmp(again, der.data, der.len) == 0;
    OPENSSL_free(again);
    return same;
}

/* A leaf's key never verifies anything here (CertificateVerify has its own): with the plain group it is put
 * in four times as fast, because the coordinates of a point just read need no inversion there. */
static EVP_PKEY *leaf_key_take(struct leaf_key *ret, const struct curve *c, struct tt_bytes point)
{
    ret->home = c->leaf_keys;
    ret->key = spare_take(ret->home);
    EC_KEY *ec = ret->key == NULL ? NULL : (EC_KEY *)(uintptr_t)EVP_PKEY_get0_EC_KEY(ret->key);
    if (ec == NULL)
        ret->key = point_key(c->plain, point);
    else if (EC_KEY_oct2key(ec, point.data, point.len, NULL) != 1)
        EVP_PKEY_free(TT_TAKE(ret->key));
    return ret->key;
}

void leaf_key_give(struct leaf_key *k)
{
    if (k->key == NULL || !spare_give(k->home, k->key))
        EVP_PKEY_free(k->key);
    k->key = NULL;
}

static bool put_key(const struct crypto_lib *lib, X509 *x, struct leaf_key *leaf)
{
    uint8_t *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    enum curve_id curve;
    struct tt_bytes point;
    bool done = false;
    if (len > 0 && spki_point((struct tt_bytes){spki, (size_t)len}, &curve, &point)) {
        const struct curve *c = &lib->curves[curve];
        EVP_PKEY *pkey = leaf != NULL ? leaf_key_take(leaf, c, point) : point_key(c->group, point);
        done = pkey != NULL && X509_set_pubkey(x, pkey) == 1;
        if (leaf == NULL)
            EVP_PKEY_free(pkey); /* x has a reference */
    }
    OPENSSL_free(spki);
    return done;
}

static X509 *x509_read_fast(const struct crypto_lib *lib, struct tt_bytes der, struct leaf_key *leaf)
{
    const uint8_t *at = der.data;
    if (lib->bare == NULL)
        return NULL;
    X509 *x = (X509 *)ASN1_item_d2i_ex(NULL, &at, (long)der.len, ASN1_ITEM_rptr(X509), lib->bare, NULL);
    x = whole(x, der, at);
    if (x == NULL || (put_key(lib, x, leaf) && is_encoded_as(x, der)))
        return x;
    X509_free(x);
    return NULL;
}

tt_rc x509_read(X509 **ret, const struct crypto_lib *lib, struct tt_bytes der, struct leaf_key *leaf)
{
    if (der.len > INT32_MAX)
        return TT_ERR_DECODE;
    refusal_forget();
    X509 *x = x509_read_fast(lib, der, leaf);
    if (x == NULL) {
        const uint8_t *at = der.data;
        x = d2i_X509(NULL, &at, (long)der.len);
        x = whole(x, der, at);
    }
    if (x == NULL)
        return refusal_end(TT_ERR_DECODE);
    ERR_clear_error();
    *ret = x;
    return TT_OK;
}

/* Where its point stands, without a copy of it; false for a key that is no point. */
static bool x509_point(const X509 *x, enum curve_id *ret_curve, struct tt_bytes *ret_point)
{
    static const uint8_t ec_key[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    ASN1_OBJECT *type = NULL;
    X509_ALGOR *algorithm = NULL;
    const uint8_t *key = NULL;
    const void *curve = NULL;
    int len = 0, kind = 0;
    if (X509_PUBKEY_get0_param(&type, &key, &len, &algorithm, X509_get_X509_PUBKEY(x)) != 1 || len <= 0 ||
        OBJ_length(type) != sizeof ec_key || memcmp(OBJ_get0_data(type), ec_key, sizeof ec_key) != 0)
        return false;
    X509_ALGOR_get0(NULL, &kind, &curve, algorithm);
    int nid = kind == V_ASN1_OBJECT ? OBJ_obj2nid(curve) : NID_undef;
    size_t wanted = nid == NID_X9_62_prime256v1 ? 65 : nid == NID_secp384r1 ? 97 : 0;
    *ret_curve = nid == NID_secp384r1 ? CURVE_P384 : CURVE_P256;
    *ret_point = (struct tt_bytes){key, (size_t)len};
    return wanted == (size_t)len && key[0] == 0x04;
}

tt_rc x509_key(struct pubkey **ret, const struct crypto_lib *lib, X509 *x)
{
    uint8_t *der = NULL;
    enum curve_id curve;
    struct tt_bytes point;
    /* With its key read, by libcrypto or by put_key, the point is known to be on the curve. */
    if (X509_get0_pubkey(x) != NULL && x509_point(x, &curve, &point))
        return point_key_new((struct sig_key **)ret, lib, curve, point);
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    if (len <= 0)
        return TT_ERR_MEMORY;
    tt_rc rc = pubkey_from_spki(ret, lib, (struct tt_bytes){der, (size_t)len});
    OPENSSL_free(der);
    return rc;
}

tt_rc cert_leaf_key(struct pubkey **ret, const struct crypto_lib *lib, struct tt_bytes der)
{
    X509 *x = NULL;
    TT_TRY(x509_read(&x, lib, der, NULL));
    tt_rc rc = x509_key(ret, lib, x);
    X509_free(x);
    return rc;
}

bool cert_has_spki(struct tt_bytes der, struct tt_bytes spki)
{
    const uint8_t *at = der.data;
    X509 *x = der.len <= INT32_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
    uint8_t *own = NULL;
    int len = x != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &own) : -1;
    bool same = len > 0 && (size_t)len == spki.len && memcmp(own, spki.data, spki.len) == 0;
    OPENSSL_free(own);
    X509_free(x);
    ERR_clear_error();
    return same;
}
