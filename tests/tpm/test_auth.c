/* tests/tpm/test_auth.c: passwords and sealed data on a real swtpm: what travels, what it costs, what a
 * swapped parent and a wrong password lead to. Policies: test_policy.c. */
#include "auth_chip.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "tpm/context.h"
#include "tpm/public.h"
#include "tpm/session.h"

/* ---- what travels ---- */

static void password_never_in_the_clear(void **state)
{
    (void)state;
    struct script script = {.heard = spy};
    spied_word = PASSWORD;
    spied = 0;
    struct tt_tpm *tpm = open_scripted(&script);
    char *pem =
        create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF(PASSWORD)});
    struct tt_key *key = must_open(tpm, pem, PASSWORD);
    sign_all(key);
    tt_key_free(key);
    tt_free(pem);
    pem =
        create_with(tpm, &(struct tt_key_params){
                             .type = TT_KEY_RSA2048, .password = BYTES_OF(PASSWORD), .pcrs = "sha256:0,16"});
    key = must_open(tpm, pem, PASSWORD);
    sign_all(key);
    tt_key_free(key);
    tt_free(pem);
    assert_int_equal(spied, 0);
    assert_true(script.seen > 10);
    tt_tpm_close(tpm);
}

static void sealed_data_never_in_the_clear(void **state)
{
    (void)state;
    const struct tt_key_params kinds[] = {{.password = NULL},
                                          {.password = BYTES_OF(PASSWORD)},
                                          {.pcrs = "sha256:7"},
                                          {.pcrs = "sha256:7", .password = BYTES_OF(PASSWORD)}};
    struct script script = {.heard = spy};
    struct tt_tpm *tpm = open_scripted(&script);
    spied_word = "the data nobody may see";
    spied = 0;
    for (size_t i = 0; i < TT_COUNT(kinds); i++) {
        char *pem = NULL;
        uint8_t *data = NULL;
        size_t len = 0;
        struct tt_error err = {0};
        assert_ok(tt_seal(&pem, tpm, text_bytes(spied_word), &kinds[i], &err), &err);
        assert_ok(tt_unseal(&data, &len, tpm, text_bytes(pem), kinds[i].password, &err), &err);
        assert_int_equal(len, strlen(spied_word));
        assert_memory_equal(data, spied_word, len);
        tt_free(data);
        struct tt_key *key = NULL;
        assert_int_equal(open_with(&key, tpm, pem, NULL, &err), TT_ERR_UNSUPPORTED);
        if (kinds[i].password != NULL) {
            err = (struct tt_error){0};
            assert_int_equal(tt_unseal(&data, &len, tpm, text_bytes(pem), NULL, &err), TT_ERR_AUTH);
            err = (struct tt_error){0};
            assert_int_equal(tt_unseal(&data, &len, tpm, text_bytes(pem), BYTES_OF("wrong"), &err),
                             TT_ERR_AUTH);
        }
        tt_free(pem);
    }
    assert_int_equal(spied, 0);
    tt_tpm_close(tpm);
}

static void too_much_to_seal(void **state)
{
    (void)state;
    uint8_t much[129] = {1};
    char *pem = NULL;
    struct tt_error err = {0};
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_key_params none = {.password = NULL};
    assert_int_equal(tt_seal(&pem, tpm, (struct tt_bytes){much, sizeof much}, &none, &err), TT_ERR_USAGE);
    err = (struct tt_error){0};
    assert_ok(tt_seal(&pem, tpm, (struct tt_bytes){much, 128}, &none, &err), &err);
    tt_free(pem);
    tt_tpm_close(tpm);
}

/* ---- what it costs ---- */

static void commands_with_a_password(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem =
        create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF(PASSWORD)});
    tt_tpm_close(tpm);
    tpm = open_tpm(chip.tcti);
    struct recorder r = {0};
    tt_tpm_set_trace(tpm, record, &r);
    struct tt_key *key = must_open(tpm, pem, PASSWORD);
    sign_all(key);
    sign_all(key);
    assert_string_equal(recorder_text(&r), "CreatePrimary StartAuthSession Load FlushContext Sign Sign");
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
}

