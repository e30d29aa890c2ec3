/* tests/lab/test_torture.c: making a key, signing a request, signing a handshake: what torture.h promises,
 * and never a wrong signature. */
#include "torture.h"

static char *p256, *rsa;

static int start_chip(void **state)
{
    (void)state;
    if (!temp_tpm_start(&torture_chip))
        return -1;
    struct tt_tpm *tpm = open_tpm(torture_chip.tcti);
    p256 = create_key(tpm, TT_KEY_P256);
    rsa = create_key(tpm, TT_KEY_RSA2048);
    tt_tpm_close(tpm);
    return 0;
}

static int stop_chip(void **state)
{
    (void)state;
    tt_free(p256);
    tt_free(rsa);
    temp_tpm_stop(&torture_chip);
    return 0;
}

static tt_rc create_p256(struct tt_tpm *tpm, struct tt_error *err)
{
    return torture_create(&(struct tt_key_params){.type = TT_KEY_P256}, tpm, err);
}

static tt_rc request_rsa(struct tt_tpm *tpm, struct tt_error *err)
{
    return torture_sign(tpm, rsa, NULL, true, err);
}

static tt_rc handshake_rsa(struct tt_tpm *tpm, struct tt_error *err)
{
    return torture_sign(tpm, rsa, NULL, false, err);
}

static tt_rc handshake_p256(struct tt_tpm *tpm, struct tt_error *err)
{
    return torture_sign(tpm, p256, NULL, false, err);
}

static void creating_a_key(void **state)
{
    (void)state;
    torture(create_p256);
}

static void signing_a_request(void **state)
{
    (void)state;
    torture(request_rsa);
}

static void signing_a_handshake(void **state)
{
    (void)state;
    torture(handshake_p256);
}

static void signing_a_handshake_with_rsa(void **state)
{
    (void)state;
    torture(handshake_rsa);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(creating_a_key),
        cmocka_unit_test(signing_a_request),
        cmocka_unit_test(signing_a_handshake),
        cmocka_unit_test(signing_a_handshake_with_rsa),
    };
    return cmocka_run_group_tests_name("torture", tests, start_chip, stop_chip);
}
