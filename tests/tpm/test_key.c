/* tests/tpm/test_key.c: keys on a real swtpm: create, load, sign; which commands that takes; what is refused.
 */
#include "own_chip.h"
#include "tpm_test.h"

#include <sys/wait.h>
#include <tss2/tss2_esys.h>
#include <unistd.h>

#include "tpm/context.h"
#include "tpm/public.h"

static unsigned transient_objects(struct tt_tpm *tpm)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    assert_int_equal(Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                        0x80000000U, 16, &more, &data),
                     0);
    unsigned n = data->data.handles.count;
    Esys_Free(data);
    return n;
}

/* ---- every type ---- */

static void type_works(enum tt_key_type type, const uint16_t *schemes, size_t n)
{
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem = create_key(tpm, type);
    assert_int_equal(transient_objects(tpm), 0);
    struct tt_key *key = open_key(tpm, pem);
    uint16_t offered[16];
    assert_int_equal(tt_key_schemes(key, offered, TT_COUNT(offered)), n);
    assert_memory_equal(offered, schemes, n * sizeof *schemes);
    assert_int_equal(tt_key_type(key), type);
    assert_true(tt_key_is_tpm(key));
    assert_int_equal(tt_key_name(key).len, 34);
    for (size_t i = 0; i < n; i++)
        sign_and_verify(key, schemes[i]);
    sign_and_verify(key, tt_key_x509_scheme(key));
    assert_int_equal(transient_objects(tpm), 1);
    tt_key_free(key);
    assert_int_equal(transient_objects(tpm), 0);
    tt_free(pem);
    tt_tpm_close(tpm);
}

static void p256(void **state)
{
    (void)state;
    type_works(TT_KEY_P256, (uint16_t[]){TT_SCHEME_ECDSA_SECP256R1_SHA256}, 1);
}

static void p384(void **state)
{
    (void)state;
    type_works(TT_KEY_P384, (uint16_t[]){TT_SCHEME_ECDSA_SECP384R1_SHA384}, 1);
}

static void p521(void **state)
{
    (void)state;
    type_works(TT_KEY_P521, (uint16_t[]){TT_SCHEME_ECDSA_SECP521R1_SHA512}, 1);
}

static const uint16_t pss[] = {TT_SCHEME_RSA_PSS_RSAE_SHA256, TT_SCHEME_RSA_PSS_RSAE_SHA384,
                               TT_SCHEME_RSA_PSS_RSAE_SHA512};

static void rsa2048(void **state)
{
    (void)state;
    type_works(TT_KEY_RSA2048, pss, TT_COUNT(pss));
}

static void rsa3072(void **state)
{
    (void)state;
    type_works(TT_KEY_RSA3072, pss, TT_COUNT(pss));
}

/* swtpm has no RSA-4096: refused before anything is created, and the sentence names what there is. */
static void rsa4096_names_what_there_is(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct recorder r = {0};
    tt_tpm_set_trace(tpm, record, &r);
    char *pem = NULL;
    struct tt_error err = {0};
    assert_int_equal(tt_key_create(&pem, tpm, TT_KEY_RSA4096, &err), TT_ERR_UNSUPPORTED);
    assert_string_equal(
        err.text, "this TPM cannot make a key of type rsa4096; it has p256, p384, p521, rsa2048, rsa3072");
    assert_null(pem);
    assert_null(strstr(recorder_text(&r), "Create"));
    tt_tpm_close(tpm);
}

/* Many signatures: r and s with leading zeros and high bits occur; each is verified on the way out. */
static void many_signatures(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem = create_key(tpm, TT_KEY_P256);
    struct tt_key *key = open_key(tpm, pem);
    for (int i = 0; i < 300; i++)
        sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
}

/* ---- what it costs ---- */

static void commands_from_a_file(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem = create_key(tpm, TT_KEY_P256);
    tt_tpm_close(tpm);
    tpm = open_tpm(chip.tcti);
    assert_int_equal(tt_tpm_command_count(tpm), 0);
    struct recorder r = {0};
    tt_tpm_set_trace(tpm, record, &r);
    struct tt_key *key = open_key(tpm, pem);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    assert_string_equal(recorder_text(&r), "CreatePrimary Load FlushContext Sign");
    assert_int_equal(tt_tpm_command_count(tpm), 4);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    assert_int_equal(tt_tpm_command_count(tpm), 5);
    for (unsigned i = 0; i < r.count; i++)
        assert_int_equal(r.responses[i], 0);
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
}

