/* tests/tpm/test_ecdh.c: Diffie-Hellman keys in a TPM: right results, what it costs, and what a restarted and
 * another TPM do with them. */
#include "own_chip.h"
#include "tpm_test.h"

#include <openssl/ec.h>
#include <openssl/evp.h>

static char *make(struct tt_tpm *tpm)
{
    char *pem = NULL;
    struct tt_error err = {0};
    assert_ok(tt_ecdh_create(&pem, tpm, &(struct tt_key_params){.description = "a test"}, &err), &err);
    return pem;
}

static struct tt_ecdh *must_open(struct tt_tpm *tpm, const char *pem)
{
    struct tt_ecdh *k = NULL;
    struct tt_error err = {0};
    assert_ok(tt_ecdh_open_pem(&k, tpm, text_bytes(pem), NULL, &err), &err);
    return k;
}

/* What libcrypto makes of the key's public half and a private key of its own. */
static void software(uint8_t ret[32], EVP_PKEY *own, const uint8_t point[TT_ECDH_POINT])
{
    EVP_PKEY *peer = EVP_PKEY_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
    size_t n = 32;
    assert_int_equal(EVP_PKEY_copy_parameters(peer, own), 1);
    assert_int_equal(EVP_PKEY_set1_encoded_public_key(peer, point, TT_ECDH_POINT), 1);
    assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
    assert_int_equal(EVP_PKEY_derive_set_peer(ctx, peer), 1);
    assert_int_equal(EVP_PKEY_derive(ctx, ret, &n), 1);
    assert_int_equal(n, 32);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
}

static void assert_computes(struct tt_ecdh *k)
{
    EVP_PKEY *own = EVP_EC_gen("P-256");
    uint8_t point[TT_ECDH_POINT], want[32], got[32], *enc = NULL;
    struct tt_error err = {0};
    size_t n = EVP_PKEY_get1_encoded_public_key(own, &enc);
    tt_ecdh_public(k, point);
    software(want, own, point);
    assert_ok(tt_ecdh_compute(k, got, (struct tt_bytes){enc, n}, &err), &err);
    assert_memory_equal(got, want, 32);
    OPENSSL_free(enc);
    EVP_PKEY_free(own);
}

static void both_halves_agree(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_ecdh *keys[2];
    struct tt_error err = {0};
    for (size_t i = 0; i < 2; i++) {
        char *pem = make(tpm);
        assert_non_null(strstr(pem, "TSS2 PRIVATE KEY"));
        keys[i] = must_open(tpm, pem);
        tt_free(pem);
    }
    for (int round = 0; round < 4; round++)
        assert_computes(keys[round % 2]);
    /* Loaded, with its session: one command, whose answer is encrypted. */
    assert_ok(tt_ecdh_load(keys[0], &err), &err);
    struct recorder r = {.count = 0};
    tt_tpm_set_trace(tpm, record, &r);
    assert_computes(keys[0]);
    assert_string_equal(recorder_text(&r), "ECDH_ZGen");
    assert_computes(keys[1]);
    assert_string_equal(recorder_text(&r), "ECDH_ZGen FlushContext ContextLoad ECDH_ZGen");
    tt_ecdh_free(keys[0]);
    tt_ecdh_free(keys[1]);
    tt_tpm_close(tpm);
}

static void wrong_files_and_points(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_ecdh *k = NULL;
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    char *pem = make(tpm), *signing = create_key(tpm, TT_KEY_P256), *sealed = NULL;
    uint8_t point[TT_ECDH_POINT], out[32];
    assert_int_equal(tt_ecdh_open_pem(&k, tpm, text_bytes(signing), NULL, &err), TT_ERR_UNSUPPORTED);
    assert_ok(tt_seal(&sealed, tpm, text_bytes("data"), &(struct tt_key_params){0}, &err), &err);
    assert_int_equal(tt_ecdh_open_pem(&k, tpm, text_bytes(sealed), NULL, &err), TT_ERR_UNSUPPORTED);
    assert_int_equal(tt_key_open_pem(&key, tpm, text_bytes(pem), &err), TT_ERR_UNSUPPORTED);
    k = must_open(tpm, pem);
    tt_ecdh_public(k, point);
    assert_int_equal(tt_ecdh_compute(k, out, (struct tt_bytes){point, 64}, &err), TT_ERR_USAGE);
    point[0] = 2;
    assert_int_equal(tt_ecdh_compute(k, out, (struct tt_bytes){point, sizeof point}, &err), TT_ERR_USAGE);
    point[0] = 4;
    point[64] ^= 1; /* not on the curve */
    err = (struct tt_error){0};
    assert_int_equal(tt_ecdh_compute(k, out, (struct tt_bytes){point, sizeof point}, &err), TT_ERR_TPM);
    assert_computes(k);
    tt_ecdh_free(k);
    tt_free(pem);
    tt_free(signing);
    tt_free(sealed);
    tt_tpm_close(tpm);
}

static void after_a_restart_and_elsewhere(void **state)
{
    (void)state;
    struct tt_error err = {0};
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem = make(tpm);
    struct tt_ecdh *k = must_open(tpm, pem);
    assert_computes(k);
    assert_true(temp_tpm_restart(&chip));
    assert_computes(k);
    assert_computes(k);
    tt_ecdh_free(k);
    tt_tpm_close(tpm);

    struct temp_tpm another;
    assert_true(temp_tpm_start(&another));
    tpm = open_tpm(another.tcti);
    k = must_open(tpm, pem);
    assert_int_equal(tt_ecdh_load(k, &err), TT_ERR_TPM);
    tt_ecdh_free(k);
    tt_tpm_close(tpm);
    temp_tpm_stop(&another);
    tt_free(pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_halves_agree),
        cmocka_unit_test(wrong_files_and_points),
        cmocka_unit_test(after_a_restart_and_elsewhere),
    };
    return cmocka_run_group_tests(tests, start_chip, stop_chip);
}