/* The last byte of the answer: of its HMAC. */
static void forge_signature(struct script *s, uint32_t command, uint8_t *response, size_t *len)
{
    if ((command == TPM2_CC_Sign || command == TPM2_CC_RSA_Decrypt) && s->left > 0) {
        response[*len - 1] ^= 1;
        s->left--;
    }
}

/* tpm/session_own.h: the session goes back and forth between us and ESAPI, and an answer that is not the
 * TPM's is refused. */
static void signed_without_esapi_by(enum tt_key_type type, uint16_t scheme)
{
    struct script script = {.change = forge_signature};
    struct tt_tpm *tpm = open_scripted(&script);
    const struct tt_key_params params = {.type = type, .password = BYTES_OF(PASSWORD)};
    char *pem = create_with(tpm, &params), *sealed = NULL;
    struct tt_key *key = must_open(tpm, pem, PASSWORD);
    const struct tpm_session *s = &tpm->sessions[TPM_SESSION_HMAC];
    struct tt_error err = {0};
    assert_ok(tt_seal(&sealed, tpm, text_bytes("data"), &params, &err), &err);
    for (int i = 0; i < 3; i++) {
        uint8_t *data = NULL;
        size_t len = 0;
        sign_all(key);
        assert_true(s->own.known && s->own.ahead && !s->own.behind);
        assert_ok(tt_unseal(&data, &len, tpm, text_bytes(sealed), params.password, &err), &err);
        assert_true(s->own.behind && !s->own.ahead);
        tt_free(data);
    }
    uint8_t sig[512];
    size_t len;
    script.left = 2; /* and when it is asked again */
    assert_int_equal(tt_key_sign(key, scheme, text_bytes("m"), sig, sizeof sig, &len, &err), TT_ERR_TPM);
    assert_true(script.left < 2);
    script.left = 0;
    sign_all(key);
    tt_key_free(key);
    tt_free(pem);
    tt_free(sealed);
    tt_tpm_close(tpm);
}

static void signed_without_esapi(void **state)
{
    (void)state;
    signed_without_esapi_by(TT_KEY_P256, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    signed_without_esapi_by(TT_KEY_RSA2048, TT_SCHEME_RSA_PSS_RSAE_SHA256);
}

/* tpm/session_start.h: what ESAPI makes of a session that we started, and that it starts one where we cannot.
 */
static void session_started_by_either(void **state)
{
    (void)state;
    static const char *const commands = "CreatePrimary StartAuthSession Load FlushContext Sign Sign";
    for (int by_esapi = 0; by_esapi < 2; by_esapi++) {
        struct tt_tpm *tpm = open_tpm(chip.tcti);
        char *pem =
            create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF(PASSWORD)});
        tt_tpm_close(tpm);
        tpm = open_tpm(chip.tcti);
        tpm->sessions_by_esapi = by_esapi != 0;
        struct recorder r = {0};
        tt_tpm_set_trace(tpm, record, &r);
        struct tt_key *key = must_open(tpm, pem, PASSWORD);
        const struct tpm_session *s = &tpm->sessions[TPM_SESSION_HMAC];
        TPM2B_NONCE *nonce = NULL;
        assert_int_equal(tpm->sessions_by_esapi, by_esapi);
        assert_true(s->open && s->own.known);
        assert_int_equal(Esys_TRSess_GetNonceTPM(tpm->esys, s->handle, &nonce), TSS2_RC_SUCCESS);
        assert_int_equal(nonce->size, sizeof s->own.nonce_tpm);
        assert_memory_equal(nonce->buffer, s->own.nonce_tpm, nonce->size);
        Esys_Free(nonce);
        sign_all(key);
        sign_all(key);
        assert_string_equal(recorder_text(&r), commands);
        assert_true(sessions_prove(tpm)); /* by ESAPI */
        tt_key_free(key);
        tt_free(pem);
        tt_tpm_close(tpm);
    }
}

