/* tpm/doctor_chip.c: asking the chip about itself. Layer: tpm. TPM 2.0 part 2, sections 6.13
 * (properties), 8.4 (TPMA_ PERMANENT); part 3, section 30.2. Each answer is hostile: counts are capped, text
 * is made printable. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tpm/context.h"
#include "tpm/doctor.h"
#include "tpm/public.h"
#include "tpm/srk.h"

typedef void (*capability_fn)(struct tt_doctor *d, const TPMU_CAPABILITIES *data);

static void ask(struct tt_doctor *d, struct tt_tpm *tpm, TPM2_CAP what, uint32_t first, capability_fn fn)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    struct tpm_op op = tpm_op_start(tpm, "ask the TPM what it is");
    do
        op.rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, what, first, 127,
                                   &more, &data);
    while (tpm_op_again(&op));
    if (op.rc != TSS2_RC_SUCCESS)
        return;
    if (data->capability == what)
        fn(d, &data->data);
    Esys_Free(data);
}

static void add_word(struct tt_doctor_list *l, const char *word)
{
    size_t n = strlen(l->text);
    (void)snprintf(l->text + n, sizeof l->text - n, "%s%s", n == 0 ? "" : " ", word);
}

/* ---- fixed properties ---- */

static void put_text(char *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)(v >> (24 - 8 * i));
        to[i] = isprint(c) ? (char)c : ' ';
    }
}

/* One space where there are several, none at the end: "SW   TPM" is padding, not text. */
static void trim(char *s)
{
    size_t n = 0;
    for (size_t i = 0; s[i] != '\0'; i++)
        if (s[i] != ' ' || (n > 0 && s[n - 1] != ' '))
            s[n++] = s[i];
    s[n > 0 && s[n - 1] == ' ' ? n - 1 : n] = '\0';
}

static uint32_t property(const TPMU_CAPABILITIES *data, uint32_t which)
{
    const TPML_TAGGED_TPM_PROPERTY *list = &data->tpmProperties;
    for (UINT32 i = 0; i < list->count && i < TPM2_MAX_TPM_PROPERTIES; i++)
        if (list->tpmProperty[i].property == which)
            return list->tpmProperty[i].value;
    return 0;
}

static const char *kind_of(const struct tt_doctor *d)
{
    static const struct {
        const char *manufacturer, *kind;
    } kinds[] = {
        {"IFX", "discrete"},  {"STM", "discrete"},  {"NTC", "discrete"},  {"NTZ", "discrete"},
        {"NSM", "discrete"},  {"ATML", "discrete"}, {"WEC", "discrete"},  {"SMSN", "discrete"},
        {"GOOG", "discrete"}, {"SEAL", "discrete"}, {"INTC", "firmware"}, {"AMD", "firmware"},
        {"QCOM", "firmware"}, {"OPTE", "firmware"}, {"HISI", "firmware"}, {"MSFT", "virtual"},
        {"VMW", "virtual"},   {"IBM", "virtual"},
    };
    if (d->emulated)
        return "virtual";
    for (size_t i = 0; i < TT_COUNT(kinds); i++)
        if (strcmp(kinds[i].manufacturer, d->manufacturer) == 0)
            return kinds[i].kind;
    return "unknown";
}

static void fixed_properties(struct tt_doctor *d, const TPMU_CAPABILITIES *data)
{
    put_text(d->manufacturer, property(data, TPM2_PT_MANUFACTURER));
    for (uint32_t i = 0; i < 4; i++)
        put_text(d->vendor + 4 * i, property(data, TPM2_PT_VENDOR_STRING_1 + i));
    trim(d->manufacturer);
    trim(d->vendor);
    uint32_t a = property(data, TPM2_PT_FIRMWARE_VERSION_1), b = property(data, TPM2_PT_FIRMWARE_VERSION_2);
    (void)snprintf(d->firmware, sizeof d->firmware, "%u.%u.%u.%u", a >> 16, a & 0xffff, b >> 16, b & 0xffff);
    char family[5] = "    ";
    put_text(family, property(data, TPM2_PT_FAMILY_INDICATOR));
    trim(family);
    uint32_t revision = property(data, TPM2_PT_REVISION);
    (void)snprintf(d->spec, sizeof d->spec, "%s revision %u.%02u", family, revision / 100, revision % 100);
    d->fips = (property(data, TPM2_PT_MODES) & TPMA_MODES_FIPS_140_2) != 0;
    d->slots = property(data, TPM2_PT_HR_TRANSIENT_MIN);
}

