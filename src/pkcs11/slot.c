/* pkcs11/slot.c: see slot.h. Layer: pkcs11. A slot with its token is an identity's directory. */
#include "pkcs11/slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11/mechanism.h"
#include "pkcs11/vault.h"

static CK_VERSION library_version(void)
{
    const char *version = TT_VERSION;
    char *end;
    CK_VERSION v = {.major = (CK_BYTE)strtoul(version, &end, 10)};
    v.minor = (CK_BYTE)(*end == '.' ? strtoul(end + 1, NULL, 10) : 0);
    return v;
}

CK_RV library_info(CK_INFO_PTR info)
{
    if (info == NULL)
        return CKR_ARGUMENTS_BAD;
    *info = (CK_INFO){.cryptokiVersion = {2, 40}, .libraryVersion = library_version()};
    put_padded(info->manufacturerID, sizeof info->manufacturerID, MODULE_MANUFACTURER);
    put_padded(info->libraryDescription, sizeof info->libraryDescription, "keys in the TPM");
    return CKR_OK;
}

/* The directories are looked at when the application asks how many there are (section 5.5, C_GetSlotList). */
CK_RV slot_list(CK_SLOT_ID_PTR list, CK_ULONG_PTR n)
{
    if (n == NULL)
        return CKR_ARGUMENTS_BAD;
    mutex_take(&module.mutex);
    CK_RV rv = list == NULL || module.tokens_len == 0 ? tokens_scan() : CKR_OK;
    CK_ULONG room = *n, found = 0;
    for (size_t i = 0; rv == CKR_OK && i < module.tokens_len; i++) {
        const struct token *t = module.tokens[i];
        if (!t->present || t->contents == NULL)
            continue;
        if (list != NULL && found < room)
            list[found] = t->slot;
        found++;
    }
    mutex_give(&module.mutex);
    if (rv != CKR_OK)
        return rv;
    *n = found;
    return list != NULL && found > room ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

CK_RV slot_check(CK_SLOT_ID slot)
{
    mutex_take(&module.mutex);
    const struct token *t = token_of_slot(slot);
    CK_RV rv = t == NULL ? CKR_SLOT_ID_INVALID : t->present ? CKR_OK : CKR_TOKEN_NOT_PRESENT;
    mutex_give(&module.mutex);
    return rv;
}

CK_RV slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
    CK_RV rv = slot_check(slot);
    if (info == NULL)
        return CKR_ARGUMENTS_BAD;
    if (rv == CKR_SLOT_ID_INVALID)
        return rv;
    char description[64];
    mutex_take(&module.mutex);
    (void)snprintf(description, sizeof description, "tpmtls identity %s", token_of_slot(slot)->name);
    mutex_give(&module.mutex);
    /* Removable: directories come and go. */
    *info = (CK_SLOT_INFO){.flags = CKF_REMOVABLE_DEVICE | (rv == CKR_OK ? CKF_TOKEN_PRESENT : 0),
                           .firmwareVersion = library_version()};
    put_padded(info->slotDescription, sizeof info->slotDescription, description);
    put_padded(info->manufacturerID, sizeof info->manufacturerID, MODULE_MANUFACTURER);
    return CKR_OK;
}

CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
    if (info == NULL)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = slot_check(slot);
    if (rv != CKR_OK)
        return rv;
    mutex_take(&module.mutex);
    struct token *t = token_of_slot(slot);
    rv = token_refresh(t);
    struct contents *c = token_contents(t);
    CK_ULONG sessions = t->sessions, rw = t->rw_sessions;
    mutex_give(&module.mutex);
    *info = (CK_TOKEN_INFO){.flags = CKF_RNG | CKF_TOKEN_INITIALIZED |
                                     (token_has_pin(c) ? CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED : 0) |
                                     vault_pin_flags(t, c, sessions > 0),
                            .ulMaxSessionCount = CK_EFFECTIVELY_INFINITE,
                            .ulSessionCount = sessions,
                            .ulMaxRwSessionCount = CK_EFFECTIVELY_INFINITE,
                            .ulRwSessionCount = rw,
                            .ulMaxPinLen = TOKEN_PIN_MAX,
                            .ulMinPinLen = token_has_pin(c) ? 1 : 0,
                            .ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION,
                            .ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION,
                            .ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION,
                            .ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION,
                            .firmwareVersion = library_version()};
    put_padded(info->label, sizeof info->label, t->name);
    put_padded(info->manufacturerID, sizeof info->manufacturerID, MODULE_MANUFACTURER);
    put_padded(info->model, sizeof info->model, "TPM 2.0");
    put_padded(info->serialNumber, sizeof info->serialNumber, t->serial);
    memset(info->utcTime, '0', sizeof info->utcTime);
    contents_free(c);
    return rv;
}

/* ---- mechanisms ---- */

/* A token with a key has what fits it; an empty one what makes a key. */
static bool offers(const struct contents *c, const struct mechanism *m)
{
    bool empty = c->key_text_len == 0;
    return m->kind == MECHANISM_DIGEST || (m->kind == MECHANISM_KEY_PAIR) == empty
               ? m->kind == MECHANISM_DIGEST || m->kind == MECHANISM_KEY_PAIR || mechanism_fits(m, &c->info)
               : false;
}

CK_RV mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR n)
{
    if (n == NULL)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = slot_check(slot);
    if (rv != CKR_OK)
        return rv;
    CK_ULONG room = *n, found = 0;
    mutex_take(&module.mutex);
    const struct contents *c = token_of_slot(slot)->contents;
    for (size_t i = 0; i < mechanisms_len; i++) {
        if (!offers(c, &mechanisms[i]))
            continue;
        if (list != NULL && found < room)
            list[found] = mechanisms[i].type;
        found++;
    }
    mutex_give(&module.mutex);
    *n = found;
    return list != NULL && found > room ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

CK_RV mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
    if (info == NULL)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = slot_check(slot);
    if (rv != CKR_OK)
        return rv;
    rv = CKR_MECHANISM_INVALID;
    mutex_take(&module.mutex);
    const struct contents *c = token_of_slot(slot)->contents;
    for (size_t i = 0; i < mechanisms_len; i++)
        if (mechanisms[i].type == type && offers(c, &mechanisms[i])) {
            CK_FLAGS hardware = mechanisms[i].kind == MECHANISM_DIGEST ? 0 : CKF_HW;
            *info =
                (CK_MECHANISM_INFO){mechanisms[i].least, mechanisms[i].most, mechanisms[i].flags | hardware};
            rv = CKR_OK;
        }
    mutex_give(&module.mutex);
    return rv;
}
