/* tests/pkcs11/test_module.c: the module as an application uses it: tokens and objects, signatures that
 * libcrypto verifies, PINs with the TPM's counter, renewal, processes, new keys and certificates. */
#include "p11_test.h"

#include "pkcs11/module.h"

#include <fcntl.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const uint8_t message[] = "the message that is signed";

static int setup(void **state)
{
    static const struct identity identities[] = {{"ec", TT_KEY_P256, NULL, false, false},
                                                 {"ec384", TT_KEY_P384, NULL, false, false},
                                                 {"pinned", TT_KEY_P256, "secret", true, false},
                                                 {"quiet", TT_KEY_RSA2048, "secret", false, false},
                                                 {"rsa", TT_KEY_RSA2048, NULL, false, false}};
    (void)state;
    return chip_setup(identities, TT_COUNT(identities));
}

/* ---- tokens and objects ---- */

static void broken_directories_are_left_out(void **state)
{
    (void)state;
    static const char *const names[] = {"broken-key", "broken-cert", "no-match", ".hidden", "with space"};
    char path[320];
    for (size_t i = 0; i < TT_COUNT(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", ids, names[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    file_put("broken-key", "key.pem",
             "-----BEGIN TSS2 PRIVATE KEY-----\nMAA=\n-----END TSS2 PRIVATE KEY-----\n");
    file_put("broken-cert", "cert.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n");
    (void)snprintf(path, sizeof path, "cp %s/ec/key.pem %s/ec384/cert.pem %s/no-match/", ids, ids, ids);
    assert_int_equal(system(path), 0);
    (void)snprintf(path, sizeof path, "%s/twice", ids);
    assert_int_equal(symlink("ec", path), 0);
    begin();
    CK_ULONG n = 0;
    assert_ckr(p11->C_GetSlotList(CK_TRUE, NULL, &n));
    assert_int_equal(n, 5);
    end();
    (void)snprintf(path, sizeof path, "rm -r %s/broken-* %s/no-match %s/twice", ids, ids, ids);
    assert_int_equal(system(path), 0);
}

/* A damaged directory of the user's hides nothing that the machine has under that name. */
static void a_broken_directory_hides_none(void **state)
{
    (void)state;
    char path[320], places[400];
    (void)snprintf(path, sizeof path, "mkdir -p %s/user/ec && echo damaged > %s/user/ec/key.pem", chip.dir,
                   chip.dir);
    assert_int_equal(system(path), 0);
    (void)snprintf(places, sizeof places, "%s/user:%s", chip.dir, ids);
    assert_int_equal(setenv("TPMTLS_IDENTITIES", places, 1), 0);
    begin();
    assert_int_not_equal(slot_named("ec"), ~0UL);
    end();
    (void)snprintf(path, sizeof path, "cp %s/ec384/*.pem %s/user/ec/", ids, chip.dir);
    assert_int_equal(system(path), 0);
    begin();
    uint8_t value[4096];
    CK_SESSION_HANDLE s = open_session("ec", 0);
    assert_int_equal(get(s, find_one(s, CKO_PUBLIC_KEY), CKA_EC_POINT, value), 2 + 1 + 2 * 48);
    end();
    assert_int_equal(setenv("TPMTLS_IDENTITIES", ids, 1), 0);
}

static void a_token_says_whether_it_has_a_pin(void **state)
{
    (void)state;
    CK_TOKEN_INFO info;
    begin();
    assert_ckr(p11->C_GetTokenInfo(slot_named("ec"), &info));
    assert_int_equal(info.flags & (CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED), CKF_TOKEN_INITIALIZED);
    assert_ckr(p11->C_GetTokenInfo(slot_named("pinned"), &info));
    assert_int_equal(info.flags & (CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED),
                     CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED);
    end();
}

static void assert_padded(const unsigned char *bytes, size_t size)
{
    assert_null(memchr(bytes, 0, size));
    assert_int_not_equal(bytes[0], ' ');
}

/* Blanks behind them, no NUL, as in some (findings/tpm2-pkcs11-model.sh): a URI would not find the token by
 * them. */
static void texts_are_padded_with_blanks(void **state)
{
    (void)state;
    static const char *const tokens[] = {"ec", "pinned"};
    CK_INFO all;
    CK_SLOT_INFO slot;
    CK_TOKEN_INFO info[2];
    begin();
    assert_ckr(p11->C_GetInfo(&all));
    assert_padded(all.manufacturerID, sizeof all.manufacturerID);
    assert_padded(all.libraryDescription, sizeof all.libraryDescription);
    for (size_t i = 0; i < TT_COUNT(tokens); i++) {
        assert_ckr(p11->C_GetSlotInfo(slot_named(tokens[i]), &slot));
        assert_padded(slot.slotDescription, sizeof slot.slotDescription);
        assert_padded(slot.manufacturerID, sizeof slot.manufacturerID);
        assert_ckr(p11->C_GetTokenInfo(slot_named(tokens[i]), &info[i]));
        assert_padded(info[i].label, sizeof info[i].label);
        assert_padded(info[i].manufacturerID, sizeof info[i].manufacturerID);
        assert_padded(info[i].model, sizeof info[i].model);
        assert_padded(info[i].serialNumber, sizeof info[i].serialNumber);
    }
    assert_memory_not_equal(info[0].serialNumber, info[1].serialNumber, sizeof info[0].serialNumber);
    end();
}

static void a_private_key_tells_no_secret(void **state)
{
    (void)state;
    static const CK_ATTRIBUTE_TYPE flags[][2] = {{CKA_SENSITIVE, 1},
                                                 {CKA_ALWAYS_SENSITIVE, 1},
                                                 {CKA_NEVER_EXTRACTABLE, 1},
                                                 {CKA_EXTRACTABLE, 0},
                                                 {CKA_ALWAYS_AUTHENTICATE, 0},
                                                 {CKA_SIGN, 1},
                                                 {CKA_DECRYPT, 0},
                                                 {CKA_LOCAL, 1},
                                                 {CKA_MODIFIABLE, 0},
                                                 {CKA_DESTROYABLE, 0}};
    uint8_t value[4096];
    begin();
    CK_SESSION_HANDLE s = open_session("rsa", 0);
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY);
    for (size_t i = 0; i < TT_COUNT(flags); i++) {
        assert_int_equal(get(s, key, flags[i][0], value), 1);
        assert_int_equal(value[0], flags[i][1]);
    }
    CK_ATTRIBUTE a[] = {
        {CKA_PRIVATE_EXPONENT, value, sizeof value}, {CKA_ID, value, 3}, {CKA_MODULUS, NULL, 0}};
    assert_rv(CKR_ATTRIBUTE_SENSITIVE, p11->C_GetAttributeValue(s, key, a, 3));
    assert_int_equal(a[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(a[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(a[2].ulValueLen, 256);
    assert_int_equal(get(s, key, CKA_ALLOWED_MECHANISMS, value), 10 * sizeof(CK_MECHANISM_TYPE));
    end();
}

static void key_and_certificate_share_their_id(void **state)
{
    (void)state;
    uint8_t one[4096], other[4096];
    begin();
    CK_SESSION_HANDLE s = open_session("ec", 0);
    size_t n = get(s, find_one(s, CKO_PRIVATE_KEY), CKA_ID, one);
    assert_int_equal(n, 20);
    assert_int_equal(get(s, find_one(s, CKO_PUBLIC_KEY), CKA_ID, other), n);
    assert_memory_equal(one, other, n);
    CK_ATTRIBUTE by_id = {CKA_ID, one, n};
    CK_OBJECT_HANDLE found[4];
    CK_ULONG found_len = 0;
    assert_ckr(p11->C_FindObjectsInit(s, &by_id, 1));
    assert_ckr(p11->C_FindObjects(s, found, 4, &found_len));
    assert_int_equal(found_len, 3);
    assert_ckr(p11->C_FindObjectsFinal(s));
    end();
}

static void a_renewed_certificate_is_seen(void **state)
{
    (void)state;
    uint8_t before[4096], after[4096];
    begin();
    CK_SESSION_HANDLE s = open_session("ec", 0);
    CK_OBJECT_HANDLE old = find_one(s, CKO_CERTIFICATE), key = find_one(s, CKO_PRIVATE_KEY);
    size_t n = get(s, old, CKA_SERIAL_NUMBER, before);
    identity_certify("ec", 2);
    CK_OBJECT_HANDLE new = find_one(s, CKO_CERTIFICATE);
    assert_int_not_equal(new, old);
    assert_int_equal(find_one(s, CKO_PRIVATE_KEY), key);
    assert_int_equal(get(s, new, CKA_SERIAL_NUMBER, after), n);
    assert_memory_not_equal(before, after, n);
    CK_ATTRIBUTE a = {CKA_VALUE, NULL, 0};
    assert_rv(CKR_OBJECT_HANDLE_INVALID, p11->C_GetAttributeValue(s, old, &a, 1));
    file_put("ec", "cert.pem", "half of a certifica"); /* what cannot be read leaves what was there */
    assert_int_equal(find_one(s, CKO_CERTIFICATE), new);
    identity_certify("ec", 3);
    end();
}

/* ---- signatures ---- */

struct check {
    CK_MECHANISM_TYPE type, hash;
    CK_ULONG mgf, salt;
    const char *md;
};

static void verify(EVP_PKEY *pub, const struct check *c, const uint8_t *sig, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *p = NULL;
    uint8_t der[256];
    assert_int_equal(EVP_DigestVerifyInit_ex(ctx, &p, c->md, NULL, NULL, pub, NULL), 1);
    if (c->hash != 0) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(p, (int)c->salt), 1);
    }
    if (EVP_PKEY_get_base_id(pub) == EVP_PKEY_EC) {
        ECDSA_SIG *parts = ECDSA_SIG_new();
        uint8_t *at = der;
        assert_int_equal(ECDSA_SIG_set0(parts, BN_bin2bn(sig, (int)len / 2, NULL),
                                        BN_bin2bn(sig + len / 2, (int)len / 2, NULL)),
                         1);
        len = (size_t)i2d_ECDSA_SIG(parts, &at);
        sig = der;
        ECDSA_SIG_free(parts);
    }
    assert_int_equal(EVP_DigestVerify(ctx, sig, len, message, sizeof message), 1);
    EVP_MD_CTX_free(ctx);
}

static void sign_all(const char *name, const struct check *checks, size_t n)
{
    begin();
    CK_SESSION_HANDLE s = open_session(name, 0);
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY), pub = find_one(s, CKO_PUBLIC_KEY);
    EVP_PKEY *pkey = public_key(s, pub);
    for (size_t i = 0; i < n; i++) {
        CK_RSA_PKCS_PSS_PARAMS pss = {checks[i].hash, checks[i].mgf, checks[i].salt};
        CK_MECHANISM m = {checks[i].type, checks[i].hash != 0 ? &pss : NULL,
                          checks[i].hash != 0 ? sizeof pss : 0};
        uint8_t sig[512], again[512];
        CK_ULONG len = 0, again_len = sizeof again;
        assert_ckr(p11->C_SignInit(s, &m, key));
        assert_ckr(p11->C_Sign(s, (CK_BYTE_PTR)(uintptr_t)message, sizeof message, NULL, &len));
        len--;
        assert_rv(CKR_BUFFER_TOO_SMALL,
                  p11->C_Sign(s, (CK_BYTE_PTR)(uintptr_t)message, sizeof message, sig, &len));
        assert_ckr(p11->C_Sign(s, (CK_BYTE_PTR)(uintptr_t)message, sizeof message, sig, &len));
        verify(pkey, &checks[i], sig, len);
        assert_ckr(p11->C_SignInit(s, &m, key));
        for (size_t at = 0; at < sizeof message; at++)
            assert_ckr(p11->C_SignUpdate(s, (CK_BYTE_PTR)(uintptr_t)message + at, 1));
        assert_ckr(p11->C_SignFinal(s, again, &again_len));
        verify(pkey, &checks[i], again, again_len);
        assert_ckr(p11->C_VerifyInit(s, &m, pub));
        assert_ckr(p11->C_Verify(s, (CK_BYTE_PTR)(uintptr_t)message, sizeof message, again, again_len));
        again[again_len / 2] ^= 1;
        assert_ckr(p11->C_VerifyInit(s, &m, pub));
        assert_ckr(p11->C_VerifyUpdate(s, (CK_BYTE_PTR)(uintptr_t)message, sizeof message));
        assert_rv(CKR_SIGNATURE_INVALID, p11->C_VerifyFinal(s, again, again_len));
    }
    EVP_PKEY_free(pkey);
    end();
}

static void every_mechanism_signs(void **state)
{
    (void)state;
    static const struct check ec[] = {{CKM_ECDSA_SHA224, 0, 0, 0, "SHA224"},
                                      {CKM_ECDSA_SHA256, 0, 0, 0, "SHA256"},
                                      {CKM_ECDSA_SHA384, 0, 0, 0, "SHA384"},
                                      {CKM_ECDSA_SHA512, 0, 0, 0, "SHA512"}};
    static const struct check rsa[] = {{CKM_SHA224_RSA_PKCS, 0, 0, 0, "SHA224"},
                                       {CKM_SHA256_RSA_PKCS, 0, 0, 0, "SHA256"},
                                       {CKM_SHA384_RSA_PKCS, 0, 0, 0, "SHA384"},
                                       {CKM_SHA512_RSA_PKCS, 0, 0, 0, "SHA512"},
                                       {CKM_SHA256_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256, 32, "SHA256"},
                                       {CKM_SHA256_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256, 0, "SHA256"},
                                       {CKM_SHA256_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256, 222, "SHA256"},
                                       {CKM_SHA384_RSA_PKCS_PSS, CKM_SHA384, CKG_MGF1_SHA384, 48, "SHA384"},
                                       {CKM_SHA512_RSA_PKCS_PSS, CKM_SHA512, CKG_MGF1_SHA512, 64, "SHA512"}};
    sign_all("ec", ec, TT_COUNT(ec));
    sign_all("ec384", ec, TT_COUNT(ec));
    sign_all("rsa", rsa, TT_COUNT(rsa));
}

/* A digest of any length, which ECDSA cuts; a DigestInfo or anything else, which PKCS#1 pads. */
static void what_the_caller_hashed_is_signed(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 20, 28, 32, 48, 64};
    uint8_t data[64], sig[512];
    CK_ULONG len;
    begin();
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i + 1);
    static const char *const names[] = {"ec", "ec384", "rsa"};
    for (size_t k = 0; k < TT_COUNT(names); k++) {
        CK_SESSION_HANDLE s = open_session(names[k], 0);
        CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY), pub = find_one(s, CKO_PUBLIC_KEY);
        CK_MECHANISM m = {k == 2 ? CKM_RSA_PKCS : CKM_ECDSA, NULL, 0};
        for (size_t i = 0; i < TT_COUNT(lengths); i++) {
            len = sizeof sig;
            assert_ckr(p11->C_SignInit(s, &m, key));
            assert_ckr(p11->C_Sign(s, data, lengths[i], sig, &len));
            assert_ckr(p11->C_VerifyInit(s, &m, pub));
            assert_ckr(p11->C_Verify(s, data, lengths[i], sig, len));
            data[0] ^= 0x80;
            assert_ckr(p11->C_VerifyInit(s, &m, pub));
            assert_rv(CKR_SIGNATURE_INVALID, p11->C_Verify(s, data, lengths[i], sig, len));
            data[0] ^= 0x80;
        }
    }
    end();
}

