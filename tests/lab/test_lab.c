/* tests/lab/test_lab.c: the lab itself: its string, its figures, each fault, each limit. Nothing here asserts
 * on how long something took at most: delays are counted by the lab's own report. */
#include "lab_test.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#include "lab/options.h"
#include "lab/tcti.h"
#include "support/range.h"
#include "tpm/own_chip.h"
#include "tpm/public.h"

/* ---- the string ---- */

static void a_string_is_read(void **state)
{
    (void)state;
    struct lab_options o;
    struct tt_error err = {0};
    assert_ok(
        lab_options_parse(&o,
                          "profile=pc,seed=7,jitter=off,clock=virtual,lacks=p384+sha512,slots=2,salt=max,"
                          "fips=on,report=/x/y,fault=0x922@Sign#2-4,fault=hang.50@0x157#3-:swtpm:path=/s",
                          &err),
        &err);
    assert_string_equal(o.profile->name, "pc");
    assert_int_equal(o.seed, 7);
    assert_true(!o.jitter && o.virtual_clock && o.max_salt && o.fips);
    assert_int_equal(o.lacks, LAB_NO_P384 | LAB_NO_SHA512);
    assert_int_equal(o.slots, 2);
    assert_string_equal(o.report, "/x/y");
    assert_string_equal(o.inner, "swtpm:path=/s");
    assert_int_equal(o.faults_len, 2);
    assert_int_equal(o.faults[0].action, LAB_CODE);
    assert_int_equal(o.faults[0].value, 0x922);
    assert_int_equal(o.faults[0].command, TPM2_CC_Sign);
    assert_int_equal(o.faults[0].first, 2);
    assert_int_equal(o.faults[0].last, 4);
    assert_int_equal(o.faults[1].action, LAB_HANG);
    assert_int_equal(o.faults[1].value, 50);
    assert_int_equal(o.faults[1].command, TPM2_CC_Load);
    assert_int_equal(o.faults[1].last, UINT32_MAX);
    assert_ok(lab_options_parse(&o, "", &err), &err);
    assert_ok(lab_options_parse(&o, ":device:/dev/tpm0", &err), &err);
    assert_string_equal(o.inner, "device:/dev/tpm0");
    assert_ok(lab_options_parse(&o, "profile=slb9670:", &err), &err);
    assert_int_equal(o.lacks, LAB_NO_SHA384); /* as published */
}

static void a_wrong_string_is_explained(void **state)
{
    (void)state;
    static const struct {
        const char *config, *text;
    } cases[] = {
        {"profile=slb9999:x", "there is no profile 'slb9999'; there are ns350 slb9670"},
        {"profil=pc:x", "there is no option 'profil='"},
        {"profile:x", "there is no option 'profile'"},
        {"fault=explode:x", "there is no fault 'explode'"},
        {"fault=drop@Sgn:x", "there is no command 'Sgn'"},
        {"fault=drop#0:x", "counts from 1"},
        {"fault=drop#5-4:x", "counts from 1"},
        {"fault=drop#x:x", "'x' is not a number"},
        {"fault=0xzz:x", "is not a number"},
        {"fault=truncate.-1:x", "is not a number"},
        {"lacks=p385:x", "lacks= does not know 'p385'"},
        {"slots=0:x", "from 1 to 64"},
        {"seed=99999999999:x", "is not a number"},
        {"clock=slow:x", "clock= is real or virtual"},
        {"jitter=1:x", "jitter= is on or off"},
        {"salt=none:x", "salt= is max or digest"},
    };
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        char text[256];
        assert_true(tpmtls_lab_explain(cases[i].config, text, sizeof text));
        if (strstr(text, cases[i].text) == NULL)
            fail_msg("%s: %s", cases[i].config, text);
        assert_null(lab_tcti_new(cases[i].config));
    }
    char many[512] = "";
    for (int i = 0; i <= LAB_MAX_FAULTS; i++)
        (void)strcat(many, i == 0 ? "fault=drop" : ",fault=drop");
    assert_null(lab_tcti_new(many));
    char text[256];
    assert_false(tpmtls_lab_explain("profile=pc:swtpm", text, sizeof text));
    assert_string_equal(text, "");
}

