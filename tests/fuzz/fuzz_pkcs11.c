/* tests/fuzz/fuzz_pkcs11.c: the PKCS#11 module, called with whatever the bytes say: sessions, handles,
 * templates, mechanisms with parameters, data. There is no TPM, so that signatures end with CKR_DEVICE_ERROR;
 * everything before them is reached. Each input begins and ends with an uninitialised module, which must have
 * lost nothing. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pkcs11/cryptoki.h"

struct bytes {
    const uint8_t *at;
    size_t left;
};

static uint8_t next(struct bytes *b)
{
    if (b->left == 0)
        return 0;
    b->left--;
    return *b->at++;
}

/* A number that is small, or a handle that may be one, or anything. */
static CK_ULONG number(struct bytes *b, const CK_ULONG known[8])
{
    uint8_t how = next(b);
    if (how < 128)
        return known[how & 7];
    CK_ULONG n = how & 63;
    for (unsigned i = 0; how >= 192 && i < sizeof n; i++)
        n = n << 8 | next(b);
    return n;
}

static CK_FUNCTION_LIST *p11;
static CK_ULONG sessions[8], objects[8], slots[8];

/* Key files of the corpus of fuzz_keyfile, as far as they are there. */
static void make_identities(void)
{
    static const char command[] = "for k in p256 rsa policy; do mkdir -p $0/$k; cp " CORPUS
                                  "/keyfile/$k $0/$k/key.pem; done; mkdir -p $0/empty";
    static char dir[] = "/tmp/fuzz-pkcs11.XXXXXX";
    char line[512];
    FUZZ_CHECK(mkdtemp(dir) != NULL);
    (void)snprintf(line, sizeof line, "sh -c '%s' %s", command, dir);
    FUZZ_CHECK(system(line) == 0);
    FUZZ_CHECK(setenv("TPMTLS_IDENTITIES", dir, 1) == 0 && setenv("TPMTLS_TPM", "device:/nowhere", 1) == 0);
    FUZZ_CHECK(C_GetFunctionList(&p11) == CKR_OK);
}

#define TEMPLATE_MAX 6
static CK_ULONG template_of(struct bytes *b, CK_ATTRIBUTE template[TEMPLATE_MAX], uint8_t room[64])
{
    static const CK_ULONG types[8] = {CKA_CLASS, CKA_ID,        CKA_LABEL,   CKA_TOKEN,
                                      CKA_VALUE, CKA_EC_PARAMS, CKA_MODULUS, CKA_MODULUS_BITS};
    CK_ULONG n = next(b) % (TEMPLATE_MAX + 1);
    for (size_t i = 0; i < 64; i++)
        room[i] = next(b);
    for (CK_ULONG i = 0; i < n; i++)
        template[i] = (CK_ATTRIBUTE){number(b, types), next(b) % 8 == 0 ? NULL : room, next(b) & 63};
    return n;
}

