/* tests/pkcs11/compare.c: calls on which the standard says little or nothing, made on any module: one line
 * each, with what came back. tests/integration/test_pkcs11_compare.py runs it on several modules and
 * compares.
 *
 *     compare MODULE TOKEN PIN ec|rsa     a token with such a key behind this PIN
 *     compare MODULE                      only the calls that need none */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

static CK_FUNCTION_LIST_PTR p11;
static CK_BYTE data[512], out[512];
static CK_ULONG n;

static const char *name_of(CK_RV rv)
{
    static char number[32];
#define NAME(x)                                                                                              \
    case x:                                                                                                  \
        return #x
    switch (rv) {
        NAME(CKR_OK);
        NAME(CKR_HOST_MEMORY);
        NAME(CKR_SLOT_ID_INVALID);
        NAME(CKR_GENERAL_ERROR);
        NAME(CKR_FUNCTION_FAILED);
        NAME(CKR_ARGUMENTS_BAD);
        NAME(CKR_NO_EVENT);
        NAME(CKR_CANT_LOCK);
        NAME(CKR_ATTRIBUTE_READ_ONLY);
        NAME(CKR_ATTRIBUTE_SENSITIVE);
        NAME(CKR_ATTRIBUTE_TYPE_INVALID);
        NAME(CKR_ATTRIBUTE_VALUE_INVALID);
        NAME(CKR_DATA_INVALID);
        NAME(CKR_DATA_LEN_RANGE);
        NAME(CKR_DEVICE_ERROR);
        NAME(CKR_FUNCTION_NOT_PARALLEL);
        NAME(CKR_FUNCTION_NOT_SUPPORTED);
        NAME(CKR_KEY_HANDLE_INVALID);
        NAME(CKR_KEY_TYPE_INCONSISTENT);
        NAME(CKR_KEY_INDIGESTIBLE);
        NAME(CKR_KEY_FUNCTION_NOT_PERMITTED);
        NAME(CKR_MECHANISM_INVALID);
        NAME(CKR_MECHANISM_PARAM_INVALID);
        NAME(CKR_OBJECT_HANDLE_INVALID);
        NAME(CKR_OPERATION_ACTIVE);
        NAME(CKR_OPERATION_NOT_INITIALIZED);
        NAME(CKR_PIN_INCORRECT);
        NAME(CKR_PIN_LEN_RANGE);
        NAME(CKR_SESSION_HANDLE_INVALID);
        NAME(CKR_SESSION_PARALLEL_NOT_SUPPORTED);
        NAME(CKR_SESSION_READ_ONLY);
        NAME(CKR_SIGNATURE_INVALID);
        NAME(CKR_SIGNATURE_LEN_RANGE);
        NAME(CKR_TEMPLATE_INCOMPLETE);
        NAME(CKR_TEMPLATE_INCONSISTENT);
        NAME(CKR_USER_ALREADY_LOGGED_IN);
        NAME(CKR_USER_NOT_LOGGED_IN);
        NAME(CKR_USER_TYPE_INVALID);
        NAME(CKR_RANDOM_SEED_NOT_SUPPORTED);
        NAME(CKR_BUFFER_TOO_SMALL);
        NAME(CKR_CRYPTOKI_NOT_INITIALIZED);
        NAME(CKR_CRYPTOKI_ALREADY_INITIALIZED);
        NAME(CKR_STATE_UNSAVEABLE);
    default:
        if (rv == 0x1b)
            return "CKR_ACTION_PROHIBITED";
        (void)snprintf(number, sizeof number, "0x%lx", rv);
        return number;
    }
}

#define CALL(what, expression) printf("%s\t%s\n", what, name_of(p11->expression))
#define QUIET(expression)      (void)(p11->expression)

static CK_SLOT_ID slot_of(const char *token)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    size_t len = strlen(token);
    if (p11->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK)
        return ~0UL;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK && memcmp(info.label, token, len) == 0 &&
            info.label[len] == ' ')
            return slots[i];
    }
    return ~0UL;
}

static CK_OBJECT_HANDLE find(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class, CK_KEY_TYPE type)
{
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}};
    CK_OBJECT_HANDLE o = 0;
    CK_ULONG found = 0;
    QUIET(C_FindObjectsInit(s, template, 2));
    QUIET(C_FindObjects(s, &o, 1, &found));
    QUIET(C_FindObjectsFinal(s));
    return found == 1 ? o : 0;
}