static void raw_rsa_is_below_the_modulus(void **state)
{
    (void)state;
    uint8_t block[256], sig[256];
    CK_ULONG len = sizeof sig;
    CK_MECHANISM m = {CKM_RSA_X_509, NULL, 0};
    begin();
    CK_SESSION_HANDLE s = open_session("rsa", 0);
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY), pub = find_one(s, CKO_PUBLIC_KEY);
    memset(block, 0xff, sizeof block);
    assert_ckr(p11->C_SignInit(s, &m, key));
    assert_rv(CKR_DATA_INVALID, p11->C_Sign(s, block, sizeof block, sig, &len));
    assert_rv(CKR_OPERATION_NOT_INITIALIZED, p11->C_Sign(s, block, sizeof block, sig, &len));
    assert_ckr(p11->C_SignInit(s, &m, key));
    assert_ckr(p11->C_Sign(s, block, 30, sig, &len));
    assert_int_equal(len, 256);
    assert_ckr(p11->C_VerifyInit(s, &m, pub));
    assert_ckr(p11->C_Verify(s, block, 30, sig, len));
    end();
}

static void digests_and_random_numbers(void **state)
{
    (void)state;
    static const struct {
        CK_MECHANISM_TYPE type;
        const char *md;
    } all[] = {{CKM_SHA_1, "SHA1"},
               {CKM_SHA224, "SHA224"},
               {CKM_SHA256, "SHA256"},
               {CKM_SHA384, "SHA384"},
               {CKM_SHA512, "SHA512"}};
    uint8_t want[64], got[64], noise[2][32];
    unsigned n;
    begin();
    CK_SESSION_HANDLE s = open_session("ec", 0);
    for (size_t i = 0; i < TT_COUNT(all); i++) {
        CK_MECHANISM m = {all[i].type, NULL, 0};
        CK_ULONG len = sizeof got;
        assert_int_equal(EVP_Digest(message, sizeof message, want, &n, EVP_get_digestbyname(all[i].md), NULL),
                         1);
        assert_ckr(p11->C_DigestInit(s, &m));
        assert_ckr(p11->C_DigestUpdate(s, (CK_BYTE_PTR)(uintptr_t)message, 5));
        assert_ckr(p11->C_DigestUpdate(s, (CK_BYTE_PTR)(uintptr_t)message + 5, sizeof message - 5));
        assert_ckr(p11->C_DigestFinal(s, got, &len));
        assert_int_equal(len, n);
        assert_memory_equal(got, want, n);
    }
    assert_ckr(p11->C_GenerateRandom(s, noise[0], 32));
    assert_ckr(p11->C_GenerateRandom(s, noise[1], 32));
    assert_memory_not_equal(noise[0], noise[1], 32);
    end();
}

