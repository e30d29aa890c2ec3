/* tests/tpm/test_soft.c: software keys as signers, and the signer double that other tests use. */
#include "tpm_test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "support/signer_double.h"

/* A fresh key as PEM; freed with free by way of OPENSSL_free's own allocator: the BIO. */
static struct tt_key *soft_key(EVP_PKEY *pkey, const char *password, const char *given, tt_rc *ret_rc)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey, password == NULL ? NULL : EVP_aes_128_cbc(),
                                                   password, password == NULL ? 0 : (int)strlen(password),
                                                   NULL, NULL),
                     1);
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    struct tt_bytes keep;
    *ret_rc = tt_key_open_software(&key, (struct tt_bytes){(uint8_t *)data, (size_t)n},
                                   password_of(&keep, given), &err);
    assert_true((*ret_rc == TT_OK) == (err.text[0] == '\0'));
    BIO_free(bio);
    return key;
}

static void every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned bits;
        const char *curve;
        enum tt_key_type type;
        uint16_t first, x509;
    } kinds[] = {
        {"EC", 0, "P-256", TT_KEY_P256, TT_SCHEME_ECDSA_SECP256R1_SHA256, TT_SCHEME_ECDSA_SECP256R1_SHA256},
        {"EC", 0, "P-384", TT_KEY_P384, TT_SCHEME_ECDSA_SECP384R1_SHA384, TT_SCHEME_ECDSA_SECP384R1_SHA384},
        {"EC", 0, "P-521", TT_KEY_P521, TT_SCHEME_ECDSA_SECP521R1_SHA512, TT_SCHEME_ECDSA_SECP521R1_SHA512},
        {"RSA", 2048, NULL, TT_KEY_RSA2048, TT_SCHEME_RSA_PSS_RSAE_SHA256, TT_SCHEME_RSA_PKCS1_SHA256},
    };
    for (size_t i = 0; i < TT_COUNT(kinds); i++) {
        EVP_PKEY *pkey = kinds[i].curve != NULL ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", kinds[i].curve)
                                                : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)kinds[i].bits);
        tt_rc rc;
        struct tt_key *key = soft_key(pkey, NULL, NULL, &rc);
        assert_int_equal(rc, TT_OK);
        assert_int_equal(tt_key_type(key), kinds[i].type);
        assert_false(tt_key_is_tpm(key));
        assert_int_equal(tt_key_name(key).len, 0);
        uint16_t schemes[16];
        size_t n = tt_key_schemes(key, schemes, TT_COUNT(schemes));
        assert_true(n >= 1 && n <= TT_COUNT(schemes));
        assert_int_equal(schemes[0], kinds[i].first);
        assert_int_equal(tt_key_x509_scheme(key), kinds[i].x509);
        for (size_t k = 0; k < n; k++)
            sign_and_verify(key, schemes[k]);
        sign_and_verify(key, tt_key_x509_scheme(key));
        tt_key_free(key);
        EVP_PKEY_free(pkey);
    }
}

static void ed25519(void **state)
{
    (void)state;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    tt_rc rc;
    struct tt_key *key = soft_key(pkey, NULL, NULL, &rc);
    assert_int_equal(rc, TT_OK);
    uint16_t scheme = 0;
    assert_int_equal(tt_key_schemes(key, &scheme, 1), 1);
    assert_int_equal(scheme, TT_SCHEME_ED25519);
    uint8_t sig[64];
    size_t len = 0;
    struct tt_error err = {0};
    assert_ok(tt_key_sign(key, scheme, text_bytes("x"), sig, sizeof sig, &len, &err), &err);
    assert_int_equal(len, 64);
    /* A scheme of another key type is refused before anything is computed. */
    assert_int_equal(
        tt_key_sign(key, TT_SCHEME_ECDSA_SECP256R1_SHA256, text_bytes("x"), sig, sizeof sig, &len, &err),
        TT_ERR_USAGE);
    assert_non_null(strstr(err.text, "ecdsa_secp256r1_sha256"));
    tt_key_free(key);
    EVP_PKEY_free(pkey);
}

