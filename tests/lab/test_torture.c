/* tests/lab/test_torture.c: for each TPM command of making a key, signing a request and signing a handshake:
 * it fails in every way the lab knows. Each time: a sentence, never a wrong signature, nothing leaked, and
 * the next attempt works. */
#include "lab_test.h"

#include "base/mem.h"
#include "crypto/sig.h"

static struct temp_tpm chip;
static char *pems[2]; /* P-256, RSA-2048 */

static int start_chip(void **state)
{
    (void)state;
    if (!temp_tpm_start(&chip))
        return -1;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    pems[0] = create_key(tpm, TT_KEY_P256);
    pems[1] = create_key(tpm, TT_KEY_RSA2048);
    tt_tpm_close(tpm);
    return 0;
}

static int stop_chip(void **state)
{
    (void)state;
    tt_free(pems[0]);
    tt_free(pems[1]);
    temp_tpm_stop(&chip);
    return 0;
}

/* ---- what is done ---- */

/* Must be called with the key alive: libcrypto has the last word on a signature. */
static void signature_is_right(const struct tt_key *key, uint16_t scheme, struct tt_bytes sig)
{
    struct crypto_lib *lib = NULL;
    struct pubkey *pub = NULL;
    assert_int_equal(crypto_lib_new(&lib, NULL), TT_OK);
    assert_int_equal(pubkey_from_spki(&pub, lib, tt_key_spki(key)), TT_OK);
    assert_int_equal(pubkey_verify(lib, pub, scheme, text_bytes("message"), sig), TT_OK);
    pubkey_free(pub);
    crypto_lib_free(lib);
}

static tt_rc sign_with(struct tt_tpm *tpm, const char *pem, bool for_request, struct tt_error *err)
{
    struct tt_key *key = NULL;
    uint8_t sig[1024];
    size_t len = 0;
    uint16_t scheme = 0;
    TT_TRY(tt_key_open_pem(&key, tpm, text_bytes(pem), err));
    (void)tt_key_schemes(key, &scheme, 1);
    if (for_request)
        scheme = tt_key_x509_scheme(key);
    tt_rc rc = tt_key_sign(key, scheme, text_bytes("message"), sig, sizeof sig, &len, err);
    if (rc == TT_OK)
        signature_is_right(key, scheme, (struct tt_bytes){sig, len});
    tt_key_free(key);
    return rc;
}

static tt_rc request_rsa(struct tt_tpm *tpm, struct tt_error *err)
{
    return sign_with(tpm, pems[1], true, err);
}

static tt_rc handshake_rsa(struct tt_tpm *tpm, struct tt_error *err)
{
    return sign_with(tpm, pems[1], false, err);
}

static tt_rc handshake_p256(struct tt_tpm *tpm, struct tt_error *err)
{
    return sign_with(tpm, pems[0], false, err);
}

/* A key that was made must work: it is used on a chip that does not misbehave. */
static tt_rc create_p256(struct tt_tpm *tpm, struct tt_error *err)
{
    char *pem = NULL;
    TT_TRY(tt_key_create(&pem, tpm, TT_KEY_P256, err));
    lab_flush(&chip);
    struct tt_tpm *good = open_tpm(chip.tcti);
    struct tt_error none = {0};
    assert_ok(sign_with(good, pem, false, &none), &none);
    tt_tpm_close(good);
    tt_free(pem);
    return TT_OK;
}

typedef tt_rc (*operation)(struct tt_tpm *tpm, struct tt_error *err);

/* ---- what goes wrong ---- */

/* ends_way: the way to the TPM is broken afterwards, not only the command. */
struct class
{
    const char *fault;
    bool ends_way;
};
static const struct class classes[] = {
    {"retry", false},         {"lockout", false},        {"auth_fail", false},    {"bad_auth", false},
    {"object_memory", false}, {"session_memory", false}, {"memory", false},       {"integrity", false},
    {"handle", false},        {"value", false},          {"size", false},         {"nv_rate", false},
    {"failure", false},       {"initialize", false},     {"command_code", false}, {"reference_h0", false},
    {"0x9ff", false},         {"0xfffffffe", true},      {"restart", false},      {"drop", true},
    {"enomem", true},         {"hang.3", true},          {"truncate", true},      {"truncate.0", true},
    {"truncate.9", true},     {"shorten.10", true},      {"shorten.12", true},    {"shorten.40", true},
    {"garble.1", true},       {"garble.2", true},
};

static size_t live_blocks(void)
{
#ifdef TT_FAULT_INJECTION
    return mem_test_stats().live_blocks;
#else
    return 0;
#endif
}

static void must_be_clear(const char *what, tt_rc rc, const struct tt_error *err)
{
    if (rc != TT_OK && (err->text[0] == '\0' || err->rc == TT_OK || rc == TT_ERR_INTERNAL))
        fail_msg("%s: %s '%s'", what, tt_rc_name(rc), err->text);
}

/* One operation on a chip with one fault. */
static void once(operation run, const struct class *c, unsigned nth, const char *upto)
{
    char options[64];
    size_t before = live_blocks();
    struct tt_error err = {0};
    (void)snprintf(options, sizeof options, "fault=%s#%u%s", c->fault, nth, upto);
    struct tt_tpm *tpm = lab_open(&chip, options);
    must_be_clear(options, run(tpm, &err), &err);
    if (!c->ends_way && upto[0] == '\0') {
        err = (struct tt_error){0};
        if (run(tpm, &err) != TT_OK)
            fail_msg("%s: not again: %s", options, err.text);
    }
    tt_tpm_close(tpm);
    lab_flush(&chip);
    err = (struct tt_error){0};
    tpm = open_tpm(chip.tcti);
    if (run(tpm, &err) != TT_OK)
        fail_msg("%s: not with a new connection: %s", options, err.text);
    tt_tpm_close(tpm);
    assert_int_equal(live_blocks(), before);
}

static void torture(operation run)
{
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    assert_ok(run(tpm, &err), &err);
    unsigned commands = (unsigned)tt_tpm_command_count(tpm);
    tt_tpm_close(tpm);
    assert_in_range(commands, 2, 30);
    for (size_t c = 0; c < TT_COUNT(classes); c++)
        for (unsigned nth = 1; nth <= commands; nth++)
            once(run, &classes[c], nth, "");
    static const struct class for_good[] = {{"failure", true}, {"drop", true}, {"lockout", true}};
    for (size_t c = 0; c < TT_COUNT(for_good); c++)
        for (unsigned nth = 1; nth <= commands; nth++)
            once(run, &for_good[c], nth, "-");
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
