/* tests/lab/test_mldsa.c: ML-DSA keys in a TPM of version 1.85, which the lab plays by libcrypto's ML-DSA.
 * Where libcrypto has none (before 3.5) the same calls have to be refused, each with its sentence. */
#include "lab_test.h"

#include "lab/mldsa.h"
#include "lab/tcti.h"
#include "tpm/mldsa.h"

static struct temp_tpm chip;

static int setup(void **state)
{
    (void)state;
    return temp_tpm_start(&chip) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    temp_tpm_stop(&chip);
    return 0;
}

static char *create(struct tt_tpm *tpm, enum tt_key_type type)
{
    char *pem = NULL;
    struct tt_error err = {0};
    assert_ok(tt_key_create(&pem, tpm, type, &err), &err);
    return pem;
}

static const struct {
    enum tt_key_type type;
    uint16_t scheme;
    size_t signature_len;
} sets[] = {{TT_KEY_MLDSA44, TT_SCHEME_MLDSA44, 2420},
            {TT_KEY_MLDSA65, TT_SCHEME_MLDSA65, 3309},
            {TT_KEY_MLDSA87, TT_SCHEME_MLDSA87, 4627}};

static void refused_without_libcrypto(void **state)
{
    char why[256] = "";
    (void)state;
    assert_int_equal(tpmtls_lab_explain("mldsa=on:", why, sizeof why), !lab_mldsa_possible());
    assert_true(lab_mldsa_possible() || strstr(why, "OpenSSL 3.5") != NULL);
    assert_true(tpmtls_lab_explain("mldsa=maybe:", why, sizeof why));
    assert_non_null(strstr(why, "on or off"));
}

/* swtpm is such a chip. */
static void a_chip_without_it_says_so(void **state)
{
    (void)state;
    struct tt_tpm *tpm = lab_open(&chip, "");
    for (size_t i = 0; i < TT_COUNT(sets); i++) {
        char *pem = NULL;
        struct tt_error err = {0};
        assert_int_equal(tt_key_create(&pem, tpm, sets[i].type, &err), TT_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "1.85"));
    }
    tt_tpm_close(tpm);
}

static void no_password_no_policy(void **state)
{
    (void)state;
    struct tt_tpm *tpm = lab_open(&chip, "");
    const struct tt_key_params params[] = {
        {.type = TT_KEY_MLDSA65, .password = &(struct tt_bytes){(const uint8_t *)"x", 1}},
        {.type = TT_KEY_MLDSA65, .pcrs = "sha256:0"},
        {.type = TT_KEY_MLDSA65, .secret_of = "owner"}};
    for (size_t i = 0; i < TT_COUNT(params); i++) {
        char *pem = NULL;
        struct tt_error err = {0};
        assert_int_equal(tt_key_create_with(&pem, tpm, &params[i], &err), TT_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "password or a policy"));
    }
    tt_tpm_close(tpm);
}

/* ---- with a libcrypto that has it ---- */

static void sign_lengths(struct tt_key *key, uint16_t scheme, size_t signature_len)
{
    static const size_t lengths[] = {0, 1, 130, 1024, 1025, 2048, 5000};
    static uint8_t message[5000];
    for (size_t i = 0; i < TT_COUNT(lengths); i++) {
        uint8_t sig[TPM_MLDSA_SIGNATURE_MAX];
        size_t len = 0;
        struct tt_error err = {0};
        message[0]++;
        assert_ok(
            tt_key_sign(key, scheme, (struct tt_bytes){message, lengths[i]}, sig, sizeof sig, &len, &err),
            &err); /* it verifies what it gives out */
        assert_int_equal(len, signature_len);
        if (i == 0)
            assert_int_equal(tt_key_sign(key, scheme, (struct tt_bytes){message, 1}, sig, 100, &len, &err),
                             TT_ERR_USAGE);
    }
}

static void a_key_lives(void **state)
{
    (void)state;
    for (size_t i = 0; lab_mldsa_possible() && i < TT_COUNT(sets); i++) {
        struct tt_tpm *tpm = lab_open(&chip, "mldsa=on");
        struct tt_key *key = NULL;
        struct tt_error err = {0};
        uint16_t schemes[4];
        char *pem = create(tpm, sets[i].type);
        tt_tpm_close(tpm);
        tpm = lab_open(&chip, "mldsa=on");
        assert_ok(tt_key_open_pem(&key, tpm, text_bytes(pem), &err), &err);
        assert_int_equal(tt_key_type(key), sets[i].type);
        assert_int_equal(tt_key_schemes(key, schemes, TT_COUNT(schemes)), 1);
        assert_int_equal(schemes[0], sets[i].scheme);
        assert_int_equal(tt_key_name(key).len, 34);
        assert_true(tt_key_is_tpm(key));
        sign_lengths(key, sets[i].scheme, sets[i].signature_len);
        tt_key_free(key);
        tt_free(pem);
        tt_tpm_close(tpm);
    }
}