/* ---- without a token ---- */

static void start(void)
{
    CK_INFO info;
    CK_C_INITIALIZE_ARGS reserved = {.pReserved = &info}, half = {0};
    CK_CREATEMUTEX some = (CK_CREATEMUTEX)(void *)malloc;
    half.CreateMutex = some;
    CALL("C_GetInfo before C_Initialize", C_GetInfo(&info));
    CALL("C_Finalize before C_Initialize", C_Finalize(NULL));
    CALL("C_Initialize, pReserved not NULL", C_Initialize(&reserved));
    CALL("C_Initialize, one of four mutex functions", C_Initialize(&half));
    QUIET(C_Initialize(NULL));
    QUIET(C_GetInfo(&info));
    printf("library\t%u.%u\n", info.libraryVersion.major, info.libraryVersion.minor);
    CALL("C_Initialize again", C_Initialize(NULL));
    CALL("C_GetInfo(NULL)", C_GetInfo(NULL));
    CALL("C_GetSlotList, no count", C_GetSlotList(CK_TRUE, NULL, NULL));
    CALL("C_GetSlotInfo, no such slot", C_GetSlotInfo(~0UL, (CK_SLOT_INFO *)data));
    CALL("C_GetTokenInfo, no such slot", C_GetTokenInfo(~0UL, (CK_TOKEN_INFO *)data));
    CALL("C_GetMechanismList, no such slot", C_GetMechanismList(~0UL, NULL, &n));
    CALL("C_OpenSession, no such slot", C_OpenSession(~0UL, CKF_SERIAL_SESSION, NULL, NULL, &n));
    CALL("C_CloseSession, no such session", C_CloseSession(0));
    CALL("C_CloseAllSessions, no such slot", C_CloseAllSessions(~0UL));
    CALL("C_GenerateRandom, no such session", C_GenerateRandom(0, out, 4));
    CALL("C_GetFunctionStatus, no such session", C_GetFunctionStatus(0));
    CALL("C_WaitForSlotEvent, not blocking", C_WaitForSlotEvent(CKF_DONT_BLOCK, &n, NULL));
}

static void stop(void)
{
    CALL("C_Finalize, not NULL", C_Finalize(data));
    QUIET(C_Finalize(NULL));
    CALL("C_Finalize again", C_Finalize(NULL));
}

/* ---- with a token ---- */

static void sessions_and_logins(CK_SLOT_ID slot, CK_SESSION_HANDLE s, const char *pin)
{
    CK_UTF8CHAR_PTR p = (CK_UTF8CHAR_PTR)(size_t)pin;
    CK_SESSION_HANDLE other = 0;
    CALL("C_OpenSession, not serial", C_OpenSession(slot, 0, NULL, NULL, &other));
    CALL("C_Logout, nobody is logged in", C_Logout(s));
    CALL("C_Login, no PIN", C_Login(s, CKU_USER, NULL, 0));
    CALL("C_Login, an empty PIN", C_Login(s, CKU_USER, p, 0));
    CALL("C_Login, a PIN of 300 bytes", C_Login(s, CKU_USER, data, 300));
    CALL("C_Login, no such user", C_Login(s, 77, p, strlen(pin)));
    CALL("C_Login, context specific", C_Login(s, CKU_CONTEXT_SPECIFIC, p, strlen(pin)));
    CALL("C_Login, a wrong PIN", C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR) "wrong-pin", 9));
    CALL("C_Login", C_Login(s, CKU_USER, p, strlen(pin)));
    CALL("C_Login again", C_Login(s, CKU_USER, p, strlen(pin)));
    CALL("C_InitPIN", C_InitPIN(s, p, strlen(pin)));
}