/* ---- PINs ---- */

static CK_RV sign_something(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type)
{
    CK_MECHANISM m = {type, NULL, 0};
    uint8_t digest[32] = {1}, sig[512];
    CK_ULONG len = sizeof sig;
    CK_RV rv = p11->C_SignInit(s, &m, key);
    return rv == CKR_OK ? p11->C_Sign(s, digest, sizeof digest, sig, &len) : rv;
}

static CK_FLAGS pin_flags(const char *name)
{
    CK_TOKEN_INFO info;
    assert_ckr(p11->C_GetTokenInfo(slot_named(name), &info));
    return info.flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED);
}

static void a_key_is_private_until_login(void **state)
{
    (void)state;
    static const char *const names[] = {"pinned", "quiet"};
    for (size_t i = 0; i < TT_COUNT(names); i++) {
        begin();
        CK_SESSION_HANDLE s = open_session(names[i], 0), other = open_session(names[i], 0);
        assert_int_equal(find_one(s, CKO_PRIVATE_KEY), 0);
        CK_OBJECT_HANDLE key = find_one(s, CKO_PUBLIC_KEY) - 1;
        assert_rv(CKR_USER_NOT_LOGGED_IN, sign_something(s, key, i == 0 ? CKM_ECDSA : CKM_RSA_PKCS));
        assert_ckr(p11->C_Login(s, CKU_USER, PIN, PIN_SIZE));
        assert_rv(CKR_USER_ALREADY_LOGGED_IN, p11->C_Login(other, CKU_USER, PIN, PIN_SIZE));
        assert_int_equal(find_one(other, CKO_PRIVATE_KEY), key);
        assert_ckr(sign_something(other, key, i == 0 ? CKM_ECDSA : CKM_RSA_PKCS));
        assert_ckr(p11->C_Logout(s));
        assert_int_equal(find_one(other, CKO_PRIVATE_KEY), 0);
        assert_rv(CKR_USER_NOT_LOGGED_IN, p11->C_Logout(s));
        end();
    }
}