/* TPM2_SignSequenceStart and Complete for a message of TLS: no third command. */
static void what_it_costs(void **state)
{
    (void)state;
    if (!lab_mldsa_possible())
        return;
    struct tt_tpm *tpm = lab_open(&chip, "mldsa=on");
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    uint8_t sig[TPM_MLDSA_SIGNATURE_MAX], message[130] = {0x20};
    size_t len;
    char *pem = create(tpm, TT_KEY_MLDSA44);
    uint64_t before = tt_tpm_command_count(tpm);
    assert_ok(tt_key_open_pem(&key, tpm, text_bytes(pem), &err), &err);
    assert_true(tt_tpm_command_count(tpm) - before <= 3); /* the parent, Load, the parent away */
    for (int i = 0; i < 3; i++) {
        before = tt_tpm_command_count(tpm);
        assert_ok(tt_key_sign(key, TT_SCHEME_MLDSA44, (struct tt_bytes){message, sizeof message}, sig,
                              sizeof sig, &len, &err),
                  &err);
        assert_int_equal(tt_tpm_command_count(tpm) - before, 2);
    }
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
}

/* Answers that are cut, changed or refused end in an error, and the next signature works. */
static void hostile_answers(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        bool survived;
    } rows[] = {{"mldsa=on,fault=shorten.200@SignSequenceComplete", false},
                {"mldsa=on,fault=garble@SignSequenceComplete", false},
                {"mldsa=on,fault=size@SignSequenceComplete", false},
                {"mldsa=on,fault=failure@SignSequenceStart", false},
                {"mldsa=on,fault=shorten.12@SignSequenceStart", false},
                {"mldsa=on,fault=retry@SignSequenceComplete#1-3", true},
                {"mldsa=on,fault=restart@SignSequenceStart", true}};
    for (size_t i = 0; lab_mldsa_possible() && i < TT_COUNT(rows); i++) {
        struct tt_tpm *tpm = lab_open(&chip, rows[i].fault);
        struct tt_key *key = NULL;
        struct tt_error err = {0};
        uint8_t sig[TPM_MLDSA_SIGNATURE_MAX];
        size_t len = 0;
        char *pem = create(tpm, TT_KEY_MLDSA65);
        assert_ok(tt_key_open_pem(&key, tpm, text_bytes(pem), &err), &err);
        tt_rc rc = tt_key_sign(key, TT_SCHEME_MLDSA65, text_bytes("m"), sig, sizeof sig, &len, &err);
        if ((rc == TT_OK) != rows[i].survived)
            fail_msg("%s: %d %s", rows[i].fault, (int)rc, err.text);
        err = (struct tt_error){0};
        assert_ok(tt_key_sign(key, TT_SCHEME_MLDSA65, text_bytes("m"), sig, sizeof sig, &len, &err), &err);
        tt_key_free(key);
        tt_free(pem);
        tt_tpm_close(tpm);
    }
}

/* Other keys of the same TPM are used in between. */
static void beside_other_keys(void **state)
{
    (void)state;
    if (!lab_mldsa_possible())
        return;
    struct tt_tpm *tpm = lab_open(&chip, "mldsa=on");
    struct tt_key *ml = NULL, *ec = NULL;
    struct tt_error err = {0};
    uint8_t sig[TPM_MLDSA_SIGNATURE_MAX];
    size_t len;
    char *pem_ml = create(tpm, TT_KEY_MLDSA65), *pem_ec = create(tpm, TT_KEY_P256);
    assert_ok(tt_key_open_pem(&ml, tpm, text_bytes(pem_ml), &err), &err);
    assert_ok(tt_key_open_pem(&ec, tpm, text_bytes(pem_ec), &err), &err);
    for (int i = 0; i < 3; i++) {
        assert_ok(tt_key_sign(ml, TT_SCHEME_MLDSA65, text_bytes("m"), sig, sizeof sig, &len, &err), &err);
        assert_ok(
            tt_key_sign(ec, TT_SCHEME_ECDSA_SECP256R1_SHA256, text_bytes("m"), sig, sizeof sig, &len, &err),
            &err);
    }
    tt_key_free(ec);
    tt_key_free(ml);
    tt_free(pem_ml);
    tt_free(pem_ec);
    tt_tpm_close(tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_without_libcrypto),
        cmocka_unit_test(a_chip_without_it_says_so),
        cmocka_unit_test(no_password_no_policy),
        cmocka_unit_test(a_key_lives),
        cmocka_unit_test(what_it_costs),
        cmocka_unit_test(hostile_answers),
        cmocka_unit_test(beside_other_keys),
    };
    return cmocka_run_group_tests_name("lab/mldsa", tests, setup, teardown);
}