/* ---- figures ---- */

struct line {
    unsigned number, rc;
    unsigned long long cost;
    char command[32], fault[16];
};

/* The next word of a line; returns what is behind it. */
static char *take_word(char *ret, size_t cap, char *at)
{
    at += strspn(at, " ");
    size_t n = strcspn(at, " \n");
    assert_true(n < cap);
    memcpy(ret, at, n);
    ret[n] = '\0';
    return at + n;
}

/* The report's lines; the file is removed. */
static size_t report_take(const char *path, struct line *ret, size_t cap)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = 0;
    char text[200];
    while (n < cap && fgets(text, sizeof text, f) != NULL) {
        struct line *l = &ret[n++];
        char *at = text;
        l->number = (unsigned)strtoul(at, &at, 10);
        at = take_word(l->command, sizeof l->command, at);
        l->rc = (unsigned)strtoul(at, &at, 16);
        l->cost = strtoull(at, &at, 10);
        (void)take_word(l->fault, sizeof l->fault, at);
        assert_true(l->command[0] != '\0' && l->fault[0] != '\0');
    }
    (void)fclose(f);
    (void)unlink(path);
    return n;
}

static const struct line *line_of(const struct line *lines, size_t n, const char *command)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(lines[i].command, command) == 0 && lines[i].rc == 0)
            return &lines[i];
    fail_msg("no %s in the report", command);
    return NULL;
}

/* What making a key, loading it and signing costs on a chip, by its report. */
static size_t run_identity(const char *profile, const char *more, enum tt_key_type type, struct line *ret,
                           size_t cap)
{
    char path[96], options[256];
    (void)snprintf(path, sizeof path, "%s/report", chip.dir);
    (void)snprintf(options, sizeof options, "profile=%s,clock=virtual,report=%s%s", profile, path, more);
    struct tt_tpm *tpm = lab_open(&chip, options);
    char *pem = create_key(tpm, type);
    struct tt_key *key = open_key(tpm, pem);
    struct tt_error err;
    assert_ok(try_sign(key, &err), &err);
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
    return report_take(path, ret, cap);
}

static void published_figures_are_kept(void **state)
{
    (void)state;
    static const struct {
        const char *profile;
        unsigned long long sign, rsa_private;
    } published[] = {
        {"ns350", 16816, 51735},    {"slb9670", 68865, 163207},  {"slb9672", 35621, 76996},
        {"st33ktpm", 25251, 90806}, {"npct650", 190149, 540926}, {"npct750", 56399, 70261},
        {"qvault", 72781, 164827},  {"jetson", 45139, 11900},    {"pc", 200000, 568948},
    };
    struct line lines[64];
    for (size_t i = 0; i < TT_COUNT(published); i++) {
        size_t n = run_identity(published[i].profile, ",jitter=off", TT_KEY_P256, lines, TT_COUNT(lines));
        unsigned long long sign = line_of(lines, n, "Sign")->cost;
        assert_int_equal(sign, published[i].sign);
        assert_true(line_of(lines, n, "Create")->cost > 0);
        assert_true(line_of(lines, n, "Load")->cost <= sign);
        /* Making a key and loading it is what was published as its generation; a primary costs the same. */
        assert_between(line_of(lines, n, "CreatePrimary")->cost, 50000, 300000);
        assert_between(line_of(lines, n, "Create")->cost + line_of(lines, n, "Load")->cost, 46000,
                       line_of(lines, n, "CreatePrimary")->cost);
    }
    size_t n = run_identity("st33ktpm", ",jitter=off", TT_KEY_RSA2048, lines, TT_COUNT(lines));
    assert_int_equal(line_of(lines, n, "RSA_Decrypt")->cost, 90806);
    assert_between(line_of(lines, n, "Create")->cost, 1900000, 1944057);
    n = run_identity("st33ktpm", ",jitter=off", TT_KEY_P384, lines, TT_COUNT(lines));
    assert_int_equal(line_of(lines, n, "Sign")->cost, 85222); /* (384/256)^3 of 25251 */
}

