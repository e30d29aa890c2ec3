/* tpm/caps.c: TPM2_GetCapability and TPM2_TestParms. Layer: tpm. TPM 2.0 part 2, section 6.13 (TPM_PT), part
 * 3, section 30. Strings from a TPM are hostile: only printable ASCII passes. */
#include "tpm/caps.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tpm/key.h"
#include "tpm/public.h"

/* struct identity: the fixed properties from TPM2_PT_MANUFACTURER to TPM2_PT_FIRMWARE_VERSION_2, which are
 * contiguous. */
struct identity {
    char manufacturer[5];
    char vendor[17];
    uint32_t firmware_1, firmware_2;
};

static void put_ascii(char *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)(v >> (24 - 8 * i));
        to[i] = isprint(c) ? (char)c : ' ';
    }
}

/* One space where there are several, none at the end: "SW   TPM" is padding, not text. */
static void squeeze(char *s)
{
    size_t n = 0;
    for (size_t i = 0; s[i] != '\0'; i++)
        if (s[i] != ' ' || (n > 0 && s[n - 1] != ' '))
            s[n++] = s[i];
    if (n > 0 && s[n - 1] == ' ')
        n--;
    s[n] = '\0';
}

static void identity_add(struct identity *id, const TPMS_TAGGED_PROPERTY *p)
{
    if (p->property == TPM2_PT_MANUFACTURER)
        put_ascii(id->manufacturer, p->value);
    else if (p->property >= TPM2_PT_VENDOR_STRING_1 && p->property <= TPM2_PT_VENDOR_STRING_4)
        put_ascii(id->vendor + 4 * (p->property - TPM2_PT_VENDOR_STRING_1), p->value);
    else if (p->property == TPM2_PT_FIRMWARE_VERSION_1)
        id->firmware_1 = p->value;
    else if (p->property == TPM2_PT_FIRMWARE_VERSION_2)
        id->firmware_2 = p->value;
}

static bool identity_read(struct identity *ret, struct tt_tpm *tpm)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    struct tpm_op op = tpm_op_start(tpm, "ask the TPM what it is");
    do
        op.rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                   TPM2_CAP_TPM_PROPERTIES, TPM2_PT_MANUFACTURER,
                                   TPM2_PT_FIRMWARE_VERSION_2 - TPM2_PT_MANUFACTURER + 1, &more, &data);
    while (tpm_op_again(&op));
    if (op.rc != TSS2_RC_SUCCESS)
        return false;
    struct identity id = {.manufacturer = "    ", .vendor = "                "};
    const TPML_TAGGED_TPM_PROPERTY *list = &data->data.tpmProperties;
    bool right = data->capability == TPM2_CAP_TPM_PROPERTIES && list->count <= TPM2_MAX_TPM_PROPERTIES;
    for (UINT32 i = 0; right && i < list->count; i++)
        identity_add(&id, &list->tpmProperty[i]);
    Esys_Free(data);
    squeeze(id.manufacturer);
    squeeze(id.vendor);
    *ret = id;
    return right;
}

void caps_identify(struct tt_tpm *tpm)
{
    struct identity id;
    if (!identity_read(&id, tpm)) {
        (void)snprintf(tpm->description, sizeof tpm->description, "%s", tpm->where);
        return; /* asked again next time */
    }
    tpm->identified = true;
    /* libtpms, Microsoft's simulator, and what both call themselves. */
    tpm->vendor_is_software = strncasecmp(id.vendor, "SW", 2) == 0 || strcasestr(id.vendor, "xCG") != NULL ||
                              strcasestr(id.vendor, "simul") != NULL;
    (void)snprintf(tpm->description, sizeof tpm->description, "%s: %s %s, firmware %u.%u.%u.%u%s", tpm->where,
                   id.manufacturer, id.vendor, id.firmware_1 >> 16, id.firmware_1 & 0xffff,
                   id.firmware_2 >> 16, id.firmware_2 & 0xffff,
                   tpm->software || tpm->vendor_is_software ? " (emulated)" : "");
}

/* TPM2_TestParms answers for the algorithm, the size and, through the scheme, the hash in one command. */
static tt_rc caps_has(bool *ret, struct tt_tpm *tpm, enum tt_key_type type, struct tt_error *err)
{
    TPMT_PUBLIC_PARMS parms = public_test_parms(type);
    struct tpm_op op = tpm_op_start(tpm, "ask the TPM which keys it can make");
    do
        op.rc = Esys_TestParms(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &parms);
    while (tpm_op_again(&op));
    /* A chip without the command is asked by creating. */
    if (op.rc == TSS2_RC_SUCCESS || tpm_rc_is(op.rc, TPM2_RC_COMMAND_CODE)) {
        *ret = true;
        return TT_OK;
    }
    if ((op.rc & ~0xfffU) == 0 && (op.rc & TPM2_RC_FMT1) != 0) {
        *ret = false;
        return TT_OK;
    }
    return tpm_op_end(&op, err);
}

