/* tests/pkcs11/test_returns.c: the value that PKCS#11 names for each wrong call, over all functions. */
#include "p11_test.h"

static CK_SESSION_HANDLE s; /* the session of the rows */
static CK_SLOT_ID slot;
static CK_OBJECT_HANDLE priv, pub, cert, rsa_priv;
static CK_SESSION_HANDLE rsa;
static CK_BYTE data[512], out[512];
static CK_ULONG n;
static CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0}, ecdsa = {CKM_ECDSA, NULL, 0},
                    unknown = {0x7fffffff, NULL, 0}, pkcs1 = {CKM_RSA_PKCS, NULL, 0},
                    spoilt = {CKM_ECDSA_SHA256, data, 8}, no_pss = {CKM_RSA_PKCS_PSS, NULL, 0};
static CK_RSA_PKCS_PSS_PARAMS bad_hash = {CKM_SHA_1, CKG_MGF1_SHA1, 20},
                              bad_mgf = {CKM_SHA256, CKG_MGF1_SHA1, 32},
                              long_salt = {CKM_SHA256, CKG_MGF1_SHA256, 4096},
                              full_salt = {CKM_SHA256, CKG_MGF1_SHA256, 223},
                              good = {CKM_SHA256, CKG_MGF1_SHA256, 32};
#define PSS(name, params) static CK_MECHANISM name = {CKM_RSA_PKCS_PSS, &params, sizeof params}
PSS(pss_bad_hash, bad_hash);
PSS(pss_bad_mgf, bad_mgf);
PSS(pss_long_salt, long_salt);
PSS(pss_full_salt, full_salt);
PSS(pss, good);
static CK_MECHANISM pss_short = {CKM_RSA_PKCS_PSS, &good, sizeof good - 1};
static CK_MECHANISM pss_wrong_hash = {CKM_SHA384_RSA_PKCS_PSS, &good, sizeof good};

/* Every function with a session, and one without. The arguments are never reached. */
#define WITH_SESSION(X)                                                                                      \
    X(C_InitPIN(s, data, 1))                                                                                 \
    X(C_SetPIN(s, data, 1, data, 1))                                                                         \
    X(C_CloseSession(s))                                                                                     \
    X(C_GetSessionInfo(s, NULL))                                                                             \
    X(C_GetOperationState(s, NULL, &n))                                                                      \
    X(C_SetOperationState(s, data, 1, 0, 0))                                                                 \
    X(C_Login(s, CKU_USER, data, 1))                                                                         \
    X(C_Logout(s))                                                                                           \
    X(C_CreateObject(s, NULL, 0, NULL))                                                                      \
    X(C_CopyObject(s, 1, NULL, 0, NULL))                                                                     \
    X(C_DestroyObject(s, 1))                                                                                 \
    X(C_GetObjectSize(s, 1, NULL))                                                                           \
    X(C_GetAttributeValue(s, 1, NULL, 0))                                                                    \
    X(C_SetAttributeValue(s, 1, NULL, 0))                                                                    \
    X(C_FindObjectsInit(s, NULL, 0))                                                                         \
    X(C_FindObjects(s, NULL, 0, NULL))                                                                       \
    X(C_FindObjectsFinal(s))                                                                                 \
    X(C_EncryptInit(s, NULL, 0))                                                                             \
    X(C_Encrypt(s, NULL, 0, NULL, NULL))                                                                     \
    X(C_EncryptUpdate(s, NULL, 0, NULL, NULL))                                                               \
    X(C_EncryptFinal(s, NULL, NULL))                                                                         \
    X(C_DecryptInit(s, NULL, 0))                                                                             \
    X(C_Decrypt(s, NULL, 0, NULL, NULL))                                                                     \
    X(C_DecryptUpdate(s, NULL, 0, NULL, NULL))                                                               \
    X(C_DecryptFinal(s, NULL, NULL))                                                                         \
    X(C_DigestInit(s, NULL))                                                                                 \
    X(C_Digest(s, NULL, 0, NULL, NULL))                                                                      \
    X(C_DigestUpdate(s, NULL, 0))                                                                            \
    X(C_DigestKey(s, 1))                                                                                     \
    X(C_DigestFinal(s, NULL, NULL))                                                                          \
    X(C_SignInit(s, NULL, 0))                                                                                \
    X(C_Sign(s, NULL, 0, NULL, NULL))                                                                        \
    X(C_SignUpdate(s, NULL, 0))                                                                              \
    X(C_SignFinal(s, NULL, NULL))                                                                            \
    X(C_SignRecoverInit(s, NULL, 0))                                                                         \
    X(C_SignRecover(s, NULL, 0, NULL, NULL))                                                                 \
    X(C_VerifyInit(s, NULL, 0))                                                                              \
    X(C_Verify(s, NULL, 0, NULL, 0))                                                                         \
    X(C_VerifyUpdate(s, NULL, 0))                                                                            \
    X(C_VerifyFinal(s, NULL, 0))                                                                             \
    X(C_VerifyRecoverInit(s, NULL, 0))                                                                       \
    X(C_VerifyRecover(s, NULL, 0, NULL, NULL))                                                               \
    X(C_DigestEncryptUpdate(s, NULL, 0, NULL, NULL))                                                         \
    X(C_DecryptDigestUpdate(s, NULL, 0, NULL, NULL))                                                         \
    X(C_SignEncryptUpdate(s, NULL, 0, NULL, NULL))                                                           \
    X(C_DecryptVerifyUpdate(s, NULL, 0, NULL, NULL))                                                         \
    X(C_GenerateKey(s, NULL, NULL, 0, NULL))                                                                 \
    X(C_GenerateKeyPair(s, NULL, NULL, 0, NULL, 0, NULL, NULL))                                              \
    X(C_WrapKey(s, NULL, 0, 0, NULL, NULL))                                                                  \
    X(C_UnwrapKey(s, NULL, 0, NULL, 0, NULL, 0, NULL))                                                       \
    X(C_DeriveKey(s, NULL, 0, NULL, 0, NULL))                                                                \
    X(C_SeedRandom(s, NULL, 0))                                                                              \
    X(C_GenerateRandom(s, NULL, 0))                                                                          \
    X(C_GetFunctionStatus(s))                                                                                \
    X(C_CancelFunction(s))
