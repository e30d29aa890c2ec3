/* tests/pkcs11/test_faults.c: every allocation of the module's own fails once, in a run through all that it
 * does: the call says so, the next one works, and nothing is lost. */
#include "p11_test.h"

#include "base/mem.h"
#include "support/range.h"

static int setup_signing(void **state)
{
    static const struct identity identities[] = {{"one", TT_KEY_P256, NULL, false, false},
                                                 {"two", TT_KEY_RSA2048, "secret", false, false}};
    (void)state;
    return chip_setup(identities, TT_COUNT(identities));
}

static CK_BYTE message[] = "a session key, perhaps", cipher[256];

static int setup_decrypting(void **state)
{
    (void)state;
    size_t n = sizeof cipher;
    if (chip_setup(NULL, 0) != 0)
        return -1;
    decryption_identity("dec", TT_KEY_RSA2048, "secret");
    decryption_identity("dh", TT_KEY_P256, NULL);
    begin();
    CK_SESSION_HANDLE s = open_session("dec", 0);
    EVP_PKEY *pub = public_key(s, find_one(s, CKO_PUBLIC_KEY));
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pub, NULL); /* PKCS#1 v1.5 is the default */
    assert_int_equal(EVP_PKEY_encrypt_init(c), 1);
    assert_int_equal(EVP_PKEY_encrypt(c, cipher, &n, message, sizeof message), 1);
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(pub);
    end();
    return 0;
}

static CK_RV failure; /* the first one of a run */
static bool good(CK_RV rv)
{
    if (rv != CKR_OK && failure == CKR_OK)
        failure = rv;
    return rv == CKR_OK;
}

static void run_session(CK_SLOT_ID slot, bool rsa)
{
    static CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE key;
    CK_MECHANISM m = {rsa ? CKM_SHA256_RSA_PKCS : CKM_ECDSA_SHA256, NULL, 0}, sha = {CKM_SHA256, NULL, 0};
    CK_BYTE data[8] = {1}, sig[256], point[256];
    CK_ULONG n = 0, len = sizeof sig;
    CK_ATTRIBUTE a = {CKA_EC_POINT, point, sizeof point};
    if (!good(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &s)))
        return;
    (void)good(p11->C_Login(s, CKU_USER, PIN, PIN_SIZE));
    if (good(p11->C_FindObjectsInit(s, &template, 1)) && good(p11->C_FindObjects(s, &key, 1, &n)) &&
        good(p11->C_FindObjectsFinal(s)) && n == 1) {
        if (good(p11->C_SignInit(s, &m, key)) && good(p11->C_Sign(s, data, sizeof data, sig, &len)) &&
            good(p11->C_VerifyInit(s, &m, key + 1)))
            (void)good(p11->C_Verify(s, data, sizeof data, sig, len));
        if (!rsa)
            (void)good(p11->C_GetAttributeValue(s, key + 1, &a, 1));
    }
    len = sizeof sig;
    if (good(p11->C_DigestInit(s, &sha)))
        (void)good(p11->C_Digest(s, data, sizeof data, sig, &len));
    assert_ckr(p11->C_CloseSession(s));
}

/* ---- keys for decryption, and session objects ---- */

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
/* P-256's base point is somebody's public key as well as any. */
static CK_BYTE point[] = {0x04, 0x41, 0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
                          0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4,
                          0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f,
                          0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b,
                          0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};

static void derive(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
    static CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, sizeof point - 2, point + 2};
    CK_MECHANISM m = {CKM_ECDH1_DERIVE, &params, sizeof params};
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},
                               {CKA_SENSITIVE, &no, sizeof no},
                               {CKA_EXTRACTABLE, &yes, sizeof yes}};
    CK_OBJECT_HANDLE secret;
    CK_BYTE value[32];
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    if (good(p11->C_DeriveKey(s, &m, key, template, TT_COUNT(template), &secret))) {
        (void)good(p11->C_GetAttributeValue(s, secret, &a, 1));
        (void)good(p11->C_DestroyObject(s, secret));
    }
}

static void decrypt(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
    CK_BYTE plain[256];
    CK_ULONG len = sizeof plain;
    if (good(p11->C_DecryptInit(s, &m, key)) && good(p11->C_Decrypt(s, cipher, sizeof cipher, plain, &len)) &&
        (len != sizeof message || memcmp(plain, message, len) != 0))
        failure = CKR_GENERAL_ERROR;
}

