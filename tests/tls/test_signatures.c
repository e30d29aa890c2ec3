/* tests/tls/test_signatures.c: signatures as an attacker would make them, in the manner of Wycheproof, before
 * the verifier that CertificateVerify is judged by: numbers out of range, DER that is not canonical, other
 * salts, hashes and paddings. RFC 9846 section 4.3.3, RFC 8017 section 9.1, RFC 8032 section 5.1.7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <string.h>

#include "crypto/sig.h"
#include "support/testpki.h"

static const struct tt_bytes message = {(const uint8_t *)"what was signed", 15};

struct verifier {
    struct crypto_lib *lib;
    struct test_key *key;
    struct pubkey *pub;
    uint16_t scheme;
};

static struct verifier open_verifier(const char *kind)
{
    struct verifier v = {.key = test_key_new(kind, &(struct test_cert){.cn = "signer"})};
    v.scheme = v.key->scheme;
    assert_int_equal(crypto_lib_new(&v.lib, NULL), TT_OK);
    assert_int_equal(pubkey_from_spki(&v.pub, v.lib, test_key_spki(v.key)), TT_OK);
    return v;
}

static void close_verifier(struct verifier *v)
{
    pubkey_free(v->pub);
    crypto_lib_free(v->lib);
    test_key_free(v->key);
}

static void expect(const struct verifier *v, const char *what, const uint8_t *sig, size_t len, bool good)
{
    tt_rc rc = pubkey_verify(v->lib, v->pub, v->scheme, message, (struct tt_bytes){sig, len});
    if (rc != (good ? TT_OK : TT_ERR_VERIFY))
        fail_msg("%s: %s", what, tt_rc_name(rc));
}

/* ---- ECDSA: r and s ---- */

/* By hand: libcrypto encodes no negative numbers here. */
static size_t put_integer(uint8_t *to, const BIGNUM *n)
{
    ASN1_INTEGER *a = BN_to_ASN1_INTEGER(n, NULL);
    int len = i2d_ASN1_INTEGER(a, &to);
    assert_true(len > 0);
    ASN1_INTEGER_free(a);
    return (size_t)len;
}

static void expect_rs(const struct verifier *v, const char *what, const BIGNUM *r, const BIGNUM *s, bool good)
{
    uint8_t body[512], der[520] = {0x30};
    size_t len = put_integer(body, r), head = 1;
    len += put_integer(body + len, s);
    if (len > 127)
        der[head++] = 0x81;
    der[head++] = (uint8_t)len;
    memcpy(der + head, body, len);
    expect(v, what, der, head + len, good);
}

static BIGNUM *order_of(const char *kind)
{
    int nid = strcmp(kind, "P-256") == 0 ? NID_X9_62_prime256v1 : NID_secp384r1;
    EC_GROUP *group = EC_GROUP_new_by_curve_name(nid);
    BIGNUM *n = BN_dup(EC_GROUP_get0_order(group));
    EC_GROUP_free(group);
    return n;
}

static void ecdsa_numbers(const char *kind)
{
    struct verifier v = open_verifier(kind);
    uint8_t der[256];
    size_t len = test_sign(v.key, v.scheme, message, der, sizeof der);
    const uint8_t *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    const BIGNUM *r = ECDSA_SIG_get0_r(sig), *s = ECDSA_SIG_get0_s(sig);
    BIGNUM *n = order_of(kind), *zero = BN_new(), *one = BN_new(), *x = BN_new();
    BN_zero(zero);
    assert_int_equal(BN_one(one), 1);
    expect_rs(&v, "as it is", r, s, true);
    expect_rs(&v, "r = 0", zero, s, false);
    expect_rs(&v, "s = 0", r, zero, false);
    expect_rs(&v, "both 0", zero, zero, false);
    expect_rs(&v, "both 1", one, one, false);
    expect_rs(&v, "r = n", n, s, false);
    expect_rs(&v, "s = n", r, n, false);
    assert_int_equal(BN_add(x, r, n), 1);
    expect_rs(&v, "r + n", x, s, false);
    assert_int_equal(BN_add(x, s, n), 1);
    expect_rs(&v, "s + n", r, x, false);
    assert_int_equal(BN_sub(x, r, n), 1);
    expect_rs(&v, "r - n, negative", x, s, false);
    assert_non_null(BN_copy(x, s));
    BN_set_negative(x, 1);
    expect_rs(&v, "-s", r, x, false);
    assert_int_equal(BN_sub(x, n, s), 1);
    expect_rs(&v, "n - s, which ECDSA takes, too", r, x, true);
    assert_int_equal(BN_lshift(x, r, 256), 1);
    expect_rs(&v, "r * 2^256", x, s, false);
    expect_rs(&v, "s and r exchanged", s, r, false);
    BN_free(n), BN_free(zero), BN_free(one), BN_free(x);
    ECDSA_SIG_free(sig);
    close_verifier(&v);
}

