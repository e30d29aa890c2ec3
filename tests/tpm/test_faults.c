/* tests/tpm/test_faults.c: a TPM that misbehaves: busy, full, locked, lying, cut off. Each is a clear error,
 * never a wrong signature, and the next attempt works. */
#include "own_chip.h"
#include "tpm_test.h"

#include <tss2/tss2_tpm2_types.h>

#include "base/mem.h"
#include "crypto/sig.h"
#include "signer/pss.h"
#include "support/script_tcti.h"
#include "support/signer_double.h"
#include "tpm/context.h"
#include "tpm/public.h"

/* A TPM behind a script, with a P-256 key in it. */
struct rig {
    struct script script;
    struct tt_tpm *tpm;
    char *pem;
    struct tt_key *key;
};

static struct tt_tpm *open_scripted(const char *inner, struct script *script)
{
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    TSS2_TCTI_CONTEXT *tcti = script_tcti_new(inner, script);
    assert_non_null(tcti);
    assert_ok(tpm_open_tcti(&tpm, tcti, script_tcti_close, "the script", &err), &err);
    return tpm;
}

static void rig_open(struct rig *r, enum tt_key_type type)
{
    *r = (struct rig){.script = {.left = 0}};
    r->tpm = open_scripted(chip.tcti, &r->script);
    r->pem = create_key(r->tpm, type);
    r->key = open_key(r->tpm, r->pem);
}

static void rig_close(struct rig *r)
{
    r->script.answer = NULL;
    r->script.change = NULL;
    tt_key_free(r->key);
    tt_free(r->pem);
    tt_tpm_close(r->tpm);
}

static tt_rc rig_sign(struct rig *r, struct tt_error *err)
{
    uint8_t sig[1024];
    size_t len = 0;
    uint16_t scheme = 0;
    (void)tt_key_schemes(r->key, &scheme, 1);
    *err = (struct tt_error){0};
    return tt_key_sign(r->key, scheme, text_bytes("message"), sig, sizeof sig, &len, err);
}

/* ---- codes ---- */

static uint32_t code_to_give;

static bool give_code(struct script *s, uint32_t command, uint8_t *response, size_t *len)
{
    if (command != TPM2_CC_Sign || s->left == 0)
        return false;
    s->left--;
    script_code(response, len, code_to_give);
    return true;
}

static void busy_chip_is_waited_for(void **state)
{
    (void)state;
    static const uint32_t codes[] = {TPM2_RC_RETRY, TPM2_RC_YIELDED, TPM2_RC_TESTING};
    struct rig r;
    rig_open(&r, TT_KEY_P256);
    for (size_t i = 0; i < TT_COUNT(codes); i++) {
        struct tt_error err = {0};
        code_to_give = codes[i];
        r.script.answer = give_code;
        r.script.left = 7; /* more than ESAPI's own repeats; our waits: 1, 2, 4 .. 64 ms */
        uint64_t before = tt_tpm_command_count(r.tpm);
        assert_ok(rig_sign(&r, &err), &err);
        assert_int_equal(tt_tpm_command_count(r.tpm) - before, 8);
    }
    rig_close(&r);
}

static void codes_become_sentences(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        tt_rc rc;
        const char *text, *hint;
    } cases[] = {
        {TPM2_RC_LOCKOUT, TT_ERR_TPM, "locked after too many wrong passwords", "tpm2_dictionarylockout"},
        {TPM2_RC_AUTH_FAIL | TPM2_RC_S | TPM2_RC_1, TT_ERR_AUTH, "password is wrong", "locks itself"},
        {TPM2_RC_OBJECT_MEMORY, TT_ERR_BUSY, "object slots", "/dev/tpmrm0"},
        {TPM2_RC_SESSION_MEMORY, TT_ERR_BUSY, "session slots", "/dev/tpmrm0"},
        {TPM2_RC_FAILURE, TT_ERR_TPM, "failure mode", "restart"},
        {TPM2_RC_HASH | TPM2_RC_P | TPM2_RC_2, TT_ERR_UNSUPPORTED, "hash", NULL},
        {TPM2_RC_KDF | TPM2_RC_P | TPM2_RC_1, TT_ERR_TPM, "0x1cc",
         NULL}, /* one with no sentence of its own */
    };
    struct rig r;
    rig_open(&r, TT_KEY_P256);
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct tt_error err;
        code_to_give = cases[i].code;
        r.script.answer = give_code;
        r.script.left = 1;
        assert_int_equal(rig_sign(&r, &err), cases[i].rc);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_true(cases[i].hint == NULL || strstr(err.hint, cases[i].hint) != NULL);
        assert_ok(rig_sign(&r, &err), &err); /* the next attempt works */
    }
    rig_close(&r);
}