#define WITHOUT_SESSION(X)                                                                                   \
    X(C_Finalize(NULL))                                                                                      \
    X(C_GetInfo(NULL))                                                                                       \
    X(C_GetSlotList(CK_TRUE, NULL, NULL))                                                                    \
    X(C_GetSlotInfo(slot, NULL))                                                                             \
    X(C_GetTokenInfo(slot, NULL))                                                                            \
    X(C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL))                                                        \
    X(C_GetMechanismList(slot, NULL, NULL))                                                                  \
    X(C_GetMechanismInfo(slot, CKM_ECDSA, NULL))                                                             \
    X(C_InitToken(slot, NULL, 0, NULL))                                                                      \
    X(C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, NULL))                                             \
    X(C_CloseAllSessions(slot))

#define ROW(rv, call)                                                                                        \
    do {                                                                                                     \
        CK_RV rv_ = p11->call;                                                                               \
        if (rv_ != (rv))                                                                                     \
            fail_msg("%s: 0x%lx, not %s", #call, rv_, #rv);                                                  \
    } while (0);
#define NOT_INITIALIZED(call) ROW(CKR_CRYPTOKI_NOT_INITIALIZED, call)
#define NO_SESSION(call)      ROW(CKR_SESSION_HANDLE_INVALID, call)

static int setup(void **state)
{
    static const struct identity identities[] = {{"ec", TT_KEY_P256, NULL, false, false},
                                                 {"pinned", TT_KEY_P256, "secret", false, false},
                                                 {"rsa", TT_KEY_RSA2048, NULL, false, false}};
    (void)state;
    return chip_setup(identities, TT_COUNT(identities));
}

static void nothing_works_before_initialize(void **state)
{
    (void)state;
    s = 1;
    WITH_SESSION(NOT_INITIALIZED)
    WITHOUT_SESSION(NOT_INITIALIZED)
    ROW(CKR_ARGUMENTS_BAD, C_GetFunctionList(NULL))
}

static void wrong_arguments_of_initialize(void **state)
{
    (void)state;
    CK_C_INITIALIZE_ARGS reserved = {.pReserved = data}, half = {.flags = CKF_OS_LOCKING_OK};
    half.LockMutex = (CK_LOCKMUTEX)(uintptr_t)1;
    ROW(CKR_ARGUMENTS_BAD, C_Initialize(&reserved))
    ROW(CKR_ARGUMENTS_BAD, C_Initialize(&half))
    ROW(CKR_OK, C_Initialize(NULL))
    ROW(CKR_CRYPTOKI_ALREADY_INITIALIZED, C_Initialize(NULL))
    ROW(CKR_ARGUMENTS_BAD, C_Finalize(data))
    ROW(CKR_OK, C_Finalize(NULL))
}

static int start(void **state)
{
    (void)state;
    begin();
    slot = slot_named("ec");
    s = open_session("ec", 0);
    rsa = open_session("rsa", 0);
    priv = find_one(s, CKO_PRIVATE_KEY);
    pub = find_one(s, CKO_PUBLIC_KEY);
    cert = find_one(s, CKO_CERTIFICATE);
    rsa_priv = find_one(rsa, CKO_PRIVATE_KEY);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    end();
    return 0;
}

static void wrong_sessions(void **state)
{
    (void)state;
    static const CK_SESSION_HANDLE wrong[] = {0, 1, ~0UL, 1UL << 63};
    CK_SESSION_HANDLE closed = open_session("ec", 0), good_session = s;
    ROW(CKR_OK, C_CloseSession(closed))
    for (size_t i = 0; i <= TT_COUNT(wrong); i++) {
        s = i < TT_COUNT(wrong) ? wrong[i] : closed;
        WITH_SESSION(NO_SESSION)
    }
    s = good_session;
}

static void wrong_slots(void **state)
{
    (void)state;
    CK_SESSION_HANDLE new;
    CK_SLOT_INFO slot_info;
    CK_TOKEN_INFO token;
    CK_MECHANISM_INFO m;
    ROW(CKR_SLOT_ID_INVALID, C_GetSlotInfo(~0UL, &slot_info))
    ROW(CKR_SLOT_ID_INVALID, C_GetTokenInfo(~0UL, &token))
    ROW(CKR_SLOT_ID_INVALID, C_GetMechanismList(~0UL, NULL, &n))
    ROW(CKR_SLOT_ID_INVALID, C_GetMechanismInfo(~0UL, CKM_ECDSA, &m))
    ROW(CKR_SLOT_ID_INVALID, C_InitToken(~0UL, data, 1, data))
    ROW(CKR_SLOT_ID_INVALID, C_OpenSession(~0UL, CKF_SERIAL_SESSION, NULL, NULL, &new))
    ROW(CKR_SLOT_ID_INVALID, C_CloseAllSessions(~0UL))
    ROW(CKR_MECHANISM_INVALID, C_GetMechanismInfo(slot, CKM_RSA_PKCS, &m))
    ROW(CKR_MECHANISM_INVALID, C_GetMechanismInfo(slot, 0x7fffffff, &m))
    ROW(CKR_SESSION_PARALLEL_NOT_SUPPORTED, C_OpenSession(slot, 0, NULL, NULL, &new))
    ROW(CKR_NO_EVENT, C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL))
    slot = slot_named("ec");
}