static void ecdsa_out_of_range(void **state)
{
    (void)state;
    ecdsa_numbers("P-256");
    ecdsa_numbers("P-384");
}

/* ---- ECDSA: DER that is not canonical ---- */

static void ecdsa_der(void **state)
{
    (void)state;
    struct verifier v = open_verifier("P-256");
    uint8_t der[256], sig[300];
    size_t len = test_sign(v.key, v.scheme, message, der, sizeof der);
    expect(&v, "as it is", der, len, true);
    memcpy(sig, der, len);
    sig[len] = 0;
    expect(&v, "a byte behind", sig, len + 1, false);
    expect(&v, "a byte short", der, len - 1, false);
    expect(&v, "nothing", der, 0, false);
    expect(&v, "the tag alone", der, 1, false);
    sig[0] = 0x31;
    expect(&v, "a SET", sig, len, false);
    /* 30 len -> 30 81 len */
    sig[0] = 0x30, sig[1] = 0x81;
    memcpy(sig + 2, der + 1, len - 1);
    expect(&v, "a length in the long form", sig, len + 1, false);
    sig[1] = 0x80;
    memcpy(sig + 2, der + 2, len - 2);
    memset(sig + len, 0, 2);
    expect(&v, "an indefinite length", sig, len + 2, false);
    /* r with a zero in front of it */
    memcpy(sig, der, 2);
    sig[1]++, sig[2] = 2, sig[3] = (uint8_t)(der[3] + 1), sig[4] = 0;
    memcpy(sig + 5, der + 4, len - 4);
    expect(&v, "r padded with a zero", sig, len + 1, false);
    memcpy(sig, der, len);
    sig[2] = 4;
    expect(&v, "r as an OCTET STRING", sig, len, false);
    memcpy(sig, der, len);
    sig[3]++;
    expect(&v, "r one byte too long", sig, len, false);
    /* a third number */
    memcpy(sig, der, len);
    memcpy(sig + len, "\2\1\0", 3);
    sig[1] = (uint8_t)(sig[1] + 3);
    expect(&v, "three numbers", sig, len + 3, false);
    static const uint8_t empty_numbers[] = {0x30, 4, 2, 0, 2, 0}, no_numbers[] = {0x30, 0};
    expect(&v, "empty numbers", empty_numbers, sizeof empty_numbers, false);
    expect(&v, "no numbers", no_numbers, sizeof no_numbers, false);
    close_verifier(&v);
}

/* ---- RSA ---- */

struct rsa_way {
    const char *what;
    int padding, salt;
    const char *hash, *mgf;
    bool good;
};

static size_t rsa_sign_way(const struct verifier *v, const struct rsa_way *way, uint8_t *sig, size_t cap)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    size_t len = cap;
    assert_int_equal(EVP_DigestSignInit(ctx, &pctx, EVP_get_digestbyname(way->hash), NULL, v->key->pkey), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, way->padding), 1);
    if (way->padding == RSA_PKCS1_PSS_PADDING) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, way->salt), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(pctx, EVP_get_digestbyname(way->mgf)), 1);
    }
    assert_int_equal(EVP_DigestSign(ctx, sig, &len, message.data, message.len), 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

static void rsa_paddings(void **state)
{
    (void)state;
    static const struct rsa_way ways[] = {
        {"as it should be", RSA_PKCS1_PSS_PADDING, 32, "SHA256", "SHA256", true},
        {"no salt", RSA_PKCS1_PSS_PADDING, 0, "SHA256", "SHA256", false},
        {"a salt of 20", RSA_PKCS1_PSS_PADDING, 20, "SHA256", "SHA256", false},
        {"a salt of 31", RSA_PKCS1_PSS_PADDING, 31, "SHA256", "SHA256", false},
        {"a salt of 33", RSA_PKCS1_PSS_PADDING, 33, "SHA256", "SHA256", false},
        {"the longest salt", RSA_PKCS1_PSS_PADDING, 222, "SHA256", "SHA256", false},
        {"MGF1 with SHA-1", RSA_PKCS1_PSS_PADDING, 32, "SHA256", "SHA1", false},
        {"MGF1 with SHA-384", RSA_PKCS1_PSS_PADDING, 32, "SHA256", "SHA384", false},
        {"another hash", RSA_PKCS1_PSS_PADDING, 32, "SHA384", "SHA384", false},
        {"another hash, the same MGF1", RSA_PKCS1_PSS_PADDING, 32, "SHA512-256", "SHA256", false},
        {"PKCS#1 v1.5", RSA_PKCS1_PADDING, 0, "SHA256", "SHA256", false},
    };
    struct verifier v = open_verifier("RSA");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        uint8_t sig[512];
        size_t len = rsa_sign_way(&v, &ways[i], sig, sizeof sig);
        expect(&v, ways[i].what, sig, len, ways[i].good);
    }
    close_verifier(&v);
}

