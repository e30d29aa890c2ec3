/* tests/pkcs11/test_decrypt.c: keys made for decryption and Diffie-Hellman do that and do not sign; others
 * sign and do neither. What libcrypto encrypted, or agreed on, is the measure. */
#include "p11_test.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <sys/stat.h>

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static CK_BYTE message[] = "a session key, perhaps";

static int setup(void **state)
{
    (void)state;
    static const struct identity identities[] = {{"ec", TT_KEY_P256, NULL, false, false},
                                                 {"rsa", TT_KEY_RSA2048, NULL, false, false}};
    if (chip_setup(identities, 2) != 0)
        return -1;
    decryption_identity("dec", TT_KEY_RSA2048, NULL);
    decryption_identity("pin-dec", TT_KEY_RSA2048, "secret");
    decryption_identity("dh", TT_KEY_P256, NULL);
    decryption_identity("dh384", TT_KEY_P384, NULL);
    decryption_identity("pin-dh", TT_KEY_P256, "secret");
    return 0;
}

/* padding: RSA_PKCS1_PADDING, or that of OAEP with this hash. */
static size_t encrypt(EVP_PKEY *key, int padding, const EVP_MD *md, CK_BYTE ret[512])
{
    size_t n = 512;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    assert_int_equal(EVP_PKEY_encrypt_init(c), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, padding), 1);
    if (md != NULL) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(c, md), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(c, md), 1);
    }
    assert_int_equal(EVP_PKEY_encrypt(c, ret, &n, message, sizeof message), 1);
    EVP_PKEY_CTX_free(c);
    return n;
}

static CK_RSA_PKCS_OAEP_PARAMS oaep_sha1 = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
static CK_RSA_PKCS_OAEP_PARAMS oaep_sha256 = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
static CK_MECHANISM pkcs1 = {CKM_RSA_PKCS, NULL, 0};
static CK_MECHANISM with_sha1 = {CKM_RSA_PKCS_OAEP, &oaep_sha1, sizeof oaep_sha1};
static CK_MECHANISM with_sha256 = {CKM_RSA_PKCS_OAEP, &oaep_sha256, sizeof oaep_sha256};

static void decrypts(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, CK_MECHANISM *m, CK_BYTE *cipher, size_t n)
{
    CK_BYTE plain[512];
    CK_ULONG len = 0;
    assert_ckr(p11->C_DecryptInit(s, m, key));
    assert_rv(CKR_OPERATION_ACTIVE, p11->C_DecryptInit(s, m, key));
    assert_ckr(p11->C_Decrypt(s, cipher, n, NULL, &len));
    assert_true(len >= sizeof message);
    len = sizeof message - 1;
    assert_rv(CKR_BUFFER_TOO_SMALL, p11->C_Decrypt(s, cipher, n, plain, &len));
    assert_int_equal(len, sizeof message);
    assert_ckr(p11->C_Decrypt(s, cipher, n, plain, &len)); /* exactly enough */
    assert_int_equal(len, sizeof message);
    assert_memory_equal(plain, message, sizeof message);
    assert_rv(CKR_OPERATION_NOT_INITIALIZED, p11->C_Decrypt(s, cipher, n, plain, &len));
}

static void decrypts_all(const char *token, bool pin)
{
    CK_BYTE cipher[512];
    begin();
    CK_SESSION_HANDLE s = open_session(token, 0);
    if (pin)
        assert_ckr(p11->C_Login(s, CKU_USER, PIN, PIN_SIZE));
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY);
    EVP_PKEY *pub = public_key(s, find_one(s, CKO_PUBLIC_KEY));
    decrypts(s, key, &pkcs1, cipher, encrypt(pub, RSA_PKCS1_PADDING, NULL, cipher));
    decrypts(s, key, &with_sha1, cipher, encrypt(pub, RSA_PKCS1_OAEP_PADDING, EVP_sha1(), cipher));
    decrypts(s, key, &with_sha256, cipher, encrypt(pub, RSA_PKCS1_OAEP_PADDING, EVP_sha256(), cipher));
    EVP_PKEY_free(pub);
    end();
}

static void rsa_decrypts(void **state)
{
    (void)state;
    decrypts_all("dec", false);
    decrypts_all("pin-dec", true);
}