static void null_pointers(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE object;
    CK_ATTRIBUTE hole = {CKA_LABEL, NULL, 4};
    ROW(CKR_ARGUMENTS_BAD, C_GetInfo(NULL))
    ROW(CKR_ARGUMENTS_BAD, C_GetSlotList(CK_TRUE, NULL, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_GetSlotInfo(slot, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_GetTokenInfo(slot, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_GetMechanismList(slot, NULL, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_GetMechanismInfo(slot, CKM_ECDSA, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_GetSessionInfo(s, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_Login(s, CKU_USER, NULL, 4))
    ROW(CKR_ARGUMENTS_BAD, C_CreateObject(s, NULL, 0, &object))
    ROW(CKR_ARGUMENTS_BAD, C_CreateObject(s, &hole, 1, &object))
    ROW(CKR_ARGUMENTS_BAD, C_GetObjectSize(s, priv, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_GetAttributeValue(s, priv, NULL, 1))
    ROW(CKR_ARGUMENTS_BAD, C_SetAttributeValue(s, priv, NULL, 1))
    ROW(CKR_ARGUMENTS_BAD, C_FindObjectsInit(s, NULL, 1))
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, C_FindObjectsInit(s, &hole, 1))
    ROW(CKR_ARGUMENTS_BAD, C_FindObjects(s, NULL, 1, &n))
    ROW(CKR_ARGUMENTS_BAD, C_FindObjects(s, &object, 1, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_DigestInit(s, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_SignInit(s, NULL, priv))
    ROW(CKR_ARGUMENTS_BAD, C_VerifyInit(s, NULL, pub))
    ROW(CKR_ARGUMENTS_BAD, C_GenerateKeyPair(s, NULL, NULL, 0, NULL, 0, &object, &object))
    ROW(CKR_ARGUMENTS_BAD, C_GenerateRandom(s, NULL, 4))
    ROW(CKR_OK, C_SignInit(s, &ecdsa, priv))
    ROW(CKR_ARGUMENTS_BAD, C_Sign(s, NULL, 4, out, &n))
    ROW(CKR_ARGUMENTS_BAD, C_Sign(s, data, 4, out, NULL))
    n = sizeof out;
    ROW(CKR_OK, C_Sign(s, data, 4, out, &n)) /* the operation was still there */
    ROW(CKR_OK, C_DigestInit(s, &sha256))
    ROW(CKR_ARGUMENTS_BAD, C_DigestFinal(s, out, NULL))
    ROW(CKR_ARGUMENTS_BAD, C_DigestUpdate(s, NULL, 4)) /* but this one ends it */
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_DigestFinal(s, out, &n))
}

static void wrong_order(void **state)
{
    (void)state;
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_FindObjects(s, &priv, 0, &n))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_FindObjectsFinal(s))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_Digest(s, data, 1, out, &n))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_DigestUpdate(s, data, 1))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_DigestKey(s, priv))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_DigestFinal(s, out, &n))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_Sign(s, data, 1, out, &n))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_SignUpdate(s, data, 1))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_SignFinal(s, out, &n))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_Verify(s, data, 1, out, 64))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_VerifyUpdate(s, data, 1))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_VerifyFinal(s, out, 64))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_Login(s, CKU_CONTEXT_SPECIFIC, data, 4))
    ROW(CKR_OK, C_FindObjectsInit(s, NULL, 0))
    ROW(CKR_OPERATION_ACTIVE, C_FindObjectsInit(s, NULL, 0))
    ROW(CKR_OK, C_FindObjectsFinal(s))
    ROW(CKR_OK, C_DigestInit(s, &sha256))
    ROW(CKR_OPERATION_ACTIVE, C_DigestInit(s, &sha256))
    ROW(CKR_KEY_INDIGESTIBLE, C_DigestKey(s, priv))
    ROW(CKR_OK, C_DigestUpdate(s, data, 1))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_Digest(s, data, 1, out, &n)) /* it goes on by parts */
    n = 1;
    ROW(CKR_BUFFER_TOO_SMALL, C_DigestFinal(s, out, &n))
    assert_int_equal(n, 32);
    ROW(CKR_OK, C_DigestFinal(s, out, &n))
    ROW(CKR_OK, C_SignInit(s, &ecdsa, priv))
    ROW(CKR_OPERATION_ACTIVE, C_SignInit(s, &ecdsa, priv))
    n = 63;
    ROW(CKR_BUFFER_TOO_SMALL, C_Sign(s, data, 32, out, &n))
    ROW(CKR_OK, C_Sign(s, data, 32, out, &n))
    ROW(CKR_OK, C_VerifyInit(s, &ecdsa, pub))
    ROW(CKR_OPERATION_ACTIVE, C_VerifyInit(s, &ecdsa, pub))
    ROW(CKR_SIGNATURE_LEN_RANGE, C_Verify(s, data, 32, out, 63))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_Verify(s, data, 32, out, 64)) /* a failure ended it */
}

