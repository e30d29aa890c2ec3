/* tests/pkcs11/p11_test.c: see p11_test.h. */
#include "p11_test.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "tpm/key.h"

struct temp_tpm chip;
char ids[80];
CK_FUNCTION_LIST_PTR p11;

static void path_of(char ret[256], const char *name, const char *file)
{
    (void)snprintf(ret, 256, "%s/%s/%s", ids, name, file);
}

void file_put(const char *name, const char *file, const char *text)
{
    char path[256], temporary[256];
    path_of(path, name, file);
    path_of(temporary, name, "new");
    if (text == NULL) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    FILE *f = fopen(temporary, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(temporary, path), 0);
}

static char *file_get(const char *name, const char *file)
{
    static char text[16384];
    char path[256];
    path_of(path, name, file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    return text;
}

static void name_is(X509_NAME *n, const char *cn)
{
    assert_int_equal(X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0), 1);
}

void identity_certify(const char *name, long serial)
{
    uint8_t *spki;
    size_t len;
    struct tt_error err = {0};
    const char *text = file_get(name, "key.pem");
    assert_int_equal(
        tt_identity_key_spki(&spki, &len, (struct tt_bytes){(const uint8_t *)text, strlen(text)}, &err),
        TT_OK);
    const uint8_t *at = spki;
    EVP_PKEY *pub = d2i_PUBKEY(NULL, &at, (long)len), *ca = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    assert_non_null(pub);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), serial), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
    name_is(X509_get_subject_name(x), name);
    name_is(X509_get_issuer_name(x), "CA");
    assert_int_equal(X509_set_pubkey(x, pub), 1);
    assert_true(X509_sign(x, ca, EVP_sha256()) > 0);
    BIO *b = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(b, x), 1);
    assert_int_equal(BIO_write(b, "", 1), 1);
    char *pem;
    (void)BIO_get_mem_data(b, &pem);
    file_put(name, "cert.pem", pem);
    BIO_free(b);
    X509_free(x);
    EVP_PKEY_free(pub);
    EVP_PKEY_free(ca);
    tt_free(spki);
}

void identity_make(const struct identity *identity)
{
    char path[256], *pem = NULL;
    struct tt_error err = {0};
    struct tt_tpm *tpm = NULL;
    struct tt_bytes password = {(const uint8_t *)identity->password,
                                identity->password == NULL ? 0 : strlen(identity->password)};
    const struct tt_key_params params = {
        .type = identity->type, .password = &password, .count_failures = identity->counted};
    (void)snprintf(path, sizeof path, "%s/%s", ids, identity->name);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(tt_tpm_open(&tpm, chip.tcti, &err), TT_OK);
    if (tt_key_create_with(&pem, tpm, &params, &err) != TT_OK)
        fail_msg("%s", err.text);
    tt_tpm_close(tpm);
    file_put(identity->name, "key.pem", pem);
    tt_free(pem);
    if (!identity->no_cert)
        identity_certify(identity->name, 1);
}

int chip_setup(const struct identity *identities, size_t n)
{
    if (!temp_tpm_start(&chip))
        return -1;
    (void)snprintf(ids, sizeof ids, "%s/ids", chip.dir);
    if (mkdir(ids, 0700) != 0 || setenv("TPMTLS_TPM", chip.tcti, 1) != 0 ||
        setenv("TPMTLS_IDENTITIES", ids, 1) != 0 || C_GetFunctionList(&p11) != CKR_OK)
        return -1;
    for (size_t i = 0; i < n; i++)
        identity_make(&identities[i]);
    return 0;
}

int chip_teardown(void **state)
{
    (void)state;
    temp_tpm_stop(&chip);
    return 0;
}

void begin(void)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_ULONG n = 0;
    assert_ckr(p11->C_Initialize(&args));
    assert_ckr(p11->C_GetSlotList(CK_TRUE, NULL, &n));
}

void end(void)
{
    assert_ckr(p11->C_Finalize(NULL));
}

CK_SLOT_ID slot_named(const char *name)
{
    CK_SLOT_ID slots[64];
    CK_ULONG n = 64;
    CK_TOKEN_INFO info;
    assert_ckr(p11->C_GetSlotList(CK_TRUE, slots, &n));
    for (CK_ULONG i = 0; i < n; i++) {
        assert_ckr(p11->C_GetTokenInfo(slots[i], &info));
        if (memcmp(info.label, name, strlen(name)) == 0 && info.label[strlen(name)] == ' ')
            return slots[i];
    }
    return ~0UL;
}

CK_SESSION_HANDLE open_session(const char *name, CK_FLAGS more)
{
    CK_SESSION_HANDLE s;
    assert_ckr(p11->C_OpenSession(slot_named(name), CKF_SERIAL_SESSION | more, NULL, NULL, &s));
    return s;
}

CK_OBJECT_HANDLE find_one(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class)
{
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};
    CK_OBJECT_HANDLE found[2] = {0};
    CK_ULONG n = 0;
    assert_ckr(p11->C_FindObjectsInit(s, &template, 1));
    assert_ckr(p11->C_FindObjects(s, found, 2, &n));
    assert_ckr(p11->C_FindObjectsFinal(s));
    assert_true(n <= 1);
    return found[0];
}

size_t get(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, uint8_t ret[4096])
{
    CK_ATTRIBUTE a = {type, NULL, 0};
    assert_ckr(p11->C_GetAttributeValue(s, o, &a, 1));
    assert_true(a.ulValueLen <= 4096);
    a.pValue = ret;
    assert_ckr(p11->C_GetAttributeValue(s, o, &a, 1));
    return a.ulValueLen;
}

EVP_PKEY *public_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o)
{
    uint8_t spki[4096];
    const uint8_t *at = spki;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)get(s, o, CKA_PUBLIC_KEY_INFO, spki));
    assert_non_null(key);
    return key;
}

void decryption_identity(const char *name, enum tt_key_type type, const char *password)
{
    char path[256], *pem = NULL;
    struct tt_error err = {0};
    struct tt_tpm *tpm = NULL;
    struct tpm_new what = {.kind = TPM_NEW_DECRYPTION,
                           .type = type,
                           .password = {(const uint8_t *)password, password == NULL ? 0 : strlen(password)},
                           .counts_failures = password != NULL};
    (void)snprintf(path, sizeof path, "%s/%s", ids, name);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(tt_tpm_open(&tpm, chip.tcti, &err), TT_OK);
    if (tpm_create(&pem, tpm, &what, &err) != TT_OK)
        fail_msg("%s", err.text);
    tt_tpm_close(tpm);
    file_put(name, "key.pem", pem);
    mem_free(pem);
}
