/* tpm/pcr.c: which PCRs, and what is in them. Layer: tpm. TPM 2.0 part 2, section 10.6 (TPMS_PCR_SELECTION);
 * part 3, section 22.4 (PCR_Read). */
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/context.h"
#include "tpm/key.h"
#include "tpm/reopen.h"

#define PCR_COUNT 24

static const struct {
    const char *name;
    TPM2_ALG_ID alg;
    uint16_t size;
} banks[] = {{"sha1", TPM2_ALG_SHA1, 20},         {"sha256", TPM2_ALG_SHA256, 32},
             {"sha384", TPM2_ALG_SHA384, 48},     {"sha512", TPM2_ALG_SHA512, 64},
             {"sha3_256", TPM2_ALG_SHA3_256, 32}, {"sm3_256", TPM2_ALG_SM3_256, 32}};

static tt_rc bad_spec(const char *spec, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_USAGE, "'%s' does not name PCRs", spec);
    error_hint(err, "a bank and numbers from 0 to 23, such as sha256:0,2,7");
    return TT_ERR_USAGE;
}

static const char *bank_parse(TPMS_PCR_SELECTION *ret, const char *at)
{
    for (size_t i = 0; i < TT_COUNT(banks); i++) {
        size_t n = strlen(banks[i].name);
        if (strncmp(at, banks[i].name, n) == 0 && at[n] == ':') {
            *ret = (TPMS_PCR_SELECTION){.hash = banks[i].alg, .sizeofSelect = PCR_COUNT / 8};
            return at + n + 1;
        }
    }
    return NULL;
}

/* Numbers up to the end or a '+'; NULL when it is malformed. */
static const char *numbers_parse(TPMS_PCR_SELECTION *to, const char *at)
{
    for (;;) {
        char *end = NULL;
        unsigned long n = at[0] >= '0' && at[0] <= '9' ? strtoul(at, &end, 10) : PCR_COUNT;
        if (n >= PCR_COUNT)
            return NULL;
        to->pcrSelect[n / 8] = (BYTE)(to->pcrSelect[n / 8] | 1U << n % 8);
        if (*end != ',')
            return end;
        at = end + 1;
    }
}

tt_rc tpm_pcrs_parse(struct tpm_pcrs *ret, const char *spec, struct tt_error *err)
{
    TPML_PCR_SELECTION list = {0};
    struct tpm_pcrs pcrs = {.selection_len = 0};
    for (const char *at = spec;;) {
        if (list.count == TT_COUNT(banks))
            return bad_spec(spec, err);
        TPMS_PCR_SELECTION *s = &list.pcrSelections[list.count];
        at = bank_parse(s, at);
        at = at == NULL ? NULL : numbers_parse(s, at);
        if (at == NULL || (*at != '\0' && *at != '+'))
            return bad_spec(spec, err);
        list.count++;
        if (*at++ == '\0')
            break;
    }
    if (Tss2_MU_TPML_PCR_SELECTION_Marshal(&list, pcrs.selection, sizeof pcrs.selection,
                                           &pcrs.selection_len) != TSS2_RC_SUCCESS)
        return bad_spec(spec, err);
    *ret = pcrs;
    return TT_OK;
}

static bool selection_is_empty(const TPML_PCR_SELECTION *s)
{
    uint8_t all = 0;
    for (UINT32 i = 0; i < s->count; i++)
        for (size_t k = 0; k < s->pcrSelections[i].sizeofSelect; k++)
            all |= s->pcrSelections[i].pcrSelect[k];
    return all == 0;
}

/* Take what was read off what is still to be read; false when it was not asked for, or nothing was read. */
static bool selection_remove(TPML_PCR_SELECTION *from, const TPML_PCR_SELECTION *read)
{
    bool some = false;
    if (read->count > TPM2_NUM_PCR_BANKS)
        return false;
    for (UINT32 i = 0; i < read->count; i++)
        for (UINT32 j = 0; j < from->count; j++)
            for (size_t k = 0; from->pcrSelections[j].hash == read->pcrSelections[i].hash &&
                               k < from->pcrSelections[j].sizeofSelect && k < TPM2_PCR_SELECT_MAX;
                 k++) {
                BYTE *to = &from->pcrSelections[j].pcrSelect[k];
                BYTE got = read->pcrSelections[i].pcrSelect[k];
                some = some || (*to & got) != 0;
                *to = (BYTE)(*to & ~got);
            }
    return some;
}

static tt_rc values_append(struct tpm_pcrs *to, const TPML_DIGEST *values, struct tt_error *err)
{
    if (values->count > TT_COUNT(values->digests))
        return error_set(err, TT_ERR_TPM, "the TPM returned malformed PCRs");
    for (UINT32 i = 0; i < values->count; i++) {
        const TPM2B_DIGEST *d = &values->digests[i];
        if (d->size > sizeof d->buffer || d->size > sizeof to->values - to->values_len)
            return error_set(err, TT_ERR_TPM, "the TPM returned malformed PCRs");
        memcpy(to->values + to->values_len, d->buffer, d->size);
        to->values_len += d->size;
    }
    return TT_OK;
}

static tt_rc read_once(struct tpm_pcrs *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    TPML_PCR_SELECTION left = {0};
    size_t at = 0;
    if (Tss2_MU_TPML_PCR_SELECTION_Unmarshal(ret->selection, ret->selection_len, &at, &left) !=
        TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_USAGE, "no PCRs were named");
    ret->values_len = 0;
    for (int round = 0; !selection_is_empty(&left) && round < 64; round++) {
        TPML_PCR_SELECTION *read = NULL;
        TPML_DIGEST *values = NULL;
        struct tpm_op op = tpm_op_start(tpm, "read the PCRs");
        do
            op.rc = Esys_PCR_Read(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &left, NULL, &read,
                                  &values);
        while (tpm_op_again(&op));
        TT_TRY(tpm_op_end(&op, err));
        tt_rc rc =
            selection_remove(&left, read)
                ? values_append(ret, values, err)
                : error_set(err, TT_ERR_UNSUPPORTED, "this TPM does not have one of the PCRs or banks");
        Esys_Free(read);
        Esys_Free(values);
        TT_TRY(rc);
    }
    return TT_OK;
}

tt_rc tpm_pcrs_read(struct tpm_pcrs *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, read_once(ret, tpm, err));
}