static void wrong_keys_and_mechanisms(void **state)
{
    (void)state;
    ROW(CKR_KEY_HANDLE_INVALID, C_SignInit(s, &ecdsa, 0))
    ROW(CKR_KEY_HANDLE_INVALID, C_SignInit(s, &ecdsa, ~0UL))
    ROW(CKR_KEY_HANDLE_INVALID, C_SignInit(s, &ecdsa, cert))
    ROW(CKR_KEY_HANDLE_INVALID, C_SignInit(s, &ecdsa, rsa_priv)) /* of another token */
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, C_SignInit(s, &ecdsa, pub))
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, C_VerifyInit(s, &ecdsa, priv))
    ROW(CKR_KEY_TYPE_INCONSISTENT, C_SignInit(s, &pkcs1, priv))
    ROW(CKR_KEY_TYPE_INCONSISTENT, C_SignInit(rsa, &ecdsa, rsa_priv))
    ROW(CKR_MECHANISM_INVALID, C_SignInit(s, &unknown, priv))
    ROW(CKR_MECHANISM_INVALID, C_SignInit(s, &sha256, priv))
    ROW(CKR_MECHANISM_INVALID, C_DigestInit(s, &ecdsa))
    ROW(CKR_MECHANISM_PARAM_INVALID, C_SignInit(s, &spoilt, priv))
    ROW(CKR_MECHANISM_PARAM_INVALID, C_SignInit(rsa, &no_pss, rsa_priv))
    ROW(CKR_MECHANISM_PARAM_INVALID, C_SignInit(rsa, &pss_short, rsa_priv))
    ROW(CKR_MECHANISM_PARAM_INVALID, C_SignInit(rsa, &pss_bad_hash, rsa_priv))
    ROW(CKR_MECHANISM_PARAM_INVALID, C_SignInit(rsa, &pss_bad_mgf, rsa_priv))
    ROW(CKR_MECHANISM_PARAM_INVALID, C_SignInit(rsa, &pss_long_salt, rsa_priv))
    ROW(CKR_MECHANISM_PARAM_INVALID, C_SignInit(rsa, &pss_wrong_hash, rsa_priv))
    ROW(CKR_OBJECT_HANDLE_INVALID, C_DestroyObject(s, 0))
    ROW(CKR_ACTION_PROHIBITED, C_SetAttributeValue(s, priv, NULL, 0))
    ROW(CKR_SESSION_READ_ONLY, C_DestroyObject(s, priv))
    CK_ATTRIBUTE none = {CKA_WRAP_TEMPLATE, out, sizeof out};
    ROW(CKR_ATTRIBUTE_TYPE_INVALID, C_GetAttributeValue(s, priv, &none, 1))
    ROW(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue(s, 0, &none, 1))
}