static void objects(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE priv, CK_OBJECT_HANDLE pub)
{
    CK_OBJECT_HANDLE o;
    CK_ATTRIBUTE secret = {CKA_VALUE, out, sizeof out}, unknown = {0x7fffffff, out, sizeof out};
    CK_ATTRIBUTE small = {CKA_CLASS, out, 1}, label = {CKA_LABEL, data, 3}, local = {CKA_LOCAL, data, 1};
    CALL("C_FindObjects, not begun", C_FindObjects(s, &o, 1, &n));
    CALL("C_FindObjectsFinal, not begun", C_FindObjectsFinal(s));
    QUIET(C_FindObjectsInit(s, NULL, 0));
    CALL("C_FindObjectsInit again", C_FindObjectsInit(s, NULL, 0));
    CALL("C_FindObjects, room for none", C_FindObjects(s, &o, 0, &n));
    QUIET(C_FindObjectsFinal(s));
    CALL("C_FindObjectsInit, no template of one", C_FindObjectsInit(s, NULL, 1));
    CALL("C_GetAttributeValue, the private value", C_GetAttributeValue(s, priv, &secret, 1));
    CALL("C_GetAttributeValue, no such attribute", C_GetAttributeValue(s, priv, &unknown, 1));
    CALL("C_GetAttributeValue, too little room", C_GetAttributeValue(s, priv, &small, 1));
    printf("its ulValueLen then\t%s\n",
           small.ulValueLen == CK_UNAVAILABLE_INFORMATION ? "CK_UNAVAILABLE_INFORMATION" : "a length");
    CALL("C_GetAttributeValue, no such object", C_GetAttributeValue(s, 0, &small, 1));
    CALL("C_GetAttributeValue, an empty template", C_GetAttributeValue(s, priv, &small, 0));
    CALL("C_SetAttributeValue, CKA_LABEL, read-only session", C_SetAttributeValue(s, pub, &label, 1));
    CALL("C_SetAttributeValue, CKA_LOCAL, read-only session", C_SetAttributeValue(s, pub, &local, 1));
    CALL("C_CopyObject, an empty template", C_CopyObject(s, pub, NULL, 0, &o));
    CALL("C_DestroyObject, read-only session", C_DestroyObject(s, priv));
    CALL("C_GetObjectSize", C_GetObjectSize(s, priv, &n));
}

static CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0}, ecdsa_sha256 = {CKM_ECDSA_SHA256, NULL, 0},
                    pkcs1 = {CKM_RSA_PKCS, NULL, 0}, x509 = {CKM_RSA_X_509, NULL, 0},
                    pss = {CKM_RSA_PKCS_PSS, NULL, 0}, sha256 = {CKM_SHA256, NULL, 0},
                    none = {0x7fffffff, NULL, 0};

static CK_RV sign(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_ULONG len)
{
    CK_RV rv = p11->C_SignInit(s, m, key);
    n = sizeof out;
    return rv != CKR_OK ? rv : p11->C_Sign(s, data, len, out, &n);
}
#define SIGN(what, m, len) printf("%s\t%s\n", what, name_of(sign(s, m, priv, len)))

static void signing(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE priv, CK_OBJECT_HANDLE pub)
{
    CALL("C_Sign, not begun", C_Sign(s, data, 32, out, &n));
    CALL("C_SignUpdate, not begun", C_SignUpdate(s, data, 32));
    CALL("C_SignInit, a public key", C_SignInit(s, &ecdsa, pub));
    CALL("C_SignInit, no such key", C_SignInit(s, &ecdsa, 0));
    CALL("C_SignInit, no such mechanism", C_SignInit(s, &none, priv));
    CALL("C_SignInit, a mechanism of digests", C_SignInit(s, &sha256, priv));
    CALL("C_SignInit, a mechanism of RSA", C_SignInit(s, &pkcs1, priv));
    n = sizeof out;
    QUIET(C_Sign(s, data, 32, out, &n)); /* ends what some have begun now */
    CALL("C_SignInit, no mechanism", C_SignInit(s, NULL, priv));
    QUIET(C_SignInit(s, &ecdsa, priv));
    CALL("C_SignInit again", C_SignInit(s, &ecdsa, priv));
    n = 10;
    CALL("C_Sign, too little room", C_Sign(s, data, 32, out, &n));
    printf("the length then\t%lu\n", n);
    n = sizeof out;
    CALL("C_Sign then, with enough room", C_Sign(s, data, 32, out, &n));
    CALL("C_SignFinal after C_Sign", C_SignFinal(s, out, &n));
    SIGN("C_Sign, CKM_ECDSA of nothing", &ecdsa, 0);
    SIGN("C_Sign, CKM_ECDSA of 1 byte", &ecdsa, 1);
    SIGN("C_Sign, CKM_ECDSA of 64 bytes with P-256", &ecdsa, 64);
    QUIET(C_SignInit(s, &ecdsa_sha256, priv));
    CALL("C_SignUpdate, nothing", C_SignUpdate(s, NULL, 0));
    n = sizeof out;
    CALL("C_Sign after C_SignUpdate", C_Sign(s, data, 4, out, &n));
    n = sizeof out;
    CALL("C_SignFinal then", C_SignFinal(s, out, &n));
    QUIET(C_SignInit(s, &ecdsa, priv));
    CALL("C_SignUpdate, CKM_ECDSA", C_SignUpdate(s, data, 32));
    n = sizeof out;
    CALL("C_SignFinal then, too", C_SignFinal(s, out, &n));
    (void)sign(s, &ecdsa, priv, 32);
    QUIET(C_VerifyInit(s, &ecdsa, pub));
    CALL("C_Verify, a signature that is too short", C_Verify(s, data, 32, out, 10));
    QUIET(C_VerifyInit(s, &ecdsa, pub));
    CALL("C_Verify, of other data", C_Verify(s, data + 1, 32, out, n));
    CALL("C_VerifyInit, a private key", C_VerifyInit(s, &ecdsa, priv));
}