static void what_cannot_be_decrypted_is_said(void **state)
{
    (void)state;
    CK_BYTE cipher[512], plain[512], label[] = "label";
    CK_ULONG len = sizeof plain;
    begin();
    CK_SESSION_HANDLE s = open_session("dec", 0);
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY);
    EVP_PKEY *pub = public_key(s, find_one(s, CKO_PUBLIC_KEY));
    size_t n = encrypt(pub, RSA_PKCS1_OAEP_PADDING, EVP_sha256(), cipher);
    assert_ckr(p11->C_DecryptInit(s, &with_sha1, key));
    assert_rv(CKR_ENCRYPTED_DATA_INVALID, p11->C_Decrypt(s, cipher, n, plain, &len));
    assert_ckr(p11->C_DecryptInit(s, &with_sha256, key));
    assert_rv(CKR_ENCRYPTED_DATA_LEN_RANGE, p11->C_Decrypt(s, cipher, n - 1, plain, &len));
    CK_RSA_PKCS_OAEP_PARAMS params = oaep_sha256;
    CK_MECHANISM m = {CKM_RSA_PKCS_OAEP, &params, sizeof params};
    params.mgf = CKG_MGF1_SHA1;
    assert_rv(CKR_MECHANISM_PARAM_INVALID, p11->C_DecryptInit(s, &m, key));
    params.mgf = CKG_MGF1_SHA256;
    params.pSourceData = label;
    params.ulSourceDataLen = sizeof label;
    assert_rv(CKR_MECHANISM_PARAM_INVALID, p11->C_DecryptInit(s, &m, key));
    EVP_PKEY_free(pub);
    end();
}

/* ---- Diffie-Hellman ---- */

static size_t agree(EVP_PKEY *ours, EVP_PKEY *theirs, CK_BYTE ret[80])
{
    size_t n = 80;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(ours, NULL);
    assert_int_equal(EVP_PKEY_derive_init(c), 1);
    assert_int_equal(EVP_PKEY_derive_set_peer(c, theirs), 1);
    assert_int_equal(EVP_PKEY_derive(c, ret, &n), 1);
    EVP_PKEY_CTX_free(c);
    return n;
}

static size_t point_of(EVP_PKEY *key, CK_BYTE ret[140])
{
    size_t n = 0;
    assert_int_equal(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, ret, 140, &n),
                     1);
    return n;
}

static void derives(const char *token, const char *curve, bool pin)
{
    CK_BYTE point[140], expected[80];
    uint8_t value[4096];
    CK_ULONG half = 16;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_OBJECT_HANDLE secret = 0;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},
                               {CKA_SENSITIVE, &no, sizeof no},
                               {CKA_EXTRACTABLE, &yes, sizeof yes},
                               {CKA_KEY_TYPE, &type, sizeof type},
                               {CKA_VALUE_LEN, &half, sizeof half}};
    begin();
    CK_SESSION_HANDLE s = open_session(token, 0);
    if (pin)
        assert_ckr(p11->C_Login(s, CKU_USER, PIN, PIN_SIZE));
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY);
    EVP_PKEY *pub = public_key(s, find_one(s, CKO_PUBLIC_KEY)), *other = EVP_EC_gen(curve);
    size_t n = agree(other, pub, expected);
    CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, point_of(other, point), point};
    CK_MECHANISM m = {CKM_ECDH1_DERIVE, &params, sizeof params};
    assert_ckr(p11->C_DeriveKey(s, &m, key, template, 3, &secret));
    assert_int_equal(get(s, secret, CKA_VALUE, value), n);
    assert_memory_equal(value, expected, n);
    assert_ckr(p11->C_DestroyObject(s, secret));
    assert_ckr(p11->C_DeriveKey(s, &m, key, template, 5, &secret));
    assert_int_equal(get(s, secret, CKA_VALUE, value), half);
    assert_memory_equal(value, expected + n - half, half);
    half = 200;
    assert_rv(CKR_TEMPLATE_INCONSISTENT, p11->C_DeriveKey(s, &m, key, template, 5, &secret));
    point[5] ^= 1; /* on no curve */
    assert_rv(CKR_MECHANISM_PARAM_INVALID, p11->C_DeriveKey(s, &m, key, template, 3, &secret));
    params.ulPublicDataLen -= 2;
    assert_rv(CKR_MECHANISM_PARAM_INVALID, p11->C_DeriveKey(s, &m, key, template, 3, &secret));
    template[1].pValue = &yes; /* nobody could use it */
    assert_rv(CKR_TEMPLATE_INCONSISTENT, p11->C_DeriveKey(s, &m, key, template, 3, &secret));
    EVP_PKEY_free(pub);
    EVP_PKEY_free(other);
    end();
}

