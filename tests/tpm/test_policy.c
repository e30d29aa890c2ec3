/* tests/tpm/test_policy.c: keys under policies on a real swtpm: PCRs, signed policies, the owner's password.
 */
#include "auth_chip.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "tpm/context.h"
#include "tpm/public.h"

static void pcrs_that_change(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err;
    run("tpm2_pcrreset 16");
    char *pem = create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .pcrs = "sha256:16"});
    struct tt_key *key = must_open(tpm, pem, NULL), *late = NULL;
    sign_all(key);
    /* Another PCR: the session that was prepared is void, the policy is still met. */
    late = must_open(tpm, pem, NULL);
    run("tpm2_pcrextend 23:sha256=0000000000000000000000000000000000000000000000000000000000000001");
    sign_all(late);
    tt_key_free(late);
    run("tpm2_pcrextend 16:sha256=0000000000000000000000000000000000000000000000000000000000000001");
    assert_int_equal(try_sign(key, &err), TT_ERR_AUTH);
    assert_non_null(strstr(err.text, "PCRs 16"));
    assert_int_equal(open_with(&late, tpm, pem, NULL, &err), TT_ERR_AUTH);
    run("tpm2_pcrreset 16");
    sign_all(key); /* the next attempt works */
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
}

static char *software_key(const char *algorithm)
{
    char command[256], path[128];
    (void)snprintf(command, sizeof command,
                   "openssl genpkey -algorithm %s -out policy.key && openssl pkey -in "
                   "policy.key -pubout -out policy.pub",
                   algorithm);
    run(command);
    (void)snprintf(path, sizeof path, "%s/policy.key", chip.dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = mem_alloc(8192);
    assert_non_null(text);
    text[fread(text, 1, 8191, f)] = '\0';
    (void)fclose(f);
    return text;
}

static char *add_policy(struct tt_tpm *tpm, char *pem, struct tt_policy_params params)
{
    char *more = NULL;
    struct tt_error err = {0};
    params.pem = text_bytes(pem);
    assert_ok(tt_policy_sign(&more, &params, tpm, &err), &err);
    tt_free(pem);
    return more;
}

static void signed_policies_of(const char *algorithm)
{
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    struct tt_key *signer = NULL, *key = NULL;
    char *text = software_key(algorithm);
    assert_ok(tt_key_open_software(&signer, text_bytes(text), NULL, &err), &err);
    mem_free(text);
    run("tpm2_pcrreset 16");
    char *pem = create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256,
                                                         .signer = tt_key_spki(signer),
                                                         .pcrs = "sha256:0",
                                                         .password = BYTES_OF(PASSWORD)});
    assert_int_equal(open_with(&key, tpm, pem, PASSWORD, &err), TT_ERR_AUTH);
    assert_non_null(strstr(err.hint, "policy sign"));
    pem =
        add_policy(tpm, pem, (struct tt_policy_params){.signer = signer, .pcrs = "sha256:16", .name = "one"});
    run("tpm2_pcrextend 16:sha256=0000000000000000000000000000000000000000000000000000000000000001");
    assert_int_equal(open_with(&key, tpm, pem, PASSWORD, &err), TT_ERR_AUTH);
    pem =
        add_policy(tpm, pem, (struct tt_policy_params){.signer = signer, .pcrs = "sha256:16", .name = "two"});
    struct recorder r = {0};
    key = must_open(tpm, pem, NULL);
    sign_all(key);
    tt_tpm_set_trace(tpm, record, &r);
    sign_all(key);
    assert_string_equal(recorder_text(&r), "PolicyPCR PolicyAuthorize PolicyPCR Sign");
    tt_tpm_set_trace(tpm, NULL, NULL);
    run("tpm2_pcrreset 16"); /* back to the first policy, which is the second in the file */
    sign_all(key);
    sign_all(key);
    tt_key_free(key);
    /* One that asks for the password instead. */
    run("tpm2_pcrextend 16:sha256=0000000000000000000000000000000000000000000000000000000000000002");
    pem = add_policy(tpm, pem, (struct tt_policy_params){.signer = signer, .with_password = true});
    key = must_open(tpm, pem, PASSWORD);
    sign_all(key);
    sign_all(key);
    tt_key_free(key);
    assert_int_equal(open_with(&key, tpm, pem, NULL, &err), TT_ERR_AUTH);
    struct tt_keyfile_info info;
    assert_ok(tt_keyfile_inspect(&info, text_bytes(pem), &err), &err);
    assert_int_equal(info.branches_len, 3);
    assert_string_equal(info.branches[1].name, "two");
    assert_string_equal(info.branches[2].name, "one");
    tt_free(pem);
    tt_key_free(signer);
    tt_tpm_close(tpm);
}