/* tpm_key_prove: one command without the private operation, right or wrong. */
static void a_password_is_proved(void **state)
{
    (void)state;
    static const struct {
        enum tt_key_type type;
        const char *password, *tried;
        tt_rc rc;
        bool proven;
        const char *last;
    } rows[] = {{TT_KEY_P256, PASSWORD, PASSWORD, TT_OK, true, "FlushContext Sign"},
                {TT_KEY_P384, PASSWORD, PASSWORD, TT_OK, true, "FlushContext Sign"},
                {TT_KEY_RSA2048, PASSWORD, PASSWORD, TT_OK, true, "FlushContext Sign"},
                {TT_KEY_P256, PASSWORD, "wrong", TT_ERR_AUTH, false, NULL},
                {TT_KEY_RSA2048, PASSWORD, "wrong", TT_ERR_AUTH, false, NULL},
                {TT_KEY_P256, NULL, NULL, TT_OK, false, "Load FlushContext"}};
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        struct tt_error err = {0};
        struct tt_bytes right = text_bytes(rows[i].password != NULL ? rows[i].password : "");
        struct tt_bytes tried = text_bytes(rows[i].tried != NULL ? rows[i].tried : "");
        struct tt_tpm *tpm = open_tpm(chip.tcti);
        char *pem = create_with(
            tpm, &(struct tt_key_params){.type = rows[i].type, .password = right.len > 0 ? &right : NULL});
        struct tpm_key *key = NULL;
        struct recorder r = {0};
        bool proven = !rows[i].proven;
        tt_tpm_close(tpm);
        tpm = open_tpm(chip.tcti);
        tt_tpm_set_trace(tpm, record, &r);
        assert_ok(tpm_key_load(&key, tpm, text_bytes(pem), tried.len > 0 ? &tried : NULL, &err), &err);
        assert_int_equal(tpm_key_prove(&proven, key, &err), rows[i].rc);
        assert_int_equal(proven, rows[i].proven);
        const char *sent = recorder_text(&r);
        if (rows[i].last != NULL)
            assert_string_equal(sent + strlen(sent) - strlen(rows[i].last), rows[i].last);
        tpm_key_free(key);
        tt_free(pem);
        tt_tpm_close(tpm);
    }
}

static void commands_with_pcrs(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem = create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .pcrs = "sha256:0,2,7"});
    tt_tpm_close(tpm);
    tpm = open_tpm(chip.tcti);
    struct recorder r = {0};
    tt_tpm_set_trace(tpm, record, &r);
    struct tt_key *key = must_open(tpm, pem, NULL);
    sign_all(key);
    sign_all(key);
    assert_string_equal(recorder_text(&r),
                        "CreatePrimary StartAuthSession Load FlushContext PolicyPCR Sign PolicyPCR Sign");
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
}

/* Two keys that need sessions, and one that does not, take turns. */
static void sessions_are_shared(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *a = create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF(PASSWORD)});
    char *b = create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF("other")});
    char *c = create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P384, .pcrs = "sha256:1+sha384:2"});
    char *d = create_with(tpm, &(struct tt_key_params){
                                   .type = TT_KEY_P256, .pcrs = "sha256:1", .password = BYTES_OF(PASSWORD)});
    char *e = create_key(tpm, TT_KEY_P256);
    const char *pems[] = {a, b, c, d, e}, *passwords[] = {PASSWORD, "other", NULL, PASSWORD, NULL};
    struct tt_key *keys[5];
    for (size_t i = 0; i < 5; i++)
        keys[i] = must_open(tpm, pems[i], passwords[i]);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < 5; i++)
            sign_all(keys[i]);
    assert_true(temp_tpm_restart(&chip)); /* objects and sessions are gone */
    for (size_t i = 5; i > 0; i--)
        sign_all(keys[i - 1]);
    for (size_t i = 0; i < 5; i++)
        tt_key_free(keys[i]);
    tt_free(a);
    tt_free(b);
    tt_free(c);
    tt_free(d);
    tt_free(e);
    tt_tpm_close(tpm);
}

/* Somebody flushes our sessions (a resource manager that lost them): the next signature starts new ones. */
static void lost_sessions(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem =
        create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF(PASSWORD)});
    char *pcr = create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .pcrs = "sha256:3"});
    struct tt_key *key = must_open(tpm, pem, PASSWORD), *bound = must_open(tpm, pcr, NULL);
    sign_all(key);
    sign_all(bound);
    run("tpm2_flushcontext -l");
    sign_all(key);
    sign_all(bound);
    sign_all(key);
    tt_key_free(key);
    tt_key_free(bound);
    tt_free(pem);
    tt_free(pcr);
    tt_tpm_close(tpm);
}

