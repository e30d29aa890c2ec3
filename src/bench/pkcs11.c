/* bench/pkcs11.c: what a program waits for behind a PKCS#11 module, ours or another: one line of JSON. Layer:
 * bench. scripts/bench-pkcs11 makes the tokens and compares.
 *
 *     pkcs11-times MODULE sign TOKEN PIN SECONDS COUNT   from C_Initialize to the first signature, with the
 * PIN
 *                                                        ("": no login); then signatures, until SECONDS have
 *                                                        passed or there are COUNT
 *     pkcs11-times MODULE list                           all tokens, and the objects of each */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <p11-kit/pkcs11.h>

#define TOKENS_MAX 4096

static CK_FUNCTION_LIST *p11;

static double clock_ms(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

static void must(const char *what, CK_RV rv)
{
    if (rv == CKR_OK)
        return;
    (void)fprintf(stderr, "pkcs11-times: %s: 0x%lx\n", what, rv);
    exit(1);
}

static CK_ULONG all_slots(CK_SLOT_ID *slots)
{
    CK_ULONG n = 0;
    must("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, NULL, &n));
    n = TOKENS_MAX;
    must("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, slots, &n));
    return n;
}

static CK_SLOT_ID slot_named(const char *name)
{
    static CK_SLOT_ID slots[TOKENS_MAX];
    CK_ULONG n = all_slots(slots);
    size_t len = strlen(name);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;
        must("C_GetTokenInfo", p11->C_GetTokenInfo(slots[i], &info));
        if (len < sizeof info.label && memcmp(info.label, name, len) == 0 && info.label[len] == ' ')
            return slots[i];
    }
    (void)fprintf(stderr, "pkcs11-times: there is no token %s\n", name);
    exit(1);
}

static CK_OBJECT_HANDLE private_key(CK_SESSION_HANDLE s)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG n = 0;
    must("C_FindObjectsInit", p11->C_FindObjectsInit(s, &template, 1));
    must("C_FindObjects", p11->C_FindObjects(s, &key, 1, &n));
    must("C_FindObjectsFinal", p11->C_FindObjectsFinal(s));
    must("a private key", n == 1 ? CKR_OK : CKR_KEY_HANDLE_INVALID);
    return key;
}

static CK_KEY_TYPE type_of(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
    CK_KEY_TYPE type = CKK_EC;
    CK_ATTRIBUTE a = {CKA_KEY_TYPE, &type, sizeof type};
    must("C_GetAttributeValue", p11->C_GetAttributeValue(s, key, &a, 1));
    return type;
}

/* A SHA-256 digest, or its DigestInfo: what TLS and OpenSSH hand over. */
static void sign(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, CK_KEY_TYPE type)
{
    static CK_BYTE info[19 + 32] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                    0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    CK_BYTE sig[512];
    CK_ULONG len = sizeof sig;
    CK_MECHANISM m = {type == CKK_RSA ? CKM_RSA_PKCS : CKM_ECDSA, NULL, 0};
    must("C_SignInit", p11->C_SignInit(s, &m, key));
    must("C_Sign", type == CKK_RSA ? p11->C_Sign(s, info, sizeof info, sig, &len)
                                   : p11->C_Sign(s, info + 19, 32, sig, &len));
    info[sizeof info - 1]++;
}

static void run_sign(const char *token, char *pin, double seconds, long count)
{
    CK_SESSION_HANDLE s;
    long n = 0;
    double start = now_ms();
    must("C_Initialize", p11->C_Initialize(NULL));
    must("C_OpenSession", p11->C_OpenSession(slot_named(token), CKF_SERIAL_SESSION, NULL, NULL, &s));
    if (pin[0] != '\0')
        must("C_Login", p11->C_Login(s, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)));
    CK_OBJECT_HANDLE key = private_key(s);
    CK_KEY_TYPE type = type_of(s, key);
    sign(s, key, type);
    double first = now_ms();
    while (n < count && now_ms() - first < seconds * 1e3) {
        sign(s, key, type);
        n++;
    }
    printf("{\"first_ms\": %.3f, \"signatures\": %ld, \"seconds\": %.6f}\n", first - start, n,
           (now_ms() - first) / 1e3);
}

static void run_list(void)
{
    static CK_SLOT_ID slots[TOKENS_MAX];
    double start = now_ms();
    must("C_Initialize", p11->C_Initialize(NULL));
    CK_ULONG n = all_slots(slots), objects = 0;
    double listed = now_ms(), listed_cpu = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_SESSION_HANDLE s;
        CK_OBJECT_HANDLE found[16];
        CK_ULONG here = 0;
        must("C_OpenSession", p11->C_OpenSession(slots[i], CKF_SERIAL_SESSION, NULL, NULL, &s));
        must("C_FindObjectsInit", p11->C_FindObjectsInit(s, NULL, 0));
        must("C_FindObjects", p11->C_FindObjects(s, found, 16, &here));
        must("C_FindObjectsFinal", p11->C_FindObjectsFinal(s));
        must("C_CloseSession", p11->C_CloseSession(s));
        objects += here;
    }
    printf(
        "{\"tokens\": %lu, \"objects\": %lu, \"list_ms\": %.3f, \"find_ms\": %.3f, \"find_cpu_ms\": %.3f}\n",
        n, objects, listed - start, now_ms() - listed, clock_ms(CLOCK_PROCESS_CPUTIME_ID) - listed_cpu);
}

int main(int argc, char **argv)
{
    void *module = argc > 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (module == NULL) {
        (void)fprintf(stderr, "pkcs11-times: %s\n",
                      argc > 2 ? dlerror() : "MODULE sign TOKEN PIN SECONDS COUNT | list");
        return 2;
    }
    CK_C_GetFunctionList get;
    *(void **)&get =
        dlsym(module, "C_GetFunctionList"); /* POSIX, dlsym: a function by way of an object pointer */
    must("C_GetFunctionList", get == NULL ? CKR_FUNCTION_FAILED : get(&p11));
    if (strcmp(argv[2], "sign") == 0 && argc == 7)
        run_sign(argv[3], argv[4], strtod(argv[5], NULL), strtol(argv[6], NULL, 10));
    else
        run_list();
    must("C_Finalize", p11->C_Finalize(NULL));
    return 0;
}
