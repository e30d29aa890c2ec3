/* tests/lab/lab_test.c */
#include "lab_test.h"

#include <tss2/tss2_tctildr.h>

#include "base/mem.h"
#include "lab/chip.h"

struct tt_tpm *lab_open(const struct temp_tpm *chip, const char *options)
{
    char config[512];
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    (void)snprintf(config, sizeof config, "%s:%s", options, chip->tcti);
    TSS2_TCTI_CONTEXT *tcti = lab_tcti_new(config);
    if (tcti == NULL)
        fail_msg("cannot open %s", config);
    assert_ok(tpm_open_tcti(&tpm, tcti, lab_tcti_close, config, &err), &err);
    return tpm;
}

static tt_rc open_plainly(struct courier_tcti *ret, const char *spec, struct tt_error *err)
{
    ret->close = Tss2_TctiLdr_Finalize;
    return Tss2_TctiLdr_Initialize(spec, &ret->tcti) == TSS2_RC_SUCCESS
               ? TT_OK
               : error_set(err, TT_ERR_TPM, "%s does not answer", spec);
}

struct tt_tpm *lab_open_lossy(const struct temp_tpm *chip, const char *options)
{
    struct tt_tpm *tpm = lab_open(chip, options);
    tpm->meter.spec = mem_strdup(chip->tcti);
    assert_non_null(tpm->meter.spec);
    tpm->meter.open = open_plainly;
    return tpm;
}

void lab_flush(const struct temp_tpm *chip)
{
    struct lab_chip *c = mem_alloc(sizeof *c);
    assert_non_null(c);
    assert_int_equal(Tss2_TctiLdr_Initialize(chip->tcti, &c->inner), TSS2_RC_SUCCESS);
    lab_chip_forget(c);
    Tss2_TctiLdr_Finalize(&c->inner);
    mem_free(c);
}