/* ---- variable properties ---- */

static void variable_properties(struct tt_doctor *d, const TPMU_CAPABILITIES *data)
{
    uint32_t permanent = property(data, TPM2_PT_PERMANENT);
    d->owner_auth = (permanent & TPMA_PERMANENT_OWNERAUTHSET) != 0;
    d->endorsement_auth = (permanent & TPMA_PERMANENT_ENDORSEMENTAUTHSET) != 0;
    d->lockout_auth = (permanent & TPMA_PERMANENT_LOCKOUTAUTHSET) != 0;
    d->locked = (permanent & TPMA_PERMANENT_INLOCKOUT) != 0;
    d->failures = property(data, TPM2_PT_LOCKOUT_COUNTER);
    d->max_failures = property(data, TPM2_PT_MAX_AUTH_FAIL);
    d->seconds_per_failure = property(data, TPM2_PT_LOCKOUT_INTERVAL);
    d->lockout_recovery = property(data, TPM2_PT_LOCKOUT_RECOVERY);
    /* Every interval takes one failure away; unlocked is below the maximum. */
    if (d->locked && d->failures >= d->max_failures)
        d->seconds_to_unlock = (uint64_t)(d->failures - d->max_failures + 1) * d->seconds_per_failure;
    d->nv_indexes = property(data, TPM2_PT_HR_NV_INDEX);
    d->persistent = property(data, TPM2_PT_HR_PERSISTENT);
    d->persistent_free = property(data, TPM2_PT_HR_PERSISTENT_AVAIL);
    d->slots_free = property(data, TPM2_PT_HR_TRANSIENT_AVAIL);
    d->sessions_free = property(data, TPM2_PT_HR_LOADED_AVAIL);
}

/* ---- algorithms ---- */

static void algorithms(struct tt_doctor *d, const TPMU_CAPABILITIES *data)
{
    static const struct {
        uint16_t alg;
        const char *name;
    } names[] = {
        {TPM2_ALG_SHA1, "sha1"},         {TPM2_ALG_SHA256, "sha256"},     {TPM2_ALG_SHA384, "sha384"},
        {TPM2_ALG_SHA512, "sha512"},     {TPM2_ALG_SM3_256, "sm3"},       {TPM2_ALG_SHA3_256, "sha3-256"},
        {TPM2_ALG_SHA3_384, "sha3-384"}, {TPM2_ALG_SHA3_512, "sha3-512"},
    };
    for (size_t n = 0; n < TT_COUNT(names); n++)
        for (UINT32 i = 0; i < data->algorithms.count && i < TPM2_MAX_CAP_ALGS; i++)
            if (data->algorithms.algProperties[i].alg == names[n].alg)
                add_word(&d->hashes, names[n].name);
}

static void curves(struct tt_doctor *d, const TPMU_CAPABILITIES *data)
{
    static const struct {
        uint16_t curve;
        const char *name;
    } names[] = {
        {TPM2_ECC_NIST_P192, "p192"}, {TPM2_ECC_NIST_P224, "p224"}, {TPM2_ECC_NIST_P256, "p256"},
        {TPM2_ECC_NIST_P384, "p384"}, {TPM2_ECC_NIST_P521, "p521"}, {TPM2_ECC_BN_P256, "bn256"},
        {TPM2_ECC_BN_P638, "bn638"},  {TPM2_ECC_SM2_P256, "sm2"},   {0x0040, "curve25519"},
    };
    for (size_t n = 0; n < TT_COUNT(names); n++)
        for (UINT32 i = 0; i < data->eccCurves.count && i < TPM2_MAX_ECC_CURVES; i++)
            if (data->eccCurves.eccCurves[i] == names[n].curve)
                add_word(&d->curves, names[n].name);
}