/* ---- hostile answers ---- */

static size_t spoil_at;

static void spoil_signature(struct script *s, uint32_t command, uint8_t *response, size_t *len)
{
    if ((command != TPM2_CC_Sign && command != TPM2_CC_RSA_Decrypt) || s->left == 0)
        return;
    s->left--;
    response[*len - 40 - spoil_at] ^= 1;
}

static void wrong_signature_never_leaves(void **state)
{
    (void)state;
    static const enum tt_key_type types[] = {TT_KEY_P256, TT_KEY_RSA2048};
    for (size_t i = 0; i < TT_COUNT(types); i++) {
        struct rig r;
        struct tt_error err;
        rig_open(&r, types[i]);
        r.script.change = spoil_signature;
        for (spoil_at = 0; spoil_at < 16; spoil_at++) {
            r.script.left = 1;
            assert_int_equal(rig_sign(&r, &err), TT_ERR_TPM);
            assert_non_null(strstr(err.text, "does not verify"));
        }
        assert_ok(rig_sign(&r, &err), &err);
        rig_close(&r);
    }
}

/* A key for signing only on a chip whose own PSS is wrong: the sentence names the cause and the way out. */
static void wrong_salt_names_the_way_out(void **state)
{
    (void)state;
    struct script script = {0};
    struct tt_tpm *tpm = open_scripted(chip.tcti, &script);
    TPM2B_PUBLIC template = public_signing_key(TT_KEY_RSA2048);
    template.publicArea.objectAttributes &= ~TPMA_OBJECT_DECRYPT;
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    ESYS_TR object = ESYS_TR_NONE, persistent = ESYS_TR_NONE;
    assert_int_equal(Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                        ESYS_TR_NONE, &sensitive, &template, &outside, &pcrs, &object, NULL,
                                        NULL, NULL, NULL),
                     0);
    assert_int_equal(Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                       ESYS_TR_NONE, 0x81000030, &persistent),
                     0);
    (void)Esys_TR_Close(tpm->esys, &persistent);
    tpm_flush(tpm, &object);
    struct rig r = {.tpm = tpm};
    struct tt_error err = {0};
    assert_ok(tt_key_open_handle(&r.key, tpm, 0x81000030, &err), &err);
    assert_ok(rig_sign(&r, &err), &err);
    script.change = spoil_signature;
    script.left = 1;
    assert_int_equal(rig_sign(&r, &err), TT_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "salt"));
    assert_non_null(strstr(err.hint, "tpmtls key create --type rsa2048"));
    tt_key_free(r.key);
    tt_tpm_close(tpm);
}

static size_t cut_to;

static void cut_off(struct script *s, uint32_t command, uint8_t *response, size_t *len)
{
    if (command != TPM2_CC_Sign || s->left == 0 || cut_to >= *len)
        return;
    s->left--;
    response[5] = (uint8_t)(cut_to % 2 == 0 ? cut_to : *len); /* the header tells the truth, or does not */
    response[4] = 0;
    *len = cut_to;
}

/* Each length of the answer to TPM2_Sign: no crash, no signature. A transport error leaves ESAPI unusable (a
 * later issue rebuilds the context), so each cut has a context of its own. */
