/* tests/tpm/test_hmac.c: HMAC keys in a TPM: right results, what travels, what it costs, and what a
 * restarted, a cleared and another TPM do with them. */
#include "own_chip.h"
#include "tpm_test.h"

#include <openssl/hmac.h>
#include <openssl/rand.h>

static char *make(struct tt_tpm *tpm, const uint8_t *secret, size_t len)
{
    char *pem = NULL;
    struct tt_error err = {0};
    const struct tt_key_params params = {.description = "a test"};
    assert_ok(tt_hmac_create(&pem, tpm, (struct tt_bytes){secret, len}, &params, &err), &err);
    return pem;
}

static struct tt_hmac *must_open(struct tt_tpm *tpm, const char *pem)
{
    struct tt_hmac *k = NULL;
    struct tt_error err = {0};
    assert_ok(tt_hmac_open_pem(&k, tpm, text_bytes(pem), NULL, &err), &err);
    return k;
}

static void assert_computes(struct tt_hmac *k, const uint8_t secret[32], bool is_secret)
{
    uint8_t data[48], got[32], want[32];
    struct tt_error err = {0};
    assert_int_equal(RAND_bytes(data, sizeof data), 1);
    assert_ok(tt_hmac_compute(k, got, (struct tt_bytes){data, sizeof data}, is_secret, &err), &err);
    assert_non_null(HMAC(EVP_sha256(), secret, 32, data, sizeof data, want, NULL));
    assert_memory_equal(got, want, 32);
}

static void two_keys_take_turns(void **state)
{
    (void)state;
    uint8_t secrets[2][32];
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_hmac *keys[2];
    assert_int_equal(RAND_bytes(secrets[0], sizeof secrets), 1);
    for (size_t i = 0; i < 2; i++) {
        char *pem = make(tpm, secrets[i], 32);
        assert_non_null(strstr(pem, "TSS2 PRIVATE KEY"));
        keys[i] = must_open(tpm, pem);
        tt_free(pem);
    }
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < 2; i++)
            assert_computes(keys[i], secrets[i], round == 1);
    /* Once their contexts are saved: two swaps and two HMACs. */
    struct recorder r = {.count = 0};
    tt_tpm_set_trace(tpm, record, &r);
    assert_computes(keys[0], secrets[0], false);
    assert_computes(keys[1], secrets[1], true);
    assert_string_equal(recorder_text(&r), "FlushContext ContextLoad HMAC "
                                           "FlushContext ContextLoad HMAC");
    tt_hmac_free(keys[0]);
    tt_hmac_free(keys[1]);
    tt_tpm_close(tpm);
}

static void the_tpm_draws_a_secret(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_hmac *a, *b;
    char *pem = make(tpm, NULL, 0), *other = make(tpm, NULL, 0);
    uint8_t x[32], y[32], z[32];
    struct tt_error err = {0};
    a = must_open(tpm, pem);
    b = must_open(tpm, other);
    assert_ok(tt_hmac_compute(a, x, text_bytes("epoch 1"), true, &err), &err);
    assert_ok(tt_hmac_compute(a, y, text_bytes("epoch 1"), false, &err), &err);
    assert_ok(tt_hmac_compute(b, z, text_bytes("epoch 1"), false, &err), &err);
    assert_memory_equal(x, y, 32);
    assert_memory_not_equal(x, z, 32);
    tt_hmac_free(a);
    tt_hmac_free(b);
    tt_free(pem);
    tt_free(other);
    tt_tpm_close(tpm);
}

static void wrong_files_and_sizes(void **state)
{
    (void)state;
    static const uint8_t much[1025];
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_hmac *k = NULL;
    struct tt_error err = {0};
    uint8_t out[32];
    char *pem = NULL, *signing = create_key(tpm, TT_KEY_P256);
    assert_int_equal(tt_hmac_create(&pem, tpm, (struct tt_bytes){much, 65}, &(struct tt_key_params){0}, &err),
                     TT_ERR_USAGE);
    assert_int_equal(tt_hmac_open_pem(&k, tpm, text_bytes(signing), NULL, &err), TT_ERR_UNSUPPORTED);
    assert_ok(tt_seal(&pem, tpm, text_bytes("data"), &(struct tt_key_params){0}, &err), &err);
    assert_int_equal(tt_hmac_open_pem(&k, tpm, text_bytes(pem), NULL, &err), TT_ERR_UNSUPPORTED);
    tt_free(pem);
    pem = make(tpm, much, 32);
    struct tt_key *key = NULL;
    assert_int_equal(tt_key_open_pem(&key, tpm, text_bytes(pem), &err), TT_ERR_UNSUPPORTED);
    k = must_open(tpm, pem);
    assert_int_equal(tt_hmac_compute(k, out, (struct tt_bytes){much, 0}, false, &err), TT_ERR_USAGE);
    assert_int_equal(tt_hmac_compute(k, out, (struct tt_bytes){much, 1025}, false, &err), TT_ERR_USAGE);
    assert_ok(tt_hmac_compute(k, out, (struct tt_bytes){much, 1024}, false, &err), &err);
    tt_hmac_free(k);
    tt_free(pem);
    tt_free(signing);
    tt_tpm_close(tpm);
}

static void after_a_restart_and_elsewhere(void **state)
{
    (void)state;
    uint8_t secret[32], out[32];
    struct tt_error err = {0};
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    assert_int_equal(RAND_bytes(secret, sizeof secret), 1);
    char *pem = make(tpm, secret, 32);
    struct tt_hmac *k = must_open(tpm, pem);
    assert_computes(k, secret, true);
    assert_true(temp_tpm_restart(&chip));
    assert_computes(k, secret, false);
    assert_computes(k, secret, true);
    tt_hmac_free(k);
    tt_tpm_close(tpm);

    struct temp_tpm another;
    assert_true(temp_tpm_start(&another));
    tpm = open_tpm(another.tcti);
    k = must_open(tpm, pem);
    assert_int_equal(tt_hmac_compute(k, out, text_bytes("x"), false, &err), TT_ERR_TPM);
    tt_hmac_free(k);
    tt_tpm_close(tpm);
    temp_tpm_stop(&another);
    tt_free(pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_keys_take_turns),
        cmocka_unit_test(the_tpm_draws_a_secret),
        cmocka_unit_test(wrong_files_and_sizes),
        cmocka_unit_test(after_a_restart_and_elsewhere),
    };
    return cmocka_run_group_tests(tests, start_chip, stop_chip);
}
