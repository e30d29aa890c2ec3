/* tests/fuzz/fuzz_keyfile.c: a key file from anywhere: looked at, opened and unsealed on a TPM that says yes
 * to everything with nothing in it. What can be read is written and read again, and is the same. */
#include "fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "support/script_tcti.h"
#include "tpm/context.h"
#include "tpm/keyfile.h"

static bool same(struct tt_bytes a, struct tt_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void written_and_read_again(struct tt_bytes pem)
{
    struct keyfile f, again;
    char *text = NULL;
    struct tt_error err = {0};
    if (keyfile_parse(&f, pem, &err) != TT_OK) {
        FUZZ_CHECK(err.text[0] != '\0');
        return;
    }
    FUZZ_CHECK(keyfile_text(&text, &f, &err) == TT_OK);
    FUZZ_CHECK(keyfile_parse(&again, (struct tt_bytes){(const uint8_t *)text, strlen(text)}, &err) == TT_OK);
    FUZZ_CHECK(f.kind == again.kind && f.parent == again.parent && f.empty_auth == again.empty_auth &&
               f.rsa_parent == again.rsa_parent && same(f.pubkey, again.pubkey) &&
               same(f.privkey, again.privkey) && same(f.policy, again.policy) &&
               same(f.auth_policy, again.auth_policy) && same(f.secret, again.secret) &&
               same(f.description, again.description));
    keyfile_free(&again);
    keyfile_free(&f);
    mem_free(text);
}

static bool say_yes(struct script *s, uint32_t command, uint8_t *response, size_t *len)
{
    (void)s;
    (void)command;
    script_code(response, len, 0);
    return true;
}

static void used(struct tt_bytes pem)
{
    struct script script = {.answer = say_yes};
    struct tt_tpm *tpm = NULL;
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    uint8_t *data = NULL;
    size_t len = 0;
    static const struct tt_bytes password = {(const uint8_t *)"password", 8};
    TSS2_TCTI_CONTEXT *tcti = script_tcti_new(NULL, &script);
    FUZZ_CHECK(tcti != NULL);
    FUZZ_CHECK(tpm_open_tcti(&tpm, tcti, script_tcti_close, "fuzz", &err) == TT_OK);
    FUZZ_CHECK(tt_key_open_pem_with(&key, tpm, pem, &password, &err) != TT_OK && err.text[0] != '\0');
    err = (struct tt_error){0};
    FUZZ_CHECK(tt_unseal(&data, &len, tpm, pem, &password, &err) != TT_OK && err.text[0] != '\0');
    tt_tpm_close(tpm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tt_bytes pem = {data, size};
    struct tt_keyfile_info *info = mem_alloc(sizeof *info);
    struct tt_error err = {0};
    FUZZ_CHECK(info != NULL);
    FUZZ_CHECK(tt_keyfile_inspect(info, pem, &err) == TT_OK || err.text[0] != '\0');
    mem_free(info);
    written_and_read_again(pem);
    used(pem);
    return 0;
}