static void wrong_lengths(void **state)
{
    (void)state;
    static const struct {
        CK_MECHANISM *m;
        CK_ULONG len;
    } rows[] = {{&pkcs1, 246}, {&pss, 31}, {&pss, 33}, {&pss_full_salt, 32}, {&pkcs1, 513}};
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        static CK_BYTE more[600];
        n = sizeof out;
        ROW(CKR_OK, C_SignInit(rsa, rows[i].m, rsa_priv))
        ROW(CKR_DATA_LEN_RANGE, C_Sign(rsa, more, rows[i].len, out, &n))
        ROW(CKR_OPERATION_NOT_INITIALIZED, C_Sign(rsa, more, 32, out, &n))
    }
    n = sizeof out;
    ROW(CKR_OK, C_SignInit(s, &ecdsa, priv))
    ROW(CKR_DATA_LEN_RANGE, C_Sign(s, data, 0, out, &n))
    ROW(CKR_OK, C_SignInit(rsa, &pkcs1, rsa_priv))
    n = sizeof out;
    ROW(CKR_OK, C_Sign(rsa, data, 245, out, &n))
    CK_SLOT_ID slots[8];
    n = 1;
    ROW(CKR_BUFFER_TOO_SMALL, C_GetSlotList(CK_TRUE, slots, &n))
    assert_int_equal(n, 3);
    CK_MECHANISM_TYPE types[4];
    n = 4;
    ROW(CKR_BUFFER_TOO_SMALL, C_GetMechanismList(slot, types, &n))
    assert_int_equal(n, 10);
}