static void rsa_sizes(struct tt_doctor *d, struct tt_tpm *tpm)
{
    static const uint16_t sizes[] = {1024, 2048, 3072, 4096};
    for (size_t i = 0; i < TT_COUNT(sizes); i++) {
        char word[8];
        TPMT_PUBLIC_PARMS parms = public_test_parms(TT_KEY_RSA2048);
        parms.parameters.rsaDetail.keyBits = sizes[i];
        struct tpm_op op = tpm_op_start(tpm, "ask the TPM which keys it can make");
        do
            op.rc = Esys_TestParms(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &parms);
        while (tpm_op_again(&op));
        (void)snprintf(word, sizeof word, "%u", sizes[i]);
        if (op.rc == TSS2_RC_SUCCESS)
            add_word(&d->rsa, word);
    }
}

/* ---- clock, and the storage root key ---- */

static void read_clock(struct tt_doctor *d, struct tt_tpm *tpm)
{
    TPMS_TIME_INFO *time = NULL;
    struct tpm_op op = tpm_op_start(tpm, "read the TPM's clock");
    do
        op.rc = Esys_ReadClock(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &time);
    while (tpm_op_again(&op));
    if (op.rc != TSS2_RC_SUCCESS)
        return;
    d->clock_ms = time->clockInfo.clock;
    d->reset_count = time->clockInfo.resetCount;
    d->restart_count = time->clockInfo.restartCount;
    d->clock_safe = time->clockInfo.safe != 0;
    Esys_Free(time);
}

/* The one of the owner hierarchy, by its name. A password that is not given is not guessed. */
static bool derive_srk(TPM2B_NAME *ret, const struct tt_doctor *d, struct tt_tpm *tpm)
{
    struct tpm_parent derived;
    const struct parent_want want = {.handle = TPM2_RH_OWNER};
    if ((d->owner_auth && !tpm->owner.is_known) || parent_acquire(&derived, tpm, &want, NULL) != TT_OK)
        return false;
    bool is_derived = derived.transient; /* else it is what is at the handle: the password was wrong */
    *ret = derived.name;
    parent_release(tpm, &derived);
    return is_derived;
}

static void storage_root_key(struct tt_doctor *d, struct tt_tpm *tpm)
{
    struct tpm_parent there;
    TPM2B_NAME derived = {0};
    d->srk_known = derive_srk(&derived, d, tpm);
    if (srk_at_handle(&there, tpm, NULL) != TT_OK)
        return;
    d->srk_at_handle = true;
    d->srk_usable = there.srk;
    d->srk_counts = there.counts;
    d->srk_right = d->srk_known && there.name.size == derived.size &&
                   memcmp(there.name.name, derived.name, derived.size) == 0;
    parent_release(tpm, &there);
}

void doctor_identify(struct tt_doctor *d, struct tt_tpm *tpm)
{
    ask(d, tpm, TPM2_CAP_TPM_PROPERTIES, TPM2_PT_FIXED, fixed_properties);
    d->emulated = tt_tpm_is_emulated(tpm);
    d->kind = kind_of(d);
}

void doctor_chip(struct tt_doctor *d, struct tt_tpm *tpm)
{
    doctor_identify(d, tpm);
    ask(d, tpm, TPM2_CAP_TPM_PROPERTIES, TPM2_PT_VAR, variable_properties);
    ask(d, tpm, TPM2_CAP_ALGS, 0, algorithms);
    ask(d, tpm, TPM2_CAP_ECC_CURVES, 0, curves);
    rsa_sizes(d, tpm);
    read_clock(d, tpm);
    storage_root_key(d, tpm);
}