static void jitter_is_small_and_repeatable(void **state)
{
    (void)state;
    struct line a[64], b[64], c[64];
    size_t n = run_identity("slb9672", ",seed=5", TT_KEY_P256, a, TT_COUNT(a));
    assert_int_equal(run_identity("slb9672", ",seed=5", TT_KEY_P256, b, TT_COUNT(b)), n);
    assert_int_equal(run_identity("slb9672", ",seed=6", TT_KEY_P256, c, TT_COUNT(c)), n);
    bool differs = false;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i].cost, b[i].cost);
        differs = differs || a[i].cost != c[i].cost;
    }
    assert_true(differs);
    assert_between(line_of(a, n, "Sign")->cost, 35621 * 9 / 10, 35621 * 11 / 10);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void pcs_have_their_median_and_tail(void **state)
{
    (void)state;
    enum {
        N = 4000
    };
    static uint64_t v[N];
    const struct lab_profile *pc = lab_profile_find("PC");
    assert_non_null(pc);
    for (uint64_t i = 0; i < N; i++)
        v[i] = lab_profile_jitter(pc, 200000, 42, i);
    qsort(v, N, sizeof v[0], by_size);
    assert_between(v[N / 2], 190000, 210000);
    assert_between(v[N * 95 / 100], 560000, 640000);
}

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The real clock is waited for; and whoever polls is told to come again. */
static void delays_are_real(void **state)
{
    (void)state;
    static const uint8_t get_random[] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8};
    char config[256];
    uint8_t response[4096];
    (void)snprintf(config, sizeof config, "profile=ns350,jitter=off:%s", chip.tcti);
    TSS2_TCTI_CONTEXT *tcti = lab_tcti_new(config);
    assert_non_null(tcti);
    uint64_t start = now_us();
    assert_int_equal(Tss2_Tcti_Transmit(tcti, sizeof get_random, get_random), 0);
    assert_int_equal(Tss2_Tcti_Transmit(tcti, sizeof get_random, get_random), TSS2_TCTI_RC_BAD_SEQUENCE);
    size_t size = sizeof response;
    TSS2_RC rc;
    unsigned polls = 0;
    while ((rc = Tss2_Tcti_Receive(tcti, &size, response, 1)) == TSS2_TCTI_RC_TRY_AGAIN) {
        polls++;
        size = sizeof response;
    }
    assert_int_equal(rc, 0);
    assert_true(polls > 0);
    assert_true(now_us() - start >= 5479);
    assert_int_equal(Tss2_Tcti_Receive(tcti, &size, response, 0), TSS2_TCTI_RC_BAD_SEQUENCE);
    lab_tcti_close(&tcti);
}

/* ---- faults ---- */

/* A P-256 key opened through a lab whose faults meet TPM2_Sign. */
struct rig {
    struct tt_tpm *tpm;
    char *pem;
    struct tt_key *key;
};

static void rig_open(struct rig *r, const char *options, enum tt_key_type type)
{
    r->tpm = lab_open(&chip, options);
    r->pem = create_key(r->tpm, type);
    r->key = open_key(r->tpm, r->pem);
}

static void rig_close(struct rig *r)
{
    tt_key_free(r->key);
    tt_free(r->pem);
    tt_tpm_close(r->tpm);
    lab_flush(&chip);
}

static void codes_come_when_they_should(void **state)
{
    (void)state;
    struct rig r;
    struct tt_error err;
    rig_open(&r, "fault=lockout@Sign#2-3,fault=0x902@Sign#5", TT_KEY_P256);
    static const tt_rc expected[] = {TT_OK, TT_ERR_TPM, TT_ERR_TPM, TT_OK, TT_ERR_BUSY, TT_OK};
    for (size_t i = 0; i < TT_COUNT(expected); i++)
        assert_int_equal(try_sign(r.key, &err), expected[i]);
    rig_close(&r);
    rig_open(&r, "fault=retry@Sign#1-3", TT_KEY_P256);
    assert_ok(try_sign(r.key, &err), &err); /* waited for */
    rig_close(&r);
}