static void a_wrong_pin_counts_once(void **state)
{
    (void)state;
    begin();
    CK_SESSION_HANDLE s = open_session("pinned", 0);
    assert_int_equal(pin_flags("pinned"), 0);
    for (int i = 0; i < 5; i++) /* the same one again is not tried again */
        assert_rv(CKR_PIN_INCORRECT, p11->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR) "wrong1", 6));
    assert_int_equal(pin_flags("pinned"), CKF_USER_PIN_COUNT_LOW);
    assert_rv(CKR_PIN_INCORRECT, p11->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR) "wrong2", 6));
    assert_int_equal(pin_flags("pinned"),
                     CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY); /* swtpm's max: 3 */
    assert_rv(CKR_PIN_INCORRECT, p11->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR) "wrong3", 6));
    assert_int_equal(pin_flags("pinned"), CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_LOCKED);
    assert_rv(CKR_PIN_LOCKED, p11->C_Login(s, CKU_USER, PIN, PIN_SIZE));
    CK_SESSION_HANDLE quiet = open_session("quiet", 0); /* is not counted, and not locked */
    assert_rv(CKR_PIN_INCORRECT, p11->C_Login(quiet, CKU_USER, (CK_UTF8CHAR_PTR) "wrong1", 6));
    assert_int_equal(pin_flags("quiet"), CKF_USER_PIN_COUNT_LOW);
    assert_ckr(p11->C_Login(quiet, CKU_USER, PIN, PIN_SIZE));
    assert_int_equal(pin_flags("quiet"), 0);
    end();
}