static void signed_policies(void **state)
{
    (void)state;
    signed_policies_of("EC -pkeyopt ec_paramgen_curve:P-256");
    signed_policies_of("EC -pkeyopt ec_paramgen_curve:P-384");
    signed_policies_of("RSA -pkeyopt rsa_keygen_bits:2048");
}

/* A signature for one key is no good for another, nor one by somebody else. */
static void signed_policies_are_not_swapped(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    struct tt_key *signer = NULL, *stranger = NULL;
    char *text = software_key("EC -pkeyopt ec_paramgen_curve:P-256");
    assert_ok(tt_key_open_software(&signer, text_bytes(text), NULL, &err), &err);
    mem_free(text);
    text = software_key("EC -pkeyopt ec_paramgen_curve:P-256");
    assert_ok(tt_key_open_software(&stranger, text_bytes(text), NULL, &err), &err);
    mem_free(text);
    char *pem = create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .signer = tt_key_spki(signer)});
    char *more = NULL;
    struct tt_policy_params params = {.pem = text_bytes(pem), .signer = stranger, .with_password = true};
    assert_int_equal(tt_policy_sign(&more, &params, tpm, &err), TT_ERR_USAGE);
    char *plain = create_key(tpm, TT_KEY_P256);
    params = (struct tt_policy_params){.pem = text_bytes(plain), .signer = signer, .with_password = true};
    err = (struct tt_error){0};
    assert_int_equal(tt_policy_sign(&more, &params, tpm, &err), TT_ERR_USAGE);
    assert_non_null(strstr(err.hint, "--policy-key"));
    tt_free(plain);
    tt_free(pem);
    tt_key_free(signer);
    tt_key_free(stranger);
    tt_tpm_close(tpm);
}

static void password_of_the_owner(void **state)
{
    (void)state;
    struct script script = {.heard = spy};
    spied_word = PASSWORD_WORD;
    struct tt_tpm *tpm = open_scripted(&script);
    struct tt_error err;
    char *pem = create_with(tpm, &(struct tt_key_params){.type = TT_KEY_P256, .secret_of = "endorsement"});
    struct recorder r = {0};
    run("tpm2_changeauth -c e " PASSWORD_WORD);
    spied = 0;
    struct tt_key *key = must_open(tpm, pem, PASSWORD_WORD);
    sign_all(key);
    tt_tpm_set_trace(tpm, record, &r);
    sign_all(key);
    assert_string_equal(recorder_text(&r), "PolicySecret Sign");
    tt_tpm_set_trace(tpm, NULL, NULL);
    assert_int_equal(spied, 0);
    tt_key_free(key);
    assert_int_equal(open_with(&key, tpm, pem, "wrong", &err), TT_ERR_AUTH);
    tt_free(pem);
    tt_tpm_close(tpm);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(pcrs_that_change),
        cmocka_unit_test(signed_policies),
        cmocka_unit_test(signed_policies_are_not_swapped),
        cmocka_unit_test(password_of_the_owner),
    };
    return cmocka_run_group_tests_name("policy", tests, start_chip, stop_chip);
}