static void ec_derives(void **state)
{
    (void)state;
    derives("dh", "P-256", false);
    derives("dh384", "P-384", false);
    derives("pin-dh", "P-256", true);
}

/* ---- for one thing only ---- */

static CK_BBOOL flag(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type)
{
    uint8_t value[4096];
    assert_int_equal(get(s, key, type, value), sizeof(CK_BBOOL));
    return value[0];
}

static void uses_are(const char *token, CK_BBOOL sign, CK_BBOOL decrypt, CK_BBOOL derive)
{
    CK_BYTE point[65] = {4};
    CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, sizeof point, point};
    CK_MECHANISM ecdh = {CKM_ECDH1_DERIVE, &params, sizeof params}, ecdsa = {CKM_ECDSA, NULL, 0};
    CK_OBJECT_HANDLE secret;
    CK_SESSION_HANDLE s = open_session(token, 0);
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY);
    bool rsa = strcmp(token, "rsa") == 0 || strcmp(token, "dec") == 0;
    assert_int_equal(flag(s, key, CKA_SIGN), sign);
    assert_int_equal(flag(s, key, CKA_DECRYPT), decrypt);
    assert_int_equal(flag(s, key, CKA_DERIVE), derive);
    assert_rv(sign ? CKR_OK : CKR_KEY_FUNCTION_NOT_PERMITTED, p11->C_SignInit(s, rsa ? &pkcs1 : &ecdsa, key));
    if (rsa)
        assert_rv(decrypt ? CKR_OK : CKR_KEY_FUNCTION_NOT_PERMITTED, p11->C_DecryptInit(s, &pkcs1, key));
    else
        assert_rv(derive ? CKR_MECHANISM_PARAM_INVALID : CKR_KEY_FUNCTION_NOT_PERMITTED,
                  p11->C_DeriveKey(s, &ecdh, key, NULL, 0, &secret)); /* that point is on no curve */
}

static void a_key_has_one_use(void **state)
{
    (void)state;
    begin();
    uses_are("rsa", CK_TRUE, CK_FALSE,
             CK_FALSE); /* its public area allows both: that is how it pads as it is asked to */
    uses_are("ec", CK_TRUE, CK_FALSE, CK_FALSE);
    uses_are("dec", CK_FALSE, CK_TRUE, CK_FALSE);
    uses_are("dh", CK_FALSE, CK_FALSE, CK_TRUE);
    end();
}

static void a_decryption_key_is_made(void **state)
{
    (void)state;
    char path[256];
    CK_OBJECT_HANDLE pub = 0, priv = 0;
    CK_MECHANISM m = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE curve = {CKA_EC_PARAMS, p256, sizeof p256};
    CK_ATTRIBUTE uses[] = {
        {CKA_TOKEN, &yes, sizeof yes}, {CKA_DERIVE, &yes, sizeof yes}, {CKA_SIGN, &no, sizeof no}};
    (void)snprintf(path, sizeof path, "%s/new", ids);
    assert_int_equal(mkdir(path, 0700), 0);
    begin();
    CK_SESSION_HANDLE s = open_session("new", CKF_RW_SESSION);
    assert_ckr(p11->C_GenerateKeyPair(s, &m, &curve, 1, uses, 3, &pub, &priv));
    uses_are("new", CK_FALSE, CK_FALSE, CK_TRUE);
    end();
    derives("new", "P-256", false);
}

static void a_wrong_pin_is_seen(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 2; i++) {
        CK_SESSION_HANDLE s = open_session(i == 0 ? "pin-dec" : "pin-dh", 0);
        assert_rv(CKR_PIN_INCORRECT, p11->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR) "wrong", 5));
        assert_ckr(p11->C_Login(s, CKU_USER, PIN, PIN_SIZE));
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_decrypts),
        cmocka_unit_test(what_cannot_be_decrypted_is_said),
        cmocka_unit_test(ec_derives),
        cmocka_unit_test(a_key_has_one_use),
        cmocka_unit_test(a_decryption_key_is_made),
        cmocka_unit_test(a_wrong_pin_is_seen),
    };
    return cmocka_run_group_tests_name("pkcs11/decrypt", tests, setup, chip_teardown);
}
