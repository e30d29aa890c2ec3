/* tests/lab/test_torture_auth.c: the same as test_torture.c for a key and sealed data under a password and
 * a policy, and for sealing: in sessions that are kept. */
#include "torture.h"

static const struct tt_key_params guarded = {
    .type = TT_KEY_P256, .password = BYTES_OF("secret"), .pcrs = "sha256:16"};
static const char data[] = "what is sealed";
static char *key, *sealed;

static int start_chip(void **state)
{
    (void)state;
    struct tt_error err = {0};
    if (!temp_tpm_start(&torture_chip))
        return -1;
    struct tt_tpm *tpm = open_tpm(torture_chip.tcti);
    assert_ok(tt_key_create_with(&key, tpm, &guarded, &err), &err);
    assert_ok(tt_seal(&sealed, tpm, text_bytes(data), &guarded, &err), &err);
    tt_tpm_close(tpm);
    return 0;
}

static int stop_chip(void **state)
{
    (void)state;
    tt_free(key);
    tt_free(sealed);
    temp_tpm_stop(&torture_chip);
    return 0;
}

static tt_rc sign(struct tt_tpm *tpm, struct tt_error *err)
{
    return torture_sign(tpm, key, guarded.password, false, err);
}

static tt_rc unseal_from(struct tt_tpm *tpm, const char *pem, const struct tt_bytes *password,
                         struct tt_error *err)
{
    uint8_t *got = NULL;
    size_t len = 0;
    TT_TRY(tt_unseal(&got, &len, tpm, text_bytes(pem), password, err));
    assert_int_equal(len, strlen(data));
    assert_memory_equal(got, data, len);
    tt_free(got);
    return TT_OK;
}

static tt_rc unseal(struct tt_tpm *tpm, struct tt_error *err)
{
    return unseal_from(tpm, sealed, guarded.password, err);
}

/* Sealed data must be there again: on a chip that does not misbehave. */
static tt_rc seal(struct tt_tpm *tpm, struct tt_error *err)
{
    char *pem = NULL;
    struct tt_error none = {0};
    TT_TRY(tt_seal(&pem, tpm, text_bytes(data), &(struct tt_key_params){.password = NULL}, err));
    struct tt_tpm *good = open_tpm(torture_chip.tcti);
    assert_ok(unseal_from(good, pem, NULL, &none), &none);
    tt_tpm_close(good);
    tt_free(pem);
    return TT_OK;
}

static void signing(void **state)
{
    (void)state;
    torture(sign);
}

static void sealing(void **state)
{
    (void)state;
    torture(seal);
}

static void unsealing(void **state)
{
    (void)state;
    torture(unseal);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(signing),
        cmocka_unit_test(sealing),
        cmocka_unit_test(unsealing),
    };
    return cmocka_run_group_tests_name("torture-auth", tests, start_chip, stop_chip);
}