static void response_cut_at_every_byte(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem = create_key(tpm, TT_KEY_P256);
    tt_tpm_close(tpm);
    for (cut_to = 0; cut_to < 88; cut_to++) {
        struct rig r = {.script = {.change = cut_off, .left = 1}};
        struct tt_error err;
        r.tpm = open_scripted(chip.tcti, &r.script);
        r.key = open_key(r.tpm, pem);
        assert_int_not_equal(rig_sign(&r, &err), TT_OK);
        assert_true(err.text[0] != '\0');
        tt_key_free(r.key);
        tt_tpm_close(r.tpm);
        /* What a broken context could not flush. */
        assert_true(cut_to % 2 == 0 || temp_tpm_restart(&chip));
    }
    tt_free(pem);
}

/* Deterministic noise in place of every answer: whatever happens, it is an error, and nothing is read out of
 * bounds. */
static uint32_t noise_state;

static uint8_t noise(void)
{
    noise_state = noise_state * 1664525U + 1013904223U;
    return (uint8_t)(noise_state >> 24);
}

static bool answer_noise(struct script *s, uint32_t command, uint8_t *response, size_t *len)
{
    (void)s;
    (void)command;
    *len = 10 + noise() * 4U;
    for (size_t i = 0; i < *len; i++)
        response[i] = noise();
    uint8_t header[10] = {
        0x80, (uint8_t)(1 + noise() % 2), 0, 0, (uint8_t)(*len >> 8), (uint8_t)*len, 0, 0, 0, 0};
    memcpy(response, header, sizeof header);
    return true;
}

static void answers_of_noise(void **state)
{
    (void)state;
    struct tt_tpm *real = open_tpm(chip.tcti);
    char *pem = create_key(real, TT_KEY_P256);
    tt_tpm_close(real);
    for (noise_state = 1; noise_state < 4000; noise_state += 13) {
        uint32_t seed = noise_state;
        struct script script = {.answer = answer_noise};
        struct tt_tpm *tpm = open_scripted(NULL, &script);
        struct tt_error err = {0};
        struct tt_key *key = NULL;
        tt_rc rc = seed % 2 == 0 ? tt_key_open_pem(&key, tpm, text_bytes(pem), &err)
                                 : tt_key_open_handle(&key, tpm, 0x81000001, &err);
        if (rc == TT_OK) {
            struct rig r = {.key = key};
            assert_int_not_equal(rig_sign(&r, &err), TT_OK);
        }
        (void)tt_tpm_describe(tpm);
        tt_key_free(key);
        tt_tpm_close(tpm);
        noise_state = seed;
    }
    tt_free(pem);
}

/* ---- the padding itself, and the test double ---- */

/* EMSA-PSS with a modulus whose size is one bit over a byte: the encoding is a byte shorter than the modulus.
 */
static void pss_sizes(void **state)
{
    (void)state;
    struct crypto_lib *lib = NULL;
    struct tt_error err = {0};
    assert_ok(crypto_lib_new(&lib, &err), &err);
    uint8_t digest[64] = {1}, salt[64] = {2}, em[PSS_MAX_BYTES];
    for (unsigned bits = 2041; bits <= 2056; bits++) {
        struct pss_request req = {
            .hash = HASH_SHA256, .modulus_bits = bits, .digest = digest, .salt = {salt, 32}};
        size_t len = (bits + 7) / 8;
        assert_ok(pss_encode(em, lib, &req), &err);
        assert_int_equal(em[len - 1], 0xbc);
        unsigned top = (bits - 1) % 8; /* bits that may be set in the first byte */
        assert_int_equal(em[0] >> top, 0);
    }
    struct pss_request small = {
        .hash = HASH_SHA512, .modulus_bits = 1024, .digest = digest, .salt = {salt, 64}};
    assert_int_equal(pss_encode(em, lib, &small), TT_ERR_USAGE);
    crypto_lib_free(lib);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(busy_chip_is_waited_for),
        cmocka_unit_test(codes_become_sentences),
        cmocka_unit_test(wrong_signature_never_leaves),
        cmocka_unit_test(wrong_salt_names_the_way_out),
        cmocka_unit_test(response_cut_at_every_byte),
        cmocka_unit_test(answers_of_noise),
        cmocka_unit_test(pss_sizes),
    };
    return cmocka_run_group_tests_name("faults", tests, start_chip, stop_chip);
}