/* Puts an object of a TPM to a persistent handle, as `tpm2_evictcontrol` does. */
static void persist(struct tt_tpm *tpm, ESYS_TR object, TPM2_HANDLE handle)
{
    ESYS_TR persistent = ESYS_TR_NONE;
    assert_int_equal(Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                       ESYS_TR_NONE, handle, &persistent),
                     0);
    (void)Esys_TR_Close(tpm->esys, &persistent);
}

static void evict(struct tt_tpm *tpm, TPM2_HANDLE handle)
{
    ESYS_TR object = ESYS_TR_NONE, gone = ESYS_TR_NONE;
    assert_int_equal(
        Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object), 0);
    assert_int_equal(Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                       ESYS_TR_NONE, handle, &gone),
                     0);
    (void)Esys_TR_Close(tpm->esys, &object); /* ESAPI remembers the name that was there */
}

static ESYS_TR primary(struct tt_tpm *tpm, const TPM2B_PUBLIC *template)
{
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    ESYS_TR object = ESYS_TR_NONE;
    assert_int_equal(Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                        ESYS_TR_NONE, &sensitive, template, &outside, &pcrs, &object, NULL,
                                        NULL, NULL, NULL),
                     0);
    return object;
}

static void persist_primary(const TPM2B_PUBLIC *template, TPM2_HANDLE handle)
{
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    ESYS_TR object = primary(tpm, template);
    persist(tpm, object, handle);
    tpm_flush(tpm, &object);
    tt_tpm_close(tpm);
}

static void commands_with_a_persistent_srk(void **state)
{
    (void)state;
    TPM2B_PUBLIC srk = public_srk(false);
    persist_primary(&srk, 0x81000001);
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem = create_key(tpm, TT_KEY_P256);
    tt_tpm_close(tpm);
    tpm = open_tpm(chip.tcti);
    struct recorder r = {0};
    tt_tpm_set_trace(tpm, record, &r);
    struct tt_key *key = open_key(tpm, pem);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    assert_string_equal(recorder_text(&r), "ReadPublic Load Sign");
    tt_key_free(key);
    /* The storage root key removed since: derived, and the key still loads. */
    evict(tpm, 0x81000001);
    key = open_key(tpm, pem);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
}

/* Something else at 0x81000001: its name is another, so it is not taken for the storage root key. */
static void stranger_at_the_srk_handle(void **state)
{
    (void)state;
    TPM2B_PUBLIC other = public_srk(false);
    other.publicArea.unique.ecc.x.size = 32; /* the L template's unique field: another key */
    persist_primary(&other, 0x81000001);
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem = create_key(tpm, TT_KEY_P256);
    struct recorder r = {0};
    tt_tpm_set_trace(tpm, record, &r);
    struct tt_key *key = open_key(tpm, pem);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    assert_string_equal(recorder_text(&r), "ContextLoad Load FlushContext Sign");
    tt_key_free(key);
    tt_free(pem);
    evict(tpm, 0x81000001);
    tt_tpm_close(tpm);
}

static void commands_from_a_persistent_key(void **state)
{
    (void)state;
    TPM2B_PUBLIC template = public_signing_key(TT_KEY_P256);
    persist_primary(&template, 0x81000010);
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct recorder r = {0};
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    tt_tpm_set_trace(tpm, record, &r);
    assert_ok(tt_key_open_handle(&key, tpm, 0x81000010, &err), &err);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    tt_key_free(key);
    assert_string_equal(recorder_text(&r), "ReadPublic Sign");
    evict(tpm, 0x81000010);
    assert_int_equal(tt_key_open_handle(&key, tpm, 0x81000010, &err), TT_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "0x81000010"));
    err = (struct tt_error){0};
    assert_int_equal(tt_key_open_handle(&key, tpm, 0x80000000, &err), TT_ERR_USAGE);
    tt_tpm_close(tpm);
}

/* ---- several keys, restarts, forks ---- */