/* Nobody signed this: the answer is that the signature is invalid, once it could be looked at. */
static void verify_for_another(CK_SESSION_HANDLE s)
{
    static CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    static CK_KEY_TYPE type = CKK_EC;
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},  {CKA_KEY_TYPE, &type, sizeof type},
                               {CKA_TOKEN, &no, sizeof no},        {CKA_VERIFY, &yes, sizeof yes},
                               {CKA_EC_PARAMS, p256, sizeof p256}, {CKA_EC_POINT, point, sizeof point}};
    CK_MECHANISM m = {CKM_ECDSA, NULL, 0};
    CK_BYTE digest[32] = {1}, sig[64] = {[31] = 1, [63] = 1};
    CK_OBJECT_HANDLE key;
    if (!good(p11->C_CreateObject(s, template, TT_COUNT(template), &key)))
        return;
    if (good(p11->C_VerifyInit(s, &m, key))) {
        CK_RV rv = p11->C_Verify(s, digest, sizeof digest, sig, sizeof sig);
        (void)good(rv == CKR_SIGNATURE_INVALID ? CKR_OK : rv);
    }
    (void)good(p11->C_DestroyObject(s, key));
}

static void run_decrypting(CK_SLOT_ID slot, bool rsa)
{
    static CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE key;
    CK_ULONG n = 0;
    if (!good(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &s)))
        return;
    if (rsa)
        (void)good(p11->C_Login(s, CKU_USER, PIN, PIN_SIZE));
    if (good(p11->C_FindObjectsInit(s, &template, 1)) && good(p11->C_FindObjects(s, &key, 1, &n)) &&
        good(p11->C_FindObjectsFinal(s)) && n == 1) {
        if (rsa)
            decrypt(s, key);
        else
            derive(s, key);
    }
    verify_for_another(s);
    assert_ckr(p11->C_CloseSession(s));
}

/* ---- each of them ---- */

static void (*in_session)(CK_SLOT_ID slot, bool rsa);

static void run(void)
{
    CK_SLOT_ID slots[2];
    CK_ULONG n = 2;
    CK_TOKEN_INFO info;
    if (!good(p11->C_Initialize(NULL)))
        return;
    if (good(p11->C_GetSlotList(CK_TRUE, slots, &n)))
        for (CK_ULONG i = 0; i < n; i++)
            if (good(p11->C_GetTokenInfo(slots[i], &info)))
                in_session(slots[i], (info.flags & CKF_LOGIN_REQUIRED) != 0);
    assert_ckr(p11->C_Finalize(NULL));
}

static void fail_each_once(void (*what)(CK_SLOT_ID, bool))
{
    static const CK_RV allowed[] = {CKR_HOST_MEMORY, CKR_DEVICE_ERROR, CKR_FUNCTION_FAILED,
                                    CKR_DEVICE_MEMORY};
    in_session = what;
    run();
    assert_int_equal(failure, CKR_OK);
    size_t total, failures = 0;
    mem_test_reset();
    run();
    total = mem_test_stats().allocations;
    assert_int_equal(mem_test_stats().live_blocks, 0);
    assert_between(total, 60, 1000);
    for (size_t nth = 1; nth <= total; nth++) {
        failure = CKR_OK;
        mem_test_reset();
        mem_test_fail_nth(nth);
        run();
        mem_test_fail_nth(0);
        failures += failure != CKR_OK;
        bool is_allowed = failure == CKR_OK;
        for (size_t i = 0; i < TT_COUNT(allowed); i++)
            is_allowed = is_allowed || failure == allowed[i];
        if (!is_allowed)
            fail_msg("allocation %zu of %zu: 0x%lx", nth, total, failure);
        if (mem_test_stats().live_blocks != 0)
            fail_msg("allocation %zu of %zu: %zu blocks are left", nth, total, mem_test_stats().live_blocks);
    }
    assert_true(failures > total / 2);
    failure = CKR_OK;
    run();
    assert_int_equal(failure, CKR_OK);
}

static void signing(void **state)
{
    (void)state;
    fail_each_once(run_session);
}

static void decrypting(void **state)
{
    (void)state;
    fail_each_once(run_decrypting);
}

int main(void)
{
    const struct CMUnitTest first[] = {cmocka_unit_test(signing)}, second[] = {cmocka_unit_test(decrypting)};
    return cmocka_run_group_tests_name("signing", first, setup_signing, chip_teardown) +
           cmocka_run_group_tests_name("decrypting", second, setup_decrypting, chip_teardown);
}