static void answers_are_lost_or_spoilt(void **state)
{
    (void)state;
    static const char *const faults[] = {
        "fault=drop@Sign",       "fault=truncate@Sign",   "fault=truncate.0@Sign", "fault=truncate.9@Sign",
        "fault=shorten.10@Sign", "fault=shorten.20@Sign", "fault=garble.1@Sign",   "fault=garble.2@Sign",
        "fault=enomem@Sign",     "fault=hang.5@Sign",     "fault=shorten.80@Sign",
    };
    for (size_t i = 0; i < TT_COUNT(faults); i++) {
        struct rig r;
        struct tt_error err;
        rig_open(&r, faults[i], TT_KEY_P256);
        assert_int_not_equal(try_sign(r.key, &err), TT_OK);
        assert_true(err.text[0] != '\0');
        rig_close(&r);
    }
}

static void a_hang_lets_the_patient_go(void **state)
{
    (void)state;
    static const uint8_t get_random[] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8};
    char config[256];
    uint8_t response[4096];
    size_t size = sizeof response;
    (void)snprintf(config, sizeof config, "fault=hang:%s", chip.tcti);
    TSS2_TCTI_CONTEXT *tcti = lab_tcti_new(config);
    assert_non_null(tcti);
    assert_int_equal(Tss2_Tcti_Transmit(tcti, sizeof get_random, get_random), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(Tss2_Tcti_Receive(tcti, &size, response, 2), TSS2_TCTI_RC_TRY_AGAIN);
    lab_tcti_close(&tcti);
}

static void a_restart_forgets(void **state)
{
    (void)state;
    struct rig r;
    struct tt_error err;
    rig_open(&r, "fault=restart@Sign#2", TT_KEY_P256);
    assert_ok(try_sign(r.key, &err), &err);
    assert_ok(try_sign(r.key, &err), &err); /* loaded again, and signed */
    assert_ok(try_sign(r.key, &err), &err);
    rig_close(&r);
    /* A context saved before is refused, as by a chip that was reset. */
    struct tt_tpm *tpm = lab_open(&chip, "fault=restart@ContextLoad");
    TPM2B_PUBLIC template = public_srk(false);
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    ESYS_TR object = ESYS_TR_NONE;
    TPMS_CONTEXT *saved = NULL;
    assert_int_equal(Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                        ESYS_TR_NONE, &sensitive, &template, &outside, &pcrs, &object, NULL,
                                        NULL, NULL, NULL),
                     0);
    assert_int_equal(Esys_ContextSave(tpm->esys, object, &saved), 0);
    assert_true(tpm_rc_is(Esys_ContextLoad(tpm->esys, saved, &object), TPM2_RC_INTEGRITY));
    Esys_Free(saved);
    tt_tpm_close(tpm);
    lab_flush(&chip);
}

/* ---- limits ---- */

static void algorithms_are_missing(void **state)
{
    (void)state;
    struct tt_tpm *tpm = lab_open(&chip, "lacks=p384+sha512+rsa3072");
    struct tt_error err = {0};
    char *pem = NULL;
    assert_int_equal(tt_key_create(&pem, tpm, TT_KEY_P384, &err), TT_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "it has p256, rsa2048"));
    err = (struct tt_error){0};
    assert_int_equal(tt_key_create(&pem, tpm, TT_KEY_RSA3072, &err), TT_ERR_UNSUPPORTED);
    assert_int_equal(tt_key_create(&pem, tpm, TT_KEY_P521, NULL), TT_ERR_UNSUPPORTED); /* needs SHA-512 */
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    assert_int_equal(Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_ALGS, 0,
                                        100, &more, &data),
                     0);
    bool sha256 = false;
    for (UINT32 i = 0; i < data->data.algorithms.count; i++) {
        sha256 = sha256 || data->data.algorithms.algProperties[i].alg == TPM2_ALG_SHA256;
        assert_int_not_equal(data->data.algorithms.algProperties[i].alg, TPM2_ALG_SHA512);
    }
    assert_true(sha256);
    Esys_Free(data);
    tt_tpm_close(tpm);
}