static tt_rc seal_and_unseal(struct tt_tpm *tpm, bool restart_between, struct tt_error *err)
{
    char *pem = NULL;
    uint8_t *data = NULL;
    size_t len = 0;
    *err = (struct tt_error){0};
    TT_TRY(tt_seal(&pem, tpm, text_bytes("sealed"), &(struct tt_key_params){.password = NULL}, err));
    if (restart_between)
        assert_true(temp_tpm_restart(&chip));
    tt_rc rc = tt_unseal(&data, &len, tpm, text_bytes(pem), NULL, err);
    if (rc == TT_OK)
        assert_memory_equal(data, "sealed", len);
    tt_free(pem);
    tt_free(data);
    return rc;
}

/* The kept session is gone with the TPM: noticed in the middle of either. */
static void sealing_through_restarts(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err;
    for (int i = 0; i < 2; i++) {
        assert_ok(seal_and_unseal(tpm, true, &err), &err);
        assert_true(temp_tpm_restart(&chip));
    }
    assert_ok(seal_and_unseal(tpm, false, &err), &err);
    tt_tpm_close(tpm);
}

/* A TPM that cannot be opened again: the next attempt works. */
static void sealing_without_a_second_opening(void **state)
{
    (void)state;
    struct script script = {.seen = 0};
    struct tt_tpm *tpm = open_scripted(&script);
    struct tt_error err;
    assert_ok(seal_and_unseal(tpm, false, &err), &err);
    assert_true(temp_tpm_restart(&chip));
    (void)seal_and_unseal(tpm, false, &err);
    assert_ok(seal_and_unseal(tpm, false, &err), &err);
    assert_ok(seal_and_unseal(tpm, true, &err), &err);
    tt_tpm_close(tpm);
}

/* ---- wrong and missing passwords ---- */

static void wrong_password_is_tried_once(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err;
    struct tt_key *key = NULL;
    char *pem = create_with(
        tpm,
        &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF(PASSWORD), .count_failures = true});
    run("tpm2_dictionarylockout -c"); /* whatever others left */
    assert_int_equal(open_with(&key, tpm, pem, NULL, &err), TT_ERR_AUTH);
    assert_non_null(strstr(err.text, "needs a password"));
    key = must_open(tpm, pem, "wrong");
    assert_int_equal(try_sign(key, &err), TT_ERR_AUTH);
    assert_non_null(strstr(err.text, "counts the attempt"));
    uint64_t sent = tt_tpm_command_count(tpm);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(try_sign(key, &err), TT_ERR_AUTH);
        assert_non_null(strstr(err.text, "not tried again"));
    }
    assert_int_equal(tt_tpm_command_count(tpm), sent);
    assert_int_equal(property(tpm, TPM2_PT_LOCKOUT_COUNTER), 1);
    tt_key_free(key);
    key = must_open(tpm, pem, PASSWORD); /* the right one works, and by another key object */
    sign_all(key);
    tt_key_free(key);
    tt_free(pem);
    run("tpm2_dictionarylockout -c");
    tt_tpm_close(tpm);
}

static void persistent_key_that_counts(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    char *pem = create_with(
        tpm,
        &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF(PASSWORD), .count_failures = true});
    assert_ok(tt_key_persist(tpm, text_bytes(pem), 0x81000050, &err), &err);
    struct recorder r = {0};
    tt_tpm_set_trace(tpm, record, &r);
    assert_int_equal(tt_key_open_handle(&key, tpm, 0x81000050, &err), TT_ERR_AUTH);
    assert_non_null(strstr(err.text, "not tried unasked"));
    assert_string_equal(recorder_text(&r), "ReadPublic");
    err = (struct tt_error){0};
    assert_ok(tt_key_open_handle_with(&key, tpm, 0x81000050, BYTES_OF(PASSWORD), &err), &err);
    sign_all(key);
    sign_all(key);
    tt_key_free(key);
    assert_ok(tt_key_evict(tpm, 0x81000050, &err), &err);
    tt_free(pem);
    tt_tpm_close(tpm);
}

