/* tests/lab/torture.c */
#include "torture.h"

#include "base/mem.h"
#include "crypto/sig.h"
#include "support/range.h"

struct temp_tpm torture_chip;

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

tt_rc torture_sign(struct tt_tpm *tpm, const char *pem, const struct tt_bytes *password, bool for_request,
                   struct tt_error *err)
{
    struct tt_key *key = NULL;
    uint8_t sig[1024];
    size_t len = 0;
    uint16_t scheme = 0;
    TT_TRY(tt_key_open_pem_with(&key, tpm, text_bytes(pem), password, err));
    (void)tt_key_schemes(key, &scheme, 1);
    if (for_request)
        scheme = tt_key_x509_scheme(key);
    tt_rc rc = tt_key_sign(key, scheme, text_bytes("message"), sig, sizeof sig, &len, err);
    if (rc == TT_OK)
        signature_is_right(key, scheme, (struct tt_bytes){sig, len});
    tt_key_free(key);
    return rc;
}

tt_rc torture_create(const struct tt_key_params *params, struct tt_tpm *tpm, struct tt_error *err)
{
    char *pem = NULL;
    TT_TRY(tt_key_create_with(&pem, tpm, params, err));
    struct tt_tpm *good = open_tpm(torture_chip.tcti);
    struct tt_error none = {0};
    assert_ok(torture_sign(good, pem, params->password, false, &none), &none);
    tt_tpm_close(good);
    tt_free(pem);
    return TT_OK;
}

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
static void once(torture_fn *run, const struct class *c, unsigned nth, const char *upto)
{
    char options[64];
    size_t before = live_blocks();
    struct tt_error err = {0};
    (void)snprintf(options, sizeof options, "fault=%s#%u%s", c->fault, nth, upto);
    struct tt_tpm *tpm = lab_open(&torture_chip, options);
    must_be_clear(options, run(tpm, &err), &err);
    if (!c->ends_way && upto[0] == '\0') {
        err = (struct tt_error){0};
        if (run(tpm, &err) != TT_OK)
            fail_msg("%s: not again: %s", options, err.text);
    }
    tt_tpm_close(tpm);
    lab_flush(&torture_chip);
    err = (struct tt_error){0};
    tpm = open_tpm(torture_chip.tcti);
    if (run(tpm, &err) != TT_OK)
        fail_msg("%s: not with a new connection: %s", options, err.text);
    tt_tpm_close(tpm);
    assert_int_equal(live_blocks(), before);
}

/* One operation whose TPM is lost, on a connection that can be opened again: nobody notices. An answer that
 * is false but in order may cost the first attempt. */
static void lose(torture_fn *run, const struct class *c, unsigned nth)
{
    char options[64];
    size_t before = live_blocks();
    bool lies = strncmp(c->fault, "shorten", 7) == 0 || strncmp(c->fault, "garble", 6) == 0;
    (void)snprintf(options, sizeof options, "fault=%s#%u", c->fault, nth);
    struct tt_tpm *tpm = lab_open_lossy(&torture_chip, options);
    for (int i = 0; i < 2; i++) {
        struct tt_error err = {0};
        tt_rc rc = run(tpm, &err);
        must_be_clear(options, rc, &err);
        if (rc != TT_OK && (i > 0 || !lies))
            fail_msg("%s: lost for good: %s", options, err.text);
    }
    tt_tpm_close(tpm);
    lab_flush(&torture_chip);
    assert_int_equal(live_blocks(), before);
}

void torture(torture_fn *run)
{
    struct tt_tpm *tpm = open_tpm(torture_chip.tcti);
    struct tt_error err = {0};
    assert_ok(run(tpm, &err), &err);
    unsigned commands = (unsigned)tt_tpm_command_count(tpm);
    tt_tpm_close(tpm);
    assert_between(commands, 2, 30);
    for (size_t c = 0; c < TT_COUNT(classes); c++)
        for (unsigned nth = 1; nth <= commands; nth++) {
            once(run, &classes[c], nth, "");
            if (classes[c].ends_way || strcmp(classes[c].fault, "restart") == 0)
                lose(run, &classes[c], nth);
        }
    static const struct class for_good[] = {{"failure", true}, {"drop", true}, {"lockout", true}};
    for (size_t c = 0; c < TT_COUNT(for_good); c++)
        for (unsigned nth = 1; nth <= commands; nth++)
            once(run, &for_good[c], nth, "-");
}