static void slots_are_few(void **state)
{
    (void)state;
    struct rig r;
    struct tt_error err = {0};
    rig_open(&r, "slots=2", TT_KEY_P256);
    struct tt_key *second = open_key(r.tpm, r.pem);
    for (int i = 0; i < 3; i++) {
        assert_ok(try_sign(r.key, &err), &err);
        assert_ok(try_sign(second, &err), &err);
    }
    tt_key_free(second);
    rig_close(&r);
    struct tt_tpm *tpm = lab_open(&chip, "slots=1");
    char *pem = NULL;
    assert_int_equal(tt_key_create(&pem, tpm, TT_KEY_P256, &err), TT_ERR_BUSY);
    assert_non_null(strstr(err.text, "object slots"));
    tt_tpm_close(tpm);
    lab_flush(&chip);
}

/* ---- the salt ---- */

static ESYS_TR primary(struct tt_tpm *tpm, bool decrypt)
{
    TPM2B_PUBLIC template = public_signing_key(TT_KEY_RSA2048);
    if (!decrypt)
        template.publicArea.objectAttributes &= ~TPMA_OBJECT_DECRYPT;
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    ESYS_TR object = ESYS_TR_NONE;
    assert_int_equal(Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                        ESYS_TR_NONE, &sensitive, &template, &outside, &pcrs, &object, NULL,
                                        NULL, NULL, NULL),
                     0);
    return object;
}

static bool verifies(const TPM2B_PUBLIC *pub, const TPM2B_DIGEST *digest, const TPM2B_PUBLIC_KEY_RSA *sig,
                     int salt)
{
    struct buf spki = {0};
    assert_int_equal(public_spki(&spki, pub), TT_OK);
    const unsigned char *at = buf_front(&spki);
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)buf_size(&spki));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = EVP_PKEY_verify_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
              EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, salt) == 1 &&
              EVP_PKEY_verify(ctx, sig->buffer, sig->size, digest->buffer, digest->size) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    buf_free(&spki);
    return ok;
}

/* A chip that signs with the maximum salt: libcrypto says so. */
static void the_maximum_salt(void **state)
{
    (void)state;
    static const TPMT_TK_HASHCHECK no_ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_RSAPSS, .details.rsapss.hashAlg = TPM2_ALG_SHA256};
    TPM2B_DIGEST digest = {.size = 32, .buffer = {1, 2, 3}};
    struct tt_tpm *tpm = lab_open(&chip, "salt=max");
    for (int decrypt = 1; decrypt >= 0; decrypt--) {
        ESYS_TR key = primary(tpm, decrypt == 1);
        TPM2B_PUBLIC *pub = NULL;
        TPMT_SIGNATURE *sig = NULL;
        assert_int_equal(
            Esys_ReadPublic(tpm->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &pub, NULL, NULL), 0);
        assert_int_equal(Esys_Sign(tpm->esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                                   &scheme, &no_ticket, &sig),
                         0);
        assert_int_equal(sig->sigAlg, TPM2_ALG_RSAPSS);
        assert_false(verifies(pub, &digest, &sig->signature.rsapss.sig, 32));
        assert_int_equal(verifies(pub, &digest, &sig->signature.rsapss.sig, 222), decrypt == 1);
        Esys_Free(sig);
        Esys_Free(pub);
        tpm_flush(tpm, &key);
    }
    tt_tpm_close(tpm);
    /* Our own RSA keys do not need the chip's PSS. */
    struct rig r;
    struct tt_error err;
    rig_open(&r, "salt=max", TT_KEY_RSA2048);
    assert_ok(try_sign(r.key, &err), &err);
    sign_and_verify(r.key, TT_SCHEME_RSA_PSS_RSAE_SHA256);
    rig_close(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_string_is_read),
        cmocka_unit_test(a_wrong_string_is_explained),
        cmocka_unit_test(published_figures_are_kept),
        cmocka_unit_test(jitter_is_small_and_repeatable),
        cmocka_unit_test(pcs_have_their_median_and_tail),
        cmocka_unit_test(delays_are_real),
        cmocka_unit_test(codes_come_when_they_should),
        cmocka_unit_test(answers_are_lost_or_spoilt),
        cmocka_unit_test(a_hang_lets_the_patient_go),
        cmocka_unit_test(a_restart_forgets),
        cmocka_unit_test(algorithms_are_missing),
        cmocka_unit_test(slots_are_few),
        cmocka_unit_test(the_maximum_salt),
    };
    return cmocka_run_group_tests_name("lab", tests, start_chip, stop_chip);
}