static void passwords_that_cannot_be(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    char *pem = NULL;
    struct tt_key_params params = {.password = BYTES_OF("0123456789012345678901234567890123")};
    assert_int_equal(tt_key_create_with(&pem, tpm, &params, &err), TT_ERR_USAGE);
    params = (struct tt_key_params){.password = BYTES_OF("x"), .secret_of = "owner"};
    err = (struct tt_error){0};
    assert_int_equal(tt_key_create_with(&pem, tpm, &params, &err), TT_ERR_USAGE);
    params = (struct tt_key_params){.secret_of = "me"};
    err = (struct tt_error){0};
    assert_int_equal(tt_key_create_with(&pem, tpm, &params, &err), TT_ERR_USAGE);
    static const char *const bad[] = {"",         "sha256",    "sha256:",     "sha256:24", "sha256:1,",
                                      "sha255:1", "sha256:1+", "sha256:1;2",  "sha256:-1", "sha256:1+sha1",
                                      "sha256:a", ":1",        "sha256:1,,2", "+sha256:1"};
    for (size_t i = 0; i < TT_COUNT(bad); i++) {
        params = (struct tt_key_params){.pcrs = bad[i]};
        err = (struct tt_error){0};
        assert_int_equal(tt_key_create_with(&pem, tpm, &params, &err), TT_ERR_USAGE);
        assert_non_null(strstr(err.hint, "sha256:0,2,7"));
    }
    assert_null(pem);
    tt_tpm_close(tpm);
}

/* ---- an interposer ---- */

static uint8_t recorded[4096];
static size_t recorded_len;

static void record_primary(struct script *s, uint32_t command, uint8_t *response, size_t *len)
{
    (void)s;
    if (command != TPM2_CC_CreatePrimary)
        return;
    memcpy(recorded, response, *len);
    recorded_len = *len;
}

/* The attacker's key in place of the parent's: a consistent answer, with its own handle and name. */
static void replay_primary(struct script *s, uint32_t command, uint8_t *response, size_t *len)
{
    (void)s;
    if (command != TPM2_CC_CreatePrimary)
        return;
    memcpy(response + 14, recorded + 14, recorded_len - 14); /* but the handle of the true one */
    *len = recorded_len;
}

static void swapped_parent_gets_nothing(void **state)
{
    (void)state;
    struct temp_tpm attacker;
    assert_true(temp_tpm_start(&attacker));
    struct script script = {.change = record_primary};
    struct temp_tpm ours = chip;
    chip = attacker;
    struct tt_tpm *tpm = open_scripted(&script);
    chip = ours;
    tt_free(create_key(tpm, TT_KEY_P256));
    tt_tpm_close(tpm);
    temp_tpm_stop(&attacker);
    assert_true(recorded_len > 14);

    tpm = open_tpm(chip.tcti);
    char *pem =
        create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF(PASSWORD)});
    tt_tpm_close(tpm);
    script = (struct script){.change = replay_primary};
    tpm = open_scripted(&script);
    struct recorder r = {0};
    struct tt_error err;
    struct tt_key *key = NULL;
    tt_tpm_set_trace(tpm, record, &r);
    assert_int_equal(open_with(&key, tpm, pem, PASSWORD, &err), TT_ERR_TPM);
    assert_non_null(strstr(err.text, "something between here and the TPM"));
    assert_non_null(strstr(err.text, "its name is 000b"));
    assert_string_equal(recorder_text(&r), "CreatePrimary FlushContext"); /* no session, no password */
    tt_free(pem);
    tt_tpm_close(tpm);
}

/* A file without the name (made elsewhere, or stripped): used as well as can be. */
static void file_without_the_parents_name(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem =
        create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF(PASSWORD)});
    char *line = strstr(pem, "\ntpmtls-parent-name: 000b");
    assert_non_null(line);
    line[30] = line[30] == '0' ? '1' : '0'; /* another name */
    struct tt_error err;
    struct tt_key *key = NULL;
    assert_int_equal(open_with(&key, tpm, pem, PASSWORD, &err), TT_ERR_TPM);
    line[1] = '\0';
    key = must_open(tpm, pem, PASSWORD);
    sign_all(key);
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
}

/* ---- RSA-PSS: a chip that salts with the maximum ---- */

static void spoil_signature(struct script *s, uint32_t command, uint8_t *response, size_t *len)
{
    if (command == TPM2_CC_Sign && s->left > 0)
        response[*len - 40] ^= 1;
}

