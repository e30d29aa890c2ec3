/* tpm/trust.c: see trust.h. Layer: tpm. Sends no command. TPM 2.0 part 1, section 16 (names). */
#include "tpm/trust.h"

#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/alg.h"
#include "tpm/keyfile.h"
#include "tpm/name.h"

/* ---- names ---- */

static bool name_is(const TPM2B_NAME *a, const TPM2B_NAME *b)
{
    return a->size == b->size && a->size <= sizeof a->name && memcmp(a->name, b->name, a->size) == 0;
}

static void name_text(char *ret, size_t cap, const TPM2B_NAME *name)
{
    size_t n = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < name->size && i < 10 && n < cap; i++)
        n += (size_t)snprintf(ret + n, cap - n, "%02x", name->name[i]);
}

tt_rc name_of(TPM2B_NAME *ret, struct tt_tpm *tpm, const TPM2B_PUBLIC *pub, struct tt_error *err)
{
    uint8_t bytes[sizeof pub->publicArea];
    struct soft_public area = {.area = {bytes, 0}, .name_alg = pub->publicArea.nameAlg};
    TPM2B_NAME name;
    size_t len = 0;
    const struct crypto_lib *lib = tpm_lib(tpm, err);
    if (lib == NULL)
        return TT_ERR_MEMORY;
    if (Tss2_MU_TPMT_PUBLIC_Marshal(&pub->publicArea, bytes, sizeof bytes, &area.area.len) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed public area");
    tt_rc rc = name_of_public(name.name, &len, lib, &area);
    if (rc != TT_OK)
        return error_set(err, rc, "the name of the storage key (hash: %s) cannot be computed",
                         alg_text(pub->publicArea.nameAlg).text);
    name.size = (UINT16)len;
    *ret = name;
    return TT_OK;
}

tt_rc name_check(struct tt_tpm *tpm, const TPM2B_PUBLIC *pub, const TPM2B_NAME *name, struct tt_error *err)
{
    TPM2B_NAME right = {.size = 0};
    TT_TRY(name_of(&right, tpm, pub, err));
    if (name_is(&right, name))
        return TT_OK;
    (void)error_set(err, TT_ERR_TPM,
                    "the TPM's answer about a key contradicts itself: its name is not that of its "
                    "public area");
    error_hint(err, "something between here and the TPM changes its answers; nothing secret was sent");
    return TT_ERR_TPM;
}

/* ---- which one is right ---- */

static const TPM2B_NAME nobody = {.size = 0};

/* Where the storage root key is looked for, it is the same key. What is derived otherwise is not known by its
 * place: a file can ask for several kinds. 0: not known by its place. */
static uint32_t place_of(const struct parent_want *want)
{
    if (want->handle == KEYFILE_PARENT_OWNER && !want->rsa)
        return KEYFILE_PARENT_SRK;
    return want->handle >> 24 == TPM2_HT_PERSISTENT ? want->handle : 0;
}

static struct tpm_pin *pin_find(struct tt_tpm *tpm, uint32_t place, bool rsa)
{
    for (size_t i = 0; i < tpm->pins_len; i++)
        if (tpm->pins[i].place == place && tpm->pins[i].rsa == rsa)
            return &tpm->pins[i];
    return NULL;
}

static void pin_set(struct tt_tpm *tpm, const struct tpm_pin *pin)
{
    struct tpm_pin *at = pin_find(tpm, pin->place, pin->rsa);
    if (at == NULL && pin->place != 0 && tpm->pins_len < TPM_PINS)
        at = &tpm->pins[tpm->pins_len++];
    if (at != NULL)
        *at = *pin;
}

void trust_believe(struct tt_tpm *tpm, const struct parent_want *want)
{
    const struct tpm_pin pin = {.place = place_of(want), .rsa = want->rsa, .name = *want->name};
    if (pin.name.size > 0 && pin_find(tpm, pin.place, pin.rsa) == NULL)
        pin_set(tpm, &pin);
}

/* The name that it must have; empty: not known. */
static const TPM2B_NAME *known_name(struct tt_tpm *tpm, const struct parent_want *want, bool rsa)
{
    uint32_t place = place_of(want);
    const struct tpm_pin *pin = pin_find(tpm, place, rsa);
    if (want->name != NULL && want->name->size > 0)
        return want->name;
    if (tpm->storage.size > 0 && (want->creates || place == KEYFILE_PARENT_SRK))
        return &tpm->storage;
    return pin != NULL ? &pin->name : &nobody;
}

static tt_rc not_the_file_s(const char *has, const char *wants, struct tt_error *err)
{
    (void)error_set(
        err, TT_ERR_TPM,
        "the key's parent is not the one that the key was made under: its name is %s.., the key "
        "file says %s..: the key belongs to another TPM, or this TPM was cleared since the key was "
        "made, or something between here and the TPM put its own key there",
        has, wants);
    error_hint(err, "nothing secret was sent; use the TPM that made the key, or make a new key with `tpmtls "
                    "key create`");
    return TT_ERR_TPM;
}

static tt_rc not_the_known(const struct tt_tpm *tpm, const char *has, const char *wants, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_TPM,
                    "the TPM's storage key is not the right one: its name is %s.., %s %s..: this is another "
                    "TPM, or it was cleared, or something between here and the TPM put its own key there",
                    has, tpm->storage.size > 0 ? "and should be" : "that of the keys in use", wants);
    error_hint(err, "nothing secret was sent, and nothing was made; `tpmtls key srk` shows the name of a "
                    "TPM's storage key");
    return TT_ERR_TPM;
}

tt_rc trust_parent(struct tt_tpm *tpm, const struct parent_want *want, const struct tpm_parent *p,
                   struct tt_error *err)
{
    const TPM2B_NAME *known = known_name(tpm, want, p->rsa);
    const struct tpm_pin pin = {.place = place_of(want), .rsa = p->rsa, .name = p->name};
    char has[32], wants[32];
    if (known->size == 0 || name_is(known, &p->name)) {
        pin_set(tpm, &pin);
        return TT_OK;
    }
    name_text(has, sizeof has, &p->name);
    name_text(wants, sizeof wants, known);
    return known == want->name ? not_the_file_s(has, wants, err) : not_the_known(tpm, has, wants, err);
}

tt_rc tt_tpm_expect_storage(struct tt_tpm *tpm, struct tt_bytes name, struct tt_error *err)
{
    if (name.len < 3 || name.len > sizeof tpm->storage.name)
        return error_set(err, TT_ERR_USAGE, "the name of a storage key has 3 to %zu bytes (34 with SHA-256)",
                         sizeof tpm->storage.name);
    tpm->storage.size = (UINT16)name.len;
    memcpy(tpm->storage.name, name.data, name.len);
    return TT_OK;
}