/* ---- the TPM, and processes ---- */

static unsigned open_files(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void the_tpm_is_opened_late_and_given_back(void **state)
{
    (void)state;
    unsigned before = open_files();
    assert_int_equal(setenv("TPMTLS_TPM", "device:/nowhere", 1), 0);
    begin(); /* tokens and certificates without a TPM */
    CK_SESSION_HANDLE s = open_session("ec", 0);
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY);
    assert_int_not_equal(find_one(s, CKO_CERTIFICATE), 0);
    assert_int_equal(open_files(), before);
    assert_rv(CKR_DEVICE_ERROR, sign_something(s, key, CKM_ECDSA));
    assert_int_equal(setenv("TPMTLS_TPM", chip.tcti, 1), 0);
    assert_ckr(sign_something(s, key, CKM_ECDSA));
    assert_ckr(p11->C_CloseSession(s));
    assert_int_equal(open_files(), before);
    end();
}

/* The time since its last use is made up: it is what the module looks at. */
static void an_idle_tpm_is_given_back(void **state)
{
    (void)state;
    CK_SESSION_INFO info;
    begin();
    CK_SESSION_HANDLE s = open_session("ec", 0);
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY);
    assert_ckr(sign_something(s, key, CKM_ECDSA));
    atomic_fetch_sub(&module.tpm_used, MODULE_IDLE_S - 2);
    assert_ckr(p11->C_GetSessionInfo(s, &info));
    assert_non_null(module.tpm);
    atomic_fetch_sub(&module.tpm_used, 2);
    assert_ckr(p11->C_GetSessionInfo(s, &info));
    assert_null(module.tpm);
    assert_ckr(sign_something(s, key, CKM_ECDSA));
    end();
}