static void digests(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE priv)
{
    CALL("C_DigestInit, a mechanism of signatures", C_DigestInit(s, &ecdsa));
    CALL("C_DigestFinal, not begun", C_DigestFinal(s, out, &n));
    QUIET(C_DigestInit(s, &sha256));
    CALL("C_DigestKey, a private key", C_DigestKey(s, priv));
    QUIET(C_DigestFinal(s, out, &n));
    CALL("C_GetOperationState", C_GetOperationState(s, NULL, &n));
    CALL("C_SeedRandom", C_SeedRandom(s, data, 4));
    CALL("C_GenerateRandom, no bytes", C_GenerateRandom(s, out, 0));
    CALL("C_CancelFunction", C_CancelFunction(s));
}

static void end(CK_SLOT_ID slot, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE priv)
{
    QUIET(C_SignInit(s, &ecdsa, priv));
    CALL("C_Logout, with a signature begun", C_Logout(s));
    n = sizeof out;
    CALL("C_Sign then, after the logout", C_Sign(s, data, 32, out, &n));
    CALL("C_SignInit, logged out", C_SignInit(s, &ecdsa, priv));
    CALL("C_CloseAllSessions", C_CloseAllSessions(slot));
    CALL("C_GetSessionInfo, closed", C_GetSessionInfo(s, (CK_SESSION_INFO *)out));
}

static void rsa(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE priv)
{
    SIGN("C_Sign, CKM_RSA_PKCS of nothing", &pkcs1, 0);
    SIGN("C_Sign, CKM_RSA_PKCS of 245 bytes with RSA-2048", &pkcs1, 245);
    SIGN("C_Sign, CKM_RSA_PKCS of 246 bytes with RSA-2048", &pkcs1, 246);
    SIGN("C_Sign, CKM_RSA_X_509 of 10 bytes", &x509, 10);
    memset(data, 0xff, 256);
    SIGN("C_Sign, CKM_RSA_X_509 of a number above the modulus", &x509, 256);
    SIGN("C_SignInit, CKM_RSA_PKCS_PSS without parameters", &pss, 32);
}

int main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR) = NULL;
    if (library != NULL)
        *(void **)&get = dlsym(library, "C_GetFunctionList");
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (CK_BYTE)(i * 7 + 1);
    if (get == NULL || get(&p11) != CKR_OK || (argc != 2 && argc != 5))
        return 2;
    start();
    if (argc == 5) {
        CK_KEY_TYPE type = strcmp(argv[4], "rsa") == 0 ? CKK_RSA : CKK_EC;
        CK_SLOT_ID slot = slot_of(argv[2]);
        CK_SESSION_HANDLE s = 0;
        if (p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &s) != CKR_OK)
            return 3;
        sessions_and_logins(slot, s, argv[3]);
        CK_OBJECT_HANDLE priv = find(s, CKO_PRIVATE_KEY, type), pub = find(s, CKO_PUBLIC_KEY, type);
        if (priv == 0 || pub == 0)
            return 4;
        if (type == CKK_RSA)
            rsa(s, priv);
        else {
            objects(s, priv, pub);
            signing(s, priv, pub);
            digests(s, priv);
            end(slot, s, priv);
        }
    }
    stop();
    return 0;
}
