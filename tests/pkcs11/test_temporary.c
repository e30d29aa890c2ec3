/* tests/pkcs11/test_temporary.c: session objects: public keys of others, with which the module verifies.
 * pkcs11-provider makes one for each signature that it is to check. */
#include "p11_test.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

static CK_OBJECT_CLASS public_class = CKO_PUBLIC_KEY;
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

static int setup(void **state)
{
    (void)state;
    static const struct identity identities[] = {{"ec", TT_KEY_P256, NULL, false, false},
                                                 {"other", TT_KEY_P256, NULL, false, false}};
    return chip_setup(identities, 2);
}

/* struct other: somebody's software key, and its public half as a template. */
struct other {
    EVP_PKEY *key;
    CK_KEY_TYPE type;
    CK_BYTE first[600], second[16];
    CK_ATTRIBUTE template[6];
};

static void other_template(struct other *o, CK_ATTRIBUTE a, CK_ATTRIBUTE b)
{
    CK_ATTRIBUTE all[6] = {{CKA_CLASS, &public_class, sizeof public_class},
                           {CKA_KEY_TYPE, &o->type, sizeof o->type},
                           {CKA_TOKEN, &no, sizeof no},
                           {CKA_VERIFY, &yes, sizeof yes},
                           a,
                           b};
    memcpy(o->template, all, sizeof all);
}

static void other_ec(struct other *o)
{
    size_t n = 0;
    o->type = CKK_EC;
    o->key = EVP_EC_gen("P-256");
    o->first[0] = 0x04; /* OCTET STRING */
    assert_int_equal(
        EVP_PKEY_get_octet_string_param(o->key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, o->first + 2, 100, &n),
        1);
    o->first[1] = (CK_BYTE)n;
    other_template(o, (CK_ATTRIBUTE){CKA_EC_PARAMS, p256, sizeof p256},
                   (CK_ATTRIBUTE){CKA_EC_POINT, o->first, n + 2});
}

static void other_rsa(struct other *o)
{
    BIGNUM *n = NULL, *e = NULL;
    o->type = CKK_RSA;
    o->key = EVP_RSA_gen(2048);
    assert_int_equal(EVP_PKEY_get_bn_param(o->key, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    assert_int_equal(EVP_PKEY_get_bn_param(o->key, OSSL_PKEY_PARAM_RSA_E, &e), 1);
    CK_ULONG n_len = (CK_ULONG)BN_bn2bin(n, o->first), e_len = (CK_ULONG)BN_bn2bin(e, o->second);
    other_template(o, (CK_ATTRIBUTE){CKA_MODULUS, o->first, n_len},
                   (CK_ATTRIBUTE){CKA_PUBLIC_EXPONENT, o->second, e_len});
    BN_free(n);
    BN_free(e);
}

/* Over the 32 bytes of digest; of an EC key r and s as PKCS#11 has them. */
static size_t other_sign(const struct other *o, const CK_BYTE digest[32], CK_BYTE ret[512])
{
    CK_BYTE out[512];
    size_t n = sizeof out;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(o->key, NULL);
    assert_int_equal(EVP_PKEY_sign_init(c), 1);
    if (o->type == CKK_RSA)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING), 1);
    assert_int_equal(EVP_PKEY_sign(c, out, &n, digest, 32), 1);
    EVP_PKEY_CTX_free(c);
    if (o->type == CKK_RSA) {
        memcpy(ret, out, n);
        return n;
    }
    const unsigned char *at = out;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)n);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + 32, 32), 32);
    ECDSA_SIG_free(sig);
    return 64;
}

static CK_RV verify(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, const struct other *o, CK_BYTE *digest,
                    CK_BYTE *sig, size_t len)
{
    CK_MECHANISM m = {o->type == CKK_RSA ? CKM_RSA_PKCS : CKM_ECDSA, NULL, 0};
    CK_RV rv = p11->C_VerifyInit(s, &m, key);
    return rv == CKR_OK ? p11->C_Verify(s, digest, 32, sig, len) : rv;
}

static void verifies_with(CK_SESSION_HANDLE s, const struct other *o)
{
    CK_BYTE digest[32] = "what somebody else has signed", sig[512];
    CK_OBJECT_HANDLE key = 0;
    size_t n = other_sign(o, digest, sig);
    assert_ckr(p11->C_CreateObject(s, (CK_ATTRIBUTE_PTR)o->template, 6, &key));
    assert_ckr(verify(s, key, o, digest, sig, n));
    digest[0] ^= 1;
    assert_rv(CKR_SIGNATURE_INVALID, verify(s, key, o, digest, sig, n));
    CK_MECHANISM m = {CKM_ECDSA, NULL, 0};
    assert_rv(CKR_KEY_FUNCTION_NOT_PERMITTED, p11->C_SignInit(s, &m, key));
    assert_ckr(p11->C_DestroyObject(s, key));
    assert_rv(CKR_KEY_HANDLE_INVALID, verify(s, key, o, digest, sig, n));
}