/* The encoded message under a signature, or, with sign set, the signature over one: RSA without any padding.
 */
static void rsa_raw(const struct verifier *v, bool sign, const uint8_t *in, uint8_t *ret, size_t len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(v->key->pkey, NULL);
    size_t n = len;
    assert_int_equal(sign ? EVP_PKEY_sign_init(ctx) : EVP_PKEY_verify_recover_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(
        sign ? EVP_PKEY_sign(ctx, ret, &n, in, len) : EVP_PKEY_verify_recover(ctx, ret, &n, in, len), 1);
    assert_int_equal(n, len);
    EVP_PKEY_CTX_free(ctx);
}

static void rsa_encoded_messages(void **state)
{
    (void)state;
    struct verifier v = open_verifier("RSA");
    uint8_t good[256], em[256], sig[257];
    assert_int_equal(test_sign(v.key, v.scheme, message, good, sizeof good), sizeof good);
    rsa_raw(&v, false, good, em, sizeof em);
    rsa_raw(&v, true, em, sig, sizeof em);
    expect(&v, "made again", sig, sizeof em, true);
    static const struct {
        const char *what;
        size_t at;
        uint8_t xor ;
    } changes[] = {{"another trailer field", 255, 0xbc ^ 0xcc},
                   {"a bit of the hash", 254, 1},
                   {"a bit of the masked padding", 10, 1},
                   {"a bit of the masked salt", 255 - 32 - 1, 1}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        em[changes[i].at] ^= changes[i].xor ;
        rsa_raw(&v, true, em, sig, sizeof em);
        expect(&v, changes[i].what, sig, sizeof em, false);
        em[changes[i].at] ^= changes[i].xor ;
    }
    /* numbers out of range */
    BIGNUM *n = NULL, *x = BN_bin2bn(good, sizeof good, NULL);
    assert_int_equal(EVP_PKEY_get_bn_param(v.key->pkey, "n", &n), 1);
    assert_int_equal(BN_add(x, x, n), 1);
    if (BN_num_bytes(x) <= 256) {
        assert_int_equal(BN_bn2binpad(x, sig, 256), 256);
        expect(&v, "s + n", sig, 256, false);
    }
    assert_int_equal(BN_bn2binpad(n, sig, 256), 256);
    expect(&v, "n", sig, 256, false);
    memset(sig, 0, sizeof sig);
    expect(&v, "0", sig, 256, false);
    sig[255] = 1;
    expect(&v, "1", sig, 256, false);
    memset(sig, 0xff, sizeof sig);
    expect(&v, "2^2048 - 1", sig, 256, false);
    sig[0] = 0;
    memcpy(sig + 1, good, sizeof good);
    expect(&v, "a zero in front", sig, 257, false);
    expect(&v, "a byte short", good, 255, false);
    expect(&v, "nothing", good, 0, false);
    BN_free(n), BN_free(x);
    close_verifier(&v);
}

/* ---- Ed25519 ---- */

/* L = 2^252 + 27742317777372353535851937790883648493, little-endian */
static const uint8_t order_25519[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                        0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};

static void ed25519(void **state)
{
    (void)state;
    struct verifier v = open_verifier("ED25519");
    uint8_t good[64], sig[65];
    assert_int_equal(test_sign(v.key, v.scheme, message, good, sizeof good), sizeof good);
    expect(&v, "as it is", good, sizeof good, true);
    memcpy(sig, good, sizeof good);
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)sig[32 + i] + order_25519[i];
        sig[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    expect(&v, "S + L, another encoding of the same number", sig, 64, false);
    memcpy(sig, good, sizeof good);
    memcpy(sig + 32, order_25519, 32);
    expect(&v, "S = L", sig, 64, false);
    memset(sig + 32, 0, 32);
    expect(&v, "S = 0", sig, 64, false);
    memset(sig, 0xff, sizeof sig);
    expect(&v, "all ones", sig, 64, false);
    memset(sig, 0, sizeof sig);
    expect(&v, "all zeros", sig, 64, false);
    memcpy(sig, good, sizeof good);
    sig[31] ^= 0x80;
    expect(&v, "the sign of R", sig, 64, false);
    memcpy(sig, good, sizeof good);
    sig[64] = 0;
    expect(&v, "a byte long", sig, 65, false);
    expect(&v, "a byte short", good, 63, false);
    expect(&v, "nothing", good, 0, false);
    close_verifier(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ecdsa_out_of_range),   cmocka_unit_test(ecdsa_der), cmocka_unit_test(rsa_paddings),
        cmocka_unit_test(rsa_encoded_messages), cmocka_unit_test(ed25519),
    };
    return cmocka_run_group_tests_name("tls/signatures", tests, NULL, NULL);
}