static void caps_list(char *to, size_t cap, struct tt_tpm *tpm)
{
    size_t n = 0;
    to[0] = '\0';
    for (enum tt_key_type type = TT_KEY_P256; type <= TT_KEY_RSA4096; type++) {
        bool has = false;
        if (caps_has(&has, tpm, type, NULL) == TT_OK && has && n < cap)
            n += (size_t)snprintf(to + n, cap - n, "%s%s", n == 0 ? "" : ", ", tt_key_type_name(type));
    }
}

tt_rc caps_require(struct tt_tpm *tpm, enum tt_key_type type, struct tt_error *err)
{
    bool has = false;
    TT_TRY(caps_has(&has, tpm, type, err));
    if (has)
        return TT_OK;
    char list[128];
    caps_list(list, sizeof list, tpm);
    tt_rc rc = error_set(err, TT_ERR_UNSUPPORTED, "this TPM cannot make a key of type %s; it has %s",
                         tt_key_type_name(type), list[0] == '\0' ? "none that we can use" : list);
    error_hint(err, "choose one of these with --type");
    return rc;
}

/* ---- hashes ---- */

static bool hashes_read(unsigned *ret, struct tt_tpm *tpm)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    struct tpm_op op = tpm_op_start(tpm, "ask the TPM which hashes it has");
    do
        op.rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_ALGS,
                                   TPM2_ALG_SHA1, TPM2_ALG_SHA512 - TPM2_ALG_SHA1 + 1, &more, &data);
    while (tpm_op_again(&op));
    if (op.rc != TSS2_RC_SUCCESS)
        return false;
    const TPML_ALG_PROPERTY *list = &data->data.algorithms;
    bool right = data->capability == TPM2_CAP_ALGS && list->count <= TPM2_MAX_CAP_ALGS;
    unsigned hashes = 0;
    for (UINT32 i = 0; right && i < list->count; i++)
        if (list->algProperties[i].alg < 32)
            hashes |= 1U << list->algProperties[i].alg;
    Esys_Free(data);
    *ret = hashes;
    return right;
}

bool tpm_has_hash(struct tt_tpm *tpm, uint16_t hash)
{
    if (!tpm->hashes_known)
        tpm->hashes_known = hashes_read(&tpm->hashes, tpm);
    return !tpm->hashes_known || hash >= 32 || (tpm->hashes >> hash & 1) != 0;
}

/* ---- the dictionary attack's counter ---- */

/* n properties that follow each other; the values only. */
static tt_rc variable_properties(uint32_t *ret, uint32_t n, TPM2_PT first, struct tt_tpm *tpm,
                                 struct tt_error *err)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    struct tpm_op op = tpm_op_start(tpm, "ask the TPM how many wrong passwords it has counted");
    do
        op.rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                   TPM2_CAP_TPM_PROPERTIES, first, n, &more, &data);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    const TPML_TAGGED_TPM_PROPERTY *list = &data->data.tpmProperties;
    bool right = data->capability == TPM2_CAP_TPM_PROPERTIES && list->count >= n;
    for (uint32_t i = 0; right && i < n; i++) {
        right = list->tpmProperty[i].property == first + i;
        if (right)
            ret[i] = list->tpmProperty[i].value;
    }
    Esys_Free(data);
    return right ? TT_OK : error_set(err, TT_ERR_TPM, "the TPM returned malformed properties");
}

enum tpm_refusal tpm_last_refusal(const struct tt_tpm *tpm)
{
    TSS2_RC rc = tpm->last_failure;
    return tpm_rc_is(rc, TPM2_RC_LOCKOUT)                                        ? TPM_REFUSED_LOCKED
           : tpm_rc_is(rc, TPM2_RC_AUTH_FAIL) || tpm_rc_is(rc, TPM2_RC_BAD_AUTH) ? TPM_REFUSED_PASSWORD
                                                                                 : TPM_REFUSED_OTHERWISE;
}

tt_rc tpm_lockout_read(struct tpm_lockout *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    uint32_t values[2];
    TT_TRY(variable_properties(values, TT_COUNT(values), TPM2_PT_LOCKOUT_COUNTER, tpm, err));
    *ret = (struct tpm_lockout){
        .counter = values[0], .max = values[1], .locked = values[1] > 0 && values[0] >= values[1]};
    return TT_OK;
}

tt_rc caps_lockout_counter(uint32_t *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    return variable_properties(ret, 1, TPM2_PT_LOCKOUT_COUNTER, tpm, err);
}