static void others_signatures_are_verified(void **state)
{
    (void)state;
    struct other o;
    begin();
    CK_SESSION_HANDLE s = open_session("ec", 0); /* read-only: that is about token objects */
    other_ec(&o);
    verifies_with(s, &o);
    o.template[5].pValue = o.first + 2; /* the bare point, which some give */
    o.template[5].ulValueLen -= 2;
    verifies_with(s, &o);
    EVP_PKEY_free(o.key);
    other_rsa(&o);
    verifies_with(s, &o);
    EVP_PKEY_free(o.key);
    end();
}

static CK_ULONG found(CK_SESSION_HANDLE s, CK_BBOOL *token)
{
    CK_ATTRIBUTE a[] = {{CKA_CLASS, &public_class, sizeof public_class}, {CKA_TOKEN, token, sizeof *token}};
    CK_OBJECT_HANDLE all[8];
    CK_ULONG n = 0;
    assert_ckr(p11->C_FindObjectsInit(s, a, 2));
    assert_ckr(p11->C_FindObjects(s, all, 8, &n));
    assert_ckr(p11->C_FindObjectsFinal(s));
    return n;
}

/* Seen by all sessions of the token, gone with the one that made it. */
static void it_lives_as_long_as_its_session(void **state)
{
    (void)state;
    struct other o;
    uint8_t value[4096];
    CK_OBJECT_HANDLE key = 0;
    begin();
    CK_SESSION_HANDLE s = open_session("ec", 0), second = open_session("ec", 0),
                      elsewhere = open_session("other", 0);
    other_ec(&o);
    assert_ckr(p11->C_CreateObject(s, o.template, 6, &key));
    assert_int_equal(found(second, &no), 1);
    assert_int_equal(found(second, &yes), 1);
    assert_int_equal(found(elsewhere, &no), 0);
    assert_int_equal(get(second, key, CKA_DESTROYABLE, value), 1);
    assert_int_equal(value[0], CK_TRUE);
    assert_int_equal(get(second, key, CKA_EC_PARAMS, value), sizeof p256);
    assert_memory_equal(value, p256, sizeof p256);
    assert_ckr(p11->C_CloseSession(s));
    assert_int_equal(found(second, &no), 0);
    assert_rv(CKR_OBJECT_HANDLE_INVALID, p11->C_GetAttributeValue(second, key, o.template, 1));
    EVP_PKEY_free(o.key);
    end();
}

static void what_is_no_public_key_is_refused(void **state)
{
    (void)state;
    struct other o;
    CK_OBJECT_HANDLE key = 0;
    begin();
    CK_SESSION_HANDLE s = open_session("ec", CKF_RW_SESSION);
    other_ec(&o);
    assert_rv(CKR_TEMPLATE_INCOMPLETE, p11->C_CreateObject(s, o.template, 5, &key));
    assert_rv(CKR_TEMPLATE_INCOMPLETE, p11->C_CreateObject(s, o.template, 1, &key));
    o.template[2].pValue = &yes;
    assert_rv(CKR_TEMPLATE_INCONSISTENT, p11->C_CreateObject(s, o.template, 6, &key));
    o.template[2].pValue = &no;
    o.type = CKK_AES;
    assert_rv(CKR_ATTRIBUTE_VALUE_INVALID, p11->C_CreateObject(s, o.template, 6, &key));
    o.type = CKK_EC;
    o.first[10] ^= 1; /* on no curve */
    assert_rv(CKR_ATTRIBUTE_VALUE_INVALID, p11->C_CreateObject(s, o.template, 6, &key));
    o.first[10] ^= 1;
    for (int i = 0; i < 64; i++)
        assert_ckr(p11->C_CreateObject(s, o.template, 6, &key));
    assert_rv(CKR_DEVICE_MEMORY, p11->C_CreateObject(s, o.template, 6, &key));
    EVP_PKEY_free(o.key);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_signatures_are_verified),
        cmocka_unit_test(it_lives_as_long_as_its_session),
        cmocka_unit_test(what_is_no_public_key_is_refused),
    };
    return cmocka_run_group_tests_name("pkcs11/temporary", tests, setup, chip_teardown);
}