/* More tokens in use than a TPM has places for keys. */
static void many_tokens_sign_in_turn(void **state)
{
    (void)state;
    static const char *const names[] = {"ec", "ec384", "rsa", "pinned", "quiet"};
    CK_SESSION_HANDLE s[TT_COUNT(names)];
    CK_OBJECT_HANDLE keys[TT_COUNT(names)];
    begin();
    for (size_t i = 0; i < TT_COUNT(names); i++) {
        s[i] = open_session(names[i], 0);
        assert_ckr(p11->C_Login(s[i], CKU_USER, PIN, PIN_SIZE));
        keys[i] = find_one(s[i], CKO_PRIVATE_KEY);
    }
    for (size_t i = 0; i < 2 * TT_COUNT(names); i++) {
        size_t at = i % TT_COUNT(names);
        assert_ckr(
            sign_something(s[at], keys[at], strchr("rq", names[at][0]) != NULL ? CKM_RSA_PKCS : CKM_ECDSA));
    }
    end();
}

static void a_signature_is_one_command(void **state)
{
    (void)state;
    static const char *const names[] = {"ec", "rsa", "pinned"};
    for (size_t i = 0; i < TT_COUNT(names); i++) {
        CK_MECHANISM_TYPE type = i == 1 ? CKM_RSA_PKCS : CKM_ECDSA;
        begin();
        CK_SESSION_HANDLE s = open_session(names[i], 0);
        (void)find_one(s, CKO_PRIVATE_KEY);
        assert_null(module.tpm); /* listing needs none */
        assert_ckr(p11->C_Login(s, CKU_USER, PIN, PIN_SIZE));
        CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY);
        assert_ckr(sign_something(s, key, type));
        uint64_t before = tt_tpm_command_count(module.tpm);
        for (int n = 0; n < 3; n++)
            assert_ckr(sign_something(s, key, type));
        assert_int_equal(tt_tpm_command_count(module.tpm) - before, 3);
        end();
    }
}

static void a_tpm_that_restarts_is_survived(void **state)
{
    (void)state;
    begin();
    CK_SESSION_HANDLE s = open_session("ec", 0);
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY);
    assert_ckr(sign_something(s, key, CKM_ECDSA));
    assert_true(temp_tpm_restart(&chip));
    assert_ckr(sign_something(s, key, CKM_ECDSA));
    end();
}

static void a_child_initialises_itself(void **state)
{
    (void)state;
    begin();
    CK_SESSION_HANDLE s = open_session("ec", 0);
    CK_OBJECT_HANDLE key = find_one(s, CKO_PRIVATE_KEY);
    assert_ckr(sign_something(s, key, CKM_ECDSA));
    pid_t pid = fork();
    if (pid == 0) {
        CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
        CK_SESSION_INFO info;
        CK_ULONG n = 0;
        bool ok = p11->C_GetSessionInfo(s, &info) == CKR_CRYPTOKI_NOT_INITIALIZED &&
                  p11->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED &&
                  p11->C_Initialize(&args) == CKR_OK && p11->C_GetSlotList(CK_TRUE, NULL, &n) == CKR_OK &&
                  n == 5 && p11->C_GetSessionInfo(s, &info) == CKR_SESSION_HANDLE_INVALID;
        if (ok) {
            CK_SESSION_HANDLE own = open_session("ec", 0);
            ok = sign_something(own, find_one(own, CKO_PRIVATE_KEY), CKM_ECDSA) == CKR_OK &&
                 p11->C_Finalize(NULL) == CKR_OK;
        }
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_ckr(sign_something(s, key, CKM_ECDSA));
    end();
}

/* As pkcs11-provider does after a fork: nobody asks for the list of slots again. */
static void a_slot_is_known_without_the_list(void **state)
{
    (void)state;
    begin();
    CK_SLOT_ID slot = slot_named("ec");
    end();
    CK_SESSION_HANDLE s = 0;
    assert_ckr(p11->C_Initialize(NULL));
    assert_ckr(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &s));
    assert_ckr(sign_something(s, find_one(s, CKO_PRIVATE_KEY), CKM_ECDSA));
    end();
    CK_TOKEN_INFO info;
    assert_ckr(p11->C_Initialize(NULL));
    assert_ckr(p11->C_GetTokenInfo(slot, &info));
    assert_memory_equal(info.label, "ec  ", 4);
    end();
}