static void passwords(void **state)
{
    (void)state;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    tt_rc rc;
    struct tt_key *key = soft_key(pkey, "right", "right", &rc);
    assert_int_equal(rc, TT_OK);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    tt_key_free(key);
    assert_null(soft_key(pkey, "right", "wrong", &rc));
    assert_int_equal(rc, TT_ERR_AUTH);
    assert_null(soft_key(pkey, "right", NULL, &rc));
    assert_int_equal(rc, TT_ERR_AUTH);
    EVP_PKEY_free(pkey);
}

static struct tt_key *double_of(EVP_PKEY *pkey, struct signer_double what)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
    (void)BIO_write(bio, "", 1); /* ends the string */
    char *data = NULL;
    (void)BIO_get_mem_data(bio, &data);
    what.pem = data;
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    assert_ok(signer_double_new(&key, &what, &err), &err);
    BIO_free(bio);
    return key;
}

static void double_plays_the_chip(void **state)
{
    (void)state;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    struct tt_key *key = double_of(pkey, (struct signer_double){.delay_ms = 20, .pose_as_tpm = true});
    assert_true(tt_key_is_tpm(key));
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    assert_int_equal(signer_double_signatures(key), 1);
    tt_key_free(key);
    key = double_of(pkey, (struct signer_double){.fail = true});
    uint8_t sig[128];
    size_t len;
    struct tt_error err = {0};
    assert_int_equal(
        tt_key_sign(key, TT_SCHEME_ECDSA_SECP256R1_SHA256, text_bytes("x"), sig, sizeof sig, &len, &err),
        TT_ERR_TPM);
    tt_key_free(key);
    EVP_PKEY_free(pkey);
}

/* The chip of the field: 222 bytes of salt for RSA-2048 with SHA-256, which no TLS 1.3 verifier takes. */
static void double_with_maximum_salt(void **state)
{
    (void)state;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    struct tt_key *key = double_of(pkey, (struct signer_double){.maximum_salt = true});
    uint8_t sig[256];
    size_t len = 0;
    struct tt_error err = {0};
    assert_ok(tt_key_sign(key, TT_SCHEME_RSA_PSS_RSAE_SHA256, text_bytes("x"), sig, sizeof sig, &len, &err),
              &err);
    static const int salts[] = {32, 222};
    for (int i = 0; i < 2; i++) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *p = NULL;
        assert_int_equal(EVP_DigestVerifyInit(ctx, &p, EVP_sha256(), NULL, pkey), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(p, salts[i]), 1);
        assert_int_equal(EVP_DigestVerify(ctx, sig, len, (const uint8_t *)"x", 1) == 1, salts[i] == 222);
        EVP_MD_CTX_free(ctx);
    }
    tt_key_free(key);
    EVP_PKEY_free(pkey);
}

static void type_names(void **state)
{
    (void)state;
    for (enum tt_key_type t = TT_KEY_P256; t < TT_KEY_OTHER; t++) {
        enum tt_key_type back = TT_KEY_OTHER;
        assert_int_equal(tt_key_type_parse(&back, tt_key_type_name(t)), TT_OK);
        assert_int_equal(back, t);
    }
    enum tt_key_type none = TT_KEY_OTHER;
    assert_int_equal(tt_key_type_parse(&none, "rsa1024"), TT_ERR_USAGE);
    assert_int_equal(tt_key_type_parse(&none, "other"), TT_ERR_USAGE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind),
        cmocka_unit_test(ed25519),
        cmocka_unit_test(passwords),
        cmocka_unit_test(double_plays_the_chip),
        cmocka_unit_test(double_with_maximum_salt),
        cmocka_unit_test(type_names),
    };
    return cmocka_run_group_tests_name("soft", tests, NULL, NULL);
}