static void two_keys_take_one_slot(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem_a = create_key(tpm, TT_KEY_P256), *pem_b = create_key(tpm, TT_KEY_RSA2048);
    struct tt_key *a = open_key(tpm, pem_a), *b = open_key(tpm, pem_b);
    for (int i = 0; i < 4; i++) {
        sign_and_verify(a, TT_SCHEME_ECDSA_SECP256R1_SHA256);
        assert_int_equal(transient_objects(tpm), 1);
        sign_and_verify(b, TT_SCHEME_RSA_PSS_RSAE_SHA256);
        assert_int_equal(transient_objects(tpm), 1);
    }
    tt_key_free(a);
    sign_and_verify(b, TT_SCHEME_RSA_PSS_RSAE_SHA256);
    tt_key_free(b);
    assert_int_equal(transient_objects(tpm), 0);
    tt_free(pem_a);
    tt_free(pem_b);
    tt_tpm_close(tpm);
}

static void restarted_tpm(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem_a = create_key(tpm, TT_KEY_P256), *pem_b = create_key(tpm, TT_KEY_P384);
    struct tt_key *a = open_key(tpm, pem_a), *b = open_key(tpm, pem_b);
    sign_and_verify(a, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    assert_true(temp_tpm_restart(&chip));
    sign_and_verify(a, TT_SCHEME_ECDSA_SECP256R1_SHA256); /* was loaded */
    sign_and_verify(b, TT_SCHEME_ECDSA_SECP384R1_SHA384); /* was a saved context, void since */
    tt_key_free(a);
    tt_key_free(b);
    tt_free(pem_a);
    tt_free(pem_b);
    tt_tpm_close(tpm);
}

static void child_leaves_the_tpm_alone(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem = create_key(tpm, TT_KEY_P256);
    struct tt_key *key = open_key(tpm, pem);
    pid_t child = fork();
    if (child == 0) {
        uint8_t sig[128];
        size_t len;
        struct tt_error err = {0};
        tt_rc rc =
            tt_key_sign(key, TT_SCHEME_ECDSA_SECP256R1_SHA256, text_bytes("x"), sig, sizeof sig, &len, &err);
        tt_key_free(key);
        tt_tpm_close(tpm);
        _exit(rc == TT_ERR_USAGE && strstr(err.text, "fork") != NULL ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
}

/* ---- refusals ---- */

static void key_of_another_tpm(void **state)
{
    (void)state;
    struct temp_tpm other;
    assert_true(temp_tpm_start(&other));
    struct tt_tpm *tpm = open_tpm(other.tcti);
    char *pem = create_key(tpm, TT_KEY_P256);
    tt_tpm_close(tpm);
    temp_tpm_stop(&other);
    tpm = open_tpm(chip.tcti);
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    assert_int_equal(tt_key_open_pem(&key, tpm, text_bytes(pem), &err), TT_ERR_TPM);
    assert_non_null(strstr(err.text, "belongs to another TPM, or this TPM was cleared"));
    assert_non_null(strstr(err.hint, "tpmtls key create"));
    assert_int_equal(transient_objects(tpm), 0);
    tt_free(pem);
    tt_tpm_close(tpm);
}

static tt_rc open_template(struct tt_tpm *tpm, const TPM2B_PUBLIC *template, struct tt_error *err)
{
    struct tt_key *key = NULL;
    persist_primary(template, 0x81000020);
    tt_rc rc = tt_key_open_handle(&key, tpm, 0x81000020, err);
    if (rc == TT_OK && tt_key_type(key) == TT_KEY_RSA2048)
        sign_and_verify(key, TT_SCHEME_RSA_PSS_RSAE_SHA256);
    tt_key_free(key);
    evict(tpm, 0x81000020);
    return rc;
}

static void keys_made_elsewhere(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    /* For signing only: the TPM's own PSS, whose salt swtpm makes right. */
    TPM2B_PUBLIC rsa = public_signing_key(TT_KEY_RSA2048);
    rsa.publicArea.objectAttributes &= ~TPMA_OBJECT_DECRYPT;
    assert_ok(open_template(tpm, &rsa, &err), &err);
    /* For PKCS#1 only: nothing for TLS 1.3. */
    rsa.publicArea.parameters.rsaDetail.scheme =
        (TPMT_RSA_SCHEME){.scheme = TPM2_ALG_RSASSA, .details.rsassa.hashAlg = TPM2_ALG_SHA256};
    assert_int_equal(open_template(tpm, &rsa, &err), TT_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.hint, "tpmtls key create"));
    /* A storage key, a key that counts wrong passwords. */
    TPM2B_PUBLIC srk = public_srk(false);
    err = (struct tt_error){0};
    assert_int_equal(open_template(tpm, &srk, &err), TT_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "restricted"));
    TPM2B_PUBLIC counting = public_signing_key(TT_KEY_P256);
    counting.publicArea.objectAttributes &= ~TPMA_OBJECT_NODA;
    err = (struct tt_error){0};
    assert_int_equal(open_template(tpm, &counting, &err), TT_ERR_AUTH);
    tt_tpm_close(tpm);
}

static void tpm_that_is_not_there(void **state)
{
    (void)state;
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    assert_int_equal(tt_tpm_open(&tpm, "device:/dev/no-such-tpm", &err), TT_ERR_TPM);
    assert_string_equal(err.text, "cannot open the TPM at /dev/no-such-tpm: there is no such device");
    assert_true(err.hint[0] != '\0');
    err = (struct tt_error){0};
    assert_int_equal(tt_tpm_open(&tpm, "device:/dev/null/x", &err), TT_ERR_TPM);
    err = (struct tt_error){0};
    assert_int_equal(tt_tpm_open(&tpm, "nonsense:x", &err), TT_ERR_TPM);
    assert_non_null(strstr(err.hint, "embedded"));
    err = (struct tt_error){0};
    assert_int_equal(tt_tpm_open(&tpm, "swtpm:path=/tmp/no/such/socket", &err), TT_ERR_TPM);
    err = (struct tt_error){0};
    assert_int_equal(tt_tpm_open(&tpm, "", &err), TT_ERR_USAGE);
    assert_null(tpm);
}

static void description(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    assert_true(tt_tpm_is_emulated(tpm));
    assert_int_equal(tt_tpm_command_count(tpm), 0); /* the TCTI's name said so */
    assert_non_null(strstr(tt_tpm_describe(tpm), "IBM SW TPM"));
    assert_non_null(strstr(tt_tpm_describe(tpm), "emulated"));
    assert_int_equal(tt_tpm_command_count(tpm), 1);
    tt_tpm_close(tpm);
}

#ifdef TT_FAULT_INJECTION
/* Each allocation fails once: a clean error or no matter, no leak (ASan), nothing left in the chip. */
static void every_allocation_fails_once(void **state)
{
    (void)state;
    struct tt_tpm *outside = open_tpm(chip.tcti);
    char *pem = create_key(outside, TT_KEY_P256);
    bool done = false;
    for (size_t nth = 1; !done && nth < 500; nth++) {
        struct tt_tpm *tpm = NULL;
        struct tt_key *key = NULL;
        struct tt_error err = {0};
        uint8_t sig[128];
        size_t len;
        char *made = NULL;
        mem_test_fail_nth(nth);
        tt_rc rc = tt_tpm_open(&tpm, chip.tcti, &err);
        rc = rc == TT_OK ? tt_key_create(&made, tpm, TT_KEY_P256, &err) : rc;
        rc = rc == TT_OK ? tt_key_open_pem(&key, tpm, text_bytes(pem), &err) : rc;
        rc = rc == TT_OK ? tt_key_sign(key, TT_SCHEME_ECDSA_SECP256R1_SHA256, text_bytes("x"), sig,
                                       sizeof sig, &len, &err)
                         : rc;
        mem_test_fail_nth(0);
        assert_true(rc == TT_OK || err.text[0] != '\0');
        done = rc == TT_OK;
        tt_key_free(key);
        tt_tpm_close(tpm);
        tt_free(made);
        assert_int_equal(transient_objects(outside), 0);
    }
    assert_true(done);
    tt_free(pem);
    tt_tpm_close(outside);
}
#endif

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(p256),
        cmocka_unit_test(p384),
        cmocka_unit_test(p521),
        cmocka_unit_test(rsa2048),
        cmocka_unit_test(rsa3072),
        cmocka_unit_test(rsa4096_names_what_there_is),
        cmocka_unit_test(many_signatures),
        cmocka_unit_test(commands_from_a_file),
        cmocka_unit_test(commands_with_a_persistent_srk),
        cmocka_unit_test(stranger_at_the_srk_handle),
        cmocka_unit_test(commands_from_a_persistent_key),
        cmocka_unit_test(two_keys_take_one_slot),
        cmocka_unit_test(restarted_tpm),
        cmocka_unit_test(child_leaves_the_tpm_alone),
        cmocka_unit_test(key_of_another_tpm),
        cmocka_unit_test(keys_made_elsewhere),
        cmocka_unit_test(tpm_that_is_not_there),
        cmocka_unit_test(description),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test(every_allocation_fails_once),
#endif
    };
    return cmocka_run_group_tests_name("key", tests, start_chip, stop_chip);
}