static unsigned locks, held;
static CK_RV create_mutex(void **ret)
{
    locks++;
    *ret = &held;
    return CKR_OK;
}
static CK_RV destroy_mutex(void *m)
{
    locks--;
    return m == &held ? CKR_OK : CKR_MUTEX_BAD;
}
static CK_RV lock_mutex(void *m)
{
    held++;
    return m == &held ? CKR_OK : CKR_MUTEX_BAD;
}
static CK_RV unlock_mutex(void *m)
{
    held--;
    return m == &held ? CKR_OK : CKR_MUTEX_BAD;
}

static void the_applications_mutexes_are_used(void **state)
{
    (void)state;
    CK_C_INITIALIZE_ARGS args = {create_mutex, destroy_mutex, lock_mutex, unlock_mutex, 0, NULL};
    CK_ULONG n = 0;
    assert_ckr(p11->C_Initialize(&args));
    assert_true(locks > 0);
    assert_ckr(p11->C_GetSlotList(CK_TRUE, NULL, &n));
    CK_SESSION_HANDLE s = open_session("ec", 0);
    assert_ckr(sign_something(s, find_one(s, CKO_PRIVATE_KEY), CKM_ECDSA));
    end();
    assert_int_equal(locks, 0);
    assert_int_equal(held, 0);
}

/* ---- new ones ---- */

static void make_pair(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *pub, CK_OBJECT_HANDLE *priv)
{
    uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE of_pub[] = {{CKA_EC_PARAMS, p256, sizeof p256}, {CKA_TOKEN, &yes, 1}};
    CK_ATTRIBUTE of_priv[] = {{CKA_TOKEN, &yes, 1}, {CKA_SENSITIVE, &yes, 1}};
    CK_MECHANISM m = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    assert_ckr(p11->C_GenerateKeyPair(s, &m, of_pub, 2, of_priv, 2, pub, priv));
    CK_OBJECT_HANDLE again[2];
    assert_rv(CKR_DEVICE_MEMORY, p11->C_GenerateKeyPair(s, &m, of_pub, 2, of_priv, 2, again, again + 1));
}

static void a_key_is_made_certified_and_destroyed(void **state)
{
    (void)state;
    char path[320];
    uint8_t der[4096];
    (void)snprintf(path, sizeof path, "%s/new", ids);
    assert_int_equal(mkdir(path, 0700), 0);
    begin();
    CK_OBJECT_HANDLE pub, priv, cert;
    CK_SESSION_HANDLE s = open_session("new", CKF_RW_SESSION);
    make_pair(s, &pub, &priv);
    assert_ckr(sign_something(s, priv, CKM_ECDSA));
    identity_certify("new", 7);
    size_t len = get(s, find_one(s, CKO_CERTIFICATE), CKA_VALUE, der);
    file_put("new", "cert.pem", NULL);
    assert_int_equal(find_one(s, CKO_CERTIFICATE), 0);
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE a[] = {{CKA_CLASS, &class, sizeof class}, {CKA_TOKEN, &yes, 1}, {CKA_VALUE, der, len}};
    assert_ckr(p11->C_CreateObject(s, a, 3, &cert));
    assert_int_equal(find_one(s, CKO_CERTIFICATE), cert);
    CK_SESSION_HANDLE other = open_session("ec", CKF_RW_SESSION);
    assert_rv(CKR_TEMPLATE_INCONSISTENT, p11->C_CreateObject(other, a, 3, &cert));
    assert_rv(CKR_ACTION_PROHIBITED, p11->C_DestroyObject(s, priv));
    assert_int_equal(setenv("TPMTLS_PKCS11_UNSAFE_DESTROY", "1", 1), 0);
    assert_rv(CKR_ACTION_PROHIBITED, p11->C_DestroyObject(s, pub));
    assert_ckr(p11->C_DestroyObject(s, find_one(s, CKO_CERTIFICATE)));
    assert_ckr(p11->C_DestroyObject(s, priv));
    assert_int_equal(find_one(s, CKO_PRIVATE_KEY), 0);
    assert_int_equal(unsetenv("TPMTLS_PKCS11_UNSAFE_DESTROY"), 0);
    assert_int_equal(rmdir(path), 0);
    assert_rv(CKR_DEVICE_REMOVED, p11->C_FindObjectsInit(s, NULL, 0));
    end();
}