static void wrong_logins(void **state)
{
    (void)state;
    CK_SESSION_HANDLE pinned = open_session("pinned", 0);
    ROW(CKR_USER_TYPE_INVALID, C_Login(pinned, CKU_SO, PIN, PIN_SIZE))
    ROW(CKR_USER_TYPE_INVALID, C_Login(pinned, 77, PIN, PIN_SIZE))
    ROW(CKR_PIN_INCORRECT, C_Login(pinned, CKU_USER, NULL, 0))
    ROW(CKR_PIN_INCORRECT, C_Login(pinned, CKU_USER, data, 65))
    ROW(CKR_PIN_INCORRECT, C_Login(pinned, CKU_USER, data, 7))
    ROW(CKR_USER_NOT_LOGGED_IN, C_Logout(pinned))
    ROW(CKR_OK, C_Login(pinned, CKU_USER, PIN, PIN_SIZE))
    ROW(CKR_USER_ALREADY_LOGGED_IN, C_Login(pinned, CKU_USER, PIN, PIN_SIZE))
    ROW(CKR_OK, C_Login(s, CKU_USER, data, 7)) /* nothing is locked there */
}

static void wrong_templates(void **state)
{
    (void)state;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_OBJECT_CLASS cert_class = CKO_CERTIFICATE, secret = CKO_SECRET_KEY;
    CK_ULONG bits = 1024;
    CK_OBJECT_HANDLE o, o2;
    CK_BYTE oid[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a}; /* secp256k1 */
    CK_MECHANISM ec = {CKM_EC_KEY_PAIR_GEN, NULL, 0}, rsa_gen = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE params = {CKA_EC_PARAMS, oid, sizeof oid}, size = {CKA_MODULUS_BITS, &bits, sizeof bits};
    CK_ATTRIBUTE on_token = {CKA_TOKEN, &yes, 1}, in_session = {CKA_TOKEN, &no, 1};
    CK_ATTRIBUTE leaks[] = {{CKA_TOKEN, &yes, 1}, {CKA_EXTRACTABLE, &yes, 1}};
    ROW(CKR_TEMPLATE_INCOMPLETE, C_GenerateKeyPair(s, &ec, NULL, 0, &on_token, 1, &o, &o2))
    ROW(CKR_CURVE_NOT_SUPPORTED, C_GenerateKeyPair(s, &ec, &params, 1, &on_token, 1, &o, &o2))
    ROW(CKR_KEY_SIZE_RANGE, C_GenerateKeyPair(s, &rsa_gen, &size, 1, &on_token, 1, &o, &o2))
    ROW(CKR_TEMPLATE_INCONSISTENT, C_GenerateKeyPair(s, &ec, &params, 1, &in_session, 1, &o, &o2))
    ROW(CKR_TEMPLATE_INCONSISTENT, C_GenerateKeyPair(s, &ec, &params, 1, leaks, 2, &o, &o2))
    ROW(CKR_MECHANISM_INVALID, C_GenerateKeyPair(s, &ecdsa, &params, 1, &on_token, 1, &o, &o2))
    bits = 2048;
    ROW(CKR_SESSION_READ_ONLY, C_GenerateKeyPair(s, &rsa_gen, &size, 1, &on_token, 1, &o, &o2))
    CK_ATTRIBUTE class = {CKA_CLASS, &secret, sizeof secret};
    ROW(CKR_TEMPLATE_INCOMPLETE, C_CreateObject(s, &class, 1, &o))
    CK_ATTRIBUTE c[] = {
        {CKA_CLASS, &cert_class, sizeof cert_class}, {CKA_VALUE, data, 20}, {CKA_TOKEN, &yes, 1}};
    ROW(CKR_TEMPLATE_INCONSISTENT, C_CreateObject(s, c, 2, &o))
    ROW(CKR_SESSION_READ_ONLY, C_CreateObject(s, c, 3, &o))
    CK_SESSION_HANDLE rw = open_session("ec", CKF_RW_SESSION);
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, C_CreateObject(rw, c, 3, &o))
}

