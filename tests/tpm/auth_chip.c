/* tests/tpm/auth_chip.c: see auth_chip.h. */
#include "auth_chip.h"

#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>

#include "tpm/context.h"

void run(const char *command)
{
    char line[1024];
    (void)snprintf(line, sizeof line, "cd %s && { %s; } >out.log 2>&1 </dev/null", chip.dir, command);
    int status = system(line);
    if (status != 0)
        fail_msg("%s: status %d", command, status);
}

char *create_with(struct tt_tpm *tpm, const struct tt_key_params *params)
{
    char *pem = NULL;
    struct tt_error err = {0};
    assert_ok(tt_key_create_with(&pem, tpm, params, &err), &err);
    return pem;
}

tt_rc open_with(struct tt_key **ret, struct tt_tpm *tpm, const char *pem, const char *password,
                struct tt_error *err)
{
    struct tt_bytes keep;
    *err = (struct tt_error){0};
    return tt_key_open_pem_with(ret, tpm, text_bytes(pem), password_of(&keep, password), err);
}

struct tt_key *must_open(struct tt_tpm *tpm, const char *pem, const char *password)
{
    struct tt_key *key = NULL;
    struct tt_error err;
    assert_ok(open_with(&key, tpm, pem, password, &err), &err);
    return key;
}

void sign_all(struct tt_key *key)
{
    uint16_t schemes[16];
    size_t n = tt_key_schemes(key, schemes, TT_COUNT(schemes));
    for (size_t i = 0; i < n; i++)
        sign_and_verify(key, schemes[i]);
}

uint32_t property(struct tt_tpm *tpm, uint32_t which)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    assert_int_equal(Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                        TPM2_CAP_TPM_PROPERTIES, which, 1, &more, &data),
                     0);
    uint32_t value = data->data.tpmProperties.tpmProperty[0].value;
    Esys_Free(data);
    return value;
}

const char *spied_word;
unsigned spied;

void spy(struct script *s, const uint8_t *bytes, size_t len)
{
    (void)s;
    if (memmem(bytes, len, spied_word, strlen(spied_word)) != NULL)
        spied++;
}

struct tt_tpm *open_scripted(struct script *script)
{
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    TSS2_TCTI_CONTEXT *tcti = script_tcti_new(chip.tcti, script);
    assert_non_null(tcti);
    assert_ok(tpm_open_tcti(&tpm, tcti, script_tcti_close, "the script", &err), &err);
    return tpm;
}