static void a_persistent_key_is_a_token(void **state)
{
    (void)state;
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    char path[160], *pem = NULL, *text = NULL;
    const struct tt_key_params params = {.type = TT_KEY_P256};
    assert_int_equal(tt_tpm_open(&tpm, chip.tcti, &err), TT_OK);
    assert_int_equal(tt_key_create_with(&pem, tpm, &params, &err), TT_OK);
    assert_int_equal(
        tt_key_persist(tpm, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, 0x81000010, &err), TT_OK);
    assert_int_equal(tt_identity_handle_text(&text, tpm, 0x81000010, false, &err), TT_OK);
    tt_tpm_close(tpm);
    (void)snprintf(path, sizeof path, "%s/kept", ids);
    assert_int_equal(mkdir(path, 0700), 0);
    file_put("kept", "key.pem", text);
    identity_certify("kept", 1);
    begin();
    CK_SESSION_HANDLE s = open_session("kept", 0);
    assert_ckr(sign_something(s, find_one(s, CKO_PRIVATE_KEY), CKM_ECDSA));
    end();
    file_put("kept", "key.pem", "handle:0x81000010\n"); /* written by hand: the certificate says which key */
    begin();
    s = open_session("kept", 0);
    assert_ckr(sign_something(s, find_one(s, CKO_PRIVATE_KEY), CKM_ECDSA));
    end();
    (void)snprintf(path, sizeof path, "rm -r %s/kept", ids);
    assert_int_equal(system(path), 0);
    tt_free(pem);
    tt_free(text);
}

static void interfaces_are_listed(void **state)
{
    (void)state;
    CK_INTERFACE all[2], *one;
    CK_ULONG n = 2;
    CK_VERSION wanted = {2, 40}, unknown = {4, 0};
    assert_ckr(C_GetInterfaceList(all, &n));
    assert_int_equal(n, 2);
    assert_ckr(C_GetInterface(NULL, NULL, &one, 0));
    assert_int_equal(((CK_VERSION *)one->pFunctionList)->major, 3);
    assert_ckr(C_GetInterface((CK_UTF8CHAR_PTR) "PKCS 11", &wanted, &one, 0));
    assert_ptr_equal(one->pFunctionList, p11);
    assert_rv(CKR_FUNCTION_FAILED, C_GetInterface(NULL, &unknown, &one, 0));
    begin();
    CK_FUNCTION_LIST_3_0 *v3 = all[0].pFunctionList;
    CK_SESSION_HANDLE s = open_session("ec", 0);
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    assert_ckr(v3->C_DigestInit(s, &m));
    assert_ckr(v3->C_SessionCancel(s, CKF_DIGEST));
    assert_ckr(v3->C_DigestInit(s, &m));
    assert_ckr(v3->C_DigestInit(s, NULL));
    assert_rv(CKR_FUNCTION_NOT_SUPPORTED, v3->C_MessageSignInit(s, &m, 1));
    assert_rv(CKR_SESSION_HANDLE_INVALID, v3->C_MessageVerifyFinal(0));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_directories_are_left_out),
        cmocka_unit_test(a_broken_directory_hides_none),
        cmocka_unit_test(a_token_says_whether_it_has_a_pin),
        cmocka_unit_test(texts_are_padded_with_blanks),
        cmocka_unit_test(a_private_key_tells_no_secret),
        cmocka_unit_test(key_and_certificate_share_their_id),
        cmocka_unit_test(a_renewed_certificate_is_seen),
        cmocka_unit_test(every_mechanism_signs),
        cmocka_unit_test(what_the_caller_hashed_is_signed),
        cmocka_unit_test(raw_rsa_is_below_the_modulus),
        cmocka_unit_test(digests_and_random_numbers),
        cmocka_unit_test(a_key_is_private_until_login),
        cmocka_unit_test(the_tpm_is_opened_late_and_given_back),
        cmocka_unit_test(an_idle_tpm_is_given_back),
        cmocka_unit_test(many_tokens_sign_in_turn),
        cmocka_unit_test(a_signature_is_one_command),
        cmocka_unit_test(a_child_initialises_itself),
        cmocka_unit_test(a_slot_is_known_without_the_list),
        cmocka_unit_test(the_applications_mutexes_are_used),
        cmocka_unit_test(a_key_is_made_certified_and_destroyed),
        cmocka_unit_test(a_persistent_key_is_a_token),
        cmocka_unit_test(interfaces_are_listed),
        cmocka_unit_test(a_wrong_pin_counts_once),         /* locks the TPM */
        cmocka_unit_test(a_tpm_that_restarts_is_survived), /* which counts as a wrong password, too */
    };
    return cmocka_run_group_tests(tests, setup, chip_teardown);
}