static void call(struct bytes *b)
{
    static const CK_ULONG kinds[8] = {
        CKM_ECDSA,     CKM_ECDSA_SHA256, CKM_RSA_PKCS,        CKM_SHA256_RSA_PKCS_PSS,
        CKM_RSA_X_509, CKM_SHA256,       CKM_EC_KEY_PAIR_GEN, CKM_RSA_PKCS_PSS};
    CK_ATTRIBUTE template[TEMPLATE_MAX];
    uint8_t room[64], data[600] = {0}, out[600];
    CK_ULONG len = number(b, (const CK_ULONG[8]){0, 20, 32, 64, 256, 512, 600, 1}) % sizeof out;
    CK_ULONG s = number(b, sessions), o = number(b, objects), n = 0, found = 0, in = next(b) * 2U;
    CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, next(b)};
    CK_MECHANISM m = {number(b, kinds), next(b) % 2 == 0 ? NULL : (void *)&pss, next(b) & 31};
    if (m.ulParameterLen > sizeof pss)
        m.ulParameterLen = sizeof pss;
    CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, next(b), CKZ_DATA_SPECIFIED, data, next(b)};
    CK_ECDH1_DERIVE_PARAMS ecdh = {CKD_NULL, 0, NULL, in, data};
    CK_MECHANISM decrypt = {CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep},
                 derive = {CKM_ECDH1_DERIVE, &ecdh, sizeof ecdh};
    switch (next(b) % 23) {
    case 0:
        (void)p11->C_OpenSession(number(b, slots), CKF_SERIAL_SESSION | next(b), NULL, NULL,
                                 &sessions[next(b) & 7]);
        return;
    case 1:
        (void)p11->C_CloseSession(s);
        return;
    case 2:
        (void)p11->C_Login(s, next(b) & 3, data, in);
        return;
    case 3:
        n = template_of(b, template, room);
        (void)p11->C_FindObjectsInit(s, template, n);
        (void)p11->C_FindObjects(s, objects, 8, &found);
        (void)p11->C_FindObjectsFinal(s);
        return;
    case 4:
        n = template_of(b, template, room);
        (void)p11->C_GetAttributeValue(s, o, template, n);
        return;
    case 5:
        n = template_of(b, template, room);
        (void)p11->C_CreateObject(s, template, n, &objects[0]);
        return;
    case 6:
        n = template_of(b, template, room);
        (void)p11->C_GenerateKeyPair(s, &m, template, n, template, n, &objects[1], &objects[2]);
        return;
    case 7:
        (void)p11->C_SignInit(s, &m, o);
        return;
    case 8:
        (void)p11->C_SignUpdate(s, data, in);
        return;
    case 9:
        (void)p11->C_SignFinal(s, next(b) % 4 == 0 ? NULL : out, &len);
        return;
    case 10:
        (void)p11->C_Sign(s, data, in, next(b) % 4 == 0 ? NULL : out, &len);
        return;
    case 11:
        (void)p11->C_VerifyInit(s, &m, o);
        return;
    case 12:
        (void)p11->C_Verify(s, data, in, out, memset(out, 7, sizeof out) == out ? len : 0);
        return;
    case 13:
        (void)p11->C_DigestInit(s, &m);
        return;
    case 14:
        (void)p11->C_DigestUpdate(s, data, in);
        return;
    case 15:
        (void)p11->C_DigestFinal(s, out, &len);
        return;
    case 16:
        (void)p11->C_GetSlotList(CK_TRUE, slots, &(CK_ULONG){next(b) & 7});
        return;
    case 17:
        (void)p11->C_GetMechanismInfo(number(b, slots), m.mechanism, &(CK_MECHANISM_INFO){0});
        return;
    case 18:
        (void)p11->C_DestroyObject(s, o);
        return;
    case 19:
        (void)p11->C_DecryptInit(s, next(b) % 2 == 0 ? &m : &decrypt, o);
        return;
    case 20:
        (void)p11->C_Decrypt(s, data, in, next(b) % 4 == 0 ? NULL : out, &len);
        return;
    case 21:
        n = template_of(b, template, room);
        (void)p11->C_DeriveKey(s, next(b) % 4 == 0 ? &m : &derive, o, template, n, &objects[3]);
        return;
    default:
        (void)p11->C_CloseAllSessions(number(b, slots));
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes b = {data, size};
    CK_ULONG n = 8;
    if (p11 == NULL)
        make_identities();
    FUZZ_CHECK(p11->C_Initialize(NULL) == CKR_OK);
    FUZZ_CHECK(p11->C_GetSlotList(CK_TRUE, slots, &n) == CKR_OK);
    FUZZ_CHECK(p11->C_OpenSession(slots[next(&b) % n], CKF_SERIAL_SESSION, NULL, NULL, &sessions[0]) ==
               CKR_OK);
    (void)p11->C_FindObjectsInit(sessions[0], NULL, 0);
    (void)p11->C_FindObjects(sessions[0], objects, 8, &n);
    (void)p11->C_FindObjectsFinal(sessions[0]);
    for (int i = 0; b.left > 0 && i < 64; i++)
        call(&b);
    FUZZ_CHECK(p11->C_Finalize(NULL) == CKR_OK);
    return 0;
}