static void wrong_decryptions(void **state)
{
    (void)state;
    CK_MECHANISM oaep = {CKM_RSA_PKCS_OAEP, NULL, 0}, ecdh = {CKM_ECDH1_DERIVE, NULL, 0};
    CK_OBJECT_HANDLE o;
    ROW(CKR_ARGUMENTS_BAD, C_DecryptInit(s, NULL, priv))
    ROW(CKR_KEY_TYPE_INCONSISTENT, C_DecryptInit(s, &pkcs1, priv))
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, C_DecryptInit(s, &pkcs1, pub))
    ROW(CKR_KEY_HANDLE_INVALID, C_DecryptInit(s, &pkcs1, 4711))
    ROW(CKR_MECHANISM_INVALID, C_DecryptInit(s, &ecdsa, priv))
    ROW(CKR_MECHANISM_PARAM_INVALID, C_DecryptInit(s, &oaep, priv))
    ROW(CKR_OPERATION_NOT_INITIALIZED, C_Decrypt(s, data, 4, data, &n))
    ROW(CKR_ARGUMENTS_BAD, C_DeriveKey(s, NULL, priv, NULL, 0, &o))
    ROW(CKR_ARGUMENTS_BAD, C_DeriveKey(s, &ecdh, priv, NULL, 0, NULL))
    ROW(CKR_MECHANISM_INVALID, C_DeriveKey(s, &pkcs1, priv, NULL, 0, &o))
    ROW(CKR_MECHANISM_PARAM_INVALID, C_DeriveKey(s, &ecdh, priv, NULL, 0, &o))
}

#define NOT_SUPPORTED(call) ROW(CKR_FUNCTION_NOT_SUPPORTED, call)
static void what_is_not_there_says_so(void **state)
{
    (void)state;
    NOT_SUPPORTED(C_InitPIN(s, data, 4))
    NOT_SUPPORTED(C_SetPIN(s, data, 4, data, 4))
    NOT_SUPPORTED(C_InitToken(slot, data, 4, data))
    NOT_SUPPORTED(C_CopyObject(s, priv, NULL, 0, &priv))
    NOT_SUPPORTED(C_EncryptInit(s, &pkcs1, pub))
    NOT_SUPPORTED(C_SignRecoverInit(s, &pkcs1, priv))
    NOT_SUPPORTED(C_VerifyRecoverInit(s, &pkcs1, pub))
    NOT_SUPPORTED(C_GenerateKey(s, &pkcs1, NULL, 0, &priv))
    NOT_SUPPORTED(C_WrapKey(s, &pkcs1, pub, priv, out, &n))
    NOT_SUPPORTED(C_UnwrapKey(s, &pkcs1, priv, data, 4, NULL, 0, &priv))
    ROW(CKR_RANDOM_SEED_NOT_SUPPORTED, C_SeedRandom(s, data, 4))
    ROW(CKR_FUNCTION_NOT_PARALLEL, C_GetFunctionStatus(s))
    ROW(CKR_FUNCTION_NOT_PARALLEL, C_CancelFunction(s))
}

int main(void)
{
#define IN_SESSION(test) cmocka_unit_test_setup_teardown(test, start, finish)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_works_before_initialize),
        cmocka_unit_test(wrong_arguments_of_initialize),
        IN_SESSION(wrong_sessions),
        IN_SESSION(wrong_slots),
        IN_SESSION(null_pointers),
        IN_SESSION(wrong_order),
        IN_SESSION(wrong_keys_and_mechanisms),
        IN_SESSION(wrong_lengths),
        IN_SESSION(wrong_logins),
        IN_SESSION(wrong_templates),
        IN_SESSION(wrong_decryptions),
        IN_SESSION(what_is_not_there_says_so),
        cmocka_unit_test(nothing_works_before_initialize), /* nor after C_Finalize */
    };
    return cmocka_run_group_tests(tests, setup, chip_teardown);
}