static void wrong_salt_is_refused_at_load(void **state)
{
    (void)state;
    run("tpm2_createprimary -Q -C o -G rsa -c p.ctx -a "
        "'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt' && tpm2_create -Q "
        "-C "
        "p.ctx -G rsa2048:rsapss-sha256:null -u k.pub -r k.priv -a "
        "'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign' && tpm2_flushcontext -t && "
        "tpm2_load -Q "
        "-C p.ctx -u k.pub -r k.priv -c k.ctx && tpm2_evictcontrol -Q -C o -c k.ctx 0x81000060 && "
        "tpm2_flushcontext -t");
    struct script script = {.change = spoil_signature, .left = 1};
    struct tt_tpm *tpm = open_scripted(&script);
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    assert_int_equal(tt_key_open_handle(&key, tpm, 0x81000060, &err), TT_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "salt"));
    assert_non_null(strstr(err.hint, "tpmtls key create --type rsa2048"));
    script.left = 0; /* a chip that does it right: one probe, remembered */
    struct recorder r = {0};
    tt_tpm_set_trace(tpm, record, &r);
    for (int i = 0; i < 2; i++) {
        err = (struct tt_error){0};
        assert_ok(tt_key_open_handle(&key, tpm, 0x81000060, &err), &err);
        tt_key_free(key);
    }
    assert_string_equal(recorder_text(&r), "ReadPublic Sign ReadPublic");
    assert_ok(tt_key_evict(tpm, 0x81000060, &err), &err);
    tt_tpm_close(tpm);
}

#ifdef TT_FAULT_INJECTION
static tt_rc life_of_a_key(struct tt_tpm *tpm, struct tt_error *err)
{
    char *pem = NULL;
    struct tt_key *key = NULL;
    uint8_t *data = NULL;
    size_t len;
    const struct tt_key_params params = {
        .type = TT_KEY_P256, .password = BYTES_OF(PASSWORD), .pcrs = "sha256:0"};
    struct tt_keyfile_info info;
    tt_rc rc = tt_key_create_with(&pem, tpm, &params, err);
    rc = rc == TT_OK ? tt_keyfile_inspect(&info, text_bytes(pem), err) : rc;
    rc = rc == TT_OK ? tt_key_open_pem_with(&key, tpm, text_bytes(pem), BYTES_OF(PASSWORD), err) : rc;
    rc = rc == TT_OK ? try_sign(key, err) : rc;
    tt_key_free(key);
    tt_free(pem);
    pem = NULL;
    rc = rc == TT_OK ? tt_seal(&pem, tpm, text_bytes("x"), &params, err) : rc;
    rc = rc == TT_OK ? tt_unseal(&data, &len, tpm, text_bytes(pem), BYTES_OF(PASSWORD), err) : rc;
    tt_free(pem);
    tt_free(data);
    return rc;
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    bool done = false;
    for (size_t nth = 1; !done && nth < 2000; nth++) {
        struct tt_tpm *tpm = open_tpm(chip.tcti);
        struct tt_error err = {0};
        mem_test_fail_nth(nth);
        tt_rc rc = life_of_a_key(tpm, &err);
        mem_test_fail_nth(0);
        assert_true(rc == TT_OK || err.text[0] != '\0');
        done = rc == TT_OK;
        tt_tpm_close(tpm);
    }
    assert_true(done);
}
#endif

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(password_never_in_the_clear),   cmocka_unit_test(sealed_data_never_in_the_clear),
        cmocka_unit_test(session_started_by_either),     cmocka_unit_test(a_password_is_proved),
        cmocka_unit_test(signed_without_esapi),          cmocka_unit_test(too_much_to_seal),
        cmocka_unit_test(commands_with_a_password),      cmocka_unit_test(commands_with_pcrs),
        cmocka_unit_test(sessions_are_shared),           cmocka_unit_test(lost_sessions),
        cmocka_unit_test(sealing_through_restarts),      cmocka_unit_test(sealing_without_a_second_opening),
        cmocka_unit_test(wrong_password_is_tried_once),  cmocka_unit_test(persistent_key_that_counts),
        cmocka_unit_test(passwords_that_cannot_be),      cmocka_unit_test(swapped_parent_gets_nothing),
        cmocka_unit_test(file_without_the_parents_name), cmocka_unit_test(wrong_salt_is_refused_at_load),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test(every_allocation_fails_once),
#endif
    };
    return cmocka_run_group_tests_name("auth", tests, start_chip, stop_chip);
}
